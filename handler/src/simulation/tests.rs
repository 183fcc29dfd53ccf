//! Random histories, and histories that once broke a promise.
#![expect(clippy::print_stdout, reason = "how much was simulated, and a story, are what a reader wants to see")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use contract::{AWSPENDING, AWSPREVIOUS};

use super::{
    DAY, HOUR, MINUTE, Millis, SECOND,
    history::{Act, At, Call, Disturbance, FIRST, Fault, History, Setup, Start, Target, Which, Who},
    hosts::{Boots, Mishap, boot, sleep},
    recover::all_hosts_send,
    run::{Outcome, run, set_up},
    shrink::shrink,
    user::{By, LastUse, State},
    watcher::{Broken, Violation},
    world::World,
};
use crate::log::tests::lines;

/// Months of a random history.
const MONTHS: u64 = 12;

/// What came of many histories.
#[derive(Default)]
struct Tally {
    histories: u64,
    days: u64,
    rotations: u64,
    invocations: u64,
    calls: u64,
    brief: u64,
    killed: u64,
    broken: BTreeMap<Broken, Vec<u64>>,
    /// What was broken because somebody acted between the function's last look and its call. AWS offers no way to exclude that.
    raced: BTreeMap<Broken, Vec<u64>>,
}

impl Tally {
    fn count(&mut self, seed: u64, outcome: &Outcome) {
        self.histories += 1;
        self.days += outcome.days;
        self.rotations += outcome.rotations;
        self.invocations += outcome.invocations;
        self.calls += outcome.calls;
        self.brief += outcome.brief;
        self.killed += outcome.killed;
        for violation in &outcome.violations {
            let broken = if violation.in_a_race { &mut self.raced } else { &mut self.broken };
            broken.entry(violation.broken).or_default().push(seed);
        }
    }

    fn print(&self, took: Duration) {
        let Self { histories, days, rotations, invocations, calls, brief, killed, .. } = self;
        let years = days / 365;
        println!(
            "{histories} histories, {years} years, {rotations} rotations, {invocations} invocations, {calls} calls of AWS in \
             {:.1} s; keys in use that were Inactive for moments in a race: {brief}, of these left so by a killed invocation: \
             {killed}",
            took.as_secs_f64()
        );
        for (how, broken) in [("", &self.broken), (" in a race of one call", &self.raced)] {
            for (broken, seeds) in broken {
                println!(
                    "{broken:?}{how}: {} histories, such as the seeds {:?}",
                    seeds.len(),
                    &seeds[..seeds.len().min(8)]
                );
            }
        }
    }

    /// Fails if a promise was broken: with the story of the shortest history to each, and with more histories as lists if
    /// `SIMULATION_SHOWN` asks for them.
    fn check(&self, who: Who) {
        let shown = number("SIMULATION_SHOWN").map_or(1, |shown| usize::try_from(shown).unwrap());
        let mut text = String::new();
        for (broken, seeds) in &self.broken {
            for (at, seed) in seeds.iter().take(shown).enumerate() {
                let history = shrink(&History::draw(*seed, MONTHS, who), *broken);
                let told = if at == 0 { story(&history) } else { history.to_string() };
                writeln!(text, "{broken:?}, found by seed {seed}:\n{told}").unwrap();
            }
        }
        assert!(text.is_empty(), "promises are broken:\n\n{text}");
    }
}

fn story(history: &History) -> String {
    let mut text = history.to_string();
    for line in run(history, true).story {
        writeln!(text, "{line}").unwrap();
    }
    text
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn simulate(who: Who, seeds: impl Iterator<Item = u64>, goes_on: impl Fn(&Tally) -> bool) -> Tally {
    let began = Instant::now();
    let mut tally = Tally::default();
    for seed in seeds {
        if !goes_on(&tally) {
            break;
        }
        tally.count(seed, &run(&History::draw(seed, MONTHS, who), false));
    }
    tally.print(began.elapsed());
    tally
}

#[test]
fn no_history_without_operators_breaks_a_promise() {
    simulate(Who::Nobody, 0..6, |_| true).check(Who::Nobody);
}

#[test]
fn no_history_breaks_a_promise() {
    simulate(Who::Everybody, 0..6, |_| true).check(Who::Everybody);
}

/// `SIMULATION_YEARS` or `SIMULATION_SECONDS` says how much, `SIMULATION_FROM` the first seed. `SIMULATION_SEED` tells the story of
/// one seed instead. `SIMULATION_SHOWN` histories to each broken promise are shrunk, which takes a while.
#[test]
#[ignore = "simulates as much as one likes"]
fn as_many_histories_as_one_likes() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let history = History::draw(seed, MONTHS, Who::Everybody);
        println!("{}", story(&history));
        let mut tally = Tally::default();
        tally.count(seed, &run(&history, false));
        return tally.check(Who::Everybody);
    }
    let from = number("SIMULATION_FROM").unwrap_or_default();
    let (years, seconds) = (number("SIMULATION_YEARS"), number("SIMULATION_SECONDS"));
    let days = years.unwrap_or(if seconds.is_some() { u64::MAX / 365 } else { 1000 }) * 365;
    let began = Instant::now();
    let in_time = || seconds.is_none_or(|seconds| began.elapsed() < Duration::from_secs(seconds));
    simulate(Who::Everybody, from.., |tally| tally.days < days && in_time()).check(Who::Everybody);
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in [1, 5] {
        let history = History::draw(seed, 3, Who::Everybody);
        assert_eq!(run(&history, true).story, run(&history, true).story);
    }
}

#[test]
fn no_line_of_the_log_shows_a_secret() {
    let mut secrets = vec![];
    let lines = lines(Some("trace"), || {
        for seed in 0..2 {
            secrets.extend(run(&History::draw(seed, 4, Who::Everybody), false).secrets);
        }
    });
    assert!(lines.len() > 500 && secrets.len() > 10, "{} lines, {} secrets", lines.len(), secrets.len());
    for line in lines {
        let line = line.to_string();
        assert!(!secrets.iter().any(|secret| line.contains(secret.as_str())), "{line}");
    }
}

/// A history of one rotation and what comes after it. The times are counted from when the rotation is due.
fn after(setup: Setup, days: Millis, disturbances: &[(Millis, At, Act)]) -> Outcome {
    let disturbance = |&(later, at, act): &(Millis, At, Act)| Disturbance { from: FIRST - SECOND + later, at, act };
    let disturbances = disturbances.iter().map(disturbance).collect();
    run(&History { seed: 1, lasts: FIRST + days * DAY, setup, disturbances }, true)
}

fn is_unbroken(outcome: &Outcome) {
    assert!(outcome.violations.is_empty(), "{}", outcome.story.join("\n"));
}

const MOVE_FORWARD: Act = Act::Move(Target::Label(AWSPENDING));
const MOVE_BACK: Act = Act::Move(Target::Label(AWSPREVIOUS));
/// More often than Secrets Manager tries.
const ALWAYS: usize = 20;

#[test]
fn a_quiet_year_needs_nobody() {
    let outcome = after(Setup::PLAIN, 360, &[]);
    is_unbroken(&outcome);
    assert_eq!((outcome.by_itself, outcome.brief, outcome.killed), (12, 0, 0));
}

#[test]
fn awscurrent_that_is_moved_forward_to_a_key_that_a_host_lacks_costs_no_host_its_key() {
    is_unbroken(&after(
        Setup::PLAIN,
        10,
        &[(0, At::Once, Act::Script(2, Mishap::Fails, ALWAYS)), (3 * HOUR, At::Once, MOVE_FORWARD)],
    ));
}

#[test]
fn a_host_that_is_made_anew_during_a_rotation_keeps_its_key() {
    for before in ["CreateAccessKey", "SendCommand", "GetCommandInvocation", "UpdateSecretVersionStage"] {
        is_unbroken(&after(Setup::PLAIN, 40, &[(0, At::Before(before), Act::MadeAnew(1))]));
    }
    is_unbroken(&after(Setup::PLAIN, 10, &MADE_ANEW_BEFORE_THE_END));
}

/// The hosts are told, one is made anew, and it has booted before the rotation ends.
const MADE_ANEW_BEFORE_THE_END: [(Millis, At, Act); 2] =
    [(0, At::Before("finishSecret"), Act::MadeAnew(1)), (0, At::Before("finishSecret"), Act::Waits(2 * MINUTE))];

#[test]
fn the_watcher_notices_a_host_that_boots_on_awscurrent_whatever_it_was_told() {
    let outcome = after(Setup { boots: Boots::Current, ..Setup::PLAIN }, 10, &MADE_ANEW_BEFORE_THE_END);
    let broken: Vec<_> = outcome.violations.iter().map(|violation| violation.broken).collect();
    assert_eq!(broken, [Broken::HostNotTold], "{}", outcome.story.join("\n"));
}

/// A host that boots at that moment takes AWSCURRENT's credential, because the new one does not work.
#[test]
fn a_key_that_becomes_unusable_after_the_hosts_have_confirmed_it_does_not_become_awscurrents() {
    let pending = Which::Label(AWSPENDING);
    for act in [Act::Deactivate(pending), Act::Delete(pending)] {
        let [made_anew, waits] = MADE_ANEW_BEFORE_THE_END;
        is_unbroken(&after(Setup::PLAIN, 10, &[(0, At::Before("finishSecret"), act), made_anew, waits]));
    }
}

#[test]
fn finish_secret_before_the_other_steps_costs_no_host_its_key() {
    let finish = Act::Invoke(Call::Step("finishSecret", AWSPENDING));
    let leaked = (4 * HOUR, At::Once, Act::Invoke(Call::Leaked(Which::Oldest)));
    for before in ["CreateAccessKey", "SendCommand"] {
        is_unbroken(&after(Setup::PLAIN, 5, &[(0, At::Before(before), finish), leaked]));
    }
    let fails = (0, At::Once, Act::Script(2, Mishap::Fails, ALWAYS));
    is_unbroken(&after(Setup::PLAIN, 5, &[fails, (3 * HOUR, At::Once, finish), leaked]));
}

#[test]
fn an_edit_within_the_grace_keeps_no_later_rotation_from_a_slot() {
    let setup = Setup { last_use: LastUse::After(10 * MINUTE), ..Setup::PLAIN };
    let outcome = after(setup, 35, &[(5 * HOUR, At::Once, Act::Edit)]);
    is_unbroken(&outcome);
    assert_eq!(outcome.by_itself, 2, "{}", outcome.story.join("\n"));
}

#[test]
fn a_rollback_is_not_undone_whatever_the_operator_does_after_it() {
    let back = (5 * HOUR, At::Once, MOVE_BACK);
    is_unbroken(&after(Setup::PLAIN, 35, &[back, (6 * HOUR, At::Once, Act::Edit)]));
    // Two versions name the first key: the operator moves AWSCURRENT to the one and then to the other.
    let edit = (0, At::Once, Act::Edit);
    is_unbroken(&after(Setup::PLAIN, 35, &[edit, back, (6 * HOUR, At::Once, Act::Move(Target::Oldest))]));
}

#[test]
fn a_rollback_from_what_some_hosts_never_got_is_not_undone_either() {
    let fails = (0, At::Once, Act::Script(2, Mishap::Fails, ALWAYS));
    let forward = (2 * MINUTE, At::Once, MOVE_FORWARD);
    let back = [(3 * HOUR, At::Once, MOVE_BACK), (3 * HOUR, At::Once, Act::Edit)];
    is_unbroken(&after(Setup::PLAIN, 35, &[fails, forward, back[0], back[1]]));
}

#[test]
fn a_rollback_that_only_the_daily_upkeep_has_seen_is_not_undone_either() {
    let fails = (0, At::Once, Act::Script(2, Mishap::Fails, ALWAYS));
    let there_and_back = [(10 * HOUR, At::Once, MOVE_FORWARD), (10 * HOUR, At::Once, MOVE_BACK)];
    for edited in [10 * HOUR + MINUTE, 40 * HOUR] {
        let upkeep = (10 * HOUR, At::Once, Act::Invoke(Call::Upkeep));
        let disturbances = [fails, there_and_back[0], there_and_back[1], upkeep, (edited, At::Once, Act::Edit)];
        is_unbroken(&after(Setup::PLAIN, 35, &disturbances));
    }
}

/// Nothing rotates then, but the operator goes on to change the secret.
#[test]
fn a_rollback_while_rotation_is_turned_off_is_not_undone_once_it_is_on_again() {
    let off = (0, At::Before("testSecret"), Act::Cancel);
    let there_and_back = [(2 * DAY, At::Once, MOVE_FORWARD), (3 * DAY, At::Once, MOVE_BACK)];
    let disturbances = [off, there_and_back[0], there_and_back[1], (6 * DAY, At::Once, Act::Edit)];
    is_unbroken(&after(Setup::PLAIN, 35, &disturbances));
}

#[test]
fn a_rollback_from_a_copy_of_the_new_credential_is_not_undone_either() {
    let copied = (0, At::Before("SendCommand"), Act::PutOther(Which::Label(AWSPENDING)));
    let back_and_edited = [(DAY, At::Once, MOVE_BACK), (5 * DAY, At::Once, Act::Edit)];
    is_unbroken(&after(Setup::PLAIN, 35, &[copied, back_and_edited[0], back_and_edited[1]]));
}

/// Without hosts, the grace of those who read AWSCURRENT begins when AWSCURRENT is moved. AWS keeps no date of that, and the
/// opening of a rotation hides the date of the secret's last change.
#[test]
fn without_hosts_a_move_right_before_the_next_rotation_costs_no_reader_its_key() {
    let setup = Setup { hosts: 0, ..Setup::PLAIN };
    let open_for_long = (0, At::Once, Act::MailRefused(29 * DAY + 23 * HOUR));
    let finish = Act::Invoke(Call::Step("finishSecret", AWSPENDING));
    for moves in [MOVE_FORWARD, finish] {
        is_unbroken(&after(setup, 31, &[open_for_long, (30 * DAY - 10 * MINUTE, At::Once, moves)]));
    }
    let back_and_forth = [(5 * HOUR, At::Once, MOVE_BACK), (29 * DAY, At::Before("createSecret"), MOVE_BACK)];
    is_unbroken(&after(Setup { cleans: true, ..setup }, 31, &back_and_forth));
    // AWSPENDING stays where it was, which looks like an open rotation.
    let forth_before_the_next = [back_and_forth[0], (30 * DAY, At::Once, MOVE_BACK)];
    is_unbroken(&after(setup, 31, &forth_before_the_next));
}

#[test]
fn a_credential_that_is_put_by_hand_before_the_first_rotation_costs_no_host_the_one_that_it_has() {
    for cleans in [false, true] {
        is_unbroken(&after(
            Setup { start: Start::ByHand, cleans, ..Setup::PLAIN },
            31,
            &[(0, At::Once, Act::PutHandMade)],
        ));
    }
}

#[test]
fn a_first_rotation_that_only_some_hosts_have_confirmed_costs_the_others_no_key() {
    let setup = Setup { start: Start::ByHand, ..Setup::PLAIN };
    let deleted = (0, At::Before("GetCommandInvocation"), Act::Delete(Which::Other));
    is_unbroken(&after(setup, 31, &[deleted, (3 * DAY, At::Once, Act::PutHandMade)]));
}

/// The previous key's grace is over before the host could have been told by a rotation.
#[test]
fn a_host_that_is_put_in_place_after_a_rotation_keeps_the_previous_key_until_it_has_another() {
    for later in [HOUR, 8 * HOUR, 23 * HOUR] {
        is_unbroken(&after(Setup::PLAIN, 10, &[(later, At::Once, Act::PutInPlace(1))]));
    }
    let offline = (4 * HOUR + MINUTE, At::Once, Act::Offline(1, 5 * DAY));
    is_unbroken(&after(Setup::PLAIN, 10, &[(4 * HOUR, At::Once, Act::PutInPlace(1)), offline]));
}

/// Which hosts it knew, no label of an older function says.
#[test]
fn a_host_that_is_put_in_place_before_any_function_named_the_hosts_keeps_the_previous_key() {
    let act = Act::PutInPlace(1);
    let disturbances = vec![Disturbance { from: HOUR, at: At::Once, act }];
    let setup = Setup { start: Start::WithPrevious, ..Setup::PLAIN };
    is_unbroken(&run(&History { seed: 1, lasts: FIRST + 10 * DAY, setup, disturbances }, true));
}

#[test]
fn a_rotation_does_not_end_before_a_host_that_is_put_in_place_meanwhile_is_told() {
    for before in ["createSecret", "setSecret", "SendCommand", "GetCommandInvocation", "testSecret", "finishSecret"] {
        let outcome = after(Setup::PLAIN, 10, &[(0, At::Before(before), Act::PutInPlace(1))]);
        is_unbroken(&outcome);
        assert_eq!(outcome.by_itself, 1, "{}", outcome.story.join("\n"));
    }
}

#[test]
fn a_key_that_awscurrent_is_moved_back_to_in_the_last_moment_is_not_deleted() {
    for action in ["UpdateAccessKey", "DeleteAccessKey"] {
        is_unbroken(&after(Setup::PLAIN, 10, &[(HOUR, At::Before(action), MOVE_BACK)]));
    }
}

/// What was broken, and whether in a race.
fn broken(violations: &[Violation]) -> Vec<(Broken, bool)> {
    violations.iter().map(|violation| (violation.broken, violation.in_a_race)).collect()
}

/// An invocation sets the key that AWSCURRENT names and that every host sends with.
fn set_key_in_use(world: &mut World, invocation: u32, state: State) {
    world.acting = Some(invocation);
    world.set_key(invocation, "K1", state).unwrap();
    world.acting = None;
}

#[test]
fn a_deletion_that_was_a_race_stays_one_whoever_acts_after_it() {
    let back = (5 * HOUR, At::Before("DeleteAccessKey"), MOVE_BACK);
    let leaked = (5 * HOUR, At::Once, Act::Invoke(Call::Leaked(Which::Oldest)));
    let outcome = after(Setup::PLAIN, 3, &[back, leaked, (6 * HOUR, At::Once, Act::Edit)]);
    let expected = [(Broken::CurrentKeyDeleted, true)];
    assert_eq!(broken(&outcome.violations), expected, "{}", outcome.story.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_of_a_key_in_use_by_an_invocation_that_could_know_it_is_none_in_a_race() {
    let deleted = [(Broken::HostsKeyDeleted, false), (Broken::CurrentKeyDeleted, false)];
    // Whether somebody acted while the key was made Inactive does not excuse the invocation that deletes it later.
    for is_raced in [false, true] {
        let stage = set_up(1, &Setup::PLAIN, false);
        sleep(HOUR).await;
        let mut world = stage.sim.world();
        let first = world.invoked("the first");
        if is_raced {
            world.disturbed();
        }
        set_key_in_use(&mut world, first, State::Inactive);
        world.invocation_ended(first);
        assert_eq!(broken(&world.violations), [(Broken::CurrentKeyInactive, is_raced)]);
        let second = world.invoked("the second");
        set_key_in_use(&mut world, second, State::Deleted);
        assert_eq!(broken(&world.violations)[1..], deleted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_boots_as_a_rotation_completes_is_judged_once_it_has_booted() {
    let stage = set_up(1, &Setup::PLAIN, false);
    let ((), judged) = tokio::join!(boot(stage.sim.clone(), 1, true), all_hosts_send(&stage));
    judged.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_has_another_key_after_a_rotation_or_never_boots_is_reported() {
    let stage = set_up(1, &Setup::PLAIN, false);
    let never_boots = tokio::time::timeout(Duration::from_secs(1), boot(stage.sim.clone(), 1, true));
    never_boots.await.unwrap_err();
    assert!(all_hosts_send(&stage).await.unwrap_err().starts_with("i-1 has None"));
    let other = stage.sim.world().make_key(true, By::Function(0));
    stage.sim.world().install(0, &other.id, "installs");
    let ((), judged) = tokio::join!(boot(stage.sim.clone(), 1, true), all_hosts_send(&stage));
    assert!(judged.unwrap_err().starts_with("i-0 has Some"));
}

/// The deployment does not own the user, so the function deletes no key that no version names.
const KILLED: [(Millis, At, Act); 2] =
    [(0, At::Before("CreateAccessKey"), Act::Fault(Fault::KilledAfter)), (4 * DAY, At::Once, Act::PutInPlace(1))];

/// The new host needs a rotation, which brings it the credential in use. With AWSCURRENT's new version another grace begins.
#[test]
fn a_key_that_a_killed_create_secret_left_needs_no_answer_of_a_person() {
    let setup = Setup { owned: false, ..Setup::PLAIN };
    is_unbroken(&after(setup, 5, &KILLED));
    let recovers = [4 * DAY + HOUR, 6 * DAY].map(|later| (later, At::Once, Act::Recover));
    let outcome = after(setup, 7, &[&KILLED[..], &recovers].concat());
    is_unbroken(&outcome);
    let deletes = |line: &String| line.contains(r#"recover: DeleteOrphan("K2")"#);
    assert!(outcome.story.iter().any(deletes), "{}", outcome.story.join("\n"));
}
