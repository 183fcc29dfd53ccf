//! AWSCURRENT and another labelled version name one access key with different passwords: somebody stored a wrong one by hand.

use contract::{AWSCURRENT, Command, Login, SecretValue, Text, text};
use tracing::warn;

use crate::{
    error::Error,
    invocation::Invocation,
    services::{
        secret::{self, Secret, Version},
        smtp::{Credential, Smtp},
        topic,
    },
};

/// A version that names AWSCURRENT's key with another password.
pub(super) struct Other<'a> {
    current: &'a SecretValue,
    version: &'a str,
}

/// Finds such a version. A key has one password, so that one of the two is wrong.
pub(super) fn other<'a>(
    secret: &Secret,
    values: impl IntoIterator<Item = (&'a str, &'a Version)> + Clone,
) -> Option<Other<'a>> {
    let (_, Version { value: current, .. }) = values.clone().into_iter().find(|(id, _)| secret.has(id, AWSCURRENT))?;
    let is_other = |Version { value, .. }: &Version| {
        value.access_key_id == current.access_key_id && value.smtp_password != current.smtp_password
    };
    let (version, _) =
        values.into_iter().find(|(_, version)| !current.access_key_id.is_empty() && is_other(version))?;
    Some(Other { current, version })
}

impl Other<'_> {
    /// For a report, which asks SES only if somebody wants that.
    pub(super) fn note(&self) -> Text {
        text![
            format!(
                "{AWSCURRENT} and version {} name access key {} with different passwords, and one of the two is wrong: whoever has \
                 it cannot send. ",
                self.version, self.current.access_key_id
            ),
            Command::deployer("recover"),
            " asks SES about them"
        ]
    }
}

/// Tells the topic if SES refuses AWSCURRENT's password: a host that boots, and every program that reads the secret, gets that one.
pub(super) async fn tell_if_wrong(invocation: &Invocation<'_>, secret: &Secret) -> Result<(), Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let mut values = Vec::new();
    for (id, _) in secret.labelled() {
        match secret::read(clients, secret, id).await {
            Ok(version) => values.extend(version.map(|version| (id, version))),
            Err(Error::MalformedSecret { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let Some(other) = other(secret, values.iter().map(|(id, version)| (*id, version))) else { return Ok(()) };
    let key = &other.current.access_key_id;
    let credential = Credential::of(other.current);
    let Login::Refused(words) = Smtp::new(&clients.ses, &settings.smtp_endpoint)?.ask(&credential).await else {
        return Ok(());
    };
    warn!(key, "SES refuses the password in {AWSCURRENT}");
    let message = format!(
        "SES refuses the password that {AWSCURRENT} has for access key {key}: {words}. Version {} has another one. Somebody stored a \
         wrong password by hand, and whoever reads the secret cannot send.\n\nRun `{}`.\n",
        other.version,
        Command::deployer("recover")
    );
    topic::publish(invocation, "the secret holds a wrong password", &message).await
}

#[cfg(test)]
mod tests {
    use contract::{AWSPREVIOUS, DEPLOYING, TOLD};

    use super::*;
    use crate::fake_aws::FakeAws;

    fn edited() -> FakeAws {
        FakeAws::new()
            .version("edited", &[AWSCURRENT], "NEW")
            .field("edited", "SMTPPassword", WRONG)
            .version("new", &[AWSPREVIOUS, DEPLOYING, TOLD], "NEW")
            .keys(&["NEW"])
            .topic()
    }

    const WRONG: &str = "a raw secret access key";

    async fn tell_in(aws: &FakeAws) {
        let told = async |invocation: &Invocation<'_>| {
            let secret = secret::find(invocation.clients, invocation.settings).await?;
            tell_if_wrong(invocation, &secret).await
        };
        aws.ask(told).await.unwrap();
    }
    #[tokio::test(start_paused = true)]
    async fn a_password_that_ses_refuses_is_told_with_the_way_to_a_right_one() {
        let aws = edited().refused_by_ses(WRONG);
        tell_in(&aws).await;
        let [(subject, message)] = aws.published().try_into().unwrap();
        assert!(subject.contains("wrong%20password") && message.contains("deployer%20recover"), "{subject} {message}");
        assert!(!message.contains("raw%20secret"), "{message}");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_told_of_a_password_that_was_corrected_or_of_an_edit_of_another_field() {
        let corrected = edited();
        let other_field = FakeAws::new()
            .version("edited", &[AWSCURRENT], "NEW")
            .field("edited", "host", "a")
            .version("new", &[DEPLOYING], "NEW")
            .keys(&["NEW"])
            .topic();
        for (aws, logins) in [(corrected, 1), (other_field, 0)] {
            tell_in(&aws).await;
            assert_eq!((aws.published().len(), aws.asked_ses().logins), (0, logins));
        }
    }
}
