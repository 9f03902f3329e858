//! Who may call what: bearer tokens and client certificates.
//!
//! Tokens are kept and compared as SHA-256, every one of them each time, so that the time of an
//! answer says nothing about a token. A client certificate that the configured authority signed
//! stands for one role. Whoever is bound to an organization is told that one's balances only.

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tollgate_ledger_store::Role;
use tonic::Request;

use crate::refusal::Refusal;

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needed<'a> {
    /// Exchange reports and snapshots, resolve keys.
    Exchange,
    /// Ask for balances of an organization.
    Balances {
        /// Whose.
        organization: &'a str,
    },
}

/// A token, known by its SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Name for logs.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// What its bearer is.
    pub role: Role,
    /// The organization that he is bound to; `None` for none.
    pub organization: Option<String>,
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

// === impl Needed ===

impl Needed<'_> {
    /// Whether a role has it, bound to an organization or not.
    pub(crate) fn is_of(self, role: Role, own: Option<&str>) -> bool {
        match (self, role) {
            (_, Role::Admin) | (Needed::Exchange, Role::Gateway) => true,
            (
                Needed::Balances { organization },
                Role::Provider | Role::Viewer | Role::Portal | Role::BalancesRead,
            ) => own.is_none_or(|own| own == organization),
            (Needed::Balances { .. }, Role::Gateway)
            | (
                Needed::Exchange,
                Role::Provider | Role::Viewer | Role::Portal | Role::BalancesRead,
            ) => false,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Needed::Exchange => "gateway.exchange",
            Needed::Balances { .. } => "balances.read",
        }
    }
}

// === impl Token ===

impl Token {
    /// A token as its bearer knows it.
    #[must_use]
    pub fn new(name: &str, token: &str, role: Role) -> Token {
        Token { name: name.to_owned(), sha256: sha256(token), role, organization: None }
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
    pub(crate) fn check<T>(&self, request: &Request<T>, needed: Needed<'_>) -> Result<(), Refusal> {
        if request.metadata().get("authorization").is_none() {
            let has_certificate = request.peer_certs().is_some_and(|certs| !certs.is_empty());
            let certified = self.certificate_role.filter(|_| has_certificate);
            let role = if self.is_open { Some(Role::Admin) } else { certified };
            return decide(needed, role.ok_or(Refusal::Unauthenticated)?, None, "certificate");
        }
        let token = self.find(bearer(request)?).ok_or(Refusal::Unauthenticated)?;
        decide(needed, token.role, token.organization.as_deref(), &token.name)
    }

    fn find(&self, token: &str) -> Option<&Token> {
        let presented = sha256(token);
        let (mut place, mut is_found) = (0u64, Choice::from(0));
        for (index, known) in self.tokens.iter().enumerate() {
            let is_equal = known.sha256.ct_eq(&presented);
            place.conditional_assign(&(index as u64), is_equal);
            is_found |= is_equal;
        }
        let place = usize::try_from(place).ok()?;
        bool::from(is_found).then(|| &self.tokens[place])
    }
}

/// The bearer token of a request.
pub(crate) fn bearer<T>(request: &Request<T>) -> Result<&str, Refusal> {
    let value = request.metadata().get("authorization").ok_or(Refusal::Unauthenticated)?;
    let value = value.to_str().map_err(|_| Refusal::Unauthenticated)?;
    let (scheme, token) = value.split_once(' ').ok_or(Refusal::Unauthenticated)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::Unauthenticated);
    }
    Ok(token.trim())
}

pub(crate) fn decide(
    needed: Needed<'_>,
    role: Role,
    organization: Option<&str>,
    name: &str,
) -> Result<(), Refusal> {
    if needed.is_of(role, organization) {
        return Ok(());
    }
    Err(Refusal::Forbidden { permission: needed.as_str(), name: name.to_owned(), role })
}

fn sha256(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: Needed<'_> = Needed::Balances { organization: "acme" };

    #[test]
    fn a_role_opens_its_own_doors_and_admin_all() {
        let mut own = Token::new("acme's", "o", Role::Viewer);
        own.organization = Some("acme".to_owned());
        let access = Access {
            tokens: vec![
                Token::new("gateways", "g", Role::Gateway),
                Token::new("portal", "r", Role::BalancesRead),
                Token::new("people", "a", Role::Admin),
                own,
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
        assert!(ask(Some("Bearer g"), Needed::Exchange).is_ok());
        assert!(ask(Some("bearer a"), Needed::Exchange).is_ok());
        assert!(ask(Some("Bearer r"), ACME).is_ok());
        assert!(ask(Some("Bearer o"), ACME).is_ok());
        let other = Needed::Balances { organization: "other" };
        let refused = [("r", Needed::Exchange), ("g", ACME), ("o", other), ("o", Needed::Exchange)];
        for (token, needed) in refused {
            let answer = ask(Some(&format!("Bearer {token}")), needed);
            assert!(matches!(answer, Err(Refusal::Forbidden { .. })), "{token}");
        }
        for header in [None, Some("Bearer x"), Some("Basic g"), Some("g"), Some("Bearer ")] {
            assert!(matches!(ask(header, Needed::Exchange), Err(Refusal::Unauthenticated)));
        }
        assert!(Access::open().check(&Request::new(()), Needed::Exchange).is_ok());
    }
}
