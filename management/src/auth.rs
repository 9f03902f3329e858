//! Who asks, and what they may do.

use std::fmt;

use async_trait::async_trait;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header;
use http::request::Parts as Head;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::error::ApiError;
use crate::router::Api;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Read balances and their entries, nothing else.
    BalancesRead,
}

/// Somebody with a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The token's name, as entries of the journal show it. Never the token.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// Tells who a bearer token belongs to.
#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    /// Who the token belongs to; `None` for nobody.
    async fn identify(&self, token: &str) -> Option<Identity>;
}

/// A fixed list of tokens, known by their SHA-256.
#[derive(Clone, Default)]
pub struct Tokens {
    tokens: Vec<([u8; 32], Identity)>,
}

// === impl Tokens ===

impl Tokens {
    /// Adds a token.
    #[must_use]
    pub fn with(self, token: &str, name: &str, role: Role) -> Tokens {
        self.with_sha256(Sha256::digest(token.as_bytes()).into(), name, role)
    }

    /// Adds a token by its SHA-256.
    #[must_use]
    pub fn with_sha256(mut self, sha256: [u8; 32], name: &str, role: Role) -> Tokens {
        self.tokens.push((sha256, Identity { name: name.to_owned(), role }));
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
    async fn identify(&self, token: &str) -> Option<Identity> {
        let given: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        // Every hash is compared whole, so that the time says nothing about how much was right.
        let mut found = Choice::from(0);
        let mut index = 0u64;
        for (at, (known, _)) in (0u64..).zip(&self.tokens) {
            let is_equal = known.ct_eq(&given);
            index.conditional_assign(&at, is_equal);
            found |= is_equal;
        }
        let identity = &self.tokens.get(usize::try_from(index).ok()?)?.1;
        bool::from(found).then(|| identity.clone())
    }
}

/// Lets requests with a valid token through, with their [`Identity`].
pub(crate) async fn authenticate(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Response {
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return ApiError::Unauthenticated.into_response();
    };
    let Some(identity) = api.authorizer.identify(&token).await else {
        return ApiError::Unauthenticated.into_response();
    };
    request.extensions_mut().insert(identity);
    next.run(request).await
}

/// An [`Identity`] that may do everything.
pub(crate) struct Admin(pub(crate) Identity);

/// An [`Identity`] that may read balances.
pub(crate) struct Reader;

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Head, _: &S) -> Result<Admin, ApiError> {
        let identity = identity(head)?;
        match identity.role {
            Role::Admin => Ok(Admin(identity)),
            Role::BalancesRead => {
                Err(ApiError::Forbidden { name: identity.name, action: "do this" })
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Head, _: &S) -> Result<Reader, ApiError> {
        match identity(head)?.role {
            Role::Admin | Role::BalancesRead => Ok(Reader),
        }
    }
}

fn identity(head: &Head) -> Result<Identity, ApiError> {
    head.extensions.get::<Identity>().cloned().ok_or(ApiError::Unauthenticated)
}
