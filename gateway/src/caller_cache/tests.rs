//! Which product and plan a key is let through on, and for how long an answer is believed.

use tollgate_metering::{Units, UnixMillis};
use tollgate_proto::v1;
use uuid::Uuid;

use super::*;
use crate::admission::CallHead;
use crate::config::Proxy;
use crate::refusal::Refusal;
use crate::tariffs::Tariffs;

const NOW: UnixMillis = UnixMillis(1_795_305_600_000);
const AT: Duration = Duration::from_secs(100);
const LIMIT: Duration = Duration::from_secs(60);

fn id(number: u128) -> Vec<u8> {
    Uuid::from_u128(number).as_bytes().to_vec()
}

fn window(start_ms: i64, end_ms: i64) -> v1::Window {
    v1::Window { start_ms, end_ms }
}

fn plan(number: u128, currency: &str, window: v1::Window) -> v1::Plan {
    let price = Some(v1::Money { units: 1, nanos: 0 });
    let bands = vec![v1::Band { up_to: None, price }];
    let revision =
        Some(v1::RatePlanRevision { plan: id(number), revision: 1, bands, ..Default::default() });
    let currency = currency.to_owned();
    v1::Plan { revision, currency, window: Some(window), is_shadow: false }
}

fn product(number: u128, resources: &[&str]) -> v1::ProductAccess {
    let operations = resources
        .iter()
        .map(|resource| v1::Operation { resource: (*resource).to_owned(), methods: Vec::new() });
    v1::ProductAccess {
        product: id(number),
        is_approved: true,
        operations: operations.collect(),
        plans: vec![plan(number, "EUR", window(0, 0))],
        subscriptions: vec![window(0, 0)],
        ..Default::default()
    }
}

fn wire(products: Vec<v1::ProductAccess>) -> v1::Caller {
    v1::Caller {
        app_id: Uuid::from_u128(77).as_bytes().to_vec(),
        developer: id(1),
        is_developer_active: true,
        is_app_approved: true,
        is_key_approved: true,
        billing_type: v1::BillingType::Prepaid.into(),
        products,
        wallets: vec![v1::Wallet { wallet: id(5), currency: "EUR".to_owned(), credit_limit: None }],
        ..Default::default()
    }
}

fn caller(wire: &v1::Caller) -> Caller {
    Caller::read(wire, "prod", &Tariffs::default()).unwrap()
}

fn chosen(wire: &v1::Caller, method: &str, path: &str) -> Result<u128, Refusal> {
    let proxy = Proxy::new("weather", "http://127.0.0.1:1");
    let method = method.parse().unwrap();
    let head = CallHead {
        proxy: &proxy,
        proxy_index: 0,
        method: &method,
        path,
        consumer_key: None,
        failed: None,
    };
    caller(wire).product(&head, NOW).map(|product| product.plan(NOW).unwrap().product.0.as_u128())
}

#[test]
fn the_closest_approved_product_is_chosen() {
    let key = wire(vec![
        v1::ProductAccess { is_approved: false, ..product(1, &["/a/b/c"]) },
        product(2, &["/**"]),
        product(3, &["/a/*"]),
        product(4, &["/a/b"]),
        product(5, &["/a/b"]),
    ]);
    assert_eq!(chosen(&key, "GET", "/a/b"), Ok(4));
    assert_eq!(chosen(&key, "GET", "/a/c"), Ok(3));
    assert_eq!(chosen(&key, "GET", "/x"), Ok(2));
    assert_eq!(chosen(&key, "GET", "/a/b/c"), Ok(2), "an unapproved product covers nothing");
}

#[test]
fn a_product_covers_its_proxies_environments_and_methods() {
    let of = |product: v1::ProductAccess| chosen(&wire(vec![product]), "POST", "/a");
    let names = |name: &str| vec![name.to_owned()];
    assert_eq!(of(product(1, &[])), Ok(1));
    assert_eq!(of(v1::ProductAccess { proxies: names("weather"), ..product(1, &[]) }), Ok(1));
    let other = v1::ProductAccess { proxies: names("maps"), ..product(1, &[]) };
    assert_eq!(of(other), Err(Refusal::NoApiProduct));
    assert_eq!(of(v1::ProductAccess { environments: names("prod"), ..product(1, &[]) }), Ok(1));
    let other = v1::ProductAccess { environments: names("test"), ..product(1, &[]) };
    assert_eq!(of(other), Err(Refusal::NoApiProduct));
    let mut methods = product(1, &["/a"]);
    methods.operations[0].methods = names("GET");
    assert_eq!(of(methods), Err(Refusal::NoApiProduct));
}

#[test]
fn a_key_that_does_not_hold_is_refused() {
    let good = wire(vec![product(1, &[])]);
    let check = |edit: &dyn Fn(&mut v1::Caller), want| {
        let mut key = good.clone();
        edit(&mut key);
        assert_eq!(chosen(&key, "GET", "/"), want);
    };
    check(&|_| {}, Ok(1));
    check(&|key| key.is_key_approved = false, Err(Refusal::KeyNotApproved));
    check(&|key| key.is_app_approved = false, Err(Refusal::KeyNotApproved));
    check(&|key| key.is_developer_active = false, Err(Refusal::DeveloperInactive));
    check(&|key| key.key_expires_at_ms = NOW.0, Err(Refusal::KeyNotApproved));
    check(&|key| key.key_expires_at_ms = NOW.0 + 1, Ok(1));
    check(&|key| key.products.clear(), Err(Refusal::NoApiProduct));
}

#[test]
fn the_plan_in_force_with_a_wallet_prices_the_call() {
    let mut access = product(1, &[]);
    access.plans = vec![
        plan(1, "EUR", window(0, NOW.0)),
        plan(2, "USD", window(0, 0)),
        plan(3, "EUR", window(NOW.0, 0)),
    ];
    access.subscriptions = vec![window(0, NOW.0 + 1)];
    let tariffs = Tariffs::default();
    let caller = Caller::read(&wire(vec![access]), "prod", &tariffs).unwrap();
    let access = &caller.products[0];
    let named = |at| {
        let plan = access.plan(UnixMillis(at)).unwrap();
        let name = plan.with_tariff(UnixMillis(at), &tariffs, |tariff| {
            assert_eq!(tariff.rates.marginal(Units::ZERO, Units::ONE).unwrap().to_string(), "1");
            tariff.plan.0.as_u128()
        });
        (name.unwrap(), plan.wallet.is_some())
    };
    assert_eq!(named(NOW.0 - 1), (1, true));
    assert_eq!(named(NOW.0), (3, true));
    assert!(access.is_subscribed(NOW) && !access.is_subscribed(UnixMillis(NOW.0 + 1)));
}

#[test]
fn an_answer_is_kept_until_it_is_old_or_forgotten() {
    let cache = CallerCache::new(10, LIMIT);
    let key = [1; 32];
    assert!(matches!(cache.look(&key, AT), Look::Missing));
    let keep = || {
        let asked = cache.ask(AT);
        assert!(cache.answer(key, asked, Some(caller(&wire(vec![product(9, &[])])))));
    };
    keep();
    assert!(matches!(cache.look(&key, AT + LIMIT), Look::Known(_)));
    assert!(matches!(cache.look(&key, AT + LIMIT * 2), Look::Missing));
    let other = ProductId(Uuid::from_u128(8));
    cache.forget(&Forgotten { products: vec![other], ..Default::default() });
    assert!(matches!(cache.look(&key, AT), Look::Known(_)));
    for what in [
        Forgotten { products: vec![ProductId(Uuid::from_u128(9))], ..Default::default() },
        Forgotten { developers: vec![DeveloperId(Uuid::from_u128(1))], ..Default::default() },
        Forgotten { keys: vec![key], ..Default::default() },
        Forgotten { is_everything: true, ..Default::default() },
    ] {
        keep();
        cache.forget(&what);
        assert!(matches!(cache.look(&key, AT), Look::Missing), "{what:?}");
    }
}

#[test]
fn an_answer_that_was_asked_for_before_an_invalidation_is_not_kept() {
    let cache = CallerCache::new(10, LIMIT);
    let asked = cache.ask(AT);
    cache.forget(&Forgotten::default());
    assert!(!cache.answer([1; 32], asked, Some(caller(&wire(Vec::new())))));
    assert!(matches!(cache.look(&[1; 32], AT), Look::Missing));
}

#[test]
fn an_unknown_key_is_remembered_for_a_second() {
    let cache = CallerCache::new(10, LIMIT);
    assert!(cache.answer([1; 32], cache.ask(AT), None));
    assert!(matches!(cache.look(&[1; 32], AT), Look::Unknown));
    assert!(matches!(cache.look(&[1; 32], AT + UNKNOWN_FOR), Look::Missing));
}

#[test]
fn a_full_cache_drops_who_was_not_heard_of_lately() {
    let cache = CallerCache::new(3, LIMIT);
    let answer = |number: u8, at: Duration| {
        assert!(cache.answer([number; 32], cache.ask(at), Some(caller(&wire(Vec::new())))));
    };
    (0..3).for_each(|number| answer(number, AT));
    cache.look(&[2; 32], AT + Duration::from_secs(59));
    answer(3, AT + Duration::from_secs(60));
    assert_eq!(cache.len(), 2);
    assert!(matches!(cache.look(&[2; 32], AT + Duration::from_secs(60)), Look::Known(_)));
}
