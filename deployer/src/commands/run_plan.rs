//! What `apply` and `destroy` share: show the plan, ask, take the lease, build, run it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use contract::{Command, text};

use super::{
    approve::{Approval, approve_by},
    ended::{Done, Shown},
    session::{Prepared, Session},
};
use crate::{
    engine::{
        events::Events,
        execute::{Run, Summary, execute},
        op::{Effect, Toward},
        plan::{Plan, Planned},
    },
    error::{Error, ErrorKind},
    interrupt::{self, unless_asked},
    kinds::record::Record,
    lease,
    package::Package,
    rotation::labels,
    saved_plan,
};

/// An executed plan.
pub(super) struct Executed {
    pub(super) done: Done,
    pub(super) plan: Plan,
    /// Since it was approved.
    pub(super) took: Duration,
}

/// Runs a plan after it was shown and approved. After somebody has typed the approval, `plan` makes it again: AWS may have changed
/// while it was read. If it then says more than was shown, if another run had to be waited for, or if a rotation began meanwhile, it is
/// shown and approved again. `then` still belongs to the run, also to one that has nothing to do: it gets the plan, and
/// the token of the rotation that the run may have started.
pub(super) async fn run(
    session: &Session,
    plan: impl AsyncFn() -> Result<Prepared, Shown>,
    approval: &Approval<'_>,
    lease_timeout: Duration,
    then: impl AsyncFn(&Plan, &str) -> Result<(), Shown>,
) -> Result<Executed, Shown> {
    let rotation_token: Arc<str> = uuid::Uuid::new_v4().to_string().into();
    let mut prepared = Box::pin(plan()).await?;
    if !ask(session, &prepared, approval).await? {
        delete_what_a_killed_destroy_left(session, &prepared.plan, approval, lease_timeout).await?;
        then(&prepared.plan, &rotation_token).await?;
        return Ok(Executed { done: Done::NothingToDo, plan: prepared.plan, took: Duration::ZERO });
    }
    let began = Instant::now();
    let screen = session.screen.clone();
    let _draining = session.or_show(interrupt::drain(move || {
        screen.note("interrupted: what runs now is finished, and nothing further begins; a second signal ends the program at once");
    }))?;
    let lease = Box::pin(session.take_lease(approval.verb(), lease_timeout)).await?;
    let mut done = Done::Changes;
    let worked = async {
        let mut is_old = lease.waited || a_rotation_began(session, &prepared).await?;
        while is_old || !approval.auto_approve {
            let shown = std::mem::replace(&mut prepared, Box::pin(plan()).await?).plan;
            let new: Vec<_> = saved_plan::beyond(&prepared.plan, &shown).collect();
            if !is_old && new.is_empty() {
                break;
            }
            for (address, what) in new {
                session.screen.note(format!("{address} changed while you read the plan: {what}"));
            }
            if !ask(session, &prepared, approval).await? {
                done = Done::NothingToDo;
                return then(&prepared.plan, &rotation_token).await;
            }
            is_old = false;
        }
        let executed = session
            .with_events(async |events| Box::pin(build_and_execute(session, &prepared, &rotation_token, events)).await);
        let summary = session.or_show(executed.await)?;
        if !summary.unfinished.is_empty() {
            if !interrupt::is_asked() && prepared.plan.began_a_rotation(&summary.unfinished) {
                // Its own failure is shown; this run has failed anyway.
                let _ = then(&prepared.plan, &rotation_token).await;
            }
            return session.or_show(Err(unfinished(&prepared.plan, &summary, approval)));
        }
        let ended = then(&prepared.plan, &rotation_token).await;
        ended.map_err(|shown| if summary.changed { shown.after_changes() } else { shown })
    }
    .await;
    if let Some(other) = lease.lost_to() {
        let note = format!("another run took the lease, which was not renewed in time: {other}");
        session.screen.note(note);
    }
    match (&worked, prepared.plan.toward) {
        (Ok(()), Toward::Absent { .. }) => session.or_show(lease.delete().await).map_err(Shown::after_changes)?,
        _ => lease.give_up().await,
    }
    worked.map(|()| Executed { done, plan: prepared.plan, took: began.elapsed() })
}

/// Shows a plan and asks; returns false if there is nothing to do.
async fn ask(session: &Session, prepared: &Prepared, approval: &Approval<'_>) -> Result<bool, Shown> {
    let plan = &prepared.plan;
    // Whoever is asked sees the plan, with --quiet too.
    if !(approval.auto_approve && session.screen.is_quiet()) {
        session.screen.plan(&session.deployment, &session.identity, plan);
    }
    if plan.has(Effect::UploadsCode) {
        session.or_show(Package::check_tools(&session.deployment.config))?;
    }
    if !plan.is_empty() {
        let question = format!("Run this plan ({})?", approval.verb());
        let approval = session.or_show(by_name(session, plan, approval))?;
        approve_by(session, &question, &approval, 0).await?;
    }
    Ok(!plan.is_empty())
}

/// What cannot be undone, and what may belong to another file, is approved with a name instead of yes.
fn by_name<'a>(session: &'a Session, plan: &'a Plan, approval: &Approval<'a>) -> Result<Approval<'a>, Error> {
    let name = session.deployment.config.name.as_str();
    let purged = purged(plan);
    if approval.auto_approve {
        if plan.deletes_most_of_the_record && approval.delete_leftovers != Some(name) {
            return Err(declined_deletion(name, approval));
        }
        check_purge(plan, approval.purge_secret)?;
    }
    let answer = purged.or(plan.deletes_most_of_the_record.then_some(name)).unwrap_or(approval.answer);
    Ok(Approval { answer, ..*approval })
}

/// The secret that the plan deletes for good.
fn purged(plan: &Plan) -> Option<&str> {
    let goes_for_good = |resource: &&Planned| resource.ops.iter().any(|op| op.has(Effect::PurgesSecret));
    plan.resources.iter().find(goes_for_good).map(|resource| resource.address.name.as_str())
}

/// Refuses to delete a secret for good whose name nobody typed.
pub(super) fn check_purge(plan: &Plan, typed: Option<&str>) -> Result<(), Error> {
    let Some(secret) = purged(plan).filter(|secret| typed != Some(secret)) else { return Ok(()) };
    let error = Error::new(format!("this run would delete secret {secret} for good, and nobody could restore it"));
    let error = match typed {
        Some(typed) => error.cause(format!("--purge-secret names {typed}")),
        None => error,
    };
    Err(error.of_kind(ErrorKind::Declined).hint(format!("to delete it on purpose, write --purge-secret={secret}")))
}

fn declined_deletion(name: &str, approval: &Approval<'_>) -> Error {
    let again = approval.again_with(&["--auto-approve", "--delete-leftovers", name]);
    Error::new(format!("this run would delete most of what the record of deployment {name} names"))
        .of_kind(ErrorKind::Declined)
        .cause("the file rather declares another deployment of the same name and region")
        .hint("if it does, change its name")
        .hint(text!["to replace the deployment on purpose, run ", again])
}

/// Whether a rotation began after the plan was made: while a person reads the plan, and before the lease is taken, `rotate` and Secrets
/// Manager may begin one.
async fn a_rotation_began(session: &Session, Prepared { plan, facts, .. }: &Prepared) -> Result<bool, Shown> {
    let may_disturb = plan.open_rotation.is_none() && plan.has(Effect::DisturbsRotation);
    let is_new = facts.labels.as_ref().is_ok_and(|labels| labels.versions.is_empty());
    if !may_disturb || is_new {
        return Ok(false);
    }
    let labels = session.or_show(labels::read(&session.aws, &session.deployment.names.secret).await)?;
    Ok(labels.is_some_and(|labels| labels.open_and_enabled().is_some()))
}

/// The lease is deleted last, so it is all that a destroy can leave behind that was killed at its end.
async fn delete_what_a_killed_destroy_left(
    session: &Session,
    plan: &Plan,
    approval: &Approval<'_>,
    lease_timeout: Duration,
) -> Result<(), Shown> {
    if plan.toward == Toward::Present
        || !session.or_show(lease::exists(&session.aws, &session.deployment.names.lease).await)?
    {
        return Ok(());
    }
    let lease = Box::pin(session.take_lease(approval.verb(), lease_timeout)).await?;
    session.or_show(lease.delete().await)
}

/// Builds the function if it is uploaded, notes in the record what may be made, and runs the ops.
async fn build_and_execute(
    session: &Session,
    Prepared { plan, nodes, facts, record, .. }: &Prepared,
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
        let kind = Record { name: session.deployment.names.record.clone(), lease: None };
        kind.add_entries(&session.aws, &session.deployment.owner().tags(), facts.record()?.cloned(), goal).await?;
    }
    let (aws, rotation_token) = (session.aws.clone(), Arc::clone(rotation_token));
    Ok(execute(nodes, &Run { aws, plan, facts, package, rotation_token, events }).await)
}

fn unfinished(plan: &Plan, Summary { unfinished, changed, why }: &Summary, approval: &Approval<'_>) -> Error {
    let all = plan.counts().iter().sum::<usize>();
    let again = approval.again_with(&[]);
    if interrupt::is_asked() {
        let names: Vec<_> = unfinished.iter().map(ToString::to_string).collect();
        let error = Error {
            what: format!("interrupted, not done: {} of {all} resources", names.len()),
            ..interrupt::interrupted()
        }
        .cause(format!("not done: {}", names.join(", ")));
        let error = if plan.began_a_rotation(unfinished) {
            let status = Command::deployer("status");
            error.hint(text!["the rotation that this run started goes on by itself: ", status, " shows how it stands"])
        } else {
            error
        };
        return error.hint(text!["what is done stays done; ", again, " continues from here"]);
    }
    let kind = match why.as_slice() {
        _ if *changed => ErrorKind::Partial,
        [kind, rest @ ..] if rest.iter().all(|other| other == kind) => *kind,
        _ => ErrorKind::Failed,
    };
    Error::new(format!("not done: {} of {all} resources", unfinished.len())).of_kind(kind).hint(text![
        "nothing is lost: remove the cause of each error, then run ",
        again,
        " again"
    ])
}
