//! How a command ends.

use crate::{error::Error, exit::Exit, screen::Screen};

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Everything was as it should be.
    NothingToDo,
    /// There are changes to make. Nothing was changed.
    Differences,
    /// Changes were made.
    Changes,
}

/// The error was shown already: how the program ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown(pub(super) Exit);

impl Shown {
    pub(super) const FAILED: Self = Self(Exit::Failed);

    /// How the program ends if it changed something before.
    pub(super) fn after_changes(self) -> Self {
        Self(self.0.after_changes())
    }
}

/// Shows an error. Returns that it was shown.
pub(super) fn show(screen: &Screen, error: &Error) -> Shown {
    screen.error(error);
    Shown(error.into())
}

/// Shows errors that were found together while reading. Returns that they were shown.
pub(super) fn show_all(screen: &Screen, errors: &[Error]) -> Shown {
    screen.errors(errors);
    Shown(Exit::of_reading(errors))
}
