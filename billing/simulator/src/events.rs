//! Events: what happened to an object, and which webhook endpoints are to hear of it.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::object::text;
use crate::space::Space;

/// How long events can be read, in seconds.
pub(crate) const KEPT_S: i64 = 30 * 24 * 3600;

/// An event that an endpoint is to be told.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) endpoint: String,
    pub(crate) event: String,
}

/// What became of deliveries that were sent on demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeliverySummary {
    /// Answered with 2xx.
    pub delivered: u64,
    /// Not answered, or with another status; tried again later unless this was the last attempt.
    pub failed: u64,
}

impl Space {
    /// Tells that something happened to an object.
    pub(crate) fn emit(&mut self, kind: &str, object: &Value) {
        self.emit_with(kind, object, None);
    }

    /// Tells that something happened to an object, and what its changed fields were before.
    pub(crate) fn emit_with(&mut self, kind: &str, object: &Value, previous: Option<Value>) {
        let id = self.id("evt");
        let hears = |endpoint: &&Value| {
            let kinds = endpoint["enabled_events"].as_array();
            text(endpoint, "status") == "enabled"
                && kinds.is_some_and(|kinds| kinds.iter().any(|one| one == kind || one == "*"))
        };
        let listeners: Vec<String> = self
            .store
            .newest_first("webhook_endpoint")
            .filter(hears)
            .map(|endpoint| text(endpoint, "id").to_owned())
            .collect();
        let mut event = json!({
            "id": id,
            "object": "event",
            "api_version": self.origin.version,
            "created": self.now,
            "data": { "object": object },
            "livemode": self.mode.is_live(),
            "pending_webhooks": listeners.len(),
            "request": { "id": self.origin.request_id, "idempotency_key": self.origin.idempotency_key },
            "type": kind,
            "_undelivered": listeners,
        });
        if let Some(previous) = previous {
            event["data"]["previous_attributes"] = previous;
        }
        self.store.put(event);
        for endpoint in listeners {
            self.outbox.push(Outgoing { endpoint, event: id.clone() });
        }
    }

    /// Notes that an endpoint has taken an event.
    pub(crate) fn delivered(&mut self, outgoing: &Outgoing) {
        let Some(mut event) = self.store.get("event", &outgoing.event).cloned() else { return };
        if let Some(left) = event["_undelivered"].as_array_mut() {
            left.retain(|endpoint| endpoint != outgoing.endpoint.as_str());
            event["pending_webhooks"] = Value::from(left.len());
        }
        self.store.put(event);
    }
}

/// The fields of an object that another has changed, as they were.
pub(crate) fn difference(before: &Value, after: &Value) -> Map<String, Value> {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else {
        return Map::new();
    };
    after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(value) && !name.starts_with('_'))
        .map(|(name, _)| (name.clone(), before.get(name).cloned().unwrap_or_default()))
        .collect()
}
