//! One node or two, with real sockets and a real SQLite ledger, against a raw client.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod access;
mod balances;
mod catalogue;
mod gateway;
mod ground;
mod housekeeping;
mod ledger;
mod need;
mod overspend;
mod own;
mod streams;
mod wrong_clock;
