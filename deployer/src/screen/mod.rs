//! What people and programs see. Data goes to standard output, everything else to standard error;
//! nothing is said by colour alone.

use std::{io::Write as _, time::SystemTime};

use contract::Report;
use serde_json::Value;

use crate::{
    aws::Identity, deployment::Deployment, engine::events::Event, engine::plan::Plan, error::Error,
    rotation::diagnosis::Diagnosis, status::Status,
};

mod json;
mod text;

/// Renders as text, or as JSON lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    json: bool,
}

impl Screen {
    /// `json`: one JSON object per line on standard output.
    #[must_use]
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// A plan.
    pub(crate) fn plan(self, deployment: &Deployment, identity: &Identity, plan: &Plan) {
        if self.json { line(&json::plan(deployment, plan)) } else { out(&text::plan(deployment, identity, plan)) }
    }

    /// Something that happened.
    pub(crate) fn event(self, event: &Event) {
        if self.json { line(&json::event(event)) } else { err(&text::event(event)) }
    }

    /// How a deployment stands.
    pub(crate) fn status(self, deployment: &Deployment, status: &Status) {
        if self.json { line(&json::status(deployment, status)) } else { out(&text::status(deployment, status)) }
    }

    /// How a rotation stands.
    pub(crate) fn report(self, deployment: &Deployment, report: &Report) {
        if self.json {
            json::report(report).iter().for_each(line);
        } else {
            out(&text::report(deployment, report, SystemTime::now()));
        }
    }

    /// What is wrong with a rotation, and what can be done.
    pub(crate) fn diagnosis(self, diagnosis: &Diagnosis) {
        if self.json {
            json::diagnosis(diagnosis).iter().for_each(line);
        } else {
            out(&text::diagnosis(diagnosis));
        }
    }

    /// A result in one sentence.
    pub(crate) fn done(self, sentence: &str) {
        if self.json { line(&json::done(sentence)) } else { out(&format!("{sentence}\n")) }
    }

    /// An error, with its cause and its hint.
    pub(crate) fn error(self, error: &Error) {
        if self.json { line(&json::error(error)) } else { err(&text::error(error)) }
    }

    /// An error whose text is complete, with place and hint.
    pub(crate) fn config_error(self, error: &dyn std::fmt::Display) {
        if self.json { line(&json::config_error(error)) } else { err(&text::config_error(error)) }
    }

    /// Asks before anything changes. Only `yes` approves.
    pub(crate) fn ask(question: &str) -> bool {
        err(&text::question(question));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
    }

    /// Text that is itself the result.
    pub(crate) fn raw(text: &str) {
        out(text);
    }
}

fn line(value: &Value) {
    out(&format!("{value}\n"));
}

fn out(text: &str) {
    // A closed pipe is the reader's wish.
    let _ = anstream::stdout().write_all(text.as_bytes());
}

fn err(text: &str) {
    let _ = anstream::stderr().write_all(text.as_bytes());
}
