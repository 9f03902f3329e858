//! Subscriptions: months, arrears, changes and ends.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_stripe_simulator::{AfterFailures, Settings, Simulator};

use super::client::Client;
use super::invoices::customer;
use super::{START_S, started};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap()
}

async fn price(client: &Client, amount: i64) -> String {
    let form = format!(
        "currency=usd&unit_amount={amount}&recurring[interval]=month&product_data[name]=Gold"
    );
    id(&client.post("/v1/prices", &form).await.ok()).to_owned()
}

async fn subscribed(client: &Client, token: &str, more: &str) -> (String, Value) {
    let customer = customer(client, token).await;
    let price = price(client, 1000).await;
    let form =
        format!("customer={customer}&items[0][price]={price}&metadata[subscription_url]=x{more}");
    (customer, client.post("/v1/subscriptions", &form).await.ok())
}

#[tokio::test]
async fn every_month_is_invoiced_and_collected_once() {
    let (simulator, client) = started().await;
    let (customer, subscription) = subscribed(&client, "pm_card_visa", "").await;
    assert_eq!(subscription["status"], "active");
    let old = client.with("stripe-version", "2025-02-24.acacia");
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    let shown = old.get(&path).await.ok();
    assert_eq!(shown["current_period_start"], START_S);
    assert_eq!(subscription["items"]["data"][0]["current_period_end"], shown["current_period_end"]);
    assert_eq!(simulator.test().taken(&customer, "usd").net(), 1000);
    simulator.advance(DAY * 92).unwrap();
    let invoices =
        client.get(&format!("/v1/invoices?subscription={}", id(&subscription))).await.ok();
    let invoices = invoices["data"].as_array().unwrap();
    assert_eq!(invoices.len(), 4);
    assert!(invoices.iter().all(|invoice| invoice["status"] == "paid"));
    assert_eq!(invoices[0]["billing_reason"], "subscription_cycle");
    assert_eq!(invoices[0]["parent"]["subscription_details"]["metadata"]["subscription_url"], "x");
    assert_eq!(simulator.test().taken(&customer, "usd").net(), 4000);
}

#[tokio::test]
async fn a_subscription_that_is_not_paid_goes_the_way_that_is_set() {
    for (after_failures, ends_as) in [
        (AfterFailures::Cancel, "canceled"),
        (AfterFailures::Unpaid, "unpaid"),
        (AfterFailures::PastDue, "past_due"),
    ] {
        let settings =
            Settings { frozen_at_s: Some(START_S), after_failures, ..Settings::default() };
        let simulator = Simulator::start(settings).await.unwrap();
        let client = Client::new(simulator.url(), &simulator.keys().secret_test);
        let (customer, subscription) = subscribed(&client, "pm_card_visa", "").await;
        let path = format!("/v1/subscriptions/{}", id(&subscription));
        let form = format!("customer={customer}");
        let bad =
            client.post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", &form).await.ok();
        let form = format!("default_payment_method={}", id(&bad));
        client.post(&path, &form).await.ok();
        simulator.advance(DAY * 31 + Duration::from_secs(3600)).unwrap();
        assert_eq!(client.get(&path).await.ok()["status"], "past_due");
        simulator.advance(DAY * 15).unwrap();
        assert_eq!(client.get(&path).await.ok()["status"], ends_as);
        if ends_as == "canceled" {
            continue;
        }
        let invoice = client.get(&path).await.ok()["latest_invoice"].as_str().unwrap().to_owned();
        let good = client
            .post("/v1/payment_methods/pm_card_visa/attach", &format!("customer={customer}"))
            .await
            .ok();
        let form = format!("payment_method={}", id(&good));
        client.post(&format!("/v1/invoices/{invoice}/pay"), &form).await.ok();
        assert_eq!(client.get(&path).await.ok()["status"], "active");
    }
}

#[tokio::test]
async fn a_first_payment_that_fails_leaves_it_incomplete_until_it_expires() {
    let (simulator, client) = started().await;
    let (_, subscription) = subscribed(&client, "pm_card_chargeCustomerFail", "").await;
    assert_eq!(subscription["status"], "incomplete");
    simulator.advance(DAY).unwrap();
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    assert_eq!(client.get(&path).await.ok()["status"], "incomplete_expired");

    let customer = customer(&client, "pm_card_chargeCustomerFail").await;
    let price = price(&client, 1000).await;
    let form =
        format!("customer={customer}&items[0][price]={price}&payment_behavior=error_if_incomplete");
    client.post("/v1/subscriptions", &form).await.error(402);
    let nobody = client.post("/v1/customers", "").await.ok();
    let form = format!("customer={}&items[0][price]={price}", id(&nobody));
    assert_eq!(
        client.post("/v1/subscriptions", &form).await.error(400)["code"],
        "resource_missing"
    );
    assert_eq!(simulator.test().objects("subscription").len(), 1);
}

#[tokio::test]
async fn a_change_in_the_middle_gives_back_and_charges_the_rest() {
    let (simulator, client) = started().await;
    let (customer, subscription) = subscribed(&client, "pm_card_visa", "").await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    simulator.advance(DAY * 15).unwrap();
    let dearer = price(&client, 3000).await;
    let item = id(&subscription["items"]["data"][0]).to_owned();
    let form =
        format!("items[0][id]={item}&items[0][price]={dearer}&proration_behavior=always_invoice");
    client.post(&path, &form).await.ok();
    // September has 30 days: half of 1000 comes back, half of 3000 is charged.
    simulator.advance(Duration::from_secs(1)).unwrap();
    assert_eq!(simulator.test().taken(&customer, "usd").net(), 2000);
    simulator.advance(DAY * 16).unwrap();
    assert_eq!(simulator.test().taken(&customer, "usd").net(), 5000);
}

#[tokio::test]
async fn it_ends_at_once_or_with_its_period() {
    let (simulator, client) = started().await;
    let (_, first) = subscribed(&client, "pm_card_visa", "").await;
    let (_, second) = subscribed(&client, "pm_card_visa", "").await;
    let ended = client.delete(&format!("/v1/subscriptions/{}", id(&first))).await.ok();
    assert_eq!(ended["status"], "canceled");
    let path = format!("/v1/subscriptions/{}", id(&second));
    let ending = client.post(&path, "cancel_at_period_end=true").await.ok();
    assert_eq!(
        (&ending["status"], &ending["cancel_at_period_end"]),
        (&json!("active"), &json!(true))
    );
    simulator.advance(DAY * 31).unwrap();
    assert_eq!(client.get(&path).await.ok()["status"], "canceled");
    let listed = client.get("/v1/subscriptions").await.ok();
    assert_eq!(listed["data"], json!([]));
    assert_eq!(simulator.test().objects("invoice").len(), 2);
}

#[tokio::test]
async fn a_pause_and_a_trial_cost_nothing() {
    let (simulator, client) = started().await;
    let (customer, subscription) =
        subscribed(&client, "pm_card_visa", "&trial_period_days=7").await;
    assert_eq!(subscription["status"], "trialing");
    assert_eq!(simulator.test().taken(&customer, "usd").net(), 0);
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    client.post(&path, "pause_collection[behavior]=void").await.ok();
    simulator.advance(DAY * 8).unwrap();
    let running = client.get(&format!("{path}?expand[]=latest_invoice")).await.ok();
    assert_eq!(
        (&running["status"], &running["latest_invoice"]["status"]),
        (&json!("active"), &json!("void"))
    );
    client.post(&path, "pause_collection=").await.ok();
    simulator.advance(DAY * 31).unwrap();
    assert_eq!(simulator.test().taken(&customer, "usd").net(), 1000);
}

#[tokio::test]
async fn a_period_that_was_begun_anew_does_not_end_when_the_old_one_would_have() {
    let (simulator, client) = started().await;
    let (customer, subscription) = subscribed(&client, "pm_card_visa", "").await;
    simulator.advance(DAY * 10).unwrap();
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    client.post(&path, "billing_cycle_anchor=now&proration_behavior=none").await.ok();
    simulator.advance(DAY * 25).unwrap();
    assert_eq!(simulator.test().taken(&customer, "usd").net(), 2000, "two periods have begun");
    simulator.advance(DAY * 7).unwrap();
    assert_eq!(simulator.test().taken(&customer, "usd").net(), 3000);
}
