//! Tells the rest of the process how far calls may take a wallet below its floor.

use std::sync::{Arc, OnceLock, Weak};

use tokio::sync::oneshot;
use tollgate_metering::WalletId;
use tollgate_metering::exposure::Exposure;

use crate::node::Node;
use crate::settings::VIEW_TIMEOUT;
use crate::shard::Command;

/// A handle for whoever shows wallets in this process; it answers while the node runs.
#[derive(Clone, Debug, Default)]
pub struct Exposures(Arc<OnceLock<Weak<Node>>>);

// === impl Exposures ===

impl Exposures {
    /// From now on `node` answers. A node that runs later in the same process does not.
    pub(crate) fn answer_by(&self, node: &Arc<Node>) {
        // Somebody who runs two nodes with one handle hears the first.
        let _ = self.0.set(Arc::downgrade(node));
    }

    /// The bound of a wallet that holds now; `None` where there is no such wallet, or the node
    /// does not answer within a second.
    pub async fn exposure(&self, wallet: WalletId) -> Option<Exposure> {
        let node = self.0.get()?.upgrade()?;
        let (answer, answered) = oneshot::channel();
        let asking = async {
            node.to_shard_of(wallet, Command::Ask { wallet, is_peek: true, answer }).await.ok()?;
            Some(answered.await.ok()?.ok()?.exposure)
        };
        tokio::time::timeout(VIEW_TIMEOUT, asking).await.ok()?
    }
}
