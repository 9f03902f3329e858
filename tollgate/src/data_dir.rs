//! The data directory of a process: made, locked, and the admin token in it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::config::secret::{Secret, SecretError, SecretPlace};

/// A data directory that this process alone uses.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Locked for as long as it is open.
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    /// It cannot be made or written.
    #[error("cannot use the data directory: {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Another process has it.
    #[error("another tollgate process works in {}", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The admin token is there and cannot be read.
    #[error("cannot use the admin token")]
    Token(#[from] SecretError),
}

// === impl DataDir ===

impl DataDir {
    /// Makes the directory where it is not there, and locks it.
    ///
    /// # Errors
    /// [`DataDirError::Io`], [`DataDirError::InUse`].
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { what, path, source }
        };
        // Whoever may read the ledger may read keys.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(failed("make", path))?;
        let name = path.join("lock");
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&name);
        let lock = lock.map_err(failed("open", &name))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(DataDirError::InUse { path: path.to_owned() })
            }
            Err(std::fs::TryLockError::Error(source)) => Err(failed("lock", &name)(source)),
        }
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the admin token.
    pub(crate) fn admin_token_file(&self) -> PathBuf {
        self.path.join("admin-token")
    }

    /// The admin token; the first start makes one. The file appears whole or not at all.
    ///
    /// # Errors
    /// [`DataDirError::Io`], [`DataDirError::Token`].
    pub(crate) fn admin_token(&self) -> Result<Secret, DataDirError> {
        let file = self.admin_token_file();
        if !file.exists() {
            let token = random_token();
            self.write_private(&file, token.expose()).map_err(|source| DataDirError::Io {
                what: "write",
                path: file.clone(),
                source,
            })?;
            tracing::info!(file = %file.display(), "wrote a new admin token");
        }
        Ok(SecretPlace::File(file).read()?)
    }

    fn write_private(&self, file: &Path, text: &str) -> io::Result<()> {
        let partial = self.path.join("admin-token.part");
        if partial.exists() {
            std::fs::remove_file(&partial)?;
        }
        let mut out = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&partial)?;
        writeln!(out, "{text}")?;
        out.sync_all()?;
        std::fs::rename(&partial, file)?;
        File::open(&self.path)?.sync_all()
    }
}

/// A token of 244 random bits.
pub(crate) fn random_token() -> Secret {
    Secret::new(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_token_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("data")).unwrap();
        let first = data.admin_token().unwrap();
        assert_eq!(data.admin_token().unwrap(), first);
        let mode = std::fs::metadata(data.admin_token_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_directory_is_for_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::InUse { .. })));
        drop(data);
        assert!(DataDir::open(dir.path()).is_ok());
    }
}
