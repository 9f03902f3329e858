//! Who is let in, limits, health, metrics and the end.

use std::time::Duration;

use base64::Engine as _;
use prometheus::TextEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollgate_management::Limits;

use crate::harness::{ADA, ADMIN, READER, Server};

#[tokio::test]
async fn a_token_says_who_may_do_what() {
    let server = Server::start_with_ada().await;
    let path = format!("{ADA}/balance");
    for token in ["", "wrong", &ADMIN[1..], &format!("{ADMIN}x")] {
        let reply = server.call("GET", &path, token, "", None).await;
        assert_eq!((reply.status, reply.error_status()), (401, "UNAUTHENTICATED"), "{reply:?}");
        assert!(reply.header("www-authenticate").unwrap().starts_with("bearer"));
    }
    let basic = "Authorization: Basic YTpi\r\n";
    assert_eq!(server.call("GET", &path, "", basic, None).await.status, 401);
    // `anybody:` and the token, as clients of Apigee Edge send it.
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("anybody:{ADMIN}"));
    let basic = format!("Authorization: Basic {pair}\r\n");
    assert_eq!(server.call("GET", &path, "", &basic, None).await.status, 200);
    let lower = format!("authorization: bearer {ADMIN}\r\n");
    assert_eq!(server.call("GET", &path, "", &lower, None).await.status, 200);

    assert_eq!(server.call("GET", &path, READER, "", None).await.status, 200);
    let credit = r#"{"transactionAmount":{"currencyCode":"EUR","units":1},"transactionId":"t"}"#;
    let paths = [
        ("GET", ADA.to_owned(), None),
        ("DELETE", ADA.to_owned(), None),
        ("POST", format!("{ADA}/balance:credit"), Some(credit)),
        ("GET", "/v1/organizations".to_owned(), None),
    ];
    for (method, path, body) in paths {
        let reply = server.call(method, &path, READER, "", body).await;
        assert_eq!((reply.status, reply.error_status()), (403, "PERMISSION_DENIED"), "{path}");
    }
    assert_eq!(server.balance("EUR").await, None);
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let limits = Limits { body_bytes_max: 1000, ..Limits::default() };
    let server = Server::start_with(limits, |ledger| ledger).await;
    let body = format!(r#"{{"name":"{}"}}"#, "x".repeat(2000));
    let reply = server.post("/v1/organizations", &body).await;
    assert_eq!((reply.status, reply.error_status()), (413, "INVALID_ARGUMENT"), "{reply:?}");
    assert!(reply.message().contains("1000 bytes"));
}

#[tokio::test]
async fn a_client_that_sends_slowly_is_cut_off() {
    let limits = Limits {
        head_timeout: Duration::from_millis(50),
        request_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = Server::start_with(limits, |ledger| ledger).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost:").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("200"), "the head never ended");

    let head = format!(
        "POST /v1/organizations HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Length: 9\r\nConnection: close\r\n\r\n{{"
    );
    let reply = server.raw(head.as_bytes()).await;
    assert_eq!((reply.status, reply.error_status()), (504, "DEADLINE_EXCEEDED"), "{reply:?}");
}

#[tokio::test]
async fn health_needs_no_token() {
    let server = Server::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.call("GET", path, "", "", None).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_path_and_not_by_name() {
    let server = Server::start_with_ada().await;
    server.get(&format!("{ADA}/balance")).await;
    server.get("/v1/no/such/path").await;
    let text = TextEncoder::new().encode_to_string(&server.registry.gather()).unwrap();
    let path = "/v1/organizations/{organization}/developers/{developer}/balance";
    let counted = format!(
        "tollgate_management_requests_total{{method=\"GET\",path=\"{path}\",status=\"200\"}} 1"
    );
    assert!(text.contains(&counted), "{text}");
    assert!(text.contains("tollgate_management_request_duration_seconds_bucket"));
    assert!(text.contains("path=\"unmatched\""), "{text}");
    assert!(!text.contains("ada@"), "{text}");
}

#[tokio::test]
async fn it_ends_when_it_is_told() {
    let mut server = Server::start().await;
    // An idle connection does not keep it.
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    server.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), &mut server.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}
