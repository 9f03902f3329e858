//! The machines of a simulation: gateways and nodes that run the real code, an upstream, and who breaks them.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tollgate_balance_sync as balance_sync;
use tollgate_gateway::config::{Limits, Proxy};
use tollgate_gateway::disk::Disk;
use tollgate_gateway::network::{GivenStream, Network};
use tollgate_gateway::{Metered, SyncSettings, server};
use tollgate_ledger_store::Ledger;
use turmoil::Sim;

use crate::ground::{Ground, catalogue};
use crate::network::{SimDial, Wire, listen};
use crate::randomness::Rng;
use crate::schedule::{Cut, End, NODES};
use crate::upstream;

/// Where gateways serve callers.
pub(crate) const GATEWAY_PORT: u16 = 8080;
/// Where nodes serve gateways and people.
pub(crate) const NODE_PORT: u16 = 8082;
/// The oldest balance that admits a call.
pub(crate) const STALENESS_LIMIT: Duration = Duration::from_secs(2);
/// How long the last spend may take to become durable.
const FINAL_SYNC_WAIT: Duration = Duration::from_secs(10);
/// Messages take at most so long where nothing is broken.
const LATENCY_MAX: Duration = Duration::from_millis(10);

/// Whom a machine hears that it shall stop from.
type Stopping = Rc<RefCell<CancellationToken>>;

/// A machine that can be ended and started again.
struct Machine {
    name: String,
    stopping: Stopping,
}

/// The machines.
pub(crate) struct Fleet {
    pub(crate) sim: Sim<'static>,
    gateways: Vec<Machine>,
    nodes: Vec<Machine>,
    /// How many calls the upstream answered with success.
    pub(crate) served: Rc<Cell<u64>>,
}

pub(crate) fn gateway_name(gateway: u64) -> String {
    format!("gateway-{gateway}")
}

pub(crate) fn node_name(node: u64) -> String {
    format!("node-{node}")
}

// === impl Fleet ===

impl Fleet {
    /// Everything in its place, and nothing broken.
    pub(crate) fn new(ground: &Rc<Ground>, gateways: u64) -> Self {
        let mut rng = Rng::new(ground.seed, 2);
        let mut sim = turmoil::Builder::new()
            .rng_seed(rng.next())
            .simulation_duration(Duration::from_secs(3_600))
            .tick_duration(Duration::from_millis(1))
            .min_message_latency(Duration::ZERO)
            .max_message_latency(LATENCY_MAX)
            .tcp_capacity(4_096)
            .enable_random_order()
            .build();
        let served = Rc::new(Cell::new(0));
        let (ground_seed, count) = (ground.seed, Rc::clone(&served));
        sim.host("upstream", move || upstream::run(ground_seed, Rc::clone(&count)));
        let is_file = rng.percent(50);
        let nodes = (0..NODES).map(|node| {
            // Within the minute that a node's clock may be off.
            let skew_ms = rng.within(0..40_000).cast_signed() - 20_000;
            add(&mut sim, &node_name(node), ground, move |ground, _, stop| {
                run_node(ground, node, skew_ms, is_file, stop)
            })
        });
        let nodes = nodes.collect();
        let gateways = (0..gateways).map(|gateway| {
            let skew_ms = rng.within(0..7_200_000).cast_signed() - 3_600_000;
            add(&mut sim, &gateway_name(gateway), ground, move |ground, name, stop| {
                run_gateway(ground, name, skew_ms, stop)
            })
        });
        let gateways = gateways.collect();
        Self { sim, gateways, nodes, served }
    }

    #[expect(clippy::float_arithmetic, reason = "a rate of messages, not money")]
    pub(crate) fn cut(&mut self, gateway: u64, node: u64, cut: Cut) {
        let (gateway, node) = (gateway_name(gateway), node_name(node));
        let (gateway, node) = (gateway.as_str(), node.as_str());
        match cut {
            Cut::Both => self.sim.partition(gateway, node),
            Cut::ToNode => self.sim.partition_oneway(gateway, node),
            Cut::ToGateway => self.sim.partition_oneway(node, gateway),
            Cut::Hold => self.sim.hold(gateway, node),
            Cut::Loss(thousandths) => {
                let rate = f64::from(u32::try_from(thousandths).unwrap()) / 1_000.0;
                self.sim.set_link_fail_rate(gateway, node, rate);
            }
            Cut::Slow(limit_ms) => {
                let limit = Duration::from_millis(limit_ms);
                self.sim.set_link_max_message_latency(gateway, node, limit);
            }
        }
    }

    pub(crate) fn mend(&mut self, gateway: u64, node: u64, cut: Cut) {
        let (gateway, node) = (gateway_name(gateway), node_name(node));
        let (gateway, node) = (gateway.as_str(), node.as_str());
        match cut {
            Cut::Both => self.sim.repair(gateway, node),
            Cut::ToNode => self.sim.repair_oneway(gateway, node),
            Cut::ToGateway => self.sim.repair_oneway(node, gateway),
            Cut::Hold => self.sim.release(gateway, node),
            Cut::Loss(_) => {
                self.sim.set_link_fail_rate(gateway, node, 0.0);
                self.sim.repair(gateway, node);
            }
            Cut::Slow(_) => {
                self.sim.set_link_max_message_latency(gateway, node, LATENCY_MAX);
            }
        }
    }

    pub(crate) fn end_gateway(&mut self, gateway: u64, end: End) {
        let machine = &self.gateways[place(gateway)];
        let peers: Vec<_> = self.nodes.iter().map(|node| node.name.clone()).collect();
        end_machine(&mut self.sim, machine, &peers, end);
    }

    pub(crate) fn end_node(&mut self, node: u64, end: End) {
        let machine = &self.nodes[place(node)];
        let peers: Vec<_> = self.gateways.iter().map(|gateway| gateway.name.clone()).collect();
        end_machine(&mut self.sim, machine, &peers, end);
    }

    pub(crate) fn start_gateway(&mut self, gateway: u64) {
        self.sim.bounce(self.gateways[place(gateway)].name.as_str());
    }

    pub(crate) fn start_node(&mut self, node: u64) {
        self.sim.bounce(self.nodes[place(node)].name.as_str());
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number).expect("a fleet is small")
}

/// Adds a machine that `run` runs, each time it starts.
fn add<F, Fut>(sim: &mut Sim<'static>, name: &str, ground: &Rc<Ground>, run: F) -> Machine
where
    F: Fn(Rc<Ground>, String, CancellationToken) -> Fut + 'static,
    Fut: Future<Output = turmoil::Result> + 'static,
{
    let stopping = Stopping::default();
    let (ground, host, stop) = (Rc::clone(ground), name.to_owned(), Rc::clone(&stopping));
    sim.host(name, move || {
        let token = CancellationToken::new();
        stop.replace(token.clone());
        run(Rc::clone(&ground), host.clone(), token)
    });
    Machine { name: name.to_owned(), stopping }
}

fn end_machine(sim: &mut Sim<'static>, machine: &Machine, peers: &[String], end: End) {
    match end {
        End::Kill => sim.crash(machine.name.as_str()),
        End::Vanish => {
            // What closing connections says must reach nobody; the links are as before afterwards, but for these connections.
            for peer in peers {
                sim.partition(machine.name.as_str(), peer.as_str());
            }
            sim.crash(machine.name.as_str());
            for peer in peers {
                sim.repair(machine.name.as_str(), peer.as_str());
            }
        }
        End::Stop => machine.stopping.borrow().cancel(),
    }
}

async fn run_node(
    ground: Rc<Ground>,
    node: u64,
    skew_ms: i64,
    is_file: bool,
    stopping: CancellationToken,
) -> turmoil::Result {
    let road = ground.road_of(node);
    let access = balance_sync::Access::open();
    let settings = if is_file {
        balance_sync::Settings::for_file(access)
    } else {
        balance_sync::Settings::for_cluster(access)
    };
    let settings = balance_sync::Settings {
        shards: 2,
        housekeeping_interval: Duration::from_secs(5),
        ..settings
    };
    let parts = balance_sync::Parts {
        ledger: Arc::clone(road) as Arc<dyn Ledger>,
        catalogue: catalogue(road),
        clock: Arc::new(ground.time.clock(ground.began, skew_ms)),
        settings,
        registry: Registry::new(),
        changes: balance_sync::Changes::default(),
        standing: balance_sync::StandingWatch::default(),
        exposures: balance_sync::Exposures::default(),
    };
    let connections = listen(NODE_PORT).await?.map_ok(|(stream, _)| Wire::new(stream));
    Ok(balance_sync::run_over(connections, parts, stopping).await?)
}

async fn run_gateway(
    ground: Rc<Ground>,
    name: String,
    skew_ms: i64,
    stopping: CancellationToken,
) -> turmoil::Result {
    let network = Network::Given(Arc::new(SimDial));
    let mut settings = SyncSettings::new(&name, ground.spend_dir(&name));
    settings.balance_sync =
        (0..NODES).map(|node| format!("http://{}:{NODE_PORT}", node_name(node))).collect();
    settings.staleness_limit_ms = u64::try_from(STALENESS_LIMIT.as_millis())?;
    let clock = Arc::new(ground.time.clock(ground.began, skew_ms));
    let metered = Metered::start_over(&network, Disk::AtOnce, &settings, &Registry::new(), clock)?;
    let parts = server::Parts {
        limits: Limits::default(),
        proxies: vec![Proxy::new("weather", "http://upstream:80/")],
        admission: Arc::clone(&metered),
        registry: Registry::new(),
        tracer: None,
    };
    let clients = listen(GATEWAY_PORT).await?;
    let clients = clients.map_ok(|(stream, address)| (Box::new(stream) as GivenStream, address));
    server::serve_given(clients, parts, &network, stopping.cancelled_owned()).await?;
    if !metered.drain(FINAL_SYNC_WAIT).await {
        tracing::warn!("the last spend is not in the ledger yet");
    }
    // The process ends here; what it leaves is what a stop leaves.
    drop(metered);
    pending().await
}
