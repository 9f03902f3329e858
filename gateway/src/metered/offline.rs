//! A gateway's wallets without balance-sync, for measuring decisions: callers and snapshots are put in by hand.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tollgate_metering::protocol::Snapshot;
use tollgate_metering::wallet::OwnList;
use tollgate_metering::{Incarnation, Money, UnixMillis, WalletId};
use tollgate_proto::v1;
use uuid::Uuid;

use super::own::OwnCache;
use super::{Inner, Metered, StartError};
use crate::caller_cache::{Caller, CallerCache};
use crate::clock::Clock;
use crate::spend_file::SpendFolder;
use crate::sync_client::{HubHandle, Status, SyncMetrics};
use crate::waits::Waits;
use crate::wallet_cache::{Books, WalletCache};

/// Longer than a measurement.
const FOREVER: Duration = Duration::from_secs(1_000_000);
const PRODUCT: u128 = 1 << 64;
const PLAN: u128 = 2 << 64;

/// Wallets that nobody tells about.
#[derive(Debug)]
pub struct Offline(pub Arc<Metered>);

impl Offline {
    /// A gateway that admits calls, with its spend file in `dir` and no wallet yet.
    ///
    /// # Errors
    /// A [`StartError`].
    pub fn new(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let file = SpendFolder::open(dir, "offline")?
            .create(Incarnation { born: UnixMillis(1), id: Uuid::from_u128(1) }, 1)?;
        let books = Arc::new(Books::new(FOREVER));
        let life = books.lives.add(Arc::new(file)).map(|own| own.life);
        books.lives.switch(life);
        books.hear(UnixMillis(clock.unix_us() / 1_000), clock.monotonic());
        let (commands, _) = mpsc::channel(1);
        Ok(Self(Arc::new(Metered {
            inner: Arc::new(Inner {
                environment: String::new(),
                fetch_timeout: Duration::ZERO,
                clock,
                wallets: Arc::new(WalletCache::new(books, usize::MAX)),
                callers: Arc::new(CallerCache::new(usize::MAX, FOREVER)),
                wallet_waits: Arc::default(),
                caller_waits: Waits::default(),
                clients: Vec::new(),
                hub: HubHandle { commands, status: Arc::new(Status::default()) },
                metrics: SyncMetrics::new(&Registry::new(), "offline")?,
                own: OwnCache::default(),
                runtime: Handle::current(),
            }),
        })))
    }

    /// Adds who the key belongs to: the developer with this wallet, at a cent a call.
    pub fn add_caller(&self, key: &str, wallet: WalletId) {
        let inner = &self.0.inner;
        let id = |number: u128| Uuid::from_u128(number).as_bytes().to_vec();
        let price = Some(v1::Money { units: 0, nanos: 10_000_000 });
        let window = v1::Window { start_ms: 0, end_ms: 0 };
        let bands = vec![v1::Band { up_to: None, price }];
        let revision =
            Some(v1::RatePlanRevision { plan: id(PLAN), revision: 1, bands, ..Default::default() });
        let plan = v1::Plan {
            revision,
            currency: "EUR".to_owned(),
            window: Some(window),
            is_shadow: false,
        };
        let wire = v1::Caller {
            app_id: Uuid::from_u128(77).as_bytes().to_vec(),
            developer: id(wallet.0.as_u128()),
            is_developer_active: true,
            is_app_approved: true,
            is_key_approved: true,
            billing_type: v1::BillingType::Prepaid.into(),
            products: vec![v1::ProductAccess {
                product: id(PRODUCT),
                is_approved: true,
                operations: vec![v1::Operation { resource: "/**".to_owned(), methods: vec![] }],
                plans: vec![plan],
                subscriptions: vec![window],
                ..Default::default()
            }],
            wallets: vec![v1::Wallet {
                wallet: id(wallet.0.as_u128()),
                currency: "EUR".to_owned(),
                credit_limit: None,
            }],
            ..Default::default()
        };
        let caller = Caller::read(&wire, "", &inner.wallets.books.tariffs);
        let asked = inner.callers.ask(inner.clock.monotonic());
        inner.callers.answer(Sha256::digest(key).into(), asked, caller.ok());
    }

    /// Adds a wallet with a million.
    pub fn add_wallet(&self, wallet: WalletId) {
        let inner = &self.0.inner;
        let snapshot = Snapshot {
            wallet,
            generation: 1,
            version: 1,
            retirements: 0,
            own_list: 1,
            answered_seq: 1,
            base: Money::from_units_nanos(1_000_000, 0).unwrap_or(Money::ZERO),
            floor: Money::ZERO,
            mode: Default::default(),
            horizon: UnixMillis(0),
            meters: Vec::new(),
            others_held: Money::ZERO,
            ceilings: Vec::new(),
        };
        let own = OwnList { number: 1, since: Duration::ZERO, has: &|_| true, life_of: &|_| None };
        let now = Some(inner.clock.monotonic());
        if let Some(entry) = inner.wallets.get_or_make(wallet) {
            // Without meters there is no price that could be missing.
            entry.snapshot(&snapshot, now, own).ok();
        }
    }

    /// Forgets what there is to report, as a report would.
    pub fn report(&self) -> usize {
        let changed = self.0.inner.wallets.take_changed();
        for entry in &changed {
            entry.take_changes(&mut |_| {});
        }
        changed.len()
    }
}
