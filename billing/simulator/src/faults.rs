//! What goes wrong on purpose: which requests, how often, and how.

use serde::{Deserialize, Serialize};

/// How a request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 429 with `Stripe-Rate-Limited-Reason`; nothing happens and no idempotency key keeps it.
    RateLimited,
    /// 429 with code `lock_timeout`, as when another request holds the object; nothing happens.
    LockTimeout,
    /// 500; nothing happens, and an idempotency key keeps the 500.
    ErrorBefore,
    /// 500 after the work was done; an idempotency key keeps the 500.
    ErrorAfter,
    /// No answer, nothing happens; the connection is cut at last.
    HangBefore,
    /// The work is done, no answer comes; the connection is cut at last.
    HangAfter,
    /// The connection is cut, nothing happens.
    CutBefore,
    /// The work is done and the connection cut: the answer is lost.
    CutAfter,
    /// The work is done late, `slow_ms` of real time after the request came.
    Slow,
}

/// A rule that makes requests go wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// How.
    pub kind: FaultKind,
    /// Only requests of this method; all where empty.
    pub method: String,
    /// Only these paths, `*` stands for anything: `/v1/payment_intents*`.
    pub path: String,
    /// How often it strikes at most; `None` goes on for ever.
    pub times: Option<u32>,
    /// How many of a thousand requests it strikes.
    pub permille: u16,
    /// What `slow` waits, in milliseconds.
    pub slow_ms: u64,
    /// What `Stripe-Rate-Limited-Reason` says.
    pub reason: String,
    /// What `Stripe-Should-Retry` says on a 429 or 500; the header is absent where this is.
    pub should_retry: Option<bool>,
}

/// The rules in force, in the order they were given; the first that strikes counts.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

// === impl Fault ===

impl Fault {
    /// Strikes the next request whose path fits.
    #[must_use]
    pub fn once(kind: FaultKind, method: &str, path: &str) -> Fault {
        Fault {
            kind,
            method: method.to_owned(),
            path: path.to_owned(),
            times: Some(1),
            ..Fault::default()
        }
    }

    /// Strikes some of a thousand POSTs, for ever.
    #[must_use]
    pub fn often(kind: FaultKind, permille: u16) -> Fault {
        Fault { kind, method: "POST".to_owned(), permille, ..Fault::default() }
    }
}

impl Default for Fault {
    fn default() -> Fault {
        Fault {
            kind: FaultKind::ErrorBefore,
            method: String::new(),
            path: "*".to_owned(),
            times: None,
            permille: 1000,
            slow_ms: 0,
            reason: "global-rate".to_owned(),
            should_retry: None,
        }
    }
}

// === impl Faults ===

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The rule that strikes this request, counted as having struck.
    pub(crate) fn strike(
        &mut self,
        method: &str,
        path: &str,
        rng: &mut fastrand::Rng,
    ) -> Option<Fault> {
        let fits = |fault: &Fault| {
            (fault.method.is_empty() || fault.method.eq_ignore_ascii_case(method))
                && is_like(path, &fault.path)
                && fault.times != Some(0)
        };
        let struck =
            self.0.iter_mut().find(|fault| fits(fault) && rng.u16(..1000) < fault.permille)?;
        struck.times = struck.times.map(|left| left.saturating_sub(1));
        Some(struck.clone())
    }
}

/// Whether a text fits a pattern in which `*` stands for anything.
pub(crate) fn is_like(text: &str, pattern: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return text == pattern };
    let Some(rest) = text.strip_prefix(head) else { return false };
    (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| is_like(&rest[at..], tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        let check =
            |text, pattern, fits| assert_eq!(is_like(text, pattern), fits, "{text} {pattern}");
        check("/v1/customers", "*", true);
        check("/v1/customers", "/v1/customers", true);
        check("/v1/customers/x", "/v1/customers", false);
        check("/v1/payment_intents/pi_1/confirm", "*/confirm", true);
        check("/v1/payment_intents/pi_1/confirm", "/v1/*/confirm", true);
        check("/v1/payment_intents/pi_1", "/v1/*/confirm", false);
    }

    #[test]
    fn a_rule_strikes_as_often_as_it_says() {
        let mut faults = Faults::default();
        faults.add(Fault::once(FaultKind::CutAfter, "POST", "/v1/refunds"));
        let mut rng = fastrand::Rng::with_seed(1);
        assert!(faults.strike("GET", "/v1/refunds", &mut rng).is_none());
        assert!(faults.strike("POST", "/v1/refunds", &mut rng).is_some());
        assert!(faults.strike("POST", "/v1/refunds", &mut rng).is_none());
    }
}
