//! AWS calls that fail, are throttled, lose their answer, or end the function (examples/sandbox/README.md, "Faults").

use serde::{Deserialize, Serialize};

use super::{controls::Control, example::ROLE, sandbox::Sandbox};

/// A rule: which calls it hits, and what becomes of those. Each HTTP request is a call, so to get past an SDK's retries, a rule
/// has to hit several in a row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Fault {
    action: String,
    /// Part of the caller's ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<&'static str>,
    /// The first call that it hits, from 1.
    call: usize,
    /// How many calls in a row it hits.
    times: usize,
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Kind {
    Fail { status: u16, code: &'static str, message: &'static str },
    Throttle,
    LoseReply,
    Hold,
    Silence { when: When },
    Stale,
    Kill,
    Hang,
}

/// Whether a call takes effect before it is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum When {
    /// It takes no effect.
    Before,
    After,
}

impl Fault {
    /// AWS refuses the call with this error of its own; the call takes no effect.
    pub(crate) fn fail(action: &str, status: u16, code: &'static str, message: &'static str) -> Self {
        Self::new(action, Kind::Fail { status, code, message })
    }

    /// AWS refuses the call with this code and status 400; the call takes no effect.
    pub(crate) fn refuse(action: &str, code: &'static str) -> Self {
        Self::fail(action, 400, code, "refused by the test")
    }

    /// AWS asks for fewer calls; the call takes no effect.
    pub(crate) fn throttle(action: &str) -> Self {
        Self::new(action, Kind::Throttle)
    }

    /// The call takes effect, and its answer never arrives.
    pub(crate) fn lose_reply(action: &str) -> Self {
        Self::new(action, Kind::LoseReply)
    }

    /// The call waits until the rules are replaced, and then takes effect.
    pub(crate) fn hold(action: &str) -> Self {
        Self::new(action, Kind::Hold)
    }

    /// The call gets no answer until the rules are replaced. Then the connection closes.
    pub(crate) fn silence(action: &str, when: When) -> Self {
        Self::new(action, Kind::Silence { when })
    }

    /// ListAccessKeys returns the user's keys as they were before the last change of one.
    pub(crate) fn stale_list_of_keys() -> Self {
        Self::new("iam:ListAccessKeys", Kind::Stale)
    }

    /// The call takes effect, and then the function's process is killed.
    pub(crate) fn kill(action: &str) -> Self {
        Self::new(action, Kind::Kill)
    }

    /// The call takes effect, and then neither this call nor a later one of the invocation gets an answer.
    pub(crate) fn hang(action: &str) -> Self {
        Self::new(action, Kind::Hang)
    }

    fn new(action: &str, kind: Kind) -> Self {
        Self { action: action.to_owned(), caller: None, call: 1, times: 1, kind }
    }

    /// Hits this call and none before it, counted from 1.
    pub(crate) fn at_call(self, call: usize) -> Self {
        Self { call, ..self }
    }

    /// Hits so many calls in a row.
    pub(crate) fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Hits calls of the function only.
    pub(crate) fn by_the_function(self) -> Self {
        Self { caller: Some(ROLE), ..self }
    }

    /// Hits calls of the administrator only, as whom the deployer runs.
    pub(crate) fn by_the_administrator(self) -> Self {
        Self { caller: Some(":user/"), ..self }
    }
}

/// Replaces all rules.
#[derive(Debug, Serialize)]
struct Replace<'a> {
    rules: &'a [Fault],
}

#[derive(Deserialize)]
struct Replaced {
    /// How many calls each of the rules before has counted.
    seen: Vec<usize>,
}

impl Control for Replace<'_> {
    const NAME: &'static str = "faults";
    type Reply = Replaced;
}

impl Sandbox {
    /// From now on these rules are in force, and no others.
    pub(crate) fn faults(&self, rules: &[Fault]) {
        self.control(&Replace { rules });
    }

    /// Ends all faults. Returns how many calls each rule has counted.
    pub(crate) fn end_faults(&self) -> Vec<usize> {
        self.control(&Replace { rules: &[] }).seen
    }
}
