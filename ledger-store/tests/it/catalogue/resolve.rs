//! What a gateway is told of a key.

use tollgate_ledger_store::catalogue::records::{OperationConfig, PlanTerms, ProductTerms};
use tollgate_ledger_store::catalogue::{Operation, Window};
use tollgate_metering::{BillingType, Units};

use super::desk::{ACME, Desk, always, later, published, sha256};
use crate::fixtures::NOON;

#[tokio::test]
async fn a_key_resolves_to_windows_and_prices() {
    let desk = Desk::open().await;
    desk.developer("ada@example.com").await;
    let catalogue = &desk.catalogue;
    let developer =
        catalogue.set_billing(ACME, "ada@example.com", BillingType::Prepaid, NOON).await.unwrap();
    desk.product("weather").await;
    desk.plan("weather", &published("9", -9000, Some(-8000))).await.unwrap();
    let now = desk.plan("weather", &published("1", 0, Some(100))).await.unwrap();
    let next = desk.plan("weather", &published("2", 100, None)).await.unwrap();
    let app = desk.app(&developer, "shop", &["weather"]).await;
    catalogue.begin_subscription(ACME, &developer, "weather", always(), NOON).await.unwrap();

    let caller = desk.resolve(&app).await.unwrap();
    assert_eq!(caller.developer, developer.id);
    assert_eq!((caller.organization.as_str(), caller.app_name.as_str()), (ACME, "shop"));
    assert_eq!(caller.billing, BillingType::Prepaid);
    assert!(caller.wallets.is_empty(), "a prepaid wallet is opened by a credit");
    let [weather] = caller.products.as_slice() else { panic!("{:?}", caller.products) };
    assert_eq!(weather.subscriptions, [always()]);
    let [first, second] = weather.plans.as_slice() else { panic!("{:?}", weather.plans) };
    assert_eq!((first.plan, first.revision), (now.id, 1));
    assert_eq!(first.window, Window { start: NOON, end: Some(later(100)) });
    assert_eq!((second.plan, second.window.end), (next.id, None));
    assert_eq!(second.rates.charge(Units::ONE).unwrap().to_string(), "2");

    let wallet = catalogue.open_wallet(ACME, developer.id, first.currency, NOON).await.unwrap();
    assert_eq!(desk.resolve(&app).await.unwrap().wallets[&first.currency], wallet);
    assert!(catalogue.resolve(&sha256("nobody's"), NOON).await.unwrap().is_none());
}

#[tokio::test]
async fn who_pays_later_has_a_wallet_to_be_metered_on() {
    let desk = Desk::open().await;
    let developer = desk.developer("ada@example.com").await;
    desk.product("weather").await;
    desk.plan("weather", &published("1", 0, None)).await.unwrap();
    let app = desk.app(&developer, "shop", &["weather"]).await;
    let (one, other) = tokio::join!(desk.resolve(&app), desk.resolve(&app));
    let wallets = one.unwrap().wallets;
    assert_eq!(wallets.len(), 1);
    assert_eq!(other.unwrap().wallets, wallets);
}

#[tokio::test]
async fn a_plan_in_shadow_mode_says_so_and_has_a_wallet_to_be_metered_on() {
    let desk = Desk::open().await;
    desk.developer("ada@example.com").await;
    let catalogue = &desk.catalogue;
    let developer =
        catalogue.set_billing(ACME, "ada@example.com", BillingType::Prepaid, NOON).await.unwrap();
    desk.product("weather").await;
    let terms = |shadow| PlanTerms { shadow, ..published("1", 0, None) };
    let plan = desk.plan("weather", &terms(Some(true))).await.unwrap();
    let app = desk.app(&developer, "shop", &["weather"]).await;
    let told = async || {
        let caller = desk.resolve(&app).await.unwrap();
        let told = &caller.products[0].plans[0];
        (told.is_shadow, told.revision, caller.wallets.len())
    };
    assert_eq!(told().await, (true, 1, 1));
    let id = plan.id.to_string();
    let replace = async |shadow| {
        catalogue.update_plan(ACME, "weather", &id, &terms(shadow), NOON).await.unwrap();
    };
    replace(None).await;
    assert_eq!(told().await, (true, 1, 1), "who does not know of it does not end it");
    replace(Some(false)).await;
    assert_eq!(told().await, (false, 1, 1), "no price changed");
}

#[tokio::test]
async fn operations_stay_with_their_proxy() {
    let desk = Desk::open().await;
    let developer = desk.developer("ada@example.com").await;
    let operation = |resource: &str, method: &str| Operation {
        resource: resource.to_owned(),
        methods: vec![method.to_owned()],
    };
    let config = |proxy: &str, operation| OperationConfig {
        proxy: proxy.to_owned(),
        operations: vec![operation],
        ..OperationConfig::default()
    };
    let operations = vec![
        config("orders", operation("/a", "GET")),
        config("bills", operation("/b", "POST")),
        config("orders", operation("/c", "PUT")),
    ];
    let terms = ProductTerms { operations, ..ProductTerms::default() };
    desk.catalogue.create_product(ACME, "suite", &terms, NOON).await.unwrap();
    let app = desk.app(&developer, "shop", &["suite"]).await;
    let products = desk.resolve(&app).await.unwrap().products;
    let told: Vec<_> =
        products.iter().map(|on| (on.proxies.clone(), on.operations.clone())).collect();
    let bills = (vec!["bills".to_owned()], vec![operation("/b", "POST")]);
    let orders = (vec!["orders".to_owned()], vec![operation("/a", "GET"), operation("/c", "PUT")]);
    assert_eq!(told, [bills, orders]);
}
