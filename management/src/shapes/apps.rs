//! Apps and consumer keys.

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::apps::AppTerms;
use tollgate_ledger_store::catalogue::keys::{KeyTerms, NewKey};
use tollgate_ledger_store::catalogue::records::{App, Approval, Credential};
use tollgate_metering::UnixMillis;

use super::{AttributeShape, ReadOnly, attribute_shapes, attributes, millis};
use crate::error::ApiError;
use crate::json;
use crate::number;

/// What stands for a secret that was shown before. Clients of Apigee take it for the text that they
/// expect, and none can write it back as a secret: it has no character that one may have.
const MASK: &str = "****";

/// An app in a request.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(extend("required" = ["name"]))]
pub(crate) struct AppInput {
    pub(crate) name: Option<String>,
    api_products: Option<Vec<String>>,
    #[serde(deserialize_with = "number::int64")]
    #[schemars(with = "crate::openapi::Int64Input")]
    key_expires_in: Option<i64>,
    callback_url: Option<String>,
    scopes: Option<Vec<String>>,
    #[serde(deserialize_with = "json::objects")]
    attributes: Option<Vec<AttributeShape>>,
    app_family: Option<String>,
    #[serde(rename = "appId")]
    _app_id: ReadOnly,
    #[serde(rename = "developerId")]
    _developer_id: ReadOnly,
    #[serde(rename = "status")]
    _status: ReadOnly,
    #[serde(rename = "credentials")]
    _credentials: ReadOnly,
    #[serde(rename = "createdAt")]
    _created_at: ReadOnly,
    #[serde(rename = "lastModifiedAt")]
    _last_modified_at: ReadOnly,
}

/// An app in a response.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppShape {
    app_id: String,
    name: String,
    developer_id: String,
    #[schemars(extend("enum" = ["approved", "revoked", "pending"]))]
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    api_products: Vec<String>,
    #[schemars(with = "crate::openapi::Int64Text")]
    key_expires_in: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    app_family: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    callback_url: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<AttributeShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<Vec<CredentialShape>>,
    #[schemars(with = "crate::openapi::Int64Text")]
    created_at: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    last_modified_at: String,
}

/// An app in a listing that is not expanded.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppName {
    pub(crate) app_id: String,
    pub(crate) name: String,
}

/// `{"app":[…]}`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct AppList<T> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) app: Vec<T>,
}

/// A key in a response.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CredentialShape {
    consumer_key: String,
    consumer_secret: String,
    #[schemars(extend("enum" = ["approved", "revoked", "pending"]))]
    status: &'static str,
    api_products: Vec<KeyProductShape>,
    #[schemars(with = "crate::openapi::Int64Text")]
    issued_at: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    expires_at: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<AttributeShape>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
struct KeyProductShape {
    apiproduct: String,
    #[schemars(extend("enum" = ["approved", "revoked", "pending"]))]
    status: &'static str,
}

/// A key in a request, to be made or changed.
#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct KeyInput {
    consumer_key: Option<String>,
    consumer_secret: Option<String>,
    #[serde(deserialize_with = "number::int64")]
    #[schemars(with = "crate::openapi::Int64Input")]
    expires_in_seconds: Option<i64>,
    api_products: Option<Vec<KeyProductInput>>,
    #[serde(deserialize_with = "json::objects")]
    attributes: Option<Vec<AttributeShape>>,
    scopes: Option<Vec<String>>,
    #[serde(rename = "status")]
    _status: ReadOnly,
    #[serde(rename = "issuedAt")]
    _issued_at: ReadOnly,
    #[serde(rename = "expiresAt")]
    _expires_at: ReadOnly,
}

/// A product for a key: its name, or the object that responses have.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub(super) enum KeyProductInput {
    Name(String),
    Object { apiproduct: String },
}

// === impl AppInput ===

impl AppInput {
    pub(crate) fn terms(self) -> AppTerms {
        AppTerms {
            callback_url: self.callback_url.unwrap_or_default(),
            scopes: self.scopes.unwrap_or_default(),
            attributes: attributes(self.attributes),
            products: self.api_products.unwrap_or_default(),
            key_lifetime_ms: self.key_expires_in.filter(|span| !matches!(span, -1 | 0)),
            app_family: self.app_family.unwrap_or_default(),
            id: None,
        }
    }
}

// === impl KeyInput ===

impl KeyInput {
    /// A key to be made, and what it is to have; products are put on it by a second request.
    pub(crate) fn new_key(self, now: UnixMillis) -> Result<(NewKey, KeyTerms), ApiError> {
        if self.api_products.is_some_and(|products| !products.is_empty()) {
            let reason = "cannot be given here: make the key, then POST them to it";
            return Err(ApiError::invalid("apiProducts", reason));
        }
        let required = |field: &str| ApiError::invalid(field, "is required");
        let expires_at = match self.expires_in_seconds {
            None | Some(-1 | 0) => None,
            Some(seconds) => Some(after(now, seconds.checked_mul(1000), "expiresInSeconds")?),
        };
        let key = NewKey {
            consumer_key: self.consumer_key.ok_or_else(|| required("consumerKey"))?,
            consumer_secret: self.consumer_secret.ok_or_else(|| required("consumerSecret"))?,
            expires_at,
        };
        let attributes = self.attributes.map(|given| attributes(Some(given)));
        Ok((key, KeyTerms { products: Vec::new(), attributes, scopes: self.scopes }))
    }

    /// What a `POST` puts on a key: what is not given stays.
    pub(crate) fn terms(self) -> KeyTerms {
        let products = self.api_products.unwrap_or_default().into_iter();
        KeyTerms {
            products: products.map(KeyProductInput::name).collect(),
            attributes: self.attributes.map(|given| attributes(Some(given))),
            scopes: self.scopes,
        }
    }

    /// What a `PUT` does: scopes that are not given go.
    pub(crate) fn replacement(self) -> KeyTerms {
        let terms = self.terms();
        KeyTerms { scopes: Some(terms.scopes.unwrap_or_default()), ..terms }
    }
}

// === impl KeyProductInput ===

impl KeyProductInput {
    pub(super) fn name(self) -> String {
        match self {
            KeyProductInput::Name(name) => name,
            KeyProductInput::Object { apiproduct } => apiproduct,
        }
    }
}

fn after(now: UnixMillis, span_ms: Option<i64>, field: &str) -> Result<UnixMillis, ApiError> {
    let later = span_ms.filter(|span| *span > 0).and_then(|span| now.0.checked_add(span));
    later.map(UnixMillis).ok_or_else(|| ApiError::invalid(field, "is out of range; -1 is never"))
}

// === impl AppShape ===

impl AppShape {
    pub(crate) fn of(app: &App) -> AppShape {
        AppShape {
            app_id: app.id.to_string(),
            name: app.name.clone(),
            developer_id: app.developer.to_string(),
            status: word(app.status),
            api_products: app.product_names(),
            key_expires_in: app.key_lifetime_ms.unwrap_or(-1).to_string(),
            app_family: app.app_family.clone(),
            callback_url: app.callback_url.clone(),
            scopes: app.scopes.clone(),
            attributes: attribute_shapes(&app.attributes),
            credentials: Some(app.credentials.iter().map(CredentialShape::of).collect()),
            created_at: millis(app.created_at),
            last_modified_at: millis(app.modified_at),
        }
    }

    /// Without its keys.
    pub(crate) fn shallow(app: &App) -> AppShape {
        AppShape { credentials: None, ..AppShape::of(app) }
    }
}

// === impl CredentialShape ===

impl CredentialShape {
    pub(crate) fn of(key: &Credential) -> CredentialShape {
        let products = key
            .products
            .iter()
            .map(|on| KeyProductShape { apiproduct: on.name.clone(), status: word(on.status) });
        CredentialShape {
            consumer_key: key.consumer_key.clone(),
            consumer_secret: key.consumer_secret.shown().unwrap_or(MASK).to_owned(),
            status: word(key.status),
            api_products: products.collect(),
            issued_at: millis(key.issued_at),
            expires_at: key.expires_at.map_or_else(|| "-1".to_owned(), millis),
            scopes: key.scopes.clone(),
            attributes: attribute_shapes(&key.attributes),
        }
    }
}

pub(super) fn word(status: Approval) -> &'static str {
    match status {
        Approval::Approved => "approved",
        Approval::Revoked => "revoked",
        Approval::Pending => "pending",
    }
}
