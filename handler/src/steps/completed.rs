//! A completed rotation that Secrets Manager takes for an open one.

use contract::{AWSCURRENT, AWSPENDING, DONE};
use tracing::info;

use crate::{
    error::Error,
    services::{
        aws::Clients,
        secret::{self, Secret},
    },
};

/// Finds the version of a completed rotation that Secrets Manager takes for open, and whose credential is still in use.
///
/// A completed rotation leaves AWSPENDING on its version. An edit of another field by hand then moves AWSCURRENT on, to a new
/// version of the same credential, and Secrets Manager would try the completed rotation again, for ever in vain. Every other rotation
/// would have to wait for it.
pub(crate) async fn find<'a>(clients: &Clients, secret: &'a Secret) -> Result<Option<&'a str>, Error> {
    let Some(pending) = secret.open_rotation().filter(|version| secret.has(version, DONE)) else { return Ok(None) };
    let Some(current) = secret.version_labelled(AWSCURRENT) else { return Ok(None) };
    let key = key_of(clients, secret, pending).await?;
    if key.is_none() || key != key_of(clients, secret, current).await? {
        return Ok(None);
    }
    Ok(Some(pending))
}

/// Takes AWSPENDING off such a version. Returns it.
pub(crate) async fn clear(clients: &Clients, secret: &Secret) -> Result<Option<String>, Error> {
    let Some(pending) = find(clients, secret).await? else { return Ok(None) };
    secret::drop_label(clients, secret, AWSPENDING, pending).await?;
    info!(
        version = pending,
        "took {AWSPENDING} off a version whose rotation had completed before its value was edited"
    );
    Ok(Some(pending.to_owned()))
}

/// The key that a labelled version names; none in an empty version, in a placeholder, or in something else than our JSON.
pub(super) async fn key_of(clients: &Clients, secret: &Secret, version: &str) -> Result<Option<String>, Error> {
    match secret::read(clients, secret, version).await {
        Ok(read) => Ok(read.map(|version| version.value.access_key_id).filter(|key| !key.is_empty())),
        Err(Error::MalformedSecret { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
