//! The output of `--json`, version 1: one JSON object per line, each with a `type` and the deployment that it is about.
//!
//! The types here, and those that they hold, are the format. They change only by addition; anything else is a new version, which
//! the first line says.

use std::borrow::Cow;

use contract::{Report, Text, printable_json};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    config::{Code, ConfigError, Problem},
    date::rfc3339,
    deployment::record::Applied,
    doctor::findings::{Check, Finding, Verdict},
    engine::{
        events::{Event, RotationEvent},
        op::{Address, Change, Effect, Op, Verb},
        plan::{ChangedBy, Plan, Planned},
    },
    error::{Error, ErrorKind},
    rotation::diagnosis::{Diagnosis, Remedy},
    silence::Unanswered,
    status::{CredentialStatus, Drift, Key, Listed, State, Status},
};

/// The version of the format.
const VERSION: u32 = 1;

/// A line without its deployment.
pub(super) struct Line(Value);

impl Line {
    fn new(kind: &str, fields: impl Serialize) -> Self {
        let mut value = json!(fields);
        value["type"] = kind.into();
        Self(value)
    }

    /// The first line of every output.
    pub(super) fn schema() -> Self {
        Self::new("schema", json!({"version": VERSION}))
    }

    /// The line, with the name and the region of the deployment that it is about.
    pub(super) fn render(self, deployment: Option<(&str, &str)>) -> String {
        let mut value = self.0;
        if let Some((name, region)) = deployment {
            value["deployment"] = name.into();
            value["region"] = region.into();
        }
        printable_json(&value.to_string()).into_owned()
    }
}

/// A text, with the commands in it.
#[derive(Serialize)]
struct TextLine {
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
}

impl TextLine {
    fn new(text: &Text, config: Option<&str>) -> Self {
        let commands = text.commands().map(|command| command.in_shell(config)).collect();
        Self { message: text.render(config), commands }
    }

    fn all(texts: &[Text], config: Option<&str>) -> Vec<Self> {
        texts.iter().map(|text| Self::new(text, config)).collect()
    }
}

#[derive(Serialize)]
struct PlanLine<'a> {
    resources: Vec<ResourceLine<'a>>,
    create: usize,
    change: usize,
    destroy: usize,
    /// Whether running it rotates the credential at once.
    rotates: bool,
    open_rotation: Option<&'a str>,
    notes: Vec<TextLine>,
}

#[derive(Serialize)]
struct ResourceLine<'a> {
    address: &'a Address,
    /// Who made it differ; null if there is no record of the last apply.
    changed_by: Option<ChangedBy>,
    ops: Vec<OpLine<'a>>,
}

impl<'a> ResourceLine<'a> {
    fn new(Planned { address, changed_by, ops }: &'a Planned) -> Self {
        Self { address, changed_by: *changed_by, ops: ops.iter().map(OpLine::new).collect() }
    }
}

#[derive(Serialize)]
struct OpLine<'a> {
    verb: Verb,
    call: &'a str,
    changes: &'a [Change],
    effects: &'a [Effect],
}

impl<'a> OpLine<'a> {
    fn new(op: &'a Op) -> Self {
        Self { verb: op.verb, call: &op.call, changes: &op.changes, effects: &op.effects }
    }
}

pub(super) fn plan(plan: &Plan, config: Option<&str>) -> Line {
    let [create, change, destroy] = plan.counts();
    let with_ops = plan.resources.iter().filter(|resource| !resource.ops.is_empty());
    Line::new(
        "plan",
        PlanLine {
            resources: with_ops.map(ResourceLine::new).collect(),
            create,
            change,
            destroy,
            rotates: plan.has(Effect::RotatesNow),
            open_rotation: plan.open_rotation.as_deref(),
            notes: TextLine::all(&plan.notes, config),
        },
    )
}

pub(super) fn event(event: &Event, config: Option<&str>) -> Line {
    match event {
        Event::Building => Line::new("building", json!({})),
        Event::Built { bytes, took } => Line::new("built", json!({"bytes": bytes, "seconds": took.as_secs_f64()})),
        Event::Started(address, op) => Line::new("op_started", json!({"address": address, "call": op.call})),
        Event::Waiting { address, limit, reason } => {
            Line::new("waiting", json!({"address": address, "limit_seconds": limit.as_secs(), "reason": reason}))
        }
        Event::Done(address, op, took) => {
            let seconds = took.as_secs_f64();
            Line::new("op_done", json!({"address": address, "call": op.call, "verb": op.verb, "seconds": seconds}))
        }
        Event::Failed(address, failure) => {
            Line::new("error", ErrorLine { address: Some(address), ..ErrorLine::new(failure, config) })
        }
        Event::Skipped(address) => Line::new("skipped", json!({"address": address})),
        Event::Unanswered(Unanswered { call, endpoint, waited }) => {
            let seconds = waited.as_secs_f64();
            Line::new("unanswered", json!({"call": call, "endpoint": endpoint, "seconds": seconds}))
        }
        Event::Note(note) => Line::new("note", TextLine::new(note, config)),
        Event::Rotation(rotation) => Line::new("rotation", RotationLine::from(rotation)),
    }
}

#[derive(Serialize)]
#[serde(tag = "rotation", rename_all = "snake_case")]
enum RotationLine<'a> {
    Started { version: &'a str },
    Found { version: &'a str },
    Continued { version: &'a str },
    StepFinished { step: &'a str },
    AttemptFailed { step: &'a str, message: &'a str, watched_seconds: f64 },
    Completed { version: &'a str, took_seconds: f64 },
}

impl<'a> From<&'a RotationEvent> for RotationLine<'a> {
    fn from(event: &'a RotationEvent) -> Self {
        match event {
            RotationEvent::Started { version } => Self::Started { version },
            RotationEvent::Found { version } => Self::Found { version },
            RotationEvent::Continued { version } => Self::Continued { version },
            RotationEvent::StepFinished { step } => Self::StepFinished { step },
            RotationEvent::AttemptFailed { step, finding, watched_for } => {
                Self::AttemptFailed { step, message: finding, watched_seconds: watched_for.as_secs_f64() }
            }
            RotationEvent::Completed { version, took } => Self::Completed { version, took_seconds: took.as_secs_f64() },
        }
    }
}

#[derive(Serialize)]
struct StatusLine<'a> {
    resources: Vec<StateLine<'a>>,
    credential: &'a CredentialStatus,
    keys: &'a [Key],
    notes: Vec<TextLine>,
    /// What could not be read, or is not as it must be.
    unread: Vec<ErrorLine<'a>>,
}

#[derive(Serialize)]
struct StateLine<'a> {
    address: &'a Address,
    state: State,
}

pub(super) fn status(status: &Status, config: Option<&str>) -> Line {
    let resources = status.resources.iter().map(|(address, state)| StateLine { address, state: *state });
    Line::new(
        "status",
        StatusLine {
            resources: resources.collect(),
            credential: &status.credential,
            keys: &status.keys,
            notes: TextLine::all(&status.notes, config),
            unread: status.unread.iter().map(|error| ErrorLine::new(error, config)).collect(),
        },
    )
}

#[derive(Serialize)]
struct DriftLine<'a> {
    /// What somebody else changed since the last apply, with the calls that would put it right.
    resources: Vec<ResourceLine<'a>>,
    /// The file declares something else than was applied: whether these drifted cannot be told.
    unclear: &'a [Address],
    applied: &'a Applied,
}

pub(super) fn drift(Drift { drifted, unclear, applied }: &Drift) -> Line {
    Line::new("drift", DriftLine { resources: drifted.iter().map(ResourceLine::new).collect(), unclear, applied })
}

#[derive(Serialize)]
struct ListedLine<'a> {
    /// The last apply that reached its goal.
    applied: Option<&'a Applied>,
    rotation_enabled: bool,
    last_rotated: Option<String>,
    next_rotation: Option<String>,
    /// Whether AWS is as it was applied is not read.
    drift: &'static str,
}

pub(super) fn listed(Listed { applied, labels, .. }: &Listed) -> Line {
    Line::new(
        "deployment",
        ListedLine {
            applied: applied.as_ref(),
            rotation_enabled: labels.rotation_enabled,
            last_rotated: labels.last_rotated.map(rfc3339),
            next_rotation: labels.next_rotation.map(rfc3339),
            drift: "unknown",
        },
    )
}

/// A line per version, key and host, and one for the rest.
pub(super) fn report(report: &Report, config: Option<&str>) -> Vec<Line> {
    let mut lines: Vec<_> = report.versions.iter().map(|version| Line::new("version", version)).collect();
    lines.extend(report.keys.iter().map(|key| Line::new("key", key)));
    lines.extend(report.hosts.iter().map(|host| Line::new("host", host)));
    let mut rest = json!(report);
    if let Some(fields) = rest.as_object_mut() {
        fields.retain(|name, _| !["versions", "keys", "hosts"].contains(&name.as_str()));
    }
    rest["notes"] = json!(TextLine::all(&report.notes, config));
    rest["overdue"] = json!(report.overdue.as_ref().map(|overdue| TextLine::new(overdue, config)));
    if let contract::Next::Fail { refusal } = &report.next {
        rest["next"]["fail"]["refusal"]["next"] = json!(TextLine::all(&refusal.next, config));
    }
    lines.push(Line::new("rotation_report", rest));
    lines
}

#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum DiagnosisLine {
    Healthy { note: Option<TextLine> },
    Curable { found: TextLine },
    Person { found: TextLine, ways: Vec<WayLine> },
}

#[derive(Serialize)]
struct WayLine {
    when: String,
    command: String,
}

#[derive(Serialize)]
struct RemedyLine<'a> {
    #[serde(flatten)]
    remedy: RemedyFields<'a>,
    call: &'static str,
    message: String,
}

#[derive(Serialize)]
#[serde(tag = "remedy", rename_all = "snake_case")]
enum RemedyFields<'a> {
    ClearPending { version: &'a str },
    MoveLabel { label: &'a str, from: &'a str, to: &'a str },
    DeleteOrphan { key: &'a str, created: Option<&'a str> },
    Rotate,
}

impl<'a> From<&'a Remedy> for RemedyLine<'a> {
    fn from(remedy: &'a Remedy) -> Self {
        let fields = match remedy {
            Remedy::ClearPending { version, .. } => RemedyFields::ClearPending { version },
            Remedy::MoveLabel { label, from, to } => RemedyFields::MoveLabel { label, from, to },
            Remedy::DeleteOrphan { key, created } => RemedyFields::DeleteOrphan { key, created: created.as_deref() },
            Remedy::Rotate => RemedyFields::Rotate,
        };
        Self { remedy: fields, call: remedy.call(), message: remedy.sentence() }
    }
}

/// A line for what is wrong, and one per remedy, in their order.
pub(super) fn diagnosis(diagnosis: &Diagnosis, config: Option<&str>) -> Vec<Line> {
    let text = |text: &Text| TextLine::new(text, config);
    let (line, remedies) = match diagnosis {
        Diagnosis::Healthy { note } => (DiagnosisLine::Healthy { note: note.as_ref().map(text) }, Vec::new()),
        Diagnosis::Curable { found, first, then } => {
            (DiagnosisLine::Curable { found: text(found) }, std::iter::once(first).chain(then).collect())
        }
        Diagnosis::Person { found, ways } => {
            let ways = ways.iter().map(|way| WayLine { when: way.when.clone(), command: way.command.in_shell(config) });
            (DiagnosisLine::Person { found: text(found), ways: ways.collect() }, Vec::new())
        }
    };
    let remedies = remedies.into_iter().map(|remedy| Line::new("remedy", RemedyLine::from(remedy)));
    std::iter::once(Line::new("diagnosis", line)).chain(remedies).collect()
}

#[derive(Serialize)]
struct FindingLine {
    check: Check,
    verdict: Verdict,
    evidence: TextLine,
    /// What to do; empty if nothing has to be done.
    fix: Vec<TextLine>,
}

pub(super) fn finding(Finding { check, verdict, evidence, fix }: &Finding, config: Option<&str>) -> Line {
    let (evidence, fix) = (TextLine::new(evidence, config), TextLine::all(fix, config));
    Line::new("finding", FindingLine { check: *check, verdict: *verdict, evidence, fix })
}

pub(super) fn policy(policy: &Value) -> Line {
    Line::new("policy", json!({"policy": policy}))
}

pub(super) fn outputs(outputs: &[(&'static str, String)]) -> Line {
    let outputs: serde_json::Map<_, _> =
        outputs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    Line::new("outputs", json!({"outputs": outputs}))
}

pub(super) fn done(sentence: &str) -> Line {
    Line::new("done", json!({"message": sentence}))
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    /// The sort of error.
    kind: ErrorKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a Address>,
    message: &'a str,
    cause: Option<String>,
    /// AWS's error code, or the function's.
    code: Option<&'a str>,
    hints: Vec<TextLine>,
}

impl<'a> ErrorLine<'a> {
    fn new(error: &'a Error, config: Option<&str>) -> Self {
        Self {
            kind: error.kind(),
            address: None,
            message: &error.what,
            cause: error.cause.as_ref().map(ToString::to_string),
            code: error.code(),
            hints: TextLine::all(&error.hints, config),
        }
    }
}

pub(super) fn error(error: &Error, config: Option<&str>) -> Line {
    Line::new("error", ErrorLine::new(error, config))
}

/// A mistake in the configuration.
#[derive(Serialize)]
pub(super) struct ProblemLine<'a> {
    /// Always `configuration`.
    kind: &'static str,
    pub(super) code: Code,
    /// The file or folder, as CONFIG names it.
    pub(super) file: Cow<'a, str>,
    /// From 1; null if the mistake is about the file as a whole.
    pub(super) line: Option<usize>,
    /// In characters, from 1; null if the mistake is about the file as a whole.
    pub(super) column: Option<usize>,
    pub(super) message: &'a str,
    pub(super) hint: &'a str,
}

impl<'a> ProblemLine<'a> {
    pub(super) fn new(Problem { code, message, place, hint, .. }: &'a Problem) -> Self {
        let spot = place.spot.as_ref();
        Self {
            kind: "configuration",
            code: *code,
            file: place.file.to_string_lossy(),
            line: spot.map(|spot| spot.line),
            column: spot.map(|spot| spot.column),
            message,
            hint,
        }
    }
}

/// A line per mistake.
pub(super) fn config_error(error: &ConfigError) -> impl Iterator<Item = Line> {
    error.problems().iter().map(|problem| Line::new("error", ProblemLine::new(problem)))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use contract::{Command, text};

    use super::*;

    #[test]
    fn every_line_says_its_type_and_its_deployment() {
        let line = done("it is done").render(Some(("mail-prod", "eu-west-1")));
        let expected =
            json!({"type": "done", "message": "it is done", "deployment": "mail-prod", "region": "eu-west-1"});
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
        assert_eq!(Line::schema().render(None), r#"{"type":"schema","version":1}"#);
    }

    #[test]
    fn every_code_of_a_mistake_is_documented() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json-and-exit-codes.md");
        let codes = schemars::schema_for!(Code);
        let row = |code: &Value| {
            let text = |field: &str| code[field].as_str().unwrap().replace('\n', " ");
            format!("| `{}` | {} |\n", text("const"), text("description"))
        };
        let table: String = codes.as_value()["oneOf"].as_array().unwrap().iter().map(row).collect();
        let page = fs::read_to_string(page).unwrap();
        assert!(page.contains(&table), "docs/json-and-exit-codes.md needs this table:\n{table}");
    }

    #[test]
    fn a_hint_has_its_commands_ready_to_be_run() {
        let failed = Error::new("it failed").hint(text!["run ", Command::deployer("recover")]);
        let Line(line) = error(&failed, Some("prod.yaml"));
        assert_eq!(line["hints"][0]["message"], "run `deployer recover prod.yaml`");
        assert_eq!(line["hints"][0]["commands"], json!(["deployer recover prod.yaml"]));
        assert_eq!(line["kind"], "failed");
    }
}
