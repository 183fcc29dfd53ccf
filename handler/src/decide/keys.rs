//! Which of a user's access keys may be deleted. Pure: from labels, keys, last uses, dates and configuration to a verdict with a
//! reason.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use contract::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, DEPLOYING, KEYS_PER_USER, TOLD};

use crate::date::date;

/// The labels whose versions' keys a host may be using.
pub(crate) const PROTECTING: [&str; 4] = [AWSCURRENT, TOLD, DEPLOYING, AWSPENDING];

/// For how long a use after the grace keeps a key: longer than the month between two mails of a host that no rotation reaches. Such a
/// use is told once a week. It must end at some time, because a login by `deployer recover` is a use, too.
const LATE_USE_KEEPS: Duration = Duration::from_hours(45 * 24);

/// Dates are told in whole seconds.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// One of the user's access keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessKey {
    /// Access key id; not secret.
    pub(crate) id: String,
    /// Whether it is Active.
    pub(crate) active: bool,
    /// When it was made.
    pub(crate) created: Option<SystemTime>,
}

/// An access key, and when IAM last saw it used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsedKey {
    pub(crate) key: AccessKey,
    /// Its last use. It can lag, so it is only ever a veto.
    pub(crate) last_used: Option<SystemTime>,
}

/// A version of the secret, and the key that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownVersion {
    /// Its id.
    pub(crate) id: String,
    /// Its labels; none on an old version that Secrets Manager has not deleted yet.
    pub(crate) labels: Vec<String>,
    /// The access key id in its value; none in an empty version or a placeholder.
    pub(crate) names_key: Option<String>,
}

/// Everything that the choice depends on.
#[derive(Clone, Debug)]
pub(crate) struct Situation {
    /// The user's keys, all of them.
    pub(crate) keys: Vec<UsedKey>,
    /// The secret's versions: all that carry labels, and old ones as far as they may name a key that no other names.
    pub(crate) versions: Vec<KnownVersion>,
    /// Whether a rotation of this secret ever completed.
    pub(crate) was_rotated: bool,
    /// The latest of the secret's LastRotatedDate, AWSCURRENT's creation, and a move of AWSCURRENT that was noted (`since`).
    pub(crate) grace_began: Option<SystemTime>,
    /// When anything about the secret last changed, a label's place included, of which AWS keeps no date.
    pub(crate) last_changed: Option<SystemTime>,
    /// How long the previous key stays usable.
    pub(crate) keep_previous: Duration,
    pub(crate) now: SystemTime,
    /// Whether the deployment owns the user.
    pub(crate) user_owned: bool,
    /// Access key ids that the configuration declares replaced.
    pub(crate) replaces: Vec<String>,
    /// How long a superseded key stays Inactive before it is deleted.
    pub(crate) keep_inactive: Duration,
    /// Since when keys are Inactive that are to be deleted.
    pub(crate) inactive_since: BTreeMap<String, SystemTime>,
    /// From this age on, no running invocation can have made a key.
    pub(crate) orphan_age: Duration,
}

/// What a person who looked at a key vouches for. Every other rule holds as without a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Nobody looked at the key.
    None,
    /// The key leaked: nobody but a thief, or a host that is better stopped, needs it.
    Leaked,
    /// If no version names the key and it was never used, it may be deleted although the deployment does not own the user.
    Orphan,
}

/// What a free slot needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// There is one.
    Free,
    /// These keys have to be deleted first, each for its reason. It is one, or more if the user has more than two keys: IAM does
    /// not enforce its limit if keys are made at the same moment.
    After(Vec<(UsedKey, MayGo)>),
    /// Not enough keys may go: these stay.
    None(Vec<KeptKey>),
}

/// How a key goes that may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is deleted.
    Delete,
    /// It is made Inactive, and deleted later: whoever still needs it can be helped until then.
    Deactivate,
    /// It is Inactive, and is deleted then.
    Wait { since: SystemTime, until: SystemTime },
}

/// A key that may not go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptKey {
    pub(crate) key: UsedKey,
    /// Why it stays.
    pub(crate) reason: MustStay,
    /// From when on the clock alone lets it go.
    pub(crate) until: Option<SystemTime>,
    /// The date, for the ages in its description.
    pub(crate) now: SystemTime,
}

impl KeptKey {
    /// A key of the situation, which stays for this reason.
    #[must_use]
    pub(crate) fn new(situation: &Situation, key: &UsedKey, reason: MustStay) -> Self {
        Self { key: key.clone(), reason, until: until(situation, key), now: situation.now }
    }
}

/// Whether a key may be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may.
    MayGo(MayGo),
    /// It may not.
    MustStay(MustStay),
}

/// Why a key may be deleted. The order is the order of preference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MayGo {
    /// Never used, and no version names it: what a crashed createSecret leaves behind.
    Orphan,
    /// The configuration lists it under `iam_user.replaces`.
    Replaced,
    /// A person says that it leaked.
    Leaked,
    /// A version names it whose labels do not protect it, or no longer.
    Superseded {
        /// A label of that version, if it has one.
        label: Option<String>,
    },
}

/// Why a key may not be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MustStay {
    /// A host may be using it.
    Protected {
        /// The label that protects it.
        label: &'static str,
    },
    /// It is the previous key, or may be: it is as old, and the grace has not ended.
    InGrace {
        /// When the grace ends; unknown if Secrets Manager has no date.
        ends: Option<SystemTime>,
    },
    /// It was used at a time when only a host that still needs it would use it.
    StillUsed {
        /// Its last use.
        last_used: SystemTime,
    },
    /// The user has no other Active key: without this one, nobody could log in.
    OnlyActiveKey,
    /// The configuration lists it under `iam_user.replaces`, and no rotation has put a working key in its place.
    NoSuccessorYet,
    /// Not every host has confirmed a credential yet, so nobody knows that the hosts have left it.
    NobodyTold,
    /// No version names it, and it was used: it seems to be somebody else's.
    Foreign,
    /// No version names it and it was never used, but the deployment does not own the user.
    UserNotOwned,
    /// It was made Inactive to be deleted, and somebody made it Active again.
    BroughtBack,
    /// No version names it and it was never used, or only a version without a label names it: an invocation that still runs may have made it.
    TooYoung,
}

/// What a free slot needs. The order of the keys and versions never matters.
#[must_use]
pub(crate) fn choose(situation: &Situation) -> Slot {
    let Some(needed) = (situation.keys.len() + 1).checked_sub(KEYS_PER_USER).filter(|needed| *needed > 0) else {
        return Slot::Free;
    };
    let mut may_go = Vec::new();
    let mut kept = Vec::new();
    for key in &situation.keys {
        match judge(situation, key) {
            Verdict::MayGo(reason) => may_go.push((reason, key)),
            Verdict::MustStay(reason) => kept.push(KeptKey::new(situation, key, reason)),
        }
    }
    may_go.sort_by(|(a, x), (b, y)| {
        (a, x.last_used, x.key.created, &x.key.id).cmp(&(b, y.last_used, y.key.created, &y.key.id))
    });
    if may_go.len() >= needed {
        return Slot::After(may_go.into_iter().take(needed).map(|(reason, key)| (key.clone(), reason)).collect());
    }
    kept.sort_by(|a, b| (a.key.key.created, &a.key.key.id).cmp(&(b.key.key.created, &b.key.key.id)));
    Slot::None(kept)
}

/// How a key is retired that may be deleted for this reason. An orphan's secret is known to nobody, so it goes at once. So does
/// what a rotation needs the slot of: it cannot wait.
#[must_use]
pub(crate) fn removal(situation: &Situation, key: &UsedKey, reason: &MayGo) -> Removal {
    let keep_inactive = situation.keep_inactive;
    if *reason == MayGo::Orphan || keep_inactive.is_zero() {
        return Removal::Delete;
    }
    match situation.inactive_since.get(&key.key.id).filter(|_| !key.key.active) {
        None => Removal::Deactivate,
        Some(&since) if situation.now < since + keep_inactive => Removal::Wait { since, until: since + keep_inactive },
        Some(_) => Removal::Delete,
    }
}

/// Whether one of the situation's keys may be deleted.
#[must_use]
pub(crate) fn judge(situation: &Situation, key: &UsedKey) -> Verdict {
    judge_with(situation, key, Consent::None)
}

/// Whether one of the situation's keys may be deleted, given what a person vouches for.
#[must_use]
pub(crate) fn judge_with(situation: &Situation, key: &UsedKey, consent: Consent) -> Verdict {
    for label in PROTECTING {
        if situation.is_named(&key.key.id, label) {
            return Verdict::MustStay(MustStay::Protected { label });
        }
    }
    let is_only_active = key.key.active && !situation.keys.iter().any(|it| it.key.active && it.key.id != key.key.id);
    if consent == Consent::Leaked {
        return if is_only_active { Verdict::MustStay(MustStay::OnlyActiveKey) } else { Verdict::MayGo(MayGo::Leaked) };
    }
    if situation.is_in_grace(&key.key) {
        return Verdict::MustStay(MustStay::InGrace { ends: situation.grace_ends() });
    }
    if consent == Consent::None && key.key.active && situation.inactive_since.contains_key(&key.key.id) {
        return Verdict::MustStay(MustStay::BroughtBack);
    }
    if !situation.was_inactive_for_long(key)
        && let Some(last_used) = key.last_used.filter(|used| situation.is_telling(*used))
    {
        return Verdict::MustStay(MustStay::StillUsed { last_used });
    }
    if is_only_active {
        return Verdict::MustStay(MustStay::OnlyActiveKey);
    }
    if situation.replaces.contains(&key.key.id) {
        return if situation.has_successor() {
            Verdict::MayGo(MayGo::Replaced)
        } else {
            Verdict::MustStay(MustStay::NoSuccessorYet)
        };
    }
    let is_old = key.key.created.is_some_and(|created| created + situation.orphan_age < situation.now);
    if situation.naming(&key.key.id).next().is_some() {
        if key.key.active && !situation.hosts_were_told() {
            return Verdict::MustStay(MustStay::NobodyTold);
        }
        let label = situation.naming(&key.key.id).flat_map(|version| &version.labels).min().cloned();
        // Without a label it may be the version of an invocation that still runs.
        return if label.is_some() || is_old {
            Verdict::MayGo(MayGo::Superseded { label })
        } else {
            Verdict::MustStay(MustStay::TooYoung)
        };
    }
    if key.last_used.is_some() {
        return Verdict::MustStay(MustStay::Foreign);
    }
    if !situation.user_owned && consent != Consent::Orphan {
        return Verdict::MustStay(MustStay::UserNotOwned);
    }
    if is_old { Verdict::MayGo(MayGo::Orphan) } else { Verdict::MustStay(MustStay::TooYoung) }
}

/// The second from which on the clock alone lets go of a key that must stay now; none if the clock never does.
///
/// A verdict changes with the date only when one of five times is over: the grace, a use's ageing, a late use's ageing, a young key's youth,
/// the time for which a key is Inactive before its last use does not matter any more.
#[must_use]
pub(crate) fn until(situation: &Situation, key: &UsedKey) -> Option<SystemTime> {
    let ends = [
        situation.grace_ends(),
        key.last_used.map(|used| used + situation.keep_previous),
        key.last_used.map(|used| used + LATE_USE_KEEPS),
        key.key.created.map(|created| created + situation.orphan_age + SECOND),
        situation.inactive_since.get(&key.key.id).map(|since| *since + situation.keep_inactive),
    ];
    let lets_go = |now: &SystemTime| {
        let then = Situation { now: *now, ..situation.clone() };
        matches!(judge(&then, key), Verdict::MayGo(_))
    };
    ends.into_iter().flatten().map(next_second).filter(|end| *end > situation.now).filter(lets_go).min()
}

/// When every time is over that keeps a key: no use keeps one for longer than [`LATE_USE_KEEPS`] or `keep_previous`.
const LONG_AFTER: Duration = Duration::from_hours(100 * 365 * 24);

/// What keeps a key once its grace is over, if the clock never lets go of it: then no date may be promised.
#[must_use]
pub(crate) fn beyond_the_grace(situation: &Situation, key: &UsedKey) -> Option<MustStay> {
    let then = situation.now + LONG_AFTER;
    match judge(&Situation { now: then, ..situation.clone() }, key) {
        Verdict::MustStay(reason @ (MustStay::Foreign | MustStay::NobodyTold)) => Some(reason),
        _ => None,
    }
}

/// The first whole second at or after a time: dates are told without fractions.
pub(crate) fn next_second(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs() + u64::from(since.subsec_nanos() > 0))
}

impl Situation {
    /// The key that a label's version names.
    #[must_use]
    pub(crate) fn key_labelled(&self, label: &str) -> Option<&str> {
        self.labelled(label)?.names_key.as_deref()
    }

    /// The version that carries a label.
    #[must_use]
    pub(crate) fn labelled(&self, label: &str) -> Option<&KnownVersion> {
        self.versions.iter().find(|version| version.has(label))
    }

    fn naming<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a KnownVersion> {
        self.versions.iter().filter(move |version| version.names_key.as_deref() == Some(key))
    }

    fn is_named(&self, key: &str, label: &str) -> bool {
        self.naming(key).any(|version| version.has(label))
    }

    /// When the grace ends; none if there is no date to count it from.
    #[must_use]
    pub(crate) fn grace_ends(&self) -> Option<SystemTime> {
        self.grace_began.map(|began| began + self.keep_previous)
    }

    fn grace_is_open(&self) -> bool {
        self.grace_ends().is_none_or(|ends| self.now < ends)
    }

    /// The grace belongs to the key, not to the label. An edit of the secret by hand moves AWSPREVIOUS on, so that the version with
    /// the previous key has no label any more. The key's age is certain: it was there when the grace began.
    fn is_in_grace(&self, key: &AccessKey) -> bool {
        let is_as_old = match (self.grace_began, key.created) {
            (Some(began), Some(created)) => created <= began,
            _ => true,
        };
        self.grace_is_open() && (is_as_old || self.is_named(&key.id, AWSPREVIOUS))
    }

    /// Whether nobody can have needed a key for so long that its last use does not matter any more.
    fn was_inactive_for_long(&self, key: &UsedKey) -> bool {
        let since = self.inactive_since.get(&key.key.id).filter(|_| !key.key.active);
        since.is_some_and(|since| self.now >= *since + self.keep_inactive)
    }

    /// Whether a key's last use keeps the key. Use during the grace proves nothing, because hosts are still switching: it keeps the
    /// key while the grace runs, and then until one `keep_previous` after the use. Use after the grace keeps the key for long: a host
    /// uses it that the rotation did not reach.
    fn is_telling(&self, last_used: SystemTime) -> bool {
        let (Some(began), Some(ends)) = (self.grace_began, self.grace_ends()) else {
            return self.now < last_used + LATE_USE_KEEPS;
        };
        if self.grace_is_open() {
            return last_used >= began;
        }
        let keeps = if last_used >= ends { LATE_USE_KEEPS.max(self.keep_previous) } else { self.keep_previous };
        self.now < last_used + keeps
    }

    /// The last use of a key that nothing protects any more, if it was after the grace.
    #[must_use]
    pub(crate) fn late_use(&self, key: &UsedKey) -> Option<SystemTime> {
        match judge(self, key) {
            Verdict::MustStay(MustStay::StillUsed { last_used }) => {
                Some(last_used).filter(|used| self.grace_ends().is_none_or(|ends| *used >= ends))
            }
            _ => None,
        }
    }

    /// Whether every host has confirmed a credential once. DEPLOYING alone says that some may have it.
    fn hosts_were_told(&self) -> bool {
        self.labelled(TOLD).is_some()
    }

    /// Whether a rotation has moved the hosts to a key that works.
    fn has_successor(&self) -> bool {
        let is_current = |key: &UsedKey| key.key.active && self.is_named(&key.key.id, AWSCURRENT);
        self.was_rotated && self.keys.iter().any(is_current)
    }
}

impl KnownVersion {
    /// Whether it carries a label.
    #[must_use]
    pub(crate) fn has(&self, label: &str) -> bool {
        self.labels.iter().any(|it| it == label)
    }
}

impl fmt::Display for MayGo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orphan => f.write_str("it was never used and no version of the secret names it"),
            Self::Replaced => f.write_str("iam_user.replaces lists it"),
            Self::Leaked => f.write_str("it leaked"),
            Self::Superseded { label } => {
                let label = label.as_deref().unwrap_or("without a label");
                write!(f, "only a superseded version ({label}) names it, and nobody used it after its grace")
            }
        }
    }
}

impl fmt::Display for MustStay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protected { label: AWSCURRENT } => write!(f, "the version labelled {AWSCURRENT} names it, so hosts use it"),
            Self::Protected { label } => write!(f, "the version labelled {label} names it, so a host may use it"),
            Self::InGrace { ends: Some(ends) } => {
                write!(f, "it is superseded, and is kept until {} for hosts that still use it (rotation.keep_previous)", date(*ends))
            }
            Self::InGrace { ends: None } => {
                f.write_str("it may be superseded, and the secret has no date from which its grace counts")
            }
            Self::StillUsed { last_used } => write!(
                f,
                "it was used at {}, later than it should have been (a login by recover counts, too)",
                date(*last_used)
            ),
            Self::OnlyActiveKey => f.write_str("it is the user's only Active key"),
            Self::NoSuccessorYet => f.write_str(
                "iam_user.replaces lists it, but no rotation has moved the hosts to another key yet, and the first one needs \
                 a free slot",
            ),
            Self::NobodyTold => f.write_str(
                "no rotation has told every host of a credential yet, so a host may have this one although the secret has another",
            ),
            Self::Foreign => {
                f.write_str("no version of the secret names it and it was used, so it may be somebody else's")
            }
            Self::UserNotOwned => {
                f.write_str("no version of the secret names it, and the user is not owned by this deployment")
            }
            Self::BroughtBack => f.write_str("it was Inactive, and somebody made it Active again"),
            Self::TooYoung => f.write_str("no label protects it, but a rotation that still runs may have made it"),
        }
    }
}

impl fmt::Display for KeptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UsedKey { key, last_used } = &self.key;
        let state = if key.active { "Active" } else { "Inactive" };
        let age = key.created.map_or("of unknown age".to_owned(), |created| age(created, self.now));
        let last_used = last_used.map_or("never used".to_owned(), |used| format!("last used {}", date(used)));
        write!(f, "{} ({state}, {age}, {last_used}): {}", key.id, self.reason)?;
        match self.until {
            Some(until) => write!(f, "; it can be deleted automatically from {}", date(until)),
            None => Ok(()),
        }
    }
}

fn age(created: SystemTime, now: SystemTime) -> String {
    let minutes = now.duration_since(created).unwrap_or_default().as_secs() / 60;
    match minutes {
        0..120 => format!("{minutes} min old"),
        120..2880 => format!("{} h old", minutes / 60),
        _ => format!("{} days old", minutes / 1440),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) const HOUR: Duration = Duration::from_hours(1);
    pub(crate) const DAY: Duration = Duration::from_hours(24);

    pub(crate) fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + 20_000 * DAY
    }

    pub(crate) fn key(id: &str, age: Duration, used: Option<Duration>) -> UsedKey {
        UsedKey {
            key: AccessKey { id: id.into(), active: true, created: Some(now() - age) },
            last_used: used.map(|ago| now() - ago),
        }
    }

    pub(crate) fn version(labels: &[&str], names_key: &str) -> KnownVersion {
        KnownVersion {
            id: labels.concat(),
            labels: labels.iter().map(|&label| label.into()).collect(),
            names_key: Some(names_key.into()),
        }
    }

    /// A month after a rotation: `new` is current, `old` is previous and was last used before it.
    pub(crate) fn a_month_later() -> Situation {
        Situation {
            keys: vec![key("new", 30 * DAY, Some(HOUR)), key("old", 60 * DAY, Some(31 * DAY))],
            versions: vec![version(&[AWSCURRENT, DEPLOYING, TOLD], "new"), version(&[AWSPREVIOUS], "old")],
            was_rotated: true,
            grace_began: Some(now() - 30 * DAY),
            last_changed: Some(now() - 30 * DAY),
            keep_previous: DAY,
            keep_inactive: Duration::ZERO,
            inactive_since: BTreeMap::new(),
            now: now(),
            user_owned: true,
            replaces: vec![],
            orphan_age: Duration::from_mins(5),
        }
    }

    fn verdict_on(situation: &Situation, id: &str) -> Verdict {
        judge(situation, situation.keys.iter().find(|key| key.key.id == id).unwrap())
    }

    fn superseded() -> Verdict {
        Verdict::MayGo(MayGo::Superseded { label: Some(AWSPREVIOUS.into()) })
    }

    #[test]
    fn with_fewer_than_two_keys_a_slot_is_free() {
        let situation = Situation { keys: vec![key("new", DAY, None)], ..a_month_later() };
        assert_eq!(choose(&situation), Slot::Free);
        assert_eq!(choose(&Situation { keys: vec![], ..situation }), Slot::Free);
    }

    #[test]
    fn the_previous_key_goes_after_its_grace() {
        let situation = a_month_later();
        assert_eq!(verdict_on(&situation, "old"), superseded());
        let Slot::After(keys) = choose(&situation) else { panic!("no slot") };
        assert_eq!((keys.len(), keys[0].0.key.id.as_str()), (1, "old"));
    }

    #[test]
    fn each_label_protects_the_key_that_its_version_names() {
        for label in PROTECTING {
            let mut situation = a_month_later();
            situation.versions[0].labels.retain(|it| it != label);
            situation.versions[1].labels.push(label.into());
            assert_eq!(verdict_on(&situation, "old"), Verdict::MustStay(MustStay::Protected { label }));
            assert!(matches!(choose(&situation), Slot::None(_)));
        }
    }

    #[test]
    fn before_every_host_was_told_an_active_key_that_a_version_names_stays() {
        let mut situation = a_month_later();
        for version in &mut situation.versions {
            version.labels.retain(|label| label != TOLD);
        }
        assert_eq!(verdict_on(&situation, "old"), Verdict::MustStay(MustStay::NobodyTold));
        // Nobody can use an Inactive one, and of one that is listed a person has said that no host does.
        situation.replaces.push("old".into());
        assert_eq!(verdict_on(&situation, "old"), Verdict::MayGo(MayGo::Replaced));
        situation.replaces.clear();
        situation.keys.iter_mut().find(|it| it.key.id == "old").unwrap().key.active = false;
        assert_eq!(verdict_on(&situation, "old"), superseded());
    }

    #[test]
    fn the_previous_key_stays_until_the_very_end_of_its_grace() {
        let began = now() - DAY;
        let at = |now| {
            let mut situation = Situation { grace_began: Some(began), now, ..a_month_later() };
            situation.keys[1].last_used = None;
            verdict_on(&situation, "old")
        };
        let in_grace = Verdict::MustStay(MustStay::InGrace { ends: Some(began + DAY) });
        assert_eq!(at(began + DAY - Duration::from_secs(1)), in_grace);
        assert_eq!(at(began + DAY), superseded());
    }

    #[test]
    fn what_keeps_a_key_after_its_grace_is_told_within_it() {
        let in_grace = || Situation { grace_began: Some(now() - HOUR), ..a_month_later() };
        let of = |situation: &Situation| beyond_the_grace(situation, &situation.keys[1]);
        assert_eq!(of(&in_grace()), None);
        let mut foreign = in_grace();
        foreign.versions.truncate(1);
        for used in [HOUR / 2, 40 * DAY] {
            foreign.keys[1].last_used = Some(now() - used);
            assert!(matches!(verdict_on(&foreign, "old"), Verdict::MustStay(MustStay::InGrace { .. })));
            assert_eq!(of(&foreign), Some(MustStay::Foreign));
        }
        let mut untold = in_grace();
        untold.versions[0].labels.retain(|label| label != TOLD);
        assert_eq!(of(&untold), Some(MustStay::NobodyTold));
    }

    #[test]
    fn without_a_date_the_grace_has_not_ended() {
        let situation = Situation { grace_began: None, ..a_month_later() };
        assert_eq!(verdict_on(&situation, "old"), Verdict::MustStay(MustStay::InGrace { ends: None }));
    }

    /// The verdict on `old`, last used so long ago, if a grace of a day began so long ago.
    fn of_use(grace_began: Duration, used: Duration) -> Verdict {
        let mut situation = Situation { grace_began: Some(now() - grace_began), ..a_month_later() };
        situation.keys[1] = key("old", 60 * DAY, Some(used));
        verdict_on(&situation, "old")
    }

    fn still_used(ago: Duration) -> Verdict {
        Verdict::MustStay(MustStay::StillUsed { last_used: now() - ago })
    }

    #[test]
    fn a_use_after_the_grace_keeps_the_key_and_a_use_one_second_before_its_end_does_not() {
        assert_eq!(of_use(30 * DAY, 29 * DAY), still_used(29 * DAY));
        assert_eq!(of_use(30 * DAY, 29 * DAY + SECOND), superseded());
    }

    #[test]
    fn a_use_after_the_grace_keeps_the_key_for_45_days() {
        assert_eq!(LATE_USE_KEEPS, 45 * DAY);
        let almost = Duration::from_secs(LATE_USE_KEEPS.as_secs() - 1);
        assert_eq!(of_use(60 * DAY, almost), still_used(almost));
        assert_eq!(of_use(60 * DAY, LATE_USE_KEEPS), superseded());
    }

    #[test]
    fn use_within_a_grace_that_is_over_is_a_veto_for_as_long_as_the_grace_was() {
        let almost = Duration::from_secs(24 * 60 * 60 - 1);
        assert_eq!(of_use(DAY, almost), still_used(almost));
        assert_eq!(of_use(DAY + HOUR, almost), still_used(almost));
        assert_eq!(of_use(DAY + HOUR, DAY), superseded(), "a use during the grace ages out");
    }

    #[test]
    fn a_key_made_and_used_during_a_grace_that_still_runs_stays() {
        let mut situation = Situation { grace_began: Some(now() - 2 * HOUR), ..a_month_later() };
        situation.versions[1] = version(&["custom"], "old");
        situation.keys[1] = key("old", HOUR, Some(HOUR));
        assert_eq!(verdict_on(&situation, "old"), still_used(HOUR));
        situation.keys[1].last_used = None;
        assert_eq!(verdict_on(&situation, "old"), Verdict::MayGo(MayGo::Superseded { label: Some("custom".into()) }));
    }

    #[test]
    fn during_a_grace_a_key_as_old_as_it_stays_whatever_names_it() {
        let began = now() - HOUR;
        let at = |created, label: &str| {
            let mut situation = Situation { grace_began: Some(began), ..a_month_later() };
            situation.versions[1] = version(&[label], if label == "none" { "another" } else { "old" });
            situation.keys[1] = key("old", DAY, None);
            situation.keys[1].key.created = created;
            verdict_on(&situation, "old")
        };
        let in_grace = Verdict::MustStay(MustStay::InGrace { ends: Some(began + DAY) });
        let second = Duration::from_secs(1);
        for (created, label, expected) in [
            (Some(began), "none", in_grace.clone()),
            (None, "none", in_grace.clone()),
            (Some(began), "custom", in_grace.clone()),
            (Some(began + second), AWSPREVIOUS, in_grace),
            (Some(began + second), "none", Verdict::MayGo(MayGo::Orphan)),
        ] {
            assert_eq!(at(created, label), expected, "made {created:?}, labelled {label}");
        }
    }

    #[test]
    fn use_is_a_veto_whatever_speaks_for_freeing_the_key() {
        let mut situation = Situation { replaces: vec!["old".into()], ..a_month_later() };
        situation.keys[1].last_used = Some(now() - HOUR);
        assert_eq!(verdict_on(&situation, "old"), still_used(HOUR));
    }

    #[test]
    fn the_only_active_key_stays() {
        let mut situation = a_month_later();
        situation.keys[0].key.active = false;
        assert_eq!(verdict_on(&situation, "old"), Verdict::MustStay(MustStay::OnlyActiveKey));
        situation.keys[1].key.active = false;
        assert_eq!(verdict_on(&situation, "old"), superseded(), "an Inactive key is nobody's login");
    }

    #[test]
    fn a_replaced_key_stays_until_a_rotation_has_put_a_working_key_in_its_place() {
        let replaced = Situation { replaces: vec!["old".into()], ..a_month_later() };
        assert_eq!(verdict_on(&replaced, "old"), Verdict::MayGo(MayGo::Replaced));
        let never_rotated = Situation { was_rotated: false, ..replaced.clone() };
        let mut placeholder = replaced.clone();
        placeholder.versions[0].names_key = None;
        let mut of_another_user = replaced;
        of_another_user.versions[0].names_key = Some("elsewhere".into());
        for situation in [never_rotated, placeholder, of_another_user] {
            assert_eq!(verdict_on(&situation, "old"), Verdict::MustStay(MustStay::NoSuccessorYet));
        }
    }

    #[test]
    fn a_replaced_key_goes_on_an_owned_and_on_a_referenced_user() {
        for user_owned in [true, false] {
            let mut situation = Situation { replaces: vec!["old".into()], user_owned, ..a_month_later() };
            situation.versions.truncate(1);
            assert_eq!(verdict_on(&situation, "old"), Verdict::MayGo(MayGo::Replaced));
        }
    }

    #[test]
    fn an_orphan_goes_only_on_an_owned_user_and_only_when_it_is_old_enough() {
        let orphan = |user_owned, age| {
            let mut situation = Situation { user_owned, ..a_month_later() };
            situation.versions.truncate(1);
            situation.keys[1] = key("old", age, None);
            verdict_on(&situation, "old")
        };
        let limit = Duration::from_mins(5);
        assert_eq!(orphan(true, limit + Duration::from_secs(1)), Verdict::MayGo(MayGo::Orphan));
        assert_eq!(orphan(true, limit), Verdict::MustStay(MustStay::TooYoung));
        assert_eq!(orphan(false, 30 * DAY), Verdict::MustStay(MustStay::UserNotOwned));
    }

    #[test]
    fn a_key_of_unknown_age_is_too_young() {
        let mut situation = a_month_later();
        situation.versions.truncate(1);
        situation.keys[1] = key("old", DAY, None);
        situation.keys[1].key.created = None;
        assert_eq!(verdict_on(&situation, "old"), Verdict::MustStay(MustStay::TooYoung));
    }

    #[test]
    fn a_used_key_that_no_version_names_is_somebody_elses() {
        for user_owned in [true, false] {
            let mut situation = Situation { user_owned, ..a_month_later() };
            situation.versions.truncate(1);
            assert_eq!(verdict_on(&situation, "old"), Verdict::MustStay(MustStay::Foreign));
        }
    }

    #[test]
    fn a_key_that_only_an_old_version_without_labels_names_goes_when_no_invocation_can_have_made_it() {
        let named_by_an_old_one = |age, user_owned| {
            let mut situation = Situation { user_owned, ..a_month_later() };
            situation.versions[1] = version(&[], "old");
            situation.keys[1] = key("old", age, Some(31 * DAY));
            verdict_on(&situation, "old")
        };
        for user_owned in [true, false] {
            let superseded = Verdict::MayGo(MayGo::Superseded { label: None });
            assert_eq!(named_by_an_old_one(60 * DAY, user_owned), superseded);
            assert_eq!(named_by_an_old_one(Duration::from_mins(4), user_owned), Verdict::MustStay(MustStay::TooYoung));
        }
    }

    #[test]
    fn of_two_keys_that_may_go_the_orphan_goes_first() {
        let mut situation = a_month_later();
        situation.keys = vec![key("old", 60 * DAY, None), key("stray", DAY, None)];
        let Slot::After(keys) = choose(&situation) else { panic!("no slot") };
        assert_eq!((keys.len(), keys[0].0.key.id.as_str(), &keys[0].1), (1, "stray", &MayGo::Orphan));
    }

    #[test]
    fn of_more_than_two_keys_as_many_go_as_it_takes_or_none() {
        let mut situation = a_month_later();
        situation.keys.push(key("stray", DAY, None));
        let Slot::After(keys) = choose(&situation) else { panic!("no slot") };
        let ids: Vec<_> = keys.iter().map(|(key, _)| key.key.id.as_str()).collect();
        assert_eq!(ids, ["stray", "old"]);
        situation.keys[2].last_used = Some(now() - HOUR);
        let Slot::None(kept) = choose(&situation) else { panic!("one would not be enough") };
        assert_eq!(kept.len(), 2, "the one that may go is not told as kept");
    }

    /// A month after a rotation, and superseded keys are Inactive for three days before they go.
    fn with_inactive(since: Option<Duration>) -> Situation {
        let mut situation = Situation { keep_inactive: 3 * DAY, ..a_month_later() };
        if let Some(ago) = since {
            situation.keys[1].key.active = false;
            situation.inactive_since.insert("old".into(), now() - ago);
        }
        situation
    }

    #[test]
    fn a_superseded_key_is_made_inactive_long_before_it_is_deleted_and_a_rotation_does_not_wait_for_it() {
        let of = |since: Option<Duration>| {
            let situation = with_inactive(since);
            assert!(matches!(choose(&situation), Slot::After(_)));
            removal(&situation, &situation.keys[1], &MayGo::Superseded { label: None })
        };
        assert_eq!(of(None), Removal::Deactivate);
        assert_eq!(of(Some(HOUR)), Removal::Wait { since: now() - HOUR, until: now() - HOUR + 3 * DAY });
        assert_eq!(of(Some(3 * DAY)), Removal::Delete);
        let situation = with_inactive(None);
        assert_eq!(removal(&situation, &situation.keys[1], &MayGo::Orphan), Removal::Delete, "nobody knows its secret");
    }

    #[test]
    fn a_key_that_somebody_made_active_again_stays_and_what_was_inactive_for_long_goes_whatever_its_last_use() {
        let mut situation = with_inactive(Some(4 * DAY));
        situation.keys[1].last_used = Some(now() - 5 * DAY);
        assert_eq!(verdict_on(&situation, "old"), superseded());
        situation.inactive_since.insert("old".into(), now() - DAY);
        assert_eq!(verdict_on(&situation, "old"), still_used(5 * DAY));
        situation.keys[1].last_used = None;
        situation.keys[1].key.active = true;
        assert_eq!(verdict_on(&situation, "old"), Verdict::MustStay(MustStay::BroughtBack));
        assert_eq!(with_consent(&situation, "old", Consent::Leaked), Verdict::MayGo(MayGo::Leaked));
    }

    fn with_consent(situation: &Situation, id: &str, consent: Consent) -> Verdict {
        judge_with(situation, situation.keys.iter().find(|key| key.key.id == id).unwrap(), consent)
    }

    #[test]
    fn of_a_key_that_leaked_neither_grace_nor_use_nor_owner_matters() {
        for (began, used) in [(None, Some(HOUR)), (Some(2 * HOUR), Some(HOUR)), (Some(30 * DAY), Some(20 * DAY))] {
            let grace_began = began.map(|began| now() - began);
            let mut situation = Situation { grace_began, user_owned: false, ..a_month_later() };
            situation.keys[1] = key("old", 60 * DAY, used);
            assert_eq!(with_consent(&situation, "old", Consent::Leaked), Verdict::MayGo(MayGo::Leaked));
            situation.versions.truncate(1);
            assert_eq!(with_consent(&situation, "old", Consent::Leaked), Verdict::MayGo(MayGo::Leaked));
        }
    }

    #[test]
    fn a_key_that_leaked_stays_while_hosts_need_it_or_there_is_no_other() {
        let mut situation = a_month_later();
        let protected = Verdict::MustStay(MustStay::Protected { label: AWSCURRENT });
        assert_eq!(with_consent(&situation, "new", Consent::Leaked), protected);
        situation.keys[0].key.active = false;
        assert_eq!(with_consent(&situation, "old", Consent::Leaked), Verdict::MustStay(MustStay::OnlyActiveKey));
    }

    #[test]
    fn an_orphan_that_somebody_looked_at_goes_on_a_referenced_user_too_when_it_is_old_enough() {
        let orphan = |age, used, consent| {
            let mut situation = Situation { user_owned: false, ..a_month_later() };
            situation.versions.truncate(1);
            situation.keys[1] = key("old", age, used);
            with_consent(&situation, "old", consent)
        };
        assert_eq!(orphan(HOUR, None, Consent::Orphan), Verdict::MayGo(MayGo::Orphan));
        assert_eq!(orphan(Duration::from_mins(5), None, Consent::Orphan), Verdict::MustStay(MustStay::TooYoung));
        assert_eq!(orphan(60 * DAY, Some(40 * DAY), Consent::Orphan), Verdict::MustStay(MustStay::Foreign));
    }

    #[test]
    fn the_clock_alone_lets_go_of_what_only_the_clock_keeps() {
        let began = now() - HOUR;
        let mut situation = Situation { grace_began: Some(began), ..a_month_later() };
        let until_of = |situation: &Situation, index: usize| until(situation, &situation.keys[index]);
        assert_eq!(until_of(&situation, 0), None, "AWSCURRENT's");
        assert_eq!(until_of(&situation, 1), Some(began + DAY), "the previous one");
        situation.keys[1].last_used = Some(now() - Duration::from_millis(1500));
        assert_eq!(until_of(&situation, 1), Some(now() + DAY - SECOND), "used during its grace, and a second is whole");
        situation.versions.truncate(1);
        assert_eq!(until_of(&situation, 1), None, "somebody else's");
        situation.keys[1] = key("old", Duration::from_mins(1), None);
        assert_eq!(until_of(&situation, 1), Some(now() + Duration::from_mins(4) + SECOND), "an orphan");
        let never = Situation { grace_began: None, ..a_month_later() };
        assert_eq!(until_of(&never, 1), None, "a grace without a date");
    }

    #[test]
    fn a_kept_key_is_described_with_its_state_age_last_use_and_reason() {
        let mut situation = a_month_later();
        situation.grace_began = Some(now() - HOUR);
        situation.keys[1].key.active = false;
        let Slot::None(kept) = choose(&situation) else { panic!("a key may go") };
        let lines: Vec<String> = kept.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "old (Inactive, 60 days old, last used 2024-09-03T00:00:00Z): it is superseded, and is kept until \
                 2024-10-04T23:00:00Z for hosts that still use it (rotation.keep_previous); it can be deleted automatically from \
                 2024-10-04T23:00:00Z",
                "new (Active, 30 days old, last used 2024-10-03T23:00:00Z): the version labelled AWSCURRENT names it, so \
                 hosts use it",
            ]
        );
    }

    #[test]
    fn a_kept_key_is_described_with_an_age_in_the_unit_that_fits() {
        for (made, expected) in [
            (Duration::ZERO, "0 min old"),
            (Duration::from_mins(119), "119 min old"),
            (2 * HOUR, "2 h old"),
            (Duration::from_mins(2879), "47 h old"),
            (2 * DAY, "2 days old"),
        ] {
            assert_eq!(age(now() - made, now()), expected);
        }
    }

    #[test]
    fn the_log_says_why_a_key_is_freed() {
        let texts = [MayGo::Orphan, MayGo::Replaced, MayGo::Superseded { label: Some(AWSPREVIOUS.into()) }];
        assert_eq!(
            texts.map(|reason| reason.to_string()),
            [
                "it was never used and no version of the secret names it",
                "iam_user.replaces lists it",
                "only a superseded version (AWSPREVIOUS) names it, and nobody used it after its grace",
            ]
        );
    }

    fn any_time() -> impl Strategy<Value = SystemTime> {
        (0_u32..100).prop_map(|hours| now() - hours * HOUR)
    }

    pub(crate) fn any_situation() -> impl Strategy<Value = Situation> {
        let ids = || prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
        let labels =
            prop::sample::subsequence(vec![AWSCURRENT, AWSPENDING, AWSPREVIOUS, DEPLOYING, TOLD, "custom"], 0..4);
        let versions = prop::collection::vec((labels, prop::option::of(ids())), 0..4);
        let times = || prop::option::of(any_time());
        let key = (any::<bool>(), times(), times(), times());
        (
            prop::collection::vec(key, KEYS_PER_USER),
            versions,
            (times(), times()),
            (0_u32..60, 0_u32..60),
            any::<bool>(),
            any::<bool>(),
            prop::collection::vec(ids(), 0..2),
        )
            .prop_map(
                |(
                    keys,
                    versions,
                    (grace_began, last_changed),
                    (previous, inactive),
                    was_rotated,
                    user_owned,
                    replaces,
                )| {
                    let keys: Vec<_> = ["a", "b"].into_iter().zip(keys).collect();
                    Situation {
                        inactive_since: keys
                            .iter()
                            .filter_map(|(id, (_, _, _, inactive_since))| Some(((*id).to_owned(), (*inactive_since)?)))
                            .collect(),
                        keys: keys
                            .into_iter()
                            .map(|(id, (active, created, last_used, _))| UsedKey {
                                key: AccessKey { id: id.into(), active, created },
                                last_used,
                            })
                            .collect(),
                        versions: versions
                            .into_iter()
                            .enumerate()
                            .map(|(index, (labels, names_key))| KnownVersion {
                                id: index.to_string(),
                                labels: labels.into_iter().map(str::to_owned).collect(),
                                names_key,
                            })
                            .collect(),
                        was_rotated,
                        grace_began,
                        last_changed,
                        keep_previous: previous * HOUR,
                        keep_inactive: inactive * HOUR,
                        now: now(),
                        user_owned,
                        replaces,
                        orphan_age: HOUR,
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn a_key_that_could_be_in_use_is_never_freed(situation in any_situation()) {
            let Slot::After(keys) = choose(&situation) else { return Ok(()) };
            for (key, _) in keys {
                let grace_is_open = situation.grace_began.is_none_or(|began| situation.now < began + situation.keep_previous);
                for version in situation.versions.iter().filter(|version| version.names_key.as_ref() == Some(&key.key.id)) {
                    for label in &version.labels {
                        prop_assert!(!PROTECTING.contains(&label.as_str()));
                        prop_assert!(label != AWSPREVIOUS || !grace_is_open);
                    }
                }
                if grace_is_open {
                    prop_assert!(key.key.created.zip(situation.grace_began).is_some_and(|(made, began)| made > began));
                }
                if let Some(used) = key.last_used.filter(|_| !situation.was_inactive_for_long(&key)) {
                    let began = situation.grace_began.unwrap();
                    let quiet_since = if grace_is_open { began } else { began + situation.keep_previous };
                    prop_assert!(used < quiet_since);
                    prop_assert!(grace_is_open || situation.now >= used + situation.keep_previous);
                }
            }
        }

        #[test]
        fn the_only_active_key_is_never_freed(situation in any_situation()) {
            let Slot::After(keys) = choose(&situation) else { return Ok(()) };
            for (key, _) in keys {
                let active = situation.keys.iter().filter(|it| it.key.active);
                prop_assert!(!key.key.active || active.count() > 1);
            }
        }

        #[test]
        fn a_key_is_replaced_only_if_current_is_another_that_works(situation in any_situation()) {
            let Slot::After(keys) = choose(&situation) else { return Ok(()) };
            for (key, _) in keys.into_iter().filter(|(_, reason)| *reason == MayGo::Replaced) {
                prop_assert!(situation.was_rotated);
                let other = situation.keys.iter().find(|it| it.key.id != key.key.id).unwrap();
                prop_assert!(other.key.active && situation.is_named(&other.key.id, AWSCURRENT));
            }
        }

        #[test]
        fn a_key_that_must_stay_goes_when_the_clock_says_so_and_not_a_second_before(
            situation in any_situation(),
            hours in 0_u32..400,
        ) {
            for key in &situation.keys {
                let may_go_at = |now| matches!(judge(&Situation { now, ..situation.clone() }, key), Verdict::MayGo(_));
                if may_go_at(situation.now) {
                    continue;
                }
                let later = situation.now + hours * HOUR;
                match until(&situation, key) {
                    None => prop_assert!(!may_go_at(later)),
                    Some(until) => {
                        prop_assert!(until > situation.now && may_go_at(until) && !may_go_at(until - SECOND));
                        prop_assert!(later >= until || !may_go_at(later));
                    }
                }
            }
        }

        #[test]
        fn consent_only_ever_lets_a_key_go(situation in any_situation()) {
            for key in &situation.keys {
                if let Verdict::MayGo(_) = judge(&situation, key) {
                    for consent in [Consent::Leaked, Consent::Orphan] {
                        prop_assert!(matches!(judge_with(&situation, key, consent), Verdict::MayGo(_)));
                    }
                }
            }
        }

        #[test]
        fn the_order_of_keys_and_versions_never_matters(situation in any_situation()) {
            let mut reversed = situation.clone();
            reversed.keys.reverse();
            reversed.versions.reverse();
            reversed.versions.iter_mut().for_each(|version| version.labels.reverse());
            reversed.replaces.reverse();
            prop_assert_eq!(choose(&situation), choose(&reversed));
        }

        #[test]
        fn the_same_situation_has_the_same_verdict(situation in any_situation()) {
            prop_assert_eq!(choose(&situation), choose(&situation.clone()));
        }

        #[test]
        fn on_a_referenced_user_a_key_goes_only_if_it_is_named_or_replaced(situation in any_situation()) {
            let situation = Situation { user_owned: false, ..situation };
            let Slot::After(keys) = choose(&situation) else { return Ok(()) };
            for (key, _) in keys {
                let is_named = situation.naming(&key.key.id).next().is_some();
                prop_assert!(is_named || situation.replaces.contains(&key.key.id));
            }
        }
    }
}
