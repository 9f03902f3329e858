//! What the tests share: processes, calls, money, and waiting with a deadline.

pub(crate) mod api;
pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod load;
pub(crate) mod parts;
pub(crate) mod process;
pub(crate) mod upstream;

use std::future::Future;
use std::time::{Duration, Instant};

/// How long something that must come may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Between two looks at something that changes.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Looks again and again until `look` answers, and fails with what it saw last.
pub(crate) async fn eventually<T, F: Future<Output = Result<T, String>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let until = now() + DEADLINE;
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) => {
                assert!(now() < until, "{what}: not within {DEADLINE:?}; last seen: {seen}")
            }
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "deadlines of tests against real processes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
