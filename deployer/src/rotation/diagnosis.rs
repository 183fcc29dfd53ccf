//! What is wrong with a rotation, and what makes it healthy again. Pure: a report in, a diagnosis out.
//!
//! One rule is behind every remedy: a host may hold what DEPLOYING or AWSCURRENT names, so neither label leaves a credential
//! that could still work.

use contract::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, Command, DEPLOYING, DONE, KeyReport, KeyVerdict, Login, Next, Refusal,
    RefusalKind, Report, TOLD, Text, VersionReport, WayOut, text,
};

#[cfg(test)]
mod tests;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Diagnosis {
    /// Nothing.
    Healthy {
        /// What an operator may want to know all the same.
        note: Option<Text>,
    },
    /// These remedies make it healthy again, one after the other. After each, the diagnosis is made anew.
    Curable {
        /// What is wrong, as a sentence.
        found: Text,
        first: Remedy,
        /// What follows, as far as it can be foreseen.
        then: Vec<Remedy>,
    },
    /// Nothing can be done safely: a person has to decide, or to correct something else first.
    Person {
        /// What is wrong, as a sentence.
        found: Text,
        /// What there is to choose from.
        ways: Vec<Way>,
    },
}

/// A change that cannot break mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Give up an open rotation. It is safe at any moment: DEPLOYING still protects the key that hosts may have been told of.
    ClearPending {
        version: String,
        /// Whether the rotation is still wanted; not if it had completed.
        owes_a_rotation: bool,
    },
    /// Put AWSCURRENT and DEPLOYING on the one version whose credential works.
    MoveLabel { label: &'static str, from: String, to: String },
    /// Delete a key that a crashed createSecret left behind.
    DeleteOrphan { key: String, created: Option<String> },
    /// Rotate.
    Rotate,
}

/// What a person may decide to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// The condition under which it is right.
    pub(crate) when: String,
    pub(crate) command: Command,
}

impl Remedy {
    /// The AWS call, as an IAM policy names it.
    pub(crate) fn call(&self) -> &'static str {
        match self {
            Self::ClearPending { .. } | Self::MoveLabel { .. } => "secretsmanager:UpdateSecretVersionStage",
            // The function deletes it, after it has judged the key again.
            Self::DeleteOrphan { .. } => "lambda:InvokeFunction",
            Self::Rotate => "secretsmanager:RotateSecret",
        }
    }

    /// What it does, as an imperative.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::ClearPending { version, .. } => format!("take AWSPENDING off version {version}"),
            Self::MoveLabel { label, from, to } => format!("move {label} from version {from} to version {to}"),
            Self::DeleteOrphan { key, created } => {
                let made = created.as_ref().map_or_else(String::new, |date| format!("made {date}, "));
                format!("delete access key {key}: {made}never used, and no version of the secret names it")
            }
            Self::Rotate => "rotate, and wait until the new version is AWSCURRENT".to_owned(),
        }
    }
}

/// What is in the way of a rotation, as far as it decides on the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// AWSCURRENT is on one version, DEPLOYING on another, and hosts may use either.
    CrossedLabels,
    /// The open rotation's own version: it is gone once that rotation is given up.
    PendingVersion,
    /// No key may be deleted for a new one.
    NoSafeSlot,
    /// Something was not answered, or not clearly: nothing may be concluded from what the report lacks.
    Unread,
    /// Something else, which has to be corrected first.
    Other,
}

/// What `recover` makes of each refusal. A new kind of refusal does not compile until it is decided here.
fn obstacle_of(kind: RefusalKind) -> Obstacle {
    use RefusalKind as Kind;
    match kind {
        Kind::RolledBack | Kind::CurrentIsNewer => Obstacle::CrossedLabels,
        Kind::PendingEmpty | Kind::PendingKeyGone | Kind::NotMarkedDeploying => Obstacle::PendingVersion,
        Kind::NoSafeSlot => Obstacle::NoSafeSlot,
        // Before createSecret makes a key, every call reads.
        Kind::Aws | Kind::KeyStateUnclear => Obstacle::Unread,
        Kind::Settings
        | Kind::EventFieldMissing
        | Kind::UnknownStep
        | Kind::EventMalformed
        | Kind::WrongSecret
        | Kind::RotationDisabled
        | Kind::UnknownToken
        | Kind::NotPending
        | Kind::HostsNotTold
        | Kind::EndpointUnresolved
        | Kind::EndpointUnreachable
        | Kind::TlsUnusable
        | Kind::UserMissing
        | Kind::UserServesAnother
        | Kind::NoCurrentValue
        | Kind::TooManyLabels
        | Kind::MalformedSecret
        | Kind::SecretOfAnotherUser
        | Kind::HostsOffline
        | Kind::DocumentChanged
        | Kind::RotationOpen
        | Kind::HostsNotOnCurrent
        | Kind::CurrentKeyNotActive
        | Kind::LeakedInUse
        | Kind::LabelsMoved
        | Kind::WasComplete
        | Kind::KeyLeftInactive
        | Kind::KeyLimitReached
        | Kind::KeyCreationUnclear
        | Kind::StoreRefused
        | Kind::TokenTaken
        | Kind::StoreUnclear
        | Kind::LoginRefused
        | Kind::HostsFailed
        | Kind::HostDidNotConfirm
        | Kind::TestMailMalformed
        | Kind::TestMailRefused
        | Kind::CurrentMoved
        | Kind::NotEnoughTime
        | Kind::DeadlineReached => Obstacle::Other,
    }
}

/// What a run knows beside the report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known<'a> {
    /// Why a rotation is wanted although the schedule asks for none.
    pub(crate) owed: Option<Owed>,
    /// The key that this run has made Active, because a person said so.
    pub(crate) reactivated: Option<&'a str>,
}

/// Why a rotation is wanted although the schedule asks for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// This run gave up a rotation that was wanted, and none has completed since.
    GivenUp,
    /// `rotation.rotate_on_create` asks for one, and none has completed yet.
    OnCreate,
}

/// Whether the function never stored a credential, and no rotation is open that might.
pub(crate) fn was_never_rotated(report: &Report) -> bool {
    report.last_rotated.is_none() && report.open.is_none() && report.labelled(DEPLOYING).is_none()
}

/// Finds what is wrong. No step of a rotation may be running.
pub(crate) fn diagnose(report: &Report, known: Known<'_>) -> Diagnosis {
    let Known { owed, reactivated } = known;
    current_is_inactive(report)
        .or_else(|| something_is_unread(report))
        .or_else(|| rotation_is_off(report))
        .or_else(|| was_complete(report))
        .or_else(|| a_value_is_unusable(report))
        .or_else(|| labels_are_crossed(report, reactivated))
        .or_else(|| rotation_is_open(report))
        .or_else(|| told_but_not_current(report))
        .or_else(|| not_every_host_is_told(report))
        .or_else(|| orphan_takes_the_slot(report))
        .or_else(|| current_does_not_work(report))
        .or_else(|| rotation_would_fail(report, owed))
        .or_else(|| rotation_is_due(report, owed))
        .unwrap_or(Diagnosis::Healthy { note: None })
}

/// Mail is down: before everything else.
fn current_is_inactive(report: &Report) -> Option<Diagnosis> {
    let version = report.labelled(AWSCURRENT)?;
    let Credential::Inactive(key) = credential(report, version) else { return None };
    let found = format!("access key {key}, which AWSCURRENT names, is Inactive: a host that uses it cannot send");
    // Somebody moved AWSCURRENT onto a key that was Inactive, or made the key Inactive after a rollback.
    if let Some(told) = report.labelled(TOLD)
        && let Credential::Works(works) = credential(report, told)
        && works != key
    {
        let move_it = Way {
            when: format!("if the hosts use access key {works}, which every host has confirmed and SES accepts"),
            command: move_between(report, AWSCURRENT, version, told),
        };
        return Some(Diagnosis::Person { found: found.into(), ways: vec![move_it, was_an_accident(key)] });
    }
    let leaked = if obstacle(report) == Some(Obstacle::NoSafeSlot) {
        // It makes room itself: nobody can send with it, and there is no slot for its successor.
        Way {
            when:
                "if somebody made it Inactive because it leaked (then run recover again: it gives the hosts a new one)"
                    .to_owned(),
            command: Command::delete_key(&report.user, key),
        }
    } else {
        let when = "if somebody made it Inactive because it leaked".to_owned();
        Way { when, command: Command::rotate_leaked(key) }
    };
    Some(Diagnosis::Person { found: found.into(), ways: vec![leaked, was_an_accident(key)] })
}

/// A key may be Inactive because it leaked: only a person makes it Active again.
fn was_an_accident(key: &str) -> Way {
    Way { when: "if that was an accident".to_owned(), command: Command::reactivate(key) }
}

/// Hosts may have been told of a key that is Inactive, and AWSCURRENT names another one.
fn told_is_inactive(report: &Report, key: &str, found: &str) -> Diagnosis {
    let delete =
        Way { when: "if it leaked, or no host has it".to_owned(), command: Command::delete_key(&report.user, key) };
    Diagnosis::Person { found: found.into(), ways: vec![delete, was_an_accident(key), again()] }
}

/// What the function could not read. Nothing may be concluded from what its report lacks.
pub(crate) fn unread(report: &Report) -> Option<&Refusal> {
    refusal(report).filter(|refusal| obstacle_of(refusal.kind) == Obstacle::Unread)
}

/// What could not be read must not be taken for absent.
fn something_is_unread(report: &Report) -> Option<Diagnosis> {
    let refusal = unread(report)?;
    let found = Text::from("the function could not read everything: ").then(refusal.in_full());
    Some(Diagnosis::Person { found, ways: vec![again()] })
}

fn rotation_is_off(report: &Report) -> Option<Diagnosis> {
    if report.rotation_enabled {
        return None;
    }
    let when = "to enable it as the configuration declares".to_owned();
    let ways = vec![Way { when, command: Command::deployer("apply") }];
    Some(Diagnosis::Person { found: format!("rotation is not enabled for {}", report.secret).into(), ways })
}

/// The version that AWSPENDING was left on by its rotation, if somebody edited another field since: AWSCURRENT is on another
/// version of the same credential, and Secrets Manager takes the rotation for open.
pub(crate) fn left_open_by_an_edit(report: &Report) -> Option<&VersionReport> {
    let left = open(report).filter(|version| has(version, DONE))?;
    let current = report.labelled(AWSCURRENT)?;
    // Of two passwords of one key, SES accepts one.
    let is_same = left.key.is_some() && left.key == current.key && left.login == current.login;
    is_same.then_some(left)
}

fn was_complete(report: &Report) -> Option<Diagnosis> {
    let left = &left_open_by_an_edit(report)?.version;
    let found = format!(
        "AWSPENDING is on version {left}. Its rotation had completed before somebody edited another field of the secret; Secrets \
         Manager takes it for open, and starts no other"
    );
    Some(curable(found, Remedy::ClearPending { version: left.clone(), owes_a_rotation: false }, []))
}

/// Somebody stored a value that is no credential. No host can use it, and a rotation refuses it.
fn a_value_is_unusable(report: &Report) -> Option<Diagnosis> {
    if let Some((current, problem)) = report.labelled(AWSCURRENT).and_then(with_problem) {
        let found = format!("the value of AWSCURRENT's version {} cannot be used: {problem}", current.version);
        let works = |version: &&VersionReport| matches!(credential(report, version), Credential::Works(_));
        let Some(told) = [TOLD, DEPLOYING].iter().filter_map(|label| report.labelled(label)).find(works) else {
            return Some(rotation_would_fail(report, None).unwrap_or_else(|| person_about_next(report, found.into())));
        };
        let found = format!(
            "{found}. The hosts were told of version {}{}, which works; the other value stays stored, as AWSPREVIOUS",
            told.version,
            credential(report, told).in_brackets()
        );
        let (from, to) = (current.version.clone(), told.version.clone());
        return Some(curable(found, Remedy::MoveLabel { label: AWSCURRENT, from, to }, []));
    }
    let refused = refusal(report).filter(|refusal| refusal.kind == RefusalKind::MalformedSecret)?;
    // That of an open rotation is given up with it.
    let (version, _) =
        report.versions.iter().filter(|it| Some(&it.version) != report.open.as_ref()).find_map(with_problem)?;
    let without = version.labels.iter().map(|label| Way {
        when: format!("if nobody needs version {}, take {label} off it", version.version),
        command: Command::move_label(&report.secret, label, Some(&version.version), None),
    });
    let found = would_fail(refused.finding().into());
    Some(Diagnosis::Person { found, ways: without.chain([again()]).collect() })
}

fn with_problem(version: &VersionReport) -> Option<(&VersionReport, &str)> {
    version.problem.as_deref().map(|problem| (version, problem))
}

/// The version of the open rotation.
fn open(report: &Report) -> Option<&VersionReport> {
    report.versions.iter().find(|version| Some(&version.version) == report.open.as_ref())
}

fn rotation_is_open(report: &Report) -> Option<Diagnosis> {
    let version = open(report)?;
    let id = &version.version;
    let clear = Remedy::ClearPending { version: id.clone(), owes_a_rotation: true };
    let fails = why_a_new_one_would_fail(report);
    let give_up = |why: String| {
        let rotate = fails.is_none().then_some(Remedy::Rotate);
        let found = format!("a rotation is open (version {id}), and no host can use its credential: {why}");
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
            },
            Way {
                when: "if no host has it".to_owned(),
                command: Command::move_label(&report.secret, AWSPENDING, Some(id), None),
            },
        ],
    }
}

/// SES does not accept a credential that hosts may have been told of, or does not say, though its key is Active.
fn refused(report: &Report, version: &VersionReport, key: &str, words: &str) -> Diagnosis {
    let labels = version.labels.join(", ");
    let is_dead = !credential(report, version).may_be_used();
    let answer = if is_dead { "does not accept" } else { "does not say whether it accepts" };
    let found =
        format!("SES {answer} the credential of version {} ({labels}; access key {key}): {words}", version.version);
    let delete = is_dead.then(|| Way {
        when: format!(
            "if it is never accepted, and no host uses access key {key} (setSecret tells hosts only after SES accepted it)"
        ),
        command: Command::delete_key(&report.user, key),
    });
    Diagnosis::Person { found: found.into(), ways: std::iter::once(again()).chain(delete).collect() }
}

fn labels_are_crossed(report: &Report, reactivated: Option<&str>) -> Option<Diagnosis> {
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
                },
                Way {
                    when: "if every host uses AWSCURRENT".to_owned(),
                    command: move_between(report, DEPLOYING, deploying, current),
                },
            ],
        },
    })
}

/// Whether every host has confirmed the version's key.
fn is_told(report: &Report, version: &VersionReport) -> bool {
    report.labelled(TOLD).is_some_and(|told| told.key == version.key)
}

fn move_between(report: &Report, label: &str, from: &VersionReport, to: &VersionReport) -> Command {
    Command::move_label(&report.secret, label, Some(&from.version), Some(&to.version))
}

/// A rotation was given up after hosts may have been told of its credential.
fn told_but_not_current(report: &Report) -> Option<Diagnosis> {
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

/// AWSCURRENT names a key that not every host has confirmed: somebody moved AWSCURRENT, or an older version of the function told
/// the hosts. No old key is deleted until every host has confirmed. A credential that no rotation has made is none of ours.
fn not_every_host_is_told(report: &Report) -> Option<Diagnosis> {
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
    Some(match why_a_new_one_would_fail(report) {
        None => curable(format!("{found}: a rotation tells the hosts, without a new key"), Remedy::Rotate, []),
        Some(why) => person_about_next(report, Text::from(format!("{found}. A rotation would fail: ")).then(why)),
    })
}

fn orphan_takes_the_slot(report: &Report) -> Option<Diagnosis> {
    let why = why_a_new_one_would_fail(report).filter(|_| obstacle(report) == Some(Obstacle::NoSafeSlot))?;
    let orphan = report.keys.iter().find(|key| way_out(key) == Some(WayOut::RetireOrphan))?;
    let remedy = Remedy::DeleteOrphan { key: orphan.key.clone(), created: orphan.created.clone() };
    Some(curable(would_fail(why), remedy, []))
}

fn current_does_not_work(report: &Report) -> Option<Diagnosis> {
    let version = report.labelled(AWSCURRENT)?;
    let now = credential(report, version);
    let found = match now {
        Credential::Deleted(key) => format!("access key {key}, which AWSCURRENT names, is deleted"),
        Credential::Refused { words, .. } => {
            format!("SES does not accept the credential of AWSCURRENT{}: {words}", now.in_brackets())
        }
        Credential::Unclear { words, .. } => {
            let found = format!("SES gave no answer to the credential of AWSCURRENT{}: {words}", now.in_brackets());
            return Some(Diagnosis::Person { found: found.into(), ways: vec![again()] });
        }
        _ => return None,
    };
    let found = format!("{found}: a host that uses it cannot send");
    Some(match why_a_new_one_would_fail(report) {
        None => curable(found, Remedy::Rotate, []),
        Some(why) => person_about_next(report, Text::from(format!("{found}. A rotation would fail: ")).then(why)),
    })
}

/// Something else than the labels has to be corrected first. If it is only the grace, the clock does that in time.
fn rotation_would_fail(report: &Report, owed: Option<Owed>) -> Option<Diagnosis> {
    let why = why_a_new_one_would_fail(report)?;
    let until = refusal(report).and_then(|refusal| refusal.until.as_ref());
    // One that was given up is made then by hand or on schedule: the clock alone is in its way.
    let is_wanted = owed == Some(Owed::OnCreate) || report.overdue.is_some();
    // Dates in RFC 3339, in UTC and whole seconds: their order is that of the strings.
    let in_time = |until: &&String| report.next_rotation.as_ref().is_none_or(|next| *until < next);
    if let Some(until) = until.filter(|_| obstacle(report) == Some(Obstacle::NoSafeSlot) && !is_wanted).filter(in_time)
    {
        let note = format!("no rotation can run before {until}: until then neither access key may be deleted");
        let note = Text::from(note).then(owed.map_or_else(Text::default, |_| given_up_hint(report)));
        return Some(Diagnosis::Healthy { note: Some(note.then(leaked_hint(report))) });
    }
    let found = match (&report.overdue, &report.next_rotation) {
        (Some(overdue), _) => overdue.clone().then(". But ").then(would_fail(why)),
        (None, Some(next)) if until.is_some() => {
            Text::from(format!("the next rotation has to end by {next}, but ")).then(would_fail(why))
        }
        (None, _) => would_fail(why),
    };
    Some(person_about_next(report, found))
}

fn would_fail(why: Text) -> Text {
    Text::from("a rotation would fail: ").then(why)
}

fn rotation_is_due(report: &Report, owed: Option<Owed>) -> Option<Diagnosis> {
    let owed = owed.map(|owed| match owed {
        Owed::GivenUp => Text::from("the rotation that was given up still has to be made"),
        Owed::OnCreate => Text::from("no rotation has completed yet, and rotation.rotate_on_create asks for one"),
    });
    owed.or_else(|| report.overdue.clone()).map(|found| curable(found, Remedy::Rotate, []))
}

/// The function's own words say what to do; only the deployer's commands are added.
fn person_about_next(report: &Report, found: Text) -> Diagnosis {
    let leaked = report.keys.iter().find(|key| way_out(key) == Some(WayOut::Leaked)).map(|key| Way {
        when: format!(
            "if no host needs access key {} any more, or if it leaked: any host that still uses it stops sending",
            key.key
        ),
        command: Command::rotate_leaked(&key.key),
    });
    Diagnosis::Person { found, ways: std::iter::once(again()).chain(leaked).collect() }
}

/// After something else was corrected.
pub(crate) fn again() -> Way {
    Way { when: "once that is corrected".to_owned(), command: Command::deployer("recover") }
}

/// When the rotation is made that this run gave up.
fn given_up_hint(report: &Report) -> Text {
    let next = report.next_rotation.as_ref().map_or_else(String::new, |next| format!(", by {next}"));
    text![
        format!(". The rotation that was given up is made on schedule{next}; as soon as one can run, "),
        Command::deployer("rotate"),
        " makes it at once"
    ]
}

fn leaked_hint(report: &Report) -> Text {
    let key = report.keys.iter().find(|key| way_out(key) == Some(WayOut::Leaked));
    key.map_or_else(Text::default, |key| {
        text![format!("; if access key {} leaked, ", key.key), Command::rotate_leaked(&key.key), " deletes it now"]
    })
}

fn refusal(report: &Report) -> Option<&Refusal> {
    match &report.next {
        Next::Fail { refusal } => Some(refusal),
        _ => None,
    }
}

/// What is in the way of a rotation that begins now, or of the open one.
pub(crate) fn obstacle(report: &Report) -> Option<Obstacle> {
    refusal(report).map(|refusal| obstacle_of(refusal.kind))
}

/// Why a new rotation would fail, whatever becomes of the open one.
fn why_a_new_one_would_fail(report: &Report) -> Option<Text> {
    let refusal = refusal(report).filter(|refusal| obstacle_of(refusal.kind) != Obstacle::PendingVersion)?;
    let until = refusal.until.as_ref().map_or_else(String::new, |until| format!(" (it cannot run before {until})"));
    Some(refusal.in_full().then(until))
}

/// How the credential of a labelled version stands.
#[derive(Clone, Copy, Debug)]
enum Credential<'a> {
    None,
    /// Its key is deleted.
    Deleted(&'a str),
    /// Its key is Inactive.
    Inactive(&'a str),
    /// SES accepts it, or was not asked.
    Works(&'a str),
    /// SES refuses it for good, though its key is Active.
    Refused {
        key: &'a str,
        words: &'a str,
    },
    /// SES gave no answer that proves anything, though its key is Active.
    Unclear {
        key: &'a str,
        words: &'a str,
    },
}

impl Credential<'_> {
    /// Whether a host may be sending with it.
    fn may_be_used(self) -> bool {
        match self {
            Self::Works(_) | Self::Unclear { .. } => true,
            Self::None | Self::Deleted(_) | Self::Inactive(_) | Self::Refused { .. } => false,
        }
    }

    fn in_brackets(self) -> String {
        match self {
            Self::None => " (no credential)".to_owned(),
            Self::Deleted(key) => format!(" (access key {key}, deleted)"),
            Self::Inactive(key) => format!(" (access key {key}, Inactive)"),
            Self::Works(key) | Self::Refused { key, .. } | Self::Unclear { key, .. } => format!(" (access key {key})"),
        }
    }
}

fn credential<'a>(report: &'a Report, version: &'a VersionReport) -> Credential<'a> {
    let Some(key) = version.key.as_deref() else { return Credential::None };
    match (&version.login, report.keys.iter().find(|it| it.key == key)) {
        (Some(Login::Accepted), _) => Credential::Works(key),
        // IAM's list can be an old one: a key that it lacks is gone only if SES says so too, or was not asked.
        (Some(Login::Unclear(words)), None) => Credential::Unclear { key, words },
        (_, None) => Credential::Deleted(key),
        (_, Some(KeyReport { active: false, .. })) => Credential::Inactive(key),
        (Some(Login::Refused(words)), _) => Credential::Refused { key, words },
        (Some(Login::Unclear(words)), _) => Credential::Unclear { key, words },
        (None, _) => Credential::Works(key),
    }
}

fn has(version: &VersionReport, label: &str) -> bool {
    version.labels.iter().any(|it| it == label)
}

pub(crate) fn way_out(key: &KeyReport) -> Option<WayOut> {
    match &key.verdict {
        KeyVerdict::MustStay { way_out, .. } => *way_out,
        KeyVerdict::MayGo(_) => None,
    }
}

fn curable(found: impl Into<Text>, first: Remedy, then: impl IntoIterator<Item = Remedy>) -> Diagnosis {
    Diagnosis::Curable { found: found.into(), first, then: then.into_iter().collect() }
}
