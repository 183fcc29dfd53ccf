//! `deployer apply`: brings AWS to what the configuration declares, and ends when the rotation that
//! it started, or found open, has ended too.

use crate::{
    cli::ApplyArgs,
    commands::{
        Done, Session, Shown, for_each_deployment,
        run_plan::{self, with_events},
    },
    engine::events::Progress,
    engine::kind::{Address, Toward},
    engine::plan::Plan,
    kinds::rotation::ROTATE,
    rotation::watch,
    screen::Screen,
};

pub(super) async fn run(screen: Screen, args: &ApplyArgs) -> Result<Done, Shown> {
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        let plan = plan(&session, args.during_rotation).await?;
        let executed = run_plan::run(&session, &plan, "apply", args.auto_approve).await?;
        // Enabling without rotating has Secrets Manager test the configuration with a pending version that goes by itself.
        if plan.rotates() || !plan.calls(ROTATE) {
            watch_rotation(&session, &executed.rotation_token).await?;
        }
        if executed.done == Done::Changes {
            let [create, change, destroy] = plan.counts();
            screen.done(&format!("Apply complete: {create} created, {change} changed, {destroy} destroyed."));
        }
        Ok(executed.done)
    })
    .await
}

/// Plans, if need be again once the open rotation that it would disturb has ended.
async fn plan(session: &Session, during_rotation: bool) -> Result<Plan, Shown> {
    let plan = session.plan(Toward::Present).await?;
    if during_rotation || !plan.disturbs_a_rotation() {
        return Ok(plan);
    }
    let closed = with_events(session, async |events| {
        let address = Address { kind: "secret", name: session.deployment.names.secret.clone() };
        watch::wait_until_closed(&session.aws, &session.deployment, &Progress { events, address }).await
    });
    session.fail(closed.await)?;
    session.plan(Toward::Present).await
}

/// An apply that ends before the rotation did would never say that it failed: neither this run's,
/// nor one that another run, maybe killed, has started.
async fn watch_rotation(session: &Session, ours: &str) -> Result<(), Shown> {
    let credential = session.fail(watch::read(&session.aws, &session.deployment.names).await)?.unwrap_or_default();
    let (aws, deployment) = (&session.aws, &session.deployment);
    let watched = with_events(session, async |events| {
        if credential.versions.contains_key(ours) {
            watch::watch(aws, deployment, ours, &events).await
        } else if let Some(found) = credential.pending() {
            watch::watch_open(aws, deployment, found, &events).await
        } else {
            Ok(())
        }
    });
    session.fail(watched.await)
}
