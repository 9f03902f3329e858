//! Names of ledger files by generation, and the restore of a backup as the next one.
//!
//! A backup is a copy of the file that was taken with `VACUUM INTO` or `sqlite3 FILE .backup`.
//! Restored, it gets the name and number of the next generation, so that nothing that was on its
//! way to the old file lands in the new one. A number is given once: beside each restored file an
//! empty one, `ledger-N.given`, says so for as long as the folder is there.

use std::path::{Path, PathBuf};

use rusqlite::params;

use super::accounts;
use super::failure::Failure;
use super::{rows, schema, statements};
use tollgate_metering::account::RESTORED_MODES;

use crate::error::LedgerError;

/// Ending of the file that says that a generation's number was given.
const GIVEN: &str = ".given";

/// Name of the file of a generation.
fn name_of(generation: u32) -> String {
    format!("ledger-{generation}.sqlite")
}

/// The file of a generation in a folder.
#[must_use]
pub fn path_of(folder: &Path, generation: u32) -> PathBuf {
    folder.join(name_of(generation))
}

/// The newest generation in a folder: the file to open; 1 where there is none yet.
///
/// # Errors
/// [`LedgerError::NotOurs`] where the folder cannot be read.
pub fn newest_generation(folder: &Path) -> Result<u32, LedgerError> {
    newest_number(folder, ".sqlite")
}

/// The greatest N of the files `ledger-N…` with this ending; 1 where there is none.
fn newest_number(folder: &Path, ending: &str) -> Result<u32, LedgerError> {
    let unreadable = |error: std::io::Error| LedgerError::NotOurs {
        detail: format!("{}: {error}", folder.display()),
    };
    let mut newest = 1;
    for file in std::fs::read_dir(folder).map_err(unreadable)? {
        let name = file.map_err(unreadable)?.file_name();
        let number = name.to_str().and_then(|name| {
            let number = name.strip_prefix("ledger-")?.strip_suffix(ending)?;
            number.parse::<u32>().ok()
        });
        newest = newest.max(number.unwrap_or(1));
    }
    Ok(newest)
}

/// Restores a backup as the next generation after every one that ever was in `folder`, and returns
/// its file.
///
/// The copy is made under another name and renamed when it is whole and durable, so that a
/// restore that was interrupted leaves nothing that a node would open.
///
/// # Errors
/// [`LedgerError::NotOurs`] where the backup is not a ledger or the folder cannot be written;
/// the files that are there stay as they are.
pub fn restore(backup: &Path, folder: &Path) -> Result<PathBuf, LedgerError> {
    schema::check_readable(backup)?;
    let found = {
        let connection =
            schema::reader(backup).map_err(|failure| failure.not_applied("read the backup"))?;
        accounts::generation(&connection)
            .map_err(|failure| failure.not_applied("read the backup"))?
    };
    let given = newest_generation(folder)?.max(newest_number(folder, GIVEN)?);
    let next = found.max(given).checked_add(1);
    let next = next.ok_or_else(|| LedgerError::NotOurs {
        detail: format!("{} has the last generation", backup.display()),
    })?;
    let (target, partial) = (path_of(folder, next), folder.join(format!("restore-{next}.part")));
    let unwritable = |error: std::io::Error| LedgerError::NotOurs {
        detail: format!("{}: {error}", partial.display()),
    };
    let raise = || -> Result<(), Failure> {
        let source = schema::reader(backup)?;
        source.execute("VACUUM INTO ?1", [partial.to_string_lossy()])?;
        let copy = rusqlite::Connection::open(&partial)?;
        copy.pragma_update(None, "synchronous", "FULL")?;
        copy.execute(statements::SET_META, params!["generation", next])?;
        copy.execute(statements::RESTORE_MODES, [rows::stored(RESTORED_MODES, "modes")?])?;
        Ok(())
    };
    if partial.exists() {
        std::fs::remove_file(&partial).map_err(unwritable)?;
    }
    raise().map_err(|failure| failure.not_applied("restore the backup"))?;
    std::fs::File::open(&partial).and_then(|file| file.sync_all()).map_err(unwritable)?;
    // First, so that the number is taken before anybody can hear of it.
    let given = folder.join(format!("ledger-{next}{GIVEN}"));
    std::fs::File::create(given).and_then(|file| file.sync_all()).map_err(unwritable)?;
    std::fs::rename(&partial, &target).map_err(unwritable)?;
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritable)?;
    Ok(target)
}
