//! The points of the matrix.

use std::fmt;

use crate::support::faults::{self, When};

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// An apply, where nothing is there.
    Create,
    /// An apply that changes every kind of resource.
    Update,
    /// An apply of a file without `notify` and `instance`.
    Remove,
    Destroy,
    /// An apply that takes over what another tool made.
    Adopt,
}

impl Run {
    /// Every run that is worth its time: an apply that adopts never rotates, whatever the file says.
    pub(super) fn all(rotates: bool) -> impl Iterator<Item = Self> {
        let all = [Self::Create, Self::Update, Self::Remove, Self::Destroy, Self::Adopt];
        all.into_iter().filter(move |run| rotates || *run != Self::Adopt)
    }

    pub(super) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Create | Self::Update | Self::Remove => &["apply", "--auto-approve"],
            Self::Adopt => &["apply", "--adopt", "--auto-approve"],
            Self::Destroy => &["destroy", "--auto-approve", "--stop-mail"],
        }
    }
}

/// How a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) run: Run,
    /// Whether the first apply rotates.
    pub(super) rotates: bool,
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, rotates } = self;
        write!(f, "{run:?}, rotate_on_create: {rotates}")
    }
}

/// An AWS call that the deployer makes in an undisturbed run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Such as `iam:CreateRole`.
    pub(super) action: String,
    /// Which call of this action it is, from 1.
    pub(super) number: usize,
    pub(super) only_reads: bool,
}

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// AWS denies the call.
    Denied,
    /// AWS fails, also when the SDK tries again.
    Failed,
    /// AWS asks for fewer calls, for a while.
    Throttled,
    /// The call takes effect, and its answer never arrives.
    AnswerLost,
    /// The deployer is killed before the call takes effect.
    KilledBefore,
    /// The call takes effect, and then the deployer is killed.
    KilledAfter,
}

/// How often the SDK makes a call.
const ATTEMPTS: usize = 4;

impl Fault {
    const ALL: [Self; 6] =
        [Self::Denied, Self::Failed, Self::Throttled, Self::AnswerLost, Self::KilledBefore, Self::KilledAfter];

    /// A call that only reads has no effect: its answer is as good as lost if the call fails, and a run that is killed after it is as
    /// one that is killed before it.
    fn can_hit(self, call: &Call) -> bool {
        !call.only_reads || !matches!(self, Self::AnswerLost | Self::KilledAfter)
    }

    pub(super) fn kills(self) -> bool {
        matches!(self, Self::KilledBefore | Self::KilledAfter)
    }
}

/// A fault in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) start: Start,
    pub(super) call: Call,
    pub(super) fault: Fault,
}

impl Point {
    /// The sandbox's rule.
    pub(super) fn rule(&self) -> faults::Fault {
        let Call { action, number, .. } = &self.call;
        let denied = "User: u is not authorized to perform this action";
        let fault = match self.fault {
            Fault::Denied => faults::Fault::fail(action, 403, "AccessDenied", denied),
            Fault::Failed => faults::Fault::fail(action, 500, "InternalFailure", "it failed").times(ATTEMPTS),
            Fault::Throttled => faults::Fault::throttle(action).times(ATTEMPTS - 1),
            Fault::AnswerLost => faults::Fault::lose_reply(action),
            Fault::KilledBefore => faults::Fault::silence(action, When::Before),
            Fault::KilledAfter => faults::Fault::silence(action, When::After),
        };
        fault.by_the_administrator().at_call(*number)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, call: Call { action, number, .. }, fault } = self;
        write!(f, "{start}: {action} {number}: {fault:?}")
    }
}

/// Every point, in groups of one start and one fault.
pub(super) fn groups(observed: &[(Start, Vec<Call>)]) -> Vec<Vec<Point>> {
    let mut groups: Vec<Vec<Point>> = Vec::new();
    for (start, calls) in observed {
        for fault in Fault::ALL {
            let of_fault = calls.iter().filter(|call| fault.can_hit(call));
            groups.push(of_fault.map(|call| Point { start: *start, call: call.clone(), fault }).collect());
        }
    }
    groups
}
