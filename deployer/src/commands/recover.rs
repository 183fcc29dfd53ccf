//! `deployer recover`: shows how a rotation stands, and makes a stuck one healthy again by the safest way.

use std::time::{Duration, Instant};

use aws_sdk_iam::types::StatusType;
use contract::{AWSPENDING, Command, Report, Text, text};
use futures_util::future::BoxFuture;

use super::{
    approve::approve,
    each::for_each_deployment,
    ended::{Done, Shown},
    rotating,
    session::{Session, check_key_id},
    watched::stand_still,
};
use crate::{
    aws::Aws,
    cli::RecoverArgs,
    deployment::Deployment,
    error::{Error, ErrorKind, FailedTo as _},
    interrupt,
    rotation::{
        diagnosis::{Diagnosis, Known, Owed, Remedy, Way, again, diagnose, was_never_rotated},
        function, labels,
        watch::Standstill,
    },
    screen::Screen,
    sending::{self, Refused},
    would_fail,
};

/// The longest way back to health takes five remedies; more would mean that somebody works against us.
const MOST_REMEDIES: usize = 8;

pub(super) async fn run(screen: &Screen, args: &RecoverArgs) -> Result<Done, Shown> {
    if let Some(key) = &args.reactivate {
        check_key_id(screen, "--reactivate", key)?;
    }
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        let taken = match &args.reactivate {
            Some(key) => reactivate(&session, key, args.auto_approve).await?,
            None => 0,
        };
        let mut remedies = Vec::new();
        let recovered = recover(&session, args, taken, &mut remedies).await;
        recovered.map_err(|shown| if taken + remedies.len() == 0 { shown } else { shown.after_changes() })
    })
    .await
}

/// Diagnoses, takes one remedy, and diagnoses again, until nothing is wrong or nothing more can be done safely.
async fn recover(
    session: &Session,
    args: &RecoverArgs,
    done_before: usize,
    taken: &mut Vec<Remedy>,
) -> Result<Done, Shown> {
    let Session { screen, deployment, .. } = session;
    let began = Instant::now();
    loop {
        wait_while_a_step_runs(session, taken.is_empty()).await?;
        let asked = rotating::no_rotation_can_run(function::report(&session.aws, deployment, true).await);
        let report = session.or_show(asked)?;
        session.or_show(rotating::check_secret(&deployment.names, &report))?;
        let known = Known { owed: owed(session, taken, &report), reactivated: args.reactivate.as_deref() };
        let diagnosis = match diagnose(&report, known) {
            Diagnosis::Healthy { note } => outside(session).await?.unwrap_or(Diagnosis::Healthy { note }),
            other => other,
        };
        screen.report(deployment, &report);
        screen.diagnosis(&diagnosis);
        let in_file = deployment.config.instance.as_ref().map_or(&[][..], |instance| &instance.ids);
        if let Some(note) = taken_out(&report, |host| in_file.iter().any(|id| **id == *host)) {
            screen.note(note);
        }
        let remedy = match diagnosis {
            Diagnosis::Healthy { .. } if taken.len() + done_before == 0 => return Ok(Done::NothingToDo),
            Diagnosis::Healthy { .. } => {
                say_the_end(session, taken.len() + done_before, began.elapsed());
                return Ok(Done::Changes);
            }
            Diagnosis::Person { ways, .. } => {
                return session.or_show(Err(not_ours_to_do(taken.len() + done_before, &ways)));
            }
            Diagnosis::Curable { first, .. } => first,
        };
        if taken.contains(&remedy) || taken.len() == MOST_REMEDIES {
            return session.or_show(Err(did_not_help(&remedy)));
        }
        // Nothing is given up for a rotation that would fail.
        if matches!(remedy, Remedy::Rotate | Remedy::ClearPending { owes_a_rotation: true, .. }) {
            session.or_show(rotating::check_its_way(session).await)?;
        }
        if !args.auto_approve {
            approve(session, &question(&remedy, &report), &["recover"], taken.len() + done_before).await?;
        }
        // Another run may have changed what was diagnosed.
        if take(session, &remedy, &report, args).await? == Taken::Done {
            taken.push(remedy);
        }
    }
}

/// What is wrong outside of the rotation, though its labels and keys are as they should be: SES sends none of the user's mail, or the next
/// rotation would fail at what the function cannot see.
async fn outside(session: &Session) -> Result<Option<Diagnosis>, Shown> {
    let Session { deployment, aws, .. } = session;
    let round = &aws.for_one_round();
    let (account, user, stops) = tokio::join!(
        sending::account(round),
        Box::pin(sending::of_user(round, deployment)),
        Box::pin(would_fail::reasons(aws, deployment))
    );
    let user = session.or_show(user)?;
    let stopped = session.or_show(account)?.stopped();
    let refused = stopped.as_ref().or_else(|| user.as_ref()?.refused());
    let mut found: Vec<Text> =
        refused.into_iter().flat_map(|Refused { found, ways }| [found].into_iter().chain(ways)).cloned().collect();
    let is_new = |error: &Error| refused.is_none_or(|refused| refused.found.to_string() != error.what);
    for error in session.or_show(stops)?.into_iter().filter(is_new) {
        found.push(format!("a rotation would fail: {}", error.in_one_line()).into());
        found.extend(error.hints);
    }
    Ok((!found.is_empty()).then(|| Diagnosis::Person { found: Text::join(found, ". "), ways: vec![again()] }))
}

/// Hosts that the file does not name any more: the function tells them until an apply. Of a rotation that fails at one of them, no remedy
/// is the end.
fn taken_out(report: &Report, is_in_file: impl Fn(&str) -> bool) -> Option<Text> {
    let gone: Vec<_> =
        report.hosts.iter().map(|host| host.instance.as_str()).filter(|host| !is_in_file(host)).collect();
    (!gone.is_empty()).then(|| {
        text![
            format!("the file does not name {} any more, and the function still tells it: run ", gone.join(" and ")),
            Command::deployer("apply --during-rotation"),
            " first"
        ]
    })
}

fn say_the_end(session: &Session, changes: usize, took: Duration) {
    let changes = if changes == 1 { "1 change".to_owned() } else { format!("{changes} changes") };
    let next = text![Command::deployer("status"), " shows whether mail is safe, and when the credential rotates"];
    session.screen.complete(&format!("Recovery complete: {changes}"), took, &next);
}

/// "Take AWSPENDING off version V?" Of a rotation also which keys it makes and deletes.
fn question(remedy: &Remedy, report: &Report) -> String {
    let question = format!("{}?", capitalized(&remedy.sentence()));
    match remedy {
        Remedy::Rotate => format!("{question} {}.", capitalized(&rotating::forecast(report))),
        _ => question,
    }
}

fn capitalized(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

/// Whether a rotation is still wanted: one that was given up, or the first one.
fn owed(session: &Session, taken: &[Remedy], report: &Report) -> Option<Owed> {
    let gave_up = taken.iter().rposition(|it| matches!(it, Remedy::ClearPending { owes_a_rotation: true, .. }));
    let is_first = session.deployment.config.rotation.rotate_on_create && was_never_rotated(report);
    if gave_up.is_some_and(|at| !taken[at..].contains(&Remedy::Rotate)) {
        Some(Owed::GivenUp)
    } else {
        is_first.then_some(Owed::OnCreate)
    }
}

/// A rotation whose steps run is not stuck: it is left alone. The first time, says why the rotation ended.
async fn wait_while_a_step_runs(session: &Session, is_first: bool) -> Result<(), Shown> {
    let note = match session.or_show(stand_still(session).await)? {
        Standstill::Closed => None,
        // What to do follows from how everything stands now, not from how it stood then.
        Standstill::Failed { version, failed } => {
            Some(format!("the rotation to version {version} {}", failed.sentence()))
        }
        Standstill::Silent { version } => {
            Some(format!("no step of the rotation to version {version} runs, and none has failed"))
        }
    };
    if let Some(note) = note.filter(|_| is_first) {
        session.screen.note(note);
    }
    Ok(())
}

/// Whether a remedy was taken.
#[derive(PartialEq, Eq)]
enum Taken {
    Done,
    /// Another run had to be waited for.
    NotYet,
}

async fn take(session: &Session, remedy: &Remedy, report: &Report, args: &RecoverArgs) -> Result<Taken, Shown> {
    let Some(change) = change(&session.aws, &session.deployment, remedy) else {
        return rotating::rotate(session, report, args.watch, args.patience).await.map(|_| Taken::Done);
    };
    let _draining = rotating::drain(session)?;
    let lease = session.take_lease("recover", args.patience.lease_timeout).await?;
    let waited = lease.waited;
    let changed = if waited { Ok(()) } else { change.await };
    lease.give_up().await;
    session.or_show(changed)?;
    if !waited {
        session.screen.note(format!("done: {}", remedy.sentence()));
    }
    if interrupt::is_asked() {
        let again = Command::deployer("recover");
        return session.or_show(Err(interrupt::interrupted().hint(text![
            "what is done stays done; ",
            again,
            " continues from here"
        ])));
    }
    if waited {
        return Ok(Taken::NotYet);
    }
    Ok(Taken::Done)
}

/// The change of a remedy, which begins once it is awaited, under the lease. None for a rotation, which takes the lease by itself.
fn change<'a>(
    aws: &'a Aws,
    deployment: &'a Deployment,
    remedy: &'a Remedy,
) -> Option<BoxFuture<'a, Result<(), Error>>> {
    let secret = &deployment.names.secret;
    Some(match remedy {
        Remedy::ClearPending { version, .. } => Box::pin(labels::move_label(aws, secret, AWSPENDING, version, None)),
        Remedy::MoveLabel { label, from, to } => Box::pin(labels::move_label(aws, secret, label, from, Some(to))),
        Remedy::DeleteOrphan { key, .. } => Box::pin(function::delete_orphan(aws, deployment, key)),
        Remedy::Rotate => return None,
    })
}

/// Makes a key Active that a person has named. Returns how many changes that took.
async fn reactivate(session: &Session, key: &str, auto_approve: bool) -> Result<usize, Shown> {
    let report = session.or_show(function::report(&session.aws, &session.deployment, false).await)?;
    if session.or_show(function::find_key(&report, key))?.active {
        session.screen.note(format!("access key {key} is Active already"));
        return Ok(0);
    }
    if !auto_approve {
        let question = format!("Make access key {key} Active again? Whoever has it can send mail then.");
        approve(session, &question, &["recover", "--reactivate", key], 0).await?;
    }
    let request = session.aws.iam.update_access_key().user_name(&report.user).access_key_id(key);
    let answer = request.status(StatusType::Active).send().await;
    session.or_show(answer.failed_to(|| format!("make access key {key} Active")))?;
    session.screen.note(format!("done: made access key {key} Active again"));
    Ok(1)
}

fn not_ours_to_do(done: usize, ways: &[Way]) -> Error {
    let more = if done == 0 { "nothing" } else { "nothing more" };
    let left = if ways.iter().all(|way| way.waits) {
        "what is found has to be corrected, or to pass"
    } else {
        "you have to decide"
    };
    Error::new(format!("{more} was changed: {left}")).of_kind(ErrorKind::RotationFailed).hint(text![
        "do what the lines from \"Found:\" on say, then run ",
        Command::deployer("recover"),
        " again"
    ])
}

fn did_not_help(remedy: &Remedy) -> Error {
    Error::new("the rotation is not healthy, and no further remedy was taken")
        .of_kind(ErrorKind::RotationFailed)
        .cause(format!("the next remedy would be to {}, after all that was done", remedy.sentence()))
        .hint(text![
            "find out who else works on this secret or user, then run ",
            Command::deployer("recover"),
            " again"
        ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::fixture;

    #[test]
    fn a_host_that_the_file_does_not_name_any_more_is_told_with_what_takes_it_out() {
        let report = fixture::report(vec![], vec![]);
        let note = taken_out(&report, |_| false).unwrap().to_string();
        assert!(note.contains("i-1") && note.contains("apply --during-rotation"), "{note}");
        assert_eq!(taken_out(&report, |host| host == "i-1"), None);
    }
}
