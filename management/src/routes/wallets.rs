//! `…/developers/{developer}/wallets`: what a wallet may do, which Apigee has no resource for.
//!
//! A policy is stored where people set it and copied to the account, where gateways hear of it
//! (see `catalogue::overspend`): here at once for what one developer's request moves.

use axum::extract::{RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use tollgate_ledger_store::book::{BookError, Standing};
use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_ledger_store::catalogue::wallet_id;
use tollgate_metering::account::Overspend;
use tollgate_metering::booking::Booking;
use tollgate_metering::{Currency, DeveloperId, Money};
use uuid::Uuid;

use super::booking;
use super::{Answer, developer};
use crate::error::ApiError;
use crate::extract::{At, Json, Parameters};
use crate::permission::may;
use crate::router::{Api, ok};
use crate::shapes::money;
use crate::shapes::wallets::{WalletDetail, WalletInput, WalletList};

/// The field of a limit in a request.
const LIMIT: &str = "overdraftLimit";
/// The field of what may be owed.
const CREDIT: &str = "creditLimit";

/// What a request asks of a wallet; `None` leaves a part as it is.
struct Change {
    overspend: Option<Option<Overspend>>,
    limit: Option<Money>,
    credit: Option<Option<Money>>,
    /// Who changes the limit, and whether he may take what is reserved.
    booking: Booking,
}

pub(crate) async fn list(
    State(api): State<Api>,
    _: may::BalancesRead,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let owner = developer(&api, &organization, &name).await?;
    let mut headers = api.ledger.wallets_of(owner.id).await?;
    headers.sort_by_key(|header| header.currency);
    let mut wallets = Vec::with_capacity(headers.len());
    for header in headers {
        wallets.push(detail(&api, &organization, &owner, header.currency).await?);
    }
    Ok(ok(&WalletList { wallets }))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::BalancesRead,
    At((organization, name, code)): At<(String, String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let currency = money::currency("", &code)?;
    let owner = developer(&api, &organization, &name).await?;
    Ok(ok(&detail(&api, &organization, &owner, currency).await?))
}

/// Changes what is named and leaves the rest; opens the wallet where there is none. May be
/// repeated: a part that is as asked stays as it is. A lower limit that is refused changes nothing.
pub(crate) async fn patch(
    State(api): State<Api>,
    may::WalletsWrite(by): may::WalletsWrite,
    At((organization, name, code)): At<(String, String, String)>,
    query: Parameters,
    Json(input): Json<WalletInput>,
) -> Answer {
    query.only(&["force"])?;
    let currency = money::currency("", &code)?;
    let change = Change {
        overspend: input.overspend()?,
        limit: input.limit(LIMIT, currency)?,
        credit: input.credit(CREDIT, currency)?,
        booking: Booking {
            id: Uuid::new_v4().to_string(),
            at: api.clock.now(),
            by: by.name,
            reason: String::new(),
            is_forced: query.flag("force")?,
        },
    };
    let owner = developer(&api, &organization, &name).await?;
    run(&api, &organization, &owner, currency, &change).await?;
    Ok(ok(&detail(&api, &organization, &owner, currency).await?))
}

/// A limit that is refused must have changed nothing, so it comes first; but a wallet that is not
/// there is opened under its policy, and has nothing reserved that a limit could be refused for.
async fn run(
    api: &Api,
    organization: &str,
    owner: &Developer,
    currency: Currency,
    change: &Change,
) -> Result<(), ApiError> {
    let (now, catalogue) = (api.clock.now(), &api.catalogue);
    let wallet = wallet_id(owner.id, currency);
    let is_open = api.ledger.read(wallet).await?.is_some();
    let set_limit = async || match change.limit {
        None => Ok(()),
        Some(limit) => {
            let set = api.book.set_overdraft_limit(wallet, &change.booking, limit).await;
            set.map(drop).map_err(|error| booking::error(error, LIMIT, owner, currency))
        }
    };
    if is_open {
        set_limit().await?;
    }
    if let Some(policy) = change.overspend {
        catalogue.set_wallet_overspend(organization, owner.id, currency, policy, now).await?;
    }
    if let Some(limit) = change.credit {
        catalogue.set_credit_limit(organization, owner.id, currency, limit, now).await?;
    }
    if !is_open {
        catalogue.open_wallet(organization, owner.id, currency, now).await?;
        set_limit().await?;
    }
    // Also where nothing was asked: a request that was cut short before is finished by this one.
    catalogue.apply_overspend(wallet, now).await?;
    Ok(())
}

async fn detail(
    api: &Api,
    organization: &str,
    owner: &Developer,
    currency: Currency,
) -> Result<WalletDetail, ApiError> {
    let asked = |error| booking::error(error, "currencyCode", owner, currency);
    let wallet = wallet_id(owner.id, currency);
    let Standing { read, balance } = api.book.standing(wallet).await.map_err(asked)?;
    let reserved =
        read.account.reserved().map_err(|error| asked(BookError::Refused(error.into())))?;
    let own = api.catalogue.wallet_overspend(organization, owner.id, currency).await?;
    let credit = api.catalogue.credit_limit(organization, owner.id, currency).await?;
    let exposure = api.exposures.exposure(wallet).await;
    Ok(WalletDetail::of(&read.account.header, balance, reserved, own, credit, exposure))
}

/// Brings a developer's wallets in line after a request that may have moved the policy they go by.
/// Where that fails, housekeeping does it: what was asked for is done.
pub(crate) async fn follow(api: &Api, developer: DeveloperId) {
    if let Err(error) = api.catalogue.apply_overspend_of(developer, api.clock.now()).await {
        tracing::warn!(%developer, %error, "overspend policies are applied later");
    }
}

/// The same around each request that changes keys or purchases of the developer in its path.
pub(crate) async fn follow_changes(
    State(api): State<Api>,
    names: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let name = |wanted: &str| {
        let found = names.iter().find(|(key, _)| *key == wanted);
        found.map(|(_, value)| value.to_owned())
    };
    let owner = name("developer").or_else(|| name("appgroup"));
    let organization = name("organization");
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD);
    let response = next.run(request).await;
    if let (true, true, Some(organization), Some(owner)) =
        (is_change, response.status().is_success(), organization, owner)
    {
        match developer(&api, &organization, &owner).await {
            Ok(owner) => follow(&api, owner.id).await,
            Err(error) => tracing::warn!(%error, "overspend policies are applied later"),
        }
    }
    response
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let all = "/v1/organizations/{organization}/developers/{developer}/wallets";
    let one = &format!("{all}/{{currency}}");
    paths.get(all, "Lists what a developer's wallets may do").answers::<WalletList>(200);
    paths.get(one, "Reads what a wallet may do").answers::<WalletDetail>(200);
    paths
        .patch(one, "Changes what a wallet may do; opens it where there is none")
        .flag("force", "Lower the limit although gateways may spend what is above it.")
        .takes::<WalletInput>()
        .example(serde_json::json!({ "overspend": "strict" }))
        .answers::<WalletDetail>(200);
}
