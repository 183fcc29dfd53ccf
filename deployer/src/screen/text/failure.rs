//! Errors: what failed, the cause once, and what to do next.

use contract::printable;

use super::{
    style::{CYAN, RED},
    wrap::push_wrapped,
};
use crate::error::Error;

/// A blank line separates each error from the next one.
pub(in crate::screen) fn errors(errors: &[Error], config: Option<&str>, columns: usize) -> String {
    let texts: Vec<_> = errors.iter().map(|failure| error(failure, config, columns)).collect();
    texts.join("\n")
}

pub(super) fn error(error: &Error, config: Option<&str>, columns: usize) -> String {
    let mut text = String::new();
    push_wrapped(&mut text, columns, 0, &format!("{RED}error:{RED:#} {}", printable(&error.what)));
    if let Some(cause) = &error.cause {
        push_wrapped(&mut text, columns, 2, &format!("cause: {}", printable(&cause.to_string())));
    }
    if !error.hints.is_empty() {
        text.push('\n');
    }
    for hint in &error.hints {
        push_wrapped(&mut text, columns, 0, &format!("{CYAN}hint:{CYAN:#} {}", printable(&hint.render(config))));
    }
    text
}
