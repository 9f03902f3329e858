//! Everything written without conditions: registers, holds, usage, suspense, the registry.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use tollgate_metering::{Incarnation, Register, Registers, Units, UnixMillis, WalletId};
use uuid::Uuid;

use super::accounts;
use super::failure::Failure;
use super::rows::{self, MeterColumns};
use super::statements as sql;
use crate::ledger::{
    Held, HoldWrite, RegisterCell, RegisterWrite, Registration, Suspense, UsageWrite, WalletRead,
    last_of_days,
};

/// A wallet as one moment has it.
pub(super) fn wallet(
    connection: &Connection,
    wallet: WalletId,
) -> Result<Option<WalletRead>, Failure> {
    let Some(account) = accounts::account(connection, wallet)? else { return Ok(None) };
    let horizon = account.header.horizon;
    let registers = registers(connection, wallet, horizon)?;
    let holds = holds(connection, wallet, horizon)?;
    Ok(Some(WalletRead { account, registers, holds }))
}

fn registers(
    connection: &Connection,
    wallet: WalletId,
    horizon: UnixMillis,
) -> Result<Registers, Failure> {
    let mut statement = connection.prepare_cached(sql::REGISTERS)?;
    let mut found = statement.query(params![wallet.to_string(), horizon.0])?;
    let mut registers = Registers::new();
    while let Some(row) = found.next()? {
        let register =
            Register { live: rows::register(row, 7)?, recovered: rows::register(row, 8)? };
        let meter = rows::meter(row, 0, wallet)?;
        registers.insert((meter, rows::incarnation(row, 5)?), register);
    }
    Ok(registers)
}

fn holds(
    connection: &Connection,
    wallet: WalletId,
    horizon: UnixMillis,
) -> Result<BTreeMap<Incarnation, Held>, Failure> {
    let mut statement = connection.prepare_cached(sql::HOLDS)?;
    let mut found = statement.query(params![wallet.to_string(), horizon.0])?;
    let mut holds = BTreeMap::new();
    while let Some(row) = found.next()? {
        let held = Held { amount: rows::text(row, 2, "a hold")?, seq: row.get(3)? };
        holds.insert(rows::incarnation(row, 0)?, held);
    }
    Ok(holds)
}

/// Merges one register.
pub(super) fn write_register(
    connection: &Connection,
    write: &RegisterWrite,
) -> Result<(), Failure> {
    let wallet = write.meter.wallet.to_string();
    let MeterColumns { product, plan, billing, period, revision } = MeterColumns::of(&write.meter);
    let (born, id) = (write.incarnation.born.0, write.incarnation.id.to_string());
    let (live, recovered) = match write.cell {
        RegisterCell::Live => (write.units, Units::ZERO),
        RegisterCell::Recovered => (Units::ZERO, write.units),
    };
    let (live, recovered) = (rows::nanos(live)?, rows::nanos(recovered)?);
    connection.prepare_cached(sql::MERGE_REGISTER)?.execute(params![
        wallet, product, plan, billing, period, revision, born, id, live, recovered, write.seq
    ])?;
    Ok(())
}

/// Writes open holds.
pub(super) fn write_holds(connection: &Connection, writes: &[HoldWrite]) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(sql::PUT_HOLD)?;
    for write in writes {
        let (born, id) = (write.incarnation.born.0, write.incarnation.id.to_string());
        let (wallet, amount) = (write.wallet.to_string(), write.amount.to_string());
        statement.execute(params![wallet, born, id, amount, write.seq])?;
    }
    Ok(())
}

/// Writes usage history.
pub(super) fn write_usage(connection: &Connection, writes: &[UsageWrite]) -> Result<(), Failure> {
    let mut of_registers = connection.prepare_cached(sql::PUT_USAGE)?;
    let mut of_apps = connection.prepare_cached(sql::PUT_APP_USAGE)?;
    for write in writes {
        let wallet = write.meter.wallet.to_string();
        let MeterColumns { product, plan, billing, period, revision } =
            MeterColumns::of(&write.meter);
        let (born, id) = (write.incarnation.born.0, write.incarnation.id.to_string());
        let (minute, units, seq) = (write.minute, rows::nanos(write.units)?, write.seq);
        match write.app.map(|app| app.to_string()) {
            None => of_registers.execute(params![
                wallet, product, plan, billing, period, revision, born, id, minute, units, seq
            ])?,
            Some(app) => of_apps.execute(params![
                wallet, product, plan, billing, period, revision, born, id, minute, units, seq, app
            ])?,
        };
    }
    Ok(())
}

/// Usage rows of a span of minutes.
pub(super) fn usage(
    connection: &Connection,
    wallet: WalletId,
    from: i64,
    to: i64,
) -> Result<Vec<UsageWrite>, Failure> {
    usage_rows(connection, sql::USAGE, wallet, from, to)
}

/// The last usage rows of each day of a span of days.
pub(super) fn daily_usage(
    connection: &Connection,
    wallet: WalletId,
    from: i64,
    to: i64,
) -> Result<Vec<UsageWrite>, Failure> {
    let rows = usage_rows(connection, sql::DAILY_USAGE, wallet, from, to)?;
    Ok(last_of_days(rows))
}

fn usage_rows(
    connection: &Connection,
    statement: &str,
    wallet: WalletId,
    from: i64,
    to: i64,
) -> Result<Vec<UsageWrite>, Failure> {
    let mut statement = connection.prepare_cached(statement)?;
    let mut found = statement.query(params![wallet.to_string(), from, to])?;
    let mut usage = Vec::new();
    while let Some(row) = found.next()? {
        usage.push(UsageWrite {
            meter: rows::meter(row, 0, wallet)?,
            incarnation: rows::incarnation(row, 5)?,
            app: rows::app(row, 10)?,
            minute: row.get(7)?,
            units: rows::register(row, 8)?,
            seq: row.get(9)?,
        });
    }
    Ok(usage)
}

/// Removes what was born before the horizon.
pub(super) fn purge(
    connection: &Connection,
    wallet: WalletId,
    horizon: UnixMillis,
) -> Result<(), Failure> {
    for statement in sql::PURGE {
        let named = params![wallet.to_string(), horizon.0];
        connection.prepare_cached(statement)?.execute(named)?;
    }
    Ok(())
}

/// Enters an incarnation; the first birth stays.
pub(super) fn register_incarnation(
    connection: &Connection,
    id: Uuid,
    gateway: &str,
    born: UnixMillis,
) -> Result<Incarnation, Failure> {
    let key = id.to_string();
    let mut insert = connection.prepare_cached(sql::INSERT_INCARNATION)?;
    insert.execute(params![key, gateway, born.0])?;
    let mut birth = connection.prepare_cached(sql::INCARNATION_BIRTH)?;
    let born = birth.query_row([key], |row| row.get(0))?;
    Ok(Incarnation { born: UnixMillis(born), id })
}

/// The registry in the order of birth.
pub(super) fn registrations(connection: &Connection) -> Result<Vec<Registration>, Failure> {
    let mut statement = connection.prepare_cached(sql::INCARNATIONS)?;
    let mut found = statement.query([])?;
    let mut registrations = Vec::new();
    while let Some(row) = found.next()? {
        registrations.push(Registration {
            incarnation: rows::incarnation(row, 0)?,
            gateway: row.get(2)?,
            ended_at: row.get::<_, Option<i64>>(3)?.map(UnixMillis),
            retired_at: row.get::<_, Option<i64>>(4)?.map(UnixMillis),
        });
    }
    Ok(registrations)
}

/// Notes an end or a retirement; what was noted first stays.
pub(super) fn end_incarnation(
    connection: &Connection,
    registration: &Registration,
) -> Result<(), Failure> {
    let Registration { incarnation, gateway, ended_at, retired_at } = registration;
    let (ended_at, retired_at) = (ended_at.map(|at| at.0), retired_at.map(|at| at.0));
    let named =
        params![incarnation.id.to_string(), gateway, incarnation.born.0, ended_at, retired_at];
    connection.prepare_cached(sql::END_INCARNATION)?.execute(named)?;
    Ok(())
}

/// Raises suspense registers.
pub(super) fn write_suspense(connection: &Connection, writes: &[Suspense]) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(sql::MERGE_SUSPENSE)?;
    for write in writes {
        let wallet = write.meter.wallet.to_string();
        let MeterColumns { product, plan, billing, period, revision } =
            MeterColumns::of(&write.meter);
        let (born, id) = (write.incarnation.born.0, write.incarnation.id.to_string());
        let reason = write.reason.as_str();
        let (units, counted) = (rows::nanos(write.units)?, rows::nanos(write.counted)?);
        statement.execute(params![
            wallet, product, plan, billing, period, revision, born, id, reason, units, counted
        ])?;
    }
    Ok(())
}

/// All suspense of a wallet.
pub(super) fn suspense(
    connection: &Connection,
    wallet: WalletId,
) -> Result<Vec<Suspense>, Failure> {
    let mut statement = connection.prepare_cached(sql::SUSPENSE)?;
    let mut found = statement.query([wallet.to_string()])?;
    let mut suspense = Vec::new();
    while let Some(row) = found.next()? {
        suspense.push(Suspense {
            meter: rows::meter(row, 0, wallet)?,
            incarnation: rows::incarnation(row, 5)?,
            reason: accounts::reason(row, 7)?,
            units: rows::register(row, 8)?,
            counted: rows::register(row, 9)?,
        });
    }
    Ok(suspense)
}
