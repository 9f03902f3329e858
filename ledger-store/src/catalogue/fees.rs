//! Which fees a subscription owes, and when.
//!
//! A recurring fee is charged in advance for intervals of whole calendar months (UTC): at purchase
//! for what is left of the first one, by whole days, today included; afterwards at the start of
//! each. What counts is what the plan said at that moment, also where the fee is booked later
//! because nobody was there; so a product keeps a log of what its plans have said.
//!
//! Pure but for reading and writing documents; booking is `crate::fees`.

use tollgate_metering::booking::Fee;
use tollgate_metering::{BillingType, Currency, DeveloperId, Money, Period, PlanId, UnixMillis};
use uuid::Uuid;

use super::Catalogue;
use super::error::CatalogueError;
use super::records::{
    FeeTerms, FeesBooked, Plan, PlanState, PlanTerms, Product, RecurringFee, Subscription,
    Subscriptions,
};
use super::store::{SUBSCRIPTIONS, fees_booked_key};

/// Most months of an interval.
pub const FEE_MONTHS_MAX: u32 = 120;

/// Most rows of a product's log of fees; what later rows have replaced goes first.
const FEE_LOG_MAX: usize = 2_000;

/// What a product costs to buy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) currency: Currency,
    pub(super) setup_fee: Option<Money>,
    /// What is charged of the recurring fee at purchase.
    pub(super) first_fee: Option<Money>,
    /// The period of the purchase.
    pub(super) first: Period,
    /// The period from whose start on recurring fees are due.
    pub(super) next: Period,
    /// Whether the plan is in shadow mode.
    pub(super) is_shadow: bool,
}

/// A recurring fee that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueFee {
    /// The period in whose start it fell due.
    pub period: Period,
    /// Currency of the wallet.
    pub currency: Currency,
    /// How much.
    pub amount: Money,
    /// The next period in whose start one may fall due.
    pub next: Period,
    /// Whether its plan was in shadow mode then: it is noted and not paid.
    pub is_shadow: bool,
}

// === impl Catalogue ===

impl Catalogue {
    /// Subscriptions by developer in order of id, from `start` (included) on, pending ones among
    /// them; at most `limit` developers.
    ///
    /// # Errors
    /// The store's.
    pub async fn subscribers(
        &self,
        organization: &str,
        start: Option<DeveloperId>,
        limit: usize,
    ) -> Result<Vec<(DeveloperId, Vec<Subscription>)>, CatalogueError> {
        let start = start.map(|id| id.to_string());
        let page = self
            .page::<Subscriptions>(SUBSCRIPTIONS, organization, start.as_deref(), limit)
            .await?;
        let named = |(name, all): (String, Subscriptions)| {
            let id = name.parse::<DeveloperId>().ok()?;
            Some((id, all.subscriptions))
        };
        Ok(page.into_iter().filter_map(named).collect())
    }

    /// How far the fees of a developer's subscriptions are booked.
    ///
    /// # Errors
    /// The store's.
    pub async fn fees_booked(
        &self,
        organization: &str,
        developer: DeveloperId,
    ) -> Result<FeesBooked, CatalogueError> {
        let found = self.load::<FeesBooked>(&fees_booked_key(organization, developer)).await?;
        Ok(found.map(|stored| stored.record).unwrap_or_default())
    }

    /// Notes that fees of a subscription are booked up to before `next`.
    ///
    /// # Errors
    /// The store's.
    pub async fn note_fees_booked(
        &self,
        organization: &str,
        developer: DeveloperId,
        subscription: Uuid,
        next: Period,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let key = fees_booked_key(organization, developer);
        self.insert(&key, &FeesBooked::default(), now).await?;
        self.edit(&key, now, |booked: &mut FeesBooked| {
            let noted = booked.next_periods.entry(subscription).or_default();
            *noted = (*noted).max(next.number());
            Ok(())
        })
        .await
        .map(drop)
    }
}

// === impl Subscription ===

impl Subscription {
    /// The fees that its purchase depends on, each under its id.
    #[must_use]
    pub fn purchase_fees(&self) -> Vec<Fee> {
        let setup = self.setup_fee.map(|amount| Fee {
            id: self.id.to_string(),
            amount,
            reason: format!("setup fee of {}", self.product_name),
        });
        let first = self.first_fee.zip(self.first_period.and_then(Period::from_number));
        let first = first.map(|(amount, period)| Fee {
            id: self.fee_id(period),
            amount,
            reason: self.fee_reason(period),
        });
        setup.into_iter().chain(first).collect()
    }

    /// Who pays the fees that its purchase depends on, if anybody: its developer's billing type, but
    /// in shadow mode.
    #[must_use]
    pub const fn purchase_billing(&self, of_developer: BillingType) -> BillingType {
        if self.is_shadow { BillingType::Shadow } else { of_developer }
    }

    /// The id of the recurring fee that falls due in a period.
    #[must_use]
    pub fn fee_id(&self, period: Period) -> String {
        format!("{}/{period}", self.id)
    }

    /// What the journal says about it.
    #[must_use]
    pub fn fee_reason(&self, period: Period) -> String {
        format!("recurring fee of {} from {period} on", self.product_name)
    }

    /// The first recurring fee that is due by `now` in `from` or later; without, the next period
    /// to look at. One whose subscription had ended before is not.
    ///
    /// # Errors
    /// The period.
    pub fn due(&self, product: &Product, from: Period, now: UnixMillis) -> Result<DueFee, Period> {
        let mut period = from;
        if self.is_feeless {
            return Err(period);
        }
        loop {
            let start = period.start();
            if start > now || self.window.end.is_some_and(|end| end <= start) {
                return Err(period);
            }
            if let Some(fee) = product.recurring_fee_at(start, self.plan_held()) {
                let RecurringFee { currency, amount, months, is_shadow, window: _ } = *fee;
                let next = period.later(months);
                return Ok(DueFee { period, currency, amount, next, is_shadow });
            }
            if period.later(1) == period {
                return Err(period);
            }
            period = period.later(1);
        }
    }

    /// The period to look at first.
    #[must_use]
    pub fn next_due(&self) -> Period {
        let stored = self.next_period.and_then(Period::from_number);
        // One that was bought before there were recurring fees.
        stored.unwrap_or_else(|| Period::of(self.created_at).later(1))
    }

    /// The plan that was bought, where it is not simply the product's active one.
    fn plan_held(&self) -> Option<PlanId> {
        self.plan
    }
}

// === impl Product ===

impl Product {
    /// What a plan of a package, or else the product's own plan that is active at `time` or the next
    /// one, costs to buy then.
    pub(super) fn offer_at(
        &self,
        time: UnixMillis,
        plan: Option<PlanId>,
    ) -> Result<Offer, CatalogueError> {
        let is_asked = |other: &&Plan| match plan {
            Some(plan) => other.id == plan,
            None => !other.terms.is_accepted(),
        };
        let mut found: Option<(UnixMillis, &PlanTerms, Currency)> = None;
        let is_published = |plan: &&Plan| plan.terms.state == PlanState::Published;
        for plan in self.plans.iter().filter(is_asked).filter(is_published) {
            let Some(published) = plan.terms.check()? else { continue };
            let start = published.window.start;
            let is_over = published.window.end.is_some_and(|end| end <= time);
            if !is_over && found.is_none_or(|(earliest, ..)| start < earliest) {
                found = Some((start, &plan.terms, published.currency));
            }
        }
        let (start, terms, currency) = found.ok_or_else(|| {
            let what = format!("API product {} has no published rate plan to buy", self.name);
            CatalogueError::Precondition(what)
        })?;
        // A plan that begins later is paid for from then on.
        let from = time.max(start);
        let (first, months) = (Period::of(from), terms.fee_months.max(1));
        let (left, days) = first.days_left(months, from);
        let recurring = terms.recurring_fee.filter(|fee| !fee.is_zero());
        let next = first.later(if recurring.is_some() { months } else { 1 });
        let first_fee = recurring.map(|fee| fee.prorated(left, days));
        let is_due = |fee: &Money| !fee.is_zero();
        Ok(Offer {
            currency,
            setup_fee: terms.setup_fee.filter(is_due),
            first_fee: first_fee.filter(is_due),
            first,
            next,
            is_shadow: terms.is_shadow(),
        })
    }

    /// The recurring fee at `time`, by what was known then, of one plan or of the active one.
    fn recurring_fee_at(&self, time: UnixMillis, plan: Option<PlanId>) -> Option<&RecurringFee> {
        let then = self.fee_log.iter().filter(|row| row.since <= time);
        let is_asked = |row: &&FeeTerms| match plan {
            Some(plan) => plan == row.plan,
            None => !row.is_in_package,
        };
        let is_newest = |row: &&FeeTerms| {
            let same = |other: &&FeeTerms| other.plan == row.plan;
            then.clone().rfind(same).is_some_and(|newest| std::ptr::eq(newest, *row))
        };
        let mut in_force = then.clone().filter(is_asked).filter(is_newest);
        in_force.find_map(|row| row.fee.as_ref().filter(|fee| fee.window.contains(time)))
    }

    /// Notes what recurring fee a plan has from now on.
    pub(super) fn note_fee(
        &mut self,
        plan: PlanId,
        terms: Option<&PlanTerms>,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let fee = terms.map(PlanTerms::fee_in_force).transpose()?.flatten();
        let newest = self.fee_log.iter().rfind(|row| row.plan == plan);
        if newest.map_or(fee.is_none(), |row| row.fee == fee) {
            return Ok(());
        }
        let is_replaced = |(at, row): (usize, &FeeTerms)| {
            let is_later = |other: &FeeTerms| other.plan == row.plan;
            row.fee.is_none() || self.fee_log[at + 1..].iter().any(is_later)
        };
        if self.fee_log.len() >= FEE_LOG_MAX
            && let Some(at) = self.fee_log.iter().enumerate().position(is_replaced)
        {
            self.fee_log.remove(at);
        }
        let is_in_package = terms.is_some_and(|terms| terms.package.is_some());
        self.fee_log.push(FeeTerms { plan, since: now, fee, is_in_package });
        Ok(())
    }
}

// === impl PlanTerms ===

impl PlanTerms {
    fn fee_in_force(&self) -> Result<Option<RecurringFee>, CatalogueError> {
        let Some(published) = self.check()? else { return Ok(None) };
        let fee = self.recurring_fee.filter(|fee| !fee.is_zero());
        Ok(fee.map(|amount| RecurringFee {
            window: published.window,
            currency: published.currency,
            amount,
            months: self.fee_months.max(1),
            is_shadow: self.is_shadow(),
        }))
    }

    /// Whether its calls and fees are counted, never refused and never paid.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.shadow.unwrap_or(false)
    }

    /// Checks what it says about fees.
    pub(super) fn check_fees(&self) -> Result<(), CatalogueError> {
        if self.setup_fee.is_some_and(Money::is_negative) {
            return Err(CatalogueError::invalid("setupFee", "is negative"));
        }
        if self.recurring_fee.is_some_and(Money::is_negative) {
            return Err(CatalogueError::invalid("fixedRecurringFee", "is negative"));
        }
        if self.fee_months > FEE_MONTHS_MAX {
            let reason = format!("at most {FEE_MONTHS_MAX} months");
            return Err(CatalogueError::invalid("fixedFeeFrequency", reason));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
