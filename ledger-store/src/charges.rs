//! One wallet with everything that reports and invoices are made of: account, journal, usage, lines.
//!
//! The account is read before its journal, and both once more where they do not agree: a booking
//! came in between. So lines and entries are the balance that they are shown beside, to the nano,
//! and checkpoints that are not in it are what is closed of their meters.
//! Bounds: `ENTRIES_MAX` entries a developer, `READS_MAX` reads. Not here: sums and shapes.

use std::collections::BTreeMap;

use tollgate_metering::lines::{Day, DayTotal, Line, Sources};
use tollgate_metering::rating::RatingError;
use tollgate_metering::{
    BillingType, Entry, EntryKind, Meter, Money, MoneyError, Period, RateBook, UnixMillis, WalletId,
};

use crate::catalogue::{Catalogue, CatalogueError};
use crate::error::LedgerError;
use crate::ledger::{DAY_MINUTES, Ledger, UsageWrite, WalletRead};

/// Entries of one developer that are looked at.
const ENTRIES_MAX: usize = 200_000;
/// Entries asked for at a time.
const ENTRIES_PAGE: usize = 1_000;
/// Reads of a wallet that is booked on all the time.
const READS_MAX: usize = 5;

/// A wallet and its lines.
pub struct Charges {
    /// The account and its registers.
    pub read: WalletRead,
    /// Prices of all its meters.
    pub rates: RateBook,
    /// Its journal, in the order of ids.
    pub entries: Vec<Entry>,
    /// Its charges, split.
    pub lines: Vec<Line>,
    /// What the ledger says of it.
    pub balance: Money,
}

/// Why a wallet's charges cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ChargesError {
    /// More than is looked at.
    #[error("more than {most} {what}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much of it is looked at.
        most: usize,
    },
    /// Somebody books all the time: ask again.
    #[error("wallet is being booked on")]
    Contended,
    /// A sum is out of range, or prices are unknown.
    #[error(transparent)]
    Rating(#[from] RatingError),
    /// The catalogue.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What an entry is called, who pays when, and what it does to the balance; `None` where lines say
/// it.
#[must_use]
pub fn booked(entry: &Entry) -> Option<(&'static str, BillingType, Money)> {
    let (prepaid, postpaid) = (BillingType::Prepaid, BillingType::Postpaid);
    match entry.kind {
        EntryKind::Credit => Some(("credit", prepaid, entry.amount)),
        EntryKind::Adjustment => Some(("adjustment", prepaid, entry.amount.negated())),
        EntryKind::Fee => Some(("fee", prepaid, entry.amount.negated())),
        EntryKind::Transfer => Some(("conversion", prepaid, entry.amount.negated())),
        EntryKind::PostpaidFee => Some(("fee", postpaid, Money::ZERO)),
        EntryKind::ShadowFee => Some(("fee", BillingType::Shadow, Money::ZERO)),
        EntryKind::Checkpoint
        | EntryKind::PostpaidCheckpoint
        | EntryKind::ShadowCheckpoint
        | EntryKind::Limit
        | EntryKind::SuspenseCharge
        | EntryKind::Usage
        | EntryKind::SuspenseWriteOff => None,
    }
}

// === impl Charges ===

impl Charges {
    /// Reads a wallet, with the usage of the months from that of `from` on; `None` where there is
    /// none.
    ///
    /// # Errors
    /// [`ChargesError`].
    pub async fn of(
        catalogue: &Catalogue,
        ledger: &dyn Ledger,
        wallet: WalletId,
        from: Day,
        now: UnixMillis,
    ) -> Result<Option<Charges>, ChargesError> {
        for _ in 0..READS_MAX {
            let Some(read) = ledger.read(wallet).await? else { return Ok(None) };
            let entries = entries(ledger, &read).await?;
            if agree(&read, &entries).map_err(RatingError::from)? {
                let usage = usage(ledger, &read, from, Day::of(now)).await?;
                return Charges::split(catalogue, read, entries, usage, now).await.map(Some);
            }
        }
        Err(ChargesError::Contended)
    }

    async fn split(
        catalogue: &Catalogue,
        read: WalletRead,
        entries: Vec<Entry>,
        usage: Vec<DayTotal>,
        now: UnixMillis,
    ) -> Result<Charges, ChargesError> {
        let mut rates = RateBook::default();
        for meter in read.meters() {
            if !rates.has(meter.plan, meter.revision) {
                let prices = catalogue.rates_of(meter.plan, meter.revision).await?;
                rates.add(meter.plan, meter.revision, prices);
            }
        }
        let sources = Sources {
            account: &read.account,
            registers: &read.registers,
            rates: &rates,
            entries: &entries,
            usage: &usage,
            now,
        };
        let lines = sources.lines()?;
        let balance = read.account.balance(&read.registers, &rates)?;
        Ok(Charges { read, rates, entries, lines, balance })
    }
}

/// The journal of one wallet.
async fn entries(ledger: &dyn Ledger, read: &WalletRead) -> Result<Vec<Entry>, ChargesError> {
    let header = &read.account.header;
    let (mut entries, mut after, mut seen) = (Vec::new(), None, 0);
    loop {
        let page = ledger.entries(header.developer, after.as_deref(), ENTRIES_PAGE).await?;
        seen += page.len();
        if seen > ENTRIES_MAX {
            let (what, most) = ("entries of a developer", ENTRIES_MAX);
            return Err(ChargesError::TooMuch { what, most });
        }
        let is_last = page.len() < ENTRIES_PAGE;
        after = page.last().map(|entry| entry.id.clone());
        entries.extend(page.into_iter().filter(|entry| entry.wallet == header.wallet));
        if is_last {
            return Ok(entries);
        }
    }
}

/// Whether the journal is the one of this account.
fn agree(read: &WalletRead, entries: &[Entry]) -> Result<bool, MoneyError> {
    let (mut credited, mut settled) = (Money::ZERO, Money::ZERO);
    let mut closed: BTreeMap<Meter, Money> = BTreeMap::new();
    for entry in entries {
        if entry.kind.is_credited() {
            credited = credited.plus(entry.amount)?;
        }
        if entry.kind.is_settled() {
            settled = settled.plus(entry.amount)?;
        }
        let is_apart = entry.kind.is_checkpoint() && !entry.kind.is_settled();
        if let Some(meter) = entry.meter.filter(|_| is_apart) {
            let sum = closed.entry(meter).or_default();
            *sum = sum.plus(entry.amount)?;
        }
    }
    let header = &read.account.header;
    // What is not in the balance is in no other sum of the account.
    let mut apart =
        read.account.meters.iter().filter(|(meter, _)| meter.billing != BillingType::Prepaid);
    let is_closed = apart.all(|(meter, known)| {
        closed.get(meter).copied().unwrap_or_default() == known.closed_charge
    });
    Ok((credited, settled) == (header.credited, header.settled) && is_closed)
}

/// Usage of the months from that of a day on and of the one before, whose late units may be booked
/// in them.
async fn usage(
    ledger: &dyn Ledger,
    read: &WalletRead,
    from: Day,
    today: Day,
) -> Result<Vec<DayTotal>, ChargesError> {
    let first = Period::of(from.start());
    let before = Period::from_number(first.number().saturating_sub(1)).unwrap_or(first);
    // Clocks of gateways and nodes may be on either side of a day's end.
    let (from, to) = (Day::of(before.start()).0 - 1, today.0 + 2);
    let rows = ledger.daily_usage(read.account.header.wallet, from, to).await?;
    let total = |row: UsageWrite| DayTotal {
        meter: row.meter,
        incarnation: row.incarnation,
        app: row.app,
        day: Day(row.minute.div_euclid(DAY_MINUTES)),
        units: row.units,
    };
    Ok(rows.into_iter().map(total).collect())
}
