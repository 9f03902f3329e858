//! Brings Stripe in step with a subscription's record.

use serde_json::Value;
use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_ledger_store::{CatalogueError, Put};
use tollgate_metering::UnixMillis;
use uuid::Uuid;

use super::{BilledSubscription, Kept, SubscriptionState, subscription_key};
use crate::Billing;
use crate::attempts::{Attempt, is_kept};
use crate::customers::{Customer, id_of};
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::jobs::{Job, PROMISE_KEPT, SubscriptionAction};
use crate::publishing::Making;
use crate::records::Stored;
use crate::stripe::{Client, Form, StripeError};

/// Subscriptions of one customer that are looked through for one.
const LOOKED_THROUGH_MAX: usize = 1_000;

// === impl Billing ===

impl Billing {
    /// Does a job about a subscription; `false` where the change that it is about is not there yet.
    pub(crate) async fn sync_subscription(
        &self,
        integration: &Integration,
        job: &Job,
        action: &SubscriptionAction,
    ) -> Result<bool, BillingError> {
        let organization = &integration.organization;
        let key = subscription_key(organization, action.developer, action.subscription);
        let now = self.parts().clock.now();
        let is_late = now.since(job.created_at) >= PROMISE_KEPT;
        let record = match self.records().load::<Kept>(&key).await? {
            Some(Stored { record: Some(record), .. }) if record.revision >= action.revision => {
                record
            }
            // Whoever wanted to write it has certainly not, and cannot any more after this.
            None if is_late => {
                return Ok(self.records().insert(&key, &Kept::None, now).await? == Put::Written);
            }
            Some(Stored { version, record }) if is_late => {
                let put = self.records().replace(&key, version, &record, now).await?;
                return Ok(put == Put::Written);
            }
            Some(Stored { record: None, .. }) => return Ok(true),
            None | Some(_) => return Ok(false),
        };
        let record = self.in_step_here(record).await?;
        let client = self.client_of(integration)?;
        let status = match record.is_collected_by(integration) {
            true => Some(self.collect(&client, integration, job.id, &record).await?),
            false => {
                self.stop_collecting(&client, integration, &record).await?;
                None
            }
        };
        if let Some(subscription) = status {
            self.hear_status(&record, &subscription).await?;
        }
        let revision = record.revision;
        self.edit_subscription(&record, |kept| kept.synced = kept.synced.max(revision)).await?;
        Ok(true)
    }

    /// The catalogue in step with the record, and the record as it is then.
    async fn in_step_here(
        &self,
        record: BilledSubscription,
    ) -> Result<BilledSubscription, BillingError> {
        let catalogue = &self.parts().catalogue;
        let found = catalogue.developer_by_id(&record.organization, record.developer).await;
        let refused = match &found {
            Ok(developer) => self.put_in_force(&record, developer).await?.map(drop),
            // Whoever is deleted pays no more.
            Err(CatalogueError::Missing { .. }) => Some(self.end_record(&record).await?),
            Err(_) => return Err(BillingError::Contended { what: "developer" }),
        };
        match refused {
            Some(()) => Ok(BilledSubscription { state: SubscriptionState::Ended, ..record }),
            None => Ok(record),
        }
    }

    /// The subscription at Stripe, made, or moved to the plan's price.
    async fn collect(
        &self,
        client: &Client,
        integration: &Integration,
        job: Uuid,
        record: &BilledSubscription,
    ) -> Result<Value, BillingError> {
        let catalogue = &self.parts().catalogue;
        let product = catalogue.product(&record.organization, &record.product).await?;
        let plan =
            catalogue.plan(&record.organization, &record.product, &record.plan.to_string()).await?;
        let price = self.sync_plan(integration, job, (&product, &plan), &record.flat).await?;
        let Some(id) = &record.stripe else {
            let developer =
                catalogue.developer_by_id(&record.organization, record.developer).await?;
            return self.make(client, integration, job, (record, &developer), &price).await;
        };
        let found = client.get(&format!("/subscriptions/{id}"), &Form::new()).await?;
        let item = &found["items"]["data"][0];
        if item["price"]["id"].as_str() == Some(price.as_str()) || is_over(&found) {
            return Ok(found);
        }
        let form = Form::new()
            .with("items[0][id]", item["id"].as_str().unwrap_or_default())
            .with("items[0][price]", &price)
            .with("proration_behavior", "create_prorations")
            .with("payment_behavior", "allow_incomplete")
            .with("metadata[tollgate_plan]", record.plan);
        // It was looked at just now, so a key of its own cannot move it twice.
        let key = format!("tollgate/job/{job}/change/{}", Uuid::new_v4());
        Ok(client.post(&format!("/subscriptions/{id}"), &form, &key).await?)
    }

    async fn make(
        &self,
        client: &Client,
        integration: &Integration,
        job: Uuid,
        (record, developer): (&BilledSubscription, &Developer),
        price: &str,
    ) -> Result<Value, BillingError> {
        let customer = self.customer(integration, developer).await?;
        let now = self.parts().clock.now();
        let mut making = match record.making {
            Some(making) => making.by(job),
            None => Making { job, attempt: Attempt::first(now) },
        };
        if making.attempt.must_look(now) {
            if let Some(found) = find(client, &customer, record.id).await? {
                self.note_made(record, &found).await?;
                return Ok(found);
            }
            making.attempt = making.attempt.next(now);
        }
        self.note_subscription_making(record, making).await?;
        let form = form(record, &customer, price, now);
        match client.post("/subscriptions", &form, &making.key("subscription")).await {
            Ok(made) => {
                self.note_made(record, &made).await?;
                Ok(made)
            }
            Err(error) => {
                if is_kept(&error) {
                    making.attempt.is_failed = true;
                    self.note_subscription_making(record, making).await?;
                }
                Err(error.into())
            }
        }
    }

    /// Ends the subscription at Stripe, whether its making was heard of or not.
    async fn stop_collecting(
        &self,
        client: &Client,
        integration: &Integration,
        record: &BilledSubscription,
    ) -> Result<(), BillingError> {
        let id = match (&record.stripe, record.making) {
            (Some(id), _) => Some(id.clone()),
            (None, None) => None,
            (None, Some(_)) => match self.known_customer(integration, record.developer).await? {
                Some(customer) => {
                    find(client, &customer, record.id).await?.as_ref().map(id_of).transpose()?
                }
                None => None,
            },
        };
        if let Some(id) = id {
            match client.delete(&format!("/subscriptions/{id}")).await {
                Ok(_) | Err(StripeError::Missing(_)) => {}
                // One that is over already is refused, and that is what was wanted.
                Err(error) => {
                    let found = client.get(&format!("/subscriptions/{id}"), &Form::new()).await?;
                    if !is_over(&found) {
                        return Err(error.into());
                    }
                }
            }
        }
        self.edit_subscription(record, |kept| {
            if kept.revision == record.revision {
                (kept.stripe, kept.making) = (None, None);
            }
        })
        .await?;
        self.forget_unpaid(record).await
    }

    async fn note_made(
        &self,
        record: &BilledSubscription,
        made: &Value,
    ) -> Result<(), BillingError> {
        let id = id_of(made)?;
        self.edit_subscription(record, |kept| kept.stripe = Some(id.clone())).await
    }

    async fn note_subscription_making(
        &self,
        record: &BilledSubscription,
        making: Making,
    ) -> Result<(), BillingError> {
        self.edit_subscription(record, |kept| kept.making = Some(making)).await
    }
}

/// Whether Stripe has ended a subscription for good.
pub(crate) fn is_over(subscription: &Value) -> bool {
    matches!(subscription["status"].as_str(), Some("canceled" | "incomplete_expired"))
}

fn form(record: &BilledSubscription, customer: &Customer, price: &str, now: UnixMillis) -> Form {
    let trial = record.flat.trial.map(|trial| trial.after(record.created_at));
    // Stripe takes no end that is over; the job may run late.
    let trial = trial.filter(|end| *end > now).map(|end| end.0.div_euclid(1_000));
    Form::new()
        .with("customer", &customer.id)
        .with("items[0][price]", price)
        .with("off_session", true)
        // A card that is declined is no failure of the job: it is heard of, and may be mended.
        .with("payment_behavior", "allow_incomplete")
        .with_some("trial_end", trial)
        .with("metadata[tollgate_organization]", &record.organization)
        .with("metadata[tollgate_developer]", record.developer)
        .with("metadata[tollgate_subscription]", record.id)
        .with("metadata[tollgate_plan]", record.plan)
}

/// The subscription that earlier attempts may have made, one that goes on before one that is over.
async fn find(
    client: &Client,
    customer: &Customer,
    id: Uuid,
) -> Result<Option<Value>, BillingError> {
    let query = Form::new().with("customer", &customer.id).with("status", "all");
    let all = client.list("/subscriptions", &query, LOOKED_THROUGH_MAX).await?;
    let wanted = id.to_string();
    let is_it = |one: &&Value| {
        one["metadata"]["tollgate_subscription"].as_str() == Some(wanted.as_str()) && !is_over(one)
    };
    Ok(all.iter().find(is_it).cloned())
}
