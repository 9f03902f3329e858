//! Packages, their plans in several products, and who is charged under which.

use tollgate_ledger_store::CatalogueError;
use tollgate_ledger_store::catalogue::acceptances::FirstFees;
use tollgate_ledger_store::catalogue::records::{
    Audience, Freemium, PackageTerms, PackageText, PlanState, PlanTerms, Span, SpanUnit,
};
use tollgate_ledger_store::catalogue::{CallerPlan, Window};
use tollgate_metering::BillingType;

use super::desk::{ACME, Desk, always, is_exists, is_missing, later, published};
use crate::fixtures::NOON;

/// A package of two products, whose price is the plan's own in the second.
async fn bundle(desk: &Desk) {
    desk.product("weather").await;
    desk.product("maps").await;
    let (text, products) = (PackageText::default(), ["weather".to_owned(), "maps".to_owned()]);
    desk.catalogue.create_package(ACME, "bundle", &text, &products, NOON).await.unwrap();
}

async fn plan(desk: &Desk, name: &str, terms: PlanTerms) -> String {
    let made = desk
        .catalogue
        .create_package_plan(ACME, "bundle", Some(name), |_| Some(terms.clone()), NOON)
        .await
        .unwrap();
    assert_eq!(made.products.len(), 2);
    made.plan.id.to_string()
}

/// Start and end in seconds from noon, revision, and price of the first unit.
fn told(plans: &[CallerPlan]) -> Vec<(i64, Option<i64>, u32, String)> {
    let seconds = |at: tollgate_metering::UnixMillis| (at.0 - NOON.0) / 1000;
    let mut told: Vec<_> = plans
        .iter()
        .map(|plan| {
            let price = plan.rates.charge("1".parse().unwrap()).unwrap().to_string();
            let end = plan.window.end.map(seconds);
            (seconds(plan.window.start), end, plan.revision, price)
        })
        .collect();
    told.sort();
    told
}

#[tokio::test]
async fn plans_of_a_package_stand_in_its_products_beside_each_other() {
    let desk = Desk::open().await;
    bundle(&desk).await;
    desk.plan("weather", &published("1", 0, None)).await.unwrap();
    let gold = plan(&desk, "bundle_gold", published("2", 0, None)).await;
    plan(&desk, "bundle_silver", published("3", 0, None)).await;
    assert!(is_exists(
        &desk
            .catalogue
            .create_package_plan(
                ACME,
                "bundle",
                Some("bundle_gold"),
                |_| Some(published("9", 0, None)),
                NOON
            )
            .await
    ));
    // One id and name in every product, also for X.
    for product in ["weather", "maps"] {
        let found = desk.catalogue.plan(ACME, product, "bundle_gold").await.unwrap();
        assert_eq!(found.id.to_string(), gold);
        assert_eq!(found.terms.package.unwrap().package, "bundle");
        assert_eq!(desk.catalogue.plan(ACME, product, &gold).await.unwrap().revision, 1);
    }
    assert_eq!(desk.catalogue.package_plans(ACME, "bundle").await.unwrap().len(), 2);
    assert_eq!(desk.catalogue.package_plan(ACME, &gold).await.unwrap().plan.name, "bundle_gold");

    // Written through X, it stays a plan of its package, in that product alone.
    let dearer = published("2.5", 0, None);
    let dearer =
        desk.catalogue.update_plan(ACME, "maps", "bundle_gold", &dearer, NOON).await.unwrap();
    assert_eq!(dearer.revision, 2);
    assert_eq!(dearer.terms.package.unwrap().package, "bundle");
    assert_eq!(desk.catalogue.plan(ACME, "weather", &gold).await.unwrap().revision, 1);

    // A product that comes later has its plans too; one that leaves has them no more.
    desk.product("tides").await;
    for _ in 0..2 {
        desk.catalogue.add_to_package(ACME, "bundle", "tides", NOON).await.unwrap();
        assert_eq!(desk.catalogue.product(ACME, "tides").await.unwrap().plans.len(), 2);
    }
    desk.catalogue.remove_from_package(ACME, "bundle", "maps", NOON).await.unwrap();
    assert!(desk.catalogue.product(ACME, "maps").await.unwrap().plans.is_empty());

    desk.catalogue.delete_package(ACME, "bundle", NOON).await.unwrap();
    assert!(is_missing(&desk.catalogue.package_plan(ACME, "bundle_gold").await));
    assert_eq!(desk.catalogue.product(ACME, "weather").await.unwrap().plans.len(), 1);
    // The name is free again, the plan is another.
    let (text, products) = (PackageText::default(), ["weather".to_owned(), "maps".to_owned()]);
    desk.catalogue.create_package(ACME, "bundle", &text, &products, NOON).await.unwrap();
    assert_ne!(plan(&desk, "bundle_gold", published("2", 0, None)).await, gold);
}

#[tokio::test]
async fn an_accepted_plan_decides_as_long_as_it_lasts() {
    let desk = Desk::open().await;
    bundle(&desk).await;
    desk.plan("weather", &published("1", 0, None)).await.unwrap();
    plan(&desk, "bundle_gold", published("2", 0, None)).await;
    plan(&desk, "bundle_silver", published("3", 0, Some(500))).await;
    let developer = desk.developer("ada@example.com").await;
    let app = desk.app(&developer, "shop", &["weather", "maps"]).await;
    let plans =
        async |product: usize| told(&desk.resolve(&app).await.unwrap().products[product].plans);
    // Who accepted nothing is charged under the product's own plan, or refused where there is none:
    // a plan of the package stands in, so that the call does not count as one without a price.
    assert_eq!(plans(0).await, [(0, None, 1, "1".to_owned())]);
    assert_eq!(plans(1).await, [(0, None, 1, "2".to_owned())]);
    assert!(desk.resolve(&app).await.unwrap().products[1].subscriptions.is_empty());

    let window = Window { start: later(100), end: Some(later(600)) };
    let accept = async |plan: &str, window| {
        let waived = FirstFees::Waived;
        desk.catalogue.accept_plan(ACME, &developer, plan, window, waived, NOON).await
    };
    let accepted = accept("bundle_silver", window).await.unwrap();
    assert_eq!(accepted.len(), 2);
    assert_eq!(accepted[0].acceptance, accepted[1].acceptance);
    // Between the plan's end and the subscription's there is no plan: the product's own is not the
    // one that was accepted.
    let weather = [(0, Some(100), 1), (100, Some(500), 1), (600, None, 1)];
    let prices = ["1", "3", "1"].map(str::to_owned);
    let weather: Vec<_> =
        weather.into_iter().zip(prices).map(|((a, b, c), d)| (a, b, c, d)).collect();
    assert_eq!(plans(0).await, weather);
    assert!(is_exists(&accept("bundle_gold", always()).await));
    assert!(is_missing(&accept("bundle_bronze", always()).await));
    accept("bundle_gold", Window { start: later(600), end: None }).await.unwrap();
    assert_eq!(
        plans(1).await[1..],
        [(100, Some(500), 1, "3".to_owned()), (600, None, 1, "2".to_owned())]
    );

    desk.catalogue.delete_package_plan(ACME, "bundle_gold", NOON).await.unwrap();
    assert_eq!(plans(1).await.len(), 2, "a subscription to a plan that is gone has none");
}

#[tokio::test]
async fn free_time_is_a_revision_of_its_own_in_front() {
    let desk = Desk::open().await;
    bundle(&desk).await;
    let span = Some(Span { count: 1, unit: SpanUnit::Day });
    let free = Freemium { units: Some("100".parse().unwrap()), span };
    let terms = |price| PlanTerms { freemium: Some(free), ..published(price, 0, None) };
    plan(&desk, "bundle_gold", terms("2")).await;
    let developer = desk.developer("ada@example.com").await;
    let app = desk.app(&developer, "shop", &["weather"]).await;
    let window = Window { start: later(50), end: None };
    let fee = FirstFees::Due;
    desk.catalogue.accept_plan(ACME, &developer, "bundle_gold", window, fee, NOON).await.unwrap();
    let day = 50 + 86_400;
    let plans = async || told(&desk.resolve(&app).await.unwrap().products[0].plans);
    let free_then = |free: u32, priced: u32, price: &str| {
        [(50, Some(day), free, "0".to_owned()), (day, None, priced, price.to_owned())]
    };
    assert_eq!(plans().await[1..], free_then(1, 2, "2"));
    let update = async |terms: PlanTerms| {
        let terms_in = |_: &str| Some(terms.clone());
        desk.catalogue.update_package_plan(ACME, "bundle_gold", terms_in, NOON).await.unwrap();
    };
    update(PlanTerms { description: "new".to_owned(), ..terms("2") }).await;
    assert_eq!(plans().await[1..], free_then(1, 2, "2"), "no price was edited");
    update(terms("3")).await;
    assert_eq!(plans().await[1..], free_then(3, 4, "3"));
    update(published("3", 0, None)).await;
    assert_eq!(plans().await[1..], [(50, None, 4, "3".to_owned())]);
}

#[tokio::test]
async fn a_setup_fee_is_due_once_for_all_products() {
    let desk = Desk::open().await;
    bundle(&desk).await;
    let fee = Some("5".parse().unwrap());
    plan(&desk, "bundle_gold", PlanTerms { setup_fee: fee, ..published("1", 0, None) }).await;
    let draft = PlanTerms { state: PlanState::Draft, ..published("1", 0, None) };
    plan(&desk, "bundle_draft", draft).await;
    let catalogue = &desk.catalogue;
    desk.developer("ada@example.com").await;
    let ada =
        catalogue.set_billing(ACME, "ada@example.com", BillingType::Prepaid, NOON).await.unwrap();
    let accept =
        async |plan: &str, fee| catalogue.accept_plan(ACME, &ada, plan, always(), fee, NOON).await;
    let refused = accept("bundle_draft", FirstFees::Due).await;
    assert!(matches!(refused, Err(CatalogueError::Precondition(_))), "{refused:?}");

    let begun = accept("bundle_gold", FirstFees::Due).await.unwrap();
    assert_eq!((begun[0].setup_fee, begun[1].setup_fee), (fee, None));
    assert!(begun.iter().all(|each| each.is_pending));
    assert!(catalogue.subscriptions(ACME, ada.id).await.unwrap().is_empty());
    assert_eq!(accept("bundle_gold", FirstFees::Due).await.unwrap(), begun, "taken up again");
    let acceptance = begun[0].acceptance.unwrap();
    catalogue.abandon_acceptance(ACME, &ada, acceptance, NOON).await.unwrap();
    // Another request for the same acceptance was paid meanwhile: it holds.
    catalogue.activate_acceptance(ACME, &ada, &begun, NOON).await.unwrap();
    assert_eq!(catalogue.subscriptions(ACME, ada.id).await.unwrap().len(), 2);

    let lin = desk.developer("lin@example.com").await;
    let setup = FirstFees::SetupWaived;
    let held = catalogue.accept_plan(ACME, &lin, "bundle_gold", always(), setup, NOON).await;
    assert!(held.unwrap().iter().all(|each| !each.is_pending && each.setup_fee.is_none()));

    let grace = desk.developer("grace@example.com").await;
    let held =
        catalogue.accept_plan(ACME, &grace, "bundle_gold", always(), FirstFees::Waived, NOON).await;
    assert!(held.unwrap().iter().all(|each| !each.is_pending && each.setup_fee.is_none()));
}

#[tokio::test]
async fn a_plan_for_one_developer_or_category_is_not_accepted_by_others() {
    let desk = Desk::open().await;
    bundle(&desk).await;
    let (ada, grace) =
        (desk.developer("ada@example.com").await, desk.developer("grace@example.com").await);
    let of = |audience| PlanTerms {
        package: Some(PackageTerms { audience, ..PackageTerms::default() }),
        ..published("1", 0, None)
    };
    plan(&desk, "bundle_ada", of(Audience::Developer(ada.id))).await;
    plan(&desk, "bundle_banks", of(Audience::Category("banks".to_owned()))).await;
    let accept = async |plan: &str, owner| {
        desk.catalogue.accept_plan(ACME, owner, plan, always(), FirstFees::Due, NOON).await
    };
    for plan in ["bundle_ada", "bundle_banks"] {
        let refused = accept(plan, &grace).await;
        assert!(matches!(refused, Err(CatalogueError::Precondition(_))), "{refused:?}");
    }
    accept("bundle_ada", &ada).await.unwrap();
}
