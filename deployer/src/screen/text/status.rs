//! The status for an operator: one headline, then what is asked first. With `--verbose`, every resource and label.

use std::fmt::Write as _;

use anstyle::Style;
use contract::printable;

use super::{
    failure::errors,
    style::{BOLD, GREEN, RED, YELLOW},
    wrap::{push_below, push_wrapped},
};
use crate::{
    deployment::Deployment,
    overview::{Overview, Safety, nothing_is_deployed},
    status::{State, Status, of_apply},
};

/// Columns of the subjects.
const SUBJECT: usize = 15;

pub(in crate::screen) fn status(
    deployment: &Deployment,
    status: &Status,
    overview: &Overview,
    config: Option<&str>,
    columns: usize,
    verbose: bool,
) -> String {
    let mut text = format!("{BOLD}{}{BOLD:#} in {}\n\n", deployment.config.name, deployment.config.region);
    push_headline(&mut text, columns, overview, config);
    text.push('\n');
    for row in &overview.rows {
        for (at, line) in row.lines.iter().enumerate() {
            push_row(&mut text, columns, if at == 0 { row.subject } else { "" }, &line.render(config));
        }
    }
    if verbose {
        for (at, (version, labels)) in status.credential.versions.iter().enumerate() {
            push_row(
                &mut text,
                columns,
                if at == 0 { "labels" } else { "" },
                &format!("{version}: {}", labels.join(", ")),
            );
        }
    }
    push_resources(&mut text, columns, status, verbose);
    if !overview.for_a_person.is_empty() {
        let _ = writeln!(text, "\n{YELLOW}Needs a person:{YELLOW:#}");
        for point in &overview.for_a_person {
            push_below(&mut text, columns, "  - ", &printable(&point.render(config)));
        }
    }
    if !status.unread.is_empty() {
        text.push('\n');
        text.push_str(&errors(&status.unread, config, columns));
    }
    text
}

fn push_headline(text: &mut String, columns: usize, overview: &Overview, config: Option<&str>) {
    let (word, style) = match overview.mail_is_safe {
        Safety::Yes => ("yes", GREEN),
        Safety::Look => ("look", YELLOW),
        Safety::No => ("no", RED),
    };
    let reason = overview.reason.render(config);
    let headline = format!("{BOLD}Is mail safe?{BOLD:#} {style}{word}:{style:#} {}.", printable(&reason));
    push_wrapped(text, columns, 0, &headline);
}

fn push_row(text: &mut String, columns: usize, subject: &str, line: &str) {
    push_below(text, columns, &format!("{subject:SUBJECT$}"), &printable(line));
}

/// Those that are not as declared; with `verbose` all.
fn push_resources(text: &mut String, columns: usize, status: &Status, verbose: bool) {
    let resources = &status.resources;
    let ok = of_apply(resources).filter(|(_, state)| *state == State::AsDeclared).count();
    let all = of_apply(resources).count();
    if nothing_is_deployed(status) && !verbose {
        let found = if ok == 0 { "none".to_owned() } else { ok.to_string() };
        return push_row(text, columns, "resources", &format!("{found} of {all} that the file declares"));
    }
    let unknown = match of_apply(resources).filter(|(_, state)| *state == State::Unknown).count() {
        0 => String::new(),
        unknown => format!("; {unknown} could not be read, or apply refuses them"),
    };
    push_row(text, columns, "resources", &format!("{ok} of {all} are as the file declares{unknown}"));
    for (address, state) in resources {
        let (word, style) = word(*state);
        if verbose || *state != State::AsDeclared {
            let _ = writeln!(text, "  {style}{word:8}{style:#} {address}");
        }
    }
}

fn word(state: State) -> (&'static str, Style) {
    match state {
        State::AsDeclared => ("ok", GREEN),
        State::Missing => ("missing", RED),
        State::Differs => ("differs", YELLOW),
        State::Unknown => ("unknown", RED),
    }
}
