//! One rule a test.

use super::*;
use crate::AppId;
use crate::protocol::{APPS_MAX, ReportedApp};

const A: StreamId = StreamId(1);
const B: StreamId = StreamId(2);

fn mark(arrival: Arrival, seq: i64) -> StreamMark {
    StreamMark { arrival, seq }
}

#[test]
fn a_snapshot_leaves_out_what_its_gateway_counts_itself() {
    let (mut node, ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    let (one, two) = (incarnation(11), incarnation(12));
    node.subscribe(A, own(3, &[one]));
    node.subscribe(B, own(4, &[two]));
    reread(&mut node, &ledger, mark(0, 0));
    node.report(A, 1, &part(one, 10, vec![register(meter(1), 7)]), NOW);
    node.report(B, 1, &part(two, 10, vec![register(meter(1), 5)]), NOW);
    let told = snapshot(&mut node, A).unwrap();
    assert_eq!((told.own_list, told.meters[0].others), (3, units(5)));
    let told = snapshot(&mut node, B).unwrap();
    assert_eq!((told.own_list, told.meters[0].others), (4, units(7)));

    node.set_own(A, &own(5, &[]));
    let told = snapshot(&mut node, A).unwrap();
    assert_eq!((told.own_list, told.meters[0].others), (5, units(12)));
}

#[test]
fn nothing_is_told_twice_but_its_age() {
    let (mut node, mut ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    let one = incarnation(11);
    node.subscribe(A, own(1, &[one]));
    reread(&mut node, &ledger, mark(0, 0));
    assert_eq!(snapshot(&mut node, A).unwrap().answered_seq, 0);
    assert_eq!(node.news(A, NOW, HOLD_LIFE), Ok(None));

    // The gateway's own units change nothing for it; their being persisted gives the age.
    node.report(A, 1, &part(one, 10, vec![register(meter(1), 7)]), NOW);
    reread(&mut node, &ledger, mark(1, 10));
    assert_eq!(node.news(A, NOW, HOLD_LIFE), Ok(None));
    persist(&mut node, &mut ledger, mark(1, 10));
    assert_eq!(node.news(A, NOW, HOLD_LIFE), Ok(None));
    reread(&mut node, &ledger, mark(2, 20));
    assert_eq!(node.news(A, NOW, HOLD_LIFE), Ok(Some(News::Fresh { answered_seq: 20 })));
    assert_eq!(node.news(A, NOW, HOLD_LIFE), Ok(None));
}

#[test]
fn a_read_that_began_before_the_write_ended_answers_nothing_of_it() {
    let (mut node, mut ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    node.subscribe(A, own(1, &[incarnation(11)]));
    reread(&mut node, &ledger, mark(0, 0));
    snapshot(&mut node, A);
    node.report(A, 1, &part(incarnation(11), 10, vec![register(meter(1), 7)]), NOW);
    let writes = node.begin_write(|_| mark(1, 10), NOW);
    let read = node.begin_read(|_| mark(2, 20), Duration::ZERO);
    ledger.write(&writes);
    node.end_write(&writes, true);
    node.reread(&read, ledger.read(), Duration::ZERO, NOW).unwrap();
    assert_eq!(node.news(A, NOW, HOLD_LIFE), Ok(None));
}

#[test]
fn durable_is_a_word_about_one_register_on_one_stream() {
    let (mut node, mut ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    let one = incarnation(11);
    reread(&mut node, &ledger, mark(0, 0));
    node.report(A, 4, &part(one, 10, vec![register(meter(1), 7)]), NOW);
    node.report(A, 5, &part(one, 11, vec![register(meter(1), 8)]), NOW);
    assert_eq!((node.unsettled(A), node.unsettled(B)), (Some(4), None));
    let writes = node.begin_write(|_| mark(5, 11), NOW);
    node.report(A, 6, &part(one, 12, vec![register(meter(1), 9)]), NOW);
    node.report(B, 1, &part(one, 13, vec![register(meter(1), 8)]), NOW);
    assert_eq!((node.unsettled(A), node.unsettled(B)), (Some(4), Some(1)));
    ledger.write(&writes);
    node.end_write(&writes, true);
    assert_eq!(node.unsettled(A), Some(6));
    // The write that was acknowledged carried what B sent, but this was not known when B sent it.
    persist(&mut node, &mut ledger, mark(6, 12));
    assert_eq!((node.unsettled(A), node.unsettled(B)), (None, None));
    // What the ledger holds already is durable at once.
    node.report(B, 2, &part(one, 14, vec![register(meter(1), 9)]), NOW);
    assert_eq!(node.unsettled(B), None);
}

#[test]
fn a_write_that_failed_is_written_again_and_settles_nothing() {
    let mut node = NodeWallet::new(wallet());
    let mut ledger = FakeLedger::new();
    reread(&mut node, &ledger, mark(0, 0));
    node.report(A, 1, &part(incarnation(11), 10, vec![register(meter(1), 7)]), NOW);
    let writes = node.begin_write(|_| mark(1, 10), NOW);
    assert!(node.begin_write(|_| mark(1, 10), NOW).is_empty());
    node.end_write(&writes.clone().acknowledged(&[false], false, false), false);
    assert_eq!(node.unsettled(A), Some(1));
    assert_eq!(persist(&mut node, &mut ledger, mark(1, 10)), writes);
    assert_eq!(node.unsettled(A), None);
}

#[test]
fn a_recovered_total_goes_to_its_own_cell_with_its_own_seq() {
    let mut node = NodeWallet::new(wallet());
    let mut ledger = FakeLedger::new();
    reread(&mut node, &ledger, mark(0, 0));
    node.report(A, 1, &part(incarnation(11), 10, vec![register(meter(1), 7)]), NOW);
    let recovered = ReportedRegister { is_recovered: true, ..register(meter(1), 5) };
    node.report(A, 2, &part(incarnation(11), 20, vec![recovered]), NOW);
    let writes = persist(&mut node, &mut ledger, mark(2, 20)).registers;
    let rows: Vec<_> = writes.iter().map(|row| (row.is_recovered, row.units, row.seq)).collect();
    assert_eq!(rows, [(false, units(7), 10), (true, units(5), 20)]);
    // A smaller live total with a later seq raises neither.
    node.report(A, 3, &part(incarnation(11), 30, vec![register(meter(1), 6)]), NOW);
    assert!(persist(&mut node, &mut ledger, mark(3, 30)).is_empty());
}

#[test]
fn an_older_read_that_ends_later_does_not_bring_the_older_account_back() {
    let (mut node, mut ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    let old = (node.begin_read(|_| mark(0, 0), Duration::ZERO), ledger.read());
    ledger.account.header.version = 2;
    reread(&mut node, &ledger, mark(0, 0));
    node.reread(&old.0, old.1.clone(), Duration::from_secs(1), NOW).unwrap();
    assert_eq!(node.account().unwrap().header.version, 2);
    let late = node.reread(&old.0, old.1, Duration::from_secs(31), NOW);
    assert_eq!(late, Err(ReadError::Old { took: Duration::from_secs(31) }));
}

#[test]
fn a_restored_ledger_is_met_by_forgetting() {
    let (mut node, mut ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    reread(&mut node, &ledger, mark(0, 0));
    ledger.account.header.generation = 2;
    let read = node.begin_read(|_| mark(0, 0), Duration::ZERO);
    let refused = node.reread(&read, ledger.read(), Duration::ZERO, NOW);
    assert_eq!(refused, Err(ReadError::Generation { known: 1, found: 2 }));
}

#[test]
fn what_lies_before_the_horizon_no_longer_counts_and_what_the_ledger_lacks_waits() {
    let (mut node, mut ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    node.subscribe(A, own(1, &[]));
    reread(&mut node, &ledger, mark(0, 0));
    node.report(B, 1, &part(incarnation(11), 10, vec![register(meter(1), 7)]), NOW);
    persist(&mut node, &mut ledger, mark(1, 10));
    node.report(B, 2, &part(incarnation(11), 11, vec![register(meter(1), 9)]), NOW);
    ledger.fold((meter(1), incarnation(11)));
    ledger.account.header.horizon = UnixMillis(NOW.0 + 1);
    ledger.account.header.version += 1;
    reread(&mut node, &ledger, mark(2, 11));
    assert!(node.registers().is_empty());
    assert_eq!(snapshot(&mut node, A).unwrap().meters[0].others, units(7));
    let writes = persist(&mut node, &mut ledger, mark(2, 11));
    assert!(writes.registers.is_empty());
    let late = writes.suspense[0];
    assert_eq!(
        (late.key.reason, late.units, late.counted),
        (SuspenseReason::Fence, units(9), units(7))
    );
    assert_eq!(node.unsettled(B), None);
}

#[test]
fn a_register_that_grew_too_old_to_be_written_waits_for_a_person() {
    let (mut node, mut ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    reread(&mut node, &ledger, mark(0, 0));
    node.report(A, 1, &part(incarnation(11), 10, vec![register(meter(1), 5)]), NOW);
    persist(&mut node, &mut ledger, mark(1, 10));
    node.report(A, 2, &part(incarnation(11), 11, vec![register(meter(1), 7)]), NOW);
    let later = NOW.plus(WRITE_AGE_MAX).plus(Duration::from_millis(1));
    let writes = node.begin_write(|_| mark(2, 11), later);
    assert!(writes.registers.is_empty());
    assert_eq!((writes.suspense[0].units, writes.suspense[0].counted), (units(7), units(5)));
}

#[test]
fn past_the_fence_units_go_to_suspense_beside_what_was_counted() {
    let (mut node, mut ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    let late = |seq, whole| Part {
        is_fenced: true,
        ..part(incarnation(11), seq, vec![register(meter(1), whole)])
    };
    ledger
        .registers
        .insert((meter(1), incarnation(11)), Register { live: units(5), recovered: units(0) });
    node.report(A, 1, &late(10, 5), NOW);
    assert_eq!(node.unsettled(A), Some(1));
    assert!(node.begin_write(|_| mark(1, 10), NOW).is_empty());
    reread(&mut node, &ledger, mark(1, 10));
    // All of it was counted before: there is nothing to wait for.
    assert_eq!(node.unsettled(A), None);
    node.report(A, 2, &late(11, 8), NOW);
    assert_eq!(node.unsettled(A), Some(2));
    let writes = persist(&mut node, &mut ledger, mark(2, 11));
    assert_eq!((writes.suspense[0].units, writes.suspense[0].counted), (units(8), units(5)));
    assert_eq!(node.unsettled(A), None);
    assert_eq!(ledger.registers[&(meter(1), incarnation(11))].units(), units(5));
}

/// A ledger was restored from a backup older than an incarnation, which was then registered with a
/// later birth: units on a month that the horizon had passed were written where nothing counts.
#[test]
fn units_on_a_meter_behind_the_horizon_go_to_suspense_whoever_reports_them() {
    let (mut node, mut ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    let again = Incarnation { born: meter(1).period.end().plus(FENCE * 10), ..incarnation(11) };
    ledger.account.header.horizon = again.born;
    ledger.registers.insert((meter(1), again), Register { live: units(2), recovered: units(0) });
    node.report(A, 1, &part(again, 10, vec![register(meter(1), 5)]), NOW);
    reread(&mut node, &ledger, mark(1, 10));
    let writes = persist(&mut node, &mut ledger, mark(1, 10));
    assert!(writes.registers.is_empty());
    assert_eq!((writes.suspense[0].units, writes.suspense[0].counted), (units(5), units(2)));
    node.report(A, 2, &part(again, 11, vec![register(meter(1), 7)]), NOW);
    assert_eq!(node.unsettled(A), Some(2));
    let writes = persist(&mut node, &mut ledger, mark(2, 11));
    assert!(writes.registers.is_empty());
    assert_eq!((writes.suspense[0].units, writes.suspense[0].counted), (units(7), units(2)));
    assert_eq!(node.unsettled(A), None);
}

#[test]
fn excess_of_a_multiplier_goes_to_suspense_and_is_not_counted() {
    let (mut node, mut ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    node.subscribe(B, own(1, &[]));
    reread(&mut node, &ledger, mark(0, 0));
    let reported = ReportedRegister { excess: units(90), ..register(meter(1), 10) };
    node.report(A, 1, &part(incarnation(11), 10, vec![reported]), NOW);
    let writes = persist(&mut node, &mut ledger, mark(1, 10));
    assert_eq!(writes.registers[0].units, units(10));
    assert_eq!(writes.suspense[0].key.reason, SuspenseReason::Multiplier);
    assert_eq!((writes.suspense[0].units, writes.suspense[0].counted), (units(90), units(0)));
    assert_eq!(snapshot(&mut node, B).unwrap().meters[0].others, units(10));
}

#[test]
fn units_on_a_wallet_that_is_not_there_wait_for_a_person() {
    let mut node = NodeWallet::new(wallet());
    node.report(A, 1, &part(incarnation(11), 10, vec![register(meter(1), 7)]), NOW);
    let read = node.begin_read(|_| mark(1, 10), Duration::ZERO);
    node.reread(&read, None, Duration::ZERO, NOW).unwrap();
    assert!(node.is_missing());
    let writes = node.begin_write(|_| mark(1, 10), NOW);
    assert!(writes.registers.is_empty());
    assert_eq!(writes.suspense[0].units, units(7));
    node.end_write(&writes, true);
    assert_eq!(node.unsettled(A), None);
}

#[test]
fn a_dead_gateways_holds_expire_and_a_living_ones_do_not() {
    let (mut node, ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    let one = incarnation(11);
    node.subscribe(A, own(1, &[one]));
    node.subscribe(B, own(1, &[]));
    reread(&mut node, &ledger, mark(0, 0));
    let held = Part { held: Some("0.5".parse().unwrap()), ..part(one, 10, Vec::new()) };
    node.report(A, 1, &held, NOW);
    let money = |text: &str| text.parse::<Money>().unwrap();
    let others = |node: &mut NodeWallet, now| {
        node.untell(B);
        match node.news(B, now, HOLD_LIFE).unwrap().unwrap() {
            News::Snapshot(snapshot) => snapshot.others_held,
            News::Fresh { .. } => unreachable!("nothing was told"),
        }
    };
    let hour = NOW.plus(Duration::from_secs(3600));
    assert_eq!(others(&mut node, NOW), money("0.5"));
    assert_eq!(others(&mut node, hour), money("0.5"));
    assert_eq!(node.held(hour, HOLD_LIFE), Ok(money("0.5")));
    node.end_stream(A, hour);
    assert_eq!(others(&mut node, hour), money("0.5"));
    assert_eq!(others(&mut node, hour.plus(HOLD_LIFE).plus(Duration::from_millis(1))), money("0"));
}

/// A gateway that came back said that its dead predecessor holds nothing, before the node had read
/// that it did: no hold and no news of one looked alike, and the hold stayed for its whole life.
#[test]
fn a_hold_that_was_given_back_before_it_was_read_is_written() {
    let (mut node, mut ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    let dead = incarnation(11);
    ledger.holds.insert(dead, ReadHold { amount: "0.5".parse().unwrap(), seq: 5 });
    let given_back = Part { held: Some(Money::ZERO), ..part(dead, 10, Vec::new()) };
    node.report(A, 1, &given_back, NOW);
    reread(&mut node, &ledger, mark(1, 1));
    persist(&mut node, &mut ledger, mark(1, 1));
    assert_eq!(ledger.holds[&dead], ReadHold { amount: Money::ZERO, seq: 10 });
}

/// A slow write of a hold was acknowledged, or a slow read showed it, after the ledger had been seen
/// with a later one: the node took the older for what the ledger holds, and wrote the later again
/// and again, or not at all.
#[test]
fn what_the_ledger_holds_of_a_hold_does_not_go_back() {
    let (mut node, mut ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    let one = incarnation(11);
    let held =
        |text: &str, seq| Part { held: Some(text.parse().unwrap()), ..part(one, seq, Vec::new()) };
    reread(&mut node, &ledger, mark(0, 0));
    let begun = node.begin_read(|_| mark(0, 0), Duration::ZERO);
    node.report(A, 1, &held("0.5", 10), NOW);
    let slow = node.begin_write(|_| mark(1, 10), NOW);
    ledger.write(&slow);
    let early = ledger.read();
    // Another node hears that the call has ended, and writes it first.
    node.report(A, 2, &held("0", 20), NOW);
    ledger.holds.insert(one, ReadHold { amount: Money::ZERO, seq: 20 });
    reread(&mut node, &ledger, mark(2, 20));
    assert!(!node.is_dirty());
    node.end_write(&slow, true);
    assert!(!node.is_dirty(), "the acknowledged hold is older than what was read");
    node.reread(&begun, early, Duration::ZERO, NOW).unwrap();
    assert!(!node.is_dirty(), "the hold of the early read is older than what was read later");
}

/// A hold's write had no known outcome, or was to be repeated, when the call ended: nothing held and
/// nothing known to be held looked alike, nothing was written, and once the node had forgotten the
/// wallet it read the hold back and believed it as long as the gateway was connected.
#[test]
fn a_hold_that_may_have_been_written_is_given_back_in_the_ledger() {
    let one = incarnation(11);
    let held =
        |text: &str, seq| Part { held: Some(text.parse().unwrap()), ..part(one, seq, Vec::new()) };
    let minute = NOW.plus(Duration::from_secs(60));
    for is_refreshed in [false, true] {
        let (mut node, mut ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
        node.subscribe(A, own(1, &[one]));
        reread(&mut node, &ledger, mark(0, 0));
        node.report(A, 1, &held("0.5", 10), NOW);
        if is_refreshed {
            persist(&mut node, &mut ledger, mark(1, 10));
            assert!(!node.is_dirty());
            node.refresh_holds(minute, HOLD_LIFE);
            assert!(node.is_dirty(), "other nodes must hear that its gateway lives");
        }
        // The ledger takes it, and the node does not hear so.
        let unknown = node.begin_write(|_| mark(1, 10), NOW);
        ledger.write(&unknown);
        node.report(A, 2, &held("0", 20), NOW);
        node.end_write(&unknown.acknowledged(&[], false, false), false);
        assert!(!node.is_idle());
        persist(&mut node, &mut ledger, mark(2, 20));
        assert_eq!(ledger.holds[&one], ReadHold { amount: Money::ZERO, seq: 20 });
        assert!(!node.is_dirty());
    }
}

#[test]
fn a_minute_of_usage_is_a_row_once_it_is_over() {
    let (mut node, ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    reread(&mut node, &ledger, mark(0, 0));
    for (seq, whole) in [(1, 3), (2, 5), (60_000_001, 9)] {
        node.report(A, 1, &part(incarnation(11), seq, vec![register(meter(1), whole)]), NOW);
    }
    let (open, over) = (UnixMillis(119_999), UnixMillis(120_000));
    assert_eq!(node.take_usage(UnixMillis(59_999)), []);
    let first = node.take_usage(open);
    assert_eq!(first.iter().map(|row| row.minute).collect::<Vec<_>>(), [0]);
    node.return_usage(&first);
    let rows = node.take_usage(over);
    let seen: Vec<_> = rows.iter().map(|row| (row.minute, row.units, row.seq)).collect();
    assert_eq!(seen, [(0, units(5), 2), (1, units(9), 60_000_001)]);
    assert!(node.take_usage(over).is_empty());
    node.report(A, 1, &part(incarnation(11), 60_000_002, vec![register(meter(1), 10)]), NOW);
    node.return_usage(&rows);
    assert_eq!(node.take_usage(over)[1].units, units(10));
}

/// Apps are rows beside their register; a report that goes to suspense counts for nobody.
#[test]
fn usage_of_apps_stands_beside_that_of_registers() {
    let (mut node, ledger) = (NodeWallet::new(wallet()), FakeLedger::new());
    reread(&mut node, &ledger, mark(0, 0));
    let app = |number| AppId(uuid::Uuid::from_u128(number));
    let used =
        |number, whole| ReportedApp { meter: meter(1), app: app(number), units: units(whole) };
    let report = |seq, whole, apps| Part {
        apps,
        ..part(incarnation(11), seq, vec![register(meter(1), whole)])
    };
    node.report(A, 1, &report(1, 5, vec![used(1, 3), used(2, 2)]), NOW);
    node.report(A, 2, &report(2, 6, vec![used(1, 4)]), NOW);
    let fenced = Part { is_fenced: true, ..report(3, 9, vec![used(1, 7)]) };
    node.report(A, 3, &fenced, NOW);
    let rows = node.take_usage(UnixMillis(60_000));
    let seen: Vec<_> = rows.iter().map(|row| (row.app, row.units)).collect();
    assert_eq!(seen, [(None, units(6)), (Some(app(1)), units(4)), (Some(app(2)), units(2))]);
    node.return_usage(&rows);
    assert_eq!(node.take_usage(UnixMillis(60_000)), rows);

    let many = (0..2 * APPS_MAX as u128).map(|number| used(number, 1)).collect();
    node.report(A, 4, &report(4, 7, many), NOW);
    assert_eq!(node.take_usage(UnixMillis(60_000)).len(), 1 + APPS_MAX);
}

#[test]
fn reports_on_a_stream_rise() {
    let mut log = StreamLog::default();
    let (one, two) = (incarnation(11), incarnation(12));
    assert_eq!(log.take(one, 10, false, false), Ok(mark(1, 10)));
    assert_eq!(log.take(two, 9, false, false), Ok(mark(2, 9)));
    assert_eq!(log.take(one, 11, false, false), Ok(mark(3, 11)));
    assert!(log.take(one, 11, false, false).is_err());
    let settled: Vec<_> =
        log.settle(2).into_iter().map(|taken| (taken.incarnation, taken.seq)).collect();
    assert_eq!(settled, [(one, 10), (two, 9)]);
    assert_eq!(log.settle(2), []);
    assert_eq!(log.settle(3)[0].seq, 11);
}

#[test]
fn a_long_queue_of_reports_is_called_durable_late_but_never_early() {
    let mut log = StreamLog::default();
    let total = 3 * super::super::stream::REPORTS_MAX as i64;
    for seq in 1..=total {
        log.take(incarnation(11), seq, false, false).unwrap();
    }
    for through in 1..=log.newest() {
        for taken in log.settle(through) {
            assert!(taken.seq <= i64::try_from(through).unwrap());
        }
    }
    assert_eq!(log.settle(log.newest()), []);
}

/// An empty report that followed a final one on the same stream took its place when both became
/// durable: the end was never noted, and a change of the policy waited for that incarnation for ever.
#[test]
fn a_final_report_is_settled_as_final_whatever_follows_it() {
    let mut log = StreamLog::default();
    let (one, other) = (incarnation(1), incarnation(2));
    log.take(one, 1, false, true).unwrap();
    log.take(other, 2, false, false).unwrap();
    log.take(one, 3, false, false).unwrap();
    let settled = log.settle(3);
    let found: Vec<_> =
        settled.iter().map(|each| (each.incarnation, each.seq, each.is_final)).collect();
    assert_eq!(found, [(other, 2, false), (one, 3, true)]);
}
