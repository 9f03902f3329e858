//! Gateways, nodes, the streams between them, and a ledger.

use std::collections::VecDeque;

use super::gateway::{Gateway, LifeUnits};
use super::*;
use crate::rating::Rates;
use crate::wallet::{Life, OwnList, Tariff};

const FOREVER: Duration = Duration::from_secs(1_000_000);

/// From a gateway to a node.
#[derive(Clone, Debug)]
enum Up {
    Own(Arc<OwnIncarnations>),
    Report { part: Box<Part>, is_final: bool },
}

/// From a node to a gateway.
#[derive(Clone, Debug)]
enum Down {
    Durable { incarnation: Incarnation, seq: i64 },
    Snapshot(Box<Snapshot>),
    Fresh(i64),
}

#[derive(Default)]
struct Link {
    stream: u64,
    up: VecDeque<Up>,
    down: VecDeque<Down>,
    log: StreamLog,
    mark: StreamMark,
    /// When which report was sent, with the totals that it carried.
    sent: BTreeMap<i64, (Duration, Incarnation, u64, bool)>,
}

struct Node {
    machine: NodeWallet,
    writing: Option<Writes>,
    reading: Option<(ReadMark, Option<Read>)>,
}

pub(super) struct World {
    now: Duration,
    gateways: Vec<Gateway>,
    nodes: Vec<Node>,
    links: BTreeMap<(usize, usize), Link>,
    ledger: FakeLedger,
    tariff: Arc<Tariff>,
    rates: RateBook,
    credited: BTreeMap<u64, Money>,
    settled: u64,
    born: u128,
    streams: u64,
}

// === impl World ===

impl World {
    pub(super) fn new() -> World {
        let price: Money = "0.01".parse().unwrap();
        let meter = meter(1);
        let prices = Arc::new(Rates::flat(price).unwrap());
        let mut rates = RateBook::default();
        rates.add(meter.plan, 1, Arc::clone(&prices));
        let tariff = Arc::new(Tariff {
            product: meter.product,
            plan: meter.plan,
            revision: 1,
            billing: meter.billing,
            period: meter.period,
            rates: prices,
        });
        let ledger = FakeLedger::new();
        let credited = BTreeMap::from([(1, ledger.account.header.credited)]);
        let mut world = World {
            now: Duration::from_secs(1),
            gateways: (0..GATEWAYS).map(|_| Gateway::new()).collect(),
            nodes: Vec::new(),
            links: BTreeMap::new(),
            ledger,
            tariff,
            rates,
            credited,
            settled: 0,
            born: 100,
            streams: 0,
        };
        for _ in 0..NODES {
            let machine = NodeWallet::new(wallet());
            world.nodes.push(Node { machine, writing: None, reading: None });
        }
        for gateway in 0..GATEWAYS {
            world.rotate(gateway);
            (0..NODES).for_each(|node| world.connect(gateway, node));
        }
        world
    }

    pub(super) fn run(&mut self, step: Step) -> Result<(), TestCaseError> {
        self.now += Duration::from_millis(10);
        match step {
            Step::Call(gateway) => self.call(gateway),
            Step::Settle(gateway) => self.settle(gateway),
            Step::Release(gateway) => {
                let gateway = &mut self.gateways[gateway];
                if let Some(hold) = gateway.open.pop_front() {
                    gateway.wallet.release(hold);
                }
            }
            Step::Send(gateway, node) => self.send(gateway, node),
            Step::Deliver(gateway, node) => self.deliver(gateway, node),
            Step::Tell(node) => self.tell(node),
            Step::Hear(gateway, node) => self.hear(gateway, node),
            Step::Break(gateway, node) => self.connect(gateway, node),
            Step::Rotate(gateway) => self.rotate(gateway),
            Step::Crash(gateway) => self.crash(gateway),
            Step::BeginWrite(node) => {
                let latest = self.latest(node);
                let writes = self.nodes[node].machine.begin_write(latest, NOW);
                if !writes.is_empty() {
                    self.nodes[node].writing = Some(writes);
                }
            }
            Step::EndWrite(node, applied, answered) => self.end_write(node, applied, answered),
            Step::BeginRead(node) => {
                let latest = self.latest(node);
                let mark = self.nodes[node].machine.begin_read(latest, Duration::ZERO);
                self.nodes[node].reading = Some((mark, self.ledger.read()));
            }
            Step::EndRead(node) => {
                let node = &mut self.nodes[node];
                if let Some((mark, read)) = node.reading.take() {
                    node.machine.reread(&mark, read, Duration::ZERO, NOW).unwrap();
                }
            }
            Step::Restart(node) => {
                let machine = NodeWallet::new(wallet());
                self.nodes[node] = Node { machine, writing: None, reading: None };
                (0..GATEWAYS).for_each(|gateway| self.connect(gateway, node));
            }
            Step::Fold(gateway) => {
                let incarnation = self.gateways[gateway].lives[0].incarnation;
                self.ledger.fold((meter(1), incarnation));
                self.note_credit();
            }
            Step::Credit => {
                let header = &mut self.ledger.account.header;
                header.credited = header.credited.plus("0.05".parse().unwrap()).unwrap();
                header.version += 1;
                self.note_credit();
            }
        }
        self.check_beliefs()
    }

    pub(super) fn note_credit(&mut self) {
        let header = &self.ledger.account.header;
        self.credited.insert(header.version, header.credited);
    }

    pub(super) fn latest(&self, node: usize) -> impl Fn(StreamId) -> StreamMark + use<> {
        let links = self.links.iter().filter(|((_, each), _)| *each == node);
        let marks: BTreeMap<StreamId, StreamMark> =
            links.map(|(_, link)| (StreamId(link.stream), link.mark)).collect();
        move |stream| marks.get(&stream).copied().unwrap_or_default()
    }

    pub(super) fn rotate(&mut self, gateway: usize) {
        self.born += 1;
        let this = &mut self.gateways[gateway];
        let life = Life(u32::try_from(this.lives.len()).unwrap());
        let incarnation = incarnation(self.born);
        this.lives.push(LifeUnits { incarnation, nanos: 0, durable: 0 });
        this.listed.push(life);
        (this.number, this.since) = (this.number + 1, self.now);
        this.wallet.open(&self.tariff, life, life.0);
        self.send_own(gateway);
    }

    pub(super) fn send_own(&mut self, gateway: usize) {
        let own = self.gateways[gateway].own();
        for node in 0..NODES {
            if let Some(link) = self.links.get_mut(&(gateway, node)) {
                link.up.push_back(Up::Own(Arc::clone(&own)));
            }
        }
    }

    /// A stream breaks with all that is on its way; the next one begins.
    pub(super) fn connect(&mut self, gateway: usize, node: usize) {
        if let Some(old) = self.links.remove(&(gateway, node)) {
            self.nodes[node].machine.end_stream(StreamId(old.stream), NOW);
        }
        self.streams += 1;
        let link = Link { stream: self.streams, ..Link::default() };
        let own = self.gateways[gateway].own();
        self.nodes[node].machine.subscribe(StreamId(link.stream), own);
        self.links.insert((gateway, node), link);
    }

    /// The process ends and another finds its files; calls that were open die unanswered.
    pub(super) fn crash(&mut self, gateway: usize) {
        let old = std::mem::replace(&mut self.gateways[gateway], Gateway::new());
        let this = &mut self.gateways[gateway];
        (this.number, this.seq, this.found) = (old.number, old.seq, old.found);
        this.found.extend(old.lives.into_iter().filter(|life| life.durable < life.nanos));
        (0..NODES).for_each(|node| {
            if let Some(link) = self.links.remove(&(gateway, node)) {
                self.nodes[node].machine.end_stream(StreamId(link.stream), NOW);
            }
        });
        self.rotate(gateway);
        (0..NODES).for_each(|node| self.connect(gateway, node));
    }

    pub(super) fn call(&mut self, gateway: usize) {
        let this = &mut self.gateways[gateway];
        if !this.found.is_empty() {
            return;
        }
        let life = this.current();
        if let Ok(hold) = this.wallet.hold(&self.tariff, life, Units::ONE, self.now, FOREVER) {
            this.open.push_back(hold);
        }
    }

    pub(super) fn settle(&mut self, gateway: usize) {
        let this = &mut self.gateways[gateway];
        let Some(hold) = this.open.pop_front() else { return };
        let life = hold.life;
        let settled = this.wallet.settle(hold, Units::ONE);
        this.lives[life.0 as usize].nanos = settled.nanos;
        self.settled += 1;
    }

    pub(super) fn send(&mut self, gateway: usize, node: usize) {
        let this = &mut self.gateways[gateway];
        let link = self.links.get_mut(&(gateway, node)).unwrap();
        let current = this.current();
        let found = this.found.iter().map(|life| (*life, true, true));
        let listed = this.listed.iter().map(|life| (this.lives[life.0 as usize], *life == current));
        let listed = listed.map(|(life, is_current)| (life, false, !is_current));
        let mut reports: Vec<(LifeUnits, bool, bool)> = found.chain(listed).collect();
        reports.retain(|(life, is_recovered, _)| !*is_recovered || life.nanos > 0);
        for (life, is_recovered, is_final) in reports {
            this.seq += 1;
            let units = Units::from_register(life.nanos);
            let reported =
                ReportedRegister { meter: meter(1), units, is_recovered, excess: Units::ZERO };
            let registers = if life.nanos > 0 { vec![reported] } else { Vec::new() };
            let held = this.lives.iter().position(|each| each.incarnation == life.incarnation);
            let held = held.map(|place| this.wallet.held(Life(u32::try_from(place).unwrap())));
            let is_final = is_final && held.is_none_or(Money::is_zero);
            let part = Part { held, ..part(life.incarnation, this.seq, registers) };
            link.sent.insert(this.seq, (self.now, life.incarnation, life.nanos, is_final));
            link.up.push_back(Up::Report { part: Box::new(part), is_final });
        }
    }

    pub(super) fn deliver(&mut self, gateway: usize, node: usize) {
        let link = self.links.get_mut(&(gateway, node)).unwrap();
        let machine = &mut self.nodes[node].machine;
        let stream = StreamId(link.stream);
        match link.up.pop_front() {
            None => {}
            Some(Up::Own(own)) => machine.set_own(stream, &own),
            Some(Up::Report { part, is_final }) => {
                link.mark = link.log.take(part.incarnation, part.seq, false, is_final).unwrap();
                machine.report(stream, link.mark.arrival, &part, NOW);
                if is_final {
                    machine.end_incarnation(part.incarnation, part.seq, NOW);
                }
            }
        }
    }

    /// A node's tick: what is durable, and what changed, goes out on every stream.
    pub(super) fn tell(&mut self, node: usize) {
        let machine = &mut self.nodes[node].machine;
        for ((_, _), link) in self.links.iter_mut().filter(|((_, each), _)| *each == node) {
            let stream = StreamId(link.stream);
            let first = machine.unsettled(stream);
            let through = first.map_or(link.mark.arrival, |first| first - 1);
            for taken in link.log.settle(through) {
                let (incarnation, seq) = (taken.incarnation, taken.seq);
                link.down.push_back(Down::Durable { incarnation, seq });
            }
            match machine.news(stream, NOW, HOLD_LIFE).unwrap() {
                None => {}
                Some(News::Snapshot(snapshot)) => link.down.push_back(Down::Snapshot(snapshot)),
                Some(News::Fresh { answered_seq }) => {
                    link.down.push_back(Down::Fresh(answered_seq));
                }
            }
        }
    }

    pub(super) fn hear(&mut self, gateway: usize, node: usize) {
        let link = self.links.get_mut(&(gateway, node)).unwrap();
        let this = &mut self.gateways[gateway];
        let as_of = |seq: i64| link.sent.get(&seq).map(|sent| sent.0);
        match link.down.pop_front() {
            None => {}
            Some(Down::Durable { incarnation, seq }) => {
                let sent = link.sent.range(..=seq);
                let nanos = sent.filter(|(_, sent)| sent.1 == incarnation).map(|(_, sent)| sent.2);
                let has_ended =
                    link.sent.range(..=seq).any(|(_, sent)| sent.1 == incarnation && sent.3);
                let nanos = nanos.max().unwrap_or(0);
                let held = self.ledger.registers.get(&(meter(1), incarnation));
                let held = held.copied().unwrap_or_default().units();
                assert!(held >= Units::from_register(nanos), "called durable and is not there");
                this.acknowledge(incarnation, nanos);
                if has_ended && this.drop_ended(self.now) {
                    self.send_own(gateway);
                }
            }
            Some(Down::Snapshot(snapshot)) if this.found.is_empty() => {
                let listed = this.listed.clone();
                let has = |life: Life| listed.contains(&life);
                let own = OwnList {
                    number: this.number,
                    since: this.since,
                    has: &has,
                    life_of: &|_| None,
                };
                let tariff = |_: &Meter| Some(Arc::clone(&self.tariff));
                this.wallet
                    .snapshot(&snapshot, as_of(snapshot.answered_seq), own, &tariff)
                    .unwrap();
            }
            // Units that were found are not in any snapshot yet: the gateway is not subscribed.
            Some(Down::Snapshot(_)) => {
                self.nodes[node].machine.untell(StreamId(link.stream));
            }
            Some(Down::Fresh(answered_seq)) => {
                if let Some(as_of) = as_of(answered_seq) {
                    this.wallet.fresh(as_of);
                }
            }
        }
    }

    pub(super) fn end_write(&mut self, node: usize, is_applied: bool, is_answered: bool) {
        let Some(writes) = self.nodes[node].writing.take() else { return };
        if is_applied {
            self.ledger.write(&writes);
        }
        let is_whole = is_applied && is_answered;
        let acknowledged = if is_whole { writes } else { Writes::default() };
        self.nodes[node].machine.end_write(&acknowledged, is_whole);
    }

    pub(super) fn check_beliefs(&self) -> Result<(), TestCaseError> {
        let spent = self.spent();
        for gateway in self.gateways.iter().filter(|gateway| gateway.found.is_empty()) {
            let Some(view) = gateway.wallet.view() else { continue };
            let there_is = self.credited[&view.version].minus(spent).unwrap();
            let believed = view.balance;
            prop_assert!(believed >= there_is, "believes in {believed} of {there_is}");
        }
        Ok(())
    }

    pub(super) fn spent(&self) -> Money {
        Money::from_nanos(i128::from(self.settled) * 10_000_000).unwrap()
    }

    /// Everything is delivered, persisted, read and told.
    pub(super) fn finish(&mut self) -> Result<(), TestCaseError> {
        for gateway in 0..GATEWAYS {
            while !self.gateways[gateway].open.is_empty() {
                self.run(Step::Settle(gateway))?;
            }
        }
        for round in 0..4 {
            for node in 0..NODES {
                self.run(Step::EndWrite(node, false, false))?;
                self.run(Step::EndRead(node))?;
                for gateway in 0..GATEWAYS {
                    if round == 0 {
                        self.run(Step::Break(gateway, node))?;
                    }
                    self.run(Step::Send(gateway, node))?;
                    while !self.links[&(gateway, node)].up.is_empty() {
                        self.run(Step::Deliver(gateway, node))?;
                    }
                }
                for step in [Step::BeginRead(node), Step::EndRead(node), Step::BeginWrite(node)] {
                    self.run(step)?;
                }
                self.run(Step::EndWrite(node, true, true))?;
            }
            for node in 0..NODES {
                for step in [Step::BeginRead(node), Step::EndRead(node), Step::Tell(node)] {
                    self.run(step)?;
                }
                for gateway in 0..GATEWAYS {
                    while !self.links[&(gateway, node)].down.is_empty() {
                        self.run(Step::Hear(gateway, node))?;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn dead_holds(&self) -> Money {
        let alive = self.gateways.iter().flat_map(|gateway| &gateway.lives);
        let alive: BTreeSet<Incarnation> = alive.map(|life| life.incarnation).collect();
        let dead = self.ledger.holds.iter().filter(|(incarnation, _)| !alive.contains(incarnation));
        dead.fold(Money::ZERO, |sum, (_, held)| sum.plus(held.amount).unwrap())
    }

    pub(super) fn check_agreement(&self) -> Result<(), TestCaseError> {
        let account = &self.ledger.account;
        let balance = account.balance(&self.ledger.registers, &self.rates).unwrap();
        let want = account.header.credited.minus(self.spent()).unwrap();
        prop_assert_eq!(balance, want, "the ledger charges every settled call once");
        for node in &self.nodes {
            prop_assert_eq!(node.machine.balance(&self.rates).unwrap(), Some(want));
        }
        for gateway in &self.gateways {
            prop_assert!(gateway.found.is_empty());
            prop_assert_eq!(gateway.wallet.view().map(|view| view.balance), Some(want));
            // Holds of a gateway that crashed stay until they expire.
            let dead = self.dead_holds();
            let available = gateway.wallet.view().map(|view| view.available);
            prop_assert_eq!(available, Some(want.minus(dead).unwrap()));
        }
        Ok(())
    }
}
