//! Whether an event really comes from Stripe.
//!
//! `Stripe-Signature: t=UNIX,v1=HEX[,v1=HEX…]`, where `v1` is HMAC-SHA-256 over `"{t}."` and the
//! raw body under the endpoint's whole secret (Stripe's page on webhook signatures). Any `v1` of
//! any secret that is configured is enough, so that secrets can be rolled; other schemes are
//! ignored. Stripe's own libraries refuse only old timestamps; here one from the future is refused
//! as well, since a recorded event could be kept for later otherwise.

use std::time::Duration;

use ring::hmac;
use tollgate_metering::UnixMillis;

/// How far a timestamp may be from now, either way.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// Signatures that one header may carry; more are not looked at.
const SIGNATURES_MAX: usize = 16;

/// Why an event is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not of the form above.
    #[error("Stripe-Signature is missing or malformed")]
    Malformed,
    /// No signature fits any secret.
    #[error("no signature of the event fits a webhook secret")]
    Mismatch,
    /// Signed too long ago, or in the future.
    #[error("event was signed more than {} s from now", TOLERANCE.as_secs())]
    Stale,
}

/// Checks the header over the raw body against any of the secrets at `now`.
///
/// # Errors
/// [`SignatureError`].
pub fn verify(
    header: &str,
    body: &[u8],
    secrets: &[impl AsRef<str>],
    now: UnixMillis,
) -> Result<(), SignatureError> {
    let field = |name: &str| {
        let name = name.to_owned();
        header.split(',').filter_map(move |part| part.trim().strip_prefix(&name)?.strip_prefix('='))
    };
    let signed_at = field("t").next().ok_or(SignatureError::Malformed)?;
    let at: i64 = signed_at.parse().map_err(|_| SignatureError::Malformed)?;
    let signatures: Vec<Vec<u8>> = field("v1").take(SIGNATURES_MAX).filter_map(unhex).collect();
    if signatures.is_empty() {
        return Err(SignatureError::Malformed);
    }
    let mut signed = format!("{signed_at}.").into_bytes();
    signed.extend_from_slice(body);
    let fits = |secret: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        // In constant time, which is ring's.
        signatures.iter().any(|signature| hmac::verify(&key, &signed, signature).is_ok())
    };
    if !secrets.iter().any(|secret| fits(secret.as_ref())) {
        return Err(SignatureError::Mismatch);
    }
    let now_s = now.0.div_euclid(1_000);
    if now_s.abs_diff(at) > TOLERANCE.as_secs() {
        return Err(SignatureError::Stale);
    }
    Ok(())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use tollgate_metering::UnixMillis;

    use super::{SignatureError, verify};

    const BODY: &[u8] = br#"{"id":"evt_1","object":"event","type":"payment_intent.succeeded"}"#;
    const V1: &str = "b5d16909735dfcdc338e1f1e170cbb5d2ea57494fe5f638399aebcce132ec538";
    const AT: i64 = 1_700_000_000;

    #[test]
    fn any_signature_of_any_secret_is_enough_in_time() {
        let check = |header: &str,
                     secrets: &[&str],
                     late_s: i64,
                     want: Result<(), SignatureError>| {
            let now = UnixMillis((AT + late_s) * 1_000);
            assert_eq!(verify(header, BODY, secrets, now), want, "{header} {secrets:?} {late_s}");
        };
        let good = format!("t={AT},v1={V1}");
        check(&good, &["whsec_test"], 0, Ok(()));
        check(&good, &["whsec_new", "whsec_test"], 300, Ok(()));
        check(&good, &["whsec_test"], -300, Ok(()));
        check(&good, &["whsec_test"], 301, Err(SignatureError::Stale));
        check(&good, &["whsec_test"], -301, Err(SignatureError::Stale));
        check(&good, &["whsec_other"], 0, Err(SignatureError::Mismatch));
        check(&good, &[], 0, Err(SignatureError::Mismatch));
        check(&format!("t={AT},v1=00,v1={V1},v0=ab"), &["whsec_test"], 0, Ok(()));
        check(&format!("t={},v1={V1}", AT + 1), &["whsec_test"], 0, Err(SignatureError::Mismatch));
        check(&format!("t={AT},v0={V1}"), &["whsec_test"], 0, Err(SignatureError::Malformed));
        check("", &["whsec_test"], 0, Err(SignatureError::Malformed));
    }
}
