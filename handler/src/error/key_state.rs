use std::fmt;

/// How a key is that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// It does not exist any more.
    Deleted,
    /// Somebody deactivated it.
    Inactive,
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deleted => "deleted",
            Self::Inactive => "Inactive",
        })
    }
}
