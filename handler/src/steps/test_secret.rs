//! testSecret: send one mail with the pending credential, or log in if no sender is configured.

use std::time::Duration;

use contract::LOGIN_GATE_SECONDS;
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
    let limit = Duration::from_secs(LOGIN_GATE_SECONDS).min(time.remaining());
    let smtp = Smtp::new(&clients.ses, &settings.smtp_endpoint)?;
    match &settings.test_mail {
        Some(mail) => {
            let message = test_mail::message(mail, time.began, &secret.arn, &request.token, &credential.user)?;
            smtp.send(&credential, &message, limit).await?;
            info!(sender = mail.sender, recipient = mail.recipient, key = credential.user, "sent the test mail");
            Ok(())
        }
        None => smtp.prove(&credential, 1, limit).await,
    }
}
