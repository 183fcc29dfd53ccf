//! `deployer apply`: brings AWS to what the configuration declares, and ends when the first
//! rotation has ended too.

use crate::{
    cli::ApplyArgs,
    commands::{
        Done, Session, Shown,
        execute::{self, with_events},
        for_each_deployment,
    },
    credential,
    events::Progress,
    kind::{Address, Toward},
    screen::Screen,
};

pub(super) async fn run(screen: Screen, args: &ApplyArgs) -> Result<Done, Shown> {
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        let plan = session.plan(Toward::Present).await?;
        if plan.changes_what_rotates() && !args.during_rotation {
            let closed = with_events(&session, async |events| {
                let address = Address { kind: "secret", name: session.deployment.names.secret.clone() };
                let progress = Progress { events, address };
                credential::wait_until_closed(&session.aws, &session.deployment, &progress).await
            });
            session.fail(closed.await)?;
        }
        let executed = execute::run(&session, &plan, "apply", args.auto_approve).await?;
        if plan.rotates() {
            let watched = with_events(&session, async |events| {
                credential::watch(&session.aws, &session.deployment, &executed.rotation_token, &events).await
            });
            session.fail(watched.await)?;
        }
        if executed.done == Done::Changes {
            let [create, change, destroy] = plan.counts();
            screen.done(&format!("Apply complete: {create} created, {change} changed, {destroy} destroyed."));
        }
        Ok(executed.done)
    })
    .await
}
