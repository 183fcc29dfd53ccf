//! `deployer apply`: brings AWS to what the configuration declares, and ends when the rotation that it started, or found open,
//! has ended too.

use super::{
    run_plan,
    session::{Done, Prepared, Session, Shown, for_each_deployment},
};
use crate::{
    cli::{ApplyArgs, Watch},
    engine::{
        events::{Event, Progress, RotationEvent},
        op::{Effect, Toward},
    },
    rotation::{function, watch},
    screen::Screen,
};

pub(super) async fn run(screen: &Screen, args: &ApplyArgs) -> Result<Done, Shown> {
    let typed = if args.during_rotation { "apply --during-rotation" } else { "apply" };
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        let prepared = prepare(&session, args.during_rotation).await?;
        let executed = run_plan::run(&session, &prepared, typed, args.auto_approve).await?;
        let ours = prepared.plan.has(Effect::RotatesNow).then_some(&*executed.rotation_token);
        if !prepared.plan.has(Effect::TestsConfiguration) {
            watch_rotation(&session, ours, args.watch).await?;
        }
        for note in function::coming_retirements(&session.aws, &session.deployment).await {
            session.screen.note(note);
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
///
/// Secrets Manager's answers may be old, so this run's own rotation is watched whether or not they show it yet.
async fn watch_rotation(session: &Session, ours: Option<&str>, watch: Watch) -> Result<(), Shown> {
    let (aws, deployment) = (&session.aws, &session.deployment);
    let watched = session.with_events(async |events| {
        let Some(version) = ours else {
            let progress = Progress { events, address: session.secret() };
            return watch::watch_open(aws, deployment, watch.watch_retries, &progress).await;
        };
        events.say(Event::Rotation(RotationEvent::Started { version: version.to_owned() }));
        watch::watch(aws, deployment, version, watch.watch_retries, &events).await
    });
    session.fail(watched.await)
}
