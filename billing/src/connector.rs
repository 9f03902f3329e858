//! The Stripe connector, as Google's Integration Connectors have one: objects of Stripe as entities,
//! a few verbs as actions, under names and shapes that integrations already use.
//!
//! An organization stands for a project. A connection of it names a key of Stripe, which lies sealed
//! in a secret with numbered versions, and says how Stripe is reached and how much may pass in a
//! second. A call becomes one request of Stripe's API as a rule: its fields are read exactly
//! (`input`), named as Stripe names them (`naming`), and what comes back is laid flat (`flatten`).
//!
//! ```text
//! filter, paging ─┐
//! entities ───────┼─▶ operate ─▶ gate (roles, services, throttle) ─▶ stripe::Client ─▶ (log) ─▶ dial ─▶ Stripe
//! actions ────────┘
//! ```
//!
//! Invariants: what a caller writes is never spliced into a path or a query; a condition that is
//! empty changes nothing; no key, password or card is in a log or an answer; not more than a
//! connection's transactions pass in a second, in however many processes.
//! Not here: integrations, the flows that call a connector; paths and shapes of HTTP (`management`).

pub mod actions;
pub mod entities;
pub mod filter;
pub mod flatten;
pub mod input;
pub mod listing;
pub mod naming;
pub mod number;
pub mod operate;

mod error;

pub use error::ConnectorError;
