//! Conversions of the values that all messages are made of.
//!
//! A value's own problem has an empty field name, which `within` replaces by the field that holds
//! the value.

use std::sync::Arc;

use tollgate_metering::account::Overspend;
use tollgate_metering::id::{PlanId, ProductId};
use tollgate_metering::rating::{Band, Model};
use tollgate_metering::{
    BillingType, Incarnation, Meter, Money, MoneyError, Period, Rates, Units, UnitsError,
    UnixMillis, WalletId,
};
use uuid::Uuid;

use crate::error::{Problem, WireError, each, required};
use crate::v1;

/// The prices of one revision of a rate plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanPrices {
    /// The plan.
    pub plan: PlanId,
    /// The revision, counted from 1.
    pub revision: u32,
    /// Its prices.
    pub rates: Arc<Rates>,
}

/// A UUID from its bytes.
///
/// # Errors
/// A [`WireError`] that names `field`.
pub fn uuid(field: &str, bytes: &[u8]) -> Result<Uuid, WireError> {
    Uuid::from_slice(bytes).map_err(|_| WireError::new(field, Problem::Uuid))
}

/// A wallet from its bytes.
///
/// # Errors
/// A [`WireError`] that names `field`.
pub fn wallet(field: &str, bytes: &[u8]) -> Result<WalletId, WireError> {
    uuid(field, bytes).map(WalletId)
}

/// Wallets from a list of their bytes.
///
/// # Errors
/// A [`WireError`] that names `field` and the place in the list.
pub fn wallets(field: &str, list: &[Vec<u8>]) -> Result<Vec<WalletId>, WireError> {
    each(field, list, |bytes| wallet("", bytes))
}

/// An incarnation that must be there.
///
/// # Errors
/// A [`WireError`] that names `field`.
pub fn incarnation(
    field: &str,
    message: &Option<v1::Incarnation>,
) -> Result<Incarnation, WireError> {
    required(field, message)
}

/// An amount of money that must be there.
///
/// # Errors
/// A [`WireError`] that names `field`.
pub fn money(field: &str, message: &Option<v1::Money>) -> Result<Money, WireError> {
    required(field, message)
}

/// An amount of units that must be there.
///
/// # Errors
/// A [`WireError`] that names `field`.
pub fn units(field: &str, message: &Option<v1::Units>) -> Result<Units, WireError> {
    required(field, message)
}

/// A revision counts from 1.
fn revision(number: u32) -> Result<u32, WireError> {
    if number == 0 { Err(WireError::new("revision", Problem::UnknownValue)) } else { Ok(number) }
}

// === impl Money ===

impl From<Money> for v1::Money {
    fn from(money: Money) -> v1::Money {
        let (units, nanos) = money.units_nanos();
        v1::Money { units, nanos }
    }
}

impl TryFrom<&v1::Money> for Money {
    type Error = WireError;

    fn try_from(wire: &v1::Money) -> Result<Money, WireError> {
        // `Money` forgives positive nanos beside negative units, as Apigee's samples have them;
        // between our own parts that would be a mistake.
        let money = if wire.units < 0 && wire.nanos > 0 {
            Err(MoneyError::Nanos)
        } else {
            Money::from_units_nanos(wire.units, wire.nanos)
        };
        money.map_err(|source| WireError::new("", source.into()))
    }
}

// === impl Units ===

impl From<Units> for v1::Units {
    fn from(units: Units) -> v1::Units {
        let nanos = units.nanos();
        // Both casts take 64 bits each: the low half and what is left of it.
        v1::Units { low: nanos as u64, high: (nanos >> 64) as u64 }
    }
}

impl TryFrom<&v1::Units> for Units {
    type Error = WireError;

    fn try_from(wire: &v1::Units) -> Result<Units, WireError> {
        let nanos = u128::from(wire.high) << 64 | u128::from(wire.low);
        Units::from_nanos(nanos).map_err(|source| WireError::new("", source.into()))
    }
}

/// Units of a register, which ends at [`Units::REGISTER_MAX`].
pub(crate) fn register(field: &str, nanos: u64) -> Result<Units, WireError> {
    let units = Units::from_register(nanos);
    let is_within = units <= Units::REGISTER_MAX;
    let problem = Problem::Units(UnitsError::OutOfRange);
    if is_within { Ok(units) } else { Err(WireError::new(field, problem)) }
}

/// Units of a register as the wire holds them; the last it can hold where a caller broke that.
pub(crate) fn register_to_wire(units: Units) -> u64 {
    debug_assert!(units <= Units::REGISTER_MAX, "a register rotates long before its end");
    units.register().unwrap_or(i64::MAX.unsigned_abs())
}

// === impl Incarnation ===

impl From<Incarnation> for v1::Incarnation {
    fn from(incarnation: Incarnation) -> v1::Incarnation {
        v1::Incarnation { id: incarnation.id.as_bytes().to_vec(), born_ms: incarnation.born.0 }
    }
}

impl TryFrom<&v1::Incarnation> for Incarnation {
    type Error = WireError;

    fn try_from(wire: &v1::Incarnation) -> Result<Incarnation, WireError> {
        Ok(Incarnation { born: UnixMillis(wire.born_ms), id: uuid("id", &wire.id)? })
    }
}

// === impl BillingType ===

impl From<BillingType> for v1::BillingType {
    fn from(billing: BillingType) -> v1::BillingType {
        match billing {
            BillingType::Prepaid => v1::BillingType::Prepaid,
            BillingType::Postpaid => v1::BillingType::Postpaid,
            BillingType::Shadow => v1::BillingType::Shadow,
            BillingType::ShadowRefused => v1::BillingType::ShadowRefused,
        }
    }
}

impl TryFrom<v1::BillingType> for BillingType {
    type Error = WireError;

    fn try_from(wire: v1::BillingType) -> Result<BillingType, WireError> {
        match wire {
            v1::BillingType::Prepaid => Ok(BillingType::Prepaid),
            v1::BillingType::Postpaid => Ok(BillingType::Postpaid),
            v1::BillingType::Shadow => Ok(BillingType::Shadow),
            v1::BillingType::ShadowRefused => Ok(BillingType::ShadowRefused),
            v1::BillingType::Unspecified => Err(WireError::new("", Problem::UnknownValue)),
        }
    }
}

// === impl Meter ===

impl From<&Meter> for v1::Meter {
    fn from(meter: &Meter) -> v1::Meter {
        v1::Meter {
            wallet: meter.wallet.0.as_bytes().to_vec(),
            product: meter.product.0.as_bytes().to_vec(),
            plan: meter.plan.0.as_bytes().to_vec(),
            billing_type: v1::BillingType::from(meter.billing).into(),
            period: meter.period.number(),
            revision: meter.revision,
        }
    }
}

impl TryFrom<&v1::Meter> for Meter {
    type Error = WireError;

    fn try_from(wire: &v1::Meter) -> Result<Meter, WireError> {
        let unknown = |field| WireError::new(field, Problem::UnknownValue);
        Ok(Meter {
            wallet: wallet("wallet", &wire.wallet)?,
            product: ProductId(uuid("product", &wire.product)?),
            plan: PlanId(uuid("plan", &wire.plan)?),
            billing: BillingType::try_from(wire.billing_type())
                .map_err(|error| error.within("billing_type"))?,
            period: Period::from_number(wire.period).ok_or_else(|| unknown("period"))?,
            revision: revision(wire.revision)?,
        })
    }
}

// === impl Model ===

impl From<Model> for v1::RatingModel {
    fn from(model: Model) -> v1::RatingModel {
        match model {
            Model::Marginal => v1::RatingModel::Marginal,
            Model::Tiered => v1::RatingModel::Tiered,
            Model::Stairs => v1::RatingModel::Stairs,
        }
    }
}

/// A model that this version does not know would be charged wrongly.
fn model(number: i32) -> Result<Model, WireError> {
    match v1::RatingModel::try_from(number) {
        Ok(v1::RatingModel::Unspecified | v1::RatingModel::Marginal) => Ok(Model::Marginal),
        Ok(v1::RatingModel::Tiered) => Ok(Model::Tiered),
        Ok(v1::RatingModel::Stairs) => Ok(Model::Stairs),
        Err(_) => Err(WireError::new("model", Problem::UnknownValue)),
    }
}

// === impl PlanPrices ===

impl From<&PlanPrices> for v1::RatePlanRevision {
    fn from(prices: &PlanPrices) -> v1::RatePlanRevision {
        let bands = prices.rates.bands().iter().map(|band| v1::Band {
            up_to: band.up_to.map(v1::Units::from),
            price: Some(band.price.into()),
        });
        v1::RatePlanRevision {
            plan: prices.plan.0.as_bytes().to_vec(),
            revision: prices.revision,
            bands: bands.collect(),
            model: v1::RatingModel::from(prices.rates.model()).into(),
            free_units: Some(prices.rates.free())
                .filter(|free| !free.is_zero())
                .map(v1::Units::from),
        }
    }
}

impl TryFrom<&v1::RatePlanRevision> for PlanPrices {
    type Error = WireError;

    fn try_from(wire: &v1::RatePlanRevision) -> Result<PlanPrices, WireError> {
        let bands = each("bands", &wire.bands, |band| {
            let up_to = band.up_to.as_ref().map(Units::try_from).transpose();
            Ok(Band {
                up_to: up_to.map_err(|error| error.within("up_to"))?,
                price: required("price", &band.price)?,
            })
        })?;
        let free = wire.free_units.as_ref().map(Units::try_from).transpose();
        let free = free.map_err(|error| error.within("free_units"))?.unwrap_or(Units::ZERO);
        let rates = Rates::new(model(wire.model)?, bands, free)
            .map_err(|source| WireError::new("bands", source.into()))?;
        Ok(PlanPrices {
            plan: PlanId(uuid("plan", &wire.plan)?),
            revision: revision(wire.revision)?,
            rates: Arc::new(rates),
        })
    }
}

// === impl Overspend ===

impl From<Overspend> for v1::Overspend {
    fn from(policy: Overspend) -> v1::Overspend {
        match policy {
            Overspend::Optimistic => v1::Overspend::Optimistic,
            Overspend::Strict => v1::Overspend::Strict,
        }
    }
}

/// An overspend policy that must be there.
///
/// # Errors
/// A [`WireError`] that names `field`.
pub fn overspend(field: &str, number: i32) -> Result<Overspend, WireError> {
    match v1::Overspend::try_from(number) {
        Ok(v1::Overspend::Optimistic) => Ok(Overspend::Optimistic),
        Ok(v1::Overspend::Strict) => Ok(Overspend::Strict),
        Ok(v1::Overspend::Unspecified) => Err(WireError::new(field, Problem::Missing)),
        Err(_) => Err(WireError::new(field, Problem::UnknownValue)),
    }
}
