//! One conformance suite over every backend: [`conformance`] lists each property once, a module
//! per backend makes a named test of each.

#![expect(clippy::unwrap_used, reason = "a test ends where it did not expect")]

mod catalogue;
mod conformance;
mod cql;
mod fault;
mod fixtures;
mod sqlite;
