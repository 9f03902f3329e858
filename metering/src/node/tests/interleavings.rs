//! Gateways, two nodes and a ledger, in random orders of events.
//!
//! Checked after every step: what a gateway believes was used, its own units and others', is never
//! more than what was used; what was called durable on a stream is in the ledger. Checked in the
//! end, when everything was delivered: every gateway believes exactly what was used.

use std::collections::VecDeque;

use super::*;

const GATEWAYS: usize = 3;
const NODES: usize = 2;

/// One step; numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Count { gateway: usize, product: u128, by: u64 },
    Send { gateway: usize, node: usize },
    Deliver { gateway: usize, node: usize },
    Break { gateway: usize, node: usize },
    BeginWrite { node: usize },
    EndWrite { node: usize, is_applied: bool, is_answered: bool },
    BeginRead { node: usize },
    EndRead { node: usize },
    Tell { gateway: usize, node: usize },
    Fold { gateway: usize, product: u128 },
    Rotate { gateway: usize },
    Restart { node: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (gateway, node, product) = (0..GATEWAYS, 0..NODES, 1..3u128);
    prop_oneof![
        4 => (gateway.clone(), product.clone(), 1..9u64)
            .prop_map(|(gateway, product, by)| Step::Count { gateway, product, by }),
        4 => (gateway.clone(), node.clone()).prop_map(|(gateway, node)| Step::Send { gateway, node }),
        4 => (gateway.clone(), node.clone())
            .prop_map(|(gateway, node)| Step::Deliver { gateway, node }),
        1 => (gateway.clone(), node.clone())
            .prop_map(|(gateway, node)| Step::Break { gateway, node }),
        3 => node.clone().prop_map(|node| Step::BeginWrite { node }),
        3 => (node.clone(), any::<bool>(), any::<bool>()).prop_map(|(node, is_applied, answered)| {
            Step::EndWrite { node, is_applied, is_answered: is_applied && answered }
        }),
        3 => node.clone().prop_map(|node| Step::BeginRead { node }),
        3 => node.clone().prop_map(|node| Step::EndRead { node }),
        4 => (gateway.clone(), node.clone()).prop_map(|(gateway, node)| Step::Tell { gateway, node }),
        2 => (gateway.clone(), product).prop_map(|(gateway, product)| Step::Fold { gateway, product }),
        1 => gateway.prop_map(|gateway| Step::Rotate { gateway }),
        1 => node.prop_map(|node| Step::Restart { node }),
    ]
}

/// A report on its way: who, which number, which registers.
type Flight = (Incarnation, i64, Vec<ReportedRegister>);

#[derive(Default)]
struct Link {
    stream: u64,
    log: StreamLog,
    mark: StreamMark,
    flights: VecDeque<Flight>,
    delivered: Vec<(Arrival, Flight)>,
}

#[derive(Default)]
struct Gateway {
    counted: BTreeMap<(Meter, Incarnation), u64>,
    current: u128,
    seq: i64,
    own: Arc<OwnIncarnations>,
}

struct Node {
    machine: NodeWallet,
    writing: Option<Writes>,
    reading: Option<(ReadMark, Option<Read>)>,
}

struct World {
    gateways: Vec<Gateway>,
    nodes: Vec<Node>,
    links: BTreeMap<(usize, usize), Link>,
    ledger: FakeLedger,
    streams: u64,
}

// === impl World ===

impl World {
    fn new() -> World {
        let mut world = World {
            gateways: Vec::new(),
            nodes: Vec::new(),
            links: BTreeMap::new(),
            ledger: FakeLedger::new(),
            streams: 0,
        };
        for _ in 0..NODES {
            let machine = NodeWallet::new(wallet());
            world.nodes.push(Node { machine, writing: None, reading: None });
        }
        for number in 0..GATEWAYS {
            world.gateways.push(Gateway::default());
            world.rotate(number);
            for node in 0..NODES {
                world.connect(number, node);
            }
        }
        world
    }

    fn rotate(&mut self, gateway: usize) {
        let this = &mut self.gateways[gateway];
        this.current += 1;
        let born = incarnation(1000 * (gateway as u128 + 1) + this.current);
        let mut incarnations = this.own.incarnations.clone();
        incarnations.push(born);
        this.own = Arc::new(OwnIncarnations { number: this.own.number + 1, incarnations });
        for node in 0..NODES {
            if let Some(link) = self.links.get(&(gateway, node)) {
                let own = &self.gateways[gateway].own;
                self.nodes[node].machine.set_own(StreamId(link.stream), own);
            }
        }
    }

    fn connect(&mut self, gateway: usize, node: usize) {
        if let Some(old) = self.links.remove(&(gateway, node)) {
            self.nodes[node].machine.end_stream(StreamId(old.stream), NOW);
        }
        self.streams += 1;
        let link = Link { stream: self.streams, ..Link::default() };
        let own = Arc::clone(&self.gateways[gateway].own);
        self.nodes[node].machine.subscribe(StreamId(link.stream), own);
        self.links.insert((gateway, node), link);
    }

    fn used(&self, product: u128) -> u64 {
        let counted = self.gateways.iter().flat_map(|gateway| &gateway.counted);
        counted.filter(|((each, _), _)| *each == meter(product)).map(|(_, units)| units).sum()
    }

    fn latest(&self, node: usize) -> BTreeMap<StreamId, StreamMark> {
        let links = self.links.iter().filter(|((_, each), _)| *each == node);
        links.map(|(_, link)| (StreamId(link.stream), link.mark)).collect()
    }

    fn run(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Count { gateway, product, by } => self.count(gateway, product, by),
            Step::Send { gateway, node } => self.send(gateway, node),
            Step::Deliver { gateway, node } => self.deliver(gateway, node),
            Step::Break { gateway, node } => self.connect(gateway, node),
            Step::BeginWrite { node } => {
                let latest = self.latest(node);
                let mark = |stream| latest.get(&stream).copied().unwrap_or_default();
                let writes = self.nodes[node].machine.begin_write(mark, NOW);
                if !writes.is_empty() {
                    self.nodes[node].writing = Some(writes);
                }
            }
            Step::EndWrite { node, is_applied, is_answered } => {
                self.end_write(node, is_applied, is_answered);
            }
            Step::BeginRead { node } => {
                let latest = self.latest(node);
                let mark = |stream| latest.get(&stream).copied().unwrap_or_default();
                let mark = self.nodes[node].machine.begin_read(mark, Duration::ZERO);
                self.nodes[node].reading = Some((mark, self.ledger.read()));
            }
            Step::EndRead { node } => {
                let node = &mut self.nodes[node];
                if let Some((mark, read)) = node.reading.take() {
                    node.machine.reread(&mark, read, Duration::ZERO, NOW).unwrap();
                }
            }
            Step::Tell { gateway, node } => self.tell(gateway, node)?,
            Step::Fold { gateway, product } => {
                let current = self.gateways[gateway].own.incarnations[0];
                self.ledger.fold((meter(product), current));
            }
            Step::Rotate { gateway } => self.rotate(gateway),
            Step::Restart { node } => {
                let machine = NodeWallet::new(wallet());
                self.nodes[node] = Node { machine, writing: None, reading: None };
                (0..GATEWAYS).for_each(|gateway| self.connect(gateway, node));
            }
        }
        self.check_durable()
    }

    fn count(&mut self, gateway: usize, product: u128, by: u64) {
        let this = &mut self.gateways[gateway];
        let current = *this.own.incarnations.last().unwrap();
        *this.counted.entry((meter(product), current)).or_default() += by;
    }

    fn send(&mut self, gateway: usize, node: usize) {
        let this = &mut self.gateways[gateway];
        for incarnation in &this.own.incarnations {
            this.seq += 1;
            let counted = this.counted.iter().filter(|((_, each), _)| each == incarnation);
            let registers = counted.map(|((meter, _), whole)| register(*meter, *whole)).collect();
            let link = self.links.get_mut(&(gateway, node)).unwrap();
            link.flights.push_back((*incarnation, this.seq, registers));
        }
    }

    fn deliver(&mut self, gateway: usize, node: usize) {
        let link = self.links.get_mut(&(gateway, node)).unwrap();
        let Some(flight) = link.flights.pop_front() else { return };
        let (incarnation, seq, registers) = flight.clone();
        link.mark = link.log.take(incarnation, seq, false, false).unwrap();
        link.delivered.push((link.mark.arrival, flight));
        let part = part(incarnation, seq, registers);
        let machine = &mut self.nodes[node].machine;
        machine.report(StreamId(link.stream), link.mark.arrival, &part, NOW);
    }

    fn end_write(&mut self, node: usize, is_applied: bool, is_answered: bool) {
        let Some(writes) = self.nodes[node].writing.take() else { return };
        if is_applied {
            self.ledger.write(&writes);
        }
        let acknowledged = if is_answered { writes } else { Writes::default() };
        self.nodes[node].machine.end_write(&acknowledged, is_answered);
    }

    fn tell(&mut self, gateway: usize, node: usize) -> Result<(), TestCaseError> {
        let stream = StreamId(self.links[&(gateway, node)].stream);
        let told = self.nodes[node].machine.news(stream, NOW, HOLD_LIFE).unwrap();
        if let Some(News::Snapshot(snapshot)) = told {
            for product in 1..3 {
                let believed = self.believed(gateway, product, &snapshot);
                let used = self.used(product);
                prop_assert!(believed <= units(used), "believes {believed:?} of {used}");
            }
        }
        Ok(())
    }

    fn believed(&self, gateway: usize, product: u128, snapshot: &Snapshot) -> Units {
        let counted = self.gateways[gateway].counted.iter();
        let own: u64 =
            counted.filter(|((each, _), _)| *each == meter(product)).map(|(_, own)| own).sum();
        let line = snapshot.meters.iter().find(|line| line.meter == meter(product));
        line.map_or(Units::ZERO, |line| line.others).plus(units(own)).unwrap()
    }

    fn check_durable(&mut self) -> Result<(), TestCaseError> {
        for ((_, node), link) in &mut self.links {
            let stream = StreamId(link.stream);
            let first = self.nodes[*node].machine.unsettled(stream);
            let through = first.map_or(link.mark.arrival, |first| first - 1);
            for taken in link.log.settle(through) {
                for (arrival, (incarnation, _, registers)) in &link.delivered {
                    let is_meant = *incarnation == taken.incarnation && *arrival <= taken.arrival;
                    for reported in registers.iter().filter(|_| is_meant) {
                        let place = (reported.meter, *incarnation);
                        let held = self.ledger.registers.get(&place).copied().unwrap_or_default();
                        prop_assert!(held.units() >= reported.units, "{place:?} is not durable");
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), TestCaseError> {
        for node in 0..NODES {
            self.run(Step::EndWrite { node, is_applied: false, is_answered: false })?;
            for gateway in 0..GATEWAYS {
                self.run(Step::Break { gateway, node })?;
                self.run(Step::Send { gateway, node })?;
                while !self.links[&(gateway, node)].flights.is_empty() {
                    self.run(Step::Deliver { gateway, node })?;
                }
            }
            self.run(Step::BeginRead { node })?;
            self.run(Step::EndRead { node })?;
            self.run(Step::BeginWrite { node })?;
            self.run(Step::EndWrite { node, is_applied: true, is_answered: true })?;
            for gateway in 0..GATEWAYS {
                let stream = StreamId(self.links[&(gateway, node)].stream);
                prop_assert_eq!(self.nodes[node].machine.unsettled(stream), None);
            }
        }
        for node in 0..NODES {
            self.run(Step::BeginRead { node })?;
            self.run(Step::EndRead { node })?;
            for gateway in 0..GATEWAYS {
                let stream = StreamId(self.links[&(gateway, node)].stream);
                self.nodes[node].machine.untell(stream);
                let snapshot = snapshot(&mut self.nodes[node].machine, stream).unwrap();
                for product in 1..3 {
                    let believed = self.believed(gateway, product, &snapshot);
                    prop_assert_eq!(believed, units(self.used(product)));
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn no_unit_is_counted_twice_or_lost(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.run(step)?;
        }
        world.finish()?;
    }
}
