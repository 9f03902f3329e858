//! How numbers of 64 bits travel: strings in answers, strings or numbers in requests.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// What a whole number looks like in a string.
const DIGITS: &str = "^-?[0-9]{1,19}$";

/// A 64-bit number of an answer.
pub(crate) struct Int64Text;

/// A 64-bit number of a request.
pub(crate) struct Int64Input;

/// A 32-bit number of a request.
pub(crate) struct Int32Input;

// === impl Int64Text ===

impl JsonSchema for Int64Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Int64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "int64", "pattern": DIGITS })
    }
}

// === impl Int64Input ===

impl JsonSchema for Int64Input {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Int64Input".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "format": "int64", "pattern": DIGITS },
            { "type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX },
            { "type": "null" },
        ]})
    }
}

// === impl Int32Input ===

impl JsonSchema for Int32Input {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Int32Input".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX },
            { "type": "string", "format": "int32", "pattern": "^-?[0-9]{1,10}$" },
            { "type": "null" },
        ]})
    }
}
