//! Events of Stripe: what it tells, and what is done about it.
//!
//! An event only names an object: whoever acts on it reads the object anew, so that a late, doubled
//! or overtaken event does no harm. It is answered with success only when everything that follows
//! from it is durable; else Stripe sends it again, and the catch-up fetches it. The record of an
//! event that was dealt with only spares work.
//!
//! ```text
//! webhook ─▶ signature ─┐
//!                       ├─▶ record? ─▶ `Topic` ─▶ top-ups, … ─▶ record ─▶ 2xx
//! catch-up, by time ────┘
//! ```
//!
//! Each type that somebody acts on is a row of `TYPES`, and each topic an arm of `act_on`.
//! Not here: HTTP (`management`), whose events they are when signatures are made (`stripe::webhook`).

mod catch_up;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_ledger_store::DocumentKey;

use crate::Billing;
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::records::key;
use crate::secret::KeyMode;
use crate::stripe::webhook;
use crate::topups::Look;

const EVENT: &str = "billing.event";

const DAY_S: i64 = 86_400;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    /// A PaymentIntent, which may be a top-up.
    Payment,
    /// A refund or a dispute, of a payment that may be a top-up.
    Takeback,
    /// An invoice, which may be of a developer who pays later.
    Invoice,
}

/// The types that somebody acts on; others are answered and forgotten.
const TYPES: &[(&str, Topic)] = &[
    ("invoice.finalized", Topic::Invoice),
    ("invoice.paid", Topic::Invoice),
    ("invoice.payment_failed", Topic::Invoice),
    ("invoice.payment_action_required", Topic::Invoice),
    ("invoice.voided", Topic::Invoice),
    ("invoice.marked_uncollectible", Topic::Invoice),
    ("payment_intent.succeeded", Topic::Payment),
    ("payment_intent.payment_failed", Topic::Payment),
    ("payment_intent.processing", Topic::Payment),
    ("payment_intent.requires_action", Topic::Payment),
    ("payment_intent.canceled", Topic::Payment),
    ("charge.refunded", Topic::Takeback),
    ("charge.refund.updated", Topic::Takeback),
    ("refund.created", Topic::Takeback),
    ("refund.updated", Topic::Takeback),
    ("refund.failed", Topic::Takeback),
    ("charge.dispute.created", Topic::Takeback),
    ("charge.dispute.updated", Topic::Takeback),
    ("charge.dispute.funds_withdrawn", Topic::Takeback),
    ("charge.dispute.funds_reinstated", Topic::Takeback),
    ("charge.dispute.closed", Topic::Takeback),
];

/// How an event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Webhook,
    Fetched,
}

/// What is read of an event.
#[derive(Clone, Debug)]
struct Event {
    id: String,
    kind: String,
    created_s: i64,
    is_live: bool,
    /// The connected account that it is about, if it is about one.
    account: Option<String>,
    object: Value,
}

/// That an event was dealt with.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct EventRecord {
    #[serde(rename = "type")]
    kind: String,
    object: String,
}

/// Events of one integration and day share a scope, so that old ones are removed by the day.
fn event_key(integration: &Integration, day: i64, id: &str) -> DocumentKey {
    key(EVENT, event_scope(integration, day), id)
}

fn event_scope(integration: &Integration, day: i64) -> String {
    format!("{}/{day:07}", integration.id)
}

// === impl Event ===

impl Event {
    fn read(value: &Value) -> Option<Event> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        if value["object"].as_str() != Some("event") {
            return None;
        }
        Some(Event {
            id: text("id").filter(|id| !id.is_empty())?,
            kind: text("type")?,
            created_s: value["created"].as_i64()?,
            is_live: value["livemode"].as_bool()?,
            account: text("account"),
            object: value["data"]["object"].clone(),
        })
    }

    fn topic(&self) -> Option<Topic> {
        TYPES.iter().find(|(kind, _)| *kind == self.kind).map(|(_, topic)| *topic)
    }

    fn day(&self) -> i64 {
        self.created_s.div_euclid(DAY_S)
    }

    /// Whether it is of the integration's account and mode, and of nobody connected to it.
    fn is_of(&self, integration: &Integration) -> bool {
        let is_own = self.account.as_ref().is_none_or(|id| *id == integration.account_id);
        is_own && self.is_live == (integration.mode == KeyMode::Live)
    }

    fn object_id(&self) -> &str {
        self.object["id"].as_str().unwrap_or_default()
    }

    /// The PaymentIntent that it is about: the object itself, or what the object belongs to.
    fn payment_intent(&self) -> Option<&str> {
        if self.object["object"].as_str() == Some("payment_intent") {
            return self.object["id"].as_str();
        }
        let intent = &self.object["payment_intent"];
        intent.as_str().or(intent["id"].as_str())
    }
}

// === impl Way ===

impl Way {
    fn as_str(self) -> &'static str {
        match self {
            Way::Webhook => "webhook",
            Way::Fetched => "fetched",
        }
    }
}

// === impl Billing ===

impl Billing {
    /// Takes an event that was sent to the integration's webhook: `body` as it came, byte by byte.
    /// When this returns, what follows from it is durable.
    ///
    /// # Errors
    /// `Missing` (integration), `Signature` and `Invalid`: it is no event of Stripe's; all others:
    /// it is to be sent again.
    pub async fn receive(
        &self,
        organization: &str,
        billing: &str,
        signature: &str,
        body: &[u8],
    ) -> Result<(), BillingError> {
        let integration = self.integration(organization, billing).await?.record;
        let secrets = self.webhook_secrets_of(&integration)?;
        let checked = webhook::verify(signature, body, &secrets, self.parts().clock.now());
        if let Err(error) = checked {
            self.metrics().count_event(Way::Webhook.as_str(), "refused");
            return Err(error.into());
        }
        let value: Option<Value> = serde_json::from_slice(body).ok();
        let event = value.as_ref().and_then(Event::read);
        let event = event.ok_or_else(|| BillingError::invalid("body", "is no event of Stripe"))?;
        self.deal_with(&integration, &event, Way::Webhook).await
    }

    /// Does what follows from an event, unless that was done.
    async fn deal_with(
        &self,
        integration: &Integration,
        event: &Event,
        way: Way,
    ) -> Result<(), BillingError> {
        let (Some(topic), true) = (event.topic(), event.is_of(integration)) else {
            self.metrics().count_event(way.as_str(), "ignored");
            return Ok(());
        };
        let key = event_key(integration, event.day(), &event.id);
        if self.records().load::<EventRecord>(&key).await?.is_some() {
            self.metrics().count_event(way.as_str(), "repeated");
            return Ok(());
        }
        if let Err(error) = self.act_on(integration, event, topic).await {
            self.metrics().count_event(way.as_str(), "failed");
            return Err(error);
        }
        let record = EventRecord { kind: event.kind.clone(), object: event.object_id().to_owned() };
        // One that is there was written by whoever dealt with the same event beside us.
        self.records().insert(&key, &record, self.parts().clock.now()).await?;
        self.metrics().count_event(way.as_str(), "done");
        Ok(())
    }

    async fn act_on(
        &self,
        integration: &Integration,
        event: &Event,
        topic: Topic,
    ) -> Result<(), BillingError> {
        match topic {
            Topic::Payment => self.settle_event(integration, event, Look::Payment).await,
            Topic::Invoice => self.note_invoice_event(integration, &event.object).await,
            Topic::Takeback => self.settle_event(integration, event, Look::Takebacks).await,
        }
    }

    async fn settle_event(
        &self,
        integration: &Integration,
        event: &Event,
        look: Look,
    ) -> Result<(), BillingError> {
        match event.payment_intent() {
            Some(intent) => self.settle(integration, intent, look).await.map(drop),
            // A charge of its own, which is none of ours.
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Event;

    #[test]
    fn an_event_names_its_payment_whatever_it_is_about() {
        let check = |object: serde_json::Value, want: Option<&str>| {
            let event = Event::read(&json!({
                "id": "evt_1", "object": "event", "type": "charge.refunded", "created": 1,
                "livemode": false, "data": { "object": object },
            }));
            assert_eq!(event.unwrap().payment_intent(), want);
        };
        check(json!({ "id": "pi_1", "object": "payment_intent" }), Some("pi_1"));
        check(json!({ "id": "re_1", "object": "refund", "payment_intent": "pi_2" }), Some("pi_2"));
        check(
            json!({ "id": "ch_1", "object": "charge", "payment_intent": { "id": "pi_3" } }),
            Some("pi_3"),
        );
        check(json!({ "id": "ch_1", "object": "charge", "payment_intent": null }), None);
        assert!(Event::read(&json!({ "object": "list" })).is_none());
    }
}
