//! Which incarnations the ledger's registry holds: only their reports are taken.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_ledger_store::{Ledger, LedgerError};
use tollgate_metering::{Incarnation, UnixMillis};
use uuid::Uuid;

/// The registry is read for an unknown incarnation at most so often.
const RELOAD_INTERVAL: Duration = Duration::from_millis(500);

/// The registry as this node last saw it.
#[derive(Default)]
pub(crate) struct Incarnations(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    born: HashMap<Uuid, UnixMillis>,
    loaded_at: Option<Duration>,
}

// === impl Incarnations ===

impl Incarnations {
    /// Enters an incarnation; one that is there keeps its birth.
    pub(crate) async fn register(
        &self,
        ledger: &Arc<dyn Ledger>,
        id: Uuid,
        gateway: &str,
        now: UnixMillis,
    ) -> Result<Incarnation, LedgerError> {
        let incarnation = ledger.register_incarnation(id, gateway, now).await?;
        self.0.lock().born.insert(incarnation.id, incarnation.born);
        Ok(incarnation)
    }

    /// Whether the incarnation, with this birth, is in the registry.
    pub(crate) async fn has(
        &self,
        ledger: &Arc<dyn Ledger>,
        incarnation: Incarnation,
        now: Duration,
    ) -> Result<bool, LedgerError> {
        if let Some(answer) = self.seen(incarnation, now) {
            return Ok(answer);
        }
        let registrations = ledger.registrations().await?;
        let mut seen = self.0.lock();
        seen.born = registrations
            .into_iter()
            .map(|registration| (registration.incarnation.id, registration.incarnation.born))
            .collect();
        seen.loaded_at = Some(now);
        Ok(seen.born.get(&incarnation.id) == Some(&incarnation.born))
    }

    /// The ledger is another one.
    pub(crate) fn forget(&self) {
        *self.0.lock() = Seen::default();
    }

    fn seen(&self, incarnation: Incarnation, now: Duration) -> Option<bool> {
        let seen = self.0.lock();
        if let Some(born) = seen.born.get(&incarnation.id) {
            return Some(*born == incarnation.born);
        }
        let is_recent = |at: Duration| now.saturating_sub(at) < RELOAD_INTERVAL;
        seen.loaded_at.is_some_and(is_recent).then_some(false)
    }
}
