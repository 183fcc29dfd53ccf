//! setSecret: prove the pending credential, then tell every host.

use std::time::Duration;

use contract::{Consumer, LOGIN_GATE_SECONDS};
use tracing::info;

use crate::{
    error::Error,
    guard,
    invocation::{Invocation, Rotation},
    services::{
        consumer,
        secret::{self, Secret},
        smtp::{Credential, Smtp},
    },
};

/// Logins in a row that must be accepted: a new key reaches SES's servers one by one, so one
/// accepted login proves one server.
const LOGINS_IN_A_ROW: u32 = 3;

/// The least that three logins take.
const TIME_FOR_LOGINS: Duration = Duration::from_secs(5);

/// Takes the step.
pub(crate) async fn run(rotation: &Rotation<'_>, secret: &Secret) -> Result<(), Error> {
    let Invocation { settings, time, .. } = rotation.invocation;
    let credential = Credential::of(&secret::read_pending(rotation, secret).await?);
    let smtp = Smtp::new(&settings.smtp_endpoint)?;
    let time_to_tell = settings.consumer.as_ref().map_or(Duration::ZERO, Consumer::time_needed);
    time.require(time_to_tell + TIME_FOR_LOGINS, "to see whether SES accepts the key, and to tell the hosts")?;
    let limit = Duration::from_secs(LOGIN_GATE_SECONDS).min(time.remaining().saturating_sub(time_to_tell));
    smtp.prove(&credential, LOGINS_IN_A_ROW, limit).await?;
    tell_hosts(rotation, &credential).await
}

/// Race: the script fetches by label, and the login gate may have taken minutes. The labels are read right before, so that no host
/// fetches what was not proved, and right after, so that no host counts as told that fetched another version.
async fn tell_hosts(rotation: &Rotation<'_>, credential: &Credential) -> Result<(), Error> {
    let Some(consumer) = &rotation.invocation.settings.consumer else {
        info!("no host needs the new credential pushed");
        return Ok(());
    };
    rotation
        .invocation
        .time
        .require(consumer.time_needed(), "to run the script on the hosts and to see how it ended")?;
    guard::still_pending(rotation).await?;
    consumer::tell(rotation, consumer, &credential.password).await?;
    guard::still_pending(rotation).await
}

#[cfg(test)]
mod tests {
    use contract::{AWSCURRENT, AWSPENDING, DEPLOYING, RefusalKind};

    use super::*;
    use crate::{
        event::Step,
        fake_aws::{FakeAws, Fault},
        sensitive::Sensitive,
    };

    fn proven() -> FakeAws {
        FakeAws::new()
            .version("old", &[AWSCURRENT], "OLD")
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
        assert_eq!(aws.calls(), ["DescribeSecret", "SendCommand", "GetCommandInvocation", "DescribeSecret"]);
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
        let aws = proven().fault("SendCommand", Fault::LabelMoved { to: "odd", label: AWSPENDING });
        assert_eq!(tell_in(&aws).await.unwrap_err().kind(), RefusalKind::NotPending);
    }
}
