//! The wallet half against scripted balance-sync nodes: what is counted reaches the ledger once, whatever breaks between.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tollgate_gateway::admission::{
    Admission, CallHead, CallHold, Decision, Multiplier, MultiplierSource,
};
use tollgate_gateway::clock::{Clock, SystemClock};
use tollgate_gateway::config::{Proxy, Unpriced};
use tollgate_gateway::metered::NotReady;
use tollgate_gateway::refusal::{Refusal, Refused};
use tollgate_gateway::sync_client::{SyncTls, Token};
use tollgate_gateway::{Metered, SyncSettings};
use tollgate_metering::Units;
use tollgate_proto::v1;
use tollgate_proto::v1::node_message::Message as ToGateway;

use crate::harness::PATIENCE;
use crate::scripted_node::{KEY, Ledger, Node};

/// A gateway's wallets, with a folder of their own.
pub(crate) struct Wallets {
    pub(crate) metered: Arc<Metered>,
    registry: prometheus::Registry,
    settings: SyncSettings,
    dir: Arc<tempfile::TempDir>,
}

impl Wallets {
    /// Starts and waits until it is ready.
    async fn ready(nodes: &[&Node]) -> Self {
        let wallets = Self::start(nodes.iter().map(|node| node.url()).collect());
        wallets.until_ready().await;
        wallets
    }

    fn start(addresses: Vec<String>) -> Self {
        Self::start_with(addresses, |settings| settings.sync_interval_ms = Some(10))
    }

    /// Starts with settings of its own.
    pub(crate) fn start_with(addresses: Vec<String>, edit: impl FnOnce(&mut SyncSettings)) -> Self {
        Self::start_under(Arc::new(SystemClock::start()), addresses, edit)
    }

    fn start_under(
        clock: Arc<dyn Clock>,
        addresses: Vec<String>,
        edit: impl FnOnce(&mut SyncSettings),
    ) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let mut settings = SyncSettings::new("gateway-1", dir.path());
        settings.balance_sync = addresses;
        settings.staleness_limit_ms = 3_000;
        settings.fetch_timeout_ms = 3_000;
        edit(&mut settings);
        let (metered, registry) = Self::begin_at(&settings, clock);
        Self { metered, registry, settings, dir }
    }

    fn begin(settings: &SyncSettings) -> (Arc<Metered>, prometheus::Registry) {
        Self::begin_at(settings, Arc::new(SystemClock::start()))
    }

    fn begin_at(
        settings: &SyncSettings,
        clock: Arc<dyn Clock>,
    ) -> (Arc<Metered>, prometheus::Registry) {
        let registry = prometheus::Registry::new();
        (Metered::start(settings, &registry, clock).unwrap(), registry)
    }

    /// Waits for a stream to each of so many nodes.
    async fn until_nodes(&self, count: usize) {
        let nodes_up = || {
            let families = self.registry.gather();
            let of = |family: &&prometheus::proto::MetricFamily| {
                family.name() == "tollgate_sync_nodes_up"
            };
            families.iter().find(of).map(|family| family.get_metric()[0].get_gauge().get_value())
        };
        until("a stream to each node", || nodes_up() == Some(count as f64)).await;
    }

    /// Ends the process, so to speak, and starts another one on the same folder.
    async fn restart(self) -> Self {
        let Self { metered, registry: _, settings, dir } = self;
        drop(metered);
        let is_free = || {
            let mut files = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path());
            files.all(|path| std::fs::File::open(path).unwrap().try_lock().is_ok())
        };
        until("the tasks of the former let its file go", is_free).await;
        let (metered, registry) = Self::begin(&settings);
        Self { metered, registry, settings, dir }
    }

    pub(crate) async fn until_ready(&self) {
        until("ready", || self.metered.readiness().is_ok()).await;
    }

    pub(crate) async fn call(&self) -> Result<(), Refusal> {
        self.call_with(Some(KEY), Multiplier::ONE).await
    }

    async fn call_with(&self, key: Option<&str>, units: Multiplier) -> Result<(), Refusal> {
        self.open(key).await.map(|hold| hold.settle(units))
    }

    pub(crate) async fn open(&self, key: Option<&str>) -> Result<impl CallHold + use<>, Refusal> {
        self.decided(key).await.map_err(|refused| refused.kind)
    }

    pub(crate) async fn decided(
        &self,
        key: Option<&str>,
    ) -> Result<impl CallHold + use<>, Refused> {
        let proxy = Proxy::new("weather", "http://127.0.0.1:1");
        let method = http::Method::GET;
        let (proxy, method) = (&proxy, &method);
        let head =
            CallHead { proxy, proxy_index: 0, method, path: "/", consumer_key: key, failed: None };
        for _ in 0..8 {
            match self.metered.decide(&head) {
                Decision::Admit(hold) => return Ok(hold),
                Decision::Unpriced | Decision::Shadow { .. } => {
                    panic!("the proxy refuses unpriced calls, and is not in shadow mode")
                }
                Decision::Refuse(refused) => return Err(refused),
                Decision::Missing(missing) => self.metered.fetch(missing).await?,
            }
        }
        Err(Refusal::BalanceUnknown.into())
    }

    async fn call_until_it_passes(&self) {
        self.call_until(Ok(())).await;
    }

    async fn call_until(&self, want: Result<(), Refusal>) {
        let answered = async {
            while self.call().await != want {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, answered).await.unwrap_or_else(|_| panic!("never {want:?}"));
    }

    pub(crate) async fn calls(&self, count: usize) {
        for number in 0..count {
            assert_eq!(self.call().await, Ok(()), "call {number}");
        }
    }
}

pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never {what}"));
}

pub(crate) fn units(count: u64) -> Units {
    Units::from_register(count * 1_000_000_000)
}

#[tokio::test]
async fn calls_pass_until_the_wallet_is_empty_and_again_after_a_top_up() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    ledger.with(|books| books.base = "0.05".parse().unwrap());
    let wallets = Wallets::ready(&[&node]).await;
    wallets.calls(5).await;
    assert_eq!(wallets.call().await, Err(Refusal::BalanceTooSmall));
    until("durable", || ledger.units() == units(5)).await;
    ledger.with(|books| {
        books.base = "0.06".parse().unwrap();
        books.version += 1;
    });
    wallets.call_until_it_passes().await;
    let more = wallets.call().await;
    assert_eq!(more, Err(Refusal::BalanceTooSmall), "one cent more pays one call more");
    assert_eq!(wallets.call_with(None, Multiplier::ONE).await, Err(Refusal::KeyMissing));
    assert_eq!(wallets.call_with(Some("bad"), Multiplier::ONE).await, Err(Refusal::KeyUnknown));
    assert_eq!(ledger.with(|books| books.resolved), 2, "each key is asked for once");
}

#[tokio::test]
async fn a_dropped_hold_costs_nothing_and_excess_goes_to_suspense() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = Wallets::ready(&[&node]).await;
    drop(wallets.open(Some(KEY)).await.unwrap());
    let capped = Multiplier {
        units: "2.5".parse().unwrap(),
        excess: units(7),
        source: MultiplierSource::Capped,
    };
    wallets.call_with(Some(KEY), capped).await.unwrap();
    until("counted", || ledger.units() == "2.5".parse().unwrap()).await;
    ledger.with(|books| {
        assert_eq!(books.excess.values().copied().collect::<Vec<_>>(), [units(7)]);
    });
    until("free", || ledger.with(|books| books.holds.values().all(|held| held.is_zero()))).await;
}

#[tokio::test]
async fn many_who_wait_ask_once() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = Wallets::ready(&[&node]).await;
    let calls = (0..50).map(|_| wallets.call());
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(ledger.with(|books| books.resolved), 1);
    assert!(node.subscriptions().0 <= 2, "{:?}", node.subscriptions());
    until("counted", || ledger.units() == units(50)).await;
}

#[tokio::test]
async fn what_was_not_called_durable_is_reported_on_the_next_stream() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = Wallets::ready(&[&node]).await;
    wallets.calls(3).await;
    // The acknowledgements are lost, then the reports themselves.
    node.script(|script| script.is_mute = true);
    wallets.calls(4).await;
    until("taken", || ledger.units() == units(7)).await;
    ledger.with(|books| books.registers.clear());
    node.break_streams().await;
    node.script(|script| script.is_mute = false);
    until("reported again", || ledger.units() == units(7)).await;
    wallets.calls(1).await;
    until("counted once", || ledger.units() == units(8)).await;
}

#[tokio::test]
async fn a_gateway_works_alone_as_long_as_its_balance_is_young_enough() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = Wallets::ready(&[&node]).await;
    wallets.calls(1).await;
    let address = node.address;
    node.kill().await;
    wallets.calls(5).await;
    sleep(Duration::from_millis(3_000)).await;
    let before = ledger.units();
    assert_eq!(wallets.call().await, Err(Refusal::BalanceStale));
    assert_eq!(before, ledger.units());
    until("not ready", || wallets.metered.readiness() == Err(NotReady::NoStream)).await;
    let _node = Node::start_at(&ledger, address).await;
    wallets.until_ready().await;
    wallets.call_until_it_passes().await;
    until("all is counted", || ledger.units() == units(7)).await;
}

#[tokio::test]
async fn nothing_is_admitted_before_a_node_was_reached() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let (address, url) = (node.address, node.url());
    node.kill().await;
    let wallets = Wallets::start(vec![url]);
    assert_eq!(wallets.call().await, Err(Refusal::CallerUnknown));
    assert_eq!(wallets.metered.readiness(), Err(NotReady::NoIncarnation));
    let _node = Node::start_at(&ledger, address).await;
    wallets.until_ready().await;
    wallets.calls(1).await;
}

#[tokio::test]
async fn another_node_takes_over() {
    let ledger = Ledger::default();
    let (first, second) = (Node::start(&ledger).await, Node::start(&ledger).await);
    let wallets = Wallets::ready(&[&first, &second]).await;
    wallets.until_nodes(2).await;
    wallets.calls(3).await;
    let serves = |node: &Node| node.subscriptions().0 > node.subscriptions().1;
    until("one serves", || serves(&first) || serves(&second)).await;
    let (killed, left) = if serves(&first) { (first, second) } else { (second, first) };
    let address = killed.address;
    killed.kill().await;
    for _ in 0..40 {
        wallets.calls(1).await;
        sleep(Duration::from_millis(20)).await;
    }
    until("the other counts", || ledger.units() == units(43)).await;
    assert!(serves(&left));
    // Back again, the wallet goes home.
    let back = Node::start_at(&ledger, address).await;
    until("home", || serves(&back)).await;
    wallets.calls(5).await;
    until("all is counted", || ledger.units() == units(48)).await;
}

#[tokio::test]
async fn a_fenced_incarnation_is_followed_by_a_new_one() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = Wallets::ready(&[&node]).await;
    wallets.calls(2).await;
    until("counted", || ledger.units() == units(2)).await;
    node.script(|script| script.refuses = Some(v1::RefusedReason::Fenced));
    until("a second incarnation", || ledger.with(|books| books.registered.len()) >= 2).await;
    node.script(|script| script.refuses = None);
    wallets.calls(3).await;
    until("both count", || ledger.units() == units(5)).await;
    until("the first has ended", || ledger.with(|books| books.finals.len()) == 1).await;
    // The shorter list was told: its units are others' now and counted once.
    ledger.with(|books| {
        books.base = "0.06".parse().unwrap();
        books.version += 1;
    });
    node.until_believed("0.01").await;
    assert_eq!(wallets.call().await, Ok(()));
    assert_eq!(wallets.call().await, Err(Refusal::BalanceTooSmall));
}

#[tokio::test]
async fn a_register_at_half_its_range_is_followed_by_a_new_incarnation() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    ledger.with(|books| books.base = "1000000000".parse().unwrap());
    let wallets = Wallets::ready(&[&node]).await;
    let big = Multiplier { units: units(5_000_000_000), ..Multiplier::ONE };
    wallets.call_with(Some(KEY), big).await.unwrap();
    until("the first has ended", || ledger.with(|books| books.finals.len()) == 1).await;
    wallets.call_until_it_passes().await;
    until("both count", || ledger.units() == units(5_000_000_001)).await;
    assert_eq!(ledger.with(|books| books.registered.len()), 2);
}

#[tokio::test]
async fn a_ledger_that_does_not_know_an_incarnation_registers_it_again() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = Wallets::ready(&[&node]).await;
    wallets.calls(1).await;
    until("one counted", || ledger.units() == units(1)).await;
    node.script(|script| script.refuses = Some(v1::RefusedReason::Unregistered));
    wallets.calls(1).await;
    until("registered again", || ledger.with(|books| books.registered.len()) >= 2).await;
    node.script(|script| script.refuses = None);
    until("counted", || ledger.units() == units(2)).await;
    ledger.with(|books| assert_eq!(books.registered[0], books.registered[1]));
}

/// The clock of a gateway that was stopped for a day while a node answered its first question.
struct StoppedOnce {
    clock: SystemClock,
    ledger: Ledger,
}

impl Clock for StoppedOnce {
    fn monotonic(&self) -> Duration {
        let was_asked = self.ledger.with(|books| !books.registered.is_empty());
        let stopped = if was_asked { Duration::from_secs(86_400) } else { Duration::ZERO };
        self.clock.monotonic() + stopped
    }

    fn unix_us(&self) -> i64 {
        self.clock.unix_us()
    }
}

#[tokio::test]
async fn a_registration_that_was_answered_too_late_is_asked_for_again() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let clock = StoppedOnce { clock: SystemClock::start(), ledger: ledger.clone() };
    let wallets = Wallets::start_under(Arc::new(clock), vec![node.url()], |_| {});
    until("asked again", || ledger.with(|books| books.registered.len()) >= 2).await;
    wallets.until_ready().await;
    ledger.with(|books| assert_eq!(books.registered[0], books.registered[1]));
}

#[tokio::test]
async fn a_node_that_cannot_serve_is_left_for_another() {
    let ledger = Ledger::default();
    let (first, second) = (Node::start(&ledger).await, Node::start(&ledger).await);
    let wallets = Wallets::ready(&[&first, &second]).await;
    wallets.until_nodes(2).await;
    wallets.calls(2).await;
    let serves = |node: &Node| node.subscriptions().0 > node.subscriptions().1;
    until("one serves", || serves(&first) || serves(&second)).await;
    let broken = if serves(&first) { &first } else { &second };
    broken.script(|script| script.refuses = Some(v1::RefusedReason::NotServing));
    wallets.calls(3).await;
    until("counted by the other", || ledger.units() == units(5)).await;
}

#[tokio::test]
async fn a_gateway_shows_its_token_and_certificate() {
    let ledger = Ledger::default();
    let node = Node::start_secured(&ledger, "geheim").await;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mut settings = SyncSettings::new("gateway-1", dir.path().join("spend"));
    settings.balance_sync = vec![format!("https://localhost:{}", node.address.port())];
    settings.tls = Some(SyncTls {
        ca_file: path("ca.pem", &node.certificate),
        server_name: None,
        certificate_file: Some(path("gateway.pem", &node.certificate)),
        key_file: Some(path("key.pem", &node.key)),
    });
    settings.token = Some(Token::new("falsch"));
    let (stranger, _) = Wallets::begin(&settings);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(stranger.readiness(), Err(NotReady::NoIncarnation));
    settings.token = None;
    settings.token_file = Some(path("token", "geheim\n"));
    let (known, _) = Wallets::begin(&settings);
    until("ready", || known.readiness().is_ok()).await;
}

#[tokio::test]
async fn a_restored_ledger_hears_everything_since_birth() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = Wallets::ready(&[&node]).await;
    wallets.calls(6).await;
    until("counted", || ledger.units() == units(6)).await;
    sleep(Duration::from_millis(50)).await;
    ledger.with(|books| {
        books.generation = 2;
        books.registers.clear();
    });
    node.break_streams().await;
    until("everything is there again", || ledger.units() == units(6)).await;
    wallets.calls(1).await;
    until("and goes on", || ledger.units() == units(7)).await;
}

#[tokio::test]
async fn a_crashed_process_is_reported_before_its_wallets_are_used() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = Wallets::ready(&[&node]).await;
    wallets.calls(1).await;
    node.script(|script| script.is_mute = true);
    wallets.calls(4).await;
    // What the dead process had reported is lost as well.
    let open = wallets.open(Some(KEY)).await.unwrap();
    // A test cannot kill itself: the hold ends, but nobody hears of it any more.
    drop(open);
    let wallets = wallets.restart().await;
    ledger.with(|books| books.registers.clear());
    wallets.until_ready().await;
    assert_eq!(wallets.call().await, Err(Refusal::BalanceUnknown), "not durable yet");
    node.script(|script| script.is_mute = false);
    node.break_streams().await;
    wallets.call_until_it_passes().await;
    until("recovered and live", || ledger.units() == units(6)).await;
    ledger.with(|books| {
        let recovered: Vec<_> = books.registers.values().map(|one| one.recovered).collect();
        assert!(recovered.contains(&units(5)), "{recovered:?}");
    });
    until("its end is told", || ledger.with(|books| books.finals.len()) == 1).await;
}

#[tokio::test]
async fn a_drained_gateway_leaves_nothing_to_report() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = Wallets::ready(&[&node]).await;
    let open = wallets.open(Some(KEY)).await.unwrap();
    let metered = Arc::clone(&wallets.metered);
    let drained = tokio::spawn(async move { metered.drain(PATIENCE).await });
    let not_ready = Err(NotReady::NoIncarnation);
    until("it admits nothing more", || wallets.metered.readiness() == not_ready).await;
    assert_eq!(wallets.call().await, Err(Refusal::BalanceUnknown));
    open.settle(Multiplier::ONE);
    assert!(drained.await.unwrap());
    assert_eq!(ledger.units(), units(1));
    ledger.with(|books| assert_eq!(books.finals.len(), 1));
    ledger.with(|books| books.registers.clear());
    let wallets = wallets.restart().await;
    wallets.until_ready().await;
    wallets.calls(1).await;
    until("counted", || ledger.units() == units(1)).await;
}

#[tokio::test]
async fn a_drain_without_a_node_gives_up_in_time() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = Wallets::ready(&[&node]).await;
    wallets.calls(1).await;
    node.kill().await;
    wallets.calls(1).await;
    assert!(!wallets.metered.drain(Duration::from_millis(200)).await);
}

#[tokio::test]
async fn a_revoked_key_is_refused_once_it_is_told() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = Wallets::ready(&[&node]).await;
    wallets.calls(1).await;
    ledger.with(|books| books.is_key_approved = false);
    wallets.calls(1).await;
    node.say(ToGateway::Forget(v1::Forget { everything: true, ..Default::default() })).await;
    wallets.call_until(Err(Refusal::KeyNotApproved)).await;
    // What is told while no stream is there is heard with the next one.
    ledger.with(|books| books.is_key_approved = true);
    node.break_streams().await;
    wallets.call_until_it_passes().await;
}

#[tokio::test]
async fn a_wallet_that_is_not_there_and_a_plan_that_is_not_there_are_told_apart() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    ledger.with(|books| books.has_wallet = false);
    let wallets = Wallets::ready(&[&node]).await;
    assert_eq!(wallets.call().await, Err(Refusal::NoWallet));
    ledger.with(|books| (books.has_wallet, books.is_unpriced) = (true, true));
    node.say(ToGateway::Forget(v1::Forget { everything: true, ..Default::default() })).await;
    wallets.call_until(Err(Refusal::NoRatePlan)).await;
    let mut proxy = Proxy::new("weather", "http://127.0.0.1:1");
    proxy.unpriced = Unpriced::Forward;
    let (method, path) = (http::Method::GET, "/");
    let consumer_key = Some(KEY);
    let head = CallHead {
        proxy: &proxy,
        proxy_index: 0,
        method: &method,
        path,
        consumer_key,
        failed: None,
    };
    assert!(matches!(wallets.metered.decide(&head), Decision::Unpriced));
}
