//! Accounts as rows of their developer's partition, and changes as conditional batches.

use scylla::value::{CqlDecimal, CqlTimestamp};
use tollgate_metering::account::{Ceiling, Cell, MeterTotals, Stamp};
use tollgate_metering::{
    Account, Change, DeveloperId, Incarnation, Meter, SuspenseKey, SuspenseReason, WalletId,
};
use uuid::Uuid;

use super::cluster::Step;
use super::entries::EntryValues;
use super::header::{HeaderRow, HeaderTouch, HeaderValues};
use super::keys;
use super::statements::Statements;
use super::values::{
    MeterColumns, bigint, corrupt, count, incarnation, int, money, money_column, required,
    small_count, timestamp, units, units_column,
};
use crate::error::LedgerError;

/// What errors call a row of an account.
const WHAT: &str = "an account";

/// A row of an account; which columns it has depends on its kind.
#[derive(Debug, scylla::DeserializeRow)]
pub(super) struct AccountRow {
    developer: Uuid,
    kind: String,
    scope: Uuid,
    version: Option<i64>,
    generation: Option<i32>,
    organization: Option<String>,
    currency: Option<String>,
    opened_at: Option<CqlTimestamp>,
    credited: Option<CqlDecimal>,
    settled: Option<CqlDecimal>,
    horizon: Option<CqlTimestamp>,
    last_credit_at: Option<CqlTimestamp>,
    balance_at_last_credit: Option<CqlDecimal>,
    overdraft_limit: Option<CqlDecimal>,
    overspend: Option<String>,
    mode: Option<i64>,
    owner_epoch: Option<i64>,
    owner_node: Option<Uuid>,
    retirements: Option<i64>,
    is_sealed: Option<bool>,
    is_mode_changing: Option<bool>,
    product: Option<Uuid>,
    plan: Option<Uuid>,
    billing: Option<i8>,
    period: Option<i32>,
    revision: Option<i32>,
    settled_units: Option<CqlDecimal>,
    closed_charge: Option<CqlDecimal>,
    checkpoints: Option<i32>,
    born: Option<CqlTimestamp>,
    incarnation: Option<Uuid>,
    folded: Option<CqlDecimal>,
    cut: Option<CqlDecimal>,
    grant_counter: Option<i64>,
    draw: Option<CqlDecimal>,
    most: Option<CqlDecimal>,
    is_retired: Option<bool>,
    suspense_reason: Option<String>,
    units: Option<CqlDecimal>,
}

#[derive(Debug, scylla::SerializeRow)]
struct CurrencyValues {
    developer: Uuid,
    scope: Uuid,
    key: String,
    wallet: Uuid,
}

/// The primary key of a row.
#[derive(Debug, scylla::SerializeRow)]
struct KeyValues {
    developer: Uuid,
    wallet: Uuid,
    key: String,
}

#[derive(Debug, scylla::SerializeRow)]
struct MeterValues {
    #[scylla(flatten)]
    key: KeyValues,
    #[scylla(flatten)]
    meter: MeterColumns,
    settled_units: CqlDecimal,
    closed_charge: CqlDecimal,
    checkpoints: i32,
}

#[derive(Debug, scylla::SerializeRow)]
struct CellValues {
    #[scylla(flatten)]
    key: KeyValues,
    #[scylla(flatten)]
    meter: MeterColumns,
    born: CqlTimestamp,
    incarnation: Uuid,
    folded: CqlDecimal,
    cut: Option<CqlDecimal>,
}

#[derive(Debug, scylla::SerializeRow)]
struct CeilingValues {
    #[scylla(flatten)]
    key: KeyValues,
    born: CqlTimestamp,
    incarnation: Uuid,
    mode: i64,
    owner_epoch: i64,
    grant_counter: i64,
    draw: CqlDecimal,
    most: CqlDecimal,
    settled: CqlDecimal,
    is_retired: bool,
}

#[derive(Debug, scylla::SerializeRow)]
struct ResolvedValues {
    #[scylla(flatten)]
    key: KeyValues,
    #[scylla(flatten)]
    meter: MeterColumns,
    born: CqlTimestamp,
    incarnation: Uuid,
    suspense_reason: &'static str,
    units: CqlDecimal,
}

/// The account that the rows of a wallet are, if its header is among them.
pub(super) fn account(rows: Vec<AccountRow>) -> Result<Option<Account>, LedgerError> {
    let (headers, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(AccountRow::is_header);
    let mut headers = headers.into_iter();
    let Some(header) = headers.next() else { return Ok(None) };
    if headers.next().is_some() {
        return Err(corrupt(WHAT, "two headers"));
    }
    let mut account = Account {
        header: header.header_row().header()?,
        meters: Default::default(),
        cells: Default::default(),
        ceilings: Default::default(),
        resolved: Default::default(),
    };
    for row in others {
        row.enter(&mut account)?;
    }
    Ok(Some(account))
}

/// The batch of a change: the header first, whose condition decides over all of it.
pub(super) fn steps<'a>(
    statements: &'a Statements,
    change: &Change,
) -> Result<Vec<Step<'a>>, LedgerError> {
    let header = &change.header;
    let values = HeaderValues::of(header)?;
    let mut steps = Vec::new();
    if header.version == 1 {
        steps.push(Step::new(&statements.header_insert, values));
        steps.push(Step::new(
            &statements.currency_claim,
            CurrencyValues {
                developer: header.developer.0,
                scope: header.developer.0,
                key: header.currency.to_string(),
                wallet: header.wallet.0,
            },
        ));
    } else {
        steps.push(Step::new(&statements.header_update, values.replacing()));
    }
    let owner = RowOwner { developer: header.developer, wallet: header.wallet };
    for (meter, totals) in &change.meters {
        steps.push(Step::new(&statements.meter_write, owner.meter_values(meter, totals)?));
    }
    for ((meter, incarnation), cell) in &change.cells {
        let values = owner.cell_values(meter, *incarnation, cell)?;
        steps.push(Step::new(&statements.cell_write, values));
    }
    for (incarnation, ceiling) in &change.ceilings {
        steps.push(match ceiling {
            Some(ceiling) => {
                Step::new(&statements.ceiling_write, owner.ceiling_values(*incarnation, ceiling)?)
            }
            None => {
                let key = owner.key(keys::incarnation(*incarnation));
                Step::new(&statements.ceiling_delete, key)
            }
        });
    }
    for (key, units) in &change.resolved {
        let values = ResolvedValues {
            key: owner.key(keys::suspense(key)),
            meter: MeterColumns::of(&key.meter)?,
            born: timestamp(key.incarnation.born),
            incarnation: key.incarnation.id,
            suspense_reason: key.reason.as_str(),
            units: units_column(*units),
        };
        steps.push(Step::new(&statements.resolved_write, values));
    }
    for entry in &change.entries {
        let values = EntryValues::of(header.developer, entry)?;
        steps.push(Step::new(&statements.entry_insert, values));
    }
    Ok(steps)
}

/// The batch that removes cells of an account, if it still has the version that was read. The
/// version stays, since what is removed no longer counts.
pub(super) fn removal<'a>(
    statements: &'a Statements,
    account: &Account,
    cells: &[(Meter, Incarnation)],
) -> Result<Vec<Step<'a>>, LedgerError> {
    let header = &account.header;
    let touch = HeaderTouch::of(header, header.generation)?;
    let mut steps = vec![Step::new(&statements.header_touch, touch)];
    let owner = RowOwner { developer: header.developer, wallet: header.wallet };
    for (meter, incarnation) in cells {
        let key = owner.key(keys::cell(meter, *incarnation));
        steps.push(Step::new(&statements.cell_delete, key));
    }
    Ok(steps)
}

/// Whose rows are written.
struct RowOwner {
    developer: DeveloperId,
    wallet: WalletId,
}

// === impl RowOwner ===

impl RowOwner {
    fn key(&self, key: String) -> KeyValues {
        KeyValues { developer: self.developer.0, wallet: self.wallet.0, key }
    }

    fn meter_values(
        &self,
        meter: &Meter,
        totals: &MeterTotals,
    ) -> Result<MeterValues, LedgerError> {
        Ok(MeterValues {
            key: self.key(keys::meter(meter)),
            meter: MeterColumns::of(meter)?,
            settled_units: units_column(totals.settled_units),
            closed_charge: money_column(totals.closed_charge),
            checkpoints: int(WHAT, totals.checkpoints)?,
        })
    }

    fn cell_values(
        &self,
        meter: &Meter,
        incarnation: Incarnation,
        cell: &Cell,
    ) -> Result<CellValues, LedgerError> {
        Ok(CellValues {
            key: self.key(keys::cell(meter, incarnation)),
            meter: MeterColumns::of(meter)?,
            born: timestamp(incarnation.born),
            incarnation: incarnation.id,
            folded: units_column(cell.folded),
            cut: cell.cut.map(units_column),
        })
    }

    fn ceiling_values(
        &self,
        incarnation: Incarnation,
        ceiling: &Ceiling,
    ) -> Result<CeilingValues, LedgerError> {
        Ok(CeilingValues {
            key: self.key(keys::incarnation(incarnation)),
            born: timestamp(incarnation.born),
            incarnation: incarnation.id,
            mode: bigint(WHAT, ceiling.stamp.mode)?,
            owner_epoch: bigint(WHAT, ceiling.stamp.epoch)?,
            grant_counter: bigint(WHAT, ceiling.stamp.counter)?,
            draw: money_column(ceiling.draw),
            most: money_column(ceiling.most),
            settled: money_column(ceiling.settled),
            is_retired: ceiling.is_retired,
        })
    }
}

// === impl AccountRow ===

impl AccountRow {
    fn is_header(&self) -> bool {
        self.kind == "header"
    }

    fn header_row(self) -> HeaderRow {
        HeaderRow {
            developer: self.developer,
            scope: self.scope,
            version: self.version,
            generation: self.generation,
            organization: self.organization,
            currency: self.currency,
            opened_at: self.opened_at,
            credited: self.credited,
            settled: self.settled,
            horizon: self.horizon,
            last_credit_at: self.last_credit_at,
            balance_at_last_credit: self.balance_at_last_credit,
            overdraft_limit: self.overdraft_limit,
            overspend: self.overspend,
            mode: self.mode,
            owner_epoch: self.owner_epoch,
            owner_node: self.owner_node,
            retirements: self.retirements,
            is_sealed: self.is_sealed,
            is_mode_changing: self.is_mode_changing,
        }
    }

    fn enter(self, account: &mut Account) -> Result<(), LedgerError> {
        match self.kind.as_str() {
            "meter" => {
                let totals = MeterTotals {
                    settled_units: self.units_of("settled_units", &self.settled_units)?,
                    closed_charge: money(
                        WHAT,
                        required(WHAT, "closed_charge", self.closed_charge.as_ref())?,
                    )?,
                    checkpoints: small_count(
                        WHAT,
                        required(WHAT, "checkpoints", self.checkpoints)?,
                    )?,
                };
                account.meters.insert(self.meter()?, totals);
            }
            "cell" => {
                let cell = Cell {
                    folded: self.units_of("folded", &self.folded)?,
                    cut: self.cut.as_ref().map(|cut| units(WHAT, cut)).transpose()?,
                };
                account.cells.insert((self.meter()?, self.incarnation()?), cell);
            }
            "ceiling" => {
                let draw = money(WHAT, required(WHAT, "draw", self.draw.as_ref())?)?;
                let amount = |column: &Option<CqlDecimal>| {
                    column.as_ref().map(|amount| money(WHAT, amount)).transpose()
                };
                let ceiling = Ceiling {
                    stamp: Stamp {
                        mode: count(WHAT, required(WHAT, "mode", self.mode)?)?,
                        epoch: count(WHAT, required(WHAT, "owner_epoch", self.owner_epoch)?)?,
                        counter: count(WHAT, required(WHAT, "grant_counter", self.grant_counter)?)?,
                    },
                    draw,
                    most: amount(&self.most)?.unwrap_or(draw),
                    settled: amount(&self.settled)?.unwrap_or_default(),
                    is_retired: self.is_retired.unwrap_or_default(),
                };
                account.ceilings.insert(self.incarnation()?, ceiling);
            }
            "resolved" => {
                let word = required(WHAT, "suspense_reason", self.suspense_reason.as_deref())?;
                let key = SuspenseKey {
                    meter: self.meter()?,
                    incarnation: self.incarnation()?,
                    reason: SuspenseReason::from_word(word)
                        .ok_or_else(|| corrupt(WHAT, format!("suspense reason {word:?}")))?,
                };
                account.resolved.insert(key, self.units_of("units", &self.units)?);
            }
            other => return Err(corrupt(WHAT, format!("a row of kind {other:?}"))),
        }
        Ok(())
    }

    fn units_of(
        &self,
        column: &'static str,
        value: &Option<CqlDecimal>,
    ) -> Result<tollgate_metering::Units, LedgerError> {
        units(WHAT, required(WHAT, column, value.as_ref())?)
    }

    fn meter(&self) -> Result<Meter, LedgerError> {
        let columns = MeterColumns {
            product: self.product,
            plan: self.plan,
            billing: self.billing,
            period: self.period,
            revision: self.revision,
        };
        columns.meter(WHAT, WalletId(self.scope))
    }

    fn incarnation(&self) -> Result<Incarnation, LedgerError> {
        let born = required(WHAT, "born", self.born)?;
        Ok(incarnation(born, required(WHAT, "incarnation", self.incarnation)?))
    }
}
