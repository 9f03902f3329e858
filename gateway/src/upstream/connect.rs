//! Opens connections to one upstream: resolves its name, connects, speaks TLS and begins HTTP.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Scheme, Uri};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{Proxy, UpstreamHttp};
use crate::network::{GivenStream, Network};
use crate::proxy::RequestBody;
use crate::server::LocalExecutor;

/// How often an HTTP/2 upstream is asked whether it still lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What makes two targets one upstream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UpstreamKey {
    host: String,
    port: u16,
    is_tls: bool,
    pub(crate) http: UpstreamHttp,
    ca_file: Option<PathBuf>,
    server_name: Option<String>,
    limits: (usize, usize, u64),
}

/// One upstream's settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) key: UpstreamKey,
    pub(crate) connections_max: usize,
    pub(crate) idle_connections_max: usize,
    pub(crate) keep_alive_timeout: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("cannot agree on TLS")]
    Tls(#[source] io::Error),
    #[error("cannot begin HTTP")]
    Http(#[source] hyper::Error),
    #[error("connecting took too long")]
    TooSlow,
    #[error("every connection is in use")]
    Saturated,
}

/// Why an upstream's TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The authorities cannot be read.
    #[error("cannot read the authorities in {path}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// There is no authority to trust.
    #[error("no certificate authority to trust in {0}")]
    NoAuthority(String),
    /// TLS itself cannot be set up.
    #[error("cannot set up TLS")]
    Rustls(#[from] rustls::Error),
}

/// Opens connections to one upstream.
#[derive(Clone)]
pub(crate) struct Connector {
    settings: Settings,
    network: Network,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Plain TCP or TLS to an upstream, or a connection of a network that was passed in.
#[derive(Debug)]
pub(crate) enum UpstreamStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Given(GivenStream),
}

type Http1 =
    (http1::SendRequest<RequestBody>, http1::Connection<TokioIo<UpstreamStream>, RequestBody>);
type Http2 = (
    http2::SendRequest<RequestBody>,
    http2::Connection<TokioIo<UpstreamStream>, RequestBody, LocalExecutor>,
);

// === impl Settings ===

impl Settings {
    /// The upstream of a checked proxy.
    pub(crate) fn of(proxy: &Proxy) -> Self {
        let target: Uri = proxy.target.parse().expect("the target was checked");
        let is_tls = target.scheme() == Some(&Scheme::HTTPS);
        let host = target.host().expect("the target was checked");
        let wanted = &proxy.upstream;
        Self {
            key: UpstreamKey {
                host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
                port: target.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
                is_tls,
                http: wanted.http,
                ca_file: wanted.ca_file.clone(),
                server_name: wanted.server_name.clone(),
                limits: (
                    wanted.connections_max,
                    wanted.idle_connections_max,
                    wanted.keep_alive_timeout_ms,
                ),
            },
            connections_max: wanted.connections_max,
            idle_connections_max: wanted.idle_connections_max,
            keep_alive_timeout: Duration::from_millis(wanted.keep_alive_timeout_ms),
        }
    }
}

// === impl Connector ===

impl Connector {
    /// Reads what an upstream's TLS needs.
    ///
    /// # Errors
    /// Authorities that cannot be read, or none.
    pub(crate) fn new(settings: Settings, network: Network) -> Result<Self, TlsSetupError> {
        let tls = if settings.key.is_tls { Some(Self::tls(&settings.key)?) } else { None };
        Ok(Self { settings, network, tls })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn tls(key: &UpstreamKey) -> Result<(TlsConnector, ServerName<'static>), TlsSetupError> {
        let mut roots = RootCertStore::empty();
        let source = match &key.ca_file {
            Some(path) => {
                let fail = |source| TlsSetupError::CaFile { path: path.clone(), source };
                for certificate in CertificateDer::pem_file_iter(path).map_err(fail)? {
                    roots.add(certificate.map_err(fail)?)?;
                }
                path.display().to_string()
            }
            None => {
                // Systems carry certificates that no library takes; the sound ones count.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                "the system's store".to_owned()
            }
        };
        if roots.is_empty() {
            return Err(TlsSetupError::NoAuthority(source));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = match key.http {
            UpstreamHttp::Http1 => vec![b"http/1.1".to_vec()],
            UpstreamHttp::Http2 => vec![b"h2".to_vec()],
        };
        let name = key.server_name.clone().unwrap_or_else(|| key.host.clone());
        let name =
            ServerName::try_from(name).map_err(|_| TlsSetupError::NoAuthority(key.host.clone()))?;
        Ok((TlsConnector::from(Arc::new(config)), name))
    }

    async fn stream(&self) -> Result<TokioIo<UpstreamStream>, ConnectError> {
        let key = &self.settings.key;
        if let Network::Given(network) = &self.network {
            let stream = network.dial(&key.host, key.port).await.map_err(ConnectError::Connect)?;
            return Ok(TokioIo::new(UpstreamStream::Given(stream)));
        }
        let stream = TcpStream::connect((key.host.as_str(), key.port))
            .await
            .map_err(ConnectError::Connect)?;
        stream.set_nodelay(true).map_err(ConnectError::Connect)?;
        let stream = match &self.tls {
            None => UpstreamStream::Plain(stream),
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), stream).await.map_err(ConnectError::Tls)?;
                let agreed = stream.get_ref().1.alpn_protocol();
                if key.http == UpstreamHttp::Http2 && agreed != Some(b"h2") {
                    let error = io::Error::other("the upstream does not offer h2");
                    return Err(ConnectError::Tls(error));
                }
                UpstreamStream::Tls(Box::new(stream))
            }
        };
        Ok(TokioIo::new(stream))
    }

    /// Opens a connection that speaks HTTP/1.1.
    pub(crate) async fn http1(&self) -> Result<Http1, ConnectError> {
        http1::Builder::new()
            .writev(false)
            .handshake(self.stream().await?)
            .await
            .map_err(ConnectError::Http)
    }

    /// Opens a connection that speaks HTTP/2.
    pub(crate) async fn http2(&self) -> Result<Http2, ConnectError> {
        http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(self.stream().await?)
            .await
            .map_err(ConnectError::Http)
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("settings", &self.settings).finish_non_exhaustive()
    }
}

// === impl UpstreamStream ===

impl AsyncRead for UpstreamStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Given(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Given(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Given(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Given(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Given(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Given(stream) => stream.is_write_vectored(),
        }
    }
}
