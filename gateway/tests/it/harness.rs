//! A gateway, an upstream and a client on sockets of 127.0.0.1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::global::BoxedTracer;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tollgate_gateway::admission::{
    Admission, CallHead, CallHold, CallReport, Decision, Multiplier, OwnQuestion,
};
use tollgate_gateway::config::{Limits, Listener, ListenerTls, Metering, Proxy};
use tollgate_gateway::refusal::{Budget, KnownBalance, Refusal, Refused, Returns};
use tollgate_gateway::server::{BoundListener, Parts, run};
use tollgate_metering::{DeveloperId, Period, Units, WalletId};
use uuid::Uuid;

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What became of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Settled with these units and this excess.
    Settled(String, String),
    /// Released.
    Released,
}

/// Decides by the key: `good` passes, the others are as they are called.
#[derive(Debug)]
pub(crate) struct ByKey {
    pub(crate) ended: Arc<Mutex<Vec<Ended>>>,
    pub(crate) paths: Mutex<Vec<String>>,
    pub(crate) fetches: AtomicUsize,
    ending: mpsc::UnboundedSender<()>,
}

#[derive(Debug)]
pub(crate) struct Hold {
    ended: Arc<Mutex<Vec<Ended>>>,
    ending: mpsc::UnboundedSender<()>,
    is_settled: bool,
}

impl Admission for ByKey {
    type Hold = Hold;
    type Missing = ();

    fn decide(&self, head: &CallHead<'_>) -> Decision<Hold, ()> {
        self.paths.lock().push(head.path.to_owned());
        match head.consumer_key {
            None => Decision::Refuse(Refusal::KeyMissing.into()),
            Some("good") => Decision::Admit(self.hold()),
            Some("late") if self.fetches.load(Ordering::SeqCst) >= 2 => {
                Decision::Admit(self.hold())
            }
            Some("late" | "never" | "stale") => Decision::Missing(()),
            Some("free") => Decision::Unpriced,
            Some("shadow") => Decision::Shadow { hold: Some(self.hold()), refusal: None },
            Some("spared") if head.failed.is_some() => {
                Decision::Shadow { hold: None, refusal: head.failed }
            }
            Some("spared") => Decision::Missing(()),
            Some("broke") => Decision::Refuse(broke(Some(Duration::from_millis(86_400_001)))),
            Some("lost") => Decision::Refuse(broke(None)),
            Some("poor") => Decision::Refuse(Refusal::BalanceTooSmall.into()),
            Some(_) => Decision::Refuse(Refusal::KeyUnknown.into()),
        }
    }

    async fn fetch(&self, (): ()) -> Result<(), Refusal> {
        tokio::task::yield_now().await;
        if self.fetches.fetch_add(1, Ordering::SeqCst) > 100 {
            return Err(Refusal::BalanceStale);
        }
        Ok(())
    }

    async fn own(&self, question: OwnQuestion, key: Option<&str>) -> Result<Bytes, Refused> {
        match key {
            None => Err(Refusal::KeyMissing.into()),
            Some("good") => Ok(Bytes::from(format!("{question:?} of good"))),
            Some(_) => Err(Refusal::KeyUnknown.into()),
        }
    }
}

/// A wallet with less than a call costs, and how long until the next free tier.
fn broke(wait: Option<Duration>) -> Refused {
    let period = Period::from_number(2_026 * 12 + 11).unwrap();
    let known = KnownBalance {
        balance: "-1.5".parse().unwrap(),
        available: "-1.500000001".parse().unwrap(),
        age: Some(Duration::from_millis(12)),
    };
    let budget = Budget {
        developer: DeveloperId(Uuid::from_u128(8)),
        wallet: Some(WalletId(Uuid::from_u128(7))),
        currency: "EUR".parse().unwrap(),
        price: Some("0.000000001".parse().unwrap()),
        known: Some(known),
        returns: wait.map(|wait| Returns { period, wait }),
    };
    Refused { kind: Refusal::BalanceTooSmall, budget: Some(Box::new(budget)) }
}

impl ByKey {
    fn hold(&self) -> Hold {
        Hold { ended: Arc::clone(&self.ended), ending: self.ending.clone(), is_settled: false }
    }
}

impl CallHold for Hold {
    fn settle(mut self, multiplier: Multiplier) {
        self.is_settled = true;
        let settled = Ended::Settled(multiplier.units.to_string(), multiplier.excess.to_string());
        self.ended.lock().push(settled);
    }

    fn settle_told(self, multiplier: Multiplier, _elapsed: Duration) -> Option<CallReport> {
        self.settle(multiplier);
        Some(report(multiplier.units))
    }
}

/// What every told call cost.
fn report(units: Units) -> CallReport {
    let known = KnownBalance {
        balance: "9.975".parse().unwrap(),
        available: "9.9".parse().unwrap(),
        age: Some(Duration::from_millis(12)),
    };
    let receipt = "00000000000000000000000000000009.1c09b10.0123456789abcdef.9502f900";
    CallReport {
        units,
        cost: Some("0.025".parse().unwrap()),
        currency: "EUR".parse().unwrap(),
        known: Some(known),
        receipt: receipt.parse().unwrap(),
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.is_settled {
            self.ended.lock().push(Ended::Released);
        }
        let _ = self.ending.send(());
    }
}

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) admission: Arc<ByKey>,
    pub(crate) registry: prometheus::Registry,
    endings: mpsc::UnboundedReceiver<()>,
    shutdown: Option<oneshot::Sender<()>>,
    running: tokio::task::JoinHandle<()>,
}

impl Gateway {
    pub(crate) async fn start(proxies: Vec<Proxy>) -> Self {
        Self::with(proxies, Limits::default(), None).await
    }

    pub(crate) async fn with(
        proxies: Vec<Proxy>,
        limits: Limits,
        tls: Option<ListenerTls>,
    ) -> Self {
        Self::traced(proxies, limits, tls, None).await
    }

    pub(crate) async fn traced(
        proxies: Vec<Proxy>,
        limits: Limits,
        tls: Option<ListenerTls>,
        tracer: Option<Arc<BoxedTracer>>,
    ) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        let listener = BoundListener::bind(&Listener { address, tls }).unwrap();
        let address = listener.address().unwrap();
        let (ending, endings) = mpsc::unbounded_channel();
        let admission = Arc::new(ByKey {
            ended: Arc::default(),
            paths: Mutex::default(),
            fetches: AtomicUsize::new(0),
            ending,
        });
        let registry = prometheus::Registry::new();
        let limits =
            Limits { workers: if limits.workers == 0 { 2 } else { limits.workers }, ..limits };
        let parts = Parts {
            limits,
            proxies,
            admission: Arc::clone(&admission),
            registry: registry.clone(),
            tracer,
        };
        let (shutdown, down) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let shutdown = async {
                // Dropped or sent: both shut down.
                let _ = down.await;
            };
            run(vec![listener], parts, shutdown).await.unwrap();
        });
        Self { address, admission, registry, endings, shutdown: Some(shutdown), running }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// What became of the first `count` holds, once that many have ended.
    pub(crate) async fn ended(&mut self, count: usize) -> Vec<Ended> {
        for _ in 0..count {
            within(self.endings.recv()).await.expect("the gateway runs");
        }
        std::mem::take(&mut *self.admission.ended.lock())
    }

    /// Begins to shut down.
    pub(crate) fn shut_down(&mut self) {
        drop(self.shutdown.take());
    }

    /// Waits until it has ended.
    pub(crate) async fn down(mut self) {
        self.shut_down();
        within(self.running).await.unwrap();
    }

    /// Waits until a counter with these label values has this value.
    pub(crate) async fn counts(&self, family: &str, labels: &[&str], want: u64) {
        let mut last = 0;
        for _ in 0..400 {
            last = self.count(family, labels);
            if last == want {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{family} {labels:?} is {last}, not {want}");
    }

    fn count(&self, family: &str, labels: &[&str]) -> u64 {
        let families = self.registry.gather();
        let metrics =
            families.iter().filter(|it| it.name() == family).flat_map(|it| it.get_metric());
        metrics
            .filter(|it| {
                labels.iter().all(|label| it.get_label().iter().any(|pair| pair.value() == *label))
            })
            .map(|it| {
                let histogram = it.get_histogram().get_sample_count();
                let counter = it.get_counter().get_value() as u64;
                histogram.max(counter).max(it.get_gauge().get_value() as u64)
            })
            .sum()
    }
}

/// A proxy of everything to this upstream.
pub(crate) fn proxy(upstream: SocketAddr) -> Proxy {
    Proxy::new("all", format!("http://{upstream}"))
}

/// The same without metering.
pub(crate) fn open_proxy(upstream: SocketAddr) -> Proxy {
    Proxy { metering: Metering::None, ..proxy(upstream) }
}

/// Awaits something that must come soon.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it came in time")
}

/// An upstream that speaks raw bytes: each connection gets the same script, and every request it reads is told.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) requests: mpsc::UnboundedReceiver<String>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Upstream {
    /// Answers every request with these bytes and keeps the connection.
    pub(crate) async fn answering(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::scripted(move |mut stream, requests| {
            let answer = answer.clone();
            async move {
                while let Some(request) = stream.request().await {
                    let _ = requests.send(request);
                    stream.send(&answer).await;
                }
            }
        })
        .await
    }

    /// 200 with this body.
    pub(crate) async fn ok(body: &str) -> Self {
        Self::answering(ok(body)).await
    }

    /// Runs a script on each connection.
    pub(crate) async fn scripted<F, S>(script: S) -> Self
    where
        S: Fn(Client, mpsc::UnboundedSender<String>) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, requests) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(Client::over(stream), told.clone()));
            }
        });
        Self { address, requests, connections }
    }

    /// The next request that came.
    pub(crate) async fn request(&mut self) -> String {
        within(self.requests.recv()).await.unwrap()
    }

    /// Asserts that no request came.
    pub(crate) fn heard_nothing(&mut self) {
        assert!(self.requests.try_recv().is_err(), "the upstream was called");
    }
}

/// A 200 with this body.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// One end of a connection that speaks raw HTTP/1.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response as it stood on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// The value of a header in a raw head.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n").skip(1);
    lines.find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Sends what the peer may not read to its end.
    pub(crate) async fn send(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// Sends a GET with these header lines.
    pub(crate) async fn get(&mut self, target: &str, lines: &[&str]) {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        self.send(&format!("GET {target} HTTP/1.1\r\nhost: a.example\r\n{lines}\r\n")).await;
    }

    /// GET and its answer.
    pub(crate) async fn got(&mut self, target: &str, lines: &[&str]) -> Answer {
        self.get(target, lines).await;
        self.answer().await
    }

    async fn fill(&mut self) -> bool {
        let mut part = [0; 4096];
        match within(self.stream.read(&mut part)).await {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.buffer.extend_from_slice(&part[..read]);
                true
            }
        }
    }

    /// Reads to the end of a head.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                return Some(String::from_utf8(head).unwrap());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Reads this many bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Option<String> {
        while self.buffer.len() < count {
            if !self.fill().await {
                return None;
            }
        }
        let rest = self.buffer.split_off(count);
        Some(String::from_utf8(std::mem::replace(&mut self.buffer, rest)).unwrap())
    }

    /// Reads to the end of a line, its end included.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                return self.bytes(end + 1).await;
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Reads the chunks of a body as they stand, to the empty line after the last.
    pub(crate) async fn chunks(&mut self) -> String {
        let mut whole = String::new();
        loop {
            let line = self.line().await.expect("the body ends well");
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            whole.push_str(&line);
            if size == 0 {
                loop {
                    let line = self.line().await.expect("the trailers end well");
                    whole.push_str(&line);
                    if line == "\r\n" {
                        return whole;
                    }
                }
            }
            whole.push_str(&self.bytes(size + 2).await.expect("the chunk is whole"));
        }
    }

    async fn body(&mut self, head: &str) -> String {
        if header(head, "transfer-encoding").is_some() {
            self.chunks().await
        } else if let Some(length) = header(head, "content-length") {
            self.bytes(length.parse().unwrap()).await.expect("the body is whole")
        } else {
            String::new()
        }
    }

    /// Reads a request; none where the connection ends.
    pub(crate) async fn request(&mut self) -> Option<String> {
        let head = self.head().await?;
        let body = self.body(&head).await;
        Some(head + &body)
    }

    /// Reads a response.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.head().await.unwrap_or_else(|| panic!("no answer, but {:?}", self.buffer));
        let body = self.body(&head).await;
        Answer { head, body }
    }

    /// Whether the peer closes without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill().await
    }
}
