//! Conditional writes that met others on the same partition.
//!
//! Paxos lets one writer through at a time; with many, a coordinator gives up after a while and
//! cannot say what became of its proposal. A linearizable read settles that, and what it finds
//! mostly tells whose write it was: then the caller gets an answer and not a question. What it
//! does not tell stays unknown.

use std::future::Future;
use std::time::Duration;

use uuid::Uuid;

use super::outcome;
use crate::error::LedgerError;

/// How often a write is tried that was certainly not applied.
const ATTEMPTS: u32 = 6;

/// The longest wait before the second attempt; it doubles with each.
const WAIT_LONGEST_MS: u64 = 32;

/// What a linearizable read says about a write of which only one can have been applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It is there.
    Applied,
    /// Something else is in its place: it is not there and never will be.
    Refused,
    /// Its place is free.
    Open,
    /// It cannot be told.
    Unclear,
}

/// A conditional write and how it is looked for.
pub(super) trait Attempt: Sync {
    /// Writes; says whether it applied.
    fn write(&self) -> impl Future<Output = Result<bool, LedgerError>> + Send;

    /// Looks for it with a linearizable read.
    fn look(&self) -> impl Future<Output = Result<Settled, LedgerError>> + Send;
}

/// Runs a conditional write, and settles an unknown outcome where that is possible.
pub(super) async fn write_settled(attempted: &impl Attempt) -> Result<bool, LedgerError> {
    let mut attempt = 1;
    loop {
        let error = match attempted.write().await {
            Err(error @ LedgerError::Unknown { .. }) => error,
            answer => return answer,
        };
        match attempted.look().await {
            Ok(Settled::Applied) => return Ok(true),
            Ok(Settled::Refused) => return Ok(false),
            // A request that a coordinator may still have in its queue could apply yet.
            Ok(Settled::Open) if outcome::is_given_up(&error) && attempt < ATTEMPTS => {}
            Ok(Settled::Open | Settled::Unclear) | Err(_) => return Err(error),
        }
        tokio::time::sleep(wait(attempt)).await;
        attempt += 1;
    }
}

/// A random wait, so that those who met once do not meet again.
pub(super) fn wait(attempt: u32) -> Duration {
    let random = u64::from(Uuid::new_v4().as_bytes()[0]);
    Duration::from_millis((WAIT_LONGEST_MS << attempt.min(ATTEMPTS)) * random / 256)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use scylla::errors::{DbError, ExecutionError, RequestAttemptError, WriteType};
    use scylla::statement::Consistency;

    use super::*;

    fn given_up() -> LedgerError {
        let error = DbError::WriteTimeout {
            consistency: Consistency::LocalSerial,
            received: 0,
            required: 2,
            write_type: WriteType::Cas,
        };
        let attempt = RequestAttemptError::DbError(error, String::new());
        outcome::of_conditional("a test", ExecutionError::LastAttemptError(attempt))
    }

    fn not_answered() -> LedgerError {
        let timeout = ExecutionError::RequestTimeout(Duration::from_secs(1));
        outcome::of_conditional("a test", timeout)
    }

    struct Fails {
        error: fn() -> LedgerError,
        found: Settled,
        writes: AtomicU32,
    }

    impl Attempt for Fails {
        async fn write(&self) -> Result<bool, LedgerError> {
            self.writes.fetch_add(1, Ordering::Relaxed);
            Err((self.error)())
        }

        async fn look(&self) -> Result<Settled, LedgerError> {
            Ok(self.found)
        }
    }

    /// The error of each write, what is found, the answer, and how many writes it took.
    type Row = (fn() -> LedgerError, Settled, Option<bool>, u32);

    async fn check(rows: &[Row]) {
        for (error, found, answer, writes) in rows {
            let fails = Fails { error: *error, found: *found, writes: AtomicU32::new(0) };
            assert_eq!(write_settled(&fails).await.ok(), *answer, "{found:?}");
            assert_eq!(fails.writes.into_inner(), *writes, "{found:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_repeated_only_where_it_can_no_longer_apply() {
        check(&[
            (given_up, Settled::Applied, Some(true), 1),
            (given_up, Settled::Refused, Some(false), 1),
            (given_up, Settled::Open, None, ATTEMPTS),
            (given_up, Settled::Unclear, None, 1),
            (not_answered, Settled::Applied, Some(true), 1),
            (not_answered, Settled::Refused, Some(false), 1),
            (not_answered, Settled::Open, None, 1),
        ])
        .await;
    }
}
