//! Starts a rotation, and watches one to its end.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use contract::{Command, Text, text};

use crate::{
    aws::Aws,
    deployment::{Deployment, names::Names},
    engine::events::{Event, Events, Progress, RotationEvent},
    error::{Error, ErrorKind, FailedTo as _, absent_is_none},
    rotation::{
        labels,
        log::{self, Failure, LastSign, RotationLog},
    },
};

/// How often a running rotation is observed.
const POLL_EVERY: Duration = Duration::from_secs(1);

const NO_STEP_RUNS: &str = "no step of it runs, and none has failed";

/// Starts a rotation on request. `token` becomes the version's id.
pub(crate) async fn start(aws: &Aws, names: &Names, token: &str) -> Result<(), Error> {
    let request = aws.secretsmanager.rotate_secret().secret_id(&names.secret).client_request_token(token);
    let Err(error) = request.send().await.failed_to(|| format!("rotate secret {}", names.secret)) else {
        return Ok(());
    };
    // The answer may be lost and the rotation open all the same; to start another one would be wrong.
    let begun = labels::read(aws, &names.secret).await?.is_some_and(|labels| labels.versions.contains_key(token));
    if begun { Ok(()) } else { Err(error) }
}

/// A rotation is open and in the way.
pub(crate) fn open(names: &Names, pending: &str) -> Error {
    Error::new(format!("a rotation of secret {} is open (version {pending})", names.secret))
        .of_kind(ErrorKind::RotationOpen)
        .hint(text![
            Command::deployer("recover"),
            " shows its state and takes it to its end. Secrets Manager also tries it again by itself during its window"
        ])
}

/// Waits until a version is AWSCURRENT, or a step of its rotation has failed.
///
/// RotateSecret returns 200 even if the rotation fails later, and no API tells the reason: the function's log does. The
/// labels are the truth; without the log only the explanation is missing.
///
/// # Errors
/// The step that failed, in the function's own words; no end in the time that the function may take.
pub(crate) async fn watch(aws: &Aws, deployment: &Deployment, version: &str, events: &Events) -> Result<(), Error> {
    events.say(Event::Rotation(RotationEvent::Started { version: version.to_owned() }));
    let names = &deployment.names;
    let started = Instant::now();
    let limit = longest_rotation(deployment);
    let mut told = BTreeSet::new();
    let mut log_is_missing = false;
    let mut was_pending = false;
    loop {
        let (labels, log) = tokio::join!(labels::read(aws, &names.secret), log::read(aws, &names.log_group, version));
        let log = log.unwrap_or_else(|error| {
            if !error.is_passing() && !log_is_missing {
                log_is_missing = true;
                events.say(Event::Note(format!("{}; only the labels are watched", error.in_one_line()).into()));
            }
            RotationLog::default()
        });
        let labels = match labels {
            Ok(labels) => labels,
            Err(error) if error.is_passing() => None,
            Err(error) => return Err(Error { what: format!("{}; the rotation continues", error.what), ..error }),
        };
        let is_current = labels.as_ref().is_some_and(|labels| labels.current() == Some(version));
        let is_pending = labels.as_ref().map(|labels| labels.pending() == Some(version));
        for end in log.ends.into_iter().filter(|end| told.insert(end.line.clone())) {
            match &end.failure {
                // An earlier attempt's; a later one has succeeded.
                Some(_) if is_current => {}
                Some(failure) => return Err(failed(names, &end.step, failure)),
                None => events.say(Event::Rotation(RotationEvent::StepFinished { step: end.step })),
            }
        }
        if was_pending && !is_current && is_pending == Some(false) {
            return Err(given_up(names, version));
        }
        was_pending |= is_pending == Some(true);
        if is_current {
            let took = started.elapsed();
            events.say(Event::Rotation(RotationEvent::Completed { version: version.to_owned(), took }));
            return Ok(());
        }
        if started.elapsed() > limit {
            return Err(did_not_end(names, version, limit));
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

fn failed(names: &Names, step: &str, failure: &Failure) -> Error {
    let error = Error::new(format!("the rotation of secret {} failed in {step}", names.secret));
    failure.cause_of(error.of_kind(ErrorKind::RotationFailed)).hint(text![
        "the credential in use is unchanged. Remove the cause, then run ",
        Command::deployer("recover"),
        "; Secrets Manager also tries again by itself during its window"
    ])
}

fn given_up(names: &Names, version: &str) -> Error {
    Error::new(format!("the rotation of secret {} was given up", names.secret))
        .of_kind(ErrorKind::RotationFailed)
        .cause(format!("version {version} carries neither AWSPENDING nor AWSCURRENT: somebody moved a label"))
        .hint(text![
            Command::deployer("status"),
            " shows the labels; ",
            Command::deployer("rotate"),
            " starts a new rotation"
        ])
}

fn did_not_end(names: &Names, version: &str, limit: Duration) -> Error {
    Error::new(format!("the rotation of secret {} did not end", names.secret))
        .of_kind(ErrorKind::RotationFailed)
        .cause(format!(
            "version {version} is not AWSCURRENT after {} s, and no step ended with an error",
            limit.as_secs()
        ))
        .hint(text![
            "read the function's log (",
            Command::aws(&["logs", "tail", &names.log_group, "--since", "1h", "--region", names.region()]),
            "); the credential in use is unchanged"
        ])
}

/// How an open rotation stands once no step of it runs.
#[derive(Debug)]
pub(crate) enum Standstill {
    /// No rotation is open.
    Closed,
    /// A step failed, and Secrets Manager has not tried again yet.
    Failed { version: String, step: String, failure: Failure },
    /// No step runs, and none has failed: Secrets Manager has stopped, or AWSCURRENT was moved back.
    Silent { version: String },
}

/// Waits while a step of a rotation runs. Secrets Manager does not tell; the function's log does.
pub(crate) async fn stand_still(aws: &Aws, deployment: &Deployment, progress: &Progress) -> Result<Standstill, Error> {
    let limit = longest_rotation(deployment);
    let started = Instant::now();
    let mut said = false;
    loop {
        let Some((version, last_sign)) = last_sign(aws, deployment).await? else { return Ok(Standstill::Closed) };
        match last_sign {
            LastSign::Failure { step, failure } => return Ok(Standstill::Failed { version, step, failure }),
            LastSign::Fresh if started.elapsed() < limit => {}
            LastSign::Fresh | LastSign::Old => return Ok(Standstill::Silent { version }),
        }
        if !said {
            progress.waiting(limit, &format!("a rotation runs (version {version})"));
            said = true;
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// The open rotation, and the last sign that it gave of itself.
async fn last_sign(aws: &Aws, deployment: &Deployment) -> Result<Option<(String, LastSign)>, Error> {
    let names = &deployment.names;
    let labels = labels::read(aws, &names.secret).await?.unwrap_or_default();
    let Some(version) = labels.pending().map(str::to_owned) else { return Ok(None) };
    let log = absent_is_none(log::read(aws, &names.log_group, &version).await, &["ResourceNotFoundException"])?;
    let sign = log.unwrap_or_default().last_sign(&labels, deployment.config.function.timeout);
    Ok(Some((version, sign)))
}

/// Watches an open rotation that this run did not start.
///
/// # Errors
/// As [`watch`]; and if no step of it runs and none has failed, since nothing would come of waiting.
pub(crate) async fn watch_open(
    aws: &Aws,
    deployment: &Deployment,
    version: &str,
    events: &Events,
) -> Result<(), Error> {
    match last_sign(aws, deployment).await? {
        Some((version, LastSign::Old)) => Err(open(&deployment.names, &version).cause(NO_STEP_RUNS)),
        _ => watch(aws, deployment, version, events).await,
    }
}

/// Waits until no rotation is open, so that what it runs on does not change under it.
///
/// # Errors
/// The rotation failed and waits for Secrets Manager's next attempt, or takes longer than its steps may.
pub(crate) async fn wait_until_closed(aws: &Aws, deployment: &Deployment, progress: &Progress) -> Result<(), Error> {
    let error = match stand_still(aws, deployment, progress).await? {
        Standstill::Closed => return Ok(()),
        Standstill::Failed { version, step, failure } => {
            let error = open(&deployment.names, &version).cause(format!("it failed in {step}: {}", failure.finding()));
            failure.next().iter().cloned().fold(error, Error::hint)
        }
        Standstill::Silent { version } => open(&deployment.names, &version).cause(NO_STEP_RUNS),
    };
    Err(error.hint(Text::from("to change now what it runs on, add --during-rotation")))
}

/// Four steps, each at most the function's timeout; usually all four take seconds.
fn longest_rotation(deployment: &Deployment) -> Duration {
    deployment.config.function.timeout * 4
}
