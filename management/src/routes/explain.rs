//! `…/explain/{currency}` and `…/reprice/{currency}`: why a charge is what it is, and what it would
//! have been under another plan. Nothing is changed by either.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use tollgate_ledger_store::catalogue::records::{Developer, Product};
use tollgate_ledger_store::catalogue::wallet_id;
use tollgate_ledger_store::charges::Charges;
use tollgate_metering::booking::BookingError;
use tollgate_metering::lines::{Day, Line};
use tollgate_metering::rating::{self, RatingError};
use tollgate_metering::{BillingType, Currency, Meter, Money, Period, ProductId, Rates, Units};

use super::reports::{out_of_range, query_error};
use super::{Answer, developer};
use crate::charges::{self, Names};
use crate::error::ApiError;
use crate::extract::{At, Json, Parameters};
use crate::permission::may;
use crate::router::{Api, ok};
use crate::shapes::money;
use crate::shapes::plans;
use crate::shapes::reports::{
    Explained, ExplainedBand, ExplainedCharge, RepriceInput, Repriced, RepricedLine, billing,
};
use crate::span::{self, Span};

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
        // What would have been refused has no charge.
        let is_charged = meter.billing != BillingType::ShadowRefused;
        if !is_charged || only.is_some_and(|only| only != meter.product) {
            continue;
        }
        let rates = charges.rates.rates(meter.plan, meter.revision).map_err(unpriced)?;
        let (bands, rounding) = bands(rates, before, units, charge)?;
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
        let is_charged = meter.billing != BillingType::ShadowRefused;
        if is_charged && only.is_none_or(|only| only == meter.product) {
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
        let (bands, rounding) = bands(&rates, Units::ZERO, units, repriced)?;
        // What nobody pays is priced in its line, and in no sum.
        if !billed.is_shadow() {
            before = before.plus(charge).map_err(out_of_range)?;
            after = after.plus(repriced).map_err(out_of_range)?;
        }
        lines.push(RepricedLine {
            product: names.product(&api, &organization, product).await?,
            billing_type: billing(billed),
            period: period.to_string(),
            units: units.to_string(),
            charge: charge.to_string(),
            bands,
            rounding,
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
    let charges = charges::of(api, wallet_id(owner.id, currency), span).await?;
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

/// The lines of units on top of others, and what rounding adds: together the charge of the ledger.
fn bands(
    rates: &Rates,
    before: Units,
    units: Units,
    charge: Money,
) -> Result<(Vec<ExplainedBand>, String), ApiError> {
    let explanation = rates.explain(before, units).map_err(unpriced)?;
    let mut bands: Vec<ExplainedBand> = explanation.lines.iter().map(band).collect();
    let closed = charge.minus(explanation.charge).map_err(out_of_range)?;
    if !closed.is_zero() {
        let (part, none) = ("closed otherwise".to_owned(), Units::ZERO.to_string());
        let price = Money::ZERO.to_string();
        bands.push(ExplainedBand { part, units: none, price, amount: closed.to_string() });
    }
    Ok((bands, explanation.rounding.to_string()))
}

fn band(line: &rating::Line) -> ExplainedBand {
    let (units, price) = (line.units.to_string(), line.price.to_string());
    ExplainedBand { part: line.part.to_string(), units, price, amount: line.amount.to_string() }
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
            let plan = product
                .plans
                .iter()
                .find(|plan| plan.id.to_string() == named.name || plans::name(plan) == named.name);
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
    use tollgate_metering::rating::{Band, Model};

    use super::*;

    fn rates(model: Model, free: &str, bands: &[(Option<&str>, &str)]) -> Rates {
        let band = |(end, price): &(Option<&str>, &str)| Band {
            up_to: end.map(|end| end.parse().unwrap()),
            price: price.parse().unwrap(),
        };
        Rates::new(model, bands.iter().map(band).collect(), free.parse().unwrap()).unwrap()
    }

    #[test]
    fn each_model_names_what_was_charged() {
        let bands = [(Some("10"), "3"), (Some("20"), "2"), (None, "1")];
        let check = |model, free: &str, before: &str, units: &str, want: &[[&str; 3]]| {
            let rates = rates(model, free, &bands);
            let (before, units) = (before.parse().unwrap(), units.parse().unwrap());
            let charge = rates.marginal(before, units).unwrap();
            let (told, rounding) = super::bands(&rates, before, units, charge).unwrap();
            let told: Vec<_> =
                told.iter().map(|band| [&*band.part, &*band.units, &*band.amount]).collect();
            assert_eq!((&told[..], &*rounding), (want, "0"), "{model:?} {before} {units}");
        };
        let banded = [["free", "5", "0"], ["band 1", "10", "30"], ["band 2", "2", "4"]];
        check(Model::Marginal, "5", "0", "17", &banded);
        let entered = [["free", "1", "0"], ["step 1", "10", "3"], ["step 2", "6", "2"]];
        check(Model::Stairs, "5", "4", "17", &entered);
        check(Model::Stairs, "5", "9", "16", &[["step 1", "6", "0"], ["step 2", "10", "2"]]);
        let capped = ["discounted in tier 2", "2", "0"];
        let tiered = [["tier 1", "10", "30"], capped, ["charged before", "4", "-12"]];
        check(Model::Tiered, "0", "4", "8", &tiered);
        check(Model::Tiered, "2", "0", "22", &[["free", "2", "0"], ["tier 2", "20", "40"]]);
    }

    #[test]
    fn lines_and_rounding_are_the_charge_of_the_ledger() {
        let rates = rates(Model::Marginal, "0", &[(Some("10"), "0"), (None, "0.000000003")]);
        let (before, units) = ("9".parse().unwrap(), "1.5".parse().unwrap());
        let check = |charge: &str, want: &[(&str, &str, &str)]| {
            let (told, rounding) = bands(&rates, before, units, charge.parse().unwrap()).unwrap();
            let told: Vec<_> =
                told.iter().map(|band| (&*band.part, &*band.units, &*band.amount)).collect();
            assert_eq!((&told[..], &*rounding), (want, "0.0000000005"));
        };
        let priced = [("band 1", "1", "0"), ("band 2", "0.5", "0.0000000015")];
        check("0.000000002", &priced);
        // A month that was closed before its other revisions were known keeps its charge.
        check("0.000000001", &[&priced[..], &[("closed otherwise", "0", "-0.000000001")]].concat());
    }
}
