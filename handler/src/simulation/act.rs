//! What disturbs: operators, faults, hosts, and whoever may invoke the function.

use std::sync::Arc;

use contract::{AWSCURRENT, AWSPENDING, DEPLOYING, SecretValue};
use serde_json::{Value, json};
use tokio::task::spawn_local as spawn;

use super::{
    history::{Act, At, Call, Target, Which},
    hosts::{self, value},
    recover, stage,
    user::{By, State},
    world::World,
};

impl World {
    /// A call of this action is about to take effect, or Secrets Manager is about to invoke this step.
    pub(super) fn fire(&mut self, action: &str) {
        let is_call = action.starts_with(char::is_uppercase);
        let mut due = vec![];
        self.armed.retain_mut(|armed| {
            let is_due = match &mut armed.at {
                At::Once | At::Call(0) => is_call,
                At::Call(calls) => {
                    *calls -= u32::from(is_call);
                    false
                }
                At::Before(it) => *it == action,
            };
            if is_due {
                due.push(armed.act);
            }
            !is_due
        });
        for act in due {
            self.act(act);
        }
    }

    /// Carries out an act. True if it changed something.
    pub(super) fn carry_out(&mut self, act: Act) -> bool {
        let now = self.now();
        let changed = match act {
            Act::Fault(fault) => {
                self.fault = Some(fault);
                return false;
            }
            Act::Down(time) => set(&mut self.spells.down, now + time),
            Act::Throttled(time) => set(&mut self.spells.throttled, now + time),
            Act::Denied(time) => set(&mut self.spells.denied, now + time),
            Act::StaleSecret(time) => set(&mut self.spells.stale_secret, now + time),
            Act::StaleKeys(time) => set(&mut self.spells.stale_keys, now + time),
            Act::SesDown(time) => set(&mut self.spells.ses_down, now + time),
            Act::MailRefused(time) => set(&mut self.spells.mail_refused, now + time),
            Act::NewToken => set(&mut self.engine.new_token, true),
            Act::GivesUp => set(&mut self.engine.gives_up, true),
            Act::Twice(later) => set(&mut self.engine.twice, Some(later)),
            Act::Waits(time) => set(&mut self.engine.waits, time),
            Act::Cleans(cleans) => set(&mut self.engine.cleans, cleans),
            Act::Script(host, mishap, times) => {
                self.script(host, mishap, times);
                false
            }
            Act::Offline(host, time) => {
                self.goes_offline(host, time);
                false
            }
            Act::TestsConfiguration | Act::Boots(_) | Act::MadeAnew(_) | Act::Recover | Act::Invoke(_) => {
                self.begins(act);
                false
            }
            _ => self.operator(act),
        };
        let is_clear = matches!(
            act,
            Act::Edit
                | Act::ClearPending
                | Act::Cancel
                | Act::Enable
                | Act::Activate(_)
                | Act::Deactivate(_)
                | Act::PutInPlace(_)
        );
        self.ghost.leaves_open |= changed && !is_clear;
        self.tell(|_| format!("--- {act:?}{}", if changed || !is_operators(act) { "" } else { ": nothing to do" }));
        changed
    }

    /// What takes a while.
    fn begins(&mut self, act: Act) {
        let Some(stage) = self.stage.as_ref().and_then(std::sync::Weak::upgrade) else { return };
        match act {
            Act::TestsConfiguration => drop(spawn(stage::test_configuration(stage))),
            Act::Boots(host) if host < self.hosts.len() => drop(spawn(hosts::boot(stage.sim.clone(), host, false))),
            Act::MadeAnew(host) if host < self.hosts.len() => drop(spawn(hosts::boot(stage.sim.clone(), host, true))),
            Act::Recover => drop(spawn(async move { drop(recover::recover(&stage, None).await) })),
            Act::Invoke(call) => {
                if let Some((name, event)) = self.event(call) {
                    spawn(async move { drop(stage.invoke(&name, event).await) });
                }
            }
            _ => {}
        }
    }

    fn event(&self, call: Call) -> Option<(String, Value)> {
        let event = match call {
            Call::Step(step, label) => {
                let token = self.secret.labels.get(label)?;
                return Some((format!("somebody's {step}({token})"), stage::step(step, token)));
            }
            Call::Report => json!({"event": "report", "logins": true}),
            Call::Upkeep => json!({"event": "upkeep"}),
            Call::Retire => json!({"event": "retire"}),
            Call::Orphan(which) => json!({"event": "retire", "orphan": self.which(which)?}),
            // Without hosts, whoever says that a key leaked ends the grace of those who still hold it.
            Call::Leaked(_) if self.is_pulled => return None,
            Call::Leaked(which) => json!({"event": "leaked", "key": self.which(which)?}),
        };
        Some((format!("somebody's {}", event["event"].as_str().unwrap()), event))
    }

    fn which(&self, which: Which) -> Option<Arc<str>> {
        let current = self.current();
        let mut listed = self.user.listed().map(|key| key.id.clone());
        match which {
            Which::Label(label) => self.secret.key_of(label).cloned(),
            Which::Oldest => listed.next(),
            Which::Newest => listed.last(),
            Which::Other => listed.filter(|key| Some(key) != current.as_ref()).last(),
        }
    }

    fn target(&self, target: Target) -> Option<Arc<str>> {
        let version = match target {
            Target::Label(label) => self.secret.labelled(label)?,
            Target::Oldest => self.secret.versions.iter().find(|version| version.key.is_some())?,
            Target::Before(count) => {
                let current = self.secret.labelled(AWSCURRENT)?;
                let before = self.secret.versions.iter().rev().skip_while(|version| version.id != current.id);
                before.filter(|version| version.key.is_some() && version.key != current.key).nth(count - 1)?
            }
        };
        // Nobody moves a label to what is known not to work.
        let key = self.user.key(version.key.as_ref()?)?;
        (key.state != State::Deleted).then(|| version.id.clone())
    }

    /// What a person does. False if there is nothing to do.
    fn operator(&mut self, act: Act) -> bool {
        let now = self.now();
        let from = self.current();
        match act {
            Act::Move(target) => {
                let current = self.secret.labels.get(AWSCURRENT).cloned();
                let Some(to) = self.target(target).filter(|to| Some(to) != current.as_ref()) else { return false };
                self.move_label(AWSCURRENT, current.as_deref(), Some(&to))
            }
            Act::Edit => {
                let Some(value) = self.secret.labelled(AWSCURRENT).and_then(|version| version.value.clone()) else {
                    return false;
                };
                let mut value = SecretValue::parse(&value).unwrap();
                value.other.insert("note".to_owned(), &json!(self.changes));
                self.secret.put_by_hand(value.to_json(), now);
                true
            }
            Act::PutOther(which) => {
                let changes = self.changes;
                let key = self.which(which).and_then(|key| self.user.key(&key));
                let key = key.filter(|key| key.state != State::Deleted && Some(&key.id) != from.as_ref());
                // Only of a key that a version names does anybody have the credential.
                let named = |key: &&super::user::Key| {
                    self.secret.versions.iter().any(|version| version.key.as_ref() == Some(&key.id))
                };
                let Some(value) = key.filter(named).map(|key| value(key, changes)) else { return false };
                self.secret.put_by_hand(value, now);
                self.person_moved_current(from);
                true
            }
            Act::PutHandMade => {
                if self.user.listed().count() >= 2 {
                    return false;
                }
                let value = value(&self.make_key(true, By::Person), self.changes);
                self.secret.put_by_hand(value, now);
                self.person_moved_current(from);
                true
            }
            Act::ClearPending => {
                let Some(pending) = self.secret.labels.get(AWSPENDING).cloned() else { return false };
                self.move_label(AWSPENDING, Some(&pending), None)
            }
            Act::Cancel => {
                self.secret.enabled && {
                    self.secret.enable(false, now);
                    true
                }
            }
            Act::Enable => self.apply(),
            Act::DeployingToCurrent => {
                let (Some(deploying), Some(current), Some(key)) =
                    (self.secret.labels.get(DEPLOYING).cloned(), self.secret.labels.get(AWSCURRENT).cloned(), from)
                else {
                    return false;
                };
                let all = self.hosts.iter().all(|host| host.holds.as_ref().is_some_and(|(it, _)| *it == key));
                all && deploying != current && self.move_label(DEPLOYING, Some(&deploying), Some(&current))
            }
            Act::Deactivate(which) => self.set(which, State::Inactive),
            Act::Activate(which) => self.set(which, State::Active),
            Act::Delete(which) => self.set(which, State::Deleted),
            Act::PutInPlace(host) => self.put_in_place(host),
            Act::MakeKey => {
                // IAM's limit of two does not hold against calls at the same time.
                let makes = self.user.listed().count() < 3;
                if makes {
                    self.make_key(true, By::Person);
                }
                makes
            }
            _ => false,
        }
    }

    fn set(&mut self, which: Which, state: State) -> bool {
        let (Some(key), now) = (self.which(which), self.now()) else { return false };
        let is_so = self.user.key(&key).is_none_or(|key| key.state == state || key.state == State::Deleted);
        let is_set = !is_so && self.user.set(&key, state, By::Person, now);
        if is_set && state == State::Inactive {
            self.ghost.deactivated.insert(key);
        }
        is_set
    }

    /// A person moves a label.
    pub(super) fn move_label(&mut self, label: &str, from: Option<&str>, to: Option<&str>) -> bool {
        let (now, before) = (self.now(), self.current());
        let moved = self.secret.update_stage(label, from, to, now).is_ok();
        if moved && label == AWSCURRENT && self.current() != before {
            self.person_moved_current(before);
        }
        moved
    }

    /// `deployer apply`: it enables rotation. AWSPENDING is cleared then, and what it protected is DEPLOYING's.
    pub(super) fn apply(&mut self) -> bool {
        if self.secret.enabled {
            return false;
        }
        if let Some(pending) = self.secret.open().map(|version| version.id.clone()) {
            if !self.secret.labels.contains_key(DEPLOYING) {
                self.move_label(DEPLOYING, None, Some(&pending));
            }
            self.move_label(AWSPENDING, Some(&pending), None);
        }
        let now = self.now();
        self.secret.enable(true, now);
        true
    }
}

fn set<T>(field: &mut T, value: T) -> bool {
    *field = value;
    false
}

fn is_operators(act: Act) -> bool {
    matches!(
        act,
        Act::Move(_)
            | Act::Edit
            | Act::PutOther(_)
            | Act::PutHandMade
            | Act::ClearPending
            | Act::Cancel
            | Act::Enable
            | Act::DeployingToCurrent
            | Act::Deactivate(_)
            | Act::Activate(_)
            | Act::Delete(_)
            | Act::MakeKey
            | Act::PutInPlace(_)
    )
}
