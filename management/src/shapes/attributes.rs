//! Attributes as a resource of their own.

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::records::Attribute;

use super::{AttributeShape, attribute_shapes, attributes};
use crate::json;

/// `{"attribute":[…]}`, both ways.
#[derive(Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AttributeList {
    #[serde(deserialize_with = "json::list", skip_serializing_if = "Vec::is_empty")]
    attribute: Vec<AttributeShape>,
}

/// The body that sets one attribute: its name stands in the path.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AttributeInput {
    pub(crate) name: Option<String>,
    pub(crate) value: Option<String>,
}

// === impl AttributeList ===

impl AttributeList {
    pub(crate) fn of(stored: &[Attribute]) -> AttributeList {
        AttributeList { attribute: attribute_shapes(stored) }
    }

    pub(crate) fn attributes(self) -> Vec<Attribute> {
        attributes(Some(self.attribute))
    }
}
