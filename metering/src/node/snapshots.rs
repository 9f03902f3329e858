//! What a stream is told of the wallet.

use std::time::Duration;

use super::NodeWallet;
use super::stream::{StreamId, Subscriber};
use crate::account::{Account, Mode, Overspend, Stamp};
use crate::id::Incarnation;
use crate::money::Money;
use crate::protocol::{Snapshot, SnapshotCeiling, SnapshotMeter};
use crate::rating::RatingError;
use crate::time::UnixMillis;

/// What a stream is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The wallet is as this says.
    Snapshot(Box<Snapshot>),
    /// The wallet was read again and is as it was told last.
    Fresh {
        /// The newest report of the stream that was persisted before the read.
        answered_seq: i64,
    },
}

// === impl NodeWallet ===

impl NodeWallet {
    /// What the stream has to be told, if anything. The wallet counts it as told.
    ///
    /// # Errors
    /// A [`RatingError`] where a sum is out of range.
    pub fn news(
        &mut self,
        stream: StreamId,
        now: UnixMillis,
        hold_life: Duration,
    ) -> Result<Option<News>, RatingError> {
        let Some(account) = &self.account else { return Ok(None) };
        let Some(subscriber) = self.subscribers.get(&stream) else { return Ok(None) };
        let is_changed = subscriber.sent.is_none()
            || subscriber.seen_changes != Some(self.changes)
            || subscriber.sent.as_ref().is_some_and(|sent| !sent.others_held.is_zero());
        let told = subscriber.sent.as_ref().map_or(0, |sent| sent.answered_seq);
        let answered_seq = subscriber.answered;
        if is_changed {
            let snapshot = self.snapshot(account, subscriber, now, hold_life)?;
            let subscriber = self.subscribers.get_mut(&stream).expect("it was there above");
            subscriber.seen_changes = Some(self.changes);
            if subscriber.sent.as_ref().is_none_or(|sent| !says_the_same(sent, &snapshot)) {
                subscriber.sent = Some(snapshot.clone());
                return Ok(Some(News::Snapshot(Box::new(snapshot))));
            }
        }
        if answered_seq <= told {
            return Ok(None);
        }
        if let Some(Subscriber { sent: Some(sent), .. }) = self.subscribers.get_mut(&stream) {
            sent.answered_seq = answered_seq;
        }
        Ok(Some(News::Fresh { answered_seq }))
    }

    /// The stream could not be told: it will be told all again.
    pub fn untell(&mut self, stream: StreamId) {
        if let Some(subscriber) = self.subscribers.get_mut(&stream) {
            subscriber.sent = None;
        }
    }

    /// Grants of these incarnations, and what of theirs was denied: of a mode that is in force, since
    /// a gateway that has one goes by its mode.
    fn ceilings(&self, account: &Account, own: &[Incarnation]) -> Vec<SnapshotCeiling> {
        let Mode { overspend, counter: mode, is_changing } = account.header.mode;
        if overspend != Overspend::Strict || is_changing {
            return Vec::new();
        }
        let nothing = Stamp { mode, ..Stamp::default() };
        let told = own.iter().filter_map(|incarnation| {
            let ceiling = account.ceilings.get(incarnation).filter(|row| !row.is_retired);
            let denied = self.draws.denied.get(incarnation);
            if ceiling.is_none() && denied.is_none() {
                return None;
            }
            Some(SnapshotCeiling {
                incarnation: *incarnation,
                stamp: ceiling.map_or(nothing, |row| row.stamp),
                draw: ceiling.map(|row| row.draw).unwrap_or_default(),
                denied: denied.copied().unwrap_or_default(),
            })
        });
        told.collect()
    }

    fn snapshot(
        &self,
        account: &Account,
        subscriber: &Subscriber,
        now: UnixMillis,
        hold_life: Duration,
    ) -> Result<Snapshot, RatingError> {
        let own = &subscriber.own.incarnations;
        let units = account.units(&self.registers, |incarnation| own.contains(&incarnation))?;
        let counted = units.into_iter().filter(|(meter, _)| account.header.counts_meter(meter));
        let meters = counted.map(|(meter, others)| {
            let totals = account.meters.get(&meter);
            let closed_charge = totals.map_or(Money::ZERO, |totals| totals.closed_charge);
            SnapshotMeter { meter, others, closed_charge }
        });
        let is_told =
            |line: &SnapshotMeter| !line.others.is_zero() || !line.closed_charge.is_zero();
        Ok(Snapshot {
            wallet: self.wallet,
            generation: account.header.generation,
            version: account.header.version,
            retirements: account.header.retirements,
            own_list: subscriber.own.number,
            answered_seq: subscriber.answered,
            base: account.header.base()?,
            floor: account.header.overdraft_limit.negated(),
            mode: account.header.mode,
            horizon: account.header.horizon,
            meters: meters.filter(is_told).collect(),
            others_held: self.held_except(own, now, hold_life)?,
            ceilings: self.ceilings(account, own),
        })
    }
}

/// Whether both say the same, whatever their age.
fn says_the_same(one: &Snapshot, other: &Snapshot) -> bool {
    // Destructured, so that a new field cannot be forgotten here.
    let Snapshot {
        wallet,
        generation,
        version,
        retirements,
        own_list,
        answered_seq: _,
        base,
        floor,
        mode,
        horizon,
        meters,
        others_held,
        ceilings,
    } = one;
    *wallet == other.wallet
        && *generation == other.generation
        && *version == other.version
        && *retirements == other.retirements
        && *own_list == other.own_list
        && *base == other.base
        && *floor == other.floor
        && *mode == other.mode
        && *horizon == other.horizon
        && *meters == other.meters
        && *others_held == other.others_held
        && *ceilings == other.ceilings
}
