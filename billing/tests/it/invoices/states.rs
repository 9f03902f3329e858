//! What becomes of an invoice at Stripe, and what a person may do about it.

use std::time::Duration;

use tollgate_billing::invoices::{ASKED_EVERY, InvoiceKey, State};
use tollgate_billing::{BillingError, stripe};
use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_stripe_simulator::{Fault, FaultKind};

use super::POSTPAID;
use super::world::World;

/// A developer with this card and an invoice of 12.50 EUR that was not begun.
async fn due(world: &World, name: &str, card: &str) -> (Developer, InvoiceKey) {
    let payer = world.payer(name, card).await;
    world.used(&payer, "EUR", (POSTPAID, world.november, 2), "50").await;
    world.end(world.november).await;
    world.site.billing().write_invoices("acme", &world.invoicing()).await.unwrap();
    let key = world.key(&payer, "EUR", 1);
    (payer, key)
}

async fn post(world: &World, path: &str, form: stripe::Form) {
    let client = world.site.billing().client_of(&world.site.integration).unwrap();
    client.post(path, &form, &uuid::Uuid::new_v4().to_string()).await.unwrap();
}

#[tokio::test]
async fn a_declined_invoice_stays_open_with_its_reason_until_it_is_paid() {
    let world = World::start().await;
    let (payer, key) = due(&world, "ada-l", "pm_card_chargeCustomerFail").await;
    world.work().await;
    let open = world.collection(&key).await;
    assert_eq!((open.state, open.is_handed_over), (State::Open, true));
    assert!(open.reason.contains("declined"), "{}", open.reason);
    world.save_card(&payer, "pm_card_visa").await;
    let path = format!("/invoices/{}/pay", open.stripe_id.unwrap());
    post(&world, &path, stripe::Form::new()).await;
    // Nobody told us: the worker asks by itself, but not all the time.
    world.work().await;
    assert_eq!(world.collection(&key).await.state, State::Open);
    world.site.advance(ASKED_EVERY);
    world.work().await;
    let paid = world.collection(&key).await;
    assert_eq!((paid.state, paid.paid_minor, &*paid.reason), (State::Paid, 1_250, ""));
}

#[tokio::test]
async fn what_arrives_late_takes_nothing_back() {
    let world = World::start().await;
    let (_, key) = due(&world, "ada-l", "pm_card_visa").await;
    let billing = world.site.billing();
    world.work().await;
    let [paid] = &world.at_stripe(&key)[..] else { panic!("one at Stripe") };
    let mut before = paid.clone();
    before["status"] = "open".into();
    before["amount_paid"] = 0.into();
    billing.note_invoice(&world.site.integration, &before).await.unwrap();
    assert_eq!(world.collection(&key).await.state, State::Paid);
    // Neither does an invoice that has the mark and is not the one.
    before["id"] = "in_other".into();
    before["status"] = "void".into();
    billing.note_invoice(&world.site.integration, &before).await.unwrap();
    assert_eq!(world.collection(&key).await.state, State::Paid);
}

#[tokio::test]
async fn a_void_invoice_is_issued_again_once() {
    let world = World::start().await;
    let (_, key) = due(&world, "ada-l", "pm_card_chargeCustomerFail").await;
    let (billing, integration) = (world.site.billing(), world.site.integration.clone());
    world.work().await;
    let refused = billing.reissue_invoice(&integration, &key).await;
    assert!(matches!(refused, Err(BillingError::Precondition(_))), "{refused:?}");
    let void = billing.void_invoice(&integration, &key).await.unwrap();
    assert_eq!(void.state, State::Void);
    world.work().await;
    let again = billing.reissue_invoice(&integration, &key).await.unwrap();
    assert_eq!((again.state, again.reissues), (State::Pending, 1));
    billing.reissue_invoice(&integration, &key).await.unwrap_err();
    world.work().await;
    let mut states: Vec<String> = world
        .at_stripe(&key)
        .iter()
        .map(|one| one["status"].as_str().unwrap().to_owned())
        .collect();
    states.sort();
    assert_eq!(states, ["open", "void"]);
    assert_eq!(world.collection(&key).await.state, State::Open);
}

#[tokio::test]
async fn a_draft_that_somebody_changed_is_never_finalized() {
    let world = World::start().await;
    let (_, key) = due(&world, "ada-l", "pm_card_visa").await;
    let simulator = &world.site.simulator;
    simulator.fault(Fault::once(FaultKind::RateLimited, "POST", "/v1/invoices/*/finalize"));
    simulator.fault(Fault::once(FaultKind::RateLimited, "POST", "/v1/invoices/*/finalize"));
    world.site.billing().work_invoices().await.unwrap_err();
    let [draft] = &world.at_stripe(&key)[..] else { panic!("one at Stripe") };
    let (id, customer) = (draft["id"].as_str().unwrap(), draft["customer"].as_str().unwrap());
    let form = stripe::Form::new()
        .with("customer", customer)
        .with("invoice", id)
        .with("currency", "eur")
        .with("amount", 100);
    post(&world, "/invoiceitems", form).await;
    world.work().await;
    let blocked = world.collection(&key).await;
    assert_eq!(blocked.state, State::Blocked);
    assert!(blocked.reason.contains("1350"), "{}", blocked.reason);
    assert_eq!(world.at_stripe(&key)[0]["status"], "draft");
    // Once it is removed, a person lets it go on.
    let item = world.site.simulator.test().objects("invoiceitem").into_iter();
    let item = item.filter(|one| one["amount"] == 100).map(|one| one["id"].clone()).next().unwrap();
    let client = world.site.billing().client_of(&world.site.integration).unwrap();
    client.delete(&format!("/invoiceitems/{}", item.as_str().unwrap())).await.unwrap();
    let billing = world.site.billing();
    billing.reissue_invoice(&world.site.integration, &key).await.unwrap();
    world.work().await;
    assert_eq!(world.collection(&key).await.state, State::Paid);
    assert_eq!(world.at_stripe(&key).len(), 1);
}

#[tokio::test]
async fn a_restored_ledger_finds_what_it_forgot() {
    let world = World::start().await;
    let (_, key) = due(&world, "ada-l", "pm_card_visa").await;
    let backup = tempfile::tempdir().unwrap();
    let backup = backup.path().join("backup.sqlite");
    world.site.sqlite.back_up(&backup).await.unwrap();
    world.work().await;
    let paid = world.collection(&key).await;
    let restored = world.restored(&backup);
    assert!(restored.collection(&key).await.unwrap().is_none());
    // Idempotency keys are forgotten by then.
    world.site.advance(Duration::from_secs(25 * 3_600));
    restored.clone().work_invoices().await.unwrap();
    let found = restored.collection(&key).await.unwrap().unwrap();
    assert_eq!((found.state, found.stripe_id), (State::Paid, paid.stripe_id));
    assert_eq!(world.at_stripe(&key).len(), 1);
}

#[tokio::test]
async fn two_nodes_at_once_make_one_invoice() {
    let world = World::start().await;
    let (_, key) = due(&world, "ada-l", "pm_card_visa").await;
    let (integration, invoicing) = (&world.site.integration, world.invoicing());
    let (one, two) = (world.site.billing(), world.site.billing());
    for _ in 0..3 {
        // Either may be refused by the other; what counts is what comes of it.
        let _ = tokio::join!(
            one.collect_invoice(integration, &invoicing, &key),
            two.collect_invoice(integration, &invoicing, &key),
        );
    }
    let [there] = &world.at_stripe(&key)[..] else { panic!("one at Stripe") };
    assert_eq!(there["status"], "paid");
    let taken = world.site.simulator.test().taken(there["customer"].as_str().unwrap(), "eur");
    assert_eq!(taken.received, 1_250);
    assert_eq!(world.collection(&key).await.state, State::Paid);
}
