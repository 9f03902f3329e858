//! Serves one client connection: TLS, which protocol, then hyper.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_rustls::TlsAcceptor;

use super::client::{Client, ClientIo};
use super::client_io::{ClientStream, Protocol};
use super::stall::StreamExecutor;
use super::watch_list::{Finish, Finishing, Registry, Watched};
use super::{Dealt, DealtStream};
use crate::admission::Admission;
use crate::config::Limits;
use crate::proxy::{self, Core, ResponseBody, Serving};

/// How often an HTTP/2 client is asked whether it still lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How hyper serves connections here.
#[derive(Debug)]
pub(crate) struct Servers {
    http1: http1::Builder,
    http2: http2::Builder<StreamExecutor>,
}

// === impl Servers ===

impl Servers {
    pub(crate) fn new(limits: &Limits) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // The watch list keeps this limit without a timer for each call.
            .header_read_timeout(None)
            // One buffer and one plain write for head and body: cheaper than gathering, but for bodies that are large.
            .writev(false)
            .max_header_size(limits.head_bytes_max)
            .max_buf_size(limits.head_bytes_max.max(64 * 1024));
        let idle = Duration::from_millis(limits.client_idle_timeout_ms);
        let mut http2 = http2::Builder::new(StreamExecutor { idle });
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams_max)
            .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        Self { http1, http2 }
    }
}

/// Serves one client until it leaves, or is told to.
pub(crate) async fn serve<A: Admission>(
    core: Rc<Core>,
    admission: Arc<A>,
    servers: Rc<Servers>,
    registry: Rc<Registry>,
    dealt: Dealt,
) {
    let Dealt { stream, address, tls, permit } = dealt;
    let client = Client::new(address, tls.is_some(), permit);
    let place = registry.enter(Arc::clone(&client.watch));
    let begin = pin!(begin(stream, tls, &client));
    let (io, protocol) = match Watched::new(pin!(Beginning(begin)), &place.entry).await {
        Some(Ok(begun)) => begun,
        Some(Err(error)) => {
            tracing::debug!(%error, "a client left before its first request");
            return;
        }
        None => return,
    };
    let serving = Rc::new(Serving { core, admission, client: Rc::clone(&client) });
    let service =
        service_fn(move |request: Request<Incoming>| proxy::serve(Rc::clone(&serving), request));
    let io = TokioIo::new(io);
    let ended = match protocol {
        Protocol::Http1 => {
            let connection = servers.http1.serve_connection(io, service).with_upgrades();
            Watched::new(pin!(connection), &place.entry).await
        }
        Protocol::Http2 => {
            client.watch.preface_read();
            let connection = servers.http2.serve_connection(io, service);
            Watched::new(pin!(connection), &place.entry).await
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "a client's connection broke");
    }
}

async fn begin(
    stream: DealtStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    client: &Client,
) -> io::Result<(ClientIo, Protocol)> {
    let stream = match stream {
        DealtStream::Socket(stream) => {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            stream.set_nodelay(true)?;
            stream
        }
        DealtStream::Given(stream) => {
            let stream = ClientStream::Given(stream);
            return ClientIo::detect(stream, Arc::clone(&client.watch)).await;
        }
    };
    let stream = match tls {
        None => ClientStream::Plain(stream),
        Some(config) => {
            let stream = TlsAcceptor::from(config).accept(stream).await?;
            ClientStream::Tls(Box::new(stream))
        }
    };
    ClientIo::detect(stream, Arc::clone(&client.watch)).await
}

/// A connection before its first request.
struct Beginning<'a, F>(Pin<&'a mut F>);

// === impl Beginning ===

impl<F: Future> Future for Beginning<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<F: Future> Finish for Beginning<'_, F> {
    fn finish(self: Pin<&mut Self>) -> Finishing {
        Finishing::Nothing
    }
}

impl<S> Finish for http1::UpgradeableConnection<TokioIo<ClientIo>, S>
where
    S: HttpService<Incoming, ResBody = ResponseBody>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) -> Finishing {
        self.graceful_shutdown();
        Finishing::Begun
    }
}

impl<S> Finish for http2::Connection<TokioIo<ClientIo>, S, StreamExecutor>
where
    S: HttpService<Incoming, ResBody = ResponseBody>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: 'static,
{
    fn finish(self: Pin<&mut Self>) -> Finishing {
        self.graceful_shutdown();
        Finishing::Begun
    }
}
