//! A ledger that can be away, and a clock that can be set.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tollgate_ledger_store::ledger::{HoldWrite, Registration, Suspense, UsageWrite};
use tollgate_ledger_store::{
    Clock, Commit, Ledger, LedgerError, RegisterWrite, SystemClock, WalletRead,
};
use tollgate_metering::{Change, DeveloperId, Entry, Header, Incarnation, UnixMillis, WalletId};
use uuid::Uuid;

/// The system's clock, set forward or back.
pub(crate) struct SetClock {
    system: SystemClock,
    offset_ms: AtomicI64,
    passed_ms: AtomicU64,
}

/// A ledger that is away when it is told to be.
pub(crate) struct AwayLedger {
    inner: Arc<dyn Ledger>,
    is_away: AtomicBool,
    /// Generations that were added to the inner ledger's.
    restored: AtomicU32,
}

// === impl SetClock ===

impl SetClock {
    pub(crate) fn new() -> SetClock {
        SetClock {
            system: SystemClock::start(),
            offset_ms: AtomicI64::new(0),
            passed_ms: AtomicU64::new(0),
        }
    }

    /// Sets the wall clock, as a person does.
    pub(crate) fn set_forward(&self, by: Duration) {
        self.offset_ms.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Lets time pass, by every clock.
    pub(crate) fn pass(&self, by: Duration) {
        self.passed_ms.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    fn passed(&self) -> Duration {
        Duration::from_millis(self.passed_ms.load(Ordering::SeqCst))
    }
}

impl Clock for SetClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.system.now().0 + self.offset_ms.load(Ordering::SeqCst)).plus(self.passed())
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic() + self.passed()
    }
}

// === impl AwayLedger ===

impl AwayLedger {
    pub(crate) fn new(inner: Arc<dyn Ledger>) -> AwayLedger {
        AwayLedger { inner, is_away: AtomicBool::new(false), restored: AtomicU32::new(0) }
    }

    pub(crate) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    /// From now on it is a ledger that was restored from a backup.
    pub(crate) fn restore(&self) {
        self.restored.fetch_add(1, Ordering::SeqCst);
    }

    fn there(&self) -> Result<&Arc<dyn Ledger>, LedgerError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(LedgerError::Unavailable { what: "test", source: "it is away".into() });
        }
        Ok(&self.inner)
    }
}

#[async_trait]
impl Ledger for AwayLedger {
    async fn generation(&self) -> Result<u32, LedgerError> {
        let generation = self.there()?.generation().await?;
        Ok(generation + self.restored.load(Ordering::SeqCst))
    }
    async fn clock(&self) -> Result<UnixMillis, LedgerError> {
        self.there()?.clock().await
    }
    async fn read(&self, wallet: WalletId) -> Result<Option<WalletRead>, LedgerError> {
        self.there()?.read(wallet).await
    }
    async fn wallets_of(&self, developer: DeveloperId) -> Result<Vec<Header>, LedgerError> {
        self.there()?.wallets_of(developer).await
    }
    async fn list(
        &self,
        after: Option<WalletId>,
        limit: usize,
    ) -> Result<Vec<WalletId>, LedgerError> {
        self.there()?.list(after, limit).await
    }
    async fn commit(&self, change: &Change) -> Result<Commit, LedgerError> {
        self.there()?.commit(change).await
    }
    async fn entry(&self, developer: DeveloperId, id: &str) -> Result<Option<Entry>, LedgerError> {
        self.there()?.entry(developer, id).await
    }
    async fn entries(
        &self,
        developer: DeveloperId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        self.there()?.entries(developer, after, limit).await
    }
    async fn write_registers(&self, writes: &[RegisterWrite]) -> Vec<Result<(), LedgerError>> {
        match self.there() {
            Ok(inner) => inner.write_registers(writes).await,
            Err(_) => writes.iter().map(|_| self.there().map(|_| ())).collect(),
        }
    }
    async fn write_holds(&self, writes: &[HoldWrite]) -> Result<(), LedgerError> {
        self.there()?.write_holds(writes).await
    }
    async fn write_usage(&self, writes: &[UsageWrite]) -> Result<(), LedgerError> {
        self.there()?.write_usage(writes).await
    }
    async fn usage(
        &self,
        wallet: WalletId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageWrite>, LedgerError> {
        self.there()?.usage(wallet, from, to).await
    }
    async fn daily_usage(
        &self,
        wallet: WalletId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageWrite>, LedgerError> {
        self.there()?.daily_usage(wallet, from, to).await
    }

    async fn purge(&self, wallet: WalletId, horizon: UnixMillis) -> Result<(), LedgerError> {
        self.there()?.purge(wallet, horizon).await
    }
    async fn register_incarnation(
        &self,
        id: Uuid,
        gateway: &str,
        born: UnixMillis,
    ) -> Result<Incarnation, LedgerError> {
        self.there()?.register_incarnation(id, gateway, born).await
    }
    async fn registrations(&self) -> Result<Vec<Registration>, LedgerError> {
        self.there()?.registrations().await
    }
    async fn end_incarnation(&self, registration: &Registration) -> Result<(), LedgerError> {
        self.there()?.end_incarnation(registration).await
    }
    async fn write_suspense(&self, writes: &[Suspense]) -> Result<(), LedgerError> {
        self.there()?.write_suspense(writes).await
    }
    async fn suspense(&self, wallet: WalletId) -> Result<Vec<Suspense>, LedgerError> {
        self.there()?.suspense(wallet).await
    }
}
