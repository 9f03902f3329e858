//! Search: `status:'succeeded' AND metadata['order']:'7'`, over objects that are old enough to be in the index.

use serde_json::{Value, json};

use crate::error::{Answer, ApiError};
use crate::object::{at, int};
use crate::routes::{Call, Route, get};
use crate::space::Space;

const ACCEPTS: &str = "query! limit:int page";
/// Most objects of a page, and how many it has where nothing was asked.
const PAGE_MAX: i64 = 100;
const PAGE_DEFAULT: i64 = 10;
/// Most clauses of a query.
const CLAUSES_MAX: usize = 10;

pub(crate) const ROUTES: &[Route] = &[
    get("payment_intents/search", ACCEPTS, |space, call| found(space, call, "payment_intent")),
    get("customers/search", ACCEPTS, |space, call| found(space, call, "customer")),
    get("charges/search", ACCEPTS, |space, call| found(space, call, "charge")),
    get("invoices/search", ACCEPTS, |space, call| found(space, call, "invoice")),
    get("subscriptions/search", ACCEPTS, |space, call| found(space, call, "subscription")),
    get("products/search", ACCEPTS, |space, call| found(space, call, "product")),
    get("prices/search", ACCEPTS, |space, call| found(space, call, "price")),
];

/// One condition of a query.
#[derive(Debug, PartialEq)]
struct Clause {
    is_negated: bool,
    /// A field's path, or `metadata` and a key.
    field: String,
    key: Option<String>,
    operator: Operator,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Is,
    Contains,
    Above,
    Below,
    AtLeast,
    AtMost,
}

/// A query: all clauses, or any of them.
#[derive(Debug, PartialEq)]
struct Query {
    clauses: Vec<Clause>,
    is_any: bool,
}

fn found(space: &mut Space, call: &Call, kind: &str) -> Answer {
    let query = Query::parse(call.params.text("query").unwrap_or_default()).map_err(|what| {
        ApiError::invalid("query", format!("We were unable to parse your search query: {what}."))
    })?;
    let limit = call.params.int("limit").unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(ApiError::invalid(
            "limit",
            format!("Invalid integer: limit must be from 1 to {PAGE_MAX}"),
        ));
    }
    let from = match call.params.text("page") {
        Some(page) => page.parse().map_err(|_| ApiError::invalid("page", "Invalid page."))?,
        None => 0_usize,
    };
    let newest = space.now - space.search_lag_s;
    let all: Vec<&Value> = space
        .store
        .newest_first(kind)
        .filter(|object| int(object, "created") <= newest && query.fits(object))
        .collect();
    let rest = all.get(from..).unwrap_or_default();
    let data = &rest[..rest.len().min(usize::try_from(limit).unwrap_or(1))];
    let next = from + data.len();
    let has_more = next < all.len();
    let plural = format!("{kind}s");
    Ok(json!({
        "object": "search_result", "url": format!("/v1/{plural}/search"), "has_more": has_more, "data": data,
        "next_page": has_more.then(|| next.to_string()), "total_count": all.len(),
    }))
}

// === impl Query ===

impl Query {
    fn parse(query: &str) -> Result<Query, String> {
        let mut clauses = Vec::new();
        let mut joints = Vec::new();
        let mut rest = query.trim();
        loop {
            let (clause, after) = Clause::parse(rest)?;
            clauses.push(clause);
            if clauses.len() > CLAUSES_MAX {
                return Err(format!("it has more than {CLAUSES_MAX} clauses"));
            }
            let after = after.trim_start();
            if after.is_empty() {
                break;
            }
            let (word, behind) =
                after.split_once(' ').ok_or_else(|| format!("{after} is no clause"))?;
            match word.to_ascii_uppercase().as_str() {
                "AND" | "OR" => joints.push(word.to_ascii_uppercase()),
                other => return Err(format!("{other} is neither AND nor OR")),
            }
            rest = behind.trim_start();
        }
        if joints.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err("AND and OR cannot be mixed".to_owned());
        }
        Ok(Query { clauses, is_any: joints.first().is_some_and(|joint| joint == "OR") })
    }

    fn fits(&self, object: &Value) -> bool {
        if self.is_any {
            return self.clauses.iter().any(|clause| clause.fits(object));
        }
        self.clauses.iter().all(|clause| clause.fits(object))
    }
}

// === impl Clause ===

impl Clause {
    /// Reads a clause from the beginning of a text, and gives what follows it.
    fn parse(text: &str) -> Result<(Clause, &str), String> {
        let is_negated = text.starts_with('-');
        let text = text.strip_prefix('-').unwrap_or(text);
        let end = text
            .find([':', '~', '>', '<', '['])
            .ok_or_else(|| format!("{text} has no operator"))?;
        let (field, mut rest) = text.split_at(end);
        let mut key = None;
        if let Some(inner) = rest.strip_prefix('[') {
            let (word, after) = quoted(inner)?;
            key = Some(word);
            rest = after.strip_prefix(']').ok_or("a bracket is not closed")?;
        }
        let operators = [
            (">=", Operator::AtLeast),
            ("<=", Operator::AtMost),
            (":", Operator::Is),
            ("~", Operator::Contains),
            (">", Operator::Above),
            ("<", Operator::Below),
        ];
        let found =
            operators.iter().find_map(|(sign, is)| rest.strip_prefix(sign).map(|rest| (*is, rest)));
        let (operator, rest) = found.ok_or_else(|| format!("{field} has no operator"))?;
        let (value, rest) = if rest.starts_with(['\'', '"']) {
            quoted(rest)?
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        Ok((Clause { is_negated, field: field.trim().to_owned(), key, operator, value }, rest))
    }

    fn fits(&self, object: &Value) -> bool {
        let field = match &self.key {
            Some(key) => object[&self.field].get(key).unwrap_or(&Value::Null),
            None => at(object, &self.field),
        };
        let shown = match field {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                field.to_string()
            }
        };
        let order = |wanted: fn(i64, i64) -> bool| match (field.as_i64(), self.value.parse()) {
            (Some(is), Ok(bound)) => wanted(is, bound),
            (_, _) => false,
        };
        let fits = match self.operator {
            Operator::Is if self.value == "null" => field.is_null(),
            Operator::Is => !field.is_null() && shown.eq_ignore_ascii_case(&self.value),
            Operator::Contains => shown.to_lowercase().contains(&self.value.to_lowercase()),
            Operator::Above => order(|is, bound| is > bound),
            Operator::Below => order(|is, bound| is < bound),
            Operator::AtLeast => order(|is, bound| is >= bound),
            Operator::AtMost => order(|is, bound| is <= bound),
        };
        fits != self.is_negated
    }
}

/// Reads a quoted word, in which a backslash keeps the next character, and gives what follows it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut letters = text.char_indices();
    let quote = match letters.next() {
        Some((_, quote @ ('\'' | '"'))) => quote,
        Some(_) | None => return Err(format!("{text} should begin with a quote")),
    };
    let mut word = String::new();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '\\' => word.extend(letters.next().map(|(_, kept)| kept)),
            letter if letter == quote => return Ok((word, &text[place + quote.len_utf8()..])),
            letter => word.push(letter),
        }
    }
    Err(format!("{text} is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_find_what_they_say() {
        let object = json!({
            "status": "succeeded", "amount": 500, "email": "Ann@example.com", "customer": null,
            "metadata": { "it's": "7", "order": "A-1" },
        });
        let check = |query: &str, fits| {
            assert_eq!(Query::parse(query).unwrap().fits(&object), fits, "{query}")
        };
        check("status:'succeeded'", true);
        check("-status:'succeeded'", false);
        check("metadata['order']:'A-1' AND amount>499", true);
        check("metadata['order']:'A-2' OR amount>=500", true);
        check("metadata['order']:'A-2' AND amount<=500", false);
        check(r"metadata['it\'s']:'7'", true);
        check("metadata[\"none\"]:null", true);
        check("email~'ann@'", true);
        check("customer:null", true);
    }

    #[test]
    fn queries_that_make_no_sense_are_refused() {
        let check =
            |query: &str, what: &str| assert_eq!(Query::parse(query).unwrap_err(), what, "{query}");
        check("status", "status has no operator");
        check("status:'x", "'x is not closed");
        check("a:'1' AND b:'2' OR c:'3'", "AND and OR cannot be mixed");
        check("a:'1' XOR b:'2'", "XOR is neither AND nor OR");
    }
}
