//! Refunds and disputes, to the cent.

use tollgate_billing::{Billing, stripe};
use tollgate_metering::Money;

use super::{bring_all, money, with_card};
use crate::harness::Site;

/// A credited top-up of 100 EUR: its PaymentIntent and charge.
async fn credited(site: &Site, billing: &Billing, card: &str) -> (String, String) {
    let ask = with_card(site, "100", "order-1", card);
    let top_up = billing.ask_top_up(&ask).await.unwrap().top_up;
    assert_eq!(top_up.credited, Some(money("100")), "{top_up:?}");
    let intent = top_up.payment_intent.unwrap();
    let charges = site.simulator.test().objects("charge");
    let charge = charges.iter().find(|charge| charge["payment_intent"] == *intent);
    let charge = charge.unwrap()["id"].as_str().unwrap().to_owned();
    (intent, charge)
}

async fn refund(site: &Site, billing: &Billing, intent: &str, minor: i64) {
    let client = billing.client_of(&site.integration).unwrap();
    let form = stripe::Form::new().with("payment_intent", intent).with("amount", minor);
    let key = uuid::Uuid::new_v4().to_string();
    client.post("/refunds", &form, &key).await.unwrap();
}

/// All events come, and the wallet holds what Stripe has.
async fn check(site: &Site, billing: &Billing, balance: &str) {
    bring_all(site, billing).await;
    bring_all(site, &site.billing()).await;
    assert_eq!(site.balance(billing, "EUR").await, money(balance));
    let taken = Money::from_nanos(i128::from(site.taken("eur")) * 10_000_000).unwrap();
    assert_eq!(taken, money(balance), "what Stripe has");
}

#[tokio::test]
async fn refunds_are_taken_each_once_and_below_zero() {
    let site = Site::start().await;
    let billing = site.billing();
    let (intent, _) = credited(&site, &billing, "pm_card_visa").await;
    refund(&site, &billing, &intent, 1_234).await;
    check(&site, &billing, "87.66").await;
    refund(&site, &billing, &intent, 1).await;
    refund(&site, &billing, &intent, 1).await;
    check(&site, &billing, "87.64").await;
    refund(&site, &billing, &intent, 8_764).await;
    check(&site, &billing, "0").await;
}

#[tokio::test]
async fn a_refund_that_fails_is_given_back() {
    let site = Site::start().await;
    let billing = site.billing();
    let (intent, _) = credited(&site, &billing, "pm_card_refundFail").await;
    refund(&site, &billing, &intent, 4_000).await;
    bring_all(&site, &billing).await;
    site.advance(std::time::Duration::from_secs(10 * 24 * 3_600));
    check(&site, &billing, "100").await;
    let refunds = site.simulator.test().objects("refund");
    assert_eq!(refunds[0]["status"], "failed");
}

#[tokio::test]
async fn a_dispute_takes_what_the_bank_took_and_gives_back_what_came_back() {
    for (disputed, won, after) in
        [(None, 0, "0"), (None, 10_000, "100"), (None, 3_333, "33.33"), (Some(2_500), 1, "75.01")]
    {
        let site = Site::start().await;
        let billing = site.billing();
        let (_, charge) = credited(&site, &billing, "pm_card_visa").await;
        let dispute = site.simulator.test().open_dispute(&charge, disputed).unwrap();
        let left = if disputed.is_some() { "75" } else { "0" };
        check(&site, &billing, left).await;
        let id = dispute["id"].as_str().unwrap();
        site.simulator.test().close_dispute(id, won).unwrap();
        check(&site, &billing, after).await;
    }
}

#[tokio::test]
async fn a_refund_heard_of_first_comes_after_its_credit() {
    let site = Site::start().await;
    let billing = site.billing();
    let seen = billing.ask_top_up(&site.ask("50", "EUR")).await.unwrap();
    let intent = seen.top_up.payment_intent.unwrap();
    super::pay(&site, &billing, &intent, "pm_card_visa").await;
    refund(&site, &billing, &intent, 2_000).await;
    // Newest first: nobody has heard of the payment yet.
    check(&site, &billing, "30").await;
    let stored = site.stored(&billing, seen.top_up.id).await;
    assert_eq!((stored.refunded, stored.disputed), (money("20"), Money::ZERO));
}
