//! Which access keys go soon, for those who may still need one. Pure: a report in, sentences out.

use std::time::Duration;

use contract::{KeyReport, KeyVerdict, Report, Text, WayOut};

use crate::config;

/// A sentence for each key that the daily upkeep is about to make Inactive or to delete. A date is the earliest one: use keeps a key.
pub(crate) fn coming(report: &Report, keep_inactive: Duration) -> Vec<Text> {
    report.keys.iter().filter_map(|key| of_key(key, keep_inactive)).collect()
}

/// What happens to a key soon; none if it stays.
pub(crate) fn fate(key: &KeyReport, keep_inactive: Duration) -> Option<String> {
    match (&key.verdict, &key.inactive_since) {
        (KeyVerdict::MayGo(reason), _) => Some(format!("goes with the next daily upkeep or rotation ({reason})")),
        // The function made it Inactive, and only the time that it has to be Inactive keeps it.
        (KeyVerdict::MustStay { until: Some(until), .. }, Some(_)) => {
            Some(format!("will be deleted on {until} at the earliest, or by a rotation before that"))
        }
        (KeyVerdict::MustStay { until: Some(until), way_out: Some(WayOut::Leaked), .. }, None) => Some(format!(
            "will be made Inactive on {until} at the earliest, and deleted {} later, or by a rotation before that",
            config::spell(keep_inactive)
        )),
        (KeyVerdict::MustStay { .. }, _) => None,
    }
}

fn of_key(key: &KeyReport, keep_inactive: Duration) -> Option<Text> {
    let what = fate(key, keep_inactive)?;
    let used = key.last_use();
    Some(format!("access key {}, {used}, {what}", key.key).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(inactive_since: Option<&str>, verdict: KeyVerdict) -> Option<String> {
        let key = KeyReport {
            key: "AKIA".into(),
            active: inactive_since.is_none(),
            created: None,
            last_used: Some("2026-01-01T00:00:00Z".into()),
            last_use_is_unknown: false,
            inactive_since: inactive_since.map(str::to_owned),
            verdict,
        };
        of_key(&key, Duration::from_hours(72)).map(|text| text.to_string())
    }

    fn stays(way_out: Option<WayOut>) -> KeyVerdict {
        KeyVerdict::MustStay { reason: "r".into(), until: Some("2026-01-05T00:00:00Z".into()), way_out }
    }

    #[test]
    fn a_key_that_only_its_grace_keeps_is_announced_and_one_that_more_keeps_is_not() {
        let expected = "access key AKIA, last used 2026-01-01T00:00:00Z, will be made Inactive on 2026-01-05T00:00:00Z at the \
                        earliest, and deleted 3d later, or by a rotation before that";
        assert_eq!(sentence(None, stays(Some(WayOut::Leaked))).as_deref(), Some(expected));
        assert_eq!(sentence(None, stays(None)), None);
    }

    #[test]
    fn an_inactive_key_is_announced_with_the_day_of_its_deletion() {
        let expected = "access key AKIA, last used 2026-01-01T00:00:00Z, will be deleted on 2026-01-05T00:00:00Z at the earliest, or by a rotation \
             before that";
        assert_eq!(sentence(Some("2026-01-02T00:00:00Z"), stays(None)).as_deref(), Some(expected));
        let gone = sentence(None, KeyVerdict::MayGo("it is superseded".into())).unwrap();
        assert!(gone.ends_with("goes with the next daily upkeep or rotation (it is superseded)"), "{gone}");
    }
}
