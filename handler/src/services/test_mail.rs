//! The test mail.

use std::time::{Duration, SystemTime};

use contract::TestMail;
use lettre::{Message, message::header::ContentType};
use tracing::info;

use crate::{
    error::Error,
    invocation::{Invocation, Rotation},
    services::smtp::{Credential, Smtp},
};

/// Sends the test mail with a rotation's credential. The error says whether the hosts have been told of it.
pub(crate) async fn send(
    rotation: &Rotation<'_>,
    mail: &TestMail,
    smtp: &Smtp<'_>,
    credential: &Credential,
    limit: Duration,
    hosts_told: bool,
) -> Result<(), Error> {
    let Rotation { invocation: Invocation { time, .. }, request } = *rotation;
    let message = message(mail, time.began, &request.secret_arn, &request.token, &credential.user)?;
    smtp.send(credential, &message, limit).await.map_err(|attempts| Error::TestMailRefused {
        endpoint: smtp.endpoint().clone(),
        key: credential.user.clone(),
        attempts,
        hosts_told,
    })?;
    info!(sender = mail.sender, recipient = mail.recipient, key = credential.user, "sent the test mail");
    Ok(())
}

/// The mail that proves that a credential may send.
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
