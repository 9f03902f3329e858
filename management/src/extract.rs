//! Reads the parts of a request: path, query and body.

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::request::Parts as Head;
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::json;
use crate::router::Api;

/// Query parameters that Google's clients add to any request, and paging of the portal's client
/// for Apigee Edge, which Apigee X ignores.
const IGNORED: [&str; 14] = [
    "$.xgafv",
    "access_token",
    "alt",
    "callback",
    "fields",
    "key",
    "oauth_token",
    "prettyPrint",
    "quotaUser",
    "uploadType",
    "upload_protocol",
    "$alt",
    "page",
    "size",
];

/// Default and largest page of a listing.
const COUNT_DEFAULT: usize = 100;
const COUNT_MAX: usize = 1000;

/// A request body of a shape.
pub(crate) struct Json<T>(pub(crate) T);

/// A request body of any kind, for verbs that need none.
pub(crate) struct Body(pub(crate) Bytes);

/// The query.
pub(crate) struct Parameters(Vec<(String, String)>);

/// One page of a listing.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// The first key, included.
    pub(crate) start: Option<String>,
    /// At most so many.
    pub(crate) count: usize,
}

impl FromRequest<Api> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Body, ApiError> {
        let limit = api.limits.body_bytes_max;
        match to_bytes(request.into_body(), limit).await {
            Ok(bytes) => Ok(Body(bytes)),
            Err(error) => {
                let is_limit = std::error::Error::source(&error)
                    .is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
                Err(match is_limit {
                    true => ApiError::TooLarge { limit },
                    false => ApiError::Body("ended before it was whole".to_owned()),
                })
            }
        }
    }
}

impl<T: DeserializeOwned> FromRequest<Api> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Json<T>, ApiError> {
        let Body(bytes) = Body::from_request(request, api).await?;
        json::read(&bytes).map(Json)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Head, _: &S) -> Result<Parameters, ApiError> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(&head.uri);
        let Query(mut pairs) = query.map_err(|_| ApiError::Query {
            name: head.uri.query().unwrap_or_default().to_owned(),
            reason: "is malformed".to_owned(),
        })?;
        pairs.retain(|(name, _)| !IGNORED.contains(&name.as_str()));
        Ok(Parameters(pairs))
    }
}

// === impl Parameters ===

impl Parameters {
    /// Says which parameters a path knows. Others are ignored, since clients of Apigee add some of
    /// their own; but one of these in another spelling is refused, before it silently does nothing.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        for (name, _) in &self.0 {
            let meant = known.iter().find(|known| is_same_word(known, name));
            if let Some(meant) = meant.filter(|meant| *meant != name) {
                return Err(invalid(name, &format!("is unknown here, {meant} is known")));
            }
        }
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// `true` or `false`; absent is false.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid(name, "must be true or false")),
        }
    }

    /// A size of a page of up to a thousand, which is also the default.
    pub(crate) fn number(&self, name: &str) -> Result<usize, ApiError> {
        match self.get(name).map(str::parse::<usize>) {
            None | Some(Ok(0)) => Ok(COUNT_MAX),
            Some(Ok(size)) => Ok(size.min(COUNT_MAX)),
            Some(Err(_)) => Err(invalid(name, "must be a whole number from 1 to 1000")),
        }
    }

    /// `count` and `startKey`.
    pub(crate) fn page(&self) -> Result<Page, ApiError> {
        let count = match self.get("count") {
            None => COUNT_DEFAULT,
            Some(text) => match text.parse() {
                Ok(0) | Err(_) => {
                    return Err(invalid("count", "must be a whole number from 1 to 1000"));
                }
                Ok(count) => usize::min(count, COUNT_MAX),
            },
        };
        let start = self.get("startKey").filter(|key| !key.is_empty()).map(str::to_owned);
        Ok(Page { start, count })
    }
}

/// Whether two names differ in nothing but case and underscores.
fn is_same_word(one: &str, other: &str) -> bool {
    let letters = |name: &str| -> Vec<u8> {
        let bytes = name.bytes().filter(|byte| *byte != b'_');
        bytes.map(|byte| byte.to_ascii_lowercase()).collect()
    };
    letters(one) == letters(other)
}

fn invalid(name: &str, reason: &str) -> ApiError {
    ApiError::Query { name: name.to_owned(), reason: reason.to_owned() }
}

/// The developer in a path. The router decoded it once; `%40` that is left was encoded twice, as
/// Apigee's command line client does.
pub(crate) fn developer(segment: &str) -> String {
    segment.replace("%40", "@").replace("%2B", "+").replace("%2b", "+")
}

/// The names in a path, decoded once.
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Head, state: &S) -> Result<At<T>, ApiError> {
        match Path::<T>::from_request_parts(head, state).await {
            Ok(Path(names)) => Ok(At(names)),
            Err(_) => Err(ApiError::NoSuchPath),
        }
    }
}
