//! What every kind of AWS resource implements.
//!
//! A kind is a value: it holds what identifies one resource, and no more. What the resource should be is its *goal*, another
//! value, which [`crate::stack`] makes from the configuration and the facts. So a resource that the configuration no longer
//! declares needs only its name to be removed.

use std::{collections::BTreeSet, sync::Arc};

use contract::Text;
use serde::Serialize;
use serde_json::json;

use crate::{
    aws::Aws,
    deployment::{
        facts::{Facts, Former},
        record::Record,
    },
    digest,
    engine::{
        events::Progress,
        op::{Address, Effect, Op},
    },
    error::Error,
};

/// A kind of AWS resource. Everything about it is in its one file.
///
/// A kind whose resources carry tags implements [`crate::engine::owned::Tagged`] instead, which checks the owner.
pub(crate) trait Kind: Send + Sync + Sized + 'static {
    /// What the resource should be.
    type Goal: Send + Serialize + Sync + 'static;
    /// What AWS holds, as far as this kind reads it.
    type Observed: Send + 'static;
    /// The arguments of each mutating call, complete: running it leaves no choice open.
    type Call: Send + 'static;

    /// AWS's codes for "it is not as you saw it": they make the engine observe again instead of giving up.
    const CONFLICTS: &'static [&'static str];

    /// General codes that mean the same only with these words in AWS's message.
    const CONFLICTS_IN_WORDS: &'static [(&'static str, &'static str)] = &[];

    /// What every op of this kind does beside the fields that it changes.
    const EFFECTS: &'static [Effect] = &[];

    /// Whether the answers of this kind's calls prove that the goal is reached, so that it need not be read again.
    const IS_PROVEN_BY_ANSWERS: bool = false;

    /// What the deployment has of a resource of this kind.
    const STAKE: Stake = Stake::Whole;

    /// Why a rotation that begins now would fail at the resource, and what to do. Only of a kind that neither the function's report nor
    /// IAM's simulator tells of: then it is read before a rotation. Pure.
    const STOPS_ROTATIONS: Option<StopsRotations<Self>> = None;

    fn address(&self) -> Address;

    /// Tells whether the configuration declares the resource as it did before. What of the goal follows from what is there, and not
    /// from the configuration, a kind leaves out (`#[serde(skip)]`): else the second apply would change the record.
    fn digest(goal: &Self::Goal) -> String {
        digest::digest([&json!(goal).to_string()])
    }

    /// Reads, and never writes.
    fn observe(&self, aws: &Aws) -> impl Future<Output = Result<Self::Observed, Error>> + Send;

    /// The observation "not there". Some only if AWS's create call fails when the resource exists: then a planned creation is not
    /// read first.
    fn absent(&self) -> Option<Self::Observed> {
        None
    }

    /// The calls that lead from what was observed to the goal, in order; none if it is reached. Pure.
    fn decide(&self, aim: Aim<'_, Self::Goal>, observed: &Self::Observed) -> Result<Vec<(Op, Self::Call)>, Error>;

    /// What people should know of a resource that is, or will be, as declared. The goal is missing if a fact is. Pure.
    fn note(&self, _goal: Option<&Self::Goal>, _observed: &Self::Observed) -> Option<Text> {
        None
    }

    /// What a reviewer should know, and nobody has to act on. Pure.
    fn mention(&self, _observed: &Self::Observed) -> Option<Text> {
        None
    }

    /// What of ours stays although the deployment goes, and why. Pure.
    fn stays(&self, _observed: &Self::Observed) -> Option<Text> {
        None
    }

    /// What somebody else gave a resource of ours, and no apply takes away. Pure.
    fn foreign(&self, _goal: Option<&Self::Goal>, _observed: &Self::Observed) -> Vec<Text> {
        Vec::new()
    }

    /// Makes one call. It is safe to run twice: a conflict makes the engine observe again.
    fn run(&self, context: &Context, call: Self::Call) -> impl Future<Output = Result<(), Error>> + Send;
}

/// From the goal and what was observed to why a rotation would fail.
pub(crate) type StopsRotations<K> = fn(&K, &<K as Kind>::Goal, &<K as Kind>::Observed) -> Option<Error>;

/// What a deployment may own of a resource, so that its record names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stake {
    /// The resource.
    Whole,
    /// A mark on a resource that exists without the deployment.
    Mark,
    /// Nothing: it is only read.
    Nothing,
}

/// Where one resource is to go: [`crate::engine::op::Toward`], with the goal.
#[derive(Debug)]
pub(crate) enum Aim<'a, Goal> {
    Present(&'a Goal),
    Absent(Going<'a>),
}

/// What is known of a run in which a resource goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Going<'a> {
    /// The user's access keys may be deleted although a host may still use them.
    pub(crate) stop_mail: bool,
    /// What the deployment had before: it goes in the same run.
    pub(crate) former: &'a Former,
    /// The record, if there is one.
    pub(crate) record: Option<&'a Record>,
}

static NOTHING: Former = Former { secrets: Vec::new(), functions: Vec::new(), roles: Vec::new() };

impl<'a> Going<'a> {
    /// Without a record, nothing else is known to go too.
    pub(crate) fn of(stop_mail: bool, facts: &'a Facts) -> Self {
        let record = facts.record().ok().flatten().map(|kept| &kept.record);
        Self { stop_mail, former: facts.former().unwrap_or(&NOTHING), record }
    }

    /// Keys of the tags of the file, as the record says.
    pub(crate) fn recorded_tags(&self) -> BTreeSet<String> {
        self.record.map(|record| record.tags.iter().cloned().collect()).unwrap_or_default()
    }
}

impl<Goal> Clone for Aim<'_, Goal> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Goal> Copy for Aim<'_, Goal> {}

/// What an op needs while it runs.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) aws: Aws,
    /// The built zip; only if the plan uploads code.
    pub(crate) package: Option<Arc<Vec<u8>>>,
    /// The ClientRequestToken of the rotation that this run may start: the same for every retry.
    pub(crate) rotation_token: Arc<str>,
    /// Whether this run changed a resource that this one depends on, so that AWS may still see the one from before.
    pub(crate) after_change: bool,
    /// Where an op says what it waits for.
    pub(crate) progress: Progress,
}
