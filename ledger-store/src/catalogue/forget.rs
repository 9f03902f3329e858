//! What a change of a document makes stale in a gateway.

use tollgate_metering::{DeveloperId, ProductId};

use super::store::{
    APP, APP_GROUP_NAME, APP_ID, AUDIT, AUDIT_BUCKET, BILLING_SWITCH, DEVELOPER, DEVELOPER_EMAIL,
    FEES_BOOKED, KEY, ORGANIZATION, PACKAGE, PLAN_NAME, PLAN_REVISION, PRODUCT, PRODUCT_NAME,
    RETIREMENT, SUBSCRIPTIONS, TOKEN, WALLET_NOTE, WALLET_POLICIES,
};
use crate::documents::DocumentChange;

/// Begins the kinds of billing's records, which gateways need not hear of.
pub const BILLING_PREFIX: &str = "billing.";

/// What has to be resolved again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Forget {
    /// A consumer key, also one that was not known.
    Key([u8; 32]),
    /// Every key of a developer.
    Developer(DeveloperId),
    /// Every key with this product on it.
    Product(ProductId),
    /// Every key of an organization, by name.
    Organization(String),
    /// Everything: the change cannot be read, say because a newer version wrote it.
    Everything,
}

// === impl Forget ===

impl Forget {
    /// What a change makes stale; `None` for nothing.
    #[must_use]
    pub fn of(change: &DocumentChange) -> Option<Forget> {
        let developer = |id: &str| id.parse().map_or(Forget::Everything, Forget::Developer);
        match change.kind.as_str() {
            KEY => Some(key(&change.name).map_or(Forget::Everything, Forget::Key)),
            // The scope of an app is `organization/developer`.
            APP => Some(developer(change.scope.rsplit('/').next().unwrap_or_default())),
            DEVELOPER | SUBSCRIPTIONS | WALLET_NOTE | WALLET_POLICIES | FEES_BOOKED => {
                Some(developer(&change.name))
            }
            PRODUCT => Some(change.name.parse().map_or(Forget::Everything, Forget::Product)),
            ORGANIZATION => Some(Forget::Organization(change.name.clone())),
            // Names of records that have changes of their own, packages, whose plans are in their
            // products, prices that never change, and what gateways hear of by the account.
            APP_GROUP_NAME | APP_ID | DEVELOPER_EMAIL | PRODUCT_NAME | PLAN_NAME | PACKAGE
            | PLAN_REVISION | RETIREMENT | BILLING_SWITCH | TOKEN | AUDIT | AUDIT_BUCKET => None,
            kind if kind.starts_with(BILLING_PREFIX) => None,
            _ => Some(Forget::Everything),
        }
    }
}

/// The bytes of a SHA-256 in hexadecimal.
fn key(hash: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hash.len() != 64 || !hash.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hash.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use tollgate_metering::UnixMillis;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_change_names_what_is_stale() {
        let id = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
        let (developer, product) = (id.parse().unwrap(), id.parse().unwrap());
        let hash = super::super::keys::hex(&[0xab; 32]);
        let check = |rows: &[(&str, &str, &str, Option<Forget>)]| {
            for (kind, scope, name, want) in rows {
                let change = DocumentChange {
                    id: Uuid::nil(),
                    at: UnixMillis(0),
                    kind: (*kind).to_owned(),
                    scope: (*scope).to_owned(),
                    name: (*name).to_owned(),
                };
                assert_eq!(Forget::of(&change), *want, "{kind}");
            }
        };
        check(&[
            (KEY, &hash, &hash, Some(Forget::Key([0xab; 32]))),
            (KEY, "x", "x", Some(Forget::Everything)),
            (APP, &format!("acme/{id}"), "shop", Some(Forget::Developer(developer))),
            (DEVELOPER, "acme", id, Some(Forget::Developer(developer))),
            (SUBSCRIPTIONS, "acme", id, Some(Forget::Developer(developer))),
            (WALLET_NOTE, "acme", id, Some(Forget::Developer(developer))),
            (PRODUCT, "acme", id, Some(Forget::Product(product))),
            (ORGANIZATION, "all", "acme", Some(Forget::Organization("acme".to_owned()))),
            (PLAN_REVISION, id, "0000000001", None),
            (DEVELOPER_EMAIL, "acme", "a@b.c", None),
            (APP_ID, "acme", id, None),
            (APP_GROUP_NAME, "acme", "works", None),
            (WALLET_POLICIES, "acme", id, Some(Forget::Developer(developer))),
            (RETIREMENT, "all", id, None),
            (FEES_BOOKED, "acme", id, Some(Forget::Developer(developer))),
            (BILLING_SWITCH, "all", id, None),
            (TOKEN, "all", "portal", None),
            (AUDIT, "acme/0002992248", "x", None),
            (AUDIT_BUCKET, "acme", "0002992248", None),
            (PACKAGE, "acme", "bundle", None),
            (PLAN_NAME, "acme", "bundle_gold", None),
            ("billing.integration", "acme", "stripe", None),
            ("appgroup", "acme", "x", Some(Forget::Everything)),
        ]);
    }
}
