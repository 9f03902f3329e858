//! Overspend policies as a node keeps them, and how far calls may take a wallet, and did.

use std::time::Duration;

use tollgate_ledger_store::catalogue::overspend::OVERSPEND_ATTRIBUTE;
use tollgate_ledger_store::catalogue::records::Attribute;
use tollgate_ledger_store::{Clock, Commit, Ledger};
use tollgate_metering::Incarnation;
use tollgate_metering::account::{Ceiling, Mode, Overspend, Stamp};
use tollgate_proto::v1;
use tollgate_proto::v1::balances_client::BalancesClient;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::gateway::{Gateway, bearer, channel, register_of};
use crate::ground::{ACME, ADA, Ground, READ_TOKEN, TestNode, eur, eventually, money};

const DAY: Duration = Duration::from_secs(86_400);

// === impl Ground ===

impl Ground {
    async fn mode(&self) -> Mode {
        self.read().await.account.header.mode
    }

    /// Sets the wallet's own policy and waits until a node has seen it through.
    async fn goes_by(&self, policy: Overspend) {
        let now = self.clock.now();
        let own =
            self.catalogue.set_wallet_overspend(ACME, self.developer.id, eur(), Some(policy), now);
        own.await.unwrap();
        eventually("the policy is in force", || async {
            let mode = self.mode().await;
            mode.overspend == policy && !mode.is_changing
        })
        .await;
    }

    /// Grants an incarnation so much, until that is in the account.
    async fn grant(&self, incarnation: Incarnation, amount: &str) {
        let (draw, settled) = (money(amount), money("0"));
        loop {
            let account = self.read().await.account;
            let mut change = account.change();
            let stamp = Stamp { mode: account.header.mode.counter, epoch: 1, counter: 1 };
            let grant = Ceiling { stamp, draw, most: draw, settled, is_retired: false };
            change.ceilings.insert(incarnation, Some(grant));
            if self.ledger.commit(&change).await.unwrap() == Commit::Applied {
                return;
            }
        }
    }

    async fn grant_of(&self, incarnation: Incarnation) -> Option<Ceiling> {
        self.read().await.account.ceilings.get(&incarnation).copied()
    }
}

async fn told(node: &TestNode) -> v1::Balance {
    let with_token =
        |request: Request<()>| -> Result<_, Status> { Ok(bearer(READ_TOKEN, request)) };
    let mut client = BalancesClient::with_interceptor(channel(node).await, with_token);
    let request = v1::GetBalanceRequest {
        organization: ACME.to_owned(),
        developer: ADA.to_owned(),
        currency: "EUR".to_owned(),
        with_gateways: false,
    };
    client.get_balance(request).await.unwrap().into_inner().balances.remove(0)
}

/// Nobody uses the wallet, and nobody but housekeeping looks at it.
#[tokio::test(flavor = "multi_thread")]
async fn an_organizations_policy_reaches_its_wallets_and_comes_into_force() {
    let ground = Ground::with_ten().await;
    let _nodes = (ground.node().await, ground.node().await);
    assert_eq!(ground.mode().await, Mode::default());
    let says = |policy: &str| {
        vec![Attribute { name: OVERSPEND_ATTRIBUTE.to_owned(), value: policy.to_owned() }]
    };
    let now = ground.clock.now();
    let strict = says("strict");
    ground.catalogue.update_organization(ACME, ACME, "", &strict, now).await.unwrap();
    let in_force = Mode { overspend: Overspend::Strict, counter: 1, is_changing: false };
    eventually("it is in force", || async { ground.mode().await == in_force }).await;
    let lax = says("optimistic");
    ground.catalogue.update_organization(ACME, ACME, "", &lax, now).await.unwrap();
    let in_force = Mode { overspend: Overspend::Optimistic, counter: 2, is_changing: false };
    eventually("it is taken back", || async { ground.mode().await == in_force }).await;
}

/// A node died between the two steps of a change.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_left_half_done_is_gone_on_with() {
    let ground = Ground::with_ten().await;
    let now = ground.clock.now();
    let strict = Some(Overspend::Strict);
    let set = ground.catalogue.set_wallet_overspend(ACME, ground.developer.id, eur(), strict, now);
    set.await.unwrap();
    assert!(ground.catalogue.apply_overspend(ground.wallet, now).await.unwrap());
    assert!(ground.mode().await.is_changing);
    let _node = ground.node().await;
    eventually("it is in force", || async { !ground.mode().await.is_changing }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_comes_back_at_the_fence_and_not_by_time_before_it() {
    let ground = Ground::with_ten().await;
    let _node = ground.node().await;
    ground.goes_by(Overspend::Strict).await;
    let gateway = Incarnation { born: ground.clock.now(), id: Uuid::new_v4() };
    ground.grant(gateway, "4").await;
    ground.clock.pass(DAY * 3);
    // A day after the fence the younger one is still waited for.
    let younger = Incarnation { born: ground.clock.now(), id: Uuid::new_v4() };
    ground.grant(younger, "3").await;
    assert_eq!(ground.grant_of(gateway).await.unwrap().draw, money("4"));
    ground.clock.pass(Duration::from_secs(2 * 3_600));
    eventually("it is retired", || async {
        ground.grant_of(gateway).await.is_some_and(|grant| grant.is_retired)
    })
    .await;
    assert_eq!(ground.read().await.account.reserved().unwrap(), money("3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_tells_policy_bound_and_what_is_reserved() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut gateways = [Gateway::connect(&node).await, Gateway::connect(&node).await];
    for gateway in &mut gateways {
        gateway.subscribe(ground.wallet).await;
        gateway.snapshot(|_| true).await;
    }
    let optimistic = told(&node).await;
    assert_eq!(optimistic.overspend(), v1::Overspend::Optimistic);
    assert!(!optimistic.is_mode_changing && !optimistic.is_max_exposure_promised);
    let most = optimistic.max_exposure.unwrap();
    assert_eq!(most, money("10").into(), "one of the two may spend what the other has spent");
    eventually("the bound is in the metrics", || async {
        let sum = node.metric("tollgate_max_exposure_total", "EUR");
        sum == 10.0 && node.metric("tollgate_max_exposure_largest", "EUR") == sum
    })
    .await;

    drop(gateways);
    let strict = Some(Overspend::Strict);
    let now = ground.clock.now();
    let set = ground.catalogue.set_wallet_overspend(ACME, ground.developer.id, eur(), strict, now);
    set.await.unwrap();
    ground.catalogue.apply_overspend(ground.wallet, now).await.unwrap();
    let changing = told(&node).await;
    assert_eq!(changing.overspend(), v1::Overspend::Strict);
    assert!(changing.is_mode_changing && !changing.is_max_exposure_promised);
    let mut change = ground.read().await.account.change();
    change.header.mode.is_changing = false;
    assert_eq!(ground.ledger.commit(&change).await.unwrap(), Commit::Applied);
    ground.grant(Incarnation { born: now, id: Uuid::new_v4() }, "4").await;
    let strict = told(&node).await;
    assert!(!strict.is_mode_changing && strict.is_max_exposure_promised);
    let shown = (strict.max_exposure.unwrap(), strict.reserved.unwrap());
    assert_eq!(shown, (money("0").into(), money("4").into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overspend_is_counted_at_its_deepest_when_the_wallet_comes_back() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut gateway = Gateway::connect(&node).await;
    gateway.subscribe(ground.wallet).await;
    let counted = || {
        let families = node.registry.gather();
        let family = families.iter().find(|family| family.name() == "tollgate_overspend");
        let histogram = family.map(|family| family.get_metric()[0].get_histogram());
        histogram.map(|histogram| (histogram.get_sample_count(), histogram.get_sample_sum()))
    };
    // Down to −1, down to −2, a little up, and then back.
    for total in ["1100", "1200"] {
        let seq = gateway.report(vec![register_of(ground.meter(), total)]).await;
        gateway.durable(seq).await;
        told(&node).await;
    }
    ground.credit("1").await;
    assert_eq!(told(&node).await.overdraft, Some(money("1").into()));
    assert_eq!(counted(), None, "it has not come back");
    ground.credit("5").await;
    told(&node).await;
    eventually("it is counted", || async { counted() == Some((1, 2.0)) }).await;
}
