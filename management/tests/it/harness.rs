//! A server on a port of its own, and a client that shows what it sent and got.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tollgate_ledger_store::book::Book;
use tollgate_ledger_store::sqlite::SqliteLedger;
use tollgate_ledger_store::{Catalogue, Clock, DocumentStore, Ledger, LedgerMetrics, RateSource};
use tollgate_management::{
    Chain, Limits, Metrics, NoExposures, Parts, Role, StoredTokens, Tokens, run,
};
use tollgate_metering::UnixMillis;

/// 2026-11-22T12:00:00Z.
pub(crate) const NOON: i64 = 1_795_348_800_000;

pub(crate) const ADMIN: &str = "admin-token-of-the-tests";
pub(crate) const READER: &str = "reader-token-of-the-tests";

/// The developer that most tests are about.
pub(crate) const ADA: &str = "/v1/organizations/acme/developers/ada@example.com";

/// A clock that tests set.
pub(crate) struct TestClock(AtomicI64);

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) sqlite: Arc<SqliteLedger>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) registry: prometheus::Registry,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<()>,
    directory: TempDir,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) json: Value,
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst).unsigned_abs())
    }
}

impl TestClock {
    pub(crate) fn at(ms: i64) -> Arc<TestClock> {
        Arc::new(TestClock(AtomicI64::new(ms)))
    }

    pub(crate) fn set(&self, ms: i64) {
        self.0.store(ms, Ordering::SeqCst);
    }
}

// === impl Server ===

impl Server {
    /// With an organization, and otherwise empty.
    pub(crate) async fn start() -> Server {
        Server::start_with(Limits::default(), |ledger| ledger).await
    }

    /// With other limits, or something between the API and the ledger.
    pub(crate) async fn start_with(
        limits: Limits,
        wrap: impl FnOnce(Arc<dyn Ledger>) -> Arc<dyn Ledger>,
    ) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let registry = prometheus::Registry::new();
        let clock = Arc::new(TestClock(AtomicI64::new(NOON)));
        let sqlite = SqliteLedger::open_with_clock(
            &directory.path().join("ledger.sqlite"),
            LedgerMetrics::register(&registry).unwrap(),
            Arc::clone(&clock) as Arc<dyn Clock>,
        );
        let sqlite = Arc::new(sqlite.unwrap());
        let ledger = wrap(Arc::clone(&sqlite) as Arc<dyn Ledger>);
        let documents = Arc::clone(&sqlite) as Arc<dyn DocumentStore>;
        let catalogue = Arc::new(Catalogue::new(documents, Arc::clone(&ledger)));
        let book = Book::new(
            Arc::clone(&ledger),
            Arc::clone(&catalogue) as Arc<dyn RateSource>,
            Arc::clone(&clock) as Arc<dyn Clock>,
        );
        let tokens = Tokens::default().with(ADMIN, "admin", Role::Admin).with(
            READER,
            "reader",
            Role::BalancesRead,
        );
        let stored =
            StoredTokens::new(Arc::clone(&catalogue), Arc::clone(&clock) as Arc<dyn Clock>);
        let parts = Parts {
            ledger,
            catalogue: Arc::clone(&catalogue),
            book: Arc::new(book),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            authorizer: Arc::new(Chain(vec![Arc::new(tokens), Arc::new(stored)])),
            metrics: Metrics::register(&registry).unwrap(),
            exposures: Arc::new(NoExposures),
            limits,
            billing: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { drop(stopped.await) };
        let task = tokio::spawn(run(listener, parts, shutdown));
        let stop = Some(stop);
        let server = Server { address, clock, sqlite, catalogue, registry, stop, task, directory };
        let made = server.post("/v1/organizations", r#"{"name":"acme"}"#).await;
        assert_eq!(made.status, 201, "{made:?}");
        server
    }

    /// With a prepaid developer as well.
    pub(crate) async fn start_with_ada() -> Server {
        let server = Server::start().await;
        server.add_ada().await;
        server
    }

    pub(crate) async fn add_ada(&self) {
        let ada =
            r#"{"email":"ada@example.com","firstName":"Ada","lastName":"L","userName":"ada"}"#;
        let made = self.post("/v1/organizations/acme/developers", ada).await;
        assert_eq!(made.status, 201, "{made:?}");
        let prepaid = r#"{"billingType":"PREPAID"}"#;
        let set = self.put(&format!("{ADA}/monetizationConfig"), prepaid).await;
        assert_eq!(set.status, 200, "{set:?}");
    }

    /// Adds a product with a plan that is active from noon on.
    pub(crate) async fn add_plan(&self, product: &str, plan: &str) -> String {
        let products = "/v1/organizations/acme/apiproducts";
        let made = self.post(products, &format!(r#"{{"name":"{product}"}}"#)).await;
        assert_eq!(made.status, 201, "{made:?}");
        let plan = plan_body(product, plan);
        let made = self.post(&format!("{products}/{product}/rateplans"), &plan).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json["name"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, ADMIN, "", None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Reply {
        self.call("POST", path, ADMIN, "", Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Reply {
        self.call("PUT", path, ADMIN, "", Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, ADMIN, "", None).await
    }

    /// One request on a connection of its own. `headers` end with CRLF each.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        token: &str,
        headers: &str,
        body: Option<&str>,
    ) -> Reply {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: tollgate\r\n{headers}");
        if !token.is_empty() {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if let Some(body) = body {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("Connection: close\r\n\r\n");
        request.push_str(body.unwrap_or_default());
        self.raw(request.as_bytes()).await
    }

    /// Sends bytes and reads the answer to its end.
    pub(crate) async fn raw(&self, request: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // A server that refuses early may reset the connection after its answer.
        let _ = stream.read_to_end(&mut answer).await;
        Reply::of(&answer)
    }

    /// The balance in a currency as a decimal, or nothing without such a wallet.
    pub(crate) async fn balance(&self, currency: &str) -> Option<String> {
        let reply = self.get(&format!("{ADA}/balance")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let wallets = reply.json["wallets"].as_array().cloned().unwrap_or_default();
        let wallet = wallets.iter().find(|wallet| wallet["balance"]["currencyCode"] == currency)?;
        let units = wallet["balance"]["units"].as_str().unwrap_or("0").parse().unwrap();
        let nanos = wallet["balance"]["nanos"].as_i64().unwrap_or(0).try_into().unwrap();
        Some(tollgate_metering::Money::from_units_nanos(units, nanos).unwrap().to_string())
    }

    /// Every byte of the ledger's files.
    pub(crate) fn stored(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.directory.path()).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    pub(crate) async fn credit(&self, currency: &str, units: &str, id: &str) -> Reply {
        let body = format!(
            r#"{{"transactionAmount":{{"currencyCode":"{currency}","units":"{units}"}},
                "transactionId":"{id}"}}"#
        );
        self.post(&format!("{ADA}/balance:credit"), &body).await
    }
}

/// A rate plan of `product` that is active from noon on, with `more` fields.
pub(crate) fn plan_body(product: &str, more: &str) -> String {
    format!(
        r#"{{"apiproduct":"{product}","displayName":"standard","billingPeriod":"MONTHLY",
            "currencyCode":"EUR","state":"PUBLISHED","startTime":"{NOON}",
            "consumptionPricingType":"FIXED_PER_UNIT",
            "consumptionPricingRates":[{{"fee":{{"nanos":10000000}}}}]{more}}}"#
    )
}

// === impl Reply ===

impl Reply {
    fn of(answer: &[u8]) -> Reply {
        let text = String::from_utf8(answer.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let json = match body {
            "" => Value::Null,
            csv if head.contains("content-type: text/csv") => Value::String(csv.to_owned()),
            body => serde_json::from_str(body).unwrap(),
        };
        Reply { status, head: head.to_ascii_lowercase(), json }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(prefix.as_str()))
    }

    /// `error.status`.
    pub(crate) fn error_status(&self) -> &str {
        self.json["error"]["status"].as_str().unwrap_or_default()
    }

    /// `error.message`.
    pub(crate) fn message(&self) -> &str {
        self.json["error"]["message"].as_str().unwrap_or_default()
    }

    /// Apigee's code, where its clients read it.
    pub(crate) fn reason(&self) -> &str {
        self.json["error"]["details"][0]["violations"][0]["type"].as_str().unwrap_or_default()
    }
}
