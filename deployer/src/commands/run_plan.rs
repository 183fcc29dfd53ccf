//! What `apply` and `destroy` share: show the plan, ask, build, run it.

use std::{io::IsTerminal as _, sync::Arc};

use crate::{
    commands::{Done, Session, Shown},
    engine::events::{Events, Progress},
    engine::execute::{Run, execute},
    engine::kind::{Address, Context},
    engine::plan::Plan,
    error::Error,
    screen::Screen,
    stack::stack,
};

/// An executed plan.
pub(super) struct Executed {
    pub(super) done: Done,
    /// The token of the rotation that the run may have started.
    pub(super) rotation_token: Arc<str>,
}

/// Runs a plan after it was shown and approved.
pub(super) async fn run(session: &Session, plan: &Plan, verb: &str, auto_approve: bool) -> Result<Executed, Shown> {
    session.screen.plan(&session.deployment, &session.identity, plan);
    let rotation_token: Arc<str> = uuid::Uuid::new_v4().to_string().into();
    if plan.is_empty() {
        return Ok(Executed { done: Done::NothingToDo, rotation_token });
    }
    if !auto_approve {
        approve(session, &format!("Run this plan ({verb})?"), verb, 0)?;
    }
    let summary = with_events(session, async |events| {
        // Before anything is made: a build that fails leaves nothing half done.
        let package = match plan.facts.package.as_ref().filter(|_| plan.uploads_code()) {
            Some(package) => Some(Arc::new(package.build(&events).await?)),
            None => None,
        };
        let address = Address { kind: "deployment", name: session.deployment.config.name.to_string() };
        let context = Context {
            aws: session.aws.clone(),
            package,
            rotation_token: Arc::clone(&rotation_token),
            after_change: false,
            progress: Progress { events: events.clone(), address },
        };
        Ok::<_, Error>(execute(&stack(&session.deployment), &Run { plan, context, events }).await)
    })
    .await;
    let summary = session.fail(summary)?;
    if summary.unfinished > 0 {
        return session.fail(Err(Error::new(format!(
            "{} of {} things are not done",
            summary.unfinished,
            plan.counts().iter().sum::<usize>()
        ))
        .hint(format!("nothing is lost: remove the causes above, then run `deployer {verb}` again"))));
    }
    Ok(Executed { done: Done::Changes, rotation_token })
}

/// Runs `work` and renders its events as they come.
pub(super) async fn with_events<T>(session: &Session, work: impl AsyncFnOnce(Events) -> T) -> T {
    let (events, mut receiver) = Events::channel();
    let render = async {
        while let Some(event) = receiver.recv().await {
            session.screen.event(&event);
        }
    };
    let (outcome, ()) = tokio::join!(work(events), render);
    outcome
}

/// Asks before something changes. `command` is what was typed, without `deployer` and `--auto-approve`; `done_before` is how
/// many things this run has changed already.
pub(super) fn approve(session: &Session, question: &str, command: &str, done_before: usize) -> Result<(), Shown> {
    if !std::io::stdin().is_terminal() {
        return session.fail(Err(Error::new("nobody can approve this: standard input is not a terminal")
            .hint(format!("look at it, then run `deployer {command} --auto-approve`"))));
    }
    if Screen::ask(question) {
        return Ok(());
    }
    let refused = Error::new("not approved, so it was not done");
    session.fail(Err(if done_before == 0 {
        refused
    } else {
        refused.hint(format!("what was done before stays done; `deployer {command}` goes on from here"))
    }))
}
