//! Says when each call is due, whatever became of the calls before it: an open loop.
//!
//! A closed loop sends the next call when the last one was answered, so a server that stalls is asked less and looks well. Here
//! a call has its due time before the run begins, and its latency is counted from it; a call that is late because all
//! connections wait for a stalled server shows the stall.
//!
//! Invariants: due times are exact multiples of the interval, so they do not drift; each is given once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Deals out the due times of one target, which takes every `targets`-th call of a common rate.
#[derive(Debug)]
pub struct Pacer {
    calls_per_second: u64,
    targets: u64,
    target: u64,
    start: Duration,
    planned: u64,
    next: AtomicU64,
}

/// One call that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Its number among all targets, from 0.
    pub number: u64,
    /// When it is due.
    pub due: Duration,
}

// === impl Pacer ===

impl Pacer {
    /// The share of target number `target` of `targets` in `calls_per_second`, due from `start` on for `span`.
    #[must_use]
    pub fn new(
        calls_per_second: u64,
        (target, targets): (u64, u64),
        start: Duration,
        span: Duration,
    ) -> Self {
        let all = span.as_nanos() * u128::from(calls_per_second) / NANOS_PER_SECOND;
        let all = u64::try_from(all).unwrap_or(u64::MAX);
        let planned = all.saturating_sub(target).div_ceil(targets);
        Self { calls_per_second, targets, target, start, planned, next: AtomicU64::new(0) }
    }

    /// The next call; none after the last.
    pub fn next(&self) -> Option<Ticket> {
        let own = self.next.fetch_add(1, Ordering::Relaxed);
        (own < self.planned).then(|| {
            let number = own * self.targets + self.target;
            Ticket { number, due: self.due(number) }
        })
    }

    /// How many targets share the rate.
    #[must_use]
    pub fn targets(&self) -> u64 {
        self.targets
    }

    /// How many calls there are to make.
    #[must_use]
    pub fn planned(&self) -> u64 {
        self.planned
    }

    /// Deals out no more, and says when those were due that were not dealt out.
    pub fn stop(&self) -> impl Iterator<Item = Duration> {
        let taken = self.next.swap(self.planned, Ordering::Relaxed);
        (taken..self.planned).map(|own| self.due(own * self.targets + self.target))
    }

    fn due(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * NANOS_PER_SECOND / u128::from(self.calls_per_second);
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn all(pacer: &Pacer) -> Vec<Ticket> {
        std::iter::from_fn(|| pacer.next()).collect()
    }

    #[test]
    fn targets_share_a_rate_without_drift() {
        let mut numbers = Vec::new();
        for target in 0..3 {
            let pacer = Pacer::new(1_000, (target, 3), SECOND, 7 * SECOND);
            let tickets = all(&pacer);
            assert_eq!(tickets.len() as u64, pacer.planned());
            for ticket in tickets {
                assert_eq!(ticket.due, SECOND + Duration::from_millis(ticket.number));
                numbers.push(ticket.number);
            }
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..7_000).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_not_dealt_out_is_told() {
        let pacer = Pacer::new(10, (0, 1), Duration::ZERO, SECOND);
        for _ in 0..4 {
            pacer.next().unwrap();
        }
        let rest: Vec<Duration> = pacer.stop().collect();
        assert_eq!(
            rest,
            (4..10).map(|tenth| Duration::from_millis(tenth * 100)).collect::<Vec<_>>()
        );
        assert_eq!((pacer.next(), pacer.stop().count()), (None, 0));
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_makes_the_right_number_of_calls() {
        let pacer = Pacer::new(7, (0, 1), Duration::ZERO, 3 * SECOND);
        let tickets = all(&pacer);
        assert_eq!(tickets.len(), 21);
        assert!(tickets.iter().all(|ticket| ticket.due < 3 * SECOND));
        assert_eq!(tickets[7].due, SECOND);
    }
}
