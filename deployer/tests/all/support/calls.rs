//! The sandbox's log of AWS calls (examples/sandbox/README.md, `calls.jsonl`).

use std::fs;

use serde::Deserialize;

use super::{example::ROLE, sandbox::Sandbox};

/// Compared with the mutating calls of a run that only reads.
pub(crate) const NOTHING: [&str; 0] = [];

/// An AWS call that was made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Call {
    /// The ARN of the caller.
    pub(crate) caller: String,
    pub(crate) service: String,
    pub(crate) action: String,
    /// AWS's code, if the call failed.
    pub(crate) error: Option<String>,
    /// Further actions for which the caller was authorised, such as iam:PassRole.
    pub(crate) also: Vec<String>,
}

impl Call {
    /// The action as IAM policies name it.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.service, self.action)
    }

    pub(crate) fn is_by_the_function(&self) -> bool {
        self.caller.contains(ROLE)
    }

    /// Whether the sandbox's administrator made it: the deployer, or the test itself.
    pub(crate) fn is_by_the_administrator(&self) -> bool {
        self.caller.contains(":user/")
    }

    /// By a call of Lambda's Invoke the deployer asks the function; what that changes is in the function's own calls.
    pub(crate) fn only_reads(&self) -> bool {
        self.name() == "lambda:InvokeFunction"
            || ["Get", "List", "Describe", "Filter", "Simulate"].iter().any(|read| self.action.starts_with(read))
    }
}

impl Sandbox {
    /// Every call so far, oldest first.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let log = fs::read_to_string(self.path("calls.jsonl")).unwrap_or_default();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The end of the log of calls, as it is now.
    pub(crate) fn mark(&self) -> usize {
        self.calls().len()
    }

    /// The names of the calls since then that change something, and of those that tried to.
    pub(crate) fn mutations(&self, since: usize) -> Vec<String> {
        self.calls()[since..].iter().filter(|call| !call.only_reads()).map(Call::name).collect()
    }
}
