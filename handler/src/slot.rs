//! A free slot for the new key, and the deletion of any key: it does what `decide/` decides.

use std::{fmt::Display, time::Duration};

use contract::{AWSCURRENT, KEYS_PER_USER, inactive_label};
use tracing::info;

use crate::{
    date::date,
    decide::keys::{self, AccessKey, MustStay, Situation, Slot, UsedKey, Verdict},
    error::Error,
    invocation::Invocation,
    services::{
        secret::{self, Secret},
        user,
    },
    situation::{self, with_last_use},
    time::{CONSISTENT_WITHIN, pause},
};

/// Enough to make a key Inactive, to read everything again, and to delete the key or to make it Active again.
const TIME_TO_FREE: Duration = Duration::from_mins(1);

/// Of that, enough to make the key Active again. Reading everything again takes the rest at most.
const TIME_TO_ACTIVATE: Duration = Duration::from_secs(30);

const LABELS_MOVED: &str = "labels moved while they were read";

/// How far a key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// It is deleted.
    Deleted,
    /// It stays Inactive, and a label says since when.
    Inactive,
}

impl Goal {
    /// How long the labels are watched once the key has gone so far.
    fn watched_for(self) -> Duration {
        match self {
            Self::Deleted => Duration::ZERO,
            Self::Inactive => CONSISTENT_WITHIN,
        }
    }
}

/// What became of a key that was to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    /// It went as far as was asked.
    Done,
    /// Somebody else deleted it.
    GoneAlready,
    /// It is as before, because this changed meanwhile.
    Kept(String),
}

/// What a free slot needs; none if a slot is free.
pub(crate) async fn choose(invocation: &Invocation<'_>, secret: &Secret, keys: Vec<AccessKey>) -> Result<Slot, Error> {
    if keys.len() < KEYS_PER_USER {
        return Ok(Slot::Free);
    }
    let situation = situation::read(invocation, secret, with_last_use(invocation, keys).await?).await?;
    Ok(keys::choose(&situation))
}

/// Deletes a chosen key. If the key has to stay after all, it is made Active again. If `DeleteAccessKey` itself fails, the key stays
/// Inactive: it was judged twice, and nobody needs it.
pub(crate) async fn make_room(invocation: &Invocation<'_>, secret: &Secret, key: &UsedKey) -> Result<(), Error> {
    match remove(invocation, secret, key, Goal::Deleted, &may_go).await? {
        Freed::Done | Freed::GoneAlready => Ok(()),
        Freed::Kept(reason) => Err(Error::LabelsMoved { key: key.key.id.clone(), reason }),
    }
}

fn may_go(situation: &Situation, key: &UsedKey) -> Result<(), MustStay> {
    match keys::judge(situation, key) {
        Verdict::MayGo(_) => Ok(()),
        Verdict::MustStay(reason) => Err(reason),
    }
}

/// Deletes a key that may go, or leaves it Inactive.
///
/// The key is made Inactive first, and it goes further only if it still may go when everything is read again: an operator may move
/// a label at any moment, and an Inactive key can be made Active again.
///
/// Race: two invocations may free the same key, one that retires keys and a rotation that needs the slot. The second finds the key
/// Inactive. The first may make it Active again, because it found that the key has to stay.
pub(crate) async fn remove<Reason: Display>(
    invocation: &Invocation<'_>,
    secret: &Secret,
    key: &UsedKey,
    goal: Goal,
    judge: &impl Fn(&Situation, &UsedKey) -> Result<(), Reason>,
) -> Result<Freed, Error> {
    let Invocation { clients, settings, time } = *invocation;
    time.require(TIME_TO_FREE + goal.watched_for(), "to delete an access key, or to leave it as before")?;
    let id = key.key.id.as_str();
    if key.key.active && !deactivate(invocation, id).await? {
        info!(key = id, "the access key is gone already");
        return Ok(Freed::GoneAlready);
    }
    let limit = time.remaining().saturating_sub(TIME_TO_ACTIVATE + goal.watched_for());
    let judged = tokio::time::timeout(limit, judge_again(invocation, secret, key, judge)).await;
    let kept = match judged.unwrap_or(Err(Error::DeadlineReached)) {
        Ok(SecondVerdict::MayGo { version, seen }) if goal == Goal::Inactive => {
            label_inactive(invocation, &seen, id, version).await?;
            match what_changed(invocation, &seen).await {
                Ok(None) => return Ok(Freed::Done),
                Ok(Some(reason)) => Ok(reason),
                Err(error) => Err(error),
            }
        }
        Ok(SecondVerdict::MayGo { .. }) => {
            let deleted = user::delete_key(clients, settings, id).await.map_err(|error| left_inactive(id, error))?;
            info!(key = id, deleted, "the access key is gone");
            return Ok(if deleted { Freed::Done } else { Freed::GoneAlready });
        }
        Ok(SecondVerdict::IsActive(key)) => {
            info!(key = id, "the access key became Active meanwhile: it is judged again as an Active one");
            return Box::pin(remove(invocation, secret, &key, goal, judge)).await;
        }
        Ok(SecondVerdict::Stays(reason)) => Ok(reason),
        Err(error) => Err(error),
    };
    // A key that was Inactive before stays Inactive.
    if key.key.active {
        let found = kept.as_ref().map_or_else(ToString::to_string, Clone::clone);
        activate_again(invocation, id, found).await?;
    }
    kept.map(Freed::Kept)
}

/// Puts the label on a version that says since when the key is Inactive. If that fails, the next upkeep does it.
async fn label_inactive(
    invocation: &Invocation<'_>,
    secret: &Secret,
    key: &str,
    version: Option<String>,
) -> Result<(), Error> {
    let since = date(invocation.time.began);
    info!(key, since, "the access key is Inactive, and is deleted later");
    let version = version.as_deref().or_else(|| secret.version_labelled(AWSCURRENT)).unwrap_or_default();
    secret::add_label(invocation.clients, secret, inactive_label(key, &since), version).await
}

/// What has changed while a key was noted as Inactive; none if nothing. Whoever moves a label onto the key from now on can see that it
/// is Inactive. The first look can be older than a move in that moment, the second cannot.
async fn what_changed(invocation: &Invocation<'_>, seen: &Secret) -> Result<Option<String>, Error> {
    let moved = async || -> Result<bool, Error> {
        let now = secret::describe(invocation.clients, invocation.settings, &seen.arn).await?;
        Ok(now.protecting() != seen.protecting())
    };
    if !moved().await? {
        pause(Goal::Inactive.watched_for(), "a label that was just moved may not show yet").await;
        if !moved().await? {
            return Ok(None);
        }
    }
    Ok(Some(LABELS_MOVED.to_owned()))
}

/// False if the key is gone. If the answer is lost, the key may be Inactive, so it is made Active again.
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

/// A failed deletion, told with how it leaves the key.
fn left_inactive(key: &str, error: Error) -> Error {
    match error {
        Error::Aws { cause, .. } => Error::KeyNotDeleted { key: key.to_owned(), cause },
        other => other,
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

/// What is found when a key that was to be deleted is judged again.
enum SecondVerdict {
    /// It still may go.
    MayGo {
        /// A version that names it.
        version: Option<String>,
        /// The labels of which that is true.
        seen: Secret,
    },
    /// It was Inactive, and is Active now.
    IsActive(UsedKey),
    /// It has to stay, for this reason.
    Stays(String),
}

/// Judges the key again, with the state that it had before. The values are read one by one, so labels and keys are read again
/// after them: if unchanged, everything read was true at the same moment.
async fn judge_again<Reason: Display>(
    invocation: &Invocation<'_>,
    secret: &Secret,
    key: &UsedKey,
    judge: &impl Fn(&Situation, &UsedKey) -> Result<(), Reason>,
) -> Result<SecondVerdict, Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let secret = secret::describe(clients, settings, &secret.arn).await?;
    let mut keys = with_last_use(invocation, user::keys(clients, settings).await?).await?;
    let mut judged = key.clone();
    if let Some(at) = keys.iter().position(|other| other.key.id == key.key.id) {
        let now = keys.swap_remove(at);
        if now.key.active && !key.key.active {
            return Ok(SecondVerdict::IsActive(now));
        }
        judged.last_used = now.last_used;
    }
    keys.push(judged.clone());
    let situation = situation::read(invocation, &secret, keys).await?;
    let now = user::keys(clients, settings).await?.into_iter().find(|now| now.id == key.key.id);
    if secret::describe(clients, settings, &secret.arn).await?.versions != secret.versions {
        return Ok(SecondVerdict::Stays(LABELS_MOVED.to_owned()));
    }
    if let Some(now) = now.filter(|now| now.active && !key.key.active) {
        return Ok(SecondVerdict::IsActive(UsedKey { key: now, last_used: judged.last_used }));
    }
    let version = situation.versions.iter().find(|version| version.names_key.as_ref() == Some(&key.key.id));
    let may_go = |()| SecondVerdict::MayGo { version: version.map(|version| version.id.clone()), seen: secret };
    Ok(judge(&situation, &judged).map_or_else(|reason| SecondVerdict::Stays(reason.to_string()), may_go))
}
