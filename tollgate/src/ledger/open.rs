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

/// Whether a command changes what is in the ledger. Neither makes one that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It only looks.
    Read,
    /// It books something.
    Write,
}

/// Whether a ledger that is not there is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    Made,
    Refused,
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
        absent: Absent,
        registry: &prometheus::Registry,
    ) -> Result<Self, OpenError> {
        let password = section.password.as_ref().map(SecretPlace::read).transpose()?;
        let config = section.config(password.map(|secret| secret.expose().to_owned()));
        let place = format!("{} on {}", config.keyspace(), config.nodes.join(", "));
        let (nodes, metrics) =
            (NodeMetrics::register(registry)?, LedgerMetrics::register(registry)?);
        let ledger = match absent {
            Absent::Made => CqlLedger::connect(&config, metrics, nodes).await,
            Absent::Refused => CqlLedger::connect_existing(&config, metrics, nodes).await,
        };
        let ledger = ledger.map_err(|source| OpenError::Ledger { place, source })?;
        Ok(Self::new(Arc::new(ledger)))
    }

    /// The ledger of a node's configuration, made where it is not there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) async fn of_section(
        section: &LedgerSection,
        metrics: &prometheus::Registry,
    ) -> Result<Self, OpenError> {
        match (&section.sqlite, &section.cassandra) {
            (Some(sqlite), _) => Self::sqlite(&sqlite.folder, None, metrics).await,
            (None, Some(cassandra)) => Self::cassandra(cassandra, Absent::Made, metrics).await,
            (None, None) => unreachable!("a checked section names one of the two"),
        }
    }

    /// The ledger that a command line names.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) async fn of_args(args: &LedgerArgs, access: Access) -> Result<Self, OpenError> {
        let registry = prometheus::Registry::new();
        let path = match (&args.config, &args.file) {
            (Some(config), _) => {
                let section = file::load::<NodeFile>(config)?.ledger;
                match (&section.sqlite, &section.cassandra) {
                    (Some(sqlite), _) => newest_in(&sqlite.folder)?,
                    (None, Some(cassandra)) => {
                        return Self::cassandra(cassandra, Absent::Refused, &registry).await;
                    }
                    (None, None) => unreachable!("a checked section names one of the two"),
                }
            }
            (None, Some(path)) => path.clone(),
            (None, None) => {
                let folder = args.data_dir.clone();
                newest_in(&folder.unwrap_or_else(|| PathBuf::from("./tollgate-data")))?
            }
        };
        // Also before booking: opening to write would make the file.
        let seen = Self::sqlite_read_only(&path)?;
        if access == Access::Read {
            return Ok(seen);
        }
        let ledger = SqliteLedger::open(&path, LedgerMetrics::register(&registry)?)
            .map_err(|source| OpenError::Ledger { place: path.display().to_string(), source })?;
        Ok(Self::new(Arc::new(ledger)))
    }
}

fn newest_in(folder: &Path) -> Result<PathBuf, OpenError> {
    let generation = newest_generation(folder)
        .map_err(|source| OpenError::Ledger { place: folder.display().to_string(), source })?;
    Ok(path_of(folder, generation))
}
