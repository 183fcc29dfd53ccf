//! Dates as people read them: RFC 3339, UTC, without fractions of a second.

use std::time::{Duration, SystemTime};

use aws_smithy_types::{DateTime, date_time::Format};

/// The date as text.
pub(crate) fn rfc3339(date: DateTime) -> String {
    // Formatting fails only beyond the year 9999.
    DateTime::from_secs(date.secs()).fmt(Format::DateTime).unwrap_or_default()
}

/// This machine's time.
pub(crate) fn now() -> String {
    rfc3339(DateTime::from(SystemTime::now()))
}

/// A date, and how far off it is: `2026-01-02T00:00:00Z (3 days ago)`; the text alone if it is no date.
pub(crate) fn with_distance(date: &str, now: SystemTime) -> String {
    distance(date, now).map_or_else(|| date.to_owned(), |distance| format!("{date} ({distance})"))
}

/// How far off a date is: `3 days ago`, `in 27 days`; the text if it is no date.
pub(crate) fn relative(date: &str, now: SystemTime) -> String {
    distance(date, now).unwrap_or_else(|| date.to_owned())
}

fn distance(date: &str, now: SystemTime) -> Option<String> {
    let date = DateTime::from_str(date, Format::DateTime).ok().and_then(|date| SystemTime::try_from(date).ok())?;
    Some(match now.duration_since(date) {
        Ok(age) => format!("{} ago", rough(age)),
        Err(ahead) => format!("in {}", rough(ahead.duration())),
    })
}

/// A duration in the unit that a person would choose.
pub(crate) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_told_in_the_unit_that_a_person_would_choose() {
        let day = 86_400;
        for (seconds, text) in
            [(119, "119 s"), (120, "2 min"), (7200, "2 h"), (2 * day, "2 days"), (90 * day, "90 days")]
        {
            assert_eq!(rough(Duration::from_secs(seconds)), text);
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_mins(3);
        assert_eq!(with_distance("1970-01-01T00:00:00Z", now), "1970-01-01T00:00:00Z (3 min ago)");
        assert_eq!(relative("1970-01-02T00:03:00Z", now), "in 24 h");
        assert_eq!((with_distance("unknown", now), relative("unknown", now)), ("unknown".into(), "unknown".into()));
    }
}
