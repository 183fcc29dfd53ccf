//! Whether a rotation that begins now would fail, and whether one is due.

use contract::{AWSCURRENT, Command, Report, Text, WayOut, text};

use super::{
    obstacle::{Obstacle, obstacle, refusal, why_a_new_one_would_fail},
    remedy::{Diagnosis, Remedy, Way, again, curable},
};

/// Why a rotation is wanted although the schedule asks for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// This run gave up a rotation that was wanted, and none has completed since.
    GivenUp,
    /// `rotation.rotate_on_create` asks for one, and none has completed yet.
    OnCreate,
}

pub(super) fn orphan_takes_the_slot(report: &Report) -> Option<Diagnosis> {
    let why = why_a_new_one_would_fail(report).filter(|_| obstacle(report) == Some(Obstacle::NoSafeSlot))?;
    let orphan = report.keys.iter().find(|key| key.way_out() == Some(WayOut::RetireOrphan))?;
    let remedy = Remedy::DeleteOrphan { key: orphan.key.clone(), created: orphan.created.clone() };
    Some(curable(would_fail(why), remedy, []))
}

/// Something else than the labels has to be corrected first. If it is only the grace, the clock does that in time.
pub(super) fn rotation_would_fail(report: &Report, owed: Option<Owed>) -> Option<Diagnosis> {
    let why = why_a_new_one_would_fail(report)?;
    let until = refusal(report).and_then(|refusal| refusal.until.as_ref());
    // One that was given up is made then by hand or on schedule: the clock alone is in its way.
    let is_wanted = owed == Some(Owed::OnCreate) || report.overdue.is_some();
    // Dates in RFC 3339, in UTC and whole seconds: their order is that of the strings.
    let in_time = |until: &&String| report.next_rotation.as_ref().is_none_or(|next| *until < next);
    if let Some(until) = until.filter(|_| obstacle(report) == Some(Obstacle::NoSafeSlot) && !is_wanted).filter(in_time)
    {
        let note = format!("no rotation can run before {until}: until then neither access key may be deleted");
        let note = Text::from(note).then(owed.map_or_else(Text::default, |_| given_up_hint(report)));
        return Some(Diagnosis::Healthy { note: Some(note.then(leaked_hint(report))) });
    }
    let found = match (&report.overdue, &report.next_rotation) {
        (Some(overdue), _) => overdue.clone().then(". But ").then(would_fail(why)),
        (None, Some(next)) if until.is_some() => {
            Text::from(format!("the next rotation has to end by {next}, but ")).then(would_fail(why))
        }
        (None, _) => would_fail(why),
    };
    Some(person_about_next(report, found))
}

pub(super) fn would_fail(why: Text) -> Text {
    Text::from("a rotation would fail: ").then(why)
}

pub(super) fn rotation_is_due(report: &Report, owed: Option<Owed>) -> Option<Diagnosis> {
    let owed = owed.map(|owed| match owed {
        Owed::GivenUp => Text::from("the rotation that was given up still has to be made"),
        Owed::OnCreate => Text::from("no rotation has completed yet, and rotation.rotate_on_create asks for one"),
    });
    owed.or_else(|| report.overdue.clone()).map(|found| curable(found, Remedy::Rotate, []))
}

/// The function's own words say what to do; only the deployer's commands are added.
pub(super) fn person_about_next(report: &Report, found: Text) -> Diagnosis {
    let leaked = report.keys.iter().find(|key| key.only_its_grace_keeps_it()).map(|key| Way {
        when: format!(
            "if no host needs access key {} any more, or if it leaked: any host that still uses it stops sending",
            key.key
        ),
        command: Command::rotate_leaked(&key.key),
        waits: false,
    });
    Diagnosis::Person { found, ways: std::iter::once(again()).chain(leaked).collect() }
}

/// A rotation mends it, in these words, unless one would fail.
pub(super) fn mended_by_a_rotation(report: &Report, found: &str, how: &str) -> Diagnosis {
    match why_a_new_one_would_fail(report) {
        None => curable(format!("{found}{how}"), Remedy::Rotate, []),
        Some(why) => person_about_next(report, Text::from(format!("{found}. A rotation would fail: ")).then(why)),
    }
}

/// When the rotation is made that this run gave up.
fn given_up_hint(report: &Report) -> Text {
    let next = report.next_rotation.as_ref().map_or_else(String::new, |next| format!(", by {next}"));
    text![
        format!(". The rotation that was given up is made on schedule{next}; as soon as one can run, "),
        Command::deployer("rotate"),
        " makes it at once"
    ]
}

fn leaked_hint(report: &Report) -> Text {
    let key = report.keys.iter().find(|key| key.only_its_grace_keeps_it());
    key.map_or_else(Text::default, |key| {
        text![format!("; if access key {} leaked, ", key.key), Command::rotate_leaked(&key.key), " deletes it now"]
    })
}

/// The next step of a secret that holds no credential yet, where nothing rotates it before its schedule.
pub(crate) fn first_credential(report: &Report) -> Option<Text> {
    let current = report.labelled(AWSCURRENT)?;
    let is_placeholder = current.key.is_none() && current.problem.is_none();
    (is_placeholder && report.last_rotated.is_none() && report.open.is_none())
        .then(|| text!["no host has a credential yet: ", Command::deployer("rotate"), " makes the first"])
}
