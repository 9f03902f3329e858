//! A ledger that fails: on a full disk, away, or with an answer that gets lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use serde_json::json;
use tollgate_ledger_store::LedgerError;
use tollgate_ledger_store::ledger::{
    Commit, HoldWrite, Ledger, RegisterWrite, Registration, Suspense, UsageWrite, WalletRead,
};
use tollgate_management::Limits;
use tollgate_metering::{Change, DeveloperId, Entry, Header, Incarnation, UnixMillis, WalletId};
use uuid::Uuid;

use crate::harness::{ADA, Server};

const WELL: u8 = 0;
/// Every call fails without effect.
const AWAY: u8 = 1;
/// A commit is applied and its answer lost; then the ledger is away.
const LOSES_ANSWERS: u8 = 2;

/// A ledger between the API and the real one.
struct Faulty {
    inner: Arc<dyn Ledger>,
    mode: Arc<AtomicU8>,
}

impl Faulty {
    fn check(&self) -> Result<(), LedgerError> {
        match self.mode.load(Ordering::SeqCst) {
            AWAY => Err(LedgerError::Unavailable { what: "anything", source: "cut".into() }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Ledger for Faulty {
    async fn generation(&self) -> Result<u32, LedgerError> {
        self.check()?;
        self.inner.generation().await
    }

    async fn clock(&self) -> Result<UnixMillis, LedgerError> {
        self.check()?;
        self.inner.clock().await
    }

    async fn read(&self, wallet: WalletId) -> Result<Option<WalletRead>, LedgerError> {
        self.check()?;
        self.inner.read(wallet).await
    }

    async fn wallets_of(&self, developer: DeveloperId) -> Result<Vec<Header>, LedgerError> {
        self.check()?;
        self.inner.wallets_of(developer).await
    }

    async fn list(
        &self,
        after: Option<WalletId>,
        limit: usize,
    ) -> Result<Vec<WalletId>, LedgerError> {
        self.check()?;
        self.inner.list(after, limit).await
    }

    async fn commit(&self, change: &Change) -> Result<Commit, LedgerError> {
        self.check()?;
        let applied = self.inner.commit(change).await?;
        if !change.entries.is_empty()
            && self
                .mode
                .compare_exchange(LOSES_ANSWERS, AWAY, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        {
            return Err(LedgerError::Unknown { what: "commit", source: "cut".into() });
        }
        Ok(applied)
    }

    async fn entry(&self, developer: DeveloperId, id: &str) -> Result<Option<Entry>, LedgerError> {
        self.check()?;
        self.inner.entry(developer, id).await
    }

    async fn entries(
        &self,
        developer: DeveloperId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        self.check()?;
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

async fn faulty() -> (Server, Arc<AtomicU8>) {
    let mode = Arc::new(AtomicU8::new(WELL));
    let of_ledger = Arc::clone(&mode);
    let wrap = |inner| Arc::new(Faulty { inner, mode: of_ledger }) as Arc<dyn Ledger>;
    let server = Server::start_with(Limits::default(), wrap).await;
    server.add_ada().await;
    server.credit("EUR", "10", "t-1").await;
    (server, mode)
}

#[tokio::test]
async fn a_ledger_that_is_away_is_said_to_be() {
    let (server, mode) = faulty().await;
    mode.store(AWAY, Ordering::SeqCst);
    let refused = server.credit("EUR", "5", "t-2").await;
    assert_eq!((refused.status, refused.error_status()), (503, "UNAVAILABLE"), "{refused:?}");
    assert_eq!(refused.reason(), "tollgate.ledger.unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(server.get("/readyz").await.status, 503);
    assert_eq!(server.get("/healthz").await.status, 200);
    mode.store(WELL, Ordering::SeqCst);
    assert_eq!(server.balance("EUR").await.unwrap(), "10");
    assert_eq!(server.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_lost_answer_is_no_failure_and_is_repeated_safely() {
    let (server, mode) = faulty().await;
    mode.store(LOSES_ANSWERS, Ordering::SeqCst);
    let lost = server.credit("EUR", "5", "t-2").await;
    assert_eq!((lost.status, lost.error_status()), (503, "UNAVAILABLE"), "{lost:?}");
    assert_eq!(lost.reason(), "tollgate.ledger.outcome_unknown");
    assert!(lost.message().contains("the same transactionId \"t-2\""), "{lost:?}");
    mode.store(WELL, Ordering::SeqCst);
    assert_eq!(server.credit("EUR", "5", "t-2").await.status, 200);
    assert_eq!(server.balance("EUR").await.unwrap(), "15");
}

/// Without a key from the caller, the server's own is told, so that a repetition is possible.
#[tokio::test]
async fn an_adjustment_without_a_key_can_be_repeated_with_the_servers() {
    let (server, mode) = faulty().await;
    mode.store(LOSES_ANSWERS, Ordering::SeqCst);
    let path = format!("{ADA}/balance:adjust");
    let body = json!({"adjustment": {"currencyCode": "EUR", "units": "3"}}).to_string();
    let lost = server.post(&path, &body).await;
    assert_eq!(lost.reason(), "tollgate.ledger.outcome_unknown", "{lost:?}");
    let key = lost.message().split('"').nth(1).unwrap();
    mode.store(WELL, Ordering::SeqCst);
    let header = format!("Idempotency-Key: {key}\r\n");
    let admin = crate::harness::ADMIN;
    let again = server.call("POST", &path, admin, &header, Some(&body)).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(server.balance("EUR").await.unwrap(), "7");
}

#[tokio::test]
async fn a_setup_fee_whose_answer_was_lost_buys_once() {
    let (server, mode) = faulty().await;
    server.add_plan("weather", r#","setupFee":{"units":"4"}"#).await;
    let path = format!("{ADA}/subscriptions");
    let buy = r#"{"apiproduct":"weather"}"#;
    mode.store(LOSES_ANSWERS, Ordering::SeqCst);
    let lost = server.post(&path, buy).await;
    assert_eq!(lost.reason(), "tollgate.ledger.outcome_unknown", "{lost:?}");
    mode.store(WELL, Ordering::SeqCst);
    assert_eq!(server.get(&path).await.json, json!({}));
    assert_eq!(server.balance("EUR").await.unwrap(), "6");
    // The wallet would not cover a second fee; the first is found instead.
    let spend = json!({"adjustment": {"currencyCode": "EUR", "units": "5"}}).to_string();
    server.post(&format!("{ADA}/balance:adjust"), &spend).await;
    assert_eq!(server.post(&path, buy).await.status, 201);
    assert_eq!(server.balance("EUR").await.unwrap(), "1");
}

#[tokio::test]
async fn a_full_disk_changes_nothing() {
    let server = Server::start_with_ada().await;
    server.credit("EUR", "10", "t-1").await;
    server.sqlite.limit_pages(1).await.unwrap();
    let mut refused = None;
    // Pages that the file has already may take a few entries more.
    for id in 0..200 {
        let reply = server.credit("EUR", "1", &format!("full-{id}")).await;
        if reply.status != 200 {
            refused = Some((id, reply));
            break;
        }
    }
    let (booked, refused) = refused.expect("the file cannot grow");
    assert_eq!((refused.status, refused.error_status()), (503, "UNAVAILABLE"), "{refused:?}");
    assert_eq!(server.balance("EUR").await.unwrap(), (10 + booked).to_string());
    server.sqlite.limit_pages(1_000_000).await.unwrap();
    assert_eq!(server.credit("EUR", "1", &format!("full-{booked}")).await.status, 200);
    assert_eq!(server.balance("EUR").await.unwrap(), (11 + booked).to_string());
}
