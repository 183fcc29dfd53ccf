//! finishSecret: make the pending version AWSCURRENT.

use tracing::info;

use contract::{AWSCURRENT, Login};

use crate::{
    error::Error,
    invocation::{Invocation, Rotation},
    services::{
        secret::{self, Secret},
        smtp::{Credential, Smtp},
        topic, user,
    },
    since,
    steps::{
        consistent,
        done::{mark_done, was_moved_back},
        usable::check_pending,
    },
};

/// Takes the step: one compare-and-swap. AWSPENDING is left where it is, because Secrets Manager
/// takes a separate removal for a rotation that was abandoned.
///
/// Somebody may have made the key Inactive or deleted it after every host had confirmed it. A host that boots since then takes
/// AWSCURRENT's credential instead, so AWSCURRENT stays on what works.
///
/// Race: an operator who moves AWSCURRENT away and back between the look at the labels and this call is not noticed, because the
/// label is where it was. Whoever moves AWSCURRENT a moment later is: DONE says that this version was current.
pub(crate) async fn run(rotation: &Rotation<'_>, secret: &Secret) -> Result<(), Error> {
    let Invocation { clients, settings, .. } = rotation.invocation;
    let smtp = Smtp::new(&clients.ses, &settings.smtp_endpoint)?;
    finish(rotation, secret, async |credential: &Credential| smtp.ask(credential).await).await
}

async fn finish(
    rotation: &Rotation<'_>,
    secret: &Secret,
    ask_ses: impl AsyncFn(&Credential) -> Login,
) -> Result<(), Error> {
    let Rotation { invocation: Invocation { clients, settings, time }, request } = *rotation;
    let pending = consistent::read(time, async || secret::read_pending(rotation, secret).await).await?;
    if was_moved_back(clients, secret, &pending.access_key_id).await? {
        return Err(Error::RolledBack(secret.crossed_labels(&request.token)));
    }
    let check_key = async || {
        let keys = user::keys(clients, settings).await?;
        check_pending(settings, secret, &request.token, &pending, &keys, &ask_ses).await
    };
    consistent::read(time, check_key).await?;
    secret::move_label(clients, secret, AWSCURRENT, &request.token).await?;
    info!(version = request.token, previous = secret.version_labelled(AWSCURRENT), "the new credential is AWSCURRENT");
    mark_done(&rotation.invocation, secret, &request.token).await;
    since::label_current(&rotation.invocation, secret, &request.token, rotation.invocation.time.began).await;
    topic::rotated(rotation, secret).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::{AWSPENDING, AWSPREVIOUS, DEPLOYING, DONE, RefusalKind, TOLD};

    use crate::fake_aws::{FakeAws, Fault};

    fn tested() -> FakeAws {
        FakeAws::new()
            .version("old", &[AWSCURRENT, DONE], "OLD")
            .version("new", &[AWSPENDING, DEPLOYING, TOLD], "NEW")
            .version("odd", &["odd"], "ODD")
            .keys(&["OLD", "NEW"])
            .host()
    }

    async fn finish_in(aws: &FakeAws) -> Result<(), Error> {
        finish_in_with(aws, Login::Refused("535".into())).await
    }

    /// SES is asked only of keys that IAM says cannot be used.
    async fn finish_in_with(aws: &FakeAws, ses: Login) -> Result<(), Error> {
        let ask_ses = async |_: &Credential| ses.clone();
        aws.rotate(async |rotation, secret| finish(rotation, secret, ask_ses).await).await
    }

    #[tokio::test]
    async fn awscurrent_is_moved_by_one_call_which_leaves_awspending_and_the_version_is_marked_right_after() {
        let aws = tested();
        finish_in(&aws).await.unwrap();
        let calls = ["GetSecretValue", "ListAccessKeys", "UpdateSecretVersionStage", "UpdateSecretVersionStage"];
        assert_eq!(aws.calls(), calls);
        assert_eq!(aws.labels("new"), [AWSPENDING, DEPLOYING, TOLD, AWSCURRENT, DONE]);
        assert_eq!(aws.labels("old"), [AWSPREVIOUS]);
    }

    #[tokio::test]
    async fn without_hosts_it_is_noted_when_awscurrent_moved() {
        let aws =
            FakeAws::new().version("old", &[AWSCURRENT], "OLD").version("new", &[AWSPENDING, DEPLOYING, TOLD], "NEW");
        let aws = aws.keys(&["OLD", "NEW"]);
        finish_in(&aws).await.unwrap();
        assert!(aws.labels("new").iter().any(|label| label.starts_with("SINCE/")), "{:?}", aws.labels("new"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_move_whose_answer_was_lost_is_a_move() {
        let aws = tested().fault("UpdateSecretVersionStage", Fault::AnswerLost);
        finish_in(&aws).await.unwrap();
        assert_eq!(aws.labels("new"), [AWSPENDING, DEPLOYING, TOLD, AWSCURRENT, DONE]);
    }

    #[tokio::test]
    async fn a_rotation_is_complete_even_if_its_version_cannot_be_marked() {
        let aws = tested().fault_after(1, "UpdateSecretVersionStage", Fault::Refused);
        finish_in(&aws).await.unwrap();
        assert_eq!(aws.labels("new"), [AWSPENDING, DEPLOYING, TOLD, AWSCURRENT]);
    }

    /// A host that is made anew at that moment takes what works.
    #[tokio::test]
    async fn awscurrent_is_not_moved_onto_a_key_that_became_unusable_after_the_hosts_had_confirmed_it() {
        for aws in [tested().keys(&["OLD"]), tested().inactive("NEW")] {
            assert_eq!(finish_in(&aws).await.unwrap_err().kind(), RefusalKind::PendingKeyGone);
            for ses in [Login::Accepted, Login::Unclear("try later".into())] {
                assert_eq!(finish_in_with(&aws, ses).await.unwrap_err().kind(), RefusalKind::KeyStateUnclear);
            }
            assert_eq!(aws.changes(), [""; 0]);
        }
    }

    #[tokio::test]
    async fn awscurrent_that_somebody_moved_meanwhile_stays_there() {
        let aws = tested().fault("UpdateSecretVersionStage", Fault::LabelMoved { to: "odd", label: AWSCURRENT });
        assert_eq!(finish_in(&aws).await.unwrap_err().kind(), RefusalKind::CurrentMoved);
        assert_eq!(aws.labels("new"), [AWSPENDING, DEPLOYING, TOLD]);
    }

    #[tokio::test]
    async fn a_key_that_awscurrent_was_moved_away_from_is_not_made_current_again_by_another_version() {
        let rolled_back = tested().version("before", &[AWSPREVIOUS], "NEW");
        assert_eq!(finish_in(&rolled_back).await.unwrap_err().kind(), RefusalKind::RolledBack);
        assert_eq!(rolled_back.changes(), [""; 0]);
        let edited = rolled_back.version("old", &[AWSCURRENT, DONE], "NEW");
        finish_in(&edited).await.unwrap();
    }

    #[tokio::test]
    async fn a_refused_move_is_told_with_awss_words() {
        let aws = tested().fault("UpdateSecretVersionStage", Fault::Refused);
        let error = finish_in(&aws).await.unwrap_err();
        assert!(error.to_string().starts_with("secretsmanager:UpdateSecretVersionStage failed: Refused: "), "{error}");
        assert_eq!(aws.labels("old"), [AWSCURRENT, DONE]);
    }
}
