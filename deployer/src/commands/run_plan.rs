//! What `apply` and `destroy` share: show the plan, ask, take the lease, build, run it.

use std::{sync::Arc, time::Duration};

use contract::{Command, text};

use super::{
    approve::{Approval, approve_by},
    session::{Done, Prepared, Session, Shown},
};
use crate::{
    date,
    deployment::names::Names,
    engine::{
        events::{Events, Progress},
        execute::{Run, Summary, execute},
        op::{Address, Effect, ResourceKind, Toward},
        plan::Plan,
    },
    error::Error,
    interrupt::{self, unless_asked},
    kinds::record::Record,
    lease::{self, Holder, Lease},
    package::Package,
};

/// An executed plan.
pub(super) struct Executed {
    pub(super) done: Done,
    pub(super) plan: Plan,
}

/// Runs a plan after it was shown and approved. If another run had to be waited for, it is made again by `plan`, and shown and
/// approved again. `then` still belongs to the run, also to one that has nothing to do: it gets the plan, and the token of the rotation
/// that the run may have started.
pub(super) async fn run(
    session: &Session,
    plan: impl AsyncFn() -> Result<Prepared, Shown>,
    approval: &Approval<'_>,
    lease_timeout: Duration,
    then: impl AsyncFn(&Plan, &str) -> Result<(), Shown>,
) -> Result<Executed, Shown> {
    let rotation_token: Arc<str> = uuid::Uuid::new_v4().to_string().into();
    let mut prepared = Box::pin(plan()).await?;
    if !ask(session, &prepared, approval)? {
        then(&prepared.plan, &rotation_token).await?;
        return Ok(Executed { done: Done::NothingToDo, plan: prepared.plan });
    }
    let screen = session.screen.clone();
    let _draining = session.fail(interrupt::drain(move || {
        screen.note("interrupted: what runs now is finished, and nothing further begins; a second signal ends the program at once");
    }))?;
    let lease = Box::pin(take_lease(session, approval, lease_timeout)).await?;
    let mut done = Done::Changes;
    let worked = async {
        if lease.waited {
            prepared = Box::pin(plan()).await?;
            if !ask(session, &prepared, approval)? {
                done = Done::NothingToDo;
                return then(&prepared.plan, &rotation_token).await;
            }
        }
        let executed =
            session.with_events(async |events| Box::pin(work(session, &prepared, &rotation_token, events)).await);
        let summary = session.fail(executed.await)?;
        if !summary.unfinished.is_empty() {
            return session.fail(Err(unfinished(&prepared.plan, &summary, approval)));
        }
        then(&prepared.plan, &rotation_token).await
    }
    .await;
    if let Some(other) = lease.lost_to() {
        let note = format!("another run took the lease, which was not renewed in time: {other}");
        session.screen.note(note);
    }
    match (&worked, prepared.plan.toward) {
        (Ok(()), Toward::Absent { .. }) => session.fail(lease.delete().await)?,
        _ => lease.give_up().await,
    }
    worked.map(|()| Executed { done, plan: prepared.plan })
}

/// Shows a plan and asks; returns false if there is nothing to do.
fn ask(session: &Session, prepared: &Prepared, approval: &Approval<'_>) -> Result<bool, Shown> {
    let plan = &prepared.plan;
    session.screen.plan(&session.deployment, &session.identity, plan);
    if plan.has(Effect::UploadsCode) {
        session.fail(Package::check_tools(&session.deployment.config))?;
    }
    if !plan.is_empty() {
        let verb = approval.typed.first().copied().unwrap_or_default();
        approve_by(session, &format!("Run this plan ({verb})?"), approval, 0)?;
    }
    Ok(!plan.is_empty())
}

async fn take_lease(session: &Session, approval: &Approval<'_>, timeout: Duration) -> Result<Lease, Shown> {
    let holder = Holder {
        id: uuid::Uuid::new_v4().to_string(),
        who: session.identity.arn.clone(),
        runs: approval.typed.first().copied().unwrap_or_default().to_owned(),
        since: date::now(),
    };
    let Names { lease: name, .. } = &session.deployment.names;
    let tags = session.deployment.owner().tags();
    let taken = session.with_events(async |events| {
        let progress = Progress { events, address: Address::new(ResourceKind::Lease, name) };
        unless_asked(lease::take(&session.aws, name.clone(), &tags, holder, timeout, &progress)).await
    });
    session.fail(taken.await)
}

/// Builds the function if it is uploaded, notes in the record what may be made, and runs the ops.
async fn work(
    session: &Session,
    Prepared { plan, nodes, facts, record }: &Prepared,
    rotation_token: &Arc<str>,
    events: Events,
) -> Result<Summary, Error> {
    // Before anything is made: a build that fails leaves nothing half done.
    let package = if plan.has(Effect::UploadsCode) {
        Some(Arc::new(unless_asked(facts.package()?.build(&events)).await?))
    } else {
        None
    };
    // Before the first resource is made, so that a run that is killed forgets none.
    if let Some(goal) = record.as_ref().filter(|_| plan.toward == Toward::Present) {
        let kind = Record { name: session.deployment.names.record.clone() };
        kind.note(&session.aws, &session.deployment.owner().tags(), facts.record()?.cloned(), goal).await?;
    }
    let (aws, rotation_token) = (session.aws.clone(), Arc::clone(rotation_token));
    Ok(execute(nodes, &Run { aws, plan, facts, package, rotation_token, events }).await)
}

fn unfinished(plan: &Plan, Summary { unfinished }: &Summary, approval: &Approval<'_>) -> Error {
    let all = plan.counts().iter().sum::<usize>();
    let again = Command::words(approval.typed);
    if interrupt::is_asked() {
        let names: Vec<_> = unfinished.iter().map(ToString::to_string).collect();
        return Error {
            what: format!("interrupted: {} of {all} resources are not done", names.len()),
            ..interrupt::interrupted()
        }
        .cause(format!("not done: {}", names.join(", ")))
        .hint(text!["what is done stays done; ", again, " continues from here"]);
    }
    Error::new(format!("{} of {all} resources are not done", unfinished.len())).hint(text![
        "nothing is lost: remove the causes above, then run ",
        again,
        " again"
    ])
}
