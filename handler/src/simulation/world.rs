//! Everything outside of the function: its state, its clock and its story.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use contract::AWSCURRENT;
use tokio::time::Instant;

use super::{
    Millis, SECOND,
    dice::Dice,
    history::{Act, Armed, Fault},
    hosts::{Boots, Host, Sent},
    secret::{Labels, Secret},
    stage::Stage,
    user::{By, Key, User},
    watcher::{Ghost, Violation},
};

/// By how much the reads of the secret and of IAM lag while they lag.
const LAG: Millis = 6 * SECOND;

/// Lines of a story after a promise was broken.
const LINES_AFTER: usize = 6;

/// Something that is so until a moment.
#[derive(Debug, Default)]
pub(super) struct Spells {
    pub(super) down: Millis,
    pub(super) throttled: Millis,
    pub(super) denied: Millis,
    pub(super) stale_secret: Millis,
    pub(super) stale_keys: Millis,
    pub(super) ses_down: Millis,
    pub(super) mail_refused: Millis,
}

/// An invocation that runs, or ran.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) name: String,
    pub(super) is_killed: bool,
    /// The last change of the world before it began.
    pub(super) began: u64,
    /// The last change of the world that its last DescribeSecret showed.
    pub(super) seen: u64,
    /// The moment that its last ListAccessKeys showed.
    pub(super) listed: Millis,
    /// Keys that it made Inactive and not Active again, and whether it could not know that somebody needs them.
    pub(super) deactivated: Vec<(Arc<str>, bool)>,
}

/// How Secrets Manager behaves next.
#[derive(Debug, Default)]
pub(super) struct Engine {
    pub(super) is_busy: bool,
    /// The next retry has a new token.
    pub(super) new_token: bool,
    /// It does not try again.
    pub(super) gives_up: bool,
    /// The next step comes twice, the second time so much later.
    pub(super) twice: Option<Millis>,
    /// It waits so long before the next step.
    pub(super) waits: Millis,
    /// After a completed rotation it takes AWSPENDING off.
    pub(super) cleans: bool,
}

/// The world.
pub(super) struct World {
    began: Instant,
    pub(super) secret: Secret,
    pub(super) user: User,
    pub(super) hosts: Vec<Host>,
    pub(super) commands: Vec<Sent>,
    pub(super) sent: u32,
    pub(super) boots: Boots,
    pub(super) dice: Dice,
    pub(super) spells: Spells,
    pub(super) engine: Engine,
    /// No host is told: one host reads AWSCURRENT by itself.
    pub(super) is_pulled: bool,
    /// The invocation whose call takes effect.
    pub(super) acting: Option<u32>,
    pub(super) invocations: Vec<Invocation>,
    /// Disturbances that wait for a call of the function.
    pub(super) armed: Vec<Armed>,
    /// What goes wrong with the next call.
    pub(super) fault: Option<Fault>,
    /// Counts the changes of the world.
    pub(super) changes: u64,
    /// The last one that was not the function's.
    pub(super) disturbed: u64,
    /// The last one after which the file names other hosts.
    pub(super) hosts_changed: u64,
    /// When anything changed last.
    pub(super) changed: Millis,
    pub(super) calls: u64,
    pub(super) rotations: u64,
    pub(super) ghost: Ghost,
    pub(super) violations: Vec<Violation>,
    /// Where what is invoked and what boots comes from; empty until it is set up.
    pub(super) stage: Option<std::sync::Weak<Stage>>,
    story: Option<Vec<String>>,
    /// How long the story gets.
    story_ends: Option<usize>,
    told: Labels,
}

impl World {
    pub(super) fn new(secret: Secret, user: User, boots: Boots, seed: u64, tells: bool) -> Self {
        Self {
            began: Instant::now(),
            secret,
            user,
            hosts: vec![],
            commands: vec![],
            sent: 0,
            boots,
            dice: Dice::new(seed, 2),
            spells: Spells::default(),
            engine: Engine::default(),
            is_pulled: false,
            acting: None,
            invocations: vec![],
            armed: vec![],
            fault: None,
            changes: 0,
            disturbed: 0,
            hosts_changed: 0,
            changed: 0,
            calls: 0,
            rotations: 0,
            ghost: Ghost::default(),
            violations: vec![],
            stage: None,
            story: tells.then(Vec::new),
            story_ends: None,
            told: Labels::new(),
        }
    }

    /// Milliseconds since the beginning of the history.
    pub(super) fn now(&self) -> Millis {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// The secret as it is read now.
    pub(super) fn read_secret(&self) -> &Secret {
        let now = self.now();
        if now < self.spells.stale_secret { self.secret.stale(now, LAG) } else { &self.secret }
    }

    /// By how much the list of keys lags now.
    pub(super) fn lag_of_keys(&self) -> Millis {
        if self.now() < self.spells.stale_keys { LAG } else { 0 }
    }

    /// Since when a host sends with a key all the time.
    pub(super) fn held_since(&self, key: &str) -> Option<Millis> {
        self.hosts.iter().filter_map(|host| host.holds.as_ref()).filter(|(it, _)| **it == *key).map(|(_, at)| *at).min()
    }

    /// An invocation of the function begins. Returns its number.
    pub(super) fn invoked(&mut self, name: &str) -> u32 {
        let began = self.changes;
        self.invocations.push(Invocation {
            name: name.to_owned(),
            is_killed: false,
            began,
            seen: began,
            listed: 0,
            deactivated: vec![],
        });
        self.tell(|_| format!("{name} begins"));
        u32::try_from(self.invocations.len() - 1).unwrap()
    }

    /// Something changed.
    pub(super) fn is_changed(&mut self) {
        self.changes += 1;
        self.changed = self.now();
        self.secret.seen = self.changes;
    }

    /// Something changed, and the function did not do it.
    pub(super) fn disturbed(&mut self) {
        self.is_changed();
        self.disturbed = self.changes;
    }

    /// A person acted.
    pub(super) fn act(&mut self, act: Act) {
        if self.carry_out(act) {
            self.disturbed();
            self.watch();
        }
    }

    /// A line of the story, if it is told.
    pub(super) fn tell(&mut self, line: impl FnOnce(&Self) -> String) {
        let Some(story) = &self.story else { return };
        let ends = self.story_ends.get_or_insert(usize::MAX);
        if !self.violations.is_empty() && *ends == usize::MAX {
            *ends = story.len() + LINES_AFTER;
        }
        if story.len() >= *ends {
            return;
        }
        let line = line(self);
        let now = self.now();
        let mut lines = vec![format!("{} {line}", Moment(now))];
        if self.told != self.secret.labels {
            self.told = self.secret.labels.clone();
            let key = |version: &str| self.secret.version(version).and_then(|version| version.key.clone());
            let label = |(label, version): (&Arc<str>, &Arc<str>)| {
                let key = key(version).unwrap_or_else(|| "-".into());
                format!("{label} {version}({key})")
            };
            let labels: Vec<_> = self.secret.labels.iter().map(label).collect();
            lines.push(format!("{:24}labels: {}", "", labels.join(", ")));
        }
        self.story.as_mut().unwrap().extend(lines);
    }

    pub(super) fn take_story(&mut self) -> Vec<String> {
        self.story.take().unwrap_or_default()
    }

    /// A key is made, and nobody may be shown its secrets.
    pub(super) fn make_key(&mut self, is_old: bool, by: By) -> Key {
        let now = self.now();
        let key = self.user.make(now, is_old, by);
        self.is_secret(&key.secret);
        self.is_secret(&key.password);
        key
    }

    /// The current key.
    pub(super) fn current(&self) -> Option<Arc<str>> {
        self.secret.key_of(AWSCURRENT).cloned()
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

/// The world, which the clients and every actor share.
#[derive(Clone, Debug)]
pub(super) struct Sim(Arc<Mutex<World>>);

impl Sim {
    pub(super) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

/// A moment of a history, as its story shows it.
pub(super) struct Moment(pub(super) Millis);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(millis) = self;
        let (seconds, days) = (millis / SECOND, millis / super::DAY);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "day {days:4} {hour:02}:{minute:02}:{second:02}.{:03}", millis % SECOND)
    }
}
