//! Reads wallets of a shard again.

use std::sync::Arc;
use std::time::Duration;

use tollgate_ledger_store::LedgerError;
use tollgate_metering::WalletId;
use tollgate_metering::node::{Read, ReadError, ReadMark, StreamMark};

use super::{Done, RETRY_AFTER, Shard};
use crate::refusal::{Refusal, chain};
use crate::settings::READS_MAX;

/// A read that ended.
pub(super) struct ReadDone {
    wallet: WalletId,
    mark: ReadMark,
    read: Result<Option<Read>, LedgerError>,
}

// === impl Shard ===

impl Shard {
    /// Begins the reads that are due, as many as may be under way.
    pub(super) fn start_due_reads(&mut self, now: Duration) {
        let soon = now + self.node.settings.tick / 2;
        while self.reads < READS_MAX
            && now >= self.retry_at
            && let Some(wallet) = self.rereads.take(soon)
        {
            let is_needed = |entry: &super::Entry| {
                let is_used = entry.machine.is_subscribed() || entry.machine.is_mode_changing();
                !entry.is_reading && (entry.is_read_wanted || is_used)
            };
            // One under way plans the next by itself.
            if self.wallets.get(&wallet).is_some_and(is_needed) {
                self.start_read(wallet);
            }
        }
    }

    /// Begins to read a wallet, unless it is being read or too many are.
    pub(super) fn start_read(&mut self, wallet: WalletId) {
        let now = self.node.clock.monotonic();
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        if entry.is_reading || self.reads >= READS_MAX || now < self.retry_at {
            return;
        }
        let streams = &self.streams;
        let latest = |stream| streams.get(&stream).map_or(StreamMark::default(), |open| open.mark);
        let mark = entry.machine.begin_read(latest, now);
        entry.is_reading = true;
        entry.ended = self.node.incarnations.ended();
        entry.is_read_wanted = false;
        self.rereads.remove(wallet);
        entry.asked.append(&mut entry.asking);
        self.reads += 1;
        let (node, era) = (Arc::clone(&self.node), self.era);
        self.tasks.spawn(async move {
            let read = node.read(wallet).await;
            Done::Read(era, Box::new(ReadDone { wallet, mark, read }))
        });
    }

    pub(super) fn end_read(&mut self, era: u64, done: ReadDone) {
        if era != self.era {
            return;
        }
        self.reads = self.reads.saturating_sub(1);
        let (now, wall) = (self.node.clock.monotonic(), self.node.now());
        let ReadDone { wallet, mark, read } = done;
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        entry.is_reading = false;
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(%wallet, error = chain(&error), "wallet was not read");
                self.fail_read(wallet, now, &error);
                return;
            }
        };
        match entry.machine.reread(&mark, read, now, wall) {
            Ok(()) => {}
            Err(ReadError::Old { took }) => {
                tracing::warn!(%wallet, ?took, "read was too slow to be used");
                entry.asking.append(&mut entry.asked);
                self.want_read(wallet, now);
                return;
            }
            Err(error @ ReadError::Generation { .. }) => {
                // The watch over the ledger sees it as well and makes the node start over.
                tracing::warn!(%wallet, %error, "read another ledger");
                entry.answer_all(|| Err(Refusal::Draining));
                return;
            }
        }
        entry.machine.refresh_holds(wall, self.node.settings.hold_life);
        let (is_dirty, is_wanted) = (entry.machine.is_dirty(), entry.is_read_wanted);
        self.answer(wallet);
        self.plan_read(wallet, now);
        if is_dirty {
            self.dirty.insert(wallet);
            self.assess(wallet, now);
        }
        self.tell(wallet);
        self.tend_strict(wallet);
        if is_wanted {
            self.want_read(wallet, now);
            self.start_read(wallet);
        }
    }

    /// A ledger that is away is left alone for a moment; who asked is told.
    fn fail_read(&mut self, wallet: WalletId, now: Duration, error: &LedgerError) {
        if matches!(error, LedgerError::Unavailable { .. } | LedgerError::Unknown { .. }) {
            self.retry_at = now + RETRY_AFTER;
        }
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        self.rereads.set(wallet, now + RETRY_AFTER);
        for waiting in entry.asked.drain(..) {
            let detail = chain(error);
            let away = LedgerError::Unavailable { what: "read a wallet", source: detail.into() };
            let _ = waiting.send(Err(Refusal::Ledger(away)));
        }
    }

    fn answer(&mut self, wallet: WalletId) {
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        for waiting in std::mem::take(&mut entry.asked) {
            let _ = waiting.send(entry.worth(&self.node));
        }
    }
}
