//! A history: how it begins, and what disturbs it. It follows from a seed; the disturbances can be taken out one by one.

use std::fmt;

use contract::{AWSPENDING, AWSPREVIOUS, DEPLOYING};

use super::{
    DAY, HOUR, MINUTE, Millis, SECOND,
    dice::Dice,
    hosts::{Boots, Mishap},
    user::LastUse,
    world::Moment,
};

/// Days from one rotation to the next.
pub(super) const PERIOD: Millis = 30 * DAY;

/// When the first rotation is due.
pub(super) const FIRST: Millis = 2 * DAY + 3 * HOUR;

/// How everything is at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// A rotation completed long ago; one key.
    Settled,
    /// The same, and the previous key is still there.
    WithPrevious,
    /// A placeholder, and no key.
    Placeholder,
    /// The hosts use a key that was made by hand, and no label is ours.
    ByHand,
}

/// What does not change in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) start: Start,
    /// None: no host is told, one reads AWSCURRENT by itself.
    pub(super) hosts: usize,
    pub(super) boots: Boots,
    pub(super) keep_previous: Millis,
    pub(super) owned: bool,
    pub(super) mail: bool,
    pub(super) topic: bool,
    pub(super) last_use: LastUse,
    /// After a rotation AWSPENDING is taken off.
    pub(super) cleans: bool,
    /// A person runs `deployer recover` so much later than Secrets Manager gave up; none: nobody does before the end.
    pub(super) person: Option<Millis>,
}

impl Setup {
    /// The plain one.
    pub(super) const PLAIN: Self = Self {
        start: Start::Settled,
        hosts: 3,
        boots: Boots::Deploying,
        keep_previous: DAY,
        owned: true,
        mail: true,
        topic: true,
        last_use: LastUse::Never,
        cleans: false,
        person: None,
    };

    fn draw(dice: &mut Dice) -> Self {
        Self {
            start: dice.one(&[Start::Settled, Start::Settled, Start::WithPrevious, Start::Placeholder, Start::ByHand]),
            hosts: if dice.percent(85) { 3 } else { 0 },
            boots: Boots::Deploying,
            keep_previous: dice.one(&[HOUR, DAY, DAY, 3 * DAY]),
            owned: dice.percent(70),
            mail: dice.percent(70),
            topic: dice.percent(50),
            last_use: dice.one(&[LastUse::Never, LastUse::After(4 * HOUR), LastUse::After(10 * MINUTE)]),
            cleans: dice.percent(50),
            person: dice.one(&[None, Some(HOUR), Some(9 * HOUR), Some(40 * HOUR)]),
        }
    }
}

/// Who disturbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// AWS, hosts, and whoever may invoke what Secrets Manager invokes anyway.
    Nobody,
    /// Operators and everybody, too.
    Everybody,
}

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It takes effect and returns 500.
    AnswerLost,
    /// It takes effect and returns nothing.
    NoAnswer,
    /// It does not arrive.
    Unheard,
    /// It is refused for good.
    Refused,
    /// The invocation ends before it.
    KilledBefore,
    /// The invocation ends right after it.
    KilledAfter,
}

/// A version of the secret, by what it is when it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Label(&'static str),
    Oldest,
    /// The version with another key that was made so many before AWSCURRENT's.
    Before(usize),
}

/// A key, by what it is when it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Label(&'static str),
    Oldest,
    Newest,
    /// The newest that is not AWSCURRENT's.
    Other,
}

/// What somebody invokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A step, for a label's version.
    Step(&'static str, &'static str),
    Report,
    Upkeep,
    Retire,
    Orphan(Which),
    Leaked(Which),
}

/// A disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    // One call of the function.
    Fault(Fault),

    // The function's calls for so long.
    Down(Millis),
    Throttled(Millis),
    Denied(Millis),
    StaleSecret(Millis),
    StaleKeys(Millis),
    SesDown(Millis),
    MailRefused(Millis),

    // Secrets Manager.
    NewToken,
    GivesUp,
    Twice(Millis),
    Waits(Millis),
    TestsConfiguration,
    Cleans(bool),

    // Hosts.
    Script(usize, Mishap, usize),
    Offline(usize, Millis),
    Boots(usize),
    MadeAnew(usize),

    // Operators.
    Move(Target),
    Edit,
    PutOther(Which),
    PutHandMade,
    ClearPending,
    Cancel,
    Enable,
    DeployingToCurrent,
    Deactivate(Which),
    Activate(Which),
    Delete(Which),
    MakeKey,
    /// The file names another machine in a host's place.
    PutInPlace(usize),
    Recover,

    // Whoever may invoke the function.
    Invoke(Call),
}

/// When a disturbance comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Then.
    Once,
    /// Right before the call of the function that is the so many'th from then on.
    Call(u32),
    /// Right before the next call of this action from then on, or before Secrets Manager invokes this step.
    Before(&'static str),
}

/// A disturbance and its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Disturbance {
    pub(super) from: Millis,
    pub(super) at: At,
    pub(super) act: Act,
}

/// A disturbance that waits for a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Armed {
    pub(super) at: At,
    pub(super) act: Act,
}

/// A history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct History {
    pub(super) seed: u64,
    /// So long may anything disturb.
    pub(super) lasts: Millis,
    pub(super) setup: Setup,
    pub(super) disturbances: Vec<Disturbance>,
}

const LABELS: [&str; 3] = [AWSPENDING, AWSPREVIOUS, DEPLOYING];
const WHICH: [Which; 6] = [
    Which::Label("AWSCURRENT"),
    Which::Label(AWSPREVIOUS),
    Which::Label(AWSPENDING),
    Which::Oldest,
    Which::Newest,
    Which::Other,
];
const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// The calls and steps right before which something happens more often than by chance.
const CRITICAL: [&str; 13] = [
    "DeleteAccessKey",
    "UpdateAccessKey",
    "CreateAccessKey",
    "PutSecretValue",
    "UpdateSecretVersionStage",
    "SendCommand",
    "GetCommandInvocation",
    "DescribeSecret",
    "ListAccessKeys",
    "createSecret",
    "setSecret",
    "testSecret",
    "finishSecret",
];

impl History {
    /// The history of a seed.
    pub(super) fn draw(seed: u64, months: u64, who: Who) -> Self {
        let mut dice = Dice::new(seed, 3);
        let setup = Setup::draw(&mut dice);
        let often = dice.one(&[10, 30, 60]);
        let mut disturbances = vec![];
        for month in 0..months {
            if !dice.percent(often) {
                continue;
            }
            for _ in 0..dice.between(1, 4) {
                disturbances.push(disturbance(&mut dice, month, setup.hosts, who));
            }
            if setup.hosts > 0 && dice.percent(10) {
                disturbances.extend(made_anew_before_the_end(&mut dice, month, setup.hosts));
            }
        }
        disturbances.sort_by_key(|disturbance| disturbance.from);
        Self { seed, lasts: FIRST + months * PERIOD - DAY, setup, disturbances }
    }
}

fn disturbance(dice: &mut Dice, month: u64, hosts: usize, who: Who) -> Disturbance {
    let due = FIRST + month * PERIOD;
    let from = match dice.below(20) {
        0..10 => due - SECOND,
        10..13 => due + dice.below(300) * MINUTE,
        13..17 => due + dice.below(90) * HOUR,
        17 => due + dice.below(8) * DAY + 8 * HOUR,
        _ => due + dice.below(PERIOD / MINUTE) * MINUTE,
    };
    let at = match dice.below(10) {
        0..4 => At::Call(u32::try_from(dice.below(70)).unwrap()),
        4..7 => At::Before(dice.one(&CRITICAL)),
        _ => At::Once,
    };
    let act = match (who, dice.below(20)) {
        (Who::Everybody, 0..9) => operators(dice, hosts),
        (Who::Everybody, 9..11) => Act::Invoke(invoked(dice)),
        (Who::Everybody, 11) if hosts > 0 && dice.percent(10) => Act::Script(0, Mishap::DoesNothing, 1),
        _ => aws_or_hosts(dice, hosts),
    };
    Disturbance { from, at, act }
}

/// A host is replaced after the hosts were told, and boots before AWSCURRENT moves: chance alone hits that window too rarely.
fn made_anew_before_the_end(dice: &mut Dice, month: u64, hosts: usize) -> [Disturbance; 2] {
    let (from, at) = (FIRST + month * PERIOD - SECOND, At::Before("finishSecret"));
    let host = usize::try_from(dice.below(hosts as u64)).unwrap();
    [Act::MadeAnew(host), Act::Waits(2 * MINUTE)].map(|act| Disturbance { from, at, act })
}

fn aws_or_hosts(dice: &mut Dice, hosts: usize) -> Act {
    let a_while = [2 * SECOND, 20 * SECOND, 90 * SECOND, 10 * MINUTE, 5 * HOUR];
    let host = usize::try_from(dice.below(hosts.max(1) as u64)).unwrap();
    match dice.below(if hosts == 0 { 20 } else { 29 }) {
        0..5 => Act::Fault(dice.one(&[Fault::AnswerLost, Fault::NoAnswer, Fault::Unheard, Fault::Refused])),
        5..8 => Act::Fault(dice.one(&[Fault::KilledBefore, Fault::KilledAfter])),
        8 => Act::Down(dice.one(&a_while)),
        9 => Act::Throttled(dice.one(&a_while)),
        10 => Act::Denied(dice.one(&a_while)),
        11 | 12 => Act::StaleSecret(dice.one(&a_while)),
        13 => Act::StaleKeys(dice.one(&a_while)),
        14 => Act::SesDown(dice.one(&a_while)),
        15 => Act::MailRefused(dice.one(&a_while)),
        16 => dice.one(&[Act::NewToken, Act::Waits(2 * MINUTE), Act::Waits(HOUR)]),
        17 => Act::GivesUp,
        18 => Act::Twice(dice.one(&[0, 30, SECOND, 30 * SECOND, 10 * MINUTE])),
        19 => dice.one(&[Act::TestsConfiguration, Act::Cleans(true), Act::Cleans(false)]),
        20..23 => {
            let mishap = dice.one(&[Mishap::Fails, Mishap::Fails, Mishap::InstallsAndFails, Mishap::InstallsAndHangs]);
            Act::Script(host, mishap, dice.one(&[1, 2, 20]))
        }
        23..25 => Act::Offline(host, dice.one(&[20 * SECOND, 10 * MINUTE, 30 * HOUR])),
        25 | 26 => Act::Boots(host),
        _ => Act::MadeAnew(host),
    }
}

fn operators(dice: &mut Dice, hosts: usize) -> Act {
    let host = usize::try_from(dice.below(hosts.max(1) as u64)).unwrap();
    match dice.below(if hosts == 0 { 22 } else { 25 }) {
        0..3 => Act::Move(Target::Label(dice.one(&LABELS))),
        3..5 => Act::Move(Target::Label(AWSPREVIOUS)),
        5 => Act::Move(dice.one(&[Target::Before(1), Target::Before(2), Target::Oldest])),
        6..9 => Act::Edit,
        9 => Act::PutOther(dice.one(&WHICH)),
        10 => Act::PutHandMade,
        11..13 => Act::ClearPending,
        13 => Act::Cancel,
        14 => Act::Enable,
        15 => Act::DeployingToCurrent,
        16 => Act::Deactivate(dice.one(&WHICH)),
        17 => Act::Activate(dice.one(&WHICH)),
        18 => Act::Delete(dice.one(&WHICH)),
        19 => Act::MakeKey,
        20..22 => Act::Recover,
        _ => Act::PutInPlace(host),
    }
}

fn invoked(dice: &mut Dice) -> Call {
    match dice.below(9) {
        0..4 => Call::Step(dice.one(&STEPS), dice.one(&[AWSPENDING, AWSPENDING, AWSPREVIOUS, "AWSCURRENT"])),
        4 => Call::Report,
        5 => Call::Upkeep,
        6 => Call::Retire,
        7 => Call::Orphan(dice.one(&WHICH)),
        _ => Call::Leaked(dice.one(&WHICH)),
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, at, act } = self;
        write!(f, "{}", Moment(*from))?;
        match at {
            At::Once => {}
            At::Call(calls) => write!(f, ", at call {calls} from then on")?,
            At::Before(action) => write!(f, ", right before the next {action}")?,
        }
        write!(f, ": {act:?}")
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {} days, {:?}", self.seed, self.lasts / DAY, self.setup)?;
        self.disturbances.iter().try_for_each(|disturbance| writeln!(f, "  {disturbance}"))
    }
}
