//! Where the prices of a meter come from.

use std::sync::Arc;

use async_trait::async_trait;
use tollgate_metering::{PlanId, Rates};

use crate::error::LedgerError;

/// Prices by rate plan revision. Revisions are immutable, so answers may be kept for ever.
#[async_trait]
pub trait RateSource: Send + Sync + 'static {
    /// The prices of a revision.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] where there is no such revision, else the store's.
    async fn rates(&self, plan: PlanId, revision: u32) -> Result<Arc<Rates>, LedgerError>;
}
