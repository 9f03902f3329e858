//! One module for each kind of object: its endpoints, and what happens to it.

pub(crate) mod accounts;
pub(crate) mod charges;
pub(crate) mod customers;
pub(crate) mod disputes;
pub(crate) mod events;
pub(crate) mod payment_intents;
pub(crate) mod payment_methods;
pub(crate) mod search;
pub(crate) mod setup_intents;
pub(crate) mod webhook_endpoints;
