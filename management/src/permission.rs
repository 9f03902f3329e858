//! What a request may need, which role has it, and whether an asker may go ahead: the one place
//! that decides.
//!
//! Every handler takes one of the extractors below as its second argument; the extractor's name is
//! the permission that the route needs. A route of an organization has a path parameter called
//! `organization`, and whoever is bound to an organization may go ahead only where it is that one.
//! A route without an extractor is found by a test, which asks every route as somebody who may do
//! nothing.
//! Not here: who asks (`auth`).

use std::fmt;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams};
use http::request::Parts as Head;
use tollgate_ledger_store::Role;

use crate::audit::Pending;
use crate::auth::{Asker, Identity};
use crate::error::ApiError;

/// Defines the permissions with their names on the wire, and an extractor for each.
macro_rules! permissions {
    ($($(#[$doc:meta])+ $name:ident = $word:literal,)+) => {
        /// What a request may need.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Permission {
            $($(#[$doc])+ $name,)+
        }

        impl Permission {
            /// Every permission.
            pub const ALL: &'static [Permission] = &[$(Permission::$name,)+];

            /// Its name, as refusals show it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Permission::$name => $word,)+
                }
            }
        }

        /// One extractor a permission: who asks, once it is decided that he may.
        pub(crate) mod may {
            use super::{ApiError, FromRequestParts, Head, Identity, Permission, admit};

            $(
                $(#[$doc])+
                #[allow(dead_code, reason = "a handler that only reads does not ask who does")]
                pub(crate) struct $name(pub(crate) Identity);

                impl<S: Send + Sync> FromRequestParts<S> for $name {
                    type Rejection = ApiError;

                    async fn from_request_parts(head: &mut Head, _: &S) -> Result<Self, ApiError> {
                        admit(head, Permission::$name).await.map($name)
                    }
                }
            )+
        }
    };
}

permissions! {
    /// See which organizations there are: one's own.
    OrganizationsList = "organizations.list",
    /// Make organizations.
    OrganizationsCreate = "organizations.create",
    /// Read an organization.
    OrganizationsRead = "organizations.read",
    /// Change an organization.
    OrganizationsWrite = "organizations.write",
    /// Read developers, AppGroups and their monetization configuration.
    DevelopersRead = "developers.read",
    /// Make, change and delete them; switch their billing type.
    DevelopersWrite = "developers.write",
    /// Read apps and their keys.
    AppsRead = "apps.read",
    /// Make, change, approve, revoke and delete them.
    AppsWrite = "apps.write",
    /// Read API products, packages and rate plans.
    ProductsRead = "products.read",
    /// Make, change, publish and delete them.
    ProductsWrite = "products.write",
    /// Read subscriptions.
    SubscriptionsRead = "subscriptions.read",
    /// Buy and end them.
    SubscriptionsWrite = "subscriptions.write",
    /// Read balances, wallets and their entries.
    BalancesRead = "balances.read",
    /// Credit wallets: top-ups, refunds.
    BalancesCredit = "balances.credit",
    /// Adjust wallets.
    BalancesAdjust = "balances.adjust",
    /// Set what a wallet may do: limits, overspend policy.
    WalletsWrite = "wallets.write",
    /// Record usage and fees in place of a gateway.
    UsageWrite = "usage.write",
    /// Read reports and statements.
    ReportsRead = "reports.read",
    /// Read the audit log.
    AuditRead = "audit.read",
    /// List tokens, never their secrets, and read the audit log of what is in no organization, which
    /// names them.
    TokensRead = "tokens.read",
    /// Make and revoke tokens.
    TokensWrite = "tokens.write",
    /// See billings, catalogues and job queues, never a secret key.
    SettingsRead = "settings.read",
    /// Make, change and attach billings, keep catalogues and publish plans there, mend job queues.
    SettingsManage = "settings.manage",
}

// === impl Permission ===

impl Permission {
    /// The table: whether a role has this permission.
    #[must_use]
    pub fn is_of(self, role: Role) -> bool {
        use Permission as P;
        match role {
            Role::Admin => true,
            Role::Provider => match self {
                P::OrganizationsCreate | P::TokensRead | P::TokensWrite => false,
                P::OrganizationsList
                | P::OrganizationsRead
                | P::OrganizationsWrite
                | P::DevelopersRead
                | P::DevelopersWrite
                | P::AppsRead
                | P::AppsWrite
                | P::ProductsRead
                | P::ProductsWrite
                | P::SubscriptionsRead
                | P::SubscriptionsWrite
                | P::BalancesRead
                | P::BalancesCredit
                | P::BalancesAdjust
                | P::WalletsWrite
                | P::UsageWrite
                | P::ReportsRead
                | P::AuditRead
                | P::SettingsRead
                | P::SettingsManage => true,
            },
            Role::Viewer => matches!(
                self,
                P::OrganizationsList
                    | P::OrganizationsRead
                    | P::DevelopersRead
                    | P::AppsRead
                    | P::ProductsRead
                    | P::SubscriptionsRead
                    | P::BalancesRead
                    | P::ReportsRead
                    | P::AuditRead
                    | P::SettingsRead
            ),
            Role::Portal => matches!(
                self,
                P::OrganizationsRead | P::DevelopersRead | P::BalancesRead | P::BalancesCredit
            ),
            Role::BalancesRead => matches!(self, P::BalancesRead),
            Role::Gateway => false,
        }
    }

    /// What a token may be granted beside its role.
    pub const GRANTED: &'static [Permission] = &[Permission::SettingsManage];

    /// The permission of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Permission> {
        Permission::ALL.iter().copied().find(|known| known.as_str() == name)
    }

    /// Whether a grant of `granted` is one of this: who may manage may read.
    fn is_in(self, granted: &[Permission]) -> bool {
        granted.contains(&self)
            || self == Permission::SettingsRead && granted.contains(&Permission::SettingsManage)
    }

    /// Whether it is about one organization, which the path names.
    const fn is_in_organization(self) -> bool {
        !matches!(self, Permission::OrganizationsList | Permission::OrganizationsCreate)
    }

    /// Decides whether `identity` may do this in `organization`.
    ///
    /// # Errors
    /// `Forbidden`.
    pub(crate) fn check(
        self,
        identity: &Identity,
        organization: Option<&str>,
    ) -> Result<(), ApiError> {
        let is_within = match &identity.organization {
            Some(own) if self.is_in_organization() => organization == Some(own.as_str()),
            Some(_) | None => true,
        };
        if (self.is_of(identity.role) || self.is_in(&identity.permissions)) && is_within {
            return Ok(());
        }
        Err(ApiError::Forbidden {
            permission: self,
            identity: identity.clone(),
            organization: organization.map(str::to_owned),
        })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who asks, if he may; what he changes is in the audit log from here on.
async fn admit(head: &mut Head, permission: Permission) -> Result<Identity, ApiError> {
    let asker = head.extensions.get::<Asker>().cloned().unwrap_or_default();
    let identity = asker.identity(permission)?;
    let names = RawPathParams::from_request_parts(head, &()).await.ok();
    let segment = names.iter().flatten().find(|(name, _)| *name == "organization");
    // A verb may stand behind the name, as in `acme:setAddons`.
    let organization = segment.map(|(_, it)| it.rsplit_once(':').map_or(it, |(name, _)| name));
    permission.check(&identity, organization)?;
    let organization = organization.map(str::to_owned);
    if let Some(change) = head.extensions.get::<Pending>().cloned() {
        let route = head.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        change.begin(&identity, organization.as_deref(), route).await?;
    }
    Ok(identity)
}

#[cfg(test)]
mod tests;
