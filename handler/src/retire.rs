//! The event `retire`: delete the keys that are past their grace and that nobody can be using.

use std::fmt;

use contract::{LABEL_DEPLOYING, Retired, WayOut};
use tracing::info;

use crate::{
    error::Error,
    invocation::Invocation,
    keys::{self, Consent, KeptKey, MayGo, Situation, UsedKey, Verdict},
    secret::{self, AWSCURRENT, AWSPENDING, Secret},
    situation::{look, with_last_use},
    slot::{self, Freed},
    user,
};

/// Why no key is taken away, whatever is to be said of each: hosts may be changing over, or may be somewhere else than
/// AWSCURRENT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// A rotation is open.
    RotationOpen {
        /// Its version.
        version: String,
    },
    /// AWSCURRENT and DEPLOYING do not name the same key.
    HostsNotOnCurrent {
        /// DEPLOYING's version.
        deploying: Option<String>,
    },
    /// AWSCURRENT's key is Inactive or deleted.
    CurrentKeyNotActive {
        /// The key.
        key: String,
    },
}

/// Why a key does not go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// None does.
    Unsettled(Unsettled),
    /// This one does not.
    Key(KeptKey),
}

/// Whether a key is taken away without a rotation that needs its slot. Pure.
///
/// What protects a key from being freed for a rotation protects it here too. Beside that, everything has to be settled:
/// here nothing presses, and the next rotation settles it. Labels say nothing, though, of a key that no version names and
/// nobody ever used: who looked at such a one may have it deleted while no rotation runs that could have made it.
pub fn decide(situation: &Situation, key: &UsedKey, consent: Consent) -> Result<MayGo, Held> {
    let verdict = keys::judge_with(situation, key, consent);
    let is_looked_at_orphan = consent == Consent::Orphan && verdict == Verdict::MayGo(MayGo::Orphan);
    match unsettled(situation) {
        Some(found) if !is_looked_at_orphan || matches!(found, Unsettled::RotationOpen { .. }) => {
            Err(Held::Unsettled(found))
        }
        _ => match verdict {
            Verdict::MayGo(reason) => Ok(reason),
            Verdict::MustStay(reason) => Err(Held::Key(KeptKey::new(situation, key, reason))),
        },
    }
}

/// The event that makes a key go that otherwise stays: what these two events decide, asked beforehand.
#[must_use]
pub fn way_out(situation: &Situation, key: &UsedKey) -> Option<WayOut> {
    [(Consent::GraceEnded, WayOut::EndGrace), (Consent::Orphan, WayOut::RetireOrphan)]
        .into_iter()
        .find_map(|(consent, way_out)| decide(situation, key, consent).ok().map(|_| way_out))
}

/// Why no key is taken away now.
#[must_use]
pub fn unsettled(situation: &Situation) -> Option<Unsettled> {
    if let Some(pending) = situation.labelled(AWSPENDING).filter(|version| !version.has(AWSCURRENT)) {
        return Some(Unsettled::RotationOpen { version: pending.id.clone() });
    }
    let current = situation.key_labelled(AWSCURRENT);
    let told = situation.key_labelled(LABEL_DEPLOYING);
    let Some(key) = current.filter(|_| current == told) else {
        let deploying = situation.labelled(LABEL_DEPLOYING).map(|version| version.id.clone());
        return Some(Unsettled::HostsNotOnCurrent { deploying });
    };
    let is_active = situation.keys.iter().any(|it| it.key.active && it.key.id == key);
    (!is_active).then(|| Unsettled::CurrentKeyNotActive { key: key.to_owned() })
}

/// Answers the event.
pub async fn run(invocation: &Invocation<'_>, orphan: Option<&str>) -> Result<Retired, Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let secret = secret::find(clients, settings).await?;
    user::check(clients, settings).await?;
    retire(invocation, &secret, orphan).await
}

/// A rotation may begin at any moment. It needs no key that goes here: what it makes or goes on with is a key of its own
/// or DEPLOYING's, and neither may go, nor may any other once it is open. One that begins between the last look and the
/// deletion finds the key Inactive, or gone, which is what it would have done for its slot. What is left is a person who
/// moves a label onto the key in that moment.
async fn retire(invocation: &Invocation<'_>, secret: &Secret, orphan: Option<&str>) -> Result<Retired, Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let keys = with_last_use(invocation, user::keys(clients, settings).await?).await?;
    let situation = look(invocation, secret, keys).await?;
    let mut retired = Retired::default();
    retired.kept.extend(unsettled(&situation).map(|found| found.to_string()));
    if let Some(orphan) = orphan.filter(|orphan| situation.keys.iter().all(|key| key.key.id != *orphan)) {
        retired.kept.push(no_such_key(settings.iam_user_name(), orphan));
    }
    for key in &situation.keys {
        let id = key.key.id.as_str();
        let consent = if orphan == Some(id) { Consent::Orphan } else { Consent::None };
        match decide(&situation, key, consent) {
            Ok(reason) => {
                info!(key = id, "retiring an access key: {reason}");
                match free(invocation, secret, key, consent).await? {
                    Freed::Deleted => retired.deleted.push(id.to_owned()),
                    Freed::GoneAlready => {}
                    Freed::Kept(reason) => retired.kept.push(was_to_go(id, &reason)),
                }
            }
            Err(Held::Key(kept)) => retired.kept.push(kept.to_string()),
            Err(Held::Unsettled(_)) => {}
        }
    }
    Ok(retired)
}

/// Deletes a key that these events decided on.
pub(crate) async fn free(
    invocation: &Invocation<'_>,
    secret: &Secret,
    key: &UsedKey,
    consent: Consent,
) -> Result<Freed, Error> {
    slot::free(invocation, secret, key, |situation, key| decide(situation, key, consent).map(drop)).await
}

/// A key that is gone is as good as deleted, and a name that was mistyped is to be seen.
pub(crate) fn no_such_key(user: &str, key: &str) -> String {
    format!("the IAM user {user} has no access key {key}, or none any more: there was nothing to delete")
}

fn was_to_go(key: &str, reason: &str) -> String {
    format!("{key} was about to be deleted, and then this was found: {reason}; it is as it was before")
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RotationOpen { version } => write!(
                f,
                "a rotation is open (version {version} is {AWSPENDING}), and hosts may be changing over: no access key goes"
            ),
            Self::HostsNotOnCurrent { deploying: Some(version) } => write!(
                f,
                "hosts may have been told of another access key than {AWSCURRENT}'s (version {version} is labelled \
                 {LABEL_DEPLOYING}): no access key goes before a rotation has brought them together"
            ),
            Self::HostsNotOnCurrent { deploying: None } => write!(
                f,
                "no version is labelled {LABEL_DEPLOYING}, so no rotation has told the hosts of {AWSCURRENT}: no access \
                 key goes before one has"
            ),
            Self::CurrentKeyNotActive { key } => write!(
                f,
                "{AWSCURRENT}'s access key {key} is Inactive or deleted, so a host may be using another: no access key goes"
            ),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsettled(found) => found.fmt(f),
            Self::Key(kept) => kept.reason.fmt(f),
        }
    }
}
