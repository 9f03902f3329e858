//! `organizations/{organization}/apps`: apps by id, whoever owns them.
//!
//! Listings go by id. What is filtered out is read all the same, so a page ends at the latest
//! after [`LOOKED_AT_MAX`] apps, with a token that goes on from there.

use axum::extract::State;
use tollgate_ledger_store::catalogue::records::{App, Approval, Developer};

use super::Answer;
use crate::error::ApiError;
use crate::extract::{At, Parameters};
use crate::permission::may;
use crate::router::{Api, ok};
use crate::shapes::org_apps::{AppId, OrganizationApp, OrganizationAppList};

/// Most apps that one request reads.
const LOOKED_AT_MAX: usize = 5000;

/// What an app must be to be listed: every part that is there.
#[derive(Debug, Default)]
struct Filter {
    developer_email: Option<String>,
    product: Option<String>,
    consumer_key: Option<String>,
    status: Option<Approval>,
    key_status: Option<Approval>,
    ids: Option<Vec<String>>,
    name: Option<String>,
    kind: Option<Kind>,
    group: Option<String>,
}

/// Who owns an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Developer,
    AppGroup,
}

pub(crate) async fn list(
    State(api): State<Api>,
    _: may::AppsRead,
    At(organization): At<String>,
    query: Parameters,
) -> Answer {
    query.only(&[
        "apiProduct",
        "apptype",
        "expand",
        "filter",
        "ids",
        "includeCred",
        "keyStatus",
        "pageSize",
        "pageToken",
        "rows",
        "startKey",
        "status",
    ])?;
    let filter = Filter::of(&query)?;
    let is_expanded = query.flag("expand")?;
    let has_credentials = query.get("includeCred").is_none() || query.flag("includeCred")?;
    let size = query.number("rows")?.min(query.number("pageSize")?);
    let start = query.get("pageToken").or(query.get("startKey")).filter(|key| !key.is_empty());
    let (found, next_page_token) = page(&api, &organization, &filter, start, size).await?;
    if is_expanded {
        let shape =
            |(app, owner): &(App, Developer)| OrganizationApp::of(app, owner, has_credentials);
        let app = found.iter().map(shape).collect();
        return Ok(ok(&OrganizationAppList { app, next_page_token }));
    }
    let app = found.iter().map(|(app, _)| AppId { app_id: app.id.to_string() }).collect();
    Ok(ok(&OrganizationAppList { app, next_page_token }))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::AppsRead,
    At((organization, id)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let (app, owner) = api.catalogue.app_by_id(&organization, &id).await?;
    Ok(ok(&OrganizationApp::of(&app, &owner, true)))
}

/// At most `size` apps that pass, and where to go on.
async fn page(
    api: &Api,
    organization: &str,
    filter: &Filter,
    start: Option<&str>,
    size: usize,
) -> Result<(Vec<(App, Developer)>, Option<String>), ApiError> {
    let mut from = start.map(str::to_owned);
    let (mut found, mut looked_at) = (Vec::new(), 0);
    loop {
        // One more than fits says where the next page begins.
        let want = size + 1;
        let read = api.catalogue.apps_by_id(organization, from.as_deref(), want).await?;
        let is_end = read.len() < want;
        for (app, owner) in read {
            let id = app.id.to_string();
            // A further page begins with the app that the one before ended with.
            if from.as_ref() == Some(&id) && looked_at > 0 {
                continue;
            }
            if found.len() == size || looked_at == LOOKED_AT_MAX {
                return Ok((found, Some(id)));
            }
            looked_at += 1;
            from = Some(id);
            if filter.has(&app, &owner) {
                found.push((app, owner));
            }
        }
        if is_end {
            return Ok((found, None));
        }
    }
}

// === impl Filter ===

impl Filter {
    fn of(query: &Parameters) -> Result<Filter, ApiError> {
        let mut filter = Filter::default();
        for condition in query.get("filter").unwrap_or_default().split(" AND ") {
            let condition = condition.trim();
            if condition.is_empty() {
                continue;
            }
            let (field, value) = condition.split_once('=').ok_or_else(|| wrong(condition))?;
            filter.add(field.trim(), value.trim().trim_matches('"'), condition)?;
        }
        if let Some(product) = query.get("apiProduct") {
            filter.product = Some(product.to_owned());
        }
        if let Some(ids) = query.get("ids") {
            filter.ids = Some(ids.split(',').map(str::to_owned).collect());
        }
        if let Some(word) = query.get("apptype") {
            filter.kind = Some(kind(word).ok_or_else(|| value_of("apptype"))?);
        }
        if let Some(word) = query.get("keyStatus") {
            filter.key_status = Some(approval(word).ok_or_else(|| value_of("keyStatus"))?);
        }
        match query.get("status") {
            Some(word) => {
                filter.status = Some(approval(word).ok_or_else(|| value_of("status"))?);
            }
            // Documented: approved apps, where nothing says which.
            None if query.get("filter").is_none() && filter.ids.is_none() => {
                filter.status = Some(Approval::Approved);
            }
            None => {}
        }
        Ok(filter)
    }

    fn add(&mut self, field: &str, value: &str, condition: &str) -> Result<(), ApiError> {
        let text = Some(value.to_owned());
        match field {
            "developerEmail" => self.developer_email = text,
            "apiProduct" => self.product = text,
            "consumerKey" => self.consumer_key = text,
            "appId" => self.ids = Some(vec![value.to_owned()]),
            "appName" => self.name = text,
            "appGroup" => self.group = text,
            "status" => self.status = Some(approval(value).ok_or_else(|| wrong(condition))?),
            "appType" => self.kind = Some(kind(value).ok_or_else(|| wrong(condition))?),
            _ => return Err(wrong(condition)),
        }
        Ok(())
    }

    fn has(&self, app: &App, owner: &Developer) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        let has_key =
            |test: &dyn Fn(&tollgate_ledger_store::catalogue::records::Credential) -> bool| {
                app.credentials.iter().any(test)
            };
        let (address, group, owner_kind) = match owner.group {
            None => (owner.email.as_str(), "", Kind::Developer),
            Some(_) => ("", owner.email.as_str(), Kind::AppGroup),
        };
        is(&self.developer_email, address)
            && is(&self.name, &app.name)
            && is(&self.group, group)
            && self.kind.is_none_or(|kind| kind == owner_kind)
            && self.status.is_none_or(|status| status == app.status)
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&app.id.to_string()))
            && self.key_status.is_none_or(|status| has_key(&|key| key.status == status))
            && self.product.as_ref().is_none_or(|product| app.product_names().contains(product))
            && self
                .consumer_key
                .as_ref()
                .is_none_or(|wanted| has_key(&|key| key.consumer_key == *wanted))
    }
}

fn approval(word: &str) -> Option<Approval> {
    match word {
        "approved" => Some(Approval::Approved),
        "revoked" => Some(Approval::Revoked),
        _ => None,
    }
}

fn kind(word: &str) -> Option<Kind> {
    match word.to_ascii_lowercase().as_str() {
        "developer" => Some(Kind::Developer),
        "appgroup" | "company" => Some(Kind::AppGroup),
        _ => None,
    }
}

fn wrong(condition: &str) -> ApiError {
    let reason = format!(
        "{condition:?} is not a condition: developerEmail, apiProduct, consumerKey, status, appId, \
         appName, appType or appGroup = a value, joined by AND"
    );
    ApiError::Query { name: "filter".to_owned(), reason }
}

fn value_of(name: &str) -> ApiError {
    ApiError::Query { name: name.to_owned(), reason: "has no such value".to_owned() }
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let all = "/v1/organizations/{organization}/apps";
    let size = serde_json::json!({ "type": "integer", "minimum": 0, "default": 1000 });
    paths
        .get(all, "Lists apps of all owners")
        .text("filter", "Conditions like developerEmail=ada@example.com, joined by AND.")
        .text("apiProduct", "Only apps with this product.")
        .text("ids", "Only these, separated by commas.")
        .choice("apptype", &["developer", "appgroup", "company"], "Only apps of such owners.")
        .choice("status", &["approved", "revoked"], "Approved, where nothing else is asked for.")
        .choice("keyStatus", &["approved", "revoked"], "Only apps with such a key.")
        .flag("expand", "Whole apps in place of ids.")
        .query(
            "includeCred",
            "Whether whole apps have keys.",
            serde_json::json!({
                "type": "boolean", "default": true,
            }),
        )
        .query("pageSize", "How many at most.", size.clone())
        .query("rows", "How many at most.", size)
        .text("pageToken", "Where the page begins: what an answer gave.")
        .text("startKey", "The id that the page begins with.")
        .answers::<OrganizationAppList<OrganizationApp>>(200)
        .answers::<OrganizationAppList<AppId>>(200);
    paths.get(&format!("{all}/{{app}}"), "Reads an app by id").answers::<OrganizationApp>(200);
}
