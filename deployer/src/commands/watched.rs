//! Watches a rotation. An interrupt ends the watching, and not the rotation.

use contract::{Command, text};

use super::{ended::Shown, session::Session};
use crate::{
    engine::events::Events,
    error::{Error, ErrorKind},
    interrupt::{self, unless_asked},
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
