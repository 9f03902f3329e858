//! Tells balance-sync at once what the management API of the same process changed.
//!
//! Balance-sync finds every change by reading; told of it, it reads now, so that a top-up or a revoked key reaches the gateways
//! in milliseconds. The stores that management is given are these wrappers around the real ones: nothing in management has to
//! remember to say what it did.
//! Invariants: a change is told after it is stored, and also where its outcome is unknown. Not here: changes of other
//! processes, which are read.

use std::sync::Arc;

use async_trait::async_trait;
use tollgate_balance_sync::Changes;
use tollgate_ledger_store::ledger::{HoldWrite, Registration, Suspense, UsageWrite};
use tollgate_ledger_store::{
    Commit, Document, DocumentChange, DocumentKey, DocumentStore, Ledger, LedgerError, Put,
    RegisterWrite, WalletRead,
};
use tollgate_metering::{Change, DeveloperId, Entry, Header, Incarnation, UnixMillis, WalletId};
use uuid::Uuid;

/// A store whose changes balance-sync hears of.
pub(crate) struct Noticed<S: ?Sized> {
    store: Arc<S>,
    changes: Changes,
}

// === impl Noticed ===

impl<S: ?Sized> Noticed<S> {
    /// Wraps `store`.
    pub(crate) fn new(store: Arc<S>, changes: Changes) -> Self {
        Self { store, changes }
    }
}

#[async_trait]
impl Ledger for Noticed<dyn Ledger> {
    async fn commit(&self, change: &Change) -> Result<Commit, LedgerError> {
        let outcome = self.store.commit(change).await;
        if !matches!(outcome, Ok(Commit::Conflict)) {
            self.changes.changed(change.header.wallet);
        }
        outcome
    }

    async fn generation(&self) -> Result<u32, LedgerError> {
        self.store.generation().await
    }

    async fn clock(&self) -> Result<UnixMillis, LedgerError> {
        self.store.clock().await
    }

    async fn read(&self, wallet: WalletId) -> Result<Option<WalletRead>, LedgerError> {
        self.store.read(wallet).await
    }

    async fn wallets_of(&self, developer: DeveloperId) -> Result<Vec<Header>, LedgerError> {
        self.store.wallets_of(developer).await
    }

    async fn list(
        &self,
        after: Option<WalletId>,
        limit: usize,
    ) -> Result<Vec<WalletId>, LedgerError> {
        self.store.list(after, limit).await
    }

    async fn entry(&self, developer: DeveloperId, id: &str) -> Result<Option<Entry>, LedgerError> {
        self.store.entry(developer, id).await
    }

    async fn entries(
        &self,
        developer: DeveloperId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        self.store.entries(developer, after, limit).await
    }

    async fn write_registers(&self, writes: &[RegisterWrite]) -> Vec<Result<(), LedgerError>> {
        self.store.write_registers(writes).await
    }

    async fn write_holds(&self, writes: &[HoldWrite]) -> Result<(), LedgerError> {
        self.store.write_holds(writes).await
    }

    async fn write_usage(&self, writes: &[UsageWrite]) -> Result<(), LedgerError> {
        self.store.write_usage(writes).await
    }

    async fn usage(
        &self,
        wallet: WalletId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageWrite>, LedgerError> {
        self.store.usage(wallet, from, to).await
    }

    async fn daily_usage(
        &self,
        wallet: WalletId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageWrite>, LedgerError> {
        self.store.daily_usage(wallet, from, to).await
    }

    async fn purge(&self, wallet: WalletId, horizon: UnixMillis) -> Result<(), LedgerError> {
        self.store.purge(wallet, horizon).await
    }

    async fn register_incarnation(
        &self,
        id: Uuid,
        gateway: &str,
        born: UnixMillis,
    ) -> Result<Incarnation, LedgerError> {
        self.store.register_incarnation(id, gateway, born).await
    }

    async fn registrations(&self) -> Result<Vec<Registration>, LedgerError> {
        self.store.registrations().await
    }

    async fn end_incarnation(&self, registration: &Registration) -> Result<(), LedgerError> {
        self.store.end_incarnation(registration).await
    }

    async fn write_suspense(&self, writes: &[Suspense]) -> Result<(), LedgerError> {
        self.store.write_suspense(writes).await
    }

    async fn suspense(&self, wallet: WalletId) -> Result<Vec<Suspense>, LedgerError> {
        self.store.suspense(wallet).await
    }
}

#[async_trait]
impl DocumentStore for Noticed<dyn DocumentStore> {
    async fn get(&self, key: &DocumentKey) -> Result<Option<Document>, LedgerError> {
        self.store.get(key).await
    }

    async fn list(
        &self,
        kind: &'static str,
        scope: &str,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, LedgerError> {
        self.store.list(kind, scope, start, limit).await
    }

    async fn put(
        &self,
        key: &DocumentKey,
        expected: Option<u64>,
        body: &str,
        at: UnixMillis,
    ) -> Result<Put, LedgerError> {
        let outcome = self.store.put(key, expected, body, at).await;
        self.tell(&outcome);
        outcome
    }

    async fn delete(
        &self,
        key: &DocumentKey,
        expected: u64,
        at: UnixMillis,
    ) -> Result<Put, LedgerError> {
        let outcome = self.store.delete(key, expected, at).await;
        self.tell(&outcome);
        outcome
    }

    async fn changes(&self, since: UnixMillis) -> Result<Vec<DocumentChange>, LedgerError> {
        self.store.changes(since).await
    }
}

impl Noticed<dyn DocumentStore> {
    fn tell(&self, outcome: &Result<Put, LedgerError>) {
        if !matches!(outcome, Ok(Put::Conflict)) {
            self.changes.catalogue_changed();
        }
    }
}
