//! Reads and writes the values of columns.

use std::fmt::Display;
use std::str::FromStr;

use rusqlite::Row;
use tollgate_metering::time::Period;
use tollgate_metering::{
    AppId, BillingType, DeveloperId, Incarnation, Meter, PlanId, ProductId, Units, UnixMillis,
    WalletId,
};
use uuid::Uuid;

use super::failure::Failure;

/// The columns that name a meter within its wallet.
pub(super) struct MeterColumns {
    pub(super) product: String,
    pub(super) plan: String,
    pub(super) billing: &'static str,
    pub(super) period: String,
    pub(super) revision: u32,
}

// === impl MeterColumns ===

impl MeterColumns {
    pub(super) fn of(meter: &Meter) -> MeterColumns {
        MeterColumns {
            product: meter.product.to_string(),
            plan: meter.plan.to_string(),
            billing: meter.billing.as_str(),
            period: meter.period.to_string(),
            revision: meter.revision,
        }
    }
}

/// The meter in the five columns from `first` on: product, plan, billing, period, revision.
pub(super) fn meter(row: &Row<'_>, first: usize, wallet: WalletId) -> Result<Meter, Failure> {
    let billing = row.get_ref(first + 2)?.as_str().map_err(rusqlite::Error::from)?;
    let unknown = || Failure::corrupt("a billing type", billing);
    let billing = BillingType::from_word(billing).ok_or_else(unknown)?;
    Ok(Meter {
        wallet,
        product: text::<ProductId>(row, first, "a product id")?,
        plan: text::<PlanId>(row, first + 1, "a plan id")?,
        billing,
        period: period(row, first + 3)?,
        revision: row.get(first + 4)?,
    })
}

/// The incarnation in the two columns from `first` on: birth and id.
pub(super) fn incarnation(row: &Row<'_>, first: usize) -> Result<Incarnation, Failure> {
    Ok(Incarnation {
        born: UnixMillis(row.get(first)?),
        id: text::<Uuid>(row, first + 1, "an incarnation")?,
    })
}

/// The app of a usage row; an empty column is the register itself.
pub(super) fn app(row: &Row<'_>, column: usize) -> Result<Option<AppId>, Failure> {
    let is_register = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?.is_empty();
    if is_register { Ok(None) } else { text(row, column, "an app").map(Some) }
}

/// A column that holds the text of a value.
pub(super) fn text<T>(row: &Row<'_>, column: usize, what: &'static str) -> Result<T, Failure>
where
    T: FromStr,
    T::Err: Display,
{
    let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    text.parse().map_err(|error| Failure::corrupt(what, format!("{text:?}: {error}")))
}

/// A column that may hold the text of a value.
pub(super) fn optional_text<T>(
    row: &Row<'_>,
    column: usize,
    what: &'static str,
) -> Result<Option<T>, Failure>
where
    T: FromStr,
    T::Err: Display,
{
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => text(row, column, what).map(Some),
    }
}

/// A column that counts in an unsigned number.
pub(super) fn count(row: &Row<'_>, column: usize, what: &'static str) -> Result<u64, Failure> {
    let stored: i64 = row.get(column)?;
    u64::try_from(stored).map_err(|error| Failure::corrupt(what, format!("{stored}: {error}")))
}

/// A count as it is stored.
pub(super) fn stored(count: u64, what: &'static str) -> Result<i64, Failure> {
    i64::try_from(count).map_err(|error| Failure::corrupt(what, format!("{count}: {error}")))
}

/// A column of nano-units.
pub(super) fn register(row: &Row<'_>, column: usize) -> Result<Units, Failure> {
    count(row, column, "a register").map(Units::from_register)
}

/// Units as a register stores them: nano-units.
pub(super) fn nanos(units: Units) -> Result<i64, Failure> {
    let nanos = units.register().map_err(|error| Failure::corrupt("a register", error))?;
    stored(nanos, "a register")
}

/// A row's developer.
pub(super) fn developer(row: &Row<'_>, column: usize) -> Result<DeveloperId, Failure> {
    text(row, column, "a developer id")
}

/// `2026-11`.
fn period(row: &Row<'_>, column: usize) -> Result<Period, Failure> {
    let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    let number = || {
        let (year, month) = text.split_once('-')?;
        let (year, month) = (year.parse::<u32>().ok()?, month.parse::<u32>().ok()?);
        let is_month = (1..=12).contains(&month);
        is_month.then(|| year.checked_mul(12)?.checked_add(month - 1)).flatten()
    };
    number().and_then(Period::from_number).ok_or_else(|| Failure::corrupt("a period", text))
}
