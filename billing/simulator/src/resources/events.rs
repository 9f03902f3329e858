//! Reading events: filters by type, by object and by whether webhooks took them.

use serde_json::Value;

use crate::error::{Answer, ApiError};
use crate::events::KEPT_S;
use crate::faults::is_like;
use crate::lists;
use crate::object::{int, text};
use crate::routes::{Call, Route, get, list};
use crate::space::Space;

/// Most types that a list may name.
const TYPES_MAX: usize = 20;

pub(crate) const ROUTES: &[Route] = &[
    list("events", "type types:list delivery_success:flag related_object", all),
    get("events/{id}", "", retrieve),
];

fn all(space: &mut Space, call: &Call) -> Answer {
    let types: Vec<&str> = call
        .params
        .list("types")
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_str)
        .chain(call.params.text("type"))
        .collect();
    if types.len() > TYPES_MAX {
        return Err(ApiError::invalid("types", format!("At most {TYPES_MAX} types can be named")));
    }
    let delivery_success = call.params.flag("delivery_success");
    let oldest = space.now - KEPT_S;
    lists::page(space, &call.params, "event", "/v1/events", |event| {
        let is_taken = int(event, "pending_webhooks") == 0;
        int(event, "created") >= oldest
            && delivery_success.is_none_or(|wanted| wanted == is_taken)
            && (types.is_empty() || types.iter().any(|kind| is_like(text(event, "type"), kind)))
    })
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    let event = space.at("event", call.id())?;
    if int(&event, "created") < space.now - KEPT_S {
        return Err(ApiError::no_such("event", call.id(), "id"));
    }
    Ok(event)
}
