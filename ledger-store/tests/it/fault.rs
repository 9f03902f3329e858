//! Faults around a real backend: answers that get lost after the commit, errors before it.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tollgate_ledger_store::ledger::{HoldWrite, Registration, Suspense, UsageWrite, WalletRead};
use tollgate_ledger_store::{Commit, Ledger, LedgerError, RegisterWrite};
use tollgate_metering::{Change, DeveloperId, Entry, Header, Incarnation, UnixMillis, WalletId};
use uuid::Uuid;

/// What happens to a commit.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It is applied, and the answer is lost.
    AnswerLost,
    /// It never arrives, and nobody knows.
    RequestLost,
    /// It is applied when the account is read the next time but one, if its version still fits.
    Delayed,
    /// The ledger says that it is away.
    Away,
    /// Another change of the account is faster.
    Overtaken(Box<Change>),
}

/// A ledger whose next commits go wrong as it is told.
pub(crate) struct Faulty {
    inner: Arc<dyn Ledger>,
    faults: Mutex<VecDeque<Fault>>,
    /// Commits on their way, with the reads that they still wait for.
    delayed: Mutex<Vec<(u32, Change)>>,
}

// === impl Faulty ===

impl Faulty {
    pub(crate) fn new(
        inner: Arc<dyn Ledger>,
        faults: impl IntoIterator<Item = Fault>,
    ) -> Arc<Faulty> {
        let faults = Mutex::new(faults.into_iter().collect());
        Arc::new(Faulty { inner, faults, delayed: Mutex::default() })
    }

    /// Applies what is due of the commits on their way.
    async fn deliver(&self) -> Result<(), LedgerError> {
        let due: Vec<Change> = {
            let mut delayed = self.delayed.lock();
            delayed.iter_mut().for_each(|(reads, _)| *reads = reads.saturating_sub(1));
            let is_due = |(reads, _): &mut (u32, Change)| *reads == 0;
            delayed.extract_if(.., is_due).map(|(_, change)| change).collect()
        };
        for change in due {
            self.inner.commit(&change).await?;
        }
        Ok(())
    }
}

fn lost() -> LedgerError {
    let source = Box::new(std::io::Error::other("connection was reset"));
    LedgerError::Unknown { what: "commit a change", source }
}

#[async_trait]
impl Ledger for Faulty {
    async fn commit(&self, change: &Change) -> Result<Commit, LedgerError> {
        let fault = self.faults.lock().pop_front();
        match fault {
            None => self.inner.commit(change).await,
            Some(Fault::AnswerLost) => {
                self.inner.commit(change).await?;
                Err(lost())
            }
            Some(Fault::RequestLost) => Err(lost()),
            Some(Fault::Delayed) => {
                self.delayed.lock().push((2, change.clone()));
                Err(lost())
            }
            Some(Fault::Away) => {
                let source = Box::new(std::io::Error::other("no node answers"));
                Err(LedgerError::Unavailable { what: "commit a change", source })
            }
            Some(Fault::Overtaken(other)) => {
                self.inner.commit(&other).await?;
                self.inner.commit(change).await
            }
        }
    }

    async fn read(&self, wallet: WalletId) -> Result<Option<WalletRead>, LedgerError> {
        self.deliver().await?;
        self.inner.read(wallet).await
    }

    async fn generation(&self) -> Result<u32, LedgerError> {
        self.inner.generation().await
    }

    async fn clock(&self) -> Result<UnixMillis, LedgerError> {
        self.inner.clock().await
    }

    async fn wallets_of(&self, developer: DeveloperId) -> Result<Vec<Header>, LedgerError> {
        self.inner.wallets_of(developer).await
    }

    async fn list(
        &self,
        after: Option<WalletId>,
        limit: usize,
    ) -> Result<Vec<WalletId>, LedgerError> {
        self.inner.list(after, limit).await
    }

    async fn entry(&self, developer: DeveloperId, id: &str) -> Result<Option<Entry>, LedgerError> {
        self.inner.entry(developer, id).await
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
