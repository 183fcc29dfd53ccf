//! Whether a host can still send with a credential that was stored before.

use contract::{Login, SecretValue, Settings};

use crate::{
    decide::keys::AccessKey,
    error::{Error, KeyState},
    services::{secret::Secret, smtp::Credential},
};

/// The state of a credential's access key if no host can send with it any more; none if it is Active.
///
/// IAM's list can be older than its last change, and then the label would be taken off a key that hosts use. So a key that the
/// list lacks, or calls Inactive, counts as such only if SES refuses it, too: no host can be using what SES refuses.
pub(super) async fn unusable(
    version: &str,
    value: &SecretValue,
    keys: &[AccessKey],
    ask_ses: impl AsyncFn(&Credential) -> Login,
) -> Result<Option<KeyState>, Error> {
    let state = match keys.iter().find(|it| it.id == value.access_key_id) {
        Some(AccessKey { active: true, .. }) => return Ok(None),
        Some(_) => KeyState::Inactive,
        None => KeyState::Deleted,
    };
    match ask_ses(&Credential::of(value)).await {
        Login::Refused(_) => Ok(Some(state)),
        ses => {
            let (key, version) = (value.access_key_id.clone(), version.to_owned());
            Err(Error::KeyStateUnclear { key, version, state, ses })
        }
    }
}

/// Refuses a pending version whose key no longer works. Returns the key.
pub(super) async fn check_pending(
    settings: &Settings,
    secret: &Secret,
    token: &str,
    pending: &SecretValue,
    keys: &[AccessKey],
    ask_ses: impl AsyncFn(&Credential) -> Login,
) -> Result<String, Error> {
    if pending.is_placeholder() {
        return Err(secret.pending_empty(token));
    }
    let key = pending.access_key_id.clone();
    let Some(state) = unusable(token, pending, keys, ask_ses).await? else { return Ok(key) };
    Err(Error::PendingKeyGone {
        user: settings.iam_user_name().to_owned(),
        key,
        state,
        secret: secret.arn.clone(),
        version: token.to_owned(),
    })
}
