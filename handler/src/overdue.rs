//! Whether a rotation should have happened and did not. Pure. AWS tells nobody of one that it never attempted.

use std::time::{Duration, SystemTime};

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;

use crate::{secret::Secret, time::date};

/// After the end of a window. A rotation that began in its last minutes may still run, and Secrets Manager promises no
/// punctuality; who asks once a day learns of it a day later at most.
const SLACK: Duration = Duration::from_hours(3);

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// When Secrets Manager is to rotate a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// When the next rotation begins, or latest begins; in the past where it did not succeed.
    pub next: Option<SystemTime>,
    /// How long after that it may begin.
    pub window: Window,
    /// When anything of the secret was last changed: its schedule, at the latest, was set then.
    pub last_changed: Option<SystemTime>,
}

/// The rotation window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// Until the end of the UTC day in which it opens.
    #[default]
    RestOfDay,
    /// So many hours.
    Hours(u64),
}

impl Schedule {
    /// The schedule in DescribeSecret's answer; none where the secret was never set up for rotation.
    #[must_use]
    pub fn of(answer: &DescribeSecretOutput) -> Option<Self> {
        let rules = answer.rotation_rules()?;
        let time = |date: Option<&aws_smithy_types::DateTime>| date.and_then(|date| SystemTime::try_from(*date).ok());
        Some(Self {
            next: time(answer.next_rotation_date()),
            window: Window::of(rules.duration(), rules.schedule_expression()),
            last_changed: time(answer.last_changed_date()),
        })
    }
}

impl Window {
    /// Without a duration the window of a schedule in hours closes after one hour and that of one in days with the UTC day
    /// (Secrets Manager API reference, RotationRulesType). Of a cron expression the longer of both is taken.
    fn of(duration: Option<&str>, expression: Option<&str>) -> Self {
        let hours = duration.and_then(|text| text.strip_suffix('h')?.parse().ok());
        let is_in_hours = expression.is_some_and(|text| text.starts_with("rate(") && text.contains("hour"));
        match hours {
            Some(hours) => Self::Hours(hours),
            None if is_in_hours => Self::Hours(1),
            None => Self::RestOfDay,
        }
    }

    fn end(self, begin: SystemTime) -> SystemTime {
        match self {
            Self::Hours(hours) => begin + Duration::from_secs(hours * HOUR),
            Self::RestOfDay => {
                let seconds = begin.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
                SystemTime::UNIX_EPOCH + Duration::from_secs((seconds / DAY + 1) * DAY)
            }
        }
    }
}

/// Why a rotation should have happened and did not, as a sentence; none where none is due.
#[must_use]
pub fn overdue(secret: &Secret, now: SystemTime) -> Option<String> {
    let schedule = secret.schedule.as_ref().filter(|_| secret.rotation_enabled)?;
    let due = match schedule.next {
        Some(next) => Some(schedule.window.end(next)),
        // Without a date for the next one, a secret that was never rotated is due since it was set up.
        None if secret.last_rotated.is_none() => schedule.last_changed,
        None => return None,
    };
    if due.is_some_and(|due| due + SLACK >= now) {
        return None;
    }
    let due = due.map_or_else(|| "it has no date".to_owned(), |due| format!("it was due until {}", date(due)));
    let last = secret.last_rotated.map_or_else(
        || "no rotation of this secret has ever completed".to_owned(),
        |last| format!("the last completed rotation was at {}", date(last)),
    );
    Some(match secret.open_rotation() {
        Some(version) => format!(
            "a rotation of {} is overdue ({due}): it was attempted, failed, and is still open since version {version} was \
             made; {last}; the function's log says why it failed",
            secret.arn
        ),
        None => format!(
            "a rotation of {} is overdue ({due}): it was never attempted, or somebody gave it up by clearing AWSPENDING; \
             {last}; look with `deployer plan` whether Secrets Manager may invoke the function, then run `deployer rotate`",
            secret.arn
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{AWSCURRENT, AWSPENDING};

    const TICK: Duration = Duration::from_secs(1);

    /// Ten in the morning of some day.
    fn ten() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * DAY + 10 * HOUR)
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * HOUR)
    }

    /// Its next rotation is at ten, with a window of four hours.
    fn scheduled() -> Secret {
        Secret {
            arn: "arn".into(),
            rotation_enabled: true,
            last_rotated: Some(ten() - hours(720)),
            schedule: Some(Schedule { next: Some(ten()), window: Window::Hours(4), last_changed: None }),
            versions: [("v1".to_owned(), vec![AWSCURRENT.to_owned(), AWSPENDING.to_owned()])].into(),
        }
    }

    #[test]
    fn a_rotation_is_overdue_some_hours_after_its_window() {
        let limit = ten() + hours(4) + SLACK;
        assert_eq!(overdue(&scheduled(), limit), None);
        let sentence = overdue(&scheduled(), limit + TICK).unwrap();
        assert!(sentence.contains("due until 2024-10-04T14:00:00Z"), "{sentence}");
    }

    #[test]
    fn without_a_duration_the_window_ends_with_the_day_or_after_an_hour() {
        for (duration, expression, ends) in [
            (Some("4h"), Some("rate(30 days)"), 4),
            (None, None, 14),
            (None, Some("rate(30 days)"), 14),
            (None, Some("cron(0 10 ? * MON *)"), 14),
            (None, Some("rate(12 hours)"), 1),
            (Some("2h"), Some("rate(12 hours)"), 2),
        ] {
            assert_eq!(Window::of(duration, expression).end(ten()), ten() + hours(ends), "{duration:?} {expression:?}");
        }
    }

    #[test]
    fn an_attempt_that_failed_is_told_from_one_that_never_was() {
        let late = ten() + hours(100);
        let never = overdue(&scheduled(), late).unwrap();
        assert!(never.contains("never attempted") && never.contains("deployer rotate"), "{never}");
        let mut failed = scheduled();
        failed.versions =
            [("v1".to_owned(), vec![AWSCURRENT.into()]), ("v2".to_owned(), vec![AWSPENDING.into()])].into();
        let failed = overdue(&failed, late).unwrap();
        assert!(failed.contains("still open since version v2") && !failed.contains("never attempted"), "{failed}");
    }

    #[test]
    fn a_secret_that_was_never_rotated_is_overdue_with_and_without_a_date() {
        let never = |next, last_changed| {
            let schedule = Some(Schedule { next, last_changed, window: Window::Hours(4) });
            overdue(&Secret { last_rotated: None, schedule, ..scheduled() }, ten())
        };
        assert_eq!(never(Some(ten() + hours(24)), None), None, "it is still to come");
        assert_eq!(never(None, Some(ten() - SLACK)), None, "it was just set up");
        for sentence in [never(Some(ten() - hours(8)), None), never(None, Some(ten() - hours(8))), never(None, None)] {
            assert!(sentence.unwrap().contains("no rotation of this secret has ever completed"));
        }
    }

    #[test]
    fn where_rotation_is_off_or_was_never_set_up_none_is_overdue() {
        let late = ten() + hours(100);
        assert_eq!(overdue(&Secret { rotation_enabled: false, ..scheduled() }, late), None);
        assert_eq!(overdue(&Secret { schedule: None, ..scheduled() }, late), None);
    }
}
