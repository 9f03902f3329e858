//! What failed payments of subscriptions do here.
//!
//! Stripe retries a payment that failed; after [`crate::workers::Intervals::payment_grace`] the
//! subscription is suspended, so that gateways refuse its calls, and it is in force again once it is
//! paid. Who is behind is listed before his record says so, and taken off last, so that a crash in
//! between is mended by the next pass.
//! Before a subscription is suspended Stripe is asked once more: events may be late or lost.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_ledger_store::DocumentKey;
use tollgate_ledger_store::catalogue::text;
use tollgate_metering::{DeveloperId, UnixMillis};
use uuid::Uuid;

use crate::Billing;
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::records::key;
use crate::stripe::{Form, StripeError};
use crate::subscribing::{
    BilledSubscription, Kept, PaymentState, SubscriptionState, subscription_key,
};

const UNPAID: &str = "billing.unpaid";

/// How often Stripe is asked about a subscription that is suspended, beside its events.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// A subscription whose payment failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Unpaid {
    organization: String,
    #[serde(with = "text::plain")]
    developer: DeveloperId,
    subscription: Uuid,
    /// When Stripe was asked last, once the grace period was over.
    #[serde(default, with = "text::millis_option")]
    asked_at: Option<UnixMillis>,
}

fn unpaid_key(record: &BilledSubscription) -> DocumentKey {
    let name = format!("{}/{}/{}", record.organization, record.developer, record.id);
    key(UNPAID, "all", name)
}

/// What Stripe's word for a subscription means.
fn payment_of(status: &str) -> Option<bool> {
    match status {
        "active" | "trialing" => Some(true),
        "past_due" | "unpaid" | "incomplete" | "paused" => Some(false),
        // Over, or a word that Stripe may add: nothing is taken from anybody for it.
        _other => None,
    }
}

// === impl Billing ===

impl Billing {
    /// Hears of an object of Stripe that is or names a subscription: `customer.subscription.*` and
    /// `invoice.*`. The subscription is fetched, since events come late and in any order.
    ///
    /// # Errors
    /// `Stripe`, `Contended`, the store's.
    pub async fn hear_of_subscription(
        &self,
        integration: &Integration,
        object: &Value,
    ) -> Result<(), BillingError> {
        let id = match object["object"].as_str() {
            Some("subscription") => object["id"].as_str(),
            Some(_) | None => object["subscription"].as_str(),
        };
        let Some(id) = id else { return Ok(()) };
        let client = self.client_of(integration)?;
        let found = match client.get(&format!("/subscriptions/{id}"), &Form::new()).await {
            Ok(found) => found,
            Err(StripeError::Missing(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let metadata = &found["metadata"];
        let named = |name: &str| metadata[name].as_str().unwrap_or_default();
        let ids = (named("tollgate_developer").parse(), named("tollgate_subscription").parse());
        let (Ok(developer), Ok(subscription)) = ids else { return Ok(()) };
        let key = subscription_key(&integration.organization, developer, subscription);
        let kept = self.records().load::<Kept>(&key).await?.and_then(|stored| stored.record);
        match kept {
            Some(record) if record.integration == Some(integration.id) => {
                self.hear_status(&record, &found).await
            }
            // Another system's, or one that was taken back.
            Some(_) | None => Ok(()),
        }
    }

    /// Takes over what Stripe says of a subscription.
    pub(crate) async fn hear_status(
        &self,
        record: &BilledSubscription,
        found: &Value,
    ) -> Result<(), BillingError> {
        let is_ours = record.stripe.is_none() || record.stripe.as_deref() == found["id"].as_str();
        if !is_ours || record.state == SubscriptionState::Ended {
            return Ok(());
        }
        if crate::subscribing::is_over(found) {
            return self.hear_end(record).await;
        }
        match payment_of(found["status"].as_str().unwrap_or_default()) {
            Some(true) => self.hear_paid(record).await,
            Some(false) => self.hear_failed(record).await,
            None => Ok(()),
        }
    }

    async fn hear_paid(&self, record: &BilledSubscription) -> Result<(), BillingError> {
        self.note_payment(record, PaymentState::Paid).await?;
        self.forget_unpaid(record).await
    }

    async fn hear_failed(&self, record: &BilledSubscription) -> Result<(), BillingError> {
        let now = self.parts().clock.now();
        let unpaid = Unpaid {
            organization: record.organization.clone(),
            developer: record.developer,
            subscription: record.id,
            asked_at: None,
        };
        self.records().insert(&unpaid_key(record), &unpaid, now).await?;
        self.note_payment(record, PaymentState::Failed { since: now }).await
    }

    /// Stripe has given up: the subscription ends here as well.
    async fn hear_end(&self, record: &BilledSubscription) -> Result<(), BillingError> {
        let now = self.parts().clock.now();
        self.end_record(record).await?;
        let catalogue = &self.parts().catalogue;
        catalogue.end_subscription(&record.organization, record.developer, record.id, now).await?;
        self.edit_subscription(record, |kept| (kept.stripe, kept.making) = (None, None)).await?;
        self.forget_unpaid(record).await
    }

    async fn note_payment(
        &self,
        record: &BilledSubscription,
        payment: PaymentState,
    ) -> Result<(), BillingError> {
        self.edit_subscription(record, |kept| {
            kept.payment = match (kept.payment, payment) {
                // The grace period runs from the first failure.
                (before @ PaymentState::Failed { .. }, PaymentState::Failed { .. }) => before,
                (_, after) => after,
            };
        })
        .await
    }

    /// Lets a subscription be in force again, and takes it off the list.
    pub(crate) async fn forget_unpaid(
        &self,
        record: &BilledSubscription,
    ) -> Result<(), BillingError> {
        let (catalogue, now) = (&self.parts().catalogue, self.parts().clock.now());
        let (organization, developer) = (&record.organization, record.developer);
        catalogue.suspend_subscription(organization, developer, record.id, false, now).await?;
        self.records().remove(&unpaid_key(record), now).await
    }

    /// One pass over everybody who is behind with a payment.
    ///
    /// # Errors
    /// The store's; one subscription's keep no other from its turn.
    pub async fn work_unpaid(self) -> Result<(), BillingError> {
        for (name, stored) in self.records().all::<Unpaid>(UNPAID, "all").await? {
            if let Err(error) = self.look_at_unpaid(&stored.record).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(subscription = name, error, "a failed payment is looked at later");
            }
        }
        Ok(())
    }

    async fn look_at_unpaid(&self, unpaid: &Unpaid) -> Result<(), BillingError> {
        let Unpaid { organization, developer, subscription, asked_at } = unpaid;
        let key = subscription_key(organization, *developer, *subscription);
        let kept = self.records().load::<Kept>(&key).await?.and_then(|stored| stored.record);
        let Some(record) = kept else { return Ok(()) };
        let since = match (record.state, record.payment) {
            (SubscriptionState::Active, PaymentState::Failed { since }) => since,
            (SubscriptionState::Ended, _) | (_, PaymentState::Paid) => {
                return self.forget_unpaid(&record).await;
            }
        };
        let now = self.parts().clock.now();
        let is_over = now.since(since) >= self.parts().intervals.payment_grace;
        if !is_over || asked_at.is_some_and(|at| now.since(at) < ASK_AGAIN) {
            return Ok(());
        }
        let all = self.integrations(organization).await?;
        let integration = all.iter().find(|one| record.integration == Some(one.id));
        let (Some(integration), Some(id)) = (integration, &record.stripe) else { return Ok(()) };
        let client = self.client_of(integration)?;
        let found = client.get(&format!("/subscriptions/{id}"), &Form::new()).await?;
        self.hear_status(&record, &found).await?;
        if payment_of(found["status"].as_str().unwrap_or_default()) != Some(false) {
            return Ok(());
        }
        let catalogue = &self.parts().catalogue;
        catalogue.suspend_subscription(organization, *developer, record.id, true, now).await?;
        let key = unpaid_key(&record);
        let asked = self.records().edit(&key, now, |unpaid: &mut Unpaid| {
            unpaid.asked_at = Some(now);
            Ok(())
        });
        asked.await.map(drop)
    }
}
