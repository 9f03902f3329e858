//! Calls in shadow mode: counted, never refused by admission, never paid.
//!
//! A plan or a proxy is in shadow mode. Where plan and wallet of a call are known its units are counted on a meter of their own:
//! beside those that would have been charged or beside those that would have been refused, as an optimistic wallet would have
//! decided. What names nobody to count on, as an unknown key does, passes as well where the proxy is in shadow mode, and the
//! proxy's metrics alone tell of it. So does what cannot be counted (a full spend file): who tries a plan harms no caller.
//! Not here: what is no matter of admission (a request that is not sound, an upstream that is away) is answered as ever.

use std::sync::Arc;

use tollgate_metering::BillingType;
use tollgate_metering::wallet::{AsIf, Tariff};

use super::asked::Asked;
use super::{Decision, Inner, MeteredHold, Missing, Wanted};
use crate::admission::CallHead;
use crate::refusal::Refusal;
use crate::wallet_cache::{NoHold, WalletEntry, WalletHold};

/// Lets a call pass, whatever was decided, where its proxy is in shadow mode.
pub(super) fn spare(
    head: &CallHead<'_>,
    decision: Decision<MeteredHold, Missing>,
) -> Decision<MeteredHold, Missing> {
    let refusal = match (&decision, head.failed) {
        (Decision::Refuse(refused), _) => refused.kind,
        (Decision::Missing(_), Some(failed)) => failed,
        (
            Decision::Admit(_)
            | Decision::Shadow { .. }
            | Decision::Unpriced
            | Decision::Missing(_),
            _,
        ) => return decision,
    };
    Decision::Shadow { hold: None, refusal: Some(refusal) }
}

// === impl Inner ===

impl Inner {
    /// Counts a call whose plan is known. Waits once for what is not in memory; where that `failed`, goes on without.
    pub(super) fn shadow(
        &self,
        asked: &Asked<'_>,
        failed: Option<Refusal>,
    ) -> Decision<MeteredHold, Missing> {
        let is_subscribed = asked.product.is_subscribed(asked.service_time);
        let Some(wallet) = asked.plan.wallet else {
            let refusal = if is_subscribed { Refusal::NoWallet } else { Refusal::NoSubscription };
            return Decision::Shadow { hold: None, refusal: Some(refusal) };
        };
        let missing = Decision::Missing(Missing(Wanted::Wallet(wallet)));
        let Some(entry) = self.wallets.get(wallet) else {
            return match failed {
                None => missing,
                Some(_) => Decision::Shadow { hold: None, refusal: failed },
            };
        };
        if !is_subscribed {
            return self.spared(entry, asked, Refusal::NoSubscription);
        }
        let (time, tariffs) = (asked.service_time, &self.wallets.books.tariffs);
        let held = asked.plan.with_shadow_tariff(time, tariffs, |tariff| {
            entry.fits(tariff, as_if(asked, tariff), asked.now)?;
            counting(&entry, tariff, asked)
        });
        match held {
            Some(Ok(hold)) => Decision::Shadow { hold: Some(asked.metered(hold)), refusal: None },
            Some(Err(NoHold::Unknown)) if failed.is_none() => missing,
            Some(Err(refused)) => self.spared(entry, asked, refused.told().0),
            None => self.spared(entry, asked, Refusal::MeterUnavailable),
        }
    }

    /// Counts a call beside those that would have been refused, if that can be.
    fn spared(
        &self,
        entry: Arc<WalletEntry>,
        asked: &Asked<'_>,
        refusal: Refusal,
    ) -> Decision<MeteredHold, Missing> {
        let tariff = asked.plan.refused_tariff(asked.service_time, &self.wallets.books.tariffs);
        let hold = tariff.and_then(|tariff| match counting(&entry, &tariff, asked) {
            Ok(hold) => Some(asked.metered(hold)),
            Err(_) => None,
        });
        Decision::Shadow { hold, refusal: Some(refusal) }
    }
}

fn counting(
    entry: &Arc<WalletEntry>,
    tariff: &Arc<Tariff>,
    asked: &Asked<'_>,
) -> Result<WalletHold, NoHold> {
    Arc::clone(entry).hold(tariff, asked.caller.app, asked.units_max, None, asked.now)
}

/// Who would have paid.
fn as_if(asked: &Asked<'_>, tariff: &Tariff) -> AsIf {
    match asked.plan.billing {
        BillingType::Postpaid => {
            AsIf::Postpaid(asked.plan.credit.map(|credit| credit.left(tariff.period)))
        }
        BillingType::Prepaid | BillingType::Shadow | BillingType::ShadowRefused => AsIf::Prepaid,
    }
}
