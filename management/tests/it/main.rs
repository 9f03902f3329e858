//! The API over a real socket and a real SQLite ledger.

#![expect(clippy::unwrap_used, reason = "a test ends where it did not expect")]

mod appgroups;
mod apps;
mod attributes;
mod audit;
mod balances;
mod billing;
mod developers;
mod discovery;
mod documents;
mod errors;
mod faults;
mod harness;
mod jwt;
mod mint;
mod plans;
mod products;
mod reports;
mod serving;
mod subscriptions;
mod tokens;
mod wallets;
