//! `…/developers/{developer}/balance`: read, credit, adjust, and the journal.

use std::collections::HashMap;

use axum::extract::State;
use http::{HeaderMap, HeaderName, HeaderValue};
use tollgate_ledger_store::book::BookError;
use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_metering::WalletId;
use tollgate_metering::booking::{AdjustmentCap, Booking};
use uuid::Uuid;

use super::booking::{self, Asked};
use super::{Answer, developer};
use crate::error::ApiError;
use crate::extract::{At, Json, Parameters};
use crate::permission::may;
use crate::router::{Api, ok};
use crate::shapes::balances::{
    AdjustInput, CreditInput, DeveloperBalance, EntryList, EntryShape, WalletShape,
};
use crate::shapes::money::MoneyInput;

/// Names an adjustment, so that it can be repeated safely. Answers carry it too.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The same name for people.
pub(crate) const IDEMPOTENCY_KEY_NAME: &str = "Idempotency-Key";

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::BalancesRead,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let owner = developer(&api, &organization, &name).await?;
    booking::finish_switch(&api, &organization, &owner).await;
    Ok(ok(&balance(&api, &owner).await?))
}

/// Several requests with one `transactionId` and amount count once; all are answered with the
/// balance as it is now.
pub(crate) async fn credit(
    State(api): State<Api>,
    may::BalancesCredit(by): may::BalancesCredit,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
    Json(input): Json<CreditInput>,
) -> Answer {
    query.only(&[])?;
    let amount = required(input.transaction_amount.as_ref(), "transactionAmount")?;
    let id = input.transaction_id.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| ApiError::invalid("transactionId", "is required"))?;
    let owner = developer(&api, &organization, &name).await?;
    booking::finish_switch(&api, &organization, &owner).await;
    let asked = Asked {
        amount_field: "transactionAmount",
        id_field: "transactionId",
        owner: &owner,
        currency: amount.required_currency("transactionAmount")?,
        amount: amount.amount("transactionAmount")?,
        booking: Booking {
            id,
            at: api.clock.now(),
            by: by.name,
            reason: input.reason.unwrap_or_default(),
            is_forced: false,
        },
    };
    booking::credit(&api, &organization, &asked).await?;
    Ok(ok(&balance_after(&api, &asked).await?))
}

/// A positive adjustment lowers the balance, a negative one raises it.
pub(crate) async fn adjust(
    State(api): State<Api>,
    may::BalancesAdjust(by): may::BalancesAdjust,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
    headers: HeaderMap,
    Json(input): Json<AdjustInput>,
) -> Answer {
    query.only(&["force"])?;
    let is_forced = query.flag("force")?;
    let amount = required(input.adjustment.as_ref(), "adjustment")?;
    let id = idempotency_key(&headers)?;
    let is_capped = api.catalogue.organization(&organization).await?.is_adjustment_capped;
    let cap = if is_capped { AdjustmentCap::LastCredit } else { AdjustmentCap::None };
    let owner = developer(&api, &organization, &name).await?;
    booking::finish_switch(&api, &organization, &owner).await;
    let asked = Asked {
        amount_field: "adjustment",
        id_field: IDEMPOTENCY_KEY_NAME,
        owner: &owner,
        currency: amount.required_currency("adjustment")?,
        amount: amount.amount("adjustment")?,
        booking: Booking {
            id: id.clone(),
            at: api.clock.now(),
            by: by.name,
            reason: input.reason.unwrap_or_default(),
            is_forced,
        },
    };
    booking::adjust(&api, cap, &asked).await?;
    let mut answer = ok(&balance_after(&api, &asked).await?);
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(IDEMPOTENCY_KEY, id);
    }
    Ok(answer)
}

/// The journal of a developer's wallets in order of id: Tollgate's own.
pub(crate) async fn entries(
    State(api): State<Api>,
    _: may::BalancesRead,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&["count", "startKey"])?;
    let page = query.page()?;
    let owner = developer(&api, &organization, &name).await?;
    let headers = api.ledger.wallets_of(owner.id).await?;
    let currencies: HashMap<WalletId, _> =
        headers.iter().map(|header| (header.wallet, header.currency)).collect();
    let found = api.ledger.entries(owner.id, page.start.as_deref(), page.count).await?;
    // Pages of the ledger begin after a key, so the next one begins after the last of this.
    let next_start_key =
        (found.len() == page.count).then(|| found.last().map(|entry| entry.id.clone())).flatten();
    let shape = |entry| Some(EntryShape::of(entry, *currencies.get(&entry.wallet)?));
    Ok(ok(&EntryList { entries: found.iter().filter_map(shape).collect(), next_start_key }))
}

/// All wallets of a developer, by currency.
async fn balance(api: &Api, owner: &Developer) -> Result<DeveloperBalance, ApiError> {
    let mut headers = api.ledger.wallets_of(owner.id).await?;
    headers.sort_by_key(|header| header.currency);
    let mut wallets = Vec::with_capacity(headers.len());
    for header in headers {
        let standing = api.book.standing(header.wallet).await.map_err(|error| match error {
            BookError::Ledger(error) => ApiError::from(error),
            BookError::Refused(refused) => ApiError::Booking(refused),
            other => ApiError::Standing(other),
        })?;
        wallets.push(WalletShape::of(&standing.read.account.header, standing.balance));
    }
    Ok(DeveloperBalance { wallets })
}

/// The wallets after a booking. Where they cannot be read now, the caller must not take the
/// booking for failed: repeating it under its id tells.
async fn balance_after(api: &Api, asked: &Asked<'_>) -> Result<DeveloperBalance, ApiError> {
    balance(api, asked.owner).await.map_err(|error| ApiError::Unknown {
        ask_again: asked.ask_again(),
        source: Some(Box::new(error)),
    })
}

fn required<'a>(
    amount: Option<&'a MoneyInput>,
    field: &'static str,
) -> Result<&'a MoneyInput, ApiError> {
    amount.ok_or_else(|| ApiError::invalid(field, "is required"))
}

/// The id of an adjustment: given by the caller, or else by the server before the first attempt.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<String, ApiError> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let invalid = |reason| Err(ApiError::invalid(IDEMPOTENCY_KEY_NAME, reason));
    match (given.next(), given.next()) {
        (None, _) => Ok(Uuid::new_v4().to_string()),
        (Some(key), None) => match key.to_str() {
            Ok(key) if !key.is_empty() => Ok(key.to_owned()),
            _ => invalid("must consist of visible ASCII characters"),
        },
        (Some(_), Some(_)) => invalid("is given twice"),
    }
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let at = "/v1/organizations/{organization}/developers/{developer}/balance";
    paths.get(at, "Reads the wallets of a developer").answers::<DeveloperBalance>(200);
    paths
        .post(&format!("{at}:credit"), "Credits a wallet, once for each transactionId")
        .also(&format!("{at}/:credit"))
        .takes::<CreditInput>()
        .example(serde_json::json!({
            "transactionAmount": { "currencyCode": "EUR", "units": "25", "nanos": 500_000_000 },
            "transactionId": "order-1",
        }))
        .answers::<DeveloperBalance>(200);
    paths
        .post(&format!("{at}:adjust"), "Lowers a balance; a negative adjustment raises it")
        .also(&format!("{at}/:adjust"))
        .header(
            IDEMPOTENCY_KEY_NAME,
            "Names the adjustment, so that repeating it books it once.",
            serde_json::json!({ "type": "string", "pattern": "^[!-~]{1,200}$" }),
        )
        .flag("force", "Take what gateways of a strict wallet may spend as well.")
        .takes::<AdjustInput>()
        .example(serde_json::json!({
            "adjustment": { "currencyCode": "EUR", "units": "-50", "nanos": 100_000_000 },
        }))
        .answers::<DeveloperBalance>(200);
    paths
        .get(&format!("{at}:entries"), "Lists the journal of a developer's wallets")
        .paged()
        .answers::<EntryList>(200);
}
