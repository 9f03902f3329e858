//! The management API as a provider's portal uses it: makes what a run needs, and pays in.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::nanos::Nanos;
use crate::scenario::{Overspend, WalletsSection};

/// How long an answer is waited for.
const ANSWER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Somebody who may manage.
#[derive(Debug, Clone)]
pub struct Portal {
    /// `http://host:port`.
    pub url: String,
    /// The bearer token.
    pub token: String,
    /// The organization of a run.
    pub organization: String,
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Developer {
    /// E-mail address.
    pub email: String,
    /// Consumer key.
    pub key: String,
}

/// Why the management API did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// Nothing answered.
    #[error("{method} {url} was not answered: {how}")]
    Away {
        /// What was asked.
        method: Method,
        /// Where.
        url: String,
        /// What happened instead.
        how: String,
    },
    /// It refused.
    #[error("{method} {url} answers {status}: {body}")]
    Refused {
        /// What was asked.
        method: Method,
        /// Where.
        url: String,
        /// The status.
        status: StatusCode,
        /// What it says.
        body: String,
    },
}

// === impl Portal ===

impl Portal {
    /// Makes an organization with one product at a fixed price, and developers who subscribed to it and have paid in.
    ///
    /// # Errors
    /// [`PortalError`]; what was made until then stays.
    pub async fn make(
        &self,
        wallets: &WalletsSection,
        overspend: Overspend,
        proxy: &str,
    ) -> Result<Vec<Developer>, PortalError> {
        let organization = json!({"name": self.organization, "displayName": self.organization});
        self.send(Method::POST, "/v1/organizations", &organization).await?;
        let product = json!({
            "name": "calls", "displayName": "Calls", "approvalType": "auto", "proxies": [proxy],
        });
        self.post("/apiproducts", &product).await?;
        let (units, nanos) = wallets.price.units_and_nanos();
        let plan = json!({
            "apiproduct": "calls", "displayName": "A fixed price a call", "billingPeriod": "MONTHLY",
            "currencyCode": wallets.currency, "consumptionPricingType": "FIXED_PER_UNIT",
            "consumptionPricingRates": [{"fee": {"units": units.to_string(), "nanos": nanos}}],
            "state": "PUBLISHED", "startTime": "1",
        });
        self.post("/apiproducts/calls/rateplans", &plan).await?;
        let mut developers = Vec::with_capacity(wallets.developers);
        for number in 1..=wallets.developers {
            developers.push(self.developer(wallets, overspend, number).await?);
        }
        Ok(developers)
    }

    async fn developer(
        &self,
        wallets: &WalletsSection,
        overspend: Overspend,
        number: usize,
    ) -> Result<Developer, PortalError> {
        let email = format!("developer-{number}@example.com");
        let user = format!("developer-{number}");
        let developer =
            json!({"email": email, "firstName": "Load", "lastName": "Test", "userName": user});
        self.post("/developers", &developer).await?;
        let of = format!("/developers/{email}");
        let path = format!("{}{of}/monetizationConfig", self.base());
        self.send(Method::PUT, &path, &json!({"billingType": "PREPAID"})).await?;
        let app = json!({"name": "app", "apiProducts": ["calls"]});
        let app = self.post(&format!("{of}/apps"), &app).await?;
        let key = app["credentials"][0]["consumerKey"].as_str().unwrap_or_default().to_owned();
        self.open_wallet(&email, &wallets.currency, overspend).await?;
        self.credit(&email, &wallets.currency, wallets.credit, "first").await?;
        self.post(&format!("{of}/subscriptions"), &json!({"apiproduct": "calls"})).await?;
        Ok(Developer { email, key })
    }

    /// Opens a wallet under its policy, before there is money in it: one that changes its policy waits for every gateway.
    /// Wallets are optimistic where nobody says otherwise.
    async fn open_wallet(
        &self,
        email: &str,
        currency: &str,
        overspend: Overspend,
    ) -> Result<(), PortalError> {
        if overspend == Overspend::Optimistic {
            return Ok(());
        }
        let path = format!("{}/developers/{email}/wallets/{currency}", self.base());
        let policy = json!({"overspend": overspend.as_str()});
        self.send(Method::PATCH, &path, &policy).await.map(|_| ())
    }

    /// Pays `amount` in. The same `id` pays once, so asking again is safe.
    ///
    /// # Errors
    /// [`PortalError`].
    pub async fn credit(
        &self,
        email: &str,
        currency: &str,
        amount: Nanos,
        id: &str,
    ) -> Result<(), PortalError> {
        let (units, nanos) = amount.units_and_nanos();
        let body = json!({
            "transactionAmount": {
                "currencyCode": currency, "units": units.to_string(), "nanos": nanos,
            },
            "transactionId": id,
        });
        self.post(&format!("/developers/{email}/balance:credit"), &body).await.map(|_| ())
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, PortalError> {
        self.send(Method::POST, &format!("{}{path}", self.base()), body).await
    }

    fn base(&self) -> String {
        format!("/v1/organizations/{}", self.organization)
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, PortalError> {
        let url = format!("{}{path}", self.url);
        let away =
            |how: String| PortalError::Away { method: method.clone(), url: url.clone(), how };
        let asking = self.ask(method.clone(), path, body.to_string());
        let (status, body) = tokio::time::timeout(ANSWER_TIMEOUT, asking)
            .await
            .map_err(|_| away(format!("nothing within {ANSWER_TIMEOUT:?}")))?
            .map_err(|error| away(error.to_string()))?;
        if !status.is_success() {
            return Err(PortalError::Refused { method, url, status, body });
        }
        Ok(serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
        let authority = self.url.strip_prefix("http://").unwrap_or(&self.url);
        let stream = TcpStream::connect(authority).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the sender.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, authority)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?;
        Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    }
}
