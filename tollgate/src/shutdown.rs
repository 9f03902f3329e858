//! Turns signals into an orderly end.
//!
//! The first SIGINT or SIGTERM begins the end: open calls drain, what was counted is reported and flushed. The second one ends
//! the process at once, because whoever sends it has waited long enough; the spend files keep what was not reported.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What the process answers to a signal it obeyed at once, as shells write it: 128 + SIGINT.
const EXIT_AT_ONCE: i32 = 130;

/// Listens for signals from now on; the token is cancelled at the first.
///
/// # Errors
/// What the system says where signals cannot be listened for.
pub(crate) fn on_signal() -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stopping = CancellationToken::new();
    let begun = stopping.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        tracing::info!(
            signal = name,
            "stopping: open calls end, then the last spend is reported; once more ends at once"
        );
        begun.cancel();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::warn!("ended by a second signal");
        std::process::exit(EXIT_AT_ONCE);
    });
    Ok(stopping)
}
