//! Runs a plan: every resource as soon as those that it depends on are done, all others at the same time.
//!
//! Each resource *converges*: observe, decide, run, observe again. A conflict (it exists already, it is gone already, the
//! reply was lost) makes the engine observe again and never guess. The last observation is the proof. An op that was not
//! approved is not run: then AWS changed since the plan.
//!
//! What the plan makes, and AWS makes only if it is not there, is not observed first, and AWS's answers are the proof.

use std::{sync::Arc, time::Instant};

use futures_util::future::join_all;
use tokio::sync::watch;

use crate::{
    aws::Aws,
    deployment::facts::Facts,
    engine::{
        erased::{Node, NodeId, Ran, RunnableOp, Stage},
        events::{Event, Events, Progress},
        eventually::{CONSISTENT_WITHIN, Pauses},
        kind::Context,
        op::{Address, Effect, Op, Toward, Verb},
        plan::Plan,
    },
    error::{Error, ErrorKind},
    interrupt::{self, interrupted},
};

/// How a resource ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done {
        changed: bool,
    },
    /// It had nothing to do, and a resource that it depends on failed: what depends on it must not go on.
    Unneeded,
    Failed {
        /// Whether some of its ops were run.
        changed: bool,
        /// Why; none if it was skipped.
        why: Option<ErrorKind>,
    },
}

/// How a run ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    /// Resources that did not reach their goal, and those that were skipped because of them, in the order of the plan.
    pub(crate) unfinished: Vec<Address>,
    /// Whether any op was run.
    pub(crate) changed: bool,
    /// Why resources failed; nothing of those that were skipped.
    pub(crate) why: Vec<ErrorKind>,
}

/// What every resource of one run shares.
pub(crate) struct Run<'a> {
    pub(crate) aws: Aws,
    pub(crate) plan: &'a Plan,
    pub(crate) facts: &'a Facts,
    /// The built zip; only if the plan uploads code.
    pub(crate) package: Option<Arc<Vec<u8>>>,
    /// The ClientRequestToken of the rotation that this run may start.
    pub(crate) rotation_token: Arc<str>,
    pub(crate) events: Events,
}

/// Runs the approved ops of every resource, until each has reached its goal.
pub(crate) async fn execute(nodes: &[Node], run: &Run<'_>) -> Summary {
    let needs = predecessors(nodes, run.plan);
    let (senders, receivers): (Vec<_>, Vec<_>) = nodes.iter().map(|_| watch::channel(None)).unzip();
    let work = nodes.iter().zip(senders).zip(needs).map(|((node, done), needs)| {
        let needs: Vec<_> = needs.into_iter().map(|id: NodeId| receivers[id].clone()).collect();
        async move {
            let outcome = run_node(node, needs, run).await;
            done.send_replace(Some(outcome));
            outcome
        }
    });
    let outcomes = join_all(work).await;
    let mut summary = Summary::default();
    for (node, outcome) in nodes.iter().zip(outcomes) {
        match outcome {
            Outcome::Done { changed } => summary.changed |= changed,
            Outcome::Unneeded => {}
            Outcome::Failed { changed, why } => {
                summary.changed |= changed;
                summary.why.extend(why);
                summary.unfinished.push(node.resource.address());
            }
        }
    }
    summary
}

/// What each node waits for: what it depends on; on the way to absent, what depends on it; and what is of an earlier stage.
///
/// What stops mail cannot be undone, so on the way to absent it comes after everything else but the record: if AWS refuses to
/// delete another resource, the credential still works.
fn predecessors(nodes: &[Node], plan: &Plan) -> Vec<Vec<NodeId>> {
    let mut needs: Vec<Vec<NodeId>> = nodes.iter().map(|_| Vec::new()).collect();
    for (id, node) in nodes.iter().enumerate() {
        for &earlier in &node.after {
            match nodes[earlier].toward {
                Toward::Present => needs[id].push(earlier),
                Toward::Absent { .. } => needs[earlier].push(id),
            }
        }
    }
    // Only a node without `after` may be put last. A node with `after` is deleted before what it needs; if it waited for that too,
    // neither would start.
    let stops_mail = |node: &Node| {
        let goes = node.after.is_empty() && matches!(node.toward, Toward::Absent { .. });
        goes && plan.ops_of(&node.resource.address()).iter().any(|op| op.has(Effect::StopsMail))
    };
    let rank = |node: &Node| (node.stage == Stage::Record, stops_mail(node), node.stage);
    let ranks: Vec<_> = nodes.iter().map(rank).collect();
    for (id, rank) in ranks.iter().enumerate() {
        needs[id].extend((0..nodes.len()).filter(|&other| ranks[other] < *rank));
    }
    needs
}

/// Waits for the resources that this one needs, then runs its approved ops.
async fn run_node(node: &Node, needs: Vec<watch::Receiver<Option<Outcome>>>, run: &Run<'_>) -> Outcome {
    let address = node.resource.address();
    let approved = run.plan.ops_of(&address);
    let mut after_change = false;
    for mut need in needs {
        // The sender lives until it has sent.
        let outcome = need.wait_for(Option::is_some).await.ok().and_then(|outcome| *outcome);
        match outcome {
            Some(Outcome::Done { changed }) => after_change |= changed,
            Some(Outcome::Failed { .. } | Outcome::Unneeded) | None if approved.is_empty() => return Outcome::Unneeded,
            Some(Outcome::Failed { .. } | Outcome::Unneeded) | None => {
                if !interrupt::is_asked() {
                    run.events.say(Event::Skipped(address));
                }
                return Outcome::Failed { changed: false, why: None };
            }
        }
    }
    if approved.is_empty() {
        return Outcome::Done { changed: false };
    }
    let context = Context {
        aws: run.aws.clone(),
        package: run.package.clone(),
        rotation_token: Arc::clone(&run.rotation_token),
        after_change,
        progress: Progress { events: run.events.clone(), address: address.clone() },
    };
    let mut done = Vec::new();
    let Err(error) = converge(node, &address, approved, run.facts, &context, &mut done).await else {
        run.events.say(Event::Reached(address));
        return Outcome::Done { changed: true };
    };
    let failed = Outcome::Failed { changed: !done.is_empty(), why: Some(error.kind()) };
    // What an interrupted run has not done is told at its end.
    if error.kind() != ErrorKind::Interrupted {
        run.events.say(Event::Failed(address, error));
    }
    failed
}

/// Give up after this many rounds: somebody else undoes a change that keeps returning.
const MOST_ROUNDS: usize = 40;

/// Runs approved ops until an observation leaves nothing to do. Adds those that it ran to `done`.
async fn converge(
    node: &Node,
    address: &Address,
    approved: &[Op],
    facts: &Facts,
    context: &Context,
    done: &mut Vec<Op>,
) -> Result<(), Error> {
    let mut conflict: Option<Error> = None;
    let mut pauses = Pauses::within(CONSISTENT_WITHIN);
    let is_made = approved.first().is_some_and(|op| op.verb == Verb::Create);
    if let Some(absent) = is_made.then(|| node.resource.absent()).flatten() {
        let ops = absent.decide(node.toward, facts)?;
        if ops.iter().all(|runnable| is_among(runnable, approved)) {
            conflict = run_all(ops, address, context, done).await?;
            if conflict.is_none() {
                return Ok(());
            }
        }
    }
    for _ in 0..MOST_ROUNDS {
        let observed = node.resource.observe(&context.aws).await?;
        let ops = observed.decide(node.toward, facts)?;
        if ops.is_empty() {
            return Ok(());
        }
        if let Some(stranger) = ops.iter().find(|runnable| !is_among(runnable, approved)) {
            return Err(Error::new(format!("{address} changed since the plan"))
                .of_kind(ErrorKind::ChangedSincePlan)
                .cause(format!("it now needs {}, which was not approved", stranger.op.call))
                .hint("run the command again and read the new plan"));
        }
        let fresh: Vec<RunnableOp> = ops.into_iter().filter(|runnable| !is_among(runnable, done)).collect();
        if fresh.is_empty() || conflict.is_some() {
            let reason =
                conflict.as_ref().map_or_else(|| "AWS does not show the change yet".to_owned(), Error::in_one_line);
            if !pauses.pause(&context.progress, &reason).await? {
                return Err(conflict.unwrap_or_else(|| does_not_show(address)));
            }
        }
        let runs_some = !fresh.is_empty();
        conflict = run_all(fresh, address, context, done).await?;
        if runs_some && conflict.is_none() {
            if node.resource.is_proven_by_answers() {
                return Ok(());
            }
            // AWS gets its time from the last change on.
            pauses = Pauses::within(CONSISTENT_WITHIN);
        }
    }
    Err(conflict.unwrap_or_else(|| does_not_show(address)))
}

fn is_among(runnable: &RunnableOp, ops: &[Op]) -> bool {
    ops.iter().any(|op| runnable.op.is_covered_by(op))
}

fn does_not_show(address: &Address) -> Error {
    Error::new(format!("AWS accepted the change of {address} but does not show it"))
        .hint("run the command again in a minute; if this repeats, somebody else undoes the change")
}

/// Runs ops in order. A conflict ends the round: the next observation decides what is left.
async fn run_all(
    ops: Vec<RunnableOp>,
    address: &Address,
    context: &Context,
    done: &mut Vec<Op>,
) -> Result<Option<Error>, Error> {
    for runnable in ops {
        if interrupt::is_asked() {
            return Err(interrupted());
        }
        let op = runnable.op.clone();
        let events = &context.progress.events;
        events.say(Event::Started(address.clone(), op.clone()));
        let started = Instant::now();
        match runnable.run(context.clone()).await? {
            Ran::Done => {
                events.say(Event::Done(address.clone(), op.clone(), started.elapsed()));
                done.push(op);
            }
            Ran::Conflict(error) => return Ok(Some(error)),
        }
    }
    Ok(None)
}
