//! Finds the consumer key of a call, in a header or in the query, and takes it out of what the upstream sees.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::HeaderName;

use super::route::Route;
use crate::refusal::Refusal;

/// The consumer key of a call, where it has one.
///
/// # Errors
/// [`Refusal::BadRequest`] for two keys in one place: gateway and upstream could each take another.
/// [`Refusal::KeyUnknown`] for bytes that no key has.
pub(crate) fn find<'a>(
    route: &Route,
    headers: &'a HeaderMap,
    query: Option<&'a str>,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    find_in(route.key_header.as_ref(), route.config.key.query.as_str(), headers, query)
}

/// The consumer key in this header, or else in this parameter of the query (empty: none).
///
/// # Errors
/// As [`find`].
pub(crate) fn find_in<'a>(
    header: Option<&HeaderName>,
    name: &str,
    headers: &'a HeaderMap,
    query: Option<&'a str>,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    if let Some(name) = header {
        let mut values = headers.get_all(name).iter();
        if let Some(value) = values.next() {
            if values.next().is_some() {
                return Err(Refusal::BadRequest);
            }
            let key = value.to_str().map_err(|_| Refusal::KeyUnknown)?;
            return Ok(Some(Cow::Borrowed(key)));
        }
    }
    let Some(query) = query else {
        return Ok(None);
    };
    if name.is_empty() {
        return Ok(None);
    }
    let mut keys = query.split('&').filter_map(|part| value_of(part, name));
    let key = keys.next();
    if keys.next().is_some() {
        return Err(Refusal::BadRequest);
    }
    key.map(plain).transpose()
}

/// The query without the key's parameter; none where it has no such parameter.
pub(crate) fn query_without(route: &Route, query: &str) -> Option<String> {
    let name = route.config.key.query.as_str();
    if name.is_empty() || !query.split('&').any(|part| value_of(part, name).is_some()) {
        return None;
    }
    let mut rest = String::with_capacity(query.len());
    for part in query.split('&').filter(|part| value_of(part, name).is_none()) {
        if !rest.is_empty() {
            rest.push('&');
        }
        rest.push_str(part);
    }
    Some(rest)
}

/// The value of one `name=value` of a query, where the name is this one.
fn value_of<'a>(part: &'a str, name: &str) -> Option<&'a str> {
    let rest = part.strip_prefix(name)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('=') }
}

/// A query value as it was before it was escaped.
fn plain(value: &str) -> Result<Cow<'_, str>, Refusal> {
    if !value.contains(['%', '+']) {
        return Ok(Cow::Borrowed(value));
    }
    let spaced = value.replace('+', " ");
    let bytes = super::route::percent_decoded(spaced.as_bytes()).ok_or(Refusal::BadRequest)?;
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Refusal::KeyUnknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Proxy;
    use crate::proxy::route::Routes;

    #[test]
    fn the_key_is_found_and_taken_out() {
        let routes = Routes::new(vec![Proxy::new("a", "http://a")]);
        let route = &routes.all[0];
        let rows = [
            (None, "", Ok(None), None),
            (Some("k"), "apikey=q", Ok(Some("k")), Some("")),
            (None, "apikey=q", Ok(Some("q")), Some("")),
            (None, "a=b&apikey=q%2D1&c", Ok(Some("q-1")), Some("a=b&c")),
            (None, "apikey", Ok(Some("")), Some("")),
            (None, "apikeys=q", Ok(None), None),
            (None, "apikey=q&apikey=r", Err(Refusal::BadRequest), Some("")),
            (None, "apikey=%zz", Err(Refusal::BadRequest), Some("")),
        ];
        for (header, query, want, rest) in rows {
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert("x-api-key", value.parse().unwrap());
            }
            let found = find(route, &headers, Some(query));
            assert_eq!(found, want.map(|key| key.map(Cow::Borrowed)), "{query}");
            assert_eq!(query_without(route, query).as_deref(), rest, "{query}");
        }
    }

    #[test]
    fn two_keys_in_the_header_are_refused() {
        let routes = Routes::new(vec![Proxy::new("a", "http://a")]);
        let mut headers = HeaderMap::new();
        headers.append("x-api-key", "k".parse().unwrap());
        headers.append("x-api-key", "k".parse().unwrap());
        assert_eq!(find(&routes.all[0], &headers, None), Err(Refusal::BadRequest));
    }
}
