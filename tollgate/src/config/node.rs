//! `tollgate balance-sync --config FILE`.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use tollgate_balance_sync::ExposureTerms;
use tollgate_ledger_store::Role;
use tollgate_management::JWT_NAME_PREFIX;
use tollgate_metering::Units;

use super::billing::BillingSection;
use super::file::{Checked, Problem};
use super::secret::SecretPlace;
use super::sections::{
    JwtSection, LedgerSection, LogSection, ManagementSection, MetricsSection, ServerTls,
    jwt_settings,
};
use crate::telemetry::TelemetryConfig;

/// A balance-sync node's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeFile {
    /// Where gateways and people connect over gRPC.
    pub(crate) sync: NodeSection,
    /// Where the management API is; absent: this node has none.
    pub(crate) management: Option<ManagementSection>,
    /// The ledger.
    pub(crate) ledger: LedgerSection,
    /// What bounds on overspend are computed from.
    #[serde(default)]
    pub(crate) exposure: ExposureSection,
    /// Who may do what.
    #[serde(default)]
    pub(crate) token: Vec<TokenSection>,
    /// Whose JWTs are taken beside them.
    pub(crate) jwt: Option<JwtSection>,
    /// Whether and how organizations bill with Stripe.
    pub(crate) billing: Option<BillingSection>,
    /// Where its metrics and health are.
    pub(crate) metrics: MetricsSection,
    /// Where traces and metrics are sent.
    #[serde(default)]
    pub(crate) telemetry: TelemetryConfig,
    /// How log lines look.
    #[serde(default)]
    pub(crate) log: LogSection,
}

/// `[sync]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeSection {
    /// Address and port; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// Present: TLS. Absent: plain HTTP/2.
    pub(crate) tls: Option<ServerTls>,
    /// What a client with a certificate of `tls.client_ca_file` may do.
    #[serde(default = "gateway")]
    pub(crate) certificate_role: Role,
    /// How late what gateways reported of a rich wallet is written to the ledger, a poor one being written at once; absent:
    /// two seconds.
    pub(crate) persist_interval_ms: Option<u64>,
}

/// `[exposure]`: what cannot be measured of how far calls may take a wallet below its floor. What is absent is as on machines
/// of one region, with gateways that have the defaults.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExposureSection {
    /// From a gateway to this node, or back.
    pub(crate) one_way_delay_ms: Option<u64>,
    /// A write of the ledger.
    pub(crate) ledger_write_ms: Option<u64>,
    /// How long gateways wait at least before they report a wallet, `sync_interval_ms` where they have one.
    pub(crate) sync_interval_min_ms: Option<u64>,
    /// How long gateways wait at most before they report a rich wallet, the same.
    pub(crate) sync_interval_max_ms: Option<u64>,
    /// `staleness_limit_ms` of the gateways.
    pub(crate) staleness_limit_ms: Option<u64>,
    /// The largest `max_multiplier` of the gateways' proxies.
    pub(crate) max_multiplier: Option<u32>,
}

/// `[[token]]`: a bearer token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenSection {
    /// Whose it is, for logs and the journal; unique.
    pub(crate) name: String,
    /// Where the token itself is; this or `sha256`.
    pub(crate) secret: Option<SecretPlace>,
    /// SHA-256 of the token in hexadecimal.
    pub(crate) sha256: Option<String>,
    /// What its bearer is.
    pub(crate) role: Role,
    /// The organization that it is bound to; a provider needs one.
    pub(crate) organization: Option<String>,
}

fn gateway() -> Role {
    Role::Gateway
}

// === impl ExposureSection ===

impl ExposureSection {
    /// The terms, where they say something in place of `terms`.
    pub(crate) fn put_into(&self, terms: ExposureTerms) -> ExposureTerms {
        let time = |given: Option<u64>, other| given.map_or(other, Duration::from_millis);
        let units = |count: u32| Units::from_nanos(u128::from(count) * Units::ONE.nanos()).ok();
        ExposureTerms {
            one_way: time(self.one_way_delay_ms, terms.one_way),
            ledger_write: time(self.ledger_write_ms, terms.ledger_write),
            sync_interval_min: time(self.sync_interval_min_ms, terms.sync_interval_min),
            sync_interval_max: time(self.sync_interval_max_ms, terms.sync_interval_max),
            staleness_limit: time(self.staleness_limit_ms, terms.staleness_limit),
            multiplier_max: self.max_multiplier.and_then(units).unwrap_or(terms.multiplier_max),
        }
    }
}

// === impl TokenSection ===

impl TokenSection {
    /// The SHA-256 that the section gives, if it gives one that is one.
    pub(crate) fn given_sha256(&self) -> Option<[u8; 32]> {
        let text = self.sha256.as_deref().filter(|text| text.len() == 64 && text.is_ascii())?;
        let mut sha256 = [0u8; 32];
        for (place, byte) in sha256.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
        }
        Some(sha256)
    }

    fn check(&self) -> Result<(), Problem> {
        let problem = |key: &str, text: String| Problem::in_entry("token", &self.name, key, text);
        match (&self.secret, &self.sha256) {
            (Some(_), None) => {}
            (None, Some(_)) if self.given_sha256().is_some() => {}
            (None, Some(_)) => {
                return Err(problem("sha256", "must be 64 hexadecimal digits".to_owned()));
            }
            (None, None) | (Some(_), Some(_)) => {
                return Err(problem("secret", "either secret or sha256 is needed".to_owned()));
            }
        }
        let bound = self.role.check_organization(self.organization.as_deref());
        bound.map_err(|error| problem("role", error.to_string()))
    }
}

/// What has to hold of all tokens of a file.
pub(crate) fn check_tokens(tokens: &[TokenSection]) -> Result<(), Problem> {
    for (place, token) in tokens.iter().enumerate() {
        if token.name.is_empty() {
            return Err(Problem::at("token.name", "must not be empty"));
        }
        if token.name.starts_with(JWT_NAME_PREFIX) {
            let text = format!("names of JWTs begin with {JWT_NAME_PREFIX}");
            return Err(Problem::in_entry("token", &token.name, "name", text));
        }
        if tokens[..place].iter().any(|other| other.name == token.name) {
            let text = "another token has this name";
            return Err(Problem::in_entry("token", &token.name, "name", text));
        }
        token.check()?;
    }
    Ok(())
}

// === impl NodeFile ===

impl Checked for NodeFile {
    fn check(&self) -> Result<(), Problem> {
        self.ledger.check()?;
        if self.sync.persist_interval_ms == Some(0) {
            return Err(Problem::at("sync.persist_interval_ms", "must be above 0"));
        }
        if self.exposure.max_multiplier == Some(0) {
            return Err(Problem::at("exposure.max_multiplier", "must be above 0"));
        }
        check_tokens(&self.token)?;
        jwt_settings(self.jwt.as_ref())?;
        self.billing.as_ref().map_or(Ok(()), BillingSection::check)?;
        let is_there = |role| self.token.iter().any(|token| token.role == role);
        let has_certificates =
            self.sync.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        if !is_there(Role::Gateway) && !is_there(Role::Admin) && !has_certificates {
            let text = "no token has the role \"gateway\" and no certificate is asked for: no gateway could connect";
            return Err(Problem::at("token", text));
        }
        if self.management.is_some() && !is_there(Role::Admin) {
            return Err(Problem::at(
                "management",
                "no token has the role \"admin\": nobody could use it",
            ));
        }
        self.telemetry.check()
    }
}
