//! Drives real Tollgate processes from outside, breaks them, and shows what became of the money.
//!
//! ```text
//! scenario ─▶ site ─▶ fleet: processes, links that can be cut, an upstream
//!               │
//!  pacer ─▶ drive ─▶ gateways (HTTP)        every call's outcome ─▶ tally
//!  steps ─▶ kill, cut, restart, pay in      what happened when   ─▶ events
//!  watcher ─▶ nodes (gRPC)                  balances as believed ─▶ samples
//!               │
//!  accounting, told, bound ─▶ report: one HTML page, one JSON file, one SVG
//! ```
//!
//! Why: what a gateway with stale copies costs is otherwise only described. Here anybody sees it on their own machine within a
//! minute, against the bound that is promised, and counts every call against every nano that was charged.
//!
//! Invariants: the loop is open, and a call's latency runs from when it was due (`pacer`); every call is counted once, as what
//! it means for the money (`caller`, `tally`); amounts are whole nanos, and only `report::figure` turns one into a position.
//! Bounds: those of [`scenario`]. Not here: how anything is metered. This crate knows the protocols and nothing behind them.

pub mod accounting;
pub mod balances;
pub mod bound;
pub mod caller;
pub mod clock;
pub mod drive;
pub mod fleet;
pub mod link;
pub mod live;
pub mod nanos;
pub mod overspend;
pub mod pacer;
pub mod peer;
pub mod plot;
pub mod portal;
pub mod process;
pub mod report;
pub mod scenario;
pub mod site;
pub mod steps;
pub mod tally;
pub mod throughput;
pub mod told;
pub mod upstream;
pub mod watcher;
