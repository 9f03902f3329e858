//! Connections to upstreams: a pool of each worker for each upstream, the one used last taken first.
//!
//! Pools are core-local, so that a call never leaves its core and nothing is locked; last in, first out keeps few connections
//! warm and lets the rest grow old. An HTTP/1 connection carries one call at a time and comes back at the end of its response;
//! HTTP/2 connections are shared up to the peer's limit.
//! Invariants: a request is sent again only when a pooled connection hands it back unsent. Bounds: `connections_max` sockets
//! an upstream, cut evenly between workers; over it calls wait, up to the connect timeout.
//! Not here: what is sent (`proxy`), name resolution and TLS (`upstream::connect`).

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::Either;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

pub use self::connect::TlsSetupError;
pub(crate) use self::connect::{ConnectError, Connector, Settings, UpstreamKey};
use crate::config::UpstreamHttp;
use crate::metrics::LocalMetrics;
use crate::proxy::RequestBody;

mod connect;

/// Streams on one HTTP/2 connection at most, whatever the peer allows; then another is opened.
const STREAMS_MAX: usize = 256;

/// One worker's connections to one upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    connector: Connector,
    metrics: Rc<LocalMetrics>,
    idle: RefCell<Vec<Idle>>,
    shared: RefCell<Vec<Shared>>,
    /// Sockets open or being opened.
    open: Cell<usize>,
    open_max: usize,
    waiting: Cell<usize>,
    freed: Notify,
    /// The time of the last sweep: near enough for connections that idle, and read without a clock.
    now: Cell<Instant>,
    is_connecting_http2: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

#[derive(Debug, Clone)]
struct Shared {
    sender: http2::SendRequest<RequestBody>,
    streams: Rc<Cell<usize>>,
    /// What the peer allows, as its connection last heard.
    streams_max: Rc<Cell<usize>>,
    since: Rc<Cell<Instant>>,
}

/// A connection for one call. Dropped, its HTTP/1 connection closes: nobody knows what is still to come over it.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Rc<Pool>,
    sender: Option<Sender>,
    /// Whether the connection was used before, so that the upstream may have closed it meanwhile.
    pub(crate) is_reused: bool,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(Shared),
}

/// The connections of one upstream counted, until they close.
#[derive(Debug)]
struct Open(Rc<Pool>);

// === impl Pool ===

impl Pool {
    /// An empty pool of one of `workers` workers.
    pub(crate) fn new(connector: Connector, workers: usize, metrics: Rc<LocalMetrics>) -> Rc<Self> {
        let open_max = connector.settings().connections_max.div_ceil(workers.max(1));
        Rc::new(Self {
            connector,
            metrics,
            idle: RefCell::new(Vec::new()),
            shared: RefCell::new(Vec::new()),
            open: Cell::new(0),
            open_max,
            waiting: Cell::new(0),
            freed: Notify::new(),
            now: Cell::new(Instant::now()),
            is_connecting_http2: Cell::new(false),
        })
    }

    pub(crate) fn http(&self) -> UpstreamHttp {
        self.connector.settings().key.http
    }

    /// A connection that is there and free.
    pub(crate) fn free(self: &Rc<Self>) -> Option<Lease> {
        let sender = match self.http() {
            UpstreamHttp::Http1 => Sender::Http1(self.pop()?),
            UpstreamHttp::Http2 => Sender::Http2(self.share()?),
        };
        Some(Lease { pool: Rc::clone(self), sender: Some(sender), is_reused: true })
    }

    fn pop(&self) -> Option<http1::SendRequest<RequestBody>> {
        let mut idle = self.idle.borrow_mut();
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            if idle[at].sender.is_ready() {
                return Some(idle.remove(at).sender);
            }
            if idle[at].sender.is_closed() {
                idle.remove(at);
            }
        }
        None
    }

    fn share(&self) -> Option<Shared> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| !connection.sender.is_closed());
        let free = shared
            .iter()
            .find(|connection| connection.streams.get() < connection.streams_max.get())?;
        free.streams.set(free.streams.get() + 1);
        Some(free.clone())
    }

    /// A connection that is free, new, or becomes free in time.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn connection(
        self: &Rc<Self>,
        within: Duration,
    ) -> Result<Lease, ConnectError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(lease) = self.free() {
                return Ok(lease);
            }
            let may_open = match self.http() {
                UpstreamHttp::Http1 => true,
                // One at a time: its streams serve all who wait.
                UpstreamHttp::Http2 => !self.is_connecting_http2.get(),
            };
            if may_open && self.open.get() < self.open_max {
                return match timeout_at(deadline, self.open()).await {
                    Ok(opened) => opened,
                    Err(_) => Err(ConnectError::TooSlow),
                };
            }
            self.waiting.set(self.waiting.get() + 1);
            let freed = timeout_at(deadline, self.freed.notified()).await;
            self.waiting.set(self.waiting.get() - 1);
            if freed.is_err() {
                return Err(ConnectError::Saturated);
            }
        }
    }

    async fn open(self: &Rc<Self>) -> Result<Lease, ConnectError> {
        let open = Open::new(Rc::clone(self));
        let sender = match self.http() {
            UpstreamHttp::Http1 => {
                let (sender, connection) = self.connector.http1().await?;
                tokio::task::spawn_local(async move {
                    let closed = connection.with_upgrades().await;
                    drop(open);
                    if let Err(error) = closed {
                        tracing::debug!(%error, "upstream connection broke");
                    }
                });
                Sender::Http1(sender)
            }
            UpstreamHttp::Http2 => {
                let connecting = Connecting::begin(self);
                let (sender, connection) = self.connector.http2().await?;
                drop(connecting);
                let streams_max =
                    Rc::new(Cell::new(connection.current_max_send_streams().min(STREAMS_MAX)));
                let heard = Rc::clone(&streams_max);
                tokio::task::spawn_local(async move {
                    let mut connection = connection;
                    let closed = poll_fn(|cx| {
                        let closed = Pin::new(&mut connection).poll(cx);
                        heard.set(connection.current_max_send_streams().min(STREAMS_MAX));
                        closed
                    })
                    .await;
                    drop(open);
                    if let Err(error) = closed {
                        tracing::debug!(%error, "upstream connection broke");
                    }
                });
                let shared = Shared {
                    sender,
                    streams: Rc::new(Cell::new(1)),
                    streams_max,
                    since: Rc::new(Cell::new(Instant::now())),
                };
                self.shared.borrow_mut().push(shared.clone());
                self.freed.notify_waiters();
                Sender::Http2(shared)
            }
        };
        Ok(Lease { pool: Rc::clone(self), sender: Some(sender), is_reused: false })
    }

    /// Closes connections that were idle for too long, or are too many.
    pub(crate) fn sweep(&self) {
        let settings = self.connector.settings();
        let now = Instant::now();
        self.now.set(now);
        let is_old = |since: Instant| now.duration_since(since) >= settings.keep_alive_timeout;
        let mut idle = self.idle.borrow_mut();
        idle.retain(|connection| !is_old(connection.since) && !connection.sender.is_closed());
        let surplus = idle.len().saturating_sub(settings.idle_connections_max);
        idle.drain(..surplus);
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| {
            let is_unused = connection.streams.get() == 0 && is_old(connection.since.get());
            !is_unused && !connection.sender.is_closed()
        });
    }

    fn tell_waiting(&self) {
        if self.waiting.get() > 0 {
            self.freed.notify_one();
        }
    }
}

// === impl Lease ===

impl Lease {
    /// Sends a request; the future waits for its response head. Dropping it gives the call up and closes an HTTP/1 connection.
    ///
    /// # Errors
    /// With the request, where nothing of it was sent.
    pub(crate) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        match self.sender.as_mut().expect("a lease has its sender until it ends") {
            Sender::Http1(sender) => Either::Left(sender.try_send_request(request)),
            Sender::Http2(shared) => Either::Right(shared.sender.try_send_request(request)),
        }
    }

    /// Ends the lease after a whole response: the connection can carry the next call.
    pub(crate) fn give_back(mut self) {
        if let Some(Sender::Http1(sender)) =
            self.sender.take_if(|it| matches!(it, Sender::Http1(_)))
            && !sender.is_closed()
        {
            self.pool.idle.borrow_mut().push(Idle { sender, since: self.pool.now.get() });
            self.pool.tell_waiting();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(Sender::Http2(shared)) = &self.sender {
            shared.streams.set(shared.streams.get().saturating_sub(1));
            shared.since.set(self.pool.now.get());
            self.pool.tell_waiting();
        }
    }
}

// === impl Open ===

impl Open {
    fn new(pool: Rc<Pool>) -> Self {
        pool.open.set(pool.open.get() + 1);
        pool.metrics.upstream_connection(1);
        Self(pool)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.metrics.upstream_connection(-1);
        self.0.tell_waiting();
    }
}

/// Marks that an HTTP/2 connection is being opened.
struct Connecting<'a>(&'a Pool);

// === impl Connecting ===

impl<'a> Connecting<'a> {
    fn begin(pool: &'a Pool) -> Self {
        pool.is_connecting_http2.set(true);
        Self(pool)
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.is_connecting_http2.set(false);
        self.0.freed.notify_waiters();
    }
}
