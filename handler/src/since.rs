//! Since when AWSCURRENT is where it is. AWS keeps no date of a label's move, so a label of ours does.
//!
//! Only a deployment without hosts needs it: whoever reads AWSCURRENT by himself has `keep_previous` for that, from when
//! AWSCURRENT was moved. Hosts are told, and confirm.

use std::time::SystemTime;

use contract::{AWSCURRENT, parse_since_label, since_label};
use tracing::warn;

use crate::{
    date::{date, parse},
    error::Error,
    invocation::Invocation,
    services::secret::{self, Secret},
};

/// The version that AWSCURRENT was noted on last, and since when; none if it never was, as in a deployment of an older
/// version.
pub(crate) fn labelled(secret: &Secret) -> Option<(&str, SystemTime)> {
    labels(secret)
        .filter_map(|(version, label)| Some((version, parse(parse_since_label(label)?)?)))
        .max_by_key(|(_, at)| *at)
}

/// Notes that AWSCURRENT is on this version since then, unless it is noted there. If it fails, the daily upkeep does it.
pub(crate) async fn label_current(invocation: &Invocation<'_>, secret: &Secret, current: &str, at: SystemTime) {
    let is_noted = labelled(secret).is_some_and(|(version, _)| version == current);
    if invocation.settings.consumer.is_some() || is_noted {
        return;
    }
    if let Err(error) = move_label(invocation, secret, current, at).await {
        warn!("since when {AWSCURRENT} is on version {current} was not noted: {error}");
    }
}

/// Notes where AWSCURRENT is if it is elsewhere than noted, so that it was moved meanwhile. A deployment of an older version has no
/// note: its grace has counted from the last rotation, and goes on to do so.
pub(crate) async fn label_if_moved(invocation: &Invocation<'_>, secret: &Secret) {
    let began = invocation.time.began;
    let at = if labelled(secret).is_some() { began } else { secret.last_rotated.unwrap_or(began) };
    if let Some(current) = secret.version_labelled(AWSCURRENT) {
        label_current(invocation, secret, current, at).await;
    }
}

/// As [`label_if_moved`], in a step. Where nothing was noted before, the upkeep makes the first note.
pub(crate) async fn follow_current(invocation: &Invocation<'_>, secret: &Secret) {
    if labelled(secret).is_some() {
        label_if_moved(invocation, secret).await;
    }
}

/// The new note first: of two, the later one counts.
async fn move_label(invocation: &Invocation<'_>, secret: &Secret, current: &str, at: SystemTime) -> Result<(), Error> {
    let clients = invocation.clients;
    secret::add_label(clients, secret, since_label(&date(at)), current).await?;
    for (version, label) in labels(secret) {
        secret::drop_label(clients, secret, label, version).await?;
    }
    Ok(())
}

fn labels(secret: &Secret) -> impl Iterator<Item = (&str, &str)> {
    let all = secret.labelled().flat_map(|(version, labels)| labels.iter().map(move |label| (version, label.as_str())));
    all.filter(|(_, label)| parse_since_label(label).is_some())
}

#[cfg(test)]
mod tests {
    use contract::{AWSPREVIOUS, DEPLOYING};

    use super::*;
    use crate::fake_aws::FakeAws;

    const OLD: &str = "SINCE/2023-01-01T00:00:00Z";
    const NEW: &str = "SINCE/2023-02-01T00:00:00Z";

    async fn note_in(aws: &FakeAws, version: &str) {
        let noted = aws.ask(async |invocation| {
            let secret = secret::find(invocation.clients, invocation.settings).await?;
            label_current(invocation, &secret, version, invocation.time.began).await;
            Ok(())
        });
        noted.await.unwrap();
    }

    #[tokio::test]
    async fn the_note_moves_with_awscurrent_and_is_made_once() {
        let aws =
            FakeAws::new().version("old", &[AWSPREVIOUS, OLD], "OLD").version("new", &[AWSCURRENT, DEPLOYING], "NEW");
        note_in(&aws, "new").await;
        assert_eq!(aws.labels("old"), [AWSPREVIOUS]);
        let [_, _, note] = aws.labels("new").try_into().unwrap();
        assert!(parse_since_label(&note).is_some(), "{note}");
        let changes = aws.changes().len();
        note_in(&aws, "new").await;
        assert_eq!(aws.changes().len(), changes);
    }

    #[tokio::test]
    async fn of_two_notes_the_later_one_counts() {
        let aws = FakeAws::new().version("old", &[AWSCURRENT, OLD], "OLD").version("new", &[AWSPREVIOUS, NEW], "NEW");
        note_in(&aws, "new").await;
        assert!(aws.changes().is_empty(), "{:?}", aws.changes());
        note_in(&aws, "old").await;
        assert_eq!(aws.labels("new"), [AWSPREVIOUS]);
    }

    #[tokio::test]
    async fn hosts_are_told_so_nothing_is_noted() {
        let aws = FakeAws::new().version("new", &[AWSCURRENT], "NEW").host();
        note_in(&aws, "new").await;
        assert!(aws.changes().is_empty());
    }
}
