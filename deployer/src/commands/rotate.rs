//! `deployer rotate`: rotates the credential now, and waits until it is done. It asks first whether that would succeed,
//! and starts nothing where it would not.

use contract::{KeyReport, KeyVerdict, Next, Report, WayOut};

use crate::{
    cli::RotateArgs,
    commands::{
        Done, Session, Shown, for_each_deployment,
        run_plan::{approve, with_events},
    },
    engine::events::Event,
    error::Error,
    rotation::diagnosis::{self, Diagnosis, Obstacle},
    rotation::function,
    rotation::watch::{self, CURRENT},
    screen::Screen,
};

pub(super) async fn run(screen: Screen, args: &RotateArgs) -> Result<Done, Shown> {
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        let mut report = read(&session).await?;
        if args.end_grace && end_grace(&session, &report, args.auto_approve).await? {
            report = read(&session).await?;
        }
        session.fail(refusal(&session, &report).map_or(Ok(()), Err))?;
        rotate(&session, &report).await?;
        if let Some(note) = previous_key(&session, &report) {
            session.screen.event(&Event::Note(note));
        }
        screen.done(&format!("Rotation complete: secret {} has a new credential.", session.deployment.names.secret));
        Ok(Done::Changes)
    })
    .await
}

/// Who rotates because a key leaked may think that it is gone.
fn previous_key(session: &Session, before: &Report) -> Option<String> {
    let current = before.versions.iter().find(|version| version.labels.iter().any(|label| label == CURRENT))?;
    let key = current.key.as_ref()?;
    let hours = session.deployment.config.rotation.keep_previous.as_secs_f64() / 3600.0;
    let hint = session.named("`deployer rotate --end-grace` deletes it, and rotates again");
    Some(format!(
        "access key {key}, in use until now, is kept for {hours:.1} h more (rotation.keep_previous); if it leaked, {hint}"
    ))
}

async fn read(session: &Session) -> Result<Report, Shown> {
    session.fail(function::read(&session.aws, &session.deployment, false).await)
}

/// Rotates, and watches to the end.
pub(super) async fn rotate(session: &Session, report: &Report) -> Result<(), Shown> {
    session.screen.event(&Event::Note(forecast(report)));
    let token = uuid::Uuid::new_v4().to_string();
    let rotated = with_events(session, async |events| {
        watch::start(&session.aws, &session.deployment.names, &token).await?;
        watch::watch(&session.aws, &session.deployment, &token, &events).await
    });
    session.fail(rotated.await)
}

/// What the rotation will do, in one line.
fn forecast(report: &Report) -> String {
    match &report.next {
        Next::MakeKey { frees: None } => "the rotation makes an access key".to_owned(),
        Next::MakeKey { frees: Some(key) } => {
            let reason = report.keys.iter().find(|it| it.key == *key).and_then(|it| match &it.verdict {
                KeyVerdict::MayGo(reason) => Some(format!(": {reason}")),
                KeyVerdict::MustStay { .. } => None,
            });
            format!("the rotation makes an access key, and deletes {key} for it{}", reason.unwrap_or_default())
        }
        Next::RollForward { version, key } => {
            format!(
                "the rotation makes no access key: it goes on with {key} of version {version}, which hosts may know"
            )
        }
        Next::Resume { key } => {
            format!("the rotation makes no access key: it goes on with {key}, which is stored already")
        }
        Next::Fail { refusal } => format!("the rotation would fail: {}: {refusal}", refusal.kind),
    }
}

/// Why a rotation would not succeed, before it is started.
fn refusal(session: &Session, report: &Report) -> Option<Error> {
    let names = &session.deployment.names;
    if !report.rotation_enabled {
        let what = format!("the rotation of secret {} is not enabled", names.secret);
        return Some(Error::new(what).hint("run `deployer apply` first"));
    }
    if let Some(pending) = &report.open {
        return Some(watch::open(names, pending));
    }
    let found = diagnosis::refusal(report)?;
    let what = format!("a rotation of secret {} would fail, so none was started", names.secret);
    let refusal = Error::new(what).cause(format!("{}: {found}", found.kind));
    let until = found.until.as_ref().map(|until| format!("from {until} on it may run"));
    let hints: Vec<String> = until.into_iter().chain(way_out(report)).collect();
    Some(if hints.is_empty() { refusal } else { refusal.hint(hints.join("; ")) })
}

/// The command that may make it succeed.
fn way_out(report: &Report) -> Option<String> {
    if let Some(key) = in_grace(report).next() {
        return Some(format!(
            "if access key {} leaked, `deployer rotate --end-grace` deletes it now: any host that still uses it stops sending",
            key.key
        ));
    }
    match diagnosis::diagnose(report, false) {
        Diagnosis::Curable { first, .. } => Some(format!("`deployer recover` offers to {}", first.sentence())),
        Diagnosis::Person { ways, .. } if ways.len() > 1 => {
            Some("`deployer recover` finds out which credentials work, and what there is to decide".to_owned())
        }
        Diagnosis::Person { .. } | Diagnosis::Healthy { .. } => None,
    }
}

/// Keys that only the grace keeps.
fn in_grace(report: &Report) -> impl Iterator<Item = &KeyReport> {
    report.keys.iter().filter(|key| diagnosis::way_out(key) == Some(WayOut::EndGrace))
}

/// Ends the grace of the previous key. Answers whether there was one.
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
        session.screen.event(&Event::Note(format!(
            "access key {key} ({state}, made {created}, {last_used}) is in its grace. To end that is to delete it now: any \
             host that still uses it stops sending"
        )));
        if !auto_approve {
            approve(session, &format!("End the grace of access key {key}?"), "rotate --end-grace", usize::from(ended))?;
        }
        session.fail(function::end_grace(&session.aws, &session.deployment, key).await)?;
        session.screen.event(&Event::Note(format!("access key {key} is deleted")));
        ended = true;
    }
    if !ended {
        session.screen.event(&Event::Note("no access key is in its grace".to_owned()));
    }
    Ok(ended)
}
