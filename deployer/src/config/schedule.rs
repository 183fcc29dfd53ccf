//! Secrets Manager's schedule expressions.
//!
//! Source: Secrets Manager user guide, "Rotation schedules", and the API's `RotationRulesType`.

use std::{collections::BTreeSet, fmt, ops::Deref, str::FromStr, time::Duration};

use serde::Serialize;

use super::{
    duration::{DAY, HOUR},
    text::InvalidValue,
};

/// When the secret rotates, in UTC: `rate(30 days)` or `cron(0 2 1 * ? *)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Schedule {
    expression: String,
    // What follows from the expression.
    #[serde(skip)]
    shortest_period: Duration,
    #[serde(skip)]
    default_window: Duration,
    #[serde(skip)]
    latest_opening: Duration,
}

impl Schedule {
    /// Regular expression for the JSON Schema; it checks the form only.
    pub(super) const PATTERN: &str = "^(rate\\([1-9][0-9]{0,4} (hours?|days?)\\)|cron\\(0 [0-9,/*-]+ [0-9L,/*?-]+ [0-9A-Z,/*-]+ [0-9A-Z#,/*?-]+ \\*\\))$";

    /// The expression, as Secrets Manager takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.expression
    }

    /// The time between the openings of two windows. If it varies: the shortest, or a lower bound of it.
    #[must_use]
    pub fn shortest_period(&self) -> Duration {
        self.shortest_period
    }

    /// The time between the openings of any two windows; none if it varies, as that of `cron()` may.
    #[must_use]
    pub fn fixed_period(&self) -> Option<Duration> {
        self.expression.starts_with("rate(").then_some(self.shortest_period)
    }

    /// How long a window may stay open if no length is set for it.
    ///
    /// AWS documents one hour for a schedule in hours and the rest of the UTC day for one in days. It does not say
    /// which of the two applies to a `cron()` with several hours: the longer one is assumed.
    #[must_use]
    pub fn default_window(&self) -> Duration {
        self.default_window
    }

    /// The latest time of a day, since midnight, at which a window opens.
    pub(super) fn latest_opening(&self) -> Duration {
        self.latest_opening
    }
}

impl Deref for Schedule {
    type Target = str;

    fn deref(&self) -> &str {
        &self.expression
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expression)
    }
}

impl FromStr for Schedule {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::exactly(text).map_err(|error| match respelled(text) {
            Some(meant) if Self::exactly(&meant).is_ok() => {
                InvalidValue { hint: format!("did you mean {meant}?"), ..error }
            }
            _ => error,
        })
    }
}

/// The text as Secrets Manager would accept it, if only letters and spaces are wrong.
fn respelled(text: &str) -> Option<String> {
    let (function, arguments) = text.trim().strip_suffix(')')?.split_once('(')?;
    let arguments = arguments.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let function = function.trim().to_lowercase();
    let arguments = if function == "rate" { arguments.to_lowercase() } else { arguments.to_uppercase() };
    Some(format!("{function}({arguments})"))
}

impl Schedule {
    fn exactly(text: &str) -> Result<Self, InvalidValue> {
        let arguments = |function: &str| text.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')');
        let schedule = match (arguments("rate"), arguments("cron")) {
            (Some(rate), _) => rate_schedule(text, rate)?,
            (_, Some(cron)) => cron_schedule(text, cron)?,
            _ => return Err(refused(text, "is not a schedule", FORMS)),
        };
        if schedule.shortest_period < SHORTEST_PERIOD {
            let hint = "rotate every four hours at most, Secrets Manager's limit: rate(4 hours) or cron(0 0/4 * * ? *)";
            return Err(refused(text, "rotates too often", hint));
        }
        Ok(schedule)
    }
}

const FORMS: &str = "write rate(30 days), rate(12 hours), or cron(0 2 1 * ? *) for 02:00 UTC on the first of a month";

/// "You can rotate a secret as often as every four hours."
const SHORTEST_PERIOD: Duration = Duration::from_hours(4);

/// "The maximum rotation period is 999 days."
const LONGEST_RATE_DAYS: u32 = 999;

/// The shortest month. Every month counts as this short, so that no period is overestimated.
const SHORTEST_MONTH_DAYS: u32 = 28;

fn refused(text: &str, why: &str, hint: impl Into<String>) -> InvalidValue {
    InvalidValue::new(format!("`{text}` {why}"), hint)
}

fn rate_schedule(text: &str, arguments: &str) -> Result<Schedule, InvalidValue> {
    let parsed = arguments.split_once(' ').and_then(|(count, unit)| {
        let is_plain = count.chars().all(|c| c.is_ascii_digit()) && !count.starts_with('0') && count.len() <= 5;
        Some((count.parse::<u32>().ok().filter(|_| is_plain)?, unit))
    });
    let Some((count, unit)) = parsed else { return Err(refused(text, "is not a rate", FORMS)) };
    let (unit, default_window) = match unit {
        "hour" | "hours" => (HOUR, HOUR),
        "day" | "days" => (DAY, DAY),
        _ => return Err(refused(text, "has an unknown unit", "write hours or days: rate(30 days)")),
    };
    let shortest_period = unit * count;
    if shortest_period > DAY * LONGEST_RATE_DAYS {
        return Err(refused(
            text,
            "is too long",
            "write rate(999 days) or less: Secrets Manager accepts no longer period",
        ));
    }
    // The windows of a rate in days open at midnight. Those of a rate in hours open at other times too, but AWS only
    // requires that such a window ends before the next one opens.
    let latest_opening = Duration::ZERO;
    Ok(Schedule { expression: text.to_owned(), shortest_period, default_window, latest_opening })
}

fn cron_schedule(text: &str, arguments: &str) -> Result<Schedule, InvalidValue> {
    let fields: Vec<&str> = arguments.split(' ').collect();
    let [minute, hours, day_of_month, month, day_of_week, year] = fields.as_slice() else {
        let hint = "the fields are minute, hour, day of month, month, day of week and year, with one space between \
                    them: cron(0 2 1 * ? *)";
        return Err(refused(text, &format!("has {} fields instead of six", fields.len()), hint));
    };
    let error = |why: &str, hint: &str| Err(refused(text, why, hint));
    if *minute != "0" {
        return error("has a minute other than 0", "begin with `cron(0 `: windows open on the hour");
    }
    if *year != "*" {
        return error("has a year other than `*`", "end with ` *)`: a schedule cannot name years");
    }
    let days_between = match (*day_of_month, *day_of_week) {
        ("?", "?") => return error("names no day", "use * in one of the two day fields: cron(0 2 * * ? *)"),
        (of_month, "?") => days_between_of_month(of_month),
        ("?", of_week) => days_between_of_week(of_week),
        _ => {
            return error(
                "names days of the month and of the week",
                "put a ? into one of the two: cron(0 2 1 * ? *) or cron(0 2 ? * SUN *)",
            );
        }
    };
    let Some(days_between) = days_between else {
        return error(
            "has a day that Secrets Manager does not accept",
            "a day of the month is 1-31 or L, a day of the week 1-7 or SUN-SAT, also SUN#1 and 1L; lists, ranges and \
             steps are allowed",
        );
    };
    let Some(months) = values(month, 1, 12, &MONTHS) else {
        return error("has a wrong month", "months are 1-12 or JAN-DEC; lists, ranges and steps are allowed");
    };
    if !happens(day_of_month, &months) {
        return error("never comes", "name a day that one of its months has");
    }
    let Some(hours) = values(hours, 0, 23, &[]) else {
        return error("has a wrong hour", "hours are 0-23; lists, ranges and steps such as 8/12 are allowed");
    };
    Ok(cron_of(text, &hours, days_between * months_between(&months, days_between)))
}

/// Whether one of the months has one of the days, at least in a leap year.
fn happens(day_of_month: &str, months: &BTreeSet<u32>) -> bool {
    let longest = months.iter().map(|month| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    });
    // What is no list of days (`?`, `L`) happens in every month.
    let first = values(day_of_month, 1, 31, &[]).and_then(|days| days.first().copied()).unwrap_or(1);
    longest.max().is_some_and(|longest| first <= longest)
}

/// Windows that open at these hours, on days that are at least `days_between` days apart.
fn cron_of(text: &str, hours: &BTreeSet<u32>, days_between: u32) -> Schedule {
    let (first, last) = (hours.first().copied().unwrap_or(0), hours.last().copied().unwrap_or(0));
    let to_next_day = days_between * 24 - last + first;
    let shortest = gaps(hours).chain([to_next_day]).min().unwrap_or(to_next_day);
    Schedule {
        expression: text.to_owned(),
        shortest_period: HOUR * shortest,
        default_window: HOUR * shortest.min(24 - first),
        latest_opening: HOUR * last,
    }
}

/// The fewest months between two of these, if there is one day in each; of several days in a month, the next one may be in the same.
fn months_between(months: &BTreeSet<u32>, days_between: u32) -> u32 {
    let (Some(first), Some(last)) = (months.first(), months.last()) else { return 1 };
    let fewest = gaps(months).chain([12 + first - last]).min().unwrap_or(1);
    if days_between == SHORTEST_MONTH_DAYS { fewest } else { 1 }
}

fn gaps(values: &BTreeSet<u32>) -> impl Iterator<Item = u32> {
    values.iter().zip(values.iter().skip(1)).map(|(earlier, later)| later - earlier)
}

/// The fewest days between two days of the month; none if the field is not valid.
///
/// Every month counts as the shortest one: the true distance is this or longer.
fn days_between_of_month(field: &str) -> Option<u32> {
    if field == "L" {
        return Some(SHORTEST_MONTH_DAYS);
    }
    let (last, days): (Vec<&str>, Vec<&str>) = field.split(',').partition(|item| *item == "L");
    let days = values(&days.join(","), 1, 31, &[])?;
    if !last.is_empty() {
        // The last day of a month may be next to any of the others.
        return Some(1);
    }
    let wrap = (SHORTEST_MONTH_DAYS + days.first()?).saturating_sub(*days.last()?).max(1);
    gaps(&days).chain([wrap]).min()
}

/// The fewest days between two days of the week; none if the field is not valid.
fn days_between_of_week(field: &str) -> Option<u32> {
    let items: Vec<&str> = field.split(',').collect();
    if let [item] = items.as_slice()
        && once_a_month(item).is_some()
    {
        return Some(SHORTEST_MONTH_DAYS);
    }
    // In a list with other days, the first Sunday counts as any Sunday.
    let weekdays: Vec<&str> = items.into_iter().map(|item| once_a_month(item).unwrap_or(item)).collect();
    let days = values(&weekdays.join(","), 1, 7, &WEEKDAYS)?;
    gaps(&days).chain([7 + days.first()? - days.last()?]).min()
}

/// The weekday of an item such as `SUN#1` (the first Sunday) or `6L` (the last Friday); none for other items.
fn once_a_month(item: &str) -> Option<&str> {
    let day = match item.split_once('#') {
        Some((day, "1" | "2" | "3" | "4" | "5")) => day,
        Some(_) => return None,
        None => item.strip_suffix('L')?,
    };
    value(day, 1, 7, &WEEKDAYS).map(|_| day)
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// All values of a field: a list of `*`, `5`, `1-5`, and any of them with a step: `*/4`, `/4`, `2/4`, `1-9/4`.
fn values(field: &str, min: u32, max: u32, names: &[&str]) -> Option<BTreeSet<u32>> {
    let mut all = BTreeSet::new();
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|step| *step > 0)?)),
            None => (item, None),
        };
        let (from, to) = match (range.split_once('-'), step) {
            _ if range == "*" || (range.is_empty() && step.is_some()) => (min, max),
            (Some((from, to)), _) => (value(from, min, max, names)?, value(to, min, max, names)?),
            (None, Some(_)) => (value(range, min, max, names)?, max),
            (None, None) => (value(range, min, max, names)?, value(range, min, max, names)?),
        };
        if from > to {
            return None;
        }
        all.extend((from..=to).step_by(usize::try_from(step.unwrap_or(1)).ok()?));
    }
    Some(all)
}

fn value(text: &str, min: u32, max: u32, names: &[&str]) -> Option<u32> {
    let by_name = || names.iter().position(|name| *name == text).and_then(|at| u32::try_from(at + 1).ok());
    let number = text.parse().ok().filter(|_| text.chars().all(|c| c.is_ascii_digit()));
    number.or_else(by_name).filter(|value| (min..=max).contains(value))
}
