//! Tells streams what changed.

use std::collections::BTreeMap;
use std::time::Duration;

use tollgate_metering::WalletId;
use tollgate_metering::node::{News, StreamId};

use super::{Shard, Told};

/// Wallets whose age is told together, by stream and answered report.
type Freshness = BTreeMap<(StreamId, i64), Vec<WalletId>>;

// === impl Shard ===

impl Shard {
    /// Tells the subscribers of the wallets of which they are to be told now.
    pub(super) fn tell_due(&mut self, now: Duration) {
        let mut fresh = Freshness::new();
        let mut full = Vec::new();
        // Ticks are not exact: what is due within half a tick is due now.
        let soon = now + self.node.settings.tick / 2;
        while let Some(wallet) = self.tells.take(soon) {
            self.tell_wallet(wallet, &mut fresh, &mut full);
        }
        self.tell_fresh(fresh, &mut full);
        self.tell_again(&full, now);
    }

    /// Tells the subscribers of one wallet.
    pub(super) fn tell(&mut self, wallet: WalletId) {
        let (mut fresh, mut full) = (Freshness::new(), Vec::new());
        self.tells.remove(wallet);
        self.tell_wallet(wallet, &mut fresh, &mut full);
        self.tell_fresh(fresh, &mut full);
        self.tell_again(&full, self.node.clock.monotonic());
    }

    /// A stream took no more: its wallets are told with the next tick.
    fn tell_again(&mut self, wallets: &[WalletId], now: Duration) {
        let next = now + self.node.settings.tick;
        wallets.iter().for_each(|wallet| self.tells.sooner(*wallet, next));
    }

    fn tell_wallet(&mut self, wallet: WalletId, fresh: &mut Freshness, full: &mut Vec<WalletId>) {
        let now = self.node.clock.monotonic();
        let (wall, hold_life) = (self.node.now(), self.node.settings.hold_life);
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        (entry.told_at, entry.told_left) = (now, entry.left);
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
                        full.push(wallet);
                    }
                }
                Err(error) => tracing::error!(%wallet, %error, "wallet cannot be told"),
            }
        }
    }

    fn tell_fresh(&mut self, fresh: Freshness, full: &mut Vec<WalletId>) {
        for ((stream, answered_seq), wallets) in fresh {
            let Some(open) = self.streams.get(&stream) else { continue };
            if open.sink.tell(Told::Fresh { answered_seq, wallets: wallets.clone() }) {
                continue;
            }
            for wallet in wallets {
                if let Some(entry) = self.wallets.get_mut(&wallet) {
                    entry.machine.untell(stream);
                    full.push(wallet);
                }
            }
        }
    }
}
