//! A process that dies: everything that leaves it is counted, and at one of these calls it stops.
//!
//! A step is one call of the store, the ledger or Stripe. At the step that is chosen the call is
//! never made, or is made and its answer never comes back; from then on no call of this process
//! ends, and the test drops what it was doing and goes on with another process on the same store.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::sync::Notify;
use tollgate_billing::stripe::{Transport, TransportError};
use tollgate_ledger_store::ledger::{HoldWrite, Registration, Suspense, UsageWrite, WalletRead};
use tollgate_ledger_store::{
    Commit, Document, DocumentChange, DocumentKey, DocumentStore, Ledger, LedgerError, Put,
    RegisterWrite,
};
use tollgate_metering::{Change, DeveloperId, Entry, Header, Incarnation, UnixMillis, WalletId};
use uuid::Uuid;

/// When in a call the process stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before it is made.
    Before,
    /// When it is done, before its answer is heard of.
    After,
}

/// A process that dies at one of its calls.
pub(crate) struct Mortal {
    step: AtomicUsize,
    end: Option<(usize, Moment)>,
    is_dead: AtomicBool,
    died: Notify,
}

/// What a mortal process calls.
pub(crate) struct Called<T: ?Sized> {
    pub(crate) process: Arc<Mortal>,
    pub(crate) inner: Arc<T>,
}

// === impl Mortal ===

impl Mortal {
    /// One that dies at the `step`th call (from 0), or never.
    pub(crate) fn new(end: Option<(usize, Moment)>) -> Arc<Mortal> {
        let (step, is_dead) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Mortal { step, end, is_dead, died: Notify::new() })
    }

    /// Runs until it is done or the process dies; `None` then.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.died.notified() => None,
            done = work => Some(done),
        }
    }

    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        let step = self.step.fetch_add(1, Ordering::SeqCst);
        if self.is_dead.load(Ordering::SeqCst) {
            return pending().await;
        }
        match self.end {
            Some((end, Moment::Before)) if end == step => self.die().await,
            Some((end, Moment::After)) if end == step => {
                call.await;
                self.die().await
            }
            Some(_) | None => call.await,
        }
    }

    async fn die<T>(&self) -> T {
        self.is_dead.store(true, Ordering::SeqCst);
        self.died.notify_one();
        pending().await
    }
}

impl<T: ?Sized> Called<T> {
    pub(crate) fn new(process: &Arc<Mortal>, inner: Arc<T>) -> Arc<Called<T>> {
        Arc::new(Called { process: Arc::clone(process), inner })
    }
}

#[async_trait]
impl Transport for Called<dyn Transport> {
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, TransportError> {
        self.process.call(self.inner.send(request)).await
    }
}

#[async_trait]
impl DocumentStore for Called<dyn DocumentStore> {
    async fn get(&self, key: &DocumentKey) -> Result<Option<Document>, LedgerError> {
        self.process.call(self.inner.get(key)).await
    }

    async fn list(
        &self,
        kind: &'static str,
        scope: &str,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, LedgerError> {
        self.process.call(self.inner.list(kind, scope, start, limit)).await
    }

    async fn put(
        &self,
        key: &DocumentKey,
        expected: Option<u64>,
        body: &str,
        at: UnixMillis,
    ) -> Result<Put, LedgerError> {
        self.process.call(self.inner.put(key, expected, body, at)).await
    }

    async fn delete(
        &self,
        key: &DocumentKey,
        expected: u64,
        at: UnixMillis,
    ) -> Result<Put, LedgerError> {
        self.process.call(self.inner.delete(key, expected, at)).await
    }

    async fn changes(&self, since: UnixMillis) -> Result<Vec<DocumentChange>, LedgerError> {
        self.process.call(self.inner.changes(since)).await
    }
}

#[async_trait]
impl Ledger for Called<dyn Ledger> {
    async fn commit(&self, change: &Change) -> Result<Commit, LedgerError> {
        self.process.call(self.inner.commit(change)).await
    }

    async fn read(&self, wallet: WalletId) -> Result<Option<WalletRead>, LedgerError> {
        self.process.call(self.inner.read(wallet)).await
    }

    async fn entry(&self, developer: DeveloperId, id: &str) -> Result<Option<Entry>, LedgerError> {
        self.process.call(self.inner.entry(developer, id)).await
    }

    async fn generation(&self) -> Result<u32, LedgerError> {
        self.process.call(self.inner.generation()).await
    }

    async fn wallets_of(&self, developer: DeveloperId) -> Result<Vec<Header>, LedgerError> {
        self.process.call(self.inner.wallets_of(developer)).await
    }

    async fn clock(&self) -> Result<UnixMillis, LedgerError> {
        self.inner.clock().await
    }

    async fn list(
        &self,
        after: Option<WalletId>,
        limit: usize,
    ) -> Result<Vec<WalletId>, LedgerError> {
        self.inner.list(after, limit).await
    }

    async fn entries(
        &self,
        developer: DeveloperId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        self.inner.entries(developer, after, limit).await
    }

    async fn write_registers(&self, writes: &[RegisterWrite]) -> Vec<Result<(), LedgerError>> {
        self.inner.write_registers(writes).await
    }

    async fn write_holds(&self, writes: &[HoldWrite]) -> Result<(), LedgerError> {
        self.inner.write_holds(writes).await
    }

    async fn write_usage(&self, writes: &[UsageWrite]) -> Result<(), LedgerError> {
        self.inner.write_usage(writes).await
    }

    async fn usage(
        &self,
        wallet: WalletId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageWrite>, LedgerError> {
        self.inner.usage(wallet, from, to).await
    }

    async fn daily_usage(
        &self,
        wallet: WalletId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageWrite>, LedgerError> {
        self.inner.daily_usage(wallet, from, to).await
    }

    async fn purge(&self, wallet: WalletId, horizon: UnixMillis) -> Result<(), LedgerError> {
        self.inner.purge(wallet, horizon).await
    }

    async fn register_incarnation(
        &self,
        id: Uuid,
        gateway: &str,
        born: UnixMillis,
    ) -> Result<Incarnation, LedgerError> {
        self.inner.register_incarnation(id, gateway, born).await
    }

    async fn registrations(&self) -> Result<Vec<Registration>, LedgerError> {
        self.inner.registrations().await
    }

    async fn end_incarnation(&self, registration: &Registration) -> Result<(), LedgerError> {
        self.inner.end_incarnation(registration).await
    }

    async fn write_suspense(&self, writes: &[Suspense]) -> Result<(), LedgerError> {
        self.inner.write_suspense(writes).await
    }

    async fn suspense(&self, wallet: WalletId) -> Result<Vec<Suspense>, LedgerError> {
        self.inner.suspense(wallet).await
    }
}
