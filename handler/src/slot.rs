//! A free slot for the new key: what `keys` decides, done.

use std::time::Duration;

use tracing::info;

use crate::{
    error::Error,
    keys::{self, AccessKey, LabelledVersion, Situation, Slot, UsedKey, Verdict},
    rotation::Rotation,
    secret::{self, AWSCURRENT, Secret},
    user,
};

/// By how much IAM's clock and ours may differ.
const CLOCK_DIFFERENCE: Duration = Duration::from_mins(1);

/// Makes sure that the user has a free slot, or fails with every key as it was.
///
/// The key that goes is deactivated first, and deleted only if the labels, read again, still do not
/// protect it: an operator may move a label at any moment, and a deactivated key can be brought back.
pub async fn secure(rotation: &Rotation<'_>, secret: &Secret, keys: Vec<AccessKey>) -> Result<(), Error> {
    if keys.len() < keys::KEYS_PER_USER {
        return Ok(());
    }
    let situation = look(rotation, secret, with_last_use(rotation, keys).await?).await?;
    let (key, reason) = match keys::choose(&situation) {
        Slot::Free => return Ok(()),
        Slot::After { key, reason } => (key, reason),
        Slot::None(keys) => {
            return Err(Error::NoSafeSlot { user: rotation.settings.iam_user_name().to_owned(), keys });
        }
    };
    let id = key.key.id.clone();
    info!(key = id, "freeing an access key: {reason}");
    if !user::set_active(rotation.clients, rotation.settings, &id, false).await? {
        info!(key = id, "the access key is gone already");
        return Ok(());
    }
    let refusal = match judge_again(rotation, &key).await {
        Ok(Verdict::MayGo(_)) => {
            user::delete_key(rotation.clients, rotation.settings, &id).await?;
            info!(key = id, "the access key is deleted");
            return Ok(());
        }
        Ok(Verdict::MustStay(reason)) => Error::LabelsMoved { key: id.clone(), reason },
        Err(error) => error,
    };
    if key.key.active {
        user::set_active(rotation.clients, rotation.settings, &id, true).await?;
        info!(key = id, "the access key is Active again");
    }
    Err(refusal)
}

async fn judge_again(rotation: &Rotation<'_>, key: &UsedKey) -> Result<Verdict, Error> {
    let secret = secret::describe(rotation.clients, &rotation.request.secret_arn).await?;
    let situation = look(rotation, &secret, vec![key.clone()]).await?;
    Ok(keys::judge(&situation, key))
}

async fn with_last_use(rotation: &Rotation<'_>, keys: Vec<AccessKey>) -> Result<Vec<UsedKey>, Error> {
    let mut used = Vec::new();
    for key in keys {
        let last_used = user::last_use(rotation.clients, &key.id).await?;
        used.push(UsedKey { key, last_used });
    }
    Ok(used)
}

async fn look(rotation: &Rotation<'_>, secret: &Secret, keys: Vec<UsedKey>) -> Result<Situation, Error> {
    let mut versions = Vec::new();
    let mut current_created = None;
    for (id, labels) in secret.versions.iter().filter(|(_, labels)| !labels.is_empty()) {
        let version = secret::read(rotation.clients, secret, id).await?;
        if secret.has(id, AWSCURRENT) {
            current_created = version.as_ref().and_then(|version| version.created);
        }
        let names_key = version.map(|version| version.value.access_key_id).filter(|key| !key.is_empty());
        versions.push(LabelledVersion { labels: labels.clone(), names_key });
    }
    Ok(Situation {
        keys,
        versions,
        grace_began: secret.last_rotated.max(current_created),
        keep_previous: rotation.settings.keep_previous,
        now: rotation.time.began,
        user_owned: rotation.settings.iam_user_owned,
        replaces: rotation.settings.replaces.clone(),
        orphan_age: rotation.time.timeout + CLOCK_DIFFERENCE,
    })
}
