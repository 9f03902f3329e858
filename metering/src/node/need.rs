//! How often a wallet is persisted and read again: as its money needs it.
//!
//! What a gateway does not know yet it can overspend. A wallet that is rich, or that only one node
//! serves, loses nothing by a lazy ledger; one that burns towards its floor on several nodes needs
//! the ledger as often as there are ticks.

use std::time::Duration;

use crate::money::Money;

/// Fastest and slowest interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Never sooner than this.
    pub fastest: Duration,
    /// Never later than this.
    pub slowest: Duration,
}

/// How fast a wallet loses money, measured between looks at its balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Burn {
    seen: Option<(Duration, Money)>,
    nanos_per_second: i128,
}

/// Looks at a balance that are closer than this say nothing about its pace.
const LOOK_MIN: Duration = Duration::from_millis(50);

/// So often is a wallet looked at before its headroom is gone.
const LOOKS: i128 = 8;

// === impl Burn ===

impl Burn {
    /// Notes the balance at a monotonic time. A credit in between hides what burned meanwhile.
    pub fn look(&mut self, balance: Money, now: Duration) {
        let Some((then, before)) = self.seen else {
            self.seen = Some((now, balance));
            return;
        };
        let span = now.saturating_sub(then);
        if span < LOOK_MIN {
            return;
        }
        self.seen = Some((now, balance));
        let span_ms = i128::try_from(span.as_millis()).unwrap_or(i128::MAX);
        let lost = (before.nanos() - balance.nanos()).max(0);
        let pace = lost.saturating_mul(1000) / span_ms;
        // Half of the old pace stays, so that one quiet tick is not taken for peace.
        self.nanos_per_second = pace.max(self.nanos_per_second / 2);
    }

    /// The interval that a wallet with this much money above its floor needs.
    #[must_use]
    pub fn interval(&self, headroom: Money, is_shared: bool, bounds: Bounds) -> Duration {
        if !is_shared || self.nanos_per_second == 0 {
            return bounds.slowest;
        }
        let left_ms = headroom.nanos().max(0).saturating_mul(1000) / self.nanos_per_second;
        let interval_ms = u64::try_from(left_ms / LOOKS).unwrap_or(u64::MAX);
        Duration::from_millis(interval_ms).clamp(bounds.fastest, bounds.slowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_wallet_near_its_floor_is_looked_at_sooner() {
        let bounds =
            Bounds { fastest: Duration::from_millis(100), slowest: Duration::from_secs(1) };
        let money = |text: &str| text.parse::<Money>().unwrap();
        let mut burn = Burn::default();
        burn.look(money("10"), Duration::from_secs(1));
        assert_eq!(burn.interval(money("10"), true, bounds), bounds.slowest);
        burn.look(money("9"), Duration::from_secs(2));
        assert_eq!(burn.interval(money("9"), true, bounds), bounds.slowest);
        assert_eq!(burn.interval(money("4"), true, bounds), Duration::from_millis(500));
        assert_eq!(burn.interval(money("0.1"), true, bounds), bounds.fastest);
        assert_eq!(burn.interval(money("-5"), true, bounds), bounds.fastest);
        assert_eq!(burn.interval(money("0.1"), false, bounds), bounds.slowest);
    }
}
