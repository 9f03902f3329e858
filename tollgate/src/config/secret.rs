//! Secrets that a configuration names and never holds: in a file or in the environment.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// What a secret cannot be longer than.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Where a secret is: `{ file = "…" }` or `{ env = "…" }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SecretPlace {
    /// A file; whitespace at its end is not part of the secret.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
}

/// A secret in memory, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

/// Why a secret cannot be had. The secret itself is never part of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The variable is not there.
    #[error("the environment has no variable {name} that holds a secret")]
    NoVariable {
        /// Its name.
        name: String,
    },
    /// There is nothing in it, or more than a secret has.
    #[error("the secret in {place} is empty or too long")]
    Size {
        /// The file or variable.
        place: String,
    },
}

// === impl SecretPlace ===

impl SecretPlace {
    /// Reads the secret.
    ///
    /// # Errors
    /// A [`SecretError`] that names the file or the variable.
    pub(crate) fn read(&self) -> Result<Secret, SecretError> {
        let text = match self {
            Self::File(path) => {
                let read = |source| SecretError::Read { path: path.clone(), source };
                if std::fs::metadata(path).map_err(read)?.len() > SECRET_BYTES_MAX {
                    return Err(SecretError::Size { place: path.display().to_string() });
                }
                std::fs::read_to_string(path).map_err(read)?
            }
            Self::Env(name) => {
                std::env::var(name).map_err(|_| SecretError::NoVariable { name: name.clone() })?
            }
        };
        let text = text.trim_end();
        if text.is_empty() {
            return Err(SecretError::Size { place: self.to_string() });
        }
        Ok(Secret(text.to_owned()))
    }
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "${name}"),
        }
    }
}

// === impl Secret ===

impl Secret {
    /// Wraps a secret that was made here.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// What it is known by.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The secret, for the one place that needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_without_its_line_end_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "abc\n").unwrap();
        let secret = SecretPlace::File(path).read().unwrap();
        assert_eq!(secret.expose(), "abc");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn an_empty_or_absent_secret_is_an_error_that_names_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let read = || SecretPlace::File(path.clone()).read().unwrap_err().to_string();
        assert!(read().contains("token"), "{}", read());
        std::fs::write(&path, " \n").unwrap();
        assert!(read().contains("empty"), "{}", read());
        let absent = SecretPlace::Env("TOLLGATE_NO_SUCH_SECRET".to_owned()).read();
        assert!(absent.unwrap_err().to_string().contains("TOLLGATE_NO_SUCH_SECRET"));
    }
}
