//! The four gRPC services.

use std::sync::Arc;

use crate::node::Node;

mod balances;
mod own;
mod resolve;
mod sync;

/// All four services of one node.
#[derive(Clone)]
pub(crate) struct Services(pub(crate) Arc<Node>);
