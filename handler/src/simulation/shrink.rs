//! Finds the shortest history that still breaks the same promise.

use super::{
    history::{At, Disturbance, FIRST, History, PERIOD, Setup},
    run::{Outcome, run},
    watcher::Broken,
};

/// Shrinks a history that breaks a promise outside of any race.
pub(super) fn shrink(history: &History, broken: Broken) -> History {
    let mut best = history.clone();
    loop {
        let smaller = smaller(&best).find(|smaller| breaks(&run(smaller, false), broken));
        match smaller {
            Some(smaller) => best = smaller,
            None => return best,
        }
    }
}

fn breaks(outcome: &Outcome, broken: Broken) -> bool {
    outcome.violations.iter().any(|violation| violation.broken == broken && !violation.in_a_race)
}

/// What may be left out of a history, the most first.
fn smaller(history: &History) -> impl Iterator<Item = History> {
    let with = |disturbances: Vec<Disturbance>| History { disturbances, ..history.clone() };
    let all = &history.disturbances;
    let mut smaller = vec![];
    let mut size = all.len();
    while size > 0 {
        for from in (0..all.len()).step_by(size) {
            let rest = all.iter().enumerate().filter(|(at, _)| !(from..from + size).contains(at));
            smaller.push(with(rest.map(|(_, disturbance)| *disturbance).collect()));
        }
        size /= 2;
    }
    if history.lasts > FIRST + PERIOD {
        smaller.push(History { lasts: history.lasts - PERIOD, ..history.clone() });
        // A month earlier, from every disturbance on.
        for from in 0..all.len() {
            let earlier = |(at, it): (usize, &Disturbance)| match it.from.checked_sub(PERIOD) {
                Some(earlier) if at >= from && earlier + super::DAY >= FIRST => Disturbance { from: earlier, ..*it },
                _ => *it,
            };
            let moved: Vec<_> = all.iter().enumerate().map(earlier).collect();
            if moved != *all {
                smaller.push(History { lasts: history.lasts - PERIOD, ..with(moved) });
            }
        }
    }
    for at in 0..all.len() {
        let mut plain = all.clone();
        plain[at].at = At::Once;
        if plain != *all {
            smaller.push(with(plain));
        }
    }
    let setups = [
        Setup { start: Setup::PLAIN.start, ..history.setup },
        Setup { person: None, ..history.setup },
        Setup { cleans: false, ..history.setup },
        Setup { topic: false, ..history.setup },
        Setup { mail: false, ..history.setup },
        Setup { owned: true, ..history.setup },
        Setup { keep_previous: Setup::PLAIN.keep_previous, ..history.setup },
        Setup { last_use: Setup::PLAIN.last_use, ..history.setup },
    ];
    smaller.extend(
        setups.into_iter().filter(|setup| *setup != history.setup).map(|setup| History { setup, ..history.clone() }),
    );
    smaller.into_iter()
}
