//! Who consumer keys belong to, in memory.
//!
//! Looked up by the key's SHA-256, whose bits need no further hash. An answer holds time windows instead of verdicts, so it
//! stays right while plans begin and subscriptions end; it leaves the cache when balance-sync says that something of it
//! changed, when a stream that could have said so was broken, and when it is older than the catalogue staleness limit.
//! That there is no such key is remembered for a second, in a map of its own, so that guessed keys push out no known ones.
//! Invariants: an answer that was asked for before an invalidation is not kept after it.
//! Bounds: `callers_max` known and [`UNKNOWN_MAX`] unknown keys. Not here: asking (`sync_client`), deciding (`metered`).

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tollgate_metering::{DeveloperId, ProductId};

pub(crate) use self::caller::Caller;
pub(crate) use self::credit::Credit;
pub(crate) use self::product::{PlanOffer, ProductAccess};

mod caller;
mod credit;
mod product;
mod resource;

/// Keys remembered as unknown.
const UNKNOWN_MAX: usize = 10_000;
/// How long a key stays unknown.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
/// How long a caller may be unused before a full cache drops it.
const UNUSED_S: u32 = 60;

/// SHA-256 of a consumer key.
pub(crate) type KeyHash = [u8; 32];

/// The callers.
#[derive(Debug)]
pub(crate) struct CallerCache {
    known: DashMap<KeyHash, Arc<Known>, BuildHasherDefault<KeyHasher>>,
    /// Until when, in monotonic time.
    unknown: DashMap<KeyHash, Duration, BuildHasherDefault<KeyHasher>>,
    known_max: usize,
    staleness_limit: Duration,
    /// Invalidations so far.
    forgotten: AtomicU64,
}

/// A caller and when it was asked for.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) caller: Caller,
    asked_at: Duration,
    used_s: AtomicU32,
}

/// What the cache says of a key.
#[derive(Debug)]
pub(crate) enum Look {
    /// Somebody's.
    Known(Arc<Known>),
    /// Nobody's.
    Unknown,
    /// Ask balance-sync.
    Missing,
}

/// The catalogue as it was when a question was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    at: Duration,
    forgotten: u64,
}

/// What changed in the catalogue.
#[derive(Debug, Default)]
pub(crate) struct Forgotten {
    pub(crate) keys: Vec<KeyHash>,
    pub(crate) developers: Vec<DeveloperId>,
    pub(crate) products: Vec<ProductId>,
    pub(crate) is_everything: bool,
}

/// Takes the first bytes of a hash as they are.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

// === impl CallerCache ===

impl CallerCache {
    pub(crate) fn new(known_max: usize, staleness_limit: Duration) -> Self {
        let (known, unknown, forgotten) = Default::default();
        Self { known, unknown, known_max, staleness_limit, forgotten }
    }

    /// Looks a key up.
    pub(crate) fn look(&self, key: &KeyHash, now: Duration) -> Look {
        if let Some(known) = self.known.get(key) {
            if now.saturating_sub(known.asked_at) > self.staleness_limit {
                return Look::Missing;
            }
            known.touch(now);
            return Look::Known(Arc::clone(&known));
        }
        match self.unknown.get(key) {
            Some(until) if *until > now => Look::Unknown,
            _ => Look::Missing,
        }
    }

    /// Call before asking balance-sync for a key.
    pub(crate) fn ask(&self, now: Duration) -> Asked {
        Asked { at: now, forgotten: self.forgotten.load(Ordering::SeqCst) }
    }

    /// Takes the answer; `None`: nobody's key. `false` where something changed meanwhile: ask again.
    pub(crate) fn answer(&self, key: KeyHash, asked: Asked, caller: Option<Caller>) -> bool {
        let Some(caller) = caller else {
            self.known.remove(&key);
            if self.unknown.len() >= UNKNOWN_MAX {
                self.unknown.clear();
            }
            self.unknown.insert(key, asked.at + UNKNOWN_FOR);
            return true;
        };
        self.make_room(asked.at);
        let known = Known { caller, asked_at: asked.at, used_s: AtomicU32::new(0) };
        known.touch(asked.at);
        self.unknown.remove(&key);
        self.known.insert(key, Arc::new(known));
        // Looked at after the answer is in: an invalidation that came before has not seen it, one that comes now does.
        let is_current = self.forgotten.load(Ordering::SeqCst) == asked.forgotten;
        if !is_current {
            self.known.remove(&key);
        }
        is_current
    }

    /// Forgets what changed.
    pub(crate) fn forget(&self, what: &Forgotten) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        // A key that was nobody's may be somebody's now; asking again is cheap.
        self.unknown.clear();
        if what.is_everything {
            return self.known.clear();
        }
        for key in &what.keys {
            self.known.remove(key);
        }
        if !what.developers.is_empty() || !what.products.is_empty() {
            self.known.retain(|_, known| !known.caller.is_of(&what.developers, &what.products));
        }
    }

    /// Keys whose callers are known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Drops who was not heard of lately, or else everybody, where the cache is full.
    fn make_room(&self, now: Duration) {
        if self.known.len() < self.known_max {
            return;
        }
        let now_s = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        self.known.retain(|_, known| {
            now_s.saturating_sub(known.used_s.load(Ordering::Relaxed)) < UNUSED_S
        });
        if self.known.len() >= self.known_max {
            self.known.clear();
        }
    }
}

// === impl Known ===

impl Known {
    fn touch(&self, now: Duration) {
        let now_s = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        if self.used_s.load(Ordering::Relaxed) != now_s {
            self.used_s.store(now_s, Ordering::Relaxed);
        }
    }
}

// === impl KeyHasher ===

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {
        // Every hash has one length.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
