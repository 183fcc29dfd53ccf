//! What is wrong with a rotation, and the remedies.

use contract::Text;
use schemars::JsonSchema;
use serde::Serialize;

use super::text_line::TextLine;
use crate::rotation::diagnosis::{Diagnosis, Remedy, Way};

#[derive(Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(in crate::screen) enum DiagnosisLine {
    /// The rotation needs nothing.
    Healthy { note: Option<TextLine> },
    /// The remedies that follow help.
    Curable { found: TextLine },
    /// A person has to decide.
    Person { found: TextLine, ways: Vec<WayLine> },
}

/// What a person can do.
#[derive(Serialize, JsonSchema)]
pub(in crate::screen) struct WayLine {
    when: String,
    command: String,
}

#[derive(Serialize, JsonSchema)]
pub(in crate::screen) struct RemedyLine<'a> {
    #[serde(flatten)]
    remedy: RemedyFields<'a>,
    /// The AWS action, as a policy names it.
    call: &'static str,
    message: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(tag = "remedy", rename_all = "snake_case")]
enum RemedyFields<'a> {
    ClearPending { version: &'a str },
    MoveLabel { label: &'a str, from: &'a str, to: &'a str },
    DeleteOrphan { key: &'a str, created: Option<&'a str> },
    Rotate {},
}

impl<'a> From<&'a Remedy> for RemedyLine<'a> {
    fn from(remedy: &'a Remedy) -> Self {
        let fields = match remedy {
            Remedy::ClearPending { version, .. } => RemedyFields::ClearPending { version },
            Remedy::MoveLabel { label, from, to } => RemedyFields::MoveLabel { label, from, to },
            Remedy::DeleteOrphan { key, created } => RemedyFields::DeleteOrphan { key, created: created.as_deref() },
            Remedy::Rotate => RemedyFields::Rotate {},
        };
        Self { remedy: fields, call: remedy.call(), message: remedy.sentence() }
    }
}

impl DiagnosisLine {
    pub(super) fn new(diagnosis: &Diagnosis, config: Option<&str>) -> Self {
        let text = |text: &Text| TextLine::new(text, config);
        match diagnosis {
            Diagnosis::Healthy { note } => Self::Healthy { note: note.as_ref().map(text) },
            Diagnosis::Curable { found, .. } => Self::Curable { found: text(found) },
            Diagnosis::Person { found, ways } => {
                let way = |way: &Way| WayLine { when: way.when.clone(), command: way.command.in_shell(config) };
                Self::Person { found: text(found), ways: ways.iter().map(way).collect() }
            }
        }
    }
}

/// What `recover` would do, in order.
pub(super) fn remedies(diagnosis: &Diagnosis) -> impl Iterator<Item = &Remedy> {
    let (first, then) = match diagnosis {
        Diagnosis::Curable { first, then, .. } => (Some(first), then.as_slice()),
        Diagnosis::Healthy { .. } | Diagnosis::Person { .. } => (None, Default::default()),
    };
    first.into_iter().chain(then)
}
