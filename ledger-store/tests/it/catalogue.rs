//! The catalogue over a real SQLite ledger: its rules, and what a crash leaves behind.

mod crash;
mod desk;
mod fees;
mod packages;
mod paging;
mod people;
mod plans;
mod policies;
mod resolve;
