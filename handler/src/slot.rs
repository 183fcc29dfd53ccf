//! A free slot for the new key, and how any key goes: what `keys` decides, done.

use std::{fmt::Display, time::Duration};

use tracing::info;

use crate::{
    decide::keys::{self, AccessKey, MayGo, MustStay, Situation, Slot, UsedKey, Verdict},
    error::Error,
    invocation::Invocation,
    services::{
        secret::{self, Secret},
        user,
    },
    situation::{look, with_last_use},
};

/// Enough to deactivate a key, to look again, and to delete it or to make it Active again.
const TIME_TO_FREE: Duration = Duration::from_mins(1);

/// Of that, enough to make it Active again. What is looked at takes the rest at most.
const TIME_TO_ACTIVATE: Duration = Duration::from_secs(30);

/// What became of a key that was to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    /// It is deleted.
    Deleted,
    /// Somebody else deleted it.
    GoneAlready,
    /// It is as it was before: meanwhile this came up.
    Kept(String),
}

/// The key that is to go for a free slot, and why it may; none where one is free already.
pub(crate) async fn choose(
    invocation: &Invocation<'_>,
    secret: &Secret,
    keys: Vec<AccessKey>,
) -> Result<Option<(UsedKey, MayGo)>, Error> {
    if keys.len() < keys::KEYS_PER_USER {
        return Ok(None);
    }
    let situation = look(invocation, secret, with_last_use(invocation, keys).await?).await?;
    match keys::choose(&situation) {
        Slot::Free => Ok(None),
        Slot::After { key, reason } => Ok(Some((key, reason))),
        Slot::None(keys) => Err(Error::NoSafeSlot { user: invocation.settings.iam_user_name().to_owned(), keys }),
    }
}

/// Frees the slot of a key that was chosen, or fails with every key as it was. Where AWS does not let it be, the error says
/// so, and how to mend it.
pub(crate) async fn make_room(
    invocation: &Invocation<'_>,
    secret: &Secret,
    key: &UsedKey,
    reason: &MayGo,
) -> Result<(), Error> {
    let id = key.key.id.clone();
    info!(key = id, "freeing an access key: {reason}");
    match free(invocation, secret, key, &may_go).await? {
        Freed::Deleted | Freed::GoneAlready => Ok(()),
        Freed::Kept(reason) => Err(Error::LabelsMoved { key: id, reason }),
    }
}

fn may_go(situation: &Situation, key: &UsedKey) -> Result<(), MustStay> {
    match keys::judge(situation, key) {
        Verdict::MayGo(_) => Ok(()),
        Verdict::MustStay(reason) => Err(reason),
    }
}

/// Deletes a key that was judged to go.
///
/// It is deactivated first, and deleted only if it still may go when the labels are read again: an operator may move a
/// label at any moment, and a deactivated key can be brought back.
///
/// Two invocations may be about to free the same key, retirement and a rotation that needs the slot. The second finds it
/// Inactive, and it may become Active again, since the first found that it has to stay there.
pub(crate) async fn free<Reason: Display>(
    invocation: &Invocation<'_>,
    secret: &Secret,
    key: &UsedKey,
    judge: &impl Fn(&Situation, &UsedKey) -> Result<(), Reason>,
) -> Result<Freed, Error> {
    let Invocation { clients, settings, time } = *invocation;
    time.require(TIME_TO_FREE, "to free an access key, or to leave it as it was")?;
    let id = key.key.id.as_str();
    if key.key.active && !deactivate(invocation, id).await? {
        info!(key = id, "the access key is gone already");
        return Ok(Freed::GoneAlready);
    }
    let limit = time.remaining().saturating_sub(TIME_TO_ACTIVATE);
    let judged = tokio::time::timeout(limit, judge_again(invocation, secret, key, judge)).await;
    let kept = match judged.unwrap_or(Err(Error::DeadlineReached)) {
        Ok(Second::MayGo) => {
            let deleted = user::delete_key(clients, settings, id).await?;
            info!(key = id, deleted, "the access key is gone");
            return Ok(if deleted { Freed::Deleted } else { Freed::GoneAlready });
        }
        Ok(Second::IsActive(key)) => {
            info!(key = id, "the access key was made Active meanwhile: it is freed as one that is");
            return Box::pin(free(invocation, secret, &key, judge)).await;
        }
        Ok(Second::Stays(reason)) => Ok(reason),
        Err(error) => Err(error),
    };
    // One that was Inactive before stays so.
    if key.key.active {
        let found = kept.as_ref().map_or_else(ToString::to_string, Clone::clone);
        activate_again(invocation, id, found).await?;
    }
    kept.map(Freed::Kept)
}

/// False if the key is gone. Where the answer is lost it may be Inactive, and is made Active again.
async fn deactivate(invocation: &Invocation<'_>, key: &str) -> Result<bool, Error> {
    match user::set_active(invocation.clients, invocation.settings, key, false).await {
        Err(Error::Aws { action, cause }) if !cause.refused => {
            let lost = Error::Aws { action, cause };
            activate_again(invocation, key, lost.to_string()).await?;
            Err(lost)
        }
        answer => answer,
    }
}

async fn activate_again(invocation: &Invocation<'_>, key: &str, found: String) -> Result<(), Error> {
    let Invocation { clients, settings, .. } = *invocation;
    match user::set_active(clients, settings, key, true).await {
        Ok(true) => info!(key, "the access key is Active again"),
        Ok(false) => info!(key, "the access key is gone: somebody deleted it"),
        Err(problem) => {
            let (user, key) = (settings.iam_user_name().to_owned(), key.to_owned());
            return Err(Error::KeyLeftInactive { user, key, found, problem: Box::new(problem) });
        }
    }
    Ok(())
}

/// What a second look at a key that was to go finds.
enum Second {
    /// It still may go.
    MayGo,
    /// It was Inactive, and is Active now.
    IsActive(UsedKey),
    /// It has to stay, for this reason.
    Stays(String),
}

/// Judges the key again, with the state that it had before. The values are read one by one, so the labels that they were read
/// for are read once more after them: only if they are still the same was all of it true at one time.
async fn judge_again<Reason: Display>(
    invocation: &Invocation<'_>,
    secret: &Secret,
    key: &UsedKey,
    judge: &impl Fn(&Situation, &UsedKey) -> Result<(), Reason>,
) -> Result<Second, Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let secret = secret::describe(clients, &secret.arn).await?;
    let mut keys = with_last_use(invocation, user::keys(clients, settings).await?).await?;
    let mut judged = key.clone();
    if let Some(at) = keys.iter().position(|other| other.key.id == key.key.id) {
        let now = keys.swap_remove(at);
        if now.key.active && !key.key.active {
            return Ok(Second::IsActive(now));
        }
        judged.last_used = now.last_used;
    }
    keys.push(judged.clone());
    let situation = look(invocation, &secret, keys).await?;
    if secret::describe(clients, &secret.arn).await?.versions != secret.versions {
        return Ok(Second::Stays("labels were moved while they were read".to_owned()));
    }
    Ok(judge(&situation, &judged).map_or_else(|reason| Second::Stays(reason.to_string()), |()| Second::MayGo))
}
