//! The kill matrix: runs of the deployer with a fault at every AWS call that they make, or killed there, and the same command again.
//!
//! A point is a run (a fresh apply, an apply that changes every kind of resource, an apply that removes what the file no longer
//! declares, a destroy, an apply that takes over what another tool made), a call, and what happens at that call. The test runs the command up to there, and then once more. The account
//! must be as after an undisturbed run, after which a further run changes nothing. An undisturbed run shows which calls there are.
//!
//! `KILL_MATRIX=all` runs every point. `KILL_MATRIX=TEXT` runs the points whose description contains the text. Without the variable
//! a fixed spread of them runs.

#![expect(clippy::print_stdout, reason = "a reader wants to know how many points there are")]

mod point;
mod worker;

use std::thread;

use point::Point;
use worker::Worker;

use crate::support::{
    matrix::{self, Selection},
    sandbox::Sandbox,
};

/// Sandboxes per kind of start. A run mostly waits, so there are more of them than cores.
const SANDBOXES: usize = 1;
const SANDBOXES_FOR_ALL: usize = 4;

/// A spread has one of so many points of a start and a fault.
const SPREAD: usize = 97;

#[test]
fn a_run_that_is_killed_or_disturbed_at_any_call_is_made_up_for_by_the_same_command() {
    let selection = Selection::from_environment("KILL_MATRIX");
    let sandboxes = if matches!(selection, Selection::Spread) { SANDBOXES } else { SANDBOXES_FOR_ALL };
    // Every sandbox gets the same code, so that no apply builds any.
    let builder = Sandbox::start();
    builder.deployer(&["build", "--out", "."]).expect(0);
    let package = builder.path("x86_64.zip");
    let rotates: Vec<bool> = [false, true].into_iter().flat_map(|rotates| vec![rotates; sandboxes]).collect();
    let workers: Vec<Worker> = thread::scope(|scope| {
        let threads: Vec<_> =
            rotates.iter().map(|rotates| scope.spawn(|| Worker::prepare(*rotates, &package))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let observed: Vec<_> = [0, sandboxes].into_iter().flat_map(|first| workers[first].observed()).collect();
    let groups = point::groups(&observed);
    let number: usize = groups.iter().map(Vec::len).sum();
    let mut selected = selection.of(groups, SPREAD);
    // A run of every point takes long, and these tell more.
    selected.sort_by_key(|point| point.call.only_reads);
    println!("kill matrix: {number} points, {} selected", selected.len());
    for (start, calls) in &observed {
        println!("  {start}: {} calls", calls.len());
    }
    let takes = |worker: &Worker, point: &Point| worker.takes(point.start);
    matrix::run("kill matrix", &workers, &selected, takes, Worker::run);
}
