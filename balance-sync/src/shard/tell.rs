//! Tells streams what changed.

use std::collections::BTreeMap;

use tollgate_metering::WalletId;
use tollgate_metering::node::{News, StreamId};

use super::{Shard, Told};

/// Wallets whose age is told together, by stream and answered report.
type Freshness = BTreeMap<(StreamId, i64), Vec<WalletId>>;

// === impl Shard ===

impl Shard {
    /// Tells the subscribers of all wallets that changed since the last tick.
    pub(super) fn tell_stale(&mut self) {
        let mut fresh = Freshness::new();
        for wallet in std::mem::take(&mut self.stale) {
            self.tell_wallet(wallet, &mut fresh);
        }
        self.tell_fresh(fresh);
    }

    /// Tells the subscribers of one wallet.
    pub(super) fn tell(&mut self, wallet: WalletId) {
        let mut fresh = Freshness::new();
        self.stale.remove(&wallet);
        self.tell_wallet(wallet, &mut fresh);
        self.tell_fresh(fresh);
    }

    fn tell_wallet(&mut self, wallet: WalletId, fresh: &mut Freshness) {
        let (wall, hold_life) = (self.node.now(), self.node.settings.hold_life);
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        let subscribers: Vec<StreamId> = entry.machine.subscribers().collect();
        for stream in subscribers {
            let Some(open) = self.streams.get(&stream) else { continue };
            if entry.machine.is_missing() {
                if open.sink.tell(Told::NoWallet(wallet)) {
                    entry.machine.unsubscribe(stream, wall);
                }
                continue;
            }
            match entry.machine.news(stream, wall, hold_life) {
                Ok(None) => {}
                Ok(Some(News::Fresh { answered_seq })) => {
                    fresh.entry((stream, answered_seq)).or_default().push(wallet);
                }
                Ok(Some(News::Snapshot(snapshot))) => {
                    if !open.sink.tell(Told::Snapshot(snapshot)) {
                        entry.machine.untell(stream);
                        self.stale.insert(wallet);
                    }
                }
                Err(error) => tracing::error!(%wallet, %error, "wallet cannot be told"),
            }
        }
    }

    fn tell_fresh(&mut self, fresh: Freshness) {
        for ((stream, answered_seq), wallets) in fresh {
            let Some(open) = self.streams.get(&stream) else { continue };
            if open.sink.tell(Told::Fresh { answered_seq, wallets: wallets.clone() }) {
                continue;
            }
            for wallet in wallets {
                if let Some(entry) = self.wallets.get_mut(&wallet) {
                    entry.machine.untell(stream);
                    self.stale.insert(wallet);
                }
            }
        }
    }
}
