//! Runs many seeds on all cores, and says what it found.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::fault::Fault;
use crate::schedule::Schedule;
use crate::shrink::shrink;
use crate::world::{Costs, Violation, World};

/// Failing seeds that are kept; more tell nothing new.
const FAILURES_MAX: usize = 10;

/// Lines of a trace that are shown.
const LINES_SHOWN: usize = 200;

/// Which seeds are run.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// The first.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// What many runs came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seeds that were run.
    pub seeds: u64,
    /// Events of all runs.
    pub events: u64,
    /// What all runs cost.
    pub costs: Costs,
    /// Seeds that broke a rule, lowest first.
    pub failures: Vec<(u64, Violation)>,
}

/// Runs seeds on so many threads until they are done or `is_over` says so; `progress` is told of each.
pub fn run_seeds(
    seeds: Seeds,
    fault: Option<Fault>,
    threads: usize,
    is_over: &(dyn Fn() -> bool + Sync),
    progress: &(dyn Fn() + Sync),
) -> Summary {
    let next = AtomicU64::new(0);
    let is_full = AtomicBool::new(false);
    let summary = Mutex::new(Summary::default());
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= seeds.count || is_full.load(Ordering::Relaxed) || is_over() {
                        return;
                    }
                    let seed = seeds.first + place;
                    let outcome = World::run(&Schedule::draw(seed), fault, false);
                    let mut summary = summary.lock().expect("no thread panics with the lock");
                    summary.seeds += 1;
                    summary.events += outcome.events;
                    summary.costs.add(&outcome.costs);
                    if let Some(violation) = outcome.violation {
                        summary.failures.push((seed, violation));
                        is_full.store(summary.failures.len() >= FAILURES_MAX, Ordering::Relaxed);
                    }
                    drop(summary);
                    progress();
                }
            });
        }
    });
    let mut summary = summary.into_inner().expect("all threads have ended");
    summary.failures.sort_by_key(|(seed, _)| *seed);
    summary
}

/// The first seed of some that breaks a rule, in order.
#[must_use]
pub fn first_failure(seeds: Seeds, fault: Option<Fault>) -> Option<(u64, Violation)> {
    (seeds.first..seeds.first + seeds.count).find_map(|seed| {
        let outcome = World::run(&Schedule::draw(seed), fault, false);
        outcome.violation.map(|violation| (seed, violation))
    })
}

/// A failure as a person reads it: the rule, the shrunk schedule, and the end of its trace.
#[must_use]
pub fn explain(schedule: &Schedule, fault: Option<Fault>) -> String {
    let small = shrink(schedule, fault).unwrap_or_else(|| schedule.clone());
    let outcome = World::run(&small, fault, true);
    let mut text = String::new();
    // Writing into a string does not fail.
    if let Some(Violation { at, rule, found }) = &outcome.violation {
        let _ = writeln!(text, "seed {}: broken after {at:?}: {rule}\n  {found}", schedule.seed);
    }
    let events = (schedule.events.len(), small.events.len());
    let _ = writeln!(text, "\nschedule, shrunk from {} events to {}:\n{small}", events.0, events.1);
    let hidden = outcome.lines.len().saturating_sub(LINES_SHOWN);
    let _ = writeln!(text, "trace of {} lines, the last of them:", outcome.lines.len());
    for line in &outcome.lines[hidden..] {
        let _ = writeln!(text, "{line}");
    }
    text
}
