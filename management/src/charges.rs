//! One wallet with everything that reports are made of: account, journal, usage, lines.
//!
//! The account is read before its journal, and both once more where they do not agree: a booking
//! came in between. So lines and entries are the balance that they are shown beside, to the nano.
//! Bounds: [`ENTRIES_MAX`] entries a developer, [`READS_MAX`] reads. Not here: sums and shapes.

use std::collections::{BTreeSet, HashMap};

use tollgate_ledger_store::{CatalogueError, WalletRead};
use tollgate_metering::booking::BookingError;
use tollgate_metering::lines::{Day, DayTotal, Line, Sources};
use tollgate_metering::{
    AppId, BillingType, DeveloperId, Entry, EntryKind, Money, MoneyError, Period, ProductId,
    RateBook, WalletId,
};

use crate::error::ApiError;
use crate::router::Api;
use crate::span::Span;

/// Entries of one developer that an answer looks at.
const ENTRIES_MAX: usize = 200_000;
/// Entries asked for at a time.
const ENTRIES_PAGE: usize = 1_000;
/// Reads of a wallet that is booked on all the time.
const READS_MAX: usize = 5;
/// Apps whose names are looked up for one developer; those of further ones stay ids.
const APPS_MAX: usize = 1_000;
/// Products and developers whose names one answer remembers.
const NAMES_MAX: usize = 10_000;

/// A wallet and its lines.
pub(crate) struct Charges {
    pub(crate) read: WalletRead,
    pub(crate) rates: RateBook,
    pub(crate) entries: Vec<Entry>,
    pub(crate) lines: Vec<Line>,
    /// What the ledger says of it.
    pub(crate) balance: Money,
}

/// What people call things; the id where nothing has it any more.
#[derive(Default)]
pub(crate) struct Names {
    products: HashMap<ProductId, String>,
    developers: HashMap<DeveloperId, String>,
    apps: HashMap<AppId, String>,
    asked: BTreeSet<DeveloperId>,
}

/// What an entry is called, who pays when, and what it does to the balance; `None` where lines say
/// it.
pub(crate) fn booked(entry: &Entry) -> Option<(&'static str, BillingType, Money)> {
    let (prepaid, postpaid) = (BillingType::Prepaid, BillingType::Postpaid);
    match entry.kind {
        EntryKind::Credit => Some(("credit", prepaid, entry.amount)),
        EntryKind::Adjustment => Some(("adjustment", prepaid, entry.amount.negated())),
        EntryKind::Fee => Some(("fee", prepaid, entry.amount.negated())),
        EntryKind::Transfer => Some(("conversion", prepaid, entry.amount.negated())),
        EntryKind::PostpaidFee => Some(("fee", postpaid, Money::ZERO)),
        EntryKind::Checkpoint
        | EntryKind::PostpaidCheckpoint
        | EntryKind::Limit
        | EntryKind::SuspenseCharge
        | EntryKind::Usage
        | EntryKind::SuspenseWriteOff => None,
    }
}

// === impl Charges ===

impl Charges {
    /// Reads a wallet for a span; `None` where there is none.
    pub(crate) async fn of(
        api: &Api,
        wallet: WalletId,
        span: Span,
    ) -> Result<Option<Charges>, ApiError> {
        for _ in 0..READS_MAX {
            let Some(read) = api.ledger.read(wallet).await? else { return Ok(None) };
            let entries = entries(api, &read).await?;
            if agree(&read, &entries).map_err(|error| ApiError::Booking(rating(error)))? {
                return Charges::split(api, read, entries, span).await.map(Some);
            }
        }
        Err(ApiError::Catalogue(CatalogueError::Contended { what: "wallet" }))
    }

    async fn split(
        api: &Api,
        read: WalletRead,
        entries: Vec<Entry>,
        span: Span,
    ) -> Result<Charges, ApiError> {
        let mut rates = RateBook::default();
        for meter in read.meters() {
            if !rates.has(meter.plan, meter.revision) {
                let prices = api.catalogue.rates_of(meter.plan, meter.revision).await?;
                rates.add(meter.plan, meter.revision, prices);
            }
        }
        let now = api.clock.now();
        let usage = usage(api, &read, span, Day::of(now)).await?;
        let sources = Sources {
            account: &read.account,
            registers: &read.registers,
            rates: &rates,
            entries: &entries,
            usage: &usage,
            now,
        };
        let asked = |error| ApiError::Booking(BookingError::Rating(error));
        let lines = sources.lines().map_err(asked)?;
        let balance = read.account.balance(&read.registers, &rates).map_err(asked)?;
        Ok(Charges { read, rates, entries, lines, balance })
    }
}

/// The journal of one wallet.
async fn entries(api: &Api, read: &WalletRead) -> Result<Vec<Entry>, ApiError> {
    let header = &read.account.header;
    let (mut entries, mut after, mut seen) = (Vec::new(), None, 0);
    loop {
        let page = api.ledger.entries(header.developer, after.as_deref(), ENTRIES_PAGE).await?;
        seen += page.len();
        if seen > ENTRIES_MAX {
            return Err(ApiError::TooMuch { what: "entries of a developer", most: ENTRIES_MAX });
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
    for entry in entries {
        if entry.kind.is_credited() {
            credited = credited.plus(entry.amount)?;
        }
        if entry.kind.is_settled() {
            settled = settled.plus(entry.amount)?;
        }
    }
    let header = &read.account.header;
    Ok((credited, settled) == (header.credited, header.settled))
}

/// Usage of the span's months and of the one before, whose late units may be booked in them.
async fn usage(
    api: &Api,
    read: &WalletRead,
    span: Span,
    today: Day,
) -> Result<Vec<DayTotal>, ApiError> {
    let first = Period::of(span.from.start());
    let before = Period::from_number(first.number().saturating_sub(1)).unwrap_or(first);
    // Clocks of gateways and nodes may be on either side of a day's end.
    let (from, to) = (Day::of(before.start()).0 - 1, today.0 + 2);
    let rows = api.ledger.daily_usage(read.account.header.wallet, from, to).await?;
    let total = |row: tollgate_ledger_store::ledger::UsageWrite| DayTotal {
        meter: row.meter,
        incarnation: row.incarnation,
        app: row.app,
        day: Day(row.minute.div_euclid(tollgate_ledger_store::ledger::DAY_MINUTES)),
        units: row.units,
    };
    Ok(rows.into_iter().map(total).collect())
}

fn rating(error: MoneyError) -> BookingError {
    BookingError::Rating(error.into())
}

// === impl Names ===

impl Names {
    /// The address of a developer.
    pub(crate) async fn developer(
        &mut self,
        api: &Api,
        organization: &str,
        id: DeveloperId,
    ) -> Result<String, ApiError> {
        if let Some(known) = self.developers.get(&id) {
            return Ok(known.clone());
        }
        let name = match api.catalogue.developer_by_id(organization, id).await {
            Ok(developer) => developer.email,
            Err(CatalogueError::Missing { .. }) => id.to_string(),
            Err(error) => return Err(error.into()),
        };
        if self.developers.len() < NAMES_MAX {
            self.developers.insert(id, name.clone());
        }
        Ok(name)
    }

    /// The name of a product.
    pub(crate) async fn product(
        &mut self,
        api: &Api,
        organization: &str,
        id: ProductId,
    ) -> Result<String, ApiError> {
        if let Some(known) = self.products.get(&id) {
            return Ok(known.clone());
        }
        let found = api.catalogue.product_by_id(organization, id).await?;
        let name = found.map_or_else(|| id.to_string(), |product| product.name);
        if self.products.len() < NAMES_MAX {
            self.products.insert(id, name.clone());
        }
        Ok(name)
    }

    /// The name of a developer's app.
    pub(crate) async fn app(
        &mut self,
        api: &Api,
        organization: &str,
        owner: DeveloperId,
        id: AppId,
    ) -> Result<String, ApiError> {
        if self.asked.insert(owner) {
            if self.apps.len() + APPS_MAX > NAMES_MAX {
                self.apps.clear();
            }
            let apps = api.catalogue.apps(organization, owner, None, APPS_MAX).await?;
            self.apps.extend(apps.into_iter().map(|app| (AppId(app.id), app.name)));
        }
        Ok(self.apps.get(&id).cloned().unwrap_or_else(|| id.to_string()))
    }
}
