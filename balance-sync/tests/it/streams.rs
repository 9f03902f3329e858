//! Reports, durability and snapshots over real streams.

use std::time::Duration;

use tollgate_metering::account::SuspenseReason;
use tollgate_metering::booking::{Booking, Resolution};
use tollgate_metering::{Incarnation, Meter, UnixMillis};
use tollgate_proto::v1;
use tollgate_proto::v1::gateway_message::Message as Inbound;
use tollgate_proto::v1::node_message::Message as Outbound;
use tonic::Code;
use uuid::Uuid;

use crate::gateway::{Gateway, client, others, register, register_of};
use crate::ground::{Ground, eventually, money, units};
use tollgate_ledger_store::{Clock, Ledger};

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_persisted_then_called_durable_on_its_stream() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut gateway = Gateway::connect(&node).await;
    let seq = gateway.report(vec![register_of(ground.meter(), "3")]).await;
    gateway.durable(seq).await;
    let register = ground.read().await.registers[&(ground.meter(), gateway.incarnation)];
    assert_eq!(register.live, units("3"));
    assert_eq!(ground.balance().await, money("9.97"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_sent_again_on_another_stream_is_durable_there_as_well() {
    let ground = Ground::with_ten().await;
    let (one, two) = (ground.node().await, ground.node().await);
    let mut gateway = Gateway::connect(&one).await;
    let seq = gateway.report(vec![register_of(ground.meter(), "3")]).await;
    gateway.durable(seq).await;
    let mut again = Gateway::reconnect(&two, gateway.incarnation, seq).await;
    let seq = again.report(vec![register_of(ground.meter(), "3")]).await;
    again.durable(seq).await;
    assert_eq!(ground.balance().await, money("9.97"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_leaves_out_the_gateways_own_units_and_tells_its_age() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let (mut one, mut two) = (Gateway::connect(&node).await, Gateway::connect(&node).await);
    one.report(vec![register_of(ground.meter(), "3")]).await;
    two.report(vec![register_of(ground.meter(), "5")]).await;
    one.subscribe(ground.wallet).await;
    let told = one.snapshot(|snapshot| others(snapshot, &ground) == units("5")).await;
    assert_eq!((told.base, told.floor, told.own_list), (money("10"), money("0"), 1));
    // Prices travel once a stream, with the first snapshot that needs them.
    let seq = one.report(Vec::new()).await;
    let answered = one
        .next_of(|message| match message {
            Outbound::Fresh(fresh) => (fresh.answered_seq >= seq).then_some(fresh.answered_seq),
            Outbound::Snapshot(snapshot) => {
                (snapshot.answered_seq >= seq).then_some(snapshot.answered_seq)
            }
            _ => None,
        })
        .await;
    assert_eq!(answered, seq);
    // What the other does is pushed.
    two.report(vec![register_of(ground.meter(), "6")]).await;
    one.snapshot(|snapshot| others(snapshot, &ground) == units("6")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_travel_once_with_the_first_snapshot_that_needs_them() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let (mut one, mut two) = (Gateway::connect(&node).await, Gateway::connect(&node).await);
    let plans = |message: &Outbound| match message {
        Outbound::Snapshot(snapshot) => {
            (!snapshot.meters.is_empty()).then_some(snapshot.plans.len())
        }
        _ => None,
    };
    two.report(vec![register_of(ground.meter(), "1")]).await;
    one.subscribe(ground.wallet).await;
    assert_eq!(one.next_of(plans).await, 1);
    two.report(vec![register_of(ground.meter(), "2")]).await;
    assert_eq!(one.next_of(plans).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_holds_are_told_to_the_others_until_the_incarnation_ends() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let (mut one, mut two) = (Gateway::connect(&node).await, Gateway::connect(&node).await);
    one.subscribe(ground.wallet).await;
    let held = vec![(ground.wallet, money("0.25"))];
    two.report_of(two.incarnation, Vec::new(), held, false).await;
    one.snapshot(|snapshot| snapshot.others_held == money("0.25")).await;
    eventually("the hold is in the ledger", || async {
        let holds = ground.read().await.holds;
        holds.get(&two.incarnation).is_some_and(|held| held.amount == money("0.25"))
    })
    .await;
    let seq = two.report_of(two.incarnation, Vec::new(), Vec::new(), true).await;
    two.durable(seq).await;
    one.snapshot(|snapshot| snapshot.others_held == money("0")).await;
    eventually("the end is in the registry", || async {
        let registrations = ground.ledger.registrations().await.unwrap();
        registrations
            .iter()
            .any(|each| each.incarnation == two.incarnation && each.ended_at.is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_on_one_ledger_tell_each_others_units_and_top_ups() {
    let ground = Ground::with_ten().await;
    let (node, other) = (ground.node().await, ground.again().node().await);
    let (mut one, mut two) = (Gateway::connect(&node).await, Gateway::connect(&other).await);
    one.subscribe(ground.wallet).await;
    two.report(vec![register_of(ground.meter(), "5")]).await;
    one.snapshot(|snapshot| others(snapshot, &ground) == units("5")).await;
    ground.credit("2.5").await;
    one.snapshot(|snapshot| snapshot.base == money("12.5")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_top_up_of_the_same_process_is_pushed_at_once() {
    let ground = Ground::with_ten().await;
    let settings = tollgate_balance_sync::Settings {
        read_interval: Duration::from_secs(600),
        idle_read_interval: Duration::from_secs(600),
        ..crate::ground::settings()
    };
    let node = ground.node_with(settings).await;
    let mut gateway = Gateway::connect(&node).await;
    gateway.subscribe(ground.wallet).await;
    gateway.snapshot(|snapshot| snapshot.base == money("10")).await;
    ground.credit("1").await;
    node.changes.changed(ground.wallet);
    gateway.snapshot(|snapshot| snapshot.base == money("11")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_is_not_there_is_said_to_be_none() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut gateway = Gateway::connect(&node).await;
    let usd = "USD".parse().unwrap();
    let wallet = tollgate_ledger_store::catalogue::wallet_id(ground.developer.id, usd);
    gateway.subscribe(wallet).await;
    let none = gateway
        .next_of(|message| match message {
            Outbound::NoWallet(none) => Some(none.wallet.clone()),
            _ => None,
        })
        .await;
    assert_eq!(none, wallet.0.as_bytes());
    // The node remembers that there was none; who asks again hears of now.
    ground.book.open_wallet(crate::ground::ACME, ground.developer.id, usd).await.unwrap();
    gateway.subscribe(wallet).await;
    assert_eq!(gateway.snapshot(|_| true).await.wallet, wallet);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_are_not_taken_are_refused_with_a_reason() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut gateway = Gateway::connect(&node).await;
    let unknown = Incarnation { born: ground.clock.now(), id: Uuid::new_v4() };
    gateway.report_of(unknown, vec![register_of(ground.meter(), "1")], Vec::new(), false).await;
    assert_eq!(gateway.refused().await, v1::RefusedReason::Unregistered);
    // A birth that the registry does not say is no better.
    let older = Incarnation { born: UnixMillis(gateway.incarnation.born.0 - 1), ..unknown };
    let older = Incarnation { id: gateway.incarnation.id, ..older };
    gateway.report_of(older, Vec::new(), Vec::new(), false).await;
    assert_eq!(gateway.refused().await, v1::RefusedReason::Unregistered);

    let ahead = (ground.clock.now().0 + 61_000) * 1000;
    let incarnation = gateway.incarnation;
    let mut gateway = Gateway::reconnect(&node, incarnation, ahead).await;
    gateway.report(vec![register_of(ground.meter(), "1")]).await;
    assert_eq!(gateway.refused().await, v1::RefusedReason::Ahead);
    assert_eq!(ground.balance().await, money("10"));
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_fence_units_wait_in_suspense() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut gateway = Gateway::connect(&node).await;
    let meter = ground.meter();
    let seq = gateway.report(vec![register_of(meter, "3")]).await;
    gateway.durable(seq).await;
    ground.clock.pass(Duration::from_secs(3 * 86_400 + 60));
    gateway.report(vec![register_of(meter, "5")]).await;
    assert_eq!(gateway.refused().await, v1::RefusedReason::Fenced);
    let suspense = ground.ledger.suspense(ground.wallet).await.unwrap();
    let [late] = suspense.as_slice() else { panic!("one register waits, not {suspense:?}") };
    assert_eq!(late.reason, SuspenseReason::Fence);
    assert_eq!((late.units, late.counted), (units("5"), units("3")));
    assert_eq!(ground.balance().await, money("9.97"));
}

/// A ledger was restored to a time before a price edit. The gateways' spend files had units under the newer revision, so each
/// report of theirs ended the stream, on every stream again: no gateway admitted a call on any wallet any more, and no unit of
/// theirs reached the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn units_under_a_revision_that_a_restore_lost_wait_in_suspense_and_stop_nothing() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut gateway = Gateway::connect(&node).await;
    let lost = Meter { revision: ground.plan.revision + 1, ..ground.meter() };
    let seq = gateway.report(vec![register_of(ground.meter(), "3"), register_of(lost, "7")]).await;
    gateway.durable(seq).await;
    assert_eq!(ground.balance().await, money("9.97"));
    let suspense = ground.book.suspense(ground.wallet).await.unwrap();
    let [waiting] = suspense.as_slice() else { panic!("one register waits, not {suspense:?}") };
    assert_eq!((waiting.suspense.meter, waiting.open), (lost, units("7")));

    // Without prices nobody can charge it, but a person can write it off.
    let (key, at) = (waiting.suspense.key(), ground.clock.now());
    let booking = |id: &str| {
        let (by, reason) = ("test".to_owned(), String::new());
        Booking { id: id.to_owned(), at, by, reason, is_forced: false }
    };
    let resolve = |id: &str, how| {
        let booking = booking(id);
        let book = &ground.book;
        async move { book.resolve_suspense(ground.wallet, &booking, key, None, how).await }
    };
    assert!(resolve("charge", Resolution::Charge).await.is_err());
    resolve("write-off", Resolution::WriteOff).await.unwrap();
    assert_eq!(ground.book.suspense(ground.wallet).await.unwrap()[0].open, units("0"));
    assert_eq!(ground.balance().await, money("9.97"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_beyond_the_greatest_multiplier_wait_in_suspense() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut gateway = Gateway::connect(&node).await;
    let mut register = register_of(ground.meter(), "10");
    register.excess = units("90");
    let seq = gateway.report(vec![register]).await;
    gateway.durable(seq).await;
    let suspense = ground.ledger.suspense(ground.wallet).await.unwrap();
    assert_eq!((suspense[0].reason, suspense[0].units), (SuspenseReason::Multiplier, units("90")));
    assert_eq!(ground.balance().await, money("9.9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_ends_the_stream_and_names_the_field() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let check = async |message: Inbound, want: &str| {
        let mut gateway = Gateway::connect(&node).await;
        gateway.send(message).await;
        let status = gateway.end().await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(want), "{status}");
    };
    check(Inbound::Report(v1::Report::default()), "report.incarnation").await;
    check(Inbound::Hello(v1::Hello::default()), "hello").await;
    let wallets = vec![vec![1, 2, 3]];
    check(Inbound::Subscribe(v1::Subscribe { wallets }), "subscribe.wallets[0]").await;
    assert!(ground.read().await.registers.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn registering_again_answers_the_first_birth() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let (mut client, id) = (client(&node).await, Uuid::new_v4());
    let first = register(&mut client, id).await;
    ground.clock.pass(Duration::from_secs(10));
    assert_eq!(register(&mut client, id).await, first);
    let long =
        v1::RegisterRequest { incarnation_id: id.as_bytes().to_vec(), gateway: "g".repeat(129) };
    let status = client.register(long).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("gateway"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_away_stops_durability_and_nothing_else() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let (mut one, mut two) = (Gateway::connect(&node).await, Gateway::connect(&node).await);
    one.subscribe(ground.wallet).await;
    one.snapshot(|snapshot| snapshot.base == money("10")).await;
    let seq = two.report(vec![register_of(ground.meter(), "1")]).await;
    two.durable(seq).await;
    ground.ledger.set_away(true);
    let seq = two.report(vec![register_of(ground.meter(), "4")]).await;
    // From memory, while nothing is durable.
    one.snapshot(|snapshot| others(snapshot, &ground) == units("4")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    ground.ledger.set_away(false);
    let before = two.passed.len();
    two.durable(seq).await;
    assert_eq!(ground.balance().await, money("9.96"));
    let early = two.passed[before..].iter().filter(|message| match message {
        Outbound::Durable(durable) => durable.seq >= seq,
        _ => false,
    });
    assert_eq!(early.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_persists_says_so_and_ends_the_streams() {
    let ground = Ground::with_ten().await;
    let settings = tollgate_balance_sync::Settings {
        persist_interval: Duration::from_secs(600),
        ..crate::ground::settings()
    };
    let node = ground.node_with(settings).await;
    let mut gateway = Gateway::connect(&node).await;
    let seq = gateway.report(vec![register_of(ground.meter(), "3")]).await;
    gateway.flushed(seq).await;
    // Nobody asks for this one: it is not due for minutes.
    let seq = gateway.report(vec![register_of(ground.meter(), "7")]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ground.balance().await, money("9.97"));
    node.begin_stop();
    gateway.durable(seq).await;
    assert_eq!(gateway.end().await.code(), Code::Unavailable);
    node.stop().await;
    assert_eq!(ground.balance().await, money("9.93"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_without_its_ledger_ends_in_time_and_claims_nothing() {
    let ground = Ground::with_ten().await;
    let settings = tollgate_balance_sync::Settings {
        drain_timeout: Duration::from_millis(300),
        ..crate::ground::settings()
    };
    let node = ground.node_with(settings).await;
    let mut gateway = Gateway::connect(&node).await;
    let seq = gateway.report(vec![register_of(ground.meter(), "3")]).await;
    gateway.durable(seq).await;
    ground.ledger.set_away(true);
    let seq = gateway.report(vec![register_of(ground.meter(), "7")]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    node.stop().await;
    assert_eq!(gateway.end().await.code(), Code::Unavailable);
    let is_claimed = gateway.passed.iter().any(|message| match message {
        Outbound::Durable(durable) => durable.seq >= seq,
        _ => false,
    });
    assert!(!is_claimed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_subscribes_to_so_many_wallets_and_no_more() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut gateway = Gateway::connect(&node).await;
    let count = tollgate_balance_sync::settings::SUBSCRIPTIONS_MAX + 1;
    let id = |number: usize| Uuid::from_u128(number as u128).as_bytes().to_vec();
    let wallets = (0..count).map(id).collect();
    gateway.send(Inbound::Subscribe(v1::Subscribe { wallets })).await;
    let status = gateway.end().await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_loses_nothing_that_it_called_durable() {
    let ground = Ground::with_ten().await;
    let (node, other) = (ground.node().await, ground.node().await);
    let mut gateway = Gateway::connect(&node).await;
    let mut durable = 0;
    for total in 1..=20 {
        let register = register_of(ground.meter(), &total.to_string());
        let seq = gateway.report(vec![register]).await;
        if total == 10 {
            gateway.durable(seq).await;
            durable = total;
        }
    }
    node.kill();
    let counted = ground.read().await.registers[&(ground.meter(), gateway.incarnation)].units();
    assert!(counted >= units(&durable.to_string()));
    let mut again = Gateway::reconnect(&other, gateway.incarnation, gateway.seq()).await;
    let seq = again.report(vec![register_of(ground.meter(), "20")]).await;
    again.durable(seq).await;
    assert_eq!(ground.balance().await, money("9.8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_one_row_a_minute_and_incarnation() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut gateway = Gateway::connect(&node).await;
    gateway.report(vec![register_of(ground.meter(), "3")]).await;
    let seq = gateway.report(vec![register_of(ground.meter(), "4")]).await;
    gateway.durable(seq).await;
    ground.clock.set_forward(Duration::from_secs(61));
    eventually("the usage is in the ledger", || async {
        let rows = ground.ledger.usage(ground.wallet, 0, i64::MAX).await.unwrap();
        rows.last().is_some_and(|row| row.units == units("4")) && rows.len() <= 2
    })
    .await;
}
