//! The gateway's own incarnations: the one that counts now, and those that still have open calls.
//!
//! A call begins and ends on one incarnation. When an incarnation is rotated away it takes no new call, and it has ended once
//! its open calls have. Open calls are counted per thread, because a counter shared by all cores would cost every call a
//! contended cache line.
//! Invariants: after [`Lives::switch`] and an observed [`OwnLife::open_calls`] of zero no call begins on the earlier one.
//! Bounds: [`LIVES_MAX`] incarnations a process. Not here: registering, reporting and ending them (`sync_client`).

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use tollgate_metering::wallet::Life;

use crate::spend_file::SpendFile;

/// Incarnations of one process: a rotation a day for eleven years.
pub(crate) const LIVES_MAX: usize = 4_096;
/// Counters of open calls; threads share them beyond this.
const SHARDS: usize = 16;
/// No incarnation takes calls.
const NONE: u32 = u32::MAX;

const _: () = assert!(LIVES_MAX < NONE as usize);

/// All incarnations of this process, by their place.
#[derive(Debug)]
pub(crate) struct Lives {
    lives: Box<[OnceLock<OwnLife>]>,
    current: AtomicU32,
}

/// One incarnation.
#[derive(Debug)]
pub(crate) struct OwnLife {
    pub(crate) life: Life,
    pub(crate) file: Arc<SpendFile>,
    open: [Shard; SHARDS],
}

/// A counter on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard(AtomicI64);

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The counter of this thread.
fn shard() -> usize {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    SHARD.with(|shard| {
        if shard.get() == usize::MAX {
            shard.set(NEXT.fetch_add(1, Ordering::Relaxed) as usize % SHARDS);
        }
        shard.get()
    })
}

// === impl Lives ===

impl Default for Lives {
    fn default() -> Self {
        let lives = (0..LIVES_MAX).map(|_| OnceLock::new()).collect();
        Self { lives, current: AtomicU32::new(NONE) }
    }
}

impl Lives {
    /// Adds an incarnation that takes no calls yet; `None` where the process has had too many.
    pub(crate) fn add(&self, file: Arc<SpendFile>) -> Option<&OwnLife> {
        let place = self.lives.iter().position(|place| place.get().is_none())?;
        let life = Life(u32::try_from(place).expect("places are below LIVES_MAX"));
        Some(self.lives[place].get_or_init(|| OwnLife { life, file, open: Default::default() }))
    }

    /// Lets calls begin on this incarnation from now on; on none, where the gateway drains.
    pub(crate) fn switch(&self, to: Option<Life>) {
        self.current.store(to.map_or(NONE, |life| life.0), Ordering::SeqCst);
    }

    /// The incarnation that takes calls.
    pub(crate) fn current(&self) -> Option<&OwnLife> {
        self.lives.get(self.current.load(Ordering::SeqCst) as usize)?.get()
    }

    /// An incarnation that was added.
    pub(crate) fn get(&self, life: Life) -> &OwnLife {
        self.lives[life.0 as usize].get().expect("a life is named after it was added")
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &OwnLife> {
        self.lives.iter().map_while(OnceLock::get)
    }

    /// Begins a call on the current incarnation; [`OwnLife::end_call`] ends it.
    pub(crate) fn begin_call(&self) -> Option<&OwnLife> {
        loop {
            let life = self.current()?;
            life.open[shard()].0.fetch_add(1, Ordering::SeqCst);
            // Counted before it is looked at again: who switches first and then sees zero has seen every call.
            if self.current.load(Ordering::SeqCst) == life.life.0 {
                return Some(life);
            }
            life.end_call();
        }
    }

    /// Calls open on all incarnations.
    pub(crate) fn open_calls(&self) -> i64 {
        self.all().map(OwnLife::open_calls).sum()
    }
}

// === impl OwnLife ===

impl OwnLife {
    /// Ends a call.
    pub(crate) fn end_call(&self) {
        self.open[shard()].0.fetch_sub(1, Ordering::SeqCst);
    }

    /// Calls that have not ended.
    pub(crate) fn open_calls(&self) -> i64 {
        self.open.iter().map(|shard| shard.0.load(Ordering::SeqCst)).sum()
    }
}

#[cfg(test)]
mod tests {
    use tollgate_metering::{Incarnation, UnixMillis};
    use uuid::Uuid;

    use super::*;
    use crate::spend_file::SpendFolder;

    #[test]
    fn calls_begin_on_the_current_incarnation_and_end_on_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let folder = SpendFolder::open(dir.path(), "gateway").unwrap();
        let lives = Lives::default();
        assert!(lives.begin_call().is_none());
        let add = |id| {
            let incarnation = Incarnation { born: UnixMillis(1), id: Uuid::from_u128(id) };
            lives.add(Arc::new(folder.create(incarnation, 1).unwrap())).unwrap().life
        };
        let (first, second) = (add(1), add(2));
        lives.switch(Some(first));
        let call = lives.begin_call().unwrap();
        lives.switch(Some(second));
        assert_eq!(lives.begin_call().unwrap().life, second);
        assert_eq!((lives.get(first).open_calls(), lives.open_calls()), (1, 2));
        call.end_call();
        assert_eq!(lives.get(first).open_calls(), 0);
        lives.switch(None);
        assert!(lives.begin_call().is_none());
    }
}
