//! Requests that can be read in two ways are refused, and their connections closed.

use crate::harness::*;

#[tokio::test]
async fn ambiguous_heads_get_400_and_a_closed_connection() {
    let mut upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let rows = [
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3, 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3, 4\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length : 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: b\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: b\r\n\tfolded\r\n\r\n",
        "GET / HTTP/1.1\r\n x: b\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: b\0c\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx\0y: b\r\n\r\n",
        "GET /a\0b HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nhost: a\r\n\r\n",
        "GET / HTTP/2.0\r\nhost: a\r\n\r\n",
        "GET /a/../b HTTP/1.1\r\nhost: a\r\n\r\n",
        "G@T / HTTP/1.1\r\nhost: a\r\n\r\n",
        "nonsense\r\n\r\n",
    ];
    for request in rows {
        let mut client = gateway.client().await;
        client.send(request).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 400, "{request:?}");
        assert!(client.is_closed().await, "{request:?}");
    }
    upstream.heard_nothing();
}

#[tokio::test]
async fn a_doubled_length_is_refused_in_a_later_request_too() {
    let mut upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    client
        .send(
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer().await.status(), 200);
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc").await;
    assert_eq!(client.answer().await.status(), 200);
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-").await;
    client.send("length: 0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 400);
    assert!(client.is_closed().await);
    upstream.request().await;
    upstream.request().await;
    upstream.heard_nothing();
}

#[tokio::test]
async fn where_both_lengths_come_the_encoding_wins_and_the_connection_closes() {
    for request in [
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 100\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        let mut upstream = Upstream::ok("hello").await;
        let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
        let mut client = gateway.client().await;
        client.send(request).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
        assert!(client.is_closed().await);
        let forwarded = upstream.request().await;
        assert_eq!(header(&forwarded, "content-length"), None);
        assert!(forwarded.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{forwarded}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let upstream = Upstream::scripted(|mut stream, _| async move {
        while let Some(request) = stream.request().await {
            stream.send(&ok(request.split(' ').nth(1).unwrap())).await;
        }
    })
    .await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    client
        .send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nPOST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nabGET /3 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    for path in ["/1", "/2", "/3"] {
        assert_eq!(client.answer().await.body, path);
    }
}

#[tokio::test]
async fn http_1_0_is_served_and_closed() {
    let upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, "hello"));
    assert!(client.is_closed().await);
}
