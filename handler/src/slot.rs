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

/// Enough to deactivate a key, to look again, and to delete it or to make it Active again.
const TIME_TO_FREE: Duration = Duration::from_mins(1);

/// By how much IAM's clock and ours may differ.
const CLOCK_DIFFERENCE: Duration = Duration::from_mins(1);

/// Makes sure that the user has a free slot, or fails with every key as it was. Where AWS does not let it be, the error says
/// so, and how to mend it.
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
    rotation.time.require(TIME_TO_FREE, "to free an access key, or to leave it as it was")?;
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
        Ok(Verdict::MustStay(reason)) => Error::LabelsMoved { key: id.clone(), reason: reason.to_string() },
        Err(error) => error,
    };
    if key.key.active {
        activate_again(rotation, &id, &refusal).await?;
    }
    Err(refusal)
}

async fn activate_again(rotation: &Rotation<'_>, key: &str, refusal: &Error) -> Result<(), Error> {
    let Rotation { clients, settings, .. } = *rotation;
    match user::set_active(clients, settings, key, true).await {
        Ok(true) => info!(key, "the access key is Active again"),
        Ok(false) => info!(key, "the access key is gone: somebody deleted it"),
        Err(problem) => {
            return Err(Error::KeyLeftInactive {
                user: settings.iam_user_name().to_owned(),
                key: key.to_owned(),
                found: match refusal {
                    Error::LabelsMoved { reason, .. } => reason.clone(),
                    other => other.to_string(),
                },
                problem: Box::new(problem),
            });
        }
    }
    Ok(())
}

/// Judges the deactivated key as the one it was before. The values are read one by one, so the labels that they were
/// read for are read once more after them: only if they are still the same was all of it true at one time.
async fn judge_again(rotation: &Rotation<'_>, key: &UsedKey) -> Result<Verdict, Error> {
    let Rotation { clients, settings, request, .. } = *rotation;
    let secret = secret::describe(clients, &request.secret_arn).await?;
    let mut keys = with_last_use(rotation, user::keys(clients, settings).await?).await?;
    keys.retain(|other| other.key.id != key.key.id);
    keys.push(key.clone());
    let situation = look(rotation, &secret, keys).await?;
    if secret::describe(clients, &request.secret_arn).await?.versions != secret.versions {
        let reason = "labels were moved while they were read".to_owned();
        return Err(Error::LabelsMoved { key: key.key.id.clone(), reason });
    }
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
        was_rotated: secret.last_rotated.is_some(),
        grace_began: secret.last_rotated.max(current_created),
        keep_previous: rotation.settings.keep_previous,
        now: rotation.time.began,
        user_owned: rotation.settings.iam_user_owned,
        replaces: rotation.settings.replaces.clone(),
        orphan_age: rotation.time.timeout + CLOCK_DIFFERENCE,
    })
}
