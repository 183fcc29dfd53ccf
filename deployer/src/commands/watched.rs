//! Watches a rotation, or waits for its end. An interrupt ends the watching, and not the rotation.

use contract::{Command, text};

use super::{ended::Shown, session::Session};
use crate::{
    engine::events::Events,
    error::{Error, ErrorKind},
    interrupt::{self, unless_asked},
    rotation::watch::{self, Standstill},
};

/// Runs `work`, which only reads and waits, until it ends or a signal comes.
pub(super) async fn watched(
    session: &Session,
    work: impl AsyncFnOnce(Events) -> Result<(), Error>,
) -> Result<(), Shown> {
    let screen = session.screen.clone();
    let _draining = session.or_show(interrupt::drain(move || screen.note("interrupted")))?;
    let watched = session.with_events(async |events| unless_asked(work(events)).await);
    let goes_on = |error: Error| match error.kind() {
        ErrorKind::Interrupted => error
            .cause("the rotation goes on by itself")
            .hint(text![Command::deployer("status"), " shows how it stands"]),
        _ => error,
    };
    session.or_show(watched.await.map_err(goes_on))
}

/// A test of the configuration ends by itself, and would be refused as an open rotation.
pub(super) async fn wait_while_tested(session: &Session) -> Result<(), Shown> {
    let waited = session
        .with_progress(async |progress| watch::wait_while_tested(&session.aws, &session.deployment, &progress).await);
    session.or_show(waited.await).map(drop)
}

/// Waits while a step of a rotation runs: it is left alone. Says how the rotation stands then.
pub(super) async fn stand_still(session: &Session) -> Result<Standstill, Error> {
    let standstill =
        session.with_progress(async |progress| watch::stand_still(&session.aws, &session.deployment, &progress).await);
    standstill.await
}
