//! `deployer apply`: brings AWS to what the configuration declares, and ends when the rotation that it started, or found open,
//! has ended too.

use super::{
    run_plan,
    session::{Done, Prepared, Session, Shown, for_each_deployment},
};
use crate::{
    cli::ApplyArgs,
    engine::{
        events::Progress,
        op::{Effect, Toward},
    },
    rotation::{labels, watch},
    screen::Screen,
};

pub(super) async fn run(screen: &Screen, args: &ApplyArgs) -> Result<Done, Shown> {
    let typed = if args.during_rotation { "apply --during-rotation" } else { "apply" };
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        let prepared = prepare(&session, args.during_rotation).await?;
        let executed = run_plan::run(&session, &prepared, typed, args.auto_approve).await?;
        if !prepared.plan.has(Effect::TestsConfiguration) {
            watch_rotation(&session, &executed.rotation_token).await?;
        }
        if executed.done == Done::Changes {
            let [create, change, destroy] = prepared.plan.counts();
            let counts = format!("{create} created, {change} changed, {destroy} destroyed");
            session.screen.done(&format!("Apply complete: {counts}."));
        }
        Ok(executed.done)
    })
    .await
}

/// Plans. If the plan would disturb an open rotation, it is made again once that rotation has ended.
async fn prepare(session: &Session, during_rotation: bool) -> Result<Prepared, Shown> {
    let prepared = session.plan(Toward::Present).await?;
    if during_rotation || !prepared.plan.disturbs_a_rotation() {
        return Ok(prepared);
    }
    let closed = session.with_events(async |events| {
        let progress = Progress { events, address: session.secret() };
        watch::wait_until_closed(&session.aws, &session.deployment, &progress).await
    });
    session.fail(closed.await)?;
    session.plan(Toward::Present).await
}

/// Watches this run's rotation, or one that another run, maybe killed, has started: an apply that ended before the rotation
/// did would never say that it failed.
async fn watch_rotation(session: &Session, ours: &str) -> Result<(), Shown> {
    let labels = labels::read(&session.aws, &session.deployment.names.secret).await;
    let labels = session.fail(labels)?.unwrap_or_default();
    let (aws, deployment) = (&session.aws, &session.deployment);
    let watched = session.with_events(async |events| {
        if labels.versions.contains_key(ours) {
            watch::watch(aws, deployment, ours, &events).await
        } else if let Some(found) = labels.pending() {
            watch::watch_open(aws, deployment, found, &events).await
        } else {
            Ok(())
        }
    });
    session.fail(watched.await)
}
