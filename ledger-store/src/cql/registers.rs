//! Everything that is written without a condition and counts: registers and holds.
//!
//! Each write carries the report's sequence number as its timestamp, so the newest report wins
//! whatever the order of arrival, and a write can be repeated at any time.

use std::collections::BTreeMap;

use futures_util::future::try_join;
use scylla::value::{CqlDecimal, CqlTimestamp};
use tollgate_metering::account::Account;
use tollgate_metering::{Incarnation, Meter, Register, Registers, UnixMillis, WalletId};
use uuid::Uuid;

use super::cluster::Cluster;
use super::usage;
use super::values::{
    MeterColumns, incarnation, money, money_column, register_column, register_units, timestamp,
};
use crate::error::LedgerError;
use crate::ledger::{Held, HoldWrite, RegisterCell, RegisterWrite, WalletRead};

/// How far ahead of the ledger's clock reports may be; a purge covers what they wrote.
const SEQ_AHEAD_MAX_MS: i64 = 60_000;

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
    usage::purge(cluster, wallet, horizon, seq).await
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
