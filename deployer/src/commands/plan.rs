//! `deployer plan`: shows what `apply` or `destroy` would do.

use super::session::{Done, Session, Shown, for_each_deployment, say_if_the_function_cannot_be_built};
use crate::{cli::PlanArgs, deployment::Allowed, engine::op::Toward, screen::Screen};

pub(super) async fn run(screen: &Screen, args: &PlanArgs) -> Result<Done, Shown> {
    let toward = if args.destroy { Toward::Absent { stop_mail: args.stop_mail } } else { Toward::Present };
    if toward == Toward::Present {
        say_if_the_function_cannot_be_built(screen, &args.target.config)?;
    }
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        let session = session.allowing(Allowed { stop_mail: args.stop_mail, purge_secret: args.purge_secret });
        let plan = session.plan(toward).await?.plan;
        session.screen.plan(&session.deployment, &session.identity, &plan);
        Ok(if plan.is_empty() { Done::NothingToDo } else { Done::Changes })
    })
    .await
}
