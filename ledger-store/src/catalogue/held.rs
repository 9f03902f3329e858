//! What a developer holds: the plan in force for a product, and acceptances that are ended or taken
//! back, as Edge does it.

use tollgate_metering::{Currency, PlanId, UnixMillis};

use super::Catalogue;
use super::caller::{CallerPlan, Window};
use super::error::{CatalogueError, What};
use super::records::{Developer, Plan, Product, Subscription, Subscriptions};
use super::store::subscriptions_key;

// === impl Catalogue ===

impl Catalogue {
    /// The plan that a developer's units of a product are charged under at `now`; `None` where he
    /// holds no subscription, or no plan is in force.
    ///
    /// # Errors
    /// The store's.
    pub async fn plan_in_force(
        &self,
        organization: &str,
        developer: &Developer,
        product: &Product,
        now: UnixMillis,
    ) -> Result<Option<CallerPlan>, CatalogueError> {
        let all = self.subscriptions(organization, developer.id).await?;
        let held: Vec<&Subscription> =
            all.iter().filter(|held| held.product == product.id).collect();
        if !held.iter().any(|held| held.window.contains(now)) {
            return Ok(None);
        }
        let plans = self.caller_plans(product, &held, now).await?;
        Ok(plans.into_iter().find(|plan| plan.window.contains(now)))
    }

    /// A plan by its id or the name that its caller chose, with every product that has it.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn plan_named(
        &self,
        organization: &str,
        name: &str,
    ) -> Result<Vec<(Product, Plan)>, CatalogueError> {
        let mut found = Vec::new();
        for product in self.products(organization, None, usize::MAX).await? {
            let is_it =
                |plan: &&Plan| plan.name.as_deref() == Some(name) || plan.id.to_string() == name;
            if let Some(plan) = product.plans.iter().find(is_it).cloned() {
                found.push((product, plan));
            }
        }
        if found.is_empty() {
            return Err(CatalogueError::missing(What::RatePlan, name, organization));
        }
        Ok(found)
    }

    /// Sets when an acceptance, or a subscription of its own, ends. One that has ended stays ended:
    /// its recurring fees would be due for the time in between.
    ///
    /// # Errors
    /// `Missing`, `Invalid`, `Precondition` (it has ended), `Exists` (an overlapping subscription), or
    /// the store's.
    pub async fn end_acceptance(
        &self,
        organization: &str,
        developer: &Developer,
        id: &str,
        end: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<Vec<Subscription>, CatalogueError> {
        let key = subscriptions_key(organization, developer.id);
        let edited = self
            .edit(&key, now, |all: &mut Subscriptions| {
                let mut ended = Vec::new();
                for held in all.bought_with(|held| held.is_named(id)) {
                    held.end_at(end, now)?;
                    ended.push(held.clone());
                }
                all.check_overlaps(&ended, developer)?;
                if ended.is_empty() { Err(missing(developer, id)) } else { Ok(ended) }
            })
            .await?;
        edited.map(|(_, ended)| ended).ok_or_else(|| missing(developer, id))
    }

    /// Takes an acceptance back that has not begun; what was paid for it is to be given back.
    ///
    /// # Errors
    /// `Missing`, `Precondition` where it has begun, or the store's.
    pub async fn withdraw_acceptance(
        &self,
        organization: &str,
        developer: &Developer,
        id: &str,
        now: UnixMillis,
    ) -> Result<Vec<Subscription>, CatalogueError> {
        let key = subscriptions_key(organization, developer.id);
        let edited = self
            .edit(&key, now, |all: &mut Subscriptions| {
                let mut withdrawn = Vec::new();
                for held in all.bought_with(|held| held.is_named(id) && !held.is_taken_back()) {
                    if held.window.start <= now {
                        let what = format!("acceptance {id} has begun");
                        return Err(CatalogueError::Precondition(what));
                    }
                    held.take_back(now);
                    withdrawn.push(held.clone());
                }
                if withdrawn.is_empty() { Err(missing(developer, id)) } else { Ok(withdrawn) }
            })
            .await?;
        edited.map(|(_, withdrawn)| withdrawn).ok_or_else(|| missing(developer, id))
    }
}

fn missing(developer: &Developer, id: &str) -> CatalogueError {
    CatalogueError::missing(What::Subscription, id, &developer.email)
}

// === impl Subscription ===

impl Subscription {
    /// Whether the id is its own or its acceptance's.
    #[must_use]
    pub fn is_named(&self, id: &str) -> bool {
        self.id.to_string() == id
            || self.acceptance.is_some_and(|acceptance| acceptance.to_string() == id)
    }

    fn end_at(&mut self, end: Option<UnixMillis>, now: UnixMillis) -> Result<(), CatalogueError> {
        if self.is_taken_back() || self.window.end.is_some_and(|end| end <= now) {
            let what = format!("subscription {} has ended: buy it again", self.id);
            return Err(CatalogueError::Precondition(what));
        }
        if end.is_some_and(|end| end <= self.window.start) {
            return Err(CatalogueError::invalid("endDate", "must lie after startDate"));
        }
        (self.window.end, self.modified_at) = (end, now);
        Ok(())
    }
}

// === impl Subscriptions ===

impl Subscriptions {
    /// Refuses changed ones that would hold beside others of the same product.
    fn check_overlaps(
        &self,
        changed: &[Subscription],
        developer: &Developer,
    ) -> Result<(), CatalogueError> {
        let is_beside = |other: &&Subscription| {
            let overlaps = |each: &Subscription| {
                each.product == other.product && each.window.overlaps(&other.window)
            };
            !changed.iter().any(|each| each.id == other.id) && changed.iter().any(overlaps)
        };
        match self.subscriptions.iter().find(is_beside) {
            Some(other) => {
                let name = format!("{} to {}", other.id, other.product_name);
                Err(CatalogueError::exists(What::Subscription, name, &developer.email))
            }
            None => Ok(()),
        }
    }
}

// === impl Plan ===

impl Plan {
    /// The id that people know it by.
    #[must_use]
    pub fn public_id(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.id.to_string())
    }

    /// Currency and window, once it is published.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn in_force(&self) -> Result<Option<(Currency, Window)>, CatalogueError> {
        let published = self.terms.check()?;
        Ok(published.map(|published| (published.currency, published.window)))
    }
}

// === impl Product ===

impl Product {
    /// The custom attribute that one of its plans rates by.
    #[must_use]
    pub fn rating_attribute(&self, plan: PlanId) -> Option<&str> {
        let plan = self.plans.iter().find(|other| other.id == plan)?;
        plan.terms.package.as_ref()?.rating_attribute.as_deref()
    }
}
