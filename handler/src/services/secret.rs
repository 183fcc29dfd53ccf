//! The secret as Secrets Manager has it: labels, versions and values.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use contract::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, DEPLOYING, DONE, MOST_LABELS, SecretValue, Settings, TOLD, Text,
    parse_hosts_label, parse_inactive_label, parse_since_label,
};
use tracing::info;

use crate::{
    decide::{
        keys::PROTECTING,
        overdue::{Rotations, Schedule, overdue},
        told_hosts,
    },
    error::{Cause, CrossedLabels, Error},
    event::Request,
    invocation::{Invocation, Rotation},
    services::aws::Clients,
    time::pause,
};

/// How often storing a value is tried if AWS throttles it or its answer is lost.
const STORE_ATTEMPTS: u32 = 4;

/// The secret without any value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secret {
    pub(crate) arn: String,
    /// Whether rotation is not turned off; the answer's field is optional.
    pub(crate) rotation_enabled: bool,
    /// When a rotation last completed.
    pub(crate) last_rotated: Option<SystemTime>,
    /// When Secrets Manager is to rotate it; none if it was never set up for rotation.
    pub(crate) schedule: Option<Schedule>,
    /// Version id → its labels, without a TOLD that does not count for every host.
    pub(crate) versions: BTreeMap<String, Vec<String>>,
    /// The version that carries TOLD, if it does not count: hosts were added since.
    pub(crate) told_to_others: Option<String>,
}

/// What a rotation sets, beside the labels that go with what it frees.
const OF_A_ROTATION: [&str; 6] = [AWSCURRENT, AWSPENDING, AWSPREVIOUS, DEPLOYING, TOLD, DONE];

impl Secret {
    /// Refuses a rotation whose labels would be too many: PutSecretValue would fail once the key is made.
    pub(crate) fn check_number_of_labels(&self) -> Result<(), Error> {
        let labels: BTreeSet<&str> = self.versions.values().flatten().map(String::as_str).collect();
        // And one for the hosts, which may be others than before.
        let adds = OF_A_ROTATION.iter().filter(|label| !labels.contains(*label)).count() + 1;
        if labels.len() + adds <= MOST_LABELS {
            return Ok(());
        }
        let is_known = |label: &str| {
            let is_dated = parse_inactive_label(label).is_some() || parse_since_label(label).is_some();
            OF_A_ROTATION.contains(&label) || is_dated || parse_hosts_label(label).is_some()
        };
        let each = self.versions.iter().flat_map(|(version, labels)| labels.iter().map(move |label| (version, label)));
        let others =
            each.filter(|(_, label)| !is_known(label)).map(|(version, label)| (version.clone(), label.clone()));
        Err(Error::TooManyLabels { secret: self.arn.clone(), has: labels.len(), adds, others: others.collect() })
    }

    /// Whether a version carries a label.
    #[must_use]
    pub(crate) fn has(&self, version: &str, label: &str) -> bool {
        self.versions.get(version).is_some_and(|labels| labels.iter().any(|it| it == label))
    }

    /// The version that carries a label.
    #[must_use]
    pub(crate) fn version_labelled(&self, label: &str) -> Option<&str> {
        self.versions.keys().find(|version| self.has(version, label)).map(String::as_str)
    }

    /// The version of a rotation that is open: a completed one leaves AWSPENDING on AWSCURRENT's version.
    #[must_use]
    pub(crate) fn open_rotation(&self) -> Option<&str> {
        self.version_labelled(AWSPENDING).filter(|version| !self.has(version, AWSCURRENT))
    }

    /// AWSCURRENT on one version, and DEPLOYING on this one.
    #[must_use]
    pub(crate) fn crossed_labels(&self, deploying: &str) -> CrossedLabels {
        CrossedLabels {
            secret: self.arn.clone(),
            current: self.version_labelled(AWSCURRENT).unwrap_or_default().to_owned(),
            deploying: deploying.to_owned(),
            is_pending: self.has(deploying, AWSPENDING),
        }
    }

    /// The error of a pending version that lacks the label that keeps its key alive once a host knows it.
    #[must_use]
    pub(crate) fn not_marked_deploying(&self, version: &str) -> Error {
        Error::NotMarkedDeploying {
            secret: self.arn.clone(),
            version: version.to_owned(),
            deploying: self.version_labelled(DEPLOYING).map(str::to_owned),
        }
    }

    /// The error of a pending version that has no credential.
    #[must_use]
    pub(crate) fn pending_empty(&self, version: &str) -> Error {
        Error::PendingEmpty { secret: self.arn.clone(), version: version.to_owned() }
    }

    /// Why a rotation should have happened and did not; none if none is due.
    #[must_use]
    pub(crate) fn overdue(&self, now: SystemTime) -> Option<Text> {
        let rotations = Rotations {
            secret: &self.arn,
            enabled: self.rotation_enabled,
            schedule: self.schedule.as_ref(),
            last_rotated: self.last_rotated,
            open: self.open_rotation(),
        };
        overdue(rotations, now)
    }

    /// Where the labels are whose versions' keys stay.
    #[must_use]
    pub(crate) fn protecting(&self) -> [Option<&str>; PROTECTING.len()] {
        PROTECTING.map(|label| self.version_labelled(label))
    }

    /// The versions that carry labels, by their ids.
    pub(crate) fn labelled(&self) -> impl Iterator<Item = (&str, &[String])> {
        let versions = self.versions.iter().map(|(id, labels)| (id.as_str(), labels.as_slice()));
        versions.filter(|(_, labels)| !labels.is_empty())
    }
}

/// A version's value.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) value: SecretValue,
    /// When the version was made.
    pub(crate) created: Option<SystemTime>,
}

/// Finds the secret that the settings are about, for what is not asked about an ARN.
pub(crate) async fn find(clients: &Clients, settings: &Settings) -> Result<Secret, Error> {
    let secret = describe(clients, settings, settings.secret_name()).await?;
    if settings.is_our_secret(&secret.arn) {
        Ok(secret)
    } else {
        Err(Error::WrongSecret { found: secret.arn, expected: settings.secret_arn_prefix.clone() })
    }
}

/// Reads the secret's labels and dates, by its ARN or its name.
pub(crate) async fn describe(clients: &Clients, settings: &Settings, id: &str) -> Result<Secret, Error> {
    let mut secret = describe_as_it_is(clients, id).await?;
    secret.told_to_others = told_hosts::take_off_if_others(&mut secret.versions, settings.consumer.as_ref());
    Ok(secret)
}

/// As [`describe`], with TOLD where AWS has it.
async fn describe_as_it_is(clients: &Clients, id: &str) -> Result<Secret, Error> {
    let answer = clients
        .secrets
        .describe_secret()
        .secret_id(id)
        .send()
        .await
        .map_err(|error| Error::aws("secretsmanager:DescribeSecret", error))?;
    Ok(Secret {
        schedule: schedule_of(&answer),
        rotation_enabled: answer.rotation_enabled() != Some(false),
        last_rotated: answer.last_rotated_date().and_then(|date| SystemTime::try_from(*date).ok()),
        arn: answer.arn.unwrap_or_else(|| id.to_owned()),
        versions: answer.version_ids_to_stages.unwrap_or_default().into_iter().collect(),
        told_to_others: None,
    })
}

/// The schedule in DescribeSecret's answer; none if the secret was never set up for rotation.
fn schedule_of(answer: &DescribeSecretOutput) -> Option<Schedule> {
    answer.rotation_rules()?;
    let time = |date: Option<&aws_smithy_types::DateTime>| date.and_then(|date| SystemTime::try_from(*date).ok());
    Some(Schedule { next: time(answer.next_rotation_date()), last_changed: time(answer.last_changed_date()) })
}

/// The versions that carry no label, the newest first. Secrets Manager deletes them when it has too many.
pub(crate) async fn without_labels(clients: &Clients, secret: &Secret) -> Result<Vec<String>, Error> {
    let request = clients.secrets.list_secret_version_ids().secret_id(&secret.arn).include_deprecated(true);
    let mut pages = request.into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| Error::aws("secretsmanager:ListSecretVersionIds", error))?;
        found.extend(
            page.versions.unwrap_or_default().into_iter().filter(|version| version.version_stages().is_empty()),
        );
    }
    found.sort_by_key(|version| std::cmp::Reverse(version.created_date));
    Ok(found.into_iter().filter_map(|version| version.version_id).collect())
}

/// The key that a version without labels names. Its value never changes, so that it is read once by each process.
pub(crate) async fn key_named_by(clients: &Clients, secret: &Secret, version: &str) -> Result<Option<String>, Error> {
    let key = if let Some(known) = clients.old_keys.get(version) {
        known
    } else {
        let value = read(clients, secret, version).await?;
        let key = value.map(|version| version.value.access_key_id).unwrap_or_default();
        clients.old_keys.remember(version, &key);
        key
    };
    Ok(Some(key).filter(|key| !key.is_empty()))
}

/// Reads a version's value: none if the version is empty, as AWSPENDING is before createSecret.
pub(crate) async fn read(clients: &Clients, secret: &Secret, version: &str) -> Result<Option<Version>, Error> {
    let request = clients.secrets.get_secret_value().secret_id(&secret.arn).version_id(version);
    let answer = match request.send().await.map_err(Cause::from) {
        Ok(answer) => answer,
        Err(cause) if cause.is("ResourceNotFoundException") => return Ok(None),
        Err(cause) => return Err(Error::Aws { action: "secretsmanager:GetSecretValue", cause }),
    };
    let malformed = |problem: String| Error::MalformedSecret {
        version: version.to_owned(),
        labels: secret.versions.get(version).cloned().unwrap_or_default(),
        problem,
    };
    let Some(text) = answer.secret_string() else {
        return Err(malformed("the secret's value is binary, not a string".to_owned()));
    };
    let value = SecretValue::parse(text).map_err(|error| malformed(error.to_string()))?;
    let created = answer.created_date().and_then(|date| SystemTime::try_from(*date).ok());
    Ok(Some(Version { value, created }))
}

/// The pending version's credential, which must be there.
pub(crate) async fn read_pending(rotation: &Rotation<'_>, secret: &Secret) -> Result<SecretValue, Error> {
    let pending = read(rotation.invocation.clients, secret, &rotation.request.token).await?;
    let value = pending.map(|version| version.value).filter(|value| !value.is_placeholder());
    value.ok_or_else(|| secret.pending_empty(&rotation.request.token))
}

/// Moves a label by compare-and-swap: from the version that carries it in `seen`. That it is there already is as good.
///
/// Secrets Manager refuses the call if the label is not where it is to be removed from (API reference,
/// UpdateSecretVersionStage).
pub(crate) async fn move_label(clients: &Clients, seen: &Secret, label: &str, to: &str) -> Result<(), Error> {
    let to_others = seen.told_to_others.as_deref().filter(|_| label == TOLD);
    let from = seen.version_labelled(label).or(to_others);
    if from == Some(to) {
        return Ok(());
    }
    let answer = clients
        .secrets
        .update_secret_version_stage()
        .secret_id(&seen.arn)
        .version_stage(label)
        .move_to_version_id(to)
        .set_remove_from_version_id(from.map(str::to_owned))
        .send()
        .await
        .map_err(Cause::from);
    let Err(cause) = answer else { return Ok(()) };
    // A lost answer and a lost race look alike from here: the labels tell them apart.
    let now = describe_as_it_is(clients, &seen.arn).await?;
    let found = now.version_labelled(label);
    if found == Some(to) {
        info!("{label} was moved although the answer says otherwise");
        Ok(())
    } else if found == from {
        Err(Error::Aws { action: "secretsmanager:UpdateSecretVersionStage", cause })
    } else {
        let (expected, found) = (from.map(str::to_owned), found.map(str::to_owned));
        Err(Error::LabelElsewhere { label: label.to_owned(), version: to.to_owned(), expected, found })
    }
}

/// Puts a label on a version that no version has.
pub(crate) async fn add_label(clients: &Clients, secret: &Secret, label: String, to: &str) -> Result<(), Error> {
    let call = clients.secrets.update_secret_version_stage().secret_id(&secret.arn).version_stage(label);
    let answer = call.move_to_version_id(to).send().await;
    answer.map(drop).map_err(|error| Error::aws("secretsmanager:UpdateSecretVersionStage", error))
}

/// Takes a label off the version that carries it.
pub(crate) async fn drop_label(clients: &Clients, secret: &Secret, label: &str, from: &str) -> Result<(), Error> {
    let call = clients.secrets.update_secret_version_stage().secret_id(&secret.arn).version_stage(label);
    let answer = call.remove_from_version_id(from).send().await;
    answer.map(drop).map_err(|error| Error::aws("secretsmanager:UpdateSecretVersionStage", error))
}

/// Why a value is not stored.
#[derive(Debug)]
pub(crate) enum NotStored {
    /// AWS refused every attempt: there is no version with this value, and there will be none.
    Refused(Cause),
    /// The token already stands for another value, so ours never can be stored.
    Taken,
    /// An answer was lost, and reading back did not settle it: the value may be stored yet.
    Unclear(Cause),
}

/// Stores a value under the rotation's token and labels it AWSPENDING and DEPLOYING, in one call:
/// there must be no instant at which a key is known and no label protects it.
///
/// The SDK's retries are off, because a refusal after a lost answer would hide that the first
/// attempt may have taken effect. To store the same value under the same token again is harmless.
///
/// Every mapped field is written here, so that no version has one that is older than its credential.
///
/// `overtaken` says what has changed since the value was decided on. It is asked before each further attempt: meanwhile another
/// rotation may have begun to tell hosts.
pub(crate) async fn store(
    rotation: &Rotation<'_>,
    secret: &Secret,
    value: &SecretValue,
    overtaken: impl AsyncFn() -> Option<String>,
) -> Result<(), NotStored> {
    let Rotation { invocation: Invocation { clients, settings, .. }, request } = *rotation;
    let mut value = value.clone();
    settings.fields.write(&mut value, &settings.smtp_endpoint);
    let mut lost: Option<Cause> = None;
    let mut attempt = 1;
    loop {
        let cause = match put(clients, request, &value).await {
            Ok(()) => return Ok(()),
            Err(cause) => cause,
        };
        let is_final = cause.refused && !cause.is_throttling();
        if !cause.refused {
            lost = Some(cause.clone());
        }
        if lost.is_some() || cause.is("ResourceExistsException") {
            // An unreadable answer settles nothing: the next attempt finds out. The key is compared instead of the value:
            // numbers in other fields may change in their last bit when they are written and read.
            match read(clients, secret, &request.token).await {
                Ok(Some(stored)) if stored.value.access_key_id == value.access_key_id => {
                    info!("the value was stored although its answer was lost");
                    return Ok(());
                }
                Ok(Some(_)) => return Err(NotStored::Taken),
                Ok(None) | Err(_) => {}
            }
        }
        if is_final || attempt == STORE_ATTEMPTS {
            return Err(lost.map_or(NotStored::Refused(cause), NotStored::Unclear));
        }
        pause(Duration::from_secs(1 << (attempt - 1)), &format!("PutSecretValue was not confirmed: {cause}")).await;
        if let Some(reason) = overtaken().await {
            info!("PutSecretValue is not tried again: {reason}");
            return Err(lost.map_or(NotStored::Refused(cause), NotStored::Unclear));
        }
        attempt += 1;
    }
}

async fn put(clients: &Clients, request: &Request, value: &SecretValue) -> Result<(), Cause> {
    let no_retries = aws_sdk_secretsmanager::config::Builder::new()
        .retry_config(aws_sdk_secretsmanager::config::retry::RetryConfig::disabled());
    let answer = clients
        .secrets
        .put_secret_value()
        .secret_id(&request.secret_arn)
        .client_request_token(&request.token)
        .secret_string(value.to_json())
        .version_stages(AWSPENDING)
        .version_stages(DEPLOYING)
        .set_rotation_token(request.rotation_token.as_ref().map(|token| token.reveal().to_owned()))
        .customize()
        .config_override(no_retries)
        .send()
        .await;
    let secrets = [Some(crate::sensitive::Sensitive::new(&value.smtp_password)), request.rotation_token.clone()];
    answer.map(drop).map_err(Cause::from).map_err(|mut cause| {
        for secret in secrets.iter().flatten() {
            cause.message = secret.redact(&cause.message);
        }
        cause
    })
}

#[cfg(test)]
mod tests {
    use crate::fake_aws::FakeAws;

    #[tokio::test]
    async fn rotation_that_is_not_said_to_be_off_is_on() {
        let aws = FakeAws::new().not_saying_whether_rotation_is_on();
        aws.rotate(async |_, secret| {
            assert!(secret.rotation_enabled);
            Ok(())
        })
        .await
        .unwrap();
    }
}
