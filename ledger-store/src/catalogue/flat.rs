//! Flat prices: plans that a payment provider collects, published to catalogues.
//!
//! Such a plan applies to whoever subscribed to it, as a plan of a package does, so that several may
//! be in force beside each other. Its flat price is collected by Stripe and never booked here; so a
//! plan with one has neither a setup fee nor a recurring fee, which would be charged for the same.
//! What calls cost beside it is metered as in any plan.
//! Not here: what happens at Stripe (`billing`).

use serde::{Deserialize, Serialize};
use tollgate_metering::{Currency, DeveloperId, Money, PlanId, UnixMillis};
use uuid::Uuid;

use super::Catalogue;
use super::caller::Window;
use super::error::{CatalogueError, What};
use super::records::{
    Developer, Plan, PlanState, PlanTerms, Product, Span, SpanUnit, Subscription, Subscriptions,
};
use super::store::subscriptions_key;
use super::subscriptions::SUBSCRIPTIONS_MAX;
use super::text;

/// Most catalogues that a plan is published to.
pub const CATALOGS_MAX: usize = 100;

/// The longest period: Stripe bills at least every three years.
const YEARS_MAX: u32 = 3;

/// A price for a period of calendar time, collected by a payment provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlatPrice {
    /// The billing integration by name; needed where the price is not zero.
    pub billing: Option<String>,
    /// Its currency, which is the plan's.
    #[serde(with = "text::plain")]
    pub currency: Currency,
    /// How much a period; not negative.
    #[serde(with = "text::plain")]
    pub price: Money,
    /// What it is for.
    pub period: Span,
    /// What is free at first.
    #[serde(default)]
    pub trial: Option<Span>,
    /// The catalogues that it is published to: who subscribes, subscribes in one of them.
    #[serde(default)]
    pub catalogs: Vec<String>,
}

/// A subscription to a plan with a flat price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlatSubscription {
    /// Chosen by whoever keeps it.
    pub id: Uuid,
    /// The product by name.
    pub product: String,
    /// The plan.
    pub plan: PlanId,
    /// From when on.
    pub start: UnixMillis,
}

// === impl FlatPrice ===

impl FlatPrice {
    /// Whether it costs something.
    #[must_use]
    pub fn is_paid(&self) -> bool {
        self.price > Money::ZERO
    }

    fn check(&self, terms: &PlanTerms) -> Result<(), CatalogueError> {
        let invalid = |field: &str, reason: &str| Err(CatalogueError::invalid(field, reason));
        if self.price < Money::ZERO {
            return invalid("billing.price", "must not be negative");
        }
        if self.is_paid() && self.billing.is_none() {
            return invalid("billing.billing", "is required where the plan has a price");
        }
        let years = match self.period.unit {
            SpanUnit::Day => self.period.count / 365,
            SpanUnit::Week => self.period.count / 52,
            SpanUnit::Month => self.period.count / 12,
            SpanUnit::Quarter => self.period.count / 4,
            SpanUnit::Year => self.period.count,
        };
        if self.period.count == 0 || years >= YEARS_MAX && self.period != YEARS_LONGEST {
            return invalid("billing.period", "must be from one unit to three years");
        }
        if self.catalogs.len() > CATALOGS_MAX {
            return invalid("catalogs", "are too many");
        }
        if terms.currency.is_some_and(|currency| currency != self.currency) {
            return invalid("billing.currency", "must be the plan's currencyCode");
        }
        if terms.setup_fee.is_some() || terms.recurring_fee.is_some() {
            return Err(CatalogueError::Precondition(
                "rate plan has a price that is collected by its billing: it takes no setupFee and no \
                 fixedRecurringFee, which would be charged for the same"
                    .to_owned(),
            ));
        }
        if terms.package.is_some() {
            let what = "a plan of a package takes no price that is collected by a billing";
            return Err(CatalogueError::Precondition(what.to_owned()));
        }
        if terms.is_shadow() && self.is_paid() {
            let what = "a plan in shadow mode takes no price that is collected by a billing: \
                        nobody pays such a plan";
            return Err(CatalogueError::Precondition(what.to_owned()));
        }
        Ok(())
    }
}

const YEARS_LONGEST: Span = Span { count: YEARS_MAX, unit: SpanUnit::Year };

// === impl PlanTerms ===

impl PlanTerms {
    /// Whether the plan applies only to who accepted it, or subscribed to it by name.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.package.is_some() || self.flat.is_some()
    }

    pub(super) fn check_flat(&self) -> Result<(), CatalogueError> {
        self.flat.as_ref().map_or(Ok(()), |flat| flat.check(self))
    }
}

// === impl Catalogue ===

impl Catalogue {
    /// Publishes a plan with a flat price, or gives it another one. A plan that is published without
    /// one takes none, since developers may hold it, and it would no longer apply to them.
    ///
    /// # Errors
    /// `Missing`, `Invalid`, `Precondition`, `Contended`, or the store's.
    pub async fn set_flat_price(
        &self,
        organization: &str,
        product: &str,
        plan: &str,
        flat: &FlatPrice,
        now: UnixMillis,
    ) -> Result<(Product, Plan), CatalogueError> {
        let before = self.plan(organization, product, plan).await?;
        let mut terms = before.terms;
        if terms.flat.is_none() && terms.state == PlanState::Published {
            return Err(CatalogueError::Precondition(
                "rate plan is published without a price that is collected by a billing, so that \
                 developers may hold it: make another plan as a DRAFT and publish that"
                    .to_owned(),
            ));
        }
        terms.flat = Some(flat.clone());
        terms.currency = terms.currency.or(Some(flat.currency));
        terms.start = terms.start.or(Some(now));
        (terms.state, terms.is_monthly) = (PlanState::Published, true);
        let after = self.update_plan(organization, product, plan, &terms, now).await?;
        Ok((self.product(organization, product).await?, after))
    }

    /// Puts a subscription to a plan with a flat price in force; the same one again does nothing.
    ///
    /// # Errors
    /// `Missing`, `Exists` (another one of the product), `Precondition` (too many), or the store's.
    pub async fn put_flat_subscription(
        &self,
        organization: &str,
        developer: &Developer,
        wanted: &FlatSubscription,
        now: UnixMillis,
    ) -> Result<Subscription, CatalogueError> {
        let product = self.product(organization, &wanted.product).await?;
        let plan = product.plan(&wanted.plan.to_string())?;
        let new = Subscription {
            id: wanted.id,
            product: product.id,
            product_name: product.name.clone(),
            plan: Some(plan.id),
            acceptance: None,
            is_feeless: true,
            is_suspended: false,
            is_fee_back_due: false,
            window: Window { start: wanted.start, end: None },
            setup_fee: None,
            currency: plan.terms.currency,
            first_fee: None,
            first_period: None,
            next_period: None,
            is_shadow: plan.terms.is_shadow(),
            is_pending: false,
            created_at: now,
            modified_at: now,
        };
        let key = subscriptions_key(organization, developer.id);
        self.insert(&key, &Subscriptions::default(), now).await?;
        let edited = self
            .edit(&key, now, |all: &mut Subscriptions| {
                if let Some(held) = all.subscriptions.iter_mut().find(|held| held.id == new.id) {
                    // An ended one stays ended: a late repetition must not revive it.
                    held.plan = new.plan;
                    return Ok(held.clone());
                }
                let overlaps = |other: &&Subscription| {
                    other.product == new.product && other.window.overlaps(&new.window)
                };
                if let Some(other) = all.subscriptions.iter().find(overlaps) {
                    let name = format!("{} to {}", other.id, other.product_name);
                    return Err(CatalogueError::exists(What::Subscription, name, &developer.email));
                }
                if all.subscriptions.len() >= SUBSCRIPTIONS_MAX {
                    let what = format!(
                        "{} has {SUBSCRIPTIONS_MAX} subscriptions already",
                        developer.email
                    );
                    return Err(CatalogueError::Precondition(what));
                }
                all.subscriptions.push(new.clone());
                Ok(new.clone())
            })
            .await?;
        edited.map(|(_, held)| held).ok_or(CatalogueError::Contended { what: "subscriptions" })
    }

    /// Suspends a subscription, or lets it be in force again: at a suspended one gateways refuse calls
    /// as if there were none. One that is not there stays so.
    ///
    /// # Errors
    /// The store's.
    pub async fn suspend_subscription(
        &self,
        organization: &str,
        developer: DeveloperId,
        id: Uuid,
        is_suspended: bool,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let key = subscriptions_key(organization, developer);
        let Some(all) = self.load::<Subscriptions>(&key).await? else { return Ok(()) };
        let is_it = |held: &Subscription| held.id == id && held.is_suspended != is_suspended;
        if !all.record.subscriptions.iter().any(is_it) {
            return Ok(());
        }
        let change = |all: &mut Subscriptions| {
            for held in all.subscriptions.iter_mut().filter(|held| held.id == id) {
                (held.is_suspended, held.modified_at) = (is_suspended, now);
            }
            Ok(())
        };
        self.edit(&key, now, change).await.map(drop)
    }

    /// Ends a subscription now, if it is there and has not ended.
    ///
    /// # Errors
    /// The store's.
    pub async fn end_subscription(
        &self,
        organization: &str,
        developer: DeveloperId,
        id: Uuid,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let key = subscriptions_key(organization, developer);
        let change = |all: &mut Subscriptions| {
            for held in all.subscriptions.iter_mut().filter(|held| held.id == id) {
                if held.window.end.is_none_or(|end| end > now) {
                    let end = now.max(UnixMillis(held.window.start.0.saturating_add(1)));
                    (held.window.end, held.modified_at) = (Some(end), now);
                }
            }
            Ok(())
        };
        self.edit(&key, now, change).await.map(drop)
    }
}
