//! Reads wallets of a shard again.

use std::sync::Arc;
use std::time::Duration;

use tollgate_ledger_store::LedgerError;
use tollgate_metering::node::{Read, ReadError, ReadMark, StreamMark};
use tollgate_metering::{Money, WalletId};

use super::{Done, RETRY_AFTER, Shard};
use crate::refusal::{Refusal, chain};
use crate::settings::{READ_PACE_MAX, READS_MAX};

/// A read that ended.
pub(super) struct ReadDone {
    wallet: WalletId,
    mark: ReadMark,
    read: Result<Option<Read>, LedgerError>,
}

// === impl Shard ===

impl Shard {
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
        entry.is_read_wanted = false;
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
                entry.is_read_wanted = true;
                entry.asking.append(&mut entry.asked);
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
        if entry.machine.is_dirty() {
            self.dirty.insert(wallet);
        }
        self.answer(wallet);
        self.plan(wallet, now);
        self.tell(wallet);
        if self.wallets.get(&wallet).is_some_and(|entry| entry.is_read_wanted) {
            self.start_read(wallet);
        }
    }

    /// A ledger that is away is left alone for a moment; who asked is told.
    fn fail_read(&mut self, wallet: WalletId, now: Duration, error: &LedgerError) {
        if matches!(error, LedgerError::Unavailable { .. } | LedgerError::Unknown { .. }) {
            self.retry_at = now + RETRY_AFTER;
        }
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        entry.read_at = now + RETRY_AFTER;
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

    /// Sets when the wallet is persisted and read next, by what it is worth and how fast it burns.
    fn plan(&mut self, wallet: WalletId, now: Duration) {
        let (bounds, count) = (self.bounds(), self.wallets.len());
        let settings = &self.node.settings;
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        let Ok(worth) = entry.worth(&self.node) else {
            entry.read_at = now + settings.idle_read_interval;
            return;
        };
        entry.burn.look(worth.balance, now);
        entry.overdraft = worth.balance.debt();
        let headroom = worth.balance.plus(worth.header.overdraft_limit).unwrap_or(worth.balance);
        let is_shared = entry.is_shared(now);
        let interval =
            if is_shared { entry.burn.interval(headroom, bounds) } else { bounds.slowest };
        entry.persist_at = entry.persist_at.min(now + interval);
        // A poor wallet waits for its top-up, whether anybody reports on it or not.
        let is_poor = headroom.nanos() <= worth.header.balance_at_last_credit.nanos() / 20;
        let is_waited_for = entry.in_use_until > now || is_poor || headroom <= Money::ZERO;
        let slowest =
            if is_waited_for { settings.read_interval } else { settings.idle_read_interval };
        // A wallet that is not shared needs no haste: its reads only tell its age.
        let slowest = slowest.max(least_interval(count));
        let pace = if entry.is_shared(now) { interval.min(slowest) } else { slowest };
        entry.read_at = now + pace.max(settings.tick);
    }
}

/// The interval at which reading so many wallets keeps to the pace of a shard.
fn least_interval(wallets: usize) -> Duration {
    Duration::from_secs(1) * u32::try_from(wallets).unwrap_or(u32::MAX) / READ_PACE_MAX
}
