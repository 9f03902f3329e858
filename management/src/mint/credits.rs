//! `…/real-currency-credit-transactions`: credits that take usage back.
//!
//! Edge books such a credit of a prepaid developer as less usage, so it is an adjustment here, and a
//! negative one undoes it.

use axum::extract::State;
use http::HeaderMap;
use serde::Serialize;
use tollgate_metering::booking::{AdjustmentCap, Booking};

use super::date;
use super::decimal::{self, Number};
use super::query::Terms;
use super::shapes::{CurrencyShape, DeveloperShape, Named};
use crate::error::ApiError;
use crate::extract::{At, Body};
use crate::permission::may;
use crate::router::{Api, created};
use crate::routes::booking::{self, Asked};
use crate::routes::{Answer, balances, developer};

/// What is asked for, all of it in the query.
const TERMS: [&str; 7] = [
    "billingMonth",
    "billingYear",
    "currencyId",
    "developerId",
    "transactionAmount",
    "transactionNote",
    "productId",
];

/// A credit in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreditShape {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    status: &'static str,
    rate: Number,
    currency: CurrencyShape,
    developer: DeveloperShape,
    rate_plan: Named,
    is_virtual_currency: bool,
    start_time: String,
    utc_start_time: String,
    notes: String,
}

pub(crate) async fn create(
    State(api): State<Api>,
    may::BalancesAdjust(by): may::BalancesAdjust,
    At((organization, package, plan)): At<(String, String, String)>,
    query: Terms,
    headers: HeaderMap,
    Body(_): Body,
) -> Answer {
    query.only(&TERMS)?;
    let month = date::month(query.required("billingMonth")?, query.required("billingYear")?)?;
    let currency = decimal::currency("currencyId", query.required("currencyId")?)?;
    let amount = decimal::amount("transactionAmount", query.required("transactionAmount")?)?;
    let owner = developer(&api, &organization, query.required("developerId")?).await?;
    let package = api.catalogue.package(&organization, &package).await?;
    let found = api.catalogue.package_plan(&organization, &plan).await?;
    if found.package != package.id {
        return Err(ApiError::invalid("ratePlan", "is of another package"));
    }
    if let Some(product) = query.get("productId") {
        api.catalogue.product(&organization, product).await?;
    }
    let asked = Asked {
        amount_field: "transactionAmount",
        id_field: balances::IDEMPOTENCY_KEY_NAME,
        owner: &owner,
        currency,
        amount: amount.negated(),
        booking: Booking {
            id: format!("credit/{}", balances::idempotency_key(&headers)?),
            at: api.clock.now(),
            by: by.name,
            reason: format!("credit for {month}: {}", query.get("transactionNote").unwrap_or("")),
            is_forced: false,
        },
    };
    booking::adjust(&api, AdjustmentCap::None, &asked).await?;
    let time = date::write(asked.booking.at);
    Ok(created(&CreditShape {
        id: asked.booking.id.trim_start_matches("credit/").to_owned(),
        kind: "CREDIT",
        status: "SUCCESS",
        rate: amount.into(),
        currency: CurrencyShape::of(currency),
        developer: DeveloperShape::of(&owner),
        rate_plan: Named::id(found.plan.name),
        is_virtual_currency: false,
        start_time: time.clone(),
        utc_start_time: time,
        notes: asked.booking.reason.clone(),
    }))
}

/// What the description of the API says of this path.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let at = "/v1/mint/organizations/{organization}/monetization-packages/{package}/rate-plans\
              /{plan}/real-currency-credit-transactions";
    paths
        .post(at, "Gives usage back; a negative amount undoes it")
        .text("billingMonth", "The month that it is for, as OCTOBER.")
        .required()
        .text("billingYear", "Its year.")
        .required()
        .text("currencyId", "The currency, as usd.")
        .required()
        .text("developerId", "Whom.")
        .required()
        .text("transactionAmount", "How much: a decimal.")
        .required()
        .text("transactionNote", "Why.")
        .text("productId", "For which product.")
        .answers::<CreditShape>(201);
}
