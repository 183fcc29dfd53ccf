//! Which hosts have confirmed TOLD's version. For a host that was added to the settings since, TOLD does not count: it may have an older
//! credential, or none, and no key may go before it has confirmed the one in use.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use contract::{Consumer, TOLD, hosts_label, parse_hosts_label};
use sha2::{Digest as _, Sha256};

/// Characters of a host's hash. A label has at most 256 characters, and a deployment at most 50 hosts. That an added host has the hash
/// of another one is as likely as 1 in 300,000.
const HASH: usize = 4;

/// The hosts as a label has them. Whoever runs another script has confirmed nothing with it.
fn hashes(consumer: Option<&Consumer>) -> BTreeSet<String> {
    let Some(Consumer::Instances(instances)) = consumer else { return BTreeSet::new() };
    let hash = |id: &String| {
        let digest = Sha256::digest(format!("{id} {}", instances.script));
        BASE64_URL_SAFE_NO_PAD.encode(digest).chars().take(HASH).collect()
    };
    instances.ids.iter().map(hash).collect()
}

/// The label of a version that these hosts have confirmed.
#[must_use]
pub(crate) fn label_of(consumer: Option<&Consumer>) -> String {
    hosts_label(&hashes(consumer).into_iter().collect::<String>())
}

/// Takes TOLD off the version that has it, if not each of these hosts is among those that confirmed it. Returns that version.
///
/// Beside the TOLD of an older function is no such label, and nobody knows which hosts those were: that TOLD counts for no host.
pub(crate) fn take_off_if_others(
    versions: &mut BTreeMap<String, Vec<String>>,
    consumer: Option<&Consumer>,
) -> Option<String> {
    let (version, labels) = versions.iter_mut().find(|(_, labels)| labels.iter().any(|label| label == TOLD))?;
    let hosts = hashes(consumer);
    let mut confirmed = labels.iter().filter_map(|label| parse_hosts_label(label));
    if hosts.is_empty() || confirmed.any(|confirmed| hosts.is_subset(&each(confirmed))) {
        return None;
    }
    labels.retain(|label| label != TOLD);
    Some(version.clone())
}

fn each(hashes: &str) -> BTreeSet<String> {
    hashes.as_bytes().chunks(HASH).map(|hash| String::from_utf8_lossy(hash).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use contract::Instances;

    use super::*;

    fn hosts(script: &str, ids: &[&str]) -> Consumer {
        Consumer::Instances(Instances {
            ids: ids.iter().map(|&id| id.into()).collect(),
            document: "d".into(),
            script: script.into(),
            timeout_seconds: 60,
            content_sha256: None,
        })
    }

    fn counts(confirmed: Option<&Consumer>, now: Option<&Consumer>) -> bool {
        let labels = vec![TOLD.to_owned(), label_of(confirmed)];
        let mut versions = BTreeMap::from([("v".to_owned(), labels)]);
        let taken_off = take_off_if_others(&mut versions, now);
        assert_eq!(taken_off.is_none(), versions["v"].iter().any(|label| label == TOLD));
        taken_off.is_none()
    }

    #[test]
    fn told_counts_for_the_hosts_that_confirmed_and_for_fewer_and_for_no_other() {
        let (one, two) = (hosts("/s", &["i-0"]), hosts("/s", &["i-1", "i-0"]));
        assert!(counts(Some(&two), Some(&two)) && counts(Some(&two), Some(&one)) && counts(Some(&two), None));
        assert!(!counts(Some(&one), Some(&two)), "a host was added");
        assert!(!counts(Some(&hosts("/s", &["i-2"])), Some(&one)), "a host was replaced");
        assert!(!counts(None, Some(&one)), "there was no host");
        assert!(!counts(Some(&one), Some(&hosts("/other", &["i-0"]))), "another script");
    }

    #[test]
    fn what_an_older_function_labelled_counts_for_no_host() {
        let mut versions = BTreeMap::from([("v".to_owned(), vec![TOLD.to_owned()])]);
        assert_eq!(take_off_if_others(&mut versions, None), None);
        assert_eq!(take_off_if_others(&mut versions, Some(&hosts("/s", &["i-0"]))).as_deref(), Some("v"));
    }

    #[test]
    fn the_label_of_as_many_hosts_as_a_deployment_has_is_short_enough() {
        let ids: Vec<_> = (0..50).map(|n| format!("i-{n:017x}")).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        assert!(label_of(Some(&hosts("/s", &ids))).len() <= 256);
    }
}
