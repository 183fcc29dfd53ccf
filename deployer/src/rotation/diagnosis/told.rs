//! What AWSCURRENT names is not what hosts were told of, or may have been told of: the labels DEPLOYING and TOLD.

use contract::{AWSCURRENT, Command, DEPLOYING, Report, TOLD, VersionReport, text};

use super::{
    credential::{Credential, credential},
    next::mended_by_a_rotation,
    obstacle::{Obstacle, obstacle, why_a_new_one_would_fail},
    remedy::{Diagnosis, Remedy, Way, again, curable, was_an_accident},
};

pub(super) fn labels_are_crossed(report: &Report, reactivated: Option<&str>) -> Option<Diagnosis> {
    if obstacle(report) != Some(Obstacle::CrossedLabels) {
        return None;
    }
    let (current, deploying) = (report.labelled(AWSCURRENT)?, report.labelled(DEPLOYING)?);
    let (now, told) = (credential(report, current), credential(report, deploying));
    let to_deploying =
        Remedy::MoveLabel { label: AWSCURRENT, from: current.version.clone(), to: deploying.version.clone() };
    let to_current =
        Remedy::MoveLabel { label: DEPLOYING, from: deploying.version.clone(), to: current.version.clone() };
    let found = format!(
        "AWSCURRENT is on version {}{}, and hosts were told of version {}{}, which is labelled DEPLOYING",
        current.version,
        now.in_brackets(),
        deploying.version,
        told.in_brackets()
    );
    let only = |works: &str| {
        text![
            format!(
                "{found}: only the {works} works. A host that holds the other one gets a new credential with the next "
            ),
            Command::deployer("rotate")
        ]
    };
    Some(match (now, told) {
        (Credential::Works(_), told) if !told.may_be_used() => curable(only("first"), to_current, []),
        (now, Credential::Works(_)) if !now.may_be_used() => curable(only("second"), to_deploying, []),
        // Whoever brought AWSCURRENT's key back wants the hosts on it. TOLD protects the other key until they are.
        (Credential::Works(key), _) if Some(key) == reactivated && is_told(report, deploying) => curable(
            format!("{found}. Access key {key} was made Active to be used, so the hosts are told of it next"),
            to_current,
            [],
        ),
        _ => Diagnosis::Person {
            found: format!("{found}: hosts may use either").into(),
            ways: vec![
                Way {
                    when: "if the hosts use the one labelled DEPLOYING".to_owned(),
                    command: move_between(report, AWSCURRENT, current, deploying),
                    waits: false,
                },
                Way {
                    when: "if every host uses AWSCURRENT".to_owned(),
                    command: move_between(report, DEPLOYING, deploying, current),
                    waits: false,
                },
            ],
        },
    })
}

/// Whether every host has confirmed the version's key.
fn is_told(report: &Report, version: &VersionReport) -> bool {
    report.labelled(TOLD).is_some_and(|told| told.key == version.key)
}

pub(super) fn move_between(report: &Report, label: &str, from: &VersionReport, to: &VersionReport) -> Command {
    Command::move_label(&report.secret, label, Some(&from.version), Some(&to.version))
}

/// A rotation was given up after hosts may have been told of its credential.
pub(super) fn told_but_not_current(report: &Report) -> Option<Diagnosis> {
    let (current, deploying) = (report.labelled(AWSCURRENT)?, report.labelled(DEPLOYING)?);
    // Somebody edited another field: two versions, one credential.
    if deploying.version == current.version || deploying.key == current.key {
        return None;
    }
    let told = credential(report, deploying);
    let found = format!(
        "a rotation was given up after hosts may have been told of version {}{}, which is labelled DEPLOYING and not \
         AWSCURRENT",
        deploying.version,
        told.in_brackets()
    );
    match told {
        Credential::Inactive(key) => Some(told_is_inactive(report, key, &found)),
        Credential::Refused { key, words } | Credential::Unclear { key, words } => {
            Some(refused(report, deploying, key, words))
        }
        _ if why_a_new_one_would_fail(report).is_none() => Some(curable(found, Remedy::Rotate, [])),
        _ => None,
    }
}

/// Hosts may have been told of a key that is Inactive, and AWSCURRENT names another one.
pub(super) fn told_is_inactive(report: &Report, key: &str, found: &str) -> Diagnosis {
    let delete = Way {
        when: "if it leaked, or no host has it".to_owned(),
        command: Command::delete_key(&report.user, key),
        waits: false,
    };
    Diagnosis::Person { found: found.into(), ways: vec![delete, was_an_accident(key), again()] }
}

/// SES does not accept a credential that hosts may have been told of, or does not say, though its key is Active.
pub(super) fn refused(report: &Report, version: &VersionReport, key: &str, words: &str) -> Diagnosis {
    let labels = version.labels.join(", ");
    let is_dead = !credential(report, version).may_be_used();
    let answer = if is_dead { "does not accept" } else { "does not say whether it accepts" };
    let found =
        format!("SES {answer} the credential of version {} ({labels}; access key {key}): {words}", version.version);
    let delete = is_dead.then(|| Way {
        when: format!(
            "if it is never accepted, and no host uses access key {key} (setSecret tells hosts only after SES accepted it)"
        ),
        command: Command::delete_key(&report.user, key), waits: false });
    Diagnosis::Person { found: found.into(), ways: std::iter::once(again()).chain(delete).collect() }
}

/// AWSCURRENT names a key that not every host has confirmed: somebody moved AWSCURRENT, or an older version of the function told
/// the hosts. No old key is deleted until every host has confirmed. A credential that no rotation has made is none of ours.
pub(super) fn not_every_host_is_told(report: &Report) -> Option<Diagnosis> {
    let current = report.labelled(AWSCURRENT)?;
    let key = current.key.as_ref()?;
    let told = report.labelled(TOLD);
    if told.is_some_and(|told| told.key.as_ref() == Some(key)) || report.labelled(DEPLOYING).or(told).is_none() {
        return None;
    }
    let has = match told {
        Some(told) => {
            format!("every host has confirmed version {}{}", told.version, credential(report, told).in_brackets())
        }
        None => "it is not known what the hosts have (no version is labelled TOLD)".to_owned(),
    };
    let found = format!("AWSCURRENT names access key {key}, and {has}");
    Some(mended_by_a_rotation(report, &found, ": a rotation tells the hosts, without a new key"))
}
