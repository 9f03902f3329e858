//! What reconciling costs by its rules alone.

use std::time::Duration;

use tollgate_metering::Money;
use tollgate_simulation::fleet::{Fleet, Pacing};

const HOT: Fleet = Fleet {
    gateways: 100,
    wallets: 1,
    calls_per_second: 1_000_000,
    balance: 1_000_000,
    span: Duration::from_secs(2),
    pacing: Pacing::Adaptive,
};

#[test]
fn a_hot_wallet_costs_at_most_a_thousand_rows_a_second() {
    let costs = HOT.run();
    assert_eq!(costs.calls, 1_000_000, "{costs:?}");
    assert!((1..=1_000).contains(&costs.rows), "{costs:?}");
    // The last of its money goes in the middle of the span: now everything is urgent.
    let dry = Fleet { balance: 50_000, ..HOT }.run();
    assert!((1..=1_000).contains(&dry.rows), "{dry:?}");
    assert!(dry.overspent > Money::ZERO && dry.calls < 1_000_000, "{dry:?}");
}

#[test]
fn adaptive_wallets_cost_less_and_overspend_less_than_fixed_ones() {
    let fleet = |pacing, balance| Fleet {
        gateways: 16,
        wallets: 200,
        calls_per_second: 100,
        balance,
        span: Duration::from_secs(10),
        pacing,
    };
    let (fixed, adaptive) =
        (fleet(Pacing::Fixed, 10_000).run(), fleet(Pacing::Adaptive, 10_000).run());
    assert!(adaptive.rows * 2 < fixed.rows, "{adaptive:?} {fixed:?}");
    assert!(adaptive.snapshots * 2 < fixed.snapshots, "{adaptive:?} {fixed:?}");
    // Eight of them run dry in the span.
    let (fixed, adaptive) = (fleet(Pacing::Fixed, 8).run(), fleet(Pacing::Adaptive, 8).run());
    assert!(adaptive.overspent < fixed.overspent, "{adaptive:?} {fixed:?}");
}
