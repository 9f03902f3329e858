//! The traits on a cluster: which part answers which question.

use std::sync::Arc;

use async_trait::async_trait;
use tollgate_metering::{Change, DeveloperId, Entry, Header, Incarnation, UnixMillis, WalletId};
use uuid::Uuid;

use super::{CqlLedger, documents, generation, registers, registry, suspense, usage, wallets};
use crate::documents::{Document, DocumentChange, DocumentKey, DocumentStore, Put};
use crate::error::LedgerError;
use crate::ledger::{
    Commit, HoldWrite, Ledger, RegisterWrite, Registration, Suspense, UsageWrite, WalletRead,
};
use crate::metrics::Operation;

use super::values::corrupt;

#[async_trait]
impl Ledger for CqlLedger {
    async fn generation(&self) -> Result<u32, LedgerError> {
        let read = async {
            let found = generation::read(&self.cluster).await?;
            found.ok_or_else(|| corrupt("the ledger's generation", "it is not there"))
        };
        self.metrics.record(Operation::Meta, read).await
    }

    async fn clock(&self) -> Result<UnixMillis, LedgerError> {
        self.metrics.record(Operation::Meta, self.now()).await
    }

    async fn read(&self, wallet: WalletId) -> Result<Option<WalletRead>, LedgerError> {
        let read = async {
            match wallets::read(&self.cluster, &self.developers, wallet).await? {
                Some(account) => registers::read(&self.cluster, account).await.map(Some),
                None => Ok(None),
            }
        };
        self.metrics.record(Operation::Read, read).await
    }

    async fn wallets_of(&self, developer: DeveloperId) -> Result<Vec<Header>, LedgerError> {
        let read = wallets::headers(&self.cluster, developer);
        self.metrics.record(Operation::Read, read).await
    }

    async fn list(
        &self,
        after: Option<WalletId>,
        limit: usize,
    ) -> Result<Vec<WalletId>, LedgerError> {
        let read = wallets::list(&self.cluster, after, limit);
        self.metrics.record(Operation::Read, read).await
    }

    async fn commit(&self, change: &Change) -> Result<Commit, LedgerError> {
        let commit = async {
            let expected = change.header.generation;
            if expected != self.generation {
                return Err(LedgerError::Generation { expected, found: self.generation });
            }
            wallets::commit(&self.cluster, change).await
        };
        self.metrics.record(Operation::Commit, commit).await
    }

    async fn entry(&self, developer: DeveloperId, id: &str) -> Result<Option<Entry>, LedgerError> {
        let read = wallets::entry(&self.cluster, developer, id);
        self.metrics.record(Operation::Entries, read).await
    }

    async fn entries(
        &self,
        developer: DeveloperId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        let read = wallets::entries(&self.cluster, developer, after, limit);
        self.metrics.record(Operation::Entries, read).await
    }

    async fn write_registers(&self, writes: &[RegisterWrite]) -> Vec<Result<(), LedgerError>> {
        let _timer = self.metrics.start(Operation::WriteRegisters);
        let write = |write: &RegisterWrite| registers::write_register(&self.cluster, *write);
        let answers = self.cluster.side_by_side(writes.iter().map(write)).await;
        let errors = answers.iter().filter(|answer| answer.is_err()).count();
        self.metrics.count_errors(Operation::WriteRegisters, errors);
        answers
    }

    async fn write_holds(&self, writes: &[HoldWrite]) -> Result<(), LedgerError> {
        let write = |write: &HoldWrite| registers::write_hold(&self.cluster, *write);
        let writes = self.cluster.side_by_side(writes.iter().map(write));
        let write = async { writes.await.into_iter().collect() };
        self.metrics.record(Operation::WriteHolds, write).await
    }

    async fn write_usage(&self, writes: &[UsageWrite]) -> Result<(), LedgerError> {
        let write = |write: &UsageWrite| usage::write(&self.cluster, &self.days, *write);
        let writes = self.cluster.side_by_side(writes.iter().map(write));
        let write = async { writes.await.into_iter().collect() };
        self.metrics.record(Operation::WriteUsage, write).await
    }

    async fn usage(
        &self,
        wallet: WalletId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageWrite>, LedgerError> {
        let read = usage::minutes(&self.cluster, wallet, from, to);
        self.metrics.record(Operation::Usage, read).await
    }

    async fn daily_usage(
        &self,
        wallet: WalletId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageWrite>, LedgerError> {
        let read = usage::daily(&self.cluster, wallet, from, to);
        self.metrics.record(Operation::Usage, read).await
    }

    async fn purge(&self, wallet: WalletId, horizon: UnixMillis) -> Result<(), LedgerError> {
        let purge = async {
            let now = self.now().await?;
            registers::purge(&self.cluster, wallet, horizon, now).await?;
            wallets::remove_cells(&self.cluster, &self.developers, wallet, horizon).await
        };
        self.metrics.record(Operation::Purge, purge).await
    }

    async fn register_incarnation(
        &self,
        id: Uuid,
        gateway: &str,
        born: UnixMillis,
    ) -> Result<Incarnation, LedgerError> {
        let register = registry::register(&self.cluster, id, gateway, born);
        self.metrics.record(Operation::Registry, register).await
    }

    async fn registrations(&self) -> Result<Vec<Registration>, LedgerError> {
        self.metrics.record(Operation::Registry, registry::list(&self.cluster)).await
    }

    async fn end_incarnation(&self, registration: &Registration) -> Result<(), LedgerError> {
        let end = registry::end(&self.cluster, registration);
        self.metrics.record(Operation::Registry, end).await
    }

    async fn write_suspense(&self, writes: &[Suspense]) -> Result<(), LedgerError> {
        let write = |write: &Suspense| suspense::write(&self.cluster, *write);
        let writes = self.cluster.side_by_side(writes.iter().map(write));
        let write = async { writes.await.into_iter().collect() };
        self.metrics.record(Operation::Suspense, write).await
    }

    async fn suspense(&self, wallet: WalletId) -> Result<Vec<Suspense>, LedgerError> {
        let read = suspense::read(&self.cluster, wallet);
        self.metrics.record(Operation::Suspense, read).await
    }
}

#[async_trait]
impl DocumentStore for CqlLedger {
    async fn get(&self, key: &DocumentKey) -> Result<Option<Document>, LedgerError> {
        self.metrics.record(Operation::Documents, documents::get(&self.cluster, key)).await
    }

    async fn list(
        &self,
        kind: &'static str,
        scope: &str,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, LedgerError> {
        let read = documents::list(&self.cluster, kind, scope, start, limit);
        self.metrics.record(Operation::Documents, read).await
    }

    async fn put(
        &self,
        key: &DocumentKey,
        expected: Option<u64>,
        body: &str,
        at: UnixMillis,
    ) -> Result<Put, LedgerError> {
        let write = match expected {
            Some(version) => documents::Write::Update(version, body.to_owned()),
            None => documents::Write::Insert(body.to_owned()),
        };
        let put = documents::put(Arc::clone(&self.cluster), key.clone(), write, at);
        self.metrics.record(Operation::PutDocument, put).await
    }

    async fn delete(
        &self,
        key: &DocumentKey,
        expected: u64,
        at: UnixMillis,
    ) -> Result<Put, LedgerError> {
        let write = documents::Write::Delete(expected);
        let put = documents::put(Arc::clone(&self.cluster), key.clone(), write, at);
        self.metrics.record(Operation::PutDocument, put).await
    }

    async fn changes(&self, since: UnixMillis) -> Result<Vec<DocumentChange>, LedgerError> {
        let read = async {
            let now = self.now().await?;
            documents::changes(&self.cluster, since, now).await
        };
        self.metrics.record(Operation::Documents, read).await
    }
}

impl CqlLedger {
    /// The clock of whichever node coordinates the read.
    async fn now(&self) -> Result<UnixMillis, LedgerError> {
        let cluster = &self.cluster;
        let rows: Vec<(i64,)> = cluster.rows(&cluster.statements.clock_read, ()).await?;
        match rows.first() {
            Some((now_ms,)) => Ok(UnixMillis(*now_ms)),
            None => Err(corrupt("the clock", "no row")),
        }
    }
}
