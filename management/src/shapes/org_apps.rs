//! Apps as an organization sees them.

use serde::Serialize;
use tollgate_ledger_store::catalogue::records::{App, Approval, Developer, KeyProduct};

use super::apps::{CredentialShape, word};
use super::{AttributeShape, attribute_shapes, millis};

/// An app with its owner.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrganizationApp {
    app_id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    developer_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    developer_email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_group: Option<String>,
    #[schemars(extend("enum" = ["approved", "revoked", "pending"]))]
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    api_products: Vec<ProductRef>,
    #[serde(skip_serializing_if = "String::is_empty")]
    callback_url: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<AttributeShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<Vec<CredentialShape>>,
    #[schemars(with = "crate::openapi::Int64Text")]
    key_expires_in: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    created_at: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    last_modified_at: String,
}

/// An app in a listing that is not expanded.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppId {
    pub(crate) app_id: String,
}

/// `{"app":[…],"nextPageToken":…}`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrganizationAppList<T> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) app: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_page_token: Option<String>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
struct ProductRef {
    apiproduct: String,
    #[schemars(extend("enum" = ["approved", "revoked", "pending"]))]
    status: &'static str,
}

// === impl OrganizationApp ===

impl OrganizationApp {
    pub(crate) fn of(app: &App, owner: &Developer, has_credentials: bool) -> OrganizationApp {
        let is_person = owner.group.is_none();
        let credentials = || app.credentials.iter().map(CredentialShape::of).collect();
        OrganizationApp {
            app_id: app.id.to_string(),
            name: app.name.clone(),
            developer_id: is_person.then(|| owner.id.to_string()),
            developer_email: is_person.then(|| owner.email.clone()),
            app_group: (!is_person).then(|| owner.email.clone()),
            status: word(app.status),
            api_products: products(app),
            callback_url: app.callback_url.clone(),
            scopes: app.scopes.clone(),
            attributes: attribute_shapes(&app.attributes),
            credentials: has_credentials.then(credentials),
            key_expires_in: app.key_lifetime_ms.unwrap_or(-1).to_string(),
            created_at: millis(app.created_at),
            last_modified_at: millis(app.modified_at),
        }
    }
}

/// The products of all keys; one that some key may use is approved.
fn products(app: &App) -> Vec<ProductRef> {
    let on = |name: &String| -> Vec<&KeyProduct> {
        let all = app.credentials.iter().flat_map(|key| &key.products);
        all.filter(|on| on.name == *name).collect()
    };
    let shape = |apiproduct: String| {
        let found = on(&apiproduct);
        let approved = found.iter().find(|on| on.status == Approval::Approved);
        let status = approved.or(found.first()).map_or(Approval::Approved, |on| on.status);
        ProductRef { apiproduct, status: word(status) }
    };
    app.product_names().into_iter().map(shape).collect()
}
