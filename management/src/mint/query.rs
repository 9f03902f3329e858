//! Queries and lists of Edge: `page` and `size`, or `all=true`, and
//! `{"<entity>":[…],"totalRecords":N}`.

use axum::extract::{FromRequestParts, Query};
use http::request::Parts as Head;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::error::ApiError;

/// Records of a page where no `size` is given, and at most.
const SIZE_DEFAULT: usize = 20;
const SIZE_MAX: usize = 1000;

/// The query, with the paging that other paths ignore.
pub(crate) struct Terms(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Terms {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Head, _: &S) -> Result<Terms, ApiError> {
        match Query::<Vec<(String, String)>>::try_from_uri(&head.uri) {
            Ok(Query(pairs)) => Ok(Terms(pairs)),
            Err(_) => Err(ApiError::Query {
                name: head.uri.query().unwrap_or_default().to_owned(),
                reason: "is malformed".to_owned(),
            }),
        }
    }
}

/// A list in an answer.
#[derive(Debug)]
pub(crate) struct List<T> {
    entity: &'static str,
    records: Vec<T>,
    total: usize,
}

// === impl Terms ===

impl Terms {
    /// Refuses every parameter but these: a slip must not book what was not meant.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(invalid(name, "is unknown here")),
            None => Ok(()),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| invalid(name, "is required"))
    }

    /// `true` or `false`; absent is false.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid(name, "must be true or false")),
        }
    }

    /// Whether a page is asked for.
    pub(crate) fn is_paged(&self) -> bool {
        self.get("page").is_some() || self.get("size").is_some()
    }

    /// How many records are before the page that is asked for, and how many it has, `most` at most
    /// and where none is asked for.
    pub(crate) fn page(&self, most: usize) -> Result<(usize, usize), ApiError> {
        let number = |name, least, default: usize| match self.get(name) {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(number) if number >= least => Ok(number),
                Ok(_) | Err(_) => Err(invalid(name, "is not a whole number that it can be")),
            },
        };
        // Pages are counted from 1; 0 is taken for the first as well.
        let page = number("page", 0, 1)?.max(1);
        let default = if self.is_paged() { SIZE_DEFAULT } else { most };
        let size = number("size", 1, default)?.min(most);
        Ok(((page - 1).saturating_mul(size), size))
    }

    /// The records that are asked for: how many are before them, and how many they are at most.
    pub(crate) fn wanted(&self) -> Result<(usize, usize), ApiError> {
        let page = self.page(SIZE_MAX)?;
        Ok(if self.is_paged() && !self.flag("all")? { page } else { (0, usize::MAX) })
    }

    /// The wanted ones of all `records` under the name of their kind, and how many there are in all.
    pub(crate) fn list<T: Serialize>(
        &self,
        entity: &'static str,
        records: Vec<T>,
    ) -> Result<List<T>, ApiError> {
        let (first, size) = self.wanted()?;
        let total = records.len();
        let records = records.into_iter().skip(first).take(size).collect();
        Ok(List::of(entity, records, total))
    }
}

// === impl List ===

impl<T> List<T> {
    /// Records that were asked for, of `total`.
    pub(crate) fn of(entity: &'static str, records: Vec<T>, total: usize) -> List<T> {
        List { entity, records, total }
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(2))?;
        map.serialize_entry(self.entity, &self.records)?;
        map.serialize_entry("totalRecords", &self.total)?;
        map.end()
    }
}

fn invalid(name: &str, reason: &str) -> ApiError {
    ApiError::Query { name: name.to_owned(), reason: reason.to_owned() }
}
