//! The first Ctrl-C or SIGTERM asks a run to end where no call is under way; the second one ends the program at once.
//!
//! A signal is the whole process's, so this is the one thing that the parts of a run share without being given it.

use std::{
    process,
    sync::{
        LazyLock, Once,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::{
    error::{Error, ErrorKind},
    exit::Exit,
};

static ASKED: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::channel(false).0);
static RUNNING: AtomicUsize = AtomicUsize::new(0);
static LISTENING: Once = Once::new();

/// While it lives, the first signal does not end the program.
pub(crate) struct Draining(());

/// From now on the first signal asks to end. `tell` is called with it.
///
/// # Errors
/// The operating system does not deliver signals.
pub(crate) fn drain(tell: impl Fn() + Send + 'static) -> Result<Draining, Error> {
    let unheard = |error| Error::new("failed to listen for Ctrl-C").cause(error);
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (interrupt, terminate) = (interrupt.map_err(unheard)?, terminate.map_err(unheard)?);
    LISTENING.call_once(|| drop(tokio::spawn(listen(interrupt, terminate, tell))));
    RUNNING.fetch_add(1, Ordering::SeqCst);
    Ok(Draining(()))
}

impl Drop for Draining {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn listen(mut interrupt: Signal, mut terminate: Signal, tell: impl Fn()) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let is_second = is_asked();
        if is_second || RUNNING.load(Ordering::SeqCst) == 0 {
            process::exit(Exit::Interrupted.code().into());
        }
        ASKED.send_replace(true);
        tell();
    }
}

/// Whether the run is to end.
pub(crate) fn is_asked() -> bool {
    *ASKED.borrow()
}

/// Ends once the run is to end.
pub(crate) async fn asked() {
    // The sender lives as long as the process.
    let _ = ASKED.subscribe().wait_for(|asked| *asked).await;
}

/// The work's result, unless the run is to end before. Only for work that may be dropped at any point.
pub(crate) async fn unless_asked<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::select! {
        done = work => done,
        () = asked() => Err(interrupted()),
    }
}

/// The error of what was not done because the run was to end.
pub(crate) fn interrupted() -> Error {
    Error::new("interrupted").of_kind(ErrorKind::Interrupted)
}
