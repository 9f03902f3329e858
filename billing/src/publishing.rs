//! Plans with a flat price in catalogues, and their products and prices at Stripe.
//!
//! A plan is published to catalogues by name. One that costs something needs its billing in that
//! catalogue and in Sandbox, as in IBM API Connect. At Stripe a plan is a product with an id made of
//! the plan's, so that it cannot be made twice, and a price for each price that it ever had:
//! subscriptions keep the price that they were made with until they are changed.
//! Not here: what subscribing does (`subscribing`).

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_ledger_store::catalogue::flat::FlatPrice;
use tollgate_ledger_store::catalogue::records::{Plan, PlanState, Product, SpanUnit};
use tollgate_ledger_store::{DocumentKey, Put};
use tollgate_metering::PlanId;
use uuid::Uuid;

use crate::Billing;
use crate::attempts::{Attempt, is_kept};
use crate::catalogs::SANDBOX;
use crate::currency;
use crate::customers::id_of;
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::jobs::{Action, PlanAction};
use crate::records::key;
use crate::stripe::{Client, Form, StripeError};

const PRICES: &str = "billing.prices";

/// Prices of one product that are looked through for one.
const PRICES_MAX: usize = 1_000;

/// What was made at Stripe for a plan's prices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct PlanPrices {
    /// Oldest first.
    prices: Vec<PlanPrice>,
}

/// A price at Stripe: being made, or made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PlanPrice {
    /// What it says; see [`fingerprint`].
    fingerprint: String,
    making: Making,
    id: Option<String>,
}

/// The job that makes an object, and how often it has tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Making {
    /// The job, whose id the idempotency key has.
    pub(crate) job: Uuid,
    /// Its attempt.
    pub(crate) attempt: Attempt,
}

/// What a price says, in a text that is the same for the same price.
pub(crate) fn fingerprint(flat: &FlatPrice) -> Result<String, BillingError> {
    let minor = currency::payment(flat.price, flat.currency)?;
    let (unit, count) = interval(flat);
    Ok(format!("{}-{minor}-{count}-{unit}", flat.currency.to_string().to_lowercase()))
}

/// Stripe's words for a period.
fn interval(flat: &FlatPrice) -> (&'static str, u32) {
    let count = flat.period.count;
    match flat.period.unit {
        SpanUnit::Day => ("day", count),
        SpanUnit::Week => ("week", count),
        SpanUnit::Month => ("month", count),
        SpanUnit::Quarter => ("month", count.saturating_mul(3)),
        SpanUnit::Year => ("year", count),
    }
}

/// The id of a plan's product at Stripe.
fn product_id(plan: PlanId) -> String {
    format!("tollgate_{plan}")
}

fn prices_key(integration: &Integration, plan: PlanId) -> DocumentKey {
    key(PRICES, format!("{}/{}", integration.organization, integration.id), plan)
}

// === impl Making ===

impl Making {
    /// What `job` goes on with: its own attempt, or one that looks first, since another job may have
    /// made the object before it was deleted.
    pub(crate) fn by(self, job: Uuid) -> Making {
        match self.job == job {
            true => self,
            false => Making { job, attempt: Attempt { is_failed: true, ..self.attempt } },
        }
    }

    /// The idempotency key of a step.
    pub(crate) fn key(self, step: &str) -> String {
        self.attempt.key(&format!("tollgate/job/{}/{step}", self.job))
    }
}

// === impl Billing ===

impl Billing {
    /// Plans that are published to a catalogue, with their products.
    ///
    /// # Errors
    /// `Missing` (organization), or the store's.
    pub async fn published_plans(
        &self,
        organization: &str,
        catalog: &str,
    ) -> Result<Vec<(Product, Plan)>, BillingError> {
        let products = self.parts().catalogue.products(organization, None, usize::MAX).await?;
        let is_there = |plan: &&Plan| {
            let flat = plan.terms.flat.as_ref();
            flat.is_some_and(|flat| flat.catalogs.iter().any(|name| name == catalog))
        };
        let mut found = Vec::new();
        for product in products {
            let plans: Vec<Plan> = product.plans.iter().filter(is_there).cloned().collect();
            found.extend(plans.into_iter().map(|plan| (product.clone(), plan)));
        }
        Ok(found)
    }

    /// Publishes a plan to a catalogue, with a flat price that it has in all of its catalogues.
    ///
    /// # Errors
    /// `Missing`, `Invalid`, `Amount`, `Precondition` (no billing in the catalogue or in Sandbox, fees
    /// beside it), or the store's.
    pub async fn publish_plan(
        &self,
        organization: &str,
        catalog: &str,
        (product, plan): (&str, &str),
        flat: &FlatPrice,
    ) -> Result<(Product, Plan), BillingError> {
        let before = self.parts().catalogue.plan(organization, product, plan).await?;
        let mut flat = flat.clone();
        flat.catalogs = before.terms.flat.map(|flat| flat.catalogs).unwrap_or_default();
        if !flat.catalogs.iter().any(|name| name == catalog) {
            flat.catalogs.push(catalog.to_owned());
        }
        let mut billed = None;
        for name in flat.catalogs.iter().map(String::as_str) {
            let found = self.billing_in(organization, name, &flat).await?;
            billed = billed.or(found);
        }
        if flat.is_paid() {
            fingerprint(&flat)?;
        }
        let (catalogue, now) = (&self.parts().catalogue, self.parts().clock.now());
        let published = catalogue.set_flat_price(organization, product, plan, &flat, now).await?;
        if let Some(integration) = billed {
            let action = PlanAction { product: published.0.name.clone(), plan: published.1.id };
            self.enqueue(&integration, Action::PublishPlan(action)).await?;
        }
        Ok(published)
    }

    /// Takes a plan out of a catalogue: nobody subscribes to it there any more; subscriptions go on.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn withdraw_plan(
        &self,
        organization: &str,
        catalog: &str,
        (product, plan): (&str, &str),
    ) -> Result<(Product, Plan), BillingError> {
        let before = self.parts().catalogue.plan(organization, product, plan).await?;
        let missing = || {
            BillingError::missing("plan", format!("{product}/{plan}"), format!("catalog {catalog}"))
        };
        let mut flat = before.terms.flat.ok_or_else(missing)?;
        if !flat.catalogs.iter().any(|name| name == catalog) {
            return Err(missing());
        }
        flat.catalogs.retain(|name| name != catalog);
        let (catalogue, now) = (&self.parts().catalogue, self.parts().clock.now());
        Ok(catalogue.set_flat_price(organization, product, plan, &flat, now).await?)
    }

    /// The integration that collects a price in a catalogue; `None` where it costs nothing.
    pub(crate) async fn billing_in(
        &self,
        organization: &str,
        catalog: &str,
        flat: &FlatPrice,
    ) -> Result<Option<Integration>, BillingError> {
        let target = self.catalog(organization, catalog).await?;
        let Some(name) = flat.billing.as_deref().filter(|_| flat.is_paid()) else {
            return Ok(None);
        };
        let integration = self.integration(organization, name).await?.record;
        let sandbox = self.catalog(organization, SANDBOX).await?;
        for place in [&target, &sandbox] {
            if !place.has(&integration) {
                return Err(BillingError::Precondition(format!(
                    "plan has a price and billing {name} is not configured in catalog {}: a plan with \
                     a price needs its billing in its catalog and in {SANDBOX}",
                    place.name
                )));
            }
        }
        Ok(Some(integration))
    }

    /// Makes product and price of a plan at Stripe, as far as they are not there, and tells the
    /// product what the plan is called now. Answers the price's id.
    pub(crate) async fn sync_plan(
        &self,
        integration: &Integration,
        job: Uuid,
        (product, plan): (&Product, &Plan),
        flat: &FlatPrice,
    ) -> Result<String, BillingError> {
        let client = self.client_of(integration)?;
        let name = format!("{} – {}", product.name, plan.terms.display_name);
        let at_stripe = product_id(plan.id);
        match client.get(&format!("/products/{at_stripe}"), &Form::new()).await {
            Ok(found) if found["name"].as_str() == Some(name.as_str()) => {}
            Ok(_) => {
                let form = Form::new().with("name", &name);
                // What a product is called harms nobody twice, so each change has a key of its own.
                let key = format!("tollgate/job/{job}/product-name/{}", Uuid::new_v4());
                client.post(&format!("/products/{at_stripe}"), &form, &key).await?;
            }
            Err(StripeError::Missing(_)) => {
                let form = Form::new()
                    .with("id", &at_stripe)
                    .with("name", &name)
                    .with("metadata[tollgate_organization]", &integration.organization)
                    .with("metadata[tollgate_product]", &product.name)
                    .with("metadata[tollgate_plan]", plan.id);
                // The id is ours: a second one under it is refused, and then it is there.
                let key = format!("tollgate/job/{job}/product/{}", Uuid::new_v4());
                client.post("/products", &form, &key).await?;
            }
            Err(error) => return Err(error.into()),
        }
        self.sync_price(&client, integration, job, plan.id, flat).await
    }

    async fn sync_price(
        &self,
        client: &Client,
        integration: &Integration,
        job: Uuid,
        plan: PlanId,
        flat: &FlatPrice,
    ) -> Result<String, BillingError> {
        let (key, print) = (prices_key(integration, plan), fingerprint(flat)?);
        let mut making = match self.begin_price(&key, &print, job).await? {
            PlanPrice { id: Some(id), .. } => return Ok(id),
            PlanPrice { making, .. } => making,
        };
        let now = self.parts().clock.now();
        if making.attempt.must_look(now) {
            if let Some(id) = find_price(client, plan, &print).await? {
                return self.note_price(&key, &print, id).await;
            }
            making.attempt = making.attempt.next(now);
            self.note_making(&key, &print, making).await?;
        }
        let (unit, count) = interval(flat);
        let form = Form::new()
            .with("product", product_id(plan))
            .with("currency", flat.currency.to_string().to_lowercase())
            .with("unit_amount", currency::payment(flat.price, flat.currency)?)
            .with("recurring[interval]", unit)
            .with("recurring[interval_count]", count)
            .with("metadata[tollgate_plan]", plan)
            .with("metadata[tollgate_price]", &print);
        match client.post("/prices", &form, &making.key("price")).await {
            Ok(price) => self.note_price(&key, &print, id_of(&price)?).await,
            Err(error) => {
                if is_kept(&error) {
                    making.attempt.is_failed = true;
                    self.note_making(&key, &print, making).await?;
                }
                Err(error.into())
            }
        }
    }

    /// The price as stored, or begun.
    async fn begin_price(
        &self,
        key: &DocumentKey,
        print: &str,
        job: Uuid,
    ) -> Result<PlanPrice, BillingError> {
        let now = self.parts().clock.now();
        let first = Making { job, attempt: Attempt::first(now) };
        if let Put::Written = self.records().insert(key, &PlanPrices::default(), now).await? {
            tracing::debug!(plan = key.name, "a plan gets its first price at Stripe");
        }
        let begun = self.records().edit(key, now, |all: &mut PlanPrices| {
            if let Some(found) = all.prices.iter_mut().find(|one| one.fingerprint == print) {
                found.making = found.making.by(job);
                return Ok(found.clone());
            }
            let fingerprint = print.to_owned();
            all.prices.push(PlanPrice { fingerprint, making: first, id: None });
            Ok(PlanPrice { fingerprint: print.to_owned(), making: first, id: None })
        });
        begun.await?.map(|(_, price)| price).ok_or(BillingError::Contended { what: "prices" })
    }

    async fn note_making(
        &self,
        key: &DocumentKey,
        print: &str,
        making: Making,
    ) -> Result<(), BillingError> {
        let now = self.parts().clock.now();
        let noted = self.records().edit(key, now, |all: &mut PlanPrices| {
            for price in all.prices.iter_mut().filter(|price| price.fingerprint == print) {
                price.making = making;
            }
            Ok(())
        });
        noted.await.map(drop)
    }

    async fn note_price(
        &self,
        key: &DocumentKey,
        print: &str,
        id: String,
    ) -> Result<String, BillingError> {
        let now = self.parts().clock.now();
        let noted = self.records().edit(key, now, |all: &mut PlanPrices| {
            for price in all.prices.iter_mut().filter(|price| price.fingerprint == print) {
                price.id.get_or_insert_with(|| id.clone());
            }
            Ok(())
        });
        noted.await?;
        Ok(id)
    }
}

/// A price of the plan's product that says this.
async fn find_price(
    client: &Client,
    plan: PlanId,
    print: &str,
) -> Result<Option<String>, BillingError> {
    let query = Form::new().with("product", product_id(plan));
    let prices = client.list("/prices", &query, PRICES_MAX).await?;
    let says = |price: &&Value| price["metadata"]["tollgate_price"].as_str() == Some(print);
    prices.iter().rev().find(says).map(id_of).transpose()
}

/// Whether a plan may be subscribed to in a catalogue.
pub(crate) fn offered<'a>(
    product: &Product,
    plan: &'a Plan,
    catalog: &str,
) -> Result<&'a FlatPrice, BillingError> {
    let flat = plan.terms.flat.as_ref();
    let flat = flat.filter(|flat| flat.catalogs.iter().any(|name| name == catalog));
    let flat = flat.filter(|_| plan.terms.state == PlanState::Published);
    flat.ok_or_else(|| {
        let name = format!("{}/{}", product.name, plan.public_id());
        BillingError::missing("published plan", name, format!("catalog {catalog}"))
    })
}
