//! The calls that change a function.

use super::goal::Goal;
use crate::{config::Architecture, engine::tags::Tags};

pub(crate) enum Call {
    Create {
        goal: Goal,
        tags: Tags,
    },
    /// Sets the goal, and the defaults of the fields whose names are given.
    UpdateConfiguration(Goal, Vec<&'static str>),
    /// Of the alias, if it is one's.
    DeleteUrl(Option<String>),
    DeleteCodeSigning,
    DeleteConcurrency,
    /// Keeps the live code as a version, for `rollback`.
    KeepCode {
        source: String,
        code_sha256: String,
    },
    UpdateCode(Architecture),
    /// Records which sources and which zip the live code came from.
    MarkCode {
        source: String,
    },
    Delete,
}
