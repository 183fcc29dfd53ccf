//! Dates as people and programs read them.

use std::time::SystemTime;

use aws_smithy_types::{DateTime, date_time::Format};

/// RFC 3339, UTC, the second that the time is in.
#[must_use]
pub(crate) fn date(time: SystemTime) -> String {
    let second = DateTime::from_secs(DateTime::from(time).secs());
    second.fmt(Format::DateTime).unwrap_or_else(|_| "an unknown date".to_owned())
}

/// Reads such a date.
#[must_use]
pub(crate) fn parse(date: &str) -> Option<SystemTime> {
    SystemTime::try_from(DateTime::from_str(date, Format::DateTime).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_date_is_in_whole_seconds() {
        let time = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(date(time(1_700_000_000_987)), "2023-11-14T22:13:20Z");
        assert_eq!(parse("2023-11-14T22:13:20Z"), Some(time(1_700_000_000_000)));
        assert_eq!(parse("soon"), None);
    }
}
