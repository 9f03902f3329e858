//! How an object looks from outside: hidden fields go, `expand` brings related objects in.

use serde_json::{Value, json};

use crate::error::{Answer, ApiError};
use crate::space::Space;
use crate::versions::dress;

/// Deepest path of an expansion.
const EXPAND_DEPTH_MAX: usize = 4;

/// Fields that are there only when asked for.
const INCLUDABLE: &[&str] = &["payments"];

/// What a request is answered with.
///
/// # Errors
/// An expansion names a field that is no reference.
pub(crate) fn render(space: &Space, mut object: Value, expansions: &[Value]) -> Answer {
    dress(&mut object, &space.origin.version);
    for (number, path) in expansions.iter().enumerate() {
        let path = path.as_str().unwrap_or_default();
        let steps: Vec<&str> = path.split('.').collect();
        if steps.len() > EXPAND_DEPTH_MAX || !expand(space, &mut object, &steps) {
            let message = format!("This property cannot be expanded ({path}).");
            return Err(ApiError::invalid(&format!("expand[{number}]"), message).stored());
        }
    }
    hide(&mut object);
    Ok(object)
}

/// What a webhook carries.
pub(crate) fn event(mut event: Value, version: &str) -> Value {
    event["api_version"] = json!(version);
    dress(&mut event, version);
    hide(&mut event);
    event
}

/// Replaces the ids at the end of a path by their objects; false where the path leads nowhere.
fn expand(space: &Space, value: &mut Value, steps: &[&str]) -> bool {
    let [step, rest @ ..] = steps else { return true };
    if let Value::Array(items) = value {
        return items.iter_mut().all(|item| expand(space, item, steps));
    }
    if INCLUDABLE.contains(step)
        && let Some(includable) = value.get(format!("_{step}")).cloned()
    {
        value[*step] = includable;
    }
    let Some(field) = value.get_mut(*step) else { return false };
    match field {
        Value::Null => true,
        Value::String(id) => match space.store.find(id) {
            Some(object) => {
                *field = object.clone();
                dress(field, &space.origin.version);
                expand(space, field, rest)
            }
            None => false,
        },
        Value::Object(_) | Value::Array(_) => rest.is_empty() || expand(space, field, rest),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Takes away fields whose names begin with an underscore, from every object but not from metadata.
fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("object") {
                fields.retain(|name, _| !name.starts_with('_'));
            }
            for (name, inner) in fields.iter_mut() {
                if name != "metadata" {
                    hide(inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
