//! Acceptances of plans of packages: a subscription to each product that has the plan, all written
//! at once, because a developer's subscriptions are one document.
//!
//! Fees are booked as for a purchase (`subscriptions`): the acceptance is pending until its first ones
//! are, under the ids of its first subscription, which alone carries the plan's fees. Accepting the
//! plan again takes a pending acceptance up again.

use tollgate_metering::{Money, UnixMillis};
use uuid::Uuid;

use super::Catalogue;
use super::caller::Window;
use super::error::{CatalogueError, What};
use super::records::{
    Attribute, Audience, Developer, Plan, PlanState, Subscription, Subscriptions,
};
use super::store::subscriptions_key;
use super::subscriptions::SUBSCRIPTIONS_MAX;

/// The attribute of a developer that names its category.
const CATEGORY: &str = "MINT_DEVELOPER_CATEGORY";

/// Whether the fees of a plan are due at its acceptance; recurring fees of later periods always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstFees {
    /// They are.
    Due,
    /// The setup fee is given away, the first recurring one is due.
    SetupWaived,
    /// They are given away.
    Waived,
}

// === impl FirstFees ===

impl FirstFees {
    fn has_setup(self) -> bool {
        match self {
            FirstFees::Due => true,
            FirstFees::SetupWaived | FirstFees::Waived => false,
        }
    }

    fn has_recurring(self) -> bool {
        match self {
            FirstFees::Due | FirstFees::SetupWaived => true,
            FirstFees::Waived => false,
        }
    }
}

// === impl Catalogue ===

impl Catalogue {
    /// Begins to accept a plan: subscriptions that are pending where fees are to be booked first, else
    /// in force. The first one carries the fees.
    ///
    /// # Errors
    /// `Missing` (plan), `Invalid`, `Precondition` (not published, for others, no product has it, too
    /// many),
    /// `Exists` (an overlapping subscription to one of its products), or the store's.
    pub async fn accept_plan(
        &self,
        organization: &str,
        developer: &Developer,
        plan: &str,
        window: Window,
        fees: FirstFees,
        now: UnixMillis,
    ) -> Result<Vec<Subscription>, CatalogueError> {
        if window.end.is_some_and(|end| end <= window.start) {
            return Err(CatalogueError::invalid("endDate", "must lie after startDate"));
        }
        let found = self.package_plan(organization, plan).await?;
        let acceptance = Uuid::new_v4();
        let mut subscriptions: Vec<Subscription> = Vec::with_capacity(found.products.len());
        for (product, plan) in &found.products {
            if plan.terms.state == PlanState::Draft {
                let what = format!("rate plan {} is not published", found.plan.name);
                return Err(CatalogueError::Precondition(what));
            }
            if !plan.is_for(developer) {
                let what = format!("rate plan {} is not for {}", found.plan.name, developer.email);
                return Err(CatalogueError::Precondition(what));
            }
            let is_first = subscriptions.is_empty();
            let product = self.product(organization, &product.name).await?;
            let offer = product.offer_at(window.start.max(now), Some(plan.id))?;
            let is_due = |_: &Money| is_first && fees.has_recurring();
            let is_setup_due = |_: &Money| is_first && fees.has_setup();
            subscriptions.push(Subscription {
                id: Uuid::new_v4(),
                product: product.id,
                product_name: product.name,
                plan: Some(plan.id),
                acceptance: Some(acceptance),
                is_feeless: !is_first,
                is_suspended: false,
                window,
                setup_fee: offer.setup_fee.filter(is_setup_due),
                currency: Some(offer.currency),
                first_fee: offer.first_fee.filter(is_due),
                first_period: Some(offer.first.number()),
                next_period: Some(offer.next.number()),
                is_shadow: offer.is_shadow,
                is_pending: false,
                is_fee_back_due: false,
                created_at: now,
                modified_at: now,
            });
        }
        let Some(first) = subscriptions.first() else {
            let what = format!("no API product has rate plan {}", found.plan.name);
            return Err(CatalogueError::Precondition(what));
        };
        if first.setup_fee.is_some() || first.first_fee.is_some() {
            subscriptions.iter_mut().for_each(|each| each.is_pending = true);
        }
        let key = subscriptions_key(organization, developer.id);
        self.insert(&key, &Subscriptions::default(), now).await?;
        let (_, accepted) = self
            .edit(&key, now, |all: &mut Subscriptions| all.accept(&subscriptions, developer, now))
            .await?
            .ok_or(CatalogueError::Contended { what: "subscriptions" })?;
        Ok(accepted)
    }

    /// Puts an acceptance in force whose first fees are booked.
    ///
    /// # Errors
    /// The store's.
    pub async fn activate_acceptance(
        &self,
        organization: &str,
        developer: &Developer,
        accepted: &[Subscription],
        now: UnixMillis,
    ) -> Result<Vec<Subscription>, CatalogueError> {
        let in_force = |each: &Subscription| Subscription {
            is_pending: false,
            modified_at: now,
            ..each.clone()
        };
        let paid: Vec<_> = accepted.iter().map(in_force).collect();
        let key = subscriptions_key(organization, developer.id);
        self.edit(&key, now, |all: &mut Subscriptions| {
            for each in &paid {
                match all.subscriptions.iter_mut().find(|other| other.id == each.id) {
                    // Not its window: it may be in force and have been taken back since.
                    Some(found) => found.is_pending = false,
                    // Somebody who was refused the fee abandoned it in between.
                    None => all.subscriptions.push(each.clone()),
                }
            }
            Ok(())
        })
        .await?
        .ok_or(CatalogueError::Contended { what: "subscriptions" })?;
        Ok(paid)
    }

    /// Takes a pending acceptance back: its fees were certainly not booked.
    ///
    /// # Errors
    /// The store's.
    pub async fn abandon_acceptance(
        &self,
        organization: &str,
        developer: &Developer,
        acceptance: Uuid,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let key = subscriptions_key(organization, developer.id);
        self.edit(&key, now, |all: &mut Subscriptions| {
            all.subscriptions
                .retain(|other| other.acceptance != Some(acceptance) || !other.is_pending);
            Ok(())
        })
        .await?;
        Ok(())
    }
}

// === impl Plan ===

impl Plan {
    /// Whether a developer may accept it.
    fn is_for(&self, developer: &Developer) -> bool {
        match self.terms.package.as_ref().map(|package| &package.audience) {
            None | Some(Audience::Everybody) => true,
            Some(Audience::Developer(only)) => *only == developer.id,
            Some(Audience::Category(name)) => {
                let of = |each: &Attribute| each.name == CATEGORY && each.value == *name;
                developer.attributes.iter().any(of)
            }
        }
    }
}

// === impl Subscriptions ===

impl Subscriptions {
    fn accept(
        &mut self,
        new: &[Subscription],
        developer: &Developer,
        now: UnixMillis,
    ) -> Result<Vec<Subscription>, CatalogueError> {
        let is_wanted = |other: &Subscription| new.iter().any(|each| each.product == other.product);
        let begun = self.subscriptions.iter().find(|other| {
            other.is_pending && is_wanted(other) && new.iter().any(|each| each.plan == other.plan)
        });
        if let Some(acceptance) = begun.and_then(|begun| begun.acceptance) {
            // Its fees may be booked: it keeps its ids, amounts and periods.
            let mut accepted = Vec::new();
            for each in &mut self.subscriptions {
                if each.acceptance == Some(acceptance) {
                    // Somebody works on it: housekeeping leaves it alone for now.
                    each.modified_at = now;
                    accepted.push(each.clone());
                }
            }
            return Ok(accepted);
        }
        let overlapping = self.subscriptions.iter().find(|other| {
            new.iter()
                .any(|each| each.product == other.product && each.window.overlaps(&other.window))
        });
        if let Some(other) = overlapping {
            let name = format!("{} to {}", other.id, other.product_name);
            return Err(CatalogueError::exists(What::Subscription, name, &developer.email));
        }
        if self.subscriptions.len() + new.len() > SUBSCRIPTIONS_MAX {
            let what = format!("{} has {SUBSCRIPTIONS_MAX} subscriptions already", developer.email);
            return Err(CatalogueError::Precondition(what));
        }
        self.subscriptions.extend(new.iter().cloned());
        Ok(new.to_vec())
    }
}
