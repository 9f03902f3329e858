//! `…/reports/charges` and `…/statements/{currency}`: where the money went, to the nano.
//!
//! Sums over lines equal the ledger's because lines are its charges, split (`metering::lines`).
//! Bounds: wallets of a page, [`LINES_MAX`] lines an answer. Not here: why a charge is what it is
//! (`explain`).

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use tollgate_ledger_store::catalogue::wallet_id;
use tollgate_ledger_store::charges::booked;
use tollgate_metering::booking::BookingError;
use tollgate_metering::lines::{Day, Kind, Line};
use tollgate_metering::{
    AppId, BillingType, Currency, DeveloperId, Entry, Money, PlanId, ProductId, Units, UnitsError,
    WalletId,
};

use super::{Answer, developer};
use crate::charges::{self, Names};
use crate::error::ApiError;
use crate::extract::{At, Parameters};
use crate::permission::may;
use crate::router::{Api, ok};
use crate::shapes::money;
use crate::shapes::reports::{
    ChargesReport, LineShape, Statement, StatementSums, TotalShape, UNATTRIBUTED, billing,
};
use crate::span::{self, Span};

/// Lines of one answer.
const LINES_MAX: usize = 50_000;
/// Names the wallet that the next page of a CSV file begins after.
const NEXT_START_KEY: &str = "tollgate-next-start-key";
/// Words of `groupBy`.
const GROUPS: [&str; 6] = ["developer", "app", "product", "plan", "revision", "day"];

/// What lines are told apart by.
#[derive(Clone, Copy, Debug, Default)]
struct Groups {
    developer: bool,
    app: bool,
    product: bool,
    plan: bool,
    revision: bool,
    day: bool,
}

/// The name of a group of lines, in the order that they are shown in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    currency: Currency,
    owner: Option<DeveloperId>,
    day: Option<Day>,
    kind: &'static str,
    billing: BillingType,
    product: Option<ProductId>,
    plan: Option<PlanId>,
    revision: Option<u32>,
    app: Option<AppOf>,
}

/// An app, with whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct AppOf(Option<(AppId, DeveloperId)>);

/// What a group adds up to.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    units: Option<Units>,
    amount: Money,
    change: Money,
}

type Sums = BTreeMap<Key, Sum>;

pub(crate) async fn charges(
    State(api): State<Api>,
    _: may::ReportsRead,
    At(organization): At<String>,
    query: Parameters,
) -> Answer {
    let (span, groups, is_csv) = asked(&api, &query, &["count", "startKey"])?;
    let page = query.page()?;
    api.catalogue.organization(&organization).await?;
    let after = page.start.as_deref().map(str::parse::<WalletId>).transpose();
    let after = after.map_err(|_| query_error("startKey", "is not the key of a page"))?;
    let (wallets, next) = charges::wallets_of(&api, &organization, after, page.count).await?;
    let mut sums = Sums::new();
    for wallet in wallets {
        add_wallet(&api, wallet, span, groups, &mut sums).await?;
    }
    answer(&api, &organization, (span, is_csv), sums, next).await
}

pub(crate) async fn charges_of(
    State(api): State<Api>,
    _: may::ReportsRead,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    let (span, groups, is_csv) = asked(&api, &query, &[])?;
    let owner = developer(&api, &organization, &name).await?;
    let mut sums = Sums::new();
    for header in api.ledger.wallets_of(owner.id).await? {
        add_wallet(&api, header.wallet, span, groups, &mut sums).await?;
    }
    answer(&api, &organization, (span, is_csv), sums, None).await
}

pub(crate) async fn statement(
    State(api): State<Api>,
    _: may::ReportsRead,
    At((organization, name, code)): At<(String, String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[&span::PARAMETERS[..], &["format"]].concat())?;
    let (span, is_csv) = (Span::of(&query, api.clock.now())?, is_csv(&query)?);
    let currency = money::currency("", &code)?;
    let owner = developer(&api, &organization, &name).await?;
    let wallet = wallet_id(owner.id, currency);
    let no_wallet =
        || ApiError::NoWallet { developer: owner.email.clone(), currency: currency.to_string() };
    let charges = charges::of(&api, wallet, span).await?.ok_or_else(no_wallet)?;
    let today = Day::of(api.clock.now());
    let (mut opening, mut closing) = (Money::ZERO, Money::ZERO);
    let mut parts = [Money::ZERO; 8];
    let mut refused = Units::ZERO;
    let mut lines = Vec::new();
    let mut entries: Vec<&Entry> = charges.entries.iter().collect();
    entries.sort_by_key(|entry| (entry.at, &entry.id));
    for entry in entries {
        let Some((kind, billed, change)) = booked(entry) else { continue };
        let day = Day::of(entry.at).min(today);
        add_before(day, span, change, &mut opening, &mut closing)?;
        if span.has(day) {
            let part =
                ["credit", "adjustment", "fee", "conversion"].iter().position(|each| *each == kind);
            if let Some(part) = part {
                parts[part] = parts[part].plus(change).map_err(out_of_range)?;
            }
            if billed.is_shadow() {
                parts[7] = parts[7].plus(entry.amount).map_err(out_of_range)?;
            }
            lines.push(entry_line(entry, (kind, billed, change), day, currency));
        }
    }
    let all = Groups { product: true, plan: true, revision: true, ..Groups::default() };
    let (mut sums, mut names) = (BTreeMap::new(), Names::default());
    for line in &charges.lines {
        let (_, change) = effect(line);
        add_before(line.day, span, change, &mut opening, &mut closing)?;
        if span.has(line.day) {
            let part = match (line.meter.billing, line.kind) {
                (BillingType::Prepaid, Kind::Usage) => 4,
                (BillingType::Prepaid, Kind::Late | Kind::Rebanded) => 5,
                (BillingType::Postpaid, _) => 6,
                (BillingType::Shadow | BillingType::ShadowRefused, _) => 7,
            };
            let amount = if part >= 6 { line.charge } else { change };
            if line.meter.billing == BillingType::ShadowRefused {
                refused = refused.plus(line.units).map_err(too_many)?;
            }
            parts[part] = parts[part].plus(amount).map_err(out_of_range)?;
            let key = (line.meter.period, key(line, owner.id, currency, all));
            add(&mut sums, key, line)?;
        }
    }
    for ((period, key), sum) in sums {
        let mut line = shape(&api, &organization, &mut names, &key, sum).await?;
        line.period = Some(period.to_string());
        lines.push(line);
    }
    let [credits, adjustments, fees, conversions, usage, late, postpaid, shadow] =
        parts.map(|part| part.to_string());
    let told = Statement {
        developer: owner.email,
        currency_code: currency.to_string(),
        from: span::text(span.from),
        to: span::text(span.to),
        opening: opening.to_string(),
        lines,
        sums: StatementSums {
            credits,
            adjustments,
            fees,
            conversions,
            charges: usage,
            late_charges: late,
            postpaid_charges: postpaid,
            shadow_charges: shadow,
            shadow_refused_units: refused.to_string(),
        },
        closing: closing.to_string(),
    };
    // Where the last day is not over, nothing is of a later one.
    debug_assert!(span.to <= today || closing == charges.balance);
    Ok(if is_csv { told.into_csv() } else { ok(&told) })
}

/// Adds what happened before a span, and until its end.
fn add_before(
    day: Day,
    span: Span,
    change: Money,
    opening: &mut Money,
    closing: &mut Money,
) -> Result<(), ApiError> {
    if day < span.from {
        *opening = opening.plus(change).map_err(out_of_range)?;
    }
    if day < span.to {
        *closing = closing.plus(change).map_err(out_of_range)?;
    }
    Ok(())
}

fn entry_line(
    entry: &Entry,
    (kind, billed, change): (&'static str, BillingType, Money),
    day: Day,
    currency: Currency,
) -> LineShape {
    LineShape {
        kind,
        currency_code: currency.to_string(),
        billing_type: billing(billed),
        day: Some(span::text(day)),
        id: Some(entry.id.clone()),
        by: Some(entry.by.clone()),
        reason: Some(entry.reason.clone()).filter(|reason| !reason.is_empty()),
        amount: entry.amount.to_string(),
        balance_change: change.to_string(),
        ..LineShape::default()
    }
}

fn asked(api: &Api, query: &Parameters, more: &[&str]) -> Result<(Span, Groups, bool), ApiError> {
    query.only(&[&span::PARAMETERS[..], &["groupBy", "format"], more].concat())?;
    let span = Span::of(query, api.clock.now())?;
    let mut groups = Groups::default();
    for word in query.get("groupBy").into_iter().flat_map(|words| words.split(',')) {
        match word.trim() {
            "developer" => groups.developer = true,
            "app" => groups.app = true,
            "product" => groups.product = true,
            "plan" => groups.plan = true,
            "revision" => (groups.plan, groups.revision) = (true, true),
            "day" => groups.day = true,
            _ => return Err(query_error("groupBy", &format!("takes {}", GROUPS.join(", ")))),
        }
    }
    Ok((span, groups, is_csv(query)?))
}

fn is_csv(query: &Parameters) -> Result<bool, ApiError> {
    match query.get("format") {
        None | Some("json") => Ok(false),
        Some("csv") => Ok(true),
        Some(_) => Err(query_error("format", "must be json or csv")),
    }
}

/// Adds the lines and entries of one wallet.
async fn add_wallet(
    api: &Api,
    wallet: WalletId,
    span: Span,
    groups: Groups,
    sums: &mut Sums,
) -> Result<(), ApiError> {
    let Some(charges) = charges::of(api, wallet, span).await? else { return Ok(()) };
    let (header, today) = (&charges.read.account.header, Day::of(api.clock.now()));
    for line in charges.lines.iter().filter(|line| span.has(line.day)) {
        add(sums, key(line, header.developer, header.currency, groups), line)?;
    }
    for entry in &charges.entries {
        let day = Day::of(entry.at).min(today);
        let booked = booked(entry).filter(|_| span.has(day));
        let Some((kind, billed, change)) = booked else { continue };
        let key = Key {
            currency: header.currency,
            owner: groups.developer.then_some(header.developer),
            day: groups.day.then_some(day),
            kind,
            billing: billed,
            product: None,
            plan: None,
            revision: None,
            app: None,
        };
        let sum = sums.entry(key).or_default();
        sum.amount = sum.amount.plus(entry.amount).map_err(out_of_range)?;
        sum.change = sum.change.plus(change).map_err(out_of_range)?;
    }
    if sums.len() > LINES_MAX {
        return Err(ApiError::TooMuch { what: "lines", most: LINES_MAX });
    }
    Ok(())
}

fn key(line: &Line, owner: DeveloperId, currency: Currency, groups: Groups) -> Key {
    let meter = &line.meter;
    Key {
        currency,
        owner: groups.developer.then_some(owner),
        day: groups.day.then_some(line.day),
        kind: effect(line).0,
        billing: meter.billing,
        product: groups.product.then_some(meter.product),
        plan: groups.plan.then_some(meter.plan),
        revision: groups.revision.then_some(meter.revision),
        app: groups.app.then(|| AppOf(line.app.map(|app| (app, owner)))),
    }
}

fn add<K: Ord>(sums: &mut BTreeMap<K, Sum>, key: K, line: &Line) -> Result<(), ApiError> {
    let sum = sums.entry(key).or_default();
    sum.units = Some(sum.units.unwrap_or_default().plus(line.units).map_err(too_many)?);
    sum.amount = sum.amount.plus(line.charge).map_err(out_of_range)?;
    sum.change = sum.change.plus(effect(line).1).map_err(out_of_range)?;
    Ok(())
}

/// What a line is called, and what it does to the balance.
pub(crate) fn effect(line: &Line) -> (&'static str, Money) {
    let kind = match line.kind {
        Kind::Usage => "usage",
        Kind::Late => "late",
        Kind::Rebanded => "rebanded",
    };
    match line.meter.billing {
        BillingType::Prepaid => (kind, line.charge.negated()),
        BillingType::Postpaid | BillingType::Shadow | BillingType::ShadowRefused => {
            (kind, Money::ZERO)
        }
    }
}

async fn shape(
    api: &Api,
    organization: &str,
    names: &mut Names,
    key: &Key,
    sum: Sum,
) -> Result<LineShape, ApiError> {
    let developer = match key.owner {
        Some(owner) => Some(names.developer(api, organization, owner).await?),
        None => None,
    };
    let product = match key.product {
        Some(product) => Some(names.product(api, organization, product).await?),
        None => None,
    };
    let app = match key.app {
        Some(AppOf(Some((app, owner)))) => Some(names.app(api, organization, owner, app).await?),
        Some(AppOf(None)) => Some(UNATTRIBUTED.to_owned()),
        None => None,
    };
    Ok(LineShape {
        kind: key.kind,
        currency_code: key.currency.to_string(),
        billing_type: billing(key.billing),
        developer,
        app,
        product,
        rate_plan: key.plan.map(|plan| plan.to_string()),
        revision: key.revision,
        day: key.day.map(span::text),
        units: sum.units.map(|units| units.to_string()),
        amount: sum.amount.to_string(),
        balance_change: sum.change.to_string(),
        ..LineShape::default()
    })
}

async fn answer(
    api: &Api,
    organization: &str,
    (span, is_csv): (Span, bool),
    sums: Sums,
    next: Option<WalletId>,
) -> Answer {
    let totals = totals(&sums)?;
    let (mut lines, mut names) = (Vec::with_capacity(sums.len()), Names::default());
    for (key, sum) in sums {
        lines.push(shape(api, organization, &mut names, &key, sum).await?);
    }
    let next_start_key = next.map(|wallet| wallet.to_string());
    let header = next_start_key.as_deref().map(HeaderValue::from_str).and_then(Result::ok);
    let (from, to) = (span::text(span.from), span::text(span.to));
    let report = ChargesReport { from, to, lines, totals, next_start_key };
    let mut response: Response = if is_csv { report.into_csv() } else { ok(&report) };
    if let Some(next) = header {
        response.headers_mut().insert(NEXT_START_KEY, next);
    }
    Ok(response)
}

fn totals(sums: &Sums) -> Result<Vec<TotalShape>, ApiError> {
    let mut totals: BTreeMap<Currency, ([Money; 5], Units)> = BTreeMap::new();
    for (key, sum) in sums {
        let (total, refused) = totals.entry(key.currency).or_default();
        if key.billing == BillingType::ShadowRefused {
            *refused = refused.plus(sum.units.unwrap_or_default()).map_err(too_many)?;
        }
        let part = match (key.billing, key.kind) {
            (BillingType::Shadow | BillingType::ShadowRefused, _) => Some(3),
            (BillingType::Postpaid, "usage" | "late" | "rebanded") => Some(2),
            (BillingType::Prepaid, "usage") => Some(0),
            (BillingType::Prepaid, "late" | "rebanded") => Some(1),
            (BillingType::Prepaid | BillingType::Postpaid, _) => None,
        };
        if let Some(part) = part {
            total[part] = total[part].plus(sum.amount).map_err(out_of_range)?;
        }
        total[4] = total[4].plus(sum.change).map_err(out_of_range)?;
    }
    let shape = |(currency, (total, refused)): (Currency, ([Money; 5], Units))| {
        let [charges, late_charges, postpaid_charges, shadow_charges, balance_change] =
            total.map(|sum| sum.to_string());
        TotalShape {
            currency_code: currency.to_string(),
            charges,
            late_charges,
            postpaid_charges,
            shadow_charges,
            shadow_refused_units: refused.to_string(),
            balance_change,
        }
    };
    Ok(totals.into_iter().map(shape).collect())
}

pub(crate) fn out_of_range(error: tollgate_metering::MoneyError) -> ApiError {
    ApiError::Booking(BookingError::Rating(error.into()))
}

fn too_many(error: UnitsError) -> ApiError {
    ApiError::Booking(BookingError::Rating(error.into()))
}

pub(super) fn query_error(name: &str, reason: &str) -> ApiError {
    ApiError::Query { name: name.to_owned(), reason: reason.to_owned() }
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let organization = "/v1/organizations/{organization}/reports/charges";
    let owner = "/v1/organizations/{organization}/developers/{developer}";
    let (of_all, of_one) = ("Charges of an organization", "Charges of a developer");
    let groups = "What lines are told apart by, separated by commas: developer, app, product, \
                  plan, revision, day.";
    let spanned = |describing: crate::openapi::Describing<'_>| {
        describing
            .text("from", "The first day, YYYY-MM-DD in UTC.")
            .text("to", "The first day after it.")
            .text("month", "A month in place of both, YYYY-MM; the current one by default.")
            .choice("format", &["json", "csv"], "JSON by default.")
            .or_csv();
    };
    let described = paths.get(organization, of_all).text("groupBy", groups).paged();
    spanned(described.answers::<ChargesReport>(200));
    let described = paths.get(&format!("{owner}/reports/charges"), of_one).text("groupBy", groups);
    spanned(described.answers::<ChargesReport>(200));
    let statement = &format!("{owner}/statements/{{currency}}");
    spanned(paths.get(statement, "The statement of a wallet").answers::<Statement>(200));
}
