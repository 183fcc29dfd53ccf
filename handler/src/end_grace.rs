//! The event `end_grace`: delete the previous key now, because it leaked.

use contract::Retired;
use tracing::warn;

use crate::{
    error::Error,
    invocation::Invocation,
    keys::Consent,
    retire::{self, Held},
    secret::{self, Secret},
    situation::{look, with_last_use},
    slot::Freed,
    user,
};

/// Answers the event.
pub async fn run(invocation: &Invocation<'_>, key: &str) -> Result<Retired, Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let secret = secret::find(clients, settings).await?;
    user::check(clients, settings).await?;
    end_grace(invocation, &secret, key).await
}

/// Everything but the grace protects the key as it does in `retire`, and the same holds of a rotation that begins meanwhile.
async fn end_grace(invocation: &Invocation<'_>, secret: &Secret, id: &str) -> Result<Retired, Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let user = settings.iam_user_name();
    let keys = with_last_use(invocation, user::keys(clients, settings).await?).await?;
    let situation = look(invocation, secret, keys).await?;
    let Some(key) = situation.keys.iter().find(|key| key.key.id == id) else {
        return Ok(Retired { deleted: vec![], kept: vec![retire::no_such_key(user, id)] });
    };
    retire::decide(&situation, key, Consent::GraceEnded).map_err(|held| match held {
        Held::Unsettled(found) => Error::Unsettled { key: id.to_owned(), secret: secret.arn.clone(), found },
        Held::Key(key) => Error::KeptByMore { user: user.to_owned(), key: Box::new(key) },
    })?;
    warn!(key = id, "ending the grace of an access key, as somebody asked for: a host that still uses it cannot send");
    match retire::free(invocation, secret, key, Consent::GraceEnded).await? {
        Freed::Deleted | Freed::GoneAlready => Ok(Retired { deleted: vec![id.to_owned()], kept: vec![] }),
        Freed::Kept(reason) => Err(Error::LabelsMoved { key: id.to_owned(), reason }),
    }
}
