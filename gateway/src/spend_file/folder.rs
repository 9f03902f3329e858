//! The folder of spend files: makes new ones, finds those of earlier processes, removes those that are done.
//!
//! A file appears under its name whole: it is made under another name, locked, headed and synced first. A file that another
//! process has locked is in use and passed over.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tollgate_metering::Incarnation;

use super::layout::Header;
use super::{SpendFile, SpendFileError};

/// Ending of a spend file's name.
const ENDING: &str = "spend";
/// Ending of a file that is being made: it holds nothing yet.
const NEW_ENDING: &str = "new";

/// A folder of spend files.
#[derive(Debug, Clone)]
pub struct SpendFolder {
    path: PathBuf,
    gateway: String,
}

/// What earlier processes left.
#[derive(Debug, Default)]
pub struct Found {
    /// Files that can be read, locked by this process now.
    pub files: Vec<SpendFile>,
    /// Why others cannot; they stay where they are.
    pub unreadable: Vec<SpendFileError>,
}

// === impl SpendFolder ===

impl SpendFolder {
    /// Makes the folder where it is missing. `gateway` is written into new files, for people.
    ///
    /// # Errors
    /// [`SpendFileError::Io`].
    pub fn open(path: &Path, gateway: &str) -> Result<Self, SpendFileError> {
        fs::create_dir_all(path).map_err(io_error(path, "make the folder"))?;
        Ok(Self { path: path.to_owned(), gateway: gateway.to_owned() })
    }

    /// Makes the file of an incarnation.
    ///
    /// # Errors
    /// [`SpendFileError::Io`], among them a full disk; nothing is left behind under the file's name.
    pub fn create(
        &self,
        incarnation: Incarnation,
        generation: u32,
    ) -> Result<SpendFile, SpendFileError> {
        let path = self.path.join(format!("{}.{ENDING}", incarnation.id));
        let new = path.with_extension(NEW_ENDING);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&new)
            .map_err(io_error(&new, "make it"))?;
        file.try_lock().map_err(|error| io_error(&new, "lock it")(error.into()))?;
        let gateway = self.gateway.clone();
        let header = Header { incarnation, generation, gateway, settled_at: None };
        let made = SpendFile::begin(path.clone(), file, header).and_then(|file| {
            fs::rename(&new, &path).map_err(io_error(&path, "name it"))?;
            self.sync()?;
            Ok(file)
        });
        if made.is_err() {
            // Best effort: what is left under this name holds nothing, and the next start removes it.
            fs::remove_file(&new).ok();
        }
        made
    }

    /// Opens and locks what earlier processes left.
    ///
    /// # Errors
    /// [`SpendFileError::Io`] where the folder itself cannot be read.
    pub fn found(&self) -> Result<Found, SpendFileError> {
        let mut found = Found::default();
        let entries = fs::read_dir(&self.path).map_err(io_error(&self.path, "list the folder"))?;
        for entry in entries {
            let path = entry.map_err(io_error(&self.path, "list the folder"))?.path();
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            if ending != ENDING && ending != NEW_ENDING {
                continue;
            }
            let opened = match lock(&path) {
                Ok(Some(file)) if ending == NEW_ENDING => {
                    drop(file);
                    fs::remove_file(&path).map_err(io_error(&path, "remove it")).map(|()| None)
                }
                Ok(Some(file)) => SpendFile::found(path, file).map(Some),
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            match opened {
                Ok(file) => found.files.extend(file),
                Err(error) => found.unreadable.push(error),
            }
        }
        found.files.sort_by_key(SpendFile::incarnation);
        Ok(found)
    }

    /// Deletes a file that is not needed any more; one with something unreadable in it stays.
    ///
    /// # Errors
    /// [`SpendFileError::Io`].
    pub fn remove(&self, file: &SpendFile) -> Result<(), SpendFileError> {
        if !file.damages().is_empty() {
            return Ok(());
        }
        fs::remove_file(file.path()).map_err(io_error(file.path(), "remove it"))?;
        self.sync()
    }

    /// Makes names durable.
    fn sync(&self) -> Result<(), SpendFileError> {
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(io_error(&self.path, "sync the folder"))
    }
}

/// Opens and locks a file; `None` where a living process has it.
fn lock(path: &Path) -> Result<Option<File>, SpendFileError> {
    let file =
        OpenOptions::new().read(true).write(true).open(path).map_err(io_error(path, "open it"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(io_error(path, "lock it")(source)),
    }
}

fn io_error(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> SpendFileError {
    let path = path.to_owned();
    move |source| SpendFileError::Io { path, what, source }
}
