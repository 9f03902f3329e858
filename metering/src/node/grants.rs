//! Hands out the grants of a strict wallet, and takes them back.
//!
//! Every ceiling is in the account before it is sent: [`NodeWallet::plan_grants`] plans one
//! conditional change from the account that was just read, the registers read after it, and what
//! gateways report of their draws. A draw counts only once its report's registers are in the
//! ledger *and* were read again, so that the same money is never seen as both settled and left.
//!
//! Free money is `balance − floor − Σ (most − settled)`: what an incarnation settled is in the
//! balance, what it holds or may draw yet is not. A raised ceiling counts from its commit. A
//! lowered one (a recall) counts when the gateway has echoed its stamp, as whatever is greater, its
//! limit or what it had drawn by then. Nothing comes back by time alone.
//!
//! Ceilings follow `min(free, max(price, min(α·rate·(T + W), free / 2N)))`: a rich wallet never
//! feels them, the last cents move by recall.
//! Bounds: a row for each incarnation that reported a draw and was born after the horizon;
//! [`CHANGE_ROWS_MAX`] rows a change. Not here: reading and committing
//! (`balance-sync`), what a gateway does with a ceiling (`wallet`).

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::stream::{Arrival, StreamId};
use super::{NodeWallet, Part};
use crate::account::{Account, Ceiling, Change, Overspend, Owner, Stamp};
use crate::booking::CHANGE_ROWS_MAX;
use crate::id::Incarnation;
use crate::money::Money;
use crate::protocol::ReportedDraw;
use crate::rating::{RateBook, RatingError};

use self::plan::{Plan, Row};

mod plan;

/// A node takes the grants of a wallet over at most so soon after another did: three round trips
/// between gateway, node and ledger, with room.
const TAKEOVER_AFTER: Duration = Duration::from_millis(300);

/// A node that hears of grants with room takes a wallet over from one that heard of none for this
/// long: nobody else could take them back.
const TEND_AFTER: Duration = Duration::from_secs(10);

/// What was settled is noted in the account this often where nothing else changes.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// Draws that are closer in time say nothing about their pace.
const LOOK_MIN: Duration = Duration::from_millis(50);

/// Draws as a node knows them.
#[derive(Debug, Default)]
pub(super) struct Draws {
    by: BTreeMap<Incarnation, Drawn>,
    /// What each wanted and could not get.
    pub(super) denied: BTreeMap<Incarnation, Money>,
    /// The owner's epoch in the account, and since when.
    owner_seen: Option<(u64, Duration)>,
    noted_at: Duration,
}

/// One incarnation's draw.
#[derive(Debug, Default)]
struct Drawn {
    /// The newest that was heard, on a stream that is open.
    heard: Option<Heard>,
    /// The newest whose registers were read since.
    read: Option<(i64, ReportedDraw)>,
    nanos_per_second: i128,
    looked: Option<(Duration, Money)>,
    moved_at: Duration,
    wanted_since: Option<Duration>,
    /// What it was given to draw beyond what it had drawn, by the newest ceiling.
    granted: Money,
    recalled_at: Option<(Stamp, Duration)>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    stream: StreamId,
    arrival: Arrival,
    seq: i64,
    draw: ReportedDraw,
}

/// What a node knows beside the wallet when it plans grants.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The node.
    pub node: Uuid,
    /// A monotonic time.
    pub now: Duration,
    /// The age of what nodes and gateways know of each other: sync interval and way.
    pub knowledge: Duration,
    /// Whether the registry says that the incarnation's final report is durable. Asked before the
    /// wallet was read.
    pub has_ended: &'a dyn Fn(Incarnation) -> bool,
}

// === impl NodeWallet ===

impl NodeWallet {
    /// Notes what a report says of the incarnation's draw.
    pub(super) fn note_draw(&mut self, stream: StreamId, arrival: Arrival, part: &Part) {
        let Some(draw) = part.draw else { return };
        let drawn = self.draws.by.entry(part.incarnation).or_default();
        let is_newer = drawn.heard.is_none_or(|heard| heard.seq < part.seq)
            && drawn.read.is_none_or(|(seq, _)| seq < part.seq);
        if is_newer {
            drawn.heard = Some(Heard { stream, arrival, seq: part.seq, draw });
        }
    }

    /// Draws whose registers are in the ledger now: a read that begins now shows them.
    pub(super) fn durable_draws(&self) -> Vec<(Incarnation, i64, ReportedDraw)> {
        let is_durable =
            |heard: &Heard| self.unsettled(heard.stream).is_none_or(|first| heard.arrival < first);
        let heard = self.draws.by.iter().filter_map(|(each, drawn)| Some((*each, drawn.heard?)));
        heard
            .filter(|(_, heard)| is_durable(heard))
            .map(|(incarnation, heard)| (incarnation, heard.seq, heard.draw))
            .collect()
    }

    /// The registers that these draws were reported with have been read.
    pub(super) fn read_draws(&mut self, read: &[(Incarnation, i64, ReportedDraw)], now: Duration) {
        for (incarnation, seq, draw) in read {
            let drawn = self.draws.by.entry(*incarnation).or_default();
            if drawn.read.is_none_or(|(newest, _)| newest < *seq) {
                drawn.read(*seq, *draw, now);
            }
        }
        if let Some(account) = &self.account {
            let epoch = account.header.owner.epoch;
            if self.draws.owner_seen.is_none_or(|(seen, _)| seen != epoch) {
                self.draws.owner_seen = Some((epoch, now));
            }
        }
    }

    /// What a stream said that is not in the ledger yet is lost with it, and so are its wants.
    pub(super) fn lose_draws(&mut self, stream: StreamId) {
        let lost = self.draws.by.values_mut();
        for drawn in lost.filter(|each| each.heard.is_some_and(|heard| heard.stream == stream)) {
            drawn.heard = None;
            drawn.wanted_since = None;
        }
    }

    /// Whether a gateway waits for a grant that nobody has denied, or should give one back.
    #[must_use]
    pub fn has_wants(&self) -> bool {
        self.draws.by.iter().any(|(incarnation, drawn)| {
            let wanted = drawn.heard.map_or(Money::ZERO, |heard| heard.draw.wanted);
            !wanted.is_zero() && self.draws.denied.get(incarnation) != Some(&wanted)
        })
    }

    /// Whether the newest read shows that the incarnation goes by the account's mode and has no
    /// call of an older one open.
    #[must_use]
    pub fn has_acknowledged(&self, incarnation: Incarnation) -> bool {
        let mode = self.account.as_ref().map_or(0, |account| account.header.mode.counter);
        let read = self.draws.by.get(&incarnation).and_then(|drawn| drawn.read);
        read.is_some_and(|(_, draw)| draw.mode >= mode)
    }

    /// Plans what is to be granted and taken back, from the newest read; `None`: nothing. The
    /// change is to be committed now, and what it says is to be told only once it is.
    ///
    /// # Errors
    /// A [`RatingError`] where prices are unknown or a sum is out of range.
    pub fn plan_grants(
        &mut self,
        rates: &RateBook,
        terms: Terms<'_>,
    ) -> Result<Option<Change>, RatingError> {
        let Some(account) = &self.account else { return Ok(None) };
        let mode = account.header.mode;
        if mode.overspend != Overspend::Strict || mode.is_changing {
            return Ok(None);
        }
        let mut rows = self.rows(account, terms)?;
        let is_owner = account.header.owner.node == Some(terms.node);
        if !is_owner && !self.may_take_over(account, &rows, terms.now) {
            // What has ended needs no owner.
            let mut change = account.change();
            change.ceilings = ended(account, terms).take(CHANGE_ROWS_MAX).collect();
            return Ok((!change.ceilings.is_empty()).then_some(change));
        }
        let balance = account.balance(&self.registers, rates)?;
        let balance = balance.minus(account.rounding(&self.registers)?)?;
        let free = balance.plus(account.header.overdraft_limit)?;
        let free = rows.iter().try_fold(free, |free, row| free.minus(row.reserved()?))?;
        let denied = Plan::new(free, &mut rows).run()?;
        let change = self.change_of(account, &rows, terms);
        if denied != self.draws.denied {
            self.draws.denied = denied;
            self.changes += 1;
        }
        Ok(change)
    }

    /// Plans the end of a change of the policy, which everybody has acknowledged but `retired`
    /// incarnations: they are cut.
    #[must_use]
    pub fn plan_mode(&self, retired: &[Incarnation]) -> Option<Change> {
        crate::booking::settle_mode(self.account.as_ref()?, &self.registers, retired)
    }

    /// A change that was planned here was committed.
    pub fn committed(&mut self, change: &Change, now: Duration) {
        let Some(account) = &mut self.account else { return };
        if change.header.version != account.header.version + 1 {
            return;
        }
        account.apply(change);
        self.changes += 1;
        self.draws.noted_at = now;
        for (incarnation, ceiling) in &change.ceilings {
            let recall = ceiling.filter(|ceiling| ceiling.draw < ceiling.most);
            if let Some(drawn) = self.draws.by.get_mut(incarnation) {
                drawn.granted = ceiling.map_or(Money::ZERO, |ceiling| drawn.headroom(ceiling));
                drawn.recalled_at = match (recall, drawn.recalled_at) {
                    (None, _) => None,
                    (Some(row), Some((stamp, at))) if row.stamp == stamp => Some((stamp, at)),
                    (Some(row), _) => Some((row.stamp, now)),
                };
            }
        }
    }

    fn may_take_over(&self, account: &Account, rows: &[Row], now: Duration) -> bool {
        let after = if rows.iter().any(Row::is_unmet) {
            TAKEOVER_AFTER
        } else if rows.iter().any(Row::holds_too_much) {
            TEND_AFTER
        } else {
            return false;
        };
        let seen = self.draws.owner_seen;
        account.header.owner.node.is_none()
            || seen.is_some_and(|(_, since)| now.saturating_sub(since) >= after)
    }

    fn rows(&self, account: &Account, terms: Terms<'_>) -> Result<Vec<Row>, RatingError> {
        let mode = account.header.mode.counter;
        let mut rows = Vec::new();
        for (incarnation, ceiling) in account.ceilings.iter().filter(|(_, row)| !row.is_retired) {
            if !(terms.has_ended)(*incarnation) {
                let drawn = self.draws.by.get(incarnation);
                rows.push(Row::of(*incarnation, Some(*ceiling), drawn, mode, terms)?);
            }
        }
        for (incarnation, drawn) in &self.draws.by {
            let is_new = !account.ceilings.contains_key(incarnation)
                && account.header.counts_incarnation(*incarnation)
                && drawn.read.is_some_and(|(_, draw)| draw.mode == mode);
            if is_new && !(terms.has_ended)(*incarnation) {
                rows.push(Row::of(*incarnation, None, Some(drawn), mode, terms)?);
            }
        }
        Ok(rows)
    }

    /// The change that brings the account to the planned rows.
    fn change_of(&self, account: &Account, rows: &[Row], terms: Terms<'_>) -> Option<Change> {
        let mut change = account.change();
        let owner = &mut change.header.owner;
        if owner.node != Some(terms.node) {
            *owner = Owner { epoch: owner.epoch + 1, node: Some(terms.node) };
        }
        let stamp = Stamp {
            mode: account.header.mode.counter,
            epoch: owner.epoch,
            counter: change.header.version,
        };
        // Raised and recalled ones first: where there is no room for all, the rest follows.
        let moved = rows.iter().filter(|row| row.is_moved());
        let mut written: Vec<(Incarnation, Option<Ceiling>)> =
            moved.map(|row| (row.incarnation, Some(row.ceiling(stamp)))).collect();
        written.extend(ended(account, terms));
        let is_due = terms.now.saturating_sub(self.draws.noted_at) >= NOTE_EVERY;
        if is_due || !written.is_empty() {
            let noted = rows.iter().filter(|row| !row.is_moved() && row.is_noted());
            written.extend(noted.filter_map(|row| {
                let stamp = row.before?.stamp;
                Some((row.incarnation, Some(row.ceiling(stamp))))
            }));
        }
        change.ceilings = written.into_iter().take(CHANGE_ROWS_MAX).collect();
        (!change.ceilings.is_empty()).then_some(change)
    }
}

/// Grants that go because nothing more comes of their incarnations.
fn ended<'a>(
    account: &'a Account,
    terms: Terms<'a>,
) -> impl Iterator<Item = (Incarnation, Option<Ceiling>)> + 'a {
    let grants = account.ceilings.iter().filter(|(_, ceiling)| !ceiling.is_retired);
    let ended = grants.filter(move |(incarnation, _)| (terms.has_ended)(**incarnation));
    ended.map(|(incarnation, _)| (*incarnation, None))
}

// === impl Draws ===

impl Draws {
    /// Forgets incarnations that no longer count.
    pub(super) fn forget(&mut self, is_late: &dyn Fn(Incarnation) -> bool) {
        self.by.retain(|incarnation, _| !is_late(*incarnation));
        self.denied.retain(|incarnation, _| !is_late(*incarnation));
    }
}

// === impl Drawn ===

impl Drawn {
    /// What a ceiling leaves it to draw.
    fn headroom(&self, ceiling: Ceiling) -> Money {
        let drawn = self.read.map_or(Ok(Money::ZERO), |(_, draw)| draw.settled.plus(draw.held));
        let left = drawn.and_then(|drawn| ceiling.draw.minus(drawn));
        left.unwrap_or(Money::ZERO).max(Money::ZERO)
    }

    fn read(&mut self, seq: i64, draw: ReportedDraw, now: Duration) {
        let before = self.read.replace((seq, draw)).map(|(_, before)| before);
        let is_moved = before.is_none_or(|before| {
            (before.settled, before.held, before.mode) != (draw.settled, draw.held, draw.mode)
        });
        if is_moved {
            self.moved_at = now;
        }
        self.wanted_since = match self.wanted_since {
            _ if draw.wanted.is_zero() => None,
            Some(since) => Some(since),
            None => Some(now),
        };
        let Some((then, settled)) = self.looked.filter(|(_, settled)| *settled <= draw.settled)
        else {
            self.looked = Some((now, draw.settled));
            return;
        };
        let span = now.saturating_sub(then);
        if span >= LOOK_MIN {
            self.looked = Some((now, draw.settled));
            let span_ms = i128::try_from(span.as_millis()).unwrap_or(i128::MAX);
            let spent = draw.settled.nanos() - settled.nanos();
            // Half of the old pace stays, so that one quiet moment is not taken for peace.
            let pace = spent.saturating_mul(1000) / span_ms;
            self.nanos_per_second = pace.max(self.nanos_per_second / 2);
        }
    }
}
