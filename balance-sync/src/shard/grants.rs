//! Strict wallets: looks at what gateways drew, commits grants and changes of the policy.
//!
//! A report with a draw asks for a look: what it counted is persisted, the wallet is read, and what
//! the machine plans from that is committed, one change a wallet and tick. A ceiling is told only
//! after its commit. While a wallet's policy changes, every gateway is asked to acknowledge it, and
//! the registry says who has to.

use std::sync::Arc;
use std::time::Duration;

use tollgate_ledger_store::LedgerError;
use tollgate_ledger_store::ledger::{Commit, Registration};
use tollgate_metering::account::Overspend;
use tollgate_metering::node::grants::Terms;
use tollgate_metering::{Change, Incarnation, WalletId};

use super::{Done, RETRY_AFTER, Shard, Told};
use crate::housekeeping::DEAD_AFTER;
use crate::refusal::chain;

/// How often gateways are asked to acknowledge a mode.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How old knowledge is beside the tick: ways, the ledger's writes and reads.
const WAYS: Duration = Duration::from_millis(100);

/// A change of an account that was committed, or not.
pub(super) struct Committed {
    wallet: WalletId,
    change: Change,
    outcome: Result<Commit, LedgerError>,
}

/// Who is in the registry, for a wallet whose mode changes.
pub(super) struct Registry {
    wallet: WalletId,
    mode: u64,
    registrations: Result<Vec<Registration>, LedgerError>,
}

/// Where a strict wallet stands.
#[derive(Default)]
pub(super) struct Strict {
    is_committing: bool,
    is_asking_registry: bool,
    /// No change is committed before.
    look_at: Duration,
    /// Gateways are asked again from then on.
    ask_at: Duration,
}

// === impl Strict ===

impl Strict {
    /// Whether something was begun whose outcome is awaited.
    pub(super) fn is_busy(&self) -> bool {
        self.is_committing || self.is_asking_registry
    }
}

// === impl Shard ===

impl Shard {
    /// A gateway said what it drew: the wallet is to be looked at.
    pub(super) fn wants_look(&mut self, wallet: WalletId, now: Duration) {
        self.looking.insert(wallet);
        if let Some(entry) = self.wallets.get_mut(&wallet) {
            entry.is_hurried |= entry.machine.has_wants();
            self.persists.sooner(wallet, now);
        }
    }

    /// Begins every look that can begin now.
    pub(super) fn look(&mut self) {
        let now = self.node.clock.monotonic();
        for wallet in self.looking.iter().copied().collect::<Vec<_>>() {
            let Some(entry) = self.wallets.get(&wallet) else {
                self.looking.remove(&wallet);
                continue;
            };
            let is_busy = entry.is_reading || entry.strict.is_committing;
            let is_settled = entry.machine.dirty_count() == 0 && !entry.machine.is_writing();
            if is_busy || !is_settled || now < entry.strict.look_at {
                continue;
            }
            self.start_read(wallet);
            if self.wallets.get(&wallet).is_some_and(|entry| entry.is_reading) {
                self.looking.remove(&wallet);
            }
        }
    }

    /// Does what a wallet that was read needs, if it is strict.
    pub(super) fn tend_strict(&mut self, wallet: WalletId) {
        let now = self.node.clock.monotonic();
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        let Some(mode) = entry.machine.account().map(|account| account.header.mode) else { return };
        if mode.is_changing {
            self.node.incarnations.watch();
            self.ask_gateways(wallet, mode.counter, now);
            self.ask_registry(wallet, mode.counter);
            return;
        }
        if mode.overspend != Overspend::Strict || entry.strict.is_committing {
            return;
        }
        self.node.incarnations.watch();
        let ended = &entry.ended;
        let has_ended = |incarnation: Incarnation| ended.contains(&incarnation.id);
        let knowledge = self.node.settings.tick * 2 + WAYS;
        let terms = Terms { node: self.node.id, now, knowledge, has_ended: &has_ended };
        match self.node.prices.with(|rates| entry.machine.plan_grants(rates, terms)) {
            Ok(Some(change)) => self.commit(wallet, change, now),
            Ok(None) => {}
            Err(error) => tracing::error!(%wallet, %error, "grants cannot be planned"),
        }
        // What was denied is told though nothing was committed.
        self.tell(wallet);
    }

    fn commit(&mut self, wallet: WalletId, change: Change, now: Duration) {
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        entry.strict.is_committing = true;
        entry.strict.look_at = now + self.node.settings.tick;
        let (node, era) = (Arc::clone(&self.node), self.era);
        self.tasks.spawn(async move {
            let outcome = node.ledger.commit(&change).await;
            Done::Committed(era, Box::new(Committed { wallet, change, outcome }))
        });
    }

    pub(super) fn end_commit(&mut self, era: u64, done: Committed) {
        if era != self.era {
            return;
        }
        let now = self.node.clock.monotonic();
        let Committed { wallet, change, outcome } = done;
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        entry.strict.is_committing = false;
        let label = match &outcome {
            Ok(Commit::Applied) => "applied",
            Ok(Commit::Conflict) => "conflict",
            Err(_) => "failed",
        };
        self.node.metrics.grants.with_label_values(&[label]).inc();
        match outcome {
            Ok(Commit::Applied) => {
                entry.machine.committed(&change, now);
                self.tell(wallet);
                if change.header.mode.is_changing {
                    self.looking.insert(wallet);
                }
            }
            // Somebody else changed the account: it is read again.
            Ok(Commit::Conflict) => {
                self.looking.insert(wallet);
            }
            Err(error) => {
                // It may have been applied; the next read tells, and nothing was told before it.
                tracing::warn!(%wallet, error = chain(&error), "grants were not committed");
                entry.strict.look_at = now + RETRY_AFTER;
                self.looking.insert(wallet);
            }
        }
    }

    /// Asks every gateway of this node to acknowledge the wallet's mode.
    fn ask_gateways(&mut self, wallet: WalletId, mode: u64, now: Duration) {
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        if now < entry.strict.ask_at {
            return;
        }
        entry.strict.ask_at = now + ASK_EVERY;
        for open in self.streams.values() {
            // One that is not told now is asked again.
            let _ = open.sink.tell(Told::Mode { wallet, mode });
        }
    }

    /// Reads who has to acknowledge: after the account, so that nobody who may have read an older
    /// one is missing.
    fn ask_registry(&mut self, wallet: WalletId, mode: u64) {
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        if entry.strict.is_asking_registry || entry.strict.is_committing {
            return;
        }
        entry.strict.is_asking_registry = true;
        let (node, era) = (Arc::clone(&self.node), self.era);
        self.tasks.spawn(async move {
            let registrations = node.ledger.registrations().await;
            Done::Registry(era, Box::new(Registry { wallet, mode, registrations }))
        });
    }

    pub(super) fn end_registry(&mut self, era: u64, done: Registry) {
        if era != self.era {
            return;
        }
        let (now, wall) = (self.node.clock.monotonic(), self.node.now());
        let Registry { wallet, mode, registrations } = done;
        let Some(entry) = self.wallets.get_mut(&wallet) else { return };
        entry.strict.is_asking_registry = false;
        let registrations = match registrations {
            Ok(registrations) => registrations,
            Err(error) => {
                tracing::warn!(%wallet, error = chain(&error), "registry was not read");
                return;
            }
        };
        let is_same = entry.machine.account().is_some_and(|account| {
            account.header.mode.is_changing && account.header.mode.counter == mode
        });
        if !is_same || entry.strict.is_committing {
            return;
        }
        // Retired by a person, or fenced: its reports count no more than its cut.
        let is_gone = |each: &Registration| {
            each.retired_at.is_some() || wall.since(each.incarnation.born) > DEAD_AFTER
        };
        let (gone, alive): (Vec<_>, Vec<_>) = registrations
            .into_iter()
            .filter(|each| each.ended_at.is_none())
            .partition(|each| is_gone(each));
        let waits = |each: &&Registration| !entry.machine.has_acknowledged(each.incarnation);
        if let Some(waiting) = alive.iter().find(waits) {
            let (incarnation, gateway) = (waiting.incarnation, &waiting.gateway);
            tracing::debug!(%wallet, %incarnation, gateway, "mode is not acknowledged yet");
            return;
        }
        let gone: Vec<Incarnation> = gone.into_iter().map(|each| each.incarnation).collect();
        if let Some(change) = entry.machine.plan_mode(&gone) {
            self.commit(wallet, change, now);
        }
    }
}
