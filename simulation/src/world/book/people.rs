//! What people ask for: money in and out, limits, policies, retirements, decisions about suspense.

use tollgate_metering::account::Overspend;
use tollgate_metering::booking::{self, Suspended, entry_id};
use tollgate_metering::{EntryKind, Incarnation, Money, SuspenseReason};

use super::super::World;
use super::super::truth::Payment;
use super::{Amount, What};
use crate::trace::note;

// === impl World ===

impl World {
    pub(in crate::world) fn pay_in(&mut self, w: usize, amount: Money, callers: usize) {
        let id = format!("pay-{}", self.truth.number());
        self.book(w, &id, Amount::Credit(amount), callers);
    }

    pub(in crate::world) fn take_out(&mut self, w: usize, amount: Money, is_fee: bool) {
        let id = format!("take-{}", self.truth.number());
        let amount = if is_fee { Amount::Fee(amount) } else { Amount::Adjust(amount) };
        self.book(w, &id, amount, 1);
    }

    fn book(&mut self, w: usize, id: &str, amount: Amount, callers: usize) {
        let nanos = match amount {
            Amount::Credit(amount) => amount.nanos(),
            Amount::Adjust(amount) | Amount::Fee(amount) => -amount.nanos(),
            Amount::Resolve(..) => 0,
        };
        let kind = amount.kind();
        let payment = Payment { w, amount: nanos, kind };
        self.truth.payments.insert(entry_id(kind, id), payment);
        note!(self, "{} callers book {} of wallet {}: {}", callers, id, w, nanos);
        for _ in 0..callers {
            self.add_task(w, What::Book { id: id.to_owned(), amount });
        }
    }

    pub(in crate::world) fn set_limit(&mut self, w: usize, limit: Money) {
        self.add_task(w, What::Limit(limit));
    }

    /// A person changes the overspend policy.
    pub(in crate::world) fn set_policy(&mut self, w: usize, is_strict: bool) {
        let policy = if is_strict { Overspend::Strict } else { Overspend::Optimistic };
        self.add_task(w, What::Policy(policy));
    }

    /// A person says that an incarnation will not come back.
    pub(in crate::world) fn retire(&mut self, incarnation: Incarnation) {
        if let Some(registered) = self.ledger.registry.get_mut(&incarnation.id) {
            registered.is_retired = true;
        }
        for w in 0..self.setup.wallets.len() {
            self.add_task(w, What::Retire(incarnation));
        }
    }

    /// A person decides about the first open suspense of a wallet.
    pub(in crate::world) fn resolve(&mut self, w: usize, is_charged: bool) {
        let stored = &self.ledger.wallets[w];
        let open = stored.suspense.iter().find_map(|(key, (units, counted))| {
            let suspended = Suspended { key: *key, units: *units, counted: *counted };
            let open = booking::open_suspense(&stored.account, &stored.registers, &suspended);
            (!open.is_zero()).then_some((suspended, open))
        });
        let Some((suspended, open)) = open else { return };
        // Once the cells are purged, nobody knows what of a late total was counted in time: only
        // its gateway's file does. Such suspense is written off here.
        let is_inside = stored.account.header.counts_incarnation(suspended.key.incarnation);
        let is_charged = is_charged && (is_inside || suspended.key.reason != SuspenseReason::Fence);
        let id = format!("decide-{}", self.truth.number());
        self.book(w, &id, Amount::Resolve(suspended, open, is_charged), 1);
    }

    /// What was booked since a backup is booked again, by its ids.
    pub(in crate::world) fn replay(&mut self) {
        let lost: Vec<(String, Payment)> = self
            .truth
            .payments
            .iter()
            .filter(|(id, payment)| !self.ledger.wallets[payment.w].entries.contains_key(*id))
            .map(|(id, payment)| (id.clone(), payment.clone()))
            .collect();
        for (id, payment) in lost {
            let amount = Money::from_nanos(payment.amount).expect("amounts are small");
            let amount = match payment.kind {
                EntryKind::Credit => Amount::Credit(amount),
                EntryKind::Adjustment => Amount::Adjust(amount.negated()),
                EntryKind::Fee => Amount::Fee(amount.negated()),
                // Who decided about suspense sees what is open now.
                EntryKind::SuspenseCharge
                | EntryKind::SuspenseWriteOff
                | EntryKind::Transfer
                | EntryKind::Checkpoint
                | EntryKind::PostpaidCheckpoint
                | EntryKind::Limit
                | EntryKind::Usage
                | EntryKind::PostpaidFee
                | EntryKind::ShadowCheckpoint
                | EntryKind::ShadowFee => {
                    self.truth.payments.remove(&id);
                    continue;
                }
            };
            let (_, id) = id.split_once(':').expect("an id names its kind");
            self.add_task(payment.w, What::Book { id: id.to_owned(), amount });
        }
    }
}
