//! How far below zero gateways may take an optimistic wallet by the formula: beside what the service tells (`told`), or in its place.
//!
//! `min((N − 1) · q · s · W, (N − 1) · B)`: each of the others (N − 1) admits at most q calls a second of at most s each before
//! it hears of the rest, which takes W, and none admits more than the balance B that it believes in. Nobody caps q here, so
//! `q · W` is counted: the most calls that any gateway answered within any window as long as W. A gateway that is killed spends
//! its share, and its next life spends another: it counts twice.
//!
//! W is two sync intervals, or the greatest age of knowledge that a gateway showed when a wallet ran dry, if that is more: a
//! wallet that is rich is reported seldom, and nobody overspends it. Where a node was away or a wire was cut while a wallet was
//! dry, the staleness limit comes on top.

use std::time::Duration;

use serde::Serialize;

use crate::nanos::Nanos;
use crate::tally::{Counts, SLOT};

/// A wallet that was not refused for so many slots had money again.
const DRY_GAP_SLOTS: usize = 50;

/// What the bound is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Gateways, and how many of their lives were ended.
    pub lives: u64,
    /// What a call costs.
    pub price: Nanos,
    /// All that the wallets could be believed to have at once.
    pub balance: Nanos,
    /// W.
    pub knowledge_age: Duration,
    /// `q · W`: see [`most_calls`].
    pub calls: u64,
}

/// A bound and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The service says it of the wallet.
    Service,
    /// By the formula, from what was measured.
    Formula,
}

// === impl Measured ===

impl Measured {
    /// The bound.
    #[must_use]
    pub fn bound(&self) -> Nanos {
        let others = self.lives.saturating_sub(1);
        let by_rate = self.price.times(self.calls).times(others);
        by_rate.min(self.balance.times(others))
    }
}

/// The most calls that one gateway answered within any window of this length.
#[must_use]
pub fn most_calls(gateways: &[Vec<Counts>], window: Duration) -> u64 {
    let slots = usize::try_from(window.as_nanos().div_ceil(SLOT.as_nanos())).unwrap_or(usize::MAX);
    // A window that begins within a slot reaches into one more.
    let slots = slots.saturating_add(1);
    let most = |lane: &Vec<Counts>| {
        let mut within = 0;
        let mut most = 0;
        for (index, slot) in lane.iter().enumerate() {
            within += slot.answered;
            if index >= slots {
                within -= lane[index - slots].answered;
            }
            most = most.max(within);
        }
        most
    };
    gateways.iter().map(most).max().unwrap_or(0)
}

/// When wallets began to be refused for want of money, each time again after a while without.
#[must_use]
pub fn dry_moments(gateways: &[Vec<Counts>]) -> Vec<Duration> {
    let length = gateways.iter().map(Vec::len).max().unwrap_or(0);
    let is_dry = |index: &usize| {
        gateways.iter().any(|lane| lane.get(*index).is_some_and(|slot| slot.dry > 0))
    };
    let mut moments = Vec::new();
    let mut quiet_since: Option<usize> = None;
    for index in (0..length).filter(is_dry) {
        if quiet_since.is_none_or(|last| index - last > DRY_GAP_SLOTS) {
            moments.push(SLOT * u32::try_from(index).unwrap_or(u32::MAX));
        }
        quiet_since = Some(index);
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_runs_dry_once_however_long_it_is_refused() {
        let mut lane = vec![Counts::default(); 400];
        for index in (100..150).chain(160..200).chain([300]) {
            lane[index].dry = 1;
        }
        let moments = dry_moments(&[vec![Counts::default(); 10], lane]);
        assert_eq!(moments, [SLOT * 100, SLOT * 300]);
    }

    fn lane(answered: &[u64]) -> Vec<Counts> {
        answered.iter().map(|&answered| Counts { answered, ..Counts::default() }).collect()
    }

    #[test]
    fn the_fullest_window_of_the_busiest_gateway_counts() {
        let gateways = [lane(&[1, 1, 1, 1, 1, 1]), lane(&[0, 0, 5, 0, 3, 0])];
        let rows = [(10, 5), (20, 8), (30, 8), (0, 5), (600, 8)];
        for (ms, want) in rows {
            assert_eq!(most_calls(&gateways, Duration::from_millis(ms)), want, "{ms} ms");
        }
        assert_eq!(most_calls(&[], SLOT), 0);
    }

    #[test]
    fn the_bound_is_the_smaller_of_rate_and_balance() {
        let price: Nanos = "0.01".parse().unwrap();
        let measured = |lives, calls, balance: &str| Measured {
            lives,
            price,
            balance: balance.parse().unwrap(),
            knowledge_age: SLOT,
            calls,
        };
        let rows = [
            (measured(4, 20, "100"), "0.60"),
            (measured(4, 20, "0.1"), "0.30"),
            (measured(1, 20, "100"), "0.00"),
            (measured(5, 20, "100"), "0.80"),
        ];
        for (measured, want) in rows {
            assert_eq!(measured.bound().to_string(), want, "{measured:?}");
        }
    }
}
