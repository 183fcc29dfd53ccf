//! A part of `upkeep`: sets the labels that the function of an older version did not know, or whose call was lost.

use contract::{AWSCURRENT, AWSPENDING, DEPLOYING, SecretValue, TOLD};
use tracing::info;

use crate::{
    error::Error,
    invocation::Invocation,
    services::{
        consumer::{self, News},
        secret::{self, Secret},
        smtp::Credential,
        topic,
    },
    since,
    steps::{done, told::mark_told},
};

/// Sets DONE and TOLD where they are missing and it is certain where they belong. If a host does not confirm, the topic is told:
/// no old key is deleted until every host has confirmed.
pub(crate) async fn complete(invocation: &Invocation<'_>, secret: &Secret) -> Result<(), Error> {
    let Some(current) = secret.version_labelled(AWSCURRENT) else { return Ok(()) };
    done::mark_rolled_back(invocation, secret).await;
    done::mark_rolled_back_by_key(invocation, secret).await?;
    if !secret.rotation_enabled {
        return Ok(());
    }
    // An operator who moves AWSCURRENT back leaves AWSPENDING behind, which looks like an open rotation.
    since::label_if_moved(invocation, secret).await;
    if secret.open_rotation().is_some() {
        return Ok(());
    }
    done::mark_done(invocation, secret, current).await;
    if secret.version_labelled(TOLD).is_some() {
        return Ok(());
    }
    let Some(value) = told_by_a_rotation(invocation, secret, current).await? else { return Ok(()) };
    let confirmed = confirm(invocation, secret, current, &value).await;
    if let Err(error) = &confirmed {
        topic::publish(invocation, "the hosts have not confirmed their credential", &error.to_string()).await?;
    }
    confirmed
}

/// AWSCURRENT's value, if a rotation has told the hosts of it: DEPLOYING names the same key.
async fn told_by_a_rotation(
    invocation: &Invocation<'_>,
    secret: &Secret,
    current: &str,
) -> Result<Option<SecretValue>, Error> {
    let Some(deploying) = secret.version_labelled(DEPLOYING) else { return Ok(None) };
    let (Some(current), Some(deploying)) = (
        secret::read(invocation.clients, secret, current).await?,
        secret::read(invocation.clients, secret, deploying).await?,
    ) else {
        return Ok(None);
    };
    let is_it = !current.value.is_placeholder() && current.value.access_key_id == deploying.value.access_key_id;
    Ok(is_it.then_some(current.value))
}

/// Asks every host to confirm AWSCURRENT, which a host that has it already does without a change.
async fn confirm(
    invocation: &Invocation<'_>,
    secret: &Secret,
    current: &str,
    value: &SecretValue,
) -> Result<(), Error> {
    let Invocation { clients, settings, time } = *invocation;
    if let Some(consumer) = &settings.consumer {
        time.require(consumer.time_needed(), "to ask the hosts which credential they have")?;
        let credential = Credential::of(value);
        let news = News { secret_arn: &secret.arn, version: current, stage: AWSCURRENT, credential: &credential };
        consumer::tell(invocation, consumer, &news).await?;
    }
    let now = secret::describe(clients, settings, &secret.arn).await?;
    if now.version_labelled(AWSCURRENT) != Some(current) || now.open_rotation().is_some() {
        info!("{AWSCURRENT} or {AWSPENDING} was moved meanwhile, so {TOLD} is left to the rotation");
        return Ok(());
    }
    mark_told(invocation, &now, current).await?;
    info!(version = current, "every host has confirmed the credential in use, so its version is labelled {TOLD}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use contract::{AWSPREVIOUS, DONE, RefusalKind};

    use super::*;
    use crate::fake_aws::{FakeAws, Fault};

    /// As the function left it before it knew TOLD.
    fn before_told() -> FakeAws {
        FakeAws::new()
            .version("new", &[AWSCURRENT, DEPLOYING], "NEW")
            .version("old", &[AWSPREVIOUS], "OLD")
            .empty_version("next", &["custom"])
            .keys(&["NEW", "OLD"])
            .host()
    }

    async fn complete_in(aws: &FakeAws) -> Result<(), Error> {
        aws.ask(async |invocation| {
            let secret = secret::find(invocation.clients, invocation.settings).await?;
            complete(invocation, &secret).await
        })
        .await
    }

    #[tokio::test]
    async fn what_the_hosts_confirm_is_labelled_and_nothing_else_changes() {
        let aws = before_told();
        complete_in(&aws).await.unwrap();
        assert_eq!(aws.labels("new"), [AWSCURRENT, DEPLOYING, DONE, &aws.hosts_label(), TOLD]);
        let label = "UpdateSecretVersionStage";
        assert_eq!(aws.changes(), [label, "SendCommand", label, label]);
        complete_in(&aws).await.unwrap();
        assert_eq!(aws.count("SendCommand"), 1, "that is asked once");
    }

    /// A host that was added may have an older credential: TOLD does not count before it has confirmed the one in use.
    #[tokio::test]
    async fn hosts_that_were_added_are_asked_and_told_counts_for_them_then() {
        let others = "HOSTS/abcd";
        let aws = before_told().version("new", &[AWSCURRENT, DEPLOYING, DONE, others, TOLD], "NEW");
        complete_in(&aws).await.unwrap();
        assert_eq!(aws.count("SendCommand"), 1);
        assert_eq!(aws.labels("new"), [AWSCURRENT, DEPLOYING, DONE, TOLD, &aws.hosts_label()]);
        complete_in(&aws).await.unwrap();
        assert_eq!(aws.count("SendCommand"), 1, "that is asked once");

        let aws = before_told().version("new", &[AWSCURRENT, DEPLOYING, DONE, others, TOLD], "NEW");
        let aws = aws.fault("SendCommand", Fault::RefusedAs("InvalidInstanceId"));
        complete_in(&aws).await.unwrap_err();
        assert!(aws.labels("new").contains(&others.to_owned()), "{:?}", aws.labels("new"));
    }

    #[tokio::test]
    async fn hosts_that_do_not_confirm_are_told_to_the_topic() {
        let aws = before_told().topic().fault("SendCommand", Fault::RefusedAs("InvalidInstanceId"));
        assert_eq!(complete_in(&aws).await.unwrap_err().kind(), RefusalKind::Aws);
        let [(subject, message)] = aws.published().try_into().unwrap();
        assert!(subject.contains("confirmed") && message.contains("InvalidInstanceId"), "{subject} {message}");
        assert_eq!(aws.labels("new"), [AWSCURRENT, DEPLOYING, DONE]);
    }

    #[tokio::test]
    async fn where_it_is_not_certain_what_belongs_to_whom_nothing_is_labelled_told() {
        let placeholder = before_told().empty_version("new", &[AWSCURRENT, DEPLOYING]);
        let crossed = before_told().version("new", &[AWSCURRENT], "NEW").version("told", &[DEPLOYING], "TOLD");
        let by_hand = before_told().version("new", &[AWSCURRENT], "NEW");
        let open = before_told().empty_version("next", &[AWSPENDING]);
        let told = before_told().version("old", &[AWSPREVIOUS, TOLD], "OLD").confirmed();
        for aws in [placeholder, crossed, by_hand, open, told] {
            complete_in(&aws).await.unwrap();
            assert_eq!(aws.count("SendCommand"), 0);
            assert!(!aws.labels("new").contains(&TOLD.to_owned()));
        }
    }

    #[tokio::test]
    async fn a_rollback_from_a_copy_of_what_the_hosts_were_told_is_marked() {
        let moved_back = |previous: &str| {
            FakeAws::new().version("old", &[AWSCURRENT, DONE], "OLD").version("new", &[DEPLOYING, TOLD], "NEW").version(
                "copy",
                &[AWSPREVIOUS],
                previous,
            )
        };
        for (previous, is_marked) in [("NEW", true), ("OTHER", false), ("OLD", false)] {
            let aws = moved_back(previous);
            complete_in(&aws).await.unwrap();
            assert_eq!(aws.labels("new").contains(&DONE.to_owned()), is_marked, "{previous}");
        }
    }

    #[tokio::test]
    async fn what_moves_while_the_hosts_are_asked_is_left_to_the_rotation() {
        for (to, label) in [("next", AWSPENDING), ("old", AWSCURRENT)] {
            let aws = before_told().fault("SendCommand", Fault::LabelMoved { to, label });
            drop(complete_in(&aws).await);
            assert!(!aws.labels("new").contains(&TOLD.to_owned()), "{label}");
        }
    }
}
