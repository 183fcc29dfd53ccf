//! `deployer apply PLAN`: runs what a saved plan says, and nothing else.

use std::path::Path;

use contract::text;

use super::{
    apply::{self, prepare},
    approve::Approval,
    destroy::destroy,
    each::{for_each, load},
    ended::{Done, Shown, show, show_all},
    session::{Prepared, Session},
};
use crate::{
    cli::ApplyArgs,
    engine::op::Toward,
    error::Error,
    saved_plan::{Reviewed, SavedPlan, plan_again},
    screen::Screen,
};

pub(super) async fn run(screen: &Screen, args: &ApplyArgs, saved: &SavedPlan) -> Result<Done, Shown> {
    let screen = &screen.with_config(&saved.config);
    let flags = [("--stop-mail", args.stop_mail), ("--adopt", args.adopt)];
    if let Some((flag, _)) = flags.into_iter().find(|(_, is_given)| *is_given) {
        let error = Error::new(format!("{flag} is part of a plan, and cannot be added to one that was reviewed"));
        return Err(show(screen, &error.hint("give it to plan")));
    }
    let run = SavedRun { args, saved };
    if !saved.config.exists() {
        return Err(show(screen, &no_file(&saved.config)));
    }
    let configs = load(screen, &saved.config)?;
    saved.check_file(&configs).map_err(|errors| run.refuse(screen, errors))?;
    if configs.len() > 1 {
        // No deployment changes before every other one is known to be as it was reviewed.
        for_each(screen, configs.clone(), async |session: Session| {
            run.plan(&session.allowing(saved.allowed())).await.map(|_| Done::NothingToDo)
        })
        .await?;
    }
    for_each(screen, configs, async |session: Session| run.deployment(session).await).await
}

/// A plan names its file as `plan` got it.
fn no_file(config: &Path) -> Error {
    let error = Error::new(format!("the file of the plan, {}, is not here", config.display()));
    error.hint(if config.is_relative() {
        "run apply in the folder in which the plan was made: the plan names its file from there"
    } else {
        "put the file where it was when the plan was made"
    })
}

struct SavedRun<'a> {
    args: &'a ApplyArgs,
    saved: &'a SavedPlan,
}

impl SavedRun<'_> {
    async fn deployment(&self, session: Session) -> Result<Done, Shown> {
        let session = session.allowing(self.saved.allowed());
        let path = self.args.config.display().to_string();
        let during = self.args.during_rotation.then_some("--during-rotation");
        let typed: Vec<&str> = std::iter::once("apply").chain(during).collect();
        let approval = Approval {
            plan_file: Some(&path),
            auto_approve: true,
            delete_leftovers: self.args.leftovers.delete_leftovers.as_deref(),
            purge_secret: self.saved.purge_secret.as_deref(),
            ..Approval::by_yes(&typed)
        };
        let plan = async || self.plan(&session).await;
        match self.reviewed(&session)?.plan.toward {
            Toward::Present => apply::apply(&session, plan, &approval, self.args.watch, self.args.patience).await,
            Toward::Absent { .. } => destroy(&session, plan, &approval, self.args.patience).await,
        }
    }

    fn reviewed(&self, session: &Session) -> Result<&Reviewed, Shown> {
        self.saved.of(&session.deployment.config).map_err(|error| self.refuse(&session.screen, vec![error]))
    }

    /// Plans anew, and refuses what was not reviewed. What is left of the plan runs.
    async fn plan(&self, session: &Session) -> Result<Prepared, Shown> {
        let reviewed = self.reviewed(session)?;
        session.or_show(reviewed.check_account(&session.identity))?;
        let prepared = match reviewed.plan.toward {
            Toward::Present => prepare(session, self.args.during_rotation).await?,
            toward @ Toward::Absent { .. } => session.plan(toward).await?,
        };
        let checked = reviewed.check(&prepared.plan, prepared.function());
        checked.map(|()| prepared).map_err(|errors| self.refuse(&session.screen, errors))
    }

    /// Shows what is not as it was reviewed. The last error says what to do.
    fn refuse(&self, screen: &Screen, mut errors: Vec<Error>) -> Shown {
        let again = plan_again(&self.args.config, self.saved);
        if let Some(last) = errors.pop() {
            errors.push(
                last.hint(text!["nothing of this deployment was changed; make the plan again and review it: ", again]),
            );
        }
        show_all(screen, &errors)
    }
}
