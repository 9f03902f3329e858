//! `tollgate balance-sync`: one balance-sync node with the management API beside it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_balance_sync as balance_sync;
use tollgate_billing::{self as billing, Billing};
use tollgate_ledger_store::book::Book;
use tollgate_ledger_store::{
    Catalogue, Clock, DocumentStore, Ledger, RateSource, Role, SystemClock,
};
use tollgate_management as management;
use tollgate_metering::WalletId;
use tollgate_metering::exposure::Exposure;

use crate::config::billing::{BillingConfig, BillingSection, BillingStartError};
use crate::config::file::Problem;
use crate::config::node::{NodeFile, TokenSection};
use crate::config::secret::{Secret, SecretError};
use crate::config::sections::{ServerTls, jwt_settings};
use crate::ledger::open::{OpenError, Store};
use crate::listen::{Bound, ListenError};
use crate::notice::Noticed;
use crate::ready::Ready;
use crate::shutdown;
use crate::telemetry::families::Families;
use crate::telemetry::health::{self, Readiness};
use crate::telemetry::{self, LogFormat, TelemetryError};

/// A token, read.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// Whose it is.
    pub(crate) name: String,
    /// SHA-256 of the token itself.
    pub(crate) sha256: [u8; 32],
    /// What its bearer is.
    pub(crate) role: Role,
    /// The organization that he is bound to.
    pub(crate) organization: Option<String>,
}

/// What a node serves, and where.
pub(crate) struct NodeParts {
    /// Its ledger and catalogue.
    pub(crate) store: Store,
    /// Where gateways and people connect over gRPC.
    pub(crate) sync: Bound,
    /// Where the management API is, if there is one.
    pub(crate) management: Option<Bound>,
    /// Who may do what.
    pub(crate) tokens: Vec<Token>,
    /// Whose JWTs management takes beside them.
    pub(crate) jwt: Option<management::JwtSettings>,
    /// Stripe, where billing is on.
    pub(crate) billing: Option<BillingConfig>,
    /// How balance-sync works.
    pub(crate) settings: balance_sync::Settings,
    /// Where its metrics go.
    pub(crate) registry: prometheus::Registry,
}

/// Why a node does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    /// A token's secret cannot be had.
    #[error("cannot use token {name:?}")]
    Token {
        /// Whose token.
        name: String,
        /// Why not.
        #[source]
        source: SecretError,
    },
    /// The issuer of JWTs cannot be used.
    #[error("{0}")]
    Jwt(Problem),
    /// Billing cannot start.
    #[error("cannot start billing")]
    Billing(#[from] BillingStartError),
    /// A file of the TLS configuration cannot be read.
    #[error("cannot read {}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Logs, traces or metrics cannot start.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// A port cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Signals cannot be listened for.
    #[error("cannot listen for signals")]
    Signal(#[source] std::io::Error),
    /// Metrics are registered already.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
    /// Balance-sync cannot serve.
    #[error("balance-sync cannot serve")]
    Sync(#[from] balance_sync::RunError),
    /// Balance-sync panicked.
    #[error("balance-sync ended without a word")]
    Ended(#[from] tokio::task::JoinError),
}

/// A node that serves.
pub(crate) struct RunningNode {
    management: TaskTracker,
    serving: JoinHandle<Result<(), balance_sync::RunError>>,
    /// Says where the node stands.
    pub(crate) standing: balance_sync::StandingWatch,
}

/// Runs a node until a signal ends it.
///
/// # Errors
/// [`NodeError`].
pub(crate) async fn run(file: NodeFile, format: LogFormat) -> Result<(), NodeError> {
    let registry = prometheus::Registry::new();
    let families = Families::new(registry.clone());
    let telemetry = telemetry::start("balance-sync", format, &file.telemetry, &families)?;
    let stopping = shutdown::on_signal().map_err(NodeError::Signal)?;
    let stopped = CancellationToken::new();
    let tokens = read_tokens(&file.token)?;
    let settings = settings(&file, &tokens)?;
    let jwt = jwt_settings(file.jwt.as_ref()).map_err(NodeError::Jwt)?;
    let billing = read_billing(file.billing.as_ref())?;
    let has_tls = settings.tls.is_some();
    let sync = Bound::bind("balance-sync", file.sync.listen).await?;
    let management = match &file.management {
        Some(section) => Some(Bound::bind("management", section.listen).await?),
        None => None,
    };
    let metrics = Bound::bind("metrics", file.metrics.listen).await?;
    let ready = Ready {
        sync: Some(sync.url(has_tls)),
        management: management.as_ref().map(|bound| bound.url(false)),
        metrics: Some(metrics.url(false)),
        ..Ready::default()
    };
    let opened = Store::of_section(&file.ledger, &registry);
    let Some(opened) = stopping.run_until_cancelled(opened).await else { return Ok(()) };
    let store = opened?;
    let parts = NodeParts { store, sync, management, tokens, jwt, billing, settings, registry };
    let node = start(parts, stopping.clone(), stopping.clone())?;
    let mut readiness = Readiness::default();
    node.report(&mut readiness);
    let tasks = TaskTracker::new();
    tasks.spawn(health::serve(
        metrics.listener,
        families,
        readiness,
        stopping.clone(),
        stopped.clone(),
    ));
    if node.serves(&stopping).await {
        ready.print();
    }
    stopping.cancelled().await;
    let ended = node.ended().await;
    stopped.cancel();
    tasks.close();
    tasks.wait().await;
    telemetry.end().await;
    ended
}

/// Starts balance-sync and management. They end when `stopping` is cancelled; where balance-sync cannot serve, it cancels
/// `failed`.
///
/// # Errors
/// [`NodeError`].
pub(crate) fn start(
    parts: NodeParts,
    stopping: CancellationToken,
    failed: CancellationToken,
) -> Result<RunningNode, NodeError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let tasks = TaskTracker::new();
    let standing = balance_sync::StandingWatch::default();
    let changes = balance_sync::Changes::default();
    let exposures = balance_sync::Exposures::default();
    let NodeParts { store, sync, management, tokens, jwt, billing, settings, registry } = parts;
    let shared = Shared::of(&store, &changes, &clock);
    let billing = billing.map(|config| shared.billing(config, &clock));
    if let Some(billing) = billing.clone() {
        billing.metrics().register(&registry)?;
        tasks.spawn(billing.run(stopping.clone()));
    }
    if let Some(bound) = management {
        let authorizer = tokens.iter().fold(management::Tokens::default(), |all, token| {
            let (name, role) = (token.name.clone(), token.role);
            let organization = token.organization.clone();
            let identity =
                management::Identity { name, role, organization, permissions: Vec::new() };
            all.with_sha256(token.sha256, identity)
        });
        let Shared { ledger, documents: _, catalogue, book } = shared;
        let stored = management::StoredTokens::new(Arc::clone(&catalogue), Arc::clone(&clock));
        let mut places: Vec<Arc<dyn management::Authorizer>> =
            vec![Arc::new(authorizer), Arc::new(stored)];
        if let Some(settings) = jwt {
            places.push(Arc::new(management::Jwt::new(settings, Arc::clone(&clock))));
        }
        let parts = management::Parts {
            book,
            catalogue,
            ledger,
            clock: Arc::clone(&clock),
            authorizer: Arc::new(management::Chain(places)),
            metrics: management::Metrics::register(&registry)?,
            exposures: Arc::new(Measured(exposures.clone())),
            limits: management::Limits::default(),
            billing,
        };
        tasks.spawn(management::run(bound.listener, parts, stopping.clone().cancelled_owned()));
    }
    let parts = balance_sync::Parts {
        ledger: store.ledger,
        catalogue: store.catalogue,
        clock,
        settings,
        registry,
        changes,
        standing: standing.clone(),
        exposures,
    };
    let serving = balance_sync::run(sync.listener, parts, stopping.clone());
    let serving = tokio::spawn(async move {
        let served = serving.await;
        failed.cancel();
        served
    });
    tasks.close();
    Ok(RunningNode { management: tasks, serving, standing })
}

/// What management and billing share: changes that they make reach the gateways of this process
/// at once.
struct Shared {
    ledger: Arc<dyn Ledger>,
    documents: Arc<dyn DocumentStore>,
    catalogue: Arc<Catalogue>,
    book: Arc<Book>,
}

impl Shared {
    fn of(store: &Store, changes: &balance_sync::Changes, clock: &Arc<dyn Clock>) -> Shared {
        let ledger: Arc<dyn Ledger> =
            Arc::new(Noticed::new(Arc::clone(&store.ledger), changes.clone()));
        let documents: Arc<dyn DocumentStore> =
            Arc::new(Noticed::new(Arc::clone(&store.documents), changes.clone()));
        let catalogue = Arc::new(Catalogue::new(Arc::clone(&documents), Arc::clone(&ledger)));
        let rates = Arc::clone(&catalogue) as Arc<dyn RateSource>;
        let book = Arc::new(Book::new(Arc::clone(&ledger), rates, Arc::clone(clock)));
        Shared { ledger, documents, catalogue, book }
    }

    fn billing(&self, config: BillingConfig, clock: &Arc<dyn Clock>) -> Billing {
        let BillingConfig { vault, stripe, transport, intervals } = config;
        Billing::new(billing::Parts {
            documents: Arc::clone(&self.documents),
            catalogue: Arc::clone(&self.catalogue),
            ledger: Arc::clone(&self.ledger),
            book: Arc::clone(&self.book),
            clock: Arc::clone(clock),
            vault,
            stripe,
            transport,
            intervals,
        })
    }
}

/// What billing is made of, read; `None` where it is off.
pub(crate) fn read_billing(
    section: Option<&BillingSection>,
) -> Result<Option<BillingConfig>, BillingStartError> {
    section.map_or(Ok(None), BillingSection::read)
}

/// Bounds on overspend as the node of this process measures them, for the management API.
struct Measured(balance_sync::Exposures);

#[async_trait]
impl management::ExposureSource for Measured {
    async fn exposure(&self, wallet: WalletId) -> Option<Exposure> {
        self.0.exposure(wallet).await
    }
}

/// The tokens of a configuration, read.
fn read_tokens(sections: &[TokenSection]) -> Result<Vec<Token>, NodeError> {
    let read = |section: &TokenSection| {
        let TokenSection { name, secret, role, organization, .. } = section.clone();
        let sha256 = match (section.given_sha256(), secret.map(|place| place.read())) {
            (Some(sha256), _) => sha256,
            (None, Some(Ok(secret))) => secret.sha256(),
            (None, Some(Err(source))) => return Err(NodeError::Token { name, source }),
            (None, None) => unreachable!("a checked section has one of the two"),
        };
        Ok(Token { name, sha256, role, organization })
    };
    sections.iter().map(read).collect()
}

/// What balance-sync lets in: every token in its role.
pub(crate) fn access(tokens: &[Token]) -> balance_sync::Access {
    let token = |token: &Token| balance_sync::Token {
        name: token.name.clone(),
        sha256: token.sha256,
        role: token.role,
        organization: token.organization.clone(),
    };
    balance_sync::Access {
        tokens: tokens.iter().map(token).collect(),
        ..balance_sync::Access::default()
    }
}

fn settings(file: &NodeFile, tokens: &[Token]) -> Result<balance_sync::Settings, NodeError> {
    let mut access = access(tokens);
    let mut tls = None;
    if let Some(section) = &file.sync.tls {
        tls = Some(read_tls(section)?);
        access.certificate_role =
            section.client_ca_file.as_ref().map(|_| file.sync.certificate_role);
    }
    let mut settings = match &file.ledger.cassandra {
        Some(_) => balance_sync::Settings::for_cluster(access),
        None => balance_sync::Settings::for_file(access),
    };
    settings.tls = tls;
    settings.exposure = file.exposure.put_into(settings.exposure);
    if let Some(interval_ms) = file.sync.persist_interval_ms {
        settings.persist_interval = Duration::from_millis(interval_ms);
    }
    Ok(settings)
}

fn read_tls(section: &ServerTls) -> Result<balance_sync::Tls, NodeError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| NodeError::Tls { path: path.clone(), source })
    };
    Ok(balance_sync::Tls {
        certificate: read(&section.certificate_file)?,
        key: read(&section.key_file)?,
        client_ca: section.client_ca_file.as_ref().map(read).transpose()?,
    })
}

// === impl Token ===

impl Token {
    /// One that was made here, bound to no organization.
    pub(crate) fn new(name: &str, secret: &Secret, role: Role) -> Self {
        Self { name: name.to_owned(), sha256: secret.sha256(), role, organization: None }
    }
}

// === impl RunningNode ===

impl RunningNode {
    /// Waits until the node serves, or `stopping` is cancelled: then it does not.
    pub(crate) async fn serves(&self, stopping: &CancellationToken) -> bool {
        while !self.standing.is_serving() {
            let look = tokio::time::sleep(Duration::from_millis(20));
            if stopping.run_until_cancelled(look).await.is_none() {
                return false;
            }
        }
        !stopping.is_cancelled()
    }

    /// Adds the node to what has to be ready.
    pub(crate) fn report(&self, readiness: &mut Readiness) {
        let standing = self.standing.clone();
        readiness.add("balance-sync", move || match standing.now() {
            balance_sync::Standing::Serving { .. } => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    /// Waits until everything has ended: each part has limits of its own.
    ///
    /// # Errors
    /// What kept balance-sync from serving.
    pub(crate) async fn ended(self) -> Result<(), NodeError> {
        self.management.wait().await;
        Ok(self.serving.await??)
    }
}
