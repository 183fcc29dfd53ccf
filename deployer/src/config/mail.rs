//! E-mail addresses, and the patterns of them that an IAM policy compares senders with.

use wildmatch::WildMatch;

use super::text::InvalidValue;

/// Regular expression of an address, for the JSON Schema.
pub(super) const ADDRESS_PATTERN: &str = "^[A-Za-z0-9.!#%&'+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$";

/// Regular expression of a pattern, for the JSON Schema.
pub(super) const SENDER_PATTERN: &str = "^(\\*|[A-Za-z0-9.!#%&'+/=^_`{|}~*-]{1,64}@(\\*\\.)?[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+)$";

/// Characters of a local part besides letters and digits that need no quoting (RFC 5322, "atext" and the dot),
/// without `$`, which IAM reads as a policy variable, and without `*`, which is the wildcard.
const LOCAL_PART_CHARACTERS: &str = ".!#%&'+/=?^_`{|}~-";

/// Checks one plain address.
pub(super) fn check_address(text: &str) -> Result<(), InvalidValue> {
    if is_address(text, false) {
        return Ok(());
    }
    let inside = text.split_once('<').and_then(|(_, rest)| rest.strip_suffix('>'));
    let hint = match inside {
        Some(address) => format!("write the address alone: {address}"),
        None => "write one address, such as no-reply@example.com".to_owned(),
    };
    Err(InvalidValue::new(format!("`{text}` is not an e-mail address"), hint))
}

/// The pattern of any verified identity.
pub(super) const ANY: &str = "*";

/// Checks one pattern of addresses. Any other than [`ANY`] has to name a domain.
pub(super) fn check_pattern(text: &str) -> Result<(), InvalidValue> {
    if text == ANY || is_address(text, true) {
        return Ok(());
    }
    let hint = match text {
        "*@*" => "write [\"*\"] to allow every verified identity".to_owned(),
        domain if is_domain(domain.trim_start_matches('@')) => {
            format!("for all addresses of a domain write \"*@{}\"", domain.trim_start_matches('@'))
        }
        _ => "write an address or \"*@example.com\"; `*` is allowed before the @ and as the first part of the domain"
            .to_owned(),
    };
    Err(InvalidValue::new(format!("`{text}` is not a pattern of e-mail addresses"), hint))
}

fn is_address(text: &str, wildcards: bool) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let domain = if wildcards { domain.strip_prefix("*.").unwrap_or(domain) } else { domain };
    // IAM reads `?` as a wildcard, so a pattern cannot name an address that contains one.
    let character = |c: char| {
        c.is_ascii_alphanumeric()
            || (c == '*' && wildcards)
            || (LOCAL_PART_CHARACTERS.contains(c) && !(c == '?' && wildcards))
    };
    (1..=64).contains(&local.len()) && local.chars().all(character) && is_domain(domain)
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(label)
}

/// How a pattern stands in the user's policy: as it is written, with its domain in lower case, and all in lower case.
///
/// IAM tells letters apart (`StringLike`), and mail servers and DNS do not: a file that says `*@Example.COM` means the sender
/// app@example.com too.
pub(super) fn spellings(pattern: &str) -> Vec<String> {
    let domain = pattern.rfind('@').unwrap_or_default();
    let (local, domain) = pattern.split_at(domain);
    let mut spellings =
        vec![pattern.to_owned(), format!("{local}{}", domain.to_ascii_lowercase()), pattern.to_ascii_lowercase()];
    spellings.dedup();
    spellings
}

/// Whether an IAM policy with this pattern (`StringLike`: case matters, `*` is any text, `?` is one character) allows the sender, which
/// may be a pattern itself.
pub(crate) fn covers_sender(pattern: &str, sender: &str) -> bool {
    WildMatch::new(pattern).matches(sender)
}
