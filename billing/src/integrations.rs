//! Billing integrations: accounts of Stripe that an organization bills with, as in IBM API Connect.
//!
//! Objects of Stripe are kept under an account and a mode, test or live, and ids of one are unknown
//! in the other. So an integration keeps account and mode for as long as it exists: its keys may be
//! rolled, and nothing else. Whether a pair of keys belongs together is asked of Stripe when it is
//! entered: the secret key tells its account, and a setup intent that it makes is visible under a
//! publishable key of the same account and mode only.
//! Invariants: the secret key is sealed in the record, and what seals it names the integration's id.
//! Bounds: at most [`INTEGRATIONS_MAX`] of an organization, [`WEBHOOK_SECRETS_MAX`] secrets each.

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::text;
use tollgate_ledger_store::{DocumentKey, Put};
use tollgate_metering::UnixMillis;
use uuid::Uuid;

use crate::Billing;
use crate::error::BillingError;
use crate::records::{Stored, key};
use crate::secret::{KeyMode, PublishableKey, SecretKey};
use crate::stripe::Client;

mod keys;

pub(crate) const INTEGRATION: &str = "billing.integration";

/// Most integrations of an organization.
pub const INTEGRATIONS_MAX: usize = 100;

/// Most webhook secrets of an integration: the new one and those that are being rolled out.
pub const WEBHOOK_SECRETS_MAX: usize = 8;

/// Most bytes of a webhook secret.
const WEBHOOK_SECRET_BYTES_MAX: usize = 255;

/// Most characters of a name, a title or a summary.
const NAME_CHARS_MAX: usize = 64;
const TITLE_CHARS_MAX: usize = 255;
const SUMMARY_CHARS_MAX: usize = 2_000;

/// An account of Stripe that an organization bills with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    /// Generated; one that is created again under the same name has another.
    pub id: Uuid,
    /// Whose it is.
    pub organization: String,
    /// Unique in the organization, immutable, one token.
    pub name: String,
    /// For people.
    pub title: String,
    /// For people.
    pub summary: String,
    /// What browsers of its customers use.
    pub publishable_key: PublishableKey,
    /// The secret key, sealed.
    pub sealed_key: String,
    /// The webhook secrets, sealed, newest first.
    #[serde(default)]
    pub sealed_webhook_secrets: Vec<String>,
    /// The namespace of both keys.
    pub mode: KeyMode,
    /// The account, as Stripe told it.
    pub account_id: String,
    /// When it was created.
    #[serde(with = "text::millis")]
    pub created_at: UnixMillis,
    /// When it was last changed.
    #[serde(with = "text::millis")]
    pub modified_at: UnixMillis,
}

/// The keys of an integration as somebody entered them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// What browsers use.
    pub publishable: PublishableKey,
    /// What this process uses.
    pub secret: SecretKey,
}

/// An integration to be made.
#[derive(Clone)]
pub struct IntegrationTerms {
    /// Absent: made of the title.
    pub name: Option<String>,
    /// For people.
    pub title: String,
    /// For people.
    pub summary: String,
    /// Its keys.
    pub keys: Keys,
    /// Secrets of its webhook endpoint.
    pub webhook_secrets: Vec<String>,
}

/// What is to be changed of an integration; what is absent stays.
#[derive(Clone, Default)]
pub struct IntegrationChange {
    /// For people.
    pub title: Option<String>,
    /// For people.
    pub summary: Option<String>,
    /// A rolled publishable key.
    pub publishable: Option<PublishableKey>,
    /// A rolled secret key.
    pub secret: Option<SecretKey>,
    /// Secrets of its webhook endpoint, all of them.
    pub webhook_secrets: Option<Vec<String>>,
}

/// The name that a title makes: one token of lower-case letters, digits and single hyphens, which
/// fits into a path and on a command line.
///
/// # Errors
/// `Invalid` where nothing is left of it.
pub fn name_of(title: &str) -> Result<String, BillingError> {
    let words = title.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<String> =
        words.filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect();
    let mut name = words.join("-");
    name.truncate(NAME_CHARS_MAX);
    let name = name.trim_end_matches('-').to_owned();
    match name.is_empty() {
        true => Err(BillingError::invalid("title", "needs a letter or a digit, or give a name")),
        false => Ok(name),
    }
}

/// Checks a name that somebody chose.
///
/// # Errors
/// `Invalid`.
pub fn check_name(name: &str) -> Result<(), BillingError> {
    let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let is_name =
        is_end(bytes.first()) && is_end(bytes.last()) && bytes.iter().all(|b| is_good(*b));
    match is_name && name.len() <= NAME_CHARS_MAX {
        true => Ok(()),
        false => Err(BillingError::invalid(
            "name",
            format!(
                "must have 1 to {NAME_CHARS_MAX} lower-case letters, digits and hyphens, and begin and \
                 end with a letter or digit"
            ),
        )),
    }
}

fn check_texts(title: &str, summary: &str) -> Result<(), BillingError> {
    let is_long = |text: &str, most: usize| text.chars().count() > most;
    if title.trim().is_empty() || is_long(title, TITLE_CHARS_MAX) {
        let reason = format!("must have 1 to {TITLE_CHARS_MAX} characters");
        return Err(BillingError::invalid("title", reason));
    }
    if is_long(summary, SUMMARY_CHARS_MAX) {
        let reason = format!("must have at most {SUMMARY_CHARS_MAX} characters");
        return Err(BillingError::invalid("summary", reason));
    }
    Ok(())
}

fn check_webhook_secrets(secrets: &[String]) -> Result<(), BillingError> {
    if secrets.len() > WEBHOOK_SECRETS_MAX {
        let reason = format!("must be at most {WEBHOOK_SECRETS_MAX}");
        return Err(BillingError::invalid("configuration.webhook_secrets", reason));
    }
    let is_secret = |text: &String| {
        text.starts_with("whsec_")
            && text.len() <= WEBHOOK_SECRET_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match secrets.iter().all(is_secret) {
        true => Ok(()),
        false => {
            let reason = "must be signing secrets of Stripe: whsec_…";
            Err(BillingError::invalid("configuration.webhook_secrets", reason))
        }
    }
}

fn integration_key(organization: &str, name: &str) -> DocumentKey {
    key(INTEGRATION, organization, name)
}

fn missing(organization: &str, name: &str) -> BillingError {
    BillingError::missing("billing", name, format!("organization {organization}"))
}

// === impl Integration ===

impl Integration {
    fn key_owner(&self) -> String {
        format!("integration/{}/{}/key", self.organization, self.id)
    }

    fn webhook_owner(&self) -> String {
        format!("integration/{}/{}/webhook", self.organization, self.id)
    }
}

// === impl Billing ===

impl Billing {
    /// An integration.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn integration(
        &self,
        organization: &str,
        name: &str,
    ) -> Result<Stored<Integration>, BillingError> {
        let found = self.records().load(&integration_key(organization, name)).await?;
        found.ok_or_else(|| missing(organization, name))
    }

    /// All integrations of an organization by name.
    ///
    /// # Errors
    /// The store's.
    pub async fn integrations(&self, organization: &str) -> Result<Vec<Integration>, BillingError> {
        let all = self.records().all::<Integration>(INTEGRATION, organization).await?;
        Ok(all.into_iter().map(|(_, stored)| stored.record).collect())
    }

    /// The integration of this name, or where none is named the organization's only one.
    ///
    /// # Errors
    /// `Missing`; `Precondition` where none is named and there is not exactly one; the store's.
    pub async fn integration_for(
        &self,
        organization: &str,
        named: Option<&str>,
    ) -> Result<Integration, BillingError> {
        if let Some(name) = named {
            return Ok(self.integration(organization, name).await?.record);
        }
        let mut all = self.integrations(organization).await?;
        match (all.pop(), all.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(BillingError::Precondition(format!(
                "organization {organization} has no billing: create one first"
            ))),
            (Some(last), false) => {
                let mut names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
                names.push(&last.name);
                Err(BillingError::Precondition(format!(
                    "organization {organization} has several billings, name one of them: {}",
                    names.join(", ")
                )))
            }
        }
    }

    /// A client of the integration's account.
    ///
    /// # Errors
    /// `Vault` where the key cannot be opened.
    pub fn client_of(&self, integration: &Integration) -> Result<Client, BillingError> {
        Ok(self.stripe(self.secret_key_of(integration)?, None))
    }

    fn secret_key_of(&self, integration: &Integration) -> Result<SecretKey, BillingError> {
        let opened = self.parts().vault.open(&integration.key_owner(), &integration.sealed_key)?;
        SecretKey::parse(&opened)
            .map_err(|error| BillingError::invalid("configuration.full_access_key", error))
    }

    /// The secrets that events of the integration may be signed with.
    ///
    /// # Errors
    /// `Vault` where one cannot be opened.
    pub fn webhook_secrets_of(
        &self,
        integration: &Integration,
    ) -> Result<Vec<String>, BillingError> {
        let owner = integration.webhook_owner();
        let open = |sealed: &String| self.parts().vault.open(&owner, sealed);
        let opened: Result<Vec<String>, _> =
            integration.sealed_webhook_secrets.iter().map(open).collect();
        Ok(opened?)
    }

    /// Makes an integration, once Stripe has said whose keys these are.
    ///
    /// # Errors
    /// `Invalid`, `Exists`, `Precondition` (keys that do not belong together, too many), `Stripe`,
    /// the store's.
    pub async fn create_integration(
        &self,
        organization: &str,
        terms: &IntegrationTerms,
    ) -> Result<Integration, BillingError> {
        self.parts().catalogue.organization(organization).await?;
        check_texts(&terms.title, &terms.summary)?;
        check_webhook_secrets(&terms.webhook_secrets)?;
        let name = match &terms.name {
            Some(name) => name.clone(),
            None => name_of(&terms.title)?,
        };
        check_name(&name)?;
        let there = self.integrations(organization).await?;
        if there.iter().any(|other| other.name == name) {
            return Err(exists(organization, &name));
        }
        if there.len() >= INTEGRATIONS_MAX {
            let what = format!("{organization} has {INTEGRATIONS_MAX} billings already");
            return Err(BillingError::Precondition(what));
        }
        let (id, now) = (Uuid::new_v4(), self.parts().clock.now());
        let account_id = self.account_of(&terms.keys, id).await?;
        let mut integration = Integration {
            id,
            organization: organization.to_owned(),
            name: name.clone(),
            title: terms.title.clone(),
            summary: terms.summary.clone(),
            publishable_key: terms.keys.publishable.clone(),
            sealed_key: String::new(),
            sealed_webhook_secrets: Vec::new(),
            mode: terms.keys.secret.mode(),
            account_id,
            created_at: now,
            modified_at: now,
        };
        self.seal(&mut integration, Some(&terms.keys.secret), Some(&terms.webhook_secrets))?;
        let key = integration_key(organization, &name);
        match self.records().insert(&key, &integration, now).await? {
            Put::Written => Ok(integration),
            Put::Conflict => Err(exists(organization, &name)),
        }
    }

    /// Changes an integration. Keys may be rolled: they must be of the same account and mode.
    ///
    /// # Errors
    /// `Missing`, `Invalid`, `Precondition` (keys of another account or mode), `Contended`, `Stripe`,
    /// the store's.
    pub async fn update_integration(
        &self,
        organization: &str,
        name: &str,
        change: &IntegrationChange,
    ) -> Result<Integration, BillingError> {
        let Stored { version, record: before } = self.integration(organization, name).await?;
        let now = self.parts().clock.now();
        let mut after = Integration { modified_at: now, ..before.clone() };
        after.title = change.title.clone().unwrap_or(after.title);
        after.summary = change.summary.clone().unwrap_or(after.summary);
        check_texts(&after.title, &after.summary)?;
        check_webhook_secrets(change.webhook_secrets.as_deref().unwrap_or_default())?;
        if change.publishable.is_some() || change.secret.is_some() {
            after.publishable_key = change.publishable.clone().unwrap_or(after.publishable_key);
            self.check_rolled(&before, &after.publishable_key, change.secret.as_ref()).await?;
        }
        self.seal(&mut after, change.secret.as_ref(), change.webhook_secrets.as_deref())?;
        let key = integration_key(organization, name);
        match self.records().replace(&key, version, &after, now).await? {
            Put::Written => {}
            Put::Conflict => return Err(BillingError::Contended { what: "billing" }),
        }
        if change.secret.is_some() {
            self.heal_queue(&after).await?;
        }
        Ok(after)
    }

    /// Seals every secret of every integration of every organization with the vault's first key.
    /// Says how many records were written.
    ///
    /// # Errors
    /// `Vault`, `Contended`, the store's.
    pub async fn reseal_integrations(&self) -> Result<usize, BillingError> {
        let mut written = 0;
        for organization in self.parts().catalogue.organizations().await? {
            for integration in self.integrations(&organization.name).await? {
                written += usize::from(self.reseal(&organization.name, &integration.name).await?);
            }
        }
        Ok(written)
    }

    async fn reseal(&self, organization: &str, name: &str) -> Result<bool, BillingError> {
        let Stored { version, record } = self.integration(organization, name).await?;
        let vault = &self.parts().vault;
        let mut sealed = record.sealed_webhook_secrets.iter().chain([&record.sealed_key]);
        if sealed.all(|sealed| vault.is_current(sealed)) {
            return Ok(false);
        }
        let opened = vault.open(&record.key_owner(), &record.sealed_key)?;
        let secrets = self.webhook_secrets_of(&record)?;
        let seal = |owner: &str, text: &String| vault.seal(owner, text);
        let owner = record.webhook_owner();
        let after = Integration {
            sealed_key: seal(&record.key_owner(), &opened)?,
            sealed_webhook_secrets: secrets
                .iter()
                .map(|secret| seal(&owner, secret))
                .collect::<Result<_, _>>()?,
            ..record
        };
        let (key, now) = (integration_key(organization, name), self.parts().clock.now());
        match self.records().replace(&key, version, &after, now).await? {
            Put::Written => Ok(true),
            Put::Conflict => Err(BillingError::Contended { what: "billing" }),
        }
    }

    fn seal(
        &self,
        integration: &mut Integration,
        secret: Option<&SecretKey>,
        webhook_secrets: Option<&[String]>,
    ) -> Result<(), BillingError> {
        let vault = &self.parts().vault;
        if let Some(secret) = secret {
            integration.sealed_key = vault.seal(&integration.key_owner(), secret.expose())?;
        }
        if let Some(secrets) = webhook_secrets {
            let owner = integration.webhook_owner();
            let sealed: Result<_, _> = secrets.iter().map(|one| vault.seal(&owner, one)).collect();
            integration.sealed_webhook_secrets = sealed?;
        }
        Ok(())
    }
}

fn exists(organization: &str, name: &str) -> BillingError {
    BillingError::exists("billing", name, format!("organization {organization}"))
}

#[cfg(test)]
mod tests {
    use super::{check_name, name_of};

    #[test]
    fn a_title_makes_a_name_of_one_token() {
        let check = |title: &str, name: &str| {
            assert_eq!(name_of(title).unwrap(), name, "{title}");
            check_name(name).unwrap();
        };
        check("Stripe", "stripe");
        check("  My Stripe (EU) – test!", "my-stripe-eu-test");
        check(&"ab ".repeat(60), "ab-".repeat(22)[..64].trim_end_matches('-'));
        assert!(name_of("…").is_err());
        for bad in ["", "-a", "a-", "A", "a b", "a/b", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
