use std::fmt::Display;

use contract::{AWSPENDING, Command, Text};

/// A refusal without what its kind and its date say.
pub(super) struct Parts {
    pub(super) found: String,
    pub(super) not_done: String,
    pub(super) next: Vec<Text>,
}

/// What was found, what was not done, and what to do next.
pub(super) fn parts(found: impl Into<String>, not_done: impl Into<String>, next: impl Into<Vec<Text>>) -> Parts {
    Parts { found: found.into(), not_done: not_done.into(), next: next.into() }
}

/// The next step if Secrets Manager's next attempt is all that is needed.
pub(super) fn wait() -> Text {
    "wait: Secrets Manager tries again".into()
}

/// Clears AWSPENDING, which ends the rotation of that version.
pub(super) fn clear_pending(secret: &str, version: &str) -> Command {
    Command::move_label(secret, AWSPENDING, Some(version), None)
}

pub(super) fn rotate() -> Command {
    Command::deployer("rotate")
}

pub(super) fn list(items: &[impl Display]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
