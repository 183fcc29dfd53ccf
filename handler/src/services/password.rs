//! The SMTP password of SES, derived from a secret access key.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::sensitive::Sensitive;

/// Version of the derivation, the first byte of a password.
const VERSION: u8 = 0x04;

/// Characters of a password: Base64 of the version and a SHA-256.
pub(crate) const LENGTH: usize = 44;

/// The password that belongs to a secret access key in one region.
///
/// The chain is that of a version 4 signature with a fixed date (SES guide, "Obtaining Amazon SES
/// SMTP credentials").
#[must_use]
pub(crate) fn smtp_password(secret_access_key: &Sensitive, region: &str) -> Sensitive {
    let key = format!("AWS4{}", secret_access_key.reveal()).into_bytes();
    let signature = ["11111111", region, "ses", "aws4_request", "SendRawEmail"]
        .iter()
        .fold(key, |key, message| sign(&key, message.as_bytes()));
    let mut password = vec![VERSION];
    password.extend(signature);
    Sensitive::new(STANDARD.encode(password))
}

fn sign(key: &[u8], message: &[u8]) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_published_one_for_every_known_key_and_region() {
        let known = [
            ("some+secret+key", "eu-central-1", "BMXhUYlu5Z3gSXVQORxlVa7XPaz91aGWdfHxvkOZdWZ2"),
            ("another+secret+key", "eu-central-1", "BBbphbrQmrKMx42d1N6+C7VINYEBGI5v9VsZeTxwskfh"),
            ("some+secret+key", "us-west-1", "BH+jbMzper5WwlwUar9E1ySBqHa9whi0GPo+sJ0mVYJj"),
            ("another+secret+key", "us-west-1", "BKVmjjMDFk/qqw8EROW99bjCS65PF8WKvK5bSr4Y6EqF"),
            ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-2", "BMPPgbAHoFVbze1Ud0oA5uNdXRwUXUZ+qOwphGJbl/cS"),
            (
                "dhSgJJyAs+2z19oLOVkwBrE6GkdNQD5fL5Dou5Tb",
                "eu-central-1",
                "BK0hyoUp3vjB+NdwhSiUpkA9oA84fNaqhEKrXZ5PkcX2",
            ),
        ];
        for (key, region, password) in known {
            assert_eq!(smtp_password(&Sensitive::new(key), region).reveal(), password, "{key} in {region}");
            assert_eq!(password.len(), LENGTH);
        }
    }
}
