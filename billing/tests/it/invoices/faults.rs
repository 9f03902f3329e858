//! The billing node dies, answers are lost, Stripe fails and is away: every month is invoiced once.

use std::time::Duration;

use tollgate_billing::invoices::State;
use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_metering::{BillingType, Money};
use tollgate_stripe_simulator::{Fault, FaultKind};

use super::POSTPAID;
use super::world::{World, sum};
use crate::fault::{Moment, Mortal};

/// Developers of the month.
const DEVELOPERS: usize = 200;
/// Passes that are enough, whatever is thrown in their way.
const PASSES_MAX: usize = 400;
/// Longer than a lease holds that a dead node left behind.
const LEASE_OVER: Duration = Duration::from_secs(31);

/// A developer with the currencies that are used.
struct Payer {
    developer: Developer,
    codes: Vec<&'static str>,
    has_card: bool,
}

/// What a month of many developers is made of: each has something of his own.
async fn populate(world: &World) -> Vec<Payer> {
    let (mut payers, november) = (Vec::new(), world.november);
    for index in 0..DEVELOPERS {
        let (name, has_card) = (format!("dev-{index}"), index % 2 == 0);
        let begins = if index % 11 == 0 { BillingType::Prepaid } else { POSTPAID };
        let developer = world.developer(&name, begins).await;
        if has_card {
            world.save_card(&developer, "pm_card_visa").await;
        }
        if begins == BillingType::Prepaid {
            world.credit(&developer, "EUR", "2.5").await;
            world.used(&developer, "EUR", (begins, november, 2), "3").await;
            world.switch(&developer, POSTPAID).await;
        }
        let units = format!("{}.{}", 7 + index * 3, index % 10);
        world.used(&developer, "EUR", (POSTPAID, november, 1), &units).await;
        let mut codes = vec!["EUR"];
        if index % 5 == 0 {
            world.used(&developer, "USD", (POSTPAID, november, 2), "17.3").await;
            codes.push("USD");
        }
        if index % 7 == 0 {
            world.used(&developer, "EUR", (POSTPAID, november, 2), "11").await;
        }
        if index % 13 == 0 {
            world.fee(&developer, "EUR", "9.995").await;
        }
        payers.push(Payer { developer, codes, has_card });
    }
    payers
}

fn disturb(world: &World) {
    let simulator = &world.site.simulator;
    for kind in [
        FaultKind::ErrorBefore,
        FaultKind::ErrorAfter,
        FaultKind::CutBefore,
        FaultKind::CutAfter,
        FaultKind::RateLimited,
        FaultKind::LockTimeout,
    ] {
        simulator.fault(Fault { kind, permille: 15, ..Fault::default() });
    }
}

/// Whether everything is as far as it gets without the developers.
async fn is_done(world: &World, payers: &[Payer]) -> bool {
    for payer in payers {
        for code in &payer.codes {
            let key = world.key(&payer.developer, code, 1);
            let found = world.site.billing().collection(&key).await.unwrap();
            let is_there = found.is_some_and(|found| match payer.has_card {
                true => found.state == State::Paid,
                false => found.state == State::Open && found.is_handed_over,
            });
            if !is_there {
                return false;
            }
        }
    }
    true
}

#[tokio::test]
async fn a_month_of_two_hundred_developers_is_invoiced_once_whatever_fails() {
    let world = World::start().await;
    let payers = populate(&world).await;
    world.end(world.november).await;
    disturb(&world);
    let mut random = fastrand::Rng::with_seed(6);
    let (mut deaths, mut pass) = (0, 0);
    while !is_done(&world, &payers).await {
        pass += 1;
        assert!(pass < PASSES_MAX, "not done after {pass} passes");
        if pass == 4 {
            // Stripe is away for longer than it keeps idempotency keys.
            let away = Fault { kind: FaultKind::CutBefore, ..Fault::default() };
            world.site.simulator.clear_faults();
            world.site.simulator.fault(away);
            world.site.billing().work_invoices().await.unwrap_err();
            world.site.advance(Duration::from_secs(25 * 3_600));
            world.site.billing().work_invoices().await.unwrap_err();
            world.site.simulator.clear_faults();
            disturb(&world);
        }
        let moment = [Moment::Before, Moment::After][random.usize(0..2)];
        let process = Mortal::new(Some((random.usize(0..400), moment)));
        let work = world.site.mortal(&process).work_invoices();
        // What fails is done by a later pass.
        deaths += usize::from(process.run(work).await.is_none());
        world.site.advance(LEASE_OVER);
    }
    world.site.simulator.clear_faults();
    assert!(deaths > 20, "{deaths} deaths in {pass} passes");
    for payer in &payers {
        check(&world, payer).await;
    }
}

/// One invoice, of what the statement says, there and here.
async fn check(world: &World, payer: &Payer) {
    for code in &payer.codes {
        let name = &payer.developer.email;
        let [invoice] = &world.chain(&payer.developer, code).await[..] else {
            panic!("{name} has one invoice in {code}")
        };
        let stated = world.stated(&payer.developer, code, world.november).await;
        assert_eq!(sum(invoice), stated, "{name} {code}");
        assert_eq!(stated, invoice.total.plus(invoice.carried).unwrap(), "{name} {code}");
        let half = Money::from_nanos(5_000_000).unwrap();
        assert!(invoice.carried <= half && invoice.carried >= half.negated(), "{name} {code}");
        let key = world.key(&payer.developer, code, 1);
        let there = world.at_stripe(&key);
        let finalized: Vec<_> = there.iter().filter(|one| one["status"] != "draft").collect();
        let [one] = finalized[..] else { panic!("{name} has one invoice in {code} at Stripe") };
        let cents = invoice.total.nanos() / 10_000_000;
        assert_eq!(one["total"].as_i64().map(i128::from), Some(cents), "{name} {code}");
        let collection = world.collection(&key).await;
        assert_eq!(one["id"].as_str(), collection.stripe_id.as_deref(), "{name} {code}");
        let customer = one["customer"].as_str().unwrap();
        let taken = world.site.simulator.test().taken(customer, &code.to_ascii_lowercase());
        let paid = if payer.has_card { cents } else { 0 };
        assert_eq!(i128::from(taken.received), paid, "{name} {code}");
        assert_eq!(there.len(), 1, "drafts that do not count are gone: {name} {code}");
    }
}

/// The node dies at each call of one collection, before it and after it.
#[tokio::test]
async fn a_node_may_die_at_each_step_of_a_collection() {
    let world = World::start().await;
    let (integration, invoicing) = (world.site.integration.clone(), world.invoicing());
    let mut payers = Vec::new();
    for index in 0..100 {
        let payer = world.payer(&format!("dev-{index}"), "pm_card_visa").await;
        world.used(&payer, "EUR", (POSTPAID, world.november, 1), "30.5").await;
        world.fee(&payer, "EUR", "3").await;
        payers.push(payer);
    }
    world.end(world.november).await;
    let billing = world.site.billing();
    assert!(billing.write_invoices("acme", &invoicing).await.unwrap());
    let mut payers = payers.into_iter();
    for moment in [Moment::Before, Moment::After] {
        let mut step = 0;
        loop {
            let payer = payers.next().expect("a developer for each step");
            let key = world.key(&payer, "EUR", 1);
            let process = Mortal::new(Some((step, moment)));
            let dying = world.site.mortal(&process);
            let work = dying.collect_invoice(&integration, &invoicing, &key);
            let has_lived = process.run(work).await.is_some();
            for _ in 0..2 {
                billing.collect_invoice(&integration, &invoicing, &key).await.unwrap();
            }
            let [one] = &world.at_stripe(&key)[..] else { panic!("{moment:?} {step}: not one") };
            assert_eq!((&one["status"], &one["total"]), (&"paid".into(), &1_317.into()));
            assert_eq!(world.collection(&key).await.state, State::Paid, "{moment:?} {step}");
            let customer = one["customer"].as_str().unwrap();
            let taken = world.site.simulator.test().taken(customer, "eur");
            assert_eq!(taken.received, 1_317, "{moment:?} {step}");
            if has_lived {
                assert!(step > 10, "it died at {step} steps");
                break;
            }
            step += 1;
        }
    }
}
