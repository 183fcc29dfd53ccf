//! What must hold after every event, whatever happens. It is seen from outside: the watcher does not know the function's rules.

use std::{collections::BTreeSet, fmt, sync::Arc};

use contract::{AWSCURRENT, parse_inactive_label};

use super::{
    MINUTE, Millis,
    hosts::Host,
    user::{By, State},
    world::{Moment, World},
};

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Broken {
    /// The function deleted a key that a host sends with.
    HostsKeyDeleted,
    /// The function left a key Inactive that a host sends with.
    HostsKeyInactive,
    /// The function deleted AWSCURRENT's key.
    CurrentKeyDeleted,
    /// The function left AWSCURRENT's key Inactive.
    CurrentKeyInactive,
    /// The function deleted a key that was Active, and that it had not made itself in the same invocation.
    DeletedAtOnce,
    /// AWSCURRENT has no value.
    CurrentEmpty,
    /// The function moved AWSCURRENT onto the credential that an operator had moved it away from.
    RollbackUndone,
    /// The function moved AWSCURRENT to a key that a host was not told of.
    HostNotTold,
    /// The disturbances stopped, and there was no way to a completed rotation.
    Stuck,
    /// More answers of a person were needed than one per key that somebody made for something else, and one per key that an operator
    /// made Inactive, and one if an operator left open what is right.
    ManyAnswers,
    /// A secret was shown.
    SecretShown,
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    pub(super) broken: Broken,
    /// Somebody changed something between the function's last look at the labels and the call, or the file's hosts while the
    /// invocation ran.
    pub(super) in_a_race: bool,
    pub(super) at: Millis,
    pub(super) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let race = if self.in_a_race { " (in a race of one call)" } else { "" };
        write!(f, "{} {:?}{race}: {}", Moment(self.at), self.broken, self.what)
    }
}

/// What the watcher remembers.
#[derive(Debug, Default)]
pub(super) struct Ghost {
    /// The key that an operator moved AWSCURRENT away from, back to an older one.
    pub(super) rolled_back_from: Option<Arc<str>>,
    /// Whether an operator did something after which a person may have to say what is right. An edit of another field, a label
    /// AWSPENDING that is cleared, and a rotation that is turned off are none of that.
    pub(super) leaves_open: bool,
    /// The keys that an operator made Inactive: of each, a person has to say whether it leaked.
    pub(super) deactivated: BTreeSet<Arc<str>>,
    /// Keys that a host or AWSCURRENT needed, and that were Inactive for moments: in a race, brought back by the same invocation.
    pub(super) brief: u64,
    /// The same, but the invocation was killed before it could bring the key back.
    pub(super) killed: u64,
    /// The secrets that nobody may be shown: the longest part of each that needs no escape anywhere.
    pub(super) secrets: Vec<String>,
}

impl World {
    fn breaks(&mut self, broken: Broken, in_a_race: bool, what: String) {
        // One of each: a race must not hide that the same promise is broken outside of any.
        if self.violations.iter().any(|known| known.broken == broken && known.in_a_race == in_a_race) {
            return;
        }
        let at = self.now();
        let violation = Violation { broken, in_a_race, at, what };
        self.tell(|_| format!("*** {violation}"));
        self.violations.push(violation);
    }

    /// What every event may break.
    pub(super) fn watch(&mut self) {
        let current = self.secret.labelled(AWSCURRENT);
        if current.is_none_or(|version| version.value.is_none()) {
            let what = "the version labelled AWSCURRENT has no value".to_owned();
            self.breaks(Broken::CurrentEmpty, false, what);
        }
        // A key that is Inactive for moments is judged at the end of the invocation.
        for host in 0..self.hosts.len() {
            let Some((key, since)) = &self.hosts[host].holds else { continue };
            let Some(key) = self.user.key(key).filter(|key| key.is_broken() && key.state == State::Deleted) else {
                continue;
            };
            // What a host took up after that is AWSCURRENT's fault.
            if *since < key.changed {
                let what = format!("{} sends with {}, which is deleted", self.hosts[host].id, key.id);
                let in_a_race = key.lost_in_a_race;
                self.breaks(Broken::HostsKeyDeleted, in_a_race, what);
            }
        }
        if let Some(key) = self
            .current()
            .and_then(|id| self.user.key(&id))
            .filter(|key| key.is_broken() && key.state == State::Deleted)
        {
            let what = format!("AWSCURRENT names {}, which is deleted", key.id);
            let in_a_race = key.lost_in_a_race;
            self.breaks(Broken::CurrentKeyDeleted, in_a_race, what);
        }
    }

    /// Whether somebody changed something since the invocation that acts has read the labels, or an apply put another host into the
    /// function's settings while that invocation runs. Lambda gives the new settings to later invocations only, so the running
    /// one cannot know the host: that race is AWS's, and no rule of the function can end it.
    fn is_raced(&self) -> bool {
        self.acting.is_some_and(|invocation| {
            let it = &self.invocations[invocation as usize];
            self.disturbed > it.seen || self.hosts_changed > it.began
        })
    }

    fn is_needed(&self, key: &str) -> bool {
        self.hosts.iter().any(|host| host.holds.as_ref().is_some_and(|(it, _)| **it == *key))
            || self.current().is_some_and(|current| *current == *key)
    }

    /// The function is about to delete a key. Only an Inactive one can be brought back if that is a mistake.
    pub(super) fn key_is_to_be_deleted(&mut self, invocation: u32, key: &str) {
        let own = By::Function(invocation);
        let active = self.user.key(key).filter(|key| key.state == State::Active && key.by != own);
        if let Some(key_changed) = active.map(|key| key.changed) {
            let in_a_race = self.is_raced() || key_changed >= self.invocations[invocation as usize].listed;
            self.breaks(Broken::DeletedAtOnce, in_a_race, format!("{key} was Active, and was deleted"));
        }
    }

    /// The function set a key's state.
    pub(super) fn key_is_set(&mut self, invocation: u32, key: &str, state: State) {
        let is_needed = self.is_needed(key);
        let is_broken = self.user.key(key).is_some_and(super::user::Key::is_broken);
        let raced = self.is_raced();
        if let Some(key) = self.user.key_mut(key).filter(|key| key.state == State::Deleted) {
            key.lost_in_a_race = raced && is_needed;
        }
        let deactivated = &mut self.invocations[invocation as usize].deactivated;
        match state {
            State::Active => {
                if deactivated.iter().any(|(it, _)| **it == *key) {
                    deactivated.retain(|(it, _)| **it != *key);
                    self.ghost.brief += u64::from(is_needed);
                }
            }
            // If nobody needed it, whoever put it to use since then came in between.
            State::Inactive if is_broken => deactivated.push((key.into(), raced || !is_needed)),
            State::Inactive => {}
            State::Deleted => deactivated.retain(|(it, _)| **it != *key),
        }
    }

    /// An invocation ended: what it made Inactive, it left so.
    pub(super) fn invocation_ended(&mut self, invocation: u32) {
        let it = &mut self.invocations[invocation as usize];
        let (is_killed, deactivated) = (it.is_killed, std::mem::take(&mut it.deactivated));
        for (key, raced) in deactivated {
            if !self.is_needed(&key) || !self.user.key(&key).is_some_and(super::user::Key::is_broken) {
                continue;
            }
            if is_killed && raced {
                self.ghost.killed += 1;
                continue;
            }
            let name = self.name(invocation).to_owned();
            let is_current = self.current().is_some_and(|current| current == key);
            let (broken, whose) = if is_current {
                (Broken::CurrentKeyInactive, "AWSCURRENT's")
            } else {
                (Broken::HostsKeyInactive, "a host's")
            };
            self.breaks(broken, raced, format!("{name} left {key} Inactive, which is {whose}"));
        }
    }

    /// The function moved AWSCURRENT.
    pub(super) fn current_is_moved(&mut self, invocation: u32, before: Option<&Arc<str>>) {
        let Some(key) = self.current().filter(|key| before != Some(key)) else { return };
        if self.ghost.rolled_back_from.as_ref() == Some(&key) {
            let what = format!("{} moved AWSCURRENT back to {key}", self.name(invocation));
            let in_a_race = self.is_raced();
            self.breaks(Broken::RollbackUndone, in_a_race, what);
        }
        self.ghost.rolled_back_from = None;
        if self.is_pulled {
            return;
        }
        // A host that boots is told by booting.
        let is_untold = |host: &&Host| host.holds.is_some() && !host.told.contains(&key);
        let untold = self.hosts.iter().find(is_untold).map(|host| host.id.clone());
        if let Some(host) = untold {
            let what = format!("{} moved AWSCURRENT to {key}, and {host} was not told of it", self.name(invocation));
            let in_a_race = self.is_raced();
            self.breaks(Broken::HostNotTold, in_a_race, what);
        }
    }

    /// A person moves AWSCURRENT from one key to another. Keys have numbers in the order of their making.
    pub(super) fn person_moved_current(&mut self, from: Option<Arc<str>>) {
        let Some(to) = self.current() else { return };
        let now = self.now();
        // A label says that the key is Inactive.
        let is_noted =
            self.secret.labels.keys().any(|label| parse_inactive_label(label).is_some_and(|(key, _)| *key == *to));
        if let Some(key) = self.user.key_mut(&to)
            && key.state != State::Active
            && (is_noted || key.changed + MINUTE < now)
        {
            // Nobody but that person put it to use.
            key.excused = true;
        }
        let number = |key: &str| key.trim_start_matches('K').parse::<u32>().unwrap_or_default();
        match from {
            Some(from) if number(&to) < number(&from) => self.ghost.rolled_back_from = Some(from),
            _ if self.ghost.rolled_back_from.as_ref() == Some(&to) => self.ghost.rolled_back_from = None,
            _ => {}
        }
    }

    /// The disturbances stopped, and nothing leads to a completed rotation.
    pub(super) fn is_stuck(&mut self, why: String) {
        self.breaks(Broken::Stuck, false, why);
    }

    /// It took so many answers of a person.
    pub(super) fn was_answered(&mut self, answers: &[String], foreign: usize) {
        let open = self.ghost.deactivated.len() + usize::from(self.ghost.leaves_open);
        if answers.len() > foreign + open {
            self.breaks(Broken::ManyAnswers, false, answers.join(", "));
        }
    }

    /// A secret that nobody may be shown.
    pub(super) fn is_secret(&mut self, secret: &str) {
        let parts = secret.split(|c: char| !c.is_ascii_alphanumeric());
        let longest = parts.max_by_key(|part| part.len()).unwrap_or_default();
        self.ghost.secrets.push(longest.to_owned());
    }

    /// What people are shown.
    pub(super) fn shows_no_secret(&mut self, where_: &str, text: &str) {
        if self.ghost.secrets.iter().any(|secret| text.contains(secret.as_str())) {
            self.breaks(Broken::SecretShown, false, format!("{where_} shows a secret"));
        }
    }
}
