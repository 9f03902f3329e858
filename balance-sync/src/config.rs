//! A node's part of a configuration file.
//!
//! Times end in `_ms`; unknown keys are errors. Secrets are read from files, or given as SHA-256.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::access::{Access, Role, Token};
use crate::settings::{Settings, Tls};

/// What can be written about a node; what is left out follows the kind of ledger.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// See [`Settings::persist_interval`].
    pub persist_interval_ms: Option<u64>,
    /// See [`Settings::read_interval`].
    pub read_interval_ms: Option<u64>,
    /// See [`Settings::idle_read_interval`].
    pub idle_read_interval_ms: Option<u64>,
    /// See [`Settings::usage_interval`].
    pub usage_interval_ms: Option<u64>,
    /// See [`Settings::hold_life`].
    pub hold_life_ms: Option<u64>,
    /// See [`Settings::housekeeping_interval`].
    pub housekeeping_interval_ms: Option<u64>,
    /// See [`Settings::drain_timeout`].
    pub drain_timeout_ms: Option<u64>,
    /// See [`Settings::shards`].
    pub shards: Option<usize>,
    /// Who may call.
    pub access: AccessConfig,
    /// TLS of the listener.
    pub tls: Option<TlsConfig>,
}

/// Who may call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessConfig {
    /// Tokens that are taken.
    pub tokens: Vec<TokenConfig>,
    /// What a caller with a verified client certificate may do.
    pub certificate_role: Option<Role>,
    /// Whether callers without token and certificate may do everything.
    pub is_open: bool,
}

/// A bearer token: in a file, or as its SHA-256.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// Name for logs.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// File that holds the token and nothing else.
    pub token_file: Option<PathBuf>,
    /// SHA-256 of the token in hexadecimal.
    pub token_sha256: Option<String>,
}

/// TLS of the listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate chain, leaf first.
    pub certificate_file: PathBuf,
    /// PEM file with the private key.
    pub key_file: PathBuf,
    /// PEM file with the authority of client certificates; absent: none are asked for.
    pub client_ca_file: Option<PathBuf>,
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that it names cannot be read.
    #[error("{key}: cannot read {file}")]
    File {
        /// The key that names it.
        key: &'static str,
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A value that cannot be.
    #[error("{key}: {problem}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong.
        problem: &'static str,
    },
}

// === impl Config ===

impl Config {
    /// Fills in a node's settings, which begin as `settings`; files are relative to `folder`.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the key.
    pub fn settings(&self, folder: &Path, settings: Settings) -> Result<Settings, ConfigError> {
        let mut settings = settings;
        let times = [
            ("persist_interval_ms", self.persist_interval_ms, &mut settings.persist_interval),
            ("read_interval_ms", self.read_interval_ms, &mut settings.read_interval),
            ("idle_read_interval_ms", self.idle_read_interval_ms, &mut settings.idle_read_interval),
            ("usage_interval_ms", self.usage_interval_ms, &mut settings.usage_interval),
            ("hold_life_ms", self.hold_life_ms, &mut settings.hold_life),
            (
                "housekeeping_interval_ms",
                self.housekeeping_interval_ms,
                &mut settings.housekeeping_interval,
            ),
            ("drain_timeout_ms", self.drain_timeout_ms, &mut settings.drain_timeout),
        ];
        for (key, value_ms, setting) in times {
            match value_ms {
                None => {}
                Some(0) => return Err(value(key, "must be at least 1")),
                Some(value_ms) => *setting = Duration::from_millis(value_ms),
            }
        }
        settings.shards = self.shards.unwrap_or(settings.shards);
        settings.access = self.access.access(folder)?;
        settings.tls = self.tls.as_ref().map(|tls| tls.read(folder)).transpose()?;
        let has_client_ca = settings.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        if settings.access.certificate_role.is_some() && !has_client_ca {
            return Err(value("access.certificate_role", "needs tls.client_ca_file"));
        }
        let access = &settings.access;
        if access.tokens.is_empty() && access.certificate_role.is_none() && !access.is_open {
            let problem = "name tokens, a certificate_role, or is_open = true";
            return Err(value("access", problem));
        }
        Ok(settings)
    }
}

// === impl AccessConfig ===

impl AccessConfig {
    fn access(&self, folder: &Path) -> Result<Access, ConfigError> {
        let tokens = self.tokens.iter().map(|token| token.read(folder));
        Ok(Access {
            tokens: tokens.collect::<Result<_, _>>()?,
            certificate_role: self.certificate_role,
            is_open: self.is_open,
        })
    }
}

// === impl TokenConfig ===

impl TokenConfig {
    fn read(&self, folder: &Path) -> Result<Token, ConfigError> {
        match (&self.token_file, &self.token_sha256) {
            (Some(file), None) => {
                let bytes = read("access.tokens.token_file", folder, file)?;
                let text = String::from_utf8(bytes)
                    .map_err(|_| value("access.tokens.token_file", "holds no text"))?;
                let token = text.trim();
                if token.is_empty() {
                    return Err(value("access.tokens.token_file", "holds no token"));
                }
                Ok(Token::new(&self.name, token, self.role))
            }
            (None, Some(digits)) => {
                let sha256 = from_hex(digits).ok_or_else(|| {
                    value("access.tokens.token_sha256", "must be 64 hexadecimal digits")
                })?;
                Ok(Token { name: self.name.clone(), sha256, role: self.role })
            }
            (Some(_), Some(_)) | (None, None) => {
                Err(value("access.tokens", "each has either token_file or token_sha256"))
            }
        }
    }
}

impl std::fmt::Debug for TokenConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenConfig").field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl TlsConfig ===

impl TlsConfig {
    fn read(&self, folder: &Path) -> Result<Tls, ConfigError> {
        let client_ca = self.client_ca_file.as_ref();
        Ok(Tls {
            certificate: read("tls.certificate_file", folder, &self.certificate_file)?,
            key: read("tls.key_file", folder, &self.key_file)?,
            client_ca: client_ca
                .map(|file| read("tls.client_ca_file", folder, file))
                .transpose()?,
        })
    }
}

fn value(key: &str, problem: &'static str) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), problem }
}

fn read(key: &'static str, folder: &Path, file: &Path) -> Result<Vec<u8>, ConfigError> {
    let path = folder.join(file);
    let file = path.display().to_string();
    std::fs::read(&path).map_err(|source| ConfigError::File { key, file, source })
}

fn from_hex(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}
