//! What overspend policies ask of wallets: accounts follow what people set, changes of the mode are
//! gone on with, and a grant that nobody can spend any more comes back.

use std::collections::HashSet;

use tollgate_ledger_store::book::{Book, BookError};
use tollgate_ledger_store::catalogue::overspend::SeenPolicies;
use tollgate_ledger_store::{CatalogueError, WalletRead};
use tollgate_metering::{Incarnation, UnixMillis};
use uuid::Uuid;

use super::DEAD_AFTER;
use crate::node::Node;

/// Brings the account in line with the policies; true where that began a change of the mode.
pub(super) async fn follow(
    node: &Node,
    read: &WalletRead,
    seen: &mut SeenPolicies,
) -> Result<bool, CatalogueError> {
    let (header, now) = (&read.account.header, node.now());
    if !node.catalogue.seems_off(header, seen, now).await? {
        return Ok(false);
    }
    node.catalogue.apply_overspend(header.wallet, now).await
}

/// Retires incarnations behind the fence that still have a grant; true where there was one. One
/// that has ended gave its grant back by its final report, which its wallet's owner reads.
pub(super) async fn retire_fenced(
    book: &Book,
    read: &WalletRead,
    ended: &HashSet<Uuid>,
    now: UnixMillis,
) -> Result<bool, BookError> {
    let grants = read.account.ceilings.iter();
    let is_fenced = |incarnation: &Incarnation| {
        now.since(incarnation.born) > DEAD_AFTER && !ended.contains(&incarnation.id)
    };
    let fenced = grants.filter(|(incarnation, grant)| !grant.is_retired && is_fenced(incarnation));
    let mut has_retired = false;
    for (incarnation, _) in fenced {
        has_retired |= book.retire(read.account.header.wallet, *incarnation).await? > 0;
    }
    Ok(has_retired)
}
