//! The roles that a token has, wherever it comes from: a configuration, the catalogue, an issuer of JWTs.
//!
//! What a role may do is decided where it is asked for: over HTTP by `management::permission`, over
//! gRPC by `balance-sync::access`. Here is only which roles there are, and which of them are bound to
//! an organization.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// May do everything, everywhere.
    Admin,
    /// Runs one organization: reads and writes all that is in it.
    Provider,
    /// Reads all of one organization, or of every.
    Viewer,
    /// Sells top-ups: credits wallets, and reads what that needs.
    Portal,
    /// Is a gateway: reports spend, resolves keys.
    Gateway,
    /// Reads balances and their entries.
    BalancesRead,
}

/// Why a role and an organization do not go together, or a word is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The word is no role.
    #[error("{0:?} is not a role: admin, provider, viewer, portal, gateway or balances-read is")]
    Unknown(String),
    /// The role belongs to one organization, and none is named.
    #[error("role {0} needs an organization")]
    NoOrganization(Role),
    /// The role belongs to no organization, and one is named.
    #[error("role {0} has no organization")]
    Organization(Role),
}

// === impl Role ===

impl Role {
    /// Every role.
    pub const ALL: [Role; 6] = [
        Role::Admin,
        Role::Provider,
        Role::Viewer,
        Role::Portal,
        Role::Gateway,
        Role::BalancesRead,
    ];

    /// Its name, as configurations and answers spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Provider => "provider",
            Role::Viewer => "viewer",
            Role::Portal => "portal",
            Role::Gateway => "gateway",
            Role::BalancesRead => "balances-read",
        }
    }

    /// Whether a token of this role may be bound to this organization, or to none.
    ///
    /// # Errors
    /// A provider without an organization, an admin or gateway with one.
    pub fn check_organization(self, organization: Option<&str>) -> Result<(), RoleError> {
        match (self, organization) {
            (Role::Provider, None) => Err(RoleError::NoOrganization(self)),
            (Role::Admin | Role::Gateway, Some(_)) => Err(RoleError::Organization(self)),
            (Role::Admin | Role::Gateway, None)
            | (Role::Provider, Some(_))
            | (Role::Viewer | Role::Portal | Role::BalancesRead, _) => Ok(()),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(word: &str) -> Result<Role, RoleError> {
        let found = Role::ALL.into_iter().find(|role| role.as_str() == word);
        found.ok_or_else(|| RoleError::Unknown(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_stored_under_the_word_that_it_is_read_from() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            let stored = serde_json::to_string(&role).unwrap();
            assert_eq!(stored, format!("\"{role}\""));
        }
        assert!("Admin".parse::<Role>().is_err());
    }
}
