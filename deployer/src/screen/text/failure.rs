//! Errors: what failed, the cause once, and what to do next.

use std::fmt::Write as _;

use contract::printable;

use super::style::{CYAN, RED};
use crate::error::Error;

/// A blank line separates each error from the next one.
pub(in crate::screen) fn errors(errors: &[Error], config: Option<&str>) -> String {
    let texts: Vec<_> = errors.iter().map(|failure| error(failure, config)).collect();
    texts.join("\n")
}

pub(super) fn error(error: &Error, config: Option<&str>) -> String {
    let mut text = format!("{RED}error:{RED:#} {}\n", printable(&error.what));
    if let Some(cause) = &error.cause {
        let _ = writeln!(text, "  cause: {}", printable(&cause.to_string()));
    }
    if !error.hints.is_empty() {
        text.push('\n');
    }
    for hint in &error.hints {
        let _ = writeln!(text, "{CYAN}hint:{CYAN:#} {}", printable(&hint.render(config)));
    }
    text
}
