//! Top-ups: what Stripe took is what wallets were credited with.

mod crashes;
mod takebacks;

use std::time::Duration;

use tollgate_billing::topups::{Look, Origin, PATIENCE, State, TopUpAsk};
use tollgate_billing::{Billing, BillingError, stripe};
use tollgate_ledger_store::Clock as _;
use tollgate_metering::Money;
use tollgate_metering::booking::Booking;
use tollgate_stripe_simulator::sign;

use crate::harness::{ORGANIZATION, Site, WEBHOOK_SECRET};

pub(crate) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// Brings an event as Stripe's webhook does.
pub(crate) async fn bring(
    site: &Site,
    billing: &Billing,
    event: &serde_json::Value,
) -> Result<(), BillingError> {
    let body = serde_json::to_vec(event).unwrap();
    let at_s = site.clock.now().0 / 1_000;
    let signature = sign(&[WEBHOOK_SECRET.to_owned()], at_s, &body);
    billing.receive(ORGANIZATION, &site.integration.name, &signature, &body).await
}

/// Brings every event that there was, newest first and each of them twice.
async fn bring_all(site: &Site, billing: &Billing) {
    for event in site.simulator.test().objects("event") {
        bring(site, billing, &event).await.unwrap();
        bring(site, billing, &event).await.unwrap();
    }
}

fn with_card<'a>(site: &'a Site, amount: &str, id: &str, card: &str) -> TopUpAsk<'a> {
    TopUpAsk {
        transaction_id: Some(id.to_owned()),
        payment_method: Some(card.to_owned()),
        ..site.ask(amount, "EUR")
    }
}

#[tokio::test]
async fn a_saved_card_pays_once_whatever_is_repeated() {
    let site = Site::start().await;
    let billing = site.billing();
    let ask = with_card(&site, "25.50", "order-1", "pm_card_visa");
    let first = billing.ask_top_up(&ask).await.unwrap().top_up;
    assert_eq!((first.state, first.credited), (State::Credited, Some(money("25.50"))), "{first:?}");
    let second = billing.ask_top_up(&ask).await.unwrap().top_up;
    assert_eq!(second, first);
    bring_all(&site, &billing).await;
    billing.catch_up(&site.integration).await.unwrap();
    assert_eq!(site.balance(&billing, "EUR").await, money("25.50"));
    assert_eq!(site.taken("eur"), 2_550);
    assert_eq!(site.simulator.test().executed("POST", "/v1/payment_intents"), 1);
    assert_eq!(billing.open_top_ups().await.unwrap().count, 0);
    // Another amount under the same id is another payment, and is refused.
    let other = with_card(&site, "26", "order-1", "pm_card_visa");
    let refused = billing.ask_top_up(&other).await.unwrap_err();
    assert!(matches!(refused, BillingError::Exists { .. }), "{refused}");
}

#[tokio::test]
async fn what_stripe_cannot_express_is_refused_before_anything_happens() {
    let site = Site::start().await;
    let billing = site.billing();
    for (amount, currency) in
        [("0.005", "EUR"), ("1000.5", "JPY"), ("0.49", "USD"), ("1000000", "USD"), ("-5", "EUR")]
    {
        let refused = billing.ask_top_up(&site.ask(amount, currency)).await.unwrap_err();
        assert!(matches!(refused, BillingError::Amount(_)), "{amount} {currency}: {refused}");
    }
    let open = billing.top_ups(ORGANIZATION, site.developer.id, None, 10).await.unwrap();
    assert!(open.is_empty());
    assert_eq!(site.simulator.received("POST", "/v1/payment_intents"), 0);
}

#[tokio::test]
async fn a_declined_card_credits_nothing_and_the_form_can_pay_it_later() {
    let site = Site::start().await;
    let billing = site.billing();
    let ask = with_card(&site, "10", "order-1", "pm_card_chargeDeclined");
    let seen = billing.ask_top_up(&ask).await.unwrap();
    assert_eq!(seen.top_up.state, State::Declined);
    assert_eq!(seen.top_up.failure.unwrap().code, "generic_decline");
    bring_all(&site, &billing).await;
    assert_eq!(site.balance(&billing, "EUR").await, Money::ZERO);
    // Asking again does not try the card again.
    let again = billing.ask_top_up(&ask).await.unwrap();
    assert_eq!(again.top_up.state, State::Declined);
    assert!(again.client_secret.is_some());
    let intent = again.top_up.payment_intent.unwrap();
    assert_eq!(site.simulator.test().executed("POST", "/v1/payment_intents/{id}/confirm"), 1);
    // A browser does, with another.
    pay(&site, &billing, &intent, "pm_card_visa").await;
    bring_all(&site, &billing).await;
    assert_eq!(site.balance(&billing, "EUR").await, money("10"));
}

#[tokio::test]
async fn a_bank_that_asks_its_customer_is_waited_for() {
    let site = Site::start().await;
    let billing = site.billing();
    let ask = with_card(&site, "10", "order-1", "pm_card_authenticationRequired");
    let seen = billing.ask_top_up(&ask).await.unwrap();
    assert_eq!(seen.top_up.state, State::ActionRequired);
    assert!(seen.next_action.is_some() && seen.client_secret.is_some());
    let intent = seen.top_up.payment_intent.clone().unwrap();
    site.simulator.test().authenticate(&intent, true).unwrap();
    assert_eq!(site.balance(&billing, "EUR").await, Money::ZERO);
    let looked = billing.look_at_top_up(seen.top_up).await.unwrap();
    assert_eq!(looked.top_up.state, State::Credited);
    assert_eq!(site.balance(&billing, "EUR").await, money("10"));
}

#[tokio::test]
async fn a_portals_own_credit_and_ours_are_one() {
    let site = Site::start().await;
    let billing = site.billing();
    let ask = TopUpAsk { transaction_id: Some("order-1".to_owned()), ..site.ask("10", "EUR") };
    let seen = billing.ask_top_up(&ask).await.unwrap();
    assert_eq!(seen.top_up.state, State::Waiting);
    pay(&site, &billing, &seen.top_up.payment_intent.unwrap(), "pm_card_visa").await;
    credit(&site, &billing, "order-1", "10").await;
    bring_all(&site, &billing).await;
    assert_eq!(site.balance(&billing, "EUR").await, money("10"));
    // What a portal credited before is not paid for once more.
    credit(&site, &billing, "order-2", "5").await;
    let paid = with_card(&site, "5", "order-2", "pm_card_visa");
    assert!(matches!(billing.ask_top_up(&paid).await, Err(BillingError::Exists { .. })));
    assert_eq!(site.taken("eur"), 1_000);
}

#[tokio::test]
async fn a_credit_of_another_amount_under_the_id_is_for_a_person() {
    let site = Site::start().await;
    let billing = site.billing();
    let ask = TopUpAsk { transaction_id: Some("order-1".to_owned()), ..site.ask("10", "EUR") };
    let seen = billing.ask_top_up(&ask).await.unwrap();
    pay(&site, &billing, seen.top_up.payment_intent.as_ref().unwrap(), "pm_card_visa").await;
    credit(&site, &billing, "order-1", "9").await;
    bring_all(&site, &billing).await;
    let stored = site.stored(&billing, seen.top_up.id).await;
    assert_eq!(stored.state, State::Stranded);
    assert_eq!(stored.failure.unwrap().code, "transaction_used");
    assert_eq!(site.balance(&billing, "EUR").await, money("9"));
}

#[tokio::test]
async fn payments_that_a_portal_makes_itself_are_credited_each_once() {
    let site = Site::start().await;
    let billing = site.billing();
    // Two payments for one order: both were taken, so both are credited.
    for _ in 0..2 {
        let intent = portal_intent(&site, &billing, "tollgate_transaction_id", "order-1").await;
        pay(&site, &billing, &intent, "pm_card_visa").await;
    }
    // None of ours, and one of somebody who is not here.
    let foreign = portal_intent(&site, &billing, "tollgate_organization", "other").await;
    pay(&site, &billing, &foreign, "pm_card_visa").await;
    let nobody = portal_intent(&site, &billing, "tollgate_developer", "nobody@example.com").await;
    pay(&site, &billing, &nobody, "pm_card_visa").await;
    bring_all(&site, &billing).await;
    assert_eq!(site.balance(&billing, "EUR").await, money("14"));
    let found = billing.top_ups(ORGANIZATION, site.developer.id, None, 10).await.unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|one| one.origin == Origin::Found && one.state == State::Credited));
    // Metadata that is edited afterwards moves nothing.
    let client = billing.client_of(&site.integration).unwrap();
    let intent = found[0].payment_intent.clone().unwrap();
    let form = stripe::Form::new().with("metadata[tollgate_transaction_id]", "order-9");
    client.post(&format!("/payment_intents/{intent}"), &form, "edit").await.unwrap();
    let settled = billing.settle(&site.integration, &intent, Look::Takebacks).await.unwrap();
    assert_eq!(settled.unwrap().top_up.id, found[0].id);
    assert_eq!(site.balance(&billing, "EUR").await, money("14"));
}

#[tokio::test]
async fn what_no_webhook_brought_is_fetched_after_a_day() {
    let site = Site::start().await;
    let billing = site.billing();
    let mut intents = Vec::new();
    for order in ["order-1", "order-2"] {
        let ask = TopUpAsk { transaction_id: Some(order.to_owned()), ..site.ask("10", "EUR") };
        let seen = billing.ask_top_up(&ask).await.unwrap();
        intents.push(seen.top_up.payment_intent.unwrap());
    }
    let own = portal_intent(&site, &billing, "tollgate_transaction_id", "order-3").await;
    intents.push(own);
    for intent in &intents {
        pay(&site, &billing, intent, "pm_card_visa").await;
    }
    drop(billing);
    site.advance(Duration::from_secs(26 * 3_600));
    let billing = site.billing();
    billing.catch_up_events().await.unwrap();
    assert_eq!(site.balance(&billing, "EUR").await, money("27"));
    let requests = site.simulator.received("GET", "/v1/payment_intents*");
    billing.catch_up_events().await.unwrap();
    assert_eq!(site.simulator.received("GET", "/v1/payment_intents*"), requests, "all are known");
}

#[tokio::test]
async fn an_open_top_up_is_polled_and_given_up_for_good() {
    let site = Site::start().await;
    let billing = site.billing();
    let paid = billing.ask_top_up(&site.ask("10", "EUR")).await.unwrap().top_up;
    let unpaid = billing.ask_top_up(&site.ask("20", "EUR")).await.unwrap().top_up;
    pay(&site, &billing, paid.payment_intent.as_ref().unwrap(), "pm_card_visa").await;
    site.advance(Duration::from_secs(3));
    billing.poll_top_ups().await.unwrap();
    assert_eq!(site.balance(&billing, "EUR").await, money("10"));
    assert_eq!(billing.open_top_ups().await.unwrap().count, 1);
    site.advance(PATIENCE);
    billing.poll_top_ups().await.unwrap();
    assert_eq!(site.stored(&billing, unpaid.id).await.state, State::Canceled);
    let open = billing.open_top_ups().await.unwrap();
    assert_eq!(open.count, 0);
    let intent = unpaid.payment_intent.unwrap();
    assert_eq!(
        site.simulator.test().object("payment_intent", &intent).unwrap()["status"],
        "canceled"
    );
}

#[tokio::test]
async fn only_stripe_can_tell_of_a_payment() {
    let site = Site::start().await;
    let billing = site.billing();
    let event = serde_json::json!({
        "id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "livemode": false,
        "created": site.clock.now().0 / 1_000,
        "data": { "object": { "id": "pi_1", "object": "payment_intent", "status": "succeeded" } },
    });
    let body = serde_json::to_vec(&event).unwrap();
    let now_s = site.clock.now().0 / 1_000;
    let receive = async |secret: &str, at_s: i64, body: &[u8]| {
        let signature = sign(&[secret.to_owned()], at_s, body);
        billing.receive(ORGANIZATION, &site.integration.name, &signature, body).await
    };
    let refused = |result: Result<(), BillingError>| {
        assert!(matches!(result, Err(BillingError::Signature(_))), "{result:?}");
    };
    refused(receive("whsec_other", now_s, &body).await);
    refused(receive(WEBHOOK_SECRET, now_s - 400, &body).await);
    refused(receive(WEBHOOK_SECRET, now_s + 400, &body).await);
    let signature = sign(&[WEBHOOK_SECRET.to_owned()], now_s, &body);
    let mut changed = body.clone();
    changed.push(b' ');
    let name = &site.integration.name;
    refused(billing.receive(ORGANIZATION, name, &signature, &changed).await);
    // What is signed is believed, and then looked up: there is no such payment.
    receive(WEBHOOK_SECRET, now_s, &body).await.unwrap();
    assert_eq!(site.balance(&billing, "EUR").await, Money::ZERO);
}

/// Pays a PaymentIntent as a browser does.
pub(crate) async fn pay(site: &Site, billing: &Billing, intent: &str, card: &str) {
    let client = billing.client_of(&site.integration).unwrap();
    let form =
        stripe::Form::new().with("payment_method", card).with("return_url", "https://p.example");
    let key = format!("browser/{intent}/{card}");
    client.post(&format!("/payment_intents/{intent}/confirm"), &form, &key).await.unwrap();
}

/// A PaymentIntent of 7 EUR that a portal makes itself, with one more value of metadata.
async fn portal_intent(site: &Site, billing: &Billing, name: &str, value: &str) -> String {
    let client = billing.client_of(&site.integration).unwrap();
    let mut metadata = vec![
        ("tollgate_organization", ORGANIZATION),
        ("tollgate_developer", &site.developer.email),
    ];
    metadata.retain(|(other, _)| *other != name);
    metadata.push((name, value));
    let mut form = stripe::Form::new().with("amount", 700).with("currency", "eur");
    for (name, value) in metadata {
        form.push(format!("metadata[{name}]"), value);
    }
    let key = uuid::Uuid::new_v4().to_string();
    let made = client.post("/payment_intents", &form, &key).await.unwrap();
    made["id"].as_str().unwrap().to_owned()
}

/// A portal's own `balance:credit`.
async fn credit(site: &Site, billing: &Billing, id: &str, amount: &str) {
    let booking = Booking {
        id: id.to_owned(),
        at: site.clock.now(),
        by: "portal".to_owned(),
        reason: String::new(),
        is_forced: false,
    };
    let (book, eur) = (&billing.parts().book, "EUR".parse().unwrap());
    book.credit(ORGANIZATION, site.developer.id, eur, &booking, money(amount)).await.unwrap();
}
