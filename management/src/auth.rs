//! Who asks: bearer tokens, and HTTP Basic with a token as the password, as clients of Apigee Edge
//! send it.
//!
//! Who asks is found out before a route is known to need anything; whether he may is decided by
//! `permission`, so that a refusal can name what was needed.
//! Tokens come from several places, asked in turn: the configuration, the catalogue (`stored`), an issuer of
//! JWTs (`jwt`).
//! Not here: what a role may do (`permission`).

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tollgate_ledger_store::{CatalogueError, Role};

use crate::error::ApiError;
use crate::permission::Permission;
use crate::router::Api;

mod jwks;
pub(crate) mod jwt;
mod ring_provider;
pub(crate) mod stored;

pub use jwks::KeyPlace;

/// Somebody with a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The token's name, as entries of the journal show it. Never the token.
    pub name: String,
    /// What he is.
    pub role: Role,
    /// The organization that he is bound to; `None` for none.
    pub organization: Option<String>,
    /// What he may do beside what his role may.
    pub permissions: Vec<Permission>,
}

/// Why nobody is known to ask.
#[derive(Debug, thiserror::Error)]
pub enum Unidentified {
    /// There is no token.
    #[error("request has none")]
    None,
    /// The header has none that could be read.
    #[error("authorization header has neither Bearer nor Basic with a token as the password")]
    Malformed,
    /// Nobody has it.
    #[error("token is not known, or was revoked")]
    Unknown,
    /// It is over.
    #[error("token {name} has expired")]
    Expired {
        /// Whose it was.
        name: String,
    },
    /// It is signed, and not for us.
    #[error("token is refused: {0}")]
    Refused(String),
    /// It cannot be told now.
    #[error("tokens cannot be looked up")]
    Unavailable(#[source] CatalogueError),
}

/// Tells who a token belongs to.
#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    /// Who the token belongs to.
    ///
    /// # Errors
    /// [`Unidentified`].
    async fn identify(&self, token: &str) -> Result<Identity, Unidentified>;
}

/// A fixed list of tokens, known by their SHA-256.
#[derive(Clone, Default)]
pub struct Tokens {
    tokens: Vec<([u8; 32], Identity)>,
}

/// Several places that tokens come from: the first that knows one decides.
pub struct Chain(pub Vec<Arc<dyn Authorizer>>);

/// Who asks, as far as it is known.
#[derive(Clone)]
pub(crate) struct Asker(Result<Identity, Arc<Unidentified>>);

// === impl Identity ===

impl Identity {
    /// Somebody who is bound to no organization.
    #[must_use]
    pub fn new(name: &str, role: Role) -> Identity {
        Identity { name: name.to_owned(), role, organization: None, permissions: Vec::new() }
    }
}

// === impl Tokens ===

impl Tokens {
    /// Adds a token.
    #[must_use]
    pub fn with(self, token: &str, name: &str, role: Role) -> Tokens {
        self.with_sha256(Sha256::digest(token.as_bytes()).into(), Identity::new(name, role))
    }

    /// Adds a token by its SHA-256.
    #[must_use]
    pub fn with_sha256(mut self, sha256: [u8; 32], identity: Identity) -> Tokens {
        self.tokens.push((sha256, identity));
        self
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.tokens.iter().map(|(_, identity)| &identity.name).collect();
        f.debug_struct("Tokens").field("names", &names).finish()
    }
}

#[async_trait]
impl Authorizer for Tokens {
    async fn identify(&self, token: &str) -> Result<Identity, Unidentified> {
        let given: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        // Every hash is compared whole, so that the time says nothing about how much was right.
        let mut found = Choice::from(0);
        let mut index = 0u64;
        for (at, (known, _)) in (0u64..).zip(&self.tokens) {
            let is_equal = known.ct_eq(&given);
            index.conditional_assign(&at, is_equal);
            found |= is_equal;
        }
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        match (bool::from(found), self.tokens.get(at)) {
            (true, Some((_, identity))) => Ok(identity.clone()),
            (true, None) | (false, _) => Err(Unidentified::Unknown),
        }
    }
}

// === impl Chain ===

#[async_trait]
impl Authorizer for Chain {
    async fn identify(&self, token: &str) -> Result<Identity, Unidentified> {
        for place in &self.0 {
            match place.identify(token).await {
                Err(Unidentified::Unknown) => {}
                decided => return decided,
            }
        }
        Err(Unidentified::Unknown)
    }
}

// === impl Asker ===

impl Default for Asker {
    fn default() -> Asker {
        Asker(Err(Arc::new(Unidentified::None)))
    }
}

impl Asker {
    /// Reads resources for the audit log.
    pub(crate) fn recorder() -> Asker {
        Asker(Ok(Identity::new("audit log", Role::Admin)))
    }

    /// Who asks, for a route that needs this permission.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub(crate) fn identity(self, permission: Permission) -> Result<Identity, ApiError> {
        self.0.map_err(|why| ApiError::Unauthenticated { permission: Some(permission), why })
    }
}

/// Finds out who asks. A route decides whether he may; where one forgot to, nobody unknown gets
/// its answer.
pub(crate) async fn authenticate(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Response {
    let asker = match token(request.headers()) {
        Ok(token) => api.authorizer.identify(&token).await,
        Err(why) => Err(why),
    };
    let asker = Asker(asker.map_err(Arc::new));
    request.extensions_mut().insert(asker.clone());
    let response = next.run(request).await;
    match asker.0 {
        Err(why) if response.status().is_success() => {
            tracing::error!("a route asked for no permission");
            ApiError::Unauthenticated { permission: None, why }.into_response()
        }
        Err(_) | Ok(_) => response,
    }
}

/// The token of a request.
fn token(headers: &HeaderMap) -> Result<String, Unidentified> {
    let value = headers.get(header::AUTHORIZATION).ok_or(Unidentified::None)?;
    let value = value.to_str().map_err(|_| Unidentified::Malformed)?;
    let (scheme, given) = value.split_once(' ').ok_or(Unidentified::Malformed)?;
    let given = given.trim();
    let token = if scheme.eq_ignore_ascii_case("bearer") {
        given.to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let pair = STANDARD.decode(given).map_err(|_| Unidentified::Malformed)?;
        let pair = String::from_utf8(pair).map_err(|_| Unidentified::Malformed)?;
        let (_, password) = pair.split_once(':').ok_or(Unidentified::Malformed)?;
        password.to_owned()
    } else {
        return Err(Unidentified::Malformed);
    };
    if token.is_empty() { Err(Unidentified::Malformed) } else { Ok(token) }
}
