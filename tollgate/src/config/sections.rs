//! Sections that several configuration files have.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::file::Problem;
use crate::telemetry::LogFormat;

/// `[log]`: how lines on stderr look; `RUST_LOG` chooses which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogSection {
    /// Text or JSON.
    pub(crate) format: LogFormat,
}

/// `[metrics]`: where metrics and health are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsSection {
    /// Address and port; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
}

/// `[management]`: where the management API is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManagementSection {
    /// Address and port; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
}

/// The certificate of a server, and whether clients need one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerTls {
    /// PEM file with the certificate chain, leaf first.
    pub(crate) certificate_file: PathBuf,
    /// PEM file with the private key.
    pub(crate) key_file: PathBuf,
    /// PEM file with the authorities that may sign clients' certificates; absent: clients need none.
    pub(crate) client_ca_file: Option<PathBuf>,
}

/// `[ledger]`: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LedgerSection {
    /// A file on this machine.
    pub(crate) sqlite: Option<SqliteSection>,
}

/// `[ledger.sqlite]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqliteSection {
    /// The folder of the file; the newest generation in it is opened, and created where there is none.
    pub(crate) folder: PathBuf,
}

// === impl LedgerSection ===

impl LedgerSection {
    /// Checks what the types do not say.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        match &self.sqlite {
            Some(_) => Ok(()),
            None => Err(Problem::at("ledger", "needs [ledger.sqlite]")),
        }
    }
}
