//! What the topic is told. An operator reads it as a mail.

use std::time::Duration;

use tracing::{info, warn};

use crate::{
    error::Error,
    invocation::Invocation,
    rotation::Rotation,
    secret::{self, Secret},
    time::date,
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
pub async fn rotated(rotation: &Rotation<'_>, secret: &Secret) {
    as_well_as_it_goes(&rotation.invocation, async {
        let Rotation { invocation, request } = rotation;
        let value = secret::read_pending(rotation, secret).await?;
        let previous_goes = invocation.time.began + invocation.settings.keep_previous;
        let message = format!(
            "The rotation of {} has completed.\n\naccess key: {}\nversion: {}\nThe previous access key stays usable until {}.\n",
            secret.arn,
            value.access_key_id,
            request.token,
            date(previous_goes)
        );
        publish(invocation, "rotated", &message).await
    })
    .await;
}

/// Tells the topic that a step has failed, as well as it goes.
pub async fn step_failed(rotation: &Rotation<'_>, error: &Error) {
    let Rotation { invocation, request } = rotation;
    let subject = format!("{} failed: {}", request.step, error.kind());
    let message = format!(
        "{} of {} has failed: {error}\n\nerror: {}\nrotation: {}\n",
        request.step,
        request.secret_arn,
        error.kind(),
        request.token
    );
    as_well_as_it_goes(invocation, publish(invocation, &subject, &message)).await;
}

/// Nothing of a rotation depends on it: it takes a few seconds at most, none of which the step needs, and its failure is a
/// line in the log.
async fn as_well_as_it_goes(invocation: &Invocation<'_>, tell: impl Future<Output = Result<(), Error>>) {
    if invocation.settings.topic_arn.is_none() {
        return;
    }
    let limit = LIMIT.min(invocation.time.remaining().saturating_sub(TIME_TO_END));
    match tokio::time::timeout(limit, tell).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!("the topic was not told: {error}"),
        Err(_) => warn!("the topic was not told: no answer in {:.1} s", limit.as_secs_f64()),
    }
}

/// Publishes to the topic, if there is one. The subject is about the secret.
pub async fn publish(invocation: &Invocation<'_>, subject: &str, message: &str) -> Result<(), Error> {
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
        .message(message.chars().take(LONGEST_MESSAGE).collect::<String>())
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
