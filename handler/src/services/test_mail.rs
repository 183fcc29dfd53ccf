//! The test mail.

use std::time::SystemTime;

use contract::TestMail;
use lettre::{Message, message::header::ContentType};

use crate::error::Error;

/// The mail that `testSecret` sends.
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
