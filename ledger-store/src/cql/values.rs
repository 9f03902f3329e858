//! Values of the domain as CQL values and back.
//!
//! Sums are CQL decimals, so that a person reads them in `cqlsh`; what a register counts is a
//! bigint of nano-units, so that of two values written at one timestamp the greater wins (both
//! databases compare the bytes, which for numbers that are not negative is their order).

use scylla::value::{CqlDecimal, CqlTimestamp};
use tollgate_metering::{
    BillingType, Incarnation, Meter, Money, Period, PlanId, ProductId, Units, UnixMillis, WalletId,
};
use uuid::Uuid;

use crate::error::LedgerError;

/// Digits after the point of every decimal that is written.
const PLACES: i32 = 9;

/// The columns of a meter, without the wallet.
#[derive(Clone, Copy, Debug, Default, scylla::SerializeRow)]
pub(super) struct MeterColumns {
    pub(super) product: Option<Uuid>,
    pub(super) plan: Option<Uuid>,
    pub(super) billing: Option<i8>,
    pub(super) period: Option<i32>,
    pub(super) revision: Option<i32>,
}

/// Says which row cannot be read, and why.
pub(super) fn corrupt(what: &'static str, detail: impl Into<String>) -> LedgerError {
    LedgerError::Corrupt { what, detail: detail.into() }
}

/// The column's value, which must be there.
pub(super) fn required<T>(
    what: &'static str,
    column: &'static str,
    value: Option<T>,
) -> Result<T, LedgerError> {
    value.ok_or_else(|| corrupt(what, format!("{column} is missing")))
}

/// A count as a column holds it.
pub(super) fn bigint(what: &'static str, count: u64) -> Result<i64, LedgerError> {
    i64::try_from(count).map_err(|_| corrupt(what, format!("{count} is beyond 2^63")))
}

/// A count that a column holds.
pub(super) fn count<T>(what: &'static str, value: T) -> Result<u64, LedgerError>
where
    T: TryInto<u64> + Copy + std::fmt::Display,
{
    value.try_into().map_err(|_| corrupt(what, format!("{value} is not a count")))
}

/// A small count that a column holds.
pub(super) fn small_count(what: &'static str, value: i32) -> Result<u32, LedgerError> {
    u32::try_from(value).map_err(|_| corrupt(what, format!("{value} is not a count")))
}

/// A small count as a column holds it.
pub(super) fn int(what: &'static str, count: u32) -> Result<i32, LedgerError> {
    i32::try_from(count).map_err(|_| corrupt(what, format!("{count} is beyond 2^31")))
}

pub(super) fn timestamp(time: UnixMillis) -> CqlTimestamp {
    CqlTimestamp(time.0)
}

pub(super) fn time(timestamp: CqlTimestamp) -> UnixMillis {
    UnixMillis(timestamp.0)
}

pub(super) fn money_column(money: Money) -> CqlDecimal {
    decimal(money.nanos())
}

pub(super) fn money(what: &'static str, value: &CqlDecimal) -> Result<Money, LedgerError> {
    Money::from_nanos(nanos(what, value)?).map_err(|error| corrupt(what, error.to_string()))
}

pub(super) fn units_column(units: Units) -> CqlDecimal {
    decimal(i128::try_from(units.nanos()).expect("units end at 10^27 nano-units"))
}

pub(super) fn units(what: &'static str, value: &CqlDecimal) -> Result<Units, LedgerError> {
    u128::try_from(nanos(what, value)?)
        .ok()
        .and_then(|nanos| Units::from_nanos(nanos).ok())
        .ok_or_else(|| corrupt(what, "units are out of range"))
}

/// Units as a register holds them.
pub(super) fn register_column(what: &'static str, units: Units) -> Result<i64, LedgerError> {
    let nanos = units.register().map_err(|error| corrupt(what, error.to_string()))?;
    bigint(what, nanos)
}

/// Units that a register holds; a cell that was never written counts none.
pub(super) fn register_units(what: &'static str, nanos: Option<i64>) -> Result<Units, LedgerError> {
    Ok(Units::from_register(count(what, nanos.unwrap_or(0))?))
}

pub(super) fn incarnation(born: CqlTimestamp, id: Uuid) -> Incarnation {
    Incarnation { born: time(born), id }
}

/// A decimal of nine places; its integer part is the shortest that holds the sign.
fn decimal(nanos: i128) -> CqlDecimal {
    let bytes = nanos.to_be_bytes();
    let is_filler = |pair: &[u8]| match pair[0] {
        0x00 => pair[1] < 0x80,
        0xff => pair[1] >= 0x80,
        _ => false,
    };
    let start = bytes.windows(2).take_while(|pair| is_filler(pair)).count();
    CqlDecimal::from_signed_be_bytes_slice_and_exponent(&bytes[start..], PLACES)
}

/// Nanos of a decimal with any number of places, as a person may have written it.
fn nanos(what: &'static str, value: &CqlDecimal) -> Result<i128, LedgerError> {
    let (bytes, places) = value.as_signed_be_bytes_slice_and_exponent();
    let out_of_range = || corrupt(what, "a decimal is out of range");
    if bytes.len() > size_of::<i128>() {
        return Err(out_of_range());
    }
    let is_negative = bytes.first().is_some_and(|first| *first >= 0x80);
    let mut whole = if is_negative { [0xff; 16] } else { [0; 16] };
    whole[16 - bytes.len()..].copy_from_slice(bytes);
    let whole = i128::from_be_bytes(whole);
    let power = |exponent: i32| {
        u32::try_from(exponent)
            .ok()
            .and_then(|exponent| 10_i128.checked_pow(exponent))
            .ok_or_else(out_of_range)
    };
    if places <= PLACES {
        return whole.checked_mul(power(PLACES.saturating_sub(places))?).ok_or_else(out_of_range);
    }
    let divisor = power(places - PLACES)?;
    if whole % divisor != 0 {
        return Err(corrupt(what, "a decimal has more than 9 places"));
    }
    Ok(whole / divisor)
}

// === impl MeterColumns ===

impl MeterColumns {
    /// The columns as a clustering key has them.
    pub(super) fn new(
        product: Uuid,
        plan: Uuid,
        billing: i8,
        period: i32,
        revision: i32,
    ) -> MeterColumns {
        MeterColumns {
            product: Some(product),
            plan: Some(plan),
            billing: Some(billing),
            period: Some(period),
            revision: Some(revision),
        }
    }

    /// The columns of a meter.
    pub(super) fn of(meter: &Meter) -> Result<MeterColumns, LedgerError> {
        let billing = i8::try_from(meter.billing.code());
        Ok(MeterColumns {
            product: Some(meter.product.0),
            plan: Some(meter.plan.0),
            billing: Some(billing.expect("codes are below 4")),
            period: Some(int("a meter's period", meter.period.number())?),
            revision: Some(int("a meter's revision", meter.revision)?),
        })
    }

    /// The meter of a wallet.
    pub(super) fn meter(self, what: &'static str, wallet: WalletId) -> Result<Meter, LedgerError> {
        let billing = required(what, "billing", self.billing)?;
        let period = required(what, "period", self.period)?;
        Ok(Meter {
            wallet,
            product: ProductId(required(what, "product", self.product)?),
            plan: PlanId(required(what, "plan", self.plan)?),
            billing: u8::try_from(billing)
                .ok()
                .and_then(BillingType::from_code)
                .ok_or_else(|| corrupt(what, format!("billing type {billing}")))?,
            period: u32::try_from(period)
                .ok()
                .and_then(Period::from_number)
                .ok_or_else(|| corrupt(what, format!("period {period}")))?,
            revision: small_count(what, required(what, "revision", self.revision)?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_read_exactly_or_refused() {
        let check = |rows: &[(i128, i32, Option<i128>)]| {
            for (whole, places, want) in rows {
                let value = CqlDecimal::from_signed_be_bytes_slice_and_exponent(
                    &whole.to_be_bytes(),
                    *places,
                );
                assert_eq!(nanos("a test", &value).ok(), *want, "{whole} with {places} places");
            }
        };
        check(&[
            (15_021, 2, Some(150_210_000_000)),
            (-5, 0, Some(-5_000_000_000)),
            (5, -1, Some(50_000_000_000)),
            (10, 10, Some(1)),
            (1, 10, None),
            (i128::MAX, 0, None),
            (1, i32::MAX, None),
            (1, i32::MIN, None),
        ]);
        let empty = CqlDecimal::from_signed_be_bytes_slice_and_exponent(&[], 9);
        assert_eq!(nanos("a test", &empty).ok(), Some(0));
        let long = CqlDecimal::from_signed_be_bytes_slice_and_exponent(&[1; 17], 9);
        assert!(nanos("a test", &long).is_err());
    }

    proptest::proptest! {
        #[test]
        fn money_comes_back(nanos in Money::MIN.nanos()..=Money::MAX.nanos()) {
            let amount = Money::from_nanos(nanos).unwrap();
            let column = money_column(amount);
            proptest::prop_assert_eq!(money("a test", &column).unwrap(), amount);
            let (bytes, _) = column.as_signed_be_bytes_slice_and_exponent();
            proptest::prop_assert!(bytes.len() <= 12);
        }
    }
}
