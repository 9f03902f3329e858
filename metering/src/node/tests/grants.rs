//! Grants, driven through both machines of a strict wallet.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{NOW, account, incarnation, meter, own};
use crate::account::{Account, Change, Mode, Overspend};
use crate::id::Incarnation;
use crate::meter::Registers;
use crate::money::Money;
use crate::node::grants::Terms;
use crate::node::{News, NodeWallet, Part, Read, StreamId, StreamMark, Writes};
use crate::protocol::ReportedRegister;
use crate::rating::{RateBook, Rates};
use crate::units::Units;
use crate::wallet::{Hold, HoldError, Life, OwnList, Tariff, Wallet};

const LIMIT: Duration = Duration::from_secs(10);
const HOLD_LIFE: Duration = Duration::from_secs(600);

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn rates() -> RateBook {
    let (meter, mut rates) = (meter(1), RateBook::default());
    rates.add(meter.plan, meter.revision, Arc::new(Rates::flat(money("0.01")).unwrap()));
    rates
}

/// A strict wallet with a cent a call, one node, and gateways that each have one incarnation.
struct World {
    account: Account,
    registers: Registers,
    node: NodeWallet,
    id: Uuid,
    gateways: Vec<Gateway>,
    now: Duration,
    seq: i64,
}

struct Gateway {
    wallet: Wallet,
    incarnation: Incarnation,
    nanos: u64,
}

// === impl World ===

impl World {
    fn new(balance: &str, gateways: usize) -> World {
        let mut account = account();
        account.header.credited = money(balance);
        account.header.mode = Mode { overspend: Overspend::Strict, counter: 1, is_changing: false };
        let gateways = (0..gateways).map(|place| Gateway {
            wallet: Wallet::default(),
            incarnation: incarnation(u128::try_from(place).unwrap() + 1),
            nanos: 0,
        });
        let mut world = World {
            node: NodeWallet::new(account.header.wallet),
            account,
            registers: Registers::new(),
            id: Uuid::from_u128(77),
            gateways: gateways.collect(),
            now: Duration::from_secs(100),
            seq: 0,
        };
        world.subscribe();
        world
    }

    fn subscribe(&mut self) {
        for place in 0..self.gateways.len() {
            let stream = StreamId(u64::try_from(place).unwrap());
            self.node.subscribe(stream, own(1, &[self.gateways[place].incarnation]));
        }
        for place in 0..self.gateways.len() {
            self.report(place);
        }
        self.read();
        self.tell();
    }

    fn tariff() -> Arc<Tariff> {
        let meter = meter(1);
        Arc::new(Tariff {
            product: meter.product,
            plan: meter.plan,
            revision: meter.revision,
            billing: meter.billing,
            period: meter.period,
            rates: Arc::new(Rates::flat(money("0.01")).unwrap()),
        })
    }

    fn call(&mut self, place: usize) -> Result<Hold, HoldError> {
        let (tariff, now) = (World::tariff(), self.now);
        let wallet = &mut self.gateways[place].wallet;
        wallet.open(&tariff, Life(0), 0);
        wallet.hold(&tariff, Life(0), Units::ONE, now, LIMIT)
    }

    fn settle(&mut self, place: usize, hold: Hold) {
        let gateway = &mut self.gateways[place];
        gateway.nanos = gateway.wallet.settle(hold, Units::ONE).nanos;
    }

    /// One gateway reports; the node takes it.
    fn report(&mut self, place: usize) {
        self.seq += 1;
        let gateway = &self.gateways[place];
        let registers = [gateway.nanos].into_iter().filter(|nanos| *nanos > 0).map(|nanos| {
            let (meter, units) = (meter(1), Units::from_register(nanos));
            ReportedRegister { meter, units, is_recovered: false, excess: Units::ZERO }
        });
        let draws = gateway.wallet.draws(self.account.header.wallet);
        let part = Part {
            incarnation: gateway.incarnation,
            seq: self.seq,
            registers: registers.collect(),
            apps: Vec::new(),
            held: Some(gateway.wallet.held(Life(0))),
            draw: draws.first().map(|(_, draw)| *draw),
            is_fenced: false,
        };
        let (stream, arrival) = (StreamId(u64::try_from(place).unwrap()), self.arrival());
        self.node.report(stream, arrival, &part, NOW);
    }

    fn arrival(&self) -> u64 {
        u64::try_from(self.seq).unwrap()
    }

    fn write(&mut self) {
        let mark = StreamMark { arrival: self.arrival(), seq: self.seq };
        let writes = self.node.begin_write(|_| mark, NOW);
        for row in &writes.registers {
            self.registers.entry((row.meter, row.incarnation)).or_default().live = row.units;
        }
        if writes != Writes::default() {
            self.node.end_write(&writes, true);
        }
    }

    fn read(&mut self) {
        let mark = StreamMark { arrival: self.arrival(), seq: self.seq };
        let mark = self.node.begin_read(|_| mark, self.now);
        let (account, registers) = (self.account.clone(), self.registers.clone());
        let read = Read { account, registers, holds: Default::default() };
        self.node.reread(&mark, Some(read), self.now, NOW).unwrap();
    }

    fn plan(&mut self) -> Option<Change> {
        let knowledge = Duration::from_millis(100);
        let terms = Terms { node: self.id, now: self.now, knowledge, has_ended: &|_| false };
        self.node.plan_grants(&rates(), terms).unwrap()
    }

    /// What a node does when a report asks for it: persist, read, plan, commit, tell.
    fn look(&mut self) {
        self.write();
        self.read();
        if let Some(change) = self.plan() {
            self.account.apply(&change);
            self.node.committed(&change, self.now);
        }
        self.tell();
        self.now += Duration::from_millis(20);
    }

    fn tell(&mut self) {
        for place in 0..self.gateways.len() {
            let stream = StreamId(u64::try_from(place).unwrap());
            let incarnation = self.gateways[place].incarnation;
            if let Some(News::Snapshot(snapshot)) = self.node.news(stream, NOW, HOLD_LIFE).unwrap()
            {
                let life_of = |each| (each == incarnation).then_some(Life(0));
                let own =
                    OwnList { number: 1, since: Duration::ZERO, has: &|_| true, life_of: &life_of };
                let tariffs = |_: &_| Some(World::tariff());
                let wallet = &mut self.gateways[place].wallet;
                wallet.snapshot(&snapshot, Some(self.now), own, &tariffs).unwrap();
            }
        }
    }

    /// A call that may wait: reports, looks and asks again for as long as nobody has denied it.
    fn patient_call(&mut self, place: usize) -> (Result<Hold, HoldError>, usize) {
        for round in 0..10 {
            match self.call(place) {
                Err(HoldError::Ungranted { .. }) => {
                    for place in 0..self.gateways.len() {
                        self.report(place);
                    }
                    self.look();
                }
                answer => return (answer, round),
            }
        }
        panic!("neither granted nor denied");
    }

    fn balance(&self) -> Money {
        self.account.balance(&self.registers, &rates()).unwrap()
    }
}

#[test]
fn money_for_one_call_admits_one_call_on_whichever_gateway_it_arrives() {
    for place in [0, 1, 2, 3] {
        let mut world = World::new("0.01", 4);
        let (first, rounds) = world.patient_call(place);
        world.settle(place, first.unwrap());
        assert!(rounds <= 2, "{rounds} rounds");
        for other in 0..4 {
            let (second, _) = world.patient_call(other);
            assert!(matches!(second, Err(HoldError::TooSmall { .. })), "{second:?}");
        }
        world.report(place);
        world.look();
        assert_eq!(world.balance(), Money::ZERO);
    }
}

#[test]
fn the_last_cents_move_by_recall_within_two_rounds() {
    let mut world = World::new("0.02", 2);
    // Both cents are granted to the first gateway, which spends one of them.
    let (hold, _) = world.patient_call(0);
    world.settle(0, hold.unwrap());
    let (hold, _) = world.patient_call(0);
    // The call fails at its upstream: its cent stays under the first gateway's ceiling.
    world.gateways[0].wallet.release(hold.unwrap());
    world.report(0);
    world.look();
    assert_eq!(world.account.reserved(), Ok(money("0.01")));

    let (hold, rounds) = world.patient_call(1);
    world.settle(1, hold.unwrap());
    assert_eq!(rounds, 2);
    world.report(1);
    world.look();
    assert_eq!(world.balance(), Money::ZERO);
    let (denied, _) = world.patient_call(0);
    assert!(matches!(denied, Err(HoldError::TooSmall { .. })));
}

#[test]
fn a_top_up_serves_a_call_that_was_denied() {
    let mut world = World::new("0", 2);
    let (denied, _) = world.patient_call(1);
    assert!(matches!(denied, Err(HoldError::TooSmall { .. })));
    world.account.header.credited = money("0.01");
    world.account.header.version += 1;
    world.look();
    let (hold, rounds) = world.patient_call(1);
    world.settle(1, hold.unwrap());
    assert_eq!(rounds, 0, "the grant came with the credit");
}

#[test]
fn a_ceiling_is_not_told_before_it_is_committed() {
    let mut world = World::new("1", 1);
    assert!(matches!(world.call(0), Err(HoldError::Ungranted { .. })));
    world.report(0);
    world.write();
    world.read();
    assert!(world.plan().is_some());
    world.tell();
    assert!(matches!(world.call(0), Err(HoldError::Ungranted { .. })));
}

#[test]
fn an_unheard_gateway_keeps_its_grant_for_ever() {
    let mut world = World::new("0.01", 2);
    let (hold, _) = world.patient_call(0);
    drop(hold);
    world.node.end_stream(StreamId(0), NOW);
    world.now += Duration::from_secs(86_400);
    for _ in 0..3 {
        let _ = world.call(1);
        world.report(1);
        world.look();
    }
    let again = world.call(1);
    assert!(again.is_err(), "{again:?}");
    assert_eq!(world.account.reserved(), Ok(money("0.01")));
}

/// A node noted a settled draw whose register it had heard and not persisted, and died with it: the
/// next one found a cent that was neither reserved nor charged.
#[test]
fn a_settled_draw_counts_only_once_its_registers_are_in_the_ledger_and_were_read() {
    let mut world = World::new("0.01", 2);
    let (hold, _) = world.patient_call(0);
    world.settle(0, hold.unwrap());
    world.report(0);
    world.now += Duration::from_secs(2);
    world.read();
    if let Some(change) = world.plan() {
        world.account.apply(&change);
    }
    // It dies before it has written what it heard; only the other gateway finds the next one.
    world.node = NodeWallet::new(world.account.header.wallet);
    world.id = Uuid::from_u128(78);
    world.node.subscribe(StreamId(1), own(1, &[world.gateways[1].incarnation]));
    for _ in 0..3 {
        assert!(world.call(1).is_err(), "the cent was spent on the first gateway");
        world.report(1);
        world.now += Duration::from_secs(2);
        world.look();
    }
    assert_eq!(world.account.reserved(), Ok(money("0.01")));
}

#[test]
fn an_idle_gateway_gives_its_grant_back() {
    let mut world = World::new("0.02", 2);
    let (hold, _) = world.patient_call(0);
    world.gateways[0].wallet.release(hold.unwrap());
    world.report(0);
    world.look();
    assert_eq!(world.account.reserved(), Ok(money("0.01")));
    world.now += Duration::from_secs(4);
    for _ in 0..2 {
        world.look();
        world.report(0);
    }
    world.now += Duration::from_secs(2);
    world.look();
    assert_eq!(world.account.reserved(), Ok(Money::ZERO));
}

/// A gateway remembered what a caller that had gone away wanted: the last cent went back and forth
/// between it and the wallet for ever.
#[test]
fn what_was_granted_and_taken_back_is_not_wanted_again() {
    let mut world = World::new("0", 1);
    let (denied, _) = world.patient_call(0);
    assert!(denied.is_err());
    world.account.header.credited = money("0.01");
    world.account.header.version += 1;
    world.look();
    world.report(0);
    for _ in 0..4 {
        world.now += Duration::from_secs(4);
        world.look();
        world.report(0);
    }
    assert_eq!(world.account.reserved(), Ok(Money::ZERO));
}

/// A busy gateway was given one call at a time where a look took longer than its pace foresaw: the
/// pace, measured from what it settled, never grew.
#[test]
fn a_gateway_that_runs_out_again_is_given_twice_as_much() {
    let mut world = World::new("1000", 1);
    let (mut looks, mut calls) = (0, 0);
    while calls < 1_000 {
        match world.call(0) {
            Ok(hold) => {
                world.settle(0, hold);
                calls += 1;
            }
            Err(_) => {
                looks += 1;
                world.report(0);
                // A slow ledger: what was settled is spread over a second.
                world.now += Duration::from_secs(1);
                world.look();
            }
        }
    }
    assert!(looks <= 12, "{looks} looks");
}

/// What was denied before a wallet was optimistic for a while was told as a grant of the newest
/// mode, and the gateway reported its draw under it: a node took that for the word that no call of
/// the older mode was open.
#[test]
fn what_was_denied_in_an_earlier_mode_acknowledges_nothing() {
    let mut world = World::new("0", 1);
    let (denied, _) = world.patient_call(0);
    assert!(matches!(denied, Err(HoldError::TooSmall { .. })));
    let lax = Mode { overspend: Overspend::Optimistic, counter: 2, is_changing: false };
    world.account.header.mode = lax;
    world.account.header.credited = money("0.01");
    world.account.header.version += 1;
    world.look();
    let hold = world.call(0).unwrap();
    world.report(0);
    world.account.header.mode =
        Mode { overspend: Overspend::Strict, counter: 3, is_changing: true };
    world.account.header.version += 1;
    for _ in 0..2 {
        world.look();
        world.report(0);
    }
    assert!(!world.node.has_acknowledged(world.gateways[0].incarnation), "{hold:?} is open");
}
