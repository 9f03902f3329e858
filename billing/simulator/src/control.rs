//! `/_control`: what the handle does, as JSON over HTTP, for tests whose simulator is another process.
//!
//! Bodies are JSON objects; `account` and `mode` (`test`, `live`) name the space and default to the first account's test mode.
//! Answers are 200 with JSON, 400 with `{"error": …}` otherwise.

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::events::DeliverySummary;
use crate::gate::{Reply, Request};
use crate::handle::SpaceHandle;
use crate::keys::Mode;
use crate::object::{flag, int, text};
use crate::server::Shared;
use crate::webhooks;
use crate::world::ControlError;

/// Answers one request to `/_control/…`.
pub(crate) async fn serve(shared: &std::sync::Arc<Shared>, request: &Request) -> Reply {
    let (status, body) = match act(shared, request).await {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => (StatusCode::BAD_REQUEST, json!({ "error": error.to_string() })),
    };
    Reply { status, headers: HeaderMap::new(), body }
}

async fn act(shared: &std::sync::Arc<Shared>, request: &Request) -> Result<Value, ControlError> {
    let sent: Value = if request.body.is_empty() {
        json!({})
    } else {
        serde_json::from_slice(&request.body)
            .map_err(|error| ControlError::Invalid(error.to_string()))?
    };
    // The page to which a customer is sent to authenticate.
    let sent = match request.query.strip_prefix("intent=") {
        Some(intent) => json!({ "id": intent, "passed": true }),
        None => sent,
    };
    let action = request.path.trim_start_matches("/_control/");
    if action == "deliver" {
        let DeliverySummary { delivered, failed } = webhooks::drain(shared).await;
        return Ok(json!({ "delivered": delivered, "failed": failed }));
    }
    match world_action(shared, action, &sent)? {
        Some(done) => Ok(done),
        None => space_action(&space_of(shared, &sent)?, action, &sent),
    }
}

/// What concerns the whole simulator; `None` where the action is another one.
fn world_action(
    shared: &Shared,
    action: &str,
    sent: &Value,
) -> Result<Option<Value>, ControlError> {
    let mut world = shared.world.lock();
    Ok(Some(match action {
        "faults" => {
            world.faults.add(parsed(sent)?);
            json!({})
        }
        "faults/clear" => {
            world.faults.clear();
            world.webhook_faults = webhooks::WebhookFaults::default();
            json!({})
        }
        "webhook_faults" => {
            world.webhook_faults = parsed(sent)?;
            json!({})
        }
        "accounts" => json!(world.open_account(text(sent, "account"))),
        "connect" => {
            world.connect(text(sent, "account"), text(sent, "connected"))?;
            json!({})
        }
        "roll_key" => json!({ "key": world.roll_key(text(sent, "key"))? }),
        "clock" => {
            if let Some(at_s) = sent["freeze_at_s"].as_i64() {
                world.freeze(at_s);
            }
            if let Some(by_s) = sent["advance_s"].as_i64() {
                world.advance_ms(by_s.saturating_mul(1000))?;
            }
            json!({ "now_s": world.now_s() })
        }
        "received" => json!(world.received),
        _ => return Ok(None),
    }))
}

fn space_action(space: &SpaceHandle, action: &str, sent: &Value) -> Result<Value, ControlError> {
    let id = text(sent, "id");
    Ok(match action {
        "objects" => json!(space.objects(text(sent, "kind"))),
        "executed" => json!(space.all_executed()),
        "taken" => {
            let sums = space.all_taken().into_iter().map(|((customer, currency), taken)| {
                json!({ "customer": customer, "currency": currency, "taken": taken, "net": taken.net() })
            });
            json!(sums.collect::<Vec<_>>())
        }
        "secret_key" => json!({ "key": space.secret_key() }),
        "publishable_key" => json!({ "key": space.publishable_key() }),
        "restricted_key" => json!({ "key": space.restricted_key(&texts(sent, "paths")) }),
        "webhooks" => {
            json!({ "secret": space.add_webhook(text(sent, "url"), &texts(sent, "events"))? })
        }
        "webhooks/roll_secret" => json!({ "secret": space.roll_webhook_secret(id)? }),
        "redeliver" => {
            space.redeliver(id)?;
            json!({})
        }
        "authenticate" => space.authenticate(id, flag(sent, "passed"))?,
        "settle_debit" => space.settle_debit(id, flag(sent, "paid"))?,
        "charge_dispute" => space.open_dispute(id, sent["amount"].as_i64())?,
        "close_dispute" => space.close_dispute(id, int(sent, "won_amount"))?,
        other => return Err(ControlError::Missing(format!("action {other}"))),
    })
}

fn space_of(shared: &std::sync::Arc<Shared>, sent: &Value) -> Result<SpaceHandle, ControlError> {
    let first = shared.world.lock().settings.account.clone();
    let account = sent["account"].as_str().unwrap_or(&first);
    let mode = match sent["mode"].as_str() {
        None | Some("test") => Mode::Test,
        Some("live") => Mode::Live,
        Some(other) => return Err(ControlError::Missing(format!("mode {other}"))),
    };
    Ok(SpaceHandle::new(shared, account, mode))
}

fn parsed<T: serde::de::DeserializeOwned>(sent: &Value) -> Result<T, ControlError> {
    serde_json::from_value(sent.clone()).map_err(|error| ControlError::Invalid(error.to_string()))
}

fn texts<'a>(sent: &'a Value, name: &str) -> Vec<&'a str> {
    sent[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
