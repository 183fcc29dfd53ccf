//! finishSecret: make the pending version AWSCURRENT.

use tracing::info;

use contract::AWSCURRENT;

use crate::{
    error::{Cause, Error},
    invocation::{Invocation, Rotation},
    services::{
        secret::{self, Secret},
        topic,
    },
};

/// Takes the step: one compare-and-swap. AWSPENDING is left where it is, because Secrets Manager
/// takes a separate removal for a rotation that was abandoned.
pub(crate) async fn run(rotation: &Rotation<'_>, secret: &Secret) -> Result<(), Error> {
    let Rotation { invocation: Invocation { clients, .. }, request } = *rotation;
    let previous = secret.version_labelled(AWSCURRENT);
    let answer = clients
        .secrets
        .update_secret_version_stage()
        .secret_id(&secret.arn)
        .version_stage(AWSCURRENT)
        .move_to_version_id(&request.token)
        .set_remove_from_version_id(previous.map(str::to_owned))
        .send()
        .await
        .map_err(Cause::from);
    if let Err(cause) = answer {
        // A lost answer and a lost race look alike from here: the labels tell them apart.
        let now = secret::describe(clients, &secret.arn).await?;
        let current = now.version_labelled(AWSCURRENT);
        if current == Some(request.token.as_str()) {
            info!("the version became AWSCURRENT although the answer says otherwise");
        } else if current == previous {
            return Err(Error::Aws { action: "secretsmanager:UpdateSecretVersionStage", cause });
        } else {
            return Err(Error::CurrentMoved {
                version: request.token.clone(),
                expected: previous.unwrap_or("no version").to_owned(),
                found: current.unwrap_or("no version").to_owned(),
            });
        }
    }
    info!(version = request.token, previous, "the new credential is AWSCURRENT");
    topic::rotated(rotation, secret).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::{AWSPENDING, AWSPREVIOUS, RefusalKind};

    use crate::fake_aws::{FakeAws, Fault};

    fn tested() -> FakeAws {
        FakeAws::new().version("old", &[AWSCURRENT], "OLD").version("new", &[AWSPENDING], "NEW").version(
            "odd",
            &["odd"],
            "ODD",
        )
    }

    async fn finish_in(aws: &FakeAws) -> Result<(), Error> {
        aws.rotate(async |rotation, secret| run(rotation, secret).await).await
    }

    #[tokio::test]
    async fn awscurrent_is_moved_by_one_call_which_leaves_awspending() {
        let aws = tested();
        finish_in(&aws).await.unwrap();
        assert_eq!(aws.calls(), ["UpdateSecretVersionStage"]);
        assert_eq!(aws.labels("new"), [AWSPENDING, AWSCURRENT]);
        assert_eq!(aws.labels("old"), [AWSPREVIOUS]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_move_whose_answer_was_lost_is_a_move() {
        let aws = tested().fault("UpdateSecretVersionStage", Fault::AnswerLost);
        finish_in(&aws).await.unwrap();
        assert_eq!(aws.labels("new"), [AWSPENDING, AWSCURRENT]);
    }

    #[tokio::test]
    async fn awscurrent_that_somebody_moved_meanwhile_stays_there() {
        let aws = tested().fault("UpdateSecretVersionStage", Fault::LabelMoved { to: "odd", label: AWSCURRENT });
        assert_eq!(finish_in(&aws).await.unwrap_err().kind(), RefusalKind::CurrentMoved);
        assert_eq!(aws.labels("new"), [AWSPENDING]);
    }

    #[tokio::test]
    async fn a_refused_move_is_told_with_awss_words() {
        let aws = tested().fault("UpdateSecretVersionStage", Fault::Refused);
        let error = finish_in(&aws).await.unwrap_err();
        assert!(error.to_string().starts_with("secretsmanager:UpdateSecretVersionStage failed: Refused: "), "{error}");
        assert_eq!(aws.labels("old"), [AWSCURRENT]);
    }
}
