//! What is there before the simulation begins: a ledger file with one developer, whose calls cost a cent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tollgate_ledger_store::catalogue::apps::AppTerms;
use tollgate_ledger_store::catalogue::caller::Window;
use tollgate_ledger_store::catalogue::developers::DeveloperTerms;
use tollgate_ledger_store::catalogue::records::{
    PlanState, PlanTerms, PriceBand, PricingType, ProductTerms,
};
use tollgate_ledger_store::{
    Book, Catalogue, Clock, DocumentStore, Ledger, LedgerMetrics, SqliteLedger,
};
use tollgate_metering::{BillingType, Currency, DeveloperId, Money, UnixMillis, WalletId};

use crate::ledger::{SimLedger, at_once};
use crate::time::SimTime;

pub(crate) const ACME: &str = "acme";
pub(crate) const ADA: &str = "ada@acme.test";
/// What a call costs.
pub(crate) const PRICE: &str = "0.01";

/// The ledger and what is in it.
pub(crate) struct Ground {
    pub(crate) seed: u64,
    pub(crate) time: SimTime,
    pub(crate) began: UnixMillis,
    /// The ledger as the fleet reaches it.
    pub(crate) ledger: Arc<SimLedger>,
    /// The ledger as it is, for the checks.
    pub(crate) truth: Book,
    pub(crate) developer: DeveloperId,
    pub(crate) wallet: WalletId,
    pub(crate) key: String,
    folder: TempDir,
    /// SQLite's readers are blocking tasks of a runtime.
    runtime: Runtime,
}

pub(crate) fn eur() -> Currency {
    "EUR".parse().unwrap()
}

pub(crate) fn price() -> Money {
    PRICE.parse().unwrap()
}

// === impl Ground ===

impl Ground {
    pub(crate) fn new(seed: u64, began: UnixMillis) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // Nothing here has to survive a power cut.
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.unwrap();
        let time = SimTime::default();
        let clock: Arc<dyn Clock> = Arc::new(time.clock(began, 0));
        let metrics = LedgerMetrics::register(&prometheus::Registry::new()).unwrap();
        let path = folder.path().join("ledger.sqlite");
        let file = SqliteLedger::open_with_clock(&path, metrics, Arc::clone(&clock)).unwrap();
        let file = Arc::new(file);
        let ledger = Arc::new(SimLedger::new(Arc::clone(&file), runtime.handle().clone(), seed));
        let still = Arc::clone(&file) as Arc<dyn DocumentStore>;
        let still = Arc::new(Catalogue::new(still, Arc::clone(&file) as Arc<dyn Ledger>));
        let truth = Book::new(file, Arc::clone(&still) as Arc<_>, clock);
        let (developer, wallet, key) = at_once(runtime.handle(), fill(&still, &truth, began));
        Self { seed, time, began, ledger, truth, developer, wallet, key, folder, runtime }
    }

    /// The folder of a gateway's spend files; it outlives the gateway.
    pub(crate) fn spend_dir(&self, gateway: &str) -> PathBuf {
        self.folder.path().join(gateway)
    }

    /// The catalogue and the book of a machine, over the ledger as it is reached.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        let documents = Arc::clone(&self.ledger) as Arc<dyn DocumentStore>;
        Arc::new(Catalogue::new(documents, Arc::clone(&self.ledger) as Arc<dyn Ledger>))
    }

    /// What the ledger says now: credited and balance.
    pub(crate) fn balance(&self) -> (Money, Money) {
        let standing = at_once(self.runtime.handle(), self.truth.standing(self.wallet)).unwrap();
        (standing.read.account.header.credited, standing.balance)
    }
}

async fn fill(
    catalogue: &Catalogue,
    book: &Book,
    now: UnixMillis,
) -> (DeveloperId, WalletId, String) {
    catalogue.create_organization(ACME, "Acme", "", Vec::new(), now).await.unwrap();
    let terms = DeveloperTerms {
        email: ADA.to_owned(),
        first_name: "Ada".to_owned(),
        last_name: "Lovelace".to_owned(),
        user_name: "ada".to_owned(),
        attributes: Vec::new(),
    };
    let developer = catalogue.create_developer(ACME, &terms, now).await.unwrap();
    let prepaid = BillingType::Prepaid;
    let developer = catalogue.set_billing(ACME, &developer.email, prepaid, now).await.unwrap();
    let terms = ProductTerms { proxies: vec!["weather".to_owned()], ..ProductTerms::default() };
    catalogue.create_product(ACME, "weather", &terms, now).await.unwrap();
    let terms = PlanTerms {
        display_name: "standard".to_owned(),
        is_monthly: true,
        currency: Some(eur()),
        pricing: Some(PricingType::FixedPerUnit),
        bands: vec![PriceBand { start: None, end: None, fee: price() }],
        state: PlanState::Published,
        start: Some(now.minus(Duration::from_secs(3_600))),
        ..PlanTerms::default()
    };
    catalogue.create_plan(ACME, "weather", &terms, now).await.unwrap();
    let terms = AppTerms { products: vec!["weather".to_owned()], ..AppTerms::default() };
    let app = catalogue.create_app(ACME, &developer, "shop", &terms, now).await.unwrap();
    let key = app.credentials[0].consumer_key.clone();
    // Clocks of nodes may be behind.
    let window = Window { start: now.minus(Duration::from_secs(3_600)), end: None };
    catalogue.begin_subscription(ACME, &developer, "weather", window, now).await.unwrap();
    let (wallet, _) = book.open_wallet(ACME, developer.id, eur()).await.unwrap();
    (developer.id, wallet, key)
}
