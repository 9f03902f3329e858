//! The parts as processes of their own: balance-sync nodes over one ledger, gateways before one upstream.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hyper::Method;
use serde_json::{Value, json};

use super::api::Portal;
use super::eventually;
use super::process::{Tollgate, command};

/// A place with configuration files, tokens and data; everything in it ends with the test.
pub(crate) struct Site {
    dir: tempfile::TempDir,
    /// `[ledger…]` of every node.
    ledger: String,
}

/// A balance-sync node that runs.
pub(crate) struct Node {
    pub(crate) process: Tollgate,
    name: String,
}

/// A gateway that runs.
pub(crate) struct Gateway {
    pub(crate) process: Tollgate,
    name: String,
}

/// A developer who can call.
#[derive(Debug, Clone)]
pub(crate) struct Developer {
    pub(crate) portal: Portal,
    pub(crate) key: String,
}

const GATEWAY_TOKEN: &str = "token-of-gateways";
const ADMIN_TOKEN: &str = "token-of-admins";

// === impl Site ===

impl Site {
    /// Nodes over one SQLite file.
    pub(crate) fn on_sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("ledger");
        std::fs::create_dir(&folder).unwrap();
        let ledger = format!("[ledger.sqlite]\nfolder = {folder:?}\n");
        Self::new(dir, ledger)
    }

    /// Nodes over a keyspace of their own in the cluster that `make test` starts.
    pub(crate) fn on_cassandra(nodes: &str) -> Self {
        let list: Vec<&str> = nodes.split(',').collect();
        let keyspace_prefix = format!("tollgate_it_{}", uuid::Uuid::new_v4().simple());
        let ledger = format!(
            "[ledger.cassandra]\nnodes = {list:?}\nkeyspace_prefix = {keyspace_prefix:?}\n"
        );
        Self::new(tempfile::tempdir().unwrap(), ledger)
    }

    fn new(dir: tempfile::TempDir, ledger: String) -> Self {
        std::fs::write(dir.path().join("gateway-token"), GATEWAY_TOKEN).unwrap();
        std::fs::write(dir.path().join("admin-token"), ADMIN_TOKEN).unwrap();
        Self { dir, ledger }
    }

    /// Its directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The configuration of a node that listens at `listen` for gateways and at `management` for portals.
    pub(crate) fn node_config(&self, name: &str, listen: &str, management: &str) -> PathBuf {
        let dir = self.path();
        let text = format!(
            "{ledger}\n[sync]\nlisten = {listen:?}\n\n[management]\nlisten = {management:?}\n\n\
             [metrics]\nlisten = \"127.0.0.1:0\"\n\n\
             [[token]]\nname = \"gateways\"\nsecret = {{ file = {gateway:?} }}\nrole = \"gateway\"\n\n\
             [[token]]\nname = \"admins\"\nsecret = {{ file = {admin:?} }}\nrole = \"admin\"\n",
            ledger = self.ledger,
            gateway = dir.join("gateway-token"),
            admin = dir.join("admin-token"),
        );
        self.write(&format!("{name}.toml"), &text)
    }

    /// Starts a node on free ports.
    pub(crate) fn node(&self, name: &str) -> Node {
        self.node_at(name, "127.0.0.1:0", "127.0.0.1:0")
    }

    fn node_at(&self, name: &str, listen: &str, management: &str) -> Node {
        let config = self.node_config(name, listen, management);
        let mut start = command(["balance-sync", "--config"]);
        start.arg(config);
        Node { process: Tollgate::start(start), name: name.to_owned() }
    }

    /// Kills a node with `kill -9` and answers a way to start it where it was.
    pub(crate) fn kill_node(&self, node: Node) -> impl FnOnce() -> Node + use<'_> {
        let (sync, management) = (node.listen(), node.management());
        let name = node.name;
        node.process.kill();
        move || self.node_at(&name, &sync, &management)
    }

    /// The configuration of a gateway; `more` goes into its sections as it is.
    pub(crate) fn gateway_config(
        &self,
        name: &str,
        listen: &str,
        nodes: &[String],
        upstream: &str,
        more: &str,
    ) -> PathBuf {
        let dir = self.path();
        let mut text = String::new();
        let _ = write!(
            text,
            "[gateway]\nname = {name:?}\nlisten = {listen:?}\ndata_dir = {data:?}\n\n\
             [sync]\nnodes = {nodes:?}\ntoken = {{ file = {token:?} }}\n\n\
             [metrics]\nlisten = \"127.0.0.1:0\"\n\n{more}\n\
             [[proxy]]\nname = \"orders\"\nbase_path = \"/orders\"\ntarget = {upstream:?}\n",
            data = dir.join(name),
            token = dir.join("gateway-token"),
        );
        self.write(&format!("{name}.toml"), &text)
    }

    /// Starts a gateway on a free port.
    pub(crate) fn gateway(
        &self,
        name: &str,
        nodes: &[&Node],
        upstream: &str,
        more: &str,
    ) -> Gateway {
        let nodes: Vec<String> = nodes.iter().map(|node| node.url()).collect();
        self.gateway_at(name, "127.0.0.1:0", &nodes, upstream, more)
    }

    /// The same, whose proxy tells everybody what a call cost.
    pub(crate) fn gateway_telling(&self, name: &str, nodes: &[&Node], upstream: &str) -> Gateway {
        let nodes: Vec<String> = nodes.iter().map(|node| node.url()).collect();
        let config = self.gateway_config(name, "127.0.0.1:0", &nodes, upstream, "");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text + "call_headers = \"always\"\n").unwrap();
        let mut start = command(["gateway", "--config"]);
        start.arg(config);
        Gateway { process: Tollgate::start(start), name: name.to_owned() }
    }

    fn gateway_at(
        &self,
        name: &str,
        listen: &str,
        nodes: &[String],
        upstream: &str,
        more: &str,
    ) -> Gateway {
        let config = self.gateway_config(name, listen, nodes, upstream, more);
        let mut start = command(["gateway", "--config"]);
        start.arg(config);
        Gateway { process: Tollgate::start(start), name: name.to_owned() }
    }

    /// Kills a gateway with `kill -9` and answers a way to start it where it was.
    pub(crate) fn kill_gateway(&self, gateway: Gateway) -> impl FnOnce() -> Gateway + use<'_> {
        let (name, listen) = (gateway.name.clone(), gateway.listen());
        gateway.process.kill();
        let config = self.path().join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(
            &config,
            text.replacen("listen = \"127.0.0.1:0\"", &format!("listen = {listen:?}"), 1),
        )
        .unwrap();
        move || {
            let mut start = command(["gateway", "--config"]);
            start.arg(config);
            Gateway { process: Tollgate::start(start), name }
        }
    }

    /// Makes a developer with a wallet of `euros`, who pays 0.01 for each call of the proxy `orders`.
    pub(crate) async fn developer(&self, node: &Node, euros: i64) -> Developer {
        self.developer_of(&node.process, euros).await
    }

    /// The same over the management API of a process.
    pub(crate) async fn developer_of(&self, node: &Tollgate, euros: i64) -> Developer {
        let portal = Portal {
            url: node.text(&["management"]).to_owned(),
            token: ADMIN_TOKEN.to_owned(),
            organization: "acme".to_owned(),
            developer: "ann@example.com".to_owned(),
        };
        portal.create_organization().await;
        let post = Method::POST;
        let body = json!({"email": portal.developer, "firstName": "Ann", "lastName": "A", "userName": "ann"});
        portal.must(post.clone(), "/developers", &body).await;
        let product = json!({"name": "orders", "displayName": "Orders", "approvalType": "auto", "proxies": ["orders"]});
        portal.must(post.clone(), "/apiproducts", &product).await;
        let plan = json!({
            "apiproduct": "orders", "displayName": "A cent a call", "billingPeriod": "MONTHLY",
            "currencyCode": "EUR", "consumptionPricingType": "FIXED_PER_UNIT",
            "consumptionPricingRates": [{"fee": {"nanos": 10_000_000}}],
            "state": "PUBLISHED", "startTime": "1",
        });
        portal.must(post.clone(), "/apiproducts/orders/rateplans", &plan).await;
        let of_developer = format!("/developers/{}", portal.developer);
        let prepaid = json!({"billingType": "PREPAID"});
        portal.must(Method::PUT, &format!("{of_developer}/monetizationConfig"), &prepaid).await;
        let app = json!({"name": "shop", "apiProducts": ["orders"]});
        let app = portal.must(post.clone(), &format!("{of_developer}/apps"), &app).await;
        let credit = portal.credit(euros, "first").await.unwrap();
        assert!(credit.status.is_success(), "{credit:?}");
        let subscription = json!({"apiproduct": "orders"});
        portal.must(post, &format!("{of_developer}/subscriptions"), &subscription).await;
        let key = key_of(&app);
        Developer { portal, key }
    }
}

// === impl Developer ===

impl Developer {
    /// Makes the wallet strict and waits until every gateway goes by that.
    pub(crate) async fn make_strict(&self) {
        let path = format!("/developers/{}/wallets/EUR", self.portal.developer);
        self.portal.must(Method::PATCH, &path, &json!({"overspend": "strict"})).await;
        eventually("the wallet is strict everywhere", || async {
            let wallet = self.portal.send(Method::GET, &path, None).await?.body;
            let shown: Value = serde_json::from_str(&wallet).unwrap_or_default();
            let is_settled =
                shown["isChanging"] == false && shown["effectiveOverspend"] == "strict";
            if is_settled { Ok(()) } else { Err(wallet) }
        })
        .await;
    }
}

fn key_of(app: &Value) -> String {
    let key = app["credentials"][0]["consumerKey"].as_str();
    key.unwrap_or_else(|| panic!("a key is in {app}")).to_owned()
}

// === impl Node ===

impl Node {
    /// Where gateways connect.
    pub(crate) fn url(&self) -> String {
        self.process.text(&["sync"]).to_owned()
    }

    fn listen(&self) -> String {
        self.url().trim_start_matches("http://").to_owned()
    }

    fn management(&self) -> String {
        self.process.text(&["management"]).trim_start_matches("http://").to_owned()
    }
}

// === impl Gateway ===

impl Gateway {
    /// A path that costs money.
    pub(crate) fn url(&self) -> String {
        format!("{}/orders/1", self.process.text(&["gateway"]))
    }

    /// Where it listens, for a start on the same port.
    pub(crate) fn listen(&self) -> String {
        self.process.text(&["gateway"]).trim_start_matches("http://").to_owned()
    }
}
