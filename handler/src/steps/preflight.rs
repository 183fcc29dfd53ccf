//! Everything that would make a rotation fail, and that shows before a key is made.

use contract::{AWSCURRENT, LONGEST_SECRET, SecretValue, Settings};
use tracing::info;

use crate::{
    error::Error,
    invocation::Invocation,
    services::{
        consumer, endpoint, password,
        secret::{self, Secret, Version},
        smtp::Smtp,
        test_mail, user,
    },
};

/// Characters of an access key's id at most (IAM API reference, `AccessKey`). AWS makes ids of 20.
const LONGEST_KEY_ID: usize = 128;

/// Everything that can fail while no key exists. Returns AWSCURRENT's version.
pub(super) async fn check(invocation: &Invocation<'_>, secret: &Secret, smtp: &Smtp<'_>) -> Result<Version, Error> {
    let Invocation { clients, settings, .. } = *invocation;
    check_test_mail(invocation, secret)?;
    secret.check_number_of_labels()?;
    endpoint::reach(&clients.ses, smtp).await?;
    user::check(clients, settings).await?;
    let current = match secret.version_labelled(AWSCURRENT) {
        Some(version) => secret::read(clients, secret, version).await?,
        None => None,
    };
    let current = current.ok_or_else(|| Error::NoCurrentValue { secret: secret.arn.clone() })?;
    check_user_of(&current.value, settings)?;
    check_length(&current.value, settings)?;
    if let Some(consumer) = &settings.consumer {
        consumer::check(clients, consumer).await?;
    }
    info!("the endpoint, the user, the secret and the hosts are as they should be");
    Ok(current)
}

fn check_test_mail(invocation: &Invocation<'_>, secret: &Secret) -> Result<(), Error> {
    let Invocation { settings, time, .. } = *invocation;
    match &settings.test_mail {
        Some(mail) => test_mail::message(mail, time.began, &secret.arn, "none yet", "none yet").map(drop),
        None => Ok(()),
    }
}

fn check_user_of(current: &SecretValue, settings: &Settings) -> Result<(), Error> {
    let user = settings.iam_user_name();
    let arn = &settings.iam_user_arn;
    let (field, found) = if current.username != user {
        ("username", &current.username)
    } else if !current.iam_user_arn.is_empty() && current.iam_user_arn != *arn {
        ("iam_user_arn", &current.iam_user_arn)
    } else {
        return Ok(());
    };
    Err(Error::SecretOfAnotherUser { field, found: found.clone(), expected: arn.clone() })
}

/// Refuses a value that has no room for a credential: PutSecretValue would fail once the key is made.
fn check_length(current: &SecretValue, settings: &Settings) -> Result<(), Error> {
    let mut next = SecretValue {
        iam_user_arn: settings.iam_user_arn.clone(),
        access_key_id: "A".repeat(LONGEST_KEY_ID),
        smtp_password: "A".repeat(password::LENGTH),
        ..current.clone()
    };
    settings.fields.write(&mut next, &settings.smtp_endpoint);
    let bytes = next.to_json().len();
    if bytes <= LONGEST_SECRET {
        return Ok(());
    }
    let longest = current.other.texts().max_by_key(|(_, text)| text.len());
    Err(Error::ValueTooLong { bytes, longest: longest.map(|(name, text)| (name.to_owned(), text.len())) })
}
