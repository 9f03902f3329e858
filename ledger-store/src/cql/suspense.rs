//! Suspense: units that wait for a person.
//!
//! A suspense register takes the greatest total, whatever the order of the reports, which may
//! come from several nodes and carry no order of their own. So all its writes carry one and the
//! same timestamp: of two values written at one time both databases keep the greater, in every
//! merge (memtable, compaction, read, repair). Nothing ever deletes here, so nothing can tie with
//! a tombstone. A timestamp that grew with the units would also do, but would soon lie years
//! ahead, which ScyllaDB refuses.
//! What was counted when the fence fell must keep its first value; that is a condition, in a
//! table of its own, and written first: who sees the units sees what of them was counted.

use std::collections::BTreeMap;

use scylla::value::CqlTimestamp;
use tollgate_metering::{SuspenseKey, SuspenseReason, Units, WalletId};
use uuid::Uuid;

use super::cluster::Cluster;
use super::values::{
    MeterColumns, corrupt, incarnation, register_column, register_units, timestamp,
};
use crate::error::LedgerError;
use crate::ledger::Suspense;

/// What errors call suspense.
const WHAT: &str = "suspense";

/// The timestamp of every write, in microseconds since 1970.
const TIMESTAMP: i64 = 1_000_000_000_000_000;

#[derive(Debug, scylla::SerializeRow)]
struct UnitsValues {
    seq: i64,
    units: i64,
    #[scylla(flatten)]
    key: KeyValues,
}

#[derive(Debug, scylla::SerializeRow)]
struct CountedValues {
    #[scylla(flatten)]
    key: KeyValues,
    counted: i64,
}

#[derive(Debug, scylla::SerializeRow)]
struct KeyValues {
    wallet: Uuid,
    born: CqlTimestamp,
    incarnation: Uuid,
    #[scylla(flatten)]
    meter: MeterColumns,
    reason: &'static str,
}

#[derive(Debug, scylla::DeserializeRow)]
struct SuspenseRow {
    product: Uuid,
    plan: Uuid,
    billing: i8,
    period: i32,
    revision: i32,
    born: CqlTimestamp,
    incarnation: Uuid,
    reason: String,
    units: Option<i64>,
}

/// Raises one suspense register.
pub(super) async fn write(cluster: &Cluster, write: Suspense) -> Result<(), LedgerError> {
    // Only the fence leaves something counted behind; a condition costs four round trips.
    if write.reason == SuspenseReason::Fence || !write.counted.is_zero() {
        let counted = register_column(WHAT, write.counted)?;
        let values = CountedValues { key: KeyValues::of(&write)?, counted };
        cluster.write_if(&cluster.statements.counted_insert, values).await?;
    }
    let units = register_column(WHAT, write.units)?;
    let values = UnitsValues { seq: TIMESTAMP, units, key: KeyValues::of(&write)? };
    cluster.write(&cluster.statements.suspense_write, values).await
}

/// All suspense of a wallet.
pub(super) async fn read(
    cluster: &Cluster,
    wallet: WalletId,
) -> Result<Vec<Suspense>, LedgerError> {
    let statements = &cluster.statements;
    let units: Vec<SuspenseRow> =
        cluster.paged_rows(&statements.suspense_read, (wallet.0,)).await?;
    let counted: Vec<SuspenseRow> =
        cluster.paged_rows(&statements.counted_read, (wallet.0,)).await?;
    let counted: BTreeMap<SuspenseKey, Units> =
        counted.into_iter().map(|row| row.read(wallet)).collect::<Result<_, _>>()?;
    let suspense = |row: SuspenseRow| {
        let (key, units) = row.read(wallet)?;
        let SuspenseKey { meter, incarnation, reason } = key;
        let counted = counted.get(&key).copied().unwrap_or_default();
        Ok(Suspense { meter, incarnation, reason, units, counted })
    };
    units.into_iter().map(suspense).collect()
}

// === impl KeyValues ===

impl KeyValues {
    fn of(write: &Suspense) -> Result<KeyValues, LedgerError> {
        Ok(KeyValues {
            wallet: write.meter.wallet.0,
            born: timestamp(write.incarnation.born),
            incarnation: write.incarnation.id,
            meter: MeterColumns::of(&write.meter)?,
            reason: write.reason.as_str(),
        })
    }
}

// === impl SuspenseRow ===

impl SuspenseRow {
    fn read(self, wallet: WalletId) -> Result<(SuspenseKey, Units), LedgerError> {
        let SuspenseRow { product, plan, billing, period, revision, .. } = self;
        let meter = MeterColumns::new(product, plan, billing, period, revision);
        let key = SuspenseKey {
            meter: meter.meter(WHAT, wallet)?,
            incarnation: incarnation(self.born, self.incarnation),
            reason: SuspenseReason::from_word(&self.reason)
                .ok_or_else(|| corrupt(WHAT, format!("reason {:?}", self.reason)))?,
        };
        Ok((key, register_units(WHAT, self.units)?))
    }
}
