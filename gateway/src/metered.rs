//! Admission from wallets in memory: the wallet half behind the seam.
//!
//! A decision walks what is in memory: key → caller → product → plan → subscription → wallet → hold. What is not there is named
//! and fetched once for all who wait: a key, a wallet, or room under a strict wallet's grant. Everything else (reports, snapshots, incarnations, files) happens in the exchange with
//! balance-sync, beside the calls.
//! Invariants: nothing is admitted before an incarnation is registered, nor on a wallet of which an earlier process left units
//! that are not durable, nor while its overspend policy changes; a decision takes no lock across `.await` and writes no log line.
//! Not here: how a call is carried (`proxy`), what it is answered with (`refusal`).

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tollgate_metering::{Currency, Units, WalletId};
use tollgate_proto::v1;
use tracing::{error, warn};

use crate::admission::{
    Admission, CallHead, CallHold, CallReport, Decision, Multiplier, OwnQuestion,
};
use crate::caller_cache::{Caller, CallerCache, KeyHash, Look};
use crate::clock::Clock;
use crate::config::Unpriced;
use crate::disk::Disk;
use crate::network::Network;
use crate::refusal::{KnownBalance, Refusal, Refused};
use crate::spend_file::{Found, SpendFileError, SpendFolder};
use crate::sync_client::{
    COMMANDS_MAX, Command, Hub, HubHandle, NodeClient, Parts, SettingsError, Status, SyncMetrics,
    SyncSettings, unborn,
};
use crate::waits::Waits;
use crate::wallet_cache::{Books, Feed, NoHold, SettledCall, WalletCache, WalletHold};

use self::asked::Asked;
#[doc(hidden)]
pub use self::offline::Offline;
use self::own::OwnCache;

mod asked;
mod offline;
mod own;
mod shadow;

/// How long one node may take to say who a key belongs to.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Times that a key is asked for again because something changed meanwhile.
const RESOLVE_AGAIN_MAX: usize = 3;
/// How often a wait looks for itself, in case nobody wakes it.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Silence after which the exchange counts as dead.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// The wallets of one gateway.
pub struct Metered {
    inner: Arc<Inner>,
}

struct Inner {
    environment: String,
    fetch_timeout: Duration,
    clock: Arc<dyn Clock>,
    wallets: Arc<WalletCache>,
    callers: Arc<CallerCache>,
    wallet_waits: Arc<Waits<WalletId>>,
    caller_waits: Waits<KeyHash>,
    clients: Vec<NodeClient>,
    hub: HubHandle,
    metrics: SyncMetrics,
    own: OwnCache,
    runtime: Handle,
}

/// Money set aside for one call.
#[derive(Debug)]
pub struct MeteredHold {
    hold: WalletHold,
    currency: Currency,
    /// Monotonic time of the decision.
    asked_at: Duration,
}

/// What a decision did not find in memory.
#[derive(Debug)]
pub struct Missing(Wanted);

#[derive(Debug)]
enum Wanted {
    Caller(KeyHash),
    Wallet(WalletId),
    Grant(WalletId),
}

/// Why a gateway cannot begin to meter.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings.
    #[error("settings of the gateway cannot be used")]
    Settings(#[from] SettingsError),
    /// The folder of spend files, or a full disk.
    #[error("spend files cannot be used")]
    SpendFile(#[from] SpendFileError),
    /// A gateway of this name has metrics in the registry already.
    #[error("metrics of the gateway cannot be registered")]
    Metrics(#[from] prometheus::Error),
}

/// Why a gateway is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// No incarnation takes calls: none is registered yet, or the gateway drains.
    #[error("no incarnation takes calls")]
    NoIncarnation,
    /// There is no stream to any balance-sync node.
    #[error("no stream to balance-sync")]
    NoStream,
    /// The exchange does not run any more.
    #[error("the exchange with balance-sync is silent for {} ms", silence.as_millis())]
    Silent {
        /// Since its newest sign of life.
        silence: Duration,
    },
}

// === impl Metered ===

impl Metered {
    /// Starts the exchange with balance-sync on the current runtime. Returns before a node was reached: until then calls are
    /// refused and the gateway is not ready.
    ///
    /// # Errors
    /// A [`StartError`]; nothing runs then.
    pub fn start(
        settings: &SyncSettings,
        registry: &Registry,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StartError> {
        Self::start_over(&Network::System, Disk::Apart, settings, registry, clock)
    }

    /// Starts it over a network and a way to wait for the disk that are passed in.
    ///
    /// # Errors
    /// As [`Metered::start`].
    #[doc(hidden)]
    pub fn start_over(
        network: &Network,
        disk: Disk,
        settings: &SyncSettings,
        registry: &Registry,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StartError> {
        settings.check()?;
        let token = settings.read_token()?;
        let endpoints = settings.endpoints()?;
        let addresses = settings.balance_sync.iter().zip(&endpoints);
        let clients: Vec<_> = addresses
            .map(|(address, endpoint)| NodeClient::new(address, endpoint, token.clone(), network))
            .collect();
        let folder = SpendFolder::open(&settings.spend_dir, &settings.gateway)?;
        let found = folder.found()?;
        // Synced before it is reported, so that what was reported cannot shrink between two starts.
        found.files.iter().try_for_each(|file| file.sync())?;
        let first = unborn(&folder)?;
        let metrics = SyncMetrics::new(registry, &settings.gateway)?;
        metrics.files_damaged.set(tell_damages(&found));
        let books = Arc::new(Books::new(Duration::from_millis(settings.staleness_limit_ms)));
        let wallets = Arc::new(WalletCache::new(books, settings.wallets_max));
        let catalogue_limit = Duration::from_millis(settings.catalogue_staleness_limit_ms);
        let callers = Arc::new(CallerCache::new(settings.callers_max, catalogue_limit));
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let status = Arc::new(Status::default());
        let parts = Parts {
            gateway: settings.gateway.clone(),
            bounds: settings.bounds(),
            retention: Duration::from_secs(
                settings.spend_file_retention_hours.saturating_mul(3_600),
            ),
            clock: Arc::clone(&clock),
            disk,
            wallets: Arc::clone(&wallets),
            callers: Arc::clone(&callers),
            wallet_waits: Arc::default(),
            folder,
            clients: clients.clone(),
            status: Arc::clone(&status),
            metrics: metrics.clone(),
        };
        let wallet_waits = Arc::clone(&parts.wallet_waits);
        let (hub, queues) = Hub::new(parts, found.files);
        tokio::spawn(hub.run(queues, first, queue));
        let inner = Inner {
            environment: settings.environment.clone(),
            fetch_timeout: Duration::from_millis(settings.fetch_timeout_ms),
            clock,
            wallets,
            callers,
            wallet_waits,
            caller_waits: Waits::default(),
            clients,
            hub: HubHandle { commands, status },
            metrics,
            own: OwnCache::default(),
            runtime: Handle::current(),
        };
        Ok(Arc::new(Self { inner: Arc::new(inner) }))
    }

    /// Whether calls can be admitted.
    ///
    /// # Errors
    /// A [`NotReady`] that says what is missing.
    pub fn readiness(&self) -> Result<(), NotReady> {
        let Inner { hub, wallets, clock, .. } = &*self.inner;
        let silence = hub.status.silence(clock.monotonic());
        if silence > SILENCE_MAX {
            return Err(NotReady::Silent { silence });
        }
        if wallets.books.lives.current().is_none() {
            return Err(NotReady::NoIncarnation);
        }
        if hub.status.has_node() { Ok(()) } else { Err(NotReady::NoStream) }
    }

    /// Admits nothing more and waits, no longer than `within`, until everything that was counted is durable and the
    /// incarnation's end is known. `false` where that took too long: the next start reports the rest from the spend file.
    pub async fn drain(&self, within: Duration) -> bool {
        self.inner.wallets.books.lives.switch(None);
        let (done, drained) = oneshot::channel();
        let asked = self.inner.hub.commands.send(Command::Drain(done));
        timeout(within, async { asked.await.is_ok() && drained.await.is_ok() })
            .await
            .unwrap_or(false)
    }
}

impl fmt::Debug for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metered").finish_non_exhaustive()
    }
}

impl Admission for Metered {
    type Hold = MeteredHold;
    type Missing = Missing;

    fn decide(&self, head: &CallHead<'_>) -> Decision<MeteredHold, Missing> {
        let decision = self.inner.decide(head);
        if head.proxy.shadow { shadow::spare(head, decision) } else { decision }
    }

    async fn fetch(&self, missing: Missing) -> Result<(), Refusal> {
        match missing.0 {
            Wanted::Caller(key) => self.inner.fetch_caller(key).await,
            Wanted::Wallet(wallet) => self.inner.fetch_wallet(wallet).await,
            Wanted::Grant(wallet) => self.inner.fetch_grant(wallet).await,
        }
    }

    async fn own(&self, question: OwnQuestion, key: Option<&str>) -> Result<Bytes, Refused> {
        self.inner.own(question, key).await
    }
}

// === impl MeteredHold ===

impl CallHold for MeteredHold {
    fn settle(self, multiplier: Multiplier) {
        self.hold.settle(multiplier.units, multiplier.excess);
    }

    fn settle_told(self, multiplier: Multiplier, elapsed: Duration) -> Option<CallReport> {
        let Self { hold, currency, asked_at } = self;
        let now = asked_at + elapsed;
        let settled = hold.settle_told(multiplier.units, multiplier.excess, now)?;
        let known = settled.view.map(|view| KnownBalance {
            balance: view.balance,
            available: view.available,
            age: view.as_of.map(|as_of| now.saturating_sub(as_of)),
        });
        let SettledCall { cost, receipt, view: _ } = settled;
        Some(CallReport { units: multiplier.units, cost, currency, known, receipt })
    }
}

// === impl Inner ===

impl Inner {
    fn decide(&self, head: &CallHead<'_>) -> Decision<MeteredHold, Missing> {
        let Some(key) = head.consumer_key else {
            return Decision::Refuse(Refusal::KeyMissing.into());
        };
        let key: KeyHash = Sha256::digest(key).into();
        let now = self.clock.monotonic();
        match self.callers.look(&key, now) {
            Look::Known(known) => self.judge(&known.caller, head, now),
            Look::Unknown => Decision::Refuse(Refusal::KeyUnknown.into()),
            Look::Missing => Decision::Missing(Missing(Wanted::Caller(key))),
        }
    }

    fn judge(
        &self,
        caller: &Caller,
        head: &CallHead<'_>,
        now: Duration,
    ) -> Decision<MeteredHold, Missing> {
        let Some(service_time) = self.wallets.books.service_time(now) else {
            return Decision::Refuse(Refusal::BalanceUnknown.into());
        };
        let product = match caller.product(head, service_time) {
            Ok(product) => product,
            Err(refusal) => return Decision::Refuse(refusal.into()),
        };
        let Some(plan) = product.plan(service_time) else {
            return match head.proxy.unpriced {
                Unpriced::Refuse => Decision::Refuse(Refusal::NoRatePlan.into()),
                Unpriced::Forward => {
                    self.metrics.calls_unpriced.inc();
                    Decision::Unpriced
                }
            };
        };
        // An answer without a multiplier takes one unit.
        let units_max = head.proxy.max_multiplier.unwrap_or(Units::ONE).max(Units::ONE);
        let asked = Asked { caller, product, plan, units_max, service_time, now };
        if plan.is_shadow || head.proxy.shadow {
            return self.shadow(&asked, head.failed);
        }
        if !product.is_subscribed(service_time) {
            return Decision::Refuse(Refusal::NoSubscription.into());
        }
        match plan.wallet {
            Some(wallet) => self.hold(wallet, &asked),
            None => Decision::Refuse(self.refused(Refusal::NoWallet, &asked, None)),
        }
    }

    fn hold(&self, wallet: WalletId, asked: &Asked<'_>) -> Decision<MeteredHold, Missing> {
        let missing = Decision::Missing(Missing(Wanted::Wallet(wallet)));
        let Some(entry) = self.wallets.get(wallet) else { return missing };
        let tariffs = &self.wallets.books.tariffs;
        let held = asked.plan.with_tariff(asked.service_time, tariffs, |tariff| {
            entry.hold(tariff, asked.caller.app, asked.units_max, asked.plan.credit, asked.now)
        });
        let (refusal, lack) = match held {
            Some(Ok(hold)) => return Decision::Admit(asked.metered(hold)),
            Some(Err(NoHold::Unknown)) => return missing,
            Some(Err(NoHold::Ungranted)) => {
                return Decision::Missing(Missing(Wanted::Grant(wallet)));
            }
            Some(Err(refused)) => refused.told(),
            // Its prices came with it, so they are there.
            None => (Refusal::MeterUnavailable, None),
        };
        Decision::Refuse(self.refused(refusal, asked, lack.as_deref()))
    }

    async fn fetch_wallet(&self, wallet: WalletId) -> Result<(), Refusal> {
        let waiting = async {
            let mut is_patient = true;
            loop {
                let (notify, is_first) = self.wallet_waits.join(wallet);
                let mut woken = pin!(notify.notified());
                woken.as_mut().enable();
                let entry = self.wallets.get(wallet);
                if entry.as_ref().is_some_and(|entry| entry.is_answerable(self.clock.monotonic())) {
                    self.wallet_waits.wake(&wallet);
                    return Ok(());
                }
                if !self.hub.status.has_node() {
                    return Err(Refusal::BalanceUnknown);
                }
                let is_idle = entry.is_none_or(|entry| entry.feed() == Feed::Idle);
                if is_idle && (is_first || !is_patient) {
                    let asked = self.hub.commands.try_send(Command::Subscribe(wallet));
                    asked.map_err(|_| Refusal::BalanceUnknown)?;
                }
                // Not woken in time: looks for itself, and asks as well.
                is_patient = timeout(LOOK_EVERY, woken).await.is_ok();
            }
        };
        timeout(self.fetch_timeout, waiting).await.unwrap_or(Err(Refusal::BalanceUnknown))
    }

    /// Waits for a node's answer to a call that a strict wallet's grant has no room for.
    async fn fetch_grant(&self, wallet: WalletId) -> Result<(), Refusal> {
        let waiting = async {
            loop {
                let (notify, _) = self.wallet_waits.join(wallet);
                let mut woken = pin!(notify.notified());
                woken.as_mut().enable();
                if self.wallets.get(wallet).is_none_or(|entry| !entry.wants()) {
                    self.wallet_waits.wake(&wallet);
                    return Ok(());
                }
                timeout(LOOK_EVERY, woken).await.ok();
            }
        };
        timeout(self.fetch_timeout, waiting).await.unwrap_or(Err(Refusal::BalanceUnknown))
    }

    async fn fetch_caller(self: &Arc<Self>, key: KeyHash) -> Result<(), Refusal> {
        let (notify, is_first) = self.caller_waits.join(key);
        let mut woken = pin!(notify.notified());
        woken.as_mut().enable();
        if is_first {
            // A task of its own: who asked first may hang up while others wait.
            let inner = Arc::clone(self);
            self.runtime.spawn(async move {
                inner.resolve(key).await;
                inner.caller_waits.wake(&key);
            });
        }
        timeout(self.fetch_timeout, woken).await.ok();
        match self.callers.look(&key, self.clock.monotonic()) {
            Look::Known(_) | Look::Unknown => Ok(()),
            Look::Missing => Err(Refusal::CallerUnknown),
        }
    }

    /// Asks balance-sync who a key belongs to and keeps the answer; keeps nothing where no node answers.
    async fn resolve(&self, key: KeyHash) {
        for _ in 0..=RESOLVE_AGAIN_MAX {
            let asked = self.callers.ask(self.clock.monotonic());
            let Some(answer) = self.ask_nodes(key).await else { return };
            let tariffs = &self.wallets.books.tariffs;
            let caller = answer.map(|wire| Caller::read(&wire, &self.environment, tariffs));
            match caller.transpose() {
                Ok(caller) => {
                    if self.callers.answer(key, asked, caller) {
                        return;
                    }
                }
                Err(unreadable) => {
                    error!(error = unreadable.to_line(), "answer of balance-sync is not read");
                    return;
                }
            }
        }
    }

    /// The first answer of a node; `Some(None)`: nobody's key.
    async fn ask_nodes(&self, key: KeyHash) -> Option<Option<v1::Caller>> {
        // Keys spread over the nodes; each goes on to the others.
        let first = usize::from(key[0]) % self.clients.len();
        let (before, after) = self.clients.split_at(first);
        for client in after.iter().chain(before) {
            let request = v1::ResolveKeyRequest { key_sha256: key.to_vec() };
            let answer = timeout(RESOLVE_TIMEOUT, client.resolve().resolve_key(request)).await;
            match answer {
                Ok(Ok(caller)) => return Some(Some(caller.into_inner())),
                Ok(Err(status)) if status.code() == tonic::Code::NotFound => return Some(None),
                Ok(Err(status)) => {
                    let (address, error) = (client.address(), status.message());
                    warn!(address, code = ?status.code(), error, "key was not resolved");
                }
                Err(_) => warn!(address = client.address(), "key was not resolved in time"),
            }
        }
        None
    }
}

/// Logs what cannot be read of the spend files that were found, and answers how many files that concerns.
fn tell_damages(found: &Found) -> i64 {
    for failure in &found.unreadable {
        error!(error = failure as &dyn std::error::Error, "spend file stays and is not reported");
    }
    let mut damaged = found.unreadable.len();
    for file in &found.files {
        damaged += usize::from(!file.damages().is_empty());
        for damage in file.damages() {
            error!(path = %file.path().display(), %damage, "spend file is damaged; the rest is reported");
        }
    }
    i64::try_from(damaged).unwrap_or(i64::MAX)
}
