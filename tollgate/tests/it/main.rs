//! The binary from outside: real processes, real sockets, a real ledger.
//!
//! Every process listens on port 0 and keeps its data in a directory of its own, so that tests run beside each other. Waiting
//! is always for something that can be seen, with a deadline; nothing sleeps for a fixed time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod catalogue;
mod cluster;
mod costs;
mod deploy;
mod doctor;
mod documents;
mod edge_migration;
mod effects;
mod google_client;
mod kill;
mod ledger_commands;
mod loadtest;
mod migrate;
mod overspend;
mod pasted;
mod reports;
mod shutdown;
mod standalone;
mod strict;
mod support;
mod telemetry;
mod tls;
mod tokens;
