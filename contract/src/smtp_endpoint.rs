use std::{fmt, str::FromStr};

use crate::Partition;

/// How the connection is encrypted. There is no unencrypted variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// From the first byte (`smtps://`).
    Implicit,
    /// After STARTTLS, which is required (`smtp://`).
    StartTls,
}

/// Where SES listens for SMTP: `smtps://HOST:PORT` (TLS from the first byte) or `smtp://HOST:PORT`
/// (STARTTLS, required).
///
/// SES listens on 465 and 2465 with TLS from the first byte and on 25, 587 and 2587 with STARTTLS
/// (SES guide, "Connecting to an Amazon SES SMTP endpoint"). The default is 465: nothing crosses
/// the network in the clear, not even the greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpEndpoint {
    /// Host name, which the certificate must carry.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: Tls,
}

/// The text is not an SMTP endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an SMTP endpoint: write smtps://HOST:465 (TLS) or smtp://HOST:587 (STARTTLS)")]
pub struct SmtpEndpointError {
    /// What was found.
    pub text: String,
}

impl SmtpEndpoint {
    /// The endpoint of a region. Not every region with the SES API has one, and no list is kept
    /// here: the handler resolves the host before it makes a key.
    #[must_use]
    pub fn of_region(region: &str) -> Self {
        let suffix = Partition::of_region(region).dns_suffix;
        Self { host: format!("email-smtp.{region}.{suffix}"), port: 465, tls: Tls::Implicit }
    }
}

impl FromStr for SmtpEndpoint {
    type Err = SmtpEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || SmtpEndpointError { text: text.to_owned() };
        let (scheme, rest) = text.split_once("://").ok_or_else(error)?;
        let tls = match scheme {
            "smtps" => Tls::Implicit,
            "smtp" => Tls::StartTls,
            _ => return Err(error()),
        };
        let (host, port) = rest.rsplit_once(':').ok_or_else(error)?;
        let host_is_valid = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(error)?;
        if !host_is_valid {
            return Err(error());
        }
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

impl fmt::Display for SmtpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.tls {
            Tls::Implicit => "smtps",
            Tls::StartTls => "smtp",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_survives_a_round_trip() {
        for text in ["smtps://email-smtp.eu-west-1.amazonaws.com:465", "smtp://127.0.0.1:587"] {
            assert_eq!(text.parse::<SmtpEndpoint>().unwrap().to_string(), text);
        }
        assert_eq!(SmtpEndpoint::of_region("eu-west-1").to_string(), "smtps://email-smtp.eu-west-1.amazonaws.com:465");
        assert_eq!(SmtpEndpoint::of_region("eusc-de-east-1").host, "email-smtp.eusc-de-east-1.amazonaws.eu");
    }

    #[test]
    fn what_is_not_an_endpoint_is_refused() {
        for text in
            ["", "host:465", "http://host:465", "smtps://host", "smtps://:465", "smtps://a b:465", "smtps://h:0"]
        {
            assert!(text.parse::<SmtpEndpoint>().is_err(), "{text}");
        }
    }
}
