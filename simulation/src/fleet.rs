//! What a busy fleet costs: ledger rows and messages, and what it overspends, when nothing breaks.
//!
//! The same machines and the same pacing as in production ([`tollgate_metering::pace`] on the
//! gateways, [`tollgate_metering::node::need`] on the node), driven by a clock that ticks every 20
//! ms: calls of a tick are admitted one by one, reports and snapshots arrive a tick later, writes
//! are applied at once. So the counts are those of the rules, without a network's or a machine's
//! noise. Not here: faults (the seeded world).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tollgate_metering::node::need::{self, Bounds, Burn};
use tollgate_metering::node::{News, NodeWallet, Part, Read, StreamId, StreamMark};
use tollgate_metering::pace::{Pace, Standing, quiet_below};
use tollgate_metering::protocol::{OwnIncarnations, ReportedRegister, Snapshot};
use tollgate_metering::rating::{RateBook, Rates};
use tollgate_metering::wallet::{Life, OwnList, Tariff, Wallet};
use tollgate_metering::{
    Account, BillingType, DeveloperId, Incarnation, Meter, Money, Period, PlanId, ProductId,
    Register, Registers, Units, UnixMillis, WalletId,
};
use uuid::Uuid;

/// A tick: the fastest interval.
const TICK: Duration = Duration::from_millis(20);
/// The slowest interval.
const SLOWEST: Duration = Duration::from_secs(2);
/// How long before it is measured a fleet runs.
const WARM_UP: Duration = Duration::from_secs(4);
const NOW: UnixMillis = UnixMillis(1_795_348_800_000);
const FOREVER: Duration = Duration::from_secs(1_000_000);
/// A call costs a cent.
const PRICE_NANOS: i64 = 10_000_000;

/// How often gateways report and the node writes and tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// Every 100 ms, whatever is left.
    Fixed,
    /// As the money needs it.
    Adaptive,
}

/// A fleet.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// Gateways, each of which uses every wallet.
    pub gateways: usize,
    /// Wallets.
    pub wallets: usize,
    /// Calls in a second on one wallet, by all gateways together.
    pub calls_per_second: u64,
    /// What each wallet begins with, in whole units of money.
    pub balance: i64,
    /// How long it is measured.
    pub span: Duration,
    /// How it is paced.
    pub pacing: Pacing,
}

/// What a fleet cost in a second, and overspent in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetCosts {
    /// Rows of the ledger.
    pub rows: u64,
    /// Registers and holds that reports carried.
    pub lines: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Calls that were admitted.
    pub calls: u64,
    /// How far below zero all wallets together ended.
    pub overspent: Money,
}

struct Site {
    fleet: Fleet,
    bounds: Bounds,
    tariff: Arc<Tariff>,
    rates: RateBook,
    now: Duration,
    tick: u64,
    seq: i64,
    costs: FleetCosts,
}

struct Place {
    account: Account,
    registers: Registers,
    node: NodeWallet,
    burn: Burn,
    told: (Money, Duration),
    tell_at: Option<Duration>,
    persisted: Money,
    persist_at: Option<Duration>,
    rows_until: Duration,
    gateways: Vec<Gateway>,
}

struct Gateway {
    wallet: Wallet,
    incarnation: Incarnation,
    nanos: u64,
    reported_nanos: u64,
    pace: Option<Pace>,
    below: Money,
    since: Option<Duration>,
    news: Option<Box<Snapshot>>,
    part: Option<Part>,
    arrival: u64,
}

// === impl Fleet ===

impl Fleet {
    /// Runs the fleet and counts.
    ///
    /// # Panics
    /// Where the machines refuse what a fleet without faults does: a bug in them or here.
    #[must_use]
    pub fn run(self) -> FleetCosts {
        let mut site = Site::new(self);
        let mut places: Vec<Place> = (0..self.wallets).map(|n| Place::new(n, &mut site)).collect();
        let ticks = |span: Duration| span.as_millis() / TICK.as_millis();
        for _ in 0..ticks(WARM_UP) {
            site.step(&mut places);
        }
        site.costs = FleetCosts::default();
        for _ in 0..ticks(self.span) {
            site.step(&mut places);
        }
        let seconds = self.span.as_secs().max(1);
        let debt = |place: &Place| place.true_balance(&site).debt();
        let overspent = places.iter().map(debt).try_fold(Money::ZERO, Money::plus);
        let FleetCosts { rows, lines, snapshots, calls, .. } = site.costs;
        FleetCosts {
            rows: rows / seconds,
            lines: lines / seconds,
            snapshots: snapshots / seconds,
            calls: calls / seconds,
            overspent: overspent.expect("debts of cents are in the range of money"),
        }
    }
}

// === impl Site ===

impl Site {
    fn new(fleet: Fleet) -> Site {
        let id = Uuid::from_u128(7);
        let rates = Arc::new(Rates::flat(money(PRICE_NANOS)).expect("a cent is not negative"));
        let tariff = Tariff {
            product: ProductId(id),
            plan: PlanId(id),
            revision: 1,
            billing: BillingType::Prepaid,
            period: Period::of(NOW),
            rates: Arc::clone(&rates),
        };
        let mut book = RateBook::default();
        book.add(tariff.plan, tariff.revision, rates);
        let bounds = match fleet.pacing {
            Pacing::Fixed => {
                let interval = Duration::from_millis(100);
                Bounds { fastest: interval, slowest: interval }
            }
            Pacing::Adaptive => Bounds { fastest: TICK, slowest: SLOWEST },
        };
        let (tariff, rates) = (Arc::new(tariff), book);
        let (now, costs) = (Duration::from_secs(10), FleetCosts::default());
        Site { fleet, bounds, tariff, rates, now, tick: 0, seq: 0, costs }
    }

    /// A tick: what was sent in the one before arrives, calls are made, what is due is sent.
    fn step(&mut self, places: &mut [Place]) {
        (self.now, self.tick) = (self.now + TICK, self.tick + 1);
        for (number, place) in places.iter_mut().enumerate() {
            place.hear(self);
            place.deliver(self);
            place.call(self, number);
            place.report(self);
            place.persist(self);
            place.tell(self);
        }
    }

    fn is_fixed_tick(&self, number: usize) -> bool {
        // Gateways tick each at its own time.
        (self.tick + number as u64).is_multiple_of(5)
    }
}

// === impl Place ===

impl Place {
    fn new(number: usize, site: &mut Site) -> Place {
        let id = Uuid::from_u128(1_000 + number as u128);
        let (wallet, developer) = (WalletId(id), DeveloperId(id));
        let eur = "EUR".parse().expect("EUR is a currency");
        let mut account = Account::unopened(wallet, "acme", developer, eur, 1, NOW);
        account.header.version = 1;
        account.header.credited = money(site.fleet.balance.saturating_mul(1_000_000_000));
        let mut place = Place {
            account,
            registers: Registers::new(),
            node: NodeWallet::new(wallet),
            burn: Burn::default(),
            told: (Money::ZERO, Duration::ZERO),
            tell_at: None,
            persisted: Money::ZERO,
            persist_at: None,
            rows_until: Duration::ZERO,
            gateways: (0..site.fleet.gateways).map(Gateway::new).collect(),
        };
        for (stream, gateway) in place.gateways.iter_mut().enumerate() {
            gateway.wallet.open(&site.tariff, Life(0), 0);
            let own = OwnIncarnations { number: 1, incarnations: vec![gateway.incarnation] };
            place.node.subscribe(StreamId(stream as u64), Arc::new(own));
        }
        let mark = place.node.begin_read(|_| StreamMark { arrival: 1, seq: 1 }, site.now);
        let read = Read {
            account: place.account.clone(),
            registers: Registers::new(),
            holds: BTreeMap::new(),
        };
        place.node.reread(&mark, Some(read), site.now, NOW).expect("the ledger is the first");
        place.tell_now(site);
        place
    }

    fn hear(&mut self, site: &Site) {
        for gateway in &mut self.gateways {
            let Some(snapshot) = gateway.news.take() else { continue };
            let (before, incarnation) = (gateway.wallet.available(), gateway.incarnation);
            let life_of = |each| (each == incarnation).then_some(Life(0));
            let own =
                OwnList { number: 1, since: Duration::ZERO, has: &|_| true, life_of: &life_of };
            let tariffs = |_: &Meter| Some(Arc::clone(&site.tariff));
            let taken = gateway.wallet.snapshot(&snapshot, Some(site.now), own, &tariffs);
            taken.expect("cents are in the range of money");
            let after = gateway.wallet.available();
            gateway.below = match &mut gateway.pace {
                Some(pace) => {
                    pace.heard(before, after, site.now);
                    pace.plan(standing(after), site.bounds).below
                }
                None => quiet_below(after),
            };
        }
    }

    fn deliver(&mut self, site: &Site) {
        let mut has_news = false;
        for (stream, gateway) in self.gateways.iter_mut().enumerate() {
            if let Some(part) = gateway.part.take() {
                gateway.arrival += 1;
                self.node.report(StreamId(stream as u64), gateway.arrival, &part, NOW);
                has_news = true;
            }
        }
        if has_news {
            self.assess(site);
        }
    }

    /// What balance-sync plans after a report.
    fn assess(&mut self, site: &Site) {
        let left = self.left(site);
        self.burn.look(left, site.now);
        let interval = self.burn.interval(left, site.bounds);
        let is_urgent = interval <= TICK;
        let sooner =
            |planned: Option<Duration>, at: Duration| Some(planned.map_or(at, |p| p.min(at)));
        let is_now = is_urgent || need::is_sudden(self.told.0, left);
        let at = if is_now { site.now } else { site.now + interval };
        let floor = self.told.1 + need::pushes_interval(self.gateways.len());
        self.tell_at = sooner(self.tell_at, at.max(floor));
        let is_now = is_urgent || need::is_sudden(self.persisted, left);
        let at = if is_now { site.now } else { site.now + interval };
        self.persist_at = sooner(self.persist_at, at);
    }

    fn left(&self, site: &Site) -> Money {
        let balance = self.node.balance(&site.rates).expect("cents are in the range of money");
        balance.unwrap_or(Money::ZERO)
    }

    fn call(&mut self, site: &mut Site, number: usize) {
        // Spread evenly over ticks, wallets and gateways, without a fraction that is lost.
        let per_second = u128::from(site.fleet.calls_per_second);
        let by = |tick: u64| {
            let at_ms = u128::from(tick) * TICK.as_millis() + number as u128;
            at_ms * per_second / 1000
        };
        let (first, last) = (by(site.tick - 1), by(site.tick));
        let count = self.gateways.len() as u128;
        for call in first..last {
            let place = usize::try_from(call % count).expect("a remainder of a usize is one");
            let gateway = &mut self.gateways[place];
            let held = gateway.wallet.hold(&site.tariff, Life(0), Units::ONE, site.now, FOREVER);
            if let Ok(hold) = held {
                gateway.nanos = gateway.wallet.settle(hold, Units::ONE).nanos;
                site.costs.calls += 1;
                gateway.since.get_or_insert(site.now);
            }
        }
    }

    fn report(&mut self, site: &mut Site) {
        for (number, gateway) in self.gateways.iter_mut().enumerate() {
            let is_due = gateway.nanos > gateway.reported_nanos
                && match site.fleet.pacing {
                    Pacing::Fixed => site.is_fixed_tick(number),
                    Pacing::Adaptive => gateway.is_due(site),
                };
            if is_due {
                site.seq += 1;
                site.costs.lines += 1;
                gateway.send(site, self.account.header.wallet);
            }
        }
    }

    fn persist(&mut self, site: &mut Site) {
        let is_due = match site.fleet.pacing {
            Pacing::Fixed => site.is_fixed_tick(0),
            Pacing::Adaptive => {
                self.persist_at.is_some_and(|at| at <= site.now) && self.rows_until <= site.now
            }
        };
        if !is_due {
            return;
        }
        let mark = StreamMark { arrival: u64::MAX, seq: site.seq };
        let writes = self.node.begin_write(|_| mark, NOW);
        self.persist_at = None;
        if writes.is_empty() {
            return;
        }
        for row in &writes.registers {
            let heard = Register { live: row.units, recovered: Units::ZERO };
            self.registers.entry((row.meter, row.incarnation)).or_default().merge(heard);
        }
        let rows = writes.registers.len() + writes.holds.len();
        site.costs.rows += rows as u64;
        self.persisted = self.left(site);
        self.rows_until = match site.fleet.pacing {
            Pacing::Fixed => Duration::ZERO,
            Pacing::Adaptive => site.now + need::rows_interval(rows),
        };
        self.node.end_write(&writes, true);
    }

    fn tell(&mut self, site: &mut Site) {
        let is_due = match site.fleet.pacing {
            Pacing::Fixed => site.is_fixed_tick(0),
            Pacing::Adaptive => self.tell_at.is_some_and(|at| at <= site.now),
        };
        if is_due {
            self.tell_now(site);
        }
    }

    fn tell_now(&mut self, site: &mut Site) {
        self.tell_at = None;
        self.told = (self.left(site), site.now);
        for (stream, gateway) in self.gateways.iter_mut().enumerate() {
            let news = self.node.news(StreamId(stream as u64), NOW, FOREVER);
            if let Some(News::Snapshot(snapshot)) = news.expect("cents are in range") {
                site.costs.snapshots += 1;
                gateway.news = Some(snapshot);
            }
        }
    }

    /// By what gateways have counted, reported or not.
    fn true_balance(&self, site: &Site) -> Money {
        let meter = site.tariff.meter(self.account.header.wallet);
        let registers = self.gateways.iter().map(|gateway| {
            let live = Units::from_register(gateway.nanos);
            ((meter, gateway.incarnation), Register { live, recovered: Units::ZERO })
        });
        let balance = self.account.balance(&registers.collect(), &site.rates);
        balance.expect("cents are in the range of money")
    }
}

// === impl Gateway ===

impl Gateway {
    fn new(number: usize) -> Gateway {
        Gateway {
            wallet: Wallet::default(),
            incarnation: Incarnation { born: NOW, id: Uuid::from_u128(1 + number as u128) },
            nanos: 0,
            reported_nanos: 0,
            pace: None,
            below: Money::MAX,
            since: None,
            news: None,
            part: None,
            arrival: 0,
        }
    }

    fn is_due(&mut self, site: &Site) -> bool {
        let available = self.wallet.available();
        if available < self.below {
            return true;
        }
        let bounds = site.bounds;
        let pace = self.pace.get_or_insert_with(|| Pace::new(available, site.now, bounds));
        let since = self.since.unwrap_or(site.now);
        pace.plan(standing(available), bounds).due(since, bounds) <= site.now
    }

    fn send(&mut self, site: &Site, wallet: WalletId) {
        let (available, bounds) = (self.wallet.available(), site.bounds);
        if site.fleet.pacing == Pacing::Adaptive {
            let pace = self.pace.get_or_insert_with(|| Pace::new(available, site.now, bounds));
            pace.reported(standing(available), site.now, bounds);
            self.below = pace.plan(standing(available), bounds).below;
        }
        (self.reported_nanos, self.since) = (self.nanos, None);
        let register = ReportedRegister {
            meter: site.tariff.meter(wallet),
            units: Units::from_register(self.nanos),
            is_recovered: false,
            excess: Units::ZERO,
        };
        self.part = Some(Part {
            incarnation: self.incarnation,
            seq: site.seq,
            registers: vec![register],
            apps: Vec::new(),
            held: Some(self.wallet.held(Life(0))),
            draw: None,
            is_fenced: false,
        });
    }
}

fn standing(available: Money) -> Standing {
    Standing { available, is_urgent: false }
}

fn money(nanos: i64) -> Money {
    Money::from_nanos(i128::from(nanos)).expect("2^63 nanos are in the range of money")
}
