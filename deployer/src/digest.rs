//! Digests that tell whether something changed.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Half of a SHA-256 as hexadecimal digits: short enough to read, and for a tag.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a (impl AsRef<[u8]> + 'a)>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        // The length separates the parts: without it, "ab", "c" and "a", "bc" would have the same digest.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..16])
}

/// A whole SHA-256 as hexadecimal digits.
pub(crate) fn sha256(data: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(data))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
