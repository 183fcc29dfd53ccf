//! What `rotate`, `rotate --leaked` and `recover` share: whether a rotation would succeed, what it would do, and to start one and watch it to
//! its end.

use contract::{AWSCURRENT, Command, KeyReport, KeyVerdict, Next, Report, Text, text};

use super::{ended::Shown, session::Session, watched::watched};
use crate::{
    cli::{Patience, Watch},
    deployment::names::Names,
    error::{Error, ErrorKind},
    interrupt::{self, Draining},
    rotation::{
        diagnosis::{self, Diagnosis},
        function, watch,
    },
    would_fail,
};

/// The key that AWSCURRENT names.
pub(super) fn current_key(report: &Report) -> Option<&str> {
    report.labelled(AWSCURRENT)?.key.as_deref()
}

/// The function's report. A function of another secret is refused: the file was changed since the last apply, or is another one.
pub(super) async fn read(session: &Session) -> Result<Report, Shown> {
    let report =
        session.or_show(no_rotation_can_run(function::report(&session.aws, &session.deployment, false).await))?;
    session.or_show(check_secret(&session.deployment.names, &report)).map(|()| report)
}

/// A function that refuses to say how everything stands, or fails, takes no step either.
pub(super) fn no_rotation_can_run(asked: Result<Report, Error>) -> Result<Report, Error> {
    asked.map_err(|error| match error.kind() {
        ErrorKind::Refused => error.of_kind(ErrorKind::RotationFailed),
        // Its process failed. AWS's own errors, such as of a function that is not there, are what they are.
        ErrorKind::Failed if !error.cause_is_aws() => error.of_kind(ErrorKind::RotationFailed),
        _ => error,
    })
}

pub(super) fn check_secret(names: &Names, report: &Report) -> Result<(), Error> {
    if names.is_arn_of_secret(&report.secret) {
        return Ok(());
    }
    Err(Error::new(format!("function {} rotates another secret than the file names", names.function))
        .cause(format!("it rotates {}, and the file names {}", report.secret, names.secret))
        .hint("use the file as it was applied last, or apply the changed one first"))
}

/// Rotates, and watches to the end. Returns the version that is AWSCURRENT then.
///
/// A rotation must not begin while an apply changes what it runs on, so it begins under the lease. An apply that comes after that waits
/// for the end of the rotation by itself.
pub(super) async fn rotate(
    session: &Session,
    report: &Report,
    watch: Watch,
    Patience { lease_timeout }: Patience,
) -> Result<String, Shown> {
    let token = uuid::Uuid::new_v4().to_string();
    let draining = drain(session)?;
    let lease = session.take_lease("rotate", lease_timeout).await?;
    let started = async {
        if lease.waited {
            let fresh = read(session).await?;
            session.or_show(refusal(session, &fresh).map_or(Ok(()), Err))?;
            session.screen.note(forecast(&fresh));
        } else {
            session.screen.note(forecast(report));
        }
        let starting = session
            .with_events(async |events| watch::start(&session.aws, &session.deployment.names, &token, &events).await);
        session.or_show(starting.await)
    }
    .await;
    lease.give_up().await;
    drop(draining);
    started?;
    let (aws, deployment, retries) = (&session.aws, &session.deployment, watch.watch_retries);
    let watching = watched(session, async |events| watch::watch(aws, deployment, &token, retries, &events).await);
    watching.await.map_err(Shown::after_changes)?;
    Ok(token)
}

/// A signal ends the command once the lease is given up.
pub(super) fn drain(session: &Session) -> Result<Draining, Shown> {
    let screen = session.screen.clone();
    session.or_show(interrupt::drain(move || {
        screen.note("interrupted: what runs now is finished; a second signal ends the program at once");
    }))
}

/// What the rotation will do, in one line.
pub(super) fn forecast(report: &Report) -> String {
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
pub(super) fn refusal(session: &Session, report: &Report) -> Option<Error> {
    let names = &session.deployment.names;
    if !report.rotation_enabled {
        let what = format!("the rotation of secret {} is not enabled", names.secret);
        return Some(Error::new(what).hint(text!["run ", Command::deployer("apply"), " first"]));
    }
    if let Some(pending) = &report.open {
        return Some(watch::open(names, pending));
    }
    let Next::Fail { refusal } = &report.next else { return None };
    let mut error = none_was_started(session).of_kind(ErrorKind::RotationFailed).refused(refusal);
    if let Some(until) = &refusal.until {
        error = error.hint(format!("it cannot run before {until}"));
    }
    let hint = match in_grace(report).next().map(|key| (&key.key, Command::rotate_leaked(&key.key))) {
        Some((_, leaked)) if refusal.next.iter().flat_map(Text::commands).any(|command| *command == leaked) => None,
        Some((key, leaked)) => Some(text![
            format!("if access key {key} leaked, "),
            leaked,
            " deletes it now: any host that still uses it stops sending"
        ]),
        None => recover_hint(report),
    };
    Some(hint.into_iter().fold(error, Error::hint))
}

fn none_was_started(session: &Session) -> Error {
    Error::new(format!("a rotation of secret {} would fail, so none was started", session.deployment.names.secret))
}

/// Refuses a rotation that would fail at what the function cannot see.
pub(super) async fn check_its_way(session: &Session) -> Result<(), Error> {
    let found = would_fail::reasons(&session.aws, &session.deployment).await?;
    if found.is_empty() {
        return Ok(());
    }
    let causes: Vec<_> = found.iter().map(Error::in_one_line).collect();
    let error = none_was_started(session).of_kind(ErrorKind::RotationFailed).cause(causes.join("; "));
    Err(found.into_iter().flat_map(|error| error.hints).fold(error, Error::hint))
}

/// The command that may make it succeed, beside those that the function names.
fn recover_hint(report: &Report) -> Option<Text> {
    match diagnosis::diagnose(report, diagnosis::Known::default()) {
        Diagnosis::Curable { first, .. } => Some(first.offered()),
        Diagnosis::Person { ways, .. } if ways.len() > 1 => {
            Some(text![Command::deployer("recover"), " finds out which credentials work, and what there is to decide"])
        }
        Diagnosis::Person { .. } | Diagnosis::Healthy { .. } => None,
    }
}

/// Keys that only the grace keeps.
fn in_grace(report: &Report) -> impl Iterator<Item = &KeyReport> {
    report.keys.iter().filter(|key| key.only_its_grace_keeps_it())
}
