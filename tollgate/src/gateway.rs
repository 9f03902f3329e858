//! `tollgate gateway`: one gateway, and how any gateway of a process is run.
//!
//! A gateway is two halves that meet at admission: the data path, with threads of its own, and the wallets with their exchange
//! with balance-sync, on this runtime. At the end the data path drains first; only then is the last spend known and reported.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::global::BoxedTracer;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_gateway::clock::SystemClock;
use tollgate_gateway::config::{Limits, Proxy};
use tollgate_gateway::metered::{Metered, StartError};
use tollgate_gateway::server::{self, BoundListener, Parts, ServeError};
use tollgate_gateway::sync_client::{SyncSettings, Token};

use crate::config::gateway::GatewayFile;
use crate::config::secret::{SecretError, SecretPlace};
use crate::listen::{Bound, ListenError, url};
use crate::ready::Ready;
use crate::shutdown;
use crate::telemetry::families::Families;
use crate::telemetry::health::{self, Readiness};
use crate::telemetry::{self, LogFormat, TelemetryError};

/// How long the last spend may take to become durable; what is left is in the spend file.
const FINAL_SYNC_WAIT: Duration = Duration::from_secs(10);
/// Between two looks at whether a gateway can admit calls.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// What one gateway is made of.
pub(crate) struct GatewayParts {
    /// Where callers connect.
    pub(crate) listener: BoundListener,
    /// How it meters.
    pub(crate) settings: SyncSettings,
    /// What it takes at most.
    pub(crate) limits: Limits,
    /// Its proxies.
    pub(crate) proxies: Vec<Proxy>,
    /// Where its calls are counted: a registry for this gateway alone.
    pub(crate) calls_registry: prometheus::Registry,
    /// Where its wallets and streams are counted, by its name.
    pub(crate) sync_registry: prometheus::Registry,
    /// What records spans of calls.
    pub(crate) tracer: Option<Arc<BoxedTracer>>,
}

/// Why a gateway does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    /// The token cannot be had.
    #[error("cannot use the token of this gateway")]
    Token(#[from] SecretError),
    /// Logs, traces or metrics cannot start.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The metrics port cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data path does not serve.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The wallets cannot be kept.
    #[error("cannot meter calls")]
    Start(#[from] StartError),
    /// Signals cannot be listened for.
    #[error("cannot listen for signals")]
    Signal(#[source] std::io::Error),
    /// Metrics are registered already.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
    /// The data path panicked.
    #[error("the data path ended without a word")]
    Ended(#[from] tokio::task::JoinError),
}

/// A gateway that runs.
pub(crate) struct RunningGateway {
    name: String,
    metered: Arc<Metered>,
    serving: JoinHandle<Result<(), ServeError>>,
}

/// Runs one gateway until a signal ends it.
///
/// # Errors
/// [`GatewayError`].
pub(crate) async fn run(file: GatewayFile, format: LogFormat) -> Result<(), GatewayError> {
    let mut settings = file.settings();
    let registry = prometheus::Registry::new();
    let mut families = Families::new(registry.clone());
    let calls_registry = families.add_gateway(&settings.gateway)?;
    let telemetry = telemetry::start("gateway", format, &file.telemetry, &families)?;
    let stopping = shutdown::on_signal().map_err(GatewayError::Signal)?;
    let token = file.sync.token.as_ref().map(SecretPlace::read).transpose()?;
    settings.token = token.map(|token| Token::new(token.expose()));
    let listener = BoundListener::bind(&file.listener())?;
    let metrics = Bound::bind("metrics", file.metrics.listen).await?;
    let address = file.gateway.listen;
    let bound = listener.address().map_err(|source| ServeError::Bind { address, source })?;
    let gateway = url(bound, file.gateway.tls.is_some());
    let ready = Ready {
        gateways: vec![gateway.clone()],
        gateway: Some(gateway),
        metrics: Some(metrics.url(false)),
        ..Ready::default()
    };
    let parts = GatewayParts {
        listener,
        settings,
        limits: file.limits,
        proxies: file.proxy,
        calls_registry,
        sync_registry: registry,
        tracer: telemetry.tracer(),
    };
    let running = start(parts, &stopping)?;
    let mut readiness = Readiness::default();
    running.report(&mut readiness);
    let (others, stopped) = (TaskTracker::new(), CancellationToken::new());
    others.spawn(health::serve(
        metrics.listener,
        families,
        readiness,
        stopping.clone(),
        stopped.clone(),
    ));
    others.close();
    if running.serves(&stopping).await {
        ready.print();
    }
    stopping.cancelled().await;
    let ended = running.ended().await;
    stopped.cancel();
    others.wait().await;
    telemetry.end().await;
    ended
}

/// Starts a gateway; its data path ends when `stopping` is cancelled, and cancels it where it cannot serve.
///
/// # Errors
/// [`GatewayError`].
pub(crate) fn start(
    parts: GatewayParts,
    stopping: &CancellationToken,
) -> Result<RunningGateway, GatewayError> {
    let clock = Arc::new(SystemClock::start());
    let name = parts.settings.gateway.clone();
    let metered = Metered::start(&parts.settings, &parts.sync_registry, clock)?;
    let calls = Parts {
        limits: parts.limits,
        proxies: parts.proxies,
        admission: Arc::clone(&metered),
        registry: parts.calls_registry,
        tracer: parts.tracer,
    };
    let (listeners, stopping) = (vec![parts.listener], stopping.clone());
    let serving = tokio::spawn(async move {
        let served = server::run(listeners, calls, stopping.clone().cancelled_owned()).await;
        stopping.cancel();
        served
    });
    Ok(RunningGateway { name, metered, serving })
}

// === impl RunningGateway ===

impl RunningGateway {
    /// Waits until calls can be admitted, or `stopping` is cancelled: then they cannot.
    pub(crate) async fn serves(&self, stopping: &CancellationToken) -> bool {
        while self.metered.readiness().is_err() {
            let look = tokio::time::sleep(LOOK_INTERVAL);
            if stopping.run_until_cancelled(look).await.is_none() {
                return false;
            }
        }
        !stopping.is_cancelled()
    }

    /// Adds the gateway to what has to be ready.
    pub(crate) fn report(&self, readiness: &mut Readiness) {
        let metered = Arc::clone(&self.metered);
        readiness.add(self.name.clone(), move || {
            metered.readiness().map_err(|not_ready| not_ready.to_string())
        });
    }

    /// Waits until open calls have ended and the last spend is durable, each for no longer than its limit.
    ///
    /// # Errors
    /// What kept the data path from serving.
    pub(crate) async fn ended(self) -> Result<(), GatewayError> {
        let served = self.serving.await;
        if !self.metered.drain(FINAL_SYNC_WAIT).await {
            tracing::warn!(
                gateway = self.name,
                "the last spend is not in the ledger yet; the next start reports it from the spend file"
            );
        }
        Ok(served??)
    }
}
