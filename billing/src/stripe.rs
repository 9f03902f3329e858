//! A thin client of Stripe's API, version 1.
//!
//! Requests are forms, answers are JSON that is read tolerantly: a [`serde_json::Value`] from which
//! each module takes the fields that it knows. A request that changes something carries an
//! idempotency key that its caller chose before the first attempt; the client keeps it across its
//! own retries. Errors say whether something may have happened at Stripe.
//! Not here: what is done at Stripe and why (the modules beside), keys (`secret`).

mod client;
mod error;
mod form;
mod transport;
pub mod webhook;

pub use client::{Client, Settings};
pub use error::{Refusal, StripeError};
pub use form::Form;
pub use transport::{Direct, Transport, TransportError};

/// The version of the API that every request pins, so that an upgrade of the account changes
/// nothing here. The last one of the line that the connector's samples were made with.
pub const VERSION: &str = "2025-02-24.acacia";
