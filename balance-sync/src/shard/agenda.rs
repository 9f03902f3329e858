//! Wallets by when something is due, so that a tick costs what is due and not what there is.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tollgate_metering::WalletId;

/// Each wallet at most once.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    timeline: BTreeSet<(Duration, WalletId)>,
    planned: HashMap<WalletId, Duration>,
}

// === impl Agenda ===

impl Agenda {
    /// Plans the wallet for this time, whatever was planned.
    pub(super) fn set(&mut self, wallet: WalletId, at: Duration) {
        if let Some(before) = self.planned.insert(wallet, at) {
            self.timeline.remove(&(before, wallet));
        }
        self.timeline.insert((at, wallet));
    }

    /// Plans the wallet for this time, unless it is planned sooner.
    pub(super) fn sooner(&mut self, wallet: WalletId, at: Duration) {
        if self.planned.get(&wallet).is_none_or(|before| *before > at) {
            self.set(wallet, at);
        }
    }

    /// Takes the wallet that is due first, if one is due by now.
    pub(super) fn take(&mut self, now: Duration) -> Option<WalletId> {
        let (at, wallet) = self.timeline.first().copied()?;
        if at > now {
            return None;
        }
        self.timeline.pop_first();
        self.planned.remove(&wallet);
        Some(wallet)
    }

    /// Plans nothing for the wallet.
    pub(super) fn remove(&mut self, wallet: WalletId) {
        if let Some(before) = self.planned.remove(&wallet) {
            self.timeline.remove(&(before, wallet));
        }
    }

    pub(super) fn clear(&mut self) {
        self.timeline.clear();
        self.planned.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wallet_is_due_once_at_the_time_that_was_planned_last() {
        let wallet = |number| WalletId(uuid::Uuid::from_u128(number));
        let s = Duration::from_secs;
        let mut agenda = Agenda::default();
        agenda.set(wallet(1), s(5));
        agenda.sooner(wallet(1), s(9));
        agenda.sooner(wallet(2), s(4));
        agenda.sooner(wallet(2), s(3));
        agenda.set(wallet(3), s(1));
        agenda.set(wallet(3), s(6));
        agenda.set(wallet(4), s(2));
        agenda.remove(wallet(4));
        assert_eq!(agenda.take(s(2)), None);
        let taken: Vec<_> = std::iter::from_fn(|| agenda.take(s(6))).collect();
        assert_eq!(taken, [wallet(2), wallet(1), wallet(3)]);
        assert_eq!(agenda.take(s(100)), None);
    }
}
