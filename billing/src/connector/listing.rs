//! Reads lists of entities: conditions, pages and an order.
//!
//! Stripe lists newest first and cannot sort. In that order a page goes on behind the last object
//! that was looked at. In any other order everything that meets the condition is read and put in
//! order for each page, which goes on behind the last value; both survive objects that come and go.
//! A page's token belongs to its question: another one's is refused.

use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entities::{Entity, Kind, check_id};
use super::filter::{self, Filter, Op};
use super::naming::{self, Segment};
use super::number::Exact;
use crate::error::BillingError;
use crate::stripe::{Client, Form};

/// Objects of a page where nothing was asked, and most of one.
pub const PAGE_DEFAULT: usize = 25;
/// See [`PAGE_DEFAULT`].
pub const PAGE_MAX: usize = 200;

/// Most objects that one page looks at; what comes is a shorter page with a token.
const SCANNED_MAX: usize = 1000;

/// Most objects that are put in order, or changed under a condition.
const SORTED_MAX: usize = 5000;

/// Objects of one request: the most that Stripe gives.
const CHUNK: usize = 100;

/// What is asked for.
#[derive(Debug, Default)]
pub struct Query {
    filter: Option<Filter>,
    sort: Option<Sort>,
    size: usize,
    after: Option<Token>,
    /// Of entity, condition and order.
    mark: String,
}

/// As callers write it.
#[derive(Clone, Debug, Default)]
pub struct Asked<'a> {
    /// The filter clause; none or an empty one takes everything.
    pub conditions: Option<&'a str>,
    /// Columns to sort by: one at most.
    pub sort_by: &'a [String],
    /// `ASC` or `DESC`.
    pub sort_order: Option<&'a str>,
    /// Objects of a page: 25, at most 200.
    pub page_size: Option<usize>,
    /// Of the page before.
    pub page_token: Option<&'a str>,
}

/// One page.
#[derive(Debug)]
pub struct Page {
    /// Objects of Stripe.
    pub objects: Vec<Value>,
    /// For the next page, where there is one.
    pub next: Option<String>,
}

#[derive(Debug)]
struct Sort {
    field: Vec<Segment>,
    is_descending: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Token {
    #[serde(rename = "q")]
    mark: String,
    #[serde(rename = "i")]
    id: String,
    #[serde(rename = "v", default)]
    value: Value,
}

// === impl Query ===

impl Query {
    /// Reads what is asked for of `entity`.
    ///
    /// # Errors
    /// `Invalid`, naming the parameter.
    pub fn read(entity: &Entity, asked: &Asked<'_>) -> Result<Query, BillingError> {
        let clause = asked.conditions.filter(|clause| !clause.trim().is_empty());
        let filter = clause.map(filter::parse).transpose()?;
        let sort = Sort::read(asked.sort_by, asked.sort_order)?;
        let size = match asked.page_size {
            None | Some(0) => PAGE_DEFAULT,
            Some(size) => size.min(PAGE_MAX),
        };
        let question = format!("{}\n{clause:?}\n{sort:?}", entity.name);
        let digest = digest::digest(&digest::SHA256, question.as_bytes());
        let mark = BASE64.encode(&digest.as_ref()[..6]);
        let after = asked.page_token.filter(|token| !token.is_empty());
        let after = after.map(|token| Token::read(token, &mark)).transpose()?;
        Ok(Query { filter, sort, size, after, mark })
    }

    fn is_met_by(&self, object: &Value) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(object))
    }

    fn token(&self, id: &str, value: Value) -> String {
        Token { mark: self.mark.clone(), id: id.to_owned(), value }.written()
    }
}

// === impl Token ===

impl Token {
    fn read(token: &str, mark: &str) -> Result<Token, BillingError> {
        let wrong = || {
            let reason = "is no token of this question: entity, conditions and order stay the same";
            BillingError::invalid("pageToken", reason)
        };
        let bytes = BASE64.decode(token).map_err(|_| wrong())?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
        check_id("pageToken", &token.id)?;
        if token.mark == mark { Ok(token) } else { Err(wrong()) }
    }

    fn written(&self) -> String {
        BASE64.encode(serde_json::to_vec(self).expect("texts and a value"))
    }
}

// === impl Sort ===

impl Sort {
    /// `None` where Stripe's own order is asked for: the newest first.
    fn read(columns: &[String], order: Option<&str>) -> Result<Option<Sort>, BillingError> {
        let is_descending = match order.map(str::to_ascii_uppercase).as_deref() {
            None | Some("" | "ASC" | "ASCENDING") => false,
            Some("DESC" | "DESCENDING") => true,
            Some(_) => return Err(BillingError::invalid("sortOrder", "must be ASC or DESC")),
        };
        let mut columns = columns.iter().flat_map(|column| column.split(','));
        let Some(column) = columns.next().map(str::trim).filter(|it| !it.is_empty()) else {
            return Ok(None);
        };
        if let Some(second) = columns.next() {
            let reason = format!("takes one column, and {} is a second", second.trim());
            return Err(BillingError::invalid("sortBy", reason));
        }
        // `Name DESC`, as other connectors write it.
        let (column, is_descending) = match column.split_once(' ') {
            Some((name, word)) if word.trim().eq_ignore_ascii_case("desc") => (name, true),
            Some((name, word)) if word.trim().eq_ignore_ascii_case("asc") => (name, false),
            Some(_) | None => (column, is_descending),
        };
        let field = naming::path(column)
            .map_err(|_| BillingError::invalid("sortBy", format!("{column} is no column")))?;
        let is_newest_first = is_descending && field[0].as_str() == "created" && field.len() == 1;
        Ok((!is_newest_first).then_some(Sort { field, is_descending }))
    }

    /// The order of two places: value, then id.
    fn order(&self, one: (&Value, &str), other: (&Value, &str)) -> Ordering {
        let order = compare(one.0, other.0).then_with(|| one.1.cmp(other.1));
        if self.is_descending { order.reverse() } else { order }
    }
}

/// Values of a column: nothing, then truths, numbers and texts.
fn compare(one: &Value, other: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null | Value::Array(_) | Value::Object(_) => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
    };
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Number(one), Value::Number(other)) => {
            let exact = |number: &serde_json::Number| Exact::parse(&number.to_string());
            exact(one).cmp(&exact(other))
        }
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (one, other) => rank(one).cmp(&rank(other)),
    }
}

/// One page of what is asked for.
///
/// # Errors
/// `Invalid` where more than can be sorted meets the condition; Stripe's.
pub(super) async fn page(
    client: &Client,
    entity: &Entity,
    query: &Query,
) -> Result<Page, BillingError> {
    match &query.sort {
        None => newest_first(client, entity, query).await,
        Some(sort) => sorted(client, entity, query, sort).await,
    }
}

async fn newest_first(
    client: &Client,
    entity: &Entity,
    query: &Query,
) -> Result<Page, BillingError> {
    let narrowed = narrowed(entity, query.filter.as_ref());
    let mut after = query.after.as_ref().map(|token| token.id.clone());
    let (mut objects, mut scanned) = (Vec::new(), 0);
    loop {
        // One more than the page tells whether there is another one.
        let wanted = (query.size - objects.len() + 1).min(CHUNK);
        let limit = if query.filter.is_some() { CHUNK } else { wanted };
        let (chunk, has_more) = chunk(client, entity, &narrowed, limit, after.as_deref()).await?;
        for object in chunk {
            scanned += 1;
            let is_met = query.is_met_by(&object);
            if is_met && objects.len() == query.size {
                let next = after.map(|id| query.token(&id, Value::Null));
                return Ok(Page { objects, next });
            }
            after = object["id"].as_str().map(str::to_owned);
            if is_met {
                objects.push(object);
            }
        }
        if !has_more || after.is_none() {
            return Ok(Page { objects, next: None });
        }
        if scanned >= SCANNED_MAX {
            let next = after.map(|id| query.token(&id, Value::Null));
            return Ok(Page { objects, next });
        }
    }
}

async fn sorted(
    client: &Client,
    entity: &Entity,
    query: &Query,
    sort: &Sort,
) -> Result<Page, BillingError> {
    let mut objects = every(client, entity, query.filter.as_ref()).await?;
    let place = |object: &Value| {
        let id = object["id"].as_str().unwrap_or_default().to_owned();
        (filter::lookup(object, &sort.field).clone(), id)
    };
    objects.sort_by(|one, other| {
        let (one, other) = (place(one), place(other));
        sort.order((&one.0, &one.1), (&other.0, &other.1))
    });
    if let Some(after) = &query.after {
        objects.retain(|object| {
            let (value, id) = place(object);
            sort.order((&value, &id), (&after.value, &after.id)).is_gt()
        });
    }
    let has_more = objects.len() > query.size;
    objects.truncate(query.size);
    let last = objects.last().filter(|_| has_more).map(place);
    let next = last.map(|(value, id)| query.token(&id, value));
    Ok(Page { objects, next })
}

/// Everything that meets a condition, newest first.
///
/// # Errors
/// `Invalid` where that is more than [`SORTED_MAX`]; Stripe's.
pub(super) async fn every(
    client: &Client,
    entity: &Entity,
    filter: Option<&Filter>,
) -> Result<Vec<Value>, BillingError> {
    let narrowed = narrowed(entity, filter);
    let (mut objects, mut after) = (Vec::new(), None::<String>);
    let mut scanned = 0;
    loop {
        let (chunk, has_more) = chunk(client, entity, &narrowed, CHUNK, after.as_deref()).await?;
        scanned += chunk.len();
        after = chunk.last().and_then(|object| object["id"].as_str()).map(str::to_owned);
        let met = chunk.into_iter().filter(|it| filter.is_none_or(|filter| filter.matches(it)));
        objects.extend(met);
        if !has_more || after.is_none() {
            return Ok(objects);
        }
        if scanned >= SORTED_MAX {
            let reason = format!(
                "leave more than {SORTED_MAX} objects to look at: narrow them, e.g. by Created"
            );
            return Err(BillingError::invalid("conditions", reason));
        }
    }
}

async fn chunk(
    client: &Client,
    entity: &Entity,
    narrowed: &Form,
    limit: usize,
    after: Option<&str>,
) -> Result<(Vec<Value>, bool), BillingError> {
    let query = narrowed.clone().with("limit", limit).with_some("starting_after", after);
    let mut answer = client.get(entity.path, &query).await?;
    let has_more = answer["has_more"].as_bool().unwrap_or(false);
    let Value::Array(objects) = answer["data"].take() else { return Ok((Vec::new(), false)) };
    Ok((objects, has_more))
}

/// What Stripe's list can leave out by itself.
fn narrowed(entity: &Entity, filter: Option<&Filter>) -> Form {
    let mut form = Form::new();
    let required = filter.map(Filter::required).unwrap_or_default();
    for (field, op, value) in required {
        let [field] = field else { continue };
        let field = field.as_str();
        let bound = match op {
            Op::Equal if entity.narrows.contains(&field) => Some(field.to_owned()),
            Op::Equal | Op::NotEqual => None,
            Op::Less => Some("created[lt]".to_owned()),
            Op::LessOrEqual => Some("created[lte]".to_owned()),
            Op::Greater => Some("created[gt]".to_owned()),
            Op::GreaterOrEqual => Some("created[gte]".to_owned()),
        };
        let time = Exact::parse(value.text()).and_then(|time| time.to_i64());
        let value = match (op, field, time) {
            (Op::Equal, _, _) if is_truth(entity, field) => value.text().to_ascii_lowercase(),
            (Op::Equal, _, _) => value.text().to_owned(),
            (_, "created", Some(time)) => time.to_string(),
            _ => continue,
        };
        let Some(name) = bound.filter(|_| !value.is_empty()) else { continue };
        if !form.pairs().iter().any(|(other, _)| *other == name) {
            form.push(name, value);
        }
    }
    if let Some((name, value)) = entity.list_whole
        && !form.pairs().iter().any(|(other, _)| other == name)
    {
        form.push(name, value);
    }
    form
}

fn is_truth(entity: &Entity, path: &str) -> bool {
    entity.fields.iter().any(|field| field.path == path && field.kind == Kind::Bool)
}

#[cfg(test)]
mod tests;
