//! Gateways' wallets without HTTP, and the calls on them: an open loop, each call open for 20 ms.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::task::{JoinHandle, JoinSet};
use tollgate_gateway::admission::{Admission, CallHead, CallHold, Decision, Multiplier};
use tollgate_gateway::clock::SystemClock;
use tollgate_gateway::config::Proxy;
use tollgate_gateway::sync_client::Token;
use tollgate_gateway::{Metered, SyncSettings};

use crate::ground::{DRY, Node, TOKEN, hot_number, key};
use crate::{Arm, Sizes};

/// How long a call is open.
const OPEN: Duration = Duration::from_millis(20);
/// Calls a second on each wallet that runs dry, all its gateways together.
const DRY_CALLS: u64 = 200;
/// Gateways that one of them is called through.
const DRY_GATEWAYS: usize = 8;
/// Fetches under way at one gateway; calls beyond it are left out.
const FETCHES_MAX: usize = 8;

/// The gateways.
pub(crate) struct Fleet {
    gateways: Vec<Arc<Metered>>,
    _dir: TempDir,
}

/// Calls that go on until they are ended.
pub(crate) struct Load {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_ended: AtomicBool,
    is_dry_due: AtomicBool,
    settled: AtomicU64,
}

/// Keys that are called in turn, at a rate.
struct Stream {
    keys: Vec<String>,
    per_second: f64,
    next: usize,
    is_dry: bool,
    /// Calls that are due and a fraction.
    owed: f64,
}

// === impl Fleet ===

impl Fleet {
    pub(crate) async fn start(node: &Node, count: usize, arm: Arm) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut gateways = Vec::new();
        for number in 0..count {
            let name = format!("gateway-{number}");
            let mut settings = SyncSettings::new(&name, dir.path().join(&name));
            settings.balance_sync = vec![format!("http://{}", node.address)];
            settings.token = Some(Token::new(TOKEN));
            // A busy machine takes its time with so many wallets at once.
            settings.fetch_timeout_ms = 60_000;
            settings.sync_interval_ms = (arm == Arm::Fixed).then_some(100);
            let clock = Arc::new(SystemClock::start());
            let registry = prometheus::Registry::new();
            gateways.push(Metered::start(&settings, &registry, clock).unwrap());
        }
        for gateway in &gateways {
            while gateway.readiness().is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Self { gateways, _dir: dir }
    }

    /// Each rich wallet is called through two gateways, each dry one through eight.
    pub(crate) fn spread(&self, sizes: Sizes) -> Load {
        let count = self.gateways.len();
        let streams = (0..count).map(|gateway| {
            let is_here =
                |wallet: &usize| wallet % count == gateway || (wallet + 1) % count == gateway;
            let rich: Vec<_> = (0..sizes.wallets).filter(is_here).map(key).collect();
            let per_second = sizes.calls as f64 / count as f64;
            let dry = (sizes.wallets..sizes.wallets + DRY).map(key).collect();
            let share = (DRY as f64 * DRY_CALLS as f64) / DRY_GATEWAYS.min(count) as f64;
            let mut streams = vec![Stream::new(rich, per_second, false)];
            if gateway < DRY_GATEWAYS {
                streams.push(Stream::new(dry, share, true));
            }
            streams
        });
        self.load(streams.collect())
    }

    /// The hot wallet is called through every gateway.
    pub(crate) fn on_one(&self, calls: u64) -> Load {
        let per_second = calls as f64 / self.gateways.len() as f64;
        let stream = |_| vec![Stream::new(vec![key(hot_number())], per_second, false)];
        self.load(self.gateways.iter().map(stream).collect())
    }

    fn load(&self, streams: Vec<Vec<Stream>>) -> Load {
        let shared = Arc::new(Shared::default());
        let each = self.gateways.iter().zip(streams);
        let tasks = each
            .map(|(gateway, streams)| {
                tokio::spawn(drive(Arc::clone(gateway), streams, Arc::clone(&shared)))
            })
            .collect();
        Load { shared, tasks }
    }

    /// Drains every gateway.
    pub(crate) async fn drain(self) {
        let drains = self.gateways.iter().map(|gateway| gateway.drain(Duration::from_secs(60)));
        let drained = futures_util::future::join_all(drains).await;
        assert!(drained.into_iter().all(|is_drained| is_drained), "every gateway drains");
    }
}

// === impl Load ===

impl Load {
    pub(crate) fn start_dry(&self) {
        self.shared.is_dry_due.store(true, Ordering::Relaxed);
    }

    /// Calls that were settled so far.
    pub(crate) fn settled(&self) -> u64 {
        self.shared.settled.load(Ordering::Relaxed)
    }

    /// Ends every call and says how many were settled.
    pub(crate) async fn end(self) -> u64 {
        self.shared.is_ended.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.shared.settled.load(Ordering::Relaxed)
    }
}

// === impl Stream ===

impl Stream {
    fn new(keys: Vec<String>, per_second: f64, is_dry: bool) -> Self {
        Self { keys, per_second, next: 0, is_dry, owed: 0.0 }
    }

    /// The key of the next call that is due.
    fn due(&mut self) -> Option<&str> {
        if self.owed < 1.0 {
            return None;
        }
        self.owed -= 1.0;
        self.next = (self.next + 1) % self.keys.len();
        Some(&self.keys[self.next])
    }
}

/// Calls through one gateway.
async fn drive(gateway: Arc<Metered>, mut streams: Vec<Stream>, shared: Arc<Shared>) {
    let (proxy, method) = (Proxy::new("bench", "http://127.0.0.1:1"), http::Method::GET);
    let mut open = VecDeque::new();
    let mut fetches = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    let mut before = Instant::now();
    while !shared.is_ended.load(Ordering::Relaxed) {
        ticks.tick().await;
        let now = Instant::now();
        let passed = now.duration_since(std::mem::replace(&mut before, now)).as_secs_f64();
        while fetches.try_join_next().is_some() {}
        for stream in &mut streams {
            if stream.is_dry && !shared.is_dry_due.load(Ordering::Relaxed) {
                continue;
            }
            stream.owed += passed * stream.per_second;
            while let Some(key) = stream.due() {
                let consumer_key = Some(key);
                let (proxy, method) = (&proxy, &method);
                let head = CallHead {
                    proxy,
                    proxy_index: 0,
                    method,
                    path: "/",
                    consumer_key,
                    failed: None,
                };
                match gateway.decide(&head) {
                    Decision::Admit(hold) => open.push_back((now + OPEN, hold)),
                    Decision::Missing(missing) if fetches.len() < FETCHES_MAX => {
                        let gateway = Arc::clone(&gateway);
                        fetches.spawn(async move { gateway.fetch(missing).await.is_ok() });
                    }
                    Decision::Missing(_)
                    | Decision::Shadow { .. }
                    | Decision::Refuse(_)
                    | Decision::Unpriced => {}
                }
            }
        }
        while open.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, hold)) = open.pop_front() {
                hold.settle(Multiplier::ONE);
                shared.settled.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    for (_, hold) in open {
        hold.settle(Multiplier::ONE);
        shared.settled.fetch_add(1, Ordering::Relaxed);
    }
}
