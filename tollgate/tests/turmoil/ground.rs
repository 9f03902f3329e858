//! What is there before the simulation begins: a ledger file with one developer, whose calls cost a cent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tollgate_ledger_store::book::Standing;
use tollgate_ledger_store::catalogue::apps::AppTerms;
use tollgate_ledger_store::catalogue::caller::Window;
use tollgate_ledger_store::catalogue::developers::DeveloperTerms;
use tollgate_ledger_store::catalogue::records::{
    PlanState, PlanTerms, PriceBand, PricingType, ProductTerms,
};
use tollgate_ledger_store::ledger::Registration;
use tollgate_ledger_store::{
    Book, Catalogue, CatalogueError, Clock, DocumentStore, Ledger, LedgerMetrics, SqliteLedger,
};
use tollgate_metering::account::Overspend;
use tollgate_metering::{
    BillingType, Currency, DeveloperId, Incarnation, Money, Units, UnixMillis, WalletId,
};

use crate::ledger::{SimLedger, at_once};
use crate::randomness::Rng;
use crate::schedule::NODES;
use crate::time::SimTime;

pub(crate) const ACME: &str = "acme";
pub(crate) const ADA: &str = "ada@acme.test";
/// Nanos of a unit.
const UNIT_NANOS: i128 = 1_000_000_000;

/// What a call costs.
pub(crate) const PRICE: &str = "0.01";

/// The ledger and what is in it.
pub(crate) struct Ground {
    pub(crate) seed: u64,
    pub(crate) time: SimTime,
    pub(crate) began: UnixMillis,
    /// The ledger as each node reaches it, and as people do.
    pub(crate) roads: Vec<Arc<SimLedger>>,
    /// The ledger as it is, for the checks.
    pub(crate) truth: Book,
    pub(crate) developer: DeveloperId,
    pub(crate) wallet: WalletId,
    pub(crate) key: String,
    /// The ledger's file, on no road.
    file: Arc<SqliteLedger>,
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

/// What units cost, in nanos.
pub(crate) fn worth(units: Units) -> i128 {
    let nanos = i128::try_from(units.nanos()).expect("units are few");
    nanos * price().nanos() / UNIT_NANOS
}

// === impl Ground ===

impl Ground {
    /// A wallet under this policy, and nothing in it.
    pub(crate) fn new(seed: u64, began: UnixMillis, policy: Overspend) -> Self {
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
        let road = |number| {
            let rng = Rng::new(seed, 1_000 + number);
            Arc::new(SimLedger::new(Arc::clone(&file), runtime.handle().clone(), rng))
        };
        let roads = (0..=NODES).map(road).collect();
        let still = Arc::clone(&file) as Arc<dyn DocumentStore>;
        let still = Arc::new(Catalogue::new(still, Arc::clone(&file) as Arc<dyn Ledger>));
        let truth =
            Book::new(Arc::clone(&file) as Arc<dyn Ledger>, Arc::clone(&still) as Arc<_>, clock);
        let (developer, wallet, key) = at_once(runtime.handle(), fill(&still, &truth, began));
        // No incarnation is there yet that would have to acknowledge it.
        let deciding = decide(&still, developer, wallet, policy, began);
        at_once(runtime.handle(), deciding).unwrap();
        Self { seed, time, began, roads, truth, developer, wallet, key, file, folder, runtime }
    }

    /// The folder of a gateway's spend files; it outlives the gateway.
    pub(crate) fn spend_dir(&self, gateway: &str) -> PathBuf {
        self.folder.path().join(gateway)
    }

    /// A gateway's spend files are gone, as far as it knows.
    pub(crate) fn lose_disk(&self, gateway: &str) {
        std::fs::rename(self.spend_dir(gateway), self.lost_dir(gateway)).unwrap();
    }

    /// They are found, and lie beside what it wrote since.
    pub(crate) fn find_disk(&self, gateway: &str) {
        for file in std::fs::read_dir(self.lost_dir(gateway)).unwrap() {
            let file = file.unwrap();
            std::fs::rename(file.path(), self.spend_dir(gateway).join(file.file_name())).unwrap();
        }
    }

    fn lost_dir(&self, gateway: &str) -> PathBuf {
        self.folder.path().join(format!("{gateway}-lost"))
    }

    /// A gateway's youngest incarnation.
    pub(crate) fn registration(&self, gateway: &str) -> Registration {
        let all = at_once(self.runtime.handle(), self.file.registrations()).unwrap();
        let own = all.into_iter().filter(|each| each.gateway == gateway);
        own.max_by_key(|each| each.incarnation.born).expect("it has started")
    }

    /// What counts of an incarnation that was retired.
    pub(crate) fn cut(&self, incarnation: Incarnation) -> Option<Units> {
        let account = self.standing().read.account;
        account.ceilings.get(&incarnation).filter(|ceiling| ceiling.is_retired)?;
        let cells = account.cells.iter().filter(|((_, owner), _)| *owner == incarnation);
        let cuts = cells.filter_map(|(_, cell)| cell.cut);
        Some(cuts.fold(Units::ZERO, |sum, cut| sum.plus(cut).expect("units are few")))
    }

    /// What waits in suspense, of one incarnation or of all, in nanos of money.
    pub(crate) fn suspended(&self, of: Option<Incarnation>) -> i128 {
        let rows = at_once(self.runtime.handle(), self.truth.suspense(self.wallet)).unwrap();
        let rows = rows.iter().filter(|row| of.is_none_or(|of| row.suspense.incarnation == of));
        rows.map(|row| worth(row.open)).sum()
    }

    /// The ledger as a node reaches it.
    pub(crate) fn road_of(&self, node: u64) -> &Arc<SimLedger> {
        &self.roads[usize::try_from(node).expect("a fleet is small")]
    }

    /// The ledger as people reach it.
    pub(crate) fn road_of_people(&self) -> &Arc<SimLedger> {
        self.road_of(NODES)
    }

    /// What the ledger says now.
    pub(crate) fn standing(&self) -> Standing {
        at_once(self.runtime.handle(), self.truth.standing(self.wallet)).unwrap()
    }

    /// What the ledger says now: credited and balance.
    pub(crate) fn balance(&self) -> (Money, Money) {
        let standing = self.standing();
        (standing.read.account.header.credited, standing.balance)
    }
}

/// The catalogue of a machine, over the ledger as that reaches it.
pub(crate) fn catalogue(road: &Arc<SimLedger>) -> Arc<Catalogue> {
    let documents = Arc::clone(road) as Arc<dyn DocumentStore>;
    Arc::new(Catalogue::new(documents, Arc::clone(road) as Arc<dyn Ledger>))
}

/// Sets the wallet's overspend policy, as management does: what people want, then the account that follows it.
pub(crate) async fn decide(
    catalogue: &Catalogue,
    developer: DeveloperId,
    wallet: WalletId,
    policy: Overspend,
    now: UnixMillis,
) -> Result<(), CatalogueError> {
    catalogue.set_wallet_overspend(ACME, developer, eur(), Some(policy), now).await?;
    catalogue.apply_overspend(wallet, now).await?;
    Ok(())
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
        ..DeveloperTerms::default()
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
