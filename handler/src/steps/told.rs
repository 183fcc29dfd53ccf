//! The label TOLD, and the one beside it that says which hosts have confirmed TOLD's version.

use contract::{TOLD, parse_hosts_label};
use tracing::warn;

use crate::{
    decide::told_hosts,
    error::Error,
    invocation::Invocation,
    services::secret::{self, Secret},
};

/// Labels a version that every host has just confirmed. The hosts' label comes first: TOLD without it counts for no host.
pub(crate) async fn mark_told(invocation: &Invocation<'_>, seen: &Secret, version: &str) -> Result<(), Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let hosts = told_hosts::label_of(settings.consumer.as_ref());
    secret::move_label(clients, seen, &hosts, version).await?;
    secret::move_label(clients, seen, TOLD, version).await?;
    forget_others(invocation, seen, &hosts).await;
    Ok(())
}

/// Takes the labels of other hosts away, which no version needs any more. If that fails, the next time does it.
async fn forget_others(invocation: &Invocation<'_>, seen: &Secret, hosts: &str) {
    for (version, labels) in seen.labelled() {
        for label in labels.iter().filter(|label| parse_hosts_label(label).is_some() && *label != hosts) {
            if let Err(error) = secret::drop_label(invocation.clients, seen, label, version).await {
                warn!("{label} was not taken off version {version}: {error}");
            }
        }
    }
}
