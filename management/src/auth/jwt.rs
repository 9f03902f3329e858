//! JWTs of an OpenID Connect issuer: signature, issuer, audience, time, and what the claims make of
//! their bearer.
//!
//! Only asymmetric signatures are taken, and only the one that the key is for: neither `none` nor
//! an HMAC keyed with a public key can pass. Time is the server's own clock, with a leeway. The role
//! is the first word of the role claim that is one; without one the token is refused. The name is
//! shown with the issuer, `jwt:ISSUER/NAME`: no token has a name with a colon, so that nobody whom the
//! issuer named can pass for a token in the journal or the audit log.
//! Not here: where keys come from (`jwks`), the arithmetic of signatures (`ring_provider`).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};
use tollgate_ledger_store::{Clock, Role};

use super::jwks::{KeyPlace, Keys};
use super::{Authorizer, Identity, Unidentified, ring_provider};

/// Most bytes of a JWT.
const JWT_BYTES_MAX: usize = 16 * 1024;

/// Most bytes of its bearer's name.
const NAME_BYTES_MAX: usize = 256;

/// Begins the name of everybody with a JWT, and of nobody else.
pub const PREFIX: &str = "jwt:";

/// Which JWTs are taken, and how they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSettings {
    /// `iss` has to be this.
    pub issuer: String,
    /// `aud` has to be this, or have it.
    pub audience: String,
    /// Where the issuer's keys are.
    pub keys: KeyPlace,
    /// The claim with the role, a word or a list of words; dots lead into objects.
    pub role_claim: String,
    /// The claim with the organization that the bearer is bound to.
    pub organization_claim: String,
    /// The claim with the bearer's name, for the journal and the audit log.
    pub name_claim: String,
    /// How far the issuer's clock may be off.
    pub leeway: Duration,
    /// How old the issuer's keys may get.
    pub refresh: Duration,
}

/// Takes the JWTs of one issuer.
pub struct Jwt {
    settings: JwtSettings,
    keys: Keys,
    clock: Arc<dyn Clock>,
}

// === impl JwtSettings ===

impl JwtSettings {
    /// With the usual claims and times.
    #[must_use]
    pub fn new(issuer: &str, audience: &str, keys: KeyPlace) -> JwtSettings {
        JwtSettings {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            keys,
            role_claim: "role".to_owned(),
            organization_claim: "organization".to_owned(),
            name_claim: "sub".to_owned(),
            leeway: Duration::from_secs(60),
            refresh: Duration::from_secs(300),
        }
    }
}

// === impl Jwt ===

impl Jwt {
    /// Takes JWTs; keys are fetched when the first comes.
    #[must_use]
    pub fn new(settings: JwtSettings, clock: Arc<dyn Clock>) -> Jwt {
        ring_provider::install();
        let keys = Keys::new(settings.keys.clone(), settings.refresh, Arc::clone(&clock));
        Jwt { settings, keys, clock }
    }

    async fn claims(&self, token: &str) -> Result<Map<String, Value>, Unidentified> {
        if token.len() > JWT_BYTES_MAX {
            return Err(refused("is too long"));
        }
        let header = decode_header(token).map_err(refused)?;
        let is_asymmetric = match header.alg {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => false,
            Algorithm::ES256
            | Algorithm::ES384
            | Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512
            | Algorithm::EdDSA => true,
        };
        if !is_asymmetric {
            return Err(refused("signature is not asymmetric"));
        }
        let key = self.keys.find(header.kid.as_deref(), header.alg).await;
        let key = key.ok_or_else(|| refused("no key of the issuer has signed it"))?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["iss", "aud"]);
        // Times are looked at below, by our own clock.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        let decoded = decode::<Map<String, Value>>(token, &key, &validation);
        let claims = decoded.map_err(refused)?.claims;
        self.check_times(&claims)?;
        Ok(claims)
    }

    /// A time that is no number is refused and not passed over.
    fn check_times(&self, claims: &Map<String, Value>) -> Result<(), Unidentified> {
        let seconds = |name: &str| match claims.get(name) {
            None => Ok(None),
            // Some issuers write fractions.
            Some(value) => match value.to_string().split('.').next().map(str::parse::<i64>) {
                Some(Ok(seconds)) if value.is_number() => Ok(Some(seconds)),
                Some(_) | None => Err(refused(format!("{name} is not a time"))),
            },
        };
        let leeway = i64::try_from(self.settings.leeway.as_secs()).unwrap_or(i64::MAX);
        let now = self.clock.now().0.div_euclid(1000);
        let expires = seconds("exp")?.ok_or_else(|| refused("exp is missing"))?;
        if expires.saturating_add(leeway) <= now {
            return Err(refused("it has expired"));
        }
        if seconds("nbf")?.is_some_and(|from| from.saturating_sub(leeway) > now) {
            return Err(refused("it does not hold yet"));
        }
        Ok(())
    }

    fn identity(&self, claims: &Map<String, Value>) -> Result<Identity, Unidentified> {
        let text = |claim: &str| find(claims, claim).and_then(Value::as_str).map(str::to_owned);
        let claim = &self.settings.role_claim;
        let words = match find(claims, claim) {
            Some(Value::String(word)) => vec![word.as_str()],
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            Some(_) | None => Vec::new(),
        };
        let role = words.iter().find_map(|word| word.parse::<Role>().ok());
        let role = role.ok_or_else(|| refused(format!("claim {claim} has no role")))?;
        let organization = self.organization(claims)?;
        role.check_organization(organization.as_deref()).map_err(refused)?;
        let claim = &self.settings.name_claim;
        let name = text(claim).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| refused(format!("claim {claim} has no name")))?;
        if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let most = format!("more than {NAME_BYTES_MAX} bytes or a control character");
            return Err(refused(format!("claim {claim} has {most}")));
        }
        let name = format!("{PREFIX}{}/{name}", self.settings.issuer);
        Ok(Identity { name, role, organization, permissions: Vec::new() })
    }

    /// A binding that cannot be read is refused: passed over, it would open every organization.
    fn organization(&self, claims: &Map<String, Value>) -> Result<Option<String>, Unidentified> {
        let claim = &self.settings.organization_claim;
        match find(claims, claim) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) => Ok(Some(name.clone())),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(refused(format!("claim {claim} is no name of an organization")))
            }
        }
    }
}

#[async_trait]
impl Authorizer for Jwt {
    async fn identify(&self, token: &str) -> Result<Identity, Unidentified> {
        // Three parts of base64, the first an object.
        if token.split('.').count() != 3 || !token.starts_with("ey") {
            return Err(Unidentified::Unknown);
        }
        let claims = self.claims(token).await?;
        self.identity(&claims)
    }
}

/// A claim by its name, or else by the way into objects that its dots say.
fn find<'a>(claims: &'a Map<String, Value>, claim: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(claim) {
        return Some(value);
    }
    let (first, rest) = claim.split_once('.')?;
    find(claims.get(first)?.as_object()?, rest)
}

fn refused(why: impl ToString) -> Unidentified {
    Unidentified::Refused(why.to_string())
}
