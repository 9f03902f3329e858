//! A ledger with a developer, a wallet, a product and a plan, and nodes that serve it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate_balance_sync::{
    Access, Changes, Exposures, Parts, Role, RunError, Settings, StandingWatch, Token,
};
use tollgate_ledger_store::catalogue::apps::AppTerms;
use tollgate_ledger_store::catalogue::developers::DeveloperTerms;
use tollgate_ledger_store::catalogue::records::{
    Developer, Plan, PlanState, PlanTerms, PriceBand, PricingType, Product, ProductTerms,
};
use tollgate_ledger_store::sqlite::SqliteLedger;
use tollgate_ledger_store::{
    Book, Catalogue, Clock, DocumentStore, Ledger, LedgerMetrics, WalletRead,
};
use tollgate_metering::booking::Booking;
use tollgate_metering::{BillingType, Currency, Meter, Money, Period, Units, WalletId};
use uuid::Uuid;

use crate::ledger::{AwayLedger, SetClock};

pub(crate) const ACME: &str = "acme";
pub(crate) const ADA: &str = "ada@acme.test";
pub(crate) const GATEWAY_TOKEN: &str = "gateway-token";
pub(crate) const READ_TOKEN: &str = "read-token";
pub(crate) const ADMIN_TOKEN: &str = "admin-token";

/// A ledger file and what is in it.
pub(crate) struct Ground {
    pub(crate) ledger: Arc<AwayLedger>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) book: Book,
    pub(crate) wallet: WalletId,
    pub(crate) developer: Developer,
    pub(crate) product: Product,
    pub(crate) plan: Plan,
    pub(crate) key: String,
    folder: Arc<TempDir>,
}

/// A ledger file that was opened.
struct Opened {
    ledger: Arc<AwayLedger>,
    catalogue: Arc<Catalogue>,
    clock: Arc<SetClock>,
    book: Book,
    folder: Arc<TempDir>,
}

/// A node that runs.
pub(crate) struct TestNode {
    pub(crate) address: SocketAddr,
    pub(crate) changes: Changes,
    pub(crate) standing: StandingWatch,
    pub(crate) registry: prometheus::Registry,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), RunError>>,
}

pub(crate) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

pub(crate) fn units(text: &str) -> Units {
    text.parse().unwrap()
}

pub(crate) fn eur() -> Currency {
    "EUR".parse().unwrap()
}

pub(crate) fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Settings whose times are short.
pub(crate) fn settings() -> Settings {
    let token = |name, token, role| Token::new(name, token, role);
    let access = Access {
        tokens: vec![
            token("gateways", GATEWAY_TOKEN, Role::Gateway),
            token("portal", READ_TOKEN, Role::BalancesRead),
            token("people", ADMIN_TOKEN, Role::Admin),
        ],
        ..Access::default()
    };
    Settings {
        tick: Duration::from_millis(20),
        persist_interval: Duration::from_millis(20),
        read_interval: Duration::from_millis(100),
        idle_read_interval: Duration::from_millis(100),
        usage_interval: Duration::from_millis(50),
        catalogue_interval: Duration::from_millis(50),
        ledger_check_interval: Duration::from_millis(100),
        housekeeping_interval: Duration::from_millis(50),
        drain_timeout: Duration::from_secs(2),
        shards: 2,
        ..Settings::for_file(access)
    }
}

// === impl Ground ===

impl Ground {
    pub(crate) async fn new() -> Ground {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let ground = Ground::open(Arc::clone(&folder), Arc::new(SetClock::new()));
        ground.fill().await
    }

    /// The same ledger file, opened as another process does.
    pub(crate) fn again(&self) -> Ground {
        let opened = Ground::open(Arc::clone(&self.folder), Arc::clone(&self.clock));
        let Opened { ledger, catalogue, clock, book, folder } = opened;
        let (developer, product, plan) =
            (self.developer.clone(), self.product.clone(), self.plan.clone());
        let (wallet, key) = (self.wallet, self.key.clone());
        Ground { ledger, catalogue, clock, book, wallet, developer, product, plan, key, folder }
    }

    fn open(folder: Arc<TempDir>, clock: Arc<SetClock>) -> Opened {
        let metrics = LedgerMetrics::register(&prometheus::Registry::new()).unwrap();
        let path = folder.path().join("ledger.sqlite");
        let as_clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let file = SqliteLedger::open_with_clock(&path, metrics, Arc::clone(&as_clock)).unwrap();
        let file = Arc::new(file);
        let ledger = Arc::new(AwayLedger::new(Arc::clone(&file) as Arc<dyn Ledger>));
        let as_ledger = Arc::clone(&ledger) as Arc<dyn Ledger>;
        let documents = file as Arc<dyn DocumentStore>;
        let catalogue = Arc::new(Catalogue::new(documents, Arc::clone(&as_ledger)));
        let book = Book::new(as_ledger, Arc::clone(&catalogue) as Arc<_>, as_clock);
        Opened { ledger, catalogue, clock, book, folder }
    }

    /// A ground whose wallet has ten euro.
    pub(crate) async fn with_ten() -> Ground {
        let ground = Ground::new().await;
        ground.credit("10").await;
        ground
    }

    pub(crate) async fn credit(&self, amount: &str) {
        let booking = Booking {
            id: Uuid::new_v4().to_string(),
            at: self.clock.now(),
            by: "test".to_owned(),
            reason: String::new(),
            is_forced: false,
        };
        let amount = money(amount);
        self.book.credit(ACME, self.developer.id, eur(), &booking, amount).await.unwrap();
    }

    pub(crate) fn meter(&self) -> Meter {
        Meter {
            wallet: self.wallet,
            product: self.product.id,
            plan: self.plan.id,
            billing: BillingType::Prepaid,
            period: Period::of(self.clock.now()),
            revision: self.plan.revision,
        }
    }

    pub(crate) async fn read(&self) -> WalletRead {
        self.ledger.read(self.wallet).await.unwrap().unwrap()
    }

    pub(crate) async fn balance(&self) -> Money {
        self.book.standing(self.wallet).await.unwrap().balance
    }

    pub(crate) async fn node(&self) -> TestNode {
        self.node_with(settings()).await
    }

    pub(crate) async fn node_with(&self, settings: Settings) -> TestNode {
        let node = self.start(settings).await;
        eventually("the node serves", || async { node.standing.is_serving() }).await;
        node
    }

    /// A node that may not serve yet.
    pub(crate) async fn start(&self, settings: Settings) -> TestNode {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (changes, standing) = (Changes::default(), StandingWatch::default());
        let registry = prometheus::Registry::new();
        let parts = Parts {
            ledger: Arc::clone(&self.ledger) as Arc<dyn Ledger>,
            catalogue: Arc::clone(&self.catalogue),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            settings,
            registry: registry.clone(),
            changes: changes.clone(),
            standing: standing.clone(),
            exposures: Exposures::default(),
        };
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(tollgate_balance_sync::run(listener, parts, shutdown.clone()));
        TestNode { address, changes, standing, registry, shutdown, running }
    }
}

// === impl Opened ===

impl Opened {
    async fn fill(self) -> Ground {
        let Opened { ledger, catalogue, clock, book, folder } = self;
        let now = clock.now();
        catalogue.create_organization(ACME, "Acme", "", Vec::new(), now).await.unwrap();
        let terms = DeveloperTerms {
            email: ADA.to_owned(),
            first_name: "Ada".to_owned(),
            last_name: "Lovelace".to_owned(),
            user_name: "ada".to_owned(),
            ..DeveloperTerms::default()
        };
        let developer = catalogue.create_developer(ACME, &terms, now).await.unwrap();
        let terms = ProductTerms::default();
        let product = catalogue.create_product(ACME, "weather", &terms, now).await.unwrap();
        let plan = catalogue.create_plan(ACME, "weather", &plan_terms(now), now).await.unwrap();
        let terms = AppTerms { products: vec!["weather".to_owned()], ..AppTerms::default() };
        let app = catalogue.create_app(ACME, &developer, "shop", &terms, now).await.unwrap();
        let key = app.credentials[0].consumer_key.clone();
        let (wallet, _) = book.open_wallet(ACME, developer.id, eur()).await.unwrap();
        Ground { ledger, catalogue, clock, book, wallet, developer, product, plan, key, folder }
    }
}

fn plan_terms(now: tollgate_metering::UnixMillis) -> PlanTerms {
    PlanTerms {
        display_name: "standard".to_owned(),
        is_monthly: true,
        currency: Some(eur()),
        pricing: Some(PricingType::FixedPerUnit),
        bands: vec![PriceBand { start: None, end: None, fee: money("0.01") }],
        state: PlanState::Published,
        start: Some(now),
        ..PlanTerms::default()
    }
}

// === impl TestNode ===

impl TestNode {
    /// Shuts down and waits for the end.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }

    /// Begins a shutdown.
    pub(crate) fn begin_stop(&self) {
        self.shutdown.cancel();
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(self) {
        self.running.abort();
    }

    /// The value of a metric with these labels, summed over the others.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        // Nothing was counted yet.
        let Some(family) = families.iter().find(|family| family.name() == name) else { return 0.0 };
        let has_label = |metric: &&prometheus::proto::Metric| {
            label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label)
        };
        let metric = family.get_metric().iter().find(has_label);
        metric.map_or(0.0, |metric| {
            let gauge = metric.get_gauge().get_value();
            if gauge == 0.0 { metric.get_counter().get_value() } else { gauge }
        })
    }
}

/// Waits until it is so, for ten seconds at most.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    for _ in 0..1_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within ten seconds: {what}");
}
