//! The output of `--json`, version 1: one JSON object per line, each with a `type` and the deployment that it is about.
//!
//! The types here, and those that they hold, are the format. They change only by addition; anything else is a new version, which
//! the first line says. `deployer schema --json-lines` prints their JSON Schema, whose descriptions are the comments here.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use contract::{Report, Text, printable_json};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use self::{
    change::{DriftLine, PlanLine},
    diagnosis::{DiagnosisLine, RemedyLine},
    error::{AnyError, ErrorLine},
    report::{HostLine, KeyLine, ReportLine, VersionLine},
    rotation::RotationLine,
    status::{ListedLine, StatusLine},
    text_line::TextLine,
};
use crate::{
    config::ConfigError,
    doctor::findings::{Check, Finding, Verdict},
    drift::Drift,
    engine::{
        events::Event,
        op::{Address, Verb},
        plan::Plan,
    },
    error::Error,
    listed::Listed,
    overview::Overview,
    rotation::diagnosis::Diagnosis,
    silence::Unanswered,
    status::Status,
};

pub(super) use self::error::ProblemLine;

mod change;
mod diagnosis;
mod error;
mod report;
mod rotation;
mod schema;
mod status;
mod text_line;

/// The version of the format.
const VERSION: u32 = 1;

/// The JSON Schema of a line.
pub(crate) fn schema() -> Value {
    schema::of::<Printed<'_>>()
}

/// A line of `--json`. A later deployer may print lines of other types, and lines with more fields.
#[derive(Serialize, JsonSchema)]
struct Printed<'a> {
    #[serde(flatten)]
    line: &'a Line<'a>,
    /// Name of the deployment that the line is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<&'a str>,
    /// Region of the deployment that the line is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
}

/// A line without its deployment.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Line<'a> {
    /// The first line of every output.
    Schema {
        /// The version of the format.
        version: u32,
    },
    /// What `apply` or `destroy` would do, or is about to do.
    Plan(PlanLine<'a>),
    /// The function's zip is being built.
    Building {},
    /// What the build prints meanwhile: cargo's words.
    BuildSays { message: &'a str },
    /// The zip is built.
    Built { bytes: usize, seconds: f64 },
    /// A call to AWS begins.
    OpStarted { address: &'a Address, call: &'a str },
    /// A call waits for AWS, or a run for another run.
    Waiting {
        address: &'a Address,
        /// At most how long.
        limit_seconds: u64,
        reason: &'a str,
    },
    /// A call to AWS is done.
    OpDone { address: &'a Address, call: &'a str, verb: Verb, seconds: f64 },
    /// A resource has reached its goal.
    Reached { address: &'a Address },
    /// A resource was skipped because one that it depends on failed.
    Skipped { address: &'a Address },
    /// AWS has not answered a call for a while.
    Unanswered { call: &'a str, endpoint: &'a str, seconds: f64 },
    /// What people should know.
    Note(TextLine),
    /// What happens to a rotation that is watched.
    Rotation(RotationLine<'a>),
    /// How a deployment stands.
    Status(StatusLine<'a>),
    /// What somebody else changed since the last apply.
    Drift(DriftLine<'a>),
    /// A deployment, of `list`.
    Deployment(ListedLine<'a>),
    /// A version of the secret, of `recover`.
    Version(VersionLine<'a>),
    /// An access key of the user, of `recover`.
    Key(KeyLine<'a>),
    /// A host, of `recover`.
    Host(HostLine<'a>),
    /// How the rotation stands beside its versions, keys and hosts, of `recover`.
    RotationReport(ReportLine<'a>),
    /// What is wrong with a rotation, of `recover`.
    Diagnosis(DiagnosisLine),
    /// What `recover` does against that. The lines come in the order of the remedies.
    Remedy(RemedyLine<'a>),
    /// What a check of `doctor` found.
    Finding(FindingLine),
    /// What whoever runs the deployer needs, or the instances need, of `policy`.
    Policy {
        /// An IAM policy.
        policy: &'a Value,
    },
    /// What other tools need of the deployment.
    Outputs {
        /// Values by the names that `output` takes.
        outputs: BTreeMap<&'static str, &'a str>,
    },
    /// The command did what it says.
    Done {
        message: Cow<'a, str>,
        /// How long it took, if it changed something.
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
        /// What is useful next.
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<TextLine>,
    },
    /// Something failed, or is wrong in the file.
    Error(AnyError<'a>),
}

impl Line<'_> {
    /// The first line of every output.
    pub(super) fn schema() -> Self {
        Self::Schema { version: VERSION }
    }

    /// The line, with the name and the region of the deployment that it is about.
    pub(super) fn render(&self, deployment: Option<(&str, &str)>) -> String {
        let (deployment, region) = deployment.unzip();
        // All its maps have texts as keys, so it always has a JSON form.
        let json = serde_json::to_string(&Printed { line: self, deployment, region }).unwrap_or_default();
        printable_json(&json).into_owned()
    }
}

pub(super) fn plan<'a>(plan: &'a Plan, config: Option<&str>) -> Line<'a> {
    Line::Plan(PlanLine::new(plan, config))
}

pub(super) fn event<'a>(event: &'a Event, config: Option<&str>) -> Line<'a> {
    match event {
        Event::Building => Line::Building {},
        Event::BuildSays(message) => Line::BuildSays { message },
        Event::Built { bytes, took } => Line::Built { bytes: *bytes, seconds: took.as_secs_f64() },
        Event::Started(address, op) => Line::OpStarted { address, call: &op.call },
        Event::Waiting { address, limit, reason } => Line::Waiting { address, limit_seconds: limit.as_secs(), reason },
        Event::Done(address, op, took) => {
            Line::OpDone { address, call: &op.call, verb: op.verb, seconds: took.as_secs_f64() }
        }
        Event::Reached(address) => Line::Reached { address },
        Event::Failed(address, failure) => {
            Line::Error(AnyError::Failure(ErrorLine::new(failure, config).of_resource(address)))
        }
        Event::Skipped(address) => Line::Skipped { address },
        Event::Unanswered(Unanswered { call, endpoint, waited }) => {
            Line::Unanswered { call, endpoint, seconds: waited.as_secs_f64() }
        }
        Event::Note(note) => Line::Note(TextLine::new(note, config)),
        Event::Rotation(rotation) => Line::Rotation(RotationLine::from(rotation)),
    }
}

pub(super) fn status<'a>(status: &'a Status, overview: &Overview, config: Option<&str>) -> Line<'a> {
    Line::Status(StatusLine::new(status, overview, config))
}

pub(super) fn drift<'a>(drift: &'a Drift, config: Option<&str>) -> Line<'a> {
    Line::Drift(DriftLine::new(drift, config))
}

pub(super) fn listed(listed: &Listed) -> Line<'_> {
    Line::Deployment(listed.into())
}

/// A line per version, key and host, and one for the rest.
pub(super) fn report<'a>(report: &'a Report, config: Option<&str>) -> Vec<Line<'a>> {
    let versions = report.versions.iter().map(|it| Line::Version(it.into()));
    let keys = report.keys.iter().map(|it| Line::Key(it.into()));
    let hosts = report.hosts.iter().map(|it| Line::Host(it.into()));
    versions.chain(keys).chain(hosts).chain([Line::RotationReport(ReportLine::new(report, config))]).collect()
}

/// A line for what is wrong, and one per remedy, in their order.
pub(super) fn diagnosis<'a>(diagnosis: &'a Diagnosis, config: Option<&str>) -> Vec<Line<'a>> {
    let remedies = diagnosis::remedies(diagnosis).map(|it| Line::Remedy(it.into()));
    std::iter::once(Line::Diagnosis(DiagnosisLine::new(diagnosis, config))).chain(remedies).collect()
}

#[derive(Serialize, JsonSchema)]
pub(super) struct FindingLine {
    check: Check,
    verdict: Verdict,
    /// What was seen.
    evidence: TextLine,
    /// What to do; empty if nothing has to be done.
    fix: Vec<TextLine>,
}

pub(super) fn finding(Finding { check, verdict, evidence, fix }: &Finding, config: Option<&str>) -> Line<'static> {
    let (evidence, fix) = (TextLine::new(evidence, config), TextLine::all(fix, config));
    Line::Finding(FindingLine { check: *check, verdict: *verdict, evidence, fix })
}

pub(super) fn policy(policy: &Value) -> Line<'_> {
    Line::Policy { policy }
}

pub(super) fn outputs<'a>(outputs: &'a [(&'static str, String)]) -> Line<'a> {
    Line::Outputs { outputs: outputs.iter().map(|(name, value)| (*name, value.as_str())).collect() }
}

pub(super) fn done(sentence: &str) -> Line<'_> {
    Line::Done { message: sentence.into(), seconds: None, next: None }
}

/// As `done`, with how long it took and what is useful next.
pub(super) fn complete(sentence: &str, took: Duration, next: &Text, config: Option<&str>) -> Line<'static> {
    let next = TextLine::new(next, config);
    Line::Done { message: format!("{sentence}.").into(), seconds: Some(took.as_secs_f64()), next: Some(next) }
}

pub(super) fn error<'a>(error: &'a Error, config: Option<&str>) -> Line<'a> {
    Line::Error(AnyError::Failure(ErrorLine::new(error, config)))
}

/// A line per mistake.
pub(super) fn config_error(error: &ConfigError) -> impl Iterator<Item = Line<'_>> {
    error.problems().iter().map(|problem| Line::Error(AnyError::Problem(ProblemLine::new(problem))))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use contract::{Command, text};
    use serde_json::json;

    use super::*;
    use crate::{
        config::{self, Code},
        engine::events::RotationEvent,
    };

    fn value(line: &Line<'_>) -> Value {
        serde_json::from_str(&line.render(None)).unwrap()
    }

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
        let line = value(&error(&failed, Some("prod.yaml")));
        assert_eq!(line["hints"][0]["message"], "run `deployer recover prod.yaml`");
        assert_eq!(line["hints"][0]["commands"], json!(["deployer recover prod.yaml"]));
        assert_eq!(line["kind"], "failed");
    }

    #[test]
    fn the_schema_has_every_type_of_line_and_says_what_it_is() {
        let schema = schema();
        let lines = schema["oneOf"].as_array().unwrap();
        for line in lines {
            let name = &line["properties"]["type"]["const"];
            assert!(name.is_string() && line["description"].is_string(), "{line:#}");
        }
        assert_eq!(lines.len(), 27);
        assert!(schema["properties"]["deployment"].is_object());
    }

    #[test]
    fn both_shapes_of_an_error_are_as_the_schema_says_and_no_other_is() {
        let schema = jsonschema::validator_for(&schema()).unwrap();
        let problems = config::parse(Path::new("c.yaml"), "{name: mail, regoin: eu-west-1}").unwrap_err();
        let problems: Vec<_> = config_error(&problems).map(|line| value(&line)).collect();
        let failure = value(&error(&Error::new("it failed"), None));
        for line in problems.iter().chain([&failure]) {
            assert!(schema.is_valid(line), "{line}");
            let mut other = line.clone();
            other["kind"] = "no such kind".into();
            assert!(!schema.is_valid(&other), "{other}");
        }
        assert_eq!((&problems[0]["type"], &problems[0]["kind"]), (&json!("error"), &json!("configuration")));
    }

    #[test]
    fn a_line_within_a_line_keeps_the_names_of_both() {
        let started = RotationEvent::Started { version: "v".to_owned() };
        let event = Event::Rotation(started);
        let expected = json!({"type": "rotation", "rotation": "started", "version": "v"});
        assert_eq!(value(&super::event(&event, None)), expected);
    }
}
