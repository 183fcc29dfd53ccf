use std::{borrow::Cow, fmt::Write as _, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize as _, Serializer};

use super::text::InvalidValue;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const DAY: Duration = Duration::from_hours(24);

const UNITS: [(char, Duration); 4] = [('d', DAY), ('h', HOUR), ('m', MINUTE), ('s', SECOND)];

/// Limit on a number's length: six digits of days are enough, and cannot overflow.
const MAX_DIGITS: usize = 6;

/// What a duration looks like in the YAML, for the schema.
pub(super) struct DurationText;

impl DurationText {
    /// Regular expression for the JSON Schema.
    pub(super) const PATTERN: &str = "^[1-9][0-9]{0,5}[smhd]$";
}

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": Self::PATTERN })
    }
}

/// Reads `30s`, `2m`, `24h` or `30d`.
pub(crate) fn parse(text: &str) -> Result<Duration, InvalidValue> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = UNITS.iter().find(|(letter, _)| unit.chars().eq([*letter]));
    let count =
        number.parse().ok().filter(|count| *count > 0 && number.len() <= MAX_DIGITS && !number.starts_with('0'));
    match (count, unit) {
        (Some(count), Some((_, unit))) => Ok(*unit * count),
        _ if is_zero(text) => Err(InvalidValue::new(format!("`{text}` is no time"), "write at least 1s")),
        _ => Err(InvalidValue::new(
            format!("`{text}` is not a duration"),
            "write a whole number and one unit: 30s, 2m, 24h or 30d",
        )),
    }
}

/// Whether a text is a duration of nothing, in any unit: `0s`, `0h`.
pub(super) fn is_zero(text: &str) -> bool {
    text.strip_suffix(UNITS.map(|(letter, _)| letter)).is_some_and(|number| number == "0")
}

/// The shortest way to write a duration of whole seconds: `90s` is `1m30s`, a day is `24h`, more whole days `30d`.
pub(crate) fn spell(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let days = DAY.as_secs();
    if seconds > days && seconds.is_multiple_of(days) {
        return format!("{}d", seconds / days);
    }
    let mut text = String::new();
    for (count, unit) in [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")] {
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Writes a duration of whole seconds as [`spell`] does.
pub(super) fn spelled<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&spell(*duration))
}

/// Writes a duration of whole seconds, or null.
#[expect(clippy::ref_option, reason = "Serde calls it so")]
pub(super) fn spelled_if_given<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(spell).serialize(serializer)
}
