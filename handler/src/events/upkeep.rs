//! The event `upkeep`, once a day: tell the topic of what needs a person, complete our labels, and retire keys.

use std::time::SystemTime;

use contract::{AWSCURRENT, Command, Retired, is_quarantined};
use tracing::{error, warn};

use crate::{
    date::date,
    error::Error,
    events::{labels, passwords, retire},
    invocation::Invocation,
    services::{
        secret::{self, Secret},
        topic, user,
    },
    situation::{self, with_last_use},
    steps::completed,
};

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// Days since 1970 are counted, so that the event needs no memory.
const DAYS_BETWEEN_WARNINGS: u64 = 7;

/// Tells, completes the labels and retires. Each part is done even if another fails.
pub(crate) async fn run(invocation: &Invocation<'_>) -> Result<Retired, Error> {
    let mut secret = secret::find(invocation.clients, invocation.settings).await?;
    if completed::clear(invocation.clients, &secret).await?.is_some() {
        secret = secret::describe(invocation.clients, invocation.settings, &secret.arn).await?;
    }
    let before = [
        tell_if_quarantined(invocation).await,
        tell_if_overdue(invocation, &secret).await,
        tell_if_inactive(invocation, &secret).await,
        Box::pin(passwords::tell_if_wrong(invocation, &secret)).await,
        Box::pin(tell_of_late_use(invocation, &secret)).await,
        Box::pin(labels::complete(invocation, &secret)).await,
    ];
    let retired = retire::run(invocation, None).await;
    let mut failed: Vec<Error> = before.into_iter().filter_map(Result::err).collect();
    match retired {
        Ok(retired) => failed.pop().map_or(Ok(retired), Err),
        Err(not_retired) => {
            for error in failed {
                error!(error = error.kind().name(), "{error}");
            }
            Err(not_retired)
        }
    }
}

async fn tell_if_overdue(invocation: &Invocation<'_>, secret: &Secret) -> Result<(), Error> {
    let Some(overdue) = secret.overdue(invocation.time.began) else { return Ok(()) };
    warn!("{overdue}");
    topic::publish(invocation, "rotation overdue", &overdue.to_string()).await
}

/// AWS has found an access key of the user in public.
async fn tell_if_quarantined(invocation: &Invocation<'_>) -> Result<(), Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let Some(policy) = user::quarantine(clients, settings).await? else { return Ok(()) };
    let message = is_quarantined(settings.iam_user_name(), &policy).to_string();
    warn!(policy, "AWS has put the IAM user in quarantine");
    topic::publish(invocation, "an access key was found in public", &message).await
}

/// Somebody deactivated the key in use, or moved AWSCURRENT onto a key that was Inactive.
async fn tell_if_inactive(invocation: &Invocation<'_>, secret: &Secret) -> Result<(), Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let Some(version) = secret.version_labelled(AWSCURRENT) else { return Ok(()) };
    let Some(current) = secret::read(clients, secret, version).await? else { return Ok(()) };
    let key = &current.value.access_key_id;
    if !user::keys(clients, settings).await?.iter().any(|it| it.id == *key && !it.active) {
        return Ok(());
    }
    let message = format!(
        "Access key {key}, which {AWSCURRENT} names, is Inactive: a host that uses it cannot send.\n\nIf it leaked, leave it Inactive \
         and run `{}`. If that was an accident, run `{}`.\n",
        Command::deployer("rotate"),
        Command::activate_key(settings.iam_user_name(), key)
    );
    warn!(key, "the access key in use is Inactive");
    topic::publish(invocation, "the access key in use is Inactive", &message).await
}

/// A superseded key that was used after its grace stays until 45 days after that use (`LATE_USE_KEEPS`): a host that no rotation
/// reaches needs it, or a thief has it. Only a person can find out which, so the topic is told once a week.
async fn tell_of_late_use(invocation: &Invocation<'_>, secret: &Secret) -> Result<(), Error> {
    let Invocation { clients, settings, time } = *invocation;
    let days = time.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / SECONDS_PER_DAY;
    if !days.is_multiple_of(DAYS_BETWEEN_WARNINGS) {
        return Ok(());
    }
    let keys = with_last_use(invocation, user::keys(clients, settings).await?).await?;
    let situation = situation::read(invocation, secret, keys).await?;
    for key in situation.keys.iter().filter(|key| key.key.active) {
        let Some(used) = situation.late_use(key) else { continue };
        let (id, place) = (&key.key.id, user::last_place_of_use(clients, &key.key.id).await?);
        let message = format!(
            "Access key {id} of the IAM user {} was superseded, and its grace is over, but it was used at {} ({place}). It stays usable \
             while it is used.\n\nFind who uses it, and give them the current credential. If it leaked, run `{}`.\n",
            settings.iam_user_name(),
            date(used),
            Command::rotate_leaked(id)
        );
        warn!(key = id, "a superseded access key is used after its grace");
        topic::publish(invocation, "a superseded access key is still used", &message).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, DEPLOYING, DONE, RefusalKind, TOLD};

    use super::*;
    use crate::fake_aws::{FakeAws, Fault, LONG_AGO};

    const OVERDUE: i64 = LONG_AGO;
    const IN_A_CENTURY: i64 = LONG_AGO + 100 * 365 * 86_400;

    fn rotated(next_rotation: i64) -> FakeAws {
        FakeAws::new()
            .version("new", &[AWSCURRENT, DEPLOYING, TOLD], "NEW")
            .version("old", &[AWSPREVIOUS], "OLD")
            .keys(&["NEW", "OLD"])
            .next_rotation(next_rotation)
            .topic()
    }

    async fn upkeep_in(aws: &FakeAws) -> Result<Retired, Error> {
        aws.ask(async |invocation| run(invocation).await).await
    }

    #[tokio::test]
    async fn an_overdue_rotation_is_told_and_keys_retire() {
        let aws = rotated(OVERDUE);
        assert_eq!(upkeep_in(&aws).await.unwrap().deleted, ["OLD"]);
        let [(subject, message)] = aws.published().try_into().unwrap();
        assert!(subject.contains("overdue") && message.contains("never"), "{subject} {message}");
    }

    #[tokio::test]
    async fn a_key_in_use_that_is_inactive_is_told() {
        let aws = rotated(IN_A_CENTURY).inactive("NEW");
        upkeep_in(&aws).await.unwrap();
        let [(subject, message)] = aws.published().try_into().unwrap();
        assert!(subject.contains("Inactive") && message.contains("update-access-key"), "{subject} {message}");
    }

    #[tokio::test]
    async fn a_user_whom_aws_has_put_in_quarantine_is_told_every_day() {
        let aws = rotated(IN_A_CENTURY).quarantined();
        upkeep_in(&aws).await.unwrap();
        let [(subject, message)] = aws.published().try_into().unwrap();
        assert!(subject.contains("found%20in%20public"), "{subject}");
        assert!(message.contains("QuarantineV3") && message.contains("detach-user-policy"), "{message}");
    }

    #[tokio::test]
    async fn a_completed_rotation_that_an_edit_opened_again_is_closed_and_keys_retire() {
        let aws = rotated(IN_A_CENTURY)
            .version("new", &[AWSPENDING, AWSPREVIOUS, DEPLOYING, TOLD, DONE], "NEW")
            .version("old", &["custom"], "OLD")
            .version("edited", &[AWSCURRENT], "NEW");
        assert_eq!(upkeep_in(&aws).await.unwrap().deleted, ["OLD"]);
        assert!(!aws.labels("new").contains(&AWSPENDING.to_owned()));
    }

    #[tokio::test]
    async fn once_a_week_a_superseded_key_that_is_used_after_its_grace_is_told() {
        let mut told = vec![];
        for day in 0..14 {
            let aws = rotated(IN_A_CENTURY).used_before("OLD", 60);
            let upkeep = async |invocation: &Invocation<'_>| {
                let mut later = *invocation;
                later.time.began += Duration::from_secs(day * SECONDS_PER_DAY);
                run(&later).await
            };
            assert_eq!(aws.ask(upkeep).await.unwrap().deleted, [""; 0]);
            told.extend(aws.published());
        }
        let [(subject, message), _] = told.try_into().unwrap();
        assert!(subject.contains("still%20used") && message.contains("ses%20in%20eu-west-1"), "{subject} {message}");
        assert!(message.contains("deployer%20rotate%20--leaked%20OLD"), "{message}");
    }

    #[tokio::test]
    async fn if_none_is_overdue_or_there_is_no_topic_nobody_is_told() {
        for aws in [rotated(IN_A_CENTURY), rotated(OVERDUE).no_topic()] {
            assert_eq!(upkeep_in(&aws).await.unwrap().deleted, ["OLD"]);
            assert_eq!(aws.count("Publish"), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_cannot_be_told_is_an_error_and_keys_retire_all_the_same() {
        let aws = rotated(OVERDUE).fault("Publish", Fault::RefusedAs("AuthorizationError"));
        let error = upkeep_in(&aws).await.unwrap_err();
        assert!(error.to_string().starts_with("sns:Publish failed: AuthorizationError"), "{error}");
        assert_eq!(aws.active_keys(), ["NEW"]);
    }

    #[tokio::test]
    async fn a_retirement_that_fails_is_an_error_and_the_topic_is_told_all_the_same() {
        let aws = rotated(OVERDUE).user_serves("eu-west-1/other");
        assert_eq!(upkeep_in(&aws).await.unwrap_err().kind(), RefusalKind::UserServesAnother);
        assert_eq!(aws.count("Publish"), 1);
    }
}
