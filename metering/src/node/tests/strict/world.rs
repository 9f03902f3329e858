//! The world that the random test of strict wallets drives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::super::{NOW, account, incarnation, meter, own};
use crate::account::{Account, Change, Mode, Overspend};
use crate::booking::{self, Booking};
use crate::id::Incarnation;
use crate::meter::{Register, Registers};
use crate::money::Money;
use crate::node::grants::Terms;
use crate::node::{News, NodeWallet, Part, Read, ReadMark, StreamId, StreamMark, Writes};
use crate::protocol::{ReportedRegister, Snapshot};
use crate::rating::{RateBook, Rates};
use crate::units::Units;
use crate::wallet::{Hold, Life, OwnList, Tariff, Wallet};

mod modes;

pub(super) const GATEWAYS: usize = 3;
pub(super) const NODES: usize = 2;
const FOREVER: Duration = Duration::from_secs(1_000_000);

#[derive(Clone, Debug)]
pub(super) enum Step {
    Call(usize),
    /// Ends a call after so many hundredths of a unit.
    Settle(usize, u64),
    Release(usize),
    Report(usize),
    Deliver(usize),
    Hear(usize),
    Move(usize),
    Crash(usize),
    Found(usize),
    Retire(usize),
    BeginWrite(usize),
    /// Whether it is applied, and whether the node hears so.
    EndWrite(usize, bool, bool),
    BeginRead(usize),
    EndRead(usize),
    Commit(usize, bool, bool),
    Tell(usize),
    Restart(usize),
    Wait(u64),
    Credit(i64),
    Debit(i64),
    Limit(i64),
    /// Begins a change of the overspend policy.
    Switch(Overspend),
    /// A node asks the gateway, which has a stream to each, to acknowledge what the node has read.
    Ask(usize, usize),
    /// The gateway answers, if it can.
    Answer(usize, usize),
    /// The node ends a change that everybody has acknowledged.
    Settled(usize),
}

pub(super) struct World {
    pub(super) account: Account,
    registers: Registers,
    ended: BTreeSet<Incarnation>,
    nodes: Vec<Node>,
    gateways: Vec<Gateway>,
    /// What every incarnation has really counted, in nano-units.
    truth: BTreeMap<Incarnation, u64>,
    dead: VecDeque<Incarnation>,
    /// By a person's word, in the registry.
    retired: BTreeSet<Incarnation>,
    now: Duration,
    seq: i64,
    streams: u64,
    born: u128,
    /// Where the balance was when the wallet became strict, if that was below its floor.
    lowest: Money,
}

struct Node {
    id: Uuid,
    machine: NodeWallet,
    writing: Option<Writes>,
    reading: Option<(ReadMark, Read, BTreeSet<Incarnation>)>,
    ended: BTreeSet<Incarnation>,
    planned: Option<Change>,
    marks: BTreeMap<StreamId, StreamMark>,
}

struct Gateway {
    wallet: Wallet,
    incarnation: Incarnation,
    open: VecDeque<Hold>,
    node: usize,
    stream: StreamId,
    up: VecDeque<Part>,
    down: VecDeque<Snapshot>,
    sent: BTreeMap<i64, Duration>,
    /// The mode that each node asks it to acknowledge.
    asked: [Option<u64>; NODES],
}

fn rates() -> RateBook {
    let (meter, mut rates) = (meter(1), RateBook::default());
    rates.add(meter.plan, meter.revision, Arc::clone(&tariff().rates));
    rates
}

fn tariff() -> Arc<Tariff> {
    let meter = meter(1);
    Arc::new(Tariff {
        product: meter.product,
        plan: meter.plan,
        revision: meter.revision,
        billing: meter.billing,
        period: meter.period,
        // Hundredths of a unit cost a third of a nano and more: rounding matters.
        rates: Arc::new(Rates::flat(Money::from_nanos(33).unwrap()).unwrap()),
    })
}

fn nanos(nanos: i64) -> Money {
    Money::from_nanos(i128::from(nanos)).unwrap()
}

// === impl World ===

impl World {
    pub(super) fn new() -> World {
        let mut account = account();
        account.header.credited = nanos(500);
        account.header.mode = Mode { overspend: Overspend::Strict, counter: 1, is_changing: false };
        let mut world = World {
            account,
            registers: Registers::new(),
            ended: BTreeSet::new(),
            nodes: (0..NODES).map(Node::new).collect(),
            gateways: Vec::new(),
            truth: BTreeMap::new(),
            dead: VecDeque::new(),
            retired: BTreeSet::new(),
            now: Duration::from_secs(100),
            seq: 0,
            streams: 0,
            born: 0,
            lowest: Money::MIN,
        };
        for place in 0..GATEWAYS {
            world.born += 1;
            let gateway = Gateway::new(incarnation(world.born), place % NODES);
            world.gateways.push(gateway);
            world.connect(place);
        }
        world
    }

    fn connect(&mut self, place: usize) {
        let gateway = &mut self.gateways[place];
        self.nodes[gateway.node].machine.end_stream(gateway.stream, NOW);
        self.streams += 1;
        gateway.stream = StreamId(self.streams);
        (gateway.up, gateway.down) = (VecDeque::new(), VecDeque::new());
        gateway.asked[gateway.node] = None;
        let own = own(1, &[gateway.incarnation]);
        self.nodes[gateway.node].machine.subscribe(gateway.stream, own);
    }

    pub(super) fn run(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Call(place) => {
                let gateway = &mut self.gateways[place];
                gateway.wallet.open(&tariff(), Life(0), 0);
                let two = Units::from_register(2_000_000_000);
                let answer = gateway.wallet.hold(&tariff(), Life(0), two, self.now, FOREVER);
                gateway.open.extend(answer.ok());
            }
            Step::Settle(place, hundredths) => {
                let gateway = &mut self.gateways[place];
                if let Some(hold) = gateway.open.pop_front() {
                    let units = Units::from_register(hundredths * 10_000_000);
                    let counted = gateway.wallet.settle(hold, units).nanos;
                    self.truth.insert(gateway.incarnation, counted);
                }
            }
            Step::Release(place) => {
                let gateway = &mut self.gateways[place];
                if let Some(hold) = gateway.open.pop_front() {
                    gateway.wallet.release(hold);
                }
            }
            Step::Report(place) => self.report(place),
            Step::Deliver(place) => {
                let gateway = &mut self.gateways[place];
                if let Some(part) = gateway.up.pop_front() {
                    let node = &mut self.nodes[gateway.node];
                    let mark = node.marks.entry(gateway.stream).or_default();
                    *mark = StreamMark { arrival: mark.arrival + 1, seq: part.seq };
                    node.machine.report(gateway.stream, mark.arrival, &part, NOW);
                }
            }
            Step::Hear(place) => self.hear(place),
            Step::Move(place) => {
                let gateway = &mut self.gateways[place];
                let old = (gateway.node, gateway.stream);
                self.nodes[old.0].machine.end_stream(old.1, NOW);
                self.gateways[place].node = (old.0 + 1) % NODES;
                self.connect(place);
            }
            Step::Crash(place) => {
                let old = &self.gateways[place];
                self.nodes[old.node].machine.end_stream(old.stream, NOW);
                self.dead.push_back(old.incarnation);
                self.born += 1;
                self.gateways[place] = Gateway::new(incarnation(self.born), old.node);
                self.connect(place);
            }
            Step::Found(place) => {
                // Its spend file is recovered, durable, and then its end is noted.
                if let Some(found) = self.dead.remove(place) {
                    let units = Units::from_register(self.truth.get(&found).copied().unwrap_or(0));
                    let register = self.registers.entry((meter(1), found)).or_default();
                    register.merge(Register { live: Units::ZERO, recovered: units });
                    self.ended.insert(found);
                }
            }
            Step::Retire(place) => {
                if let Some(retired) = self.dead.get(place).copied() {
                    self.retired.insert(retired);
                    let change = booking::retire(&self.account, &self.registers, retired);
                    self.apply(change);
                }
            }
            Step::BeginWrite(node) => self.nodes[node].begin_write(),
            Step::EndWrite(node, is_applied, is_answered) => {
                let Some(writes) = self.nodes[node].writing.take() else { return Ok(()) };
                if is_applied {
                    for row in &writes.registers {
                        let register =
                            self.registers.entry((row.meter, row.incarnation)).or_default();
                        register.merge(Register { live: row.units, recovered: Units::ZERO });
                    }
                }
                let is_whole = is_applied && is_answered;
                let acknowledged = if is_whole { writes } else { Writes::default() };
                self.nodes[node].machine.end_write(&acknowledged, is_whole);
            }
            Step::BeginRead(node) => {
                let (account, registers) = (self.account.clone(), self.registers.clone());
                let read = Read { account, registers, holds: BTreeMap::new() };
                let (ended, now) = (self.ended.clone(), self.now);
                let node = &mut self.nodes[node];
                let marks = node.marks.clone();
                let latest = |stream| marks.get(&stream).copied().unwrap_or_default();
                node.reading = Some((node.machine.begin_read(latest, now), read, ended));
            }
            Step::EndRead(node) => {
                let node = &mut self.nodes[node];
                if let Some((mark, read, ended)) = node.reading.take()
                    && node.machine.reread(&mark, Some(read), self.now, NOW).is_ok()
                {
                    node.ended = ended;
                    node.planned = None;
                    node.plan(self.now);
                }
            }
            Step::Commit(node, is_applied, is_answered) => {
                self.commit(node, is_applied, is_answered)
            }
            Step::Tell(node) => self.tell(node),
            Step::Restart(node) => {
                self.nodes[node] = Node::new(node + 10 * usize::try_from(self.streams).unwrap());
                for place in 0..GATEWAYS {
                    if self.gateways[place].node == node {
                        self.connect(place);
                    }
                }
            }
            Step::Wait(ms) => self.now += Duration::from_millis(ms),
            Step::Credit(amount) => {
                let change = booking::credit(
                    &self.account,
                    &self.registers,
                    &rates(),
                    &self.booking(),
                    nanos(amount),
                );
                self.apply(change.ok());
            }
            Step::Debit(amount) => {
                let change = booking::fee(
                    &self.account,
                    &self.registers,
                    &rates(),
                    &self.booking(),
                    nanos(amount),
                );
                self.apply(change.ok());
            }
            Step::Limit(limit) => {
                let (account, registers) = (&self.account, &self.registers);
                let change = booking::overdraft_limit(
                    account,
                    registers,
                    &rates(),
                    &self.booking(),
                    nanos(limit),
                );
                self.apply(change.unwrap_or_default());
            }
            Step::Switch(policy) => {
                let change = booking::overspend(&self.account, policy).unwrap();
                self.apply(change);
            }
            Step::Ask(place, node) => self.ask(place, node),
            Step::Answer(place, node) => self.answer(place, node),
            Step::Settled(node) => self.end_mode(node),
        }
        self.check()
    }

    fn booking(&self) -> Booking {
        let id = format!("{}", self.account.header.version);
        let (by, reason) = ("test".to_owned(), String::new());
        Booking { id, at: NOW, by, reason, is_forced: false }
    }

    fn apply(&mut self, change: Option<Change>) {
        if let Some(change) = change {
            self.account.apply(&change);
        }
    }

    fn report(&mut self, place: usize) {
        self.seq += 1;
        let gateway = &mut self.gateways[place];
        let counted = self.truth.get(&gateway.incarnation).copied().unwrap_or(0);
        let registers = [counted].into_iter().filter(|counted| *counted > 0).map(|counted| {
            let (meter, units) = (meter(1), Units::from_register(counted));
            ReportedRegister { meter, units, is_recovered: false, excess: Units::ZERO }
        });
        let draws = gateway.wallet.draws(self.account.header.wallet);
        gateway.sent.insert(self.seq, self.now);
        gateway.up.push_back(Part {
            incarnation: gateway.incarnation,
            seq: self.seq,
            registers: registers.collect(),
            apps: Vec::new(),
            held: Some(gateway.wallet.held(Life(0))),
            draw: draws.first().map(|(_, draw)| *draw),
            is_fenced: false,
        });
    }

    fn tell(&mut self, node: usize) {
        for gateway in self.gateways.iter_mut().filter(|gateway| gateway.node == node) {
            let machine = &mut self.nodes[node].machine;
            if let Some(News::Snapshot(snapshot)) =
                machine.news(gateway.stream, NOW, FOREVER).unwrap()
            {
                gateway.down.push_back(*snapshot);
            }
        }
    }

    fn hear(&mut self, place: usize) {
        let gateway = &mut self.gateways[place];
        let Some(snapshot) = gateway.down.pop_front() else { return };
        let incarnation = gateway.incarnation;
        let life_of = |each| (each == incarnation).then_some(Life(0));
        let own = OwnList { number: 1, since: Duration::ZERO, has: &|_| true, life_of: &life_of };
        let as_of = gateway.sent.get(&snapshot.answered_seq).copied();
        gateway.wallet.snapshot(&snapshot, as_of, own, &|_| Some(tariff())).unwrap();
    }

    fn commit(&mut self, node: usize, is_applied: bool, is_answered: bool) {
        let Some(change) = self.nodes[node].planned.take() else { return };
        if !is_applied || change.header.version != self.account.header.version + 1 {
            return;
        }
        self.account.apply(&change);
        if is_answered {
            self.nodes[node].machine.committed(&change, self.now);
        }
    }

    /// The balance by what was really counted: by an incarnation that was retired no more than
    /// its cut.
    fn true_balance(&self) -> Money {
        let registers = self.truth.iter().map(|(incarnation, counted)| {
            let live = Units::from_register(*counted);
            ((meter(1), *incarnation), Register { live, recovered: Units::ZERO })
        });
        self.account.balance(&registers.collect(), &rates()).unwrap()
    }

    /// Calls take a strict wallet no lower than it was when it became one, or than its floor.
    fn check(&mut self) -> Result<(), TestCaseError> {
        let (balance, floor) = (self.true_balance(), self.account.header.overdraft_limit.negated());
        let mode = self.account.header.mode;
        if mode.overspend == Overspend::Optimistic || mode.is_changing {
            self.lowest = Money::MAX;
            return Ok(());
        }
        if self.lowest == Money::MAX {
            self.lowest = balance;
        }
        // What was paid in meanwhile lifts it.
        self.lowest = self.lowest.max(balance.min(floor));
        prop_assert!(balance >= floor.min(self.lowest), "{} below {}", balance, floor);
        Ok(())
    }
}

// === impl Node ===

impl Node {
    fn new(place: usize) -> Node {
        Node {
            id: Uuid::from_u128(1_000 + u128::try_from(place).unwrap()),
            machine: NodeWallet::new(super::super::wallet()),
            writing: None,
            reading: None,
            ended: BTreeSet::new(),
            planned: None,
            marks: BTreeMap::new(),
        }
    }

    fn begin_write(&mut self) {
        let marks = self.marks.clone();
        let latest = |stream| marks.get(&stream).copied().unwrap_or_default();
        let writes = self.machine.begin_write(latest, NOW);
        if !writes.is_empty() {
            self.writing = Some(writes);
        }
    }

    /// Only of an account that was just read, as production does.
    fn plan(&mut self, now: Duration) {
        let knowledge = Duration::from_millis(100);
        let ended = self.ended.clone();
        let has_ended = |incarnation: Incarnation| ended.contains(&incarnation);
        let terms = Terms { node: self.id, now, knowledge, has_ended: &has_ended };
        self.planned = self.machine.plan_grants(&rates(), terms).unwrap();
    }
}

// === impl Gateway ===

impl Gateway {
    fn new(incarnation: Incarnation, node: usize) -> Gateway {
        Gateway {
            wallet: Wallet::default(),
            incarnation,
            open: VecDeque::new(),
            node,
            stream: StreamId(0),
            up: VecDeque::new(),
            down: VecDeque::new(),
            sent: BTreeMap::new(),
            asked: [None; NODES],
        }
    }
}
