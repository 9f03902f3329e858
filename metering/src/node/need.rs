//! How often a wallet is persisted, read and told again: as its money needs it.
//!
//! What a gateway does not know yet it can overspend. A wallet that is rich loses nothing by a lazy
//! ledger; one that burns towards its floor needs it as often as there are ticks. The interval is
//! `headroom ÷ burn rate ÷` [`LOOKS`], between two [`Bounds`]: so what nobody was told of is at
//! most that share of what is left, whatever the wallet is worth. The gateway's side of the same
//! rule is [`crate::pace`].
//!
//! Invariants: an interval lies within its bounds; it never rises with the burn and never falls
//! with the headroom (test: `intervals_follow_headroom_and_burn`). Nothing here decides an amount:
//! sums saturate. Not here: whose turn it is (`balance-sync`, `gateway`).

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
    seen: Option<(Duration, i128)>,
    nanos_per_second: i128,
}

/// Looks at a balance that are closer than this say nothing about its pace.
pub const LOOK_MIN: Duration = Duration::from_millis(20);

/// What was lost between looks that lie further apart was lost within this: a wallet that was left
/// alone for an hour and burns again is not taken for a quiet one.
pub const LOOK_MAX: Duration = Duration::from_secs(2);

/// So often is a wallet looked at before its headroom is gone.
pub const LOOKS: u32 = 8;

/// Most rows of the ledger that one wallet is worth in a second, whatever it needs: a hundred
/// gateways that use it up together have as many registers and holds.
pub const ROWS_PER_SECOND_MAX: u32 = 900;

/// Most snapshots of one wallet that are pushed in a second, whatever it needs, to all gateways
/// that use it.
pub const PUSHES_PER_SECOND_MAX: u32 = 2_000;

/// Of the staleness limit, in tenths: how long a rich wallet may wait to be read again, …
const READ_TENTHS: u32 = 4;
/// … to be persisted before that, …
const PERSIST_TENTHS: u32 = 2;
/// … and to be reported before that.
const REPORT_TENTHS: u32 = 1;

// A snapshot's age runs from the report that was persisted before the read: the rest is for the
// network and the ledger.
const _: () = assert!(READ_TENTHS + PERSIST_TENTHS + REPORT_TENTHS <= 7);

// === impl Bounds ===

impl Bounds {
    /// The same, with nothing slower than `limit`; the fastest gives way as well.
    #[must_use]
    pub fn within(self, limit: Duration) -> Bounds {
        Bounds { fastest: self.fastest.min(limit), slowest: self.slowest.min(limit) }
    }

    /// Whether there is one interval only.
    #[must_use]
    pub fn is_fixed(self) -> bool {
        self.fastest >= self.slowest
    }

    /// The interval for `headroom` that is lost at a rate.
    pub(crate) fn interval(self, headroom: Money, nanos_per_second: i128) -> Duration {
        if nanos_per_second <= 0 {
            return self.slowest;
        }
        let left_ms = headroom.nanos().max(0).saturating_mul(1000) / nanos_per_second;
        let interval_ms = u64::try_from(left_ms / i128::from(LOOKS)).unwrap_or(u64::MAX);
        Duration::from_millis(interval_ms).max(self.fastest).min(self.slowest)
    }
}

/// How long a rich wallet may wait to be read again under a staleness limit.
#[must_use]
pub fn read_within(staleness_limit: Duration) -> Duration {
    staleness_limit * READ_TENTHS / 10
}

/// How long a rich wallet may wait to be persisted under a staleness limit.
#[must_use]
pub fn persist_within(staleness_limit: Duration) -> Duration {
    staleness_limit * PERSIST_TENTHS / 10
}

/// How long a gateway may say nothing on a stream under its staleness limit.
#[must_use]
pub fn report_within(staleness_limit: Duration) -> Duration {
    staleness_limit * REPORT_TENTHS / 10
}

/// The least interval at which writing so many rows keeps to [`ROWS_PER_SECOND_MAX`].
#[must_use]
pub fn rows_interval(rows: usize) -> Duration {
    Duration::from_secs(1) * u32::try_from(rows).unwrap_or(u32::MAX) / ROWS_PER_SECOND_MAX
}

/// The least interval at which pushing to so many gateways keeps to [`PUSHES_PER_SECOND_MAX`].
#[must_use]
pub fn pushes_interval(gateways: usize) -> Duration {
    Duration::from_secs(1) * u32::try_from(gateways).unwrap_or(u32::MAX) / PUSHES_PER_SECOND_MAX
}

/// Whether so much of what was left was lost since somebody was told that he must not wait, however
/// slow the pace was until now.
#[must_use]
pub fn is_sudden(told: Money, left: Money) -> bool {
    let lost = told.nanos().saturating_sub(left.nanos());
    lost > 0 && lost.saturating_mul(i128::from(LOOKS)) >= left.nanos()
}

// === impl Burn ===

impl Burn {
    /// Notes the balance at a monotonic time. A credit in between hides what burned meanwhile.
    pub fn look(&mut self, balance: Money, now: Duration) {
        self.look_nanos(balance.nanos(), now);
    }

    /// The same for a level that is no wallet's balance.
    pub(crate) fn look_nanos(&mut self, level: i128, now: Duration) {
        let Some((then, before)) = self.seen else {
            self.seen = Some((now, level));
            return;
        };
        let span = now.saturating_sub(then);
        if span < LOOK_MIN {
            return;
        }
        self.seen = Some((now, level));
        let span_ms = i128::try_from(span.min(LOOK_MAX).as_millis()).unwrap_or(i128::MAX);
        let lost = before.saturating_sub(level).max(0);
        let pace = lost.saturating_mul(1000) / span_ms;
        // Half of the old pace stays, so that one quiet tick is not taken for peace.
        self.nanos_per_second = pace.max(self.nanos_per_second / 2);
    }

    /// What is lost in a second.
    pub(crate) fn nanos_per_second(&self) -> i128 {
        self.nanos_per_second
    }

    /// The interval that a wallet with this much money above its floor needs.
    #[must_use]
    pub fn interval(&self, headroom: Money, bounds: Bounds) -> Duration {
        bounds.interval(headroom, self.nanos_per_second)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds =
        Bounds { fastest: Duration::from_millis(20), slowest: Duration::from_secs(2) };

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn a_wallet_near_its_floor_is_looked_at_sooner() {
        let mut burn = Burn::default();
        burn.look(money("10"), Duration::from_secs(1));
        assert_eq!(burn.interval(money("10"), BOUNDS), BOUNDS.slowest);
        burn.look(money("9"), Duration::from_secs(2));
        let rows = [
            ("16", 2_000),
            ("9", 1_125),
            ("4", 500),
            ("0.1", 20),
            ("0", 20),
            ("-5", 20),
            ("9223372036854775807", 2_000),
        ];
        for (headroom, want_ms) in rows {
            let interval = burn.interval(money(headroom), BOUNDS);
            assert_eq!(interval, Duration::from_millis(want_ms), "{headroom}");
        }
        burn.look(money("9"), Duration::from_secs(3));
        assert_eq!(burn.interval(money("4"), BOUNDS), Duration::from_secs(1), "half the pace");
    }

    #[test]
    fn a_burst_after_an_hour_is_not_spread_over_the_hour() {
        let mut burn = Burn::default();
        burn.look(money("10"), Duration::from_secs(1));
        burn.look(money("6"), Duration::from_secs(3_601));
        assert_eq!(burn.interval(money("6"), BOUNDS), Duration::from_millis(375));
    }

    #[test]
    fn a_hundred_gateways_cost_a_thousand_rows_a_second_at_most() {
        // A register and a hold of each gateway.
        let writes = Duration::from_secs(1).as_nanos() / rows_interval(200).as_nanos();
        assert!((3..=5).contains(&writes), "{writes}");
        assert_eq!(rows_interval(0), Duration::ZERO);
        assert_eq!(pushes_interval(100), Duration::from_millis(50));
        assert!(pushes_interval(16) < BOUNDS.fastest);
    }

    #[test]
    fn an_eighth_of_what_is_left_is_sudden() {
        let rows = [
            ("10", "9.5", false),
            ("10", "8", true),
            ("9", "8", true),
            ("9", "8.9", false),
            ("0.5", "-1", true),
            ("-1", "-1", false),
            ("-1", "-1.01", true),
            ("1", "9", false),
        ];
        for (told, left, want) in rows {
            assert_eq!(is_sudden(money(told), money(left)), want, "{told} {left}");
        }
    }

    #[test]
    fn ages_add_up_to_less_than_the_limit() {
        let limit = Duration::from_secs(10);
        let age = read_within(limit) + persist_within(limit) + report_within(limit);
        assert!(age <= limit * 7 / 10, "{age:?}");
        assert_eq!(BOUNDS.within(Duration::from_secs(1)).slowest, Duration::from_secs(1));
        assert!(BOUNDS.within(Duration::from_millis(5)).is_fixed());
    }

    proptest! {
        #[test]
        fn intervals_follow_headroom_and_burn(
            headroom in -1_000_i64..1_000_000,
            more in 0_i64..1_000_000,
            lost in 0_i64..1_000,
            lost_more in 0_i64..1_000,
        ) {
            let amount = |units: i64| Money::from_units_nanos(units, 0).unwrap();
            let burning = |lost: i64| {
                let mut burn = Burn::default();
                burn.look(amount(0), Duration::ZERO);
                burn.look(amount(-lost), Duration::from_secs(1));
                burn
            };
            let (slow, fast) = (burning(lost), burning(lost + lost_more));
            let (poor, rich) = (amount(headroom), amount(headroom + more));
            let interval = slow.interval(poor, BOUNDS);
            prop_assert!((BOUNDS.fastest..=BOUNDS.slowest).contains(&interval));
            prop_assert!(slow.interval(rich, BOUNDS) >= interval);
            prop_assert!(fast.interval(poor, BOUNDS) <= interval);
        }
    }
}
