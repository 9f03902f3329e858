//! Folds, checkpoints, horizon and removal, as the clock is set forward.

use std::time::Duration;

use tollgate_ledger_store::book::PURGE_DELAY;
use tollgate_ledger_store::catalogue::Window;
use tollgate_ledger_store::catalogue::records::PlanTerms;
use tollgate_ledger_store::{Clock, Ledger};
use tollgate_metering::{BillingType, EntryKind, Period, Units};

use crate::gateway::{Gateway, register_of};
use crate::ground::{ACME, Ground, eventually, money, units};

const DAY: Duration = Duration::from_secs(86_400);

async fn spent_three(ground: &Ground) -> (crate::ground::TestNode, Gateway) {
    let node = ground.node().await;
    let mut gateway = Gateway::connect(&node).await;
    let seq = gateway.report(vec![register_of(ground.meter(), "3")]).await;
    gateway.durable(seq).await;
    (node, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_incarnation_is_folded_past_the_fence_and_counts_as_before() {
    let ground = Ground::with_ten().await;
    let meter = ground.meter();
    let (_node, gateway) = spent_three(&ground).await;
    let place = (meter, gateway.incarnation);
    let folded = async || {
        let account = ground.read().await.account;
        account.cells.get(&place).map_or(Units::ZERO, |cell| cell.folded)
    };
    ground.clock.pass(DAY * 3);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(folded().await, Units::ZERO);
    ground.clock.pass(Duration::from_secs(2 * 3_600));
    eventually("it is folded", || async { folded().await == units("3") }).await;
    assert_eq!(ground.read().await.account.meters[&meter].settled_units, units("3"));
    assert_eq!(ground.balance().await, money("9.97"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incarnation_that_ended_is_folded_at_once() {
    let ground = Ground::with_ten().await;
    let meter = ground.meter();
    let (_node, mut gateway) = spent_three(&ground).await;
    gateway.report_of(gateway.incarnation, Vec::new(), Vec::new(), true).await;
    eventually("it is folded", || async {
        let account = ground.read().await.account;
        account.meters.get(&meter).is_some_and(|totals| totals.settled_units == units("3"))
    })
    .await;
    assert_eq!(ground.balance().await, money("9.97"));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_end_a_month_is_closed_and_its_rows_are_gone_and_nothing_is_lost() {
    let ground = Ground::with_ten().await;
    let (node, gateway) = spent_three(&ground).await;
    // A second node does the same work at the same time.
    let _other = ground.node().await;
    ground.clock.pass(DAY * 45);
    eventually("the horizon has passed them", || async {
        ground.read().await.registers.is_empty()
    })
    .await;
    // Not at once: a read that met the account before the fold must find the rows.
    assert!(ground.read().await.account.has_rows_behind_horizon());
    ground.clock.pass(DAY * 45 + PURGE_DELAY);
    eventually("rows and cells are removed", || async {
        ground.read().await.account.cells.is_empty()
    })
    .await;
    let header = ground.read().await.account.header;
    assert!(header.horizon > gateway.incarnation.born);
    assert_eq!(header.settled, money("0.03"));
    assert_eq!(ground.balance().await, money("9.97"));
    let mut late = Gateway::connect(&node).await;
    late.subscribe(ground.wallet).await;
    let told = late.snapshot(|snapshot| snapshot.base == money("9.97")).await;
    assert_eq!(told.meters, []);
}

/// A node that was away at midnight charges the month when it is back; so does every other, once.
#[tokio::test(flavor = "multi_thread")]
async fn months_that_began_are_charged_once_by_all_nodes() {
    let ground = Ground::with_ten().await;
    let catalogue = &ground.catalogue;
    let product = catalogue.product(ACME, "weather").await.unwrap();
    let plan = product.plans.first().unwrap();
    let terms = PlanTerms { recurring_fee: Some(money("4")), ..plan.terms.clone() };
    let (id, now) = (plan.id.to_string(), ground.clock.now());
    let email = &ground.developer.email;
    let owner = catalogue.set_billing(ACME, email, BillingType::Prepaid, now).await.unwrap();
    let always = Window { start: now, end: None };
    catalogue.begin_subscription(ACME, &owner, "weather", always, now).await.unwrap();
    catalogue.update_plan(ACME, "weather", &id, &terms, now).await.unwrap();
    let node = ground.node().await;
    let _other = ground.node().await;
    ground.clock.set_forward(DAY * 70);
    let months = Period::of(ground.clock.now()).number() - Period::of(now).number();
    assert!(months >= 2, "70 days are two months at least");
    let left = money(&format!("{}", 10 - 4 * i64::from(months)));
    eventually("each is charged", || async { ground.balance().await == left }).await;
    let mut gateway = Gateway::connect(&node).await;
    gateway.subscribe(ground.wallet).await;
    gateway.snapshot(|snapshot| snapshot.base == left).await;
    let entries = ground.ledger.entries(ground.developer.id, None, 100).await.unwrap();
    let fees = entries.iter().filter(|entry| entry.kind == EntryKind::Fee).count();
    assert_eq!(fees, usize::try_from(months).unwrap());
}
