//! Starts a rotation, and watches one to its end.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use contract::{Command, text};

use crate::{
    aws::Aws,
    deployment::{Deployment, names::Names},
    engine::events::{Event, Events, Progress, RotationEvent},
    error::{Error, ErrorKind, FailedTo as _, absent_is_none},
    rotation::{
        diagnosis::left_open_by_an_edit,
        function,
        labels::{self, Labels},
        log::{self, FailedStep, Failure, LastSign, RotationLog, StepEnd, StepSays},
    },
};

/// How often a running rotation is observed.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How long Secrets Manager may answer from before the last change: it caches what it reads.
const STALE_FOR: Duration = Duration::from_secs(20);
/// How long the log's last line may come after the move of AWSCURRENT. Without it, the last step would not be shown.
const LOG_IS_LATE_BY: Duration = Duration::from_secs(5);

const NO_STEP_RUNS: &str = "no step of it runs, and none has failed";

/// Starts a rotation on request. `token` becomes the version's id.
pub(crate) async fn start(aws: &Aws, names: &Names, token: &str, events: &Events) -> Result<(), Error> {
    let request = aws.secretsmanager.rotate_secret().secret_id(&names.secret).client_request_token(token);
    if let Err(error) = request.send().await.failed_to(|| format!("rotate secret {}", names.secret)) {
        // The answer may be lost and the rotation open all the same; to start another one would be wrong.
        let may_have_begun = error.is_ambiguous() || error.is("InvalidRequestException", "isn't complete");
        if !may_have_begun || !has_begun(aws, names, token).await? {
            return Err(if error.is("AccessDeniedException", "invoke the specified Lambda function") {
                error.hint(text![
                    "run ",
                    Command::deployer("apply"),
                    " to let Secrets Manager invoke the function again"
                ])
            } else {
                error
            });
        }
    }
    events.say(Event::Rotation(RotationEvent::Started { version: token.to_owned() }));
    Ok(())
}

/// Whether a version of this id carries a label, or does while Secrets Manager may answer from before.
pub(crate) async fn has_begun(aws: &Aws, names: &Names, token: &str) -> Result<bool, Error> {
    let deadline = Instant::now() + STALE_FOR;
    loop {
        if labels::read(aws, &names.secret).await?.is_some_and(|labels| labels.versions.contains_key(token)) {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// A rotation is open and in the way.
pub(crate) fn open(names: &Names, pending: &str) -> Error {
    Error::new(format!("a rotation of secret {} is open (version {pending})", names.secret))
        .of_kind(ErrorKind::RotationOpen)
        .hint(text![
            "if a step of it runs, wait: ",
            Command::deployer("status"),
            " says so. Else ",
            Command::deployer("recover"),
            " shows its state and takes it to its end. Secrets Manager also tries it again by itself during its window"
        ])
}

/// Waits until a version is AWSCURRENT, or an attempt of its rotation has failed and no later one succeeds.
///
/// Secrets Manager tries a rotation that failed again by itself, so a failed attempt is not the end: it is told, and the rotation
/// is watched for `retries` more. RotateSecret returns 200 even if the rotation fails later, and no API tells the reason: the
/// function's log does. The labels are the truth; without the log only the explanation is missing.
///
/// # Errors
/// The newest attempt's failure, in the function's own words; no end in the time that the function may take.
pub(crate) async fn watch(
    aws: &Aws,
    deployment: &Deployment,
    version: &str,
    retries: Duration,
    events: &Events,
) -> Result<(), Error> {
    let limit = deployment.config.function.longest_rotation() + retries;
    let mut watched = Watched::new(&deployment.names, version, retries, events);
    loop {
        let (labels, log) = watched.read(aws).await?;
        let outcome = watched.outcome(labels.as_ref(), &log);
        watched.show(&log, outcome.is_some());
        if let Some(outcome) = outcome {
            if outcome.is_ok() {
                let (version, took) = (watched.version, watched.started.elapsed());
                events.say(Event::Rotation(RotationEvent::Completed { version, took }));
            }
            return outcome;
        }
        watched.follow(labels.as_ref())?;
        if watched.started.elapsed() > limit {
            return Err(did_not_end(watched.names, &watched.version, limit));
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// A rotation that is watched, and what was seen of it.
struct Watched<'a> {
    names: &'a Names,
    events: &'a Events,
    /// For how long the rotation is watched after its first failure.
    retries: Duration,
    /// The version that it makes.
    version: String,
    started: Instant,
    /// The lines of the ended steps that were shown.
    shown_ends: BTreeSet<String>,
    /// How many of the lines of what the steps say were shown.
    shown_says: usize,
    log_is_missing: bool,
    was_pending: bool,
    first_failure: Option<Instant>,
    /// Since when the version has no label.
    without_label: Option<Instant>,
    /// Since when the version is AWSCURRENT.
    current_since: Option<Instant>,
}

impl<'a> Watched<'a> {
    fn new(names: &'a Names, version: &str, retries: Duration, events: &'a Events) -> Self {
        Self {
            names,
            events,
            retries,
            version: version.to_owned(),
            started: Instant::now(),
            shown_ends: BTreeSet::new(),
            shown_says: 0,
            log_is_missing: false,
            was_pending: false,
            first_failure: None,
            without_label: None,
            current_since: None,
        }
    }

    /// The labels, none if they cannot be read at the moment, and the log.
    async fn read(&mut self, aws: &Aws) -> Result<(Option<Labels>, RotationLog), Error> {
        let names = self.names;
        let (labels, log) =
            tokio::join!(labels::read(aws, &names.secret), log::read(aws, &names.log_group, &self.version));
        let log = log.unwrap_or_else(|error| {
            if !error.is_passing() && !self.log_is_missing {
                self.log_is_missing = true;
                self.events.say(Event::Note(format!("{}; only the labels are watched", error.in_one_line()).into()));
            }
            RotationLog::default()
        });
        match labels {
            Ok(labels) => Ok((Some(labels.unwrap_or_default()), log)),
            Err(error) if error.is_passing() => Ok((None, log)),
            Err(error) => Err(Error { what: format!("{}; the rotation continues", error.what), ..error }),
        }
    }

    /// How the rotation ended; none while it goes on.
    fn outcome(&mut self, labels: Option<&Labels>, log: &RotationLog) -> Option<Result<(), Error>> {
        if labels.is_some_and(|labels| labels.current() == Some(&*self.version)) {
            let seen = self.current_since.get_or_insert_with(Instant::now).elapsed();
            return (log.has_finished() || self.log_is_missing || seen > LOG_IS_LATE_BY).then_some(Ok(()));
        }
        let (end, failure) = log.standing_failure()?;
        self.first_failure.get_or_insert_with(Instant::now);
        let is_old = end.age() > self.started.elapsed();
        (self.watched_since_the_failure(end) >= self.retries).then(|| {
            let failed = if is_old { failed_before } else { failed };
            Err(failed(self.names, &end.step, failure))
        })
    }

    /// How long it was watched since its first failure, or since this end of a step if that is longer ago.
    fn watched_since_the_failure(&self, end: &StepEnd) -> Duration {
        self.first_failure.map_or(Duration::ZERO, |first| first.elapsed()).max(end.age())
    }

    /// Shows what is new in the log.
    fn show(&mut self, log: &RotationLog, has_ended: bool) {
        // The lines come in the order of their times, and a later read has the same ones first.
        for StepSays { step, what } in log.says.iter().skip(self.shown_says) {
            let says = RotationEvent::StepSays { step: step.clone(), what: what.clone() };
            self.events.say(Event::Rotation(says));
        }
        self.shown_says = self.shown_says.max(log.says.len());
        for end in log.newest_ends() {
            let is_new = self.shown_ends.insert(end.line.clone());
            // A failure is an earlier attempt's once the version is current; the last one is the error.
            if is_new && (end.failure.is_none() || !has_ended) {
                let left = self.retries.saturating_sub(self.watched_since_the_failure(end));
                self.events.say(Event::Rotation(step_ended(end, left)));
            }
        }
    }

    /// Goes on with the version that continues the rotation, if there is one.
    ///
    /// # Errors
    /// Somebody moved the label away: the rotation was given up.
    fn follow(&mut self, labels: Option<&Labels>) -> Result<(), Error> {
        match labels.and_then(Labels::pending) {
            Some(pending) if pending == self.version => (self.was_pending, self.without_label) = (true, None),
            Some(other) if self.was_pending => {
                self.events.say(Event::Rotation(RotationEvent::Continued { version: other.to_owned() }));
                (self.version, self.without_label, self.shown_says) = (other.to_owned(), None, 0);
            }
            // Secrets Manager may answer from before: one read decides nothing.
            _ if self.was_pending
                && labels.is_some()
                && self.without_label.get_or_insert_with(Instant::now).elapsed() > STALE_FOR =>
            {
                return Err(given_up(self.names, &self.version));
            }
            _ => {}
        }
        Ok(())
    }
}

fn step_ended(end: &StepEnd, watched_for: Duration) -> RotationEvent {
    let step = end.step.clone();
    match &end.failure {
        None => RotationEvent::StepFinished { step },
        Some(failure) => RotationEvent::AttemptFailed { step, finding: failure.finding(), watched_for },
    }
}

fn failed(names: &Names, step: &str, failure: &Failure) -> Error {
    let error = Error::new(format!("the rotation of secret {} failed in {step}", names.secret));
    failure.cause_of(error.of_kind(ErrorKind::RotationFailed)).hint(text![
        "AWSCURRENT is unchanged. Remove the cause, then run ",
        Command::deployer("recover"),
        "; Secrets Manager also tries again by itself during its window"
    ])
}

/// What failed before this run watched: the run may have removed the cause.
fn failed_before(names: &Names, step: &str, failure: &Failure) -> Error {
    Error::new(format!("the rotation of secret {} is still open: it failed in {step} before this run", names.secret))
        .of_kind(ErrorKind::RotationFailed)
        .cause(failure.finding())
        .hint(text![
            "if this run removed the cause, run ",
            Command::deployer("recover"),
            ", which takes the rotation to its end; Secrets Manager also tries again by itself during its window"
        ])
}

fn given_up(names: &Names, version: &str) -> Error {
    Error::new(format!("the rotation of secret {} was given up", names.secret))
        .of_kind(ErrorKind::RotationFailed)
        .cause(format!("version {version} carries neither AWSPENDING nor AWSCURRENT: somebody moved a label"))
        .hint(text![
            Command::deployer("status"),
            " shows the labels, and whether somebody has destroyed the deployment meanwhile. If not, ",
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
            Command::aws_in(names.region(), &["logs", "tail", &names.log_group, "--since", "1h"]),
            "); AWSCURRENT is unchanged"
        ])
}

/// How an open rotation stands once no step of it runs.
#[derive(Debug)]
pub(crate) enum Standstill {
    /// No rotation is open.
    Closed,
    /// A step failed, and Secrets Manager has not tried again yet.
    Failed { version: String, failed: FailedStep },
    /// No step runs, and none has failed: Secrets Manager has stopped, or AWSCURRENT was moved back.
    Silent { version: String },
}

/// Waits while a step of a rotation runs, or a test of the configuration. Secrets Manager does not tell; the function's log does.
pub(crate) async fn stand_still(aws: &Aws, deployment: &Deployment, progress: &Progress) -> Result<Standstill, Error> {
    let limit = deployment.config.function.longest_rotation();
    let runs = |sign: &LastSign| matches!(sign, LastSign::Fresh | LastSign::Opened | LastSign::Tested);
    let what = "a rotation runs, or Secrets Manager tests the rotation settings";
    Ok(match wait_while(aws, deployment, progress, limit, what, runs).await? {
        None => Standstill::Closed,
        Some((version, LastSign::Failure(failed))) => Standstill::Failed { version, failed },
        Some((version, _)) => Standstill::Silent { version },
    })
}

/// Waits until Secrets Manager's test of the configuration has ended, which is no rotation. A version that was just opened may be
/// one. Returns the rotation that is open then.
pub(crate) async fn wait_while_tested(
    aws: &Aws,
    deployment: &Deployment,
    progress: &Progress,
) -> Result<Option<(String, LastSign)>, Error> {
    let limit = deployment.config.function.timeout;
    let is_test = |sign: &LastSign| matches!(sign, LastSign::Opened | LastSign::Tested);
    wait_while(
        aws,
        deployment,
        progress,
        limit,
        "a rotation begins, or Secrets Manager tests the rotation settings",
        is_test,
    )
    .await
}

/// Polls while the last sign of the open rotation is such, and at most until the limit. Returns the last sign then.
async fn wait_while(
    aws: &Aws,
    deployment: &Deployment,
    progress: &Progress,
    limit: Duration,
    what: &str,
    is_such: impl Fn(&LastSign) -> bool,
) -> Result<Option<(String, LastSign)>, Error> {
    let started = Instant::now();
    let mut said = false;
    loop {
        let last = last_sign(aws, deployment).await?;
        let Some((version, _)) = last.as_ref().filter(|(_, sign)| is_such(sign) && started.elapsed() < limit) else {
            return Ok(last);
        };
        if !said {
            progress.waiting(limit, &format!("{what} (version {version})"));
            said = true;
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// The version of an open rotation, or of a test of the configuration, and the last sign that it gave of itself.
pub(crate) async fn last_sign(aws: &Aws, deployment: &Deployment) -> Result<Option<(String, LastSign)>, Error> {
    let names = &deployment.names;
    let labels = labels::read(aws, &names.secret).await?.unwrap_or_default();
    let Some(version) = labels.pending().map(str::to_owned) else { return Ok(None) };
    let log = absent_is_none(log::read(aws, &names.log_group, &version).await, &["ResourceNotFoundException"])?;
    let sign = log.unwrap_or_default().last_sign(&labels, deployment.config.function.timeout);
    Ok(Some((version, sign)))
}

/// Watches an open rotation that this run did not start, if there is one.
///
/// # Errors
/// As [`watch`]; and if no step of it runs and none has failed, since nothing would come of waiting.
pub(crate) async fn watch_open(
    aws: &Aws,
    deployment: &Deployment,
    retries: Duration,
    progress: &Progress,
) -> Result<(), Error> {
    match wait_while_tested(aws, deployment, progress).await? {
        None => Ok(()),
        Some((version, LastSign::Old)) => match function::report(aws, deployment, false).await {
            // Nothing of it is left to watch.
            Ok(report) if left_open_by_an_edit(&report).is_some() => {
                progress.events.say(Event::Note(text![
                    format!("a completed rotation left AWSPENDING on version {version}, and no other begins before it is taken off: "),
                    Command::deployer("recover"),
                    " does that, and so does the daily upkeep"
                ]));
                Ok(())
            }
            _ => Err(open(&deployment.names, &version).cause(NO_STEP_RUNS)),
        },
        Some((version, _)) => {
            progress.events.say(Event::Rotation(RotationEvent::Found { version: version.clone() }));
            watch(aws, deployment, &version, retries, &progress.events).await
        }
    }
}

/// Waits until no rotation is open, so that what it runs on does not change under it.
///
/// # Errors
/// The rotation failed and waits for Secrets Manager's next attempt, or takes longer than its steps may.
pub(crate) async fn wait_until_closed(aws: &Aws, deployment: &Deployment, progress: &Progress) -> Result<(), Error> {
    let otherwise = "to change now what it runs on, add --during-rotation";
    Err(match stand_still(aws, deployment, progress).await? {
        Standstill::Closed => return Ok(()),
        Standstill::Failed { version, failed } => {
            let error = open(&deployment.names, &version).cause(format!("it {}", failed.sentence()));
            let mut error = failed.failure.next().iter().cloned().fold(error, Error::hint);
            if failed.failure.is_at_the_hosts() {
                // `recover` would tell the hosts of before, until the function gets those of the file.
                let first =
                    "if this change takes away what it failed at, such as a host that is gone, add --during-rotation";
                error.hints.insert(0, first.into());
                error
            } else {
                error.hint(otherwise)
            }
        }
        Standstill::Silent { version } => open(&deployment.names, &version).cause(NO_STEP_RUNS).hint(otherwise),
    })
}
