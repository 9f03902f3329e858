//! Form encoding as Stripe reads it: `a[b][0][c]=1` is a tree, `a[]=1` appends.

use serde_json::{Map, Value};

/// Most pairs that a body or query may have.
const PAIRS_MAX: usize = 5_000;
/// Deepest nesting of a key.
const DEPTH_MAX: usize = 8;

/// Reads a form or query into a tree of strings; hashes whose keys are 0, 1, 2 … become arrays.
///
/// # Errors
/// Says what of which key cannot be read.
pub(crate) fn decode(encoded: &[u8]) -> Result<Map<String, Value>, String> {
    let mut root = Map::new();
    for (count, (key, value)) in form_urlencoded::parse(encoded).enumerate() {
        if count >= PAIRS_MAX {
            return Err(format!("more than {PAIRS_MAX} parameters"));
        }
        let path = path_of(&key)?;
        place(&mut root, &path, &value)
            .map_err(|()| format!("{key} is both a value and a hash"))?;
    }
    Ok(root.into_iter().map(|(key, value)| (key, arrays(value))).collect())
}

/// Splits `a[b][]` into `a`, `b` and the empty string.
fn path_of(key: &str) -> Result<Vec<&str>, String> {
    let Some((first, rest)) = key.split_once('[') else { return Ok(vec![key]) };
    let inner = rest.strip_suffix(']').ok_or_else(|| format!("{key} misses a bracket"))?;
    let mut path = vec![first];
    path.extend(inner.split("]["));
    if path.len() > DEPTH_MAX {
        return Err(format!("{key} is nested deeper than {DEPTH_MAX}"));
    }
    Ok(path)
}

fn place(hash: &mut Map<String, Value>, path: &[&str], value: &str) -> Result<(), ()> {
    let [first, rest @ ..] = path else { return Err(()) };
    // `a[]` appends: its key is the next free number.
    let first = if first.is_empty() { hash.len().to_string() } else { (*first).to_owned() };
    if rest.is_empty() {
        hash.insert(first, Value::String(value.to_owned()));
        return Ok(());
    }
    match hash.entry(first).or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(inner) => place(inner, rest, value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(())
        }
    }
}

fn arrays(value: Value) -> Value {
    let Value::Object(hash) = value else { return value };
    let mut numbered: Vec<(usize, Value)> = Vec::new();
    let is_list = !hash.is_empty() && hash.keys().all(|key| key.parse::<usize>().is_ok());
    if !is_list {
        return Value::Object(hash.into_iter().map(|(key, inner)| (key, arrays(inner))).collect());
    }
    for (key, inner) in hash {
        numbered.push((key.parse().unwrap_or(usize::MAX), arrays(inner)));
    }
    numbered.sort_by_key(|(number, _)| *number);
    Value::Array(numbered.into_iter().map(|(_, inner)| inner).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn brackets_nest_number_and_append() {
        let check = |encoded: &str, expected: Value| {
            assert_eq!(Value::Object(decode(encoded.as_bytes()).unwrap()), expected, "{encoded}");
        };
        check("a=1&b=x%20y+z", json!({ "a": "1", "b": "x y z" }));
        check("a[b][c]=1&a[d]=2", json!({ "a": { "b": { "c": "1" }, "d": "2" } }));
        check("a[1][p]=y&a[0][p]=x", json!({ "a": [{ "p": "x" }, { "p": "y" }] }));
        check("a[]=x&a[]=y", json!({ "a": ["x", "y"] }));
        check("a%5Bb%5D=1", json!({ "a": { "b": "1" } }));
        check("a=", json!({ "a": "" }));
    }

    #[test]
    fn a_key_that_cannot_be_read_is_named() {
        assert_eq!(decode(b"a[b=1").unwrap_err(), "a[b misses a bracket");
        assert_eq!(decode(b"a=1&a[b]=1").unwrap_err(), "a[b] is both a value and a hash");
        assert!(decode(b"a[b][c][d][e][f][g][h][i]=1").unwrap_err().contains("deeper than 8"));
    }
}
