//! Whether a key may be deleted although no rotation needs its slot. Pure.

use std::{fmt, time::SystemTime};

use contract::{AWSCURRENT, AWSPENDING, DEPLOYING, TOLD, WayOut};

use super::keys::{self, Consent, KeptKey, MayGo, MustStay, Situation, UsedKey, Verdict};

/// Why no key at all is deleted: hosts may be switching, or may use another credential than AWSCURRENT's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unsettled {
    /// A rotation is open.
    RotationOpen {
        /// Its version.
        version: String,
    },
    /// A label that says what hosts have does not name AWSCURRENT's key.
    HostsNotOnCurrent {
        /// TOLD or DEPLOYING.
        label: &'static str,
        /// Its version.
        version: Option<String>,
    },
    /// AWSCURRENT's key is Inactive or deleted.
    CurrentKeyNotActive { key: String },
}

/// Why a key is not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// No key is deleted.
    Unsettled(Unsettled),
    /// This key is not deleted.
    Key(KeptKey),
}

/// Whether a key may be deleted without a rotation that needs its slot.
///
/// What protects a key from deletion for a rotation protects it here, too. Besides, everything has to be settled: nothing is
/// urgent here, and the next rotation settles it. One exception: labels say nothing of a key that no version names and that was
/// never used. A person who looked at such a key may delete it while no rotation is open that could have made it.
pub(crate) fn decide(situation: &Situation, key: &UsedKey, consent: Consent) -> Result<MayGo, Held> {
    let verdict = keys::judge_with(situation, key, consent);
    let is_looked_at_orphan = consent == Consent::Orphan && verdict == Verdict::MayGo(MayGo::Orphan);
    if consent == Consent::Orphan && !is_looked_at_orphan {
        // Whoever looked at an orphan vouches for nothing else.
        return decide(situation, key, Consent::None);
    }
    match unsettled(situation) {
        Some(found) if !is_looked_at_orphan || matches!(found, Unsettled::RotationOpen { .. }) => {
            Err(Held::Unsettled(found))
        }
        _ => match verdict {
            Verdict::MayGo(_) if consent == Consent::None && may_have_been_current(situation, key) => {
                let ends = may_have_been_current_until(situation, key);
                let (reason, until) = (MustStay::InGrace { ends }, ends.map(keys::next_second));
                Err(Held::Key(KeptKey { key: key.clone(), reason, until, now: situation.now }))
            }
            Verdict::MayGo(reason) => Ok(reason),
            Verdict::MustStay(reason) => {
                let kept = KeptKey::new(situation, key, reason);
                let ends = may_have_been_current_until(situation, key).map(keys::next_second);
                Err(Held::Key(KeptKey {
                    until: kept.until.map(|until| ends.map_or(until, |ends| until.max(ends))),
                    ..kept
                }))
            }
        },
    }
}

/// An operator who moves AWSCURRENT makes another key the previous one, and AWS keeps only the date of the secret's last change.
/// So any key may have been current within a grace of that date. A rotation that needs a slot changes that date itself, and so
/// does the label of a key that was made Inactive; nobody can use such a key.
fn may_have_been_current_until(situation: &Situation, key: &UsedKey) -> Option<SystemTime> {
    let is_waiting = !key.key.active && situation.inactive_since.contains_key(&key.key.id);
    situation.last_changed.filter(|_| !is_waiting).map(|changed| changed + situation.keep_previous)
}

fn may_have_been_current(situation: &Situation, key: &UsedKey) -> bool {
    may_have_been_current_until(situation, key).is_some_and(|ends| situation.now < ends)
}

/// The event that would delete a key that otherwise stays: the decision of both events, asked beforehand.
#[must_use]
pub(crate) fn way_out(situation: &Situation, key: &UsedKey) -> Option<WayOut> {
    let may_go = |consent| decide(situation, key, consent).is_ok();
    let is_in_grace = matches!(keys::judge(situation, key), Verdict::MustStay(MustStay::InGrace { .. }));
    if is_in_grace && may_go(Consent::Leaked) {
        Some(WayOut::Leaked)
    } else {
        may_go(Consent::Orphan).then_some(WayOut::RetireOrphan)
    }
}

/// Why no key is deleted now.
#[must_use]
pub(crate) fn unsettled(situation: &Situation) -> Option<Unsettled> {
    if let Some(pending) = situation.labelled(AWSPENDING).filter(|version| !version.has(AWSCURRENT)) {
        return Some(Unsettled::RotationOpen { version: pending.id.clone() });
    }
    let current = situation.key_labelled(AWSCURRENT);
    let elsewhere = |label: &&str| current.is_none() || situation.key_labelled(label) != current;
    if let Some(label) = [DEPLOYING, TOLD].into_iter().find(elsewhere) {
        let version = situation.labelled(label).map(|version| version.id.clone());
        return Some(Unsettled::HostsNotOnCurrent { label, version });
    }
    let key = current?;
    let is_active = situation.keys.iter().any(|it| it.key.active && it.key.id == key);
    (!is_active).then(|| Unsettled::CurrentKeyNotActive { key: key.to_owned() })
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RotationOpen { version } => {
                write!(f, "a rotation is open (version {version} is {AWSPENDING}), and hosts may be switching")
            }
            Self::HostsNotOnCurrent { label, version: Some(version) } => write!(
                f,
                "hosts may have another access key than {AWSCURRENT}'s: version {version} is labelled {label}"
            ),
            Self::HostsNotOnCurrent { label, version: None } => {
                write!(f, "no version is labelled {label}, so it is not known that the hosts have {AWSCURRENT}'s key")
            }
            Self::CurrentKeyNotActive { key } => {
                write!(f, "{AWSCURRENT}'s access key {key} is Inactive or deleted, so a host may use another")
            }
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsettled(found) => found.fmt(f),
            Self::Key(kept) => kept.reason.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::AWSPREVIOUS;
    use proptest::prelude::*;

    use super::*;
    use crate::decide::keys::{
        SECOND,
        tests::{DAY, HOUR, a_month_later, any_situation, key, now, version},
    };

    #[test]
    fn a_completed_rotation_whose_credential_works_is_settled() {
        let mut situation = a_month_later();
        assert_eq!(unsettled(&situation), None);
        situation.versions[0].labels.push(AWSPENDING.into());
        assert_eq!(unsettled(&situation), None, "a completed rotation leaves AWSPENDING on AWSCURRENT's version");
    }

    #[test]
    fn an_edit_of_another_field_by_hand_leaves_everything_settled() {
        let mut situation = a_month_later();
        situation.versions = vec![version(&[AWSCURRENT], "new"), version(&[DEPLOYING, TOLD, AWSPREVIOUS], "new")];
        assert_eq!(unsettled(&situation), None);
    }

    #[test]
    fn everything_else_is_unsettled() {
        let with = |versions| unsettled(&Situation { versions, ..a_month_later() });
        let open = Unsettled::RotationOpen { version: AWSPENDING.into() };
        let current = || version(&[AWSCURRENT, DEPLOYING, TOLD], "new");
        assert_eq!(with(vec![current(), version(&[AWSPENDING], "next")]), Some(open.clone()));
        let empty = keys::KnownVersion { names_key: None, ..version(&[AWSPENDING], "") };
        assert_eq!(with(vec![current(), empty]), Some(open));
        let crossed = [version(&[AWSCURRENT], "new"), version(&[DEPLOYING, AWSPREVIOUS], "old")];
        let elsewhere = |label, version: Option<&str>| {
            Some(Unsettled::HostsNotOnCurrent { label, version: version.map(str::to_owned) })
        };
        assert_eq!(with(crossed.to_vec()), elsewhere(DEPLOYING, Some("DEPLOYINGAWSPREVIOUS")));
        assert_eq!(with(vec![version(&[AWSCURRENT], "new")]), elsewhere(DEPLOYING, None));
        assert_eq!(with(vec![]), elsewhere(DEPLOYING, None));
        assert_eq!(
            with(vec![version(&[AWSCURRENT, DEPLOYING], "new")]),
            elsewhere(TOLD, None),
            "before TOLD was known"
        );
        let moved_forward = [version(&[AWSCURRENT, DEPLOYING], "new"), version(&[TOLD, AWSPREVIOUS], "old")];
        assert_eq!(with(moved_forward.to_vec()), elsewhere(TOLD, Some("TOLDAWSPREVIOUS")), "hosts have the old key");
        let placeholder = keys::KnownVersion { names_key: None, ..current() };
        assert_eq!(with(vec![placeholder]), elsewhere(DEPLOYING, Some("AWSCURRENTDEPLOYINGTOLD")));

        let gone = |id: &str| Some(Unsettled::CurrentKeyNotActive { key: id.into() });
        assert_eq!(with(vec![version(&[AWSCURRENT, DEPLOYING, TOLD], "elsewhere")]), gone("elsewhere"));
        let mut inactive = a_month_later();
        inactive.keys[0].key.active = false;
        inactive.keys.push(key("other", DAY, None));
        assert_eq!(unsettled(&inactive), gone("new"));
    }

    #[test]
    fn an_orphan_that_somebody_looked_at_goes_before_the_first_rotation_but_not_during_one() {
        let mut situation = Situation { user_owned: false, ..a_month_later() };
        situation.keys = vec![key("hosts", 60 * DAY, Some(HOUR)), key("orphan", HOUR, None)];
        situation.versions = vec![keys::KnownVersion { names_key: None, ..version(&[AWSCURRENT], "") }];
        let on = |situation: &Situation, index: usize| decide(situation, &situation.keys[index], Consent::Orphan);
        assert_eq!(on(&situation, 1), Ok(MayGo::Orphan));
        assert!(matches!(on(&situation, 0), Err(Held::Unsettled(Unsettled::HostsNotOnCurrent { .. }))));
        situation.versions.push(keys::KnownVersion { names_key: None, ..version(&[AWSPENDING], "") });
        assert!(matches!(on(&situation, 1), Err(Held::Unsettled(Unsettled::RotationOpen { .. }))));
    }

    #[test]
    fn each_way_out_is_offered_if_it_leads_out() {
        let way = |situation: &Situation| way_out(situation, &situation.keys[1]);
        let in_grace = Situation { grace_began: Some(now() - HOUR), ..a_month_later() };
        assert_eq!(way(&in_grace), Some(WayOut::Leaked));
        assert_eq!(way_out(&in_grace, &in_grace.keys[0]), None);
        let mut used_in_it = in_grace.clone();
        used_in_it.keys[1].last_used = Some(now() - Duration::from_mins(5));
        assert_eq!(way(&used_in_it), Some(WayOut::Leaked));
        let mut used_after_it = a_month_later();
        used_after_it.keys[1].last_used = Some(now() - HOUR);
        assert_eq!(way(&used_after_it), None, "whoever uses it is to be looked for");
        let mut orphan = Situation { user_owned: false, ..a_month_later() };
        orphan.versions.truncate(1);
        orphan.keys[1] = key("old", HOUR, None);
        assert_eq!(way(&orphan), Some(WayOut::RetireOrphan));
        orphan.keys[1].last_used = Some(now() - HOUR / 2);
        assert_eq!(way(&orphan), None);
    }

    proptest! {
        #[test]
        fn what_is_reported_as_a_way_out_is_what_the_events_do(situation in any_situation()) {
            for key in &situation.keys {
                let leaked = decide(&situation, key, Consent::Leaked).is_ok();
                let retire_orphan = decide(&situation, key, Consent::Orphan).is_ok();
                if let Verdict::MustStay(_) = keys::judge(&situation, key) {
                    let way_out = way_out(&situation, key);
                    prop_assert!(way_out != Some(WayOut::Leaked) || leaked);
                    prop_assert!(way_out != Some(WayOut::RetireOrphan) || retire_orphan);
                    prop_assert!(decide(&situation, key, Consent::None).is_err());
                }
            }
        }

        #[test]
        fn only_a_key_that_could_be_freed_for_a_rotation_is_retired(situation in any_situation()) {
            for key in &situation.keys {
                if let Ok(reason) = decide(&situation, key, Consent::None) {
                    prop_assert_eq!(keys::judge(&situation, key), Verdict::MayGo(reason));
                    prop_assert_eq!(unsettled(&situation), None);
                }
            }
        }

        #[test]
        fn the_date_that_is_told_is_the_second_from_which_on_the_key_goes(
            situation in any_situation(),
            hours in 0_u32..1500,
        ) {
            for key in &situation.keys {
                let at = |now| decide(&Situation { now, ..situation.clone() }, key, Consent::None);
                let Err(Held::Key(kept)) = at(situation.now) else { continue };
                let later = situation.now + hours * HOUR;
                match kept.until {
                    None => prop_assert!(at(later).is_err()),
                    Some(until) => {
                        prop_assert!(until > situation.now && at(until).is_ok() && at(until - SECOND).is_err());
                        prop_assert!(later < until || at(later).is_ok());
                    }
                }
            }
        }

        #[test]
        fn whatever_somebody_answers_for_what_a_host_may_be_using_stays(
            situation in any_situation(),
            consent in prop::sample::select(vec![Consent::None, Consent::Leaked, Consent::Orphan]),
        ) {
            for key in &situation.keys {
                let id = key.key.id.as_str();
                let Ok(reason) = decide(&situation, key, consent) else { continue };
                for label in keys::PROTECTING {
                    let mut versions = situation.versions.iter().filter(|version| version.has(label));
                    prop_assert!(versions.all(|version| version.names_key.as_deref() != Some(id)), "{}", label);
                }
                prop_assert!(!key.key.active || situation.keys.iter().any(|it| it.key.active && it.key.id != id));
                let is_open = |it: &keys::KnownVersion| it.has(AWSPENDING) && !it.has(AWSCURRENT);
                prop_assert!(!situation.versions.iter().find(|it| it.has(AWSPENDING)).is_some_and(is_open));
                if reason == MayGo::Orphan {
                    prop_assert!(key.last_used.is_none());
                    prop_assert!(situation.versions.iter().all(|version| version.names_key.as_deref() != Some(id)));
                } else {
                    let current = situation.key_labelled(AWSCURRENT);
                    prop_assert!(situation.keys.iter().any(|it| it.key.active && Some(it.key.id.as_str()) == current));
                    prop_assert_eq!(situation.key_labelled(DEPLOYING), current);
                    prop_assert_eq!(situation.key_labelled(TOLD), current);
                }
            }
        }
    }

    #[test]
    fn within_a_grace_of_a_change_of_the_secret_nothing_goes_unasked() {
        let changed = now() - HOUR;
        let situation = Situation { last_changed: Some(changed), ..a_month_later() };
        let old = &situation.keys[1];
        let Err(Held::Key(kept)) = decide(&situation, old, Consent::None) else { panic!() };
        assert_eq!(kept.reason, MustStay::InGrace { ends: Some(changed + situation.keep_previous) });
        assert!(decide(&situation, old, Consent::Leaked).is_ok());
        let later = Situation { last_changed: Some(now() - situation.keep_previous), ..a_month_later() };
        assert!(decide(&later, old, Consent::None).is_ok());
    }

    #[test]
    fn a_key_that_is_held_says_why() {
        let situation = Situation { grace_began: Some(now() - HOUR), ..a_month_later() };
        let held = decide(&situation, &situation.keys[1], Consent::None).unwrap_err();
        let ends = MustStay::InGrace { ends: situation.grace_ends() };
        assert_eq!(held.to_string(), ends.to_string());
    }
}
