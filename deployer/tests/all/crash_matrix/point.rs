//! The points of the matrix, which of them run, and how each may end.

use std::fmt;

use crate::support::{controls::RetryToken, faults};

/// Whose IAM user it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    Owned,
    Existing,
}

impl User {
    pub(super) const ALL: [Self; 2] = [Self::Owned, Self::Existing];
}

/// How the account is before the rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) user: User,
    /// 0: the secret holds its placeholder. 1: AWSCURRENT's key. 2: also the previous key, whose grace is over.
    pub(super) keys: usize,
}

impl Start {
    pub(super) const NUMBERS_OF_KEYS: [usize; 3] = [0, 1, 2];
}

/// An AWS call that the function makes during an undisturbed rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Such as `iam:CreateAccessKey`.
    pub(super) action: String,
    /// Which call of this action it is, from 1.
    pub(super) number: usize,
    /// The step that makes it.
    pub(super) step: &'static str,
    /// Whether the step has made an access key before it.
    pub(super) after_key: bool,
}

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// AWS refuses the call, with an error after which the SDK does not try again.
    Refused,
    /// The call takes effect, and its answer never arrives.
    AnswerLost,
    /// AWS asks for fewer calls.
    Throttled,
    /// The call takes effect, and then the function's process is killed.
    Killed,
    /// The call takes effect, and then no call gets an answer until the function's time is over.
    DeadlineReached,
}

impl Fault {
    pub(super) const ALL: [Self; 5] =
        [Self::Refused, Self::AnswerLost, Self::Throttled, Self::Killed, Self::DeadlineReached];
}

/// The version with which Secrets Manager tries a failed rotation again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    SameToken,
    NewToken,
}

impl Retry {
    pub(super) const ALL: [Self; 2] = [Self::SameToken, Self::NewToken];

    pub(super) fn token(self) -> RetryToken {
        match self {
            Self::SameToken => RetryToken::Same,
            Self::NewToken => RetryToken::New,
        }
    }
}

/// One fault in one rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) start: Start,
    pub(super) call: Call,
    pub(super) fault: Fault,
    pub(super) retry: Retry,
}

impl Point {
    /// The sandbox's rule.
    pub(super) fn rule(&self) -> faults::Fault {
        let Call { action, number, .. } = &self.call;
        let fault = match self.fault {
            Fault::Refused => faults::Fault::refuse(action, "AccessDeniedException"),
            Fault::AnswerLost => faults::Fault::lose_reply(action),
            Fault::Throttled => faults::Fault::throttle(action),
            Fault::Killed => faults::Fault::kill(action),
            Fault::DeadlineReached => faults::Fault::hang(action),
        };
        fault.by_the_function().at_call(*number)
    }

    /// Whether a first attempt may end in an error of this type: Lambda's if the process was killed, else the handler's own.
    pub(super) fn explains(&self, error: &str) -> bool {
        let is_lambdas = error.contains('.');
        is_lambdas == (self.fault == Fault::Killed) && (!is_lambdas || error == "Runtime.ExitError")
    }

    /// Whether the fault leaves an orphan: a key that IAM made, and whose secret the handler never received or never stored.
    ///
    /// Only then may a later rotation fail without a fault, and only with `NoSafeSlot`. On an owned user it fails until the orphan
    /// is so old that it cannot be a key that another invocation is just making. On another user it fails until somebody deletes
    /// the orphan.
    pub(super) fn leaves_an_orphan(&self) -> bool {
        match self.call.action.as_str() {
            "iam:CreateAccessKey" => {
                matches!(self.fault, Fault::AnswerLost | Fault::Killed | Fault::DeadlineReached)
            }
            // The last look at the labels, before the key's credential is stored.
            "secretsmanager:DescribeSecret" => {
                self.call.after_key && matches!(self.fault, Fault::Killed | Fault::DeadlineReached)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, call, fault, retry } = self;
        let Call { action, number, step, .. } = call;
        write!(f, "{:?} user, {} keys: {step}, {action} {number}: {fault:?}, {retry:?}", start.user, start.keys)
    }
}

/// Every point: calls × faults × retries, for every start.
pub(super) fn all(observed: &[(Start, Vec<Call>)]) -> Vec<Point> {
    let mut points = Vec::new();
    for (start, calls) in observed {
        for fault in Fault::ALL {
            for call in calls {
                for retry in Retry::ALL {
                    points.push(Point { start: *start, call: call.clone(), fault, retry });
                }
            }
        }
    }
    points
}
