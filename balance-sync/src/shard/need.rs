//! When a wallet is persisted, read and told, by what is left in it and how fast it burns.
//!
//! One interval serves all three (`metering::node::need`): a wallet near its floor at each tick, a
//! rich one as late as durability and the gateways' staleness limits allow. Whoever must not wait
//! is put before it: a recovered register, an incarnation's end, a gateway that ends, a snapshot
//! without an age. What one wallet may cost has a cap whatever it needs.

use std::time::Duration;

use tollgate_metering::account::Overspend;
use tollgate_metering::node::StreamId;
use tollgate_metering::node::need::{self, Bounds};
use tollgate_metering::{Money, WalletId};

use super::{Entry, SETTLE_EVERY, Shard, Worth};
use crate::node::Node;
use crate::settings::READ_PACE_MAX;

// === impl Shard ===

impl Shard {
    /// Looks at the wallets that were reported since the last tick.
    pub(super) fn assess_touched(&mut self, now: Duration) {
        for wallet in std::mem::take(&mut self.touched) {
            self.assess(wallet, now);
        }
    }

    /// Plans when a wallet with news is persisted and told.
    pub(super) fn assess(&mut self, wallet: WalletId, now: Duration) {
        let (bounds, tick) = (self.bounds(wallet), self.node.settings.tick);
        let node = &self.node;
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        let Ok(worth) = entry.worth(node) else {
            // Not read yet, or there is no such wallet: whatever it has must not wait.
            self.persists.sooner(wallet, now);
            self.tells.sooner(wallet, now);
            return;
        };
        let left = entry.look(&self.node, &worth, now);
        let interval = entry.interval(&worth, left, bounds);
        let is_urgent = interval <= tick;
        let is_sudden = need::is_sudden(entry.told_left, left);
        let tell_at = if is_urgent || is_sudden { now } else { now + interval };
        let floor = entry.told_at + need::pushes_interval(entry.machine.subscribers().count());
        self.tells.sooner(wallet, tell_at.max(floor));
        let persist_at =
            if bounds.is_fixed() { entry.persisted_at + interval } else { now + interval };
        let is_sudden = need::is_sudden(entry.persisted_left, left);
        let is_due = is_urgent || is_sudden || entry.is_hurried;
        let persist_at = if is_due { now } else { persist_at };
        let is_lone = worth.header.mode.overspend == Overspend::Optimistic && !entry.is_shared(now);
        let is_patient = is_lone && !entry.is_hurried && !bounds.is_fixed();
        let floor = if is_patient { entry.persisted_at + LONE_FASTEST } else { Duration::ZERO };
        self.persists.sooner(wallet, persist_at.max(floor));
        if entry.is_shared(now) {
            self.rereads.sooner(wallet, now + interval.max(tick));
        }
    }

    /// Plans when a wallet that was read is read again.
    pub(super) fn plan_read(&mut self, wallet: WalletId, now: Duration) {
        let (bounds, limit) = (self.bounds(wallet), self.staleness_limit(wallet));
        let least = least_interval(self.wallets.len());
        let streams = &self.streams;
        let latest = |stream| streams.get(&stream).map(|open| open.mark).unwrap_or_default();
        let settings = &self.node.settings;
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        if entry.machine.is_subscribed() && entry.machine.has_unanswered(latest) {
            // Its age is known once what was reported is durable.
            entry.is_hurried = true;
            self.persists.sooner(wallet, now);
            self.rereads.set(wallet, now + SETTLE_EVERY.max(settings.tick));
            return;
        }
        let rich = limit.map_or(settings.idle_read_interval, |limit| {
            settings.idle_read_interval.min(need::read_within(limit))
        });
        let poor = settings.read_interval.min(rich);
        let interval = match entry.worth(&self.node) {
            Err(_) => poor,
            Ok(worth) => {
                let left = entry.look(&self.node, &worth, now);
                if !entry.machine.is_dirty() {
                    entry.persisted_left = left;
                }
                let bounds = Bounds { fastest: bounds.fastest.min(poor), slowest: rich };
                // A poor wallet waits for its top-up, whether anybody reports on it or not.
                let is_poor = left.nanos() <= worth.header.balance_at_last_credit.nanos() / 20;
                let needed = entry.interval(&worth, left, bounds);
                match (entry.is_shared(now), is_poor) {
                    (true, false) => needed,
                    (true, true) => needed.min(poor),
                    // Its reads only tell its age.
                    (false, false) => needed.max(poor),
                    (false, true) => poor,
                }
            }
        };
        self.rereads.set(wallet, now + interval.max(settings.tick).max(least));
    }

    /// Reads the wallet as soon as it can be.
    pub(super) fn want_read(&mut self, wallet: WalletId, now: Duration) {
        if let Some(entry) = self.wallets.get_mut(&wallet) {
            entry.is_read_wanted = true;
            self.rereads.sooner(wallet, now);
        }
    }

    /// Persists at once what the stream has reported.
    pub(super) fn flush(&mut self, stream: StreamId, now: Duration) {
        self.settle_always_until = now + SETTLE_ALWAYS;
        for wallet in &self.dirty {
            if let Some(entry) = self.wallets.get_mut(wallet)
                && entry.machine.unsettled(stream).is_some()
            {
                entry.is_hurried = true;
                self.persists.sooner(*wallet, now);
            }
        }
    }

    /// How soon and how late a wallet is persisted and told.
    fn bounds(&self, wallet: WalletId) -> Bounds {
        let settings = &self.node.settings;
        let bounds = Bounds { fastest: settings.tick, slowest: settings.persist_interval };
        match self.staleness_limit(wallet) {
            Some(limit) if !bounds.is_fixed() => bounds.within(need::persist_within(limit)),
            _ => bounds,
        }
    }

    /// The least staleness limit of the gateways that use the wallet, as far as they told it.
    fn staleness_limit(&self, wallet: WalletId) -> Option<Duration> {
        let entry = self.wallets.get(&wallet)?;
        let streams = entry.machine.subscribers().filter_map(|stream| self.streams.get(&stream));
        streams.filter_map(|open| open.staleness_limit).min()
    }
}

/// A wallet that this node alone serves is written no faster: its gateways are told from memory.
const LONE_FASTEST: Duration = Duration::from_millis(100);

/// How long after somebody waits for durability it is told without delay.
pub(super) const SETTLE_ALWAYS: Duration = Duration::from_secs(5);

/// The interval at which reading so many wallets keeps to the pace of a shard.
fn least_interval(wallets: usize) -> Duration {
    Duration::from_secs(1) * u32::try_from(wallets).unwrap_or(u32::MAX) / READ_PACE_MAX
}

// === impl Entry ===

impl Entry {
    /// What is left above the floor, beside what is held; notes how fast it falls.
    fn look(&mut self, node: &Node, worth: &Worth, now: Duration) -> Money {
        let above_floor = worth.balance.plus(worth.header.overdraft_limit);
        let left = above_floor.and_then(|sum| sum.minus(worth.held)).unwrap_or(worth.balance);
        self.burn.look(left, now);
        self.overdraft = worth.balance.debt();
        self.left = left;
        self.watch(node, worth, now);
        left
    }

    fn interval(&self, worth: &Worth, left: Money, bounds: Bounds) -> Duration {
        match worth.header.mode.overspend {
            Overspend::Optimistic => self.burn.interval(left, bounds),
            // Free money is what the ledger knows of: nothing of it must wait.
            Overspend::Strict => bounds.fastest,
        }
    }
}
