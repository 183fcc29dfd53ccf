//! The label DONE: the newest version that was AWSCURRENT after hosts could know it. It tells a rollback from a rotation that goes on.

use tracing::warn;

use contract::{AWSCURRENT, AWSPREVIOUS, DEPLOYING, DONE};

use super::completed::key_of;
use crate::{
    error::Error,
    invocation::Invocation,
    services::{
        aws::Clients,
        secret::{self, Secret},
    },
};

/// Marks a version that is current or was, if hosts may know it and it is not marked. A rotation is complete even without the mark,
/// and the daily upkeep tries again.
pub(crate) async fn mark_done(invocation: &Invocation<'_>, secret: &Secret, version: &str) {
    if secret.has(version, DEPLOYING)
        && let Err(error) = secret::move_label(invocation.clients, secret, DONE, version).await
    {
        warn!("{DONE} was not moved to version {version}: {error}");
    }
}

/// Marks the version that somebody moved AWSCURRENT away from, as long as AWSPREVIOUS tells: the next change moves AWSPREVIOUS on.
pub(crate) async fn mark_rolled_back(invocation: &Invocation<'_>, secret: &Secret) {
    if let Some(previous) = secret.version_labelled(AWSPREVIOUS) {
        mark_done(invocation, secret, previous).await;
    }
}

/// As [`mark_rolled_back`], if somebody stored DEPLOYING's credential again: then AWSPREVIOUS is on another version with the same key.
///
/// # Errors
/// A version cannot be read.
pub(crate) async fn mark_rolled_back_by_key(invocation: &Invocation<'_>, secret: &Secret) -> Result<(), Error> {
    let clients = invocation.clients;
    let is_known = |deploying: &&str| [AWSCURRENT, AWSPREVIOUS, DONE].iter().any(|label| secret.has(deploying, label));
    let Some(deploying) = secret.version_labelled(DEPLOYING).filter(|version| !is_known(version)) else {
        return Ok(());
    };
    let Some(key) = key_of(clients, secret, deploying).await? else { return Ok(()) };
    if was_moved_back(clients, secret, &key).await? {
        mark_done(invocation, secret, deploying).await;
    }
    Ok(())
}

/// Whether somebody moved AWSCURRENT away from a version with this key, to another key. AWSPREVIOUS is on that version then.
pub(super) async fn was_moved_back(clients: &Clients, secret: &Secret, key: &str) -> Result<bool, Error> {
    let Some(previous) = secret.version_labelled(AWSPREVIOUS) else { return Ok(false) };
    if key_of(clients, secret, previous).await?.as_deref() != Some(key) {
        return Ok(false);
    }
    let Some(current) = secret.version_labelled(AWSCURRENT) else { return Ok(false) };
    Ok(key_of(clients, secret, current).await?.as_deref() != Some(key))
}
