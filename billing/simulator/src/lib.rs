//! Stands in for Stripe where there is no internet: the tests' own Stripe, stateful, in memory, over HTTP/1.1.
//!
//! Nothing of Tollgate is linked here and nothing of this is linked into `tollgate`: what is tested and what it is tested
//! against must not share a mistake. What keeps the simulator honest is software that others wrote for the real Stripe: the
//! official CLI and the official clients for Python and Node run against it in this crate's tests.
//!
//! One request goes: `server` (bytes, key, connection) → `gate` (which account, idempotency, faults) → `routes` (which
//! endpoint, which parameters it takes) → a module of `resources` working on one `space::Space`, the objects of one account
//! in one mode → `shape` (expansion, and what old API versions call things). Whatever a resource changes it tells
//! `events`, and `webhooks` carries that out. Time is `clock`'s and can be set; what is due later waits in `agenda`.
//!
//! Invariants: a space is behind one lock and a request runs under it whole, so that what is half done is never seen; a
//! request refused for its parameters has changed nothing; an amount is an integer of minor units, and sums are checked.
//! Bounds: `settings` and the constants named `*_MAX`. Not here: Connect, Checkout, tax, discounts, balance transactions,
//! API v2.
//!
//! Tests start one with [`Simulator::start`] and steer it through the handle; other processes use `/_control` (`control`).

// The objects of Stripe have more fields than `json!` takes by default.
#![recursion_limit = "256"]

mod agenda;
mod calendar;
mod cards;
mod charging;
mod clock;
mod control;
mod currency;
mod error;
mod events;
mod faults;
mod form;
mod gate;
mod handle;
mod idempotency;
mod keys;
mod lists;
mod object;
mod params;
mod resources;
mod routes;
mod server;
mod settings;
mod shape;
mod space;
mod store;
mod versions;
mod webhooks;
mod world;

pub use events::DeliverySummary;
pub use faults::{Fault, FaultKind};
pub use handle::{Simulator, SpaceHandle};
pub use keys::{AccountKeys, Mode};
pub use settings::{AfterFailures, Settings};
pub use webhooks::{WebhookFaults, sign};
pub use world::{ControlError, Taken};
