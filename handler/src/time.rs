//! The clock, and every wait. [`Clock::now`] is where the time of day enters.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::info;

use crate::error::Error;

/// Kept free at the end of an invocation, so that it ends with an error and is not killed.
const RESERVE: Duration = Duration::from_secs(3);

/// How long Secrets Manager's and IAM's reads may be older than the last change, in practice (Secrets Manager guide, "Troubleshoot
/// AWS Secrets Manager"; IAM guide, "Changes that I make are not always immediately visible").
pub(crate) const CONSISTENT_WITHIN: Duration = Duration::from_secs(20);

/// Tells the date.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    /// The machine's clock.
    System,
    /// A date that follows tokio's clock, which a test can pause: it was `date` at this instant.
    #[cfg(test)]
    Simulated { date: SystemTime, at: Instant },
}

impl Clock {
    /// The date.
    #[must_use]
    pub(crate) fn now(self) -> SystemTime {
        match self {
            Self::System => SystemTime::now(),
            #[cfg(test)]
            Self::Simulated { date, at } => date + at.elapsed(),
        }
    }
}

/// The time that one invocation has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimit {
    /// When the invocation began; every decision of it that depends on the date uses this.
    pub(crate) began: SystemTime,
    /// The function's timeout, as far as it can be seen from inside.
    pub(crate) timeout: Duration,
    ends: Instant,
}

impl TimeLimit {
    /// The invocation begins now, by this clock, and Lambda kills it at `deadline`.
    #[must_use]
    pub(crate) fn start(clock: Clock, deadline: SystemTime) -> Self {
        let began = clock.now();
        let timeout = deadline.duration_since(began).unwrap_or_default();
        Self { began, timeout, ends: Instant::now() + timeout.saturating_sub(RESERVE) }
    }

    /// How long work may go on.
    #[must_use]
    pub(crate) fn remaining(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    /// How long it is until Lambda kills the function: longer than work may go on.
    #[must_use]
    pub(crate) fn until_killed(&self) -> Duration {
        (self.ends + RESERVE).saturating_duration_since(Instant::now())
    }

    /// Refuses to begin what could not be brought to its end.
    pub(crate) fn require(&self, needed: Duration, purpose: &'static str) -> Result<(), Error> {
        let remaining = self.remaining();
        if remaining < needed { Err(Error::NotEnoughTime { purpose, needed, remaining }) } else { Ok(()) }
    }

    /// Runs what an invocation is for, and gives it up when the time is over.
    pub(crate) async fn bound<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::time::timeout_at(self.ends, work).await.unwrap_or(Err(Error::DeadlineReached))
    }
}

/// Waits, and says why. Every caller bounds how often it does.
pub(crate) async fn pause(duration: Duration, reason: &str) {
    info!(seconds = duration.as_secs_f64(), "waiting: {reason}");
    tokio::time::sleep(duration).await;
}

#[cfg(test)]
mod tests {
    use contract::RefusalKind;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_simulated_date_follows_tokios_clock() {
        let clock = Clock::Simulated { date: SystemTime::UNIX_EPOCH, at: Instant::now() };
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_hours(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_takes_too_long_is_given_up_before_lambda_kills_it() {
        let limit = TimeLimit::start(Clock::System, SystemTime::now() + Duration::from_secs(10));
        let began = Instant::now();
        let result = limit.bound::<()>(std::future::pending()).await;
        assert_eq!(result.unwrap_err().kind(), RefusalKind::DeadlineReached);
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_brought_to_its_end_is_not_begun() {
        let limit = TimeLimit::start(Clock::System, SystemTime::now() + Duration::from_secs(63));
        limit.require(Duration::from_secs(59), "this").unwrap();
        assert_eq!(limit.require(Duration::from_secs(61), "this").unwrap_err().kind(), RefusalKind::NotEnoughTime);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(limit.require(Duration::from_secs(31), "this").unwrap_err().kind(), RefusalKind::NotEnoughTime);
    }

    #[tokio::test]
    async fn a_deadline_in_the_past_leaves_no_time() {
        let limit = TimeLimit::start(Clock::System, SystemTime::UNIX_EPOCH);
        assert_eq!(limit.remaining(), Duration::ZERO);
    }
}
