//! Subscriptions to plans with a flat price: here, and at Stripe.
//!
//! A subscription is one of the catalogue, so that gateways let its calls through, and a record that
//! says how it is paid. What is to happen is written into the record, and a job of the
//! integration's queue brings the catalogue and Stripe in step with it, whatever crashed in between:
//! the job is there before the record is, and a record counts its changes.
//!
//! ```text
//! job (promise) ─▶ record ─▶ catalogue's subscription ─▶ [job runs] ─▶ Stripe's subscription
//! ```
//!
//! Invariants: at most one subscription at Stripe a record that is active, none where it has ended
//! and its jobs are done; the price is the one that was subscribed to.
//! Not here: what failed payments do (`dunning`), cards (`cards`).

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::flat::{FlatPrice, FlatSubscription};
use tollgate_ledger_store::catalogue::records::{Developer, Plan, Product};
use tollgate_ledger_store::catalogue::text;
use tollgate_ledger_store::{CatalogueError, DocumentKey, Put};
use tollgate_metering::{DeveloperId, PlanId, UnixMillis};
use uuid::Uuid;

use crate::Billing;
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::jobs::{Action, SubscriptionAction};
use crate::publishing::{Making, offered};
use crate::records::{Stored, key};

mod at_stripe;

pub(crate) use at_stripe::is_over;

pub(crate) const SUBSCRIPTION: &str = "billing.subscription";

/// Most subscriptions of a developer that are listed, ended ones included.
pub const SUBSCRIPTIONS_MAX: usize = 2_000;

/// A subscription to a plan with a flat price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledSubscription {
    /// That of the catalogue's subscription too.
    pub id: Uuid,
    /// Where it is.
    pub organization: String,
    /// The catalogue that it was made in.
    pub catalog: String,
    /// Whose it is.
    #[serde(with = "text::plain")]
    pub developer: DeveloperId,
    /// The product by name.
    pub product: String,
    /// The plan.
    #[serde(with = "text::plain")]
    pub plan: PlanId,
    /// The price as it was when it was subscribed to.
    pub flat: FlatPrice,
    /// The integration that collects it, or did.
    pub integration: Option<Uuid>,
    /// Whether it holds.
    pub state: SubscriptionState,
    /// Counts the changes, from 1.
    pub revision: u32,
    /// How many of them Stripe knows of.
    #[serde(default)]
    pub synced: u32,
    /// How it is paid.
    #[serde(default)]
    pub payment: PaymentState,
    /// `sub_…`, while there is one at Stripe.
    #[serde(default)]
    pub stripe: Option<String>,
    /// What makes it.
    #[serde(default)]
    pub(crate) making: Option<Making>,
    /// When it was created.
    #[serde(with = "text::millis")]
    pub created_at: UnixMillis,
    /// When it was last changed.
    #[serde(with = "text::millis")]
    pub modified_at: UnixMillis,
}

/// Whether a subscription holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubscriptionState {
    /// It does.
    Active,
    /// It was ended.
    Ended,
}

/// How a subscription is paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// Everything that was due is paid, or nothing was due yet.
    #[default]
    Paid,
    /// A payment has failed.
    Failed {
        /// When we first heard of it.
        #[serde(with = "text::millis")]
        since: UnixMillis,
    },
}

/// What is subscribed to.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The catalogue.
    pub catalog: &'a str,
    /// The product by name.
    pub product: &'a str,
    /// The plan by id or name.
    pub plan: &'a str,
}

/// A record whose job found that it never came is `null`, for good.
pub(crate) type Kept = Option<BilledSubscription>;

pub(crate) fn subscription_key(
    organization: &str,
    developer: DeveloperId,
    id: Uuid,
) -> DocumentKey {
    key(SUBSCRIPTION, organization, format!("{developer}/{id}"))
}

// === impl BilledSubscription ===

impl BilledSubscription {
    pub(crate) fn key(&self) -> DocumentKey {
        subscription_key(&self.organization, self.developer, self.id)
    }

    /// Whether there should be one at Stripe in this integration.
    pub(crate) fn is_collected_by(&self, integration: &Integration) -> bool {
        self.state == SubscriptionState::Active
            && self.flat.is_paid()
            && self.integration == Some(integration.id)
    }

    fn action(&self) -> Action {
        Action::SyncSubscription(SubscriptionAction {
            developer: self.developer,
            subscription: self.id,
            revision: self.revision,
        })
    }

    fn wanted(&self) -> FlatSubscription {
        FlatSubscription {
            id: self.id,
            product: self.product.clone(),
            plan: self.plan,
            start: self.created_at,
        }
    }
}

// === impl Billing ===

impl Billing {
    /// Subscribes a developer to a plan of a catalogue.
    ///
    /// # Errors
    /// `Missing`, `Precondition` (no payment method for a plan with a price, no billing), `Catalogue`
    /// (a subscription to the product holds already), or the store's.
    pub async fn subscribe(
        &self,
        organization: &str,
        developer: &Developer,
        offer: Offer<'_>,
    ) -> Result<BilledSubscription, BillingError> {
        let (product, plan, integration) = self.choose(organization, developer, offer).await?;
        let flat = offered(&product, &plan, offer.catalog)?.clone();
        let now = self.parts().clock.now();
        self.refuse_second(organization, developer, &product, now).await?;
        let new = BilledSubscription {
            id: Uuid::new_v4(),
            organization: organization.to_owned(),
            catalog: offer.catalog.to_owned(),
            developer: developer.id,
            product: product.name.clone(),
            plan: plan.id,
            integration: integration.as_ref().map(|integration| integration.id),
            state: SubscriptionState::Active,
            revision: 1,
            synced: 0,
            payment: PaymentState::Paid,
            stripe: None,
            making: None,
            flat,
            created_at: now,
            modified_at: now,
        };
        if let Some(integration) = &integration {
            self.enqueue(integration, new.action()).await?;
        }
        match self.records().insert(&new.key(), &Some(&new), now).await? {
            Put::Written => {}
            Put::Conflict => return Err(BillingError::Contended { what: "subscription" }),
        }
        match self.put_in_force(&new, developer).await? {
            Some(refused) => Err(refused.into()),
            None => Ok(new),
        }
    }

    /// Puts a developer's subscription on another plan of its product and catalogue.
    ///
    /// # Errors
    /// As [`Billing::subscribe`]; `Precondition` where it has ended or another billing collects.
    pub async fn change_subscription(
        &self,
        organization: &str,
        developer: &Developer,
        id: &str,
        plan: &str,
    ) -> Result<BilledSubscription, BillingError> {
        let Stored { version, record: before } =
            self.stored_subscription(organization, developer, id).await?;
        if before.state == SubscriptionState::Ended {
            return Err(BillingError::Precondition(format!("subscription {id} has ended")));
        }
        let offer = Offer { catalog: &before.catalog, product: &before.product, plan };
        let (product, plan, collects) = self.choose(organization, developer, offer).await?;
        let flat = offered(&product, &plan, &before.catalog)?.clone();
        let collected = match (before.integration, &collects) {
            (Some(old), Some(new)) if old != new.id => {
                return Err(BillingError::Precondition(
                    "plan is collected by another billing: end the subscription and subscribe anew"
                        .to_owned(),
                ));
            }
            (old, new) => new.as_ref().map(|new| new.id).or(old),
        };
        let after = BilledSubscription { plan: plan.id, flat, integration: collected, ..before };
        self.write_change(version, after, developer).await
    }

    /// Ends a developer's subscription now, here and at Stripe; one that has ended stays so.
    ///
    /// # Errors
    /// `Missing`, `Contended`, or the store's.
    pub async fn unsubscribe(
        &self,
        organization: &str,
        developer: &Developer,
        id: &str,
    ) -> Result<BilledSubscription, BillingError> {
        let Stored { version, record } =
            self.stored_subscription(organization, developer, id).await?;
        if record.state == SubscriptionState::Ended {
            return Ok(record);
        }
        let after = BilledSubscription { state: SubscriptionState::Ended, ..record };
        self.write_change(version, after, developer).await
    }

    /// Subscriptions of a developer to plans with a flat price.
    ///
    /// # Errors
    /// The store's.
    pub async fn billed_subscriptions(
        &self,
        organization: &str,
        developer: DeveloperId,
    ) -> Result<Vec<BilledSubscription>, BillingError> {
        let prefix = format!("{developer}/");
        let records = self.records();
        let page =
            records.page::<Kept>(SUBSCRIPTION, organization, Some(&prefix), SUBSCRIPTIONS_MAX);
        let page = page.await?.into_iter().take_while(|(name, _)| name.starts_with(&prefix));
        Ok(page.filter_map(|(_, stored)| stored.record).collect())
    }

    /// A developer's subscription.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn billed_subscription(
        &self,
        organization: &str,
        developer: &Developer,
        id: &str,
    ) -> Result<BilledSubscription, BillingError> {
        Ok(self.stored_subscription(organization, developer, id).await?.record)
    }

    /// A subscription that is collected by this integration, if there is any.
    pub(crate) async fn billed_with(
        &self,
        integration: &Integration,
    ) -> Result<Option<Uuid>, BillingError> {
        let all = self.records().all::<Kept>(SUBSCRIPTION, &integration.organization).await?;
        let mut kept = all.into_iter().filter_map(|(_, stored)| stored.record);
        let found = kept.find(|one| one.is_collected_by(integration) || one.stripe.is_some());
        Ok(found.filter(|one| one.integration == Some(integration.id)).map(|one| one.id))
    }

    /// Whether a developer is to pay for something by card.
    pub(crate) async fn pays_with(
        &self,
        integration: &Integration,
        developer: DeveloperId,
    ) -> Result<bool, BillingError> {
        let all = self.billed_subscriptions(&integration.organization, developer).await?;
        Ok(all.iter().any(|one| one.is_collected_by(integration)))
    }

    async fn stored_subscription(
        &self,
        organization: &str,
        developer: &Developer,
        id: &str,
    ) -> Result<Stored<BilledSubscription>, BillingError> {
        let missing = || BillingError::missing("subscription", id, &developer.email);
        let uuid = id.parse().map_err(|_| missing())?;
        let key = subscription_key(organization, developer.id, uuid);
        let found = self.records().load::<Kept>(&key).await?.ok_or_else(missing)?;
        let record = found.record.ok_or_else(missing)?;
        Ok(Stored { version: found.version, record })
    }

    /// What an offer is, if this developer may take it.
    async fn choose(
        &self,
        organization: &str,
        developer: &Developer,
        offer: Offer<'_>,
    ) -> Result<(Product, Plan, Option<Integration>), BillingError> {
        let product = self.parts().catalogue.product(organization, offer.product).await?;
        let is_it = |plan: &&Plan| {
            plan.name.as_deref() == Some(offer.plan) || plan.id.to_string() == offer.plan
        };
        let plan = product.plans.iter().find(is_it).cloned().ok_or_else(|| {
            BillingError::missing("rate plan", offer.plan, format!("product {}", product.name))
        })?;
        let flat = offered(&product, &plan, offer.catalog)?;
        let integration = self.billing_in(organization, offer.catalog, flat).await?;
        if let Some(integration) = &integration {
            let customer = self.known_customer(integration, developer.id).await?;
            if customer.and_then(|customer| customer.default_payment_method).is_none() {
                return Err(BillingError::Precondition(format!(
                    "plan {} has a price and {} has no payment method: register one at \
                     payment-methods first",
                    plan.public_id(),
                    developer.email
                )));
            }
        }
        Ok((product, plan, integration))
    }

    async fn refuse_second(
        &self,
        organization: &str,
        developer: &Developer,
        product: &Product,
        now: UnixMillis,
    ) -> Result<(), BillingError> {
        let held = self.parts().catalogue.subscriptions(organization, developer.id).await?;
        let holds = |held: &&tollgate_ledger_store::catalogue::records::Subscription| {
            held.product == product.id && held.window.end.is_none_or(|end| end > now)
        };
        match held.iter().find(holds) {
            Some(held) => {
                let name = format!("{} to {}", held.id, product.name);
                Err(BillingError::exists("subscription", name, &developer.email))
            }
            None => Ok(()),
        }
    }

    /// Writes a change over the version that it was computed from, its job before it.
    async fn write_change(
        &self,
        version: u64,
        mut after: BilledSubscription,
        developer: &Developer,
    ) -> Result<BilledSubscription, BillingError> {
        let now = self.parts().clock.now();
        after.revision = after.revision.saturating_add(1);
        after.modified_at = now;
        if let Some(id) = after.integration {
            let all = self.integrations(&after.organization).await?;
            if let Some(integration) = all.iter().find(|one| one.id == id) {
                self.enqueue(integration, after.action()).await?;
            }
        }
        match self.records().replace(&after.key(), version, &Some(&after), now).await? {
            Put::Written => {}
            Put::Conflict => return Err(BillingError::Contended { what: "subscription" }),
        }
        match self.put_in_force(&after, developer).await? {
            Some(refused) => Err(refused.into()),
            None => Ok(after),
        }
    }

    /// Brings the catalogue in step with a record. Where it refuses for good, say because another
    /// subscription to the product came first, the record ends, and the refusal is answered.
    pub(crate) async fn put_in_force(
        &self,
        record: &BilledSubscription,
        developer: &Developer,
    ) -> Result<Option<CatalogueError>, BillingError> {
        let (catalogue, now) = (&self.parts().catalogue, self.parts().clock.now());
        let organization = &record.organization;
        if record.state == SubscriptionState::Ended {
            catalogue.end_subscription(organization, record.developer, record.id, now).await?;
            return Ok(None);
        }
        // A prepaid call needs a wallet, also where calls cost nothing.
        catalogue.open_wallet(organization, developer.id, record.flat.currency, now).await?;
        let wanted = record.wanted();
        let put = catalogue.put_flat_subscription(organization, developer, &wanted, now);
        match put.await {
            Ok(_) => Ok(None),
            Err(
                refused @ (CatalogueError::Exists { .. }
                | CatalogueError::Missing { .. }
                | CatalogueError::Precondition(_)
                | CatalogueError::Invalid { .. }),
            ) => {
                self.end_record(record).await?;
                Ok(Some(refused))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a record whose subscription cannot be in force; its job takes away what Stripe has.
    pub(crate) async fn end_record(&self, record: &BilledSubscription) -> Result<(), BillingError> {
        let now = self.parts().clock.now();
        self.edit_subscription(record, |kept| {
            (kept.state, kept.modified_at) = (SubscriptionState::Ended, now);
        })
        .await
    }

    /// Changes a record as it is now; one that is not there stays so.
    pub(crate) async fn edit_subscription(
        &self,
        record: &BilledSubscription,
        mut change: impl FnMut(&mut BilledSubscription) + Send,
    ) -> Result<(), BillingError> {
        let (key, now) = (record.key(), self.parts().clock.now());
        let edited = self.records().edit(&key, now, |kept: &mut Kept| {
            if let Some(kept) = kept {
                change(kept);
            }
            Ok(())
        });
        edited.await.map(drop)
    }
}
