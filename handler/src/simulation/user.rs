//! The IAM user's access keys, and what SES knows of them.

use std::sync::Arc;

use contract::TAG_SECRET;
use serde_json::Value;

use super::{Millis, date_text, dice::Dice};
use crate::{fake_http::Answer, sensitive::Sensitive, services::password::smtp_password};

/// Uses that are remembered of a key.
const USES: usize = 8;

/// How a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Active,
    Inactive,
    Deleted,
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// An invocation of the function.
    Function(u32),
    /// A person.
    Person,
}

/// An access key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) id: Arc<str>,
    /// The secret access key.
    pub(super) secret: String,
    pub(super) password: String,
    pub(super) state: State,
    made: Millis,
    /// When its state changed, and who changed it.
    pub(super) changed: Millis,
    pub(super) by: By,
    /// Whether a person broke it, or put it to use although it was not Active.
    pub(super) excused: bool,
    /// Whether somebody needed it when the function deleted it, and the function could not know that. A later call does not change it.
    pub(super) lost_in_a_race: bool,
    /// From when on SES accepts it, while it is Active.
    known: Millis,
    /// Until when SES still accepts it, after that.
    refused: Millis,
    uses: Vec<Millis>,
}

impl Key {
    /// Whether the function made it unusable, and nobody else is to blame.
    pub(super) fn is_broken(&self) -> bool {
        self.state != State::Active && self.by != By::Person && !self.excused
    }
}

/// How IAM shows the last use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastUse {
    /// Logins over SMTP do not show.
    Never,
    /// So much later.
    After(Millis),
}

/// The user.
#[derive(Debug)]
pub(super) struct User {
    pub(super) keys: Vec<Key>,
    last_use: LastUse,
    dice: Dice,
    made: u32,
    /// The list of before the last change, which stale reads still show.
    before: Vec<(Arc<str>, State, Millis)>,
    changed: Millis,
}

impl User {
    pub(super) fn new(last_use: LastUse, seed: u64) -> Self {
        Self { keys: vec![], last_use, dice: Dice::new(seed, 1), made: 0, before: vec![], changed: 0 }
    }

    pub(super) fn key(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| &*key.id == id)
    }

    pub(super) fn key_mut(&mut self, id: &str) -> Option<&mut Key> {
        self.keys.iter_mut().find(|key| &*key.id == id)
    }

    /// The keys that are not deleted, the oldest first.
    pub(super) fn listed(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|key| key.state != State::Deleted)
    }

    fn list(&self) -> Vec<(Arc<str>, State, Millis)> {
        self.listed().map(|key| (key.id.clone(), key.state, key.made)).collect()
    }

    fn change(&mut self, now: Millis) {
        self.before = self.list();
        self.changed = now;
    }

    /// Whether IAM refuses another key. Its limit of two does not hold against calls at the same time.
    pub(super) fn is_full(&self, now: Millis) -> bool {
        self.listed().count() >= 2 && (self.before.len() >= 2 || self.changed + 500 < now)
    }

    /// CreateAccessKey. SES knows it at once if it is an old one.
    pub(super) fn make(&mut self, now: Millis, is_old: bool, by: By) -> Key {
        self.change(now);
        self.made += 1;
        let id: Arc<str> = format!("K{}", self.made).into();
        let secret = format!("secret{:016x}of{id}", self.dice.next());
        let password = smtp_password(&Sensitive::new(&secret), "eu-west-1").reveal().to_owned();
        let known = if is_old { now } else { now + self.dice.between(5_000, 90_000) };
        let key = Key {
            id,
            secret,
            password,
            state: State::Active,
            made: now,
            changed: now,
            by,
            excused: false,
            lost_in_a_race: false,
            known,
            refused: 0,
            uses: vec![],
        };
        self.keys.push(key.clone());
        key
    }

    /// UpdateAccessKey and DeleteAccessKey. False if the key is gone.
    pub(super) fn set(&mut self, id: &str, state: State, by: By, now: Millis) -> bool {
        let spread = self.dice.between(3_000, 4_000);
        let Some(key) = self.keys.iter().find(|key| &*key.id == id && key.state != State::Deleted) else {
            return false;
        };
        if key.state == state {
            return true;
        }
        self.change(now);
        let key = self.keys.iter_mut().find(|key| &*key.id == id).unwrap();
        if key.state == State::Active {
            key.refused = now + spread;
        } else if state == State::Active && key.refused <= now {
            key.known = key.known.max(now + spread / 2);
        }
        // A key that a person deactivated is that person's doing, whoever deletes it.
        if state == State::Active {
            key.excused = false;
        } else if by == By::Person {
            key.excused = true;
        }
        key.state = state;
        key.changed = now;
        key.by = by;
        true
    }

    /// Whether SES accepts a credential.
    pub(super) fn is_accepted(&self, id: &str, password: &str, now: Millis) -> bool {
        self.key(id).is_some_and(|key| {
            let is_known = now >= key.known;
            key.password == password
                && if key.state == State::Active { is_known } else { is_known && now < key.refused }
        })
    }

    /// A key is used.
    pub(super) fn is_used(&mut self, id: &str, now: Millis) {
        if let Some(key) = self.key_mut(id) {
            if key.uses.len() == USES {
                key.uses.remove(0);
            }
            key.uses.push(now);
        }
    }

    /// GetUser.
    pub(super) fn get() -> Answer {
        let tag = format!("<member><Key>{TAG_SECRET}</Key><Value>eu-west-1/mail</Value></member>");
        let name = "<UserName>mail</UserName><Path>/</Path><UserId>AIDA</UserId><Arn>arn</Arn>";
        Ok(Value::String(format!("<User>{name}<CreateDate>2020-01-01T00:00:00Z</CreateDate><Tags>{tag}</Tags></User>")))
    }

    /// ListAccessKeys. A stale answer is of before the last change, if that is not older than this.
    pub(super) fn list_keys(&self, now: Millis, lag: Millis) -> Answer {
        let is_stale = now < self.changed + lag;
        let list = if is_stale { self.before.clone() } else { self.list() };
        let member = |(id, state, made): &(Arc<str>, State, Millis)| {
            let date = date_text(*made);
            format!(
                "<member><AccessKeyId>{id}</AccessKeyId><Status>{state:?}</Status><CreateDate>{date}</CreateDate></member>"
            )
        };
        let members: String = list.iter().map(member).collect();
        Ok(Value::String(format!("<AccessKeyMetadata>{members}</AccessKeyMetadata><IsTruncated>false</IsTruncated>")))
    }

    /// GetAccessKeyLastUsed. `held_since`: a host sends with it all the time.
    pub(super) fn last_used(&self, id: &str, held_since: Option<Millis>, now: Millis) -> Answer {
        let used = match self.last_use {
            LastUse::Never => None,
            LastUse::After(lag) => now.checked_sub(lag).and_then(|shown| {
                let uses = self.key(id).into_iter().flat_map(|key| &key.uses).copied().filter(|used| *used <= shown);
                uses.chain(held_since.filter(|since| *since <= shown).map(|_| shown)).max()
            }),
        };
        let date = used.map_or_else(String::new, |used| format!("<LastUsedDate>{}</LastUsedDate>", date_text(used)));
        let place = "<ServiceName>ses</ServiceName><Region>eu-west-1</Region>";
        Ok(Value::String(format!("<UserName>mail</UserName><AccessKeyLastUsed>{date}{place}</AccessKeyLastUsed>")))
    }
}
