//! Rate plans, their revisions, and subscriptions.

use tollgate_ledger_store::catalogue::Window;
use tollgate_ledger_store::catalogue::records::{PlanState, PlanTerms, PricingType};
use tollgate_ledger_store::{CatalogueError, LedgerError};
use tollgate_metering::{BillingType, Units};

use super::desk::{ACME, Desk, always, is_exists, is_missing, later, published};
use crate::fixtures::NOON;

#[tokio::test]
async fn at_most_one_plan_is_active() {
    let desk = Desk::open().await;
    desk.product("weather").await;
    let first = desk.plan("weather", &published("1", 0, Some(100))).await.unwrap();
    let overlaps = |result: Result<_, CatalogueError>| matches!(result, Err(CatalogueError::Precondition(reason)) if reason.contains("overlap"));
    assert!(overlaps(desk.plan("weather", &published("2", 99, None)).await));
    assert!(overlaps(desk.plan("weather", &published("2", -50, Some(1))).await));
    desk.plan("weather", &published("2", 100, None)).await.unwrap();
    let draft = PlanTerms { state: PlanState::Draft, ..published("3", 0, None) };
    let draft = desk.plan("weather", &draft).await.unwrap();
    assert_eq!(draft.revision, 0);

    let publish = published("3", 0, None);
    let id = draft.id.to_string();
    assert!(overlaps(desk.catalogue.update_plan(ACME, "weather", &id, &publish, NOON).await));
    let longer = published("1", 0, Some(101));
    let id = first.id.to_string();
    assert!(overlaps(desk.catalogue.update_plan(ACME, "weather", &id, &longer, NOON).await));
    // Back to draft, the window is free.
    let back = PlanTerms { state: PlanState::Draft, ..published("1", 0, Some(100)) };
    desk.catalogue.update_plan(ACME, "weather", &id, &back, NOON).await.unwrap();
    desk.plan("weather", &published("4", 0, Some(100))).await.unwrap();
}

#[tokio::test]
async fn two_that_publish_at_the_same_time_see_each_other() {
    let desk = Desk::open().await;
    desk.product("weather").await;
    let (one, other) = (published("1", 0, None), published("2", 0, None));
    let both = tokio::join!(desk.plan("weather", &one), desk.plan("weather", &other));
    assert_ne!(both.0.is_ok(), both.1.is_ok());
}

#[tokio::test]
async fn only_a_price_edit_makes_a_revision() {
    let desk = Desk::open().await;
    desk.product("weather").await;
    let plan = desk.plan("weather", &published("1", 0, None)).await.unwrap();
    assert_eq!(plan.revision, 1);
    let id = plan.id.to_string();
    let update = async |terms: &PlanTerms| {
        desk.catalogue.update_plan(ACME, "weather", &id, terms, NOON).await.unwrap().revision
    };
    let described = PlanTerms { description: "new".to_owned(), ..published("1.0", 5, Some(90)) };
    assert_eq!(update(&described).await, 1);
    let as_bands = PlanTerms { pricing: Some(PricingType::Banded), ..published("1", 0, None) };
    assert_eq!(update(&as_bands).await, 1);
    assert_eq!(update(&published("2", 0, None)).await, 2);
    let draft = PlanTerms { state: PlanState::Draft, ..published("3", 0, None) };
    assert_eq!(update(&draft).await, 2);
    assert_eq!(update(&published("1", 0, None)).await, 3);

    desk.catalogue.delete_plan(ACME, "weather", &id, NOON).await.unwrap();
    desk.catalogue.delete_product(ACME, "weather", NOON).await.unwrap();
    for (revision, price) in [(1, "1"), (2, "2"), (3, "1")] {
        let rates = desk.catalogue.rates_of(plan.id, revision).await.unwrap();
        assert_eq!(rates.charge(Units::ONE).unwrap().to_string(), price, "revision {revision}");
    }
    let unknown = desk.catalogue.rates_of(plan.id, 4).await;
    assert!(matches!(unknown, Err(CatalogueError::Ledger(LedgerError::Corrupt { .. }))));
}

#[tokio::test]
async fn a_published_plan_is_whole() {
    let desk = Desk::open().await;
    desk.product("weather").await;
    let check = async |terms: PlanTerms, field: &str| {
        let error = desk.plan("weather", &terms).await.unwrap_err();
        assert!(error.to_string().starts_with(field), "{field}: {error}");
        assert!(desk.catalogue.product(ACME, "weather").await.unwrap().plans.is_empty());
    };
    let whole = || published("1", 0, None);
    check(PlanTerms { display_name: " ".to_owned(), ..whole() }, "displayName").await;
    check(PlanTerms { is_monthly: false, ..whole() }, "billingPeriod").await;
    check(PlanTerms { currency: None, ..whole() }, "currencyCode").await;
    check(PlanTerms { start: None, ..whole() }, "startTime").await;
    check(PlanTerms { end: Some(NOON), ..whole() }, "endTime").await;
    check(PlanTerms { pricing: None, ..whole() }, "consumptionPricingType").await;
    check(PlanTerms { bands: Vec::new(), ..whole() }, "consumptionPricingRates").await;
    check(published("-1", 0, None), "consumptionPricingRates").await;
    let fee = Some("-1".parse().unwrap());
    check(PlanTerms { setup_fee: fee, ..whole() }, "setupFee").await;
    assert!(is_missing(&desk.plan("nothing", &whole()).await));
    // Without prices, calls cost nothing.
    let free = PlanTerms { pricing: None, bands: Vec::new(), ..whole() };
    let free = desk.plan("weather", &free).await.unwrap();
    let rates = desk.catalogue.rates_of(free.id, free.revision).await.unwrap();
    assert!(rates.charge(Units::ONE).unwrap().is_zero());
}

#[tokio::test]
async fn a_pending_purchase_is_taken_up_again() {
    let desk = Desk::open().await;
    desk.developer("ada@example.com").await;
    let catalogue = &desk.catalogue;
    let developer =
        catalogue.set_billing(ACME, "ada@example.com", BillingType::Prepaid, NOON).await.unwrap();
    desk.product("weather").await;
    let buy = || catalogue.begin_subscription(ACME, &developer, "weather", always(), NOON);
    assert!(matches!(buy().await, Err(CatalogueError::Precondition(_))), "nothing to buy");
    let fee = Some("5".parse().unwrap());
    desk.plan("weather", &PlanTerms { setup_fee: fee, ..published("1", 0, None) }).await.unwrap();

    let first = buy().await.unwrap();
    assert!(first.is_pending);
    assert_eq!(first.setup_fee, fee);
    assert!(catalogue.subscriptions(ACME, developer.id).await.unwrap().is_empty());
    assert_eq!(buy().await.unwrap().id, first.id);
    catalogue.activate_subscription(ACME, &developer, &first, NOON).await.unwrap();
    assert!(is_exists(&buy().await));

    let id = first.id.to_string();
    let ended = catalogue.expire_subscription(ACME, &developer, &id, later(7)).await.unwrap();
    assert_eq!(ended[0].window, Window { start: NOON, end: Some(later(7)) });
    let again = catalogue.expire_subscription(ACME, &developer, &id, later(9)).await.unwrap();
    assert_eq!(again[0].window, ended[0].window);
    let window = Window { start: later(7), end: None };
    let second = catalogue.begin_subscription(ACME, &developer, "weather", window, later(7)).await;
    let second = second.unwrap();
    catalogue.abandon_subscription(ACME, developer.id, second.id, later(7)).await.unwrap();
    assert_eq!(catalogue.subscriptions(ACME, developer.id).await.unwrap().len(), 1);
    // Another request for the same purchase was paid meanwhile: it holds.
    catalogue.activate_subscription(ACME, &developer, &second, later(8)).await.unwrap();
    assert_eq!(catalogue.subscriptions(ACME, developer.id).await.unwrap().len(), 2);
}
