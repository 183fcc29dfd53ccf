//! What is wrong with a rotation, and what makes it healthy again. Pure: a report in, a diagnosis out.
//!
//! One rule is behind every remedy: a host may hold what DEPLOYING or AWSCURRENT names, so neither label leaves a credential
//! that could still work.

use contract::{Command, DEPLOYING, Report, Text};

mod credential;
mod current;
mod next;
mod obstacle;
mod open;
mod remedy;
#[cfg(test)]
mod tests;
mod told;

pub(crate) use credential::{Credential, credential};
pub(crate) use next::{Owed, first_credential};
pub(crate) use obstacle::{Obstacle, is_no_longer_in_the_way, obstacle, unread};
pub(crate) use open::left_open_by_an_edit;
pub(crate) use remedy::{Diagnosis, Remedy, Way, again};

use self::{
    current::{a_value_is_unusable, current_does_not_work, current_is_inactive},
    next::{orphan_takes_the_slot, rotation_is_due, rotation_would_fail},
    open::{rotation_is_open, was_complete},
    told::{labels_are_crossed, not_every_host_is_told, told_but_not_current},
};

/// What a run knows beside the report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known<'a> {
    /// Why a rotation is wanted although the schedule asks for none.
    pub(crate) owed: Option<Owed>,
    /// The key that this run has made Active, because a person said so.
    pub(crate) reactivated: Option<&'a str>,
}

/// Whether the function never stored a credential, and no rotation is open that might.
pub(crate) fn was_never_rotated(report: &Report) -> bool {
    report.last_rotated.is_none() && report.open.is_none() && report.labelled(DEPLOYING).is_none()
}

/// Finds what is wrong. No step of a rotation may be running.
pub(crate) fn diagnose(report: &Report, known: Known<'_>) -> Diagnosis {
    let Known { owed, reactivated } = known;
    current_is_inactive(report)
        .or_else(|| something_is_unread(report))
        .or_else(|| rotation_is_off(report))
        .or_else(|| was_complete(report))
        .or_else(|| a_value_is_unusable(report))
        .or_else(|| labels_are_crossed(report, reactivated))
        .or_else(|| rotation_is_open(report))
        .or_else(|| told_but_not_current(report))
        .or_else(|| not_every_host_is_told(report))
        .or_else(|| orphan_takes_the_slot(report))
        .or_else(|| current_does_not_work(report))
        .or_else(|| rotation_would_fail(report, owed))
        .or_else(|| rotation_is_due(report, owed))
        .unwrap_or_else(|| Diagnosis::Healthy { note: first_credential(report) })
}

/// What could not be read must not be taken for absent.
fn something_is_unread(report: &Report) -> Option<Diagnosis> {
    let refusal = unread(report)?;
    let found = Text::from("the function could not read what it needs to judge the rotation: ").then(refusal.in_full());
    Some(Diagnosis::Person { found, ways: vec![again()] })
}

fn rotation_is_off(report: &Report) -> Option<Diagnosis> {
    if report.rotation_enabled {
        return None;
    }
    let when = "to enable it as the configuration declares".to_owned();
    let ways = vec![Way { when, command: Command::deployer("apply"), waits: false }];
    Some(Diagnosis::Person {
        found: format!("the rotation of secret {} is off in Secrets Manager", report.secret).into(),
        ways,
    })
}
