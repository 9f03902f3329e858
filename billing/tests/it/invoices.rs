//! Invoices of developers who pay later: each month once, equal to the statement, whatever fails.

mod faults;
mod states;
mod world;

use tollgate_billing::invoices::{LineKind, State};
use tollgate_metering::{BillingType, Money};

use self::world::{World, money, sum};

const POSTPAID: BillingType = BillingType::Postpaid;

#[tokio::test]
async fn a_month_is_paid_by_card_or_sent_in_each_currency() {
    let world = World::start().await;
    let november = world.november;
    let ada = world.payer("ada-l", "pm_card_visa").await;
    let bob = world.developer("bob", POSTPAID).await;
    for code in ["EUR", "USD"] {
        world.used(&ada, code, (POSTPAID, november, 1), "10").await;
        world.used(&ada, code, (POSTPAID, november, 2), "2.5").await;
    }
    world.fee(&bob, "EUR", "7").await;
    // A day has to pass after the month: until then more may become part of it.
    world.after(november, 23);
    world.close(november).await;
    world.work().await;
    assert!(world.chain(&ada, "EUR").await.is_empty());
    world.after(november, 25);
    world.work().await;
    for code in ["EUR", "USD"] {
        let key = world.key(&ada, code, 1);
        let [invoice] = &world.chain(&ada, code).await[..] else { panic!("one invoice") };
        // 10 at 0.333333333 and 2.5 at 0.25.
        assert_eq!((sum(invoice), invoice.total), (money("3.95833333"), money("3.96")));
        assert_eq!(sum(invoice), world.stated(&ada, code, november).await);
        let collection = world.collection(&key).await;
        assert_eq!((collection.state, collection.paid_minor), (State::Paid, 396));
        let [there] = &world.at_stripe(&key)[..] else { panic!("one at Stripe") };
        assert_eq!((&there["total"], &there["status"]), (&396.into(), &"paid".into()));
        assert_eq!(there["id"].as_str(), collection.stripe_id.as_deref());
    }
    let key = world.key(&bob, "EUR", 1);
    assert_eq!(world.collection(&key).await.state, State::Open);
    let [there] = &world.at_stripe(&key)[..] else { panic!("one at Stripe") };
    assert_eq!(there["collection_method"], "send_invoice");
    // A pass more changes nothing.
    world.work().await;
    assert_eq!(world.at_stripe(&key).len(), 1);
    assert_eq!(world.chain(&ada, "EUR").await.len(), 1);
}

#[tokio::test]
async fn switches_and_late_units_over_the_end_of_the_year_add_up() {
    let world = World::start().await;
    let (november, december) = (world.november, world.november.later(1));
    let january = december.later(1);
    let ada = world.developer("ada-l", BillingType::Prepaid).await;
    world.save_card(&ada, "pm_card_visa").await;
    world.credit(&ada, "EUR", "20").await;
    world.used(&ada, "EUR", (BillingType::Prepaid, november, 2), "40").await;
    world.switch(&ada, POSTPAID).await;
    world.used(&ada, "EUR", (POSTPAID, november, 2), "100").await;
    world.switch(&ada, BillingType::Prepaid).await;
    world.credit(&ada, "EUR", "5").await;
    world.end(november).await;
    world.work().await;
    // 25 for the units less what the first switch moved: 20 − 10.
    let chain = world.chain(&ada, "EUR").await;
    assert_eq!((chain.len(), chain[0].total), (1, money("15")));
    let kinds: Vec<_> = chain[0].lines.iter().map(|line| line.kind).collect();
    assert_eq!(kinds, [LineKind::Usage, LineKind::Transfer]);

    world.used(&ada, "EUR", (POSTPAID, november, 1), "3").await;
    world.used(&ada, "EUR", (POSTPAID, december, 2), "1").await;
    world.close(november).await;
    world.end(december).await;
    world.work().await;
    world.used(&ada, "EUR", (POSTPAID, december, 2), "4").await;
    world.switch(&ada, POSTPAID).await;
    world.close(december).await;
    world.end(january).await;
    world.work().await;
    let chain = world.chain(&ada, "EUR").await;
    let months: Vec<_> = chain.iter().map(|invoice| invoice.month).collect();
    assert_eq!(months, [november, december, january]);
    for invoice in &chain {
        let stated = world.stated(&ada, "EUR", invoice.month).await;
        assert_eq!(sum(invoice), stated, "{}", invoice.month);
    }
    assert_eq!(chain[1].lines[0].kind, LineKind::Late);
    // 5 were left at the second switch, 1 was used.
    assert_eq!((chain[2].total, chain[2].carried.is_negative()), (Money::ZERO, true));
    assert!(world.site.billing().collection(&world.key(&ada, "EUR", 3)).await.unwrap().is_none());
}
