//! `deployer destroy`: takes away what the deployment owns. The same plan, toward absent.

use crate::{
    cli::DestroyArgs,
    commands::{Done, Session, Shown, for_each_deployment, run_plan},
    engine::kind::Toward,
    screen::Screen,
};

pub(super) async fn run(screen: Screen, args: &DestroyArgs) -> Result<Done, Shown> {
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        let plan = session.plan(Toward::Absent { stop_mail: args.stop_mail }).await?;
        let executed = run_plan::run(&session, &plan, "destroy", args.auto_approve).await?;
        if executed.done == Done::Changes {
            let [.., destroyed] = plan.counts();
            screen.done(&format!("Destroy complete: {destroyed} destroyed."));
        }
        Ok(executed.done)
    })
    .await
}
