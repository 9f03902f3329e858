//! What a request and a response lose and gain on their way.

use crate::harness::*;
use tollgate_gateway::config::{Forwarded, HostHeader, Key, Proxy, Rewrite};

#[tokio::test]
async fn a_request_loses_what_is_of_one_connection_and_gains_its_way() {
    let mut upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    client
        .got(
            "/",
            &[
                "connection: x-mine, keep-alive",
                "x-mine: secret",
                "keep-alive: 5",
                "te: gzip, trailers",
                "upgrade: h2c",
                "http2-settings: AAA",
                "proxy-authorization: x",
                "x-other: kept",
                "cookie: a=b",
            ],
        )
        .await;
    let request = upstream.request().await;
    for gone in ["x-mine", "keep-alive", "upgrade", "http2-settings", "proxy-authorization"] {
        assert_eq!(header(&request, gone), None, "{gone}");
    }
    let target = upstream.address.to_string();
    let rows = [
        ("te", "trailers"),
        ("connection", "te"),
        ("x-other", "kept"),
        ("cookie", "a=b"),
        ("host", target.as_str()),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "a.example"),
        ("forwarded", "for=127.0.0.1;host=\"a.example\";proto=http"),
        ("via", "1.1 tollgate"),
    ];
    for (name, want) in rows {
        assert_eq!(header(&request, name), Some(want), "{name}");
    }
    assert_eq!(header(&request, "traceparent").map(str::len), Some(55));
}

#[tokio::test]
async fn a_response_loses_what_is_of_one_connection_and_gains_its_way() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nconnection: x-mine\r\nx-mine: 1\r\nkeep-alive: 5\r\nset-cookie: a=b\r\nset-cookie: c=d\r\nvia: 1.0 deep\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    let answer = client.got("/", &[]).await;
    for gone in ["x-mine", "keep-alive", "connection"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    assert_eq!(answer.header("via"), Some("1.0 deep, 1.1 tollgate"));
    assert_eq!(answer.head.matches("set-cookie").count(), 2);
}

#[tokio::test]
async fn what_a_client_says_of_hops_before_is_appended_replaced_or_passed() {
    let mut upstream = Upstream::ok("hello").await;
    let place = |name: &str, forwarded| Proxy {
        name: name.into(),
        base_path: format!("/{name}"),
        forwarded,
        ..open_proxy(upstream.address)
    };
    let proxies = vec![
        place("append", Forwarded::Append),
        place("replace", Forwarded::Replace),
        place("pass", Forwarded::Pass),
    ];
    let gateway = Gateway::start(proxies).await;
    let mut client = gateway.client().await;
    let ours = "for=127.0.0.1;host=\"a.example\";proto=http";
    let appended = format!("for=9.9.9.9, {ours}");
    let rows = [
        ("/append", "9.9.9.9, 127.0.0.1", "https", appended.as_str()),
        ("/replace", "127.0.0.1", "http", ours),
        ("/pass", "9.9.9.9", "https", "for=9.9.9.9"),
    ];
    for (target, addresses, proto, forwarded) in rows {
        let lines =
            ["x-forwarded-for: 9.9.9.9", "x-forwarded-proto: https", "forwarded: for=9.9.9.9"];
        client.got(target, &lines).await;
        let request = upstream.request().await;
        assert_eq!(header(&request, "x-forwarded-for"), Some(addresses), "{target}");
        assert_eq!(header(&request, "x-forwarded-proto"), Some(proto), "{target}");
        assert_eq!(header(&request, "forwarded"), Some(forwarded), "{target}");
    }
}

#[tokio::test]
async fn host_and_path_are_what_the_proxy_says() {
    let mut upstream = Upstream::ok("hello").await;
    let place = |name: &str, host_header| Proxy {
        name: name.into(),
        base_path: format!("/{name}"),
        target: format!("http://{}/deep", upstream.address),
        host_header,
        rewrite: vec![Rewrite { from: "/old".into(), to: "/new".into() }],
        ..open_proxy(upstream.address)
    };
    let proxies = vec![
        place("target", HostHeader::Target),
        place("client", HostHeader::Client),
        place("named", HostHeader::Named("b.example".into())),
    ];
    let gateway = Gateway::start(proxies).await;
    let mut client = gateway.client().await;
    let target = upstream.address.to_string();
    let rows = [("target", target.as_str()), ("client", "a.example"), ("named", "b.example")];
    for (name, host) in rows {
        client.got(&format!("/{name}/old/%41?x=%42"), &[]).await;
        let request = upstream.request().await;
        assert_eq!(header(&request, "host"), Some(host), "{name}");
        assert!(request.starts_with("GET /deep/new/%41?x=%42 HTTP/1.1\r\n"), "{request}");
    }
    let answer = client.got("/nowhere", &[]).await;
    assert_eq!(answer.status(), 404);
    assert!(answer.body.contains("messaging.adaptors.http.flow.ApplicationNotFound"));
}

#[tokio::test]
async fn the_key_is_taken_from_where_the_proxy_says_and_taken_off() {
    let mut upstream = Upstream::ok("hello").await;
    let own = Proxy {
        name: "own".into(),
        base_path: "/own".into(),
        key: Key { header: "x-mine".into(), query: "key".into(), forward: true },
        ..proxy(upstream.address)
    };
    let gateway = Gateway::start(vec![proxy(upstream.address), own]).await;
    let mut client = gateway.client().await;
    let rows = [
        ("/a?x=1&apikey=good&y=2", "x: y", "/a?x=1&y=2", None),
        ("/a?apikey=good", "x: y", "/a", None),
        ("/a?apikey=other", "x-api-key: good", "/a", None),
        ("/own/a?key=good", "x: y", "/a?key=good", None),
        ("/own/a", "x-mine: good", "/a", Some("good")),
    ];
    for (target, line, path, mine) in rows {
        assert_eq!(client.got(target, &[line]).await.status(), 200, "{target}");
        let request = upstream.request().await;
        assert!(request.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{request}");
        assert_eq!(header(&request, "x-mine"), mine);
        assert_eq!(header(&request, "x-api-key"), None);
    }
}
