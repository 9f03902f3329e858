//! Rate plans: part of their product's document, so that two that are published at the same time
//! see each other and at most one is active.
//!
//! A price edit of a published plan makes a revision: a document that is never changed or
//! deleted, because meters are charged under it for as long as the ledger exists. Anything else
//! (a description, a window) leaves the revision, so that it does not restart a free tier.
//!
//! Plans of a package (`packages`) stand beside these and beside each other: they apply to who
//! accepted them, so their windows may overlap.

use tollgate_metering::{PlanId, UnixMillis};
use uuid::Uuid;

use super::Catalogue;
use super::error::{CatalogueError, What};
use super::pricing::Published;
use super::rates::Revision;
use super::records::{Plan, PlanState, PlanTerms, Product};

/// Most rate plans of a product, ended ones included.
pub const PLANS_MAX: usize = 500;

// === impl Catalogue ===

impl Catalogue {
    /// Creates a rate plan.
    ///
    /// # Errors
    /// `Missing` (product), `Invalid`, `Precondition` (another plan is active in
    /// its window), or the store's.
    pub async fn create_plan(
        &self,
        organization: &str,
        product: &str,
        terms: &PlanTerms,
        now: UnixMillis,
    ) -> Result<Plan, CatalogueError> {
        self.add_plan(organization, product, (PlanId(Uuid::new_v4()), None), terms, now).await
    }

    /// Creates a rate plan under an id.
    pub(super) async fn add_plan(
        &self,
        organization: &str,
        product: &str,
        (id, name): (PlanId, Option<String>),
        terms: &PlanTerms,
        now: UnixMillis,
    ) -> Result<Plan, CatalogueError> {
        let published = terms.check()?;
        let before = self.product(organization, product).await?;
        let mut plan = Plan {
            id,
            name,
            terms: terms.clone(),
            revision: 0,
            freemium_revision: 0,
            created_at: now,
            modified_at: now,
        };
        check_windows(&before, plan.id, published.as_ref())?;
        (plan.freemium_revision, plan.revision) =
            self.revise(&plan, published.as_ref(), now).await?;
        let (_, ()) = self
            .edit_product(organization, product, now, |product| {
                if product.id != before.id {
                    return Err(CatalogueError::Contended { what: "product" });
                }
                if product.plans.len() >= PLANS_MAX {
                    let what = format!("{} has {PLANS_MAX} rate plans already", product.name);
                    return Err(CatalogueError::Precondition(what));
                }
                check_windows(product, plan.id, published.as_ref())?;
                product.note_fee(plan.id, Some(terms), now)?;
                if product.plans.iter().any(|other| other.id == plan.id) {
                    return Err(CatalogueError::Contended { what: "rate plan" });
                }
                product.plans.push(plan.clone());
                Ok(())
            })
            .await?;
        Ok(plan)
    }

    /// A rate plan.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn plan(
        &self,
        organization: &str,
        product: &str,
        id: &str,
    ) -> Result<Plan, CatalogueError> {
        let product = self.product(organization, product).await?;
        product.plan(id).cloned()
    }

    /// Replaces what people write of a rate plan; effective at once. What only a plan of a package
    /// has stays where `terms` do not say it, and so does shadow mode.
    ///
    /// # Errors
    /// As [`Catalogue::create_plan`].
    pub async fn update_plan(
        &self,
        organization: &str,
        product: &str,
        id: &str,
        terms: &PlanTerms,
        now: UnixMillis,
    ) -> Result<Plan, CatalogueError> {
        let before = self.product(organization, product).await?;
        let plan = before.plan(id)?;
        let mut terms = terms.clone();
        if terms.package.is_none() && plan.terms.package.is_some() {
            terms.package = plan.terms.package.clone();
            terms.freemium = plan.terms.freemium;
        }
        // Clients of Apigee do not know it.
        if terms.flat.is_none() {
            terms.flat = plan.terms.flat.clone();
        }
        // Who replaces a plan without knowing of shadow mode does not make it bite.
        terms.shadow = terms.shadow.or(plan.terms.shadow);
        let published = terms.check()?;
        check_windows(&before, plan.id, published.as_ref())?;
        let base = plan.revision;
        let (freemium, revision) = self.revise(plan, published.as_ref(), now).await?;
        let (product, at) = self
            .edit_product(organization, product, now, |product| {
                let (id, found) = (product.plan(id)?.id, product.plan(id)?.revision);
                check_windows(product, id, published.as_ref())?;
                // Somebody else edited the prices: which revision is in force depends on theirs.
                if product.id != before.id || found != base {
                    return Err(CatalogueError::Contended { what: "rate plan" });
                }
                let at = product.plans.iter().position(|plan| plan.id == id);
                let at = at.ok_or(CatalogueError::Contended { what: "rate plan" })?;
                product.note_fee(id, Some(&terms), now)?;
                let plan = &mut product.plans[at];
                plan.terms = terms.clone();
                (plan.freemium_revision, plan.revision) = (freemium, revision);
                plan.modified_at = now;
                Ok(at)
            })
            .await?;
        Ok(product.plans[at].clone())
    }

    /// Deletes a rate plan; its revisions stay.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn delete_plan(
        &self,
        organization: &str,
        product: &str,
        id: &str,
        now: UnixMillis,
    ) -> Result<Plan, CatalogueError> {
        let (_, plan) = self
            .edit_product(organization, product, now, |product| {
                let plan = product.plan(id)?.clone();
                product.plans.retain(|other| other.id != plan.id);
                product.note_fee(plan.id, None, now)?;
                Ok(plan)
            })
            .await?;
        Ok(plan)
    }

    /// The revisions that the plan has with these terms, in its freemium time and after it, written
    /// before the plan uses them.
    async fn revise(
        &self,
        plan: &Plan,
        published: Option<&Published>,
        now: UnixMillis,
    ) -> Result<(u32, u32), CatalogueError> {
        let (mut free, mut priced) = (plan.freemium_revision, plan.revision);
        let Some(Published { currency, rates, freemium, .. }) = published else {
            return Ok((free, priced));
        };
        match freemium.as_ref().map(|rates| Revision::of(*currency, rates)) {
            None => free = 0,
            Some(wanted) if self.is_revision(plan.id, free, &wanted).await? => {}
            Some(wanted) => {
                free = self.write_revision(plan.id, priced.max(free), &wanted, now).await?;
            }
        }
        // Lines are walked by revision, and free units come first.
        let wanted = Revision::of(*currency, rates);
        if priced < free || !self.is_revision(plan.id, priced, &wanted).await? {
            priced = self.write_revision(plan.id, priced.max(free), &wanted, now).await?;
        }
        Ok((free, priced))
    }

    async fn is_revision(
        &self,
        plan: PlanId,
        number: u32,
        wanted: &Revision,
    ) -> Result<bool, CatalogueError> {
        Ok(number > 0 && self.revision(plan, number).await? == *wanted)
    }
}

/// At most one plan is active at any time, but for plans of packages.
fn check_windows(
    product: &Product,
    id: PlanId,
    published: Option<&Published>,
) -> Result<(), CatalogueError> {
    let Some(published) = published.filter(|published| !published.is_accepted) else {
        return Ok(());
    };
    for other in &product.plans {
        let is_beside = other.terms.is_accepted() || other.terms.state == PlanState::Draft;
        if other.id == id || is_beside {
            continue;
        }
        if let Some(theirs) = other.terms.check()?
            && theirs.window.overlaps(&published.window)
        {
            return Err(CatalogueError::Precondition(format!(
                "rate plan {} of {} is published for an overlapping time: at most one may be \
                 active; give it an endTime or choose a later startTime",
                other.id, product.name
            )));
        }
    }
    Ok(())
}

// === impl Product ===

impl Product {
    /// A plan by its id or the name that its creator chose.
    pub(super) fn plan(&self, id: &str) -> Result<&Plan, CatalogueError> {
        self.plans
            .iter()
            .find(|plan| plan.name.as_deref() == Some(id) || plan.id.to_string() == id)
            .ok_or_else(|| CatalogueError::missing(What::RatePlan, id, &self.name))
    }
}
