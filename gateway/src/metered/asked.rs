//! A call for which a plan and a wallet were found, and what its refusal tells of them.
//!
//! Off the hot path: a call that passes makes no [`Refused`].

use std::time::Duration;

use tollgate_metering::account::Overspend;
use tollgate_metering::wallet::Tariff;
use tollgate_metering::{Money, Period, Units, UnixMillis};
use tracing::error;

use super::{Inner, MeteredHold};
use crate::caller_cache::{Caller, PlanOffer, ProductAccess};
use crate::refusal::{Budget, KnownBalance, Refusal, Refused, Returns};
use crate::wallet_cache::{Lack, NoHold, WalletHold};

/// What a decision found before it asked the wallet.
pub(super) struct Asked<'a> {
    pub(super) caller: &'a Caller,
    pub(super) product: &'a ProductAccess,
    pub(super) plan: &'a PlanOffer,
    pub(super) units_max: Units,
    pub(super) service_time: UnixMillis,
    pub(super) now: Duration,
}

// === impl Asked ===

impl Asked<'_> {
    /// The hold that the call was given.
    pub(super) fn metered(&self, hold: WalletHold) -> MeteredHold {
        MeteredHold { hold, currency: self.plan.currency, asked_at: self.now }
    }
}

// === impl NoHold ===

impl NoHold {
    /// What the call is refused with, where nothing is to be waited for.
    pub(super) fn told(self) -> (Refusal, Option<Box<Lack>>) {
        match self {
            Self::Absent => (Refusal::NoWallet, None),
            Self::Stale => (Refusal::BalanceStale, None),
            Self::TooSmall(lack) => (Refusal::BalanceTooSmall, Some(lack)),
            Self::CreditReached(lack) => (Refusal::CreditLimitReached, Some(lack)),
            Self::BandExceeded => (Refusal::BandExceeded, None),
            Self::Changing => (Refusal::PolicyChanging, None),
            Self::Unknown | Self::Ungranted | Self::NotServing => (Refusal::BalanceUnknown, None),
            Self::Unmetered(failure) => {
                if let Some(failure) = failure {
                    // Rare: once a call on a new meter while the disk is full.
                    error!(error = &failure as &dyn std::error::Error, "call cannot be counted");
                }
                (Refusal::MeterUnavailable, None)
            }
        }
    }
}

// === impl Inner ===

impl Inner {
    /// The refusal with what is known of its wallet.
    #[cold]
    pub(super) fn refused(&self, kind: Refusal, asked: &Asked<'_>, lack: Option<&Lack>) -> Refused {
        let Asked { caller, product, plan, units_max, service_time, now } = *asked;
        let tariffs = &self.wallets.books.tariffs;
        // Without a wallet nothing was counted yet: the call is the first of its period.
        let is_first = plan.wallet.is_none();
        let first =
            plan.with_tariff(service_time, tariffs, |tariff| first_price(tariff, lack, units_max));
        let first = first.flatten();
        let known = lack.and_then(|lack| {
            let view = lack.view?;
            let age = view.as_of.map(|as_of| now.saturating_sub(as_of));
            Some(KnownBalance { balance: view.balance, available: lack.available, age })
        });
        let next = Period::of(service_time).end();
        let is_in_force = product.is_subscribed(next)
            && product.plan(next).is_some_and(|then| std::ptr::eq(then, plan));
        let is_affordable = |price: Money, lack: &Lack| price.is_zero() || price <= lack.returned;
        let returns = match (lack, first) {
            (Some(lack), Some(first)) if is_in_force && is_affordable(first, lack) => {
                Some(Returns { period: Period::of(next), wait: next.since(service_time) })
            }
            (Some(_) | None, Some(_) | None) => None,
        };
        let price = lack.map(|lack| lack.price).or(first.filter(|_| is_first));
        let (developer, wallet, currency) = (caller.developer, plan.wallet, plan.currency);
        let budget = Budget { developer, wallet, currency, price, known, returns };
        Refused { kind, budget: Some(Box::new(budget)) }
    }
}

/// What the call would cost as the first of a period.
fn first_price(tariff: &Tariff, lack: Option<&Lack>, units_max: Units) -> Option<Money> {
    let mode = lack.and_then(|lack| lack.view).map(|view| view.mode.overspend);
    match mode.unwrap_or_default() {
        Overspend::Optimistic => tariff.rates.marginal(Units::ZERO, Units::ONE).ok(),
        Overspend::Strict => tariff.rates.most(Units::ZERO, units_max).ok(),
    }
}
