//! Filter clauses: `Email = 'a@b.c' AND (Balance < 0 OR Created >= 1700000000)`.
//!
//! A clause is parsed into a tree and asked of objects; nothing of it is spliced into a request. What
//! Stripe's own lists can filter by is handed to them besides (`narrowed`), to read less.
//! Texts stand in single quotes, a quote in them is doubled; `AND` binds before `OR`. As in SQL a
//! field that is `null` or absent meets no comparison, `!=` included.
//! Not here: how a list is read (`operate`).

mod parse;

use serde_json::Value;

use super::naming::Segment;
use super::number::Exact;

pub use parse::parse;

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    text: String,
    number: Option<Exact>,
}

/// A condition on an object of Stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// One comparison.
    Compare {
        /// The path of the field, as Stripe names it.
        field: Vec<Segment>,
        /// How.
        op: Op,
        /// With what.
        value: Literal,
    },
    /// All of these.
    All(Vec<Filter>),
    /// At least one of these.
    Any(Vec<Filter>),
}

// === impl Op ===

impl Op {
    fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Op::Equal => order.is_eq(),
            Op::NotEqual => order.is_ne(),
            Op::Less => order.is_lt(),
            Op::LessOrEqual => order.is_le(),
            Op::Greater => order.is_gt(),
            Op::GreaterOrEqual => order.is_ge(),
        }
    }
}

// === impl Literal ===

impl Literal {
    /// A literal of this text; one that reads as a number compares with numbers as one.
    #[must_use]
    pub fn new(text: &str) -> Literal {
        Literal { text: text.to_owned(), number: Exact::parse(text) }
    }

    /// As it was written, without quotes.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

// === impl Filter ===

impl Filter {
    /// Whether the object meets it.
    #[must_use]
    pub fn matches(&self, object: &Value) -> bool {
        match self {
            Filter::Compare { field, op, value } => compare(lookup(object, field), *op, value),
            Filter::All(parts) => parts.iter().all(|part| part.matches(object)),
            Filter::Any(parts) => parts.iter().any(|part| part.matches(object)),
        }
    }

    /// Comparisons that every object has to meet which meets this.
    #[must_use]
    pub fn required(&self) -> Vec<(&[Segment], Op, &Literal)> {
        match self {
            Filter::Compare { field, op, value } => vec![(field.as_slice(), *op, value)],
            Filter::All(parts) => parts.iter().flat_map(Filter::required).collect(),
            Filter::Any(_) => Vec::new(),
        }
    }
}

/// The value at a path; `null` where there is none. A field that Stripe has expanded is its id.
#[must_use]
pub fn lookup<'a>(object: &'a Value, path: &[Segment]) -> &'a Value {
    let mut value = object;
    for part in path {
        value = match value {
            Value::Array(items) => {
                let at = part.as_str().parse::<usize>().ok();
                at.and_then(|at| items.get(at)).unwrap_or(&Value::Null)
            }
            other => &other[part.as_str()],
        };
    }
    match value {
        Value::Object(fields) => fields.get("id").unwrap_or(&Value::Null),
        other => other,
    }
}

fn compare(value: &Value, op: Op, with: &Literal) -> bool {
    match value {
        Value::Number(number) => match (Exact::parse(&number.to_string()), &with.number) {
            (Some(number), Some(with)) => op.holds(number.cmp(with)),
            (Some(_) | None, _) => false,
        },
        Value::String(text) => op.holds(text.as_str().cmp(with.text.as_str())),
        Value::Bool(it) => {
            let text = if *it { "true" } else { "false" };
            let is_equal = with.text.eq_ignore_ascii_case(text);
            match op {
                Op::Equal => is_equal,
                Op::NotEqual => !is_equal,
                Op::Less | Op::LessOrEqual | Op::Greater | Op::GreaterOrEqual => false,
            }
        }
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests;
