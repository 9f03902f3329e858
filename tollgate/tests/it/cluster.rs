//! Two gateways and two balance-sync nodes over three Cassandra nodes carry one developer's traffic at the same time.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::support::api::{get, nanos};
use crate::support::cluster::{self, KilledNode};
use crate::support::eventually;
use crate::support::load::{Caller, Load};
use crate::support::parts::{Developer, Gateway, Node, Site};
use crate::support::process;
use crate::support::upstream::Upstream;

/// One of these tests kills a node of the cluster that the other uses.
static CLUSTER: Mutex<()> = Mutex::const_new(());

/// Callers that both gateways hear, at a pace that a small machine carries beside a cluster.
fn callers(developer: &Developer, gateways: &[&Gateway]) -> Vec<Caller> {
    let caller = |gateway: &&Gateway| Caller {
        pause: Duration::from_millis(1),
        ..Caller::new(gateway.url(), &developer.key)
    };
    gateways.iter().map(caller).collect()
}

/// Waits until what every gateway believes is what the ledger has, exactly, whichever node is asked.
async fn everybody_agrees(
    site: &Site,
    nodes: &[&Node],
    gateways: &[&Gateway],
    developer: &Developer,
    balance: i128,
) {
    for node in nodes {
        eventually("every gateway and the ledger agree", || async {
            // A gateway hears of wallets that are in use; a call that fails costs nothing.
            for gateway in gateways {
                let url = format!("{}/orders/fail", gateway.process.text(&["gateway"]));
                get(&url, &[("x-api-key", developer.key.as_str())]).await;
            }
            let shown = balance_with_gateways(site, node, developer)?;
            let views = shown["gateways"].as_array().cloned().unwrap_or_default();
            let seen = views.iter().chain([&shown]).map(|view| view["balance"].as_str().map(nanos));
            let is_all = views.len() == gateways.len();
            if is_all && seen.into_iter().all(|seen| seen == Some(balance)) {
                return Ok(());
            }
            Err(format!("{shown}, not {balance} nanos"))
        })
        .await;
    }
}

/// What `tollgate balance get --gateways` shows.
fn balance_with_gateways(site: &Site, node: &Node, developer: &Developer) -> Result<Value, String> {
    let portal = &developer.portal;
    let mut ask = process::command(["balance", "get", "--gateways", "--json"]);
    ask.args(["--address", &node.url(), "--organization", &portal.organization]);
    ask.args(["--developer", &portal.developer])
        .arg("--token-file")
        .arg(site.path().join("admin-token"));
    let output = ask.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{:?}", process::texts(&output)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_over_two_gateways_and_two_nodes_is_charged_to_the_last_nano() {
    let _alone = CLUSTER.lock().await;
    let upstream = Upstream::start().await;
    let site = Site::on_cassandra(&cluster::nodes());
    let nodes = [site.node("node-1"), site.node("node-2")];
    let developer = site.developer(&nodes[0], 5).await;
    // Each gateway knows one node, so that both nodes serve the wallet at once.
    let gateways = [
        site.gateway("gateway-1", &[&nodes[0]], &upstream.url, ""),
        site.gateway("gateway-2", &[&nodes[1]], &upstream.url, ""),
    ];
    let load = Load::start(&callers(&developer, &[&gateways[0], &gateways[1]]), 8);
    load.until_refused(200).await;
    let tally = load.end().await;
    assert_eq!(tally.in_flight, 0, "{tally:?}");
    let charged = i128::from(tally.succeeded()) * nanos("0.01");
    let debt = charged - nanos("5");
    assert!(debt > 0, "both gateways spent from stale copies: {tally:?}");
    developer.portal.balance_becomes(-debt).await;
    let [first, second] = &gateways;
    for (node, gateway) in nodes.iter().zip([first, second]) {
        everybody_agrees(&site, &[node], &[gateway], &developer, -debt).await;
    }

    assert_eq!(developer.portal.credit(20, "top-up").await.unwrap().status, StatusCode::OK);
    developer.portal.balance_becomes(nanos("20") - debt).await;
    let load = Load::start(&callers(&developer, &[&gateways[0], &gateways[1]]), 2);
    load.until_succeeded(50).await;
    let more = i128::from(load.end().await.succeeded()) * nanos("0.01");
    developer.portal.balance_becomes(nanos("20") - debt - more).await;
    for process in
        gateways.map(|gateway| gateway.process).into_iter().chain(nodes.map(|node| node.process))
    {
        assert!(process.stop().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_node_and_cassandra_lose_nothing_that_was_answered() {
    let _alone = CLUSTER.lock().await;
    let upstream = Upstream::start().await;
    let site = Site::on_cassandra(&cluster::nodes());
    let [node_1, node_2] = [site.node("node-1"), site.node("node-2")];
    let developer = site.developer(&node_1, 10_000).await;
    let gateway_1 = site.gateway("gateway-1", &[&node_1, &node_2], &upstream.url, "");
    let gateway_2 = site.gateway("gateway-2", &[&node_1, &node_2], &upstream.url, "");
    let load = Load::start(&callers(&developer, &[&gateway_1, &gateway_2]), 4);
    let more = async |count: u64| load.until_succeeded(load.succeeded() + count).await;
    more(300).await;
    let start_gateway = site.kill_gateway(gateway_2);
    more(200).await;
    let gateway_2 = start_gateway();
    more(200).await;
    let start_node = site.kill_node(node_2);
    more(200).await;
    let node_2 = start_node();
    more(200).await;
    let killed = tokio::task::spawn_blocking(KilledNode::kill).await.unwrap();
    more(300).await;
    tokio::task::spawn_blocking(|| killed.start()).await.unwrap();
    more(300).await;
    let tally = load.end().await;
    assert_eq!(tally.of(402), 0, "{tally:?}");

    let price = nanos("0.01");
    let least = i128::from(tally.succeeded());
    let most = least + i128::from(tally.in_flight);
    let balance = eventually("the ledger has what was answered", || async {
        let balance = developer.portal.try_balance().await?;
        let charged = nanos("10000") - balance;
        assert_eq!(charged % price, 0, "{charged} nanos are whole calls");
        assert!(
            charged / price <= most,
            "{} calls charged, at most {most} answered or in flight",
            charged / price
        );
        if charged / price < least {
            Err(format!("{} of {least} charged", charged / price))
        } else {
            Ok(balance)
        }
    })
    .await;
    let gateways = [&gateway_1, &gateway_2];
    everybody_agrees(&site, &[&node_1, &node_2], &gateways, &developer, balance).await;
    for process in [gateway_1.process, gateway_2.process, node_1.process, node_2.process] {
        assert!(process.stop().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_wallet_over_cassandra_ends_at_its_floor() {
    let _alone = CLUSTER.lock().await;
    let upstream = Upstream::start().await;
    let site = Site::on_cassandra(&cluster::nodes());
    let nodes = [site.node("node-1"), site.node("node-2")];
    let developer = site.developer(&nodes[0], 3).await;
    let gateway = |name: &str| site.gateway(name, &[&nodes[0], &nodes[1]], &upstream.url, "");
    let gateways = ["gateway-1", "gateway-2", "gateway-3", "gateway-4"].map(gateway);
    developer.make_strict().await;
    let load = Load::start(&callers(&developer, &gateways.each_ref()), 2);
    load.until_refused(100).await;
    let tally = load.end().await;
    assert_eq!((tally.succeeded(), tally.in_flight), (300, 0), "{tally:?}");
    developer.portal.balance_becomes(0).await;
    for process in
        gateways.map(|gateway| gateway.process).into_iter().chain(nodes.map(|node| node.process))
    {
        assert!(process.stop().success());
    }
}
