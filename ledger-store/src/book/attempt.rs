//! One call as attempts: read, look for the id, plan, commit; again after a lost race.

use std::time::Duration;

use tollgate_metering::booking::BookingError;
use tollgate_metering::node::READ_AGE_MAX;
use tollgate_metering::{Change, Entry, EntryKind, Meter, Money, RateBook, Units, WalletId};
use uuid::Uuid;

use super::{Book, BookError, Booked, TURNS};
use crate::error::LedgerError;
use crate::ledger::{Commit, WalletRead};

/// Attempts a call, the first included.
const ATTEMPTS_MAX: u32 = 16;
/// The wait before the second attempt, at most; doubled each time up to `PAUSE_MAX`.
const PAUSE: Duration = Duration::from_millis(4);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Plans a change from what was read; `None` where there is nothing to change.
pub(super) type Plan<'a> =
    dyn Fn(&WalletRead, &RateBook) -> Result<Option<Change>, BookingError> + Sync + 'a;

/// What is asked for.
pub(super) struct Ask {
    pub(super) wallet: WalletId,
    /// A meter whose line needs prices although the horizon may have passed it.
    pub(super) meter: Option<Meter>,
    /// The entry that is to be booked; none where the change can be repeated as it likes.
    pub(super) want: Option<Want>,
}

/// The content of an entry, as far as it makes a repeated id a repetition.
pub(super) struct Want {
    pub(super) id: String,
    /// Ids name their kind; of fees, all kinds of them.
    pub(super) kind: EntryKind,
    pub(super) wallet: WalletId,
    /// None: as much as there was.
    pub(super) amount: Option<Money>,
    pub(super) meter: Option<Meter>,
    /// None: as many as there were.
    pub(super) units: Option<Units>,
    pub(super) reason_start: String,
    /// The id that the same name has in the kind beside it: usage and fees are both transactions of
    /// Edge, which one name must not book twice.
    pub(super) rival: Option<String>,
}

/// How a call ended.
pub(super) enum Outcome {
    /// The change is in the ledger.
    Committed(Change),
    /// The entry was there before.
    Found(Booked),
    /// There was nothing to change.
    Nothing,
}

/// A commit that may yet turn up under its version.
struct Doubt {
    version: u64,
    error: LedgerError,
}

// === impl Want ===

impl Want {
    /// The answer to a repeated id.
    pub(super) fn repeated(&self, found: Entry) -> Result<Booked, BookError> {
        let is_same = self.id == found.id
            && self.wallet == found.wallet
            && self.amount.is_none_or(|amount| amount == found.amount)
            && self.meter == found.meter
            && self.units.is_none_or(|units| units == found.units)
            && found.reason.starts_with(&self.reason_start);
        if !is_same {
            return Err(BookError::Conflict { found: Box::new(found) });
        }
        Ok(Booked { entry: found, is_repeated: true, has_opened: false })
    }
}

// === impl Book ===

impl Book {
    /// Attempts until the change is in the ledger, there is nothing to change, or it is refused.
    pub(super) async fn commit_planned(
        &self,
        ask: &Ask,
        plan: &Plan<'_>,
    ) -> Result<Outcome, BookError> {
        let turn = usize::from(ask.wallet.0.as_bytes()[0]) % TURNS;
        let _turn = self.turns[turn].lock().await;
        let mut doubt = None;
        for attempt in 0..ATTEMPTS_MAX {
            pause(attempt).await;
            match self.attempt(ask, plan, &mut doubt).await {
                Ok(Some(outcome)) => return Ok(outcome),
                Ok(None) => {}
                Err(conflict @ BookError::Conflict { .. }) => return Err(conflict),
                // As long as an earlier commit may turn up, only its id can tell what became of
                // it: a refusal or an error of this attempt must not stand for that one.
                Err(error) if doubt.is_none() => return Err(error),
                Err(_) => {}
            }
        }
        match doubt {
            Some(Doubt { error, .. }) => {
                let id = ask.want.as_ref().map_or("the wallet", |want| &want.id);
                Err(BookError::from_commit(id, error))
            }
            None => Err(BookError::Contended(ask.wallet)),
        }
    }

    async fn attempt(
        &self,
        ask: &Ask,
        plan: &Plan<'_>,
        doubt: &mut Option<Doubt>,
    ) -> Result<Option<Outcome>, BookError> {
        let started = self.clock.monotonic();
        let read = self.ledger.read(ask.wallet).await?.ok_or(BookError::NoWallet(ask.wallet))?;
        let header = &read.account.header;
        if let Some(want) = &ask.want
            && let Some(found) = self.ledger.entry(header.developer, &want.id).await?
        {
            return want.repeated(found).map(|booked| Some(Outcome::Found(booked)));
        }
        if let Some(rival) = ask.want.as_ref().and_then(|want| want.rival.as_ref())
            && let Some(found) = self.ledger.entry(header.developer, rival).await?
        {
            return Err(BookError::Conflict { found: Box::new(found) });
        }
        // The account has moved past the version that the doubtful commit was for, and after
        // that was read the entry was not there: it never will be.
        if doubt.as_ref().is_some_and(|doubt| header.version >= doubt.version) {
            *doubt = None;
        }
        let rates = self.rates_of(&read, ask.meter).await?;
        let Some(change) = plan(&read, &rates)? else { return Ok(Some(Outcome::Nothing)) };
        if self.clock.monotonic().saturating_sub(started) > READ_AGE_MAX {
            return Ok(None);
        }
        match self.ledger.commit(&change).await {
            Ok(Commit::Applied) => Ok(Some(Outcome::Committed(change))),
            Ok(Commit::Conflict) => Ok(None),
            Err(error @ LedgerError::Unknown { .. }) => {
                *doubt = Some(Doubt { version: change.header.version, error });
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Prices of the meters that count, and of the line of `meter`.
    pub(super) async fn rates_of(
        &self,
        read: &WalletRead,
        meter: Option<Meter>,
    ) -> Result<RateBook, BookError> {
        let header = &read.account.header;
        let is_needed = |one: &Meter| {
            header.counts_meter(one) || meter.is_some_and(|meter| meter.is_same_line(one))
        };
        let mut book = RateBook::default();
        for one in read.meters().filter(is_needed).chain(meter) {
            if !book.has(one.plan, one.revision) {
                book.add(one.plan, one.revision, self.rates.rates(one.plan, one.revision).await?);
            }
        }
        Ok(book)
    }
}

/// Waits before every attempt but the first, each time up to twice as long, at random, so that
/// nodes that lost one race do not start the next together.
async fn pause(attempt: u32) {
    if attempt == 0 {
        return;
    }
    let most = PAUSE.saturating_mul(1 << (attempt - 1).min(16)).min(PAUSE_MAX);
    let most_us = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    let (random, _) = Uuid::new_v4().as_u64_pair();
    tokio::time::sleep(Duration::from_micros(random % most_us.saturating_add(1))).await;
}
