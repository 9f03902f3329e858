//! `…/prepaid-developer-balance`: a month of a developer's wallets, as the statement of the same
//! month tells it in its own words.

use axum::extract::State;
use serde::Serialize;
use tollgate_ledger_store::catalogue::wallet_id;
use tollgate_ledger_store::charges::{Charges, booked};
use tollgate_metering::lines::Day;
use tollgate_metering::{Currency, Money, MoneyError, Period};

use super::date;
use super::decimal::{self, Number};
use super::query::Terms;
use super::shapes::CurrencyShape;
use crate::charges;
use crate::extract::At;
use crate::permission::may;
use crate::router::{Api, ok};
use crate::routes::reports::{effect, out_of_range};
use crate::routes::{Answer, developer};
use crate::span::Span;

/// A month of one wallet.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MonthShape {
    id: String,
    month: &'static str,
    year: u32,
    supported_currency: CurrencyShape,
    /// The balance before the month.
    previous_balance: Number,
    /// What was paid in.
    topups: Number,
    /// What everything else took, corrections included.
    usage: Number,
    /// Taxes are not here: always zero.
    tax: Number,
    approx_tax_rate: Number,
    /// `usage` and `tax`.
    current_usage: Number,
    /// `previousBalance` and `topups`.
    current_total_balance: Number,
    /// What is left of it: the balance after the month.
    current_balance: Number,
}

/// A list of them.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MonthList {
    #[serde(rename = "developerBalance")]
    _developer_balance: Vec<MonthShape>,
    #[serde(rename = "totalRecords")]
    _total_records: u64,
}

/// What a month's postings add up to.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    before: Money,
    paid: Money,
    other: Money,
}

/// `GET …/prepaid-developer-balance?billingMonth=&billingYear=`.
pub(crate) async fn get(
    State(api): State<Api>,
    _: may::BalancesRead,
    At((organization, name)): At<(String, String)>,
    query: Terms,
) -> Answer {
    let month = date::month(query.required("billingMonth")?, query.required("billingYear")?)?;
    let only = query.get("supportedCurrencyId");
    let only = only.map(|id| decimal::currency("supportedCurrencyId", id)).transpose()?;
    let owner = developer(&api, &organization, &name).await?;
    let (span, today) = (Span::month(month), Day::of(api.clock.now()));
    let mut headers = api.ledger.wallets_of(owner.id).await?;
    headers.sort_by_key(|header| header.currency);
    let mut shapes = Vec::with_capacity(headers.len());
    for header in headers.iter().filter(|it| only.is_none_or(|only| it.currency == only)) {
        let wallet = wallet_id(owner.id, header.currency);
        let Some(charges) = charges::of(&api, wallet, span).await? else { continue };
        let sums = Sums::of(&charges, span, today).map_err(out_of_range)?;
        let shape = sums.shape(wallet.to_string(), header.currency, month).map_err(out_of_range)?;
        shapes.push(shape);
    }
    Ok(ok(&query.list("developerBalance", shapes)?))
}

// === impl Sums ===

impl Sums {
    fn of(charges: &Charges, span: Span, today: Day) -> Result<Sums, MoneyError> {
        let mut sums = Sums::default();
        for entry in &charges.entries {
            if let Some((kind, _, change)) = booked(entry) {
                sums.add(span, Day::of(entry.at).min(today), kind == "credit", change)?;
            }
        }
        for line in &charges.lines {
            sums.add(span, line.day, false, effect(line).1)?;
        }
        Ok(sums)
    }

    fn add(
        &mut self,
        span: Span,
        day: Day,
        is_paid: bool,
        change: Money,
    ) -> Result<(), MoneyError> {
        let part = match (day < span.from, span.has(day)) {
            (true, _) => &mut self.before,
            (false, true) if is_paid => &mut self.paid,
            (false, true) => &mut self.other,
            (false, false) => return Ok(()),
        };
        *part = part.plus(change)?;
        Ok(())
    }

    fn shape(
        self,
        id: String,
        currency: Currency,
        month: Period,
    ) -> Result<MonthShape, MoneyError> {
        let Sums { before, paid, other } = self;
        let total = before.plus(paid)?;
        let usage = other.negated();
        let (name, year) = date::month_name(month);
        Ok(MonthShape {
            id,
            month: name,
            year,
            supported_currency: CurrencyShape::of(currency),
            previous_balance: before.into(),
            topups: paid.into(),
            usage: usage.into(),
            tax: Money::ZERO.into(),
            approx_tax_rate: Money::ZERO.into(),
            current_usage: usage.into(),
            current_total_balance: total.into(),
            current_balance: total.plus(other)?.into(),
        })
    }
}

/// What the description of the API says of this path.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let at = "/v1/mint/organizations/{organization}/developers/{developer}\
              /prepaid-developer-balance";
    paths
        .get(at, "Reads a month of the balances of a developer")
        .text("billingMonth", "The month, as OCTOBER.")
        .required()
        .text("billingYear", "Its year.")
        .required()
        .text("supportedCurrencyId", "Only this currency.")
        .answers::<MonthList>(200);
}
