//! When a gateway reports a wallet next: as its money needs it.
//!
//! What other gateways were not told of, they admit calls against. So a gateway reports a wallet
//! when it has used up its share of an eighth ([`LOOKS`]) of what is left there, its share being
//! its part of what all gateways burn, and at the latest when all of them together will have burned
//! that eighth. With every gateway doing so, what is not reported anywhere stays below
//! `headroom ÷ 8 + gateways × headroom ÷ 512 +` what is admitted in one tick, however suddenly they
//! begin: near the floor the age of knowledge is that of the fastest interval, and far from it an
//! older one cannot overspend. A wallet is therefore reported seldom while it is rich and at once
//! when it is nearly empty, whichever call makes it so.
//!
//! The driver keeps [`Plan::below`] beside the wallet, where each call compares with it, and asks a
//! [`Pace`] for the plan after each report and each snapshot. A `Pace` lives only while a wallet
//! changes; one without is planned for by [`quiet_below`].
//!
//! Invariants: a plan's interval lies within its bounds; neither interval nor allowance falls with
//! the headroom, and the interval does not rise with anybody's burn (test: `plans_follow_need`).
//! Nothing here decides an amount: levels are estimates and saturate. Not here: the clock, the queue
//! of changes (`gateway`), the node's side ([`crate::node::need`]).

use std::time::Duration;

use crate::money::Money;
use crate::node::need::{Bounds, Burn, LOOKS};

/// A gateway that burns next to nothing may still keep this part of the headroom to itself: 64 of
/// them keep an eighth.
const QUIET_PART: i128 = 512;

/// Due times lie on a grid of so many parts of an interval, so that wallets share reports.
const GRID_PARTS: u32 = 8;

/// What a gateway knows of a wallet when it plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What the next call may cost at most: for an optimistic wallet what is available, for a
    /// strict one what is left of the ceiling.
    pub available: Money,
    /// Whether there is something that must not wait: a strict wallet wants a higher ceiling.
    pub is_urgent: bool,
}

/// When a wallet is to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// So long after it changed; see [`Plan::due`].
    pub interval: Duration,
    /// At once when less than this is available.
    pub below: Money,
}

/// How a gateway's reports of one wallet are paced.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// What snapshots have moved since this pace began: others' units and holds, and credits.
    moved: i128,
    /// `available − moved` when the wallet was last reported; it falls with own calls alone.
    reported: i128,
    reported_at: Duration,
    interval: Duration,
    own: Burn,
    others: Burn,
}

/// What is available may fall to this before a wallet has to be reported of which nobody knows how
/// fast it burns, and of which everything was reported.
#[must_use]
pub fn quiet_below(available: Money) -> Money {
    saturated(available.nanos() - available.nanos().max(0) / QUIET_PART)
}

// === impl Plan ===

impl Plan {
    /// When a wallet is due that changed first at `changed_at`, at the latest.
    #[must_use]
    pub fn due(&self, changed_at: Duration, bounds: Bounds) -> Duration {
        let grid = (self.interval / GRID_PARTS).max(bounds.fastest).max(Duration::from_millis(1));
        let at = changed_at + self.interval;
        let past_ms = at.as_millis() % grid.as_millis();
        at - Duration::from_millis(u64::try_from(past_ms).unwrap_or(0))
    }
}

// === impl Pace ===

impl Pace {
    /// A pace that begins with this much available, everything of it reported.
    #[must_use]
    pub fn new(available: Money, now: Duration, bounds: Bounds) -> Pace {
        let (mut own, mut others) = (Burn::default(), Burn::default());
        own.look_nanos(available.nanos(), now);
        others.look_nanos(0, now);
        let reported = available.nanos();
        let interval = bounds.slowest;
        Pace { moved: 0, reported, reported_at: now, interval, own, others }
    }

    /// A snapshot changed what is available.
    pub fn heard(&mut self, before: Money, after: Money, now: Duration) {
        self.moved = self.moved.saturating_add(after.nanos() - before.nanos());
        self.others.look_nanos(self.moved, now);
    }

    /// The wallet is reported now.
    pub fn reported(&mut self, standing: Standing, now: Duration, bounds: Bounds) {
        let level = standing.available.nanos().saturating_sub(self.moved);
        self.own.look_nanos(level, now);
        // Nothing heard is a look at the others as well.
        self.others.look_nanos(self.moved, now);
        self.reported = level;
        let since = now.saturating_sub(std::mem::replace(&mut self.reported_at, now));
        // At most twice the last one: what a sudden start burns is not known before it was heard.
        let longest = (since * 2).max(bounds.fastest);
        self.interval = self.needed(standing, bounds).min(longest).min(bounds.slowest);
    }

    /// When the wallet has to be reported, by what is known now.
    #[must_use]
    pub fn plan(&self, standing: Standing, bounds: Bounds) -> Plan {
        if standing.is_urgent {
            return Plan { interval: bounds.fastest, below: Money::MAX };
        }
        let interval = self.interval.min(self.needed(standing, bounds)).max(bounds.fastest);
        let level = self.reported.saturating_add(self.moved);
        Plan { interval, below: saturated(level.saturating_sub(self.allowance(standing))) }
    }

    /// Whether it was not reported for so long that nothing is left to know of its pace.
    #[must_use]
    pub fn is_quiet(&self, now: Duration, bounds: Bounds) -> bool {
        now.saturating_sub(self.reported_at) > bounds.slowest * 2
    }

    /// The interval that headroom and the burn of all gateways ask for.
    fn needed(&self, standing: Standing, bounds: Bounds) -> Duration {
        if standing.is_urgent {
            return bounds.fastest;
        }
        let (own, others) = (self.own.nanos_per_second(), self.others.nanos_per_second());
        bounds.interval(standing.available, own.saturating_add(others))
    }

    /// What this gateway may spend and hold before it has to say so.
    fn allowance(&self, standing: Standing) -> i128 {
        let headroom = standing.available.nanos().max(0);
        let (own, others) = (self.own.nanos_per_second(), self.others.nanos_per_second());
        let fleet = own.saturating_add(others);
        let least = headroom / QUIET_PART;
        if fleet <= 0 {
            return least;
        }
        (headroom / i128::from(LOOKS))
            .saturating_mul(own)
            .checked_div(fleet)
            .unwrap_or(0)
            .max(least)
    }
}

/// The nearest amount.
fn saturated(nanos: i128) -> Money {
    let nearest = nanos.clamp(Money::MIN.nanos(), Money::MAX.nanos());
    Money::from_nanos(nearest).unwrap_or(Money::ZERO)
}

#[cfg(test)]
mod tests;
