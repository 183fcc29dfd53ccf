//! Dates as people and programs read them.

use std::time::SystemTime;

use aws_smithy_types::{DateTime, date_time::Format};

/// RFC 3339, UTC, the second that the time is in.
#[must_use]
pub(crate) fn date(time: SystemTime) -> String {
    let second = DateTime::from_secs(DateTime::from(time).secs());
    second.fmt(Format::DateTime).unwrap_or_else(|_| "an unknown date".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_date_is_in_whole_seconds() {
        assert_eq!(date(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_987)), "2023-11-14T22:13:20Z");
    }
}
