//! Mistakes in the configuration as annotations of a GitHub workflow, which GitHub shows beside the lines of a pull request.
//!
//! Source of the format and the escapes: "Workflow commands for GitHub Actions", and `packages/core/src/command.ts` of
//! actions/toolkit.

use contract::printable;

use super::json::ProblemLine;
use crate::config::ConfigError;

/// A line per mistake.
pub(super) fn annotations(error: &ConfigError) -> String {
    error.problems().iter().map(|problem| annotation(&ProblemLine::new(problem))).collect()
}

fn annotation(problem: &ProblemLine<'_>) -> String {
    let mut place = format!("file={}", property(&problem.file));
    for (name, number) in [("line", problem.line), ("col", problem.column)] {
        place.extend(number.map(|number| format!(",{name}={number}")));
    }
    format!("::error {place},title={}::{}\n", property(&printable(problem.message)), data(&printable(problem.hint)))
}

/// `escapeProperty`.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// `escapeData`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
