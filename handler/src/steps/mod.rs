//! The four steps of a rotation.

pub(crate) mod completed;
mod consistent;
pub(crate) mod create_secret;
pub(crate) mod done;
pub(crate) mod finish_secret;
mod preflight;
mod set_secret;
mod test_secret;
pub(crate) mod told;
mod usable;

use contract::{AWSCURRENT, Step};
use tracing::info;

use crate::{
    error::Error,
    guard::{Standing, guard},
    invocation::{Invocation, Rotation},
    services::secret::{self, Secret},
    since,
};

/// Checks that the step may run, and returns the labels; None if nothing is left to do. Also writes: it moves DONE to a version that
/// was rolled back or is current, notes since when AWSCURRENT is where it is, also for a step that may not run, and takes AWSPENDING off a completed rotation. An error here is not sent to the topic.
pub(crate) async fn admit(rotation: &Rotation<'_>) -> Result<Option<Secret>, Error> {
    let Rotation { invocation: Invocation { clients, settings, .. }, request } = *rotation;
    if !settings.is_our_secret(&request.secret_arn) {
        return Err(Error::WrongSecret {
            found: request.secret_arn.clone(),
            expected: settings.secret_arn_prefix.clone(),
        });
    }
    let (secret, standing) = match read_labels_and_standing(rotation).await {
        Ok(looked) => looked,
        Err(error @ Error::Aws { .. }) => return Err(error),
        Err(refused) => {
            let secret = secret::describe(clients, settings, &request.secret_arn).await?;
            // If rotation is off, only the daily upkeep changes labels.
            if secret.rotation_enabled {
                done::mark_rolled_back(&rotation.invocation, &secret).await;
                since::follow_current(&rotation.invocation, &secret).await;
            }
            if !matches!(refused, Error::RolledBack(_)) {
                return Err(refused);
            }
            let cleared = completed::clear(clients, &secret).await?;
            return Err(cleared.map_or(refused, |version| Error::WasComplete { version, is_closed: true }));
        }
    };
    done::mark_rolled_back(&rotation.invocation, &secret).await;
    since::follow_current(&rotation.invocation, &secret).await;
    if secret.has(&request.token, AWSCURRENT) {
        // DONE records that this version was AWSCURRENT. If somebody moves AWSCURRENT away later, the guard sees a rollback and
        // does not undo it.
        done::mark_done(&rotation.invocation, &secret, &request.token).await;
    }
    if standing == Standing::Done {
        info!("the version is AWSCURRENT already, nothing to do");
        return Ok(None);
    }
    Ok(Some(secret))
}

/// Takes a step that may be taken.
pub(crate) async fn take(rotation: &Rotation<'_>, secret: &Secret) -> Result<(), Error> {
    match rotation.request.step {
        Step::Create => create_secret::run(rotation, secret).await,
        Step::Set => set_secret::run(rotation, secret).await,
        Step::Test => test_secret::run(rotation, secret).await,
        Step::Finish => finish_secret::run(rotation, secret).await,
    }
}

/// The labels, and what is left to do.
async fn read_labels_and_standing(rotation: &Rotation<'_>) -> Result<(Secret, Standing), Error> {
    let Rotation { invocation: Invocation { clients, settings, time }, request } = *rotation;
    consistent::read(time, async || {
        let secret = secret::describe(clients, settings, &request.secret_arn).await?;
        let standing = guard(request, &secret)?;
        Ok((secret, standing))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::{AWSPENDING, AWSPREVIOUS, DEPLOYING, DONE, RefusalKind, TOLD};
    use tokio::time::Instant;

    use super::*;
    use crate::{
        event::Request,
        fake_aws::{FakeAws, Fault},
    };

    async fn run(rotation: Rotation<'_>) -> Result<(), Error> {
        match admit(&rotation).await? {
            Some(secret) => take(&rotation, &secret).await,
            None => Ok(()),
        }
    }

    fn tested() -> FakeAws {
        let aws = FakeAws::new().version("old", &[AWSCURRENT], "OLD");
        aws.version("new", &[AWSPENDING, DEPLOYING, TOLD], "NEW").keys(&["OLD", "NEW"]).host().confirmed()
    }

    #[tokio::test]
    async fn a_step_of_a_pending_version_is_taken() {
        let aws = tested();
        aws.take(Step::Finish, async |rotation, _| run(*rotation).await).await.unwrap();
        let calls = ["GetSecretValue", "ListAccessKeys", "UpdateSecretVersionStage", "UpdateSecretVersionStage"];
        assert_eq!(aws.calls(), [&["DescribeSecret"][..], &calls].concat());
        assert!(aws.labels("new").contains(&AWSCURRENT.to_owned()));
    }

    #[tokio::test]
    async fn of_a_version_that_is_current_nothing_but_the_mark_is_left_to_do() {
        let aws = FakeAws::new().version("new", &[AWSCURRENT, DEPLOYING], "NEW");
        for calls in [&["DescribeSecret", "UpdateSecretVersionStage"][..], &["DescribeSecret"]] {
            aws.take(Step::Finish, async |rotation, _| run(*rotation).await).await.unwrap();
            assert_eq!(aws.calls(), calls);
            assert_eq!(aws.labels("new"), [AWSCURRENT, DEPLOYING, DONE]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollback_that_a_step_has_seen_is_remembered_after_an_edit() {
        let seen = |pending: &[&str]| {
            FakeAws::new().version("old", &[AWSCURRENT], "OLD").version("new", pending, "NEW").keys(&["OLD", "NEW"])
        };
        for pending in [&[AWSPENDING, AWSPREVIOUS, DEPLOYING][..], &[AWSPREVIOUS, DEPLOYING]] {
            let aws = seen(pending);
            aws.take(Step::Create, async |rotation, _| run(*rotation).await).await.unwrap_err();
            assert!(aws.labels("new").contains(&DONE.to_owned()), "{:?}", aws.labels("new"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_is_refused_notes_where_awscurrent_was_moved() {
        let since = "SINCE/2023-01-01T00:00:00Z";
        let rolled_back = FakeAws::new()
            .version("old", &[AWSCURRENT], "OLD")
            .version("new", &[AWSPENDING, AWSPREVIOUS, DEPLOYING, DONE, since], "NEW")
            .keys(&["OLD", "NEW"]);
        let error = rolled_back.take(Step::Create, async |rotation, _| run(*rotation).await).await.unwrap_err();
        assert_eq!(error.kind(), RefusalKind::RolledBack);
        assert!(!rolled_back.labels("new").contains(&since.to_owned()), "{:?}", rolled_back.labels("new"));
        // Whoever reads AWSCURRENT has keep_previous from now on, though somebody moves it forward again before the next step.
        assert_eq!(rolled_back.labels("old").len(), 2, "{:?}", rolled_back.labels("old"));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_skips_setsecret_moves_nothing() {
        let aws = tested().version("new", &[AWSPENDING, DEPLOYING], "NEW");
        let began = Instant::now();
        let error = aws.take(Step::Finish, async |rotation, _| run(*rotation).await).await.unwrap_err();
        assert_eq!((error.kind(), aws.changes()), (RefusalKind::HostsNotTold, vec![]));
        let tried_for = began.elapsed();
        assert!(Duration::from_secs(20) <= tried_for && tried_for < Duration::from_secs(40), "{tried_for:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_label_that_the_step_before_has_set_may_not_be_there_yet() {
        let hosts = tested().hosts_label();
        let aws = tested().version("new", &[AWSPENDING, DEPLOYING, &hosts], "NEW").version("odd", &[TOLD], "ODD");
        let aws = aws.fault_after(2, "DescribeSecret", Fault::LabelMoved { to: "new", label: TOLD });
        aws.take(Step::Finish, async |rotation, _| run(*rotation).await).await.unwrap();
        assert!(aws.labels("new").contains(&AWSCURRENT.to_owned()));
    }

    #[tokio::test]
    async fn a_completed_rotation_that_an_edit_opened_again_is_closed() {
        let done = [AWSPENDING, AWSPREVIOUS, DEPLOYING, TOLD, DONE];
        let edited = |key| FakeAws::new().version("new", &done, "NEW").version("edited", &[AWSCURRENT], key);
        let aws = edited("NEW");
        let error = aws.take(Step::Create, async |rotation, _| run(*rotation).await).await.unwrap_err();
        assert_eq!(error.kind(), RefusalKind::WasComplete);
        assert_eq!(aws.labels("new"), done[1..]);
        let aws = edited("OTHER");
        let error = aws.take(Step::Create, async |rotation, _| run(*rotation).await).await.unwrap_err();
        assert_eq!((error.kind(), aws.changes()), (RefusalKind::RolledBack, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_that_the_step_before_has_stored_may_not_be_there_yet() {
        let aws = tested().empty_version("new", &[AWSPENDING, DEPLOYING]);
        let began = Instant::now();
        let error = aws.take(Step::Set, async |rotation, _| run(*rotation).await).await.unwrap_err();
        assert_eq!((error.kind(), aws.changes()), (RefusalKind::PendingEmpty, vec![]));
        assert!(aws.count("GetSecretValue") > 5 && began.elapsed() < Duration::from_secs(40));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_new_role_may_not_do_yet_is_tried_for_a_minute() {
        let denied = Fault::RefusedAs("AccessDeniedException");
        let aws = tested().fault("DescribeSecret", denied);
        let began = Instant::now();
        let error = aws.take(Step::Finish, async |rotation, _| run(*rotation).await).await.unwrap_err();
        assert!(error.to_string().starts_with("secretsmanager:DescribeSecret failed: AccessDenied"), "{error}");
        let tried_for = began.elapsed();
        assert!(Duration::from_mins(1) <= tried_for && tried_for < Duration::from_secs(90), "{tried_for:?}");
    }

    #[tokio::test]
    async fn another_secret_is_refused_before_any_call() {
        let aws = tested();
        let secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:other-AbCd12";
        let run = async |rotation: &Rotation<'_>, _: &Secret| {
            let request = Request { secret_arn: secret_arn.into(), ..rotation.request.clone() };
            run(Rotation { request: &request, ..*rotation }).await
        };
        assert_eq!(aws.take(Step::Finish, run).await.unwrap_err().kind(), RefusalKind::WrongSecret);
        assert_eq!(aws.calls(), [""; 0]);
    }
}
