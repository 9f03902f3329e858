//! What can be checked on this machine alone: secrets, data directories, ports.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::net::TcpListener;

use super::http::{self, Ask};
use super::report::Report;
use super::site::{Port, Use, url};
use crate::config::secret::{SecretError, SecretPlace};

/// A token of fewer characters can be guessed, of fewer than the second should not be used.
const TOKEN_CHARS_MIN: usize = 16;
const TOKEN_CHARS_GOOD: usize = 32;
/// Free bytes below which nothing works for long, and below which somebody should look.
const FREE_BYTES_MIN: u64 = 64 << 20;
const FREE_BYTES_GOOD: u64 = 1 << 30;

/// Checks a secret: there, long enough, for its owner alone. Never shows it.
pub(super) fn secret(report: &mut Report, name: &str, place: &SecretPlace, is_made_at_start: bool) {
    const CHECK: &str = "secret";
    let subject = format!("{name} in {place}");
    let chars = match place.read() {
        Ok(secret) => secret.expose().chars().count(),
        Err(SecretError::Read { source, .. })
            if is_made_at_start && source.kind() == ErrorKind::NotFound =>
        {
            return report.skipped(CHECK, subject, "not there yet: the first start makes it");
        }
        Err(error) => {
            let mend = "write the secret there, readable for the user that runs tollgate";
            return report.fail(CHECK, subject, crate::chain(&error), mend);
        }
    };
    let mode = match place {
        SecretPlace::File(path) => {
            std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode())
        }
        SecretPlace::Env(_) => 0,
    };
    if chars < TOKEN_CHARS_MIN {
        let found = format!("has {chars} characters, fewer than {TOKEN_CHARS_MIN}");
        report.fail(CHECK, subject, found, "take a longer one: openssl rand -hex 32");
    } else if mode & 0o004 != 0 {
        let found = format!("can be read by every user (mode {:04o})", mode & 0o7777);
        report.warn(CHECK, subject, found, "chmod 0600, owned by the user that runs tollgate");
    } else if chars < TOKEN_CHARS_GOOD {
        let found = format!("has {chars} characters, fewer than {TOKEN_CHARS_GOOD}");
        report.warn(CHECK, subject, found, "take a longer one: openssl rand -hex 32");
    } else {
        report.ok(CHECK, subject, "is there, long enough and for its owner alone");
    }
}

/// Checks a data directory: writable, with room, used by one process at most.
pub(super) fn data_dir(report: &mut Report, path: &Path) {
    const CHECK: &str = "data_dir";
    let subject = path.display();
    // A first start makes it, with what is missing above it.
    let Some(there) = path.ancestors().find(|one| !one.as_os_str().is_empty() && one.exists())
    else {
        let found = "is below the working directory, and is made at the first start";
        return report.ok(CHECK, subject, found);
    };
    if let Err(error) = write(there) {
        let found = format!("cannot be written: {error}");
        let mend = "give it to the user that runs tollgate, or mount it writable";
        return report.fail(CHECK, subject, found, mend);
    }
    let free = rustix::fs::statvfs(there).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    match free {
        Ok(free) if free < FREE_BYTES_MIN => {
            let found = format!("has {} MiB free", free >> 20);
            return report.fail(CHECK, subject, found, "make room, or move data_dir");
        }
        Ok(free) if free < FREE_BYTES_GOOD => {
            report.warn(CHECK, &subject, format!("has {} MiB free", free >> 20), "make room");
        }
        Ok(free) => report.ok(CHECK, &subject, format!("writable, {} MiB free", free >> 20)),
        Err(error) => {
            let mend = "look at the file system";
            report.warn(CHECK, &subject, format!("free space cannot be told: {error}"), mend);
        }
    }
    // Only a lock that is there is asked for: this must leave nothing behind.
    if let Ok(lock) = File::open(path.join("lock")) {
        match lock.try_lock() {
            Ok(()) => report.ok(CHECK, &subject, "no process works in it"),
            Err(TryLockError::WouldBlock) => {
                report.ok(CHECK, &subject, "a running tollgate works in it");
            }
            Err(TryLockError::Error(error)) => {
                let mend = "use a file system that locks files: a local disk, not a share";
                report.fail(CHECK, &subject, format!("cannot be locked: {error}"), mend);
            }
        }
    }
}

/// Writes and removes a file.
fn write(dir: &Path) -> std::io::Result<()> {
    let path = dir.join(format!(".tollgate-doctor-{}", uuid::Uuid::new_v4().simple()));
    let mut file = OpenOptions::new().create_new(true).write(true).open(&path)?;
    let written = file.write_all(b"written by tollgate doctor").and_then(|()| file.sync_all());
    std::fs::remove_file(&path)?;
    written
}

/// Checks a port: free, or served by us.
pub(super) async fn port(report: &mut Report, port: &Port) {
    const CHECK: &str = "port";
    let subject = format!("{} {}", port.what.word(), port.address);
    if port.address.port() == 0 {
        return report.skipped(CHECK, subject, "a free one is taken at the start");
    }
    match TcpListener::bind(port.address).await {
        Ok(_) => report.ok(CHECK, subject, "is free"),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match owner(port).await {
            Owner::Us => report.ok(CHECK, subject, "is served by tollgate"),
            Owner::Unknown => {
                let found = "is taken, and TLS hides by whom";
                report.warn(CHECK, subject, found, "see who listens: ss -ltnp");
            }
            Owner::Other => {
                let mend = "end what listens there (ss -ltnp), or give tollgate another port";
                report.fail(CHECK, subject, "is taken by another program", mend);
            }
        },
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let mend = "take a port from 1024 on, or give the program CAP_NET_BIND_SERVICE";
            report.fail(CHECK, subject, error, mend);
        }
        Err(error) => {
            let mend = "name an address of this machine";
            report.fail(CHECK, subject, error, mend);
        }
    }
}

/// Who serves a port.
enum Owner {
    Us,
    Other,
    Unknown,
}

/// Asks what each of our servers answers in its own way.
async fn owner(port: &Port) -> Owner {
    let Some(url) = url(port.address, false).filter(|_| !port.is_tls) else {
        return Owner::Unknown;
    };
    let is_ours = match port.what {
        Use::Sync => super::nodes::answers(&url).await,
        Use::Management => holds(&format!("{url}/openapi.json"), "Tollgate management API").await,
        Use::Metrics => holds(&format!("{url}/metrics"), "tollgate_").await,
        Use::Gateway => holds(&format!("{url}/.tollgate/doctor"), "\"fault\"").await,
    };
    if is_ours { Owner::Us } else { Owner::Other }
}

async fn holds(url: &str, text: &str) -> bool {
    let answer = http::send(Ask { url, ..Ask::default() }).await;
    answer.is_ok_and(|answer| answer.body.contains(text))
}
