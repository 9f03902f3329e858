//! Who may call what: bearer tokens and client certificates.
//!
//! Tokens are kept and compared as SHA-256, every one of them each time, so that the time of an
//! answer says nothing about a token. A client certificate that the configured authority signed
//! stands for one role.

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tonic::Request;

use crate::refusal::Refusal;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Exchange reports and snapshots, resolve keys.
    Gateway,
    /// Ask for balances.
    BalancesRead,
    /// Everything.
    Admin,
}

/// A token, known by its SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Name for logs.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// What its bearer may do.
    pub role: Role,
}

/// Who may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Tokens that are taken.
    pub tokens: Vec<Token>,
    /// What a caller with a verified client certificate may do.
    pub certificate_role: Option<Role>,
    /// Whether callers without token and certificate may do everything: for one machine alone.
    pub is_open: bool,
}

// === impl Role ===

impl Role {
    fn may_act_as(self, wanted: Role) -> bool {
        self == Role::Admin || self == wanted
    }
}

// === impl Token ===

impl Token {
    /// A token as its bearer knows it.
    #[must_use]
    pub fn new(name: &str, token: &str, role: Role) -> Token {
        Token { name: name.to_owned(), sha256: sha256(token), role }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("role", &self.role).finish()
    }
}

// === impl Access ===

impl Access {
    /// Everybody may do everything.
    #[must_use]
    pub fn open() -> Access {
        Access { is_open: true, ..Access::default() }
    }

    /// Lets the request through, or says why not.
    pub(crate) fn check<T>(&self, request: &Request<T>, wanted: Role) -> Result<(), Refusal> {
        let role = match request.metadata().get("authorization") {
            Some(value) => {
                let value = value.to_str().map_err(|_| Refusal::Unauthenticated)?;
                let (scheme, token) = value.split_once(' ').ok_or(Refusal::Unauthenticated)?;
                if !scheme.eq_ignore_ascii_case("bearer") {
                    return Err(Refusal::Unauthenticated);
                }
                self.role_of(token.trim()).ok_or(Refusal::Unauthenticated)?
            }
            None if self.is_open => Role::Admin,
            None => {
                let has_certificate = request.peer_certs().is_some_and(|certs| !certs.is_empty());
                let role = self.certificate_role.filter(|_| has_certificate);
                role.ok_or(Refusal::Unauthenticated)?
            }
        };
        if role.may_act_as(wanted) { Ok(()) } else { Err(Refusal::Forbidden) }
    }

    fn role_of(&self, token: &str) -> Option<Role> {
        let presented = sha256(token);
        let (mut place, mut is_found) = (0u64, Choice::from(0));
        for (index, known) in self.tokens.iter().enumerate() {
            let is_equal = known.sha256.ct_eq(&presented);
            place.conditional_assign(&(index as u64), is_equal);
            is_found |= is_equal;
        }
        let place = usize::try_from(place).ok()?;
        bool::from(is_found).then(|| self.tokens[place].role)
    }
}

fn sha256(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_opens_its_own_doors_and_admin_all() {
        let access = Access {
            tokens: vec![
                Token::new("gateways", "g", Role::Gateway),
                Token::new("portal", "r", Role::BalancesRead),
                Token::new("people", "a", Role::Admin),
            ],
            ..Access::default()
        };
        let ask = |header: Option<&str>, wanted| {
            let mut request = Request::new(());
            if let Some(header) = header {
                request.metadata_mut().insert("authorization", header.parse().unwrap());
            }
            access.check(&request, wanted)
        };
        assert!(ask(Some("Bearer g"), Role::Gateway).is_ok());
        assert!(ask(Some("bearer a"), Role::Gateway).is_ok());
        assert!(ask(Some("Bearer r"), Role::BalancesRead).is_ok());
        assert!(matches!(ask(Some("Bearer r"), Role::Gateway), Err(Refusal::Forbidden)));
        assert!(matches!(ask(Some("Bearer g"), Role::BalancesRead), Err(Refusal::Forbidden)));
        for header in [None, Some("Bearer x"), Some("Basic g"), Some("g"), Some("Bearer ")] {
            assert!(matches!(ask(header, Role::Gateway), Err(Refusal::Unauthenticated)));
        }
        assert!(Access::open().check(&Request::new(()), Role::Admin).is_ok());
    }
}
