//! The ledger of a simulation: the real SQLite ledger, in no time, with the faults of one that is far away.
//!
//! SQLite works on threads of its own, whose pace would be a second time beside the simulated one. So the simulated thread waits
//! for each of its answers and simulated time stands still meanwhile; how long an answer takes, and whether it comes, is the
//! fault model's to say. A request may wait before it is done, be refused before it is done, or be done and its answer lost.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tollgate_ledger_store::ledger::{HoldWrite, Registration, Suspense, UsageWrite};
use tollgate_ledger_store::{
    Commit, Document, DocumentChange, DocumentKey, DocumentStore, Ledger, LedgerError, Put,
    RegisterWrite, SqliteLedger, WalletRead,
};
use tollgate_metering::{Change, DeveloperId, Entry, Header, Incarnation, UnixMillis, WalletId};
use uuid::Uuid;

use crate::randomness::Rng;
use crate::time::aside;

/// How the ledger is just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Answers within ten milliseconds.
    Fair,
    /// Takes up to so long.
    Slow(Duration),
    /// Refuses everything, after a while.
    Away,
    /// Of a hundred requests: so many are refused, and of so many the answer is lost.
    Flaky { refused: u64, lost: u64 },
}

/// A ledger as one machine reaches it, over a road of its own.
pub(crate) struct SimLedger {
    file: Arc<SqliteLedger>,
    aside: Handle,
    sky: Mutex<Sky>,
}

struct Sky {
    weather: Weather,
    rng: Rng,
}

/// What becomes of one request.
struct Fate {
    before: Duration,
    after: Duration,
    is_refused: bool,
    is_lost: bool,
}

/// Runs a future to its end on this thread while nothing else happens, simulated time included.
///
/// What it asks of a runtime is asked of this one: a blocking thread of a machine's own runtime wakes it when it is done, and
/// when that is would show in the order of that machine's tasks.
pub(crate) fn at_once<T>(runtime: &Handle, work: impl Future<Output = T>) -> T {
    let _entered = runtime.enter();
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    // Tokio would make a task that did much wait for its next turn, which does not come here.
    let mut work = pin!(tokio::task::unconstrained(work));
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match aside(|| work.as_mut().poll(&mut context)) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

// === impl SimLedger ===

impl SimLedger {
    pub(crate) fn new(file: Arc<SqliteLedger>, aside: Handle, rng: Rng) -> Self {
        let sky = Sky { weather: Weather::Fair, rng };
        Self { file, aside, sky: Mutex::new(sky) }
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.sky.lock().weather = weather;
    }

    fn fate(&self) -> Fate {
        let Sky { weather, rng } = &mut *self.sky.lock();
        let mut up_to = |limit: Duration| {
            let limit_us = u64::try_from(limit.as_micros()).expect("a wait is short");
            Duration::from_micros(rng.within(0..limit_us.max(1)))
        };
        let quick = Duration::from_millis(5);
        let limit = match *weather {
            Weather::Fair | Weather::Flaky { .. } => quick,
            Weather::Slow(limit) => limit / 2,
            Weather::Away => Duration::from_millis(500),
        };
        let (before, after) = (up_to(limit), up_to(limit));
        let chance = rng.within(0..100);
        let (is_refused, is_lost) = match *weather {
            Weather::Fair | Weather::Slow(_) => (false, false),
            Weather::Away => (true, false),
            Weather::Flaky { refused, lost } => {
                (chance < refused, (refused..refused + lost).contains(&chance))
            }
        };
        Fate { before, after, is_refused, is_lost }
    }

    /// A request that changes nothing.
    async fn look<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let fate = self.fate();
        tokio::time::sleep(fate.before).await;
        if fate.is_refused || fate.is_lost {
            return Err(unavailable(what));
        }
        let done = at_once(&self.aside, work);
        tokio::time::sleep(fate.after).await;
        done
    }

    /// A request that changes something.
    async fn change<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let fate = self.fate();
        tokio::time::sleep(fate.before).await;
        if fate.is_refused {
            return Err(unavailable(what));
        }
        let done = at_once(&self.aside, work);
        tokio::time::sleep(fate.after).await;
        if fate.is_lost { Err(unknown(what)) } else { done }
    }
}

fn unavailable(what: &'static str) -> LedgerError {
    LedgerError::Unavailable { what, source: "it is away".into() }
}

fn unknown(what: &'static str) -> LedgerError {
    LedgerError::Unknown { what, source: "its answer was lost".into() }
}

#[async_trait]
impl Ledger for SimLedger {
    async fn generation(&self) -> Result<u32, LedgerError> {
        self.look("generation", self.file.generation()).await
    }

    async fn clock(&self) -> Result<UnixMillis, LedgerError> {
        self.look("clock", self.file.clock()).await
    }

    async fn read(&self, wallet: WalletId) -> Result<Option<WalletRead>, LedgerError> {
        self.look("read", self.file.read(wallet)).await
    }

    async fn wallets_of(&self, developer: DeveloperId) -> Result<Vec<Header>, LedgerError> {
        self.look("wallets of", self.file.wallets_of(developer)).await
    }

    async fn list(
        &self,
        after: Option<WalletId>,
        limit: usize,
    ) -> Result<Vec<WalletId>, LedgerError> {
        self.look("list", Ledger::list(&*self.file, after, limit)).await
    }

    async fn commit(&self, change: &Change) -> Result<Commit, LedgerError> {
        self.change("commit", self.file.commit(change)).await
    }

    async fn entry(&self, developer: DeveloperId, id: &str) -> Result<Option<Entry>, LedgerError> {
        self.look("entry", self.file.entry(developer, id)).await
    }

    async fn entries(
        &self,
        developer: DeveloperId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        self.look("entries", self.file.entries(developer, after, limit)).await
    }

    /// Each row has a fate of its own: of one batch some are written and some are not, and of some nobody knows.
    async fn write_registers(&self, writes: &[RegisterWrite]) -> Vec<Result<(), LedgerError>> {
        let wait = self.fate();
        tokio::time::sleep(wait.before).await;
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            let fate = self.fate();
            if fate.is_refused {
                answers.push(Err(unavailable("write register")));
                continue;
            }
            let done = at_once(&self.aside, self.file.write_registers(std::slice::from_ref(write)));
            answers.extend(if fate.is_lost { vec![Err(unknown("write register"))] } else { done });
        }
        tokio::time::sleep(wait.after).await;
        answers
    }

    async fn write_holds(&self, writes: &[HoldWrite]) -> Result<(), LedgerError> {
        self.change("write holds", self.file.write_holds(writes)).await
    }

    async fn write_usage(&self, writes: &[UsageWrite]) -> Result<(), LedgerError> {
        self.change("write usage", self.file.write_usage(writes)).await
    }

    async fn usage(
        &self,
        wallet: WalletId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageWrite>, LedgerError> {
        self.look("usage", self.file.usage(wallet, from, to)).await
    }

    async fn daily_usage(
        &self,
        wallet: WalletId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageWrite>, LedgerError> {
        self.look("usage", self.file.daily_usage(wallet, from, to)).await
    }

    async fn purge(&self, wallet: WalletId, horizon: UnixMillis) -> Result<(), LedgerError> {
        self.change("purge", self.file.purge(wallet, horizon)).await
    }

    async fn register_incarnation(
        &self,
        id: Uuid,
        gateway: &str,
        born: UnixMillis,
    ) -> Result<Incarnation, LedgerError> {
        self.change("register", self.file.register_incarnation(id, gateway, born)).await
    }

    async fn registrations(&self) -> Result<Vec<Registration>, LedgerError> {
        self.look("registrations", self.file.registrations()).await
    }

    async fn end_incarnation(&self, registration: &Registration) -> Result<(), LedgerError> {
        self.change("end incarnation", self.file.end_incarnation(registration)).await
    }

    async fn write_suspense(&self, writes: &[Suspense]) -> Result<(), LedgerError> {
        self.change("write suspense", self.file.write_suspense(writes)).await
    }

    async fn suspense(&self, wallet: WalletId) -> Result<Vec<Suspense>, LedgerError> {
        self.look("suspense", self.file.suspense(wallet)).await
    }
}

#[async_trait]
impl DocumentStore for SimLedger {
    async fn get(&self, key: &DocumentKey) -> Result<Option<Document>, LedgerError> {
        self.look("get", self.file.get(key)).await
    }

    async fn list(
        &self,
        kind: &'static str,
        scope: &str,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, LedgerError> {
        let listing = DocumentStore::list(&*self.file, kind, scope, start, limit);
        self.look("list", listing).await
    }

    async fn put(
        &self,
        key: &DocumentKey,
        expected: Option<u64>,
        body: &str,
        at: UnixMillis,
    ) -> Result<Put, LedgerError> {
        self.change("put", self.file.put(key, expected, body, at)).await
    }

    async fn delete(
        &self,
        key: &DocumentKey,
        expected: u64,
        at: UnixMillis,
    ) -> Result<Put, LedgerError> {
        self.change("delete", self.file.delete(key, expected, at)).await
    }

    async fn changes(&self, since: UnixMillis) -> Result<Vec<DocumentChange>, LedgerError> {
        self.look("changes", self.file.changes(since)).await
    }
}
