//! The gateway: admits calls from wallets in memory, carries them to their upstreams, and counts what they cost.
//!
//! Two halves meet in [`admission`]: the proxy, which knows HTTP and no money, and the wallets, which know money and no HTTP.
//! The crate knows no database; what it needs of the ledger arrives through balance-sync.
//!
//! The proxy half, from the outside in: [`server`] accepts clients and deals them to workers, one thread each; `proxy` carries
//! one call; `upstream` keeps connections to upstreams. A call stays on its thread from its first byte to its last, so none of
//! it is locked, and a worker's state is plain memory.
//!
//! The wallet half: [`metered`] decides calls from `caller_cache` and `wallet_cache`; [`spend_file`] keeps what was counted
//! where `kill -9` cannot take it; [`sync_client`] exchanges both with balance-sync, beside the calls.

pub mod admission;
mod caller_cache;
pub mod clock;
pub mod config;
#[doc(hidden)]
pub mod disk;
mod incarnation;
pub mod metered;
mod metrics;
#[doc(hidden)]
pub mod network;
mod proxy;
pub mod refusal;
pub mod server;
mod spans;
pub mod spend_file;
pub mod sync_client;
mod tariffs;
mod trace_context;
mod upstream;
mod waits;
mod wallet_cache;

pub use metered::Metered;
pub use sync_client::SyncSettings;
