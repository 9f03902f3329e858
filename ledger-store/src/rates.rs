//! Where the prices of a meter, and the policy of a wallet, come from.

use std::sync::Arc;

use async_trait::async_trait;
use tollgate_metering::account::Overspend;
use tollgate_metering::{Currency, DeveloperId, PlanId, Rates, UnixMillis};

use crate::error::LedgerError;

/// What the book asks the catalogue: prices by rate plan revision, which are immutable, so that
/// answers may be kept for ever, and under which policy a wallet is opened.
#[async_trait]
pub trait RateSource: Send + Sync + 'static {
    /// The prices of a revision.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] where there is no such revision, else the store's.
    async fn rates(&self, plan: PlanId, revision: u32) -> Result<Arc<Rates>, LedgerError>;

    /// The overspend policy that a wallet has to go by; optimistic where there is no catalogue.
    ///
    /// # Errors
    /// The store's.
    async fn overspend(
        &self,
        _organization: &str,
        _developer: DeveloperId,
        _currency: Currency,
        _now: UnixMillis,
    ) -> Result<Overspend, LedgerError> {
        Ok(Overspend::default())
    }
}
