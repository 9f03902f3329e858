//! From a plan as people write it to bands as they are charged, with the rules of a plan.

use tollgate_metering::rating::{Band, RatesError};
use tollgate_metering::{Currency, Money, Rates, Units, UnixMillis};

use super::caller::Window;
use super::error::CatalogueError;
use super::organizations::NAME_CHARS_MAX;
use super::records::{PlanState, PlanTerms, PriceBand, PricingType};

/// Most bands of a plan.
pub const BANDS_MAX: usize = 100;

const BANDS: &str = "consumptionPricingRates";

/// What a published plan says, checked.
pub(super) struct Published {
    pub(super) currency: Currency,
    pub(super) window: Window,
    pub(super) rates: Rates,
}

// === impl PlanTerms ===

impl PlanTerms {
    /// Checks a draft or published plan; what a published one says.
    pub(super) fn check(&self) -> Result<Option<Published>, CatalogueError> {
        if self.display_name.trim().is_empty() {
            return Err(CatalogueError::invalid("displayName", "is required"));
        }
        if self.display_name.chars().count() > NAME_CHARS_MAX {
            let reason = format!("at most {NAME_CHARS_MAX} characters");
            return Err(CatalogueError::invalid("displayName", reason));
        }
        self.check_fees()?;
        let rates = self.rates()?;
        let window = self.window()?;
        if self.state == PlanState::Draft {
            return Ok(None);
        }
        if !self.is_monthly {
            return Err(CatalogueError::invalid("billingPeriod", "is required to publish"));
        }
        let required = |field| CatalogueError::invalid(field, "is required to publish");
        Ok(Some(Published {
            currency: self.currency.ok_or_else(|| required("currencyCode"))?,
            window: window.ok_or_else(|| required("startTime"))?,
            rates: match rates {
                Some(rates) => rates,
                None => Rates::flat(Money::ZERO).map_err(unpriced)?,
            },
        }))
    }

    fn window(&self) -> Result<Option<Window>, CatalogueError> {
        let negative = |time: Option<UnixMillis>| time.is_some_and(|time| time.0 < 0);
        if negative(self.start) {
            return Err(CatalogueError::invalid("startTime", "lies before 1970"));
        }
        if negative(self.end) {
            return Err(CatalogueError::invalid("endTime", "lies before 1970"));
        }
        match (self.start, self.end) {
            (Some(start), Some(end)) if start >= end => {
                Err(CatalogueError::invalid("endTime", "must lie after startTime"))
            }
            (Some(start), end) => Ok(Some(Window { start, end })),
            (None, _) => Ok(None),
        }
    }

    /// The prices that a plan of these terms would have, if any, whether it is published or not.
    ///
    /// # Errors
    /// `Invalid` names the field.
    pub fn prices(&self) -> Result<Option<Rates>, CatalogueError> {
        self.rates()
    }

    /// The prices, if the plan has any.
    fn rates(&self) -> Result<Option<Rates>, CatalogueError> {
        let Some(pricing) = self.pricing else {
            if self.bands.is_empty() {
                return Ok(None);
            }
            let reason = "is required where there are consumptionPricingRates";
            return Err(CatalogueError::invalid("consumptionPricingType", reason));
        };
        if self.bands.is_empty() && self.state == PlanState::Draft {
            return Ok(None);
        }
        if self.bands.len() > BANDS_MAX {
            return Err(CatalogueError::invalid(BANDS, format!("at most {BANDS_MAX}")));
        }
        if pricing == PricingType::FixedPerUnit && self.bands.len() > 1 {
            let reason = "FIXED_PER_UNIT takes exactly one rate";
            return Err(CatalogueError::invalid(BANDS, reason));
        }
        bands(&self.bands).map(Some)
    }
}

/// Bands that touch without a gap, both ends included, the first from 0, 1 or nothing, the last
/// without an end.
fn bands(given: &[PriceBand]) -> Result<Rates, CatalogueError> {
    let mut bands = Vec::with_capacity(given.len());
    let mut expected = 1;
    for (index, band) in given.iter().enumerate() {
        let number = index + 1;
        let invalid =
            |reason: String| Err(CatalogueError::invalid(BANDS, format!("band {number} {reason}")));
        let start = band.start.unwrap_or(0);
        let is_in_order = if index == 0 { start == 0 || start == 1 } else { start == expected };
        if !is_in_order {
            return invalid(format!(
                "must start at {expected}, where the one before it ends; it starts at {start}"
            ));
        }
        let up_to = match band.end.filter(|end| *end != 0) {
            Some(end) if end < expected => {
                return invalid(format!("ends at {end}, before it starts"));
            }
            Some(end) => {
                expected = match end.checked_add(1) {
                    Some(next) => next,
                    None => return invalid("has an end that is out of range".to_owned()),
                };
                Some(units(end, number)?)
            }
            None => None,
        };
        bands.push(Band { up_to, price: band.fee });
    }
    Rates::banded(bands).map_err(unpriced)
}

fn units(whole: i64, band: usize) -> Result<Units, CatalogueError> {
    let nanos = u128::try_from(whole).ok().map(|whole| whole * Units::ONE.nanos());
    nanos.and_then(|nanos| Units::from_nanos(nanos).ok()).ok_or_else(|| {
        CatalogueError::invalid(BANDS, format!("band {band} has an end that is out of range"))
    })
}

fn unpriced(error: RatesError) -> CatalogueError {
    CatalogueError::invalid(BANDS, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn band(start: Option<i64>, end: Option<i64>, fee: &str) -> PriceBand {
        PriceBand { start, end, fee: fee.parse().unwrap() }
    }

    #[test]
    fn bands_include_both_ends() {
        let documents = [band(Some(1), Some(100), "2"), band(Some(101), Some(200), "1.5")];
        let documents = [documents.as_slice(), &[band(Some(201), None, "1")]].concat();
        let rates = bands(&documents).unwrap();
        let check = |rows: &[(u128, &str)]| {
            for (calls, want) in rows {
                let total = Units::from_nanos(calls * Units::ONE.nanos()).unwrap();
                assert_eq!(rates.charge(total).unwrap().to_string(), *want, "{calls} calls");
            }
        };
        check(&[(50, "100"), (150, "275"), (250, "400"), (500, "650")]);
        let two = bands(&[band(Some(0), Some(1000), "2"), band(Some(1001), Some(0), "1")]).unwrap();
        let total = Units::from_nanos(1500 * Units::ONE.nanos()).unwrap();
        assert_eq!(two.charge(total).unwrap().to_string(), "2500");
    }

    #[test]
    fn bands_that_do_not_touch_are_refused() {
        let check = |rows: &[(&[PriceBand], &str)]| {
            for (given, want) in rows {
                let error = bands(given).unwrap_err().to_string();
                assert!(error.contains(want), "{error}");
            }
        };
        check(&[
            (&[], "at least one price"),
            (&[band(Some(2), None, "1")], "band 1 must start at 1"),
            (&[band(None, Some(10), "1"), band(Some(10), None, "1")], "band 2 must start at 11"),
            (&[band(None, Some(10), "1"), band(Some(12), None, "1")], "band 2 must start at 11"),
            (&[band(None, Some(10), "1")], "the last has none"),
            (&[band(None, None, "1"), band(Some(1), None, "1")], "band 1: every band but the last"),
            (&[band(None, Some(-4), "1")], "ends at -4"),
            (&[band(None, Some(i64::MAX), "1")], "out of range"),
            (&[band(None, None, "-1")], "negative"),
        ]);
    }
}
