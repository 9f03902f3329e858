//! A balance-sync node's knowledge of one wallet, as a state machine.
//!
//! A node merges what gateways report with what the ledger says, answers from memory and persists
//! behind. The machine is told of reports, reads, writes and times; it does nothing by itself, so
//! a test drives it through any order of events. What it holds:
//!
//! * the account of the newest read, and all registers, read or heard, merged by `max`;
//! * which registers the ledger does not hold yet ([`NodeWallet::begin_write`]), and for each
//!   stream the first report that has one of them: before it everything is durable *on that
//!   stream* ([`NodeWallet::unsettled`]);
//! * for each subscribed stream the list of incarnations that its gateway counts itself, and what
//!   it was told last ([`NodeWallet::news`]);
//! * on a strict wallet what incarnations drew of their grants, and what is granted ([`grants`]).
//!
//! Invariants: a snapshot leaves out the stream's own incarnations, folded or not, so a gateway
//! that adds its own units counts each unit once; `answered_seq` is of a report that was persisted
//! before the registers were read; nothing is called durable that the ledger did not acknowledge
//! in this generation.
//! Bounds: a register, hold, draw and suspense row an incarnation born after the horizon; usage rows see
//! [`USAGE_MINUTES_MAX`]. Not here: which report belongs to which wallet, prices of snapshots
//! (`balance-sync`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::account::{Account, SuspenseKey};
use crate::id::{Incarnation, WalletId};
use crate::meter::{Meter, Registers};
use crate::money::Money;
use crate::protocol::{OwnIncarnations, ReportedApp, ReportedDraw, ReportedRegister};
use crate::rating::{RateBook, RatingError};
use crate::time::UnixMillis;
use crate::units::Units;

pub mod grants;
pub mod need;
mod reads;
mod reports;
mod snapshots;
pub mod stream;
mod writes;

#[cfg(test)]
mod tests;

pub use reads::{Read, ReadError, ReadHold, ReadMark};
pub use snapshots::News;
pub use stream::{Arrival, StreamId, StreamMark};
pub use writes::{DirtyHold, DirtyRegister, DirtySuspense, UsageRow, Writes};

/// Reports of incarnations older than this are refused; their units go to suspense.
pub const FENCE: Duration = Duration::from_secs(3 * 86_400);

/// Registers of incarnations older than this are not written any more: the horizon rises at ten
/// days, and a write must have landed long before.
pub const WRITE_AGE_MAX: Duration = Duration::from_secs(9 * 86_400);

/// A report at most so far ahead of the service's time is taken.
pub const AHEAD_MAX: Duration = Duration::from_secs(60);

/// A read that took longer than this is thrown away.
pub const READ_AGE_MAX: Duration = Duration::from_secs(30);

/// Most minutes of usage that wait for the ledger, a register; the oldest give way.
pub const USAGE_MINUTES_MAX: usize = 120;

const _: () = assert!(FENCE.as_secs() < WRITE_AGE_MAX.as_secs());

/// What a report says of one wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whose registers these are.
    pub incarnation: Incarnation,
    /// The report's number; see [`crate::protocol::Report::seq`].
    pub seq: i64,
    /// Registers of the wallet.
    pub registers: Vec<ReportedRegister>,
    /// Whose units they are, as far as it is known.
    pub apps: Vec<ReportedApp>,
    /// Sum of the incarnation's open holds on the wallet, if the report says one.
    pub held: Option<Money>,
    /// What the incarnation has drawn of its grant, if the report says so.
    pub draw: Option<ReportedDraw>,
    /// Whether the incarnation is past the fence: its units go to suspense.
    pub is_fenced: bool,
}

/// A node's knowledge of one wallet.
#[derive(Debug)]
pub struct NodeWallet {
    wallet: WalletId,
    account: Option<Account>,
    is_missing: bool,
    /// Read or heard, merged; what balances and snapshots are made of.
    registers: Registers,
    /// Known to be in the ledger: acknowledged or read in this generation.
    durable: Registers,
    /// Newest report by cell, for registers that were heard.
    seqs: BTreeMap<(Meter, Incarnation), reports::CellSeqs>,
    dirty: BTreeSet<(Meter, Incarnation)>,
    holds: BTreeMap<Incarnation, reports::Hold>,
    suspense: BTreeMap<SuspenseKey, reports::Waiting>,
    usage: BTreeMap<reports::UsageKey, BTreeMap<i64, (Units, i64)>>,
    unsettled: BTreeMap<StreamId, stream::Unsettled>,
    subscribers: BTreeMap<StreamId, stream::Subscriber>,
    draws: grants::Draws,
    is_writing: bool,
    /// Counts what may change a snapshot.
    changes: u64,
    last_foreign_change: Option<Duration>,
}

// === impl NodeWallet ===

impl NodeWallet {
    /// A wallet of which nothing is known yet.
    #[must_use]
    pub fn new(wallet: WalletId) -> NodeWallet {
        NodeWallet {
            wallet,
            account: None,
            is_missing: false,
            registers: Registers::new(),
            durable: Registers::new(),
            seqs: BTreeMap::new(),
            dirty: BTreeSet::new(),
            holds: BTreeMap::new(),
            suspense: BTreeMap::new(),
            usage: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            draws: grants::Draws::default(),
            is_writing: false,
            changes: 0,
            last_foreign_change: None,
        }
    }

    /// The wallet.
    #[must_use]
    pub fn wallet(&self) -> WalletId {
        self.wallet
    }

    /// The account of the newest read.
    #[must_use]
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Whether the newest read found no such wallet.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.is_missing
    }

    /// All registers that are known, read or heard.
    #[must_use]
    pub fn registers(&self) -> &Registers {
        &self.registers
    }

    /// The balance by all that this node knows; `None` before the first read.
    ///
    /// # Errors
    /// A [`RatingError`] where prices are unknown or a sum is out of range.
    pub fn balance(&self, rates: &RateBook) -> Result<Option<Money>, RatingError> {
        self.account.as_ref().map(|account| account.balance(&self.registers, rates)).transpose()
    }

    /// Money that open calls of all gateways hold.
    ///
    /// # Errors
    /// A [`RatingError`] where the sum is out of range.
    pub fn held(&self, now: UnixMillis, hold_life: Duration) -> Result<Money, RatingError> {
        self.held_except(&[], now, hold_life)
    }

    /// When a read last showed units that this node had not heard: another node serves the wallet.
    #[must_use]
    pub fn last_foreign_change(&self) -> Option<Duration> {
        self.last_foreign_change
    }

    /// A stream wants to be told of the wallet, and counts these incarnations itself.
    pub fn subscribe(&mut self, stream: StreamId, own: Arc<OwnIncarnations>) {
        let subscriber = self.subscribers.entry(stream).or_default();
        subscriber.own = own;
        subscriber.sent = None;
    }

    /// The stream's gateway counts other incarnations itself from now on.
    pub fn set_own(&mut self, stream: StreamId, own: &Arc<OwnIncarnations>) {
        if let Some(subscriber) = self.subscribers.get_mut(&stream) {
            subscriber.own = Arc::clone(own);
            subscriber.seen_changes = None;
        }
    }

    /// The stream does not want to be told any more. Its gateway may have died: from now on its
    /// holds grow old.
    pub fn unsubscribe(&mut self, stream: StreamId, now: UnixMillis) {
        let Some(subscriber) = self.subscribers.remove(&stream) else { return };
        for incarnation in &subscriber.own.incarnations {
            if let Some(hold) = self.holds.get_mut(incarnation) {
                hold.fresh_at = hold.fresh_at.max(now);
            }
        }
    }

    /// The stream ended: nothing can be called durable on it any more.
    pub fn end_stream(&mut self, stream: StreamId, now: UnixMillis) {
        self.unsubscribe(stream, now);
        self.lose_draws(stream);
        self.unsettled.remove(&stream);
    }

    /// The subscribed streams.
    pub fn subscribers(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.subscribers.keys().copied()
    }

    /// Whether the wallet's overspend policy is changing.
    #[must_use]
    pub fn is_mode_changing(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.header.mode.is_changing)
    }

    /// How many of them are gateways': they count incarnations themselves.
    #[must_use]
    pub fn gateways(&self) -> usize {
        let subscribers = self.subscribers.values();
        subscribers.filter(|subscriber| !subscriber.own.incarnations.is_empty()).count()
    }

    /// Whether any stream is subscribed.
    #[must_use]
    pub fn is_subscribed(&self) -> bool {
        !self.subscribers.is_empty()
    }

    /// Whether a subscriber was never told the age of its snapshot, though it has reported.
    #[must_use]
    pub fn has_unanswered(&self, latest: impl Fn(StreamId) -> StreamMark) -> bool {
        let mut subscribers = self.subscribers.iter();
        subscribers.any(|(stream, subscriber)| subscriber.answered == 0 && latest(*stream).seq > 0)
    }

    /// Whether nothing waits for the ledger and nobody wants to be told: it can be forgotten.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_settled = !self.is_dirty() && self.usage.is_empty();
        is_settled && self.subscribers.is_empty() && !self.is_writing
    }
}
