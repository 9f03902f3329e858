//! Events and their deliveries.

use std::time::Duration;

use tollgate_stripe_simulator::{WebhookFaults, sign};

use super::receiver::Receiver;
use super::{START_S, started};

const HELD: WebhookFaults = WebhookFaults {
    duplicate_permille: 0,
    lose_permille: 0,
    delay_max_ms: 0,
    is_shuffled: false,
    is_held: true,
};

#[tokio::test]
async fn events_are_signed_with_every_secret_of_their_endpoint() {
    let (simulator, client) = started().await;
    simulator.webhook_faults(HELD);
    let receiver = Receiver::start().await;
    let form = format!("url={}&enabled_events[]=customer.created", receiver.url);
    let endpoint = client.post("/v1/webhook_endpoints", &form).await.ok();
    let first = endpoint["secret"].as_str().unwrap().to_owned();
    let id = endpoint["id"].as_str().unwrap();
    assert!(client.get(&format!("/v1/webhook_endpoints/{id}")).await.ok().get("secret").is_none());
    let second = simulator.test().roll_webhook_secret(id).unwrap();

    client.post("/v1/customers", "name=Ann").await.ok();
    client.post("/v1/products_that_nobody_has", "").await.error(404);
    assert_eq!(simulator.deliver_webhooks().await.delivered, 1);
    let (signature, body) = receiver.take().pop().unwrap();
    assert_eq!(signature, sign(&[second, first], START_S, &body));
    let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(event["data"]["object"]["name"], "Ann");
    assert!(event.get("_undelivered").is_none(), "what is hidden stays hidden");
}

#[tokio::test]
async fn what_an_endpoint_refuses_comes_again_and_can_be_read_meanwhile() {
    let (simulator, client) = started().await;
    simulator.webhook_faults(HELD);
    let receiver = Receiver::start().await;
    simulator.test().add_webhook(&receiver.url, &["*"]).unwrap();
    receiver.answer_with(500);
    client.post("/v1/customers", "name=Ann").await.ok();
    assert_eq!(simulator.deliver_webhooks().await.failed, 1);
    let missed =
        client.get("/v1/events?delivery_success=false&types[]=customer.created").await.ok();
    assert_eq!(missed["data"].as_array().unwrap().len(), 1);
    assert_eq!(missed["data"][0]["pending_webhooks"], 1);

    receiver.answer_with(200);
    // The retry is due after an hour, and is made then without being asked for.
    simulator.webhook_faults(WebhookFaults::default());
    simulator.advance(Duration::from_secs(3600)).unwrap();
    let taken = tokio::time::timeout(Duration::from_secs(20), async {
        while client.get("/v1/events?delivery_success=false").await.ok()["data"][0].is_object() {
            tokio::task::yield_now().await;
        }
    });
    taken.await.expect("the retry comes");
    assert_eq!(receiver.take_types(), ["customer.created", "customer.created"]);
    simulator.advance(Duration::from_secs(31 * 24 * 3600)).unwrap();
    let kept = client.get("/v1/events").await.ok();
    assert_eq!(kept["data"], serde_json::json!([]), "events are kept for thirty days");
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_given_up() {
    let (simulator, client) = started().await;
    simulator.webhook_faults(HELD);
    let receiver = Receiver::start().await;
    simulator.test().add_webhook(&receiver.url, &["*"]).unwrap();
    receiver.answer_with(302);
    client.post("/v1/customers", "").await.ok();
    for _ in 0..4 {
        assert_eq!(simulator.deliver_webhooks().await.failed, 1);
    }
    assert_eq!(
        simulator.deliver_webhooks().await,
        tollgate_stripe_simulator::DeliverySummary::default()
    );
    let event = simulator.test().objects("event").remove(0);
    simulator.test().redeliver(event["id"].as_str().unwrap()).unwrap();
    receiver.answer_with(204);
    assert_eq!(simulator.deliver_webhooks().await.delivered, 1);
}

#[tokio::test]
async fn deliveries_come_twice_and_in_disorder_when_asked_to() {
    let (simulator, client) = started().await;
    simulator.webhook_faults(WebhookFaults { duplicate_permille: 1000, is_shuffled: true, ..HELD });
    let receiver = Receiver::start().await;
    simulator.test().add_webhook(&receiver.url, &["*"]).unwrap();
    for number in 0..20 {
        client.post("/v1/customers", &format!("name=n-{number:02}")).await.ok();
    }
    assert_eq!(simulator.deliver_webhooks().await.delivered, 40);
    let names: Vec<String> = receiver
        .take()
        .iter()
        .map(|(_, body)| {
            let event: serde_json::Value = serde_json::from_slice(body).unwrap();
            event["data"]["object"]["name"].as_str().unwrap().to_owned()
        })
        .collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_ne!(names, sorted);
    sorted.dedup();
    assert_eq!(sorted.len(), 20);
}

#[tokio::test]
async fn a_payment_tells_its_story_in_order() {
    let (simulator, client) = started().await;
    simulator.webhook_faults(HELD);
    let receiver = Receiver::start().await;
    simulator.test().add_webhook(&receiver.url, &["*"]).unwrap();
    let form = "amount=1500&currency=usd&payment_method=pm_card_visa&confirm=true&payment_method_types[]=card";
    client.with("idempotency-key", "k-7").post("/v1/payment_intents", form).await.ok();
    simulator.deliver_webhooks().await;
    let events = client.get("/v1/events").await.ok();
    assert_eq!(events["data"][0]["request"]["idempotency_key"], "k-7");
    assert_eq!(
        receiver.take_types(),
        ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
    );
}
