//! What the function's log tells of a rotation: which steps have ended and how, and whether one may be running.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use contract::{LOG_MESSAGE_FINISHED, Refusal, RefusalKind, Step, Text};
use serde::Deserialize;

use crate::{
    aws::Aws,
    date::rough,
    error::{Error, FailedTo as _},
    rotation::labels::Labels,
};

/// From the call that opens a rotation to the first line of its log: Secrets Manager invokes the function within seconds.
const FIRST_SIGN_WITHIN: Duration = Duration::from_mins(1);
/// How far back the log of a rotation is searched: longer than a window with its retries.
const SEARCHED: Duration = Duration::from_hours(7 * 24);

/// What the log tells of one rotation.
#[derive(Debug, Default)]
pub(super) struct RotationLog {
    /// Its steps that have ended, in order.
    pub(super) ends: Vec<StepEnd>,
    /// What its steps say meanwhile, in order.
    pub(super) says: Vec<StepSays>,
    /// When its last line was written, whether or not that line ends a step.
    last_line: Option<SystemTime>,
    /// Whether a step wrote a line after the last end: it has begun.
    has_begun_another: bool,
    /// Whether a step other than testSecret wrote a line. Secrets Manager tests a configuration by testSecret alone.
    rotates: bool,
}

/// What a step does.
#[derive(Debug, PartialEq)]
pub(super) struct StepSays {
    pub(super) step: String,
    /// The message, and what it is about: `the script has ended (instance i-1, status Success)`.
    pub(super) what: String,
}

/// How a step ended. The handler writes exactly one line for it; if the process died, Lambda does.
#[derive(Debug, PartialEq)]
pub(super) struct StepEnd {
    /// The whole line. It names its request, so no two are alike.
    pub(super) line: String,
    /// When the line was written.
    pub(super) at: Option<SystemTime>,
    pub(super) step: String,
    pub(super) failure: Option<Failure>,
}

impl StepEnd {
    /// How long ago the step ended. A clock that differs may make it a time in the future: then it was just now.
    pub(super) fn age(&self) -> Duration {
        self.at.and_then(|at| at.elapsed().ok()).unwrap_or_default()
    }
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// The function refused.
    Refused(Refusal),
    /// The process ended without a line of its own, or the line has no refusal: its type and its text.
    Other(String, String),
}

impl Failure {
    /// Whether a host, or what runs on the hosts, is the cause.
    pub(crate) fn is_at_the_hosts(&self) -> bool {
        let kinds = [RefusalKind::HostsOffline, RefusalKind::HostsFailed, RefusalKind::HostDidNotConfirm];
        matches!(self, Self::Refused(refusal) if kinds.contains(&refusal.kind))
    }

    /// This failure as the cause of an error, with the function's next steps as its hints.
    pub(crate) fn cause_of(&self, error: Error) -> Error {
        match self {
            Self::Refused(refusal) => error.refused(refusal),
            Self::Other(kind, message) => error.cause(format!("{kind}: {message}")),
        }
    }

    /// The function's next steps.
    pub(crate) fn next(&self) -> &[Text] {
        match self {
            Self::Refused(refusal) => &refusal.next,
            Self::Other(..) => &[],
        }
    }

    /// What was found, in one sentence.
    pub(crate) fn finding(&self) -> String {
        match self {
            Self::Refused(refusal) => format!("{}: {}", refusal.kind, refusal.finding()),
            Self::Other(kind, message) => format!("{kind}: {message}"),
        }
    }
}

/// A step that failed, and why.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FailedStep {
    pub(crate) step: String,
    pub(crate) failure: Failure,
    /// How long ago.
    pub(crate) ago: Duration,
}

impl FailedStep {
    /// Whether a person may have done something about it since.
    pub(crate) fn is_old(&self) -> bool {
        self.ago >= OLD_AFTER
    }

    /// `failed in setSecret 3 h ago: HostsFailed: …`
    pub(crate) fn sentence(&self) -> String {
        format!("{}: {}", self.when(), self.failure.finding())
    }

    /// `failed in setSecret 3 h ago`
    pub(crate) fn when(&self) -> String {
        let ago = if self.is_old() { format!(" {} ago", rough(self.ago)) } else { String::new() };
        format!("failed in {}{ago}", self.step)
    }
}

/// What is newer is told as of now.
const OLD_AFTER: Duration = Duration::from_mins(2);

/// The last sign that a rotation gave of itself.
#[derive(Debug, PartialEq)]
pub(crate) enum LastSign {
    /// A step failed, and none has begun since.
    Failure(FailedStep),
    /// Something so recent that a step may be running.
    Fresh,
    /// Nothing yet, and the version is new: the log is about to tell whether this is a rotation or a test of the configuration.
    Opened,
    /// Secrets Manager tests the configuration. That rotates nothing, and ends by itself.
    Tested,
    /// Nothing for longer than a step may take, or its last step succeeded.
    Old,
}

impl RotationLog {
    /// The steps of the newest attempt that failed, and what came after it. An attempt ends with the step that failed.
    pub(super) fn newest_ends(&self) -> &[StepEnd] {
        let failed = self.ends.iter().enumerate().rev().filter(|(_, end)| end.failure.is_some());
        let before = failed.map(|(at, _)| at + 1).nth(1).unwrap_or_default();
        &self.ends[before..]
    }

    /// Whether the step that moves AWSCURRENT has ended.
    pub(super) fn has_finished(&self) -> bool {
        self.ends.iter().any(|end| end.step == Step::Finish.name() && end.failure.is_none())
    }

    /// The failure of the last step, unless another step has begun since.
    pub(super) fn standing_failure(&self) -> Option<(&StepEnd, &Failure)> {
        let last = self.ends.last().filter(|_| !self.has_begun_another)?;
        Some((last, last.failure.as_ref()?))
    }

    pub(super) fn last_sign(&self, labels: &Labels, longest_step: Duration) -> LastSign {
        let opened = || labels.last_changed.and_then(|date| SystemTime::try_from(date).ok());
        let (since, limit) = match self.last_line {
            Some(line) => (Some(line), longest_step),
            None => (opened(), FIRST_SIGN_WITHIN),
        };
        // A clock that differs makes a time in the future, which is fresh.
        let is_fresh = since.is_some_and(|since| since.elapsed().unwrap_or_default() < limit);
        if !self.rotates {
            return match self.last_line {
                _ if !is_fresh => LastSign::Old,
                Some(_) => LastSign::Tested,
                None => LastSign::Opened,
            };
        }
        if let Some((end, failure)) = self.standing_failure() {
            let (step, failure) = (end.step.clone(), failure.clone());
            return LastSign::Failure(FailedStep { step, failure, ago: end.age() });
        }
        // It completed, and somebody moved AWSCURRENT back.
        let completed = !self.has_begun_another && self.ends.last().is_some_and(|end| end.step == Step::Finish.name());
        if is_fresh && !completed { LastSign::Fresh } else { LastSign::Old }
    }
}

/// A line of the handler's.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    level: String,
    rotation_id: String,
    step: String,
    request_id: String,
    error: Option<String>,
    /// In a failed step's last line.
    refusal: Option<serde_json::Value>,
    message: String,
    /// What the message is about.
    #[serde(flatten)]
    about: BTreeMap<String, serde_json::Value>,
}

/// Fields that say no more than the rest of the line, or that only an engineer needs.
const NOT_SHOWN: [&str; 4] = ["command", "document", "target", "timestamp"];

impl Line {
    /// What a person wants to see of it; nothing of what only an engineer does.
    fn what(&self) -> Option<String> {
        if !["INFO", "WARN"].contains(&self.level.as_str()) {
            return None;
        }
        let spelled = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let shown = self.about.iter().filter(|(name, _)| !NOT_SHOWN.contains(&name.as_str()));
        let about: Vec<_> = shown.map(|(name, value)| format!("{name} {}", spelled(value))).collect();
        Some(if about.is_empty() { self.message.clone() } else { format!("{} ({})", self.message, about.join(", ")) })
    }

    fn failure(&self) -> Option<Failure> {
        let kind = self.error.clone()?;
        let refusal = self.refusal.clone().and_then(|refusal| serde_json::from_value(refusal).ok());
        Some(refusal.map_or_else(|| Failure::Other(kind, self.message.clone()), Failure::Refused))
    }
}

/// A line of the log.
struct LogLine {
    at: Option<SystemTime>,
    text: String,
}

/// Reads what the log tells of a rotation. Little but rotations logs there, so the lines are few and all are read: Lambda's own
/// lines do not name the rotation that they are about.
pub(super) async fn read(aws: &Aws, group: &str, version: &str) -> Result<RotationLog, Error> {
    let since = (SystemTime::now() - SEARCHED).duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
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
                let (failure, what) = (ours.failure(), ours.what());
                invocations.insert(ours.request_id, ours.step.clone());
                log.last_line = at;
                log.has_begun_another = true;
                log.rotates |= ours.step != Step::Test.name();
                let ends = failure.is_some() || ours.message == LOG_MESSAGE_FINISHED;
                if let Some(what) = what.filter(|_| !ends) {
                    log.says.push(StepSays { step: ours.step.clone(), what });
                }
                ends.then_some(StepEnd { line, at, step: ours.step, failure })
            }
            Ok(_) => None,
            Err(_) => death(line, at, &invocations),
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
fn death(line: String, at: Option<SystemTime>, invocations: &BTreeMap<String, String>) -> Option<StepEnd> {
    let (_, step) = invocations.iter().find(|(request, _)| line.contains(request.as_str()))?;
    DEATHS.iter().find(|death| line.contains(**death))?;
    let failure = Some(Failure::Other("FunctionDied".to_owned(), line.trim().to_owned()));
    Some(StepEnd { line, at, step: step.clone(), failure })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: &str, request: &str, rest: &str) -> String {
        format!(r#"{{"rotation_id":"v1","step":"{step}","request_id":"{request}",{rest}}}"#)
    }

    fn finished(step: &str) -> String {
        line(step, "r1", &format!(r#""message":"{LOG_MESSAGE_FINISHED}""#))
    }

    /// One line a second, the last of them now.
    fn log<L: AsRef<str>>(lines: &[L]) -> RotationLog {
        let now = SystemTime::now();
        let at = |ago: usize| Some(now - Duration::from_secs(ago.try_into().unwrap()));
        let lines =
            lines.iter().rev().enumerate().map(|(ago, line)| LogLine { at: at(ago), text: line.as_ref().to_owned() });
        rotation_log(lines.rev().collect(), "v1")
    }

    fn ends(lines: &[&str]) -> Vec<(String, Option<String>)> {
        let kind = |failure: Failure| failure.finding().split(':').next().unwrap().to_owned();
        log(lines).ends.into_iter().map(|end| (end.step, end.failure.map(kind))).collect()
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
    fn what_a_step_does_is_told_with_the_host_that_it_is_about() {
        let log = log(&[
            r#"{"level":"INFO","rotation_id":"v1","step":"setSecret","request_id":"r1","message":"the script has ended","command":"c","instance":"i-1","status":"Success"}"#,
            r#"{"level":"DEBUG","rotation_id":"v1","step":"setSecret","request_id":"r1","message":"for an engineer"}"#,
            r#"{"level":"INFO","rotation_id":"v1","step":"setSecret","request_id":"r1","message":"step finished"}"#,
        ]);
        let says: Vec<_> = log.says.iter().map(|says| (says.step.as_str(), says.what.as_str())).collect();
        assert_eq!(says, [("setSecret", "the script has ended (instance i-1, status Success)")]);
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
    fn a_refusal_comes_from_the_line_as_data() {
        let line = r#"{"rotation_id":"v1","step":"setSecret","request_id":"r1","error":"UnknownToken","message":"m",
            "refusal":{"kind":"UnknownToken","found":"f","not_done":"n","next":[]}}"#;
        let failure = log(&[line]).ends.pop().unwrap().failure.unwrap();
        assert!(matches!(&failure, Failure::Refused(refusal) if refusal.found == "f"), "{failure:?}");
    }

    const STEP: Duration = Duration::from_mins(5);

    fn changed(ago: Duration) -> Labels {
        Labels { last_changed: Some((SystemTime::now() - ago).into()), ..Labels::default() }
    }

    #[test]
    fn a_rotation_stands_still_when_its_last_step_failed_and_no_other_has_begun() {
        let line = |request: &str, rest: &str| line("setSecret", request, rest);
        let failed = line("r1", r#""error":"HostsFailed","message":"m""#);
        let sign = |lines: &[&str]| log(lines).last_sign(&changed(STEP), STEP);
        for lines in [&[failed.as_str()][..], &[&failed, "REPORT RequestId: r1"]] {
            let LastSign::Failure(it) = sign(lines) else { panic!("{lines:?}") };
            assert_eq!((it.sentence().as_str(), it.is_old()), ("failed in setSecret: HostsFailed: m", false));
            let older = FailedStep { ago: Duration::from_mins(3), ..it };
            assert_eq!((older.when().as_str(), older.is_old()), ("failed in setSecret 3 min ago", true));
        }
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
        let sign = |steps: &[&str]| {
            log(&steps.iter().map(|step| finished(step)).collect::<Vec<_>>()).last_sign(&changed(STEP), STEP)
        };
        assert_eq!(sign(&["testSecret", "finishSecret"]), LastSign::Old);
        assert_eq!(sign(&["setSecret", "testSecret"]), LastSign::Fresh);
    }

    #[test]
    fn a_rotation_without_a_line_may_have_just_been_opened() {
        let sign = |ago| RotationLog::default().last_sign(&changed(ago), STEP);
        assert_eq!(sign(Duration::from_secs(1)), LastSign::Opened);
        assert_eq!(sign(FIRST_SIGN_WITHIN + Duration::from_secs(1)), LastSign::Old);
    }

    #[test]
    fn a_test_of_the_configuration_is_no_rotation_even_if_it_failed() {
        let failed = line("testSecret", "r1", r#""error":"LoginRefused","message":"m""#);
        for only in [finished("testSecret"), failed] {
            assert_eq!(log(&[only]).last_sign(&changed(STEP), STEP), LastSign::Tested);
        }
    }

    #[test]
    fn of_many_attempts_the_newest_that_failed_is_told_and_what_came_after_it() {
        let failed =
            |request: &str, kind: &str| line("createSecret", request, &format!(r#""error":"{kind}","message":"m""#));
        let (first, second, third) = (failed("r1", "HostsOffline"), failed("r2", "Aws"), failed("r3", "LoginRefused"));
        let kinds = |lines: &[&str]| {
            let log = log(lines);
            let kinds =
                log.newest_ends().iter().map(|end| end.failure.as_ref().map(Failure::finding)).collect::<Vec<_>>();
            (kinds, log.standing_failure().map(|(_, failure)| failure.finding()))
        };
        let [offline, aws, refused] =
            ["HostsOffline: m", "Aws: m", "LoginRefused: m"].map(|finding| Some(finding.to_owned()));
        assert_eq!(kinds(&[&first]), (vec![offline.clone()], offline));
        assert_eq!(kinds(&[&first, &second, &third]), (vec![refused.clone()], refused));
        assert_eq!(kinds(&[&first, &second, &finished("createSecret")]), (vec![aws, None], None));
    }
}
