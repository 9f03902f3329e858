//! Invoices of developers who pay later: one a month, developer and currency, paid through Stripe.
//!
//! ```text
//! journal of a wallet ──compose──▶ invoice, written once ──collect──▶ Stripe ──▶ paid, void, …
//!        (ledger)        (pure)      (chain of records)   (steps, looked at first)
//! ```
//!
//! What is owed is in the ledger's journal: checkpoints of postpaid meters, fees noted for invoices,
//! and credits of balances that were left when a developer became postpaid. Each entry is taken up
//! by one invoice, for ever: the chain of a developer and currency names them. Lines are exact; the
//! sum is rounded once, half to even, to what Stripe can take, and what that leaves, as well as
//! credits and what is less than Stripe takes, is carried to the next invoice. So
//! `Σ entries taken up = Σ totals + carried`, at every length of the chain (test:
//! `a_year_of_random_months_adds_up`).
//!
//! An invoice is written before Stripe is asked, and everything after may be repeated: at Stripe is
//! what was found there, not what somebody remembers to have sent.
//! Prepaid fees and charges are paid from the wallet and are on no invoice.
//! Not here: statements (`ledger_store::charges`), subscriptions' own invoices (`subscriptions`).

mod at_stripe;
mod collect;
pub mod compose;
mod fix;
pub mod record;
pub mod rounding;
mod work;

use tollgate_ledger_store::Put;

use self::record::{DAYS_UNTIL_DUE_MAX, INVOICING, ONLY};
use crate::Billing;
use crate::error::BillingError;
use crate::records::key;

pub use self::fix::newest_ready;
pub use self::record::{Collection, Invoice, InvoiceKey, Invoicing, Line, LineKind, State};
pub use self::work::ASKED_EVERY;

// === impl Billing ===

impl Billing {
    /// How an organization invoices; `None` where it does not.
    ///
    /// # Errors
    /// The store's.
    pub async fn invoicing(&self, organization: &str) -> Result<Option<Invoicing>, BillingError> {
        let stored = self.records().load::<Invoicing>(&key(INVOICING, organization, ONLY)).await?;
        Ok(stored.map(|stored| stored.record))
    }

    /// Sets how an organization invoices. Entries of months from the first on that no invoice has
    /// taken up are taken up by the next one, also where the first month moves back.
    ///
    /// # Errors
    /// `Invalid`, `Missing` (organization, integration), `Contended`, the store's.
    pub async fn set_invoicing(
        &self,
        organization: &str,
        invoicing: &Invoicing,
    ) -> Result<(), BillingError> {
        self.parts().catalogue.organization(organization).await?;
        self.integration(organization, &invoicing.billing).await?;
        if !(1..=DAYS_UNTIL_DUE_MAX).contains(&invoicing.days_until_due) {
            let reason = format!("must be 1 to {DAYS_UNTIL_DUE_MAX}");
            return Err(BillingError::invalid("daysUntilDue", reason));
        }
        let (key, now) = (key(INVOICING, organization, ONLY), self.parts().clock.now());
        if self.records().insert(&key, invoicing, now).await? == Put::Conflict {
            let set = |known: &mut Invoicing| {
                known.clone_from(invoicing);
                Ok(())
            };
            self.records().edit(&key, now, set).await?;
        }
        self.look_again(organization).await
    }

    /// One invoice.
    ///
    /// # Errors
    /// `Missing`, the store's.
    pub async fn invoice(&self, invoice: &InvoiceKey) -> Result<Invoice, BillingError> {
        let found = self.records().load::<Invoice>(&invoice.invoice()).await?;
        let missing = || BillingError::missing("invoice", invoice.id(), invoice.developer);
        found.map(|stored| stored.record).ok_or_else(missing)
    }
}
