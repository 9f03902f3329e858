//! Organizations and their add-ons.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_ledger_store::catalogue::records::Organization;

use super::{AttributeShape, ReadOnly, attribute_shapes, attributes, millis};
use crate::json;

/// An organization in a request.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct OrganizationInput {
    pub(crate) name: Option<String>,
    display_name: Option<String>,
    description: Option<String>,
    #[serde(deserialize_with = "json::object")]
    properties: Option<Properties>,
    #[serde(rename = "addonsConfig")]
    _addons_config: ReadOnly,
    #[serde(rename = "createdAt")]
    _created_at: ReadOnly,
    #[serde(rename = "lastModifiedAt")]
    _last_modified_at: ReadOnly,
}

/// What people write of an organization.
pub(crate) struct OrganizationTerms {
    pub(crate) display_name: String,
    pub(crate) description: String,
    pub(crate) attributes: Vec<tollgate_ledger_store::catalogue::records::Attribute>,
}

#[derive(Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Properties {
    #[serde(deserialize_with = "json::list")]
    property: Vec<AttributeShape>,
}

/// An organization in a response.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrganizationShape {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    display_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Properties>,
    addons_config: AddonsConfig,
    #[schemars(with = "crate::openapi::Int64Text")]
    created_at: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    last_modified_at: String,
}

/// `{"organizations":[…]}`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct OrganizationList {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) organizations: Vec<OrganizationName>,
}

/// An organization in a listing.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct OrganizationName {
    pub(crate) organization: String,
}

/// The body of `:setAddons`.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("required" = ["addonsConfig"]))]
pub(crate) struct AddonsInput {
    #[serde(deserialize_with = "json::object")]
    pub(crate) addons_config: Option<AddonsConfig>,
}

/// Add-ons, both ways; there is one.
#[derive(Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct AddonsConfig {
    #[serde(deserialize_with = "json::object")]
    pub(crate) monetization_config: Option<MonetizationAddon>,
}

/// The monetization add-on.
#[derive(Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MonetizationAddon {
    pub(crate) enabled: bool,
}

// === impl OrganizationInput ===

impl OrganizationInput {
    pub(crate) fn terms(self) -> OrganizationTerms {
        OrganizationTerms {
            display_name: self.display_name.unwrap_or_default(),
            description: self.description.unwrap_or_default(),
            attributes: attributes(self.properties.map(|properties| properties.property)),
        }
    }
}

// === impl OrganizationShape ===

impl OrganizationShape {
    pub(crate) fn of(organization: &Organization) -> OrganizationShape {
        let property = attribute_shapes(&organization.attributes);
        OrganizationShape {
            name: organization.name.clone(),
            display_name: organization.display_name.clone(),
            description: organization.description.clone(),
            properties: (!property.is_empty()).then_some(Properties { property }),
            addons_config: AddonsConfig {
                monetization_config: Some(MonetizationAddon { enabled: organization.is_monetized }),
            },
            created_at: millis(organization.created_at),
            last_modified_at: millis(organization.modified_at),
        }
    }
}

/// The long-running operation of `:setAddons`, which has ended already.
pub(crate) fn addons_operation(organization: &Organization, id: uuid::Uuid) -> Value {
    let name = &organization.name;
    serde_json::json!({
        "name": format!("organizations/{name}/operations/{id}"),
        "metadata": {
            "@type": "type.googleapis.com/google.cloud.apigee.v1.OperationMetadata",
            "operationType": "UPDATE",
            "targetResourceName": format!("organizations/{name}"),
            "state": "FINISHED",
        },
        "done": true,
        "response": {
            "@type": "type.googleapis.com/google.cloud.apigee.v1.AddonsConfig",
            "monetizationConfig": { "enabled": organization.is_monetized },
        },
    })
}
