//! Bodies stream both ways: nothing waits for an end that is not there.

use crate::harness::*;
use tollgate_gateway::config::Proxy;

#[tokio::test]
async fn bytes_pass_both_ways_before_either_body_ends() {
    // Echoes each chunk of the request as a chunk of the response.
    let upstream = Upstream::scripted(|mut stream, _| async move {
        stream.head().await.unwrap();
        stream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        while let Some(size) = stream.line().await {
            let length = usize::from_str_radix(size.trim(), 16).unwrap();
            let chunk = stream.bytes(length + 2).await.unwrap();
            stream.send(&format!("{size}{chunk}")).await;
        }
    })
    .await;
    let mut gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\nx-api-key: good\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let head = client.head().await.unwrap();
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    assert_eq!(gateway.ended(1).await.len(), 1, "settled while both bodies are open");
    for word in ["one", "three", "fifteen"] {
        client.send(&format!("{:X}\r\n{word}\r\n", word.len())).await;
        assert_eq!(client.line().await.unwrap(), format!("{:X}\r\n", word.len()));
        assert_eq!(client.bytes(word.len() + 2).await.unwrap(), format!("{word}\r\n"));
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.chunks().await, "0\r\n\r\n");
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let mut upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n",
    )
    .await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\ntransfer-encoding: chunked\r\ntrailer: x-up\r\n\r\n2\r\nhi\r\n0\r\nx-up: 1\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.header("trailer"), Some("x-sum"));
    assert_eq!(answer.body, "3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n");
    let request = upstream.request().await;
    assert!(request.ends_with("2\r\nhi\r\n0\r\nx-up: 1\r\n\r\n"), "{request}");
}

#[tokio::test]
async fn server_sent_events_pass_one_by_one() {
    let upstream = Upstream::scripted(|mut stream, _| async move {
        stream.request().await.unwrap();
        stream.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
        // The client's word for going on arrives by its own side of a body that has no end.
        for event in 0..3 {
            stream.send(&format!("data: {event}\n\n")).await;
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    client.get("/", &["accept: text/event-stream"]).await;
    let head = client.head().await.unwrap();
    assert_eq!(header(&head, "content-type"), Some("text/event-stream"));
    for event in 0..3 {
        // An event is a chunk of its own.
        let size = client.line().await.unwrap();
        let length = usize::from_str_radix(size.trim(), 16).unwrap();
        assert_eq!(client.bytes(length + 2).await.unwrap(), format!("data: {event}\n\n\r\n"));
    }
    assert_eq!(client.chunks().await, "0\r\n\r\n");
}

#[tokio::test]
async fn a_client_is_told_to_continue_only_when_the_body_is_wanted() {
    let mut upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let head = |key| {
        format!(
            "POST / HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n"
        )
    };
    let mut client = gateway.client().await;
    client.send(&head("poor")).await;
    assert_eq!(client.answer().await.status(), 402, "no 100 goes before a refusal");
    let mut client = gateway.client().await;
    client.send(&head("good")).await;
    assert_eq!(client.head().await.unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc").await;
    assert_eq!(client.answer().await.status(), 200);
    let request = upstream.request().await;
    assert_eq!(header(&request, "expect"), None);
    assert!(request.ends_with("\r\n\r\nabc"));
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\nexpect: more\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 417);
}

#[tokio::test]
async fn a_websocket_is_charged_at_its_101_and_passes_bytes_both_ways() {
    let mut upstream = Upstream::scripted(|mut stream, told| async move {
        told.send(stream.head().await.unwrap()).unwrap();
        stream
            .send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\nwelcome")
            .await;
        let said = stream.bytes(5).await.unwrap();
        stream.send(&said.to_uppercase()).await;
        assert!(stream.is_closed().await);
        told.send("closed".into()).unwrap();
    })
    .await;
    let mut gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    client
        .get(
            "/",
            &[
                "x-api-key: good",
                "connection: keep-alive, Upgrade",
                "upgrade: websocket",
                "sec-websocket-key: k",
            ],
        )
        .await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(header(&head, "upgrade"), Some("websocket"));
    assert_eq!(header(&head, "connection"), Some("upgrade"));
    assert_eq!(header(&head, "sec-websocket-accept"), Some("x"));
    assert_eq!(gateway.ended(1).await, [Ended::Settled("1".into(), "0".into())]);
    assert_eq!(client.bytes(7).await.unwrap(), "welcome");
    // What looks like HTTP here is none.
    client.send("HELLO").await;
    assert_eq!(client.bytes(5).await.unwrap(), "HELLO");
    drop(client);
    let request = upstream.request().await;
    assert_eq!(header(&request, "upgrade"), Some("websocket"));
    assert_eq!(header(&request, "connection"), Some("upgrade"));
    assert_eq!(upstream.request().await, "closed");
    gateway.counts("tollgate_calls_total", &["all", "charged"], 1).await;
    gateway.counts("tollgate_calls_open", &[], 0).await;
}

#[tokio::test]
async fn an_upgrade_that_is_declined_is_an_ordinary_answer() {
    let upstream = Upstream::ok("no").await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    let answer = client.got("/", &["connection: upgrade", "upgrade: websocket"]).await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, "no"));
    assert_eq!(client.got("/", &[]).await.status(), 200);
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_502() {
    let upstream = Upstream::answering(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    )
    .await;
    let mut gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    assert_eq!(client.got("/", &["x-api-key: good"]).await.status(), 502);
    assert_eq!(gateway.ended(1).await, [Ended::Released]);
}

#[tokio::test]
async fn a_silent_websocket_ends_at_the_idle_limit() {
    let upstream = Upstream::scripted(|mut stream, _| async move {
        stream.head().await.unwrap();
        stream
            .send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            .await;
        assert!(stream.is_closed().await);
    })
    .await;
    let idle = Proxy { idle_timeout_ms: 50, ..open_proxy(upstream.address) };
    let gateway = Gateway::start(vec![idle]).await;
    let mut client = gateway.client().await;
    client.get("/", &["connection: upgrade", "upgrade: websocket"]).await;
    client.head().await.unwrap();
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn answers_without_a_body_pass_and_keep_their_connections() {
    let upstream = Upstream::scripted(|mut stream, _| async move {
        while let Some(request) = stream.request().await {
            let head = match request.split(' ').nth(1).unwrap() {
                "/head" => "200 OK\r\ncontent-length: 5",
                "/none" => "204 No Content",
                "/same" => "304 Not Modified\r\netag: \"a\"\r\ncontent-length: 5",
                _ => "200 OK\r\ncontent-length: 0",
            };
            stream.send(&format!("HTTP/1.1 {head}\r\n\r\n")).await;
        }
    })
    .await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    let rows =
        [("HEAD", "/head", 200), ("GET", "/none", 204), ("GET", "/same", 304), ("GET", "/", 200)];
    for (method, path, status) in rows {
        client.send(&format!("{method} {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let head = client.head().await.unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        if path == "/head" {
            assert_eq!(header(&head, "content-length"), Some("5"));
        }
    }
    assert_eq!(upstream.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}
