//! Keys are resolved, and what became stale is forgotten.

use tollgate_ledger_store::Clock;
use tollgate_ledger_store::catalogue::records::Approval;
use tollgate_proto::v1;
use tollgate_proto::v1::node_message::Message as Outbound;
use tollgate_proto::v1::resolve_client::ResolveClient;
use tonic::{Code, Request};

use crate::gateway::{Gateway, bearer, channel};
use crate::ground::{ACME, GATEWAY_TOKEN, Ground, TestNode, sha256};

async fn resolve(node: &TestNode, key_sha256: &[u8]) -> Result<v1::Caller, tonic::Status> {
    let mut client = ResolveClient::new(channel(node).await);
    let request = v1::ResolveKeyRequest { key_sha256: key_sha256.to_vec() };
    let request = bearer(GATEWAY_TOKEN, Request::new(request));
    Ok(client.resolve_key(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_resolved_to_all_that_a_gateway_decides_from() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let caller = resolve(&node, &sha256(&ground.key)).await.unwrap();
    assert_eq!((caller.organization.as_str(), caller.app.as_str()), (ACME, "shop"));
    assert!(caller.is_developer_active && caller.is_app_approved && caller.is_key_approved);
    assert_eq!(caller.wallets[0].wallet, ground.wallet.0.as_bytes());
    let product = &caller.products[0];
    assert_eq!(product.product, ground.product.id.0.as_bytes());
    let plan = product.plans[0].revision.as_ref().unwrap();
    let prices = tollgate_proto::PlanPrices::try_from(plan).unwrap();
    assert_eq!((prices.plan, prices.revision), (ground.plan.id, ground.plan.revision));
    assert_eq!(prices.rates.bands()[0].price.to_string(), "0.01");

    let unknown = resolve(&node, &sha256("nobody's")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let short = resolve(&node, b"short").await.unwrap_err();
    assert_eq!(short.code(), Code::InvalidArgument);
    assert!(short.message().contains("key_sha256"), "{short}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_forgotten_by_every_stream_of_every_node() {
    let ground = Ground::with_ten().await;
    let (node, other) = (ground.node().await, ground.node().await);
    let (mut one, mut two) = (Gateway::connect(&node).await, Gateway::connect(&other).await);
    let (catalogue, now) = (&ground.catalogue, ground.clock.now());
    let (developer, key) = (&ground.developer, &ground.key);
    catalogue.set_key_status(ACME, developer, "shop", key, Approval::Revoked, now).await.unwrap();
    for gateway in [&mut one, &mut two] {
        gateway
            .next_of(|message| match message {
                Outbound::Forget(forget) => {
                    let is_key = forget.key_sha256.contains(&sha256(key).to_vec());
                    let id = ground.developer.id.0.as_bytes().to_vec();
                    (is_key || forget.developers.contains(&id)).then_some(())
                }
                _ => None,
            })
            .await;
    }
    assert!(!resolve(&node, &sha256(key)).await.unwrap().is_key_approved);
}
