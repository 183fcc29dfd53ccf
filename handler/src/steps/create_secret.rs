//! createSecret: make the new credential and store it as AWSPENDING.

use std::time::Duration;

use contract::{AWSCURRENT, AWSPREVIOUS, DEPLOYING, DONE, Login, SecretValue, TOLD};
use tracing::{info, warn};

use crate::{
    decide::keys::{AccessKey, MayGo, Slot, UsedKey},
    error::{Cause, Error, KeyFate, KeyState},
    guard,
    invocation::{Invocation, Rotation},
    services::{
        aws::Clients,
        password,
        secret::{self, NotStored, Secret, Version},
        smtp::{Credential, Smtp},
        user,
    },
    slot,
    steps::{
        consistent, preflight,
        usable::{check_pending, unusable},
    },
};

/// Enough to make a key and to store it, even if answers are lost. More than this is unusual, and is cut off.
const TIME_FOR_A_KEY: Duration = Duration::from_secs(45);

/// Kept free after the storing of a value, so that the step ends with an error that names the key.
const TIME_TO_NAME_THE_KEY: Duration = Duration::from_secs(1);

/// What the step is to do.
#[derive(Clone, Debug)]
pub(crate) enum Decision {
    /// Nothing: an earlier attempt stored the pending credential.
    Resume { key: String },
    /// Store a credential again that hosts may have been told of, but not every host has confirmed. A third key would cost those
    /// hosts their key.
    RollForward {
        /// The version that holds it.
        version: String,
        /// The value, with the fields of others as they are in AWSCURRENT.
        value: SecretValue,
    },
    /// Make a key.
    MakeKey {
        /// The keys that are deleted for it, and why each may be.
        frees: Vec<(UsedKey, MayGo)>,
        /// AWSCURRENT's value.
        current: SecretValue,
    },
}

/// Takes the step.
pub(crate) async fn run(rotation: &Rotation<'_>, secret: &Secret) -> Result<(), Error> {
    let Rotation { invocation, request } = rotation;
    let decision = consistent::read(invocation.time, async || decide(invocation, secret, Some(&request.token)).await);
    let decision = Box::pin(decision).await?;
    carry_out(rotation, secret, decision).await
}

/// What the step would do for a token, or for a rotation that begins now. It changes nothing.
pub(crate) async fn decide(
    invocation: &Invocation<'_>,
    secret: &Secret,
    token: Option<&str>,
) -> Result<Decision, Error> {
    let smtp = Smtp::new(&invocation.clients.ses, &invocation.settings.smtp_endpoint)?;
    let current = preflight::check(invocation, secret, &smtp).await?;
    choose(invocation, secret, token, current, async |credential: &Credential| smtp.ask(credential).await).await
}

/// The pending credential: the one that is there, the one that hosts may know, or a new one.
async fn choose(
    invocation: &Invocation<'_>,
    secret: &Secret,
    token: Option<&str>,
    current: Version,
    ask_ses: impl AsyncFn(&Credential) -> Login,
) -> Result<Decision, Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let keys = user::keys(clients, settings).await?;
    warn_if_inactive(&keys, &current.value.access_key_id, AWSCURRENT);

    if let Some(token) = token
        && let Some(pending) = secret::read(clients, secret, token).await?
    {
        let key = check_pending(settings, secret, token, &pending.value, &keys, &ask_ses).await?;
        return Ok(Decision::Resume { key });
    }
    if let Some((version, deploying)) = to_roll_forward(clients, secret, &current, &keys, &ask_ses).await? {
        let value = SecretValue { other: current.value.other, ..deploying };
        return Ok(Decision::RollForward { version, value });
    }
    let frees = match slot::choose(invocation, secret, keys).await? {
        Slot::Free => vec![],
        Slot::After(frees) => frees,
        Slot::None(keys) => return Err(Error::NoSafeSlot { user: settings.iam_user_name().to_owned(), keys }),
    };
    Ok(Decision::MakeKey { frees, current: current.value })
}

async fn carry_out(rotation: &Rotation<'_>, secret: &Secret, decision: Decision) -> Result<(), Error> {
    match decision {
        Decision::Resume { key } => {
            info!(key, "an earlier attempt stored the pending credential, no key is made");
            Ok(())
        }
        Decision::RollForward { value, .. } => roll_forward(rotation, secret, &value).await,
        Decision::MakeKey { frees, current } => {
            for (key, reason) in &frees {
                info!(key = key.key.id, "freeing an access key: {reason}");
                slot::make_room(&rotation.invocation, secret, key).await?;
            }
            make_credential(rotation, secret, current).await
        }
    }
}

/// No step makes a key Active that somebody made Inactive, but a reader of the log should learn why mail fails.
fn warn_if_inactive(keys: &[AccessKey], key: &str, label: &str) {
    if keys.iter().any(|it| it.id == key && !it.active) {
        warn!(key, "the version labelled {label} names an access key that is Inactive: no host can log in with it");
    }
}

/// The version and value that hosts may have been told of, and that not every host has confirmed as its credential.
async fn to_roll_forward(
    clients: &Clients,
    secret: &Secret,
    current: &Version,
    keys: &[AccessKey],
    ask_ses: impl AsyncFn(&Credential) -> Login,
) -> Result<Option<(String, SecretValue)>, Error> {
    let told = key_labelled(clients, secret, current, TOLD).await?;
    let deploying = unfinished(clients, secret, current, told.as_deref(), keys, ask_ses).await?;
    if deploying.is_some() {
        return Ok(deploying);
    }
    // Every host has another credential than AWSCURRENT's: somebody moved AWSCURRENT. The hosts follow before a key is made,
    // because a new key would take the place of one of these two.
    let key = &current.value.access_key_id;
    let is_active = keys.iter().any(|it| it.active && it.id == *key);
    let elsewhere = told.is_some_and(|told| told != *key) && is_active;
    let version = secret.version_labelled(AWSCURRENT).filter(|_| elsewhere);
    Ok(version.map(|version| (version.to_owned(), current.value.clone())))
}

/// DEPLOYING's version and value, if not every host has confirmed its credential, or if AWSCURRENT is not there yet.
async fn unfinished(
    clients: &Clients,
    secret: &Secret,
    current: &Version,
    told: Option<&str>,
    keys: &[AccessKey],
    ask_ses: impl AsyncFn(&Credential) -> Login,
) -> Result<Option<(String, SecretValue)>, Error> {
    let Some(version) = secret.version_labelled(DEPLOYING) else { return Ok(None) };
    let Some(deploying) = read_or_current(clients, secret, current, version).await? else { return Ok(None) };
    let key = &deploying.value.access_key_id;
    if deploying.value.is_placeholder() {
        return Ok(None);
    }
    // An edit of another field makes a new version of the same credential.
    let is_crossed = *key != current.value.access_key_id;
    if !is_crossed && told == Some(key) {
        return Ok(None);
    }
    if is_crossed {
        warn_if_inactive(keys, key, DEPLOYING);
    }
    let state = unusable(version, &deploying.value, keys, ask_ses).await?;
    // A host that holds a deleted key cannot send, so nothing can break it, and a new key mends it, wherever AWSCURRENT is. An
    // Inactive key can be made Active again, so it still matters whether hosts hold it.
    if is_crossed && state != Some(KeyState::Deleted) && was_current(clients, secret, current, version, key).await? {
        return Err(Error::RolledBack(secret.crossed_labels(version)));
    }
    if let Some(state) = state {
        info!(key, version, "hosts may have been told of this key, but it is {state}: a new one is needed");
        return Ok(None);
    }
    if is_crossed && is_newer(current, &deploying, keys) {
        return Err(Error::CurrentIsNewer(secret.crossed_labels(version)));
    }
    Ok(Some((version.to_owned(), deploying.value)))
}

/// Whether an operator moved AWSCURRENT away from this version, or from another one with its key.
async fn was_current(
    clients: &Clients,
    secret: &Secret,
    current: &Version,
    version: &str,
    key: &str,
) -> Result<bool, Error> {
    if secret.has(version, AWSPREVIOUS) || secret.has(version, DONE) {
        return Ok(true);
    }
    Ok(key_labelled(clients, secret, current, AWSPREVIOUS).await?.as_deref() == Some(key))
}

/// The key that a label's version names; none in a placeholder.
async fn key_labelled(
    clients: &Clients,
    secret: &Secret,
    current: &Version,
    label: &str,
) -> Result<Option<String>, Error> {
    let Some(version) = secret.version_labelled(label) else { return Ok(None) };
    let version = read_or_current(clients, secret, current, version).await?;
    Ok(version.map(|version| version.value.access_key_id).filter(|key| !key.is_empty()))
}

/// Reads a version that is not AWSCURRENT's, which was read.
async fn read_or_current(
    clients: &Clients,
    secret: &Secret,
    current: &Version,
    version: &str,
) -> Result<Option<Version>, Error> {
    if secret.has(version, AWSCURRENT) {
        return Ok(Some(current.clone()));
    }
    secret::read(clients, secret, version).await
}

/// Whether AWSCURRENT holds a credential that somebody made and stored after the one that hosts may have been told of.
/// A version alone is no proof: an edit of another field makes one too, of the key that was there before.
fn is_newer(current: &Version, deploying: &Version, keys: &[AccessKey]) -> bool {
    let made = |version: &Version| keys.iter().find(|key| key.id == version.value.access_key_id)?.created;
    let is_older_key = made(current).zip(made(deploying)).is_some_and(|(current, deploying)| current < deploying);
    current.created > deploying.created && !current.value.is_placeholder() && !is_older_key
}

async fn roll_forward(rotation: &Rotation<'_>, secret: &Secret, value: &SecretValue) -> Result<(), Error> {
    let key = value.access_key_id.clone();
    info!(key, "rolling forward with the credential that hosts may have been told of, no key is made");
    if let Some(reason) = overtaken(rotation, secret).await? {
        return Err(Error::OvertakenBeforeStore { key, reason, fate: KeyFate::NotMade });
    }
    store(rotation, secret, value).await.map_err(|problem| match problem {
        NotStored::Refused(cause) => Error::Aws { action: "secretsmanager:PutSecretValue", cause },
        NotStored::Taken => Error::TokenTaken { key, fate: KeyFate::NotMade },
        NotStored::Unclear(cause) => Error::StoreUnclear { key, cause },
    })
}

/// What has changed since the step decided: PutSecretValue moves AWSPENDING and DEPLOYING wherever they are, and what is stored
/// may not be right any more if somebody moved AWSCURRENT.
async fn overtaken(rotation: &Rotation<'_>, seen: &Secret) -> Result<Option<String>, Error> {
    let now = match guard::still_pending(rotation).await {
        Ok(now) => now,
        Err(error @ Error::Aws { .. }) => return Err(error),
        Err(error) => return Ok(Some(error.refusal().finding())),
    };
    let place = |secret: &Secret, label| secret.version_labelled(label).unwrap_or("no version").to_owned();
    // An attempt to store the value whose answer was lost has moved DEPLOYING itself.
    let by_us = |label| label == DEPLOYING && now.has(&rotation.request.token, label);
    let moved =
        [AWSCURRENT, DEPLOYING].into_iter().find(|label| place(seen, label) != place(&now, label) && !by_us(label));
    Ok(moved.map(|label| format!("{label} was moved from {} to {}", place(seen, label), place(&now, label))))
}

/// Stores the value, unless something changes before it is stored.
async fn store(rotation: &Rotation<'_>, secret: &Secret, value: &SecretValue) -> Result<(), NotStored> {
    // If that cannot be read, Secrets Manager itself decides.
    secret::store(rotation, secret, value, async || overtaken(rotation, secret).await.ok().flatten()).await
}

async fn make_credential(rotation: &Rotation<'_>, secret: &Secret, current: SecretValue) -> Result<(), Error> {
    let Invocation { clients, settings, time } = rotation.invocation;
    time.require(TIME_FOR_A_KEY, "to make an access key and to store it")?;

    let key = user::create_key(clients, settings).await?;
    info!(key = key.id, "made an access key");
    let value = SecretValue {
        iam_user_arn: settings.iam_user_arn.clone(),
        access_key_id: key.id.clone(),
        smtp_password: password::smtp_password(&key.secret, settings.region()).reveal().to_owned(),
        username: settings.iam_user_name().to_owned(),
        other: current.other,
    };
    let found = overtaken(rotation, secret).await.unwrap_or_else(|error| Some(error.refusal().finding()));
    if let Some(reason) = found {
        // Nobody knows this key yet.
        let fate = take_back(rotation, &key.id).await;
        return Err(Error::OvertakenBeforeStore { key: key.id, reason, fate });
    }
    match store_in_time(rotation, secret, &value).await {
        Ok(()) => {
            info!(key = key.id, "stored the new credential, labelled AWSPENDING and DEPLOYING");
            Ok(())
        }
        // Nothing may be deleted that might be stored: somebody could come to use it.
        Err(NotStored::Unclear(cause)) => Err(Error::StoreUnclear { key: key.id, cause }),
        Err(NotStored::Refused(cause)) => {
            let fate = take_back(rotation, &key.id).await;
            Err(Error::StoreRefused { key: key.id, cause: Box::new(cause), fate })
        }
        Err(NotStored::Taken) => {
            let fate = take_back(rotation, &key.id).await;
            Err(Error::TokenTaken { key: key.id, fate })
        }
    }
}

/// If AWS is too slow, the error still has to name the key.
async fn store_in_time(rotation: &Rotation<'_>, secret: &Secret, value: &SecretValue) -> Result<(), NotStored> {
    let limit = rotation.invocation.time.remaining().saturating_sub(TIME_TO_NAME_THE_KEY);
    let stored = tokio::time::timeout(limit, store(rotation, secret, value)).await;
    stored.unwrap_or_else(|_| Err(NotStored::Unclear(Cause::no_answer("no answer in the function's time"))))
}

/// Deletes a key that certainly nobody knows.
async fn take_back(rotation: &Rotation<'_>, key: &str) -> KeyFate {
    let Invocation { clients, settings, .. } = rotation.invocation;
    let fate = match user::delete_key(clients, settings, key).await {
        Ok(_) => KeyFate::Deleted,
        Err(error) => KeyFate::NotDeleted { user: settings.iam_user_name().to_owned(), problem: Box::new(error) },
    };
    info!(key, "the value was not stored: {fate}");
    fate
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::{AWSPENDING, RefusalKind};

    use crate::fake_aws::{FakeAws, Fault};

    const OVERTAKEN: Fault = Fault::Overtaken { key: "OTHER" };

    /// A rotation that has just begun: AWSPENDING is empty.
    fn begun(keys: &[&str]) -> FakeAws {
        FakeAws::new()
            .version("old", &[AWSCURRENT, DEPLOYING, TOLD], "OLD")
            .empty_version("new", &[AWSPENDING])
            .keys(keys)
    }

    fn refused() -> Login {
        Login::Refused("535".into())
    }

    /// The step behind its preflight, which meets the network. SES is asked only of keys that IAM says cannot be used, and
    /// says so too.
    async fn take_step(rotation: &Rotation<'_>, secret: &Secret, current: Version) -> Result<(), Error> {
        take_step_with(rotation, secret, current, refused()).await
    }

    async fn take_step_with(
        rotation: &Rotation<'_>,
        secret: &Secret,
        current: Version,
        ses: Login,
    ) -> Result<(), Error> {
        let ask_ses = async |_: &Credential| ses.clone();
        let decision = choose(&rotation.invocation, secret, Some(&rotation.request.token), current, ask_ses).await?;
        carry_out(rotation, secret, decision).await
    }

    async fn take_step_in(aws: &FakeAws) -> Result<(), Error> {
        take_step_in_with(aws, refused()).await
    }

    async fn take_step_in_with(aws: &FakeAws, ses: Login) -> Result<(), Error> {
        aws.rotate(async |rotation, secret| {
            let mut current = aws.current();
            current.value.other.insert("note".into(), &"kept".into());
            take_step_with(rotation, secret, current, ses.clone()).await
        })
        .await
    }

    #[tokio::test]
    async fn a_mapped_field_has_the_credential_of_its_own_version_also_if_it_is_rolled_forward() {
        let edited = |aws: FakeAws| {
            let fields = r#"{"SMTP_PASSWORD":"smtp_password","host":"smtp_host"}"#;
            aws.fields(fields).field("old", "SMTP_PASSWORD", "password-of-OLD").field("old", "host", "elsewhere")
        };
        let told = FakeAws::new().version("old", &[AWSCURRENT], "OLD").version("told", &[DEPLOYING], "TOLD");
        let forward = edited(told.empty_version("new", &[AWSPENDING]).keys(&["OLD", "TOLD"]));
        for (aws, key) in [(edited(begun(&["OLD"])), "NEW"), (forward, "TOLD")] {
            take_step_in(&aws).await.unwrap();
            let value = aws.value("new");
            assert_eq!((value.access_key_id.as_str(), value.other.get("note").unwrap().as_str()), (key, Some("kept")));
            assert_eq!(value.other.get("SMTP_PASSWORD").unwrap(), value.smtp_password);
            assert_ne!(value.smtp_password, "password-of-OLD");
            assert_eq!(value.other.get("host").unwrap(), "email-smtp.eu-west-1.amazonaws.com");
        }
    }

    #[tokio::test]
    async fn the_new_key_is_made_last_and_stored_at_once_under_both_labels() {
        let aws = begun(&["OLD"]);
        take_step_in(&aws).await.unwrap();
        assert_eq!(
            aws.calls(),
            ["ListAccessKeys", "GetSecretValue", "CreateAccessKey", "DescribeSecret", "PutSecretValue"],
            "DEPLOYING is on AWSCURRENT, so there is nothing to roll forward"
        );
        assert_eq!(aws.labels("new"), [AWSPENDING, DEPLOYING]);
        let value = aws.value("new");
        assert_eq!((value.access_key_id.as_str(), value.username.as_str()), ("NEW", "mail"));
        assert_eq!(value.other.get("note").unwrap(), "kept");
        let expected = password::smtp_password(&crate::sensitive::Sensitive::new("secret-of-NEW"), "eu-west-1");
        assert_eq!(value.smtp_password, expected.reveal());
        assert_eq!(aws.active_keys(), ["OLD", "NEW"]);
    }

    #[tokio::test]
    async fn a_pending_value_that_is_there_is_kept_and_no_key_is_made() {
        let aws = begun(&["OLD", "PENDING"]).version("new", &[AWSPENDING, DEPLOYING], "PENDING");
        take_step_in(&aws).await.unwrap();
        assert_eq!(aws.calls(), ["ListAccessKeys", "GetSecretValue"]);
    }

    #[tokio::test]
    async fn a_pending_value_whose_key_is_deleted_or_inactive_is_refused() {
        let pending = |aws: FakeAws| aws.version("new", &[AWSPENDING, DEPLOYING], "PENDING");
        for aws in [pending(begun(&["OLD"])), pending(begun(&["OLD", "PENDING"])).inactive("PENDING")] {
            assert_eq!(take_step_in(&aws).await.unwrap_err().kind(), RefusalKind::PendingKeyGone);
            assert_eq!(aws.calls(), ["ListAccessKeys", "GetSecretValue"]);
        }
    }

    #[tokio::test]
    async fn what_hosts_may_have_been_told_of_is_stored_again_and_no_key_is_made() {
        let aws = FakeAws::new()
            .version("old", &[AWSCURRENT], "OLD")
            .version("told", &[DEPLOYING], "TOLD")
            .empty_version("new", &[AWSPENDING])
            .keys(&["OLD", "TOLD"]);
        take_step_in(&aws).await.unwrap();
        assert_eq!(
            aws.calls(),
            ["ListAccessKeys", "GetSecretValue", "GetSecretValue", "DescribeSecret", "PutSecretValue"]
        );
        let (stored, told) = (aws.value("new"), aws.value("told"));
        assert_eq!((stored.access_key_id, stored.smtp_password), (told.access_key_id, told.smtp_password));
        assert_eq!(stored.other.get("note").unwrap(), "kept", "fields of others are AWSCURRENT's");
        assert_eq!(aws.labels("new"), [AWSPENDING, DEPLOYING]);
    }

    #[tokio::test]
    async fn a_key_that_is_not_active_is_not_rolled_forward() {
        let aws = FakeAws::new()
            .version("old", &[AWSCURRENT], "OLD")
            .version("told", &[DEPLOYING], "TOLD")
            .empty_version("new", &[AWSPENDING])
            .keys(&["OLD"]);
        take_step_in(&aws).await.unwrap();
        assert_eq!(aws.value("new").access_key_id, "NEW");
    }

    #[tokio::test]
    async fn a_key_that_ses_does_not_refuse_is_not_taken_for_unusable_whatever_iam_lists() {
        let told = FakeAws::new()
            .version("old", &[AWSCURRENT], "OLD")
            .version("told", &[DEPLOYING], "TOLD")
            .empty_version("new", &[AWSPENDING]);
        let pending =
            FakeAws::new().version("old", &[AWSCURRENT], "OLD").version("new", &[AWSPENDING, DEPLOYING], "TOLD");
        let no_answer = Login::Unclear("try later".into());
        for aws in [told, pending] {
            for aws in [aws.clone().keys(&["OLD"]), aws.keys(&["OLD", "TOLD"]).inactive("TOLD")] {
                for (ses, words) in [(Login::Accepted, "SES accepts it"), (no_answer.clone(), "(try later)")] {
                    let error = take_step_in_with(&aws, ses).await.unwrap_err();
                    assert_eq!(error.kind(), RefusalKind::KeyStateUnclear);
                    assert!(
                        error.to_string().contains("access key TOLD") && error.to_string().contains(words),
                        "{error}"
                    );
                    assert_eq!(aws.changes(), [""; 0]);
                }
            }
        }
    }

    #[tokio::test]
    async fn after_a_rollback_nothing_is_done() {
        let aws = FakeAws::new()
            .version("old", &[AWSCURRENT], "OLD")
            .version("bad", &[DEPLOYING, AWSPREVIOUS], "BAD")
            .empty_version("new", &[AWSPENDING])
            .keys(&["OLD", "BAD"]);
        assert_eq!(take_step_in(&aws).await.unwrap_err().kind(), RefusalKind::RolledBack);
        assert_eq!(aws.calls(), ["ListAccessKeys", "GetSecretValue", "GetSecretValue"]);
    }

    #[tokio::test]
    async fn after_a_rollback_a_deleted_key_allows_a_new_one_and_an_inactive_key_does_not() {
        let aws = || {
            FakeAws::new()
                .version("old", &[AWSCURRENT], "OLD")
                .version("bad", &[DEPLOYING, AWSPREVIOUS], "BAD")
                .empty_version("new", &[AWSPENDING])
        };
        let deleted = aws().keys(&["OLD"]);
        take_step_in(&deleted).await.unwrap();
        assert_eq!(deleted.active_keys(), ["OLD", "NEW"]);
        assert_eq!(deleted.labels("new"), [AWSPENDING, DEPLOYING]);
        let inactive = aws().keys(&["OLD", "BAD"]).inactive("BAD");
        assert_eq!(take_step_in(&inactive).await.unwrap_err().kind(), RefusalKind::RolledBack);
    }

    #[tokio::test]
    async fn an_edit_of_another_field_by_hand_is_no_rollback() {
        let aws = FakeAws::new()
            .version("edited", &[AWSCURRENT], "KEY")
            .version("told", &[DEPLOYING, TOLD, AWSPREVIOUS], "KEY")
            .empty_version("new", &[AWSPENDING])
            .keys(&["KEY"])
            .made_later("edited", 60);
        take_step_in(&aws).await.unwrap();
        assert_eq!(aws.value("new").access_key_id, "NEW");
        assert_eq!(aws.active_keys(), ["KEY", "NEW"]);
    }

    /// A rotation to TOLD did not finish, and then somebody stored `key` by hand.
    fn put_by_hand(key: &str) -> FakeAws {
        FakeAws::new()
            .version("put", &[AWSCURRENT], key)
            .version("told", &[DEPLOYING], "TOLD")
            .empty_version("new", &[AWSPENDING])
            .keys(&[key, "TOLD"])
            .made_later("TOLD", 60)
            .made_later("told", 61)
            .made_later("put", 90)
    }

    #[tokio::test]
    async fn a_newer_credential_that_was_put_by_hand_is_not_rolled_over() {
        for aws in [put_by_hand("HAND").made_later("HAND", 89), put_by_hand("HAND").keys(&["TOLD"])] {
            assert_eq!(take_step_in(&aws).await.unwrap_err().kind(), RefusalKind::CurrentIsNewer);
            assert_eq!(aws.calls(), ["ListAccessKeys", "GetSecretValue", "GetSecretValue"]);
            assert_eq!(aws.labels("told"), [DEPLOYING]);
        }
    }

    #[tokio::test]
    async fn after_a_newer_credential_a_deleted_key_is_in_nobodys_way() {
        let aws = put_by_hand("HAND").made_later("HAND", 89).keys(&["HAND"]);
        take_step_in(&aws).await.unwrap();
        assert_eq!(aws.active_keys(), ["HAND", "NEW"]);
    }

    #[tokio::test]
    async fn an_edit_of_the_credential_before_does_not_stop_the_rolling_forward() {
        let aws = put_by_hand("OLD");
        take_step_in(&aws).await.unwrap();
        assert_eq!(aws.value("new").access_key_id, "TOLD");
    }

    #[test]
    fn an_inactive_key_that_hosts_may_use_is_warned_of() {
        for (inactive, label) in [("OLD", AWSCURRENT), ("TOLD", DEPLOYING)] {
            let aws = put_by_hand("OLD").inactive(inactive);
            let lines = crate::log::tests::lines(None, || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                drop(runtime.block_on(take_step_in(&aws)));
            });
            let warnings: Vec<_> = lines.iter().filter(|line| line["level"] == "WARN").collect();
            assert_eq!(warnings.len(), 1, "{lines:?}");
            assert_eq!(warnings[0]["key"], inactive);
            assert!(warnings[0]["message"].as_str().unwrap().contains(label), "{warnings:?}");
        }
    }

    #[tokio::test]
    async fn an_address_that_makes_no_mail_is_found_before_anything_is_asked() {
        let aws = begun(&["OLD"]).sender("nobody");
        let error = aws.rotate(async |rotation, secret| run(rotation, secret).await).await.unwrap_err();
        assert_eq!(error.kind(), RefusalKind::TestMailMalformed);
        assert_eq!(aws.calls(), [""; 0]);
    }

    #[tokio::test]
    async fn labels_that_leave_no_room_for_a_rotations_own_are_refused_before_a_key_is_made() {
        // What `begun` has, and what a rotation adds, are seven labels.
        let with =
            |count: usize| (0..count).fold(begun(&["OLD"]), |aws, one| aws.label("old", &format!("theirs-{one}")));
        let aws = with(14);
        let error = aws.rotate(async |rotation, secret| run(rotation, secret).await).await.unwrap_err();
        assert_eq!(error.kind(), RefusalKind::TooManyLabels);
        let text = error.to_string();
        assert!(text.contains("AWS allows 20 in all") && text.contains("--version-stage theirs-0"), "{text}");
        assert_eq!(aws.calls(), [""; 0]);
        with(13).rotate(async |_, secret| secret.check_number_of_labels()).await.unwrap();
    }

    #[tokio::test]
    async fn a_value_without_room_for_a_credential_is_refused_before_a_key_is_made() {
        let with = |length: usize| begun(&["OLD"]).field("old", "certificate", &"x".repeat(length));
        let aws = with(65_400);
        let error = aws.rotate(async |rotation, secret| run(rotation, secret).await).await.unwrap_err();
        assert_eq!(error.kind(), RefusalKind::ValueTooLong);
        assert!(error.to_string().contains("certificate (65402 bytes)"), "{error}");
        assert_eq!(aws.active_keys(), ["OLD"]);
        let aws = with(65_000);
        take_step_in(&aws).await.unwrap();
        assert!(aws.value("new").to_json().len() <= contract::LONGEST_SECRET);
    }

    #[tokio::test]
    async fn a_refused_value_takes_its_key_with_it() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::Refused);
        let error = take_step_in(&aws).await.unwrap_err();
        assert_eq!(error.kind(), RefusalKind::StoreRefused);
        assert_eq!(aws.active_keys(), ["OLD"]);
        assert_eq!(aws.count("PutSecretValue"), 1);
    }

    #[tokio::test]
    async fn a_refusal_that_quotes_what_is_secret_is_passed_on_without_it() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::Refused);
        let text = take_step_in(&aws).await.unwrap_err().to_string();
        let password = password::smtp_password(&crate::sensitive::Sensitive::new("secret-of-NEW"), "eu-west-1");
        assert!(text.contains("[redacted]") && !text.contains(password.reveal()), "{text}");
        assert!(!text.contains(crate::fake_aws::ROTATION_TOKEN), "{text}");
    }

    #[tokio::test]
    async fn a_refusal_is_cut_only_after_what_is_secret_was_taken_out() {
        for note in (600..900).step_by(10) {
            let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::Refused);
            let stored = aws.rotate(async |rotation, secret| {
                let mut current = aws.current();
                current.value.other.insert("note".into(), &"-".repeat(note).into());
                take_step(rotation, secret, current).await
            });
            let text = stored.await.unwrap_err().to_string();
            assert!(!text.contains(&crate::fake_aws::ROTATION_TOKEN[..10]), "{note}: {text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_not_answered_in_time_names_its_key() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::Hangs);
        let step = aws.rotate(async |rotation, secret| {
            rotation.invocation.time.bound(take_step(rotation, secret, aws.current())).await
        });
        let error = Box::pin(step).await.unwrap_err();
        assert!(matches!(&error, Error::StoreUnclear { key, .. } if key == "NEW"), "{error}");
        assert_eq!(aws.active_keys(), ["OLD", "NEW"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_moved_while_the_key_was_made_costs_the_new_key() {
        for label in [AWSPENDING, DEPLOYING, AWSCURRENT] {
            let aws = begun(&["OLD"]).version("odd", &["odd"], "ODD");
            let aws = aws.fault("DescribeSecret", Fault::LabelMoved { to: "odd", label });
            assert_eq!(take_step_in(&aws).await.unwrap_err().kind(), RefusalKind::LabelsMoved, "{label}");
            assert_eq!((aws.active_keys(), aws.count("PutSecretValue")), (vec!["OLD".to_owned()], 0), "{label}");
        }
    }

    #[tokio::test]
    async fn a_stored_value_is_known_by_its_key() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::Overtaken { key: "NEW" });
        take_step_in(&aws).await.unwrap();
        assert_eq!(aws.active_keys(), ["OLD", "NEW"]);
    }

    #[tokio::test]
    async fn a_limit_that_another_invocation_reached_is_told_as_such() {
        let aws = begun(&["OLD"]).fault("CreateAccessKey", Fault::RefusedAs("LimitExceeded"));
        assert_eq!(take_step_in(&aws).await.unwrap_err().kind(), RefusalKind::KeyLimitReached);
        assert_eq!((aws.count("CreateAccessKey"), aws.count("PutSecretValue")), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_whose_answer_was_lost_is_read_back() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::AnswerLost);
        take_step_in(&aws).await.unwrap();
        assert_eq!((aws.count("PutSecretValue"), aws.count("CreateAccessKey")), (1, 1));
        assert_eq!(aws.active_keys(), ["OLD", "NEW"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_that_may_be_stored_yet_keeps_its_key() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::Down);
        assert_eq!(take_step_in(&aws).await.unwrap_err().kind(), RefusalKind::StoreUnclear);
        assert_eq!(aws.active_keys(), ["OLD", "NEW"]);
        assert_eq!(aws.count("CreateAccessKey"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_not_stored_after_another_rotation_has_begun() {
        let moved = Fault::LabelMoved { to: "old", label: AWSPENDING };
        let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::ThrottledOnce).fault_after(1, "DescribeSecret", moved);
        let error = take_step_in(&aws).await.unwrap_err();
        assert_eq!(error.kind(), RefusalKind::StoreRefused, "{error}");
        assert_eq!(aws.count("PutSecretValue"), 1);
        assert_eq!(aws.active_keys(), ["OLD"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_store_is_tried_again() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", Fault::ThrottledOnce);
        take_step_in(&aws).await.unwrap();
        assert_eq!(aws.count("PutSecretValue"), 2);
    }

    #[tokio::test]
    async fn a_token_that_stands_for_another_value_costs_the_new_key() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", OVERTAKEN);
        assert_eq!(take_step_in(&aws).await.unwrap_err().kind(), RefusalKind::TokenTaken);
        assert_eq!(aws.active_keys(), ["OLD"]);
        assert_eq!(aws.value("new").access_key_id, "OTHER");
    }

    #[tokio::test]
    async fn a_token_that_is_taken_is_told_even_if_the_new_key_stays() {
        let aws = begun(&["OLD"]).fault("PutSecretValue", OVERTAKEN).fault("DeleteAccessKey", Fault::Refused);
        let error = take_step_in(&aws).await.unwrap_err();
        assert_eq!(error.kind(), RefusalKind::TokenTaken);
        assert!(error.to_string().contains("access key NEW was not stored; the key could not be deleted"), "{error}");
    }

    #[tokio::test]
    async fn a_token_that_is_taken_while_rolling_forward_costs_no_key() {
        let aws = put_by_hand("OLD").fault("PutSecretValue", OVERTAKEN);
        let error = take_step_in(&aws).await.unwrap_err();
        assert_eq!(error.kind(), RefusalKind::TokenTaken);
        assert!(error.to_string().contains("no key was made or deleted"), "{error}");
        assert_eq!(aws.active_keys(), ["OLD", "TOLD"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_asked_for_twice() {
        for fault in [Fault::AnswerLost, Fault::Down] {
            let aws = begun(&["OLD"]).fault("CreateAccessKey", fault);
            assert_eq!(take_step_in(&aws).await.unwrap_err().kind(), RefusalKind::KeyCreationUnclear);
            assert_eq!((aws.count("CreateAccessKey"), aws.count("PutSecretValue")), (1, 0));
        }
    }

    #[tokio::test]
    async fn without_the_time_to_store_it_no_key_is_made() {
        let aws = begun(&["OLD"]).seconds(30);
        assert_eq!(take_step_in(&aws).await.unwrap_err().kind(), RefusalKind::NotEnoughTime);
        assert_eq!(aws.count("CreateAccessKey"), 0);
    }

    fn with_a_previous_key() -> FakeAws {
        begun(&["OLD", "OLDER"]).version("older", &[AWSPREVIOUS], "OLDER")
    }

    #[tokio::test]
    async fn with_two_keys_one_is_deactivated_looked_at_again_and_deleted_first() {
        let aws = with_a_previous_key();
        take_step_in(&aws).await.unwrap();
        let changes: Vec<_> =
            aws.calls().into_iter().filter(|call| !call.starts_with("Get") && call != "ListAccessKeys").collect();
        let order = [
            "UpdateAccessKey",
            "DescribeSecret",
            "DescribeSecret",
            "DeleteAccessKey",
            "CreateAccessKey",
            "DescribeSecret",
            "PutSecretValue",
        ];
        assert_eq!(changes, order);
        assert_eq!(aws.active_keys(), ["OLD", "NEW"]);
    }

    #[tokio::test]
    async fn a_key_that_a_label_protects_meanwhile_is_active_again() {
        let aws = with_a_previous_key().fault("UpdateAccessKey", Fault::LabelMoved { to: "older", label: AWSCURRENT });
        assert_eq!(take_step_in(&aws).await.unwrap_err().kind(), RefusalKind::LabelsMoved);
        assert_eq!(aws.active_keys(), ["OLD", "OLDER"]);
        assert_eq!((aws.count("DeleteAccessKey"), aws.count("CreateAccessKey")), (0, 0));
    }

    #[tokio::test]
    async fn a_label_that_moves_while_the_values_are_read_again_makes_the_key_active_again() {
        let moved = Fault::LabelMoved { to: "older", label: AWSCURRENT };
        let aws = with_a_previous_key().fault_after(1, "DescribeSecret", moved);
        assert_eq!(take_step_in(&aws).await.unwrap_err().kind(), RefusalKind::LabelsMoved);
        assert_eq!(aws.active_keys(), ["OLD", "OLDER"]);
        assert_eq!(aws.count("DeleteAccessKey"), 0);
    }

    #[tokio::test]
    async fn a_key_that_became_the_only_active_one_is_active_again() {
        let aws = with_a_previous_key().fault("UpdateAccessKey", Fault::KeyDeactivated("OLD"));
        let error = take_step_in(&aws).await.unwrap_err();
        assert!(error.to_string().contains("only Active key"), "{error}");
        assert_eq!(aws.active_keys(), ["OLDER"]);
        assert_eq!(aws.count("DeleteAccessKey"), 0);
    }

    #[tokio::test]
    async fn a_key_that_was_used_meanwhile_is_active_again() {
        let aws = with_a_previous_key().fault("UpdateAccessKey", Fault::KeyUsed("OLDER"));
        let error = take_step_in(&aws).await.unwrap_err();
        assert!(error.kind() == RefusalKind::LabelsMoved && error.to_string().contains("it was used at"), "{error}");
        assert_eq!(aws.active_keys(), ["OLD", "OLDER"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_active_again_if_aws_does_not_answer_any_more() {
        for (action, fault) in
            [("DescribeSecret", Fault::Hangs), ("DescribeSecret", Fault::Down), ("UpdateAccessKey", Fault::AnswerLost)]
        {
            let aws = with_a_previous_key().fault(action, fault);
            take_step_in(&aws).await.unwrap_err();
            assert_eq!(aws.active_keys(), ["OLD", "OLDER"], "{action}");
            assert_eq!(aws.count("DeleteAccessKey"), 0);
        }
    }

    #[tokio::test]
    async fn a_refused_deactivation_is_told_as_such_and_nothing_follows_it() {
        let aws = with_a_previous_key().fault("UpdateAccessKey", Fault::RefusedAs("AccessDenied"));
        let error = take_step_in(&aws).await.unwrap_err();
        assert!(error.to_string().starts_with("iam:UpdateAccessKey failed: AccessDenied"), "{error}");
        assert_eq!((aws.changes(), aws.active_keys().len()), (vec!["UpdateAccessKey".to_owned()], 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_whose_deletion_fails_stays_inactive_and_the_error_says_so() {
        for (fault, state) in
            [(Fault::RefusedAs("AccessDenied"), "is Inactive:"), (Fault::Down, "is Inactive, or deleted:")]
        {
            let aws = with_a_previous_key().fault("DeleteAccessKey", fault);
            let error = take_step_in(&aws).await.unwrap_err();
            assert!(error.kind() == RefusalKind::Aws && error.to_string().contains(state), "{error}");
            assert_eq!((aws.active_keys(), aws.count("CreateAccessKey")), (vec!["OLD".to_owned()], 0));
        }
    }

    #[tokio::test]
    async fn an_inactive_key_is_deleted_as_it_is() {
        let aws = with_a_previous_key().inactive("OLDER");
        take_step_in(&aws).await.unwrap();
        assert_eq!((aws.count("UpdateAccessKey"), aws.active_keys()), (0, vec!["OLD".to_owned(), "NEW".to_owned()]));
    }

    #[tokio::test]
    async fn an_inactive_key_that_another_invocation_makes_active_again_is_freed_as_an_active_one() {
        let activated =
            || with_a_previous_key().inactive("OLDER").fault("DescribeSecret", Fault::KeyActivatedOnce("OLDER"));
        let aws = activated();
        take_step_in(&aws).await.unwrap();
        assert_eq!(aws.changes(), ["UpdateAccessKey", "DeleteAccessKey", "CreateAccessKey", "PutSecretValue"]);
        let aws = activated().fault("UpdateAccessKey", Fault::LabelMoved { to: "older", label: AWSCURRENT });
        assert_eq!(take_step_in(&aws).await.unwrap_err().kind(), RefusalKind::LabelsMoved);
        assert_eq!((aws.active_keys().len(), aws.count("DeleteAccessKey")), (2, 0));
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_made_active_again_is_told_with_the_command_that_does() {
        let aws = with_a_previous_key()
            .fault("DescribeSecret", Fault::LabelMoved { to: "older", label: AWSCURRENT })
            .fault_after(1, "UpdateAccessKey", Fault::Refused);
        let error = take_step_in(&aws).await.unwrap_err();
        assert_eq!(error.kind(), RefusalKind::KeyLeftInactive);
        let command = "`aws iam update-access-key --user-name mail --access-key-id OLDER --status Active`";
        assert!(error.to_string().contains(command), "{error}");
    }

    #[tokio::test]
    async fn without_the_time_to_bring_it_back_no_key_is_deactivated() {
        let aws = with_a_previous_key().seconds(55);
        assert_eq!(take_step_in(&aws).await.unwrap_err().kind(), RefusalKind::NotEnoughTime);
        assert_eq!(aws.count("UpdateAccessKey"), 0);
    }

    #[tokio::test]
    async fn with_two_keys_of_which_none_may_go_nothing_is_changed() {
        let aws = begun(&["OLD", "FOREIGN"]).used("FOREIGN");
        let error = take_step_in(&aws).await.unwrap_err();
        assert_eq!(error.kind(), RefusalKind::NoSafeSlot);
        assert!(error.to_string().contains("OLD (Active") && error.to_string().contains("FOREIGN (Active"), "{error}");
        assert_eq!(aws.active_keys(), ["OLD", "FOREIGN"]);
        assert_eq!(aws.count("UpdateAccessKey"), 0);
    }
}
