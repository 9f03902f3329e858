//! `[billing]`: whether and how organizations bill with Stripe.
//!
//! Absent, or without `enabled = true`, billing is off, and whoever asks for it is told so.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tollgate_billing::vault::{KEY_BYTES, KEYS_MAX, key_of_identity};
use tollgate_billing::workers::{Intervals, JOB_RETRIES};
use tollgate_billing::{Vault, stripe};

use super::file::Problem;
use super::secret::{SecretError, SecretPlace};

/// `[billing]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BillingSection {
    /// Whether it is on.
    #[serde(default)]
    pub(crate) enabled: bool,
    /// What seals keys of Stripe in the ledger: the first seals, all of them open.
    #[serde(default)]
    pub(crate) vault_keys: Vec<VaultKeyPlace>,
    /// Where Stripe is.
    #[serde(default = "stripe_url")]
    pub(crate) stripe_url: String,
    /// How long one attempt of a request may take.
    #[serde(default = "stripe_timeout_ms")]
    pub(crate) stripe_timeout_ms: u32,
    /// How often job queues are looked at.
    pub(crate) job_interval_ms: Option<u32>,
    /// The pauses before the retries of a job that failed.
    pub(crate) job_retry_pauses_ms: Option<[u32; JOB_RETRIES]>,
    /// How often top-ups are looked at.
    pub(crate) top_up_interval_ms: Option<u32>,
    /// How often invoices are looked at.
    pub(crate) invoice_interval_ms: Option<u32>,
    /// How often events that did not arrive are asked for.
    pub(crate) event_interval_ms: Option<u32>,
    /// How long after a payment has failed at Stripe its subscription goes on.
    pub(crate) payment_grace_ms: Option<u64>,
}

/// Where a key of the vault is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VaultKeyPlace {
    /// A file with 32 bytes in hexadecimal or Base64.
    File(PathBuf),
    /// A variable of the environment with the same.
    Env(String),
    /// A file of age-keygen: the key is derived from its identity.
    AgeIdentity(PathBuf),
}

/// Why billing cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BillingStartError {
    /// A key of the vault cannot be read.
    #[error("cannot read a vault key of [billing]")]
    Key(#[from] SecretError),
    /// A key of the vault is none. Nothing of it is told.
    #[error("vault key in {place} must be {what}")]
    NoKey {
        /// The file or variable.
        place: String,
        /// What it should be.
        what: &'static str,
    },
    /// The vault takes no such keys.
    #[error(transparent)]
    Vault(#[from] tollgate_billing::vault::VaultError),
    /// The system's certificates cannot be read.
    #[error("cannot read the system's certificates")]
    Certificates(#[source] std::io::Error),
}

/// What billing is made of that a configuration says.
pub(crate) struct BillingConfig {
    /// Seals secrets.
    pub(crate) vault: Arc<Vault>,
    /// Where Stripe is.
    pub(crate) stripe: stripe::Settings,
    /// How requests reach it.
    pub(crate) transport: Arc<dyn stripe::Transport>,
    /// How often its workers look for work.
    pub(crate) intervals: Intervals,
}

fn stripe_url() -> String {
    stripe::Settings::default().base
}

fn stripe_timeout_ms() -> u32 {
    30_000
}

// === impl BillingSection ===

impl BillingSection {
    /// Checks what the types do not say.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.enabled && !(1..=KEYS_MAX).contains(&self.vault_keys.len()) {
            let text = format!("needs 1 to {KEYS_MAX} keys: the first seals, all of them open");
            return Err(Problem::at("billing.vault_keys", text));
        }
        let url = self.stripe_url.parse::<http::Uri>().ok();
        let is_url = url.is_some_and(|url| {
            url.host().is_some()
                && url.path() == "/"
                && url.query().is_none()
                && matches!(url.scheme_str(), Some("http" | "https"))
        });
        if !is_url || self.stripe_url.ends_with('/') {
            let text = "must be http:// or https://, a host and perhaps a port, and nothing after";
            return Err(Problem::at("billing.stripe_url", text));
        }
        let intervals = [
            ("stripe_timeout_ms", Some(self.stripe_timeout_ms)),
            ("job_interval_ms", self.job_interval_ms),
            ("top_up_interval_ms", self.top_up_interval_ms),
            ("invoice_interval_ms", self.invoice_interval_ms),
            ("event_interval_ms", self.event_interval_ms),
        ];
        match intervals.iter().find(|(_, value)| *value == Some(0)) {
            Some((name, _)) => Err(Problem::at(&format!("billing.{name}"), "must be above 0")),
            None => Ok(()),
        }
    }

    /// What billing is made of; `None` where it is off.
    ///
    /// # Errors
    /// [`BillingStartError`].
    pub(crate) fn read(&self) -> Result<Option<BillingConfig>, BillingStartError> {
        if !self.enabled {
            return Ok(None);
        }
        let transport = stripe::Direct::new().map_err(BillingStartError::Certificates)?;
        let stripe = stripe::Settings {
            base: self.stripe_url.clone(),
            answer_timeout: Duration::from_millis(u64::from(self.stripe_timeout_ms)),
            ..stripe::Settings::default()
        };
        Ok(Some(BillingConfig {
            vault: Arc::new(self.vault()?),
            stripe,
            transport: Arc::new(transport),
            intervals: self.intervals(),
        }))
    }

    /// The vault with the keys that the section names, read.
    ///
    /// # Errors
    /// [`BillingStartError`].
    pub(crate) fn vault(&self) -> Result<Vault, BillingStartError> {
        let keys: Result<Vec<_>, _> = self.vault_keys.iter().map(VaultKeyPlace::read).collect();
        Ok(Vault::new(&keys?)?)
    }

    fn intervals(&self) -> Intervals {
        let time = |given: Option<u32>, other| {
            given.map_or(other, |ms| Duration::from_millis(u64::from(ms)))
        };
        let usual = Intervals::default();
        let pauses = self.job_retry_pauses_ms;
        Intervals {
            jobs: time(self.job_interval_ms, usual.jobs),
            job_pauses: pauses.map_or(usual.job_pauses, |pauses| {
                pauses.map(|ms| Duration::from_millis(u64::from(ms)))
            }),
            top_ups: time(self.top_up_interval_ms, usual.top_ups),
            invoices: time(self.invoice_interval_ms, usual.invoices),
            events: time(self.event_interval_ms, usual.events),
            payment_grace: self.payment_grace_ms.map_or(usual.payment_grace, Duration::from_millis),
        }
    }
}

// === impl VaultKeyPlace ===

impl VaultKeyPlace {
    fn read(&self) -> Result<[u8; KEY_BYTES], BillingStartError> {
        let (place, what) = match self {
            VaultKeyPlace::File(path) => (SecretPlace::File(path.clone()), BYTES),
            VaultKeyPlace::Env(name) => (SecretPlace::Env(name.clone()), BYTES),
            VaultKeyPlace::AgeIdentity(path) => (SecretPlace::File(path.clone()), IDENTITY),
        };
        let secret = place.read()?;
        let key = match self {
            VaultKeyPlace::AgeIdentity(_) => key_of_identity(secret.expose()),
            VaultKeyPlace::File(_) | VaultKeyPlace::Env(_) => key_of_text(secret.expose()),
        };
        key.ok_or_else(|| BillingStartError::NoKey { place: place.to_string(), what })
    }
}

const BYTES: &str = "32 bytes in hexadecimal or Base64, as `openssl rand -hex 32` makes them";
const IDENTITY: &str = "an identity of age, as `age-keygen` makes them";

fn key_of_text(text: &str) -> Option<[u8; KEY_BYTES]> {
    let text = text.trim();
    if text.len() == 2 * KEY_BYTES && text.is_ascii() {
        let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok();
        let bytes: Option<Vec<u8>> = (0..KEY_BYTES).map(byte).collect();
        return bytes?.try_into().ok();
    }
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_hexadecimal_or_base64_of_32_bytes() {
        assert_eq!(key_of_text(&"0a".repeat(32)), Some([10; 32]));
        assert_eq!(key_of_text(&STANDARD.encode([7; 32])), Some([7; 32]));
        for bad in [String::new(), "0a".repeat(31), "zz".repeat(32), STANDARD.encode([7; 16])] {
            assert_eq!(key_of_text(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_section_that_is_off_needs_nothing_and_one_that_is_on_needs_a_key() {
        let check = |text: &str, want: &str| {
            let section: BillingSection = toml::from_str(text).unwrap();
            let told = section.check().map_or_else(|it| it.text, |()| String::new());
            assert!(told.starts_with(want) && told.is_empty() == want.is_empty(), "{text}: {told}");
        };
        let key = "enabled = true\nvault_keys = [{ env = \"X\" }]\n";
        check("", "");
        check("enabled = true", "needs 1 to 16 keys");
        check(key, "");
        check(&format!("{key}stripe_url = \"http://127.0.0.1:12111\""), "");
        check(&format!("{key}stripe_url = \"http://127.0.0.1/v1\""), "must be http://");
        check(&format!("{key}stripe_url = \"ftp://a\""), "must be http://");
        check(&format!("{key}job_interval_ms = 0"), "must be above 0");
    }
}
