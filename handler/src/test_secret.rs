//! testSecret: send one mail with the pending credential, or log in where no sender is configured.

use std::time::{Duration, SystemTime};

use contract::{LOGIN_GATE_SECONDS, TestMail};
use lettre::{Message, message::header::ContentType};
use tracing::info;

use crate::{
    error::Error,
    invocation::Invocation,
    rotation::Rotation,
    secret::{self, Secret},
    smtp::{Credential, Smtp},
};

/// Takes the step.
pub async fn run(rotation: &Rotation<'_>, secret: &Secret) -> Result<(), Error> {
    let Rotation { invocation: Invocation { clients, settings, time }, request } = *rotation;
    let pending = secret::read(clients, secret, &request.token).await?;
    let pending = pending.ok_or_else(|| Error::pending_empty(&request.secret_arn, &request.token))?.value;
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
            let message = message(mail, time.began, &secret.arn, &request.token, &credential.user)?;
            smtp.send(&credential, &message, limit).await?;
            info!(sender = mail.sender, recipient = mail.recipient, key = credential.user, "sent the test mail");
            Ok(())
        }
        None => smtp.prove(&credential, 1, limit).await,
    }
}

pub(crate) fn message(
    mail: &TestMail,
    date: SystemTime,
    secret: &str,
    rotation: &str,
    key: &str,
) -> Result<Message, Error> {
    let address = |text: &str| {
        text.parse().map_err(|error| Error::TestMailMalformed { address: text.to_owned(), cause: format!("{error}") })
    };
    let domain = mail.sender.rsplit('@').next().unwrap_or_default();
    Message::builder()
        .from(address(&mail.sender)?)
        .to(address(&mail.recipient)?)
        .date(date)
        .message_id(Some(format!("<{rotation}@{domain}>")))
        .subject("SES SMTP credential rotated")
        .header(ContentType::TEXT_PLAIN)
        .body(format!(
            "This mail was sent with the new SMTP credential of\r\n{secret}\r\n\r\naccess key: {key}\r\nrotation: {rotation}\r\n"
        ))
        .map_err(|error| Error::TestMailMalformed { address: mail.sender.clone(), cause: error.to_string() })
}
