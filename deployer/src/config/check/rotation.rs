//! `rotation`: the schedule, and the times that have to fit into its period.

use std::time::Duration;

use crate::config::{
    Rotation, Schedule,
    duration::{DAY, HOUR, is_zero, spell},
    node::{At, Found},
    raw::{self, RawRotation},
    reader::{Reader, if_given, or_default},
};

impl Reader<'_> {
    pub(super) fn rotation(&mut self, raw: &RawRotation) -> Option<Rotation> {
        let schedule = match raw.schedule.get() {
            Some(leaf) => self.parsed::<Schedule>("rotation.schedule", leaf),
            None => raw::DEFAULT_SCHEDULE.parse().ok(),
        };
        let window = if_given(&raw.window, |leaf| {
            let window = self.duration("rotation.window", leaf)?;
            if !window.as_secs().is_multiple_of(HOUR.as_secs()) {
                return self.refuse(leaf.at, "`rotation.window` is not in whole hours", "write 1h to 24h");
            }
            Some((window, leaf.at))
        });
        let rotate_on_create = or_default(&raw.rotate_on_create, raw::DEFAULT_ROTATE_ON_CREATE, |leaf| {
            self.flag("rotation.rotate_on_create", leaf)
        });
        let keep = if_given(&raw.keep_previous, |leaf| self.duration("rotation.keep_previous", leaf));

        let keep_inactive = if_given(&raw.keep_inactive, |leaf| match &leaf.found {
            Found::Text(text) if is_zero(text) => Some((Duration::ZERO, leaf.at)),
            _ => self.duration("rotation.keep_inactive", leaf).map(|keep| (keep, leaf.at)),
        });

        // Several of these may not fit together. In place of one that is wrong by itself stands the least that it could be.
        let schedule = schedule?;
        let window = window.and_then(|window| match window {
            Some((window, at)) => self.window_fits(&schedule, window, at).map(|()| Some(window)),
            None => Some(None),
        });
        let (least_window, least_keep) = (window.unwrap_or(Some(HOUR)), keep.unwrap_or(Some(Duration::ZERO)));
        let (fitting, keep_previous) = defaults_that_fit(&schedule, least_window, least_keep);
        let grace = self.grace_fits(raw, &schedule, fitting, keep_previous);
        let least_keep = if grace.is_some() { keep_previous } else { Duration::ZERO };
        let keep_inactive = keep_inactive.and_then(|asked| self.inactive_fits(&schedule, least_keep, asked));
        let is_wrong = window.is_none() || keep.is_none() || grace.is_none();
        let (window, rotate_on_create, keep_inactive) = (fitting, rotate_on_create?, keep_inactive?);
        (!is_wrong).then_some(Rotation { schedule, window, rotate_on_create, keep_previous, keep_inactive })
    }

    /// The rules for a window's length: not into the next window, not into the next UTC day.
    fn window_fits(&mut self, schedule: &Schedule, window: Duration, at: At) -> Option<()> {
        let longest = longest_window(schedule);
        if window > longest {
            let message = format!("a window of {} does not fit the schedule {schedule}", spell(window));
            let hint = format!(
                "write at most {}: a window must end before the next one opens and before midnight UTC",
                hours(longest)
            );
            return self.conflict(at, message, hint);
        }
        Some(())
    }

    /// The previous key occupies the slot that the next rotation needs, so its grace must be over when a window opens.
    ///
    /// A rotation may begin at any time of its window, and the next one when the next window opens.
    fn grace_fits(
        &mut self,
        raw: &RawRotation,
        schedule: &Schedule,
        window: Option<Duration>,
        keep: Duration,
    ) -> Option<()> {
        let period = schedule.shortest_period();
        let open = window.unwrap_or(schedule.default_window());
        let longest = period.saturating_sub(open);
        if keep <= longest {
            return Some(());
        }
        let at = raw.keep_previous.get().map(|leaf| leaf.at).or(raw.schedule.get().map(|leaf| leaf.at))?;
        let message = format!(
            "the previous key would still be kept when the next window opens: `keep_previous` is {}, a rotation may begin up \
             to {} after its window opens, and the next window may open {} after the last one",
            spell(keep),
            spell(open),
            spell(period),
        );
        let mut ways = Vec::new();
        if let Some(shorter) = period.checked_sub(keep).filter(|window| *window >= HOUR) {
            ways.push(format!("set `rotation.window` to {} or less", hours(shorter)));
        }
        if !longest.is_zero() {
            ways.push(format!("set `rotation.keep_previous` to {} or less", spell(longest)));
        }
        if ways.is_empty() {
            ways.push("set a shorter `rotation.keep_previous`, and a `rotation.window`".to_owned());
        }
        self.conflict(at, message, ways.join(", or "))
    }

    /// How long a key is Inactive. The daily upkeep makes it so up to a day after its grace, and deletes it up to a day late: both
    /// have to fit in before the next rotation. Without a value it is [`raw::DEFAULT_KEEP_INACTIVE`], or nothing if that does not fit.
    fn inactive_fits(
        &mut self,
        schedule: &Schedule,
        keep_previous: Duration,
        asked: Option<(Duration, At)>,
    ) -> Option<Duration> {
        let room = schedule.shortest_period().saturating_sub(keep_previous + 2 * DAY);
        match asked {
            None if room >= raw::DEFAULT_KEEP_INACTIVE => Some(raw::DEFAULT_KEEP_INACTIVE),
            None => Some(Duration::ZERO),
            Some((keep, _)) if keep <= room => Some(keep),
            Some((keep, at)) => self.conflict(
                at,
                format!("the next rotation would come before a key has been Inactive for {}", spell(keep)),
                format!("write at most {}: `keep_previous` and two days for the daily upkeep come before", spell(room)),
            ),
        }
    }
}

/// The window and the grace, with defaults for those that the file leaves out: one that fits the other, if there is one.
///
/// Within a day, programs that cache the credential fetch the new one. The other half of a short period is left for a late
/// rotation, which needs a free slot. AWS's own default of a window may last as long as the period (`rate(1 day)`), and
/// leave no time for a grace; then the window gets the half that the grace leaves.
fn defaults_that_fit(
    schedule: &Schedule,
    window: Option<Duration>,
    keep: Option<Duration>,
) -> (Option<Duration>, Duration) {
    let period = schedule.shortest_period();
    let wanted = keep.unwrap_or(raw::DEFAULT_KEEP_PREVIOUS.min(period / 2));
    match window {
        None if schedule.default_window() + wanted > period => {
            let left = (period / 2).min(period.saturating_sub(wanted)).min(longest_window(schedule));
            let whole_hours = HOUR * u32::try_from(left.as_secs() / HOUR.as_secs()).unwrap_or(u32::MAX);
            (Some(whole_hours).filter(|window| !window.is_zero()), wanted)
        }
        Some(window) if keep.is_none() && window < period => (Some(window), wanted.min(period.saturating_sub(window))),
        window => (window, wanted),
    }
}

/// A window ends before the next one opens, and before the next UTC day.
fn longest_window(schedule: &Schedule) -> Duration {
    schedule.shortest_period().min(DAY.saturating_sub(schedule.latest_opening()))
}

/// Whole hours, rounded down.
fn hours(duration: Duration) -> String {
    format!("{}h", duration.as_secs() / HOUR.as_secs())
}
