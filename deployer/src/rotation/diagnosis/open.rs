//! A rotation is open: whether it is given up, continues, or had completed before somebody opened it again.

use contract::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, Command, DEPLOYING, DONE, Report, Text, VersionReport};

use super::{
    credential::{Credential, credential},
    obstacle::{Obstacle, obstacle, why_a_new_one_would_fail},
    remedy::{Diagnosis, Remedy, Way, again, curable},
    told::{refused, told_is_inactive},
};

/// The version that AWSPENDING was left on by its rotation, if somebody edited another field since: AWSCURRENT is on another
/// version of the same credential, and Secrets Manager takes the rotation for open.
pub(crate) fn left_open_by_an_edit(report: &Report) -> Option<&VersionReport> {
    let left = open(report).filter(|version| has(version, DONE))?;
    let current = report.labelled(AWSCURRENT)?;
    // Of two passwords of one key, SES accepts one.
    let is_same = left.key.is_some() && left.key == current.key && left.login == current.login;
    is_same.then_some(left)
}

pub(super) fn was_complete(report: &Report) -> Option<Diagnosis> {
    let left = &left_open_by_an_edit(report)?.version;
    let found = format!(
        "AWSPENDING is on version {left}. Its rotation had completed before somebody edited another field of the secret; Secrets \
         Manager takes it for open, and starts no other"
    );
    Some(curable(found, Remedy::ClearPending { version: left.clone(), owes_a_rotation: false }, []))
}

/// The version of the open rotation.
fn open(report: &Report) -> Option<&VersionReport> {
    report.versions.iter().find(|version| Some(&version.version) == report.open.as_ref())
}

pub(super) fn rotation_is_open(report: &Report) -> Option<Diagnosis> {
    let version = open(report)?;
    let id = &version.version;
    let clear = Remedy::ClearPending { version: id.clone(), owes_a_rotation: true };
    let fails = why_a_new_one_would_fail(report);
    let give_up = |why: String| {
        let rotate = fails.is_none().then_some(Remedy::Rotate);
        let found = format!("a rotation is open (version {id}), and no host can use its credential: {why}");
        let then = |fails| Text::from(". After it no other can begin: ").then(fails);
        let found = Text::from(found).then(fails.clone().map_or_else(Text::default, then));
        Some(curable(found, clear.clone(), rotate))
    };
    let waits = |fails: Text| Diagnosis::Person {
        found: Text::from(format!("a rotation is open (version {id}), and it cannot continue yet: "))
            .then(fails)
            .then(". Secrets Manager tries it again by itself during its window"),
        ways: vec![again()],
    };
    if let Some(problem) = &version.problem {
        return give_up(format!("the value cannot be used ({problem})"));
    }
    if names_the_key_in_use(report, version) {
        let found = format!(
            "AWSPENDING is on version {id}, which has the credential in use, and no step runs: a test of the rotation settings left it there, \
             or somebody moved it. Secrets Manager takes it for an open rotation, and starts no other"
        );
        return Some(curable(found, Remedy::ClearPending { version: id.clone(), owes_a_rotation: false }, []));
    }
    // To give it up would help nobody: the next one would meet the same.
    let has_to_wait = fails.clone().filter(|_| obstacle(report) == Some(Obstacle::Other));
    match credential(report, version) {
        Credential::None | Credential::Deleted(_) if has_to_wait.is_some() => has_to_wait.map(waits),
        Credential::None => give_up("the version holds none".to_owned()),
        Credential::Works(key) if !has(version, DEPLOYING) && !has(version, AWSPREVIOUS) => {
            Some(stored_by_another(report, version, key))
        }
        Credential::Refused { key, words } | Credential::Unclear { key, words } => {
            Some(refused(report, version, key, words))
        }
        Credential::Works(_) if !has(version, DEPLOYING) => {
            let found = format!(
                "AWSPENDING is on version {id}. Its rotation had completed before somebody moved AWSCURRENT and DEPLOYING back; \
                 Secrets Manager takes it for open"
            );
            Some(curable(found, Remedy::ClearPending { version: id.clone(), owes_a_rotation: false }, []))
        }
        _ if !has(version, DEPLOYING) => give_up("the version is not labelled DEPLOYING".to_owned()),
        Credential::Deleted(key) => give_up(format!("access key {key} is deleted")),
        Credential::Inactive(key) => {
            let found = format!("a rotation is open (version {id}), and its access key {key} is Inactive");
            Some(told_is_inactive(report, key, &found))
        }
        Credential::Works(key) => Some(match fails {
            None => {
                let found = format!(
                    "a rotation is open (version {id}), and SES accepts its credential. Hosts may use access key {key}, which \
                     DEPLOYING protects, so the next rotation continues with it"
                );
                curable(found, clear, [Remedy::Rotate])
            }
            Some(fails) => waits(fails),
        }),
    }
}

/// Whether the version only repeats the credential of AWSCURRENT: no rotation has stored it.
fn names_the_key_in_use(report: &Report, version: &VersionReport) -> bool {
    let current = report.labelled(AWSCURRENT).filter(|current| current.key.is_some() && current.key == version.key);
    current.is_some() && !has(version, DEPLOYING) && !has(version, AWSPREVIOUS)
}

/// Another tool stored the pending credential, and may have told hosts of it.
fn stored_by_another(report: &Report, version: &VersionReport, key: &str) -> Diagnosis {
    let id = &version.version;
    let deploying = report.labelled(DEPLOYING).map(|version| version.version.as_str());
    let found = format!(
        "a rotation is open (version {id}), and SES accepts its credential, but it is not labelled DEPLOYING: something else than \
         this function stored it, so only you know whether a host has access key {key}"
    );
    Diagnosis::Person {
        found: found.into(),
        ways: vec![
            Way {
                when: "if a host may have it, so that the rotation continues with it".to_owned(),
                command: Command::move_label(&report.secret, DEPLOYING, deploying, Some(id)),
                waits: false,
            },
            Way {
                when: "if no host has it".to_owned(),
                command: Command::move_label(&report.secret, AWSPENDING, Some(id), None),
                waits: false,
            },
        ],
    }
}

fn has(version: &VersionReport, label: &str) -> bool {
    version.labels.iter().any(|it| it == label)
}
