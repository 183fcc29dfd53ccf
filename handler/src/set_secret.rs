//! setSecret: prove the pending credential, then tell every host.

use std::time::Duration;

use contract::{COMMAND_DELIVERY_SECONDS, LOGIN_GATE_SECONDS};
use tracing::info;

use crate::{
    error::Error,
    host,
    rotation::Rotation,
    secret::{self, Secret},
    smtp::{Credential, Smtp},
};

/// Logins in a row that must be accepted: a new key reaches SES's servers one by one, so one
/// accepted login proves one server.
const LOGINS_IN_A_ROW: u32 = 3;

/// From the end of the script to our seeing it.
const TIME_TO_SEE: Duration = Duration::from_secs(5);

/// Takes the step.
pub async fn run(rotation: &Rotation<'_>, secret: &Secret) -> Result<(), Error> {
    let Rotation { clients, settings, request, time } = *rotation;
    let pending = secret::read(clients, secret, &request.token).await?;
    let value = pending.map(|version| version.value).filter(|value| !value.is_placeholder());
    let value = value.ok_or(Error::PendingEmpty)?;

    let time_for_hosts = settings
        .hosts
        .as_ref()
        .map_or(Duration::ZERO, |hosts| Duration::from_secs(COMMAND_DELIVERY_SECONDS) + hosts.timeout + TIME_TO_SEE);
    let limit = Duration::from_secs(LOGIN_GATE_SECONDS).min(time.remaining().saturating_sub(time_for_hosts));
    let credential = Credential::of(&value);
    Smtp::new(&settings.smtp_endpoint)?.prove(&credential, LOGINS_IN_A_ROW, limit).await?;

    let Some(hosts) = &settings.hosts else {
        info!("no host needs the new credential pushed");
        return Ok(());
    };
    time.require(time_for_hosts, "to run the script on the hosts and to see how it ended")?;
    host::tell(rotation, hosts, &credential.password).await
}
