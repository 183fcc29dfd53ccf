//! The staging labels of the secret's versions.

/// AWS's label of the version in use.
pub const AWSCURRENT: &str = "AWSCURRENT";

/// AWS's label of the version that is being rotated to.
pub const AWSPENDING: &str = "AWSPENDING";

/// AWS's label of the version that was in use before.
pub const AWSPREVIOUS: &str = "AWSPREVIOUS";

/// Our own label: the newest version that any host may have been told of.
///
/// `createSecret` sets it together with AWSPENDING, in one call. It goes on protecting that version's key after an operator
/// has cleared a stuck AWSPENDING.
pub const DEPLOYING: &str = "DEPLOYING";

/// Our own label: the newest version that *every* host has confirmed; without hosts, that SES has accepted.
///
/// `setSecret` sets it last of all. `finishSecret` moves AWSCURRENT to no other version, and no key is retired while it names
/// another key than AWSCURRENT. A label beside it says which hosts these were: for a host that was added since, it does not count.
pub const TOLD: &str = "TOLD";

/// Our own label: the version that `finishSecret`, or somebody before its rotation ended, has made current.
///
/// A version that carries it and is not AWSCURRENT was current once, and somebody has moved AWSCURRENT away from it. AWSPREVIOUS
/// says that only until the next change.
pub const DONE: &str = "DONE";

/// How many labels all versions of a secret have at most (Secrets Manager quotas).
pub const MOST_LABELS: usize = 20;

/// Our own labels: since when an access key is Inactive that is to be deleted. IAM keeps no such date.
const INACTIVE: &str = "INACTIVE";

/// The label that says since when a key is Inactive: `INACTIVE/<key>/<RFC 3339>`.
#[must_use]
pub fn inactive_label(key: &str, since: &str) -> String {
    format!("{INACTIVE}/{key}/{since}")
}

/// The key and the date of such a label; none for any other label.
#[must_use]
pub fn parse_inactive_label(label: &str) -> Option<(&str, &str)> {
    label.strip_prefix(INACTIVE)?.strip_prefix('/')?.split_once('/')
}

/// Our own labels: since when AWSCURRENT is where it is. AWS keeps no date of a label's move.
const SINCE: &str = "SINCE";

/// The label that says since when AWSCURRENT is on a version, as far as the function knows: `SINCE/<RFC 3339>`.
#[must_use]
pub fn since_label(date: &str) -> String {
    format!("{SINCE}/{date}")
}

/// The date of such a label; none for any other label.
#[must_use]
pub fn parse_since_label(label: &str) -> Option<&str> {
    label.strip_prefix(SINCE)?.strip_prefix('/')
}

/// Our own labels: which hosts have confirmed the version that is labelled [`TOLD`].
const HOSTS: &str = "HOSTS";

/// The label on TOLD's version that says which hosts have confirmed it: `HOSTS/<their hashes>`.
#[must_use]
pub fn hosts_label(hashes: &str) -> String {
    format!("{HOSTS}/{hashes}")
}

/// The hashes of such a label; none for any other label.
#[must_use]
pub fn parse_hosts_label(label: &str) -> Option<&str> {
    label.strip_prefix(HOSTS)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_an_inactive_key_survives() {
        let label = inactive_label("AKIA", "2026-01-01T00:00:00Z");
        assert_eq!(parse_inactive_label(&label), Some(("AKIA", "2026-01-01T00:00:00Z")));
        for other in [AWSCURRENT, "INACTIVE", "INACTIVE/AKIA", "INACTIVEX/AKIA/2026"] {
            assert_eq!(parse_inactive_label(other), None, "{other}");
        }
    }

    #[test]
    fn the_label_of_a_move_survives() {
        assert_eq!(parse_since_label(&since_label("2026-01-01T00:00:00Z")), Some("2026-01-01T00:00:00Z"));
        for other in [AWSCURRENT, "SINCE", "SINCEX/2026"] {
            assert_eq!(parse_since_label(other), None, "{other}");
        }
    }

    #[test]
    fn the_label_of_the_hosts_survives() {
        assert_eq!(parse_hosts_label(&hosts_label("abcd")), Some("abcd"));
        assert_eq!(parse_hosts_label(&hosts_label("")), Some(""));
        assert_eq!(parse_hosts_label("HOSTSX/abcd"), None);
    }
}
