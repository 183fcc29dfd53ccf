//! How long an access key can live at most, by what the file declares. Pure.

use std::time::Duration;

use crate::config::Config;

/// The upkeep comes once a day: `rate(1 day)` of `kinds/upkeep.rs`.
const UPKEEP_EVERY: Duration = Duration::from_hours(24);

/// The longest times of a key that no host goes on using, if rotations succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyLife {
    /// From CreateAccessKey until it is Inactive or deleted.
    pub(crate) active: Duration,
    /// From CreateAccessKey until it is deleted.
    pub(crate) exists: Duration,
}

impl KeyLife {
    /// None if the schedule's period varies: then no bound follows from the file.
    ///
    /// A key is made when a window opens, or later. The next rotation makes it superseded: the next window opens one `period` after
    /// that, the rotation begins before the `window` ends, and takes its steps. Then `keep_previous` has to pass, and the upkeep that
    /// makes the key Inactive comes at most a day later. It is Inactive for `keep_inactive`, and again the upkeep that deletes it
    /// comes at most a day later. Without `keep_inactive`, the first of the two deletes it.
    ///
    /// A rotation that needs the slot deletes the key sooner. Use after the grace keeps it longer, since a host may need it.
    pub(crate) fn longest(config: &Config) -> Option<Self> {
        let rotation = &config.rotation;
        let period = rotation.schedule.fixed_period()?;
        let window = rotation.window.unwrap_or_else(|| rotation.schedule.default_window());
        let superseded = period + window + config.function.longest_rotation();
        let active = superseded + rotation.keep_previous + UPKEEP_EVERY;
        let inactive =
            if rotation.keep_inactive.is_zero() { Duration::ZERO } else { rotation.keep_inactive + UPKEEP_EVERY };
        Some(Self { active, exists: active + inactive })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    const HOUR: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);

    fn longest(rotation: &str) -> Option<KeyLife> {
        let text = format!(
            "name: m\nregion: eu-west-1\nsecret: {{name: s}}\niam_user: {{name: u}}\nfunction: {{timeout: 5m}}\nrotation: {{{rotation}}}\n"
        );
        KeyLife::longest(&parse(Path::new("m.yaml"), &text).unwrap()[0])
    }

    #[test]
    fn a_key_lives_from_the_opening_of_its_window_to_the_upkeep_after_its_grace() {
        let steps = HOUR / 3;
        let active = DAY * 30 + HOUR * 4 + steps + DAY + DAY;
        let life = longest("schedule: rate(30 days), window: 4h, keep_previous: 24h, keep_inactive: 72h").unwrap();
        assert_eq!(life, KeyLife { active, exists: active + DAY * 3 + DAY });
        let life = longest("schedule: rate(30 days), window: 4h, keep_previous: 24h, keep_inactive: 0s").unwrap();
        assert_eq!(life, KeyLife { active, exists: active });
    }

    #[test]
    fn a_schedule_whose_period_varies_gives_no_bound() {
        assert_eq!(longest("schedule: cron(0 2 1 * ? *)"), None);
    }
}
