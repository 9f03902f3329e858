//! Plain HTTP calls, and the management API as a portal uses it.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::process::Tollgate;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: String,
}

/// Somebody who may manage an organization's wallets.
#[derive(Debug, Clone)]
pub(crate) struct Portal {
    /// `http://host:port`.
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) organization: String,
    pub(crate) developer: String,
}

/// One request on a connection of its own; `Err` where nothing answered.
pub(crate) async fn request(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Result<Answer, String> {
    let (authority, path) = split(url);
    let text = |error: &dyn std::fmt::Display| format!("{url}: {error}");
    let stream = TcpStream::connect(authority).await.map_err(|error| text(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
    let driver = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, authority);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::from(body.unwrap_or_default().to_owned()));
    let request = request.body(body).expect("a sound request");
    let response = sender.send_request(request).await.map_err(|error| text(&error))?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| text(&error))?.to_bytes();
    driver.abort();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// A GET that something must answer.
pub(crate) async fn get(url: &str, headers: &[(&str, &str)]) -> Answer {
    request(Method::GET, url, headers, None).await.expect("an answer")
}

/// `host:port` and the path of a URL.
pub(crate) fn split(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").expect("a plain URL");
    rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash))
}

/// Nanos as a decimal, for expectations that read like money.
pub(crate) fn nanos(decimal: &str) -> i128 {
    let money: tollgate_metering::Money = decimal.parse().expect("a decimal");
    money.nanos()
}

/// The nanos of Apigee's Money.
fn money_nanos(money: &Value) -> i128 {
    let units: i128 = money["units"].as_str().unwrap_or("0").parse().expect("units are a number");
    units * 1_000_000_000 + i128::from(money["nanos"].as_i64().unwrap_or(0))
}

// === impl Portal ===

impl Portal {
    /// The portal of the demo that a process has.
    pub(crate) fn of_demo(process: &Tollgate) -> Self {
        let file = process.text(&["admin_token_file"]);
        Self {
            url: process.text(&["management"]).to_owned(),
            token: std::fs::read_to_string(file).expect("the admin token").trim().to_owned(),
            organization: process.text(&["demo", "organization"]).to_owned(),
            developer: process.text(&["demo", "developer"]).to_owned(),
        }
    }

    /// Makes the organization.
    pub(crate) async fn create_organization(&self) {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = json!({"name": self.organization, "displayName": self.organization}).to_string();
        let url = format!("{}/v1/organizations", self.url);
        let answer = request(Method::POST, &url, &headers, Some(&body)).await.expect("an answer");
        assert!(answer.status.is_success(), "{answer:?}");
    }

    /// A request to `path` below the organization.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
    ) -> Result<Answer, String> {
        let url = format!("{}/v1/organizations/{}{path}", self.url, self.organization);
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        request(method, &url, &headers, body).await
    }

    /// A request that must succeed.
    pub(crate) async fn must(&self, method: Method, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let answer = self.send(method, path, Some(&body)).await.expect("an answer");
        assert!(answer.status.is_success(), "{path} with {body}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap_or(Value::Null)
    }

    /// The balance in EUR, in nanos.
    ///
    /// # Errors
    /// What was answered instead.
    pub(crate) async fn try_balance(&self) -> Result<i128, String> {
        let path = format!("/developers/{}/balance", self.developer);
        let answer = self.send(Method::GET, &path, None).await?;
        if answer.status != StatusCode::OK {
            return Err(format!("{answer:?}"));
        }
        let body: Value = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
        let wallets = body["wallets"].as_array().ok_or("no wallets")?;
        let wallet = wallets.iter().find(|wallet| wallet["balance"]["currencyCode"] == "EUR");
        Ok(money_nanos(&wallet.ok_or("no wallet in EUR")?["balance"]))
    }

    /// Waits until the balance is exactly `want`.
    pub(crate) async fn balance_becomes(&self, want: i128) {
        super::eventually("the balance becomes what it must", || async {
            let seen = self.try_balance().await?;
            if seen == want { Ok(()) } else { Err(format!("{seen} nanos, not {want}")) }
        })
        .await;
    }

    /// Pays `units` whole euros in under `id`.
    pub(crate) async fn credit(&self, units: i64, id: &str) -> Result<Answer, String> {
        let body = json!({
            "transactionAmount": {"currencyCode": "EUR", "units": units.to_string()},
            "transactionId": id,
        });
        let path = format!("/developers/{}/balance:credit", self.developer);
        self.send(Method::POST, &path, Some(&body.to_string())).await
    }
}
