//! One HTTP request on a connection of its own, over TLS where the address says so.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long connecting, and answering, may take.
pub(crate) const WAIT: Duration = Duration::from_secs(5);

/// What an answer may have at most.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A request.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) url: &'a str,
    /// GET where absent.
    pub(crate) method: Option<&'a Method>,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a str,
    /// The authorities that may sign the server's certificate, instead of the system's.
    pub(crate) ca_file: Option<&'a Path>,
    /// The name in its certificate, where it is not the host.
    pub(crate) server_name: Option<&'a str>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Sends a request; what went wrong is told in words.
pub(crate) async fn send(ask: Ask<'_>) -> Result<Answer, String> {
    let uri: Uri = ask.url.parse().map_err(|error| format!("{}: {error}", ask.url))?;
    let host = uri.host().ok_or("the address has no host")?.trim_matches(['[', ']']).to_owned();
    let is_tls = uri.scheme_str() == Some("https");
    let stream = connect(&host, uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 })).await?;
    let exchange = async {
        if is_tls {
            let stream = secure(stream, ask, &host).await?;
            exchange(stream, &uri, ask).await
        } else {
            exchange(stream, &uri, ask).await
        }
    };
    let late = |_| format!("no answer within {WAIT:?}");
    tokio::time::timeout(WAIT, exchange).await.map_err(late)?
}

/// Connects, or says why not.
pub(crate) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let connecting = tokio::time::timeout(WAIT, TcpStream::connect((host, port)));
    let connected = connecting.await.map_err(|_| format!("no connection within {WAIT:?}"))?;
    connected.map_err(|error| format!("cannot connect to {host}:{port}: {error}"))
}

/// Makes TLS of a connection, or says why not.
pub(crate) async fn secure(
    stream: TcpStream,
    ask: Ask<'_>,
    host: &str,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    let mut roots = RootCertStore::empty();
    match ask.ca_file {
        Some(path) => {
            let read =
                |error: rustls::pki_types::pem::Error| format!("{}: {error}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(read)? {
                roots.add(certificate.map_err(read)?).map_err(|error| error.to_string())?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ask.server_name.unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
    let secured = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    secured.map_err(|error| format!("TLS: {error}"))
}

async fn exchange<S>(stream: S, uri: &Uri, ask: Ask<'_>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let words = |error: hyper::Error| format!("HTTP: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
    let driver = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let method = ask.method.unwrap_or(&Method::GET).clone();
    let mut request = Request::builder().method(method).uri(path);
    if !ask.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header(header::HOST, authority);
    }
    for (name, value) in ask.headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::from(ask.body.to_owned()));
    let request = request.body(body).map_err(|error| error.to_string())?;
    let answered = async {
        let (head, body) = sender.send_request(request).await.map_err(words)?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| format!("HTTP: {error}"))?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status: head.status, headers: head.headers, body })
    };
    let answered = answered.await;
    driver.abort();
    answered
}
