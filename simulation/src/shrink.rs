//! Makes a failing schedule small: events are taken out as long as the same rule breaks.

use std::time::Duration;

use crate::fault::Fault;
use crate::schedule::{Schedule, Timed};
use crate::world::{Outcome, World};

/// Runs that a schedule is shrunk by at most.
const RUNS_MAX: usize = 2_000;

/// The smallest schedule found that still breaks the rule which `schedule` breaks; `None` where it
/// breaks none.
#[must_use]
pub fn shrink(schedule: &Schedule, fault: Option<Fault>) -> Option<Schedule> {
    let rule = World::run(schedule, fault, false).violation?.rule;
    let mut runs = 0;
    let mut breaks = |schedule: &Schedule| {
        runs += 1;
        let Outcome { violation, .. } = World::run(schedule, fault, false);
        runs <= RUNS_MAX && violation.is_some_and(|violation| violation.rule == rule)
    };
    let mut small = schedule.clone();
    without_events(&mut small, &mut breaks);
    without_phases(&mut small, &mut breaks);
    shorter(&mut small, &mut breaks);
    without_events(&mut small, &mut breaks);
    Some(small)
}

/// Takes out halves, quarters and so on, down to single events.
fn without_events(small: &mut Schedule, breaks: &mut impl FnMut(&Schedule) -> bool) {
    let mut size = small.events.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < small.events.len() {
            let to = (from + size).min(small.events.len());
            let rest: Vec<Timed> =
                small.events[..from].iter().chain(&small.events[to..]).cloned().collect();
            let candidate = Schedule { events: rest, ..small.clone() };
            if breaks(&candidate) {
                *small = candidate;
            } else {
                from = to;
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
}

/// Ends the run after an earlier phase.
fn without_phases(small: &mut Schedule, breaks: &mut impl FnMut(&Schedule) -> bool) {
    while small.setup.phases.len() > 1 {
        let mut candidate = small.clone();
        candidate.setup.phases.pop();
        let end = candidate.setup.end();
        candidate.events.retain(|event| event.at < end);
        if !breaks(&candidate) {
            return;
        }
        *small = candidate;
    }
}

/// Ends the last phase earlier.
fn shorter(small: &mut Schedule, breaks: &mut impl FnMut(&Schedule) -> bool) {
    let last = small.setup.phases.len() - 1;
    let from =
        last.checked_sub(1).map_or(Duration::ZERO, |before| small.setup.phases[before].until);
    for part in [1, 2, 4, 6, 8, 10, 12, 14] {
        let until = from + (small.setup.phases[last].until - from) * part / 16;
        let mut candidate = small.clone();
        candidate.setup.phases[last].until = until;
        candidate.events.retain(|event| event.at < until);
        if breaks(&candidate) {
            *small = candidate;
            return;
        }
    }
}
