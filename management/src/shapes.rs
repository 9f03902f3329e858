//! What travels: the bodies of requests and responses, as Apigee X writes them.
//!
//! Requests refuse unknown fields by name and take read-only fields, which clients send back as
//! they got them, without looking at them. In responses 64-bit numbers are strings, and what is
//! empty is left out.

pub(crate) mod appgroups;
pub(crate) mod apps;
pub(crate) mod attributes;
pub(crate) mod audit;
pub(crate) mod balances;
pub(crate) mod billing;
pub(crate) mod csv;
pub(crate) mod developers;
mod iso_4217;
pub(crate) mod money;
mod operations;
pub(crate) mod org_apps;
pub(crate) mod organizations;
pub(crate) mod plans;
pub(crate) mod products;
pub(crate) mod reports;
pub(crate) mod shares;
pub(crate) mod subscriptions;
pub(crate) mod tokens;
pub(crate) mod wallets;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::records::Attribute;
use tollgate_metering::UnixMillis;

/// A read-only field in a request.
pub(crate) type ReadOnly = Option<Ignored>;

/// Any value, which nobody looks at.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ignored(IgnoredAny);

impl schemars::JsonSchema for Ignored {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Ignored".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "Read-only: taken, and not looked at." })
    }
}

/// A list of attributes as a body of its own or a part of one.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttributeShape {
    name: String,
    #[serde(default)]
    value: Option<String>,
}

pub(crate) fn attributes(given: Option<Vec<AttributeShape>>) -> Vec<Attribute> {
    let given = given.unwrap_or_default().into_iter();
    given
        .map(|AttributeShape { name, value }| Attribute { name, value: value.unwrap_or_default() })
        .collect()
}

pub(crate) fn attribute_shapes(stored: &[Attribute]) -> Vec<AttributeShape> {
    let shape = |attribute: &Attribute| AttributeShape {
        name: attribute.name.clone(),
        value: Some(attribute.value.clone()),
    };
    stored.iter().map(shape).collect()
}

/// A time as responses write it: milliseconds since 1970 in a string.
pub(crate) fn millis(time: UnixMillis) -> String {
    time.0.to_string()
}
