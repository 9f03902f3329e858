//! Reads request bodies: JSON, with the trailing commas of Apigee's own samples.
//!
//! One comma before a closing brace or bracket is taken for none; it is blanked, so that lines
//! and columns of other errors stay right. Everything else that is not JSON is refused, and so
//! are arrays in place of objects, which serde would read field by field.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

use crate::error::ApiError;

/// Reads a body of a shape.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::Body("is empty, JSON is expected".to_owned()));
    }
    let strict = without_trailing_commas(body);
    let read = serde_json::from_slice::<Object<T>>(&strict);
    read.map(|Object(shape)| shape).map_err(|error| ApiError::Body(error.to_string()))
}

/// An object in a field, absent or `null`.
pub(crate) fn object<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<Object<T>>::deserialize(from)?.map(|Object(shape)| shape))
}

/// A list of objects in a field, absent or `null`.
pub(crate) fn objects<'de, T, D>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let read = Option::<Vec<Object<T>>>::deserialize(from)?;
    Ok(read.map(|list| list.into_iter().map(|Object(shape)| shape).collect()))
}

/// A list of objects in a field; absent or `null`, it is empty.
pub(crate) fn list<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(objects(from)?.unwrap_or_default())
}

/// A shape that is an object and nothing else.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Object<T>, D::Error> {
        from.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// Blanks every comma that follows a value and stands before a closing brace or bracket.
fn without_trailing_commas(body: &[u8]) -> Vec<u8> {
    let mut strict = body.to_vec();
    let mut is_in_string = false;
    let mut is_escaped = false;
    // The last byte outside strings that is not white space, and the one before it if it is a
    // comma: which a value came before.
    let mut last = 0u8;
    let mut comma: Option<usize> = None;
    for (at, byte) in body.iter().copied().enumerate() {
        if is_in_string {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => is_in_string = false,
                _ => {}
            }
            continue;
        }
        if byte.is_ascii_whitespace() {
            continue;
        }
        if matches!(byte, b'}' | b']')
            && let Some(at) = comma
        {
            strict[at] = b' ';
        }
        let follows_value = !matches!(last, 0 | b',' | b'{' | b'[' | b':');
        comma = (byte == b',' && follows_value).then_some(at);
        is_in_string = byte == b'"';
        last = byte;
    }
    strict
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn one_trailing_comma_is_taken_for_none() {
        let check = |rows: &[(&str, Option<&str>)]| {
            for (given, want) in rows {
                let read = read::<Value>(given.as_bytes()).ok().map(|value| value.to_string());
                assert_eq!(read.as_deref(), *want, "{given}");
            }
        };
        check(&[
            ("{\"billingType\": \"POSTPAID\",\n}", Some("{\"billingType\":\"POSTPAID\"}")),
            ("{\"a\":[1, 2 ,\t]}", Some("{\"a\":[1,2]}")),
            ("{\"a\":[[1,],]}", Some("{\"a\":[[1]]}")),
            ("{\"a\":\",}\",}", Some("{\"a\":\",}\"}")),
            ("{\"a\":\"\\\",}\"}", Some("{\"a\":\"\\\",}\"}")),
            ("{,}", None),
            ("{\"a\":[,]}", None),
            ("{\"a\":[1,,]}", None),
            ("[]", None),
            ("{\"a\":,}", None),
            ("{\"a\":1},", None),
            ("{\"a\":1", None),
            ("{'a':1}", None),
            ("{\"a\":NaN}", None),
            ("{\"a\":1}{}", None),
            ("", None),
        ]);
    }

    #[test]
    fn an_error_names_line_and_column_of_what_was_sent() {
        let error = read::<Value>(b"{\n  \"a\": [1,],\n  \"b\": x\n}").unwrap_err().to_string();
        assert!(error.contains("line 3 column 8"), "{error}");
    }
}
