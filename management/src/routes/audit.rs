//! `…/audit`: who changed what, which Apigee has no resource for.

use axum::extract::State;
use tollgate_ledger_store::catalogue::audit::{AuditFilter, NO_ORGANIZATION};
use tollgate_metering::UnixMillis;

use super::Answer;
use crate::error::ApiError;
use crate::extract::{At, Parameters};
use crate::permission::may;
use crate::router::{Api, ok};
use crate::shapes::audit::{AuditList, AuditShape};

/// The log of an organization.
pub(crate) async fn list(
    State(api): State<Api>,
    _: may::AuditRead,
    At(organization): At<String>,
    query: Parameters,
) -> Answer {
    api.catalogue.organization(&organization).await?;
    page(&api, &organization, &query).await
}

/// The log of what belongs to no organization: organizations and tokens that are made. It names the
/// tokens of everybody, so whoever may not list those may not read it.
pub(crate) async fn list_apart(
    State(api): State<Api>,
    _: may::TokensRead,
    query: Parameters,
) -> Answer {
    page(&api, NO_ORGANIZATION, &query).await
}

async fn page(api: &Api, organization: &str, query: &Parameters) -> Answer {
    query.only(&["count", "startKey", "startTime", "endTime", "resource", "actor"])?;
    let page = query.page()?;
    let filter = AuditFilter {
        from: time(query, "startTime")?,
        until: time(query, "endTime")?,
        resource: query.get("resource").map(str::to_owned),
        actor: query.get("actor").map(str::to_owned),
    };
    let found =
        api.catalogue.audit(organization, &filter, page.start.as_deref(), page.count).await?;
    let entries = found.entries.iter().map(|(name, entry)| AuditShape::of(name, entry)).collect();
    Ok(ok(&AuditList { entries, next_start_key: found.next }))
}

/// Milliseconds since 1970.
fn time(query: &Parameters, name: &str) -> Result<Option<UnixMillis>, ApiError> {
    let read = |text: &str| {
        let at = text.parse().ok().filter(|at| *at >= 0);
        let reason = "must be milliseconds since 1970".to_owned();
        at.map(UnixMillis).ok_or_else(|| ApiError::Query { name: name.to_owned(), reason })
    };
    query.get(name).map(read).transpose()
}

pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let places = [
        (
            "/v1/organizations/{organization}/audit",
            "Lists changes in an organization, oldest first",
        ),
        ("/v1/audit", "Lists changes that belong to no organization, oldest first"),
    ];
    for (path, summary) in places {
        paths.get(path, summary).paged().answers::<AuditList>(200);
    }
}
