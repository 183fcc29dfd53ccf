//! What the matrices share: which points run, their run in several sandboxes at once, and the report.

#![expect(clippy::print_stdout, reason = "a reader wants to know how many points there are, and how they ended")]

use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread,
    time::Duration,
};

/// The time between two questions to the sandbox.
const POLL_PERIOD: Duration = Duration::from_millis(50);

/// The most questions, whatever is waited for.
const MOST_POLLS: u32 = 20 * 300;

pub(crate) fn wait_for(mut is_so: impl FnMut() -> bool) {
    for _ in 0..MOST_POLLS {
        if is_so() {
            return;
        }
        thread::sleep(POLL_PERIOD);
    }
    panic!("what is waited for does not come");
}

/// Which points are run.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    /// A few points of every group, the same ones each time.
    Spread,
    /// Every point.
    All,
    /// The points whose description contains the text.
    Named(String),
}

impl Selection {
    /// Reads an environment variable: `all`, a part of a point's description, or not set.
    pub(crate) fn from_environment(variable: &str) -> Self {
        match std::env::var(variable) {
            Err(_) => Self::Spread,
            Ok(all) if all == "all" => Self::All,
            Ok(text) => Self::Named(text),
        }
    }

    /// Of a spread, one of `spread` points in each group. Each group begins at another one, so that together they cover everything.
    pub(crate) fn of<P: Display>(&self, groups: Vec<Vec<P>>, spread: usize) -> Vec<P> {
        let of_group = |(index, group): (usize, Vec<P>)| {
            let first = index * 7 % group.len().clamp(1, spread);
            let one_in_so_many = move |(at, point): (usize, P)| (at % spread == first).then_some(point);
            group.into_iter().enumerate().filter_map(one_in_so_many).collect::<Vec<_>>()
        };
        match self {
            Self::All => groups.into_iter().flatten().collect(),
            Self::Named(text) => {
                groups.into_iter().flatten().filter(|point| point.to_string().contains(text)).collect()
            }
            Self::Spread => groups.into_iter().enumerate().flat_map(of_group).collect(),
        }
    }
}

/// How a point ended, in a word, or what was wrong.
type Outcome = Result<String, String>;

/// Runs every point in the next free worker of those that take it, prints how they ended, and fails if one did not end well.
pub(crate) fn run<W: Sync, P: Display + Send + Sync>(
    name: &str,
    workers: &[W],
    points: &[P],
    takes: impl Fn(&W, &P) -> bool + Sync,
    run: impl Fn(&W, &P) -> String + Sync,
) {
    assert!(!points.is_empty(), "no point is selected");
    let waiting: Mutex<VecDeque<&P>> = Mutex::new(points.iter().collect());
    let next = |worker: &W| {
        let mut waiting = waiting.lock().unwrap();
        let at = waiting.iter().position(|point| takes(worker, point))?;
        waiting.remove(at)
    };
    let results: Mutex<Vec<(&P, Outcome)>> = Mutex::default();
    thread::scope(|scope| {
        for worker in workers {
            scope.spawn(|| {
                while let Some(point) = next(worker) {
                    let outcome = catch_unwind(AssertUnwindSafe(|| run(worker, point)));
                    let outcome = outcome.map_err(|problem| text_of(&*problem));
                    let mut results = results.lock().unwrap();
                    // A run of every point takes long.
                    if let Err(problem) = &outcome {
                        println!("FAILED {point}\n{problem}\n");
                    }
                    results.push((point, outcome));
                    if results.len().is_multiple_of(100) {
                        println!("{name}: {} of {} run", results.len(), points.len());
                    }
                }
            });
        }
    });
    report(name, points.len(), &results.into_inner().unwrap());
}

fn report<P: Display>(name: &str, selected: usize, results: &[(&P, Outcome)]) {
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for outcome in results.iter().filter_map(|(_, result)| result.as_ref().ok()) {
        *outcomes.entry(outcome).or_default() += 1;
    }
    let failed: Vec<_> =
        results.iter().filter(|(_, result)| result.is_err()).map(|(point, _)| point.to_string()).collect();
    println!("{name}: {} run, {} failed; first attempts ended so: {outcomes:?}", results.len(), failed.len());
    assert_eq!(results.len(), selected, "not every selected point was run");
    assert!(failed.is_empty(), "{} points failed: {failed:?}", failed.len());
}

fn text_of(panic: &dyn Any) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a text").to_owned()
}
