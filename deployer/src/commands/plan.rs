//! `deployer plan`: shows what `apply` or `destroy` would do.

use crate::{
    cli::PlanArgs,
    commands::{Done, Session, Shown, for_each_deployment},
    engine::kind::Toward,
    screen::Screen,
};

pub(super) async fn run(screen: Screen, args: &PlanArgs) -> Result<Done, Shown> {
    let toward = if args.destroy { Toward::Absent { stop_mail: args.stop_mail } } else { Toward::Present };
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        let plan = session.plan(toward).await?;
        screen.plan(&session.deployment, &session.identity, &plan);
        Ok(if plan.is_empty() { Done::NothingToDo } else { Done::Changes })
    })
    .await
}
