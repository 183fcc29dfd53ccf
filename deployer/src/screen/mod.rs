//! What people and programs see. Data goes to standard output, everything else to standard error; nothing is said by colour
//! alone.

use std::{
    io::{ErrorKind, Write as _, stderr, stdout},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use contract::{Report, Text};
use serde_json::Value;

use crate::{
    aws::Identity,
    cli::DEFAULT_CONFIG,
    config::ConfigError,
    deployment::Deployment,
    doctor::findings::Finding,
    drift::Drift,
    engine::{events::Event, plan::Plan},
    error::Error,
    listed::Listed,
    overview::Overview,
    rotation::diagnosis::Diagnosis,
    status::Status,
};

mod codes;
mod github;
mod json;
mod live;
mod locale;
mod markdown;
mod terminal;
mod text;

pub(crate) use json::schema as json_lines_schema;
pub(crate) use live::Live;

/// How much people are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Errors, questions with what they are about, and results.
    Quiet,
    #[default]
    Normal,
    /// Every field, resource and label, and what the build and the function say.
    Verbose,
}

/// Renders as text, or as JSON lines.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    json: bool,
    verbosity: Verbosity,
    /// Where what runs is shown, on a terminal.
    live: live::Place,
    /// Whether mistakes in the configuration become annotations of a GitHub workflow.
    annotates: bool,
    /// CONFIG as it was given, for the commands in texts; none if it is the default.
    config: Option<Arc<str>>,
    /// Name and region of the deployment that is being worked on.
    deployment: Option<Arc<(String, String)>>,
}

impl Screen {
    /// `json`: one JSON object per line on standard output. `config`: CONFIG, as it was given.
    #[must_use]
    pub(crate) fn new(json: bool, verbosity: Verbosity, config: Option<&Path>) -> Self {
        let config = config.and_then(for_commands);
        let screen = Self { json, verbosity, live: live::Place::default(), annotates: false, config, deployment: None };
        if json {
            screen.line(&json::Line::schema());
        }
        screen
    }

    /// The screen that shows mistakes in the configuration as annotations of a GitHub workflow.
    #[must_use]
    pub(crate) fn annotating(&self) -> Self {
        Self { annotates: true, ..self.clone() }
    }

    /// The screen whose commands name this CONFIG.
    #[must_use]
    pub(crate) fn with_config(&self, config: &Path) -> Self {
        Self { config: for_commands(config), ..self.clone() }
    }

    /// The screen on which everything is about this deployment.
    #[must_use]
    pub(crate) fn of_deployment(&self, name: &str, region: &str) -> Self {
        Self { deployment: Some(Arc::new((name.to_owned(), region.to_owned()))), ..self.clone() }
    }

    pub(crate) fn plan(&self, deployment: &Deployment, identity: &Identity, plan: &Plan) {
        let config = self.config();
        if self.json {
            self.line(&json::plan(plan, config));
        } else {
            self.out(&text::plan(deployment, identity, plan, config, terminal::columns(&stdout()), self.is_verbose()));
        }
    }

    /// Plans as the comment of a pull request.
    pub(crate) fn markdown(&self, plans: &[(&Deployment, &Identity, &Plan)]) {
        Self::raw(&markdown::plans(plans, self.config()));
    }

    pub(crate) fn event(&self, event: &Event) {
        if self.json {
            return self.line(&json::event(event, self.config()));
        }
        let is_live = self.live.on(event);
        let is_shown = match text::weight(event) {
            text::Weight::Error => true,
            text::Weight::News => self.verbosity != Verbosity::Quiet,
            text::Weight::Detail => self.verbosity == Verbosity::Verbose,
            // On a terminal the live display has it.
            text::Weight::Wait => {
                self.verbosity == Verbosity::Verbose || self.verbosity == Verbosity::Normal && !is_live
            }
        };
        if is_shown {
            self.err(&text::event(event, self.config(), terminal::columns(&stderr())));
        }
    }

    /// Shows what runs until the result is dropped: on a terminal, for people who want more than results.
    pub(crate) fn live(&self, title: &str) -> Live {
        let wanted = !self.json && self.verbosity != Verbosity::Quiet && terminal::can_be_drawn_on();
        if wanted { self.live.begin(title) } else { Live::none() }
    }

    /// Something worth knowing that changes nothing.
    pub(crate) fn note(&self, note: impl Into<Text>) {
        self.event(&Event::Note(note.into()));
    }

    pub(crate) fn status(&self, deployment: &Deployment, status: &Status, overview: &Overview) {
        let config = self.config();
        if self.json {
            self.line(&json::status(status, overview, config));
        } else {
            self.out(&text::status(
                deployment,
                status,
                overview,
                config,
                terminal::columns(&stdout()),
                self.is_verbose(),
            ));
        }
    }

    /// What is not as it was applied.
    pub(crate) fn drift(&self, deployment: &Deployment, identity: &Identity, drift: &Drift) {
        if self.json {
            self.line(&json::drift(drift, self.config()));
        } else {
            let look = (terminal::columns(&stdout()), self.is_verbose());
            self.out(&text::drift(deployment, identity, drift, self.config(), look));
        }
    }

    /// The deployments of a region.
    pub(crate) fn list(&self, region: &str, listed: &[Listed]) {
        if self.json {
            for one in listed {
                write_out(&format!("{}\n", json::listed(one).render(Some((&one.name, region)))), true);
            }
        } else {
            self.out(&text::list(region, listed, terminal::columns(&stdout())));
        }
    }

    /// How a rotation stands.
    pub(crate) fn report(&self, deployment: &Deployment, report: &Report) {
        if self.json {
            for line in json::report(report, self.config()) {
                self.line(&line);
            }
        } else {
            self.out(&text::report(deployment, report, self.config(), SystemTime::now(), terminal::columns(&stdout())));
        }
    }

    /// What is wrong with a rotation, and what can be done.
    pub(crate) fn diagnosis(&self, diagnosis: &Diagnosis) {
        if self.json {
            for line in json::diagnosis(diagnosis, self.config()) {
                self.line(&line);
            }
        } else {
            self.out(&text::diagnosis(diagnosis, self.config(), terminal::columns(&stdout())));
        }
    }

    /// Names and values for other tools; without the names if one value was asked for.
    pub(crate) fn outputs(&self, outputs: &[(&'static str, String)], with_names: bool) {
        if self.json {
            return self.line(&json::outputs(outputs));
        }
        for (name, value) in outputs {
            self.out(&if with_names { format!("{name:14} {value}\n") } else { format!("{value}\n") });
        }
    }

    /// What `doctor` found.
    pub(crate) fn findings(&self, deployment: &Deployment, found: &[Finding]) {
        if self.json {
            for finding in found {
                self.line(&json::finding(finding, self.config()));
            }
        } else {
            self.out(&text::findings(deployment, found, self.config(), terminal::columns(&stdout())));
        }
    }

    /// An IAM policy.
    pub(crate) fn policy(&self, policy: &Value) {
        if self.json { self.line(&json::policy(policy)) } else { self.out(&format!("{policy:#}\n")) }
    }

    /// A result in one sentence.
    pub(crate) fn done(&self, sentence: &str) {
        if self.json {
            self.line(&json::done(sentence));
        } else {
            self.out(&text::sentence(sentence, terminal::columns(&stdout())));
        }
    }

    /// What a run has done, how long that took, and what is useful next.
    pub(crate) fn complete(&self, sentence: &str, took: Duration, next: &Text) {
        if self.json {
            return self.line(&json::complete(sentence, took, next, self.config()));
        }
        let sentence = format!("{sentence} ({}).", text::seconds(took));
        self.out(&text::sentence(&sentence, terminal::columns(&stdout())));
        if self.verbosity != Verbosity::Quiet {
            self.err(&text::next(next, self.config(), terminal::columns(&stderr())));
        }
    }

    /// An error, with its cause and its hints.
    pub(crate) fn error(&self, error: &Error) {
        self.errors(std::slice::from_ref(error));
    }

    /// Errors that were found together.
    pub(crate) fn errors(&self, errors: &[Error]) {
        if self.json {
            for error in errors {
                self.line(&json::error(error, self.config()));
            }
        } else {
            self.err(&text::errors(errors, self.config(), terminal::columns(&stderr())));
        }
    }

    /// What is wrong with the configuration.
    pub(crate) fn config_error(&self, error: &ConfigError) {
        if self.json {
            json::config_error(error).for_each(|line| self.line(&line));
        } else if self.annotates {
            Self::raw(&github::annotations(error));
        } else {
            self.err(&text::config_error(error, terminal::columns(&stderr())));
        }
    }

    /// Asks before anything changes in this place. Only the answer approves.
    pub(crate) fn ask(question: &str, place: &str, answer: &str) -> bool {
        write_err(&text::question(question, place, answer, terminal::columns(&stderr())));
        let mut typed = String::new();
        std::io::stdin().read_line(&mut typed).is_ok() && typed.trim() == answer
    }

    /// Text that is itself the result.
    pub(crate) fn raw(text: &str) {
        write_out(text, true);
    }

    fn config(&self) -> Option<&str> {
        self.config.as_deref()
    }

    /// Whether only errors, questions and results are shown.
    pub(crate) fn is_quiet(&self) -> bool {
        self.verbosity == Verbosity::Quiet
    }

    fn is_verbose(&self) -> bool {
        self.verbosity == Verbosity::Verbose
    }

    fn out(&self, text: &str) {
        self.live.above(|| write_out(text, locale::is_utf8()));
    }

    fn err(&self, text: &str) {
        self.live.above(|| write_err(text));
    }

    fn line(&self, line: &json::Line<'_>) {
        let deployment = self.deployment.as_deref().map(|(name, region)| (name.as_str(), region.as_str()));
        // JSON is UTF-8, whatever the locale.
        write_out(&format!("{}\n", line.render(deployment)), true);
    }
}

/// What a user without colours reads.
#[cfg(test)]
pub(crate) fn as_text(error: &ConfigError) -> String {
    anstream::adapter::strip_str(&text::config_error(error, usize::MAX)).to_string()
}

/// CONFIG, for a command that a person types; none if it is the default.
fn for_commands(config: &Path) -> Option<Arc<str>> {
    (config != Path::new(DEFAULT_CONFIG)).then(|| config.display().to_string().into())
}

/// Whether something could not be written to standard output.
static OUTPUT_IS_INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// Whether the result could not be written in full, although somebody wanted it: because the disk is full, for example.
pub(crate) fn output_is_incomplete() -> bool {
    OUTPUT_IS_INCOMPLETE.load(Ordering::Relaxed)
}

fn write_out(text: &str, utf8: bool) {
    let mut stdout = anstream::stdout();
    let text = codes::shown(text, utf8);
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => {}
        // The reader closed the pipe: it wants no more.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => {
            if !OUTPUT_IS_INCOMPLETE.swap(true, Ordering::Relaxed) {
                write_err(&format!("error: failed to write to standard output: {error}\n"));
            }
        }
    }
}

fn write_err(text: &str) {
    let _ = anstream::stderr().write_all(codes::shown(text, locale::is_utf8()).as_bytes());
}
