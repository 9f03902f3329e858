//! Lets callers in: tokens of the configuration first, then those of the catalogue.
//!
//! A stream lives longer than a token may: one that was opened with a token of the catalogue ends
//! once the token is revoked or over.

use std::sync::Arc;
use std::time::Duration;

use tollgate_ledger_store::catalogue::tokens::TokenRecord;
use tonic::Request;

use crate::access::{Needed, bearer, decide};
use crate::node::Node;
use crate::refusal::Refusal;

/// How often the token of an open stream is looked at again.
const RECHECK: Duration = Duration::from_millis(500);

/// What let a caller in.
pub(crate) enum Admission {
    /// What the configuration says, which does not change.
    Configured,
    /// A token of the catalogue.
    Stored(String),
}

/// Lets the request through, or says why not.
pub(crate) async fn admit<T>(
    node: &Node,
    request: &Request<T>,
    needed: Needed<'_>,
) -> Result<Admission, Refusal> {
    // Nothing of the request is borrowed across the await: a streaming body is not `Sync`.
    let token = match node.settings.access.check(request, needed) {
        Ok(()) => return Ok(Admission::Configured),
        Err(Refusal::Unauthenticated) => bearer(request)?.to_owned(),
        Err(refusal) => return Err(refusal),
    };
    let record = find(node, &token).await?.ok_or(Refusal::Unauthenticated)?;
    decide(needed, record.role, record.organization.as_deref(), &record.name)?;
    Ok(Admission::Stored(token))
}

async fn find(node: &Node, token: &str) -> Result<Option<TokenRecord>, Refusal> {
    let found = node.tokens.find(token).await?;
    Ok(found.filter(|record| !record.is_expired(node.now())))
}

// === impl Admission ===

impl Admission {
    /// Waits until what let the caller in is gone; a store that does not answer takes nothing back.
    pub(crate) async fn ended(&self, node: &Arc<Node>) {
        let Admission::Stored(token) = self else { return std::future::pending().await };
        loop {
            tokio::time::sleep(RECHECK).await;
            if matches!(find(node, token).await, Ok(None)) {
                return;
            }
        }
    }
}
