//! The simulator from outside: what it answers, what it remembers, what it tells webhooks.

#![expect(clippy::unwrap_used, reason = "a test ends where it did not expect")]

mod client;
mod faults;
mod invoices;
mod official;
mod payments;
mod receiver;
mod subscriptions;
mod webhooks;

use client::Client;
use tollgate_stripe_simulator::{Settings, Simulator};

/// A time in 2026, at which the clock of these tests begins to stand.
const START_S: i64 = 1_790_000_000;

/// A simulator whose clock stands, and a client with its secret test key.
async fn started() -> (Simulator, Client) {
    let settings = Settings { frozen_at_s: Some(START_S), hang_max_ms: 50, ..Settings::default() };
    let simulator = Simulator::start(settings).await.unwrap();
    let client = Client::new(simulator.url(), &simulator.keys().secret_test);
    (simulator, client)
}
