//! `deployer apply`: brings AWS to what the configuration declares, and ends when the rotation that it started, or found open,
//! has ended too.

use contract::{Command, KeyReport, KeyVerdict, Report, Text, text};

use super::{
    approve::Approval,
    each::{for_each_deployment, say_what_the_files_tell},
    ended::{Done, Shown},
    run_plan,
    session::{Prepared, Session, standing, unusable_key},
    watched::watched,
};
use crate::{
    cli::{ApplyArgs, Patience, Watch},
    deployment::Allowed,
    engine::{
        events::{Event, Progress, RotationEvent},
        op::{Effect, Toward},
        plan::Plan,
    },
    rotation::{function, watch},
    screen::Screen,
};

pub(super) async fn run(screen: &Screen, args: &ApplyArgs) -> Result<Done, Shown> {
    let during = args.during_rotation.then_some("--during-rotation").into_iter();
    let stopping = args.stop_mail.then_some("--stop-mail");
    let adopting = args.adopt.then_some("--adopt");
    let typed: Vec<&str> = std::iter::once("apply").chain(during).chain(stopping).chain(adopting).collect();
    let approval = Approval {
        auto_approve: args.auto_approve,
        delete_leftovers: args.leftovers.delete_leftovers.as_deref(),
        ..Approval::by_yes(&typed)
    };
    say_what_the_files_tell(screen, &args.config);
    for_each_deployment(screen, &args.config, async |session: Session| {
        let session = session.allowing(Allowed { stop_mail: args.stop_mail, purge_secret: false, adopt: args.adopt });
        let plan = async || prepare(&session, args.during_rotation).await;
        apply(&session, plan, &approval, args.watch, args.patience).await
    })
    .await
}

/// Applies one deployment by the plan that `plan` makes.
pub(super) async fn apply(
    session: &Session,
    plan: impl AsyncFn() -> Result<Prepared, Shown>,
    approval: &Approval<'_>,
    watch: Watch,
    Patience { lease_timeout }: Patience,
) -> Result<Done, Shown> {
    let watched = async |plan: &Plan, token: &str| {
        let ours = plan.has(Effect::RotatesNow).then_some(token);
        if plan.has(Effect::TestsConfiguration) { Ok(()) } else { watch_rotation(session, ours, watch).await }
    };
    let executed = run_plan::run(session, plan, approval, lease_timeout, watched).await?;
    let plan = &executed.plan;
    let told = function::notes(&session.aws, &session.deployment).await;
    if let Some(error) = told.does_not_start() {
        let failed = session.or_show(Err(error));
        return if executed.done == Done::Changes { failed.map_err(Shown::after_changes) } else { failed };
    }
    // Mail is still down after a run that made the user again, whatever the plan told.
    let still = unusable_key(&told).filter(|_| executed.done == Done::Changes);
    let is_new = |note: &Text| !plan.notes.contains(note) || still.as_ref() == Some(note);
    for note in standing(&told).into_iter().filter(is_new).chain(told.retirements) {
        session.screen.note(note);
    }
    if plan.has(Effect::RotatesNow) {
        tell_of_the_second_rotation(session).await;
    }
    if executed.done == Done::Changes {
        let [create, change, destroy] = plan.counts();
        let counts = format!("{create} created, {change} changed, {destroy} destroyed");
        let next = match still {
            Some(_) => text![Command::deployer("recover"), " shows what to do about the key in use"],
            None => text![Command::deployer("status"), " shows whether mail is safe, and when the credential rotates"],
        };
        session.screen.complete(&format!("Apply complete: {counts}"), executed.took, &next);
    }
    Ok(executed.done)
}

/// Plans. If the plan would disturb an open rotation, it is made again once that rotation has ended.
pub(super) async fn prepare(session: &Session, during_rotation: bool) -> Result<Prepared, Shown> {
    let prepared = session.plan(Toward::Present).await?;
    if during_rotation || !prepared.plan.disturbs_a_rotation() {
        return prepared.check_its_rotation(session);
    }
    let closed = session
        .with_progress(async |progress| watch::wait_until_closed(&session.aws, &session.deployment, &progress).await);
    session.or_show(closed.await)?;
    session.plan(Toward::Present).await?.check_its_rotation(session)
}

/// Watches this run's rotation, or one that another run, maybe killed, has started: an apply that ended before the rotation
/// did would never say that it failed.
///
/// This run has none of its own if another run began one at the same time: then that one is watched.
async fn watch_rotation(session: &Session, ours: Option<&str>, watch: Watch) -> Result<(), Shown> {
    let (aws, deployment) = (&session.aws, &session.deployment);
    watched(session, async |events| {
        let ours = match ours {
            Some(token) if watch::has_begun(aws, &deployment.names, token).await? => Some(token),
            _ => None,
        };
        let Some(version) = ours else {
            let progress = Progress { events, address: session.secret() };
            return watch::watch_open(aws, deployment, watch.watch_retries, &progress).await;
        };
        events.say(Event::Rotation(RotationEvent::Started { version: version.to_owned() }));
        watch::watch(aws, deployment, version, watch.watch_retries, &events).await
    })
    .await
}

/// An existing user may have a key from before. The first rotation used the other slot, so only the second one, maybe weeks later,
/// would meet that key: it is told now. Nothing of this run depends on it.
async fn tell_of_the_second_rotation(session: &Session) {
    match function::report(&session.aws, &session.deployment, false).await {
        Ok(report) => {
            for key in in_the_way(&report) {
                session.screen.note(key_from_before(&session.deployment.names.user, key));
            }
        }
        Err(error) => {
            session.screen.note(format!("what the next rotation would meet is unknown: {}", error.in_one_line()));
        }
    }
}

/// Keys that no version names and that a rotation may not delete.
fn in_the_way(report: &Report) -> impl Iterator<Item = &KeyReport> {
    let is_named = |key: &String| report.versions.iter().any(|version| version.key.as_ref() == Some(key));
    let stays = move |key: &&KeyReport| matches!(key.verdict, KeyVerdict::MustStay { .. }) && !is_named(&key.key);
    report.keys.iter().filter(stays)
}

fn key_from_before(user: &str, report: &KeyReport) -> Text {
    let (key, last) = (&report.key, report.last_use());
    text![
        format!(
            "access key {key} ({last}) is named by no version of the secret, and a later rotation needs its slot and would fail. As \
             soon as no host uses it, list it under iam_user.replaces and run "
        ),
        Command::deployer("apply"),
        ", or run ",
        Command::delete_key(user, key)
    ]
}
