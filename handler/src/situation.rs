//! Reads from AWS what `decide/` judges.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use contract::{AWSCURRENT, parse_inactive_label};
use tracing::info;

use crate::{
    date::parse,
    decide::keys::{AccessKey, KnownVersion, Situation, UsedKey},
    error::Error,
    invocation::Invocation,
    services::{
        secret::{self, Secret, Version},
        user,
    },
    since,
};

/// By how much IAM's clock and ours may differ.
const CLOCK_DIFFERENCE: Duration = Duration::from_mins(1);

/// How many old versions are read at most. Secrets Manager keeps about a hundred.
const OLD_VERSIONS: usize = 100;

/// Reads every labelled version. One that cannot be read is an error: it may name any of the keys.
pub(crate) async fn read(invocation: &Invocation<'_>, secret: &Secret, keys: Vec<UsedKey>) -> Result<Situation, Error> {
    let mut versions = BTreeMap::new();
    for (id, _) in secret.labelled() {
        versions.insert(id, secret::read(invocation.clients, secret, id).await?);
    }
    let mut situation = of(invocation, secret, keys, &versions);
    add_old_versions(invocation, secret, &mut situation).await?;
    Ok(situation)
}

/// Adds old versions without labels, the newest first, until each key is named. An edit of the secret by hand takes the last label
/// off the version with the previous key, and that key is still ours.
pub(crate) async fn add_old_versions(
    invocation: &Invocation<'_>,
    secret: &Secret,
    situation: &mut Situation,
) -> Result<(), Error> {
    let clients = invocation.clients;
    let named: BTreeSet<_> = situation.versions.iter().filter_map(|version| version.names_key.clone()).collect();
    let mut nobodys: BTreeSet<_> =
        situation.keys.iter().map(|key| key.key.id.clone()).filter(|key| !named.contains(key)).collect();
    if nobodys.is_empty() {
        return Ok(());
    }
    for id in secret::without_labels(clients, secret).await?.into_iter().take(OLD_VERSIONS) {
        if nobodys.is_empty() {
            break;
        }
        let names_key = match secret::key_named_by(clients, secret, &id).await {
            Ok(names_key) => names_key,
            // It makes no key ours, so every key that it may name stays.
            Err(error) => {
                info!(version = id, "an old version cannot be read: {error}");
                continue;
            }
        };
        if names_key.as_ref().is_some_and(|key| nobodys.remove(key)) {
            situation.versions.push(KnownVersion { id, labels: vec![], names_key });
        }
    }
    Ok(())
}

/// Asks for each key's last use.
pub(crate) async fn with_last_use(invocation: &Invocation<'_>, keys: Vec<AccessKey>) -> Result<Vec<UsedKey>, Error> {
    let mut used = Vec::new();
    for key in keys {
        let last_used = user::last_use(invocation.clients, &key.id).await?;
        used.push(UsedKey { key, last_used });
    }
    Ok(used)
}

/// The situation that follows from what was read: of every labelled version its value, none if the version is empty.
#[must_use]
pub(crate) fn of(
    invocation: &Invocation<'_>,
    secret: &Secret,
    keys: Vec<UsedKey>,
    values: &BTreeMap<&str, Option<Version>>,
) -> Situation {
    let Invocation { settings, time, .. } = *invocation;
    let value = |id: &str| values.get(id).and_then(Option::as_ref);
    let version = |(id, labels): (&str, &[String])| KnownVersion {
        id: id.to_owned(),
        labels: labels.to_vec(),
        names_key: value(id).map(|version| version.value.access_key_id.clone()).filter(|key| !key.is_empty()),
    };
    let current = secret.version_labelled(AWSCURRENT).and_then(value);
    let current_created = current.and_then(|version| version.created);
    // Without hosts: if somebody moved AWSCURRENT to another key, nobody knows when, and its readers may be about to follow.
    let moved = since::labelled(secret).filter(|_| settings.consumer.is_none()).map(|(noted, at)| {
        let key = |version: Option<&Version>| version.map(|version| version.value.access_key_id.clone());
        if key(value(noted)) == key(current) { at } else { time.began }
    });
    Situation {
        keys,
        versions: secret.labelled().map(version).collect(),
        was_rotated: secret.last_rotated.is_some(),
        grace_began: secret.last_rotated.max(current_created).max(moved),
        last_changed: secret.schedule.as_ref().and_then(|schedule| schedule.last_changed),
        keep_previous: settings.keep_previous,
        keep_inactive: settings.keep_inactive,
        inactive_since: secret.labelled().flat_map(|(_, labels)| labels).filter_map(|label| inactive(label)).collect(),
        now: time.began,
        user_owned: settings.iam_user_owned,
        replaces: settings.replaces.clone(),
        orphan_age: time.timeout + CLOCK_DIFFERENCE,
    }
}

/// The key and the date of a label that says since when it is Inactive.
fn inactive(label: &str) -> Option<(String, SystemTime)> {
    let (key, since) = parse_inactive_label(label)?;
    Some((key.to_owned(), parse(since)?))
}
