//! The IAM user and its access keys.

use std::time::SystemTime;

use aws_sdk_iam::types::{AccessKeyLastUsed, AccessKeyMetadata, StatusType};
use contract::{Settings, TAG_SECRET};

use crate::{
    decide::keys::AccessKey,
    error::{Cause, Error},
    sensitive::Sensitive,
    services::aws::Clients,
};

/// A key as IAM shows it once, when it is made.
#[derive(Debug)]
pub(crate) struct NewKey {
    /// Access key id; not secret.
    pub(crate) id: String,
    /// Secret access key.
    pub(crate) secret: Sensitive,
}

/// Refuses a user that is not there, or that serves another secret.
///
/// GetUser answers with the tags (the IAM API reference says so under ListUsers, which does not),
/// so ListUserTags is not needed.
pub(crate) async fn check(clients: &Clients, settings: &Settings) -> Result<(), Error> {
    let name = settings.iam_user_name();
    let answer = clients.iam.get_user().user_name(name).send().await;
    let answer = answer.map_err(|error| failed("iam:GetUser", name, error.into()))?;
    let tags = answer.user().map(aws_sdk_iam::types::User::tags).unwrap_or_default();
    let found = tags.iter().find(|tag| tag.key() == TAG_SECRET).map(|tag| tag.value().to_owned());
    let expected = settings.user_tag();
    if found.as_deref() == Some(expected.as_str()) {
        Ok(())
    } else {
        Err(Error::UserServesAnother { user: name.to_owned(), found, expected })
    }
}

/// IAM's code for a user that is not there is the same for each read of the user.
fn failed(action: &'static str, user: &str, cause: Cause) -> Error {
    if cause.is("NoSuchEntity") { Error::UserMissing { user: user.to_owned() } } else { Error::Aws { action, cause } }
}

/// The user's access keys: at most two, or more if some were made at the same moment.
pub(crate) async fn keys(clients: &Clients, settings: &Settings) -> Result<Vec<AccessKey>, Error> {
    let user = settings.iam_user_name();
    let answer = clients.iam.list_access_keys().user_name(user).send().await;
    let answer = answer.map_err(|error| failed("iam:ListAccessKeys", user, error.into()))?;
    let key = |metadata: AccessKeyMetadata| {
        Some(AccessKey {
            id: metadata.access_key_id?,
            active: metadata.status == Some(StatusType::Active),
            created: metadata.create_date.and_then(|date| SystemTime::try_from(date).ok()),
        })
    };
    Ok(answer.access_key_metadata.into_iter().filter_map(key).collect())
}

/// The ARN of the policy by which AWS has put the user in quarantine; none if it has not. A user has at most 20 managed policies.
pub(crate) async fn quarantine(clients: &Clients, settings: &Settings) -> Result<Option<String>, Error> {
    let user = settings.iam_user_name();
    let answer = clients.iam.list_attached_user_policies().user_name(user).send().await;
    let answer = answer.map_err(|error| failed("iam:ListAttachedUserPolicies", user, error.into()))?;
    Ok(contract::quarantine(answer.attached_policies.into_iter().flatten().filter_map(|policy| policy.policy_arn)))
}

/// When IAM last saw a key used; none if never.
pub(crate) async fn last_use(clients: &Clients, key: &str) -> Result<Option<SystemTime>, Error> {
    let used = ask_for_last_use(clients, key).await?;
    Ok(used.and_then(|used| SystemTime::try_from(*used.last_used_date()?).ok()))
}

/// With which service IAM last saw a key used, and in which region: `ses in eu-west-1`, or `N/A in N/A`.
pub(crate) async fn last_place_of_use(clients: &Clients, key: &str) -> Result<String, Error> {
    let used = ask_for_last_use(clients, key).await?;
    Ok(used.map_or_else(String::new, |used| format!("{} in {}", used.service_name(), used.region())))
}

async fn ask_for_last_use(clients: &Clients, key: &str) -> Result<Option<AccessKeyLastUsed>, Error> {
    let answer = clients.iam.get_access_key_last_used().access_key_id(key).send().await;
    let answer = answer.map_err(|error| Error::aws("iam:GetAccessKeyLastUsed", error))?;
    Ok(answer.access_key_last_used)
}

/// Makes a key. The call is sent once: a key's secret is shown once, so a key whose answer was lost
/// is of no use, and a second one would take the slot that the host's key is in.
pub(crate) async fn create_key(clients: &Clients, settings: &Settings) -> Result<NewKey, Error> {
    let no_retries =
        aws_sdk_iam::config::Builder::new().retry_config(aws_sdk_iam::config::retry::RetryConfig::disabled());
    let user = settings.iam_user_name();
    let answer = clients
        .iam
        .create_access_key()
        .user_name(user)
        .customize()
        .config_override(no_retries)
        .send()
        .await
        .map_err(Cause::from)
        .map_err(|cause| {
            if cause.is("LimitExceeded") {
                Error::KeyLimitReached { user: user.to_owned(), cause }
            } else if cause.refused {
                Error::Aws { action: "iam:CreateAccessKey", cause }
            } else {
                Error::KeyCreationUnclear { user: user.to_owned(), cause }
            }
        })?;
    let key = answer.access_key.ok_or_else(|| Error::KeyCreationUnclear {
        user: user.to_owned(),
        cause: Cause::no_answer("the answer holds no key"),
    })?;
    Ok(NewKey { id: key.access_key_id, secret: Sensitive::new(key.secret_access_key) })
}

/// Sets a key Active or Inactive. False if the key is gone.
pub(crate) async fn set_active(clients: &Clients, settings: &Settings, key: &str, active: bool) -> Result<bool, Error> {
    let answer = clients
        .iam
        .update_access_key()
        .user_name(settings.iam_user_name())
        .access_key_id(key)
        .status(if active { StatusType::Active } else { StatusType::Inactive })
        .send()
        .await;
    gone_is_false("iam:UpdateAccessKey", answer.map(drop).map_err(Cause::from))
}

/// Deletes a key. False if it was gone already, which is as good.
pub(crate) async fn delete_key(clients: &Clients, settings: &Settings, key: &str) -> Result<bool, Error> {
    let answer = clients.iam.delete_access_key().user_name(settings.iam_user_name()).access_key_id(key).send().await;
    gone_is_false("iam:DeleteAccessKey", answer.map(drop).map_err(Cause::from))
}

fn gone_is_false(action: &'static str, answer: Result<(), Cause>) -> Result<bool, Error> {
    match answer {
        Ok(()) => Ok(true),
        Err(cause) if cause.is("NoSuchEntity") => Ok(false),
        Err(cause) => Err(Error::Aws { action, cause }),
    }
}
