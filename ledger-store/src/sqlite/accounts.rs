//! Accounts and their journal: what changes under one version.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, params};
use tollgate_metering::account::{Ceiling, Cell, MeterTotals, Mode, Owner, Stamp};
use tollgate_metering::{
    Account, Change, DeveloperId, Entry, EntryKind, Header, SuspenseKey, SuspenseReason,
    UnixMillis, WalletId,
};
use uuid::Uuid;

use super::failure::Failure;
use super::rows::{self, MeterColumns};
use super::statements as sql;
use crate::error::LedgerError;
use crate::ledger::Commit;

/// The generation of the file.
pub(super) fn generation(connection: &Connection) -> Result<u32, Failure> {
    let stored: i64 =
        connection.prepare_cached(sql::META)?.query_row(["generation"], |row| row.get(0))?;
    u32::try_from(stored).map_err(|error| Failure::corrupt("generation", error))
}

/// The latest time that a writer has seen.
pub(super) fn clock_mark(connection: &Connection) -> Result<UnixMillis, Failure> {
    let mut statement = connection.prepare_cached(sql::META)?;
    Ok(UnixMillis(statement.query_row(["clock_high_ms"], |row| row.get(0))?))
}

/// The account, if the wallet is there.
pub(super) fn account(
    connection: &Connection,
    wallet: WalletId,
) -> Result<Option<Account>, Failure> {
    let generation = generation(connection)?;
    let mut statement = connection.prepare_cached(sql::WALLET)?;
    let mut found = statement.query([wallet.to_string()])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let header = header(row, generation)?;
    let mut account = Account::unopened(
        wallet,
        &header.organization,
        header.developer,
        header.currency,
        generation,
        header.opened_at,
    );
    account.header = header;
    read_parts(connection, &mut account)?;
    Ok(Some(account))
}

fn read_parts(connection: &Connection, account: &mut Account) -> Result<(), Failure> {
    let wallet = account.header.wallet;
    let key = wallet.to_string();
    let mut statement = connection.prepare_cached(sql::METERS)?;
    let mut found = statement.query([&key])?;
    while let Some(row) = found.next()? {
        let totals = MeterTotals {
            settled_units: rows::text(row, 5, "settled units")?,
            closed_charge: rows::text(row, 6, "a closed charge")?,
            checkpoints: row.get(7)?,
        };
        account.meters.insert(rows::meter(row, 0, wallet)?, totals);
    }
    let mut statement = connection.prepare_cached(sql::CELLS)?;
    let mut found = statement.query([&key])?;
    while let Some(row) = found.next()? {
        let cut = row.get::<_, Option<i64>>(8)?.map(|_| rows::register(row, 8)).transpose()?;
        let cell = Cell { folded: rows::register(row, 7)?, cut };
        let meter = rows::meter(row, 0, wallet)?;
        account.cells.insert((meter, rows::incarnation(row, 5)?), cell);
    }
    let mut statement = connection.prepare_cached(sql::CEILINGS)?;
    let mut found = statement.query([&key])?;
    while let Some(row) = found.next()? {
        let ceiling = Ceiling {
            stamp: Stamp {
                mode: rows::count(row, 2, "a ceiling's mode")?,
                epoch: rows::count(row, 3, "a ceiling's epoch")?,
                counter: rows::count(row, 4, "a ceiling's counter")?,
            },
            draw: rows::text(row, 5, "a ceiling")?,
            most: rows::text(row, 6, "a ceiling's most")?,
            settled: rows::text(row, 7, "a settled draw")?,
            is_retired: row.get(8)?,
        };
        account.ceilings.insert(rows::incarnation(row, 0)?, ceiling);
    }
    let mut statement = connection.prepare_cached(sql::RESOLVED)?;
    let mut found = statement.query([&key])?;
    while let Some(row) = found.next()? {
        let key = SuspenseKey {
            meter: rows::meter(row, 0, wallet)?,
            incarnation: rows::incarnation(row, 5)?,
            reason: reason(row, 7)?,
        };
        account.resolved.insert(key, rows::text(row, 8, "resolved suspense")?);
    }
    Ok(())
}

/// The headers of a developer's wallets.
pub(super) fn wallets_of(
    connection: &Connection,
    developer: DeveloperId,
) -> Result<Vec<Header>, Failure> {
    let generation = generation(connection)?;
    let mut statement = connection.prepare_cached(sql::WALLETS_OF)?;
    let mut found = statement.query([developer.to_string()])?;
    let mut headers = Vec::new();
    while let Some(row) = found.next()? {
        headers.push(header(row, generation)?);
    }
    Ok(headers)
}

/// Wallets in the order of their ids.
pub(super) fn list(
    connection: &Connection,
    after: Option<WalletId>,
    limit: usize,
) -> Result<Vec<WalletId>, Failure> {
    let after = after.map(|wallet| wallet.to_string()).unwrap_or_default();
    let mut statement = connection.prepare_cached(sql::WALLETS)?;
    let mut found = statement.query(params![after, limit_of(limit)])?;
    let mut wallets = Vec::new();
    while let Some(row) = found.next()? {
        wallets.push(rows::text(row, 0, "a wallet id")?);
    }
    Ok(wallets)
}

/// Applies a change or nothing of it. Runs in a transaction that holds the write lock, so what
/// is checked first still holds when the rows are written.
pub(super) fn commit(connection: &Connection, change: &Change) -> Result<Commit, Failure> {
    let header = &change.header;
    let found = generation(connection)?;
    if found != header.generation {
        let expected = header.generation;
        return Err(LedgerError::Generation { expected, found }.into());
    }
    if !is_next_version(connection, header)? || !has_new_entries(connection, change)? {
        return Ok(Commit::Conflict);
    }
    put_header(connection, header)?;
    put_parts(connection, change)?;
    for entry in &change.entries {
        insert_entry(connection, header.developer, entry)?;
    }
    Ok(Commit::Applied)
}

fn is_next_version(connection: &Connection, header: &Header) -> Result<bool, Failure> {
    let wallet = header.wallet.to_string();
    if header.version == 1 {
        let named = params![wallet, header.developer.to_string(), header.currency.as_str()];
        let mut statement = connection.prepare_cached(sql::WALLET_IS_THERE)?;
        let is_there: bool = statement.query_row(named, |row| row.get(0))?;
        return Ok(!is_there);
    }
    let mut statement = connection.prepare_cached(sql::WALLET_VERSION)?;
    let version: Option<i64> = statement.query_row([wallet], |row| row.get(0)).optional()?;
    let next = version.and_then(|version| version.checked_add(1));
    Ok(next == Some(rows::stored(header.version, "version")?))
}

fn has_new_entries(connection: &Connection, change: &Change) -> Result<bool, Failure> {
    let developer = change.header.developer.to_string();
    let mut ids = BTreeSet::new();
    for entry in &change.entries {
        let mut statement = connection.prepare_cached(sql::ENTRY_IS_THERE)?;
        let is_there: bool = statement.query_row([&developer, &entry.id], |row| row.get(0))?;
        if is_there || !ids.insert(&entry.id) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn put_header(connection: &Connection, header: &Header) -> Result<(), Failure> {
    let wallet = header.wallet.to_string();
    let version = rows::stored(header.version, "version")?;
    let (credited, settled) = (header.credited.to_string(), header.settled.to_string());
    let last_credit_at = header.last_credit_at.map(|at| at.0);
    let at_last_credit = header.balance_at_last_credit.to_string();
    let limit = header.overdraft_limit.to_string();
    let overspend = header.mode.overspend.as_str();
    let mode_counter = rows::stored(header.mode.counter, "mode")?;
    let epoch = rows::stored(header.owner.epoch, "owner's epoch")?;
    let node = header.owner.node.map(|node| node.to_string());
    let retirements = rows::stored(header.retirements, "retirements")?;
    let is_insert = header.version == 1;
    let statement = if is_insert { sql::INSERT_WALLET } else { sql::UPDATE_WALLET };
    let mut statement = connection.prepare_cached(statement)?;
    let (organization, developer) = (&header.organization, header.developer.to_string());
    let rest = params![organization, developer, header.currency.as_str(), header.opened_at.0];
    let changed = params![
        wallet,
        version,
        credited,
        settled,
        header.horizon.0,
        last_credit_at,
        at_last_credit,
        limit,
        overspend,
        mode_counter,
        epoch,
        node,
        retirements,
        header.is_sealed,
        header.mode.is_changing
    ];
    let rest = if is_insert { rest } else { &[] };
    let written = statement.execute(&*[changed, rest].concat())?;
    if written != 1 {
        return Err(Failure::corrupt("a wallet", format!("{written} rows written for {wallet}")));
    }
    Ok(())
}

fn put_parts(connection: &Connection, change: &Change) -> Result<(), Failure> {
    let wallet = change.header.wallet.to_string();
    for (meter, totals) in &change.meters {
        let MeterColumns { product, plan, billing, period, revision } = MeterColumns::of(meter);
        let (units, charge) = (totals.settled_units.to_string(), totals.closed_charge.to_string());
        connection.prepare_cached(sql::PUT_METER)?.execute(params![
            wallet,
            product,
            plan,
            billing,
            period,
            revision,
            units,
            charge,
            totals.checkpoints
        ])?;
    }
    for ((meter, incarnation), cell) in &change.cells {
        let MeterColumns { product, plan, billing, period, revision } = MeterColumns::of(meter);
        let (born, id) = (incarnation.born.0, incarnation.id.to_string());
        let (folded, cut) = (rows::nanos(cell.folded)?, cell.cut.map(rows::nanos).transpose()?);
        connection.prepare_cached(sql::PUT_CELL)?.execute(params![
            wallet, product, plan, billing, period, revision, born, id, folded, cut
        ])?;
    }
    for (incarnation, ceiling) in &change.ceilings {
        let (born, id) = (incarnation.born.0, incarnation.id.to_string());
        let Some(ceiling) = ceiling else {
            connection.prepare_cached(sql::DELETE_CEILING)?.execute(params![wallet, born, id])?;
            continue;
        };
        let Ceiling { stamp, draw, most, settled, is_retired } = ceiling;
        let mode = rows::stored(stamp.mode, "a ceiling's mode")?;
        let epoch = rows::stored(stamp.epoch, "a ceiling's epoch")?;
        let counter = rows::stored(stamp.counter, "a ceiling's counter")?;
        let (draw, most, settled) = (draw.to_string(), most.to_string(), settled.to_string());
        connection.prepare_cached(sql::PUT_CEILING)?.execute(params![
            wallet, born, id, mode, epoch, counter, draw, most, settled, is_retired
        ])?;
    }
    for (key, units) in &change.resolved {
        let MeterColumns { product, plan, billing, period, revision } =
            MeterColumns::of(&key.meter);
        let (born, id) = (key.incarnation.born.0, key.incarnation.id.to_string());
        let (reason, units) = (key.reason.as_str(), units.to_string());
        connection.prepare_cached(sql::PUT_RESOLVED)?.execute(params![
            wallet, product, plan, billing, period, revision, born, id, reason, units
        ])?;
    }
    Ok(())
}

fn insert_entry(
    connection: &Connection,
    developer: DeveloperId,
    entry: &Entry,
) -> Result<(), Failure> {
    let meter = entry.meter.as_ref().map(MeterColumns::of);
    let meter = meter.as_ref();
    connection.prepare_cached(sql::INSERT_ENTRY)?.execute(params![
        developer.to_string(),
        entry.id,
        entry.wallet.to_string(),
        entry.kind.as_str(),
        entry.amount.to_string(),
        entry.balance_after.to_string(),
        entry.at.0,
        entry.by,
        entry.reason,
        meter.map(|meter| &meter.product),
        meter.map(|meter| &meter.plan),
        meter.map(|meter| meter.billing),
        meter.map(|meter| &meter.period),
        meter.map(|meter| meter.revision),
        entry.units.to_string(),
        entry.is_forced,
    ])?;
    Ok(())
}

/// One entry.
pub(super) fn entry(
    connection: &Connection,
    developer: DeveloperId,
    id: &str,
) -> Result<Option<Entry>, Failure> {
    let mut statement = connection.prepare_cached(sql::ENTRY)?;
    let mut found = statement.query(params![developer.to_string(), id])?;
    found.next()?.map(entry_of).transpose()
}

/// Entries in the order of their ids.
pub(super) fn entries(
    connection: &Connection,
    developer: DeveloperId,
    after: &str,
    limit: usize,
) -> Result<Vec<Entry>, Failure> {
    let mut statement = connection.prepare_cached(sql::ENTRIES)?;
    let mut found = statement.query(params![developer.to_string(), after, limit_of(limit)])?;
    let mut entries = Vec::new();
    while let Some(row) = found.next()? {
        entries.push(entry_of(row)?);
    }
    Ok(entries)
}

/// A limit as SQL takes it.
pub(super) fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A column that holds a suspense reason.
pub(super) fn reason(row: &Row<'_>, column: usize) -> Result<SuspenseReason, Failure> {
    let word: String = row.get(column)?;
    SuspenseReason::from_word(&word).ok_or_else(|| Failure::corrupt("a suspense reason", word))
}

fn header(row: &Row<'_>, generation: u32) -> Result<Header, Failure> {
    let overspend = rows::text(row, 12, "an overspend policy")?;
    Ok(Header {
        wallet: rows::text(row, 0, "a wallet id")?,
        version: rows::count(row, 1, "version")?,
        generation,
        organization: row.get(2)?,
        developer: rows::developer(row, 3)?,
        currency: rows::text(row, 4, "a currency")?,
        opened_at: UnixMillis(row.get(5)?),
        credited: rows::text(row, 6, "credited")?,
        settled: rows::text(row, 7, "settled")?,
        horizon: UnixMillis(row.get(8)?),
        last_credit_at: row.get::<_, Option<i64>>(9)?.map(UnixMillis),
        balance_at_last_credit: rows::text(row, 10, "balance at last credit")?,
        overdraft_limit: rows::text(row, 11, "overdraft limit")?,
        mode: Mode { overspend, counter: rows::count(row, 13, "mode")?, is_changing: row.get(18)? },
        owner: Owner {
            epoch: rows::count(row, 14, "owner's epoch")?,
            node: rows::optional_text::<Uuid>(row, 15, "an owner")?,
        },
        retirements: rows::count(row, 16, "retirements")?,
        is_sealed: row.get(17)?,
    })
}

fn entry_of(row: &Row<'_>) -> Result<Entry, Failure> {
    let kind: String = row.get(2)?;
    let wallet = rows::text(row, 1, "a wallet id")?;
    let has_meter = !matches!(row.get_ref(8)?, rusqlite::types::ValueRef::Null);
    Ok(Entry {
        id: row.get(0)?,
        kind: EntryKind::from_word(&kind).ok_or_else(|| Failure::corrupt("an entry", kind))?,
        wallet,
        amount: rows::text(row, 3, "an amount")?,
        balance_after: rows::text(row, 4, "a balance")?,
        at: UnixMillis(row.get(5)?),
        by: row.get(6)?,
        reason: row.get(7)?,
        meter: has_meter.then(|| rows::meter(row, 8, wallet)).transpose()?,
        units: rows::text(row, 13, "units")?,
        is_forced: row.get(14)?,
    })
}
