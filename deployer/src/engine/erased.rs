//! Resources whose types are erased, so that a stack can hold all kinds. Only planning and executing need them.

use std::sync::Arc;

use contract::Text;
use futures_util::future::BoxFuture;

use crate::{
    aws::Aws,
    deployment::{facts::Facts, record::Entry},
    engine::{
        kind::{Aim, Context, Going, Kind, Stake},
        op::{Address, Op, Toward},
    },
    error::Error,
};

/// Index of a node in its stack.
pub(crate) type NodeId = usize;

/// A resource, where it is to go, and what must be there before it.
pub(crate) struct Node {
    pub(crate) resource: Box<dyn ErasedKind>,
    /// Of each node on its own: in one plan, one resource can go while the others stay.
    pub(crate) toward: Toward,
    /// Earlier nodes only, so that a stack has no cycle.
    pub(crate) after: Vec<NodeId>,
    pub(crate) stage: Stage,
}

/// The stages of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// What the configuration declares.
    Declared,
    /// What only the record names. It goes once nothing needs it any more.
    Leftover,
    /// The record, which says what was reached.
    Record,
}

/// A resource with its goal.
pub(crate) trait ErasedKind: Send + Sync {
    fn address(&self) -> Address;
    /// What the record says of the resource; none if the deployment never owns any of it.
    fn entry(&self, facts: &Facts) -> Option<Entry>;
    fn observe<'a>(&'a self, aws: &'a Aws) -> BoxFuture<'a, Result<Box<dyn Observation>, Error>>;
    /// As of [`Kind`].
    fn absent(&self) -> Option<Box<dyn Observation>>;
    /// As of [`Kind`].
    fn is_proven_by_answers(&self) -> bool;
    /// Whether the resource is read before a rotation.
    fn may_stop_rotations(&self) -> bool;
}

/// What was observed of a resource, ready to be decided on.
pub(crate) trait Observation: Send {
    /// The ops that lead to the goal. On the way to absent, no goal is made, so that no fact is needed.
    fn decide(&self, toward: Toward, facts: &Facts) -> Result<Vec<RunnableOp>, Error>;
    /// What people should know of the resource; nothing if a fact is missing.
    fn note(&self, facts: &Facts) -> Option<Text>;
    /// As of [`Kind`].
    fn mention(&self) -> Option<Text>;
    /// As of [`Kind`].
    fn stays(&self) -> Option<Text>;
    /// As of [`Kind`].
    fn foreign(&self, facts: &Facts) -> Vec<Text>;
    /// As of [`Kind`]; nothing if a fact is missing.
    fn stops_rotations(&self, facts: &Facts) -> Option<Error>;
}

/// An op with the call that it stands for.
pub(crate) struct RunnableOp {
    pub(crate) op: Op,
    /// Whether the error means: observe again.
    is_conflict: fn(&Error) -> bool,
    run: Box<dyn FnOnce(Context) -> BoxFuture<'static, Result<(), Error>> + Send>,
}

/// How a call ended.
pub(crate) enum Ran {
    Done,
    /// The resource is not as it was observed, or the reply was lost: only observing again tells what is left to do.
    Conflict(Error),
}

impl RunnableOp {
    pub(crate) async fn run(self, context: Context) -> Result<Ran, Error> {
        match (self.run)(context).await {
            Ok(()) => Ok(Ran::Done),
            Err(error) if (self.is_conflict)(&error) => Ok(Ran::Conflict(error)),
            Err(error) => Err(error),
        }
    }
}

/// Erases the types of a kind and its goal.
pub(crate) fn erase<K: Kind>(
    kind: K,
    goal: impl Fn(&Facts) -> Result<K::Goal, Error> + Send + Sync + 'static,
) -> Box<dyn ErasedKind> {
    Box::new(Resource { kind: Arc::new(kind), goal: Arc::new(goal) })
}

type GoalOf<K> = Arc<dyn Fn(&Facts) -> Result<<K as Kind>::Goal, Error> + Send + Sync>;

struct Resource<K: Kind> {
    kind: Arc<K>,
    goal: GoalOf<K>,
}

struct Seen<K: Kind> {
    kind: Arc<K>,
    goal: GoalOf<K>,
    observed: K::Observed,
}

impl<K: Kind> Resource<K> {
    fn seen(&self, observed: K::Observed) -> Box<dyn Observation> {
        Box::new(Seen { kind: Arc::clone(&self.kind), goal: Arc::clone(&self.goal), observed })
    }
}

impl<K: Kind> ErasedKind for Resource<K> {
    fn address(&self) -> Address {
        self.kind.address()
    }

    fn entry(&self, facts: &Facts) -> Option<Entry> {
        let Address { kind, name } = self.kind.address();
        let declared = (self.goal)(&facts.as_declared()).ok().map(|goal| K::digest(&goal));
        (K::STAKE != Stake::Nothing).then_some(Entry { kind, name, existing: K::STAKE == Stake::Mark, declared })
    }

    fn observe<'a>(&'a self, aws: &'a Aws) -> BoxFuture<'a, Result<Box<dyn Observation>, Error>> {
        Box::pin(async move {
            let observed = self.kind.observe(aws).await?;
            Ok(self.seen(observed))
        })
    }

    fn absent(&self) -> Option<Box<dyn Observation>> {
        self.kind.absent().map(|observed| self.seen(observed))
    }

    fn is_proven_by_answers(&self) -> bool {
        K::IS_PROVEN_BY_ANSWERS
    }

    fn may_stop_rotations(&self) -> bool {
        K::STOPS_ROTATIONS.is_some()
    }
}

impl<K: Kind> Observation for Seen<K> {
    fn decide(&self, toward: Toward, facts: &Facts) -> Result<Vec<RunnableOp>, Error> {
        let ops = match toward {
            Toward::Present => self.kind.decide(Aim::Present(&(self.goal)(facts)?), &self.observed)?,
            Toward::Absent { stop_mail } => {
                self.kind.decide(Aim::Absent(Going::of(stop_mail, facts)), &self.observed)?
            }
        };
        let runnable = |(op, call): (Op, K::Call)| {
            let kind = Arc::clone(&self.kind);
            RunnableOp {
                op: K::EFFECTS.iter().fold(op, |op, effect| op.effect(*effect)),
                is_conflict: is_conflict::<K>,
                run: Box::new(move |context| Box::pin(async move { kind.run(&context, call).await })),
            }
        };
        Ok(ops.into_iter().map(runnable).collect())
    }

    fn note(&self, facts: &Facts) -> Option<Text> {
        self.kind.note((self.goal)(facts).ok().as_ref(), &self.observed)
    }

    fn mention(&self) -> Option<Text> {
        self.kind.mention(&self.observed)
    }

    fn stays(&self) -> Option<Text> {
        self.kind.stays(&self.observed)
    }

    fn foreign(&self, facts: &Facts) -> Vec<Text> {
        self.kind.foreign((self.goal)(facts).ok().as_ref(), &self.observed)
    }

    fn stops_rotations(&self, facts: &Facts) -> Option<Error> {
        K::STOPS_ROTATIONS?(&self.kind, &(self.goal)(facts).ok()?, &self.observed)
    }
}

fn is_conflict<K: Kind>(error: &Error) -> bool {
    error.is_ambiguous()
        || error.code().is_some_and(|code| K::CONFLICTS.contains(&code))
        || K::CONFLICTS_IN_WORDS.iter().any(|(code, words)| error.is(code, words))
}
