//! How often something was asked of Stripe that makes an object there, and what the next try has
//! to do first.
//!
//! An idempotency key repeats what Stripe did for it, and does so for a day at least: also an
//! answer of status 500, behind which the object may or may not be there. So whoever goes on after
//! such an answer, or so late that the key may be gone, *looks* for the object first; where it is
//! not there, a key that was never sent makes it. Everything else goes on under the same key.
//! Not here: how each kind of object is found.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::text;
use tollgate_metering::UnixMillis;

use crate::stripe::StripeError;

/// How long a key is relied upon. Stripe may forget one after 24 hours.
pub const KEY_TRUSTED: Duration = Duration::from_secs(23 * 3_600);

/// A request that makes something, written down before it is sent for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Counts the keys, from 1.
    pub number: u32,
    /// When the first request under this key was about to be sent.
    #[serde(with = "text::millis")]
    pub begun_at: UnixMillis,
    /// Whether Stripe answered that it failed.
    pub is_failed: bool,
}

// === impl Attempt ===

impl Attempt {
    /// The first one.
    #[must_use]
    pub fn first(now: UnixMillis) -> Attempt {
        Attempt { number: 1, begun_at: now, is_failed: false }
    }

    /// The one after it, under a key of its own: once it is known that this one made nothing.
    #[must_use]
    pub fn next(self, now: UnixMillis) -> Attempt {
        Attempt { number: self.number.saturating_add(1), begun_at: now, is_failed: false }
    }

    /// The idempotency key: `tollgate/KIND/ID/STEP` is `base`.
    #[must_use]
    pub fn key(self, base: &str) -> String {
        format!("{base}/{}", self.number)
    }

    /// Whether to look at Stripe before the request is sent again.
    #[must_use]
    pub fn must_look(self, now: UnixMillis) -> bool {
        self.is_failed || now.since(self.begun_at) >= KEY_TRUSTED
    }
}

/// Whether Stripe keeps this answer under the key, and may repeat it.
#[must_use]
pub fn is_kept(error: &StripeError) -> bool {
    match error {
        StripeError::Failed(_) | StripeError::Reused(_) => true,
        StripeError::Unreachable(_)
        | StripeError::Lost(_)
        | StripeError::Busy(_)
        | StripeError::Unauthorized(_)
        | StripeError::Forbidden(_)
        | StripeError::Declined(_)
        | StripeError::Missing(_)
        | StripeError::Invalid(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tollgate_metering::UnixMillis;

    use super::Attempt;

    #[test]
    fn a_late_or_failed_attempt_looks_first_and_then_has_another_key() {
        let start = UnixMillis(0);
        let first = Attempt::first(start);
        assert!(!first.must_look(start.plus(Duration::from_secs(22 * 3_600))));
        assert!(first.must_look(start.plus(Duration::from_secs(23 * 3_600))));
        assert!(Attempt { is_failed: true, ..first }.must_look(start));
        let next = first.next(start);
        assert!(!next.must_look(start));
        assert_ne!(first.key("tollgate/x/1/create"), next.key("tollgate/x/1/create"));
    }
}
