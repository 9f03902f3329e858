//! Idempotency, and requests that go wrong on purpose.

use tollgate_stripe_simulator::{Fault, FaultKind};

use super::started;

const FORM: &str =
    "amount=1500&currency=usd&payment_method=pm_card_visa&confirm=true&payment_method_types[]=card";
const PATH: &str = "/v1/payment_intents";

#[tokio::test]
async fn a_key_gives_its_first_answer_for_a_day() {
    let (simulator, client) = started().await;
    let keyed = client.with("idempotency-key", "k-1");
    let first = keyed.post(PATH, FORM).await;
    assert_eq!(first.header("idempotent-replayed"), "");
    let request_id = first.header("request-id").to_owned();
    let first = first.ok();
    let again = keyed.post(PATH, FORM).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.header("original-request"), request_id);
    assert_eq!(again.ok(), first);
    assert_eq!(simulator.test().executed("POST", PATH), 1);

    let other = keyed.post(PATH, "amount=1600&currency=usd").await.error(400);
    assert_eq!(other["type"], "idempotency_error");
    simulator.advance(std::time::Duration::from_secs(24 * 3600)).unwrap();
    assert_ne!(keyed.post(PATH, FORM).await.ok()["id"], first["id"]);
}

#[tokio::test]
async fn a_decline_is_kept_and_a_bad_parameter_is_not() {
    let (simulator, client) = started().await;
    let keyed = client.with("idempotency-key", "k-1");
    keyed.post(PATH, "amount=1500").await.error(400);
    keyed.post(PATH, "amount=1&currency=usd").await.error(400);
    let declined = FORM.replace("pm_card_visa", "pm_card_chargeDeclined");
    let first = keyed.post(PATH, &declined).await.error(402);
    let again = keyed.post(PATH, &declined).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.error(402)["payment_intent"]["id"], first["payment_intent"]["id"]);
    assert_eq!(simulator.test().objects("payment_intent").len(), 1);
}

#[tokio::test]
async fn a_500_is_kept_whether_or_not_the_work_was_done() {
    let (simulator, client) = started().await;
    for (kind, intents) in [(FaultKind::ErrorBefore, 0), (FaultKind::ErrorAfter, 1)] {
        simulator.fault(Fault::once(kind, "POST", PATH));
        let keyed = client.with("idempotency-key", &format!("{kind:?}"));
        keyed.post(PATH, FORM).await.error(500);
        let again = keyed.post(PATH, FORM).await;
        assert_eq!(again.header("idempotent-replayed"), "true");
        again.error(500);
        assert_eq!(simulator.test().objects("payment_intent").len(), intents);
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_again_by_its_key() {
    let (simulator, client) = started().await;
    for (kind, number) in [(FaultKind::CutAfter, 1), (FaultKind::HangAfter, 2)] {
        simulator.fault(Fault::once(kind, "POST", "/v1/payment*"));
        let keyed = client.with("idempotency-key", &format!("{kind:?}"));
        assert!(keyed.send("POST", PATH, FORM).await.is_none(), "no answer comes");
        assert_eq!(simulator.test().objects("payment_intent").len(), number);
        let found = keyed.post(PATH, FORM).await;
        assert_eq!(found.header("idempotent-replayed"), "true");
        assert_eq!(found.ok()["status"], "succeeded");
    }
    assert_eq!(simulator.test().taken("", "usd").net(), 3000);
    assert_eq!(simulator.received("POST", PATH), 4);
}

#[tokio::test]
async fn what_fails_before_its_work_can_be_tried_again() {
    let (simulator, client) = started().await;
    for kind in [
        FaultKind::CutBefore,
        FaultKind::HangBefore,
        FaultKind::RateLimited,
        FaultKind::LockTimeout,
    ] {
        simulator.fault(Fault::once(kind, "POST", PATH));
        let keyed = client.with("idempotency-key", &format!("{kind:?}"));
        if let Some(answer) = keyed.send("POST", PATH, FORM).await {
            let is_limited = kind == FaultKind::RateLimited;
            assert_eq!(
                answer.header("stripe-rate-limited-reason"),
                if is_limited { "global-rate" } else { "" }
            );
            let code = answer.error(429)["code"].clone();
            assert_eq!(code, if is_limited { "rate_limit" } else { "lock_timeout" });
        }
        let again = keyed.post(PATH, FORM).await;
        assert_eq!(again.header("idempotent-replayed"), "", "{kind:?}");
        again.ok();
    }
    assert_eq!(simulator.test().executed("POST", PATH), 4);
}

#[tokio::test]
async fn a_key_at_work_is_in_use() {
    let (simulator, client) = started().await;
    simulator.fault(Fault { slow_ms: 300, ..Fault::once(FaultKind::Slow, "POST", PATH) });
    let keyed = client.with("idempotency-key", "k-1");
    let slow = keyed.clone();
    let slow = tokio::spawn(async move { slow.post(PATH, FORM).await.ok() });
    while simulator.received("POST", PATH) == 0 {
        tokio::task::yield_now().await;
    }
    let busy = keyed.post(PATH, FORM).await;
    assert_eq!(busy.header("stripe-should-retry"), "true");
    assert_eq!(busy.error(409)["code"], "idempotency_key_in_use");
    let first = slow.await.unwrap();
    assert_eq!(keyed.post(PATH, FORM).await.ok()["id"], first["id"]);
}

#[tokio::test]
async fn faults_come_as_often_as_they_say() {
    let (simulator, client) = started().await;
    simulator.fault(Fault::often(FaultKind::RateLimited, 300));
    let mut limited = 0;
    for _ in 0..200 {
        limited += u32::from(client.post("/v1/customers", "").await.status == 429);
    }
    assert!((30..=90).contains(&limited), "{limited} of 200");
    simulator.clear_faults();
    client.post("/v1/customers", "").await.ok();
}
