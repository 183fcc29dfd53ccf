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
    error::{Error, FailedTo as _, absent_is_none},
    events::{Event, Events, Progress, RotationEvent},
    names::Names,
    stack::Deployment,
};

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";

/// Where the labels are and when the secret rotates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credential {
    pub(crate) rotation_enabled: bool,
    /// Version → its labels; versions without one are left out.
    pub(crate) versions: BTreeMap<String, Vec<String>>,
    pub(crate) last_rotated: Option<DateTime>,
    pub(crate) next_rotation: Option<DateTime>,
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
pub(crate) async fn start(aws: &Aws, deployment: &Deployment, token: &str) -> Result<(), Error> {
    let names = &deployment.names;
    let credential = read(aws, names).await?.filter(|credential| credential.rotation_enabled).ok_or_else(|| {
        Error::new(format!("the rotation of secret {} is not enabled", names.secret)).hint("run `deployer apply` first")
    })?;
    if let Some(pending) = credential.pending() {
        let cause = format!("version {pending} carries AWSPENDING and is not AWSCURRENT");
        return Err(open(names, pending).cause(cause));
    }
    let request = aws.secretsmanager.rotate_secret().secret_id(&names.secret).client_request_token(token);
    let Err(error) = request.send().await.failed_to(|| format!("rotate secret {}", names.secret)) else {
        return Ok(());
    };
    // The answer may be lost and the rotation open all the same; to start another would be wrong.
    let begun = read(aws, names).await?.is_some_and(|credential| credential.versions.contains_key(token));
    if begun { Ok(()) } else { Err(error) }
}

/// A rotation is open and stands in the way.
fn open(names: &Names, pending: &str) -> Error {
    Error::new(format!("a rotation of secret {} is open", names.secret)).hint(format!(
        "Secrets Manager tries it again by itself during its window; `deployer status` shows where it is. To give it up: \
         {}",
        clear_command(names, pending)
    ))
}

/// Safe at any moment: the label DEPLOYING goes on protecting the key that hosts may have been told of.
fn clear_command(names: &Names, pending: &str) -> String {
    format!(
        "aws secretsmanager update-secret-version-stage --secret-id {} --version-stage AWSPENDING \
         --remove-from-version-id {pending}",
        names.secret
    )
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
            Vec::new()
        });
        let credential = match credential {
            Ok(credential) => credential,
            Err(error) if error.is_passing() => None,
            Err(error) => return Err(Error { what: format!("{}; the rotation goes on", error.what), ..error }),
        };
        let is_current = credential.as_ref().is_some_and(|credential| credential.current() == Some(version));
        let is_pending = credential.as_ref().map(|credential| credential.pending() == Some(version));
        for end in log.into_iter().filter(|end| told.insert(end.line.clone())) {
            match &end.error {
                // An earlier attempt's; a later one has made it.
                Some(_) if is_current => {}
                Some(error) => return Err(failed(names, version, &end, error)),
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

/// Waits until no rotation is open, so that what it runs on does not change under it.
///
/// # Errors
/// The rotation failed and waits for Secrets Manager's next try, or takes longer than its steps may.
pub(crate) async fn wait_until_closed(aws: &Aws, deployment: &Deployment, progress: &Progress) -> Result<(), Error> {
    let names = &deployment.names;
    let limit = longest_rotation(deployment);
    let started = Instant::now();
    let mut said = false;
    loop {
        let credential = read(aws, names).await?;
        let Some(pending) = credential.as_ref().and_then(Credential::pending) else { return Ok(()) };
        let log = read_log(aws, deployment, pending).await?;
        let refused = |cause: String| {
            let mut error = open(names, pending).cause(cause);
            error.hint = error.hint.map(|hint| format!("{hint}. To change now what it runs on, add --during-rotation"));
            error
        };
        if let Some((end, error)) = log.last().and_then(|end| Some((end, end.error.as_ref()?))) {
            return Err(refused(format!("it failed in {}: {error}: {}", end.step, end.message)));
        }
        if started.elapsed() > limit {
            return Err(refused(format!("version {pending} is not AWSCURRENT after {} s", limit.as_secs())));
        }
        if !said {
            progress.waiting(limit, &format!("a rotation is open (version {pending})"));
            said = true;
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// Four steps, each at most the function's timeout; as a rule the four take seconds.
fn longest_rotation(deployment: &Deployment) -> Duration {
    deployment.config.function.timeout * 4
}

/// How often a running rotation is looked at.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How far back the log of a rotation is searched: longer than a window with its retries.
const LOG_SEARCHED: Duration = Duration::from_hours(7 * 24);

fn failed(names: &Names, version: &str, end: &StepEnd, error: &str) -> Error {
    Error::new(format!("the rotation of secret {} failed in {}", names.secret, end.step))
        .cause(format!("{error}: {}", end.message))
        .hint(format!(
            "the credential in use is unchanged. Remove the cause; Secrets Manager then tries again by itself during its \
             window, and `deployer status` shows it. To start anew instead: {}, then `deployer rotate`",
            clear_command(names, version)
        ))
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

/// The steps of a rotation that have ended, in order. Nothing but rotations logs there, so the lines are few and all are
/// read: Lambda's own lines do not name the rotation that they are about.
async fn read_log(aws: &Aws, deployment: &Deployment, version: &str) -> Result<Vec<StepEnd>, Error> {
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
        lines.extend(events.into_iter().filter_map(|event| event.message));
    }
    Ok(step_ends(lines, version))
}

/// Picks the lines that end a step of one rotation; they come in the order of their times.
fn step_ends(lines: Vec<String>, version: &str) -> Vec<StepEnd> {
    let mut ends = Vec::new();
    let mut invocations = BTreeMap::new();
    for line in lines {
        match serde_json::from_str::<Line>(&line) {
            Ok(ours) if ours.rotation_id == version => {
                invocations.insert(ours.request_id, ours.step.clone());
                if ours.error.is_some() || ours.message == contract::LOG_MESSAGE_FINISHED {
                    ends.push(StepEnd { line, step: ours.step, error: ours.error, message: ours.message });
                }
            }
            Ok(_) => {}
            Err(_) => ends.extend(death(line, &invocations)),
        }
    }
    ends
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

    fn ends(lines: &[&str]) -> Vec<(String, Option<String>)> {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        step_ends(lines, "v1").into_iter().map(|end| (end.step, end.error)).collect()
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
