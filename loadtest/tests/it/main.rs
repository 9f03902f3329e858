//! Scenario files and reports, without a process of Tollgate; runs against real ones are in `tollgate/tests/it/loadtest.rs`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod browser;
mod drive;
mod link;
mod scenarios;
