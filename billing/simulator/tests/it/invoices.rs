//! Invoices and quotes.

use serde_json::{Value, json};
use tollgate_stripe_simulator::{Fault, FaultKind};

use super::client::Client;
use super::started;

/// A customer whose default card is the one of a token.
pub(crate) async fn customer(client: &Client, token: &str) -> String {
    let form = format!("payment_method={token}&invoice_settings[default_payment_method]={token}");
    client.post("/v1/customers", &form).await.ok()["id"].as_str().unwrap().to_owned()
}

fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap()
}

async fn item(client: &Client, customer: &str, amount: i64, more: &str) -> Value {
    let form = format!("customer={customer}&amount={amount}&currency=usd&description=calls{more}");
    client.post("/v1/invoiceitems", &form).await.ok()
}

#[tokio::test]
async fn an_invoice_takes_waiting_items_only_when_it_is_told_to() {
    let (_simulator, client) = started().await;
    let customer = customer(&client, "pm_card_visa").await;
    item(&client, &customer, 1200, "").await;
    let empty = client.post("/v1/invoices", &format!("customer={customer}")).await.ok();
    assert_eq!((&empty["total"], &empty["lines"]["total_count"]), (&json!(0), &json!(0)));
    let form = format!("customer={customer}&pending_invoice_items_behavior=include");
    let full = client.post("/v1/invoices", &form).await.ok();
    assert_eq!(
        (&full["total"], &full["lines"]["data"][0]["description"]),
        (&json!(1200), &json!("calls"))
    );
    let again = client.post("/v1/invoices", &form).await.ok();
    assert_eq!(again["total"], 0, "an item stands on one invoice");
}

#[tokio::test]
async fn an_invoice_is_finalized_paid_and_shown_as_its_version_has_it() {
    let (simulator, client) = started().await;
    let customer = customer(&client, "pm_card_visa").await;
    let draft = client
        .post("/v1/invoices", &format!("customer={customer}&metadata[period]=2026-09"))
        .await
        .ok();
    let path = format!("/v1/invoices/{}", id(&draft));
    for _ in 0..12 {
        item(&client, &customer, 100, &format!("&invoice={}", id(&draft))).await;
    }
    let open = client.post(&format!("{path}/finalize"), "").await.ok();
    assert_eq!((&open["status"], &open["amount_due"]), (&json!("open"), &json!(1200)));
    assert_eq!(open["lines"]["data"].as_array().unwrap().len(), 10);
    assert_eq!(open["lines"]["has_more"], true);
    let last = open["lines"]["data"][9]["id"].as_str().unwrap();
    let rest = client.get(&format!("{path}/lines?starting_after={last}")).await.ok();
    assert_eq!(rest["data"].as_array().unwrap().len(), 2);
    let late = format!("customer={customer}&amount=1&currency=usd&invoice={}", id(&draft));
    assert_eq!(
        client.post("/v1/invoiceitems", &late).await.error(400)["code"],
        "invoice_not_editable"
    );

    client.post(&format!("{path}/pay"), "").await.ok();
    let new = client.get(&format!("{path}?expand[]=payments")).await.ok();
    assert_eq!(new["status"], "paid");
    assert!(new.get("paid").is_none() && new.get("payment_intent").is_none());
    let intent = new["payments"]["data"][0]["payment"]["payment_intent"].as_str().unwrap();
    let old = client.with("stripe-version", "2025-02-24.acacia");
    let old = old.get(&format!("{path}?expand[]=payment_intent.latest_charge")).await.ok();
    assert_eq!((&old["paid"], &old["payment_intent"]["id"]), (&json!(true), &json!(intent)));
    assert_eq!(old["payment_intent"]["latest_charge"]["invoice"], old["id"]);
    assert_eq!(old["lines"]["data"][0]["price"]["unit_amount"], 100);
    assert_eq!(simulator.test().taken(&customer, "usd").net(), 1200);
}

#[tokio::test]
async fn less_than_the_minimum_waits_on_the_customers_balance() {
    let (simulator, client) = started().await;
    let customer = customer(&client, "pm_card_visa").await;
    let bill = async |amount: i64| {
        item(&client, &customer, amount, "").await;
        let form = format!("customer={customer}&pending_invoice_items_behavior=include");
        let invoice = client.post("/v1/invoices", &form).await.ok();
        client.post(&format!("/v1/invoices/{}/finalize", id(&invoice)), "").await.ok()
    };
    let small = bill(30).await;
    assert_eq!((&small["status"], &small["amount_due"]), (&json!("paid"), &json!(0)));
    assert_eq!((&small["ending_balance"], &small["amount_paid"]), (&json!(30), &json!(0)));
    let large = bill(100).await;
    assert_eq!((&large["starting_balance"], &large["amount_due"]), (&json!(30), &json!(130)));
    let path = format!("/v1/invoices/{}", id(&large));
    client.post(&format!("{path}/void"), "").await.ok();
    let owner = client.get(&format!("/v1/customers/{customer}")).await.ok();
    assert_eq!(owner["balance"], 30, "a void invoice gives back what it took");
    assert_eq!(bill(-100).await["ending_balance"], -70);
    assert_eq!(simulator.test().taken(&customer, "usd").net(), 0);
}

#[tokio::test]
async fn an_invoice_has_at_most_250_items() {
    let (_simulator, client) = started().await;
    let customer = customer(&client, "pm_card_visa").await;
    let draft = client.post("/v1/invoices", &format!("customer={customer}")).await.ok();
    let mut lines = String::new();
    for number in 0..250 {
        lines.push_str(&format!("lines[{number}][amount]=1&lines[{number}][description]=n&"));
    }
    let path = format!("/v1/invoices/{}", id(&draft));
    let full = client.post(&format!("{path}/add_lines"), lines.trim_end_matches('&')).await.ok();
    assert_eq!((&full["total"], &full["lines"]["total_count"]), (&json!(250), &json!(250)));
    let form = format!("customer={customer}&amount=1&currency=usd&invoice={}", id(&draft));
    assert_eq!(
        client.post("/v1/invoiceitems", &form).await.error(400)["code"],
        "invoice_items_too_many"
    );
}

#[tokio::test]
async fn an_invoice_that_is_collected_by_itself_is_tried_again_for_days() {
    let (simulator, client) = started().await;
    let customer = customer(&client, "pm_card_chargeCustomerFail").await;
    item(&client, &customer, 900, "").await;
    let form =
        format!("customer={customer}&pending_invoice_items_behavior=include&auto_advance=true");
    let draft = client.post("/v1/invoices", &form).await.ok();
    let path = format!("/v1/invoices/{}", id(&draft));
    let hours =
        |hours: u64| simulator.advance(std::time::Duration::from_secs(hours * 3600)).unwrap();
    hours(1);
    let tried = client.get(&path).await.ok();
    assert_eq!((&tried["status"], &tried["attempt_count"]), (&json!("open"), &json!(1)));
    hours(3 * 24);
    assert_eq!(client.get(&path).await.ok()["attempt_count"], 2);
    let good = client
        .post("/v1/payment_methods/pm_card_visa/attach", &format!("customer={customer}"))
        .await
        .ok();
    let form = format!("invoice_settings[default_payment_method]={}", id(&good));
    client.post(&format!("/v1/customers/{customer}"), &form).await.ok();
    hours(5 * 24);
    let paid = client.get(&path).await.ok();
    assert_eq!((&paid["status"], &paid["attempt_count"]), (&json!("paid"), &json!(3)));
    assert_eq!(simulator.test().taken(&customer, "usd").net(), 900);
}

#[tokio::test]
async fn paying_says_what_the_bank_says() {
    let (_simulator, client) = started().await;
    for (token, code) in [
        ("pm_card_chargeCustomerFail", "card_declined"),
        ("pm_card_threeDSecure2Required", "invoice_payment_intent_requires_action"),
    ] {
        let customer = customer(&client, token).await;
        item(&client, &customer, 900, "").await;
        let form = format!("customer={customer}&pending_invoice_items_behavior=include");
        let draft = client.post("/v1/invoices", &form).await.ok();
        let path = format!("/v1/invoices/{}", id(&draft));
        assert_eq!(client.post(&format!("{path}/pay"), "").await.error(402)["code"], code);
        assert_eq!(client.get(&path).await.ok()["status"], "open");
        let outside = client.post(&format!("{path}/pay"), "paid_out_of_band=true").await.ok();
        assert_eq!((&outside["status"], &outside["amount_paid"]), (&json!("paid"), &json!(900)));
    }
}

#[tokio::test]
async fn a_lost_answer_of_an_item_does_not_double_it() {
    let (simulator, client) = started().await;
    let customer = customer(&client, "pm_card_visa").await;
    simulator.fault(Fault::once(FaultKind::CutAfter, "POST", "/v1/invoiceitems"));
    let keyed = client.with("idempotency-key", "item-1");
    let form = format!("customer={customer}&amount=900&currency=usd");
    assert!(keyed.send("POST", "/v1/invoiceitems", &form).await.is_none());
    keyed.post("/v1/invoiceitems", &form).await.ok();
    assert_eq!(simulator.test().objects("invoiceitem").len(), 1);
}

#[tokio::test]
async fn refunds_are_partial_many_and_never_more_than_was_paid() {
    let (simulator, client) = started().await;
    let form = "amount=1000&currency=usd&payment_method=pm_card_visa&confirm=true&payment_method_types[]=card";
    let paid = client.post("/v1/payment_intents", form).await.ok();
    let refund = async |amount: i64| {
        client.post("/v1/refunds", &format!("payment_intent={}&amount={amount}", id(&paid))).await
    };
    refund(300).await.ok();
    refund(200).await.ok();
    refund(501).await.error(400);
    assert_eq!(simulator.test().taken("", "usd").net(), 500);
    refund(500).await.ok();
    assert_eq!(refund(1).await.error(400)["code"], "charge_already_refunded");
    let charge =
        client.get(&format!("/v1/charges/{}", paid["latest_charge"].as_str().unwrap())).await.ok();
    assert_eq!((&charge["refunded"], &charge["amount_refunded"]), (&json!(true), &json!(1000)));

    let form = form.replace("pm_card_visa", "pm_card_refundFail");
    let paid = client.post("/v1/payment_intents", &form).await.ok();
    let given = client.post("/v1/refunds", &format!("payment_intent={}", id(&paid))).await.ok();
    simulator.advance(std::time::Duration::from_secs(60)).unwrap();
    assert_eq!(client.get(&format!("/v1/refunds/{}", id(&given))).await.ok()["status"], "failed");
    assert_eq!(simulator.test().taken("", "usd").net(), 1000);
}

#[tokio::test]
async fn a_dispute_takes_the_money_and_gives_back_what_is_won() {
    let (simulator, client) = started().await;
    let form = "amount=1000&currency=usd&payment_method=pm_card_visa&confirm=true&payment_method_types[]=card";
    for (won, left) in [(0, 0), (400, 400), (1000, 1400)] {
        let paid = client.post("/v1/payment_intents", form).await.ok();
        let charge = paid["latest_charge"].as_str().unwrap();
        let dispute = simulator.test().open_dispute(charge, None).unwrap();
        let refused = client.post("/v1/refunds", &format!("charge={charge}")).await.error(400);
        assert_eq!(refused["code"], "charge_disputed");
        let closed = simulator.test().close_dispute(id(&dispute), won).unwrap();
        assert_eq!(closed["status"], if won > 0 { "won" } else { "lost" });
        assert_eq!(simulator.test().taken("", "usd").net(), left);
    }
}

#[tokio::test]
async fn a_quote_becomes_an_invoice_or_a_subscription() {
    let (_simulator, client) = started().await;
    let customer = customer(&client, "pm_card_visa").await;
    let product = client.post("/v1/products", "name=Calls").await.ok();
    let price = async |more: &str| {
        let form = format!("product={}&currency=usd&unit_amount=500{more}", id(&product));
        client.post("/v1/prices", &form).await.ok()["id"].as_str().unwrap().to_owned()
    };
    let once = price("").await;
    let monthly = price("&recurring[interval]=month").await;
    let quoted = async |price: &str| {
        let form =
            format!("customer={customer}&line_items[0][price]={price}&line_items[0][quantity]=3");
        let quote = client.post("/v1/quotes", &form).await.ok();
        assert_eq!((&quote["status"], &quote["amount_total"]), (&json!("draft"), &json!(1500)));
        format!("/v1/quotes/{}", id(&quote))
    };
    let path = quoted(&once).await;
    client.post(&format!("{path}/accept"), "").await.error(400);
    assert_eq!(client.post(&format!("{path}/finalize"), "").await.ok()["status"], "open");
    let accepted = client.post(&format!("{path}/accept"), "").await.ok();
    let invoice =
        client.get(&format!("/v1/invoices/{}", accepted["invoice"].as_str().unwrap())).await.ok();
    assert_eq!((&invoice["status"], &invoice["total"]), (&json!("draft"), &json!(1500)));
    assert_eq!(
        client.post(&format!("{path}/cancel"), "").await.error(400)["code"],
        "quote_unexpected_state"
    );

    let path = quoted(&monthly).await;
    client.post(&format!("{path}/finalize"), "").await.ok();
    let accepted = client.post(&format!("{path}/accept"), "").await.ok();
    let path = format!("/v1/subscriptions/{}", accepted["subscription"].as_str().unwrap());
    assert_eq!(client.get(&path).await.ok()["status"], "active");

    let path = quoted(&once).await;
    assert_eq!(client.post(&format!("{path}/cancel"), "").await.ok()["status"], "canceled");
}
