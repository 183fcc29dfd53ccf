//! The secret's labels and dates as Secrets Manager shows them. Never a value: the deployer reads no secret.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::{operation::describe_secret::DescribeSecretOutput, types::SecretVersionsListEntry};
use aws_smithy_types::DateTime;
use contract::{AWSCURRENT, AWSPENDING, Command, DEPLOYING, Text, parse_hosts_label, text};

use crate::{
    aws::Aws,
    error::{Error, FailedTo as _},
    read_once,
};

/// Where the labels are, and when the secret rotates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    pub(crate) rotation_enabled: bool,
    /// Version → its labels. Versions without a label are left out.
    pub(crate) versions: BTreeMap<String, Vec<String>>,
    pub(crate) last_rotated: Option<DateTime>,
    /// When the next rotation begins at the latest: the end of its window.
    pub(crate) next_rotation: Option<DateTime>,
    /// When anything about the secret last changed, the opening of a rotation included.
    pub(crate) last_changed: Option<DateTime>,
}

impl Labels {
    /// The version that carries a label.
    pub(crate) fn labelled(&self, label: &str) -> Option<&str> {
        let carries = |labels: &Vec<String>| labels.iter().any(|other| other == label);
        self.versions.iter().find(|(_, labels)| carries(labels)).map(|(version, _)| version.as_str())
    }

    pub(crate) fn current(&self) -> Option<&str> {
        self.labelled(AWSCURRENT)
    }

    /// The version of an open rotation: it carries AWSPENDING and not AWSCURRENT.
    pub(crate) fn pending(&self) -> Option<&str> {
        self.labelled(AWSPENDING).filter(|pending| self.current() != Some(pending))
    }

    /// What a person should know if no rotation is open and the hosts were told of another version than AWSCURRENT's. An edit of
    /// another field makes a version too: only the function, which reads values, tells that from another credential.
    pub(crate) fn told_elsewhere(&self, secret: &str) -> Option<Text> {
        let told = self.labelled(DEPLOYING).filter(|told| self.pending().is_none() && self.current() != Some(told))?;
        Some(text![
            format!(
                "version {told} of secret {secret} is labelled {DEPLOYING} and not {AWSCURRENT}: somebody edited the secret, or hosts may \
                 have another credential than {AWSCURRENT}'s; "
            ),
            Command::deployer("recover"),
            " shows which"
        ])
    }

    /// The version of an open rotation that Secrets Manager continues, since rotation is enabled.
    pub(crate) fn open_and_enabled(&self) -> Option<&str> {
        self.pending().filter(|_| self.rotation_enabled)
    }
}

/// Whether people see a label. How the function remembers hosts is nobody else's business.
pub(crate) fn is_shown(label: &str) -> bool {
    parse_hosts_label(label).is_none()
}

impl From<DescribeSecretOutput> for Labels {
    fn from(secret: DescribeSecretOutput) -> Self {
        let versions = secret.version_ids_to_stages.unwrap_or_default().into_iter();
        Self {
            rotation_enabled: secret.rotation_enabled.unwrap_or_default(),
            versions: versions
                .map(|(id, labels)| (id, labels.into_iter().filter(|label| is_shown(label)).collect()))
                .collect(),
            last_rotated: secret.last_rotated_date,
            next_rotation: secret.next_rotation_date,
            last_changed: secret.last_changed_date,
        }
    }
}

/// Reads the labels and dates; none if there is no secret.
pub(crate) async fn read(aws: &Aws, secret: &str) -> Result<Option<Labels>, Error> {
    Ok(read_once::secret(aws, secret).await?.map(Labels::from))
}

/// The versions that carry labels, each with the KMS keys that encrypt it. A version without a value may be left out.
pub(crate) async fn encrypted(aws: &Aws, secret: &str) -> Result<Vec<SecretVersionsListEntry>, Error> {
    let mut pages = aws.secretsmanager.list_secret_version_ids().secret_id(secret).into_paginator().send();
    let mut versions = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.failed_to(|| format!("list the versions of secret {secret}"))?;
        versions.extend(page.versions.into_iter().flatten().filter(|version| !version.version_stages().is_empty()));
    }
    Ok(versions)
}

/// Moves a label off a version, onto another one or nowhere.
///
/// It is safe to run again after its answer was lost: the call names the version that the label leaves, and the labels then
/// tell whether it did.
pub(crate) async fn move_label(
    aws: &Aws,
    secret: &str,
    label: &str,
    from: &str,
    to: Option<&str>,
) -> Result<(), Error> {
    let request = aws.secretsmanager.update_secret_version_stage().secret_id(secret).version_stage(label);
    let request = request.remove_from_version_id(from).set_move_to_version_id(to.map(str::to_owned));
    let moving = || format!("move the label {label} of secret {secret} off version {from}");
    let Err(error) = request.send().await.failed_to(moving) else { return Ok(()) };
    let moved = read(aws, secret).await?.is_some_and(|labels| labels.labelled(label) == to);
    if moved { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_is_open_while_awspending_is_on_another_version_than_awscurrent() {
        let with = |versions: &[(&str, &[&str])]| Labels {
            versions: versions
                .iter()
                .map(|(id, labels)| ((*id).to_owned(), labels.iter().map(|label| (*label).to_owned()).collect()))
                .collect(),
            ..Labels::default()
        };
        assert_eq!(with(&[("a", &[AWSCURRENT]), ("b", &[AWSPENDING])]).pending(), Some("b"));
        assert_eq!(with(&[("a", &[AWSCURRENT, AWSPENDING])]).pending(), None);
        assert_eq!(with(&[("a", &[AWSCURRENT])]).pending(), None);
    }
}
