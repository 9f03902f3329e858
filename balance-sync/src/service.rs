//! The three gRPC services.

use std::sync::Arc;

use crate::node::Node;

mod balances;
mod resolve;
mod sync;

/// All three services of one node.
#[derive(Clone)]
pub(crate) struct Services(pub(crate) Arc<Node>);
