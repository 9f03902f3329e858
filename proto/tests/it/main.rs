//! Tests of the wire: the committed bindings are current, and values survive the way there and back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod bindings;
mod conversions;
