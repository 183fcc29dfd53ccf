//! What an operator wants to know first: is mail safe, and what needs a person. Pure: a status in, plain data out.

use std::time::{Duration, SystemTime};

use contract::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, Command, DEPLOYING, KeyReport, KeyVerdict, Report, TOLD, Text, text,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    date::{relative, with_distance},
    engine::op::{Address, ResourceKind},
    rotation::{
        diagnosis::{
            Credential, Diagnosis, Known, Obstacle, Way, credential, diagnose, first_credential,
            is_no_longer_in_the_way, left_open_by_an_edit, obstacle, unread, was_never_rotated,
        },
        log::LastSign,
        retirement,
    },
    sending::{MaySend, Refused},
    status::{CredentialStatus, Key, State, Status, of_apply},
};

#[cfg(test)]
mod tests;

/// A deployment at a glance.
#[derive(Debug)]
pub(crate) struct Overview {
    pub(crate) mail_is_safe: Safety,
    pub(crate) reason: Text,
    /// In the order in which a person asks.
    pub(crate) rows: Vec<Row>,
    /// What a person has to do or to know, with the commands.
    pub(crate) for_a_person: Vec<Text>,
}

/// Whether mail that is sent with the credential goes out, now and after the next rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Safety {
    Yes,
    /// Mail goes out now, as far as is known; a person has to look.
    Look,
    /// A host that uses AWSCURRENT's credential cannot send.
    No,
}

/// A question of an operator, and the answer in one or more lines.
#[derive(Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) subject: &'static str,
    pub(crate) lines: Vec<Text>,
}

/// `keep_inactive`: how long a superseded key is Inactive before it is deleted.
pub(crate) fn overview(status: &Status, keep_inactive: Duration, now: SystemTime) -> Overview {
    let (mut for_a_person, mut once_that_is_done) = (Vec::new(), Vec::new());
    let would_fail = would_fail(status, &mut for_a_person);
    let rotation = rotation(status, &mut for_a_person, &mut once_that_is_done);
    let resources = resources(status, &mut for_a_person, &mut once_that_is_done);
    // Without a deployment, no host and no address waits for anything: what a destroy leaves is told alone.
    let is_left = |note: &&Text| !nothing_is_deployed(status) || status.foreign.contains(note);
    for_a_person.extend(status.notes.iter().filter(is_left).cloned());
    let unread = match status.unread.as_slice() {
        [] => None,
        [error] => Some(Text::from(error.what.clone())),
        [error, others @ ..] => Some(format!("{}, and {} more (below)", error.what, others.len()).into()),
    };
    let notes = match for_a_person.len() + once_that_is_done.len() {
        0 => None,
        1 => Some(Text::from("1 point below needs a person")),
        count => Some(format!("{count} points below need a person").into()),
    };
    let stopped = status.report.as_ref().and_then(why_no_mail).or_else(|| refused(status, &mut for_a_person));
    let stopped = stopped.or_else(|| status.sender_is_refused.clone().map(Text::from));
    let reason = unread.or(would_fail).or(rotation).or(resources).or_else(|| doubt(status)).or(notes);
    let (mail_is_safe, reason) = match (stopped, reason) {
        (Some(stopped), _) => (Safety::No, stopped),
        (None, Some(reason)) => (Safety::Look, reason),
        (None, None) => (Safety::Yes, well(status)),
    };
    for_a_person.append(&mut once_that_is_done);
    Overview { mail_is_safe, reason, rows: rows(status, keep_inactive, now), for_a_person }
}

/// Why a host that uses AWSCURRENT's credential cannot send.
pub(crate) fn why_no_mail(report: &Report) -> Option<Text> {
    let labelled = report.labelled(AWSCURRENT);
    let Some(version) = labelled.filter(|version| version.key.is_some()) else {
        let why = match labelled.and_then(|version| version.problem.as_ref()) {
            // A program keeps its own credential there, and sends with it: nothing has rotated it.
            Some(_) if report.last_rotated.is_none() => return None,
            // A host that has the credential still sends with it.
            Some(_) if unread(report).is_some() => return None,
            Some(problem) => format!("the credential of AWSCURRENT cannot be read: {problem}"),
            None if report.last_rotated.is_some() => "AWSCURRENT holds no credential".to_owned(),
            None => "AWSCURRENT holds no credential: no rotation has completed".to_owned(),
        };
        return Some(why.into());
    };
    match credential(report, version) {
        // The function could not list the keys, or the list may be old.
        Credential::Deleted(_) if unread(report).is_some() => None,
        credential => credential.why_no_mail().map(Text::from),
    }
}

/// Why SES sends none of the user's mail. Adds what a person can do.
fn refused(status: &Status, for_a_person: &mut Vec<Text>) -> Option<Text> {
    let Refused { found, ways } = status.refused()?;
    // The sender's own note tells of an account that SES has stopped.
    let has_sender = |(address, _): &(Address, State)| address.kind == ResourceKind::Sender;
    if status.stopped.is_none() || !status.resources.iter().any(has_sender) {
        for_a_person.extend(ways.iter().cloned());
    }
    Some(found.clone())
}

/// Why SES may refuse the user's mail.
fn doubt(status: &Status) -> Option<Text> {
    match status.may_send.as_ref()? {
        MaySend::Doubtful(why) => Some(why.clone()),
        MaySend::Yes | MaySend::Unseen(_) | MaySend::No(_) => None,
    }
}

/// Why a rotation would fail at what no remedy of the rotation mends. Adds what a person has to do before all else.
fn would_fail(status: &Status, for_a_person: &mut Vec<Text>) -> Option<Text> {
    for_a_person.extend(status.would_fail.iter().flat_map(|error| error.hints.iter().cloned()));
    let first = status.would_fail.first()?;
    Some(format!("a rotation would fail: {}", first.what).into())
}

/// As [`why_no_mail`], if AWSCURRENT holds a credential: before the first rotation there is none, and nothing is wrong.
pub(crate) fn unusable(report: &Report) -> Option<Text> {
    report.labelled(AWSCURRENT)?.key.as_ref()?;
    why_no_mail(report)
}

/// What is wrong with the rotation. Adds what a person can do, and what only once something else is done.
fn rotation(status: &Status, for_a_person: &mut Vec<Text>, once_that_is_done: &mut Vec<Text>) -> Option<Text> {
    let Some(report) = &status.report else {
        // Else the resources say it.
        let is_deployed = is_deployed(&status.resources);
        return is_deployed.then(|| "the function does not say how the credential stands".into());
    };
    let recover = Command::deployer("recover");
    match (&status.credential.pending, &status.sign) {
        // It ends by itself, in one way or the other.
        (Some(_), Some(LastSign::Fresh | LastSign::Opened | LastSign::Tested)) => return None,
        (Some(version), Some(LastSign::Failure(failed))) => {
            let is_gone = is_no_longer_in_the_way(report, &failed.failure);
            if !is_gone {
                let since = if failed.is_old() { "unless somebody has done it since: " } else { "" };
                for_a_person.extend(failed.failure.next().iter().cloned().map(|step| Text::from(since).then(step)));
            }
            for_a_person.push(text![recover, " shows how the rotation stands, and takes it to its end"]);
            let found = format!("a rotation is open (version {version}), and {}", failed.sentence());
            let found = if is_gone { format!("{found}. A rotation would not fail at that now") } else { found };
            return Some(found.into());
        }
        (Some(version), None) => {
            for_a_person.push(text![recover, " shows how the rotation stands"]);
            return Some(format!("a rotation is open (version {version})").into());
        }
        (Some(_), Some(LastSign::Old)) | (None, _) => {}
    }
    match diagnose(report, Known::default()) {
        // Its error is among those of reading, with what to do.
        Diagnosis::Person { found, .. } if unread(report).is_some() => Some(found),
        Diagnosis::Healthy { .. } => {
            for_a_person.extend(first_credential(report));
            hosts_are_not_known(report)
        }
        Diagnosis::Curable { found, first, .. } => {
            for_a_person.push(first.offered());
            Some(found)
        }
        Diagnosis::Person { found, ways } => {
            let is_needed = |way: &Way| !way.waits || is_left_to_recover(report);
            let (waits, now): (Vec<_>, Vec<_>) = ways.into_iter().filter(is_needed).partition(|way| way.waits);
            for_a_person.extend(now.into_iter().map(told));
            once_that_is_done.extend(waits.into_iter().map(told));
            Some(found)
        }
    }
}

/// Without the label, nothing shows which credential the hosts have.
fn hosts_are_not_known(report: &Report) -> Option<Text> {
    let is_known = report.last_rotated.is_none() || report.hosts.is_empty() || report.labelled(TOLD).is_some();
    let found = "it is not known whether the hosts have the key in use (no version is labelled TOLD): the daily upkeep asks them";
    (!is_known).then(|| found.into())
}

/// Whether something is left to do once what is in the way of the next rotation was corrected. If only that is wrong, nothing is: Secrets
/// Manager rotates on schedule.
fn is_left_to_recover(report: &Report) -> bool {
    let next_alone = obstacle(report) == Some(Obstacle::Other) && why_no_mail(report).is_none();
    !next_alone || report.open.is_some() || report.overdue.is_some() || was_never_rotated(report)
}

fn told(Way { when, command, .. }: Way) -> Text {
    text![format!("{when}: "), command]
}

/// Which resources are not as declared, in one sentence.
fn resources(status: &Status, for_a_person: &mut Vec<Text>, once_that_is_done: &mut Vec<Text>) -> Option<Text> {
    let resources = &status.resources;
    let others = of_apply(resources).filter(|(_, state)| matches!(state, State::Missing | State::Differs)).count();
    if others == 0 {
        return None;
    }
    if nothing_is_deployed(status) {
        for_a_person.push(text![
            Command::deployer("plan"),
            " shows what would be deployed, and ",
            Command::deployer("apply"),
            " deploys it. After a destroy, nothing is left to do"
        ]);
        return Some("nothing is deployed".into());
    }
    let apply = text![
        Command::deployer("plan"),
        " shows the differences, and ",
        Command::deployer("apply"),
        " makes AWS as the file declares"
    ];
    // What could not be read or is refused, an apply meets too.
    if of_apply(resources).any(|(_, state)| *state == State::Unknown) {
        once_that_is_done.push(Text::from("once every resource can be read: ").then(apply));
    } else {
        for_a_person.push(apply);
    }
    let all = of_apply(resources).count();
    Some(if let Some(former) = &status.renamed_from {
        format!(
            "the file was not applied under its new name yet: deployment {former} rotates the credential until then"
        )
        .into()
    } else if is_deployed(resources) {
        let are = if others == 1 { "is" } else { "are" };
        format!("{others} of {all} resources {are} not as the file declares").into()
    } else {
        let are = if others == 1 { "is missing or differs" } else { "are missing or differ" };
        format!("nothing rotates the credential: {others} of {all} resources {are}").into()
    })
}

/// Whether no apply has begun, or a destroy has ended: what exists anyway may be there. A rotation whose first run is refused already is
/// not known to be there.
pub(crate) fn nothing_is_deployed(status: &Status) -> bool {
    let all = |kind, is: fn(&State) -> bool| {
        let mut of_kind = status.resources.iter().filter(move |(address, _)| address.kind == kind).peekable();
        of_kind.peek().is_some() && of_kind.all(|(_, state)| is(state))
    };
    let is_missing = |state: &State| *state == State::Missing;
    status.renamed_from.is_none()
        && all(ResourceKind::Function, is_missing)
        && all(ResourceKind::Record, is_missing)
        && all(ResourceKind::Rotation, |state| matches!(state, State::Missing | State::Unknown))
}

/// Whether there is a function.
fn is_deployed(resources: &[(Address, State)]) -> bool {
    !resources.iter().any(|(address, state)| address.kind == ResourceKind::Function && *state == State::Missing)
}

/// Why nobody has to look. A login takes seconds and counts as use of the key, so `status` makes none.
fn well(status: &Status) -> Text {
    let hosts = status.report.as_ref().map_or(0, |report| report.hosts.len());
    let told = if hosts == 0 { "" } else { " every host has confirmed it," };
    text![
        format!(
            "the access key in use is Active,{told} and the rotation is enabled. SES was not asked whether it accepts the key: "
        ),
        Command::deployer("doctor"),
        " asks"
    ]
}

fn rows(status: &Status, keep_inactive: Duration, now: SystemTime) -> Vec<Row> {
    let credential = &status.credential;
    let row = |subject, lines| Row { subject, lines };
    let date = |date: &String| with_distance(date, now);
    let none = if secret_is_unread(status) { "not known" } else { "never" };
    let last = credential.last_rotated.as_ref().map_or(none.to_owned(), date);
    let next = match &credential.next_rotation {
        None if secret_is_unread(status) => "not known".to_owned(),
        _ if !credential.rotation_enabled => "none: rotation is not enabled".to_owned(),
        Some(next) => format!("by {}", date(next)),
        None => "not scheduled".to_owned(),
    };
    let mentions = (!status.mentions.is_empty()).then(|| row("also", status.mentions.clone()));
    let mut rows = vec![row("last rotation", vec![last.into()])];
    rows.extend(open(status).map(|open| row("open now", vec![open])));
    rows.push(row("next rotation", vec![next.into()]));
    if let Some(report) = &status.report {
        let mut keys: Vec<_> = report.keys.iter().map(|key| (subject(report, key), key)).collect();
        keys.sort_by_key(|(subject, _)| *subject != IN_USE);
        rows.extend(keys.into_iter().map(|(subject, key)| {
            let stays = match &key.verdict {
                KeyVerdict::MustStay { reason, .. } if subject != IN_USE => Some(format!("stays: {reason}")),
                _ => None,
            };
            let fate = retirement::fate(key, keep_inactive).filter(|_| subject != IN_USE).or(stays);
            let of_key = describe(&key.key, key.active, key.created.as_ref(), &used(key, now), now);
            row(subject, std::iter::once(of_key).chain(fate.map(Text::from)).collect())
        }));
        rows.push(row("read by", readers(report)));
        rows.extend(mentions);
        return rows;
    }
    rows.extend(status.keys.iter().map(|Key { id, status, created, last_used }| {
        let used = last_used.as_ref().map_or("never used".to_owned(), |date| format!("used {}", relative(date, now)));
        row("access key", vec![describe(id, status == "Active", Some(created), &used, now)])
    }));
    if !status.unread.is_empty() {
        rows.push(row("not known", vec![NOT_KNOWN.into()]));
    }
    rows.extend(mentions);
    rows
}

/// Whether nothing is known of the secret's rotation, because it could not be read.
fn secret_is_unread(status: &Status) -> bool {
    let is_rotation =
        |(address, state): &(Address, State)| address.kind == ResourceKind::Rotation && *state == State::Unknown;
    let CredentialStatus { rotation_enabled, last_rotated, versions, .. } = &status.credential;
    !rotation_enabled && last_rotated.is_none() && versions.is_empty() && status.resources.iter().any(is_rotation)
}

/// What only the function knows.
const NOT_KNOWN: &str = "which key is in use, what becomes of each key, whether every host has the key in use, and whether a rotation would succeed";

const IN_USE: &str = "key in use";

/// What a key is, by the labels of the versions that name it.
fn subject(report: &Report, key: &KeyReport) -> &'static str {
    let is_labelled =
        |label: &str| report.labelled(label).is_some_and(|version| version.key.as_ref() == Some(&key.key));
    if is_labelled(AWSCURRENT) {
        IN_USE
    } else if is_labelled(AWSPENDING) || is_labelled(DEPLOYING) {
        "new key"
    } else if is_labelled(AWSPREVIOUS) {
        "previous key"
    } else if report.hides_a_key() {
        "access key"
    } else {
        "other key"
    }
}

fn used(key: &KeyReport, now: SystemTime) -> String {
    key.last_used.as_ref().map_or_else(|| key.last_use(), |date| format!("used {}", relative(date, now)))
}

fn describe(id: &str, active: bool, created: Option<&String>, used: &str, now: SystemTime) -> Text {
    let state = if active { "Active" } else { "Inactive" };
    let made = created.map_or("made at an unknown date".to_owned(), |date| format!("made {}", relative(date, now)));
    format!("{id} {state}, {made}, {used}").into()
}

/// What the pending version is for.
fn open(status: &Status) -> Option<Text> {
    let version = status.credential.pending.as_ref()?;
    if status.report.as_ref().is_some_and(|report| left_open_by_an_edit(report).is_some()) {
        return Some(format!("nothing: a completed rotation left AWSPENDING on version {version}").into());
    }
    Some(match &status.sign {
        Some(LastSign::Tested) => {
            format!("the configuration is being tested: version {version}; this rotates nothing, and ends by itself")
                .into()
        }
        Some(LastSign::Opened) => text![
            format!("a rotation was just opened, or the configuration is being tested: version {version}; "),
            Command::deployer("status"),
            " tells in a minute"
        ],
        Some(LastSign::Fresh) => format!("a rotation runs: version {version}").into(),
        Some(LastSign::Failure(_) | LastSign::Old) | None => {
            format!("a rotation is open, and no step of it is known to run: version {version}").into()
        }
    })
}

/// Who reads the credential, and what of it they have confirmed.
fn readers(report: &Report) -> Vec<Text> {
    if report.hosts.is_empty() {
        return vec!["no host is told: programs read AWSCURRENT themselves".into()];
    }
    let key = |label: &str| report.labelled(label).and_then(|version| version.key.as_ref());
    let told = match (key(AWSCURRENT), key(TOLD), key(DEPLOYING)) {
        (Some(current), Some(told), Some(deploying)) if current == told && told == deploying => {
            "told: has confirmed the key in use"
        }
        (Some(_), Some(_), Some(_)) => "not every host is told: it may have the key in use or the new one",
        _ if report.hides_a_key() => "it is not known which key it has: a value of the secret cannot be read or used",
        _ => "not known to be told: no host has confirmed the key in use",
    };
    let of_host = |host: &contract::HostReport| format!("{} {}, {told}", host.instance, host.status).into();
    report.hosts.iter().map(of_host).collect()
}
