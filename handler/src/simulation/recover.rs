//! What `deployer recover` does, in a small form: it asks the function for a report, takes one remedy, and asks again. Where a
//! person has to decide, that person knows what the hosts hold.

use std::sync::Arc;

use contract::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, Answer, DEPLOYING, KeyVerdict, Login, Next, Refusal, RefusalKind, Report,
    TOLD, VersionReport, WayOut,
};
use serde_json::json;

use super::{
    DAY, HOUR, Millis, SECOND,
    hosts::{Host, sleep},
    stage::Stage,
    user::{By, Key, State},
    world::World,
};

/// As many remedies as `deployer recover` takes.
const MOST_REMEDIES: usize = 8;

/// How many answers a person gives.
const MOST_ANSWERS: usize = 5;

/// How often a person comes back soon.
const ROUNDS: usize = 30;

/// How often a person comes back after that, every second day: a late use keeps a key for 45 days.
const LATER_ROUNDS: usize = 24;

/// Longer than a host takes to boot.
const BOOTED_WITHIN: Millis = 120 * SECOND;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Healthy,
    /// Wait, and come back.
    Wait(String),
    /// A key keeps the slot until a date, which each further use of it puts off.
    WaitsForSlot,
    /// A person has to decide.
    Asks(Question),
}

/// What a person has to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Hosts may use AWSCURRENT's credential, or DEPLOYING's.
    Crossed,
    /// Another tool stored the pending credential.
    StoredByAnother(String),
    /// Hosts may have this key, and it is Inactive.
    Inactive(String),
    /// SES never accepts this key.
    Refused(String),
    /// No key may be deleted for a new one.
    NoSafeSlot(Option<String>),
}

impl Question {
    /// The key that a person may have made Active as the answer.
    fn reactivated(&self) -> Option<String> {
        match self {
            Self::Inactive(key) => Some(key.clone()),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Remedy {
    ClearPending(String, bool),
    MoveLabel { label: &'static str, from: String, to: String },
    DeleteOrphan(String),
    Rotate,
}

enum Diagnosis {
    Take(Remedy),
    End(Ended),
}

/// One run of `deployer recover`, or of `deployer recover --reactivate` if a person has just made a key Active.
pub(super) async fn recover(stage: &Arc<Stage>, reactivated: Option<&str>) -> Ended {
    let mut taken: Vec<Remedy> = vec![];
    loop {
        while stage.sim.world().engine.is_busy {
            sleep(HOUR / 6).await;
        }
        let report = match report(stage).await {
            Ok(report) => report,
            Err(why) => return Ended::Wait(why),
        };
        let gave_up = taken.iter().rposition(|it| matches!(it, Remedy::ClearPending(_, true)));
        let owed = gave_up.is_some_and(|at| !taken[at..].contains(&Remedy::Rotate));
        let remedy = match diagnose(&report, owed, reactivated) {
            Diagnosis::Take(remedy) => remedy,
            Diagnosis::End(ended) => return ended,
        };
        if taken.contains(&remedy) || taken.len() == MOST_REMEDIES {
            return Ended::Wait(format!("{remedy:?} did not help"));
        }
        take(stage, &remedy).await;
        taken.push(remedy);
    }
}

async fn report(stage: &Stage) -> Result<Report, String> {
    let answer = stage.invoke("report", json!({"event": "report", "logins": true})).await?;
    match serde_json::from_value(answer).unwrap() {
        Answer::Done(report) => Ok(report),
        Answer::Refused(refusal) => Err(refusal.kind.name().to_owned()),
    }
}

async fn take(stage: &Arc<Stage>, remedy: &Remedy) {
    stage.sim.world().tell(|_| format!("--- recover: {remedy:?}"));
    match remedy {
        Remedy::ClearPending(version, _) => person(stage, |world| world.move_label(AWSPENDING, Some(version), None)),
        Remedy::MoveLabel { label, from, to } => {
            person(stage, |world| world.move_label(label, Some(from), Some(to)));
        }
        Remedy::DeleteOrphan(key) => drop(stage.invoke("retire", json!({"event": "retire", "orphan": key})).await),
        Remedy::Rotate => drop(stage.rotate().await),
    }
}

/// A person acts; false if that changed nothing.
fn person(stage: &Stage, act: impl FnOnce(&mut World) -> bool) {
    let mut world = stage.sim.world();
    if act(&mut world) {
        world.disturbed();
        world.watch();
    }
}

/// Gets the world from any state to a completed rotation, once nothing disturbs it any more.
pub(super) async fn to_a_completed_rotation(stage: &Arc<Stage>) {
    let foreign = {
        let world = stage.sim.world();
        let is_named = |key: &Key| world.secret.versions.iter().any(|version| version.key.as_ref() == Some(&key.id));
        world.user.listed().filter(|key| !is_named(key) && key.by == By::Person).count()
    };
    let mut answers = vec![];
    let gone = go_to_a_completed_rotation(stage, &mut answers).await;
    let mut world = stage.sim.world();
    match gone {
        Ok(()) => world.was_answered(&answers, foreign),
        Err(why) => world.is_stuck(format!("after the answers {answers:?}: {why}")),
    }
}

async fn go_to_a_completed_rotation(stage: &Arc<Stage>, answers: &mut Vec<String>) -> Result<(), String> {
    let before = stage.sim.world().rotations;
    let mut last = String::new();
    let mut reactivated = None;
    for round in 0..ROUNDS + LATER_ROUNDS {
        person(stage, World::apply);
        let ended = recover(stage, reactivated.take().as_deref()).await;
        last = format!("{ended:?}");
        match ended {
            Ended::Healthy => {
                // `deployer rotate`
                if stage.sim.world().rotations == before && report(stage).await.is_ok_and(|report| can_rotate(&report))
                {
                    stage.rotate().await;
                }
            }
            // The grace ends by itself, and then `recover` deletes that key without a person.
            Ended::Asks(Question::NoSafeSlot(Some(key))) if is_left_behind(&stage.sim.world(), &key) => {}
            Ended::Asks(question) => {
                if answers.len() < MOST_ANSWERS && answer(stage, &question).await {
                    answers.push(format!("{question:?}"));
                    reactivated = question.reactivated();
                }
            }
            // Whoever is told for weeks that a key is still used looks for the host that uses it.
            Ended::WaitsForSlot if round + 3 == ROUNDS + LATER_ROUNDS => {
                let question = Question::NoSafeSlot(None);
                if answer(stage, &question).await {
                    answers.push(format!("{question:?}"));
                }
            }
            Ended::WaitsForSlot | Ended::Wait(_) => {}
        }
        if stage.sim.world().rotations > before {
            return all_hosts_send(stage).await;
        }
        sleep(if round < ROUNDS { 7 * HOUR } else { 2 * DAY }).await;
    }
    Err(last)
}

/// Whether a createSecret that did not end made the key. No version names it, so nobody has its secret.
fn is_left_behind(world: &World, key: &str) -> bool {
    let is_named = world.secret.versions.iter().any(|version| version.key.as_deref() == Some(key));
    !is_named && world.user.key(key).is_some_and(|key| matches!(key.by, By::Function(_)))
}

fn can_rotate(report: &Report) -> bool {
    report.rotation_enabled && report.open.is_none() && !matches!(report.next, Next::Fail { .. })
}

/// Whether every host has AWSCURRENT's key. One that boots right now is judged once it has booted.
pub(super) async fn all_hosts_send(stage: &Stage) -> Result<(), String> {
    for _ in 0..BOOTED_WITHIN / SECOND {
        if !stage.sim.world().hosts.iter().any(Host::is_booting) {
            break;
        }
        sleep(SECOND).await;
    }
    let world = stage.sim.world();
    let current = world.current();
    let has = |host: &&Host| host.holds.as_ref().map(|(key, _)| key) == current.as_ref();
    match world.hosts.iter().find(|host| !has(host)) {
        Some(host) if !world.is_pulled => {
            Err(format!("{} has {:?} after a completed rotation to {current:?}", host.id, host.holds))
        }
        _ => Ok(()),
    }
}

/// A person decides. False if nothing that was asked for can be said with a good conscience.
async fn answer(stage: &Stage, question: &Question) -> bool {
    stage.sim.world().tell(|_| format!("--- a person answers {question:?}"));
    match question {
        Question::Crossed => {
            let (current, deploying) = {
                let world = stage.sim.world();
                (world.secret.labelled(AWSCURRENT).cloned(), world.secret.labelled(DEPLOYING).cloned())
            };
            let (Some(current), Some(deploying)) = (current, deploying) else { return false };
            let all_on = |key: &Option<Arc<str>>| {
                let world = stage.sim.world();
                world.hosts.iter().all(|host| host.holds.as_ref().map(|(it, _)| it) == key.as_ref())
            };
            if all_on(&deploying.key) {
                person(stage, |world| world.move_label(AWSCURRENT, Some(&current.id), Some(&deploying.id)));
                return true;
            }
            // If hosts differ, the person puts them all on AWSCURRENT's first.
            person(stage, |world| {
                if let Some(key) = &current.key {
                    for host in 0..world.hosts.len() {
                        world.install(host, key, "is put by hand on");
                    }
                }
                world.move_label(DEPLOYING, Some(&deploying.id), Some(&current.id))
            });
            true
        }
        Question::StoredByAnother(version) => {
            person(stage, |world| {
                let key = world.secret.version(version).and_then(|version| version.key.clone());
                let is_held = key.is_some_and(|key| world.held_since(&key).is_some());
                if is_held {
                    let from = world.secret.labels.get(DEPLOYING).cloned();
                    world.move_label(DEPLOYING, from.as_deref(), Some(version))
                } else {
                    world.move_label(AWSPENDING, Some(version), None)
                }
            });
            true
        }
        Question::Inactive(key) => {
            person(stage, |world| {
                let now = world.now();
                let current = world.secret.labelled(AWSCURRENT).map(|version| version.id.clone());
                let told = world.secret.labelled(TOLD).map(|version| (version.id.clone(), version.key.clone()));
                let (to, told) = told.unzip();
                let told = told.flatten().filter(|told| **told != **key);
                let works =
                    told.as_ref().and_then(|told| world.user.key(told)).is_some_and(|it| it.state == State::Active);
                let has_it = |host: &Host| host.holds.as_ref().map(|(it, _)| it) == told.as_ref();
                let is_current = world.current().as_deref() == Some(key.as_str());
                if works && is_current && world.hosts.iter().all(has_it) {
                    world.move_label(AWSCURRENT, current.as_deref(), to.as_deref())
                } else {
                    world.user.set(key, State::Active, By::Person, now)
                }
            });
            true
        }
        Question::Refused(key) => delete(stage, key),
        Question::NoSafeSlot(in_grace) => {
            if let Some(key) = in_grace
                && stage.sim.world().held_since(key).is_none()
            {
                stage.invoke("leaked", json!({"event": "leaked", "key": key})).await.ok();
                return true;
            }
            // What the refusal says: give whoever uses the other key the current credential, then delete the other key.
            let (current, spare) = {
                let world = stage.sim.world();
                let is_named = |key: &str| {
                    let names = |label: &&str| world.secret.key_of(label).is_some_and(|it| &**it == key);
                    [AWSCURRENT, AWSPENDING, DEPLOYING].iter().any(names)
                };
                let spare = world.user.listed().map(|key| key.id.clone()).find(|key| !is_named(key));
                (world.current(), spare)
            };
            let (Some(current), Some(spare)) = (current, spare) else { return false };
            person(stage, |world| {
                for host in 0..world.hosts.len() {
                    if world.hosts[host].holds.as_ref().is_some_and(|(key, _)| *key == spare) {
                        world.install(host, &current, "is put by hand on");
                    }
                }
                true
            });
            delete(stage, &spare)
        }
    }
}

fn delete(stage: &Stage, key: &str) -> bool {
    if stage.sim.world().held_since(key).is_some() {
        return false;
    }
    person(stage, |world| {
        let now = world.now();
        world.user.set(key, State::Deleted, By::Person, now)
    });
    true
}

/// How a version's credential stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credential<'a> {
    None,
    Deleted,
    Inactive(&'a str),
    Works(&'a str),
    Refused(&'a str),
    Unclear,
}

impl Credential<'_> {
    fn is_dead(self) -> bool {
        matches!(self, Self::Deleted | Self::Inactive(_) | Self::Refused(_))
    }
}

fn credential<'a>(report: &'a Report, version: &'a VersionReport) -> Credential<'a> {
    let Some(key) = version.key.as_deref() else { return Credential::None };
    let listed = report.keys.iter().find(|it| it.key == key);
    match (&version.login, listed.map(|it| it.active)) {
        (Some(Login::Accepted), _) => Credential::Works(key),
        (Some(Login::Unclear(_)), None) => Credential::Unclear,
        (_, None) => Credential::Deleted,
        (_, Some(false)) => Credential::Inactive(key),
        (Some(Login::Refused(_)), _) => Credential::Refused(key),
        (Some(Login::Unclear(_)), _) => Credential::Unclear,
        (None, _) => Credential::Works(key),
    }
}

fn diagnose(report: &Report, owed: bool, reactivated: Option<&str>) -> Diagnosis {
    let labelled = |label: &str| report.versions.iter().find(|version| has(version, label));
    let refusal = match &report.next {
        Next::Fail { refusal } => Some(refusal),
        _ => None,
    };
    let current = labelled(AWSCURRENT);
    if let Some(Credential::Inactive(key)) = current.map(|version| credential(report, version)) {
        return Diagnosis::End(Ended::Asks(Question::Inactive(key.to_owned())));
    }
    if let Some(refusal) = refusal.filter(|refusal| refusal.kind.is_of_a_read()) {
        return wait(refusal);
    }
    if !report.rotation_enabled {
        return Diagnosis::End(Ended::Wait("rotation is off".to_owned()));
    }
    if let (Some(current), Some(deploying), Some(RefusalKind::RolledBack | RefusalKind::CurrentIsNewer)) =
        (current, labelled(DEPLOYING), refusal.map(|refusal| refusal.kind))
    {
        return crossed(report, current, deploying, reactivated);
    }
    let fails = refusal.filter(|refusal| {
        use RefusalKind::{NotMarkedDeploying, PendingEmpty, PendingKeyGone};
        !matches!(refusal.kind, PendingEmpty | PendingKeyGone | NotMarkedDeploying)
    });
    if let Some(open) = report.versions.iter().find(|version| Some(&version.version) == report.open.as_ref()) {
        return of_open(report, open, fails);
    }
    if let (Some(current), Some(deploying)) = (current, labelled(DEPLOYING))
        && deploying.version != current.version
        && deploying.key != current.key
    {
        match credential(report, deploying) {
            Credential::Inactive(key) => return Diagnosis::End(Ended::Asks(Question::Inactive(key.to_owned()))),
            Credential::Refused(key) => return Diagnosis::End(Ended::Asks(Question::Refused(key.to_owned()))),
            Credential::Unclear => return Diagnosis::End(Ended::Wait("SES is unclear".to_owned())),
            _ if fails.is_none() => return Diagnosis::Take(Remedy::Rotate),
            _ => {}
        }
    }
    of_next(report, current, fails, owed)
}

fn of_next(report: &Report, current: Option<&VersionReport>, fails: Option<&Refusal>, owed: bool) -> Diagnosis {
    let no_slot = fails.filter(|refusal| refusal.kind == RefusalKind::NoSafeSlot);
    let orphan = report.keys.iter().find(|key| way_out(&key.verdict) == Some(WayOut::RetireOrphan));
    if let Some(orphan) = orphan.filter(|_| no_slot.is_some()) {
        return Diagnosis::Take(Remedy::DeleteOrphan(orphan.key.clone()));
    }
    let now = current.map_or(Credential::None, |version| credential(report, version));
    let is_overdue = report.overdue.is_some() || matches!(now, Credential::Deleted | Credential::Refused(_));
    match (fails, no_slot) {
        _ if now == Credential::Unclear => Diagnosis::End(Ended::Wait("SES is unclear".to_owned())),
        (None, _) if owed || is_overdue => Diagnosis::Take(Remedy::Rotate),
        (None, _) => Diagnosis::End(Ended::Healthy),
        // The clock alone helps.
        (Some(_), Some(no_slot)) if no_slot.until.is_some() => Diagnosis::End(Ended::WaitsForSlot),
        (Some(_), Some(_)) => {
            let in_grace = report.keys.iter().find(|key| way_out(&key.verdict) == Some(WayOut::Leaked));
            Diagnosis::End(Ended::Asks(Question::NoSafeSlot(in_grace.map(|key| key.key.clone()))))
        }
        (Some(refusal), None) => wait(refusal),
    }
}

fn of_open(report: &Report, open: &VersionReport, fails: Option<&Refusal>) -> Diagnosis {
    let id = &open.version;
    let clear = |owes| Diagnosis::Take(Remedy::ClearPending(id.clone(), owes));
    // To give it up would help nobody: the next one would meet the same.
    let has_to_wait = fails.filter(|refusal| refusal.kind != RefusalKind::NoSafeSlot);
    match (credential(report, open), has_to_wait) {
        (Credential::None | Credential::Deleted, Some(refusal)) => wait(refusal),
        (Credential::None | Credential::Deleted, None) => clear(true),
        (Credential::Works(_), _) if !has(open, DEPLOYING) && !has(open, AWSPREVIOUS) => {
            Diagnosis::End(Ended::Asks(Question::StoredByAnother(id.clone())))
        }
        (Credential::Refused(key), _) => Diagnosis::End(Ended::Asks(Question::Refused(key.to_owned()))),
        (Credential::Unclear, _) => Diagnosis::End(Ended::Wait("SES is unclear".to_owned())),
        (Credential::Works(_), _) if !has(open, DEPLOYING) => clear(false),
        (Credential::Inactive(_), _) if !has(open, DEPLOYING) => clear(true),
        (Credential::Inactive(key), _) => Diagnosis::End(Ended::Asks(Question::Inactive(key.to_owned()))),
        (Credential::Works(_), _) => fails.map_or_else(|| clear(true), wait),
    }
}

fn crossed(
    report: &Report,
    current: &VersionReport,
    deploying: &VersionReport,
    reactivated: Option<&str>,
) -> Diagnosis {
    let (now, told) = (credential(report, current), credential(report, deploying));
    let move_label = |label, from: &VersionReport, to: &VersionReport| {
        Diagnosis::Take(Remedy::MoveLabel { label, from: from.version.clone(), to: to.version.clone() })
    };
    match (now, told) {
        (Credential::Works(_), told) if told.is_dead() => move_label(DEPLOYING, deploying, current),
        (now, Credential::Works(_)) if now.is_dead() => move_label(AWSCURRENT, current, deploying),
        (Credential::Works(key), _) if Some(key) == reactivated && is_told(report, deploying) => {
            move_label(DEPLOYING, deploying, current)
        }
        _ => Diagnosis::End(Ended::Asks(Question::Crossed)),
    }
}

fn is_told(report: &Report, version: &VersionReport) -> bool {
    report.versions.iter().any(|it| has(it, TOLD) && it.key == version.key)
}

fn wait(refusal: &Refusal) -> Diagnosis {
    Diagnosis::End(Ended::Wait(format!("{}: {}", refusal.kind.name(), refusal.finding())))
}

fn has(version: &VersionReport, label: &str) -> bool {
    version.labels.iter().any(|it| it == label)
}

fn way_out(verdict: &KeyVerdict) -> Option<WayOut> {
    match verdict {
        KeyVerdict::MustStay { way_out, .. } => *way_out,
        KeyVerdict::MayGo(_) => None,
    }
}
