//! Automatic top-ups: what a wallet's owner agreed to pay when it runs low.
//!
//! A setting has one place for a top-up that is under way. Whoever begins one takes the place, and
//! counts its amount against the caps, in one conditional write before anything else happens: so
//! there are never two in flight, on however many nodes. The place is free again when the top-up
//! is over for good: credited, or canceled at Stripe, so that nothing can be paid later. A declined
//! one gives its amount back to the caps and makes a pause, longer each time; after
//! [`DECLINES_MAX`] in a row nothing is tried until somebody sets it again.
//! Bounds: [`AUTOMATIC_MAX`] settings of an installation are looked at in a pass.
//! Not here: the payment itself (`ask`, `settle`).

mod pass;

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_ledger_store::catalogue::text;
use tollgate_ledger_store::{DocumentKey, Put};
use tollgate_metering::{Currency, DeveloperId, Money, Period, UnixMillis};
use uuid::Uuid;

use super::Failure;
use crate::Billing;
use crate::currency;
use crate::error::BillingError;
use crate::records::key;

pub(super) const AUTOMATIC: &str = "billing.topup_automatic";
pub(super) const ALL: &str = "all";

/// Settings that one pass looks at.
pub const AUTOMATIC_MAX: usize = 10_000;

/// Declines in a row after which nothing is tried any more.
pub const DECLINES_MAX: u32 = 5;

const DAY_MS: i64 = 86_400_000;

/// What is paid, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomaticTerms {
    /// A balance below it is topped up.
    #[serde(with = "text::plain")]
    pub threshold: Money,
    /// By how much.
    #[serde(with = "text::plain")]
    pub amount: Money,
    /// At most so much in a day of UTC.
    #[serde(with = "text::plain")]
    pub cap_per_day: Money,
    /// At most so much in a month of UTC.
    #[serde(with = "text::plain")]
    pub cap_per_month: Money,
    /// `pm_…`; absent: the customer's default.
    #[serde(default)]
    pub payment_method: Option<String>,
    /// The integration; absent: the organization's only one.
    #[serde(default)]
    pub billing: Option<String>,
}

/// The automatic top-up of a wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Automatic {
    /// Whose developer it is.
    pub organization: String,
    /// Whose wallet.
    #[serde(with = "text::plain")]
    pub developer: DeveloperId,
    /// Of the wallet.
    #[serde(with = "text::plain")]
    pub currency: Currency,
    /// What is paid; `None` where it was taken back. The rest stays, so that caps are kept.
    pub terms: Option<AutomaticTerms>,
    /// Who set it.
    pub by: String,
    /// The one that is under way.
    pub current: Option<Current>,
    /// What the day has used of its cap.
    pub day: Used,
    /// What the month has.
    pub month: Used,
    /// Declines since the last one that was paid.
    pub declines: u32,
    /// Nothing is begun before.
    #[serde(with = "text::millis_option")]
    pub not_before: Option<UnixMillis>,
    /// Why the last one failed, or why none is begun.
    pub failure: Option<Failure>,
}

/// An automatic top-up that is under way: all that is needed to begin it, also after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// Of the top-up.
    pub id: Uuid,
    #[serde(with = "text::plain")]
    pub(super) amount: Money,
    pub(super) payment_method: String,
    pub(super) billing: String,
    #[serde(with = "text::millis")]
    pub(super) begun_at: UnixMillis,
    /// When it is looked at next, and how often it was.
    #[serde(with = "text::millis")]
    pub(super) look_at: UnixMillis,
    pub(super) looks: u32,
}

/// What was used of a cap in a day or month, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    pub(super) number: i64,
    /// What was used.
    #[serde(with = "text::plain")]
    pub amount: Money,
}

fn automatic_key(organization: &str, developer: DeveloperId, currency: Currency) -> DocumentKey {
    // Organizations have no slash.
    key(AUTOMATIC, ALL, format!("{organization}/{developer}/{currency}"))
}

fn day(now: UnixMillis) -> i64 {
    now.0.div_euclid(DAY_MS)
}

fn month(now: UnixMillis) -> i64 {
    i64::from(Period::of(now).number())
}

// === impl AutomaticTerms ===

impl AutomaticTerms {
    fn check(&self, currency: Currency) -> Result<(), BillingError> {
        currency::payment(self.amount, currency)?;
        if self.threshold.is_negative() {
            return Err(BillingError::invalid("threshold", "must not be negative"));
        }
        if self.cap_per_day < self.amount {
            return Err(BillingError::invalid("capPerDay", "is less than one top-up"));
        }
        if self.cap_per_month < self.cap_per_day {
            return Err(BillingError::invalid("capPerMonth", "is less than the cap of a day"));
        }
        Ok(())
    }
}

// === impl Used ===

impl Used {
    fn none(number: i64) -> Used {
        Used { number, amount: Money::ZERO }
    }

    /// What was used in this day or month.
    fn in_number(self, number: i64) -> Used {
        if self.number == number { self } else { Used::none(number) }
    }

    /// With `amount` more, or `None` where that is above the cap.
    fn within(self, amount: Money, cap: Money) -> Option<Used> {
        let sum = self.amount.plus(amount).ok().filter(|sum| *sum <= cap)?;
        Some(Used { amount: sum, ..self })
    }

    /// With `amount` given back, where it was used in this day or month.
    fn given_back(self, amount: Money, number: i64) -> Used {
        let is_same = self.number == number;
        let less = self.amount.minus(amount).ok().filter(|less| is_same && !less.is_negative());
        Used { amount: less.unwrap_or(self.amount), ..self }
    }
}

// === impl Automatic ===

impl Automatic {
    fn key(&self) -> DocumentKey {
        automatic_key(&self.organization, self.developer, self.currency)
    }

    /// Whether it gave up until somebody sets it again.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.declines >= DECLINES_MAX
    }
}

// === impl Billing ===

impl Billing {
    /// The automatic top-up of a wallet.
    ///
    /// # Errors
    /// `Missing`, the store's.
    pub async fn automatic(
        &self,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
    ) -> Result<Automatic, BillingError> {
        let key = automatic_key(organization, developer, currency);
        let found = self.records().load::<Automatic>(&key).await?.map(|stored| stored.record);
        let missing = || {
            let inside = format!("developer {developer}");
            BillingError::missing("automatic top-up in", currency, inside)
        };
        found.filter(|found| found.terms.is_some()).ok_or_else(missing)
    }

    /// Sets what is paid when a wallet runs low, and ends any pause after declines.
    ///
    /// # Errors
    /// `Amount`, `Invalid`, `Missing` or `Precondition` (integration), `Contended`, the store's.
    pub async fn set_automatic(
        &self,
        organization: &str,
        owner: &Developer,
        currency: Currency,
        terms: &AutomaticTerms,
        by: &str,
    ) -> Result<Automatic, BillingError> {
        terms.check(currency)?;
        self.integration_for(organization, terms.billing.as_deref()).await?;
        let now = self.parts().clock.now();
        let new = Automatic {
            organization: organization.to_owned(),
            developer: owner.id,
            currency,
            terms: Some(terms.clone()),
            by: by.to_owned(),
            current: None,
            day: Used::none(day(now)),
            month: Used::none(month(now)),
            declines: 0,
            not_before: None,
            failure: None,
        };
        if self.records().insert(&new.key(), &new, now).await? == Put::Written {
            return Ok(new);
        }
        let key = new.key();
        let set = self.records().edit(&key, now, |record: &mut Automatic| {
            record.terms = Some(terms.clone());
            by.clone_into(&mut record.by);
            (record.declines, record.not_before, record.failure) = (0, None, None);
            Ok(())
        });
        Ok(set.await?.ok_or(BillingError::Contended { what: "automatic top-up" })?.0)
    }

    /// Begins none any more; one that is under way ends as it ends.
    ///
    /// # Errors
    /// `Missing`, `Contended`, the store's.
    pub async fn unset_automatic(
        &self,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
    ) -> Result<(), BillingError> {
        let key = self.automatic(organization, developer, currency).await?.key();
        let now = self.parts().clock.now();
        let unset = self.records().edit(&key, now, |record: &mut Automatic| {
            record.terms = None;
            Ok(())
        });
        unset.await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use tollgate_metering::Money;

    use super::Used;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn a_cap_counts_its_own_day_and_takes_back_what_was_not_paid() {
        let used = Used::none(1).within(money("60"), money("100")).unwrap();
        assert_eq!(used.within(money("60"), money("100")), None);
        assert_eq!(used.within(money("40"), money("100")).unwrap().amount, money("100"));
        assert_eq!(used.in_number(2).amount, Money::ZERO);
        assert_eq!(used.in_number(1).amount, money("60"));
        assert_eq!(used.given_back(money("60"), 1).amount, Money::ZERO);
        // Begun yesterday: today's cap did not pay for it.
        assert_eq!(used.given_back(money("60"), 0).amount, money("60"));
    }
}
