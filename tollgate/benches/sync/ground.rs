//! A ledger with many wallets, copied for each round, and the node that serves a copy.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate_balance_sync::{
    Access, Changes, Exposures, Parts, Role, RunError, Settings, StandingWatch, Token,
};
use tollgate_ledger_store::catalogue::apps::AppTerms;
use tollgate_ledger_store::catalogue::caller::Window;
use tollgate_ledger_store::catalogue::developers::DeveloperTerms;
use tollgate_ledger_store::catalogue::keys::NewKey;
use tollgate_ledger_store::catalogue::records::{
    PlanState, PlanTerms, PriceBand, PricingType, ProductTerms,
};
use tollgate_ledger_store::sqlite::SqliteLedger;
use tollgate_ledger_store::{
    Book, Catalogue, Clock, DocumentStore, Ledger, LedgerMetrics, SystemClock,
};
use tollgate_metering::booking::Booking;
use tollgate_metering::{BillingType, DeveloperId, Money, WalletId};
use uuid::Uuid;

use crate::Arm;

/// Wallets that run dry.
pub(crate) const DRY: usize = 20;
/// What they begin with: 500 calls.
const DRY_MONEY: &str = "5";
/// What the others begin with.
const RICH_MONEY: &str = "1000";
/// What a call costs, in nanos.
const PRICE_NANOS: i128 = 10_000_000;
pub(crate) const TOKEN: &str = "gateway";
const ORGANIZATION: &str = "bench";
const PRODUCT: &str = "weather";
const CURRENCY: &str = "EUR";
/// Developers that are made at once.
const MAKERS: usize = 64;

/// The ledger that rounds copy.
pub(crate) struct Ground {
    dir: TempDir,
}

/// One round's ledger and node.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    book: Book,
    catalogue: Arc<Catalogue>,
    registry: prometheus::Registry,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), RunError>>,
    _dir: TempDir,
}

/// What a node counts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    registers: f64,
    holds: f64,
    usage: f64,
    pub(crate) reads: f64,
    pub(crate) messages: f64,
    pub(crate) reports: f64,
}

/// A ledger file, opened.
struct Opened {
    ledger: Arc<SqliteLedger>,
    catalogue: Arc<Catalogue>,
    book: Book,
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// The consumer key of a wallet by its number; the rich ones come first, then those that run dry, then the hot one.
pub(crate) fn key(number: usize) -> String {
    format!("key-{number:020}")
}

fn email(number: usize) -> String {
    format!("developer-{number}@bench.test")
}

fn open(path: &Path) -> Opened {
    let metrics = LedgerMetrics::register(&prometheus::Registry::new()).unwrap();
    let ledger = Arc::new(SqliteLedger::open(path, metrics).unwrap());
    let as_ledger = Arc::clone(&ledger) as Arc<dyn Ledger>;
    let documents = Arc::clone(&ledger) as Arc<dyn DocumentStore>;
    let catalogue = Arc::new(Catalogue::new(documents, Arc::clone(&as_ledger)));
    let rates = Arc::clone(&catalogue) as Arc<_>;
    let book = Book::new(as_ledger, rates, Arc::new(SystemClock::start()));
    Opened { ledger, catalogue, book }
}

fn booking() -> Booking {
    let (id, by) = (Uuid::new_v4().to_string(), "bench".to_owned());
    let at = SystemClock::start().now();
    Booking { id, at, by, reason: String::new(), is_forced: false }
}

// === impl Ground ===

impl Ground {
    /// Makes so many rich wallets, those that run dry, and the hot one.
    pub(crate) async fn fill(rich: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let opened = open(&dir.path().join("ledger.sqlite"));
        let (catalogue, now) = (&opened.catalogue, SystemClock::start().now());
        catalogue.create_organization(ORGANIZATION, "Bench", "", Vec::new(), now).await.unwrap();
        let terms = ProductTerms::default();
        catalogue.create_product(ORGANIZATION, PRODUCT, &terms, now).await.unwrap();
        let plan = PlanTerms {
            display_name: "standard".to_owned(),
            is_monthly: true,
            currency: Some(CURRENCY.parse().unwrap()),
            pricing: Some(PricingType::FixedPerUnit),
            bands: vec![PriceBand { start: None, end: None, fee: money("0.01") }],
            state: PlanState::Published,
            start: Some(now),
            ..PlanTerms::default()
        };
        catalogue.create_plan(ORGANIZATION, PRODUCT, &plan, now).await.unwrap();
        let makers = (0..=rich + DRY).map(|number| {
            let credit = if number < rich { RICH_MONEY } else { DRY_MONEY };
            opened.make(number, credit)
        });
        futures_util::stream::iter(makers).buffer_unordered(MAKERS).collect::<Vec<()>>().await;
        drop(opened);
        // The writer's thread ends behind: only then is everything in the one file.
        while std::fs::read_dir(dir.path()).unwrap().count() > 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { dir }
    }
}

// === impl Opened ===

impl Opened {
    async fn make(&self, number: usize, credit: &str) {
        let (catalogue, now) = (&self.catalogue, SystemClock::start().now());
        let terms = DeveloperTerms {
            email: email(number),
            first_name: "Ada".to_owned(),
            last_name: "Lovelace".to_owned(),
            user_name: format!("ada-{number}"),
            ..DeveloperTerms::default()
        };
        let made = catalogue.create_developer(ORGANIZATION, &terms, now).await.unwrap();
        let prepaid = BillingType::Prepaid;
        let developer =
            catalogue.set_billing(ORGANIZATION, &made.email, prepaid, now).await.unwrap();
        let terms = AppTerms::default();
        catalogue.create_app(ORGANIZATION, &developer, "shop", &terms, now).await.unwrap();
        let (consumer_key, consumer_secret) = (key(number), "secret".to_owned());
        let key = NewKey { consumer_key, consumer_secret, expires_at: None };
        let products = [PRODUCT.to_owned()];
        catalogue.create_key(ORGANIZATION, &developer, "shop", key, &products, now).await.unwrap();
        let window = Window { start: now, end: None };
        catalogue.begin_subscription(ORGANIZATION, &developer, PRODUCT, window, now).await.unwrap();
        self.credit(developer.id, money(credit)).await;
    }

    async fn credit(&self, developer: DeveloperId, amount: Money) {
        let currency = CURRENCY.parse().unwrap();
        self.book.open_wallet(ORGANIZATION, developer, currency).await.unwrap();
        self.book.credit(ORGANIZATION, developer, currency, &booking(), amount).await.unwrap();
    }
}

// === impl Node ===

impl Node {
    /// Serves a copy of the ledger.
    pub(crate) async fn start(ground: &Ground, arm: Arm) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(ground.dir.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
        }
        let Opened { ledger, catalogue, book } = open(&dir.path().join("ledger.sqlite"));
        let tokens = vec![Token::new("gateways", TOKEN, Role::Gateway)];
        let access = Access { tokens, ..Access::default() };
        let adaptive = Settings::for_file(access);
        let settings = match arm {
            Arm::Adaptive => adaptive,
            Arm::Fixed => Settings {
                tick: Duration::from_millis(100),
                persist_interval: Duration::from_millis(100),
                idle_read_interval: Duration::from_secs(1),
                ..adaptive
            },
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (registry, standing) = (prometheus::Registry::new(), StandingWatch::default());
        let parts = Parts {
            ledger,
            catalogue: Arc::clone(&catalogue),
            clock: Arc::new(SystemClock::start()),
            settings,
            registry: registry.clone(),
            changes: Changes::default(),
            standing: standing.clone(),
            exposures: Exposures::default(),
        };
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(tollgate_balance_sync::run(listener, parts, shutdown.clone()));
        while !standing.is_serving() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { address, book, catalogue, registry, shutdown, running, _dir: dir }
    }

    pub(crate) fn counts(&self) -> Counts {
        let families = self.registry.gather();
        let sum = |name: &str, label: &str| {
            let family = families.iter().find(|family| family.name() == name);
            let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
            let is_meant = |metric: &&prometheus::proto::Metric| {
                label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label)
            };
            let counted = metrics.iter().filter(is_meant);
            counted.map(|metric| metric.get_counter().get_value()).sum::<f64>()
        };
        let rows = "tollgate_sync_rows_written_total";
        Counts {
            registers: sum(rows, "register"),
            holds: sum(rows, "hold"),
            usage: sum(rows, "usage"),
            reads: sum("tollgate_sync_wallet_reads_total", ""),
            messages: sum("tollgate_sync_messages_total", ""),
            reports: sum("tollgate_sync_reports_total", ""),
        }
    }

    async fn wallet(&self, number: usize) -> (DeveloperId, WalletId) {
        let developer = self.catalogue.developer(ORGANIZATION, &email(number)).await.unwrap();
        let currency = CURRENCY.parse().unwrap();
        (developer.id, tollgate_ledger_store::catalogue::wallet_id(developer.id, currency))
    }

    /// How far the dry wallets are below zero together, and how many calls all wallets were charged.
    pub(crate) async fn books(&self, rich: usize) -> (f64, i128) {
        let (mut below, mut charged) = (0, 0);
        for number in 0..rich + DRY {
            let (_, wallet) = self.wallet(number).await;
            let balance = self.book.standing(wallet).await.unwrap().balance.nanos();
            let credited = money(if number < rich { RICH_MONEY } else { DRY_MONEY }).nanos();
            charged += (credited - balance) / PRICE_NANOS;
            below += balance.min(0);
        }
        (-below as f64 / 1e9, charged)
    }

    /// Pays into the hot wallet.
    pub(crate) async fn credit_hot(&self, amount: u64) {
        let number = hot_number();
        let (developer, _) = self.wallet(number).await;
        let currency = CURRENCY.parse().unwrap();
        let amount = money(&amount.to_string());
        let booking = booking();
        self.book.credit(ORGANIZATION, developer, currency, &booking, amount).await.unwrap();
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

/// The hot wallet's number: the last.
pub(crate) fn hot_number() -> usize {
    usize::try_from(crate::variable("WALLETS", 10_000)).unwrap() + DRY
}

// === impl Counts ===

impl Counts {
    pub(crate) fn since(self, before: &Counts) -> Counts {
        Counts {
            registers: self.registers - before.registers,
            holds: self.holds - before.holds,
            usage: self.usage - before.usage,
            reads: self.reads - before.reads,
            messages: self.messages - before.messages,
            reports: self.reports - before.reports,
        }
    }

    pub(crate) fn per(self, seconds: f64) -> Counts {
        Counts {
            registers: self.registers / seconds,
            holds: self.holds / seconds,
            usage: self.usage / seconds,
            reads: self.reads / seconds,
            messages: self.messages / seconds,
            reports: self.reports / seconds,
        }
    }

    pub(crate) fn rows(&self) -> f64 {
        self.registers + self.holds + self.usage
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { registers, holds, usage, reads, messages, reports } = self;
        let rows = self.rows();
        write!(
            f,
            "{rows:.0} rows/s (registers {registers:.0}, holds {holds:.0}, usage {usage:.0}), {reads:.0} reads/s, \
             {reports:.0} reports/s, {messages:.0} messages/s to gateways"
        )
    }
}
