//! Where the API hears how far calls may take a wallet below its floor: a balance-sync node
//! measures it.

use async_trait::async_trait;
use tollgate_metering::WalletId;
use tollgate_metering::exposure::Exposure;

/// Tells the bound of a wallet that holds now.
#[async_trait]
pub trait ExposureSource: Send + Sync + 'static {
    /// The bound; `None` where nobody can tell.
    async fn exposure(&self, wallet: WalletId) -> Option<Exposure>;
}

/// Of an API beside which no node runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoExposures;

#[async_trait]
impl ExposureSource for NoExposures {
    async fn exposure(&self, _: WalletId) -> Option<Exposure> {
        None
    }
}
