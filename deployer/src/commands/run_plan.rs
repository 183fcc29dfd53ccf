//! What `apply` and `destroy` share: show the plan, ask, build, run it.

use std::sync::Arc;

use contract::text;

use super::{
    approve::{approve, command},
    session::{Done, Prepared, Session, Shown},
};
use crate::{
    engine::{
        execute::{Run, execute},
        op::Effect,
    },
    error::Error,
    package::Package,
};

/// An executed plan.
pub(super) struct Executed {
    pub(super) done: Done,
    /// The token of the rotation that the run may have started.
    pub(super) rotation_token: Arc<str>,
}

/// Runs a plan after it was shown and approved. `typed` are the words of the command line without `deployer`, CONFIG and `--auto-approve`.
pub(super) async fn run(
    session: &Session,
    prepared: &Prepared,
    typed: &[&str],
    auto_approve: bool,
) -> Result<Executed, Shown> {
    let Prepared { plan, nodes, facts } = prepared;
    session.screen.plan(&session.deployment, &session.identity, plan);
    let rotation_token: Arc<str> = uuid::Uuid::new_v4().to_string().into();
    if plan.is_empty() {
        return Ok(Executed { done: Done::NothingToDo, rotation_token });
    }
    if plan.has(Effect::UploadsCode) {
        session.fail(Package::check_tools(&session.deployment.config))?;
    }
    if !auto_approve {
        let verb = typed.first().copied().unwrap_or_default();
        approve(session, &format!("Run this plan ({verb})?"), typed, 0)?;
    }
    let executed = session.with_events(async |events| {
        // Before anything is made: a build that fails leaves nothing half done.
        let package =
            if plan.has(Effect::UploadsCode) { Some(Arc::new(facts.package()?.build(&events).await?)) } else { None };
        let (aws, rotation_token) = (session.aws.clone(), Arc::clone(&rotation_token));
        Ok::<_, Error>(execute(nodes, &Run { aws, plan, facts, package, rotation_token, events }).await)
    });
    let summary = session.fail(executed.await)?;
    if summary.unfinished > 0 {
        let all = plan.counts().iter().sum::<usize>();
        let error = Error::new(format!("{} of {all} resources are not done", summary.unfinished));
        let again = command(typed);
        return session.fail(Err(error.hint(text![
            "nothing is lost: remove the causes above, then run ",
            again,
            " again"
        ])));
    }
    Ok(Executed { done: Done::Changes, rotation_token })
}
