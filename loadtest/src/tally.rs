//! Counts what became of every call: by gateway and time, and by developer for the money.
//!
//! Invariant: every call that was due is in exactly one of the counts.
//! Bounds: one count for each [`SLOT`] of the run and gateway; a histogram a gateway.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::caller::Outcome;

/// The resolution of counts over time.
pub const SLOT: Duration = Duration::from_millis(10);
/// Latencies are kept up to this; longer ones count as this.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Significant digits of latencies.
const LATENCY_DIGITS: u8 = 3;

/// What became of some calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered with success: charged.
    pub answered: u64,
    /// Refused for want of money.
    pub dry: u64,
    /// Refused or failed with another status.
    pub refused: u64,
    /// Never sent.
    pub not_sent: u64,
    /// Sent and not answered: may be charged.
    pub unanswered: u64,
}

/// Calls of one gateway.
#[derive(Debug)]
struct Lane {
    slots: Vec<Counts>,
    latency: Histogram<u64>,
    statuses: BTreeMap<u16, u64>,
}

/// Calls of one developer that matter for the money.
#[derive(Debug, Default)]
struct Bill {
    answered: AtomicU64,
    unanswered: AtomicU64,
}

/// The counts of a run.
#[derive(Debug)]
pub struct Tally {
    lanes: Vec<Mutex<Lane>>,
    bills: Vec<Bill>,
}

/// A histogram of latencies in microseconds.
#[must_use]
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, LATENCY_DIGITS)
        .expect("the bounds are those of a histogram")
}

// === impl Tally ===

impl Tally {
    /// Nothing yet.
    #[must_use]
    pub fn new(gateways: usize, developers: usize) -> Self {
        let lane = || Lane { slots: Vec::new(), latency: latencies(), statuses: BTreeMap::new() };
        Self {
            lanes: std::iter::repeat_with(|| Mutex::new(lane())).take(gateways).collect(),
            bills: std::iter::repeat_with(Bill::default).take(developers).collect(),
        }
    }

    /// Notes what became of a call that was due at `due` and over at `at`.
    pub fn note(&self, gateway: usize, developer: usize, due: Duration, at: Duration, it: Outcome) {
        let bill = &self.bills[developer];
        let mut lane = self.lanes[gateway].lock();
        if it != Outcome::NotSent {
            let micros = u64::try_from(at.saturating_sub(due).as_micros()).unwrap_or(u64::MAX);
            lane.latency.saturating_record(micros);
        }
        if let Outcome::Refused(status) = it {
            *lane.statuses.entry(status.as_u16()).or_default() += 1;
        }
        let slot = lane.slot(at);
        match it {
            Outcome::Answered => {
                slot.answered += 1;
                bill.answered.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Unanswered => {
                slot.unanswered += 1;
                bill.unanswered.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Dry => slot.dry += 1,
            Outcome::Refused(_) => slot.refused += 1,
            Outcome::NotSent => slot.not_sent += 1,
        }
    }

    /// Notes a call of a gateway that was due and not even tried when the load ended.
    pub fn note_not_sent(&self, gateway: usize, due: Duration) {
        self.lanes[gateway].lock().slot(due).not_sent += 1;
    }

    /// What became of all calls so far.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.of_gateways().iter().fold(Counts::default(), |sum, counts| sum.plus(counts))
    }

    /// The same by gateway.
    #[must_use]
    pub fn of_gateways(&self) -> Vec<Counts> {
        let sum = |lane: &Mutex<Lane>| {
            lane.lock().slots.iter().fold(Counts::default(), |sum, slot| sum.plus(slot))
        };
        self.lanes.iter().map(sum).collect()
    }

    /// Counts of each gateway in time, [`SLOT`] by [`SLOT`].
    #[must_use]
    pub fn slots(&self) -> Vec<Vec<Counts>> {
        self.lanes.iter().map(|lane| lane.lock().slots.clone()).collect()
    }

    /// How often each other status came.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<u16, u64> {
        let mut all = BTreeMap::new();
        for lane in &self.lanes {
            for (status, count) in &lane.lock().statuses {
                *all.entry(*status).or_default() += count;
            }
        }
        all
    }

    /// Latencies of all calls that were sent, from when they were due, in microseconds.
    #[must_use]
    pub fn latency(&self) -> Histogram<u64> {
        let mut all = latencies();
        for lane in &self.lanes {
            all.add(&lane.lock().latency).expect("histograms of the same bounds add");
        }
        all
    }

    /// Calls of a developer that were answered.
    #[must_use]
    pub fn answered(&self, developer: usize) -> u64 {
        self.bills[developer].answered.load(Ordering::Relaxed)
    }

    /// Calls of a developer that were sent and not answered.
    #[must_use]
    pub fn unanswered(&self, developer: usize) -> u64 {
        self.bills[developer].unanswered.load(Ordering::Relaxed)
    }
}

// === impl Lane ===

impl Lane {
    fn slot(&mut self, at: Duration) -> &mut Counts {
        let index = usize::try_from(at.as_nanos() / SLOT.as_nanos()).unwrap_or(usize::MAX);
        if self.slots.len() <= index {
            self.slots.resize(index + 1, Counts::default());
        }
        &mut self.slots[index]
    }
}

// === impl Counts ===

impl Counts {
    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Counts) -> Counts {
        Counts {
            answered: self.answered + other.answered,
            dry: self.dry + other.dry,
            refused: self.refused + other.refused,
            not_sent: self.not_sent + other.not_sent,
            unanswered: self.unanswered + other.unanswered,
        }
    }

    /// How many they are.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.answered + self.dry + self.refused + self.not_sent + self.unanswered
    }

    /// Calls that went wrong for another reason than money.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.refused + self.not_sent + self.unanswered
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    #[test]
    fn every_call_is_counted_once_and_timed_from_its_due_time() {
        let tally = Tally::new(2, 2);
        let outcomes = [
            Outcome::Answered,
            Outcome::Answered,
            Outcome::Dry,
            Outcome::Refused(StatusCode::SERVICE_UNAVAILABLE),
            Outcome::NotSent,
            Outcome::Unanswered,
        ];
        let due = Duration::from_millis(5);
        for (number, outcome) in outcomes.into_iter().enumerate() {
            // A stall of a second between due time and answer.
            tally.note(number % 2, number % 2, due, Duration::from_millis(1_005), outcome);
        }
        tally.note_not_sent(1, due);
        let want = Counts { answered: 2, dry: 1, refused: 1, not_sent: 2, unanswered: 1 };
        assert_eq!((tally.total(), tally.total().all()), (want, 7));
        assert_eq!((tally.answered(0), tally.answered(1), tally.unanswered(1)), (1, 1, 1));
        assert_eq!(tally.slots()[0].len(), 101);
        assert_eq!(tally.statuses(), BTreeMap::from([(503, 1)]));
        let latency = tally.latency();
        assert_eq!(latency.len(), 5, "a call that was never sent has no latency");
        assert!(latency.min() >= 999_000, "{}", latency.min());
    }
}
