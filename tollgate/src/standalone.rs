//! `tollgate standalone`: gateways, balance-sync, management and a SQLite ledger in one process, with a demo.
//!
//! The parts talk as they do on many machines, over sockets, so that what is seen here is what a cluster does. The end goes in
//! the order that loses nothing: gateways drain and report, balance-sync persists, the ledger closes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use opentelemetry::global::BoxedTracer;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_balance_sync::Settings;
use tollgate_gateway::config::{Listener, Proxy};
use tollgate_gateway::server::{BoundListener, ServeError};
use tollgate_gateway::sync_client::{SyncSettings, Token as SyncToken};
use tollgate_ledger_store::{Role, SystemClock};

use crate::config::secret::Secret;
use crate::config::sections::jwt_settings;
use crate::config::standalone::{StandaloneFile, StandaloneSection};
use crate::data_dir::{DataDir, DataDirError, random_token};
use crate::demo::seed::SeedError;
use crate::demo::{self, guide, seed, upstream};
use crate::gateway::{self, GatewayError, GatewayParts, RunningGateway};
use crate::ledger::open::{OpenError, Store};
use crate::listen::{self, Bound, ListenError};
use crate::node::{self, NodeError, NodeParts, RunningNode, Token};
use crate::ready::{Ready, ReadyDemo};
use crate::shutdown;
use crate::telemetry::families::Families;
use crate::telemetry::health::{self, Readiness};
use crate::telemetry::{self, LogFormat, TelemetryError};

/// Why a process does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StandaloneError {
    /// Logs, traces or metrics cannot start.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// Signals cannot be listened for.
    #[error("cannot listen for signals")]
    Signal(#[source] std::io::Error),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A port cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A gateway cannot listen.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The demo cannot be made.
    #[error("cannot make the demo (--no-demo starts without)")]
    Seed(#[from] SeedError),
    /// Balance-sync or management does not serve.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A gateway does not serve.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// Metrics are registered already.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
}

/// Every port of the process.
struct Ports {
    gateways: Vec<BoundListener>,
    management: Bound,
    sync: Bound,
    metrics: Bound,
    upstream: Option<Bound>,
}

/// What runs, in the order in which it ends.
struct Running {
    gateways: Vec<RunningGateway>,
    node: RunningNode,
    node_stopping: CancellationToken,
    others: TaskTracker,
    others_stopping: CancellationToken,
}

/// Runs everything until a signal ends it.
///
/// # Errors
/// [`StandaloneError`].
pub(crate) async fn run(file: StandaloneFile, format: LogFormat) -> Result<(), StandaloneError> {
    let registry = prometheus::Registry::new();
    let mut families = Families::new(registry.clone());
    let names: Vec<String> =
        (1..=file.standalone.gateways).map(|n| format!("gateway-{n}")).collect();
    let registries =
        names.iter().map(|name| families.add_gateway(name)).collect::<Result<Vec<_>, _>>()?;
    let telemetry = telemetry::start("standalone", format, &file.telemetry, &families)?;
    let stopping = shutdown::on_signal().map_err(StandaloneError::Signal)?;
    let data = DataDir::open(&file.standalone.data_dir)?;
    let admin = data.admin_token()?;
    let ports = bind(&file.standalone).await?;
    let ready = ready(&file.standalone, &ports, &data)?;
    let store = Store::sqlite(data.path(), file.standalone.ledger_pages_max, &registry).await?;
    if file.standalone.demo {
        seed::all(&store, &SystemClock::start()).await?;
    }
    let gateways = names.into_iter().zip(registries).collect();
    let tracer = telemetry.tracer();
    let start =
        Start { file: &file, data: data.path(), admin, families, registry, gateways, tracer };
    let running = start.start(store, ports, &ready, &stopping).await?;
    if running.serves(&stopping).await {
        tell(&file.standalone, &ready);
        ready.print();
    }
    stopping.cancelled().await;
    let ended = running.end().await;
    telemetry.end().await;
    ended
}

async fn bind(section: &StandaloneSection) -> Result<Ports, StandaloneError> {
    let listeners =
        section.gateway_addresses().into_iter().map(|address| Listener { address, tls: None });
    let gateways =
        listeners.map(|listener| BoundListener::bind(&listener)).collect::<Result<_, _>>()?;
    let upstream = match section.demo {
        true => Some(
            Bound::bind("the demo's upstream", SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?,
        ),
        false => None,
    };
    Ok(Ports {
        gateways,
        management: Bound::bind("management", section.management_listen).await?,
        sync: Bound::bind("balance-sync", section.sync_listen).await?,
        metrics: Bound::bind("metrics", section.metrics_listen).await?,
        upstream,
    })
}

fn ready(
    section: &StandaloneSection,
    ports: &Ports,
    data: &DataDir,
) -> Result<Ready, StandaloneError> {
    let address = |bound: &BoundListener| {
        let listen = |source| ServeError::Bind { address: section.gateway_listen, source };
        bound.address().map(|address| listen::url(address, false)).map_err(listen)
    };
    let gateways = ports.gateways.iter().map(address).collect::<Result<Vec<_>, _>>()?;
    let demo = section.demo.then(|| ReadyDemo {
        organization: demo::ORGANIZATION.to_owned(),
        developer: demo::DEVELOPER.to_owned(),
        key: demo::KEY.to_owned(),
        url: format!("{}{}/hello", gateways[0], demo::BASE_PATH),
        price: demo::PRICE.to_owned(),
        currency: demo::CURRENCY.to_owned(),
    });
    Ok(Ready {
        gateway: gateways.first().cloned(),
        gateways,
        management: Some(ports.management.url(false)),
        sync: Some(ports.sync.url(false)),
        metrics: Some(ports.metrics.url(false)),
        admin_token_file: Some(data.admin_token_file()),
        demo,
    })
}

/// Tells people on stderr what `ready` tells programs.
fn tell(section: &StandaloneSection, ready: &Ready) {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("tollgate"));
    let here = std::env::current_dir().unwrap_or_default();
    // A path below the place where commands are pasted reads better without it.
    let program = program.strip_prefix(&here).map_or(program.clone(), Path::to_owned);
    eprintln!("{}", guide::addresses(ready, &section.data_dir));
    eprint!("{}", guide::text(ready, &program));
}

/// What starting needs.
struct Start<'a> {
    file: &'a StandaloneFile,
    data: &'a Path,
    admin: Secret,
    families: Families,
    registry: prometheus::Registry,
    gateways: Vec<(String, prometheus::Registry)>,
    tracer: Option<Arc<BoxedTracer>>,
}

// === impl Start ===

impl Start<'_> {
    async fn start(
        self,
        store: Store,
        ports: Ports,
        ready: &Ready,
        stopping: &CancellationToken,
    ) -> Result<Running, StandaloneError> {
        let (others, others_stopping) = (TaskTracker::new(), CancellationToken::new());
        let mut proxies = self.file.proxy.clone();
        if let Some(bound) = ports.upstream {
            let base_path = demo::BASE_PATH.to_owned();
            proxies.push(Proxy { base_path, ..Proxy::new(demo::PROXY, bound.url(false)) });
            others.spawn(upstream::serve(bound.listener, others_stopping.clone()));
        }
        // Gateways of this process are known by a token that nobody else learns.
        let token = random_token();
        let tokens = vec![
            Token::new("gateways", &token, Role::Gateway),
            Token::new("admin", &self.admin, Role::Admin),
        ];
        let node_stopping = CancellationToken::new();
        let mut settings = Settings::for_file(node::access(&tokens));
        settings.exposure = self.file.put_into(settings.exposure);
        let parts = NodeParts {
            store,
            settings,
            sync: ports.sync,
            management: Some(ports.management),
            tokens,
            jwt: jwt_settings(self.file.jwt.as_ref()).map_err(NodeError::Jwt)?,
            billing: node::read_billing(self.file.billing.as_ref()).map_err(NodeError::Billing)?,
            registry: self.registry.clone(),
        };
        let node = node::start(parts, node_stopping.clone(), stopping.clone())?;
        let mut gateways = Vec::new();
        for ((name, registry), listener) in self.gateways.into_iter().zip(ports.gateways) {
            let settings = SyncSettings {
                balance_sync: ready.sync.iter().cloned().collect(),
                token: Some(SyncToken::new(token.expose())),
                ..SyncSettings::new(&name, self.data.join(&name))
            };
            let parts = GatewayParts {
                listener,
                settings: self.file.wallets.put_into(settings),
                limits: self.file.limits.clone(),
                proxies: proxies.clone(),
                calls_registry: registry,
                sync_registry: self.registry.clone(),
                tracer: self.tracer.clone(),
            };
            gateways.push(gateway::start(parts, stopping)?);
        }
        let mut readiness = Readiness::default();
        node.report(&mut readiness);
        gateways.iter().for_each(|gateway| gateway.report(&mut readiness));
        let (stopping, stopped) = (stopping.clone(), others_stopping.clone());
        others.spawn(health::serve(
            ports.metrics.listener,
            self.families,
            readiness,
            stopping,
            stopped,
        ));
        others.close();
        Ok(Running { gateways, node, node_stopping, others, others_stopping })
    }
}

// === impl Running ===

impl Running {
    /// Waits until calls can pass, or `stopping` is cancelled: then they cannot.
    async fn serves(&self, stopping: &CancellationToken) -> bool {
        let mut serves = self.node.serves(stopping).await;
        for gateway in &self.gateways {
            serves &= gateway.serves(stopping).await;
        }
        serves
    }

    /// Waits until everything has ended in its order: every part has limits of its own.
    ///
    /// # Errors
    /// The first that a part did not end well with.
    async fn end(self) -> Result<(), StandaloneError> {
        let mut outcome = Ok(());
        for gateway in self.gateways {
            outcome = outcome.and(gateway.ended().await);
        }
        self.node_stopping.cancel();
        let node = self.node.ended().await;
        self.others_stopping.cancel();
        self.others.wait().await;
        outcome?;
        Ok(node?)
    }
}
