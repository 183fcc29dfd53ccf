//! Dates as people read them: RFC 3339, UTC, without fractions of a second.

use std::time::SystemTime;

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
