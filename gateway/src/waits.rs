//! Calls that wait for the same answer.
//!
//! Whoever asks first fetches, the others wait; all look again when it is there. Dropping a wait leaves the fetch alone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Waits by what is waited for. Bounds: one entry per fetch under way.
#[derive(Debug)]
pub(crate) struct Waits<K>(Mutex<HashMap<K, Arc<Notify>>>);

// === impl Waits ===

impl<K> Default for Waits<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Waits<K> {
    /// Joins those who wait for `key`; `true` for the first, who must see to it that [`Waits::wake`] is called.
    pub(crate) fn join(&self, key: K) -> (Arc<Notify>, bool) {
        match self.0.lock().entry(key) {
            Entry::Occupied(entry) => (Arc::clone(entry.get()), false),
            Entry::Vacant(entry) => (Arc::clone(entry.insert(Arc::default())), true),
        }
    }

    /// Wakes all who wait for `key`.
    pub(crate) fn wake(&self, key: &K) {
        if let Some(notify) = self.0.lock().remove(key) {
            notify.notify_waiters();
        }
    }
}
