//! What the function is asked for beside the steps of a rotation.

mod end_grace;
mod report;
mod retire;
mod upkeep;

use contract::Event;
use serde_json::{Value, json};

use crate::{error::Error, invocation::Invocation};

/// Answers an event.
pub(crate) async fn answer(invocation: &Invocation<'_>, event: Event) -> Result<Value, Error> {
    Ok(match event {
        Event::Report { logins } => json!(report::run(invocation, logins).await?),
        Event::Retire { orphan } => json!(retire::run(invocation, orphan.as_deref()).await?),
        Event::EndGrace { key } => json!(end_grace::run(invocation, &key).await?),
        Event::Upkeep => json!(upkeep::run(invocation).await?),
    })
}
