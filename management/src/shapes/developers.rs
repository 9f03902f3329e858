//! Developers and their billing type.

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::developers::DeveloperTerms;
use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_metering::BillingType;

use super::{AttributeShape, ReadOnly, attribute_shapes, attributes, millis};
use crate::error::ApiError;
use crate::json;

/// A developer in a request.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(extend("required" = ["email", "firstName", "lastName", "userName"]))]
pub(crate) struct DeveloperInput {
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    user_name: Option<String>,
    #[serde(deserialize_with = "json::objects")]
    attributes: Option<Vec<AttributeShape>>,
    access_type: Option<String>,
    app_family: Option<String>,
    companies: Option<Vec<String>>,
    #[serde(rename = "developerId")]
    _developer_id: ReadOnly,
    #[serde(rename = "organizationName")]
    _organization_name: ReadOnly,
    #[serde(rename = "status")]
    _status: ReadOnly,
    #[serde(rename = "apps")]
    _apps: ReadOnly,
    #[serde(rename = "createdAt")]
    _created_at: ReadOnly,
    #[serde(rename = "lastModifiedAt")]
    _last_modified_at: ReadOnly,
}

/// A developer in a response.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeveloperShape {
    email: String,
    first_name: String,
    last_name: String,
    user_name: String,
    developer_id: String,
    organization_name: String,
    #[schemars(extend("enum" = ["active", "inactive"]))]
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<AttributeShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apps: Option<Vec<String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    access_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    app_family: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    companies: Vec<String>,
    #[schemars(with = "crate::openapi::Int64Text")]
    created_at: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    last_modified_at: String,
}

/// A developer in a listing that is not expanded.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct DeveloperName {
    pub(crate) email: String,
}

/// `{"developer":[…]}`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct DeveloperList<T> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) developer: Vec<T>,
}

/// The billing type, both ways.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("required" = ["billingType"]))]
pub(crate) struct MonetizationConfig {
    #[serde(default)]
    #[schemars(extend("enum" = ["PREPAID", "POSTPAID"]))]
    billing_type: Option<String>,
}

// === impl DeveloperInput ===

impl DeveloperInput {
    pub(crate) fn terms(self) -> DeveloperTerms {
        DeveloperTerms {
            email: self.email.unwrap_or_default(),
            first_name: self.first_name.unwrap_or_default(),
            last_name: self.last_name.unwrap_or_default(),
            user_name: self.user_name.unwrap_or_default(),
            attributes: attributes(self.attributes),
            access_type: self.access_type.unwrap_or_default(),
            app_family: self.app_family.unwrap_or_default(),
            companies: self.companies.unwrap_or_default(),
        }
    }
}

// === impl DeveloperShape ===

impl DeveloperShape {
    pub(crate) fn of(
        organization: &str,
        developer: &Developer,
        apps: Option<Vec<String>>,
    ) -> DeveloperShape {
        DeveloperShape {
            email: developer.email.clone(),
            first_name: developer.first_name.clone(),
            last_name: developer.last_name.clone(),
            user_name: developer.user_name.clone(),
            developer_id: developer.id.to_string(),
            organization_name: organization.to_owned(),
            status: if developer.is_active { "active" } else { "inactive" },
            attributes: attribute_shapes(&developer.attributes),
            apps,
            access_type: developer.access_type.clone(),
            app_family: developer.app_family.clone(),
            companies: developer.companies.clone(),
            created_at: millis(developer.created_at),
            last_modified_at: millis(developer.modified_at),
        }
    }
}

// === impl MonetizationConfig ===

impl MonetizationConfig {
    pub(crate) fn of(billing: BillingType) -> MonetizationConfig {
        let word = match billing {
            BillingType::Prepaid => "PREPAID",
            BillingType::Postpaid => "POSTPAID",
            // No developer has one of these.
            BillingType::Shadow | BillingType::ShadowRefused => "BILLING_TYPE_UNSPECIFIED",
        };
        MonetizationConfig { billing_type: Some(word.to_owned()) }
    }

    pub(crate) fn billing(&self) -> Result<BillingType, ApiError> {
        match self.billing_type.as_deref() {
            Some("PREPAID") => Ok(BillingType::Prepaid),
            Some("POSTPAID") => Ok(BillingType::Postpaid),
            None | Some("BILLING_TYPE_UNSPECIFIED") => {
                Err(ApiError::invalid("billingType", "is required: PREPAID or POSTPAID"))
            }
            Some(other) => {
                let reason = format!("{other:?} is neither PREPAID nor POSTPAID");
                Err(ApiError::invalid("billingType", reason))
            }
        }
    }
}
