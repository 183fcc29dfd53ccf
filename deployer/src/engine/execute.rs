//! Runs a plan: every thing as soon as those that it needs are done, all others at the same time.
//!
//! Each thing *converges*: observe, decide, run, look again. A conflict (it exists already, it is
//! gone already, the reply was lost) makes it look again and never guess, and the last look is the
//! proof. An op that was not approved is not run: then AWS changed since the plan.

use std::time::Instant;

use futures_util::future::join_all;
use tokio::sync::watch;

use crate::{
    engine::events::{Event, Events, Progress},
    engine::eventually::{CONSISTENT_WITHIN, Pauses},
    engine::kind::{Context, Op, ReadyOp, Toward},
    engine::plan::{Plan, Planned},
    error::Error,
    stack::{Node, NodeId},
};

/// How a thing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done {
        changed: bool,
    },
    /// It had nothing to do, and something that it needs failed: what needs it must not go on.
    Unneeded,
    Failed,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    /// Things that could not be brought to their goal, and things that were left alone because of those.
    pub(crate) unfinished: usize,
}

/// What every thing of one run shares.
pub(crate) struct Run<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) context: Context,
    pub(crate) events: Events,
}

/// Brings every thing with ops to its goal.
pub(crate) async fn execute(nodes: &[Node], run: &Run<'_>) -> Summary {
    let needs = predecessors(nodes, run.plan.toward);
    let (senders, receivers): (Vec<_>, Vec<_>) = nodes.iter().map(|_| watch::channel(None)).unzip();
    let work = nodes.iter().zip(&run.plan.things).zip(senders).zip(needs).map(|(((node, planned), done), needs)| {
        let needs: Vec<_> = needs.into_iter().map(|id: NodeId| receivers[id].clone()).collect();
        async move {
            let outcome = bring(node, planned, needs, run).await;
            done.send_replace(Some(outcome));
            outcome
        }
    });
    let outcomes = join_all(work).await;
    Summary { unfinished: outcomes.into_iter().filter(|outcome| *outcome == Outcome::Failed).count() }
}

/// What each node waits for: what it needs, or on the way to absent what needs it.
fn predecessors(nodes: &[Node], toward: Toward) -> Vec<Vec<NodeId>> {
    let mut needs: Vec<Vec<NodeId>> = nodes.iter().map(|_| Vec::new()).collect();
    for (id, node) in nodes.iter().enumerate() {
        for &earlier in &node.after {
            match toward {
                Toward::Present => needs[id].push(earlier),
                Toward::Absent { .. } => needs[earlier].push(id),
            }
        }
    }
    needs
}

async fn bring(node: &Node, planned: &Planned, needs: Vec<watch::Receiver<Option<Outcome>>>, run: &Run<'_>) -> Outcome {
    let mut after_change = false;
    for mut need in needs {
        // The sender lives until it has sent.
        let outcome = need.wait_for(Option::is_some).await.ok().and_then(|outcome| *outcome);
        match outcome {
            Some(Outcome::Done { changed }) => after_change |= changed,
            Some(Outcome::Failed | Outcome::Unneeded) | None if planned.ops.is_empty() => return Outcome::Unneeded,
            Some(Outcome::Failed | Outcome::Unneeded) | None => {
                run.events.say(Event::Skipped(planned.address.clone()));
                return Outcome::Failed;
            }
        }
    }
    if planned.ops.is_empty() {
        return Outcome::Done { changed: false };
    }
    let progress = Progress { events: run.events.clone(), address: planned.address.clone() };
    let context = Context { after_change, progress, ..run.context.clone() };
    match converge(node, planned, run, &context).await {
        Ok(()) => Outcome::Done { changed: true },
        Err(error) => {
            run.events.say(Event::Failed(planned.address.clone(), error));
            Outcome::Failed
        }
    }
}

/// Looks after which ops that keep coming back are somebody else's doing.
const MOST_ROUNDS: usize = 40;

/// Runs approved ops until a look finds nothing left to do.
async fn converge(node: &Node, planned: &Planned, run: &Run<'_>, context: &Context) -> Result<(), Error> {
    let mut done: Vec<Op> = Vec::new();
    let mut conflict: Option<Error> = None;
    let mut pauses = Pauses::within(CONSISTENT_WITHIN);
    for _ in 0..MOST_ROUNDS {
        let looked = node.resource.observe(&context.aws).await?;
        let ops = looked.decide(run.plan.toward, &run.plan.facts)?;
        if ops.is_empty() {
            return Ok(());
        }
        let is_among = |ready: &ReadyOp, ops: &[Op]| ops.iter().any(|op| ready.op.is_covered_by(op));
        if let Some(stranger) = ops.iter().find(|ready| !is_among(ready, &planned.ops)) {
            return Err(Error::new(format!("{} changed since the plan", planned.address))
                .cause(format!("it now needs {}, which was not approved", stranger.op.call))
                .hint("run the command again and look at the new plan"));
        }
        let fresh: Vec<ReadyOp> = ops.into_iter().filter(|ready| !is_among(ready, &done)).collect();
        if fresh.is_empty() || conflict.is_some() {
            let reason =
                conflict.as_ref().map_or_else(|| "AWS does not show the change yet".to_owned(), Error::in_one_line);
            if !pauses.pause(&context.progress, &reason).await {
                return Err(conflict.unwrap_or_else(|| does_not_show(planned)));
            }
        }
        let runs_some = !fresh.is_empty();
        conflict = run_all(fresh, planned, context, &mut done).await?;
        if runs_some && conflict.is_none() {
            // AWS gets its time from the last change on.
            pauses = Pauses::within(CONSISTENT_WITHIN);
        }
    }
    Err(conflict.unwrap_or_else(|| does_not_show(planned)))
}

fn does_not_show(planned: &Planned) -> Error {
    Error::new(format!("AWS accepted the change of {} and does not show it", planned.address))
        .hint("run the command again in a minute; if it stays like this, somebody else changes it back")
}

/// Runs ops in order. A conflict ends the round: what is left is decided by the next look.
async fn run_all(
    ops: Vec<ReadyOp>,
    planned: &Planned,
    context: &Context,
    done: &mut Vec<Op>,
) -> Result<Option<Error>, Error> {
    for ready in ops {
        let op = ready.op.clone();
        let events = &context.progress.events;
        events.say(Event::Started(planned.address.clone(), op.clone()));
        let started = Instant::now();
        match ready.run(context.clone()).await {
            Ok(()) => {
                events.say(Event::Done(planned.address.clone(), op.clone(), started.elapsed()));
                done.push(op);
            }
            Err(error) if calls_for_a_look(&error) => return Ok(Some(error)),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Errors that say "not as you saw it", or nothing at all. The codes of IAM and SNS have no "Exception".
fn calls_for_a_look(error: &Error) -> bool {
    const CONFLICTS: [&str; 13] = [
        "ConcurrentModification",
        "ConcurrentModificationException",
        "DocumentAlreadyExists",
        "DuplicateDocumentContent",
        "EntityAlreadyExists",
        "InvalidDocument",
        "NoSuchEntity",
        "NotFound",
        "ResourceAlreadyExistsException",
        "ResourceConflictException",
        "ResourceExistsException",
        "ResourceNotFound",
        "ResourceNotFoundException",
    ];
    error.is_ambiguous() || error.code().is_some_and(|code| CONFLICTS.contains(&code))
}
