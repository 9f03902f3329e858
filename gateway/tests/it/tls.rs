//! TLS on both sides, with the protocol agreed by ALPN.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::harness::*;
use tollgate_gateway::config::{
    Limits, Listener, ListenerTls, Proxy, Upstream as UpstreamConfig, UpstreamHttp,
};
use tollgate_gateway::server::BoundListener;

/// A certificate for `localhost`, signed by itself, in files.
struct Identity {
    folder: TempDir,
    tls: ListenerTls,
}

impl Identity {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let tls = ListenerTls {
            certificate_file: folder.path().join("certificate.pem"),
            key_file: folder.path().join("key.pem"),
        };
        std::fs::write(&tls.certificate_file, key.cert.pem()).unwrap();
        std::fs::write(&tls.key_file, key.signing_key.serialize_pem()).unwrap();
        Self { folder, tls }
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.tls.certificate_file).unwrap()
    }

    async fn connect(&self, address: SocketAddr, protocols: &[&str]) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    fn acceptor(&self, protocols: &[&str]) -> TlsAcceptor {
        let key = PrivateKeyDer::from_pem_file(&self.tls.key_file).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// An upstream that answers one request a connection, in HTTP/1.1, over TLS.
    async fn upstream(&self, protocols: &[&str]) -> SocketAddr {
        let acceptor = self.acceptor(protocols);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut buffer = [0; 4096];
                    let _ = stream.read(&mut buffer).await;
                    let _ = stream.write_all(ok("over tls").as_bytes()).await;
                });
            }
        });
        address
    }
}

#[tokio::test]
async fn clients_choose_their_version_by_alpn() {
    let identity = Identity::new();
    let mut upstream = Upstream::ok("hello").await;
    let gateway = Gateway::with(
        vec![open_proxy(upstream.address)],
        Limits::default(),
        Some(identity.tls.clone()),
    )
    .await;
    let stream = identity.connect(gateway.address, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = crate::http2::h2_over(stream).await;
    let request = http::Request::get("https://localhost/").body(crate::http2::no_body()).unwrap();
    assert_eq!(within(client.send_request(request)).await.unwrap().status(), 200);
    let request = upstream.request().await;
    assert_eq!(header(&request, "x-forwarded-proto"), Some("https"));
    for protocols in [&["http/1.1"][..], &[]] {
        let mut stream = identity.connect(gateway.address, protocols).await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello"), "{answer}");
    }
}

#[tokio::test]
async fn a_client_without_tls_on_a_tls_port_is_turned_away() {
    let identity = Identity::new();
    let upstream = Upstream::ok("hello").await;
    let gateway = Gateway::with(
        vec![open_proxy(upstream.address)],
        Limits::default(),
        Some(identity.tls.clone()),
    )
    .await;
    let mut client = gateway.client().await;
    client.get("/", &[]).await;
    assert!(client.head().await.is_none());
}

#[tokio::test]
async fn an_upstream_is_believed_only_with_a_certificate_that_is_known() {
    let identity = Identity::new();
    let address = identity.upstream(&["http/1.1"]).await;
    let stranger = Identity::new();
    let proxy = |name: &str, ca: &Identity, server_name: &str| Proxy {
        base_path: format!("/{name}"),
        target: format!("https://{address}"),
        upstream: UpstreamConfig {
            ca_file: Some(ca.tls.certificate_file.clone()),
            server_name: Some(server_name.to_owned()),
            ..UpstreamConfig::default()
        },
        name: name.to_owned(),
        ..open_proxy(address)
    };
    let gateway = Gateway::start(vec![
        proxy("known", &identity, "localhost"),
        proxy("other", &identity, "other.example"),
        proxy("unknown", &stranger, "localhost"),
    ])
    .await;
    let mut client = gateway.client().await;
    let answer = client.got("/known", &[]).await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, "over tls"));
    assert_eq!(client.got("/other", &[]).await.status(), 502);
    assert_eq!(client.got("/unknown", &[]).await.status(), 502);
}

#[tokio::test]
async fn an_upstream_that_does_not_offer_http2_is_502() {
    let identity = Identity::new();
    let address = identity.upstream(&["http/1.1"]).await;
    let proxy = Proxy {
        target: format!("https://{address}"),
        upstream: UpstreamConfig {
            http: UpstreamHttp::Http2,
            ca_file: Some(identity.tls.certificate_file.clone()),
            server_name: Some("localhost".to_owned()),
            ..UpstreamConfig::default()
        },
        ..open_proxy(address)
    };
    let gateway = Gateway::start(vec![proxy]).await;
    let mut client = gateway.client().await;
    assert_eq!(client.got("/", &[]).await.status(), 502);
}

#[tokio::test]
async fn http2_is_spoken_to_an_upstream_over_tls() {
    let identity = Identity::new();
    let (address, mut requests) = crate::http2::echo_over(identity.acceptor(&["h2"])).await;
    let proxy = Proxy {
        target: format!("https://{address}"),
        upstream: UpstreamConfig {
            http: UpstreamHttp::Http2,
            ca_file: Some(identity.tls.certificate_file.clone()),
            server_name: Some("localhost".to_owned()),
            ..UpstreamConfig::default()
        },
        ..open_proxy(address)
    };
    let gateway = Gateway::start(vec![proxy]).await;
    let mut client = gateway.client().await;
    assert_eq!(client.got("/", &[]).await.status(), 200);
    let heard = requests.recv().await.unwrap();
    assert_eq!(heard.uri().scheme_str(), Some("https"));
}

#[tokio::test]
async fn an_upstream_that_does_not_finish_its_handshake_is_504() {
    let upstream = Upstream::scripted(|stream, _| async move {
        // Keeps the connection and never says a word.
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let identity = Identity::new();
    let proxy = Proxy {
        target: format!("https://{}", upstream.address),
        connect_timeout_ms: 100,
        upstream: UpstreamConfig {
            ca_file: Some(identity.tls.certificate_file.clone()),
            ..UpstreamConfig::default()
        },
        ..proxy(upstream.address)
    };
    let mut gateway = Gateway::start(vec![proxy]).await;
    let mut client = gateway.client().await;
    assert_eq!(client.got("/", &["x-api-key: good"]).await.status(), 504);
    assert_eq!(gateway.ended(1).await, [Ended::Released]);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_told_with_its_file() {
    let identity = Identity::new();
    let address = "127.0.0.1:0".parse().unwrap();
    let missing = identity.folder.path().join("missing.pem");
    let tls = ListenerTls { key_file: missing.clone(), ..identity.tls.clone() };
    let error = BoundListener::bind(&Listener { address, tls: Some(tls) }).unwrap_err();
    let chain = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    assert!(chain.contains(&missing.display().to_string()), "{chain}");
}
