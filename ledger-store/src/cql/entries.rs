//! Entries of the journal as rows of their developer's partition.

use scylla::value::{CqlDecimal, CqlTimestamp};
use tollgate_metering::{DeveloperId, Entry, EntryKind, Meter, WalletId};
use uuid::Uuid;

use super::values::{
    MeterColumns, corrupt, money, money_column, required, time, timestamp, units, units_column,
};
use crate::error::LedgerError;

/// What errors call a row of the journal.
const WHAT: &str = "an entry";

/// A row of the journal as it is read.
#[derive(Debug, scylla::DeserializeRow)]
pub(super) struct EntryRow {
    key: String,
    wallet: Option<Uuid>,
    entry_kind: Option<String>,
    amount: Option<CqlDecimal>,
    balance_after: Option<CqlDecimal>,
    booked_at: Option<CqlTimestamp>,
    booked_by: Option<String>,
    reason: Option<String>,
    product: Option<Uuid>,
    plan: Option<Uuid>,
    billing: Option<i8>,
    period: Option<i32>,
    revision: Option<i32>,
    units: Option<CqlDecimal>,
    is_forced: Option<bool>,
}

/// A row of the journal as it is written.
#[derive(Debug, scylla::SerializeRow)]
pub(super) struct EntryValues {
    developer: Uuid,
    scope: Uuid,
    key: String,
    wallet: Uuid,
    entry_kind: &'static str,
    amount: CqlDecimal,
    balance_after: CqlDecimal,
    booked_at: CqlTimestamp,
    booked_by: String,
    reason: String,
    #[scylla(flatten)]
    meter: MeterColumns,
    units: CqlDecimal,
    is_forced: bool,
}

/// Names an entry.
#[derive(Debug, scylla::SerializeRow)]
pub(super) struct EntryKey<'a> {
    pub(super) developer: Uuid,
    pub(super) scope: Uuid,
    pub(super) key: &'a str,
}

// === impl EntryRow ===

impl EntryRow {
    /// The entry.
    pub(super) fn entry(self) -> Result<Entry, LedgerError> {
        let wallet = WalletId(required(WHAT, "wallet", self.wallet)?);
        let word = required(WHAT, "entry_kind", self.entry_kind.as_deref())?;
        Ok(Entry {
            kind: EntryKind::from_word(word)
                .ok_or_else(|| corrupt(WHAT, format!("entry kind {word:?}")))?,
            wallet,
            amount: money(WHAT, required(WHAT, "amount", self.amount.as_ref())?)?,
            balance_after: money(
                WHAT,
                required(WHAT, "balance_after", self.balance_after.as_ref())?,
            )?,
            at: time(required(WHAT, "booked_at", self.booked_at)?),
            meter: self.meter(wallet)?,
            units: units(WHAT, required(WHAT, "units", self.units.as_ref())?)?,
            id: self.key,
            by: self.booked_by.unwrap_or_default(),
            reason: self.reason.unwrap_or_default(),
            is_forced: self.is_forced.unwrap_or_default(),
        })
    }

    fn meter(&self, wallet: WalletId) -> Result<Option<Meter>, LedgerError> {
        if self.product.is_none() {
            return Ok(None);
        }
        let columns = MeterColumns {
            product: self.product,
            plan: self.plan,
            billing: self.billing,
            period: self.period,
            revision: self.revision,
        };
        columns.meter(WHAT, wallet).map(Some)
    }
}

// === impl EntryValues ===

impl EntryValues {
    /// The columns of an entry of a developer.
    pub(super) fn of(developer: DeveloperId, entry: &Entry) -> Result<EntryValues, LedgerError> {
        Ok(EntryValues {
            developer: developer.0,
            scope: developer.0,
            key: entry.id.clone(),
            wallet: entry.wallet.0,
            entry_kind: entry.kind.as_str(),
            amount: money_column(entry.amount),
            balance_after: money_column(entry.balance_after),
            booked_at: timestamp(entry.at),
            booked_by: entry.by.clone(),
            reason: entry.reason.clone(),
            meter: match &entry.meter {
                Some(meter) => MeterColumns::of(meter)?,
                None => MeterColumns::default(),
            },
            units: units_column(entry.units),
            is_forced: entry.is_forced,
        })
    }
}
