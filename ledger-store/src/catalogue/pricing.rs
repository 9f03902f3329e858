//! From a plan as people write it to bands as they are charged, with the rules of a plan.
//!
//! Bands of Apigee X include both ends (1–100, 101–200), those of Edge touch (0–100, 100–200): both
//! mean that the first 100 units cost one price and the next 100 another, also where calls take
//! parts of a unit. They are kept as X writes them; [`PriceBand::touching`] is Edge's view.

use tollgate_metering::rating::{Band, Model, RatesError};
use tollgate_metering::{Currency, Money, Rates, Units, UnixMillis};

use super::caller::Window;
use super::error::CatalogueError;
use super::organizations::NAME_CHARS_MAX;
use super::records::{Freemium, PlanState, PlanTerms, PriceBand, PricingType, ShareType};

/// Most bands of a plan.
pub const BANDS_MAX: usize = 100;

/// 100 percent.
const HUNDREDTHS_MAX: u32 = 10_000;

const BANDS: &str = "consumptionPricingRates";

/// What a published plan says, checked.
pub(super) struct Published {
    pub(super) currency: Currency,
    pub(super) window: Window,
    pub(super) rates: Rates,
    /// In the freemium time of a subscription.
    pub(super) freemium: Option<Rates>,
    /// Whether it applies only to who accepted it.
    pub(super) is_accepted: bool,
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
        self.check_flat()?;
        self.check_share()?;
        let (rates, freemium) = self.rates()?;
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
            freemium,
            is_accepted: self.is_accepted(),
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
        Ok(self.rates()?.0)
    }

    /// The prices, if the plan has any, and those in its freemium time.
    fn rates(&self) -> Result<(Option<Rates>, Option<Rates>), CatalogueError> {
        let Some(pricing) = self.pricing else {
            if self.bands.is_empty() {
                return Ok((None, None));
            }
            let reason = "is required where there are consumptionPricingRates";
            return Err(CatalogueError::invalid("consumptionPricingType", reason));
        };
        if self.bands.is_empty() && self.state == PlanState::Draft {
            return Ok((None, None));
        }
        if pricing == PricingType::FixedPerUnit && self.bands.len() > 1 {
            let reason = "FIXED_PER_UNIT takes exactly one rate";
            return Err(CatalogueError::invalid(BANDS, reason));
        }
        let ends: Vec<_> = self.bands.iter().map(|band| (band.start, band.end)).collect();
        let ends = ends_of(BANDS, &ends)?;
        let bands = || {
            let bands = ends.iter().zip(&self.bands);
            bands.map(|(up_to, band)| Band { up_to: *up_to, price: band.fee }).collect()
        };
        let model = match pricing {
            PricingType::FixedPerUnit | PricingType::Banded => Model::Marginal,
            PricingType::Tiered => Model::Tiered,
            PricingType::Stairstep => Model::Stairs,
        };
        let rates = |free| Rates::new(model, bands(), free).map_err(unpriced);
        match self.freemium {
            None => Ok((Some(rates(Units::ZERO)?), None)),
            Some(Freemium { units: None, span: None }) => {
                let reason = "needs units or a duration";
                Err(CatalogueError::invalid("freemiumUnit", reason))
            }
            Some(Freemium { units: Some(units), span: None }) => Ok((Some(rates(units)?), None)),
            Some(Freemium { units, span: Some(span) }) => {
                if span.count == 0 {
                    return Err(CatalogueError::invalid("freemiumDuration", "must be at least 1"));
                }
                Ok((Some(rates(Units::ZERO)?), Some(rates(units.unwrap_or(Units::MAX))?)))
            }
        }
    }

    fn check_share(&self) -> Result<(), CatalogueError> {
        let field = "revenueShareRates";
        let Some(share) = self.share else {
            if self.share_bands.is_empty() {
                return Ok(());
            }
            let reason = "is required where there are revenueShareRates";
            return Err(CatalogueError::invalid("revenueShareType", reason));
        };
        if self.share_bands.is_empty() && self.state == PlanState::Draft {
            return Ok(());
        }
        let is_one = self.share_bands.len() == 1;
        if self.share_bands.is_empty() || (share == ShareType::Fixed && !is_one) {
            let reason = "FIXED takes exactly one rate, VOLUME_BANDED at least one";
            return Err(CatalogueError::invalid(field, reason));
        }
        if self.share_bands.iter().any(|band| band.hundredths > HUNDREDTHS_MAX) {
            let reason = "a sharePercentage lies between 0 and 100";
            return Err(CatalogueError::invalid(field, reason));
        }
        let ends: Vec<_> = self.share_bands.iter().map(|band| (band.start, band.end)).collect();
        ends_of(field, &ends).map(|_| ())
    }
}

// === impl PriceBand ===

impl PriceBand {
    /// A band as Edge writes it, from `start`, where the one before it ends, to `end`.
    ///
    /// # Errors
    /// `Invalid` where `start` is out of range.
    pub fn of_touching(
        start: i64,
        end: Option<i64>,
        fee: Money,
    ) -> Result<PriceBand, CatalogueError> {
        let out_of_range = || CatalogueError::invalid("startUnit", "is out of range");
        let first = match start {
            0 => None,
            start => Some(start.checked_add(1).ok_or_else(out_of_range)?),
        };
        Ok(PriceBand { start: first, end, fee })
    }

    /// Start and end as Edge writes them.
    #[must_use]
    pub fn touching(&self) -> (i64, Option<i64>) {
        (self.start.map_or(0, |first| first.saturating_sub(1).max(0)), self.end)
    }
}

/// Ends of bands that touch without a gap, both ends included, the first from 0, 1 or nothing.
fn ends_of(
    field: &str,
    given: &[(Option<i64>, Option<i64>)],
) -> Result<Vec<Option<Units>>, CatalogueError> {
    if given.len() > BANDS_MAX {
        return Err(CatalogueError::invalid(field, format!("at most {BANDS_MAX}")));
    }
    let mut ends = Vec::with_capacity(given.len());
    let mut expected = 1;
    for (index, (start, end)) in given.iter().enumerate() {
        let number = index + 1;
        let invalid =
            |reason: String| Err(CatalogueError::invalid(field, format!("band {number} {reason}")));
        let start = start.unwrap_or(0);
        let is_in_order = if index == 0 { start == 0 || start == 1 } else { start == expected };
        if !is_in_order {
            return invalid(format!(
                "must start at {expected}, where the one before it ends; it starts at {start}"
            ));
        }
        let up_to = match end.filter(|end| *end != 0) {
            Some(end) if end < expected => {
                return invalid(format!("ends at {end}, before it starts"));
            }
            Some(end) => {
                expected = match end.checked_add(1) {
                    Some(next) => next,
                    None => return invalid("has an end that is out of range".to_owned()),
                };
                Some(units(field, end, number)?)
            }
            None if number < given.len() => return invalid("has no end".to_owned()),
            None => None,
        };
        ends.push(up_to);
    }
    Ok(ends)
}

fn units(field: &str, whole: i64, band: usize) -> Result<Units, CatalogueError> {
    let nanos = u128::try_from(whole).ok().map(|whole| whole * Units::ONE.nanos());
    nanos.and_then(|nanos| Units::from_nanos(nanos).ok()).ok_or_else(|| {
        CatalogueError::invalid(field, format!("band {band} has an end that is out of range"))
    })
}

fn unpriced(error: RatesError) -> CatalogueError {
    CatalogueError::invalid(BANDS, error)
}

#[cfg(test)]
mod tests {
    use super::super::records::{Span, SpanUnit};
    use super::*;

    fn band(start: Option<i64>, end: Option<i64>, fee: &str) -> PriceBand {
        PriceBand { start, end, fee: fee.parse().unwrap() }
    }

    fn terms(pricing: PricingType, bands: &[PriceBand]) -> PlanTerms {
        PlanTerms {
            display_name: "standard".to_owned(),
            pricing: Some(pricing),
            bands: bands.to_vec(),
            ..PlanTerms::default()
        }
    }

    fn check_charges(rates: &Rates, rows: &[(&str, &str)]) {
        for (total, want) in rows {
            let charge = rates.charge(total.parse().unwrap()).unwrap();
            assert_eq!(charge.to_string(), *want, "{total} units");
        }
    }

    #[test]
    fn bands_include_both_ends() {
        let documents = [
            band(Some(1), Some(100), "2"),
            band(Some(101), Some(200), "1.5"),
            band(Some(201), None, "1"),
        ];
        let rates = |pricing| terms(pricing, &documents).rates().unwrap().0.unwrap();
        let banded = [("50", "100"), ("150", "275"), ("250", "400"), ("500", "650")];
        check_charges(&rates(PricingType::Banded), &banded);
        check_charges(
            &rates(PricingType::Tiered),
            &[("50", "100"), ("150", "225"), ("500", "500")],
        );
        check_charges(
            &rates(PricingType::Stairstep),
            &[("50", "2"), ("150", "3.5"), ("500", "4.5")],
        );
        let two = [band(Some(0), Some(1000), "2"), band(Some(1001), Some(0), "1")];
        let two = terms(PricingType::Banded, &two).rates().unwrap().0.unwrap();
        check_charges(&two, &[("1500", "2500")]);
    }

    #[test]
    fn bands_of_edge_touch() {
        let touching = |start, end| PriceBand::of_touching(start, end, Money::ZERO).unwrap();
        let bands = [touching(0, Some(100)), touching(100, Some(1000))];
        assert_eq!((bands[0].start, bands[0].end), (None, Some(100)));
        assert_eq!((bands[1].start, bands[1].end), (Some(101), Some(1000)));
        assert_eq!(bands[1].touching(), (100, Some(1000)));
        assert_eq!(bands[0].touching(), (0, Some(100)));
        let rates = terms(PricingType::Banded, &bands).rates().unwrap().0.unwrap();
        assert_eq!(rates.units_max(), Some("1000".parse().unwrap()));
    }

    #[test]
    fn freemium_is_in_the_prices_or_in_prices_of_its_own() {
        let priced = |units: Option<&str>, span| {
            let units = units.map(|units| units.parse().unwrap());
            let freemium = Some(Freemium { units, span });
            let terms = terms(PricingType::FixedPerUnit, &[band(None, None, "1")]);
            PlanTerms { freemium, ..terms }.rates()
        };
        let month = Some(Span { count: 1, unit: SpanUnit::Month });
        let (rates, freemium) = priced(Some("2.5"), None).unwrap();
        check_charges(&rates.unwrap(), &[("2.5", "0"), ("3", "0.5")]);
        assert!(freemium.is_none());
        let (rates, freemium) = priced(Some("2.5"), month).unwrap();
        check_charges(&rates.unwrap(), &[("3", "3")]);
        check_charges(&freemium.unwrap(), &[("3", "0.5")]);
        let (_, freemium) = priced(None, month).unwrap();
        check_charges(&freemium.unwrap(), &[("1000000", "0")]);
        assert!(priced(None, None).is_err());
        assert!(priced(None, Some(Span { count: 0, unit: SpanUnit::Day })).is_err());
    }

    #[test]
    fn bands_that_do_not_touch_are_refused() {
        let check = |rows: &[(&[PriceBand], &str)]| {
            for (given, want) in rows {
                let state = PlanState::Published;
                let given = PlanTerms { state, ..terms(PricingType::Banded, given) };
                let error = given.rates().unwrap_err().to_string();
                assert!(error.contains(want), "{error}");
            }
        };
        check(&[
            (&[], "at least one price"),
            (&[band(Some(2), None, "1")], "band 1 must start at 1"),
            (&[band(None, Some(10), "1"), band(Some(10), None, "1")], "band 2 must start at 11"),
            (&[band(None, Some(10), "1"), band(Some(12), None, "1")], "band 2 must start at 11"),
            (&[band(None, None, "1"), band(Some(1), None, "1")], "band 1 has no end"),
            (&[band(None, Some(-4), "1")], "ends at -4"),
            (&[band(None, Some(i64::MAX), "1")], "out of range"),
            (&[band(None, None, "-1")], "negative"),
        ]);
    }
}
