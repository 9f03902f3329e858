//! What the paths do, by topic. Handlers read the request, call the catalogue or the book once,
//! and shape the answer; rules are not here.

pub(crate) mod appgroups;
pub(crate) mod apps;
pub(crate) mod attributes;
pub(crate) mod audit;
pub(crate) mod balances;
pub(crate) mod billing;
pub(crate) mod booking;
pub(crate) mod developers;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod org_apps;
pub(crate) mod organizations;
pub(crate) mod plans;
pub(crate) mod products;
pub(crate) mod reports;
pub(crate) mod subscriptions;
pub(crate) mod tokens;
pub(crate) mod wallets;

use axum::response::Response;
use tollgate_ledger_store::catalogue::records::Developer;

use crate::error::ApiError;
use crate::extract;
use crate::router::Api;

/// What a handler ends with.
pub(crate) type Answer = Result<Response, ApiError>;

/// The developer of a path, or the AppGroup where the path is one of AppGroups.
pub(crate) async fn developer(
    api: &Api,
    organization: &str,
    segment: &str,
) -> Result<Developer, ApiError> {
    if appgroups::is_asked_for() {
        return Ok(api.catalogue.app_group(organization, segment).await?);
    }
    let name = extract::developer(segment);
    Ok(api.catalogue.developer(organization, &name).await?)
}
