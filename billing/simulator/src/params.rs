//! Parameters of a request, checked against what its endpoint takes before the endpoint runs.
//!
//! An endpoint declares them as one line, `amount:int! currency! metadata:hash`: a name, a type (text where none is given), and
//! `!` where it must be sent. A name that is not declared is refused, as Stripe does: a client that misspells one must
//! not pass here and fail there.

use serde_json::{Map, Value};

use crate::error::ApiError;

/// Most keys of `metadata`, and the longest key and value in characters.
const METADATA_KEYS_MAX: usize = 50;
const METADATA_KEY_MAX: usize = 40;
const METADATA_VALUE_MAX: usize = 500;
/// Longest text in characters.
const TEXT_MAX: usize = 5_000;

/// The parameters of one request; top-level values have their declared type, nested ones are strings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Map<String, Value>);

// === impl Params ===

impl Params {
    /// Checks and types what was sent.
    ///
    /// # Errors
    /// A refusal that names the parameter.
    pub(crate) fn check(sent: Map<String, Value>, declared: &str) -> Result<Params, ApiError> {
        let mut typed = Map::new();
        let words = || declared.split_whitespace().chain(["expand:list"]);
        for (name, value) in sent {
            let Some(word) = words().find(|word| name_of(word) == name) else {
                let message = format!("Received unknown parameter: {name}");
                return Err(ApiError::invalid(&name, message).with("code", "parameter_unknown"));
            };
            let value = convert(&name, kind_of(word), value)?;
            typed.insert(name, value);
        }
        for word in words().filter(|word| word.ends_with('!')) {
            if typed.get(name_of(word)).is_none_or(|value| value.as_str() == Some("")) {
                return Err(ApiError::missing_param(name_of(word)));
            }
        }
        Ok(Params(typed))
    }

    /// Wraps parameters that the simulator itself gives.
    pub(crate) fn of(values: Value) -> Params {
        match values {
            Value::Object(hash) => Params(hash),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Params::default(),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A text that was sent and is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }

    pub(crate) fn hash(&self, name: &str) -> Option<&Map<String, Value>> {
        self.0.get(name).and_then(Value::as_object)
    }

    pub(crate) fn list(&self, name: &str) -> Option<&[Value]> {
        self.0.get(name).and_then(Value::as_array).map(Vec::as_slice)
    }

    /// A text inside a hash, `invoice_settings.default_payment_method`; an empty one counts.
    pub(crate) fn nested(&self, hash: &str, name: &str) -> Option<&str> {
        self.hash(hash)?.get(name)?.as_str()
    }

    /// Copies parameters of the same names into an object; an empty one unsets.
    pub(crate) fn copy(&self, object: &mut Value, names: &str) {
        for name in names.split_whitespace() {
            if let Some(value) = self.0.get(name) {
                let is_unset = value.as_str() == Some("");
                object[name] = if is_unset { Value::Null } else { value.clone() };
            }
        }
    }

    /// Merges `metadata` into an object's: an empty value deletes its key, an empty hash all of them.
    pub(crate) fn merge_metadata(&self, object: &mut Value) {
        if !object["metadata"].is_object() {
            object["metadata"] = Value::Object(Map::new());
        }
        let Some(sent) = self.0.get("metadata") else { return };
        let Value::Object(kept) = &mut object["metadata"] else { return };
        let Some(sent) = sent.as_object() else {
            kept.clear();
            return;
        };
        for (key, value) in sent {
            if value.as_str() == Some("") {
                kept.remove(key);
            } else {
                kept.insert(key.clone(), value.clone());
            }
        }
    }
}

/// An integer inside nested parameters.
///
/// # Errors
/// A refusal that names the parameter.
pub(crate) fn nested_int(value: &Value, param: &str) -> Result<i64, ApiError> {
    let text = value.as_str().unwrap_or_default();
    text.parse().map_err(|_| {
        ApiError::invalid(param, format!("Invalid integer: {text}"))
            .with("code", "parameter_invalid_integer")
    })
}

fn name_of(word: &str) -> &str {
    let word = word.strip_suffix('!').unwrap_or(word);
    word.split_once(':').map_or(word, |(name, _)| name)
}

fn kind_of(word: &str) -> &str {
    let word = word.strip_suffix('!').unwrap_or(word);
    word.split_once(':').map_or("text", |(_, kind)| kind)
}

fn convert(name: &str, kind: &str, value: Value) -> Result<Value, ApiError> {
    let text = value.as_str().map(str::to_owned);
    match (kind, text) {
        ("any", _) => Ok(value),
        ("text", Some(text)) if text.chars().count() <= TEXT_MAX => Ok(value),
        ("text", _) => Err(ApiError::invalid(name, format!("Invalid string: {name}"))),
        ("int", Some(text)) if text.is_empty() => Ok(value),
        ("int", Some(_)) => nested_int(&value, name).map(Value::from),
        ("flag", Some(text)) => match text.as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            other => Err(ApiError::invalid(name, format!("Invalid boolean: {other}"))),
        },
        ("hash", Some(text)) if text.is_empty() => Ok(value),
        ("hash", None) => hash_of(name, value),
        ("list", Some(text)) if text.is_empty() => Ok(Value::Array(Vec::new())),
        ("list", None) if value.is_array() => Ok(value),
        (kind, _) => Err(ApiError::invalid(name, format!("Invalid {kind}: {name}"))),
    }
}

fn hash_of(name: &str, value: Value) -> Result<Value, ApiError> {
    // A hash whose keys are numbers came in as a list.
    let hash = match value {
        Value::Array(list) => {
            list.into_iter().enumerate().map(|(n, v)| (n.to_string(), v)).collect()
        }
        Value::Object(hash) => hash,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(ApiError::invalid(name, format!("Invalid hash: {name}")));
        }
    };
    if name == "metadata" {
        check_metadata(&hash)?;
    }
    Ok(Value::Object(hash))
}

fn check_metadata(hash: &Map<String, Value>) -> Result<(), ApiError> {
    if hash.len() > METADATA_KEYS_MAX {
        let message = format!("You can only specify {METADATA_KEYS_MAX} keys of metadata");
        return Err(ApiError::invalid("metadata", message));
    }
    for (key, value) in hash {
        let Some(text) = value.as_str() else {
            return Err(ApiError::invalid("metadata", "Metadata values must be strings"));
        };
        if key.chars().count() > METADATA_KEY_MAX || text.chars().count() > METADATA_VALUE_MAX {
            let message = format!(
                "Metadata keys can have {METADATA_KEY_MAX} characters, values {METADATA_VALUE_MAX}: {key}"
            );
            return Err(ApiError::invalid(&format!("metadata[{key}]"), message));
        }
    }
    Ok(())
}
