//! The management API on one connection that is made again when it breaks.
//!
//! Every request of a migration can be repeated, so one that was lost is sent again, at most [`TRIES_MAX`] times.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::config::secret::Secret;
use crate::http::{self, Ask};

/// How often a request is sent.
const TRIES_MAX: u32 = 5;
/// Before the second try; each further one waits twice as long.
const TRY_WAIT: Duration = Duration::from_millis(250);
/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// What an answer may have at most.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: String,
    /// Names a booking, so that it is booked once.
    pub(super) idempotency_key: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

/// The connection.
pub(super) struct Client<'a> {
    management: &'a str,
    bearer: String,
    ca_file: Option<&'a Path>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

// === impl Told ===

impl Told {
    /// Status and message, in either shape of errors.
    pub(super) fn reason(&self) -> String {
        let message = [&self.body["error"]["message"], &self.body["message"]];
        let message = message.iter().find_map(|message| message.as_str()).unwrap_or_default();
        format!("{} {message}", self.status.as_u16())
    }
}

// === impl Client ===

impl<'a> Client<'a> {
    pub(super) fn new(management: &'a str, token: &Secret, ca_file: Option<&'a Path>) -> Self {
        let bearer = format!("Bearer {}", token.expose());
        Client { management: management.trim_end_matches('/'), bearer, ca_file, sender: None }
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Told, String> {
        let (path, body) = (path.to_owned(), String::new());
        self.send(&Call { method: Method::GET, path, body, idempotency_key: None }).await
    }

    /// Sends a request until it is answered with something that another try would not change.
    pub(super) async fn send(&mut self, call: &Call) -> Result<Told, String> {
        let mut wait = TRY_WAIT;
        for last in (0..TRIES_MAX).rev() {
            let answer = tokio::time::timeout(ANSWER_WAIT, self.exchange(call)).await;
            let answer = answer.unwrap_or_else(|_| Err(format!("no answer in {ANSWER_WAIT:?}")));
            let is_passing = answer.as_ref().map_or(true, |told| {
                told.status.is_server_error() || told.status == StatusCode::TOO_MANY_REQUESTS
            });
            if answer.is_err() {
                self.sender = None;
            }
            if !is_passing || last == 0 {
                return answer;
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        Err("was never sent".to_owned())
    }

    async fn exchange(&mut self, call: &Call) -> Result<Told, String> {
        let uri: Uri = format!("{}{}", self.management, call.path)
            .parse()
            .map_err(|error| format!("{}: {error}", call.path))?;
        let words = |error: hyper::Error| format!("HTTP: {error}");
        let mut sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.connect(&uri).await?,
        };
        sender.ready().await.map_err(words)?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::builder()
            .method(&call.method)
            .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(header::HOST, authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, &self.bearer);
        if let Some(key) = &call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Full::new(Bytes::from(call.body.clone())));
        let request = request.map_err(|error| error.to_string())?;
        let (head, body) = sender.send_request(request).await.map_err(words)?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| format!("HTTP: {error}"))?.to_bytes();
        self.sender = Some(sender);
        Ok(Told { status: head.status, body: serde_json::from_slice(&body).unwrap_or_default() })
    }

    async fn connect(&self, uri: &Uri) -> Result<SendRequest<Full<Bytes>>, String> {
        let host = uri.host().ok_or("the address has no host")?.trim_matches(['[', ']']);
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = http::connect(host, port).await?;
        let words = |error: hyper::Error| format!("HTTP: {error}");
        if is_tls {
            let ask = Ask { ca_file: self.ca_file, ..Ask::default() };
            let stream = http::secure(stream, ask, host).await?;
            let (sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
            tokio::spawn(connection);
            Ok(sender)
        } else {
            let (sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
            tokio::spawn(connection);
            Ok(sender)
        }
    }
}
