//! `deployer rollback`: an apply whose code of the function is that of before the last update.

use contract::{Command, text};

use super::{
    apply,
    approve::Approval,
    each::for_each_deployment,
    ended::{Done, Shown},
    session::Session,
};
use crate::{cli::RollbackArgs, deployment::Deployment, package::Package, screen::Screen};

pub(super) async fn run(screen: &Screen, args: &RollbackArgs) -> Result<Done, Shown> {
    let during = args.during_rotation.then_some("--during-rotation");
    let typed: Vec<&str> = std::iter::once("rollback").chain(during).collect();
    let approval = Approval { auto_approve: args.auto_approve, ..Approval::by_yes(&typed) };
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        let Deployment { config, names, .. } = &*session.deployment;
        let code = Package::of_the_version_before(&session.aws, &names.function, config.function.architecture).await;
        let code = session.or_show(code)?;
        let session = session.with_code(code);
        let plan = async || apply::prepare(&session, args.during_rotation).await;
        let done = apply::apply(&session, plan, &approval, args.watch, args.patience).await?;
        if done == Done::Changes {
            let next = Command::deployer("apply");
            session.screen.note(text![
                "the next ",
                next,
                " updates the code again, if this deployer or the file still gives the other one"
            ]);
        }
        Ok(done)
    })
    .await
}
