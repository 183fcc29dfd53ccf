//! testSecret: send one mail with the pending credential, now that hosts use it, or log in if no sender is configured.

use tracing::info;

use crate::{
    error::Error,
    invocation::{Invocation, Rotation},
    services::{
        secret::{self, Secret},
        smtp::{Credential, Smtp},
        test_mail,
    },
    steps::consistent,
};

/// Takes the step.
pub(crate) async fn run(rotation: &Rotation<'_>, secret: &Secret) -> Result<(), Error> {
    let Rotation { invocation: Invocation { clients, settings, time }, request } = *rotation;
    let read = async || {
        let pending = secret::read(clients, secret, &request.token).await?;
        pending.map(|version| version.value).ok_or_else(|| secret.pending_empty(&request.token))
    };
    let pending = consistent::read(time, read).await?;
    if pending.is_placeholder() {
        // Secrets Manager tests a configuration with a copy of the existing value; setSecret and
        // finishSecret do not follow.
        info!("the secret holds no credential yet, nothing to test");
        return Ok(());
    }
    let credential = Credential::of(&pending);
    // A test of the configuration is told from an open rotation by its lines in the log.
    info!("asking SES whether it takes the credential");
    let smtp = Smtp::new(&clients.ses, &settings.smtp_endpoint)?;
    match &settings.test_mail {
        Some(mail) => test_mail::send(rotation, mail, &smtp, &credential, time.remaining(), true).await,
        None => smtp.prove(&credential, 1, time.remaining()).await,
    }
}
