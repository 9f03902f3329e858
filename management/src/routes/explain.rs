//! `…/explain/{currency}` and `…/reprice/{currency}`: why a charge is what it is, and what it would
//! have been under another plan. Nothing is changed by either.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use tollgate_ledger_store::catalogue::records::{Developer, Product};
use tollgate_ledger_store::catalogue::wallet_id;
use tollgate_metering::booking::BookingError;
use tollgate_metering::lines::{Day, Line};
use tollgate_metering::rating::RatingError;
use tollgate_metering::{BillingType, Currency, Meter, Money, Period, ProductId, Rates, Units};

use super::reports::{out_of_range, query_error};
use super::{Answer, developer};
use crate::charges::{Charges, Names};
use crate::error::ApiError;
use crate::extract::{At, Json, Parameters};
use crate::permission::may;
use crate::router::{Api, ok};
use crate::shapes::money;
use crate::shapes::reports::{
    Explained, ExplainedBand, ExplainedCharge, RepriceInput, Repriced, RepricedLine, billing,
};
use crate::span::{self, Span};

/// 10⁻¹⁸ of a currency unit in one: nanos times nano-units.
const EXACT: u128 = 1_000_000_000_000_000_000;
/// The same in a nano.
const EXACT_NANO: i128 = 1_000_000_000;

/// One meter: units of earlier revisions, its own, its charge.
type Metered = BTreeMap<Meter, (Units, Units, Money)>;

/// Each charge of the periods that a span touches, as plan revision × units × bands.
pub(crate) async fn explain(
    State(api): State<Api>,
    _: may::ReportsRead,
    At((organization, name, code)): At<(String, String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[&span::PARAMETERS[..], &["product"]].concat())?;
    let span = Span::of(&query, api.clock.now())?;
    let (owner, currency, charges) = wallet(&api, &organization, &name, &code, span).await?;
    let only = match query.get("product") {
        Some(product) => Some(api.catalogue.product(&organization, product).await?.id),
        None => None,
    };
    let mut explained = Vec::new();
    let mut names = Names::default();
    for (meter, (before, units, charge)) in meters(&charges.lines, span)? {
        if only.is_some_and(|only| only != meter.product) {
            continue;
        }
        let rates = charges.rates.rates(meter.plan, meter.revision).map_err(unpriced)?;
        let (bands, rounding) = bands(rates, before, units, charge);
        explained.push(ExplainedCharge {
            product: names.product(&api, &organization, meter.product).await?,
            rate_plan: meter.plan.to_string(),
            revision: meter.revision,
            billing_type: billing(meter.billing),
            period: meter.period.to_string(),
            units_before: before.to_string(),
            units: units.to_string(),
            bands,
            rounding,
            charge: charge.to_string(),
        });
    }
    let (developer, currency_code) = (owner.email, currency.to_string());
    Ok(ok(&Explained { developer, currency_code, charges: explained }))
}

/// The usage of the periods that a span touches under another plan, as if it had been the only one.
pub(crate) async fn reprice(
    State(api): State<Api>,
    _: may::ReportsRead,
    At((organization, name, code)): At<(String, String, String)>,
    query: Parameters,
    Json(input): Json<RepriceInput>,
) -> Answer {
    query.only(&span::PARAMETERS)?;
    let span = Span::of(&query, api.clock.now())?;
    let (owner, currency, charges) = wallet(&api, &organization, &name, &code, span).await?;
    let only = match input.product.as_deref() {
        Some(product) => Some(api.catalogue.product(&organization, product).await?.id),
        None => None,
    };
    let rates = asked_rates(&api, &organization, input, currency).await?;
    let mut usage: BTreeMap<(ProductId, BillingType, Period), (Units, Money)> = BTreeMap::new();
    for (meter, (_, units, charge)) in meters(&charges.lines, span)? {
        if only.is_none_or(|only| only == meter.product) {
            let key = (meter.product, meter.billing, meter.period);
            let sum = usage.entry(key).or_default();
            sum.0 = sum.0.plus(units).map_err(|error| unpriced(error.into()))?;
            sum.1 = sum.1.plus(charge).map_err(out_of_range)?;
        }
    }
    let (mut lines, mut names) = (Vec::new(), Names::default());
    let (mut before, mut after) = (Money::ZERO, Money::ZERO);
    for ((product, billed, period), (units, charge)) in usage {
        let repriced = rates.charge(units).map_err(out_of_range)?;
        before = before.plus(charge).map_err(out_of_range)?;
        after = after.plus(repriced).map_err(out_of_range)?;
        lines.push(RepricedLine {
            product: names.product(&api, &organization, product).await?,
            billing_type: billing(billed),
            period: period.to_string(),
            units: units.to_string(),
            charge: charge.to_string(),
            repriced: repriced.to_string(),
            difference: repriced.minus(charge).map_err(out_of_range)?.to_string(),
        });
    }
    Ok(ok(&Repriced {
        developer: owner.email,
        currency_code: currency.to_string(),
        lines,
        charge: before.to_string(),
        repriced: after.to_string(),
        difference: after.minus(before).map_err(out_of_range)?.to_string(),
    }))
}

/// A developer's wallet with its lines.
async fn wallet(
    api: &Api,
    organization: &str,
    name: &str,
    code: &str,
    span: Span,
) -> Result<(Developer, Currency, Charges), ApiError> {
    let currency = money::currency("", code)?;
    let owner = developer(api, organization, name).await?;
    let charges = Charges::of(api, wallet_id(owner.id, currency), span).await?;
    let no_wallet =
        || ApiError::NoWallet { developer: owner.email.clone(), currency: currency.to_string() };
    let charges = charges.ok_or_else(no_wallet)?;
    Ok((owner, currency, charges))
}

/// Every meter whose period has days of the span, whole.
fn meters(lines: &[Line], span: Span) -> Result<Metered, ApiError> {
    let mut meters = Metered::new();
    let touches =
        |period: Period| Day::of(period.start()) < span.to && span.from < Day::of(period.end());
    for line in lines.iter().filter(|line| touches(line.meter.period)) {
        let (_, units, charge) = meters.entry(line.meter).or_default();
        *units = units.plus(line.units).map_err(|error| unpriced(error.into()))?;
        *charge = charge.plus(line.charge).map_err(out_of_range)?;
    }
    let mut last: Option<(Meter, Units)> = None;
    for (meter, (before, units, _)) in &mut meters {
        if let Some((other, total)) = last
            && other.is_same_line(meter)
        {
            *before = total;
        }
        let total = before.plus(*units).map_err(|error| unpriced(error.into()))?;
        last = Some((*meter, total));
    }
    Ok(meters)
}

/// The bands that units on top of others fall in, and what rounding adds.
fn bands(
    rates: &Rates,
    before: Units,
    units: Units,
    charge: Money,
) -> (Vec<ExplainedBand>, String) {
    let (mut from, end) = (before.nanos(), before.nanos() + units.nanos());
    let (mut bands, mut sum) = (Vec::new(), 0_i128);
    for (index, band) in rates.bands().iter().enumerate() {
        let to = band.up_to.map_or(end, |up_to| up_to.nanos().min(end));
        let within = to.saturating_sub(from);
        if within == 0 {
            continue;
        }
        // Both are below 2^97, and the charge that they are a part of is in range.
        let amount = i128::try_from(within).unwrap_or(i128::MAX).saturating_mul(band.price.nanos());
        bands.push(ExplainedBand {
            part: format!("band {}", index + 1),
            units: Units::from_nanos(within).unwrap_or(Units::MAX).to_string(),
            price: band.price.to_string(),
            amount: exact(amount),
        });
        (from, sum) = (to, sum.saturating_add(amount));
    }
    (bands, exact(charge.nanos().saturating_mul(EXACT_NANO).saturating_sub(sum)))
}

/// A decimal of up to 18 places.
fn exact(amount: i128) -> String {
    let (whole, rest) = (amount.unsigned_abs() / EXACT, amount.unsigned_abs() % EXACT);
    let places = format!("{rest:018}");
    let places = places.trim_end_matches('0');
    let sign = if amount < 0 { "-" } else { "" };
    let point = if places.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{places}")
}

/// The prices that usage is priced under.
async fn asked_rates(
    api: &Api,
    organization: &str,
    input: RepriceInput,
    currency: Currency,
) -> Result<Arc<Rates>, ApiError> {
    let other = |found: Option<Currency>| {
        let reason = format!("is not in {currency}, the currency of the wallet");
        match found {
            Some(found) if found != currency => Err(ApiError::invalid("plan", reason)),
            Some(_) | None => Ok(()),
        }
    };
    match (input.rate_plan, input.plan) {
        (Some(named), None) => {
            let product: Product = api.catalogue.product(organization, &named.apiproduct).await?;
            let plan = product.plans.iter().find(|plan| plan.id.to_string() == named.name);
            let unpublished = || ApiError::invalid("ratePlan", "is no plan that was published");
            let plan = plan.filter(|plan| plan.revision > 0).ok_or_else(unpublished)?;
            other(plan.terms.currency)?;
            Ok(api.catalogue.rates_of(plan.id, plan.revision).await?)
        }
        (None, Some(plan)) => {
            let product = plan.product().unwrap_or_default().to_owned();
            let terms = plan.terms(&product)?;
            other(terms.currency)?;
            let none = || ApiError::invalid("plan", "has no consumptionPricingRates");
            terms.prices()?.map(Arc::new).ok_or_else(none)
        }
        (None, None) => Err(query_error("ratePlan", "or a plan is required in the body")),
        (Some(_), Some(_)) => Err(ApiError::invalid("plan", "excludes ratePlan")),
    }
}

fn unpriced(error: RatingError) -> ApiError {
    ApiError::Booking(BookingError::Rating(error))
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let owner = "/v1/organizations/{organization}/developers/{developer}";
    let spanned = |describing: crate::openapi::Describing<'_>| {
        describing
            .text("from", "The first day, YYYY-MM-DD in UTC; whole periods count.")
            .text("to", "The first day after it.")
            .text("month", "A month in place of both, YYYY-MM; the current one by default.");
    };
    let why = "Explains charges as plan revision, units and bands";
    let explain = paths.get(&format!("{owner}/explain/{{currency}}"), why);
    spanned(explain.text("product", "Only charges of this one.").answers::<Explained>(200));
    let what_if = "Prices usage under another plan; changes nothing";
    let reprice = paths.post(&format!("{owner}/reprice/{{currency}}"), what_if);
    spanned(reprice.takes::<RepriceInput>().answers::<Repriced>(200));
}

#[cfg(test)]
mod tests {
    use tollgate_metering::rating::Band;

    use super::*;

    #[test]
    fn bands_and_rounding_are_the_charge() {
        let band = |end: Option<&str>, price: &str| Band {
            up_to: end.map(|end| end.parse().unwrap()),
            price: price.parse().unwrap(),
        };
        let rates = Rates::banded(vec![band(Some("10"), "0"), band(None, "0.000000003")]).unwrap();
        let (before, units) = ("9".parse().unwrap(), "1.5".parse().unwrap());
        let charge = rates.marginal(before, units).unwrap();
        let (told, rounding) = bands(&rates, before, units, charge);
        let told: Vec<_> =
            told.iter().map(|band| (&*band.part, &*band.units, &*band.amount)).collect();
        assert_eq!(told, [("band 1", "1", "0"), ("band 2", "0.5", "0.0000000015")]);
        assert_eq!(
            (charge.to_string().as_str(), rounding.as_str()),
            ("0.000000002", "0.0000000005")
        );
        assert_eq!(exact(-1_500_000_000_000_000_000), "-1.5");
    }
}
