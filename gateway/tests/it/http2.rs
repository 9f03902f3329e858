//! HTTP/2 on both sides: by prior knowledge, by ALPN, with trailers and gRPC.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::harness::*;
use tollgate_gateway::config::{
    HostHeader, Limits, Proxy, Upstream as UpstreamConfig, UpstreamHttp,
};

pub(crate) type Parts = UnboundedReceiverStream<Result<Frame<Bytes>, std::convert::Infallible>>;
pub(crate) type Sender = SendRequest<StreamBody<Parts>>;
type Feed = mpsc::UnboundedSender<Result<Frame<Bytes>, std::convert::Infallible>>;

/// A client that speaks HTTP/2 by prior knowledge.
pub(crate) async fn h2c(address: SocketAddr) -> Sender {
    let stream = TcpStream::connect(address).await.unwrap();
    h2_over(stream).await
}

pub(crate) async fn h2_over<S>(stream: S) -> Sender
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

/// A body without a byte.
pub(crate) fn no_body() -> StreamBody<Parts> {
    fed().1
}

/// A body that is fed by hand.
fn fed() -> (Feed, StreamBody<Parts>) {
    let (feed, parts) = mpsc::unbounded_channel();
    (feed, StreamBody::new(UnboundedReceiverStream::new(parts)))
}

fn data(text: &str) -> Result<Frame<Bytes>, std::convert::Infallible> {
    Ok(Frame::data(Bytes::copy_from_slice(text.as_bytes())))
}

fn trailers(
    name: &'static str,
    value: &'static str,
) -> Result<Frame<Bytes>, std::convert::Infallible> {
    Ok(Frame::trailers(HeaderMap::from_iter([(
        http::HeaderName::from_static(name),
        http::HeaderValue::from_static(value),
    )])))
}

pub(crate) async fn get(
    sender: &mut Sender,
    uri: String,
    lines: &[(&str, &str)],
) -> Response<Incoming> {
    let mut request = Request::get(uri);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let (_, body) = fed();
    within(sender.send_request(request.body(body).unwrap())).await.unwrap()
}

/// An upstream that speaks HTTP/2 and answers with its request, echoed as it comes, and a trailer.
pub(crate) async fn echo() -> (SocketAddr, mpsc::UnboundedReceiver<Request<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_echo(stream, told.clone()));
        }
    });
    (address, requests)
}

/// The same over TLS.
pub(crate) async fn echo_over(
    tls: tokio_rustls::TlsAcceptor,
) -> (SocketAddr, mpsc::UnboundedReceiver<Request<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, told) = (tls.clone(), told.clone());
            tokio::spawn(async move { serve_echo(tls.accept(stream).await.unwrap(), told).await });
        }
    });
    (address, requests)
}

async fn serve_echo<S>(stream: S, told: mpsc::UnboundedSender<Request<()>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (parts, mut body) = request.into_parts();
        let _ = told.send(Request::from_parts(parts, ()));
        let (feed, echoed) = fed();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                let _ = feed.send(Ok(frame));
            }
            let _ = feed.send(trailers("grpc-status", "0"));
        });
        let response = Response::builder().header("content-type", "application/grpc");
        async move { response.body(echoed) }
    });
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

pub(crate) fn over_http2(proxy: Proxy) -> Proxy {
    Proxy {
        upstream: UpstreamConfig { http: UpstreamHttp::Http2, ..proxy.upstream.clone() },
        ..proxy
    }
}

#[tokio::test]
async fn both_versions_are_served_on_one_port() {
    let mut upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let mut old = gateway.client().await;
    assert_eq!(old.got("/", &["x-api-key: good"]).await.status(), 200);
    upstream.request().await;
    let mut new = h2c(gateway.address).await;
    let uri = format!("http://{}/a?b", gateway.address);
    let response = get(&mut new, uri, &[("x-api-key", "good")]).await;
    assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
    assert_eq!(response.headers()["via"], "1.1 tollgate");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    let request = upstream.request().await;
    assert!(request.starts_with("GET /a?b HTTP/1.1\r\n"), "{request}");
    assert_eq!(header(&request, "via"), Some("2.0 tollgate"));
    assert_eq!(header(&request, "x-forwarded-host"), Some(gateway.address.to_string().as_str()));
}

#[tokio::test]
async fn a_body_without_length_becomes_chunks_for_an_http1_upstream() {
    let mut upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let mut client = h2c(gateway.address).await;
    let (feed, body) = fed();
    feed.send(data("abc")).unwrap();
    drop(feed);
    let request = Request::post(format!("http://{}/", gateway.address)).body(body).unwrap();
    let response = within(client.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 200);
    let request = upstream.request().await;
    assert_eq!(header(&request, "transfer-encoding"), Some("chunked"));
    assert!(request.ends_with("3\r\nabc\r\n0\r\n\r\n"), "{request}");
}

#[tokio::test]
async fn a_grpc_call_streams_both_ways_with_trailers() {
    let (address, mut requests) = echo().await;
    let mut gateway = Gateway::start(vec![over_http2(proxy(address))]).await;
    let mut client = h2c(gateway.address).await;
    let (feed, body) = fed();
    let request = Request::post(format!("http://{}/pkg.Service/Method", gateway.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-api-key", "good")
        .body(body)
        .unwrap();
    let response = within(client.send_request(request)).await.unwrap();
    assert_eq!(gateway.ended(1).await.len(), 1, "charged at the head");
    let mut answer = response.into_body();
    for message in ["one", "two"] {
        feed.send(data(message)).unwrap();
        let frame = within(answer.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), message);
    }
    feed.send(trailers("x-last", "1")).unwrap();
    drop(feed);
    let last = within(answer.frame()).await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(last["x-last"], "1");
    let heard = requests.recv().await.unwrap();
    assert_eq!(
        (heard.version(), heard.headers()["te"].to_str().unwrap()),
        (Version::HTTP_2, "trailers")
    );
    assert_eq!(heard.uri().authority().unwrap().as_str(), address.to_string());
    assert_eq!(heard.uri().path(), "/pkg.Service/Method");
}

#[tokio::test]
async fn a_refused_grpc_call_gets_its_status_in_trailers_alone() {
    let (address, mut requests) = echo().await;
    let gateway = Gateway::start(vec![over_http2(proxy(address))]).await;
    let mut client = h2c(gateway.address).await;
    let rows = [("poor", "8"), ("nobody", "16"), ("never", "14")];
    for (key, status) in rows {
        let uri = format!("http://{}/pkg.Service/Method", gateway.address);
        let lines = [("content-type", "application/grpc+proto"), ("x-api-key", key)];
        let response = get(&mut client, uri, &lines).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], status, "{key}");
        assert_eq!(response.headers()["content-type"], "application/grpc");
        let is_asked_to_wait = response.headers().contains_key("grpc-retry-pushback-ms");
        assert_eq!(is_asked_to_wait, key == "never", "waiting helps the last alone");
        assert!(hyper::body::Body::is_end_stream(response.body()), "the head ends the stream");
    }
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn many_calls_share_one_connection_to_an_http2_upstream() {
    let (address, mut requests) = echo().await;
    let gateway = Gateway::with(
        vec![over_http2(open_proxy(address))],
        Limits { workers: 1, ..Limits::default() },
        None,
    )
    .await;
    let mut feeds = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = h2c(gateway.address).await;
        let (feed, body) = fed();
        let request = Request::post(format!("http://{}/", gateway.address)).body(body).unwrap();
        feeds.push((feed, within(client.send_request(request)).await.unwrap()));
        clients.push(client);
        requests.recv().await.unwrap();
    }
    gateway.counts("tollgate_upstream_connections_open", &[], 1).await;
    gateway.counts("tollgate_calls_open", &[], 50).await;
    drop(feeds);
    gateway.counts("tollgate_calls_open", &[], 0).await;
}

#[tokio::test]
async fn a_cancelled_stream_before_the_head_costs_nothing() {
    let mut upstream = Upstream::scripted(|mut stream, told| async move {
        told.send(stream.request().await.unwrap()).unwrap();
        assert!(stream.is_closed().await);
        told.send("closed".into()).unwrap();
    })
    .await;
    let mut gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let mut client = h2c(gateway.address).await;
    let (_, body) = fed();
    let uri = format!("http://{}/", gateway.address);
    let request = Request::get(uri).header("x-api-key", "good").body(body).unwrap();
    let call = tokio::spawn(client.send_request(request));
    upstream.request().await;
    call.abort();
    assert_eq!(gateway.ended(1).await, [Ended::Released]);
    assert_eq!(upstream.request().await, "closed");
}

#[tokio::test]
async fn the_clients_host_becomes_the_authority() {
    let (address, mut requests) = echo().await;
    let own = Proxy { host_header: HostHeader::Client, ..over_http2(open_proxy(address)) };
    let gateway = Gateway::start(vec![own]).await;
    let mut client = gateway.client().await;
    client.got("/", &[]).await;
    let heard = requests.recv().await.unwrap();
    assert_eq!(heard.uri().authority().unwrap().as_str(), "a.example");
    assert!(!heard.headers().contains_key("host"));
}

#[tokio::test]
async fn an_http2_connection_is_told_to_go_away_and_its_calls_finish() {
    let (address, mut requests) = echo().await;
    let mut gateway = Gateway::start(vec![over_http2(open_proxy(address))]).await;
    let mut client = h2c(gateway.address).await;
    let (feed, body) = fed();
    let request = Request::post(format!("http://{}/", gateway.address)).body(body).unwrap();
    let response = within(client.send_request(request)).await.unwrap();
    requests.recv().await.unwrap();
    gateway.shut_down();
    feed.send(data("late")).unwrap();
    drop(feed);
    let body = within(response.into_body().collect()).await.unwrap();
    assert_eq!(body.to_bytes(), "late");
    gateway.down().await;
    assert!(client.ready().await.is_err() || client.is_closed());
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431_on_http2() {
    let upstream = Upstream::ok("hello").await;
    let limits = Limits { head_bytes_max: 8192, ..Limits::default() };
    let gateway = Gateway::with(vec![open_proxy(upstream.address)], limits, None).await;
    let mut client = h2c(gateway.address).await;
    let uri = format!("http://{}/", gateway.address);
    let large = "a".repeat(10_000);
    let (_, body) = fed();
    let request = Request::get(uri.clone()).header("x-large", large).body(body).unwrap();
    // The client keeps the limit that it was told, or the gateway answers 431.
    if let Ok(response) = within(client.send_request(request)).await {
        assert_eq!(response.status(), 431);
    }
    let mut client = h2c(gateway.address).await;
    assert_eq!(get(&mut client, uri, &[]).await.status(), 200);
}

#[tokio::test]
async fn an_upstream_that_refuses_a_stream_is_502() {
    let upstream = Upstream::ok("this is not HTTP/2").await;
    let mut gateway = Gateway::start(vec![over_http2(proxy(upstream.address))]).await;
    let mut client = gateway.client().await;
    assert_eq!(client.got("/", &["x-api-key: good"]).await.status(), 502);
    assert_eq!(gateway.ended(1).await, [Ended::Released]);
}

#[tokio::test]
async fn a_stream_whose_client_takes_nothing_is_reset_and_the_connection_lives() {
    let upstream = Upstream::scripted(|mut stream, told| async move {
        use tokio::io::AsyncWriteExt;
        let request = stream.request().await.unwrap();
        if request.starts_with("GET /small") {
            return stream.send(&ok("small")).await;
        }
        stream.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
        let block = vec![b'a'; 64 * 1024];
        while stream.stream.write_all(&block).await.is_ok() {}
        told.send("given up".into()).unwrap();
    })
    .await;
    let limits = Limits { client_idle_timeout_ms: 500, ..Limits::default() };
    let mut upstream = upstream;
    let gateway = Gateway::with(vec![open_proxy(upstream.address)], limits, None).await;
    let mut client = h2c(gateway.address).await;
    let stuck = get(&mut client, format!("http://{}/large", gateway.address), &[]).await;
    assert_eq!(upstream.request().await, "given up");
    let small = get(&mut client, format!("http://{}/small", gateway.address), &[]).await;
    assert_eq!(small.into_body().collect().await.unwrap().to_bytes(), "small");
    assert!(stuck.into_body().collect().await.is_err(), "the stream was reset");
}

#[tokio::test]
async fn cookies_in_parts_become_one_line_for_an_http1_upstream() {
    let mut upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let mut client = h2c(gateway.address).await;
    let uri = format!("http://{}/", gateway.address);
    get(&mut client, uri, &[("cookie", "a=b"), ("cookie", "c=d")]).await;
    assert_eq!(header(&upstream.request().await, "cookie"), Some("a=b; c=d"));
}

#[tokio::test]
async fn an_idle_http2_connection_is_told_to_go_away() {
    let upstream = Upstream::ok("hello").await;
    let limits = Limits { keep_alive_timeout_ms: 100, ..Limits::default() };
    let gateway = Gateway::with(vec![open_proxy(upstream.address)], limits, None).await;
    let mut client = h2c(gateway.address).await;
    let response = get(&mut client, format!("http://{}/", gateway.address), &[]).await;
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    gateway.counts("tollgate_connections_open", &[], 0).await;
}
