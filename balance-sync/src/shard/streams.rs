//! What streams say: reports, subscriptions, and which incarnations they count themselves.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tollgate_metering::node::{Part, StreamId, StreamMark};
use tollgate_metering::protocol::OwnIncarnations;
use tollgate_metering::{Incarnation, WalletId};

use super::{Entry, Shard, need};
use crate::refusal::Refusal;
use crate::settings::WALLETS_MAX;

// === impl Shard ===

impl Shard {
    pub(super) fn set_own(&mut self, stream: StreamId, own: Arc<OwnIncarnations>) {
        let now = self.node.clock.monotonic();
        let Some(open) = self.streams.get_mut(&stream) else { return };
        for wallet in &open.wallets {
            if let Some(entry) = self.wallets.get_mut(wallet) {
                entry.machine.set_own(stream, &own);
                self.tells.sooner(*wallet, now);
            }
        }
        open.own = own;
    }

    pub(super) fn report(
        &mut self,
        stream: StreamId,
        mark: StreamMark,
        parts: &[(WalletId, Part)],
        ended: Option<Incarnation>,
    ) {
        let (now, wall) = (self.node.clock.monotonic(), self.node.now());
        let Some(open) = self.streams.get_mut(&stream) else { return };
        let is_first = std::mem::replace(&mut open.mark, mark).arrival == 0;
        // Snapshots that it was told before have no age yet.
        let without_age = if is_first { open.wallets.clone() } else { HashSet::new() };
        for wallet in without_age {
            self.want_read(wallet, now);
        }
        for (wallet, part) in parts {
            let entry = self.wallets.entry(*wallet).or_insert_with(|| Entry::new(*wallet, now));
            entry.machine.report(stream, mark.arrival, part, wall);
            entry.last_used = now;
            // Somebody waits for what he found after a crash, and for where late units went.
            let is_waited_for =
                part.is_fenced || part.registers.iter().any(|each| each.is_recovered);
            if is_waited_for {
                entry.is_hurried = true;
                self.settle_always_until = now + need::SETTLE_ALWAYS;
            }
            let is_unread = entry.machine.account().is_none();
            // Where nothing is dirty after all, the next look at what is settled drops it.
            self.dirty.insert(*wallet);
            self.touched.insert(*wallet);
            if is_unread {
                self.want_read(*wallet, now);
            }
            if part.draw.is_some() {
                self.wants_look(*wallet, now);
            }
        }
        if let Some(incarnation) = ended {
            for (wallet, entry) in &mut self.wallets {
                if entry.machine.end_incarnation(incarnation, mark.seq, wall) {
                    self.tells.sooner(*wallet, now);
                    self.persists.sooner(*wallet, now);
                    self.dirty.insert(*wallet);
                }
            }
            self.flush(stream, now);
        }
    }

    pub(super) fn subscribe(&mut self, stream: StreamId, wallets: Vec<WalletId>) {
        let now = self.node.clock.monotonic();
        for wallet in wallets {
            if self.wallets.len() >= WALLETS_MAX && !self.wallets.contains_key(&wallet) {
                self.forget_idle(now, Duration::ZERO);
                if self.wallets.len() >= WALLETS_MAX
                    && let Some(open) = self.streams.get(&stream)
                {
                    open.sink.end(Refusal::TooMany { what: "wallets", cap: WALLETS_MAX });
                    return;
                }
            }
            let Some(open) = self.streams.get_mut(&stream) else { return };
            open.wallets.insert(wallet);
            let entry = self.wallets.entry(wallet).or_insert_with(|| Entry::new(wallet, now));
            entry.machine.subscribe(stream, Arc::clone(&open.own));
            entry.last_used = now;
            self.want_read(wallet, now);
            let Some(entry) = self.wallets.get(&wallet) else { continue };
            // What is known is told at once; its age follows with the read. That there was no such
            // wallet is not known of now.
            if entry.machine.account().is_some() {
                self.tell(wallet);
            }
            self.start_read(wallet);
        }
    }
}
