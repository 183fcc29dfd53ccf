//! createSecret: make the new credential and store it as AWSPENDING.

use std::time::Duration;

use contract::{LABEL_DEPLOYING, SecretValue};
use tracing::info;

use crate::{
    aws::Cause,
    credential, endpoint,
    error::Error,
    host,
    keys::AccessKey,
    rotation::Rotation,
    secret::{self, AWSCURRENT, AWSPREVIOUS, NotStored, Secret},
    slot, user,
};

/// Enough to make a key and to store it, with lost answers on the way.
const TIME_FOR_A_KEY: Duration = Duration::from_secs(45);

/// Takes the step.
pub async fn run(rotation: &Rotation<'_>, secret: &Secret) -> Result<(), Error> {
    let current = preflight(rotation, secret).await?;
    provide(rotation, secret, current).await
}

/// Stores the pending credential: the one that is there, the one that hosts may know, or a new one.
async fn provide(rotation: &Rotation<'_>, secret: &Secret, current: SecretValue) -> Result<(), Error> {
    let keys = user::keys(rotation.clients, rotation.settings).await?;

    if let Some(pending) = secret::read(rotation.clients, secret, &rotation.request.token).await? {
        return check_pending(&pending.value, &keys);
    }
    if let Some(deploying) = to_roll_forward(rotation, secret, &keys).await? {
        return roll_forward(rotation, secret, &deploying).await;
    }
    slot::secure(rotation, secret, keys).await?;
    make_credential(rotation, secret, current).await
}

/// Everything that can fail while no key exists. Answers with AWSCURRENT's value.
async fn preflight(rotation: &Rotation<'_>, secret: &Secret) -> Result<SecretValue, Error> {
    let Rotation { clients, settings, .. } = *rotation;
    endpoint::reach(&settings.smtp_endpoint).await?;
    user::check(clients, settings).await?;
    let current = match secret.version_labelled(AWSCURRENT) {
        Some(version) => secret::read(clients, secret, version).await?,
        None => None,
    };
    let current = current.ok_or_else(|| Error::NoCurrentValue { secret: secret.arn.clone() })?.value;
    check_user_of(&current, rotation)?;
    if let Some(hosts) = &settings.hosts {
        host::check_online(clients, hosts).await?;
    }
    info!("the endpoint, the user, the secret and the hosts are as they should be");
    Ok(current)
}

fn check_user_of(current: &SecretValue, rotation: &Rotation<'_>) -> Result<(), Error> {
    let user = rotation.settings.iam_user_name();
    let arn = &rotation.settings.iam_user_arn;
    let found = if current.username != user {
        &current.username
    } else if !current.iam_user_arn.is_empty() && current.iam_user_arn != *arn {
        &current.iam_user_arn
    } else {
        return Ok(());
    };
    Err(Error::SecretOfAnotherUser { found: found.clone(), expected: arn.clone() })
}

/// An earlier attempt stored the pending value. Its key must still work.
fn check_pending(pending: &SecretValue, keys: &[AccessKey]) -> Result<(), Error> {
    if pending.is_placeholder() {
        return Err(Error::PendingEmpty);
    }
    let key = pending.access_key_id.clone();
    match keys.iter().find(|it| it.id == key) {
        Some(AccessKey { active: true, .. }) => {
            info!(key, "an earlier attempt stored the pending credential, no key is made");
            Ok(())
        }
        Some(_) => Err(Error::PendingKeyGone { key, state: "Inactive" }),
        None => Err(Error::PendingKeyGone { key, state: "deleted" }),
    }
}

/// The value that hosts may already have been told of by a rotation that did not finish. To store
/// it again, instead of a third key, is what keeps those hosts' key alive.
async fn to_roll_forward(
    rotation: &Rotation<'_>,
    secret: &Secret,
    keys: &[AccessKey],
) -> Result<Option<SecretValue>, Error> {
    let Some(version) = secret.version_labelled(LABEL_DEPLOYING) else { return Ok(None) };
    if secret.has(version, AWSCURRENT) {
        return Ok(None);
    }
    if secret.has(version, AWSPREVIOUS) {
        return Err(Error::RolledBack { secret: secret.arn.clone(), version: version.to_owned() });
    }
    let Some(deploying) = secret::read(rotation.clients, secret, version).await? else { return Ok(None) };
    let key = &deploying.value.access_key_id;
    let is_active = keys.iter().any(|it| it.id == *key && it.active);
    if !is_active {
        info!(key, version, "hosts may have been told of this key, but it is not Active: a new one is needed");
    }
    Ok(is_active.then_some(deploying.value))
}

async fn roll_forward(rotation: &Rotation<'_>, secret: &Secret, value: &SecretValue) -> Result<(), Error> {
    let key = value.access_key_id.clone();
    info!(key, "rolling forward with the credential that hosts may have been told of, no key is made");
    secret::store(rotation.clients, secret, rotation.request, value).await.map_err(|problem| match problem {
        NotStored::Refused(cause) => Error::Aws { action: "secretsmanager:PutSecretValue", cause },
        NotStored::Taken => Error::TokenTaken { key },
        NotStored::Unclear(cause) => Error::StoreUnclear { key, cause },
    })
}

async fn make_credential(rotation: &Rotation<'_>, secret: &Secret, current: SecretValue) -> Result<(), Error> {
    let Rotation { clients, settings, request, time } = *rotation;
    time.require(TIME_FOR_A_KEY, "to make an access key and to store it")?;

    let key = user::create_key(clients, settings).await?;
    info!(key = key.id, "made an access key");
    let value = SecretValue {
        iam_user_arn: settings.iam_user_arn.clone(),
        access_key_id: key.id.clone(),
        smtp_password: credential::smtp_password(&key.secret, settings.region()).reveal().to_owned(),
        username: settings.iam_user_name().to_owned(),
        other: current.other,
    };
    match secret::store(clients, secret, request, &value).await {
        Ok(()) => {
            info!(key = key.id, "stored the new credential, labelled AWSPENDING and DEPLOYING");
            Ok(())
        }
        // Nothing may be deleted that might be stored: somebody could come to use it.
        Err(NotStored::Unclear(cause)) => Err(Error::StoreUnclear { key: key.id, cause }),
        Err(NotStored::Refused(cause)) => Err(take_back(rotation, key.id, cause).await),
        Err(NotStored::Taken) => {
            user::delete_key(clients, settings, &key.id).await?;
            info!(key = key.id, "deleted the new key: another invocation of this step stored its own first");
            Err(Error::TokenTaken { key: key.id })
        }
    }
}

/// Deletes a key that certainly nobody knows.
async fn take_back(rotation: &Rotation<'_>, key: String, cause: Cause) -> Error {
    let deleted = user::delete_key(rotation.clients, rotation.settings, &key).await;
    info!(key, deleted = deleted.is_ok(), "the value was refused, taking the new key back");
    Error::StoreRefused { key, cause, not_deleted: deleted.err().map(Box::new) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fake_aws::{FakeAws, Fault},
        secret::AWSPENDING,
    };

    /// A rotation that has just begun: AWSPENDING is empty.
    fn begun(keys: &[&str]) -> FakeAws {
        FakeAws::new()
            .version("old", &[AWSCURRENT, LABEL_DEPLOYING], "OLD")
            .empty_version("new", &[AWSPENDING])
            .keys(keys)
    }

    async fn provide_in(aws: &FakeAws) -> Result<(), Error> {
        aws.rotate(async |rotation, secret| {
            let current = SecretValue::parse(r#"{"username":"mail","note":"kept"}"#).unwrap();
            provide(rotation, secret, current).await
        })
        .await
    }

    #[tokio::test]
    async fn the_new_key_is_made_last_and_stored_at_once_under_both_labels() {
        let aws = begun(&["OLD"]);
        provide_in(&aws).await.unwrap();
        assert_eq!(
            aws.calls(),
            ["ListAccessKeys", "GetSecretValue", "CreateAccessKey", "PutSecretValue"],
            "DEPLOYING is on AWSCURRENT, so there is nothing to roll forward"
        );
        assert_eq!(aws.labels("new"), [AWSPENDING, LABEL_DEPLOYING]);
        let value = aws.value("new");
        assert_eq!((value.access_key_id.as_str(), value.username.as_str()), ("NEW", "mail"));
        assert_eq!(value.other["note"], "kept");
        let expected = credential::smtp_password(&crate::sensitive::Sensitive::new("secret-of-NEW"), "eu-west-1");
        assert_eq!(value.smtp_password, expected.reveal());
        assert_eq!(aws.active_keys(), ["OLD", "NEW"]);
    }

    #[tokio::test]
    async fn a_pending_value_that_is_there_is_kept_and_no_key_is_made() {
        let aws = begun(&["OLD", "PENDING"]).version("new", &[AWSPENDING, LABEL_DEPLOYING], "PENDING");
        provide_in(&aws).await.unwrap();
        assert_eq!(aws.calls(), ["ListAccessKeys", "GetSecretValue"]);
    }

    #[tokio::test]
    async fn a_pending_value_whose_key_is_deleted_or_inactive_is_refused() {
        let pending = |aws: FakeAws| aws.version("new", &[AWSPENDING, LABEL_DEPLOYING], "PENDING");
        for aws in [pending(begun(&["OLD"])), pending(begun(&["OLD", "PENDING"])).inactive("PENDING")] {
            assert_eq!(provide_in(&aws).await.unwrap_err().kind(), "PendingKeyGone");
            assert_eq!(aws.calls(), ["ListAccessKeys", "GetSecretValue"]);
        }
    }

    #[tokio::test]
    async fn what_hosts_may_have_been_told_of_is_stored_again_and_no_key_is_made() {
        let aws = FakeAws::new()
            .version("old", &[AWSCURRENT], "OLD")
            .version("told", &[LABEL_DEPLOYING], "TOLD")
            .empty_version("new", &[AWSPENDING])
            .keys(&["OLD", "TOLD"]);
        provide_in(&aws).await.unwrap();
        assert_eq!(aws.calls(), ["ListAccessKeys", "GetSecretValue", "GetSecretValue", "PutSecretValue"]);
        assert_eq!(aws.value("new"), aws.value("told"));
        assert_eq!(aws.labels("new"), [AWSPENDING, LABEL_DEPLOYING]);
    }

    #[tokio::test]
    async fn a_key_that_is_not_active_is_not_rolled_forward() {
        let aws = FakeAws::new()
            .version("old", &[AWSCURRENT], "OLD")
            .version("told", &[LABEL_DEPLOYING], "TOLD")
            .empty_version("new", &[AWSPENDING])
            .keys(&["OLD"]);
        provide_in(&aws).await.unwrap();
        assert_eq!(aws.value("new").access_key_id, "NEW");
    }

    #[tokio::test]
    async fn after_a_rollback_nothing_is_done() {
        let aws = FakeAws::new()
            .version("old", &[AWSCURRENT], "OLD")
            .version("bad", &[LABEL_DEPLOYING, AWSPREVIOUS], "BAD")
            .empty_version("new", &[AWSPENDING])
            .keys(&["OLD", "BAD"]);
        assert_eq!(provide_in(&aws).await.unwrap_err().kind(), "RolledBack");
        assert_eq!(aws.calls(), ["ListAccessKeys", "GetSecretValue"]);
    }

    #[tokio::test]
    async fn a_refused_value_takes_its_key_with_it() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::Refused);
        let error = provide_in(&aws).await.unwrap_err();
        assert_eq!(error.kind(), "StoreRefused");
        assert_eq!(aws.active_keys(), ["OLD"]);
        assert_eq!(aws.count("PutSecretValue"), 1);
    }

    #[tokio::test]
    async fn a_refusal_that_quotes_what_is_secret_is_passed_on_without_it() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::Refused);
        let text = provide_in(&aws).await.unwrap_err().to_string();
        let password = credential::smtp_password(&crate::sensitive::Sensitive::new("secret-of-NEW"), "eu-west-1");
        assert!(text.contains("[redacted]") && !text.contains(password.reveal()), "{text}");
        assert!(!text.contains(crate::fake_aws::ROTATION_TOKEN), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_whose_answer_was_lost_is_read_back() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::AnswerLost);
        provide_in(&aws).await.unwrap();
        assert_eq!((aws.count("PutSecretValue"), aws.count("CreateAccessKey")), (1, 1));
        assert_eq!(aws.active_keys(), ["OLD", "NEW"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_that_may_be_stored_yet_keeps_its_key() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::Down);
        assert_eq!(provide_in(&aws).await.unwrap_err().kind(), "StoreUnclear");
        assert_eq!(aws.active_keys(), ["OLD", "NEW"]);
        assert_eq!(aws.count("CreateAccessKey"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_store_is_tried_again() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::ThrottledOnce);
        provide_in(&aws).await.unwrap();
        assert_eq!(aws.count("PutSecretValue"), 2);
    }

    #[tokio::test]
    async fn a_token_that_stands_for_another_value_costs_the_new_key() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::Overtaken);
        assert_eq!(provide_in(&aws).await.unwrap_err().kind(), "TokenTaken");
        assert_eq!(aws.active_keys(), ["OLD"]);
        assert_eq!(aws.value("new").access_key_id, "OTHER");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_asked_for_twice() {
        for fault in [Fault::AnswerLost, Fault::Down] {
            let aws = begun(&["OLD"]).fault("CreateAccessKey", fault);
            assert_eq!(provide_in(&aws).await.unwrap_err().kind(), "KeyCreationUnclear");
            assert_eq!((aws.count("CreateAccessKey"), aws.count("PutSecretValue")), (1, 0));
        }
    }

    #[tokio::test]
    async fn without_the_time_to_store_it_no_key_is_made() {
        let aws = begun(&["OLD"]).seconds(30);
        assert_eq!(provide_in(&aws).await.unwrap_err().kind(), "NotEnoughTime");
        assert_eq!(aws.count("CreateAccessKey"), 0);
    }

    fn with_a_previous_key() -> FakeAws {
        begun(&["OLD", "OLDER"]).version("older", &[AWSPREVIOUS], "OLDER")
    }

    #[tokio::test]
    async fn with_two_keys_one_is_deactivated_looked_at_again_and_deleted_first() {
        let aws = with_a_previous_key();
        provide_in(&aws).await.unwrap();
        let changes: Vec<_> =
            aws.calls().into_iter().filter(|call| !call.starts_with("Get") && call != "ListAccessKeys").collect();
        let order = ["UpdateAccessKey", "DescribeSecret", "DeleteAccessKey", "CreateAccessKey", "PutSecretValue"];
        assert_eq!(changes, order);
        assert_eq!(aws.active_keys(), ["OLD", "NEW"]);
    }

    #[tokio::test]
    async fn a_key_that_a_label_protects_meanwhile_is_active_again() {
        let aws = with_a_previous_key().fault("UpdateAccessKey", Fault::LabelMoved { to: "older", label: AWSCURRENT });
        assert_eq!(provide_in(&aws).await.unwrap_err().kind(), "LabelsMoved");
        assert_eq!(aws.active_keys(), ["OLD", "OLDER"]);
        assert_eq!((aws.count("DeleteAccessKey"), aws.count("CreateAccessKey")), (0, 0));
    }

    #[tokio::test]
    async fn with_two_keys_of_which_none_may_go_nothing_is_changed() {
        let aws = begun(&["OLD", "FOREIGN"]).used("FOREIGN");
        let error = provide_in(&aws).await.unwrap_err();
        assert_eq!(error.kind(), "NoSafeSlot");
        assert!(error.to_string().contains("OLD (Active") && error.to_string().contains("FOREIGN (Active"), "{error}");
        assert_eq!(aws.active_keys(), ["OLD", "FOREIGN"]);
        assert_eq!(aws.count("UpdateAccessKey"), 0);
    }
}
