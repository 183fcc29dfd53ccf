//! The crash matrix: whole rotations with a fault at every AWS call that the function makes, and what comes after.
//!
//! A point is a start (0, 1 or 2 keys, on an owned or an existing user), a call, a fault at it, and the token of Secrets Manager's
//! retry. It runs the rotation up to the fault, the retry, and then a fresh rotation; where an error says that something has to be
//! done first, that is done. The sandbox's watcher looks after every call of all of them. Which calls there are is observed in an
//! undisturbed rotation of each start.
//!
//! `CRASH_MATRIX=all` runs every point, `CRASH_MATRIX=TEXT` those whose description contains the text; without it a spread is run.

#![expect(clippy::print_stdout, reason = "how many points there are, and how they end, is what a reader wants to know")]

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

/// Sandboxes per kind of user. Each mostly waits, as rotations do.
const SANDBOXES: usize = 3;
const SANDBOXES_FOR_ALL: usize = 5;

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

/// Sandboxes for both kinds of user, and what they observed of each start.
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

/// Runs the points, each in whichever sandbox of its kind of user is free.
fn run(workers: &[Worker], selected: &[Point]) -> Vec<(Point, Outcome)> {
    let queue_of = |user| Mutex::new(selected.iter().filter(|point| point.start.user == user).collect::<VecDeque<_>>());
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
