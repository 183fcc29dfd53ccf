//! What the topic is told. An operator reads it as a mail.

use std::time::Duration;

use contract::printable_lines;
use tracing::{info, warn};

use crate::{
    date::date,
    error::Error,
    invocation::{Invocation, Rotation},
    services::secret::{self, Secret},
};

/// Longest that a step waits for it.
const LIMIT: Duration = Duration::from_secs(5);

/// Kept free behind it, so that it ends before the step is given up.
const TIME_TO_END: Duration = Duration::from_millis(500);

/// SNS takes a subject of at most 100 characters of ASCII, without control characters (API reference, Publish).
const LONGEST_SUBJECT: usize = 100;

/// Characters of a message: with four bytes each they are half of what SNS takes.
const LONGEST_MESSAGE: usize = 32_000;

/// Tells the topic that a rotation has completed, as well as it goes.
pub(crate) async fn rotated(rotation: &Rotation<'_>, secret: &Secret) {
    // It is a part of the step, whose time it must not overrun.
    let time_left = rotation.invocation.time.remaining();
    as_well_as_it_goes(&rotation.invocation, time_left, async {
        let Rotation { invocation, request } = rotation;
        let value = secret::read_pending(rotation, secret).await?;
        let previous_goes = invocation.time.began + invocation.settings.keep_previous;
        let message = format!(
            "The rotation of {} has completed.\n\naccess key: {}\nversion: {}\nAn access key that was used before stays Active until {} at least, \
             unless somebody says that it leaked.\n",
            secret.arn,
            value.access_key_id,
            request.token,
            date(previous_goes)
        );
        publish(invocation, "rotated", &message).await
    })
    .await;
}

/// Tells the topic that a key was deleted because it leaked, as well as it goes.
pub(crate) async fn deleted_as_leaked(invocation: &Invocation<'_>, key: &str) {
    let user = invocation.settings.iam_user_name();
    let message = format!(
        "Access key {key} of the IAM user {user} was deleted, because somebody said that it leaked.\n\nA host that still has it cannot \
         send.\n"
    );
    let tell = publish(invocation, "an access key that leaked was deleted", &message);
    as_well_as_it_goes(invocation, invocation.time.remaining(), tell).await;
}

/// Tells the topic that a step has failed, as well as it goes.
pub(crate) async fn step_failed(rotation: &Rotation<'_>, error: &Error) {
    let Rotation { invocation, request } = rotation;
    let subject = format!("{} failed: {}", request.step, error.kind());
    let message = format!(
        "{} of {} has failed: {error}\n\nerror: {}\nrotation: {}\n",
        request.step,
        request.secret_arn,
        error.kind(),
        request.token
    );
    // The step is over. Even if its time has ended, there is time left to say so.
    as_well_as_it_goes(invocation, invocation.time.until_killed(), publish(invocation, &subject, &message)).await;
}

/// Nothing of a rotation depends on it: it takes a few seconds at most, none of which the step needs, and its failure is a
/// line in the log.
async fn as_well_as_it_goes(
    invocation: &Invocation<'_>,
    time_left: Duration,
    tell: impl Future<Output = Result<(), Error>>,
) {
    if invocation.settings.topic_arn.is_none() {
        return;
    }
    let limit = LIMIT.min(time_left.saturating_sub(TIME_TO_END));
    match tokio::time::timeout(limit, tell).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!("the topic was not told: {error}"),
        Err(_) => warn!("the topic was not told: no answer in {:.1} s", limit.as_secs_f64()),
    }
}

/// Publishes to the topic, if there is one. The subject is about the secret.
pub(crate) async fn publish(invocation: &Invocation<'_>, subject: &str, message: &str) -> Result<(), Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let Some(topic) = &settings.topic_arn else {
        info!("there is no topic to tell");
        return Ok(());
    };
    clients
        .sns
        .publish()
        .topic_arn(topic)
        .subject(subject_of(settings.secret_name(), subject))
        .message(printable_lines(message).chars().take(LONGEST_MESSAGE).collect::<String>())
        .send()
        .await
        .map_err(|error| Error::aws("sns:Publish", error))?;
    info!(topic, "told the topic: {subject}");
    Ok(())
}

fn subject_of(secret: &str, what: &str) -> String {
    let text = format!("{what} ({secret})");
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().map(printable).take(LONGEST_SUBJECT).collect()
}

#[cfg(test)]
mod tests {
    use contract::{AWSCURRENT, AWSPENDING, DEPLOYING, Step};

    use std::time::SystemTime;

    use super::*;
    use crate::{
        error::HostResult,
        fake_aws::{FakeAws, Fault},
        steps::finish_secret,
        time::{Clock, TimeLimit},
    };

    fn tested() -> FakeAws {
        FakeAws::new()
            .version("old", &[AWSCURRENT], "OLD")
            .version("new", &[AWSPENDING, DEPLOYING], "NEW")
            .keys(&["OLD", "NEW"])
            .keep_previous(Duration::from_hours(24))
    }

    async fn finish_in(aws: &FakeAws) -> Result<(), Error> {
        aws.take(Step::Finish, async |rotation, secret| {
            rotation.invocation.time.bound(Box::pin(finish_secret::run(rotation, secret))).await
        })
        .await
    }

    #[tokio::test]
    async fn a_completed_rotation_is_told_with_its_key_and_no_secret() {
        let aws = tested().topic();
        finish_in(&aws).await.unwrap();
        let [(subject, message)] = aws.published().try_into().unwrap();
        assert!(subject.starts_with("rotated"), "{subject}");
        assert!(
            message.contains("NEW") && message.contains("Active%20until") && !message.contains("password-of"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn without_a_topic_nothing_is_told_and_nothing_is_read_for_it() {
        let aws = tested().host();
        finish_in(&aws).await.unwrap();
        let of_the_step = ["GetSecretValue", "ListAccessKeys", "UpdateSecretVersionStage", "UpdateSecretVersionStage"];
        assert_eq!(aws.calls(), of_the_step);
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_cannot_be_told_fails_no_step() {
        for (before, action, fault) in [
            (0, "Publish", Fault::RefusedAs("AuthorizationError")),
            (0, "Publish", Fault::Down),
            (0, "Publish", Fault::Hangs),
            (1, "GetSecretValue", Fault::Hangs),
        ] {
            let aws = tested().topic().fault_after(before, action, fault);
            finish_in(&aws).await.unwrap();
            assert!(aws.labels("new").contains(&AWSCURRENT.to_owned()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_waits_for_the_topic_a_few_seconds_and_never_to_its_deadline() {
        for (seconds, limit) in [(300, LIMIT), (5, Duration::from_millis(1500))] {
            let aws = tested().topic().seconds(seconds).fault("Publish", Fault::Hangs);
            let began = tokio::time::Instant::now();
            finish_in(&aws).await.unwrap();
            let lasted = began.elapsed();
            assert!(lasted <= limit + Duration::from_millis(100), "{seconds}: {lasted:?}");
        }
    }

    #[tokio::test]
    async fn a_step_whose_time_is_over_is_told_with_the_errors_text() {
        let aws = tested().topic();
        let told = aws.take(Step::Set, async |rotation, _| {
            let time = TimeLimit::start(Clock::System, SystemTime::now() + Duration::from_secs(3));
            assert_eq!(time.remaining(), Duration::ZERO);
            let rotation = Rotation { invocation: Invocation { time, ..rotation.invocation }, ..*rotation };
            step_failed(&rotation, &Error::DeadlineReached).await;
            Ok(())
        });
        told.await.unwrap();
        let [(subject, message)] = aws.published().try_into().unwrap();
        assert!(subject.contains("setSecret") && subject.contains("DeadlineReached"), "{subject}");
        assert!(message.contains("raise"), "{message}");
    }

    #[tokio::test]
    async fn what_a_host_printed_forges_no_line_of_a_mail() {
        let aws = tested().topic();
        let output = "no\n\nThe rotation has completed.\u{1b}[2J\u{202e}".to_owned();
        let result = HostResult { output, status: "Failed".into(), exit_code: Some(1), ..HostResult::waiting("i-0") };
        let failed = aws.take(Step::Set, async |rotation, _| {
            step_failed(rotation, &Error::HostsFailed { command: "c-0".into(), results: vec![result.clone()] }).await;
            Ok(())
        });
        failed.await.unwrap();
        let [(_, message)] = aws.published().try_into().unwrap();
        // As a form encodes it.
        assert!(
            message.contains("no%5Cn%5CnThe%20rotation%20has%20completed.%5Cu%7B1b%7D%5B2J%5Cu%7B202e%7D"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_message_is_bounded() {
        let aws = FakeAws::new().topic();
        let line = "é".repeat(100) + "\n";
        aws.ask(async |invocation| publish(invocation, "s", &line.repeat(3000)).await).await.unwrap();
        let encoded = aws.published()[0].1.len();
        let breaks = LONGEST_MESSAGE / line.chars().count();
        assert_eq!(encoded, (LONGEST_MESSAGE - breaks) * "%C3%A9".len() + breaks * "%0A".len());
    }

    #[test]
    fn a_subject_is_short_printable_ascii() {
        let subject = subject_of(&"x".repeat(300), "failed: \u{e9}\n\u{7f}");
        assert!(subject.starts_with("failed: ??? (xxx"), "{subject}");
        assert_eq!(subject.len(), LONGEST_SUBJECT);
    }
}
