//! What the function is asked for beside the steps of a rotation.

mod labels;
mod leaked;
mod passwords;
mod report;
mod retire;
mod upkeep;

use contract::{Answer, Event};
use serde_json::{Value, json};

use crate::{error::Error, invocation::Invocation};

/// Does what an event asks for. The deployer reads an [`Answer`]; of the daily rule nobody reads one.
pub(crate) async fn run(invocation: &Invocation<'_>, event: Event) -> Result<Value, Error> {
    Ok(match event {
        Event::Report { logins } => json!(Answer::Done(report::run(invocation, logins).await?)),
        Event::Retire { orphan } => json!(Answer::Done(retire::run(invocation, orphan.as_deref()).await?)),
        Event::Leaked { key } => json!(Answer::Done(leaked::run(invocation, &key).await?)),
        Event::Upkeep => json!(upkeep::run(invocation).await?),
    })
}
