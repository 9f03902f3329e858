//! A `tollgate standalone` with a catalogue that is loaded over its API, page by page and key by key.
//!
//! Shared by the benchmark and by a test with fewer developers. Everything goes over real sockets to a real process; each
//! worker keeps one connection.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

/// The organization.
const ORGANIZATION: &str = "acme";
/// Developers in a page of a listing.
pub(crate) const PAGE: usize = 1000;

/// A process whose catalogue is filled.
pub(crate) struct Ground {
    dir: tempfile::TempDir,
    config: std::path::PathBuf,
    process: Process,
    /// From the start of the process to its `ready`.
    pub(crate) start: Duration,
}

struct Process {
    child: Child,
    ready: Value,
}

/// A connection to the management API, or to the gateway.
struct Client {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    token: String,
}

/// What loading came to.
pub(crate) struct Loaded {
    /// How long each tenth of the developers took, in order.
    pub(crate) tenths: Vec<Duration>,
}

/// What listing came to.
pub(crate) struct Listed {
    /// Every address, in the order of the pages.
    pub(crate) emails: Vec<String>,
    /// How long each page took.
    pub(crate) pages: Vec<Duration>,
}

/// The address of a developer: in another order than they are made in, as in life.
pub(crate) fn email(index: usize) -> String {
    let scattered = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    format!("d{scattered:06x}-{index}@example.com")
}

// === impl Ground ===

impl Ground {
    /// Starts a process with an organization, a product and a plan of a cent a call, behind an upstream of its own.
    pub(crate) async fn start() -> Ground {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("standalone.toml");
        let upstream = upstream().await;
        let any = "127.0.0.1:0";
        let text = format!(
            "[standalone]\ndata_dir = {data:?}\ndemo = false\ngateway_listen = {any:?}\n\
             management_listen = {any:?}\nsync_listen = {any:?}\nmetrics_listen = {any:?}\n\
             [[proxy]]\nname = \"orders\"\nbase_path = \"/orders\"\ntarget = {upstream:?}\n",
            data = dir.path().join("data"),
        );
        std::fs::write(&config, text).unwrap();
        let (process, start) = Process::start(&config);
        let ground = Ground { dir, config, process, start };
        let mut client = ground.client().await;
        let all = "/v1/organizations";
        client.must(Method::POST, all, &json!({ "name": ORGANIZATION })).await;
        let product = json!({ "name": "orders", "displayName": "Orders", "proxies": ["orders"] });
        client.must(Method::POST, &at("/apiproducts"), &product).await;
        let plan = json!({
            "apiproduct": "orders", "displayName": "A cent a call", "billingPeriod": "MONTHLY",
            "currencyCode": "EUR", "consumptionPricingType": "FIXED_PER_UNIT", "startTime": "1",
            "consumptionPricingRates": [{ "fee": { "nanos": 10_000_000 } }], "state": "PUBLISHED",
        });
        client.must(Method::POST, &at("/apiproducts/orders/rateplans"), &plan).await;
        ground
    }

    /// Ends the process and starts it again on the same data.
    pub(crate) async fn restart(mut self) -> Ground {
        let config = self.config.clone();
        tokio::task::spawn_blocking(move || {
            self.process.stop();
            (self.process, self.start) = Process::start(&config);
            self
        })
        .await
        .unwrap()
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        let files = std::fs::read_dir(self.dir.path().join("data")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    }

    /// Creates developers with two apps each, `workers` at a time.
    pub(crate) async fn load(&self, developers: usize, workers: usize) -> Loaded {
        let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut working = tokio::task::JoinSet::new();
        for _ in 0..workers {
            let (next, done, mut client) = (next.clone(), done.clone(), self.client().await);
            working.spawn(async move {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= developers {
                        return;
                    }
                    client.create(index).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut tenths = Vec::new();
        let mut begun = Instant::now();
        while working.join_next_or_tick().await {
            while done.load(Ordering::Relaxed) * 10 >= developers * (tenths.len() + 1) {
                tenths.push(begun.elapsed());
                begun = Instant::now();
            }
        }
        Loaded { tenths }
    }

    /// Lists every developer, page by page.
    pub(crate) async fn list(&self) -> Listed {
        let mut client = self.client().await;
        let mut listed = Listed { emails: Vec::new(), pages: Vec::new() };
        loop {
            let from = listed.emails.last().cloned();
            // A page begins with the address that it starts from, which the one before ended with.
            let start =
                from.as_ref().map_or_else(String::new, |email| format!("&startKey={email}"));
            let begun = Instant::now();
            let path = at(&format!("/developers?count={PAGE}{start}"));
            let page = client.must(Method::GET, &path, &Value::Null).await;
            listed.pages.push(begun.elapsed());
            let developers = page["developer"].as_array().cloned().unwrap_or_default();
            let emails = developers.iter().map(|one| one["email"].as_str().unwrap().to_owned());
            let new: Vec<String> = emails.filter(|email| Some(email) != from.as_ref()).collect();
            listed.emails.extend(new);
            if developers.len() < PAGE {
                return listed;
            }
        }
    }

    /// Gives some developers money and a subscription, and answers a key of each.
    pub(crate) async fn fund(&self, indices: &[usize]) -> Vec<String> {
        let mut client = self.client().await;
        let mut keys = Vec::new();
        for index in indices {
            let of = |path: &str| at(&format!("/developers/{}{path}", email(*index)));
            let prepaid = json!({ "billingType": "PREPAID" });
            client.must(Method::PUT, &of("/monetizationConfig"), &prepaid).await;
            let amount = json!({ "currencyCode": "EUR", "units": "1" });
            let credit = json!({ "transactionAmount": amount, "transactionId": "first" });
            client.must(Method::POST, &of("/balance:credit"), &credit).await;
            let bought = json!({ "apiproduct": "orders" });
            client.must(Method::POST, &of("/subscriptions"), &bought).await;
            let app = client.must(Method::GET, &of("/apps/second"), &Value::Null).await;
            keys.push(app["credentials"][0]["consumerKey"].as_str().unwrap().to_owned());
        }
        keys
    }

    /// Calls through the gateway, one after the other, and answers how long each took. Every call must succeed.
    pub(crate) async fn call(&self, keys: &[String]) -> Vec<Duration> {
        let gateway = self.process.ready["gateway"].as_str().unwrap();
        let mut client = Client::connect(gateway, String::new()).await;
        let mut times = Vec::new();
        for key in keys {
            let request = client.request(Method::GET, "/orders/1").header("x-api-key", key);
            let begun = Instant::now();
            let (status, body) = client.send(request, String::new()).await;
            times.push(begun.elapsed());
            assert_eq!(status, StatusCode::OK, "{body}");
        }
        times
    }

    async fn client(&self) -> Client {
        let ready = &self.process.ready;
        let token = std::fs::read_to_string(ready["admin_token_file"].as_str().unwrap()).unwrap();
        Client::connect(ready["management"].as_str().unwrap(), token.trim().to_owned()).await
    }
}

fn at(path: &str) -> String {
    format!("/v1/organizations/{ORGANIZATION}{path}")
}

/// Waits for a task to end, or for a moment.
trait JoinOrTick {
    /// Whether any task is left.
    async fn join_next_or_tick(&mut self) -> bool;
}

impl JoinOrTick for tokio::task::JoinSet<()> {
    async fn join_next_or_tick(&mut self) -> bool {
        const TICK: Duration = Duration::from_millis(5);
        match tokio::time::timeout(TICK, self.join_next()).await {
            Ok(Some(ended)) => {
                ended.unwrap();
                true
            }
            Ok(None) => false,
            Err(_) => true,
        }
    }
}

// === impl Process ===

impl Process {
    fn start(config: &Path) -> (Process, Duration) {
        let begun = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["standalone", "--config"])
            .arg(config)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut lines = stdout.lines().map_while(Result::ok);
        let line = lines.find_map(|line| line.strip_prefix("ready ").map(str::to_owned));
        let took = begun.elapsed();
        let ready = serde_json::from_str(&line.expect("the process gets ready")).unwrap();
        (Process { child, ready }, took)
    }

    fn stop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        let _ = kill_process(pid, Signal::TERM);
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Client ===

impl Client {
    async fn connect(url: &str, token: String) -> Client {
        let authority = url.strip_prefix("http://").unwrap().to_owned();
        let stream = TcpStream::connect(&authority).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Client { sender, authority, token }
    }

    async fn create(&mut self, index: usize) {
        let email = email(index);
        let developer = json!({
            "email": email, "firstName": "Ann", "lastName": "A", "userName": format!("d{index}"),
        });
        self.must(Method::POST, &at("/developers"), &developer).await;
        for name in ["first", "second"] {
            let app = json!({ "name": name, "apiProducts": ["orders"] });
            self.must(Method::POST, &at(&format!("/developers/{email}/apps")), &app).await;
        }
    }

    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        Request::builder().method(method).uri(path).header(header::HOST, &self.authority)
    }

    async fn must(&mut self, method: Method, path: &str, body: &Value) -> Value {
        let bearer = format!("Bearer {}", self.token);
        let request = self.request(method, path).header(header::AUTHORIZATION, bearer);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.send(request, body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        serde_json::from_str(&answer).unwrap_or(Value::Null)
    }

    async fn send(
        &mut self,
        request: hyper::http::request::Builder,
        body: String,
    ) -> (StatusCode, String) {
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        self.sender.ready().await.unwrap();
        let (head, body) = self.sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, String::from_utf8_lossy(&body).into_owned())
    }
}

/// An upstream that answers every call with 200; its address.
async fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("ok"))))
            });
            let served = hyper::server::conn::http1::Builder::new();
            tokio::spawn(served.serve_connection(TokioIo::new(stream), answer));
        }
    });
    url
}
