//! The crash matrix: whole rotations with a fault at every AWS call that the function makes, and what comes after.
//!
//! A point is a start (0, 1 or 2 keys, on an owned or an existing user), a call, a fault at that call, and the token with which
//! Secrets Manager tries again. The test rotates up to the fault, lets Secrets Manager try again, and then rotates anew. If an
//! error says that something has to be done first, the test does it. The sandbox's watcher checks the promise after every call.
//! An undisturbed rotation of each start shows which calls there are.
//!
//! `CRASH_MATRIX=all` runs every point. `CRASH_MATRIX=TEXT` runs the points whose description contains the text. Without the
//! variable a fixed spread of them runs.

#![expect(clippy::print_stdout, reason = "a reader wants to know how many points there are, and how they ended")]

mod point;
mod worker;

use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread,
};

use point::{Call, Fault, Point, Retry, Selection, Start, User};
use worker::Worker;

/// Sandboxes per kind of user. A rotation mostly waits, so there are more of them than cores.
const SANDBOXES: usize = 3;
const SANDBOXES_FOR_ALL: usize = 8;

#[test]
fn a_rotation_that_is_disturbed_at_any_call_breaks_no_credential_and_the_next_one_completes() {
    let selection = Selection::from_environment();
    let sandboxes = if matches!(selection, Selection::All) { SANDBOXES_FOR_ALL } else { SANDBOXES };
    let (workers, observed) = prepare(sandboxes);
    let calls: usize = observed.iter().map(|(_, calls)| calls.len()).sum();
    let points = point::all(&observed);
    let (number, faults, retries) = (points.len(), Fault::ALL.len(), Retry::ALL.len());
    assert_eq!(number, calls * faults * retries);
    let selected = selection.of(points);
    println!(
        "crash matrix: {calls} calls of {} starts × {faults} faults × {retries} retries = {number} points, {} selected",
        observed.len(),
        selected.len()
    );

    let results = run(&workers, &selected);

    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for outcome in results.iter().filter_map(|(_, result)| result.as_ref().ok()) {
        *outcomes.entry(outcome.clone()).or_default() += 1;
    }
    let failed: Vec<_> = results.iter().filter_map(|(point, result)| Some((point, result.as_ref().err()?))).collect();
    println!("crash matrix: {} run, {} failed; first attempts ended so: {outcomes:?}", results.len(), failed.len());
    for (point, problem) in &failed {
        println!("FAILED {point}\n{problem}\n");
    }
    assert_eq!(results.len(), selected.len(), "not every selected point was run");
    assert!(!selected.is_empty(), "no point is selected");
    assert!(failed.is_empty(), "{} points failed", failed.len());
}

/// Prepares sandboxes for both kinds of user. Returns them, and the calls that they observed from each start.
fn prepare(sandboxes: usize) -> (Vec<Worker>, Vec<(Start, Vec<Call>)>) {
    let jobs: Vec<_> = User::ALL.into_iter().flat_map(|user| (0..sandboxes).map(move |index| (user, index))).collect();
    let prepared: Vec<_> = thread::scope(|scope| {
        let start = |(user, index): (User, usize)| {
            scope.spawn(move || {
                let worker = Worker::prepare(user);
                let keys = Start::NUMBERS_OF_KEYS.into_iter().filter(|keys| keys % sandboxes == index);
                let observed: Vec<_> =
                    keys.map(|keys| Start { user, keys }).map(|start| (start, worker.observe(start))).collect();
                (worker, observed)
            })
        };
        let threads: Vec<_> = jobs.into_iter().map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (workers, observed): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
    (workers, observed.into_iter().flatten().collect())
}

type Outcome = Result<String, String>;

/// Runs every point in the next free sandbox of its kind of user. Those that wait for a deadline come first, so that none of them is
/// still waiting when all others are done.
fn run(workers: &[Worker], selected: &[Point]) -> Vec<(Point, Outcome)> {
    let (waiting, others): (Vec<_>, Vec<_>) = selected.iter().partition(|point| point.fault == Fault::DeadlineReached);
    let queue_of = |user| {
        let in_order = waiting.iter().chain(&others).copied();
        Mutex::new(in_order.filter(|point| point.start.user == user).collect::<VecDeque<_>>())
    };
    let queues = User::ALL.map(|user| (user, queue_of(user)));
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for worker in workers {
            let (_, queue) = queues.iter().find(|(user, _)| *user == worker.user()).unwrap();
            let results = &results;
            scope.spawn(move || {
                while let Some(point) = pop(queue) {
                    let outcome = catch_unwind(AssertUnwindSafe(|| worker.run(point)));
                    results.lock().unwrap().push((point.clone(), outcome.map_err(|problem| text_of(&*problem))));
                }
            });
        }
    });
    results.into_inner().unwrap()
}

fn pop<'a>(queue: &Mutex<VecDeque<&'a Point>>) -> Option<&'a Point> {
    queue.lock().unwrap().pop_front()
}

fn text_of(panic: &dyn Any) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a text").to_owned()
}
