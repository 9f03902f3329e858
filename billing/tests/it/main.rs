//! Billing against a simulator of Stripe.

#![expect(clippy::unwrap_used, reason = "a test ends where it did not expect")]

mod fault;
mod harness;
mod invoices;
mod topups;
