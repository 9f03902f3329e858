//! Reads a ledger as an auditor does: sums its journal, recomputes its balances, shows its rows.
//!
//! Everything goes through the [`Ledger`] trait and nothing is written. A ledger that is being
//! written to at the same time can show findings that are none: the journal is read after the
//! account, so verify a ledger that rests, or a backup.
//! Not here: how findings are shown (`tollgate ledger`), mending them (a person).

mod checks;
mod export;

use std::collections::BTreeMap;

use tollgate_metering::rating::RatingError;
use tollgate_metering::{
    Currency, DeveloperId, Entry, Incarnation, Meter, Money, RateBook, SuspenseKey, Units, WalletId,
};

pub use self::export::{ExportError, export, export_one};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Suspense, WalletRead};
use crate::rates::RateSource;

/// Rows asked for at a time.
const PAGE: usize = 500;
/// Findings kept; the count goes on.
pub const FINDINGS_MAX: usize = 10_000;

/// What is wrong with a wallet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The credits of the journal are another sum.
    #[error("credited is {stored}, the credits sum to {entries}")]
    Credited {
        /// The account's sum.
        stored: Money,
        /// The journal's.
        entries: Money,
    },
    /// What stands in `settled` is another sum.
    #[error("settled is {stored}, the entries sum to {entries}")]
    Settled {
        /// The account's sum.
        stored: Money,
        /// The journal's.
        entries: Money,
    },
    /// A sum that is out of range.
    #[error("a sum is out of range")]
    OutOfRange,
    /// The newest credit is not the one that the account names.
    #[error("no credit left the balance at {0}, as the newest one did")]
    LastCredit(Money),
    /// Checkpoints do not add up to what is closed.
    #[error("closed charge of {meter} is {stored}, its checkpoints sum to {entries}")]
    ClosedCharge {
        /// The meter.
        meter: Meter,
        /// The account's.
        stored: Money,
        /// The journal's.
        entries: Money,
    },
    /// Checkpoints are missing or too many.
    #[error("{meter} counts {stored} checkpoints, the journal has {entries}")]
    Checkpoints {
        /// The meter.
        meter: Meter,
        /// The account's count.
        stored: u32,
        /// The journal's.
        entries: u32,
    },
    /// A meter that has left the formula has a charge that is not closed.
    #[error("{meter} lies behind the horizon with a charge of {charge}, closed is {closed}")]
    Unclosed {
        /// The meter.
        meter: Meter,
        /// Its charge.
        charge: Money,
        /// What is closed.
        closed: Money,
    },
    /// More was folded and charged from suspense than the meter's total holds.
    #[error("{meter} has {stored} settled units, folds and suspense make {moved}")]
    SettledUnits {
        /// The meter.
        meter: Meter,
        /// The account's total.
        stored: Units,
        /// What was moved there.
        moved: Units,
    },
    /// More was folded than the register counts.
    #[error("{folded} units of {incarnation} on {meter} were folded, its register has {register}")]
    Folded {
        /// The meter.
        meter: Meter,
        /// The incarnation.
        incarnation: Incarnation,
        /// What was folded.
        folded: Units,
        /// What the register counts, up to its cut.
        register: Units,
    },
    /// More suspense was resolved than there is.
    #[error("{resolved} units of suspense on {meter} are resolved, there are {units}")]
    Resolved {
        /// The meter.
        meter: Meter,
        /// What was resolved.
        resolved: Units,
        /// What there was to resolve.
        units: Units,
    },
    /// The journal resolves another amount of suspense than the account notes.
    #[error("{stored} units of suspense on {meter} are resolved, the journal has {entries}")]
    ResolvedEntries {
        /// The meter.
        meter: Meter,
        /// The account's.
        stored: Units,
        /// The journal's.
        entries: Units,
    },
    /// The balance cannot be computed.
    #[error("balance cannot be computed: {0}")]
    Balance(#[from] RatingError),
    /// An entry of a wallet that the developer does not have.
    #[error("entry {id} is of wallet {wallet}, which its developer does not have")]
    Stray {
        /// The entry.
        id: String,
        /// Its wallet.
        wallet: WalletId,
    },
}

/// What a whole ledger came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Wallets read.
    pub wallets: u64,
    /// Entries read.
    pub entries: u64,
    /// Sum of balances by currency, of wallets whose balance can be computed.
    pub balances: BTreeMap<Currency, Money>,
    /// How many findings there are.
    pub finding_count: u64,
    /// The first [`FINDINGS_MAX`] of them.
    pub findings: Vec<(WalletId, Finding)>,
}

/// All rows of one wallet.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Account, registers and holds.
    pub read: WalletRead,
    /// Its balance, or why there is none.
    pub balance: Result<Money, RatingError>,
    /// Total units by meter, as they count.
    pub units: BTreeMap<Meter, Units>,
    /// Its entries in the order of their ids.
    pub entries: Vec<Entry>,
    /// Its suspense.
    pub suspense: Vec<Suspense>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// Checks every wallet.
///
/// # Errors
/// Those of the ledger and of the source of prices.
pub async fn verify(ledger: &dyn Ledger, rates: &dyn RateSource) -> Result<Report, LedgerError> {
    let mut report = Report::default();
    let mut after = None;
    loop {
        let page = ledger.list(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(report) };
        after = Some(*last);
        for wallet in page {
            if let Some(inspection) = inspect(ledger, rates, wallet).await? {
                report.add(wallet, inspection);
            }
        }
    }
}

/// Reads one wallet whole and checks it; `None` if there is none.
///
/// # Errors
/// Those of the ledger and of the source of prices.
pub async fn inspect(
    ledger: &dyn Ledger,
    rates: &dyn RateSource,
    wallet: WalletId,
) -> Result<Option<Inspection>, LedgerError> {
    let Some(read) = ledger.read(wallet).await? else { return Ok(None) };
    let developer = read.account.header.developer;
    let mut entries = entries_of(ledger, developer).await?;
    let wallets = ledger.wallets_of(developer).await?;
    let is_known = |entry: &Entry| wallets.iter().any(|header| header.wallet == entry.wallet);
    let strays: Vec<Finding> = entries
        .iter()
        .filter(|entry| !is_known(entry))
        .map(|entry| Finding::Stray { id: entry.id.clone(), wallet: entry.wallet })
        .collect();
    entries.retain(|entry| entry.wallet == wallet);
    let suspense = ledger.suspense(wallet).await?;
    let book = book_of(rates, &read).await?;
    let balance = read.account.balance(&read.registers, &book);
    let units = read.account.units(&read.registers, |_| false).unwrap_or_default();
    let mut inspection =
        Inspection { read, balance, units, entries, suspense, findings: Vec::new() };
    let findings = checks::findings(&inspection, &book);
    inspection.findings = findings.into_iter().chain(strays).collect();
    Ok(Some(inspection))
}

/// All entries of a developer.
async fn entries_of(
    ledger: &dyn Ledger,
    developer: DeveloperId,
) -> Result<Vec<Entry>, LedgerError> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map(|entry| entry.id.clone());
        let page = ledger.entries(developer, after.as_deref(), PAGE).await?;
        if page.is_empty() {
            return Ok(entries);
        }
        entries.extend(page);
    }
}

/// Prices of all meters; unknown ones are left out and found where they are needed.
async fn book_of(rates: &dyn RateSource, read: &WalletRead) -> Result<RateBook, LedgerError> {
    let mut book = RateBook::default();
    for Meter { plan, revision, .. } in read.meters() {
        if book.has(plan, revision) {
            continue;
        }
        match rates.rates(plan, revision).await {
            Ok(found) => book.add(plan, revision, found),
            Err(LedgerError::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(book)
}

// === impl Report ===

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.finding_count == 0
    }

    fn add(&mut self, wallet: WalletId, inspection: Inspection) {
        self.wallets += 1;
        self.entries += inspection.entries.len() as u64;
        let mut findings = inspection.findings;
        if let Ok(balance) = inspection.balance {
            let currency = inspection.read.account.header.currency;
            let sum = self.balances.entry(currency).or_default();
            match sum.plus(balance) {
                Ok(more) => *sum = more,
                Err(_) => findings.push(Finding::OutOfRange),
            }
        }
        self.finding_count += findings.len() as u64;
        let room = FINDINGS_MAX.saturating_sub(self.findings.len());
        self.findings.extend(findings.into_iter().take(room).map(|finding| (wallet, finding)));
    }
}

// === impl Inspection ===

impl Inspection {
    /// Suspense of this wallet by name.
    fn suspense_of(&self, key: &SuspenseKey) -> Option<&Suspense> {
        self.suspense.iter().find(|row| row.key() == *key)
    }
}
