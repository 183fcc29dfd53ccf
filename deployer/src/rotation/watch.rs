//! The credential's rotation as Secrets Manager shows it: labels, dates, and the function's log.
//! Never a value: this program does not read secrets.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_smithy_types::DateTime;
use serde::Deserialize;

use crate::{
    aws::Aws,
    deployment::Deployment,
    deployment::names::Names,
    engine::events::{Event, Events, Progress, RotationEvent},
    error::{Error, FailedTo as _, absent_is_none},
};

/// AWS's label of the version in use.
pub(crate) const CURRENT: &str = "AWSCURRENT";
/// AWS's label of the version that is being rotated to.
pub(crate) const PENDING: &str = "AWSPENDING";
/// AWS's label of the version that was in use before.
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";

/// Where the labels are and when the secret rotates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credential {
    pub(crate) rotation_enabled: bool,
    /// Version → its labels; versions without one are left out.
    pub(crate) versions: BTreeMap<String, Vec<String>>,
    pub(crate) last_rotated: Option<DateTime>,
    pub(crate) next_rotation: Option<DateTime>,
    /// When anything about the secret changed last, the opening of a rotation included.
    pub(crate) last_changed: Option<DateTime>,
}

impl Credential {
    pub(crate) fn labelled(&self, label: &str) -> Option<&str> {
        let carries = |labels: &Vec<String>| labels.iter().any(|other| other == label);
        self.versions.iter().find(|(_, labels)| carries(labels)).map(|(version, _)| version.as_str())
    }

    pub(crate) fn current(&self) -> Option<&str> {
        self.labelled(CURRENT)
    }

    /// The version of an open rotation: it carries AWSPENDING and not AWSCURRENT.
    pub(crate) fn pending(&self) -> Option<&str> {
        self.labelled(PENDING).filter(|pending| self.current() != Some(pending))
    }
}

impl From<DescribeSecretOutput> for Credential {
    fn from(secret: DescribeSecretOutput) -> Self {
        Self {
            rotation_enabled: secret.rotation_enabled.unwrap_or_default(),
            versions: secret.version_ids_to_stages.unwrap_or_default().into_iter().collect(),
            last_rotated: secret.last_rotated_date,
            next_rotation: secret.next_rotation_date,
            last_changed: secret.last_changed_date,
        }
    }
}

/// Reads the labels and dates; none where there is no secret.
pub(crate) async fn read(aws: &Aws, names: &Names) -> Result<Option<Credential>, Error> {
    let answer = aws.secretsmanager.describe_secret().secret_id(&names.secret).send().await;
    let answer = answer.failed_to(|| format!("read secret {}", names.secret));
    Ok(absent_is_none(answer, &["ResourceNotFoundException"])?.map(Credential::from))
}

/// Starts a rotation on request. `token` becomes the version's id.
pub(crate) async fn start(aws: &Aws, names: &Names, token: &str) -> Result<(), Error> {
    let request = aws.secretsmanager.rotate_secret().secret_id(&names.secret).client_request_token(token);
    let Err(error) = request.send().await.failed_to(|| format!("rotate secret {}", names.secret)) else {
        return Ok(());
    };
    // The answer may be lost and the rotation open all the same; to start another would be wrong.
    let begun = read(aws, names).await?.is_some_and(|credential| credential.versions.contains_key(token));
    if begun { Ok(()) } else { Err(error) }
}

/// A rotation is open and stands in the way.
pub(crate) fn open(names: &Names, pending: &str) -> Error {
    Error::new(format!("a rotation of secret {} is open (version {pending})", names.secret)).hint(
        "`deployer recover` shows how it stands, and takes it to its end. Secrets Manager also tries it again by itself \
         during its window",
    )
}

/// Moves a label off a version, onto another one or nowhere. Safe to run again after its answer was lost: the call names
/// the version that the label leaves, and the labels tell whether it did.
pub(crate) async fn move_label(
    aws: &Aws,
    names: &Names,
    label: &str,
    from: &str,
    to: Option<&str>,
) -> Result<(), Error> {
    let request = aws.secretsmanager.update_secret_version_stage().secret_id(&names.secret).version_stage(label);
    let request = request.remove_from_version_id(from).set_move_to_version_id(to.map(str::to_owned));
    let moving = || format!("move the label {label} of secret {} off version {from}", names.secret);
    let Err(error) = request.send().await.failed_to(moving) else { return Ok(()) };
    let moved = read(aws, names).await?.is_some_and(|credential| credential.labelled(label) == to);
    if moved { Ok(()) } else { Err(error) }
}

/// Waits until a version is AWSCURRENT, or a step of its rotation has failed.
///
/// RotateSecret answers 200 even where the rotation fails later, and no API tells the reason: the
/// function's log does. The labels are the truth; without the log only the explanation is missing.
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
        let (credential, log) = tokio::join!(read(aws, names), read_log(aws, deployment, version));
        let log = log.unwrap_or_else(|error| {
            if !error.is_passing() && !log_is_missing {
                log_is_missing = true;
                events.say(Event::Note(format!("{}; only the labels are watched", error.in_one_line())));
            }
            RotationLog::default()
        });
        let credential = match credential {
            Ok(credential) => credential,
            Err(error) if error.is_passing() => None,
            Err(error) => return Err(Error { what: format!("{}; the rotation goes on", error.what), ..error }),
        };
        let is_current = credential.as_ref().is_some_and(|credential| credential.current() == Some(version));
        let is_pending = credential.as_ref().map(|credential| credential.pending() == Some(version));
        for end in log.ends.into_iter().filter(|end| told.insert(end.line.clone())) {
            match &end.error {
                // An earlier attempt's; a later one has made it.
                Some(_) if is_current => {}
                Some(error) => return Err(failed(names, &end, error)),
                None => events.say(Event::Rotation(RotationEvent::StepFinished { step: end.step })),
            }
        }
        if was_pending && !is_current && is_pending == Some(false) {
            return Err(Error::new(format!("the rotation of secret {} was given up", names.secret))
                .cause(format!("version {version} carries neither AWSPENDING nor AWSCURRENT: somebody moved a label"))
                .hint("look at `deployer status`; `deployer rotate` starts anew"));
        }
        was_pending |= is_pending == Some(true);
        if is_current {
            let took_seconds = started.elapsed().as_secs_f64();
            events.say(Event::Rotation(RotationEvent::Completed { version: version.to_owned(), took_seconds }));
            return Ok(());
        }
        if started.elapsed() > limit {
            return Err(Error::new(format!("the rotation of secret {} did not end", names.secret))
                .cause(format!(
                    "version {version} is not AWSCURRENT after {} s, and no step ended with an error",
                    limit.as_secs()
                ))
                .hint(format!(
                    "look at `aws logs tail {} --since 1h`; the credential in use is unchanged",
                    names.log_group
                )));
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// How an open rotation stands once no step of it runs.
#[derive(Debug)]
pub(crate) enum Standstill {
    /// No rotation is open.
    Closed,
    /// A step failed, and Secrets Manager has not tried again yet.
    Failed {
        /// The rotation's version.
        version: String,
        /// The step, and the function's own words.
        reason: String,
    },
    /// No step runs, and none has failed: Secrets Manager has stopped, or AWSCURRENT was moved back.
    Silent {
        /// The rotation's version.
        version: String,
    },
}

/// Waits while a step of a rotation runs. Secrets Manager does not tell; the function's log does.
pub(crate) async fn stand_still(aws: &Aws, deployment: &Deployment, progress: &Progress) -> Result<Standstill, Error> {
    let limit = longest_rotation(deployment);
    let started = Instant::now();
    let mut said = false;
    loop {
        let Some((version, last_sign)) = last_sign(aws, deployment).await? else { return Ok(Standstill::Closed) };
        match last_sign {
            LastSign::Failure(reason) => return Ok(Standstill::Failed { version, reason }),
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

/// The open rotation, and what it gave last to see of itself.
async fn last_sign(aws: &Aws, deployment: &Deployment) -> Result<Option<(String, LastSign)>, Error> {
    let credential = read(aws, &deployment.names).await?.unwrap_or_default();
    let Some(version) = credential.pending().map(str::to_owned) else { return Ok(None) };
    let log = absent_is_none(read_log(aws, deployment, &version).await, &["ResourceNotFoundException"])?;
    let sign = log.unwrap_or_default().last_sign(&credential, deployment.config.function.timeout);
    Ok(Some((version, sign)))
}

/// Watches an open rotation that this run did not start.
///
/// # Errors
/// As [`watch`]; and where no step of it runs and none has failed, since nothing would come of waiting.
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
/// The rotation failed and waits for Secrets Manager's next try, or takes longer than its steps may.
pub(crate) async fn wait_until_closed(aws: &Aws, deployment: &Deployment, progress: &Progress) -> Result<(), Error> {
    let (version, cause) = match stand_still(aws, deployment, progress).await? {
        Standstill::Closed => return Ok(()),
        Standstill::Failed { version, reason } => (version, format!("it failed in {reason}")),
        Standstill::Silent { version } => (version, NO_STEP_RUNS.to_owned()),
    };
    let mut error = open(&deployment.names, &version).cause(cause);
    error.hint = error.hint.map(|hint| format!("{hint}. To change now what it runs on, add --during-rotation"));
    Err(error)
}

/// Four steps, each at most the function's timeout; as a rule the four take seconds.
fn longest_rotation(deployment: &Deployment) -> Duration {
    deployment.config.function.timeout * 4
}

const NO_STEP_RUNS: &str = "no step of it runs, and none has failed";
/// The step after which AWSCURRENT has moved.
const LAST_STEP: &str = "finishSecret";
/// How often a running rotation is looked at.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// From the call that opens a rotation to the first line of its log: Secrets Manager invokes the function within seconds.
const FIRST_SIGN_WITHIN: Duration = Duration::from_mins(1);
/// How far back the log of a rotation is searched: longer than a window with its retries.
const LOG_SEARCHED: Duration = Duration::from_hours(7 * 24);

fn failed(names: &Names, end: &StepEnd, error: &str) -> Error {
    Error::new(format!("the rotation of secret {} failed in {}", names.secret, end.step))
        .cause(format!("{error}: {}", end.message))
        .hint(
            "the credential in use is unchanged. Remove the cause, then run `deployer recover`; Secrets Manager also tries \
             again by itself during its window",
        )
}

/// How a step ended. The handler writes exactly one line for it; where the process died, Lambda does.
#[derive(Debug, PartialEq)]
struct StepEnd {
    /// The whole line. It names its request, so no two are alike.
    line: String,
    step: String,
    /// The error's type; absent where the step succeeded.
    error: Option<String>,
    message: String,
}

/// A line of the handler's.
#[derive(Deserialize)]
struct Line {
    rotation_id: String,
    step: String,
    request_id: String,
    error: Option<String>,
    message: String,
}

/// What the log tells of one rotation.
#[derive(Debug, Default)]
struct RotationLog {
    /// Its steps that have ended, in order.
    ends: Vec<StepEnd>,
    /// When its last line was written, whether or not that line ends a step.
    last_line: Option<SystemTime>,
    /// Whether a step wrote a line after the last end: it has begun.
    has_begun_another: bool,
}

/// What a rotation gave last to see of itself.
#[derive(Debug, PartialEq, Eq)]
enum LastSign {
    /// A step failed, for this reason, and none has begun since.
    Failure(String),
    /// Something so lately that a step may be running.
    Fresh,
    /// Nothing for longer than a step may take, or its last step succeeded.
    Old,
}

impl RotationLog {
    fn last_sign(&self, credential: &Credential, longest_step: Duration) -> LastSign {
        if let Some(StepEnd { step, error: Some(error), message, .. }) =
            self.ends.last().filter(|_| !self.has_begun_another)
        {
            return LastSign::Failure(format!("{step}: {error}: {message}"));
        }
        let ended = self.ends.last().is_some_and(|end| end.step == LAST_STEP && end.error.is_none());
        if ended && !self.has_begun_another {
            // It completed, and somebody moved AWSCURRENT back.
            return LastSign::Old;
        }
        let opened = || credential.last_changed.and_then(|date| SystemTime::try_from(date).ok());
        let (since, limit) = match self.last_line {
            Some(line) => (Some(line), longest_step),
            None => (opened(), FIRST_SIGN_WITHIN),
        };
        // A clock that differs makes a time in the future, which is fresh.
        let is_fresh = since.is_some_and(|since| since.elapsed().unwrap_or_default() < limit);
        if is_fresh { LastSign::Fresh } else { LastSign::Old }
    }
}

/// A line of the log.
struct LogLine {
    at: Option<SystemTime>,
    text: String,
}

/// What the log tells of a rotation. Little but rotations logs there, so the lines are few and all are read: Lambda's own
/// lines do not name the rotation that they are about.
async fn read_log(aws: &Aws, deployment: &Deployment, version: &str) -> Result<RotationLog, Error> {
    let group = &deployment.names.log_group;
    let since = (SystemTime::now() - LOG_SEARCHED).duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut pages = aws
        .logs
        .filter_log_events()
        .log_group_name(group)
        .start_time(i64::try_from(since).unwrap_or_default())
        .into_paginator()
        .send();
    let mut lines = Vec::new();
    while let Some(page) = pages.next().await {
        let events = page.failed_to(|| format!("read log group {group}"))?.events.unwrap_or_default();
        lines.extend(events.into_iter().filter_map(|event| {
            let at = event.timestamp.map(|millis| Duration::from_millis(millis.try_into().unwrap_or_default()));
            Some(LogLine { at: at.map(|since| UNIX_EPOCH + since), text: event.message? })
        }));
    }
    Ok(rotation_log(lines, version))
}

/// Picks the lines about one rotation; they come in the order of their times.
fn rotation_log(lines: Vec<LogLine>, version: &str) -> RotationLog {
    let mut log = RotationLog::default();
    let mut invocations = BTreeMap::new();
    for LogLine { at, text: line } in lines {
        let end = match serde_json::from_str::<Line>(&line) {
            Ok(ours) if ours.rotation_id == version => {
                invocations.insert(ours.request_id, ours.step.clone());
                log.last_line = at;
                log.has_begun_another = true;
                let ends = ours.error.is_some() || ours.message == contract::LOG_MESSAGE_FINISHED;
                ends.then_some(StepEnd { line, step: ours.step, error: ours.error, message: ours.message })
            }
            Ok(_) => None,
            Err(_) => death(line, &invocations),
        };
        if let Some(end) = end {
            log.has_begun_another = false;
            log.ends.push(end);
        }
    }
    log
}

/// Lambda's words for a process that ended without its own line.
const DEATHS: [&str; 3] = ["Task timed out", "Runtime.ExitError", "Runtime exited"];

/// Lambda's line names the request, not the rotation; our own lines before it tie the two together.
fn death(line: String, invocations: &BTreeMap<String, String>) -> Option<StepEnd> {
    let (_, step) = invocations.iter().find(|(request, _)| line.contains(request.as_str()))?;
    DEATHS.iter().find(|death| line.contains(**death))?;
    let (error, message) = (Some("FunctionDied".to_owned()), line.trim().to_owned());
    Some(StepEnd { line, step: step.clone(), error, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line a second, the last of them now.
    fn log(lines: &[&str]) -> RotationLog {
        let now = SystemTime::now();
        let at = |ago: usize| Some(now - Duration::from_secs(ago.try_into().unwrap()));
        let lines = lines.iter().rev().enumerate().map(|(ago, line)| LogLine { at: at(ago), text: (*line).to_owned() });
        rotation_log(lines.rev().collect(), "v1")
    }

    fn ends(lines: &[&str]) -> Vec<(String, Option<String>)> {
        log(lines).ends.into_iter().map(|end| (end.step, end.error)).collect()
    }

    #[test]
    fn a_step_ends_with_the_handlers_one_line_and_those_of_other_rotations_do_not_count() {
        let ends = ends(&[
            "START RequestId: r1 Version: $LATEST",
            r#"{"level":"INFO","rotation_id":"v1","step":"createSecret","request_id":"r1","message":"made an access key"}"#,
            r#"{"level":"INFO","rotation_id":"v1","step":"createSecret","request_id":"r1","message":"step finished"}"#,
            r#"{"level":"ERROR","rotation_id":"v0","step":"setSecret","request_id":"r0","error":"HostsFailed","message":"m"}"#,
            r#"{"level":"ERROR","rotation_id":"v1","step":"setSecret","request_id":"r2","error":"HostsFailed","message":"m"}"#,
        ]);
        let expected = [("createSecret", None), ("setSecret", Some("HostsFailed"))];
        assert_eq!(ends, expected.map(|(step, error)| (step.to_owned(), error.map(str::to_owned))));
    }

    #[test]
    fn a_process_that_died_ends_the_step_that_its_request_was_about() {
        let ours = r#"{"level":"INFO","rotation_id":"v1","step":"setSecret","request_id":"r2","message":"a login was refused"}"#;
        let died = "2026-01-01T00:00:00Z r2 Task timed out after 300.00 seconds";
        assert_eq!(ends(&[ours, died]), [("setSecret".to_owned(), Some("FunctionDied".to_owned()))]);
        assert_eq!(ends(&[ours, "2026-01-01T00:00:00Z r9 Task timed out after 300.00 seconds"]), []);
        assert_eq!(ends(&[ours, "REPORT RequestId: r2 Duration: 1 ms"]), []);
    }

    const STEP: Duration = Duration::from_mins(5);

    fn changed(ago: Duration) -> Credential {
        Credential { last_changed: Some((SystemTime::now() - ago).into()), ..Credential::default() }
    }

    #[test]
    fn a_rotation_stands_still_when_its_last_step_failed_and_no_other_has_begun() {
        let line = |request: &str, rest: &str| {
            format!(r#"{{"rotation_id":"v1","step":"setSecret","request_id":"{request}",{rest}}}"#)
        };
        let failed = line("r1", r#""error":"HostsFailed","message":"m""#);
        let sign = |lines: &[&str]| log(lines).last_sign(&changed(STEP), STEP);
        assert_eq!(sign(&[&failed]), LastSign::Failure("setSecret: HostsFailed: m".to_owned()));
        assert_eq!(sign(&[&failed, "REPORT RequestId: r1"]), LastSign::Failure("setSecret: HostsFailed: m".to_owned()));
        assert_eq!(sign(&[&failed, &line("r2", r#""message":"a login was refused""#)]), LastSign::Fresh);
        assert_eq!(sign(&[&line("r1", r#""message":"step finished""#)]), LastSign::Fresh);
    }

    #[test]
    fn what_has_been_silent_for_longer_than_a_step_may_take_does_not_run() {
        let ours = r#"{"rotation_id":"v1","step":"setSecret","request_id":"r1","message":"a login was refused"}"#;
        let log = |ago| {
            let at = Some(SystemTime::now() - ago);
            rotation_log(vec![LogLine { at, text: ours.to_owned() }], "v1")
        };
        let second = Duration::from_secs(1);
        assert_eq!(log(STEP + second).last_sign(&changed(second), STEP), LastSign::Old);
        assert_eq!(log(second).last_sign(&changed(second), STEP), LastSign::Fresh);
    }

    #[test]
    fn a_rotation_whose_last_step_succeeded_does_not_run() {
        let line = |step: &str| {
            let end = contract::LOG_MESSAGE_FINISHED;
            log(&[&format!(r#"{{"rotation_id":"v1","step":"{step}","request_id":"r1","message":"{end}"}}"#)])
        };
        assert_eq!(line("finishSecret").last_sign(&changed(STEP), STEP), LastSign::Old);
        assert_eq!(line("testSecret").last_sign(&changed(STEP), STEP), LastSign::Fresh);
    }

    #[test]
    fn a_rotation_without_a_line_may_have_just_been_opened() {
        let sign = |ago| RotationLog::default().last_sign(&changed(ago), STEP);
        assert_eq!(sign(Duration::from_secs(1)), LastSign::Fresh);
        assert_eq!(sign(FIRST_SIGN_WITHIN + Duration::from_secs(1)), LastSign::Old);
    }

    #[test]
    fn a_rotation_is_open_while_awspending_is_on_another_version_than_awscurrent() {
        let credential = |versions: &[(&str, &[&str])]| Credential {
            versions: versions
                .iter()
                .map(|(id, labels)| ((*id).to_owned(), labels.iter().map(|label| (*label).to_owned()).collect()))
                .collect(),
            ..Credential::default()
        };
        assert_eq!(credential(&[("a", &[CURRENT]), ("b", &[PENDING])]).pending(), Some("b"));
        assert_eq!(credential(&[("a", &[CURRENT, PENDING])]).pending(), None);
        assert_eq!(credential(&[("a", &[CURRENT])]).pending(), None);
    }
}
