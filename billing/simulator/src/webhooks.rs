//! Delivers events to webhook endpoints: signatures, retries, and disorder on purpose.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::events::{DeliverySummary, Outgoing};
use crate::keys::Mode;
use crate::server::Shared;

/// Waits between attempts in seconds: three retries over some hours in test mode, three days in live mode.
const RETRIES_TEST_S: &[i64] = &[3_600, 2 * 3_600, 4 * 3_600];
const RETRIES_LIVE_S: &[i64] =
    &[300, 1_800, 3_600, 3 * 3_600, 6 * 3_600, 12 * 3_600, 24 * 3_600, 24 * 3_600];
/// How long an endpoint may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Most deliveries under way at once.
const CONCURRENT_MAX: usize = 64;
/// How often the clock is asked for what is due.
const TICK: Duration = Duration::from_millis(20);

/// Disorder of webhooks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookFaults {
    /// How many of a thousand deliveries are made twice.
    pub duplicate_permille: u16,
    /// How many of a thousand attempts get lost on the way, and count as failed.
    pub lose_permille: u16,
    /// Each delivery waits up to this long, in milliseconds of the simulator's clock: late, and in another order.
    pub delay_max_ms: u64,
    /// Whether deliveries that are sent on demand go in a random order.
    pub is_shuffled: bool,
    /// Whether nothing is sent until it is demanded.
    pub is_held: bool,
}

/// A delivery that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) account: String,
    pub(crate) mode: Mode,
    pub(crate) outgoing: Outgoing,
    /// Attempts made so far.
    pub(crate) attempts: usize,
    pub(crate) due_ms: i64,
}

/// What is sent: where to, and the signed bytes.
pub(crate) struct Letter {
    pub(crate) url: String,
    pub(crate) signature: String,
    pub(crate) body: Bytes,
}

// === impl Delivery ===

impl Delivery {
    /// When the next attempt is, after this one failed; `None` when it was the last.
    pub(crate) fn retry(&self, now_ms: i64) -> Option<Delivery> {
        let waits_s = match self.mode {
            Mode::Test => RETRIES_TEST_S,
            Mode::Live => RETRIES_LIVE_S,
        };
        let wait_s = waits_s.get(self.attempts)?;
        let due_ms = now_ms.saturating_add(wait_s.saturating_mul(1000));
        Some(Delivery { attempts: self.attempts + 1, due_ms, ..self.clone() })
    }
}

/// The value of `Stripe-Signature`: the time, and a signature for each secret.
#[must_use]
pub fn sign(secrets: &[String], at_s: i64, body: &[u8]) -> String {
    let mut signature = format!("t={at_s}");
    for secret in secrets {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let mut context = hmac::Context::with_key(&key);
        context.update(format!("{at_s}.").as_bytes());
        context.update(body);
        signature.push_str(",v1=");
        for byte in context.sign().as_ref() {
            signature.push_str(&format!("{byte:02x}"));
        }
    }
    signature
}

/// Does what the clock says is due, for ever: work of the agenda, and deliveries.
pub(crate) async fn run(shared: Arc<Shared>) {
    let permits = Arc::new(tokio::sync::Semaphore::new(CONCURRENT_MAX));
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let due = {
            let mut world = shared.world.lock();
            world.tick();
            world.take_deliveries(false)
        };
        for delivery in due {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                deliver(&shared, delivery).await;
                drop(permit);
            });
        }
    }
}

/// Makes every delivery that waits, due or not, one after the other.
pub(crate) async fn drain(shared: &Shared) -> DeliverySummary {
    let due = shared.world.lock().take_deliveries(true);
    let mut summary = DeliverySummary::default();
    for delivery in due {
        if deliver(shared, delivery).await {
            summary.delivered += 1;
        } else {
            summary.failed += 1;
        }
    }
    summary
}

/// Makes one attempt and notes what became of it.
async fn deliver(shared: &Shared, delivery: Delivery) -> bool {
    let (letter, is_lost) = {
        let mut world = shared.world.lock();
        (world.letter(&delivery), world.loses_delivery())
    };
    // The endpoint was deleted or disabled meanwhile.
    let Some(letter) = letter else { return false };
    let is_taken = !is_lost
        && matches!(tokio::time::timeout(ANSWER_MAX, post(letter)).await, Ok(Ok(status)) if status.is_success());
    shared.world.lock().note_delivery(&delivery, is_taken);
    is_taken
}

async fn post(
    letter: Letter,
) -> Result<http::StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let uri: http::Uri = letter.url.parse()?;
    let host = uri.host().ok_or("a URL without a host")?;
    let stream = tokio::net::TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = http::Request::post(path)
        .header(http::header::HOST, uri.authority().map_or(host, |authority| authority.as_str()))
        .header(http::header::CONTENT_TYPE, "application/json; charset=utf-8")
        .header("stripe-signature", letter.signature)
        .body(Full::new(letter.body))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    connection.abort();
    Ok(status)
}

/// Checks what a webhook endpoint's URL must be here.
pub(crate) fn check_url(url: &str) -> Result<(), String> {
    let uri: http::Uri = url.parse().map_err(|_| format!("Not a valid URL: {url}"))?;
    match uri.scheme_str() {
        Some("http") if uri.host().is_some() => Ok(()),
        Some(_) | None => {
            Err(format!("Not a valid URL: {url} (the simulator delivers to http:// only)"))
        }
    }
}

/// The secrets of an endpoint, the newest first.
pub(crate) fn secrets_of(endpoint: &serde_json::Value) -> Vec<String> {
    let all = endpoint["_secrets"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().rev().filter_map(|secret| secret.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_of_the_known_vector() {
        let body = br#"{"id":"evt_1","object":"event","type":"payment_intent.succeeded"}"#;
        assert_eq!(
            sign(&["whsec_test".to_owned()], 1_700_000_000, body),
            "t=1700000000,v1=b5d16909735dfcdc338e1f1e170cbb5d2ea57494fe5f638399aebcce132ec538"
        );
    }
}
