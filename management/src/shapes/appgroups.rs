//! AppGroups, and what differs of their apps, keys and lists.

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::apps::AppTerms;
use tollgate_ledger_store::catalogue::keys::KeyTerms;
use tollgate_ledger_store::catalogue::records::{App, AppGroup, Approval, Attribute, Developer};

use super::apps::{CredentialShape, KeyInput, KeyProductInput, word};
use super::subscriptions::SubscriptionShape;
use super::{AttributeShape, ReadOnly, attribute_shapes, attributes, millis};
use crate::error::ApiError;
use crate::json;
use crate::number;

/// An AppGroup in a request.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct AppGroupInput {
    pub(crate) name: Option<String>,
    display_name: Option<String>,
    channel_id: Option<String>,
    channel_uri: Option<String>,
    email: Option<String>,
    #[serde(deserialize_with = "json::objects")]
    attributes: Option<Vec<AttributeShape>>,
    #[serde(rename = "appGroupId")]
    _app_group_id: ReadOnly,
    #[serde(rename = "organization")]
    _organization: ReadOnly,
    #[serde(rename = "status")]
    _status: ReadOnly,
    #[serde(rename = "createdAt")]
    _created_at: ReadOnly,
    #[serde(rename = "lastModifiedAt")]
    _last_modified_at: ReadOnly,
}

/// An AppGroup in a response.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppGroupShape {
    name: String,
    app_group_id: String,
    organization: String,
    #[schemars(extend("enum" = ["active", "inactive"]))]
    status: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    display_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    channel_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    channel_uri: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    email: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<AttributeShape>,
    #[schemars(with = "crate::openapi::Int64Text")]
    created_at: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    last_modified_at: String,
}

/// `{"appGroups":[…],"nextPageToken":…}`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppGroupList {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) app_groups: Vec<AppGroupShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_page_token: Option<String>,
}

/// `{"appGroupSubscriptions":[…],"nextPageToken":…}`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppGroupSubscriptionList {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) app_group_subscriptions: Vec<SubscriptionShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_page_token: Option<String>,
}

/// `{"appGroupApps":[…],"nextPageToken":…}`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppGroupAppList {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) app_group_apps: Vec<AppGroupApp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_page_token: Option<String>,
}

/// An app of an AppGroup in a request.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct AppGroupAppInput {
    pub(crate) name: Option<String>,
    api_products: Option<Vec<String>>,
    /// In seconds, where an app of a developer has milliseconds.
    #[serde(deserialize_with = "number::int64")]
    #[schemars(with = "crate::openapi::Int64Input")]
    key_expires_in: Option<i64>,
    callback_url: Option<String>,
    scopes: Option<Vec<String>>,
    #[serde(deserialize_with = "json::objects")]
    attributes: Option<Vec<AttributeShape>>,
    #[serde(rename = "appId")]
    _app_id: ReadOnly,
    #[serde(rename = "appGroup")]
    _app_group: ReadOnly,
    #[serde(rename = "status")]
    _status: ReadOnly,
    #[serde(rename = "credentials")]
    _credentials: ReadOnly,
    #[serde(rename = "createdAt")]
    _created_at: ReadOnly,
    #[serde(rename = "lastModifiedAt")]
    _last_modified_at: ReadOnly,
}

/// An app of an AppGroup in a response.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppGroupApp {
    app_id: String,
    name: String,
    app_group: String,
    #[schemars(extend("enum" = ["approved", "revoked", "pending"]))]
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    api_products: Vec<String>,
    #[schemars(with = "crate::openapi::Int64Text")]
    key_expires_in: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    callback_url: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<AttributeShape>,
    credentials: Vec<CredentialShape>,
    #[schemars(with = "crate::openapi::Int64Text")]
    created_at: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    last_modified_at: String,
}

/// What a `POST` to a key of an AppGroup's app says.
#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct AppGroupKeyInput {
    action: Option<String>,
    api_products: Option<Vec<KeyProductInput>>,
    #[serde(deserialize_with = "json::object")]
    app_group_app_key: Option<KeyInput>,
}

// === impl AppGroupInput ===

impl AppGroupInput {
    pub(crate) fn terms(self) -> (AppGroup, Vec<Attribute>) {
        let group = AppGroup {
            display_name: self.display_name.unwrap_or_default(),
            channel_id: self.channel_id.unwrap_or_default(),
            channel_uri: self.channel_uri.unwrap_or_default(),
            contact: self.email.unwrap_or_default(),
        };
        (group, attributes(self.attributes))
    }
}

// === impl AppGroupShape ===

impl AppGroupShape {
    pub(crate) fn of(organization: &str, group: &Developer) -> AppGroupShape {
        let more = group.group.clone().unwrap_or_default();
        AppGroupShape {
            name: group.email.clone(),
            app_group_id: group.id.to_string(),
            organization: organization.to_owned(),
            status: if group.is_active { "active" } else { "inactive" },
            display_name: more.display_name,
            channel_id: more.channel_id,
            channel_uri: more.channel_uri,
            email: more.contact,
            attributes: attribute_shapes(&group.attributes),
            created_at: millis(group.created_at),
            last_modified_at: millis(group.modified_at),
        }
    }
}

// === impl AppGroupAppInput ===

impl AppGroupAppInput {
    pub(crate) fn terms(self) -> Result<AppTerms, ApiError> {
        let seconds = self.key_expires_in.filter(|span| !matches!(span, -1 | 0));
        let out_of_range = || ApiError::invalid("keyExpiresIn", "is out of range; -1 is never");
        let key_lifetime_ms = seconds
            .map(|seconds| seconds.checked_mul(1000).ok_or_else(out_of_range))
            .transpose()?;
        Ok(AppTerms {
            callback_url: self.callback_url.unwrap_or_default(),
            scopes: self.scopes.unwrap_or_default(),
            attributes: attributes(self.attributes),
            products: self.api_products.unwrap_or_default(),
            key_lifetime_ms,
            app_family: String::new(),
            id: None,
        })
    }
}

// === impl AppGroupApp ===

impl AppGroupApp {
    pub(crate) fn of(app: &App, group: &Developer) -> AppGroupApp {
        AppGroupApp {
            app_id: app.id.to_string(),
            name: app.name.clone(),
            app_group: group.email.clone(),
            status: word(app.status),
            api_products: app.product_names(),
            key_expires_in: app.key_lifetime_ms.map_or(-1, |span| span / 1000).to_string(),
            callback_url: app.callback_url.clone(),
            scopes: app.scopes.clone(),
            attributes: attribute_shapes(&app.attributes),
            credentials: app.credentials.iter().map(CredentialShape::of).collect(),
            created_at: millis(app.created_at),
            last_modified_at: millis(app.modified_at),
        }
    }
}

// === impl AppGroupKeyInput ===

impl AppGroupKeyInput {
    pub(crate) fn status(&self) -> Result<Option<Approval>, ApiError> {
        match self.action.as_deref() {
            None | Some("") => Ok(None),
            Some("approve") => Ok(Some(Approval::Approved)),
            Some("revoke") => Ok(Some(Approval::Revoked)),
            Some(_) => Err(ApiError::invalid("action", "must be approve or revoke")),
        }
    }

    pub(crate) fn terms(self) -> KeyTerms {
        let key = self.app_group_app_key.map(KeyInput::terms).unwrap_or_default();
        let products = self.api_products.unwrap_or_default().into_iter();
        KeyTerms { products: products.map(KeyProductInput::name).collect(), ..key }
    }
}
