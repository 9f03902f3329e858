//! Everything written without a condition about incarnations: registers, holds, usage.
//!
//! Each write carries the report's sequence number as its timestamp, so the newest report wins
//! whatever the order of arrival, and a write can be repeated at any time.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use futures_util::future::try_join;
use scylla::value::{CqlDecimal, CqlTimestamp};
use tollgate_metering::account::Account;
use tollgate_metering::{Incarnation, Meter, Register, Registers, UnixMillis, WalletId};
use uuid::Uuid;

use super::cluster::Cluster;
use super::values::{
    MeterColumns, incarnation, money, money_column, register_column, register_units, timestamp,
};
use crate::error::LedgerError;
use crate::ledger::{Held, HoldWrite, RegisterCell, RegisterWrite, UsageWrite, WalletRead};

/// Minutes of a partition of usage.
const DAY_MINUTES: i64 = 1_440;

/// Most days of wallets that are remembered as written.
const DAYS_KNOWN_MAX: usize = 65_536;

/// How far ahead of the ledger's clock reports may be; a purge covers what they wrote.
const SEQ_AHEAD_MAX_MS: i64 = 60_000;

/// Which days of usage are in the ledger's list of days already.
#[derive(Debug, Default)]
pub(super) struct DaysKnown(Mutex<HashSet<(WalletId, i64)>>);

#[derive(Debug, scylla::SerializeRow)]
struct RegisterValues {
    seq: i64,
    units: i64,
    wallet: Uuid,
    born: CqlTimestamp,
    incarnation: Uuid,
    #[scylla(flatten)]
    meter: MeterColumns,
}

#[derive(Debug, scylla::DeserializeRow)]
struct RegisterRow {
    product: Uuid,
    plan: Uuid,
    billing: i8,
    period: i32,
    revision: i32,
    born: CqlTimestamp,
    incarnation: Uuid,
    live: Option<i64>,
    recovered: Option<i64>,
}

#[derive(Debug, scylla::SerializeRow)]
struct HoldValues {
    seq: i64,
    amount: CqlDecimal,
    wallet: Uuid,
    born: CqlTimestamp,
    incarnation: Uuid,
}

#[derive(Debug, scylla::DeserializeRow)]
struct HoldRow {
    born: CqlTimestamp,
    incarnation: Uuid,
    amount: Option<CqlDecimal>,
    seq: Option<i64>,
}

#[derive(Debug, scylla::SerializeRow)]
struct UsageValues {
    seq: i64,
    units: i64,
    wallet: Uuid,
    day: i64,
    born: CqlTimestamp,
    incarnation: Uuid,
    #[scylla(flatten)]
    meter: MeterColumns,
    minute: i64,
}

#[derive(Debug, scylla::DeserializeRow)]
struct UsageRow {
    product: Uuid,
    plan: Uuid,
    billing: i8,
    period: i32,
    revision: i32,
    born: CqlTimestamp,
    incarnation: Uuid,
    minute: i64,
    units: Option<i64>,
    seq: Option<i64>,
}

/// Writes one cell of a register.
pub(super) async fn write_register(
    cluster: &Cluster,
    write: RegisterWrite,
) -> Result<(), LedgerError> {
    let values = RegisterValues {
        seq: write.seq,
        units: register_column("a register", write.units)?,
        wallet: write.meter.wallet.0,
        born: timestamp(write.incarnation.born),
        incarnation: write.incarnation.id,
        meter: MeterColumns::of(&write.meter)?,
    };
    let prepared = match write.cell {
        RegisterCell::Live => &cluster.statements.live_write,
        RegisterCell::Recovered => &cluster.statements.recovered_write,
    };
    cluster.write(prepared, values).await
}

/// Writes the open holds of one incarnation on one wallet.
pub(super) async fn write_hold(cluster: &Cluster, write: HoldWrite) -> Result<(), LedgerError> {
    let values = HoldValues {
        seq: write.seq,
        amount: money_column(write.amount),
        wallet: write.wallet.0,
        born: timestamp(write.incarnation.born),
        incarnation: write.incarnation.id,
    };
    cluster.write(&cluster.statements.hold_write, values).await
}

/// Writes one row of usage; the list of days has its day before.
pub(super) async fn write_usage(
    cluster: &Cluster,
    days: &DaysKnown,
    write: UsageWrite,
) -> Result<(), LedgerError> {
    let (wallet, day) = (write.meter.wallet, write.minute.div_euclid(DAY_MINUTES));
    if !days.contains(wallet, day) {
        cluster.write(&cluster.statements.usage_day_write, (wallet.0, day)).await?;
        days.insert(wallet, day);
    }
    let values = UsageValues {
        seq: write.seq,
        units: register_column("usage", write.units)?,
        wallet: wallet.0,
        day,
        born: timestamp(write.incarnation.born),
        incarnation: write.incarnation.id,
        meter: MeterColumns::of(&write.meter)?,
        minute: write.minute,
    };
    cluster.write(&cluster.statements.usage_write, values).await
}

/// Reads the registers and holds that count for an account that was read before.
pub(super) async fn read(cluster: &Cluster, account: Account) -> Result<WalletRead, LedgerError> {
    let wallet = account.header.wallet;
    let from = (wallet.0, timestamp(account.header.horizon));
    let (registers, holds) = try_join(
        cluster.paged_rows::<RegisterRow>(&cluster.statements.registers_read, from),
        cluster.paged_rows::<HoldRow>(&cluster.statements.holds_read, from),
    )
    .await?;
    let registers: Registers =
        registers.into_iter().map(|row| row.register(wallet)).collect::<Result<_, _>>()?;
    let holds: BTreeMap<Incarnation, Held> =
        holds.into_iter().filter_map(|row| row.held().transpose()).collect::<Result<_, _>>()?;
    Ok(WalletRead { account, registers, holds })
}

/// Usage rows of a wallet, ascending by minute.
pub(super) async fn usage(
    cluster: &Cluster,
    wallet: WalletId,
    from: i64,
    to: i64,
) -> Result<Vec<UsageWrite>, LedgerError> {
    let mut usage = Vec::new();
    for day in days(cluster, wallet, from, to.saturating_sub(1)).await? {
        let rows: Vec<UsageRow> =
            cluster.paged_rows(&cluster.statements.usage_read, (wallet.0, day)).await?;
        let first = usage.len();
        for row in rows.into_iter().filter(|row| (from..to).contains(&row.minute)) {
            usage.extend(row.usage(wallet)?);
        }
        // Days come in order; within one, rows come by incarnation.
        usage[first..].sort_by_key(|row| (row.minute, row.incarnation, row.meter));
    }
    Ok(usage)
}

/// Removes registers, holds and usage born before `horizon`; `now` is the ledger's time.
///
/// The tombstones are as young as the youngest report that can be among what they cover. They
/// cover incarnations by birth, so a younger incarnation's writes, whatever their timestamps, are
/// never below them; a write of an older one that comes later still is below the horizon, where
/// nobody reads, and goes with the next purge.
pub(super) async fn purge(
    cluster: &Cluster,
    wallet: WalletId,
    horizon: UnixMillis,
    now: UnixMillis,
) -> Result<(), LedgerError> {
    let newest_ms = now.0.max(horizon.0).saturating_add(SEQ_AHEAD_MAX_MS);
    let seq = newest_ms.saturating_mul(1_000);
    let statements = &cluster.statements;
    let below = (seq, wallet.0, timestamp(horizon));
    cluster.write(&statements.registers_purge, below).await?;
    cluster.write(&statements.holds_purge, below).await?;
    for day in days(cluster, wallet, i64::MIN, i64::MAX).await? {
        let below = (seq, wallet.0, day, timestamp(horizon));
        cluster.write(&statements.usage_purge, below).await?;
    }
    Ok(())
}

/// The days of a wallet's usage that hold any of the minutes from `first` to `last`.
async fn days(
    cluster: &Cluster,
    wallet: WalletId,
    first: i64,
    last: i64,
) -> Result<Vec<i64>, LedgerError> {
    let span = (wallet.0, first.div_euclid(DAY_MINUTES), last.div_euclid(DAY_MINUTES));
    let rows: Vec<(i64,)> = cluster.paged_rows(&cluster.statements.usage_days_read, span).await?;
    Ok(rows.into_iter().map(|(day,)| day).collect())
}

// === impl DaysKnown ===

impl DaysKnown {
    fn contains(&self, wallet: WalletId, day: i64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&(wallet, day))
    }

    fn insert(&self, wallet: WalletId, day: i64) {
        let mut days = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if days.len() >= DAYS_KNOWN_MAX {
            // Forgetting costs a write each; most of them are of days gone by.
            days.clear();
        }
        days.insert((wallet, day));
    }
}

// === impl RegisterRow ===

impl RegisterRow {
    fn register(self, wallet: WalletId) -> Result<((Meter, Incarnation), Register), LedgerError> {
        let what = "a register";
        let RegisterRow { product, plan, billing, period, revision, .. } = self;
        let meter = MeterColumns::new(product, plan, billing, period, revision);
        let register = Register {
            live: register_units(what, self.live)?,
            recovered: register_units(what, self.recovered)?,
        };
        Ok(((meter.meter(what, wallet)?, incarnation(self.born, self.incarnation)), register))
    }
}

// === impl HoldRow ===

impl HoldRow {
    fn held(self) -> Result<Option<(Incarnation, Held)>, LedgerError> {
        let (Some(amount), Some(seq)) = (self.amount, self.seq) else { return Ok(None) };
        let held = Held { amount: money("a hold", &amount)?, seq };
        Ok(Some((incarnation(self.born, self.incarnation), held)))
    }
}

// === impl UsageRow ===

impl UsageRow {
    fn usage(self, wallet: WalletId) -> Result<Option<UsageWrite>, LedgerError> {
        let what = "usage";
        let UsageRow { product, plan, billing, period, revision, .. } = self;
        let Some(seq) = self.seq else { return Ok(None) };
        Ok(Some(UsageWrite {
            meter: MeterColumns::new(product, plan, billing, period, revision)
                .meter(what, wallet)?,
            incarnation: incarnation(self.born, self.incarnation),
            minute: self.minute,
            units: register_units(what, self.units)?,
            seq,
        }))
    }
}
