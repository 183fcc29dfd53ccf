//! The event `upkeep`, once a day: tell the topic of a rotation that is overdue, and retire keys.

use contract::Retired;
use tracing::{error, warn};

use crate::{error::Error, invocation::Invocation, notify, overdue::overdue, retire, secret};

/// Answers the event. Each of both parts is done whatever becomes of the other.
pub async fn run(invocation: &Invocation<'_>) -> Result<Retired, Error> {
    let told = tell_if_overdue(invocation).await;
    let retired = retire::run(invocation, None).await;
    match (told, retired) {
        (Ok(()), retired) => retired,
        (Err(error), Ok(_)) => Err(error),
        (Err(not_told), Err(not_retired)) => {
            error!(error = not_told.kind(), "{not_told}");
            Err(not_retired)
        }
    }
}

async fn tell_if_overdue(invocation: &Invocation<'_>) -> Result<(), Error> {
    let Invocation { clients, settings, time } = *invocation;
    let secret = secret::find(clients, settings).await?;
    let Some(sentence) = overdue(&secret, time.began) else { return Ok(()) };
    warn!("{sentence}");
    notify::publish(invocation, "rotation overdue", &sentence).await
}
