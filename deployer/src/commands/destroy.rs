//! `deployer destroy`: deletes what the deployment owns. The same plan, toward absent.

use super::{
    run_plan,
    session::{Done, Session, Shown, for_each_deployment},
};
use crate::{cli::DestroyArgs, engine::op::Toward, screen::Screen};

pub(super) async fn run(screen: &Screen, args: &DestroyArgs) -> Result<Done, Shown> {
    let typed = if args.stop_mail { &["destroy", "--stop-mail"][..] } else { &["destroy"] };
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        let prepared = session.plan(Toward::Absent { stop_mail: args.stop_mail }).await?;
        let executed = run_plan::run(&session, &prepared, typed, args.auto_approve).await?;
        if executed.done == Done::Changes {
            let [.., destroyed] = prepared.plan.counts();
            session.screen.done(&format!("Destroy complete: {destroyed} destroyed."));
        }
        Ok(executed.done)
    })
    .await
}
