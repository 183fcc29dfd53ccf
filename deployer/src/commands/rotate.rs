//! `deployer rotate`: rotates the credential now, and waits until it is done. It asks the function first whether that would
//! succeed, and starts nothing if not.

use contract::{AWSCURRENT, Command, KeyReport, KeyVerdict, Next, Report, Text, WayOut, text};

use super::{
    approve::approve,
    session::{Done, Session, Shown, for_each_deployment},
};
use crate::{
    cli::RotateArgs,
    error::{Error, ErrorKind},
    rotation::{
        diagnosis::{self, Diagnosis, Obstacle},
        function, watch,
    },
    screen::Screen,
};

pub(super) async fn run(screen: &Screen, args: &RotateArgs) -> Result<Done, Shown> {
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        let mut report = read(&session).await?;
        if args.end_grace && end_grace(&session, &report, args.auto_approve).await? {
            report = read(&session).await?;
        }
        session.fail(refusal(&session, &report).map_or(Ok(()), Err))?;
        rotate(&session, &report).await?;
        if let Some(note) = previous_key(&session, &report) {
            session.screen.note(note);
        }
        let secret = &session.deployment.names.secret;
        session.screen.done(&format!("Rotation complete: secret {secret} has a new credential."));
        Ok(Done::Changes)
    })
    .await
}

/// Rotating does not delete a leaked key at once; say so.
fn previous_key(session: &Session, before: &Report) -> Option<Text> {
    let current = before.versions.iter().find(|version| version.labels.iter().any(|label| label == AWSCURRENT))?;
    let key = current.key.as_ref()?;
    let hours = session.deployment.config.rotation.keep_previous.as_secs_f64() / 3600.0;
    Some(text![
        format!(
            "access key {key}, in use until now, is kept for {hours:.1} h more (rotation.keep_previous); if it leaked, "
        ),
        Command::deployer("rotate --end-grace"),
        " deletes it, and rotates again"
    ])
}

async fn read(session: &Session) -> Result<Report, Shown> {
    session.fail(function::report(&session.aws, &session.deployment, false).await)
}

/// Rotates, and watches to the end.
pub(super) async fn rotate(session: &Session, report: &Report) -> Result<(), Shown> {
    session.screen.note(forecast(report));
    let token = uuid::Uuid::new_v4().to_string();
    let rotated = session.with_events(async |events| {
        watch::start(&session.aws, &session.deployment.names, &token).await?;
        watch::watch(&session.aws, &session.deployment, &token, &events).await
    });
    session.fail(rotated.await)
}

/// What the rotation will do, in one line.
fn forecast(report: &Report) -> String {
    match &report.next {
        Next::MakeKey { frees } if frees.is_empty() => "the rotation makes an access key".to_owned(),
        Next::MakeKey { frees } => {
            let reason = |key: &String| {
                report.keys.iter().find(|it| it.key == *key).and_then(|it| match &it.verdict {
                    KeyVerdict::MayGo(reason) => Some(format!("{key}: {reason}")),
                    KeyVerdict::MustStay { .. } => None,
                })
            };
            let freed: Vec<_> = frees.iter().map(|key| reason(key).unwrap_or_else(|| key.clone())).collect();
            format!("the rotation makes an access key, and deletes {}", freed.join("; "))
        }
        Next::RollForward { version, key } => {
            format!(
                "the rotation makes no access key: it continues with {key} of version {version}, which hosts may know"
            )
        }
        Next::Resume { key } => {
            format!("the rotation makes no access key: it continues with {key}, which is stored already")
        }
        Next::Fail { refusal } => format!("the rotation would fail: {}: {}", refusal.kind, refusal.finding()),
    }
}

/// Why a rotation would not succeed, before it is started.
fn refusal(session: &Session, report: &Report) -> Option<Error> {
    let names = &session.deployment.names;
    if !report.rotation_enabled {
        let what = format!("the rotation of secret {} is not enabled", names.secret);
        return Some(Error::new(what).hint(text!["run ", Command::deployer("apply"), " first"]));
    }
    if let Some(pending) = &report.open {
        return Some(watch::open(names, pending));
    }
    let Next::Fail { refusal } = &report.next else { return None };
    let what = format!("a rotation of secret {} would fail, so none was started", names.secret);
    let mut error = Error::new(what).of_kind(ErrorKind::RotationFailed).refused(refusal);
    if let Some(until) = &refusal.until {
        error = error.hint(format!("it may run from {until} on"));
    }
    let end_grace = Command::deployer("rotate --end-grace");
    let is_named = refusal.next.iter().flat_map(Text::commands).any(|command| *command == end_grace);
    let way_out = match in_grace(report).next() {
        Some(_) if is_named => None,
        Some(key) => Some(text![
            format!("if access key {} leaked, ", key.key),
            end_grace,
            " deletes it now: any host that still uses it stops sending"
        ]),
        None => way_out(report),
    };
    Some(way_out.into_iter().fold(error, Error::hint))
}

/// The command that may make it succeed, beside those that the function names.
fn way_out(report: &Report) -> Option<Text> {
    let recover = Command::deployer("recover");
    match diagnosis::diagnose(report, false) {
        Diagnosis::Curable { first, .. } => Some(text![recover, format!(" offers to {}", first.sentence())]),
        Diagnosis::Person { ways, .. } if ways.len() > 1 => {
            Some(text![recover, " finds out which credentials work, and what there is to decide"])
        }
        Diagnosis::Person { .. } | Diagnosis::Healthy { .. } => None,
    }
}

/// Keys that only the grace keeps.
fn in_grace(report: &Report) -> impl Iterator<Item = &KeyReport> {
    report.keys.iter().filter(|key| diagnosis::way_out(key) == Some(WayOut::EndGrace))
}

/// Ends the grace of the previous key. Returns whether there was one.
async fn end_grace(session: &Session, report: &Report, auto_approve: bool) -> Result<bool, Shown> {
    let is_about_grace = diagnosis::obstacle(report) == Some(Obstacle::NoSafeSlot);
    if !is_about_grace {
        session.fail(refusal(session, report).map_or(Ok(()), Err))?;
    }
    let mut ended = false;
    for KeyReport { key, active, created, last_used, .. } in in_grace(report) {
        let state = if *active { "Active" } else { "Inactive" };
        let created = created.as_deref().unwrap_or("at an unknown date");
        let last_used = last_used.as_ref().map_or_else(|| "never used".to_owned(), |date| format!("last used {date}"));
        session.screen.note(format!(
            "access key {key} ({state}, made {created}, {last_used}) is in its grace. Ending the grace deletes the key now: any \
             host that still uses it stops sending"
        ));
        if !auto_approve {
            approve(session, &format!("End the grace of access key {key}?"), "rotate --end-grace", usize::from(ended))?;
        }
        session.fail(function::end_grace(&session.aws, &session.deployment, key).await)?;
        session.screen.note(format!("access key {key} is deleted"));
        ended = true;
    }
    if !ended {
        session.screen.note("there is no access key whose grace can be ended now");
    }
    Ok(ended)
}
