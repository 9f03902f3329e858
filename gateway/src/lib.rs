//! The gateway: admits calls from wallets in memory, carries them to their upstreams, and counts what they cost.
//!
//! Two halves meet in [`admission`]: the proxy, which knows HTTP and no money, and the wallets, which know money and no HTTP.
//! The crate knows no database; what it needs of the ledger arrives through balance-sync.

pub mod admission;
pub mod clock;
pub mod config;
pub mod refusal;
pub mod spend_file;
mod units;

pub use units::Units;
