//! Whether a rotation should have happened and did not. Pure. AWS tells nobody of one that it never attempted.

use std::time::{Duration, SystemTime};

use contract::{AWSPENDING, Command, Text, text};

use crate::date::date;

/// Added to the end of a window: a rotation that began in its last minutes may still run, and Secrets Manager promises no
/// punctuality. The daily rule notices an overdue rotation a day later at most.
const SLACK: Duration = Duration::from_hours(3);

/// When Secrets Manager is to rotate a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// When the next rotation begins at the latest: the end of its window (Secrets Manager API reference, NextRotationDate). It is in the past
    /// if that rotation did not succeed.
    pub(crate) next: Option<SystemTime>,
    /// When anything of the secret was last changed: its schedule, at the latest, was set then.
    pub(crate) last_changed: Option<SystemTime>,
}

/// How the rotations of a secret stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotations<'a> {
    /// The secret's ARN.
    pub(crate) secret: &'a str,
    /// Whether rotation is not turned off.
    pub(crate) enabled: bool,
    /// None if rotation was never set up.
    pub(crate) schedule: Option<&'a Schedule>,
    /// When a rotation last completed.
    pub(crate) last_rotated: Option<SystemTime>,
    /// The version of an open rotation.
    pub(crate) open: Option<&'a str>,
}

/// Why a rotation should have happened and did not, with what to do; none if none is due.
#[must_use]
pub(crate) fn overdue(rotations: Rotations<'_>, now: SystemTime) -> Option<Text> {
    let Rotations { secret, enabled, schedule, last_rotated, open } = rotations;
    let schedule = schedule.filter(|_| enabled)?;
    let due = match schedule.next {
        Some(next) => Some(next),
        // Without a date for the next one, a secret that was never rotated is due since it was set up.
        None if last_rotated.is_none() => schedule.last_changed,
        None => return None,
    };
    if due.is_some_and(|due| due + SLACK >= now) {
        return None;
    }
    let due = due.map_or_else(|| "it has no date".to_owned(), |due| format!("it was due by {}", date(due)));
    let last = last_rotated.map_or_else(
        || "no rotation of this secret has ever completed".to_owned(),
        |last| format!("the last completed rotation was at {}", date(last)),
    );
    let found = format!("a rotation of {secret} is overdue ({due})");
    Some(match open {
        Some(version) => format!(
            "{found}: it was attempted and failed, and is still open (version {version}); {last}; the function's log says why it \
             failed"
        )
        .into(),
        None => text![
            format!("{found}: it was never attempted, or somebody cleared {AWSPENDING}; {last}; "),
            Command::deployer("recover"),
            " shows what is in the way of one, and makes it",
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_secs(1);
    const HOUR: u64 = 60 * 60;
    const DAY: u64 = 24 * HOUR;

    /// Ten in the morning of some day.
    fn ten() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * DAY + 10 * HOUR)
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * HOUR)
    }

    /// The window of the next rotation ends at ten.
    fn at_ten() -> Schedule {
        Schedule { next: Some(ten()), last_changed: None }
    }

    /// Rotated a month ago, and no rotation is open.
    fn of(schedule: &Schedule) -> Rotations<'_> {
        let last_rotated = Some(ten() - hours(720));
        Rotations { secret: "arn", enabled: true, schedule: Some(schedule), last_rotated, open: None }
    }

    #[test]
    fn a_rotation_is_overdue_some_hours_after_its_window() {
        let limit = ten() + SLACK;
        assert_eq!(overdue(of(&at_ten()), limit), None);
        let sentence = overdue(of(&at_ten()), limit + TICK).unwrap().to_string();
        assert!(sentence.contains("due by 2024-10-04T10:00:00Z"), "{sentence}");
    }

    #[test]
    fn an_attempt_that_failed_is_told_from_one_that_never_was() {
        let late = ten() + hours(100);
        let schedule = at_ten();
        let never = overdue(of(&schedule), late).unwrap().to_string();
        assert!(never.contains("never attempted") && never.contains("deployer recover"), "{never}");
        let failed = overdue(Rotations { open: Some("v2"), ..of(&schedule) }, late).unwrap().to_string();
        assert!(failed.contains("still open (version v2)") && !failed.contains("never attempted"), "{failed}");
    }

    #[test]
    fn a_secret_that_was_never_rotated_is_overdue_with_and_without_a_date() {
        let never = |next, last_changed| {
            let schedule = Schedule { next, last_changed };
            overdue(Rotations { last_rotated: None, ..of(&schedule) }, ten())
        };
        assert_eq!(never(Some(ten() + hours(24)), None), None, "it is still to come");
        assert_eq!(never(None, Some(ten() - SLACK)), None, "it was just set up");
        for sentence in [never(Some(ten() - hours(8)), None), never(None, Some(ten() - hours(8))), never(None, None)] {
            assert!(sentence.unwrap().to_string().contains("no rotation of this secret has ever completed"));
        }
    }

    #[test]
    fn if_rotation_is_off_or_was_never_set_up_none_is_overdue() {
        let late = ten() + hours(100);
        let schedule = at_ten();
        assert_eq!(overdue(Rotations { enabled: false, ..of(&schedule) }, late), None);
        assert_eq!(overdue(Rotations { schedule: None, ..of(&schedule) }, late), None);
    }
}
