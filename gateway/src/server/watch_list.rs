//! Watches a worker's connections: who is too slow, who is idle too long, and who must be told that the gateway drains.
//!
//! A timer per call and connection would be armed and disarmed with every call. Instead each connection notes what it does in
//! a few words of memory, and the worker looks at all of them a few times a second.
//! Bounds: limits are kept to within one look (`Limits::look_every`). Not here: bodies that a client does not send
//! (`proxy::body`), upstreams that are slow.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Limits;

/// What one connection notes about itself. Written by its own thread alone; atomic because hyper wants its stream `Send`.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Changes whenever the phase does.
    serial: AtomicU32,
    calls: AtomicU32,
    is_in_head: AtomicBool,
    is_stalled: AtomicBool,
    writes: AtomicU32,
}

/// The limits that are kept here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    head: Duration,
    idle: Duration,
    stall: Duration,
}

/// One connection in the registry.
#[derive(Debug)]
pub(crate) struct Entry {
    watch: Arc<Watch>,
    waker: RefCell<Option<Waker>>,
    verdict: Cell<Verdict>,
    phase: Cell<(u32, Instant)>,
    stall: Cell<(u32, Instant)>,
}

/// What a connection must do, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Go,
    /// Finish the open calls, take no more.
    Finish,
    /// Close now.
    Cut,
}

/// A worker's connections.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    entries: RefCell<HashMap<u64, Rc<Entry>>>,
    next: Cell<u64>,
    is_draining: Cell<bool>,
}

/// A connection's place in the registry; dropping it leaves.
#[derive(Debug)]
pub(crate) struct Registered {
    registry: Rc<Registry>,
    id: u64,
    pub(crate) entry: Rc<Entry>,
}

/// Something that can be told to finish what it began and take no more.
pub(crate) trait Finish: Future {
    fn finish(self: Pin<&mut Self>) -> Finishing;
}

/// What became of being told to finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finishing {
    /// It ends once what is open has.
    Begun,
    /// It has nothing to finish.
    Nothing,
}

/// A connection's future, which ends when the registry says so.
#[derive(Debug)]
pub(crate) struct Watched<'a, F> {
    future: Pin<&'a mut F>,
    entry: &'a Entry,
    is_told: bool,
}

// === impl Watch ===

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            serial: AtomicU32::new(0),
            calls: AtomicU32::new(0),
            // As with nginx, the time for the first head runs from the connection's start.
            is_in_head: AtomicBool::new(true),
            is_stalled: AtomicBool::new(false),
            writes: AtomicU32::new(0),
        }
    }

    /// The first byte of a head has come.
    pub(crate) fn head_begun(&self) {
        if !self.is_in_head.load(Ordering::Relaxed) {
            self.is_in_head.store(true, Ordering::Relaxed);
            self.bump();
        }
    }

    /// HTTP/2 has begun: heads are parts of frames, and the connection is idle until a call opens.
    pub(crate) fn preface_read(&self) {
        self.is_in_head.store(false, Ordering::Relaxed);
        self.bump();
    }

    pub(crate) fn call_opened(&self) {
        self.is_in_head.store(false, Ordering::Relaxed);
        self.calls.store(self.calls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.bump();
    }

    pub(crate) fn call_closed(&self) {
        self.calls.store(self.calls.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
        self.bump();
    }

    /// A write went through, or did not since the client takes nothing.
    pub(crate) fn written(&self, is_ready: bool) {
        self.is_stalled.store(!is_ready, Ordering::Relaxed);
        if is_ready {
            let writes = self.writes.load(Ordering::Relaxed).wrapping_add(1);
            self.writes.store(writes, Ordering::Relaxed);
        }
    }

    fn bump(&self) {
        self.serial.store(self.serial.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

// === impl Patience ===

impl Patience {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            head: Duration::from_millis(limits.head_timeout_ms),
            idle: Duration::from_millis(limits.keep_alive_timeout_ms),
            stall: Duration::from_millis(limits.client_idle_timeout_ms),
        }
    }

    /// How often to look, where the upstreams' shortest limit is this one: a quarter of the shortest of all, at most every
    /// 10 ms, at least every 250 ms.
    pub(crate) fn look_every(self, upstream: Duration) -> Duration {
        let shortest = self.head.min(self.idle).min(self.stall).min(upstream);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_millis(250))
    }
}

// === impl Entry ===

impl Entry {
    fn judge(&self, patience: Patience, now: Instant) {
        let watch = &self.watch;
        let serial = watch.serial.load(Ordering::Relaxed);
        let (seen, since) = self.phase.get();
        if seen == serial {
            let is_idle = watch.calls.load(Ordering::Relaxed) == 0;
            let is_in_head = watch.is_in_head.load(Ordering::Relaxed);
            let limit = if is_in_head { patience.head } else { patience.idle };
            if is_idle && now.duration_since(since) >= limit {
                // An idle connection is told to finish, and cut where it has not done so within the same time again.
                let verdict = match self.verdict.get() {
                    Verdict::Go if !is_in_head => Verdict::Finish,
                    Verdict::Go | Verdict::Finish | Verdict::Cut => Verdict::Cut,
                };
                self.phase.set((serial, now));
                self.sentence(verdict);
            }
        } else {
            self.phase.set((serial, now));
        }
        let writes = watch.writes.load(Ordering::Relaxed);
        let (seen, since) = self.stall.get();
        if seen != writes || !watch.is_stalled.load(Ordering::Relaxed) {
            self.stall.set((writes, now));
        } else if now.duration_since(since) >= patience.stall {
            self.sentence(Verdict::Cut);
        }
    }

    fn sentence(&self, verdict: Verdict) {
        if verdict > self.verdict.get() {
            self.verdict.set(verdict);
            if let Some(waker) = self.waker.borrow().as_ref() {
                waker.wake_by_ref();
            }
        }
    }
}

// === impl Registry ===

impl Registry {
    /// Adds a connection.
    pub(crate) fn enter(self: &Rc<Self>, watch: Arc<Watch>) -> Registered {
        let now = Instant::now();
        let verdict = if self.is_draining.get() { Verdict::Finish } else { Verdict::Go };
        let entry = Rc::new(Entry {
            watch,
            waker: RefCell::new(None),
            verdict: Cell::new(verdict),
            phase: Cell::new((0, now)),
            stall: Cell::new((0, now)),
        });
        let id = self.next.get();
        self.next.set(id.wrapping_add(1));
        self.entries.borrow_mut().insert(id, Rc::clone(&entry));
        Registered { registry: Rc::clone(self), id, entry }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// Looks at every connection once.
    pub(crate) fn look(&self, patience: Patience) {
        let now = Instant::now();
        for entry in self.entries.borrow().values() {
            entry.judge(patience, now);
        }
    }

    /// Tells every connection to finish, those to come included.
    pub(crate) fn drain(&self) {
        self.is_draining.set(true);
        for entry in self.entries.borrow().values() {
            entry.sentence(Verdict::Finish);
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.entries.borrow_mut().remove(&self.id);
    }
}

// === impl Watched ===

impl<'a, F> Watched<'a, F> {
    pub(crate) fn new(future: Pin<&'a mut F>, entry: &'a Entry) -> Self {
        Self { future, entry, is_told: false }
    }
}

impl<F: Finish> Future for Watched<'_, F> {
    /// None: cut before its end.
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.entry.verdict.get() {
            Verdict::Go => {}
            Verdict::Finish => {
                if !this.is_told {
                    this.is_told = true;
                    if this.future.as_mut().finish() == Finishing::Nothing {
                        return Poll::Ready(None);
                    }
                }
            }
            Verdict::Cut => return Poll::Ready(None),
        }
        let mut waker = this.entry.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        this.future.as_mut().poll(cx).map(Some)
    }
}
