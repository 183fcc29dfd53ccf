//! The event `leaked`: delete a key now.

use contract::Retired;
use tracing::warn;

use crate::{
    decide::{
        keys::Consent,
        settled::{Held, decide},
    },
    error::Error,
    events::retire,
    invocation::Invocation,
    services::{
        secret::{self, Secret},
        topic, user,
    },
    situation::{self, with_last_use},
    slot::{Freed, Goal},
};

/// Deletes a key that leaked.
pub(crate) async fn run(invocation: &Invocation<'_>, key: &str) -> Result<Retired, Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let secret = secret::find(clients, settings).await?;
    user::check(clients, settings).await?;
    delete(invocation, &secret, key).await
}

/// What hosts may be using stays, and so does every key while it is not certain what they use.
async fn delete(invocation: &Invocation<'_>, secret: &Secret, id: &str) -> Result<Retired, Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let user = settings.iam_user_name();
    let keys = with_last_use(invocation, user::keys(clients, settings).await?).await?;
    let situation = situation::read(invocation, secret, keys).await?;
    let Some(key) = situation.keys.iter().find(|key| key.key.id == id) else {
        return Ok(Retired { kept: vec![retire::no_such_key(user, id)], ..Retired::default() });
    };
    decide(&situation, key, Consent::Leaked).map_err(|held| match held {
        Held::Unsettled(found) => Error::Unsettled { key: id.to_owned(), secret: secret.arn.clone(), found },
        Held::Key(key) => Error::LeakedInUse { key: Box::new(key) },
    })?;
    warn!(key = id, "deleting an access key that leaked, as requested: a host that still uses it cannot send");
    match retire::remove(invocation, secret, key, Goal::Deleted, Consent::Leaked).await? {
        Freed::Done => {
            topic::deleted_as_leaked(invocation, id).await;
            Ok(Retired { deleted: vec![id.to_owned()], ..Retired::default() })
        }
        Freed::GoneAlready => Ok(Retired { deleted: vec![id.to_owned()], ..Retired::default() }),
        Freed::Kept(reason) => Err(Error::LabelsMoved { key: id.to_owned(), reason }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, DEPLOYING, RefusalKind, TOLD};

    use super::*;
    use crate::fake_aws::{FakeAws, Fault, LONG_AGO};

    const CENTURY: Duration = Duration::from_hours(24 * 36_500);

    fn just_rotated() -> FakeAws {
        FakeAws::new()
            .version("new", &[AWSCURRENT, DEPLOYING, TOLD], "NEW")
            .version("old", &[AWSPREVIOUS], "OLD")
            .empty_version("next", &["custom"])
            .keys(&["NEW", "OLD"])
            .used_at("OLD", LONG_AGO + 60)
            .keep_previous(CENTURY)
    }

    async fn delete_in(aws: &FakeAws, key: &str) -> Result<Retired, Error> {
        aws.ask(async |invocation| run(invocation, key).await).await
    }

    async fn refused(aws: &FakeAws, key: &str) -> Error {
        let error = delete_in(aws, key).await.unwrap_err();
        assert_eq!(aws.changes(), [""; 0], "{error}");
        error
    }

    #[tokio::test]
    async fn a_key_goes_although_its_grace_runs_and_it_is_used() {
        let aws = just_rotated();
        assert_eq!(
            delete_in(&aws, "OLD").await.unwrap(),
            Retired { deleted: vec!["OLD".into()], ..Retired::default() }
        );
        assert_eq!(aws.changes(), ["UpdateAccessKey", "DeleteAccessKey"]);
        assert_eq!(aws.active_keys(), ["NEW"]);
    }

    #[tokio::test]
    async fn the_topic_is_told_since_it_was_told_that_the_key_stays() {
        let aws = just_rotated().topic();
        assert_eq!(delete_in(&aws, "OLD").await.unwrap().deleted, ["OLD"]);
        let [(subject, message)] = aws.published().try_into().unwrap();
        assert!(subject.contains("leaked%20was%20deleted") && message.contains("OLD"), "{subject}: {message}");
        // Its failure is none of the deletion.
        let aws = just_rotated().topic().fault("Publish", Fault::RefusedAs("AuthorizationError"));
        assert_eq!(delete_in(&aws, "OLD").await.unwrap().deleted, ["OLD"]);
    }

    #[tokio::test]
    async fn a_key_that_is_gone_is_no_error() {
        let answer = delete_in(&just_rotated(), "GONE").await.unwrap();
        assert!(answer.deleted.is_empty() && answer.kept[0].contains("no access key GONE"), "{answer:?}");
    }

    #[tokio::test]
    async fn what_a_label_protects_stays_and_the_error_says_to_rotate_first() {
        let error = refused(&just_rotated(), "NEW").await;
        assert_eq!(error.kind(), RefusalKind::LeakedInUse);
        let command = "`deployer rotate --leaked NEW` replaces it";
        assert!(error.to_string().contains("AWSCURRENT names it") && error.to_string().contains(command), "{error}");
    }

    #[tokio::test]
    async fn a_key_goes_that_no_version_names() {
        let aws = just_rotated().keys(&["NEW", "FOREIGN"]).used("FOREIGN");
        assert_eq!(delete_in(&aws, "FOREIGN").await.unwrap().deleted, ["FOREIGN"]);
    }

    #[tokio::test]
    async fn the_only_active_key_stays() {
        let aws = just_rotated().version("new", &[AWSCURRENT, DEPLOYING, TOLD], "OTHER").keys(&["OLD"]);
        assert_eq!(refused(&aws, "OLD").await.kind(), RefusalKind::CurrentKeyNotActive);
    }

    #[tokio::test]
    async fn during_a_rotation_no_key_goes() {
        let error = refused(&just_rotated().empty_version("next", &[AWSPENDING]), "OLD").await;
        assert_eq!(error.kind(), RefusalKind::RotationOpen);
        let command = "--version-stage AWSPENDING --remove-from-version-id next`";
        assert!(error.to_string().contains(command) && error.to_string().contains("OLD was not deleted"), "{error}");
    }

    #[tokio::test]
    async fn if_hosts_may_not_be_on_a_current_key_that_works_no_key_goes() {
        let crossed = just_rotated().version("new", &[AWSCURRENT], "NEW").version("told", &[DEPLOYING], "TOLD");
        assert_eq!(refused(&crossed, "OLD").await.kind(), RefusalKind::HostsNotOnCurrent);
        assert_eq!(refused(&just_rotated().inactive("NEW"), "OLD").await.kind(), RefusalKind::CurrentKeyNotActive);
    }

    #[tokio::test]
    async fn a_label_that_moves_meanwhile_brings_the_key_back() {
        for (to, label) in [("next", AWSPENDING), ("old", AWSCURRENT), ("old", DEPLOYING)] {
            let aws = just_rotated().fault("UpdateAccessKey", Fault::LabelMoved { to, label });
            assert_eq!(delete_in(&aws, "OLD").await.unwrap_err().kind(), RefusalKind::LabelsMoved, "{label}");
            assert_eq!((aws.active_keys().len(), aws.count("DeleteAccessKey")), (2, 0), "{label}");
        }
    }

    #[tokio::test]
    async fn no_key_goes_of_a_user_that_serves_another_secret() {
        let error = refused(&just_rotated().user_serves("eu-west-1/other"), "OLD").await;
        assert_eq!(error.kind(), RefusalKind::UserServesAnother);
    }
}
