//! Accepts clients and deals them out to workers: one thread and one current-thread runtime per core.
//!
//! One acceptor deals connections to the worker that has fewest: the kernel's own spreading (`SO_REUSEPORT`) is even over
//! thousands of connections and bad over few. From then on a connection, its calls, and the connections to upstreams that they
//! use stay on one thread.
//! Bounds: `connections_max` connections; beyond them clients wait in the listen queue. Shutdown: no new connections, idle ones
//! close, open calls finish (`Connection: close`, GOAWAY) within `drain_timeout_ms`, then everything is cut.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::global::BoxedTracer;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::client::Permit;
pub(crate) use self::client::{Client, ClientIo, LocalExecutor};
#[doc(hidden)]
pub use self::given::serve_given;
pub(crate) use self::stall::Stall;
pub use self::tls::TlsError;
use self::worker::Worker;
use crate::admission::Admission;
use crate::config::{self, ConfigError, Limits, Listener, Proxy};
use crate::metrics::Metrics;
use crate::network::{GivenStream, Network};
use crate::proxy::Routes;
use crate::spans::Spans;
use crate::upstream::Connector;
pub use crate::upstream::TlsSetupError;

mod client;
mod client_io;
mod connection;
mod given;
mod head_guard;
mod stall;
mod tls;
mod watch_list;
mod worker;

/// How long accepting pauses where the process has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a gateway's data path is made of.
#[derive(Debug)]
pub struct Parts<A> {
    /// What it takes at most.
    pub limits: Limits,
    /// Its routes.
    pub proxies: Vec<Proxy>,
    /// What decides its calls.
    pub admission: Arc<A>,
    /// Where its metrics go; one registry for each gateway of a process.
    pub registry: prometheus::Registry,
    /// What records spans of calls; absent: none are recorded.
    pub tracer: Option<Arc<BoxedTracer>>,
}

/// A bound port.
#[derive(Debug)]
pub struct BoundListener {
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// Why a gateway cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A value of the configuration cannot be used.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A listener's certificate cannot be used.
    #[error("cannot use the certificate of listener {address}")]
    Tls {
        /// The listener.
        address: SocketAddr,
        /// What is wrong with it.
        #[source]
        source: TlsError,
    },
    /// A port cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// An upstream's TLS cannot be set up.
    #[error("cannot set up TLS to the upstream of proxy {proxy:?}")]
    Upstream {
        /// The proxy.
        proxy: String,
        /// What is wrong with it.
        #[source]
        source: TlsSetupError,
    },
    /// The metrics are registered already.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
    /// A thread or its runtime cannot be started.
    #[error("cannot start a worker")]
    Worker(#[source] io::Error),
}

// === impl BoundListener ===

impl BoundListener {
    /// Reads the certificate and binds the port.
    ///
    /// # Errors
    /// [`ServeError::Tls`], [`ServeError::Bind`].
    pub fn bind(listener: &Listener) -> Result<Self, ServeError> {
        let address = listener.address;
        let tls = listener.tls.as_ref().map(tls::config).transpose();
        let tls = tls.map_err(|source| ServeError::Tls { address, source })?;
        let bound = TcpListener::bind(address).and_then(|bound| {
            bound.set_nonblocking(true)?;
            Ok(bound)
        });
        let listener = bound.map_err(|source| ServeError::Bind { address, source })?;
        Ok(Self { listener, tls })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// `http://…` or `https://…`, as a client writes it.
    ///
    /// # Errors
    /// The system's.
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", self.address()?))
    }
}

/// What all workers share.
#[derive(Debug)]
struct Shared<A> {
    limits: Limits,
    routes: Arc<Routes>,
    connectors: Vec<Connector>,
    admission: Arc<A>,
    metrics: Metrics,
    spans: Option<Spans>,
    workers: usize,
}

/// Serves until `shutdown` ends and every open call has, or the drain limit is over. Dropping the future cuts everything.
///
/// # Errors
/// What keeps the gateway from serving; once it serves it does not fail.
pub async fn run<A: Admission>(
    listeners: Vec<BoundListener>,
    parts: Parts<A>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let limits = parts.limits.clone();
    let shared = Arc::new(shared(parts, &Network::System)?);
    let (drain, draining) = watch::channel(false);
    let mut workers = Vec::with_capacity(shared.workers);
    for index in 0..shared.workers {
        let worker = Handle::start(index, &shared, draining.clone()).await;
        workers.push(worker.map_err(ServeError::Worker)?);
    }
    let connections = Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS)));
    let dealt = {
        let dealer = Dealer { workers: &workers, connections, metrics: &shared.metrics };
        let accepting = futures_util::future::try_join_all(
            listeners.into_iter().map(|listener| dealer.accept(listener)),
        );
        tokio::select! {
            accepted = accepting => accepted.map(|_| ()),
            () = shutdown => Ok(()),
        }
    };
    // Accepting has ended and the ports are closed: what is open may finish.
    drain.send_replace(true);
    for worker in workers {
        worker.end().await;
    }
    dealt.map_err(ServeError::Worker)
}

fn shared<A>(parts: Parts<A>, network: &Network) -> Result<Shared<A>, ServeError> {
    config::check(&parts.limits, &parts.proxies)?;
    let metrics = Metrics::register(&parts.registry)?;
    let routes = Routes::new(parts.proxies);
    let mut connectors = Vec::with_capacity(routes.upstreams.len());
    for (index, upstream) in routes.upstreams.iter().enumerate() {
        let connector = Connector::new(upstream.clone(), network.clone()).map_err(|source| {
            let proxy = routes.all.iter().find(|route| route.upstream == index);
            let proxy = proxy.map_or_else(String::new, |route| route.config.name.clone());
            ServeError::Upstream { proxy, source }
        })?;
        connectors.push(connector);
    }
    let workers = match parts.limits.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    Ok(Shared {
        limits: parts.limits,
        routes: Arc::new(routes),
        connectors,
        admission: parts.admission,
        metrics,
        spans: parts.tracer.map(Spans::new),
        workers,
    })
}

/// A client on its way to a worker.
#[derive(Debug)]
struct Dealt {
    stream: DealtStream,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    permit: Permit,
}

/// A client's bytes before its worker has them.
#[derive(Debug)]
enum DealtStream {
    Socket(std::net::TcpStream),
    Given(GivenStream),
}

/// A worker as the acceptor knows it.
#[derive(Debug)]
struct Handle {
    clients: mpsc::UnboundedSender<Dealt>,
    load: Arc<AtomicUsize>,
    ended: oneshot::Receiver<()>,
}

// === impl Handle ===

impl Handle {
    async fn start<A: Admission>(
        index: usize,
        shared: &Arc<Shared<A>>,
        draining: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        // Unbounded in itself; the semaphore of connections bounds what is in it.
        let (clients, dealt) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel::<()>();
        let (start, started) = oneshot::channel();
        let worker = Worker::new(Arc::clone(shared));
        let body = move || {
            worker.run(dealt, draining, start);
            drop(end);
        };
        std::thread::Builder::new().name(format!("gateway-{index}")).spawn(body)?;
        started.await.map_err(io::Error::other)??;
        Ok(Self { clients, load: Arc::new(AtomicUsize::new(0)), ended })
    }

    async fn end(self) {
        // The channel stays open until the worker is done: its closing means to cut everything.
        let _clients = self.clients;
        // An error is the end: the worker drops its side without a word.
        let _ = self.ended.await;
    }
}

/// Deals connections out.
#[derive(Debug)]
struct Dealer<'a> {
    workers: &'a [Handle],
    connections: Arc<Semaphore>,
    metrics: &'a Metrics,
}

// === impl Dealer ===

impl Dealer<'_> {
    /// Accepts for ever.
    async fn accept(&self, bound: BoundListener) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(bound.listener)?;
        loop {
            let slot = Arc::clone(&self.connections).acquire_owned().await;
            let slot = slot.map_err(io::Error::other)?;
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(stream) = stream.into_std() else {
                continue;
            };
            let load = |worker: &&Handle| worker.load.load(Ordering::Relaxed);
            let Some(worker) = self.workers.iter().min_by_key(load) else {
                return Ok(());
            };
            let gauge = self.metrics.connections_open.clone();
            let permit = Permit::new(slot, Arc::clone(&worker.load), gauge);
            let (stream, tls) = (DealtStream::Socket(stream), bound.tls.clone());
            // A worker that is gone drops the client.
            let _ = worker.clients.send(Dealt { stream, address, tls, permit });
        }
    }
}
