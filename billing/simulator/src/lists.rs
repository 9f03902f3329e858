//! Pages of lists: newest first, cursors that are ids.

use serde_json::{Value, json};

use crate::error::{Answer, ApiError};
use crate::object::{int, text};
use crate::params::{Params, nested_int};
use crate::space::Space;

/// Parameters that every list takes.
pub(crate) const ACCEPTS: &str = "limit:int starting_after ending_before created:any";
/// Most objects of a page, and how many it has where nothing was asked.
const PAGE_MAX: i64 = 100;
const PAGE_DEFAULT: i64 = 10;

/// One page of the objects of a kind that a filter lets through.
///
/// # Errors
/// Refuses a limit outside 1 to 100 and a cursor that is no object of this kind.
pub(crate) fn page(
    space: &Space,
    params: &Params,
    kind: &str,
    url: &str,
    is_in: impl Fn(&Value) -> bool,
) -> Answer {
    let created = Created::read(params)?;
    let all: Vec<&Value> = space
        .store
        .newest_first(kind)
        .filter(|object| !crate::object::flag(object, "deleted"))
        .filter(|object| created.is_in(int(object, "created")) && is_in(object))
        .collect();
    cut(space, params, kind, url, &all)
}

/// One page of objects that are at hand, in their order.
pub(crate) fn cut(space: &Space, params: &Params, kind: &str, url: &str, all: &[&Value]) -> Answer {
    let limit = params.int("limit").unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        let message =
            format!("Invalid integer: limit must be from 1 to {PAGE_MAX}, and was {limit}");
        return Err(ApiError::invalid("limit", message));
    }
    let limit = usize::try_from(limit).unwrap_or(1);
    let position = |cursor: &str, param: &str| {
        let known = all.iter().position(|object| text(object, "id") == cursor);
        if known.is_none() && space.store.get(kind, cursor).is_none() {
            return Err(ApiError::no_such(kind, cursor, param));
        }
        Ok(known)
    };
    let (data, has_more) = if let Some(cursor) = params.text("starting_after") {
        let rest = position(cursor, "starting_after")?.map_or(&[][..], |place| &all[place + 1..]);
        (&rest[..rest.len().min(limit)], rest.len() > limit)
    } else if let Some(cursor) = params.text("ending_before") {
        let newer = position(cursor, "ending_before")?.map_or(&[][..], |place| &all[..place]);
        (&newer[newer.len().saturating_sub(limit)..], newer.len() > limit)
    } else {
        (&all[..all.len().min(limit)], all.len() > limit)
    };
    Ok(json!({ "object": "list", "url": url, "has_more": has_more, "data": data }))
}

/// A list inside an object, whole.
pub(crate) fn embedded(url: &str, data: &[Value]) -> Value {
    json!({ "object": "list", "url": url, "has_more": false, "total_count": data.len(), "data": data })
}

/// The filter `created`: one time, or bounds.
struct Created {
    from: i64,
    to: i64,
}

// === impl Created ===

impl Created {
    fn read(params: &Params) -> Result<Created, ApiError> {
        let mut bounds = Created { from: i64::MIN, to: i64::MAX };
        match params.get("created") {
            Some(Value::Object(hash)) => {
                for (operator, value) in hash {
                    let at = nested_int(value, &format!("created[{operator}]"))?;
                    match operator.as_str() {
                        "gt" => bounds.from = bounds.from.max(at.saturating_add(1)),
                        "gte" => bounds.from = bounds.from.max(at),
                        "lt" => bounds.to = bounds.to.min(at.saturating_sub(1)),
                        "lte" => bounds.to = bounds.to.min(at),
                        other => {
                            let message = format!("Received unknown parameter: created[{other}]");
                            return Err(ApiError::invalid(&format!("created[{other}]"), message));
                        }
                    }
                }
            }
            Some(value) => {
                let at = nested_int(value, "created")?;
                bounds = Created { from: at, to: at };
            }
            None => {}
        }
        Ok(bounds)
    }

    fn is_in(&self, at: i64) -> bool {
        (self.from..=self.to).contains(&at)
    }
}
