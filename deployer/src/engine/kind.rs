//! The one trait that every kind of AWS thing implements, and its erased form.
//!
//! A kind says what it observes, decides purely which ops lead from there to the goal, and runs
//! one op. Planning ([`crate::engine::plan`]) and executing ([`crate::engine::execute`]) know nothing else of it.

use std::{fmt, future::Future, sync::Arc};

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use crate::{aws::Aws, deployment::facts::Facts, engine::events::Progress, error::Error};

/// Where a plan leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toward {
    /// Everything is as the configuration declares.
    Present,
    /// Nothing of ours is left.
    Absent {
        /// The user's access keys may be deleted although a host may still use them.
        stop_mail: bool,
    },
}

/// Names a thing for people: `role mail-prod-rotation-eu-west-1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(crate) struct Address {
    /// The sort of thing.
    pub(crate) kind: &'static str,
    /// Its name in AWS.
    pub(crate) name: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What an op does to the thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verb {
    /// The thing is not there yet.
    Create,
    /// It is there, and something of it changes.
    Update,
    /// It goes.
    Delete,
}

/// One mutating AWS call, as plain data: what a person approves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Op {
    /// What it does to the thing.
    pub(crate) verb: Verb,
    /// The AWS action, as a policy names it: `iam:CreateRole`.
    pub(crate) call: &'static str,
    /// What the call changes, field by field.
    pub(crate) changes: Vec<Change>,
}

/// One field that an op changes. `None` is "not there".
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Change {
    /// The field, in AWS's words.
    pub(crate) field: String,
    /// What AWS holds now.
    pub(crate) from: Option<Value>,
    /// What it will hold.
    pub(crate) to: Option<Value>,
}

impl Op {
    pub(crate) fn new(verb: Verb, call: &'static str) -> Self {
        Self { verb, call, changes: Vec::new() }
    }

    /// Adds a field; a field that does not change is left out.
    #[must_use]
    pub(crate) fn with(mut self, field: &str, from: Option<Value>, to: Option<Value>) -> Self {
        if from != to {
            self.changes.push(Change { field: field.to_owned(), from, to });
        }
        self
    }

    /// Whether somebody who approved `approved` approved this too: the same call, to the same values
    /// or to some of them, and what it takes away is what was shown.
    pub(crate) fn is_covered_by(&self, approved: &Self) -> bool {
        let covers = |shown: &Change, change: &Change| {
            shown.field == change.field && shown.to == change.to && (change.to.is_some() || shown.from == change.from)
        };
        self.call == approved.call
            && self.changes.iter().all(|change| approved.changes.iter().any(|shown| covers(shown, change)))
    }

    /// Adds a field that comes with a new thing.
    #[must_use]
    pub(crate) fn sets(self, field: &str, to: impl Into<Value>) -> Self {
        self.with(field, None, Some(to.into()))
    }
}

/// A kind of AWS thing. Everything about it is in its one file.
pub(crate) trait Kind: Send + Sync + Sized + 'static {
    /// What AWS holds, as far as this kind looks at it.
    type Observed: Send + 'static;
    /// The arguments of each mutating call, complete: running it leaves no choice open.
    type Call: Send + 'static;

    fn address(&self) -> Address;

    /// Reads, and never writes.
    fn observe(&self, aws: &Aws) -> impl Future<Output = Result<Self::Observed, Error>> + Send;

    /// The calls that lead from what was observed to the goal, in order. Pure.
    fn decide(&self, toward: Toward, facts: &Facts, observed: &Self::Observed) -> Result<Vec<(Op, Self::Call)>, Error>;

    /// What people should know of a thing that is, or will be, as declared. Pure.
    fn note(&self, _observed: &Self::Observed) -> Option<String> {
        None
    }

    /// Makes one call. Safe to run twice: what exists already, or is gone already, is a conflict
    /// that makes [`crate::engine::execute`] look again.
    fn run(&self, context: &Context, call: Self::Call) -> impl Future<Output = Result<(), Error>> + Send;
}

/// What an op needs while it runs.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) aws: Aws,
    /// The built zip; only where the plan uploads code.
    pub(crate) package: Option<Arc<Vec<u8>>>,
    /// The ClientRequestToken of the rotation that this run may start: the same for every retry.
    pub(crate) rotation_token: Arc<str>,
    /// Whether something that this thing needs was changed in this run, so that AWS may lag behind.
    pub(crate) after_change: bool,
    /// Where an op says what it waits for.
    pub(crate) progress: Progress,
}

/// A kind whose types are erased, so that a stack can hold all of them.
pub(crate) trait Resource: Send + Sync {
    fn address(&self) -> Address;
    fn observe<'a>(&'a self, aws: &'a Aws) -> BoxFuture<'a, Result<Box<dyn Decide>, Error>>;
}

/// What was observed, ready to be decided on.
pub(crate) trait Decide: Send {
    fn decide(&self, toward: Toward, facts: &Facts) -> Result<Vec<ReadyOp>, Error>;
    fn note(&self) -> Option<String>;
}

/// An op with the call that it stands for.
pub(crate) struct ReadyOp {
    pub(crate) op: Op,
    run: Box<dyn FnOnce(Context) -> BoxFuture<'static, Result<(), Error>> + Send>,
}

impl ReadyOp {
    pub(crate) async fn run(self, context: Context) -> Result<(), Error> {
        (self.run)(context).await
    }
}

struct Looked<K: Kind> {
    kind: Arc<K>,
    observed: K::Observed,
}

impl<K: Kind> Resource for Arc<K> {
    fn address(&self) -> Address {
        K::address(self)
    }

    fn observe<'a>(&'a self, aws: &'a Aws) -> BoxFuture<'a, Result<Box<dyn Decide>, Error>> {
        Box::pin(async move {
            let observed = K::observe(self, aws).await?;
            Ok(Box::new(Looked { kind: Arc::clone(self), observed }) as Box<dyn Decide>)
        })
    }
}

impl<K: Kind> Decide for Looked<K> {
    fn decide(&self, toward: Toward, facts: &Facts) -> Result<Vec<ReadyOp>, Error> {
        let ops = self.kind.decide(toward, facts, &self.observed)?;
        let ready = |(op, call): (Op, K::Call)| {
            let kind = Arc::clone(&self.kind);
            ReadyOp { op, run: Box::new(move |context| Box::pin(async move { kind.run(&context, call).await })) }
        };
        Ok(ops.into_iter().map(ready).collect())
    }

    fn note(&self) -> Option<String> {
        self.kind.note(&self.observed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(call: &'static str, changes: &[(&str, Option<&str>, Option<&str>)]) -> Op {
        let value = |text: Option<&str>| text.map(Value::from);
        changes
            .iter()
            .fold(Op::new(Verb::Update, call), |op, (field, from, to)| op.with(field, value(*from), value(*to)))
    }

    #[test]
    fn an_approved_op_covers_the_same_goal_from_wherever_it_starts() {
        let approved = op("iam:TagRole", &[("tags.a", None, Some("1")), ("tags.b", None, Some("2"))]);
        assert!(op("iam:TagRole", &[("tags.a", Some("x"), Some("1"))]).is_covered_by(&approved));
        assert!(!op("iam:TagRole", &[("tags.a", None, Some("3"))]).is_covered_by(&approved));
        assert!(!op("iam:TagRole", &[("tags.c", None, Some("1"))]).is_covered_by(&approved));
        assert!(!op("iam:TagUser", &[("tags.a", None, Some("1"))]).is_covered_by(&approved));
    }

    #[test]
    fn what_an_op_takes_away_must_be_what_was_approved() {
        let approved = op("iam:DeleteAccessKey", &[("access_key", Some("AKIAONE"), None)]);
        assert!(approved.is_covered_by(&approved));
        assert!(!op("iam:DeleteAccessKey", &[("access_key", Some("AKIATWO"), None)]).is_covered_by(&approved));
    }
}
