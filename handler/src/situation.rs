//! Reads from AWS what `decide/` judges.

use std::{collections::BTreeMap, time::Duration};

use contract::AWSCURRENT;

use crate::{
    decide::keys::{AccessKey, LabelledVersion, Situation, UsedKey},
    error::Error,
    invocation::Invocation,
    services::{
        secret::{self, Secret, Version},
        user,
    },
};

/// By how much IAM's clock and ours may differ.
const CLOCK_DIFFERENCE: Duration = Duration::from_mins(1);

/// Reads every labelled version. One that cannot be read is an error: it may name any of the keys.
pub(crate) async fn look(invocation: &Invocation<'_>, secret: &Secret, keys: Vec<UsedKey>) -> Result<Situation, Error> {
    let mut versions = BTreeMap::new();
    for (id, _) in secret.labelled() {
        versions.insert(id, secret::read(invocation.clients, secret, id).await?);
    }
    Ok(of(invocation, secret, keys, &versions))
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
    let version = |(id, labels): (&str, &[String])| LabelledVersion {
        id: id.to_owned(),
        labels: labels.to_vec(),
        names_key: value(id).map(|version| version.value.access_key_id.clone()).filter(|key| !key.is_empty()),
    };
    let current_created = secret.version_labelled(AWSCURRENT).and_then(value).and_then(|version| version.created);
    Situation {
        keys,
        versions: secret.labelled().map(version).collect(),
        was_rotated: secret.last_rotated.is_some(),
        grace_began: secret.last_rotated.max(current_created),
        last_changed: secret.schedule.as_ref().and_then(|schedule| schedule.last_changed),
        keep_previous: settings.keep_previous,
        now: time.began,
        user_owned: settings.iam_user_owned,
        replaces: settings.replaces.clone(),
        orphan_age: time.timeout + CLOCK_DIFFERENCE,
    }
}
