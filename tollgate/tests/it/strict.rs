//! Strict wallets on real processes: four gateways under full load end at the floor, never below it.

use std::sync::Arc;

use hyper::StatusCode;
use tollgate_ledger_store::book::Book;
use tollgate_ledger_store::catalogue::Catalogue;
use tollgate_ledger_store::clock::SystemClock;
use tollgate_ledger_store::metrics::LedgerMetrics;
use tollgate_ledger_store::sqlite::{SqliteLedger, newest_generation, path_of};
use tollgate_ledger_store::{Ledger, WalletRead};
use tollgate_metering::account::Overspend;

use crate::support::api::{get, nanos};
use crate::support::eventually;
use crate::support::load::{Caller, Load};
use crate::support::parts::{Developer, Gateway, Node, Site};
use crate::support::upstream::Upstream;

/// A site with a strict wallet, as an operator on the machine sees it.
struct Strict {
    site: Site,
    upstream: Upstream,
    nodes: Vec<Node>,
    gateways: Vec<Gateway>,
    developer: Developer,
    ledger: Arc<SqliteLedger>,
}

// === impl Strict ===

impl Strict {
    async fn start(nodes: usize, gateways: usize, euros: i64) -> Strict {
        let (site, upstream) = (Site::on_sqlite(), Upstream::start().await);
        let nodes: Vec<Node> = (0..nodes).map(|n| site.node(&format!("node-{n}"))).collect();
        let refs: Vec<&Node> = nodes.iter().collect();
        let gateway = |n| site.gateway(&format!("gateway-{n}"), &refs, &upstream.url, "");
        let gateways: Vec<Gateway> = (0..gateways).map(gateway).collect();
        let developer = site.developer(&nodes[0], euros).await;
        let folder = site.path().join("ledger");
        let file = path_of(&folder, newest_generation(&folder).unwrap());
        let ledger = Arc::new(
            SqliteLedger::open(
                &file,
                LedgerMetrics::register(&prometheus::Registry::new()).unwrap(),
            )
            .unwrap(),
        );
        let strict = Strict { site, upstream, nodes, gateways, developer, ledger };
        strict.set(Overspend::Strict).await;
        strict
    }

    fn book(&self) -> Book {
        let ledger = Arc::clone(&self.ledger) as Arc<dyn Ledger>;
        let clock = Arc::new(SystemClock::start());
        let catalogue = Catalogue::new(Arc::clone(&self.ledger) as Arc<_>, Arc::clone(&ledger));
        Book::new(ledger, Arc::new(catalogue), clock)
    }

    async fn read(&self) -> WalletRead {
        let wallet = self.ledger.list(None, 1).await.unwrap()[0];
        self.ledger.read(wallet).await.unwrap().unwrap()
    }

    /// Changes the policy and waits until it is in force.
    async fn set(&self, policy: Overspend) {
        let wallet = self.read().await.account.header.wallet;
        assert!(self.book().set_overspend(wallet, policy).await.unwrap());
        // Whoever calls makes the nodes read the wallet.
        eventually("the policy is in force", || async {
            for gateway in &self.gateways {
                get(&format!("{}/fail", gateway.url()), &[("x-api-key", &self.developer.key)])
                    .await;
            }
            let mode = self.read().await.account.header.mode;
            if mode.is_changing { Err(format!("{mode:?}")) } else { Ok(()) }
        })
        .await;
    }

    fn callers(&self) -> Vec<Caller> {
        let caller = |gateway: &Gateway| Caller::new(gateway.url(), &self.developer.key);
        self.gateways.iter().map(caller).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_gateways_under_full_load_end_at_the_floor_and_never_below() {
    let strict = Strict::start(2, 4, 5).await;
    let load = Load::start(&strict.callers(), 4);
    load.until_refused(400).await;
    let tally = load.end().await;
    assert_eq!(tally.in_flight, 0, "{tally:?}");
    let portal = &strict.developer.portal;
    portal.balance_becomes(nanos("5") - i128::from(tally.succeeded()) * nanos("0.01")).await;
    assert_eq!(tally.succeeded(), 500, "all of it, and nothing more: {tally:?}");
    assert_eq!(strict.upstream.calls(), 500);
}

/// A gateway that is killed while it has a cent to spend keeps it until its spend file was reported, however long that takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateways_grant_comes_back_with_its_spend_file() {
    let mut strict = Strict::start(1, 2, 1).await;
    let key = strict.developer.key.clone();
    let killed = strict.gateways.remove(0);
    // The upstream fails: the cent is given back to the grant, not to the wallet.
    let failed = get(&format!("{}/fail", killed.url()), &[("x-api-key", &key)]).await;
    assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE);
    let restart = strict.site.kill_gateway(killed);
    let reserved = strict.read().await.account.reserved().unwrap();
    assert!(reserved > tollgate_metering::Money::ZERO);

    let load = Load::start(&strict.callers(), 2);
    load.until_refused(20).await;
    let before = load.end().await.succeeded();
    assert!(before < 100, "{before} calls, though something is reserved");
    assert_eq!(strict.nodes.len(), 1);

    strict.gateways.push(restart());
    eventually("the grant came back", || async {
        let reserved = strict.read().await.account.reserved().unwrap();
        if reserved.is_zero() { Ok(()) } else { Err(format!("{reserved} reserved")) }
    })
    .await;
    let load = Load::start(&strict.callers(), 2);
    load.until_refused(20).await;
    assert_eq!(before + load.end().await.succeeded(), 100);
    strict.developer.portal.balance_becomes(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_cent_is_spent_on_whichever_gateway_the_call_arrives() {
    let strict = Strict::start(1, 3, 1).await;
    let call = async |gateway: &Gateway| {
        get(&gateway.url(), &[("x-api-key", &strict.developer.key)]).await.status
    };
    // One gateway spends all but the last cent; its grant may hold that.
    for _ in 0..99 {
        assert_eq!(call(&strict.gateways[0]).await, StatusCode::OK);
    }
    assert_eq!(call(&strict.gateways[2]).await, StatusCode::OK);
    for gateway in &strict.gateways {
        assert_eq!(call(gateway).await, StatusCode::PAYMENT_REQUIRED);
    }
    strict.developer.portal.balance_becomes(0).await;
}
