//! Usage history: the minutes of registers and apps, and the days that are kept of them.
//!
//! Each write carries the report's sequence number as its timestamp, so the newest report wins
//! whatever the order of arrival, and a write can be repeated at any time. Below the horizon the
//! minutes go; the last row of each day is written apart before, under its own timestamp.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use scylla::value::CqlTimestamp;
use tollgate_metering::{AppId, UnixMillis, WalletId};
use uuid::Uuid;

use super::cluster::Cluster;
use super::values::{MeterColumns, incarnation, register_column, register_units, timestamp};
use crate::error::LedgerError;
use crate::ledger::{DAY_MINUTES, UsageWrite, last_of_days};

/// Days of a partition of what is kept.
const BLOCK_DAYS: i64 = 30;

/// Most days of wallets that are remembered as written.
const DAYS_KNOWN_MAX: usize = 65_536;

/// Which days of usage are in the ledger's list of days already.
#[derive(Debug, Default)]
pub(super) struct DaysKnown(Mutex<HashSet<(WalletId, i64)>>);

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

#[derive(Debug, scylla::SerializeRow)]
struct AppUsageValues {
    seq: i64,
    units: i64,
    wallet: Uuid,
    day: i64,
    born: CqlTimestamp,
    incarnation: Uuid,
    #[scylla(flatten)]
    meter: MeterColumns,
    app: Uuid,
    minute: i64,
}

#[derive(Debug, scylla::SerializeRow)]
struct DailyUsageValues {
    seq: i64,
    units: i64,
    minute: i64,
    wallet: Uuid,
    block: i64,
    day: i64,
    born: CqlTimestamp,
    incarnation: Uuid,
    #[scylla(flatten)]
    meter: MeterColumns,
    app: Uuid,
}

#[derive(Debug, scylla::DeserializeRow)]
struct AppUsageRow {
    product: Uuid,
    plan: Uuid,
    billing: i8,
    period: i32,
    revision: i32,
    born: CqlTimestamp,
    incarnation: Uuid,
    app: Uuid,
    minute: i64,
    units: Option<i64>,
    seq: Option<i64>,
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

/// Writes one row of usage; the list of days has its day before.
pub(super) async fn write(
    cluster: &Cluster,
    days: &DaysKnown,
    write: UsageWrite,
) -> Result<(), LedgerError> {
    let (wallet, day) = (write.meter.wallet, write.minute.div_euclid(DAY_MINUTES));
    if !days.contains(wallet, day) {
        cluster.write(&cluster.statements.usage_day_write, (wallet.0, day)).await?;
        days.insert(wallet, day);
    }
    let (seq, minute, wallet) = (write.seq, write.minute, wallet.0);
    let (units, meter) = (register_column("usage", write.units)?, MeterColumns::of(&write.meter)?);
    let (born, incarnation) = (timestamp(write.incarnation.born), write.incarnation.id);
    match write.app {
        None => {
            let values = UsageValues { seq, units, wallet, day, born, incarnation, meter, minute };
            cluster.write(&cluster.statements.usage_write, values).await
        }
        Some(AppId(app)) => {
            let values =
                AppUsageValues { seq, units, wallet, day, born, incarnation, meter, app, minute };
            cluster.write(&cluster.statements.app_usage_write, values).await
        }
    }
}

/// Usage rows of a wallet, ascending by minute.
pub(super) async fn minutes(
    cluster: &Cluster,
    wallet: WalletId,
    from: i64,
    to: i64,
) -> Result<Vec<UsageWrite>, LedgerError> {
    let mut usage = Vec::new();
    for day in days(cluster, wallet, from, to.saturating_sub(1)).await? {
        let mut rows = of_day(cluster, wallet, day).await?;
        rows.retain(|row| (from..to).contains(&row.minute));
        // Days come in order; within one, rows come by incarnation.
        rows.sort_by_key(|row| (row.minute, row.incarnation, row.meter, row.app));
        usage.extend(rows);
    }
    Ok(usage)
}

/// The last usage rows of each day, purged or not.
pub(super) async fn daily(
    cluster: &Cluster,
    wallet: WalletId,
    from: i64,
    to: i64,
) -> Result<Vec<UsageWrite>, LedgerError> {
    let mut usage = Vec::new();
    // What is purged meanwhile must not be missed: what is kept is read last.
    let minutes = (from.saturating_mul(DAY_MINUTES), to.saturating_mul(DAY_MINUTES) - 1);
    for day in days(cluster, wallet, minutes.0, minutes.1).await? {
        usage.extend(last_of_days(of_day(cluster, wallet, day).await?));
    }
    for block in from.div_euclid(BLOCK_DAYS)..=(to - 1).div_euclid(BLOCK_DAYS) {
        let span = (wallet.0, block, from, to);
        let rows: Vec<AppUsageRow> =
            cluster.paged_rows(&cluster.statements.daily_usage_read, span).await?;
        for row in rows {
            usage.extend(row.usage(wallet)?);
        }
    }
    Ok(last_of_days(usage))
}

/// All minutes of a day.
async fn of_day(
    cluster: &Cluster,
    wallet: WalletId,
    day: i64,
) -> Result<Vec<UsageWrite>, LedgerError> {
    let mut usage = Vec::new();
    let of_registers: Vec<UsageRow> =
        cluster.paged_rows(&cluster.statements.usage_read, (wallet.0, day)).await?;
    for row in of_registers {
        usage.extend(row.usage(wallet)?);
    }
    let of_apps: Vec<AppUsageRow> =
        cluster.paged_rows(&cluster.statements.app_usage_read, (wallet.0, day)).await?;
    for row in of_apps {
        usage.extend(row.usage(wallet)?);
    }
    Ok(usage)
}

/// Removes usage born before `horizon`, the last row of each day of it kept apart; tombstones are
/// of `seq`.
pub(super) async fn purge(
    cluster: &Cluster,
    wallet: WalletId,
    horizon: UnixMillis,
    seq: i64,
) -> Result<(), LedgerError> {
    for day in days(cluster, wallet, i64::MIN, i64::MAX).await? {
        let mut behind = of_day(cluster, wallet, day).await?;
        behind.retain(|row| row.incarnation.born < horizon);
        for row in last_of_days(behind) {
            keep(cluster, day, row).await?;
        }
        let below = (seq, wallet.0, day, timestamp(horizon));
        cluster.write(&cluster.statements.app_usage_purge, below).await?;
        cluster.write(&cluster.statements.usage_purge, below).await?;
    }
    Ok(())
}

async fn keep(cluster: &Cluster, day: i64, row: UsageWrite) -> Result<(), LedgerError> {
    let values = DailyUsageValues {
        seq: row.seq,
        units: register_column("usage", row.units)?,
        minute: row.minute,
        wallet: row.meter.wallet.0,
        block: day.div_euclid(BLOCK_DAYS),
        day,
        born: timestamp(row.incarnation.born),
        incarnation: row.incarnation.id,
        meter: MeterColumns::of(&row.meter)?,
        app: row.app.map_or(Uuid::nil(), |app| app.0),
    };
    cluster.write(&cluster.statements.daily_usage_write, values).await
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
            app: None,
            minute: self.minute,
            units: register_units(what, self.units)?,
            seq,
        }))
    }
}

// === impl AppUsageRow ===

impl AppUsageRow {
    fn usage(self, wallet: WalletId) -> Result<Option<UsageWrite>, LedgerError> {
        let what = "usage of an app";
        let AppUsageRow { product, plan, billing, period, revision, .. } = self;
        let Some(seq) = self.seq else { return Ok(None) };
        Ok(Some(UsageWrite {
            meter: MeterColumns::new(product, plan, billing, period, revision)
                .meter(what, wallet)?,
            incarnation: incarnation(self.born, self.incarnation),
            app: (!self.app.is_nil()).then_some(AppId(self.app)),
            minute: self.minute,
            units: register_units(what, self.units)?,
            seq,
        }))
    }
}
