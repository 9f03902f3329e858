//! Rate plans: part of their product's document, so that two that are published at the same time
//! see each other and at most one is active.
//!
//! A price edit of a published plan makes a revision: a document that is never changed or
//! deleted, because meters are charged under it for as long as the ledger exists. Anything else
//! (a description, a window) leaves the revision, so that it does not restart a free tier.

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
        let published = terms.check()?;
        let before = self.product(organization, product).await?;
        let mut plan = Plan {
            id: PlanId(Uuid::new_v4()),
            terms: terms.clone(),
            revision: 0,
            created_at: now,
            modified_at: now,
        };
        check_windows(&before, plan.id, published.as_ref())?;
        plan.revision = self.revise(&plan, published.as_ref(), now).await?;
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

    /// Replaces what people write of a rate plan; effective at once.
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
        let published = terms.check()?;
        let before = self.product(organization, product).await?;
        let plan = before.plan(id)?;
        check_windows(&before, plan.id, published.as_ref())?;
        let base = plan.revision;
        let revision = self.revise(plan, published.as_ref(), now).await?;
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
                product.note_fee(id, Some(terms), now)?;
                let plan = &mut product.plans[at];
                plan.terms = terms.clone();
                plan.revision = revision;
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

    /// The revision that the plan has with these terms, written before the plan uses it.
    async fn revise(
        &self,
        plan: &Plan,
        published: Option<&Published>,
        now: UnixMillis,
    ) -> Result<u32, CatalogueError> {
        let Some(Published { currency, rates, .. }) = published else { return Ok(plan.revision) };
        let wanted = Revision::of(*currency, rates);
        if plan.revision > 0 && self.revision(plan.id, plan.revision).await? == wanted {
            return Ok(plan.revision);
        }
        self.write_revision(plan.id, plan.revision, &wanted, now).await
    }
}

/// At most one plan is active at any time.
fn check_windows(
    product: &Product,
    id: PlanId,
    published: Option<&Published>,
) -> Result<(), CatalogueError> {
    let Some(published) = published else { return Ok(()) };
    for other in &product.plans {
        if other.id == id || other.terms.state == PlanState::Draft {
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
    fn plan(&self, id: &str) -> Result<&Plan, CatalogueError> {
        self.plans
            .iter()
            .find(|plan| plan.id.to_string() == id)
            .ok_or_else(|| CatalogueError::missing(What::RatePlan, id, &self.name))
    }
}
