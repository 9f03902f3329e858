//! Once a second: idle wallets, ended incarnations, old files, metrics.

use std::sync::Arc;
use std::time::Duration;

use tracing::error;

use super::Hub;
use crate::wallet_cache::Feed;

/// A wallet without a call for this long is not told about any more.
const IDLE_AFTER: Duration = Duration::from_secs(10);
/// One that is not told about, for this long, leaves the memory.
const EVICT_AFTER: Duration = Duration::from_secs(600);

// === impl Hub ===

impl Hub {
    pub(super) fn sweep(&mut self) {
        let now = self.now();
        self.leave_idle(now);
        self.paces.leave_quiet(now);
        // Older snapshots than this admit nothing anyway.
        let limit = self.parts.wallets.books.staleness_limit;
        self.freed.retain(|_, freed| now.saturating_sub(*freed) <= limit);
        let listed = self.own.listed.clone();
        let evict_before = now.saturating_sub(EVICT_AFTER).as_secs();
        let evict_before_s = u32::try_from(evict_before).unwrap_or(u32::MAX);
        self.parts.wallets.evict(evict_before_s, &|life| listed.contains(&life));
        self.unblock_kept();
        self.end_lives();
        self.remove_old_files();
        if self.is_rotation_due() {
            self.begin_life(None);
        }
        self.sync_files();
        let metrics = &self.parts.metrics;
        metrics.holds_open.set(self.parts.wallets.books.lives.open_calls());
        metrics.wallets_cached.set(i64::try_from(self.parts.wallets.len()).unwrap_or(i64::MAX));
    }

    /// Unsubscribes wallets that nobody calls on and of which nothing is open; measures the others.
    fn leave_idle(&mut self, now: Duration) {
        let idle_before = now.saturating_sub(IDLE_AFTER).as_secs();
        let (mut oldest, mut not_durable_nanos) = (Duration::ZERO, 0_u128);
        let (nodes, limit) = (&mut self.nodes, self.parts.wallets.books.staleness_limit);
        self.parts.wallets.for_each(|entry| {
            not_durable_nanos += entry.not_durable().nanos();
            if entry.feed() == Feed::Idle {
                return;
            }
            let age = entry.as_of().map(|as_of| now.saturating_sub(as_of));
            oldest = oldest.max(age.unwrap_or_default());
            if u64::from(entry.used_s()) < idle_before && entry.is_quiet() {
                if let Some(node) = entry.node() {
                    nodes[node].unsubscribe.push(entry.id);
                }
                entry.set_idle();
            } else if age.is_some_and(|age| age > limit)
                && let Some(node) = entry.node()
            {
                // Its node lives and says nothing of it: a subscription was lost.
                nodes[node].subscribe.push(entry.id);
            }
        });
        let metrics = &self.parts.metrics;
        metrics.staleness.set(oldest.as_secs_f64());
        // For people: whole units are exact enough.
        metrics.not_durable.set((not_durable_nanos / 1_000_000_000) as f64);
    }

    /// Writes the files to disk, apart from this task.
    fn sync_files(&self) {
        let lives = &self.parts.wallets.books.lives;
        let files: Vec<_> =
            self.own.listed.iter().map(|life| Arc::clone(&lives.get(*life).file)).collect();
        // Nobody waits for it.
        drop(self.parts.disk.run(move || {
            for file in files {
                if let Err(failure) = file.grow_ahead().and_then(|()| file.sync()) {
                    error!(error = &failure as &dyn std::error::Error, "spend file is not synced");
                }
            }
        }));
    }
}
