//! The bounded loop in which a call is tried again until AWS has become consistent.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    engine::events::Progress,
    error::Error,
    interrupt::{self, interrupted},
};

/// IAM and what depends on it, as a rule, is consistent within seconds; two minutes cover what was seen.
pub(crate) const CONSISTENT_WITHIN: Duration = Duration::from_mins(2);

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Pauses that double up to five seconds, and end at a deadline.
pub(crate) struct Pauses {
    deadline: Instant,
    next: Duration,
}

impl Pauses {
    pub(crate) fn within(limit: Duration) -> Self {
        Self { deadline: Instant::now() + limit, next: FIRST_PAUSE }
    }

    /// Pauses once more; returns false if the deadline has passed. The first pause says what it waits for.
    ///
    /// # Errors
    /// The run is to end.
    pub(crate) async fn pause(&mut self, progress: &Progress, reason: &str) -> Result<bool, Error> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        if self.next == FIRST_PAUSE {
            progress.waiting(left, reason);
        }
        tokio::select! {
            () = sleep(self.next.min(left)) => {}
            () = interrupt::asked() => return Err(interrupted()),
        }
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        Ok(true)
    }
}

/// Calls `attempt` until it succeeds, fails with an error that `waits_for` does not name, or the
/// limit has passed; the last error then says so. The first pause says what it waits for.
pub(crate) async fn eventually<T, F: Future<Output = Result<T, Error>>>(
    progress: &Progress,
    limit: Duration,
    waits_for: impl Fn(&Error) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut pauses = Pauses::within(limit);
    loop {
        let error = match attempt().await {
            Err(error) if waits_for(&error) => error,
            outcome => return outcome,
        };
        let reason = error.cause.as_ref().map(ToString::to_string).unwrap_or_default();
        if !pauses.pause(progress, &reason).await? {
            let what = format!("{}, also after {} s of retries", error.what, limit.as_secs());
            return Err(Error { what, ..error });
        }
    }
}
