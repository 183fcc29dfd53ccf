//! Reads that decide whether a step goes on.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    error::Error,
    time::{CONSISTENT_WITHIN, TimeLimit, pause},
};

/// How long a new role, policy or user may be unknown.
const PERMITTED_WITHIN: Duration = Duration::from_mins(1);

/// Between two reads.
const PAUSE: Duration = Duration::from_secs(2);

/// Retries a read while its error may come from an old state. Other errors return at once. `read` must change nothing.
pub(super) async fn read<T>(time: TimeLimit, read: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    let began = Instant::now();
    loop {
        let error = match read().await {
            Err(error) => error,
            answer => return answer,
        };
        if began.elapsed() >= may_be_old_for(&error) || time.remaining() <= 2 * PAUSE {
            return Err(error);
        }
        pause(PAUSE, &format!("the answer may be older than the last change: {}", error.refusal().found)).await;
    }
}

fn may_be_old_for(error: &Error) -> Duration {
    match error {
        Error::UnknownToken { .. }
        | Error::NotPending { .. }
        | Error::NotMarkedDeploying { .. }
        | Error::HostsNotTold { .. }
        | Error::PendingEmpty { .. }
        | Error::NoCurrentValue { .. }
        | Error::UserMissing { .. } => CONSISTENT_WITHIN,
        Error::Aws { cause, .. } if cause.is_denied() || cause.is("NoSuchEntity") => PERMITTED_WITHIN,
        _ => Duration::ZERO,
    }
}
