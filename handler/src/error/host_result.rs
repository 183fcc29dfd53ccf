//! How the script ended on a host.

use std::fmt;

/// Systems Manager's words for a script that ended well.
const SUCCESS: &str = "Success";

/// Its words for a script that was ended because it ran longer than it may.
const RAN_TOO_LONG: &str = "Execution Timed Out";

/// Its word for a command that its agent on the host does not have yet.
const PENDING: &str = "Pending";

/// Its words for a script that its agent on the host has not begun.
const NOT_BEGUN: [&str; 3] = [PENDING, "Delayed", "Delivery Timed Out"];

/// How the script ended on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostResult {
    pub(crate) instance: String,
    /// Systems Manager's words for how it stands, such as `Success` or `Execution Timed Out`.
    pub(crate) status: String,
    /// The script's exit code, if it ended.
    pub(crate) exit_code: Option<i32>,
    /// The end of its output, without what looks like a secret.
    pub(crate) output: String,
    /// Whether its standard output names the access key that the host was told of.
    pub(crate) confirmed: bool,
    /// Whether Systems Manager has cut the standard output.
    pub(crate) cut: bool,
    /// Whether it has ended.
    pub(crate) finished: bool,
}

impl HostResult {
    pub(crate) fn waiting(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            status: PENDING.to_owned(),
            exit_code: None,
            output: String::new(),
            confirmed: false,
            cut: false,
            finished: false,
        }
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.status == SUCCESS && self.exit_code == Some(0)
    }

    pub(crate) fn ran_too_long(&self) -> bool {
        self.status == RAN_TOO_LONG
    }

    pub(crate) fn has_not_begun(&self) -> bool {
        NOT_BEGUN.contains(&self.status.as_str())
    }
}

impl fmt::Display for HostResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.instance, self.status)?;
        match self.exit_code {
            Some(0) => {}
            Some(code) => write!(f, ", exit code {code}")?,
            None if self.status == SUCCESS => f.write_str(", but no exit code")?,
            None => {}
        }
        if !self.succeeded() && !self.output.is_empty() {
            write!(f, ", its output ends: {}", self.output)?;
        }
        Ok(())
    }
}
