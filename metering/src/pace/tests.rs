//! Plans follow need, and a fleet that keeps to them leaves little unreported.

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds =
    Bounds { fastest: Duration::from_millis(20), slowest: Duration::from_secs(2) };

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn with(available: Money) -> Standing {
    Standing { available, is_urgent: false }
}

/// A gateway that spent `own` and heard of `others` in the second since its first report.
fn pace(before: Money, own: i128, others: i128) -> (Pace, Money) {
    let mut pace = Pace::new(before, Duration::ZERO, BOUNDS);
    let mut available = before.nanos();
    for at in (100..=1_000).step_by(100) {
        let heard = saturated(available - others / 10);
        pace.heard(saturated(available), heard, ms(at));
        available = heard.nanos() - own / 10;
        pace.reported(with(saturated(available)), ms(at), BOUNDS);
    }
    (pace, saturated(available))
}

#[test]
fn a_rich_wallet_is_reported_seldom_and_a_poor_one_at_once() {
    let rate = money("1").nanos();
    let rows = [
        // available, own and others' burn in a second → interval, what may go unsaid
        ("100", rate, 0, 200, "12.5"),
        ("100", 0, 0, 200, "0.1953125"),
        ("8", rate, rate, 200, "0.5"),
        ("0.8", rate, 0, 100, "0.1"),
        ("0.8", rate, 4 * rate, 20, "0.02"),
        ("0.08", rate, 0, 20, "0.01"),
        ("0", rate, 0, 20, "0"),
        ("-3", rate, rate, 20, "0"),
    ];
    for (available, own, others, interval_ms, allowance) in rows {
        let before = saturated(money(available).nanos() + own + others);
        let (pace, left) = pace(before, own, others);
        assert_eq!(left, money(available));
        let plan = pace.plan(with(left), BOUNDS);
        let row = format!("{available} {own} {others}");
        assert_eq!(plan.interval, ms(interval_ms), "{row}");
        assert_eq!(plan.below, left.minus(money(allowance)).unwrap(), "{row}");
    }
}

#[test]
fn intervals_grow_to_the_slowest_by_doubling() {
    let (mut pace, available) = (Pace::new(money("1000"), Duration::ZERO, BOUNDS), money("999"));
    let mut now = ms(20);
    let mut intervals = Vec::new();
    for _ in 0..9 {
        pace.reported(with(available), now, BOUNDS);
        let interval = pace.plan(with(available), BOUNDS).interval;
        intervals.push(interval.as_millis());
        now += interval;
    }
    assert_eq!(intervals, [40, 80, 160, 320, 640, 1_280, 2_000, 2_000, 2_000]);
}

#[test]
fn a_wallet_that_others_empty_is_due_at_once_without_a_call_of_its_own() {
    let (mut pace, available) = pace(money("110"), money("5").nanos(), money("5").nanos());
    let plan = pace.plan(with(available), BOUNDS);
    assert!(plan.interval > ms(100) && plan.below < money("95"), "{plan:?}");
    // One cent is unsaid when a snapshot takes nearly everything away.
    let mine = available.minus(money("0.01")).unwrap();
    pace.heard(mine, money("0.5"), ms(1_100));
    let plan = pace.plan(with(money("0.5")), BOUNDS);
    assert_eq!(plan.interval, BOUNDS.fastest);
    assert!(plan.below > money("0.5"), "more than its share of what is left is unsaid: {plan:?}");
}

#[test]
fn a_credit_is_not_mistaken_for_leave_to_say_nothing() {
    let (mut pace, available) = pace(money("2"), money("1").nanos(), 0);
    assert_eq!(available, money("1"));
    pace.heard(available, money("1001"), ms(1_100));
    let plan = pace.plan(with(money("1001")), BOUNDS);
    assert_eq!(plan.below, money("1001").minus(money("125.125")).unwrap());
}

#[test]
fn what_is_urgent_is_due_whatever_is_left() {
    let (mut pace, available) = pace(money("1000"), 0, 0);
    let urgent = Standing { available, is_urgent: true };
    let plan = Plan { interval: BOUNDS.fastest, below: Money::MAX };
    assert_eq!(pace.plan(urgent, BOUNDS), plan);
    pace.reported(urgent, ms(1_100), BOUNDS);
    assert_eq!(pace.plan(with(available), BOUNDS).interval, BOUNDS.fastest);
}

#[test]
fn a_wallet_of_which_nothing_is_known_may_keep_one_call_in_five_hundred_to_itself() {
    for (available, below) in [("512", "511"), ("0", "0"), ("-7", "-7")] {
        assert_eq!(quiet_below(money(available)), money(below));
    }
}

#[test]
fn due_times_share_ticks_and_lie_within_the_interval() {
    let rows = [(20, 1_007, 1_020), (80, 1_007, 1_080), (400, 1_007, 1_400), (2_000, 1_007, 3_000)];
    for (interval, changed, want) in rows {
        let plan = Plan { interval: ms(interval), below: Money::ZERO };
        assert_eq!(plan.due(ms(changed), BOUNDS), ms(want), "{interval}");
    }
}

/// All gateways of a fleet go from quiet to full rate at one moment.
#[test]
fn a_sudden_start_of_a_hundred_gateways_leaves_less_than_half_unsaid() {
    let (gateways, available) = (100, money("1000"));
    let quiet = available.minus(quiet_below(available)).unwrap().nanos();
    let mut unsaid = gateways * quiet;
    assert!(unsaid * 2 < available.nanos(), "{unsaid}");
    // Once each has heard of the others, the shares are an eighth together.
    let (own, others) = (money("1").nanos(), money("99").nanos());
    let before = saturated(available.nanos() + own + others);
    let (pace, left) = pace(before, own, others);
    unsaid = gateways * (left.nanos() - pace.plan(with(left), BOUNDS).below.nanos());
    assert!(unsaid * 3 < left.nanos(), "{unsaid} of {left}");
}

proptest! {
    #[test]
    fn plans_follow_need(
        available in 0_i128..1_000_000_000_000,
        more in 0_i128..1_000_000_000_000,
        own in 0_i128..50_000_000_000,
        others in 0_i128..50_000_000_000,
        burn_more in 0_i128..50_000_000_000,
    ) {
        let at = |available: i128, own, others| {
            let (pace, left) = pace(saturated(available + (own / 10 + others / 10) * 10), own, others);
            (pace.plan(with(left), BOUNDS), left)
        };
        let (plan, left) = at(available, own, others);
        prop_assert!((BOUNDS.fastest..=BOUNDS.slowest).contains(&plan.interval));
        prop_assert!(plan.below <= left);
        let allowance = |(plan, left): (Plan, Money)| left.nanos() - plan.below.nanos();
        prop_assert!(allowance((plan, left)) <= left.nanos() / 8 + 1);
        let richer = at(available + more, own, others);
        prop_assert!(richer.0.interval >= plan.interval);
        prop_assert!(allowance(richer) >= allowance((plan, left)));
        prop_assert!(at(available, own + burn_more, others).0.interval <= plan.interval);
        prop_assert!(at(available, own, others + burn_more).0.interval <= plan.interval);
    }
}
