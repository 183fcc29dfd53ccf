//! The first Ctrl-C, SIGTERM or SIGHUP asks a run that changes something to end where no call is under way; the second one ends the
//! program at once. While a command only reads, the first one does.
//!
//! A signal is the whole process's, so this is the one thing that the parts of a run share without being given it.

use std::{
    fs, future, process,
    sync::{
        LazyLock, Mutex, Once, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
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
static TELL: Mutex<Option<Told>> = Mutex::new(None);
static TELL_WHILE_READING: Mutex<Option<Told>> = Mutex::new(None);
static BEFORE_EXIT: Mutex<Option<Told>> = Mutex::new(None);

/// For how long the last words may take: nobody may read what they are written to.
const LAST_WORDS: Duration = Duration::from_secs(1);

type Told = Box<dyn Fn() + Send>;

/// While it lives, the first signal does not end the program.
pub(crate) struct Draining(());

/// From now on the first signal asks to end. `tell` is called with it.
///
/// # Errors
/// The operating system does not deliver signals.
pub(crate) fn drain(tell: impl Fn() + Send + 'static) -> Result<Draining, Error> {
    hear().map_err(|error| Error::new("failed to listen for Ctrl-C").cause(error))?;
    *TELL.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(tell));
    RUNNING.fetch_add(1, Ordering::SeqCst);
    Ok(Draining(()))
}

/// From now on the first signal ends the program, unless a run drains. `tell` is called before.
pub(crate) fn while_reading(tell: impl Fn() + Send + 'static) {
    *TELL_WHILE_READING.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(tell));
    // Without it, a signal ends the program without a word.
    let _ = hear();
}

/// From now on a signal that ends the program calls this before, so that nothing is left on the terminal.
pub(crate) fn before_exit(clean: impl Fn() + Send + 'static) {
    *BEFORE_EXIT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(clean));
    // Without signals there is nothing to clean up after.
    let _ = hear();
}

fn hear() -> std::io::Result<()> {
    // A later listener finds the signals as the first one has left them.
    static NOHUP: LazyLock<bool> = LazyLock::new(is_under_nohup);
    let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let hang_up = if *NOHUP { None } else { Some(signal(SignalKind::hangup())?) };
    LISTENING.call_once(|| drop(tokio::spawn(listen(interrupt, terminate, hang_up))));
    Ok(())
}

/// Whether whoever started the program wants it to outlive the terminal. Where nothing tells, it is left as it is.
fn is_under_nohup() -> bool {
    fs::read_to_string("/proc/self/status").map_or(true, |status| ignores_hangup(&status))
}

/// Whether the mask of ignored signals has SIGHUP, which is 1 (proc(5), `SigIgn`).
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_none_or(|mask| mask & 1 == 1)
}

fn call(told: &Mutex<Option<Told>>) {
    if let Some(told) = &*told.lock().unwrap_or_else(PoisonError::into_inner) {
        told();
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn listen(mut interrupt: Signal, mut terminate: Signal, mut hang_up: Option<Signal>) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = async {
                match &mut hang_up {
                    Some(hang_up) => hang_up.recv().await,
                    None => future::pending().await,
                }
            } => {}
        }
        if is_asked() {
            call(&BEFORE_EXIT);
            process::exit(Exit::Interrupted.code().into());
        }
        if RUNNING.load(Ordering::SeqCst) == 0 {
            let last_words = tokio::task::spawn_blocking(|| {
                call(&BEFORE_EXIT);
                call(&TELL_WHILE_READING);
            });
            let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
            process::exit(Exit::Interrupted.code().into());
        }
        ASKED.send_replace(true);
        call(&TELL);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_under_nohup_outlives_its_terminal() {
        let status = |mask: &str| format!("Name:\tdeployer\nSigBlk:\t0000000000000000\nSigIgn:\t{mask}\n");
        assert!(!ignores_hangup(&status("0000000000001000")));
        assert!(ignores_hangup(&status("0000000000001001")));
        assert!(ignores_hangup("Name:\tdeployer\n"));
    }
}
