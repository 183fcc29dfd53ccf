//! setSecret: prove that the pending credential may log in and send, tell every host, and label what every host has confirmed.

use std::time::Duration;

use contract::{AWSCURRENT, AWSPENDING, Consumer, TOLD};
use tracing::info;

use crate::{
    error::Error,
    guard,
    invocation::{Invocation, Rotation},
    services::{
        consumer::{self, News},
        secret::{self, Secret},
        smtp::{Credential, Smtp},
        test_mail,
    },
    steps::{consistent, done::mark_done, told::mark_told},
};

/// Logins in a row that must be accepted: a new key reaches SES's servers one by one, so one
/// accepted login proves one server.
const LOGINS_IN_A_ROW: u32 = 3;

/// The least that three logins take.
const TIME_FOR_LOGINS: Duration = Duration::from_secs(5);

/// What a test mail takes that is accepted at once.
const TIME_FOR_MAIL: Duration = Duration::from_secs(5);

/// Takes the step.
pub(crate) async fn run(rotation: &Rotation<'_>, secret: &Secret) -> Result<(), Error> {
    let Invocation { settings, time, .. } = rotation.invocation;
    let pending = consistent::read(time, async || secret::read_pending(rotation, secret).await).await?;
    let credential = Credential::of(&pending);
    let time_to_tell = settings.consumer.as_ref().map_or(Duration::ZERO, Consumer::time_needed);
    time.require(time_to_tell + TIME_FOR_LOGINS, "to see whether SES accepts the key, and to tell the hosts")?;
    prove(rotation, &credential, time_to_tell).await?;
    tell_hosts(rotation, &credential).await
}

/// Logs in, and sends the test mail if there is one: a host would gain nothing by a credential that may not send.
///
/// This may take all the time that the hosts do not need. Real accounts refuse a new key for one to two minutes, and the
/// configuration is refused if it leaves less than [`contract::LOGIN_GATE_SECONDS`].
async fn prove(rotation: &Rotation<'_>, credential: &Credential, time_to_tell: Duration) -> Result<(), Error> {
    let Invocation { clients, settings, time } = rotation.invocation;
    let smtp = Smtp::new(&clients.ses, &settings.smtp_endpoint)?;
    let free = || time.remaining().saturating_sub(time_to_tell);
    let Some(mail) = &settings.test_mail else {
        return smtp.prove(credential, LOGINS_IN_A_ROW, free()).await;
    };
    smtp.prove(credential, LOGINS_IN_A_ROW, free().saturating_sub(TIME_FOR_MAIL)).await?;
    test_mail::send(rotation, mail, &smtp, credential, free(), false).await
}

/// Tells the hosts, and labels the version TOLD once every host has confirmed it.
///
/// Race: the login gate may have taken minutes. The labels are read right before, so that no host is told of what was given up
/// meanwhile, and right after, so that nothing counts as told that somebody gave up while hosts were told.
async fn tell_hosts(rotation: &Rotation<'_>, credential: &Credential) -> Result<(), Error> {
    let Rotation { invocation: Invocation { settings, time, .. }, request } = *rotation;
    if let Some(consumer) = &settings.consumer {
        time.require(consumer.time_needed(), "to run the script on the hosts and to see how it ended")?;
        guard::still_pending(rotation).await?;
        let secret_arn = &request.secret_arn;
        let news = News { secret_arn, version: &request.token, stage: AWSPENDING, credential };
        consumer::tell(&rotation.invocation, consumer, &news).await?;
    } else {
        info!("no host needs the new credential pushed");
    }
    let secret = guard::still_pending(rotation).await?;
    if secret.has(&request.token, AWSCURRENT) {
        // DONE records that this version was AWSCURRENT. If somebody moves AWSCURRENT away later, the guard sees a rollback and
        // does not undo it.
        mark_done(&rotation.invocation, &secret, &request.token).await;
    }
    mark_told(&rotation.invocation, &secret, &request.token).await?;
    info!(version = request.token, "the version is labelled {TOLD}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use contract::{DEPLOYING, DONE, RefusalKind, Step};

    use super::*;
    use crate::{
        fake_aws::{FakeAws, Fault},
        sensitive::Sensitive,
    };

    fn proven() -> FakeAws {
        FakeAws::new()
            .version("old", &[AWSCURRENT, TOLD], "OLD")
            .version("new", &[AWSPENDING, DEPLOYING], "NEW")
            .version("odd", &["odd"], "ODD")
            .host()
    }

    async fn tell_in(aws: &FakeAws) -> Result<(), Error> {
        let credential = Credential { user: "NEW".into(), password: Sensitive::new("password-of-NEW") };
        aws.take(Step::Set, async |rotation, _| tell_hosts(rotation, &credential).await).await
    }

    #[tokio::test]
    async fn the_labels_are_looked_at_right_before_and_right_after_the_hosts_are_told() {
        let aws = proven();
        tell_in(&aws).await.unwrap();
        let tells = ["DescribeSecret", "SendCommand", "GetCommandInvocation", "DescribeSecret"];
        assert_eq!(aws.calls(), [&tells[..], &["UpdateSecretVersionStage"; 2]].concat());
        assert_eq!(aws.labels("new"), [AWSPENDING, DEPLOYING, &aws.hosts_label(), TOLD]);
    }

    #[tokio::test]
    async fn without_hosts_a_version_is_told_once_ses_accepts_it() {
        let aws = FakeAws::new().version("new", &[AWSPENDING, DEPLOYING], "NEW");
        let label = "UpdateSecretVersionStage";
        for calls in [&["DescribeSecret", label, label][..], &["DescribeSecret"]] {
            tell_in(&aws).await.unwrap();
            assert_eq!(aws.calls(), calls);
            assert_eq!(aws.labels("new"), [AWSPENDING, DEPLOYING, "HOSTS/", TOLD]);
        }
    }

    #[tokio::test]
    async fn a_version_that_somebody_made_current_already_is_marked_so_that_a_rollback_from_it_stays() {
        let aws = proven().fault("SendCommand", Fault::LabelMoved { to: "new", label: AWSCURRENT });
        tell_in(&aws).await.unwrap();
        for label in [AWSCURRENT, DONE, TOLD] {
            assert!(aws.labels("new").contains(&label.to_owned()), "{label}");
        }
    }

    #[tokio::test]
    async fn what_a_host_does_not_confirm_is_not_told() {
        let aws = proven().fault("SendCommand", Fault::Refused);
        tell_in(&aws).await.unwrap_err();
        assert_eq!(aws.labels("old"), [AWSCURRENT, TOLD]);
    }

    #[tokio::test]
    async fn no_host_is_told_of_a_version_that_lost_a_label_during_the_gate() {
        for (label, error) in [(AWSPENDING, RefusalKind::NotPending), (DEPLOYING, RefusalKind::NotMarkedDeploying)] {
            let aws = proven().fault("DescribeSecret", Fault::LabelMoved { to: "odd", label });
            assert_eq!(tell_in(&aws).await.unwrap_err().kind(), error);
            assert_eq!(aws.count("SendCommand"), 0);
        }
    }

    #[tokio::test]
    async fn hosts_that_were_told_while_a_label_moved_do_not_count() {
        let aws = proven().fault_after(1, "DescribeSecret", Fault::LabelMoved { to: "odd", label: AWSPENDING });
        assert_eq!(tell_in(&aws).await.unwrap_err().kind(), RefusalKind::NotPending);
    }
}
