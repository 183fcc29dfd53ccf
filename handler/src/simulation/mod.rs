//! AWS, hosts and people in memory, for years. The real [`crate::Handler`] rotates through random histories full of disturbances,
//! while the watcher checks from outside that the promise of this crate holds.
#![expect(clippy::unnecessary_wraps, reason = "the answer to each call has one type")]
#![expect(clippy::struct_excessive_bools, reason = "disturbances are switches")]

mod act;
mod dice;
mod history;
mod hosts;
mod recover;
mod run;
mod secret;
mod shrink;
mod stage;
mod tests;
mod user;
mod watcher;
mod wire;
mod world;

use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;

use crate::date::date;

/// Milliseconds since the beginning of a history, or a span.
type Millis = u64;

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

/// When a history begins: a midnight.
const EPOCH_SECONDS: u64 = 1_700_006_400;

/// The script's timeout, in seconds.
const SCRIPT_TIMEOUT: u64 = 60;

const SECRET_ARN_PREFIX: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail";
const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail-AbCd12";
const USER_ARN: &str = "arn:aws:iam::123456789012:user/mail";
const ROTATION_TOKEN: &str = "rotationtokenoftheevent";

fn system_time(at: Millis) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_SECONDS) + Duration::from_millis(at)
}

/// A date as JSON has it: seconds of the epoch.
fn date_of(at: Millis) -> f64 {
    DateTime::from(system_time(at)).as_secs_f64()
}

/// A date as XML has it, in whole seconds.
fn date_text(at: Millis) -> String {
    date(system_time(at))
}
