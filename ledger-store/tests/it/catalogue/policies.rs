//! Overspend policies: whose counts, and that a wallet's account follows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tollgate_ledger_store::catalogue::developers::DeveloperTerms;
use tollgate_ledger_store::catalogue::overspend::{OVERSPEND_ATTRIBUTE, SeenPolicies};
use tollgate_ledger_store::catalogue::records::{Approval, Attribute, Developer, ProductTerms};
use tollgate_ledger_store::{Book, CatalogueError, Ledger, LedgerError, RateSource};
use tollgate_metering::account::{Mode, Overspend};
use tollgate_metering::{Currency, DeveloperId, PlanId, Rates, UnixMillis, WalletId};

use super::desk::{ACME, Desk, always, later, published, terms};
use crate::fixtures::{NOON, Prices, TestClock, booking, money};

const EMAIL: &str = "ada@example.com";

fn eur() -> Currency {
    "EUR".parse().unwrap()
}

fn says(policy: &str) -> Vec<Attribute> {
    let name = OVERSPEND_ATTRIBUTE.to_owned();
    vec![Attribute { name, value: policy.to_owned() }]
}

fn product_that_says(policy: &str) -> ProductTerms {
    ProductTerms { attributes: says(policy), ..ProductTerms::default() }
}

// === impl Desk ===

impl Desk {
    async fn mode(&self, wallet: WalletId) -> Mode {
        self.ledger.read(wallet).await.unwrap().unwrap().account.header.mode
    }

    /// The policy of the account after it was brought in line, which the pass agrees with.
    async fn applied(&self, wallet: WalletId, now: UnixMillis) -> Overspend {
        let header = self.ledger.read(wallet).await.unwrap().unwrap().account.header;
        let mut seen = SeenPolicies::default();
        let is_off = self.catalogue.seems_off(&header, &mut seen, now).await.unwrap();
        let has_begun = self.catalogue.apply_overspend(wallet, now).await.unwrap();
        assert_eq!(is_off, has_begun, "the pass looks for what is applied");
        assert!(!self.catalogue.apply_overspend(wallet, now).await.unwrap(), "once is enough");
        self.mode(wallet).await.overspend
    }

    async fn set_organization(&self, policy: &str) {
        self.catalogue.update_organization(ACME, "Acme", "", &says(policy), NOON).await.unwrap();
    }

    async fn set_developer(&self, attributes: Vec<Attribute>) {
        let changed = DeveloperTerms { attributes, ..terms(EMAIL) };
        self.catalogue.update_developer(ACME, EMAIL, &changed, NOON).await.unwrap();
    }

    async fn set_wallet(&self, developer: &Developer, policy: Option<Overspend>) {
        let set = self.catalogue.set_wallet_overspend(ACME, developer.id, eur(), policy, NOON);
        set.await.unwrap();
    }
}

#[tokio::test]
async fn the_narrowest_policy_reaches_the_account() {
    let desk = Desk::open().await;
    let ada = desk.developer(EMAIL).await;
    let wallet = desk.catalogue.open_wallet(ACME, ada.id, eur(), NOON).await.unwrap();
    assert_eq!(desk.applied(wallet, NOON).await, Overspend::Optimistic);
    assert_eq!(desk.mode(wallet).await, Mode::default(), "nothing was to be changed");

    desk.set_organization("strict").await;
    assert_eq!(desk.applied(wallet, NOON).await, Overspend::Strict);
    let begun = Mode { overspend: Overspend::Strict, counter: 1, is_changing: true };
    assert_eq!(desk.mode(wallet).await, begun, "gateways have to acknowledge it");

    desk.set_developer(says("optimistic")).await;
    assert_eq!(desk.applied(wallet, NOON).await, Overspend::Optimistic);
    desk.set_wallet(&ada, Some(Overspend::Strict)).await;
    assert_eq!(desk.applied(wallet, NOON).await, Overspend::Strict);
    // A policy is the wallet's, not its developer's in every currency.
    let usd = "USD".parse().unwrap();
    let other = desk.catalogue.open_wallet(ACME, ada.id, usd, NOON).await.unwrap();
    assert_eq!(desk.applied(other, NOON).await, Overspend::Optimistic);

    desk.set_wallet(&ada, None).await;
    assert_eq!(desk.applied(wallet, NOON).await, Overspend::Optimistic);
    desk.set_developer(Vec::new()).await;
    assert_eq!(desk.applied(wallet, NOON).await, Overspend::Strict);
}

#[tokio::test]
async fn products_count_that_an_approved_key_or_a_subscription_covers() {
    let desk = Desk::open().await;
    let ada = desk.developer(EMAIL).await;
    let wallet = desk.catalogue.open_wallet(ACME, ada.id, eur(), NOON).await.unwrap();
    let catalogue = &desk.catalogue;
    desk.set_organization("strict").await;
    for (name, policy) in [("lax", "optimistic"), ("safe", "strict"), ("bought", "strict")] {
        catalogue.create_product(ACME, name, &product_that_says(policy), NOON).await.unwrap();
    }
    assert_eq!(desk.applied(wallet, NOON).await, Overspend::Strict, "none is covered");
    let app = desk.app(&ada, "shop", &["lax", "safe"]).await;
    let key = &app.credentials[0].consumer_key;
    assert_eq!(desk.applied(wallet, NOON).await, Overspend::Strict, "strict beats optimistic");

    let on_key = ("shop", key.as_str(), "safe");
    let revoked = Some(Approval::Revoked);
    catalogue.set_key_product(ACME, &ada, on_key, revoked, NOON).await.unwrap();
    assert_eq!(desk.applied(wallet, NOON).await, Overspend::Optimistic);
    let revoked = Approval::Revoked;
    catalogue.set_key_status(ACME, &ada, "shop", key, revoked, NOON).await.unwrap();
    assert_eq!(desk.applied(wallet, NOON).await, Overspend::Strict, "the organization's");
    catalogue.set_key_status(ACME, &ada, "shop", key, Approval::Approved, NOON).await.unwrap();
    assert_eq!(desk.applied(wallet, NOON).await, Overspend::Optimistic);
    catalogue.set_app_status(ACME, &ada, "shop", revoked, NOON).await.unwrap();
    assert_eq!(desk.applied(wallet, NOON).await, Overspend::Strict);
    catalogue.set_app_status(ACME, &ada, "shop", Approval::Approved, NOON).await.unwrap();

    desk.plan("bought", &published("1", 0, None)).await.unwrap();
    let bought = catalogue.begin_subscription(ACME, &ada, "bought", always(), NOON).await.unwrap();
    assert_eq!(desk.applied(wallet, NOON).await, Overspend::Strict);
    let id = bought.id.to_string();
    catalogue.expire_subscription(ACME, &ada, &id, later(5)).await.unwrap();
    assert_eq!(desk.applied(wallet, later(4)).await, Overspend::Strict);
    assert_eq!(desk.applied(wallet, later(5)).await, Overspend::Optimistic);
}

#[tokio::test]
async fn a_wallet_is_opened_under_its_policy() {
    let desk = Desk::open().await;
    let ada = desk.developer(EMAIL).await;
    desk.set_wallet(&ada, Some(Overspend::Strict)).await;
    let wallet = desk.catalogue.open_wallet(ACME, ada.id, eur(), NOON).await.unwrap();
    let in_force = Mode { overspend: Overspend::Strict, counter: 1, is_changing: false };
    assert_eq!(desk.mode(wallet).await, in_force);

    desk.set_organization("strict").await;
    let bob = desk.developer("bob@example.com").await;
    let ledger = Arc::clone(&desk.ledger) as Arc<dyn Ledger>;
    let documents = Arc::clone(&desk.ledger) as Arc<_>;
    let rates = Arc::new(Desk::over(documents, &desk.ledger));
    let book = Book::new(ledger, rates, Arc::new(TestClock::at(NOON)));
    let credited = book.credit(ACME, bob.id, eur(), &booking("t-1"), money("5")).await.unwrap();
    assert_eq!(desk.mode(credited.entry.wallet).await, in_force);
}

/// Says strict from the second time on that it is asked.
struct Turning(Prices, AtomicBool);

#[async_trait]
impl RateSource for Turning {
    async fn rates(&self, plan: PlanId, revision: u32) -> Result<Arc<Rates>, LedgerError> {
        self.0.rates(plan, revision).await
    }

    async fn overspend(
        &self,
        _: &str,
        _: DeveloperId,
        _: Currency,
        _: UnixMillis,
    ) -> Result<Overspend, LedgerError> {
        let is_strict = self.1.swap(true, Ordering::SeqCst);
        Ok(if is_strict { Overspend::Strict } else { Overspend::Optimistic })
    }
}

#[tokio::test]
async fn a_policy_that_is_set_while_a_wallet_is_opened_reaches_it() {
    let desk = Desk::open().await;
    let ada = desk.developer(EMAIL).await;
    let rates = Arc::new(Turning(Prices::none(), AtomicBool::new(false)));
    let ledger = Arc::clone(&desk.ledger) as Arc<dyn Ledger>;
    let book = Book::new(ledger, rates, Arc::new(TestClock::at(NOON)));
    let (wallet, _) = book.open_wallet(ACME, ada.id, eur()).await.unwrap();
    assert_eq!(desk.mode(wallet).await.overspend, Overspend::Strict);
}

#[tokio::test]
async fn a_policy_that_there_is_none_of_is_refused() {
    let desk = Desk::open().await;
    desk.developer(EMAIL).await;
    let catalogue = &desk.catalogue;
    let typo = || says("strikt");
    let changed = DeveloperTerms { attributes: typo(), ..terms(EMAIL) };
    let refused = [
        catalogue.update_organization(ACME, "", "", &typo(), NOON).await.err(),
        catalogue.create_organization("other", "", "", typo(), NOON).await.err(),
        catalogue.update_developer(ACME, EMAIL, &changed, NOON).await.err(),
        catalogue.create_product(ACME, "p", &product_that_says("strikt"), NOON).await.err(),
    ];
    for error in refused {
        assert!(matches!(error, Some(CatalogueError::Invalid { .. })), "{error:?}");
    }
    assert_eq!(catalogue.organization(ACME).await.unwrap().attributes, []);
}

#[tokio::test]
async fn a_deleted_developers_wallets_are_left_alone() {
    let desk = Desk::open().await;
    let ada = desk.developer(EMAIL).await;
    let wallet = desk.catalogue.open_wallet(ACME, ada.id, eur(), NOON).await.unwrap();
    desk.set_wallet(&ada, Some(Overspend::Optimistic)).await;
    desk.catalogue.delete_developer(ACME, EMAIL, NOON).await.unwrap();
    desk.set_organization("strict").await;
    assert_eq!(desk.applied(wallet, NOON).await, Overspend::Optimistic);
    let own = desk.catalogue.wallet_overspend(ACME, ada.id, eur()).await.unwrap();
    assert_eq!(own, None, "its document is gone");
}
