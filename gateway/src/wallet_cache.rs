//! The wallets that this gateway uses, in memory.
//!
//! The sole owner of the map; its methods return values, never guards. A wallet is locked for a few dozen instructions by each
//! call on it and by what arrives from balance-sync; nothing waits for anything while it holds that lock, but for a first call
//! on a new meter, which takes a slot of the spend file.
//! Invariants: a wallet has at most one slot per meter and incarnation, so a wallet with own units is not evicted while its
//! incarnation is on the list; a changed wallet is in the queue of changes once when it changes, and once when it must not wait.
//! Bounds: `wallets_max` wallets. Not here: the arithmetic (`metering::wallet`), when to subscribe and report (`sync_client`).

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::Mutex;
use tollgate_metering::wallet::Life;
use tollgate_metering::{UnixMillis, WalletId};

use crate::incarnation::Lives;
use crate::tariffs::Tariffs;

pub(crate) use self::entry::{
    Changed, Due, Feed, Lack, Merged, NoHold, SettledCall, WalletEntry, WalletHold,
};

mod entry;

/// The service's time was not heard yet.
const UNHEARD: i64 = i64::MIN;

/// What all wallets of a gateway share.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) lives: Lives,
    pub(crate) tariffs: Tariffs,
    pub(crate) staleness_limit: Duration,
    /// Set by a register past half its range.
    pub(crate) wants_rotation: AtomicBool,
    /// The service's time less the monotonic clock, in ms.
    service_offset_ms: AtomicI64,
    /// Wallets with something new to report, and those that must not wait with it.
    changed: Mutex<Vec<WalletId>>,
}

/// The wallets.
#[derive(Debug)]
pub(crate) struct WalletCache {
    pub(crate) books: Arc<Books>,
    wallets: DashMap<WalletId, Arc<WalletEntry>, BuildHasherDefault<WalletHasher>>,
    wallets_max: usize,
    /// Wallets with units in files of earlier processes that are not durable yet.
    blocked: Mutex<HashSet<WalletId>>,
}

/// Folds an id: its bits are random already.
#[derive(Debug, Default)]
pub(crate) struct WalletHasher(u64);

// === impl Books ===

impl Books {
    pub(crate) fn new(staleness_limit: Duration) -> Self {
        Self {
            lives: Lives::default(),
            tariffs: Tariffs::default(),
            staleness_limit,
            wants_rotation: AtomicBool::new(false),
            service_offset_ms: AtomicI64::new(UNHEARD),
            changed: Mutex::default(),
        }
    }

    /// Takes the service's time, heard at the monotonic time `now`.
    pub(crate) fn hear(&self, service_time: UnixMillis, now: Duration) {
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        self.service_offset_ms.store(service_time.0.saturating_sub(now_ms), Ordering::Relaxed);
    }

    /// The service's time at the monotonic time `now`; `None` until it was heard.
    pub(crate) fn service_time(&self, now: Duration) -> Option<UnixMillis> {
        let offset_ms = self.service_offset_ms.load(Ordering::Relaxed);
        (offset_ms != UNHEARD).then(|| UnixMillis(offset_ms).plus(now))
    }

    fn change(&self, wallet: WalletId) {
        self.changed.lock().push(wallet);
    }
}

// === impl WalletCache ===

impl WalletCache {
    pub(crate) fn new(books: Arc<Books>, wallets_max: usize) -> Self {
        Self { books, wallets: DashMap::default(), wallets_max, blocked: Mutex::default() }
    }

    /// A wallet that is in memory.
    pub(crate) fn get(&self, wallet: WalletId) -> Option<Arc<WalletEntry>> {
        self.wallets.get(&wallet).map(|entry| Arc::clone(&entry))
    }

    /// A wallet, made unknown where it is not in memory; `None` where the cache is full.
    pub(crate) fn get_or_make(&self, wallet: WalletId) -> Option<Arc<WalletEntry>> {
        if let Some(entry) = self.get(wallet) {
            return Some(entry);
        }
        if self.wallets.len() >= self.wallets_max {
            return None;
        }
        // The lock on the blocked ones is held until the wallet is in the map, so that none is missed when they change.
        let blocked = self.blocked.lock();
        let made = self.wallets.entry(wallet).or_insert_with(|| {
            let is_blocked = blocked.contains(&wallet);
            Arc::new(WalletEntry::new(wallet, Arc::clone(&self.books), is_blocked))
        });
        Some(Arc::clone(&made))
    }

    /// Wallets in memory.
    pub(crate) fn len(&self) -> usize {
        self.wallets.len()
    }

    /// Visits every wallet. The visit must not come back to this cache.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Arc<WalletEntry>)) {
        self.wallets.iter().for_each(|entry| visit(&entry));
    }

    /// Takes the wallets that came into the queue of changes since the last time.
    pub(crate) fn take_changed(&self) -> Vec<Arc<WalletEntry>> {
        let changed = std::mem::take(&mut *self.books.changed.lock());
        // A changed wallet is not evicted, so it is there.
        changed.into_iter().filter_map(|wallet| self.get(wallet)).collect()
    }

    /// Forgets wallets that nobody has used since `used_before_s`, or that do not exist, where they hold nothing.
    pub(crate) fn evict(&self, used_before_s: u32, is_own: &dyn Fn(Life) -> bool) {
        self.wallets.retain(|_, entry| !entry.try_evict(used_before_s, is_own));
    }

    /// Admits nothing on these wallets from now on, and lets those go that are not among them any more: they are returned.
    /// What was known of a wallet that goes is forgotten, since it lacks what became durable.
    pub(crate) fn block(&self, wallets: HashSet<WalletId>) -> Vec<WalletId> {
        let mut blocked = self.blocked.lock();
        for entry in blocked.union(&wallets).filter_map(|wallet| self.get(*wallet)) {
            entry.set_blocked(wallets.contains(&entry.id));
        }
        let freed = blocked.difference(&wallets).copied().collect();
        *blocked = wallets;
        freed
    }
}

// === impl WalletHasher ===

impl Hasher for WalletHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            // The multiplication spreads what a test's small numbers leave empty; the map takes the upper bits.
            self.0 = (self.0.rotate_left(5) ^ u64::from_le_bytes(word))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_usize(&mut self, _length: usize) {
        // Every id has one length.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
