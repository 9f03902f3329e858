//! The domain of Tollgate: money, rate plans, rating, wallets and the sync protocol.
//!
//! Everything that decides an amount lives here as values and pure state machines: no I/O, no
//! async, no clock. Production drives them with sockets and timers; a test drives them with
//! whatever order of events it likes.
//!
//! Invariants: no float touches money or units; all arithmetic is checked; a charge depends on
//! total units alone ([`rating`]); merging registers is `max` ([`meter`]); what incarnations may
//! draw of a strict wallet is never more than it has ([`node::grants`], [`wallet`]).
//! Not here: storage (`ledger-store`), the wire (`proto`), HTTP (`gateway`, `management`).

pub mod account;
pub mod balance;
pub mod booking;
mod decimal;
pub mod exposure;
pub mod id;
pub mod lines;
pub mod meter;
pub mod money;
pub mod node;
pub mod pace;
pub mod protocol;
pub mod rating;
pub mod receipt;
pub mod seq;
pub mod time;
pub mod units;
pub mod wallet;

pub use account::{
    Account, Change, Currency, Entry, EntryKind, Header, SuspenseKey, SuspenseReason,
};
pub use id::{AppId, DeveloperId, Incarnation, PlanId, ProductId, WalletId};
pub use meter::{BillingType, Meter, Register, Registers};
pub use money::{Money, MoneyError};
pub use rating::{RateBook, Rates};
pub use receipt::Receipt;
pub use seq::Sequence;
pub use time::{Period, UnixMillis};
pub use units::{Units, UnitsError};
