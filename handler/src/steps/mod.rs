//! The four steps of a rotation.

pub(crate) mod create_secret;
pub(crate) mod finish_secret;
mod set_secret;
mod test_secret;

use tracing::info;

use crate::{
    error::Error,
    event::Step,
    guard::{Standing, guard},
    invocation::{Invocation, Rotation},
    services::secret,
};

/// Takes one step.
pub(crate) async fn run(rotation: Rotation<'_>) -> Result<(), Error> {
    let Rotation { invocation: Invocation { clients, settings, .. }, request } = rotation;
    if !settings.is_our_secret(&request.secret_arn) {
        return Err(Error::WrongSecret {
            found: request.secret_arn.clone(),
            expected: settings.secret_arn_prefix.clone(),
        });
    }
    let secret = secret::describe(clients, &request.secret_arn).await?;
    if guard(request, &secret)? == Standing::Done {
        info!("the version is AWSCURRENT already, nothing to do");
        if request.step == Step::Finish {
            finish_secret::mark_done(&rotation.invocation, &secret, &request.token).await;
        }
        return Ok(());
    }
    match request.step {
        Step::Create => create_secret::run(&rotation, &secret).await,
        Step::Set => set_secret::run(&rotation, &secret).await,
        Step::Test => test_secret::run(&rotation, &secret).await,
        Step::Finish => finish_secret::run(&rotation, &secret).await,
    }
}

#[cfg(test)]
mod tests {
    use contract::{AWSCURRENT, AWSPENDING, DEPLOYING, DONE, RefusalKind, TOLD};

    use super::*;
    use crate::{event::Request, fake_aws::FakeAws, services::secret::Secret};

    fn tested() -> FakeAws {
        FakeAws::new().version("old", &[AWSCURRENT], "OLD").version("new", &[AWSPENDING, DEPLOYING, TOLD], "NEW")
    }

    #[tokio::test]
    async fn a_step_of_a_pending_version_is_taken() {
        let aws = tested();
        aws.take(Step::Finish, async |rotation, _| run(*rotation).await).await.unwrap();
        assert_eq!(aws.calls(), ["DescribeSecret", "UpdateSecretVersionStage", "UpdateSecretVersionStage"]);
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

    #[tokio::test]
    async fn whoever_skips_setsecret_moves_nothing() {
        let aws = tested().version("new", &[AWSPENDING, DEPLOYING], "NEW");
        let error = aws.take(Step::Finish, async |rotation, _| run(*rotation).await).await.unwrap_err();
        assert_eq!((error.kind(), aws.changes()), (RefusalKind::HostsNotTold, vec![]));
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
