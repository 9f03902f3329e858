//! Reading and changing an object's fields by dotted paths.

use serde_json::Value;

/// The text at a path, empty where there is none.
pub(crate) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).as_str().unwrap_or_default()
}

/// The integer at a path, zero where there is none.
pub(crate) fn int(object: &Value, path: &str) -> i64 {
    at(object, path).as_i64().unwrap_or_default()
}

/// Whether the flag at a path is set.
pub(crate) fn flag(object: &Value, path: &str) -> bool {
    at(object, path).as_bool().unwrap_or_default()
}

/// The value at a path; null where there is none.
pub(crate) fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    static NOTHING: Value = Value::Null;
    let mut value = object;
    for name in path.split('.') {
        value = value.get(name).unwrap_or(&NOTHING);
    }
    value
}

/// The text or null.
pub(crate) fn or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { Value::String(text.to_owned()) }
}
