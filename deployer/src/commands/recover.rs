//! `deployer recover`: shows how a rotation stands, and takes a stuck one back to health by the safest path.

use aws_sdk_iam::types::StatusType;
use contract::Report;

use crate::{
    cli::RecoverArgs,
    commands::{
        Done, Session, Shown, for_each_deployment, rotate,
        run_plan::{approve, with_events},
    },
    engine::events::{Event, Progress},
    engine::kind::Address,
    error::{Error, FailedTo as _},
    rotation::diagnosis::{Diagnosis, Remedy, diagnose},
    rotation::function,
    rotation::watch::{self, PENDING, Standstill},
    screen::Screen,
};

/// The longest way back to health takes five remedies; more would mean that somebody works against us.
const MOST_REMEDIES: usize = 8;

pub(super) async fn run(screen: Screen, args: &RecoverArgs) -> Result<Done, Shown> {
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        recover(&session, args.auto_approve).await
    })
    .await
}

/// Looks, takes one remedy, and looks again, until nothing is wrong or nothing more can be done safely.
async fn recover(session: &Session, auto_approve: bool) -> Result<Done, Shown> {
    let Session { screen, deployment, .. } = session;
    let mut taken: Vec<Remedy> = Vec::new();
    loop {
        wait_while_a_step_runs(session, taken.is_empty()).await?;
        let report = session.fail(function::read(&session.aws, deployment, true).await)?;
        let diagnosis = diagnose(&report, is_owed(&taken)).for_config(&session.path);
        screen.report(deployment, &report);
        screen.diagnosis(&diagnosis);
        let remedy = match diagnosis {
            Diagnosis::Healthy { .. } if taken.is_empty() => return Ok(Done::NothingToDo),
            Diagnosis::Healthy { .. } => return Ok(Done::Changes),
            Diagnosis::Person { .. } => return session.fail(Err(not_ours_to_do(&taken))),
            Diagnosis::Curable { first, .. } => first,
        };
        if taken.contains(&remedy) || taken.len() == MOST_REMEDIES {
            return session.fail(Err(did_not_help(&remedy)));
        }
        if !auto_approve {
            approve(session, &format!("Shall it {}?", remedy.sentence()), "recover", taken.len())?;
        }
        take(session, &remedy, &report).await?;
        taken.push(remedy);
    }
}

/// Whether a rotation was given up that is still wanted.
fn is_owed(taken: &[Remedy]) -> bool {
    let gave_up = taken.iter().rposition(|it| matches!(it, Remedy::ClearPending { owes_a_rotation: true, .. }));
    gave_up.is_some_and(|at| !taken[at..].contains(&Remedy::Rotate))
}

/// A rotation whose steps run is not stuck: it is let be. Says at the first look why it ended.
async fn wait_while_a_step_runs(session: &Session, is_first: bool) -> Result<(), Shown> {
    let deployment = &session.deployment;
    let standstill = with_events(session, async |events| {
        let address = Address { kind: "secret", name: deployment.names.secret.clone() };
        watch::stand_still(&session.aws, deployment, &Progress { events, address }).await
    });
    let note = match session.fail(standstill.await)? {
        Standstill::Closed => None,
        Standstill::Failed { version, reason } => Some(format!("the rotation to version {version} failed in {reason}")),
        Standstill::Silent { version } => {
            Some(format!("no step of the rotation to version {version} runs, and none has failed"))
        }
    };
    if let Some(note) = note.filter(|_| is_first) {
        session.screen.event(&Event::Note(note));
    }
    Ok(())
}

async fn take(session: &Session, remedy: &Remedy, report: &Report) -> Result<(), Shown> {
    let (aws, names) = (&session.aws, &session.deployment.names);
    let taken = match remedy {
        Remedy::Activate { key } => activate(session, key).await,
        Remedy::ClearPending { version, .. } => watch::move_label(aws, names, PENDING, version, None).await,
        Remedy::MoveLabel { label, from, to } => watch::move_label(aws, names, label, from, Some(to)).await,
        Remedy::DeleteOrphan { key, .. } => function::delete_orphan(aws, &session.deployment, key).await,
        Remedy::Rotate => return rotate::rotate(session, report).await,
    };
    session.fail(taken)?;
    session.screen.event(&Event::Note(format!("done: {}", remedy.sentence())));
    Ok(())
}

async fn activate(session: &Session, key: &str) -> Result<(), Error> {
    let request = session.aws.iam.update_access_key().user_name(&session.deployment.names.user).access_key_id(key);
    let answer = request.status(StatusType::Active).send().await;
    answer.failed_to(|| format!("make access key {key} Active")).map(drop)
}

fn not_ours_to_do(taken: &[Remedy]) -> Error {
    let more = if taken.is_empty() { "nothing" } else { "nothing more" };
    Error::new(format!("{more} was changed: what is left takes a person"))
        .hint("read the diagnosis above, mend or decide, and run `deployer recover` again")
}

fn did_not_help(remedy: &Remedy) -> Error {
    Error::new("the rotation is not healthy, and no further remedy was taken")
        .cause(format!("next would be to {}, after all that was done", remedy.sentence()))
        .hint("look who else works on this secret or user, then run `deployer recover` again")
}
