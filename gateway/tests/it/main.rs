//! The gateway's HTTP half over real sockets: a gateway with an admission of the test's own between raw clients and raw
//! upstreams.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

mod admission;
mod drain;
mod framing;
mod h2spec;
mod headers;
mod http2;
mod limits;
mod metered;
mod own;
mod pacing;
mod pool;
mod refusals;
mod scripted_node;
mod shadow;
mod streaming;
mod tls;
mod told;
mod tracing;
