//! The crash matrix: whole rotations with a fault at every AWS call that the function makes, and what comes after.
//!
//! A point is a start (0, 1 or 2 keys, on an owned or an existing user), a call, a fault at that call, and the token with which
//! Secrets Manager tries again. The test rotates up to the fault, lets Secrets Manager try again, and then rotates anew. If an
//! error says that something has to be done first, the test does it. The sandbox's watcher checks the promise after every call.
//! An undisturbed rotation of each start shows which calls there are.
//!
//! `CRASH_MATRIX=all` runs every point. `CRASH_MATRIX=TEXT` runs the points whose description contains the text. Without the
//! variable a fixed spread of them runs.

#![expect(clippy::print_stdout, reason = "a reader wants to know how many points there are")]

mod point;
mod worker;

use std::thread;

use point::{Call, Fault, Point, Retry, Start, User};
use worker::Worker;

use crate::support::matrix::{self, Selection};

/// A spread has one of so many points of a start and a fault.
const SPREAD: usize = 37;

/// Sandboxes per kind of user. A rotation mostly waits, so there are more of them than cores.
const SANDBOXES: usize = 3;
const SANDBOXES_FOR_ALL: usize = 8;

#[test]
fn a_rotation_that_is_disturbed_at_any_call_breaks_no_credential_and_the_next_one_completes() {
    let selection = Selection::from_environment("CRASH_MATRIX");
    let sandboxes = if matches!(selection, Selection::All) { SANDBOXES_FOR_ALL } else { SANDBOXES };
    let (workers, observed) = prepare(sandboxes);
    let calls: usize = observed.iter().map(|(_, calls)| calls.len()).sum();
    let points = point::all(&observed);
    let (number, faults, retries) = (points.len(), Fault::ALL.len(), Retry::ALL.len());
    assert_eq!(number, calls * faults * retries);
    let groups = points.chunk_by(|a, b| a.start == b.start && a.fault == b.fault).map(<[Point]>::to_vec).collect();
    let mut selected = selection.of(groups, SPREAD);
    // Those that wait for a deadline come first, so that none of them is still waiting when all others are done.
    selected.sort_by_key(|point| point.fault != Fault::DeadlineReached);
    println!(
        "crash matrix: {calls} calls of {} starts × {faults} faults × {retries} retries = {number} points, {} selected",
        observed.len(),
        selected.len()
    );
    matrix::run("crash matrix", &workers, &selected, |worker, point| worker.user() == point.start.user, Worker::run);
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
