//! The credential's rotation as Secrets Manager shows it: labels, dates, and the function's log.
//! Never a value: this program does not read secrets.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use serde::Deserialize;

use crate::{
    aws::Aws,
    error::{Error, FailedTo as _},
    events::{Event, Events, Progress, RotationEvent},
    stack::Deployment,
};

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";

/// Where the labels are and when the secret rotates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credential {
    pub(crate) rotation_enabled: bool,
    pub(crate) current: Option<String>,
    /// The version of an open rotation: it carries AWSPENDING and not AWSCURRENT.
    pub(crate) pending: Option<String>,
    pub(crate) last_rotated: Option<aws_smithy_types::DateTime>,
    pub(crate) next_rotation: Option<aws_smithy_types::DateTime>,
}

impl From<DescribeSecretOutput> for Credential {
    fn from(secret: DescribeSecretOutput) -> Self {
        let versions = secret.version_ids_to_stages.unwrap_or_default();
        let carrying = |label: &str| {
            versions.iter().find(|(_, labels)| labels.iter().any(|l| l == label)).map(|(version, _)| version.clone())
        };
        let current = carrying(CURRENT);
        Self {
            rotation_enabled: secret.rotation_enabled.unwrap_or_default(),
            pending: carrying(PENDING).filter(|pending| current.as_ref() != Some(pending)),
            current,
            last_rotated: secret.last_rotated_date,
            next_rotation: secret.next_rotation_date,
        }
    }
}

/// Reads the labels and dates.
pub(crate) async fn read(aws: &Aws, deployment: &Deployment) -> Result<Credential, Error> {
    let name = &deployment.names.secret;
    let answer = aws.secretsmanager.describe_secret().secret_id(name).send().await;
    answer.failed_to(|| format!("read secret {name}")).map(Credential::from)
}

/// Starts a rotation on request. `token` becomes the version's id.
pub(crate) async fn start(aws: &Aws, deployment: &Deployment, token: &str) -> Result<(), Error> {
    let name = &deployment.names.secret;
    let credential = read(aws, deployment).await?;
    if !credential.rotation_enabled {
        return Err(
            Error::new(format!("the rotation of secret {name} is not enabled")).hint("run `deployer apply` first")
        );
    }
    if let Some(pending) = credential.pending {
        return Err(Error::new(format!("a rotation of secret {name} is open"))
            .cause(format!("version {pending} carries AWSPENDING and is not AWSCURRENT"))
            .hint("wait for it: Secrets Manager tries it again by itself; `deployer status` shows where it is"));
    }
    let request = aws.secretsmanager.rotate_secret().secret_id(name).client_request_token(token);
    request.send().await.failed_to(|| format!("rotate secret {name}")).map(drop)
}

/// Waits until the version that a rotation makes is AWSCURRENT, or a step has failed.
///
/// RotateSecret answers 200 even where the rotation fails later, and no API tells the reason: the
/// function's log does.
///
/// # Errors
/// The step that failed, in the function's own words; no end in the time that the function may take.
pub(crate) async fn watch(aws: &Aws, deployment: &Deployment, token: &str, events: &Events) -> Result<(), Error> {
    events.say(Event::Rotation(RotationEvent::Started { version: token.to_owned() }));
    let started = Instant::now();
    let since = SystemTime::now() - CLOCK_SKEW;
    let limit = longest_rotation(deployment);
    let mut steps_told = 0;
    loop {
        let (credential, steps) = tokio::try_join!(read(aws, deployment), steps(aws, deployment, token, since))?;
        for step in steps.iter().skip(steps_told) {
            match &step.error {
                None => events.say(Event::Rotation(RotationEvent::StepFinished { step: step.step.clone() })),
                Some(error) => return Err(failed(deployment, step, error)),
            }
        }
        steps_told = steps_told.max(steps.len());
        if credential.current.as_deref() == Some(token) {
            let took_seconds = started.elapsed().as_secs_f64();
            events.say(Event::Rotation(RotationEvent::Completed { version: token.to_owned(), took_seconds }));
            return Ok(());
        }
        if started.elapsed() > limit {
            return Err(Error::new(format!("the rotation of secret {} did not end", deployment.names.secret))
                .cause(format!(
                    "version {token} is not AWSCURRENT after {} s, and no step reported an error",
                    limit.as_secs()
                ))
                .hint(format!(
                    "look at `aws logs tail {} --since 1h`; the credential in use is unchanged",
                    deployment.names.log_group
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
    let limit = longest_rotation(deployment);
    let since = SystemTime::now() - limit - CLOCK_SKEW;
    let started = Instant::now();
    loop {
        let Some(pending) = read(aws, deployment).await?.pending else { return Ok(()) };
        let steps = steps(aws, deployment, &pending, since).await?;
        let failure = steps.last().and_then(|step| step.error.as_ref().map(|error| (step, error)));
        let cause = match failure {
            Some((step, error)) => format!("it failed in {}: {error}: {}", step.step, step.message),
            None if started.elapsed() > limit => {
                format!("version {pending} is not AWSCURRENT after {} s", limit.as_secs())
            }
            None => {
                if started.elapsed() < POLL_EVERY {
                    progress.waiting(limit, &format!("a rotation is open (version {pending})"));
                }
                tokio::time::sleep(POLL_EVERY).await;
                continue;
            }
        };
        return Err(Error::new(format!("a rotation of secret {} is open", deployment.names.secret)).cause(cause).hint(
            "Secrets Manager tries it again by itself; to change what it runs on now, to mend it for one, add --during-rotation",
        ));
    }
}

/// Four steps, each at most the function's timeout; as a rule the four take seconds.
fn longest_rotation(deployment: &Deployment) -> Duration {
    deployment.config.function.timeout * 4
}

/// How often a running rotation is looked at.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How far the clocks of this machine and of AWS may differ when the log is searched.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

fn failed(deployment: &Deployment, step: &StepEnd, error: &str) -> Error {
    Error::new(format!("the rotation of secret {} failed in {}", deployment.names.secret, step.step))
        .cause(format!("{error}: {}", step.message))
        .hint(
            "the credential in use is unchanged; Secrets Manager tries the rotation again by itself. \
             Remove the cause, then watch `deployer status`",
        )
}

/// A line of the function's log that ends a step. The handler writes exactly one per step.
#[derive(Debug, Deserialize)]
struct StepEnd {
    rotation_id: String,
    step: String,
    /// The error's type; absent where the step succeeded.
    error: Option<String>,
    message: String,
}

/// The steps that have ended, in order.
async fn steps(aws: &Aws, deployment: &Deployment, token: &str, since: SystemTime) -> Result<Vec<StepEnd>, Error> {
    let group = &deployment.names.log_group;
    let since = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut pages = aws
        .logs
        .filter_log_events()
        .log_group_name(group)
        .filter_pattern(format!("\"{token}\""))
        .start_time(i64::try_from(since).unwrap_or_default())
        .into_paginator()
        .send();
    let mut steps = Vec::new();
    while let Some(page) = pages.next().await {
        let events = page.failed_to(|| format!("read log group {group}"))?.events.unwrap_or_default();
        steps.extend(events.into_iter().filter_map(|event| StepEnd::parse(&event.message?, token)));
    }
    Ok(steps)
}

impl StepEnd {
    /// Other lines of ours, and those of the platform, end no step.
    fn parse(line: &str, token: &str) -> Option<Self> {
        let step: Self = serde_json::from_str(line).ok()?;
        let ended = step.error.is_some() || step.message == contract::LOG_MESSAGE_FINISHED;
        (ended && step.rotation_id == token).then_some(step)
    }
}
