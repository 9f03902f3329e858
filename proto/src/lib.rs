//! The protocol between gateways, balance-sync nodes and people: wire types and conversions.
//!
//! [`v1`] is generated from `tollgate/v1/*.proto`, whose comments explain the protocol, and is
//! committed, so that building needs no generator; `tests/it/bindings.rs` generates it again and
//! compares. Beside it stand the conversions between wire messages and `metering`'s values: from
//! a value they cannot fail, from the wire they fail with a [`WireError`] that names the field.
//!
//! Invariants: a message that converts and converts back is the same message; nothing that comes
//! from the wire is clamped or defaulted where it decides money.
//! Not here: sockets (`balance-sync`, `gateway`), what a message means (`metering`).

mod error;
mod sync;
mod types;

#[allow(missing_docs, unreachable_pub, clippy::all, rustdoc::all)]
pub mod v1 {
    //! Bindings of package `tollgate.v1`, generated.
    include!("gen/tollgate.v1.rs");
}

pub use error::{Problem, WireError};
pub use sync::{report_to_wire, snapshot_to_wire};
pub use types::{PlanPrices, incarnation, money, overspend, units, uuid, wallet, wallets};

/// The encoded descriptor set of package `tollgate.v1`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/tollgate.v1.bin");
