//! What developers who pay later may owe.
//!
//! A limit stands beside the overspend policies of a developer's wallets, so that it can be set
//! before there is a wallet; while the developer pays in advance it says nothing. What a period's
//! calls cost is known to gateways from their meters. What else is owed for it, fees without the
//! credits that its invoice nets, is read from the journal when a key is resolved: whoever books
//! one changes a document of the developer's afterwards, so that gateways resolve again.
//!
//! Not here: who refuses (`gateway`).

use std::collections::BTreeMap;

use tollgate_metering::{
    BillingType, Currency, DeveloperId, EntryKind, Money, Period, UnixMillis, WalletId,
};

use super::Catalogue;
use super::caller::Credit;
use super::error::CatalogueError;
use super::records::{CreditLimit, Developer, WalletPolicies};
use super::store::wallet_policies_key;
use super::wallets::wallet_id;
use crate::documents::Put;
use crate::error::LedgerError;

/// Entries of one page of the journal.
const PAGE: usize = 500;

// === impl Catalogue ===

impl Catalogue {
    /// What a developer may owe in a currency where he pays later; `None` for no limit.
    ///
    /// # Errors
    /// The store's.
    pub async fn credit_limit(
        &self,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
    ) -> Result<Option<Money>, CatalogueError> {
        let limits = self.credit_limits(organization, developer).await?;
        Ok(limits.iter().find(|row| row.currency == currency).map(|row| row.limit))
    }

    /// Sets it; may be repeated.
    ///
    /// # Errors
    /// `Invalid` (negative), or the store's.
    pub async fn set_credit_limit(
        &self,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
        limit: Option<Money>,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        if limit.is_some_and(Money::is_negative) {
            return Err(CatalogueError::invalid("creditLimit", "must not be negative"));
        }
        let key = wallet_policies_key(organization, developer);
        // Whoever inserts it first, it is edited below.
        let _: Put = self.insert(&key, &WalletPolicies::default(), now).await?;
        self.edit(&key, now, |all: &mut WalletPolicies| {
            all.credit_limits.retain(|row| row.currency != currency);
            all.credit_limits.extend(limit.map(|limit| CreditLimit { currency, limit }));
            Ok(())
        })
        .await?
        .ok_or(CatalogueError::Contended { what: "wallet policies" })?;
        Ok(())
    }

    async fn credit_limits(
        &self,
        organization: &str,
        developer: DeveloperId,
    ) -> Result<Vec<CreditLimit>, CatalogueError> {
        let key = wallet_policies_key(organization, developer);
        let found = self.load::<WalletPolicies>(&key).await?;
        Ok(found.map(|stored| stored.record.credit_limits).unwrap_or_default())
    }

    /// The limits of a developer who pays later, each with what is owed in the period of `now`.
    pub(super) async fn credits(
        &self,
        organization: &str,
        developer: &Developer,
        now: UnixMillis,
    ) -> Result<BTreeMap<Currency, Credit>, CatalogueError> {
        let mut credits = BTreeMap::new();
        match developer.billing {
            BillingType::Postpaid => {}
            BillingType::Prepaid | BillingType::Shadow | BillingType::ShadowRefused => {
                return Ok(credits);
            }
        }
        let period = Period::of(now);
        for CreditLimit { currency, limit } in
            self.credit_limits(organization, developer.id).await?
        {
            let wallet = wallet_id(developer.id, currency);
            let owed = self.owed(developer.id, wallet, period).await?;
            credits.insert(currency, Credit { limit, owed, period });
        }
        Ok(credits)
    }

    /// Fees of a wallet that were noted for the invoice of a period, without what it nets.
    async fn owed(
        &self,
        developer: DeveloperId,
        wallet: WalletId,
        period: Period,
    ) -> Result<Money, CatalogueError> {
        let out_of_range = |error: tollgate_metering::MoneyError| {
            let detail = error.to_string();
            CatalogueError::Ledger(LedgerError::Corrupt { what: "entries", detail })
        };
        let (mut owed, mut after) = (Money::ZERO, None::<String>);
        loop {
            let page = self.ledger.entries(developer, after.as_deref(), PAGE).await?;
            let of_period = |entry: &&tollgate_metering::Entry| {
                entry.wallet == wallet && Period::of(entry.at) == period
            };
            for entry in page.iter().filter(of_period) {
                if entry.kind == EntryKind::PostpaidFee {
                    owed = owed.plus(entry.amount).map_err(out_of_range)?;
                } else if entry.kind == EntryKind::Transfer {
                    owed = owed.minus(entry.amount).map_err(out_of_range)?;
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.id.clone()),
                Some(_) | None => return Ok(owed),
            }
        }
    }
}
