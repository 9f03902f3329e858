//! Writes invoices: closes a month of a wallet, reads it, and appends what is next to its chain.
//!
//! A month is ready when all its meters are closed and nothing more can become part of it in its
//! statement: a day after its end, or later where it was closed late. Then what is next is computed
//! and written under its number, which only one writer can have; whoever comes second reads the
//! chain again. A crash leaves the chain as long as it was, or one longer: how far a wallet is
//! invoiced is noted after its invoices and what is due of them, so the next pass goes on.
//! Not here: what stands in an invoice (`compose`), Stripe (`collect`).

use tollgate_ledger_store::charges::Charges;
use tollgate_ledger_store::{DocumentKey, Put};
use tollgate_metering::lines::{Cutoffs, Day};
use tollgate_metering::{Currency, DeveloperId, Header, Period, UnixMillis, WalletId};

use super::compose::{Months, Names, compose, is_for_invoices};
use super::record::{
    Collection, Due, INVOICE, Invoice, InvoiceKey, Invoicing, ONLY, THROUGH, Through,
};
use crate::Billing;
use crate::error::BillingError;
use crate::records::key;

/// Who closes the months.
const BY: &str = "invoices";

/// Invoices of one wallet and month: what does not fit into so many waits for the next pass.
const CONTINUED_MAX: usize = 100;

/// Wallets that are listed at a time.
const WALLETS_PAGE: usize = 500;

/// The newest month that may be ready.
#[must_use]
pub fn newest_ready(now: UnixMillis) -> Option<Period> {
    let before = |period: Period| Period::from_number(period.number().checked_sub(1)?);
    let last = before(Period::of(now))?;
    if Cutoffs::default().after(last) < now { Some(last) } else { before(last) }
}

fn wallet_through(organization: &str, wallet: WalletId) -> DocumentKey {
    key(THROUGH, format!("{organization}/wallets"), wallet)
}

fn organization_through(organization: &str) -> DocumentKey {
    key(THROUGH, organization, ONLY)
}

// === impl Billing ===

impl Billing {
    /// The invoices of a developer and currency, the first first.
    ///
    /// # Errors
    /// The store's.
    pub async fn invoice_chain(
        &self,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
    ) -> Result<Vec<Invoice>, BillingError> {
        let scope = InvoiceKey::scope(organization, developer, currency);
        let all = self.records().all::<Invoice>(INVOICE, &scope).await?;
        Ok(all.into_iter().map(|(_, stored)| stored.record).collect())
    }

    /// Writes the invoices of every wallet of an organization that are ready. Returns whether all
    /// are: else a later pass goes on.
    ///
    /// # Errors
    /// The first of a wallet that failed; the others are done.
    pub async fn write_invoices(
        &self,
        organization: &str,
        invoicing: &Invoicing,
    ) -> Result<bool, BillingError> {
        let now = self.parts().clock.now();
        let Some(through) = newest_ready(now).filter(|month| *month >= invoicing.first_month)
        else {
            return Ok(true);
        };
        let all = organization_through(organization);
        if self.is_through(&all, through).await? {
            return Ok(true);
        }
        let (mut after, mut is_complete, mut first_error) = (None, true, None);
        loop {
            let page = self.parts().ledger.list(after, WALLETS_PAGE).await?;
            for wallet in &page {
                match self.write_invoices_of(organization, invoicing, *wallet, through).await {
                    Ok(is_done) => is_complete &= is_done,
                    Err(error) => {
                        let error_chain = &error as &dyn std::error::Error;
                        tracing::warn!(%wallet, error = error_chain, "wallet is not invoiced yet");
                        first_error = first_error.or(Some(error));
                    }
                }
            }
            after = page.last().copied();
            if page.len() < WALLETS_PAGE {
                break;
            }
        }
        match first_error {
            Some(error) => return Err(error),
            None if is_complete => self.note_through(&all, through, now).await?,
            None => {}
        }
        Ok(is_complete)
    }

    /// Forgets that all is invoiced, so that the next pass looks at every wallet again.
    pub(super) async fn look_again(&self, organization: &str) -> Result<(), BillingError> {
        let now = self.parts().clock.now();
        self.records().remove(&organization_through(organization), now).await
    }

    async fn write_invoices_of(
        &self,
        organization: &str,
        invoicing: &Invoicing,
        wallet: WalletId,
        through: Period,
    ) -> Result<bool, BillingError> {
        let noted = wallet_through(organization, wallet);
        if self.is_through(&noted, through).await? {
            return Ok(true);
        }
        let Some(read) = self.parts().ledger.read(wallet).await? else { return Ok(true) };
        let header = read.account.header;
        if header.organization != organization {
            return Ok(true);
        }
        let known = self.records().load::<Through>(&noted).await?;
        let next = known.map(|stored| stored.record.month.later(1));
        let start = next.unwrap_or(Period::of(header.opened_at)).max(invoicing.first_month);
        let months = start.number()..=through.number();
        for month in months.filter_map(Period::from_number) {
            let months = Months { first: invoicing.first_month, through: month };
            if !self.write_month(&header, months).await? {
                return Ok(false);
            }
            self.note_through(&noted, month, self.parts().clock.now()).await?;
        }
        Ok(true)
    }

    /// Writes what is next of one month; false where the month is not ready.
    async fn write_month(&self, header: &Header, months: Months) -> Result<bool, BillingError> {
        let (parts, wallet, month) = (self.parts(), header.wallet, months.through);
        parts.book.close_period(wallet, month, BY).await?;
        let (from, now) = (Day::of(month.start()), parts.clock.now());
        let read = Charges::of(&parts.catalogue, &*parts.ledger, wallet, from, now).await?;
        let Some(charges) = read else { return Ok(true) };
        if Cutoffs::of(&charges.entries).after(month) >= now {
            return Ok(false);
        }
        let names = self.names(&header.organization, &charges).await?;
        for _ in 0..CONTINUED_MAX {
            let (developer, currency) = (header.developer, header.currency);
            let chain = self.invoice_chain(&header.organization, developer, currency).await?;
            let is_next = |last: &Invoice| last.month < month || last.is_continued;
            let next = if chain.last().is_none_or(is_next) {
                compose(&charges, &names, &chain, months, now)?
            } else {
                None
            };
            let Some(invoice) = next else {
                self.note_due(&header.organization, developer, currency, &chain).await?;
                return Ok(true);
            };
            let organization = header.organization.clone();
            let key = InvoiceKey { organization, developer, currency, number: invoice.number };
            if self.records().insert(&key.invoice(), &invoice, now).await? == Put::Written {
                tracing::info!(
                    developer = %key.developer, invoice = key.id(), %month,
                    total = %invoice.total, carried = %invoice.carried, "invoice is written"
                );
            }
        }
        Ok(false)
    }

    /// Notes that invoices of a chain may be to collect.
    async fn note_due(
        &self,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
        chain: &[Invoice],
    ) -> Result<(), BillingError> {
        let now = self.parts().clock.now();
        for invoice in chain.iter().filter(|invoice| invoice.is_asked_for()) {
            let organization = organization.to_owned();
            let key = InvoiceKey { organization, developer, currency, number: invoice.number };
            let collection = self.records().load::<Collection>(&key.collection()).await?;
            if collection.is_none_or(|stored| !stored.record.state.is_settled()) {
                // One that is there already says the same.
                self.records().insert(&key.due(), &Due { at: now }, now).await?;
            }
        }
        Ok(())
    }

    /// What people call the products and plans of a wallet's postpaid usage.
    async fn names(&self, organization: &str, charges: &Charges) -> Result<Names, BillingError> {
        let mut names = Names::new();
        let entries = charges.entries.iter().filter(|entry| is_for_invoices(entry));
        for meter in entries.filter_map(|entry| entry.meter) {
            if names.contains_key(&(meter.product, meter.plan)) {
                continue;
            }
            let found = self.parts().catalogue.product_by_id(organization, meter.product).await?;
            let Some(product) = found else { continue };
            let plan = product.plans.iter().find(|plan| plan.id == meter.plan);
            let plan = plan.map(|plan| either(&plan.terms.display_name, &plan.id.to_string()));
            let plan = plan.unwrap_or_else(|| meter.plan.to_string());
            let product = either(&product.terms.display_name, &product.name);
            names.insert((meter.product, meter.plan), (product, plan));
        }
        Ok(names)
    }

    async fn is_through(&self, key: &DocumentKey, month: Period) -> Result<bool, BillingError> {
        let known = self.records().load::<Through>(key).await?;
        Ok(known.is_some_and(|stored| stored.record.month >= month))
    }

    async fn note_through(
        &self,
        key: &DocumentKey,
        month: Period,
        now: UnixMillis,
    ) -> Result<(), BillingError> {
        if self.records().insert(key, &Through { month }, now).await? == Put::Conflict {
            let raise = |known: &mut Through| {
                known.month = known.month.max(month);
                Ok(())
            };
            self.records().edit(key, now, raise).await?;
        }
        Ok(())
    }
}

fn either(first: &str, second: &str) -> String {
    if first.is_empty() { second.to_owned() } else { first.to_owned() }
}
