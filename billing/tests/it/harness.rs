//! A site: a ledger, a simulator of Stripe, and processes of billing over both.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tollgate_billing::integrations::{IntegrationTerms, Keys};
use tollgate_billing::secret::{PublishableKey, SecretKey};
use tollgate_billing::stripe::{Direct, Transport};
use tollgate_billing::topups::{TopUp, TopUpAsk};
use tollgate_billing::{Billing, Integration, Intervals, Parts, Vault, stripe};
use tollgate_ledger_store::catalogue::developers::DeveloperTerms;
use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_ledger_store::catalogue::wallet_id;
use tollgate_ledger_store::{
    Book, Catalogue, Clock, DocumentStore, Ledger, LedgerMetrics, RateSource, SqliteLedger,
    SystemClock,
};
use tollgate_metering::{Currency, Money, UnixMillis};
use tollgate_stripe_simulator::{Settings, Simulator};

use crate::fault::{Called, Mortal};

pub(crate) const ORGANIZATION: &str = "acme";

/// Signs what tests send themselves; the simulator's own endpoints have others.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_of_the_tests";

/// The machine's clock, moved on by tests.
pub(crate) struct MovedClock {
    system: SystemClock,
    ahead_ms: AtomicI64,
}

/// Everything but the process of billing.
pub(crate) struct Site {
    pub(crate) simulator: Simulator,
    pub(crate) clock: Arc<MovedClock>,
    pub(crate) sqlite: Arc<SqliteLedger>,
    pub(crate) integration: Integration,
    pub(crate) developer: Developer,
    transport: Arc<dyn Transport>,
    _directory: TempDir,
}

impl Clock for MovedClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.system.now().0 + self.ahead_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic()
    }
}

// === impl Site ===

impl Site {
    pub(crate) async fn start() -> Site {
        Site::start_with(Settings::default()).await
    }

    pub(crate) async fn start_with(settings: Settings) -> Site {
        let simulator = Simulator::start(settings).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(MovedClock { system: SystemClock::start(), ahead_ms: 0.into() });
        let metrics = LedgerMetrics::register(&prometheus::Registry::new()).unwrap();
        let sqlite = SqliteLedger::open(&directory.path().join("ledger.sqlite"), metrics).unwrap();
        let sqlite = Arc::new(sqlite);
        let transport: Arc<dyn Transport> = Arc::new(Direct::new().unwrap());
        let places = Places { sqlite: &sqlite, clock: &clock, transport: &transport };
        let billing = places.billing(simulator.url(), &Mortal::new(None));
        let catalogue = Arc::clone(&billing.parts().catalogue);
        let now = clock.now();
        catalogue.create_organization(ORGANIZATION, "", "", Vec::new(), now).await.unwrap();
        let developer = add_developer(&catalogue, "ada@example.com", now).await;
        let keys = simulator.keys();
        let terms = IntegrationTerms {
            name: None,
            title: "Stripe".to_owned(),
            summary: String::new(),
            keys: Keys {
                publishable: PublishableKey::parse(&keys.publishable_test).unwrap(),
                secret: SecretKey::parse(&keys.secret_test).unwrap(),
            },
            webhook_secrets: vec![WEBHOOK_SECRET.to_owned()],
        };
        let integration = billing.create_integration(ORGANIZATION, &terms).await.unwrap();
        Site { simulator, clock, sqlite, integration, developer, transport, _directory: directory }
    }

    /// A process that lives.
    pub(crate) fn billing(&self) -> Billing {
        self.mortal(&Mortal::new(None))
    }

    /// A process that may die.
    pub(crate) fn mortal(&self, process: &Arc<Mortal>) -> Billing {
        let (sqlite, clock, transport) = (&self.sqlite, &self.clock, &self.transport);
        Places { sqlite, clock, transport }.billing(self.simulator.url(), process)
    }

    /// A process that lives, over another ledger.
    pub(crate) fn over(&self, sqlite: &Arc<SqliteLedger>) -> Billing {
        let (clock, transport) = (&self.clock, &self.transport);
        Places { sqlite, clock, transport }.billing(self.simulator.url(), &Mortal::new(None))
    }

    /// The time by our clock.
    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Moves our clock and Stripe's.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.ahead_ms.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
        self.simulator.advance(by).unwrap();
    }

    pub(crate) fn ask<'a>(&'a self, amount: &str, currency: &str) -> TopUpAsk<'a> {
        TopUpAsk {
            organization: ORGANIZATION,
            developer: &self.developer,
            currency: currency.parse().unwrap(),
            amount: amount.parse().unwrap(),
            transaction_id: None,
            payment_method: None,
            return_url: None,
            billing: None,
            by: "portal",
        }
    }

    /// What a wallet holds; nothing where there is none.
    pub(crate) async fn balance(&self, billing: &Billing, currency: &str) -> Money {
        let currency: Currency = currency.parse().unwrap();
        let wallet = wallet_id(self.developer.id, currency);
        match billing.parts().book.standing(wallet).await {
            Ok(standing) => standing.balance,
            Err(tollgate_ledger_store::BookError::NoWallet(_)) => Money::ZERO,
            Err(error) => panic!("{error}"),
        }
    }

    /// What Stripe has taken and not given back, in the smallest parts.
    pub(crate) fn taken(&self, currency: &str) -> i64 {
        let all = self.simulator.test().all_taken();
        let of = all.iter().filter(|((_, code), _)| code.eq_ignore_ascii_case(currency));
        of.map(|(_, taken)| taken.received - taken.refunded - taken.disputed).sum()
    }

    /// A top-up as it is stored.
    pub(crate) async fn stored(&self, billing: &Billing, id: uuid::Uuid) -> TopUp {
        billing.top_up(ORGANIZATION, self.developer.id, id).await.unwrap()
    }
}

pub(crate) async fn add_developer(
    catalogue: &Catalogue,
    email: &str,
    now: UnixMillis,
) -> Developer {
    let profile = DeveloperTerms {
        email: email.to_owned(),
        first_name: "Ada".to_owned(),
        last_name: "L".to_owned(),
        user_name: email.to_owned(),
        ..DeveloperTerms::default()
    };
    catalogue.create_developer(ORGANIZATION, &profile, now).await.unwrap()
}

/// What outlives a process.
struct Places<'a> {
    sqlite: &'a Arc<SqliteLedger>,
    clock: &'a Arc<MovedClock>,
    transport: &'a Arc<dyn Transport>,
}

impl Places<'_> {
    fn billing(&self, base: &str, process: &Arc<Mortal>) -> Billing {
        let ledger = Arc::clone(self.sqlite) as Arc<dyn Ledger>;
        let ledger: Arc<dyn Ledger> = Called::new(process, ledger);
        let documents = Arc::clone(self.sqlite) as Arc<dyn DocumentStore>;
        let documents: Arc<dyn DocumentStore> = Called::new(process, documents);
        let catalogue = Arc::new(Catalogue::new(Arc::clone(&documents), Arc::clone(&ledger)));
        let rates = Arc::clone(&catalogue) as Arc<dyn RateSource>;
        let clock = Arc::clone(self.clock) as Arc<dyn Clock>;
        let book = Arc::new(Book::new(Arc::clone(&ledger), rates, Arc::clone(&clock)));
        let transport: Arc<dyn Transport> = Called::new(process, Arc::clone(self.transport));
        Billing::new(Parts {
            documents,
            catalogue,
            ledger,
            book,
            clock,
            vault: Arc::new(Vault::new(&[[7; 32]]).unwrap()),
            stripe: stripe::Settings {
                base: base.to_owned(),
                answer_timeout: Duration::from_secs(2),
                retries_max: 1,
                pause: Duration::from_millis(2),
            },
            transport,
            intervals: Intervals::default(),
        })
    }
}
