//! testSecret: send one mail with the pending credential, or log in where no sender is configured.

use std::time::Duration;

use contract::LOGIN_GATE_SECONDS;
use lettre::{Message, message::header::ContentType};
use tracing::info;

use crate::{
    error::Error,
    rotation::Rotation,
    secret::{self, Secret},
    smtp::{Credential, Smtp},
};

/// Takes the step.
pub async fn run(rotation: &Rotation<'_>, secret: &Secret) -> Result<(), Error> {
    let Rotation { clients, settings, request, time } = *rotation;
    let pending =
        secret::read(clients, secret, &request.token).await?.ok_or_else(|| Error::pending_empty(request))?.value;
    if pending.is_placeholder() {
        // Secrets Manager tests a configuration with a copy of the existing value; setSecret and
        // finishSecret do not follow.
        info!("the secret holds no credential yet, nothing to test");
        return Ok(());
    }
    let credential = Credential::of(&pending);
    let limit = Duration::from_secs(LOGIN_GATE_SECONDS).min(time.remaining());
    let smtp = Smtp::new(&settings.smtp_endpoint)?;
    match &settings.test_mail {
        Some(mail) => {
            let message = message(rotation, mail, &credential.user)?;
            smtp.send(&credential, &message, limit).await?;
            info!(sender = mail.sender, recipient = mail.recipient, key = credential.user, "sent the test mail");
            Ok(())
        }
        None => smtp.prove(&credential, 1, limit).await,
    }
}

pub(crate) fn message(rotation: &Rotation<'_>, mail: &contract::TestMail, key: &str) -> Result<Message, Error> {
    let Rotation { request, time, .. } = *rotation;
    let address = |text: &str| {
        text.parse().map_err(|error| Error::TestMailMalformed { address: text.to_owned(), cause: format!("{error}") })
    };
    let domain = mail.sender.rsplit('@').next().unwrap_or_default();
    Message::builder()
        .from(address(&mail.sender)?)
        .to(address(&mail.recipient)?)
        .date(time.began)
        .message_id(Some(format!("<{}@{domain}>", request.token)))
        .subject("SES SMTP credential rotated")
        .header(ContentType::TEXT_PLAIN)
        .body(format!(
            "This mail was sent with the new SMTP credential of\r\n{}\r\n\r\naccess key: {key}\r\nrotation: {}\r\n",
            request.secret_arn, request.token
        ))
        .map_err(|error| Error::TestMailMalformed { address: mail.sender.clone(), cause: error.to_string() })
}
