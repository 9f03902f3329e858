//! Tells a node that its own process changed the ledger, so that gateways hear of it at once.
//!
//! Best effort: what is not told here, because another process changed it, is found by reading.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tollgate_metering::WalletId;

/// Most wallets that wait to be read; beyond it they are found at their next read.
const WALLETS_MAX: usize = 65_536;

/// A handle for whoever commits to the ledger or the catalogue in this process.
#[derive(Clone, Debug, Default)]
pub struct Changes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    wallets: Mutex<HashSet<WalletId>>,
    wallets_changed: Notify,
    catalogue_changed: Notify,
}

// === impl Changes ===

impl Changes {
    /// The wallet's account changed: read it again and push it.
    pub fn changed(&self, wallet: WalletId) {
        let mut wallets = self.0.wallets.lock();
        if wallets.len() < WALLETS_MAX {
            wallets.insert(wallet);
        }
        drop(wallets);
        self.0.wallets_changed.notify_one();
    }

    /// The catalogue changed: read its log now.
    pub fn catalogue_changed(&self) {
        self.0.catalogue_changed.notify_one();
    }

    /// The wallets that changed since the last time; waits for one.
    pub(crate) async fn wallets(&self) -> HashSet<WalletId> {
        loop {
            let wallets = std::mem::take(&mut *self.0.wallets.lock());
            if !wallets.is_empty() {
                return wallets;
            }
            self.0.wallets_changed.notified().await;
        }
    }

    /// Waits for a change of the catalogue.
    pub(crate) async fn catalogue(&self) {
        self.0.catalogue_changed.notified().await;
    }
}
