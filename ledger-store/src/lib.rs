//! The authoritative ledger and the catalogue, behind traits.
//!
//! [`Ledger`] stores what `metering` computes: accounts changed by conditional batches, registers
//! written without conditions, and nothing that would need arithmetic in the database. The rules
//! of the ledger are therefore written once, over the trait, and hold for every backend;
//! `tests/it/conformance.rs` lists each property once and runs it against all of them.
//! [`Book`] books entries under ids, folds, closes and raises horizons; [`verify`] audits and
//! exports a ledger. [`fees`] books what falls due by time; [`charges`] reads what a wallet's lines
//! are made of.
//! [`DocumentStore`] keeps the catalogue (organizations, developers, apps, keys, products, plans)
//! as versioned documents with a log of changes.
//!
//! Invariants: registers and conditional state live in different tables; an account is read
//! before its registers; an unknown outcome is never reported as a failure.
//! Not here: prices and balances (`metering`), who may do what (`management`).

pub mod access;
pub mod book;
pub mod catalogue;
pub mod charges;
pub mod clock;
pub mod cql;
pub mod documents;
pub mod error;
pub mod fees;
pub mod ledger;
pub mod metrics;
pub mod rates;
pub mod sqlite;
pub mod token_cache;
pub mod verify;

pub use access::Role;
pub use book::{Book, BookError, Booked};
pub use catalogue::{Catalogue, CatalogueError};
pub use clock::{Clock, SystemClock};
pub use cql::{CqlConfig, CqlLedger};
pub use documents::{Document, DocumentChange, DocumentKey, DocumentStore, Put};
pub use error::LedgerError;
pub use ledger::{Commit, Ledger, RegisterCell, RegisterWrite, WalletRead};
pub use metrics::LedgerMetrics;
pub use rates::RateSource;
pub use sqlite::SqliteLedger;
pub use token_cache::TokenCache;
