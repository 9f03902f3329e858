//! What the owner of a key is told, and nobody else.

use tollgate_ledger_store::catalogue::apps::AppTerms;
use tollgate_ledger_store::catalogue::developers::DeveloperTerms;
use tollgate_ledger_store::catalogue::records::Approval;
use tollgate_ledger_store::catalogue::tokens::TokenTerms;
use tollgate_ledger_store::ledger::UsageWrite;
use tollgate_ledger_store::{Clock, Ledger, Role};
use tollgate_metering::{Incarnation, Period, UnixMillis};
use tollgate_proto::v1;
use tollgate_proto::v1::own_client::OwnClient;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::gateway::{bearer, channel};
use crate::ground::{ACME, GATEWAY_TOKEN, Ground, READ_TOKEN, TestNode, money, sha256, units};

async fn own_as(node: &TestNode, token: &str, key: &[u8]) -> Result<v1::GetOwnResponse, Status> {
    let request = Request::new(v1::GetOwnRequest { key_sha256: key.to_vec() });
    let request = bearer(token, request);
    Ok(OwnClient::new(channel(node).await).get_own(request).await?.into_inner())
}

async fn own(node: &TestNode, key: &str) -> Result<v1::GetOwnResponse, Status> {
    own_as(node, GATEWAY_TOKEN, &sha256(key)).await
}

/// A row of the second day of the running period, or of the period's first minute.
fn row(ground: &Ground, of: u128, day: i64, total: &str) -> UsageWrite {
    let start = Period::of(ground.clock.now()).start().0 / 60_000;
    UsageWrite {
        meter: ground.meter(),
        incarnation: Incarnation { born: UnixMillis(1), id: Uuid::from_u128(of) },
        app: None,
        minute: start + day * 1_440,
        units: units(total),
        seq: 1,
    }
}

/// Minutes go ten days after their gateway was born; a month is longer.
#[tokio::test(flavor = "multi_thread")]
async fn use_of_days_whose_minutes_are_removed_is_told_all_month() {
    let ground = Ground::with_ten().await;
    let app = tollgate_metering::AppId(Uuid::from_u128(7));
    let first = row(&ground, 1, 0, "2");
    let rows = [first, UsageWrite { app: Some(app), ..first }, row(&ground, 1, 1, "5")];
    ground.ledger.write_usage(&rows).await.unwrap();
    let wallet = ground.meter().wallet;
    let mut change = ground.ledger.read(wallet).await.unwrap().unwrap().account.change();
    change.header.horizon = UnixMillis(2);
    ground.ledger.commit(&change).await.unwrap();
    ground.ledger.purge(wallet, UnixMillis(2)).await.unwrap();
    assert_eq!(ground.ledger.usage(wallet, 0, i64::from(u32::MAX)).await.unwrap(), []);
    let node = ground.node().await;
    let own = own(&node, &ground.key).await.unwrap();
    let used: Vec<_> = own.usage.iter().map(|day| day.units).collect();
    assert_eq!(used, [Some(units("2").into()), Some(units("3").into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_sees_balances_plans_and_use_by_day_and_product() {
    let ground = Ground::with_ten().await;
    let rows = [row(&ground, 1, 0, "2"), row(&ground, 1, 1, "2.5"), row(&ground, 2, 1, "4")];
    ground.ledger.write_usage(&rows).await.unwrap();
    let node = ground.node().await;
    let own = own(&node, &ground.key).await.unwrap();
    assert_eq!(own.developer, ground.developer.id.0.as_bytes());
    assert_eq!(own.billing_type(), v1::BillingType::Postpaid);
    let [balance] = own.balances.as_slice() else { panic!("one wallet: {own:?}") };
    assert_eq!((balance.balance, balance.currency.as_str()), (Some(money("10").into()), "EUR"));
    assert_eq!(own.plans[0].product_name, "weather");
    assert_eq!(own.plans[0].plan, ground.plan.id.0.as_bytes());
    assert!(!own.plans[0].is_subscribed);
    let first = own.period_start_ms / 86_400_000;
    let used: Vec<_> = own
        .usage
        .iter()
        .map(|day| (day.day - first, day.product_name.as_str(), day.units))
        .collect();
    let wire = |text: &str| Some(units(text).into());
    assert_eq!(used, [(0, "weather", wire("2")), (1, "weather", wire("4.5"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_sees_its_own_wallets_and_nothing_else() {
    let ground = Ground::with_ten().await;
    ground.ledger.write_usage(&[row(&ground, 1, 0, "2")]).await.unwrap();
    let now = ground.clock.now();
    let terms = DeveloperTerms {
        email: "bob@acme.test".to_owned(),
        first_name: "Bob".to_owned(),
        last_name: "B".to_owned(),
        user_name: "bob".to_owned(),
        ..DeveloperTerms::default()
    };
    let bob = ground.catalogue.create_developer(ACME, &terms, now).await.unwrap();
    let terms = AppTerms { products: vec!["weather".to_owned()], ..AppTerms::default() };
    let app = ground.catalogue.create_app(ACME, &bob, "his", &terms, now).await.unwrap();
    let node = ground.node().await;
    let own = own(&node, &app.credentials[0].consumer_key).await.unwrap();
    assert_eq!(own.developer, bob.id.0.as_bytes());
    let is_his = |each: &v1::OwnBalance| {
        each.wallet != ground.wallet.0.as_bytes() && each.balance == Some(money("0").into())
    };
    assert!(own.balances.iter().all(is_his) && own.usage.is_empty(), "{own:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_may_ask_with_a_token_of_the_catalogue() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let make = async |name: &str, role| {
        let terms = TokenTerms {
            name: name.to_owned(),
            role,
            organization: None,
            permissions: Vec::new(),
            expires_at: None,
        };
        ground.catalogue.create_token(&terms, "test", ground.clock.now()).await.unwrap().token
    };
    let (gateway, viewer) = (make("g", Role::Gateway).await, make("v", Role::Viewer).await);
    let sha = sha256(&ground.key);
    assert!(own_as(&node, &gateway, &sha).await.is_ok());
    let refused = own_as(&node, &viewer, &sha).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_does_not_work_is_told_nothing() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let sha = sha256(&ground.key);
    let code = |answer: Result<v1::GetOwnResponse, Status>| {
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    };
    assert_eq!(code(own(&node, "nobody's").await), Code::NotFound);
    assert_eq!(code(own_as(&node, GATEWAY_TOKEN, b"short").await), Code::InvalidArgument);
    assert_eq!(code(own_as(&node, READ_TOKEN, &sha).await), Code::PermissionDenied);
    assert_eq!(code(own_as(&node, "wrong", &sha).await), Code::Unauthenticated);
    assert_eq!(code(own(&node, &ground.key).await), Code::Ok);
    let (developer, key, now) = (&ground.developer, &ground.key, ground.clock.now());
    let catalogue = &ground.catalogue;
    catalogue.set_key_status(ACME, developer, "shop", key, Approval::Revoked, now).await.unwrap();
    assert_eq!(code(own(&node, key).await), Code::NotFound);
}
