//! `…/developers`, their `developer-balances`, and `suspended-developers`.
//!
//! Edge keeps two counters, of which the difference is what is left. Here both are views of the
//! ledger: `amount` is what was paid in, `usage` what of it is gone, and `amount − usage` is the
//! balance that Apigee X shows. A correction is a change of `usage`.

use std::collections::BTreeMap;

use axum::extract::State;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use tollgate_ledger_store::book::Standing;
use tollgate_ledger_store::catalogue::CallerPlan;
use tollgate_ledger_store::catalogue::owners::OwnerKind;
use tollgate_ledger_store::catalogue::records::{Developer, Product};
use tollgate_metering::booking::Booking;
use tollgate_metering::{BillingType, Currency, Money};

use super::date;
use super::decimal::{self, Decimal, Number};
use super::query::{List, Terms};
use super::shapes::{CurrencyShape, DeveloperShape, Reference, TransactionShape};
use super::usage;
use crate::error::ApiError;
use crate::extract::{At, Json};
use crate::permission::may;
use crate::router::{Api, ok};
use crate::routes::booking::{self, Asked};
use crate::routes::{Answer, balances, developer};

/// Developers that one answer of `suspended-developers` looks at.
const SUSPENDED_MAX: usize = 10_000;

/// A top-up.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TopUpInput {
    amount: Option<Decimal>,
    supported_currency: Option<Reference>,
}

/// A balance.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BalanceShape {
    id: String,
    amount: Number,
    usage: Number,
    charge_per_usage: bool,
    is_recurring: bool,
    supported_currency: CurrencyShape,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<TransactionShape>,
}

/// Why a developer's calls of a product are refused now.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SuspendedShape {
    id: String,
    dev_id: String,
    prod_id: String,
    org_id: String,
    creation_date: i64,
    message: String,
    reason_code: &'static str,
}

/// Lists of these.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
struct BalanceList {
    #[serde(rename = "developerBalance")]
    _developer_balance: Vec<BalanceShape>,
    #[serde(rename = "totalRecords")]
    _total_records: u64,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DeveloperList {
    #[serde(rename = "developer")]
    _developer: Vec<DeveloperShape>,
    #[serde(rename = "totalRecords")]
    _total_records: u64,
}

pub(crate) async fn list(
    State(api): State<Api>,
    _: may::DevelopersRead,
    At(organization): At<String>,
    query: Terms,
) -> Answer {
    let (first, size) = query.wanted()?;
    let page = api.catalogue.owners_at(OwnerKind::Developers, &organization, first, size).await?;
    let shapes = page.owners.iter().map(DeveloperShape::of).collect();
    Ok(ok(&List::of("developer", shapes, page.total)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::DevelopersRead,
    At((organization, name)): At<(String, String)>,
) -> Answer {
    Ok(ok(&DeveloperShape::of(&developer(&api, &organization, &name).await?)))
}

/// `POST …/developer-balances`: a top-up.
pub(crate) async fn top_up(
    State(api): State<Api>,
    may::BalancesCredit(by): may::BalancesCredit,
    At((organization, name)): At<(String, String)>,
    query: Terms,
    headers: HeaderMap,
    Json(input): Json<TopUpInput>,
) -> Answer {
    query.only(&[])?;
    let amount = input.amount.ok_or_else(|| ApiError::invalid("amount", "is required"))?;
    let amount = amount.money("amount")?;
    let currency = input.supported_currency.map(|currency| currency.id).unwrap_or_default();
    let currency = decimal::currency("supportedCurrency", &currency)?;
    let id = balances::idempotency_key(&headers)?;
    let owner = developer(&api, &organization, &name).await?;
    // What is paid in now must not be moved with what was left at a switch of the billing type.
    booking::finish_switch(&api, &organization, &owner).await;
    let asked = Asked {
        amount_field: "amount",
        id_field: balances::IDEMPOTENCY_KEY_NAME,
        owner: &owner,
        currency,
        amount,
        booking: Booking {
            id,
            at: api.clock.now(),
            by: by.name,
            reason: "top-up".to_owned(),
            is_forced: false,
        },
    };
    booking::credit(&api, &organization, &asked).await?;
    let standing = standing(&api, &owner, currency).await;
    let standing = standing.map_err(|error| ApiError::Unknown {
        ask_again: asked.ask_again(),
        source: Some(Box::new(error)),
    })?;
    let time = date::write(asked.booking.at);
    let transaction = TransactionShape {
        id: asked.booking.id.clone(),
        kind: "PROVIDER_AUDIT",
        status: "SUCCESS",
        batch_size: None,
        rated_volume: None,
        rate: Some(amount.into()),
        custom: BTreeMap::new(),
        currency: CurrencyShape::of(currency),
        application: None,
        developer: DeveloperShape::of(&owner),
        product: None,
        rate_plan: None,
        is_virtual_currency: false,
        start_time: time.clone(),
        end_time: time.clone(),
        utc_start_time: time.clone(),
        utc_end_time: time,
        notes: asked.booking.reason.clone(),
    };
    Ok(ok(&BalanceShape::of(&standing, Some(transaction))?))
}

pub(crate) async fn balances(
    State(api): State<Api>,
    _: may::BalancesRead,
    At((organization, name)): At<(String, String)>,
    query: Terms,
) -> Answer {
    let owner = developer(&api, &organization, &name).await?;
    let only = query.get("currencyId").map(|id| decimal::currency("currencyId", id)).transpose()?;
    let mut headers = api.ledger.wallets_of(owner.id).await?;
    headers.sort_by_key(|header| header.currency);
    let mut shapes = Vec::with_capacity(headers.len());
    for header in headers.iter().filter(|it| only.is_none_or(|only| it.currency == only)) {
        shapes.push(BalanceShape::of(&standing(&api, &owner, header.currency).await?, None)?);
    }
    Ok(ok(&query.list("developerBalance", shapes)?))
}

/// Everybody whose calls are refused now, a row for each product. Pages are of developers, also
/// of those who are not.
pub(crate) async fn suspended(
    State(api): State<Api>,
    _: may::DevelopersRead,
    At(organization): At<String>,
    query: Terms,
) -> Answer {
    let mut rows = Vec::new();
    let (first, size) = query.page(SUSPENDED_MAX)?;
    let page = api.catalogue.owners_at(OwnerKind::Developers, &organization, first, size).await?;
    if !query.is_paged() && page.total > SUSPENDED_MAX {
        let what = "developers, unless page and size are given";
        return Err(ApiError::TooMuch { what, most: SUSPENDED_MAX });
    }
    let products = api.catalogue.products(&organization, None, usize::MAX).await?;
    for owner in &page.owners {
        rows.extend(suspensions(&api, &organization, owner, &products).await?);
    }
    Ok(ok(&rows))
}

pub(crate) async fn suspended_one(
    State(api): State<Api>,
    _: may::DevelopersRead,
    At((organization, name)): At<(String, String)>,
) -> Answer {
    let owner = developer(&api, &organization, &name).await?;
    let products = api.catalogue.products(&organization, None, usize::MAX).await?;
    Ok(ok(&suspensions(&api, &organization, &owner, &products).await?))
}

/// Derived from what there is now: nothing is kept that could be out of date.
async fn suspensions(
    api: &Api,
    organization: &str,
    owner: &Developer,
    products: &[Product],
) -> Result<Vec<SuspendedShape>, ApiError> {
    let now = api.clock.now();
    let mut rows = Vec::new();
    let held = api.catalogue.subscriptions(organization, owner.id).await?;
    let is_held = |product: &&Product| {
        held.iter().any(|held| held.product == product.id && held.window.contains(now))
    };
    for product in products.iter().filter(is_held) {
        let Some(plan) = api.catalogue.plan_in_force(organization, owner, product, now).await?
        else {
            continue;
        };
        let reason = if owner.is_active {
            refusal(api, owner, product, &plan).await?
        } else {
            Some(("NO_CURRENT_PUBLISHABLE_ENTITY", "developer is inactive".to_owned()))
        };
        let Some((reason_code, message)) = reason else { continue };
        let email = &owner.email;
        rows.push(SuspendedShape {
            id: format!("{organization}-{}-{}-null-{reason_code}", owner.id, product.name),
            dev_id: format!("{organization}@@@{email}"),
            prod_id: format!("{organization}@@@{}", product.name),
            org_id: organization.to_owned(),
            creation_date: now.0,
            message,
            reason_code,
        });
    }
    Ok(rows)
}

/// Why calls are refused for money, or for a last band that is full.
async fn refusal(
    api: &Api,
    owner: &Developer,
    product: &Product,
    plan: &CallerPlan,
) -> Result<Option<(&'static str, String)>, ApiError> {
    if plan.is_shadow {
        return Ok(None);
    }
    let currency = plan.currency;
    let lacks = |balance: Money| ("INSUFFICIENT_FUNDS", format!("balance is {balance} {currency}"));
    let standing = match standing(api, owner, currency).await {
        Ok(standing) => standing,
        Err(ApiError::NoWallet { .. }) => {
            return Ok((owner.billing == BillingType::Prepaid).then(|| lacks(Money::ZERO)));
        }
        Err(error) => return Err(error),
    };
    if let Some(most) = plan.rates.units_max()
        && usage::counted(&standing, product.id, plan.plan, api.clock.now())? >= most
    {
        let message = format!("the last band of the rate plan ends at {most} units");
        return Ok(Some(("RATE_PLAN_RATE_BAND_EXCEEDED", message)));
    }
    let floor = standing.read.account.header.overdraft_limit.negated();
    Ok(match owner.billing {
        BillingType::Prepaid => (standing.balance <= floor).then(|| lacks(standing.balance)),
        BillingType::Postpaid | BillingType::Shadow | BillingType::ShadowRefused => None,
    })
}

/// The wallet and its balance.
pub(crate) async fn standing(
    api: &Api,
    owner: &Developer,
    currency: Currency,
) -> Result<Standing, ApiError> {
    let wallet = tollgate_ledger_store::catalogue::wallet_id(owner.id, currency);
    let found = api.book.standing(wallet).await;
    found.map_err(|error| booking::error(error, "amount", owner, currency))
}

// === impl BalanceShape ===

impl BalanceShape {
    fn of(
        standing: &Standing,
        transaction: Option<TransactionShape>,
    ) -> Result<BalanceShape, ApiError> {
        let header = &standing.read.account.header;
        let usage = header
            .credited
            .minus(standing.balance)
            .map_err(|error| ApiError::OutOfRange { field: "usage", reason: error.to_string() })?;
        Ok(BalanceShape {
            id: header.wallet.to_string(),
            amount: header.credited.into(),
            usage: usage.into(),
            charge_per_usage: false,
            is_recurring: false,
            supported_currency: CurrencyShape::of(header.currency),
            transaction,
        })
    }
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let at = "/v1/mint/organizations/{organization}";
    let one = &format!("{at}/developers/{{developer}}");
    paths.get(&format!("{at}/developers"), "Lists developers").answers::<DeveloperList>(200);
    paths.get(one, "Reads a developer").answers::<DeveloperShape>(200);
    paths
        .get(&format!("{one}/developer-balances"), "Reads the balances of a developer")
        .text("currencyId", "Only this currency.")
        .answers::<BalanceList>(200);
    paths
        .post(&format!("{one}/developer-balances"), "Tops a balance up")
        .header(
            balances::IDEMPOTENCY_KEY_NAME,
            "Names the top-up, so that repeating it books it once.",
            serde_json::json!({ "type": "string", "pattern": "^[!-~]{1,200}$" }),
        )
        .takes::<TopUpInput>()
        .example(serde_json::json!({ "amount": 1000, "supportedCurrency": { "id": "usd" } }))
        .answers::<BalanceShape>(200);
    paths
        .get(&format!("{at}/suspended-developers"), "Lists developers whose calls are refused")
        .text("page", "Which page of developers, from 1 on.")
        .text("size", "Developers of a page.")
        .answers::<Vec<SuspendedShape>>(200);
    paths
        .get(&format!("{at}/suspended-developers/{{developer}}"), "Says why calls are refused")
        .answers::<Vec<SuspendedShape>>(200);
}
