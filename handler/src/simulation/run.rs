//! Runs a history.

use std::sync::Arc;

use contract::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, DEPLOYING, DONE, SecretValue, TOLD};

use tokio::task::{LocalSet, spawn_local as spawn};

use super::{
    DAY, HOUR, ROTATION_TOKEN,
    history::{FIRST, History, Setup, Start},
    hosts::{self, Host, sleep, value},
    recover,
    secret::Secret,
    stage::{self, Stage},
    user::{By, User},
    watcher::Violation,
    world::{Engine, Sim, Spells, World},
};

/// What came of a history.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) violations: Vec<Violation>,
    pub(super) story: Vec<String>,
    pub(super) calls: u64,
    pub(super) rotations: u64,
    /// The rotations before the disturbances stopped, without any person's help.
    pub(super) by_itself: u64,
    pub(super) invocations: u64,
    /// Days that it took, the recovery included.
    pub(super) days: u64,
    /// Keys in use that were Inactive for moments, in a race; and those that a killed invocation left so.
    pub(super) brief: u64,
    pub(super) killed: u64,
    /// What no line of the log may hold.
    pub(super) secrets: Vec<String>,
}

/// Runs a history to its end, or to its first violation.
pub(super) fn run(history: &History, tells: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    // The handler's futures are not Send, as the compiler sees them.
    LocalSet::new().block_on(&runtime, play(history, tells))
}

async fn play(history: &History, tells: bool) -> Outcome {
    let History { seed, lasts, setup, disturbances } = history;
    let stage = set_up(*seed, setup, tells);
    let sim = stage.sim.clone();
    spawn(stage::schedule(stage.clone()));
    spawn(stage::upkeep(stage.clone()));
    if setup.hosts == 0 {
        spawn(hosts::pull(sim.clone(), (setup.keep_previous / 2).max(HOUR / 4)));
    }
    for disturbance in disturbances {
        spawn(stage::disturb(sim.clone(), *disturbance));
    }
    while is_unbroken(&sim) && sim.world().now() < *lasts {
        let left = lasts - sim.world().now();
        sleep(left.min(DAY)).await;
    }
    let by_itself = sim.world().rotations;
    if is_unbroken(&sim) {
        calm(&sim);
        sleep(2 * HOUR).await;
        recover::to_a_completed_rotation(&stage).await;
    }
    let mut world = sim.world();
    Outcome {
        violations: std::mem::take(&mut world.violations),
        story: world.take_story(),
        calls: world.calls,
        rotations: world.rotations,
        by_itself,
        invocations: world.invocations.len() as u64,
        days: world.now() / DAY,
        brief: world.ghost.brief,
        killed: world.ghost.killed,
        secrets: std::mem::take(&mut world.ghost.secrets),
    }
}

fn is_unbroken(sim: &Sim) -> bool {
    sim.world().violations.is_empty()
}

/// Nothing disturbs any more.
fn calm(sim: &Sim) {
    let mut world = sim.world();
    world.armed.clear();
    world.fault = None;
    world.spells = Spells::default();
    world.engine = Engine { is_busy: world.engine.is_busy, cleans: world.engine.cleans, ..Engine::default() };
    for host in 0..world.hosts.len() {
        world.script(host, hosts::Mishap::Fails, 0);
        world.goes_offline(host, 0);
    }
    world.tell(|_| "nothing disturbs any more".to_owned());
}

pub(super) fn set_up(seed: u64, setup: &Setup, tells: bool) -> Arc<Stage> {
    let user = User::new(setup.last_use, seed);
    let mut world = World::new(Secret::new(FIRST), user, setup.boots, seed, tells);
    world.engine.cleans = setup.cleans;
    world.is_pulled = setup.hosts == 0;
    world.hosts = (0..setup.hosts.max(1)).map(|host| Host::new(format!("i-{host}"))).collect();
    world.is_secret(ROTATION_TOKEN);
    start(&mut world, setup.start);
    let stage = Arc::new(Stage::new(Sim::new(world), *setup));
    stage.sim.world().stage = Some(Arc::downgrade(&stage));
    stage
}

fn start(world: &mut World, start: Start) {
    let first = if start == Start::Placeholder {
        world.secret.put_by_hand(SecretValue::placeholder("mail").to_json(), 0);
        return world.disturbed();
    } else {
        let by = if start == Start::ByHand { By::Person } else { By::Function(0) };
        world.make_key(true, by)
    };
    let version = world.secret.put_by_hand(value(&first, 0), 0);
    let mut current = first.id.clone();
    if start != Start::ByHand {
        for label in [DEPLOYING, TOLD, DONE] {
            world.secret.update_stage(label, None, Some(&version), 0).unwrap();
        }
        world.secret.complete(false, 0);
    }
    if start == Start::WithPrevious {
        let second = world.make_key(true, By::Function(0));
        let newer = world.secret.put_by_hand(value(&second, 0), 0);
        for label in [DEPLOYING, TOLD, DONE] {
            world.secret.update_stage(label, Some(&version), Some(&newer), 0).unwrap();
        }
        world.secret.update_stage(AWSPENDING, None, Some(&newer), 0).unwrap();
        world.secret.complete(false, 0);
        assert!(world.secret.labelled(AWSPREVIOUS).is_some() && world.secret.labelled(AWSCURRENT).is_some());
        current = second.id.clone();
    }
    for host in 0..world.hosts.len() {
        world.install(host, &current, "begins with");
    }
    world.disturbed();
}
