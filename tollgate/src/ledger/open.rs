//! Finds the ledger that a configuration or a command line means, and opens it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tollgate_ledger_store::cql::{CqlLedger, NodeMetrics};
use tollgate_ledger_store::sqlite::{newest_generation, path_of};
use tollgate_ledger_store::{
    Catalogue, DocumentStore, Ledger, LedgerError, LedgerMetrics, SqliteLedger,
};

use crate::cli::LedgerArgs;
use crate::config::file::{self, FileError};
use crate::config::node::NodeFile;
use crate::config::secret::{SecretError, SecretPlace};
use crate::config::sections::{CassandraSection, LedgerSection};

/// A ledger with the catalogue beside it: one store behind both.
#[derive(Clone)]
pub(crate) struct Store {
    /// Wallets and entries.
    pub(crate) ledger: Arc<dyn Ledger>,
    /// Developers, products, plans.
    pub(crate) catalogue: Arc<Catalogue>,
    /// Under both.
    pub(crate) documents: Arc<dyn DocumentStore>,
}

/// Whether a command changes the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It only looks: a SQLite file is not even created.
    Read,
    /// It books something.
    Write,
}

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The configuration that names it cannot be used.
    #[error(transparent)]
    Config(#[from] FileError),
    /// The ledger itself says no.
    #[error("cannot open the ledger {place}")]
    Ledger {
        /// Its file or its nodes.
        place: String,
        /// Why not.
        #[source]
        source: LedgerError,
    },
    /// The password cannot be had.
    #[error("cannot log in to the ledger")]
    Password(#[from] SecretError),
    /// Its metrics are registered already.
    #[error("cannot register the ledger's metrics")]
    Metrics(#[from] prometheus::Error),
}

// === impl Store ===

impl Store {
    fn new<S: Ledger + DocumentStore>(store: Arc<S>) -> Self {
        let ledger: Arc<dyn Ledger> = Arc::clone(&store) as Arc<dyn Ledger>;
        let documents: Arc<dyn DocumentStore> = store;
        let catalogue = Arc::new(Catalogue::new(Arc::clone(&documents), Arc::clone(&ledger)));
        Self { ledger, catalogue, documents }
    }

    /// The newest generation of a SQLite ledger in `folder`; a file that grows to at most `pages_max` pages, where given.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) async fn sqlite(
        folder: &Path,
        pages_max: Option<u32>,
        metrics: &prometheus::Registry,
    ) -> Result<Self, OpenError> {
        let failed = |place: &Path| {
            let place = place.display().to_string();
            move |source| OpenError::Ledger { place, source }
        };
        let generation = newest_generation(folder).map_err(failed(folder))?;
        let path = path_of(folder, generation);
        let ledger =
            SqliteLedger::open(&path, LedgerMetrics::register(metrics)?).map_err(failed(&path))?;
        if let Some(pages) = pages_max {
            ledger.limit_pages(pages).await.map_err(failed(&path))?;
        }
        Ok(Self::new(Arc::new(ledger)))
    }

    fn sqlite_read_only(path: &Path) -> Result<Self, OpenError> {
        let metrics = LedgerMetrics::register(&prometheus::Registry::new())?;
        let ledger = SqliteLedger::open_read_only(path, metrics)
            .map_err(|source| OpenError::Ledger { place: path.display().to_string(), source })?;
        Ok(Self::new(Arc::new(ledger)))
    }

    /// The keyspace of a cluster.
    ///
    /// # Errors
    /// [`OpenError`].
    async fn cassandra(
        section: &CassandraSection,
        metrics: &prometheus::Registry,
    ) -> Result<Self, OpenError> {
        let password = section.password.as_ref().map(SecretPlace::read).transpose()?;
        let config = section.config(password.map(|secret| secret.expose().to_owned()));
        let place = format!("{} on {}", config.keyspace(), config.nodes.join(", "));
        let nodes = NodeMetrics::register(metrics)?;
        let ledger = CqlLedger::connect(&config, LedgerMetrics::register(metrics)?, nodes);
        let ledger = ledger.await.map_err(|source| OpenError::Ledger { place, source })?;
        Ok(Self::new(Arc::new(ledger)))
    }

    /// The ledger of a node's configuration.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) async fn of_section(
        section: &LedgerSection,
        metrics: &prometheus::Registry,
    ) -> Result<Self, OpenError> {
        match (&section.sqlite, &section.cassandra) {
            (Some(sqlite), _) => Self::sqlite(&sqlite.folder, None, metrics).await,
            (None, Some(cassandra)) => Self::cassandra(cassandra, metrics).await,
            (None, None) => unreachable!("a checked section names one of the two"),
        }
    }

    /// The ledger that a command line names.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) async fn of_args(args: &LedgerArgs, access: Access) -> Result<Self, OpenError> {
        let path = match (&args.config, &args.file) {
            (Some(config), _) => {
                let section = file::load::<NodeFile>(config)?.ledger;
                match (section.sqlite.as_ref(), access) {
                    (Some(sqlite), Access::Read) => newest_in(&sqlite.folder)?,
                    _ => return Self::of_section(&section, &prometheus::Registry::new()).await,
                }
            }
            (None, Some(path)) => path.clone(),
            (None, None) => {
                let folder = args.data_dir.clone();
                newest_in(&folder.unwrap_or_else(|| PathBuf::from("./tollgate-data")))?
            }
        };
        match access {
            Access::Read => Self::sqlite_read_only(&path),
            Access::Write => {
                let metrics = LedgerMetrics::register(&prometheus::Registry::new())?;
                let ledger = SqliteLedger::open(&path, metrics).map_err(|source| {
                    OpenError::Ledger { place: path.display().to_string(), source }
                })?;
                Ok(Self::new(Arc::new(ledger)))
            }
        }
    }
}

fn newest_in(folder: &Path) -> Result<PathBuf, OpenError> {
    let generation = newest_generation(folder)
        .map_err(|source| OpenError::Ledger { place: folder.display().to_string(), source })?;
    Ok(path_of(folder, generation))
}
