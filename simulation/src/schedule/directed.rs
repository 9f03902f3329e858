//! Directed schedules: what chance finds too seldom.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tollgate_metering::{Money, UnixMillis};

use super::draw::money;
use super::{
    Death, GatewaySetup, Injected, Phase, Profile, Schedule, Setup, Timed, Trouble, WalletSetup,
    Way,
};

/// A directed schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A gateway is killed and comes back twice, the second time after a power cut.
    TwiceDead,
    /// Calls are open while the month ends.
    MonthEnds,
    /// Incarnations grow older than the horizon, and some of their gateways come back.
    Ages,
    /// A backup is restored while gateways are busy.
    Restored,
    /// Nobody kept house for twelve days, and then slow reads meet all that is overdue.
    LateHousekeeping,
    /// A strict wallet runs dry while one of its gateways is cut off.
    CutOff,
    /// A wallet becomes strict while one of its gateways is cut off.
    TurnsStrict,
    /// A gateway of a strict wallet dies with units that nobody heard of, is retired, and returns.
    Retired,
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// The first millisecond of December 2026.
const MONTH_END: i64 = 1_796_083_200_000;

// === impl Scenario ===

impl Scenario {
    /// Every directed schedule.
    pub const ALL: &[Scenario] = &[
        Scenario::TwiceDead,
        Scenario::MonthEnds,
        Scenario::Ages,
        Scenario::Restored,
        Scenario::LateHousekeeping,
        Scenario::CutOff,
        Scenario::TurnsStrict,
        Scenario::Retired,
    ];

    /// The word that names it on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scenario::TwiceDead => "twice-dead",
            Scenario::MonthEnds => "month-ends",
            Scenario::Ages => "ages",
            Scenario::Restored => "restored",
            Scenario::LateHousekeeping => "late-housekeeping",
            Scenario::CutOff => "cut-off",
            Scenario::TurnsStrict => "turns-strict",
            Scenario::Retired => "retired",
        }
    }

    /// The schedule.
    #[must_use]
    pub fn schedule(self) -> Schedule {
        match self {
            Scenario::TwiceDead => twice_dead(),
            Scenario::MonthEnds => month_ends(),
            Scenario::Ages => ages(),
            Scenario::Restored => restored(),
            Scenario::LateHousekeeping => late_housekeeping(),
            Scenario::CutOff => cut_off(),
            Scenario::TurnsStrict => turns_strict(),
            Scenario::Retired => retired(),
        }
    }
}

/// Two gateways on two nodes, nothing drawn.
fn plain(phases: Vec<Phase>, before_end: Duration) -> Setup {
    let gateway = || GatewaySetup { skew_ms: 0, drift_ppm: 0, gap: 40 * MS };
    let price = || vec![(Some(20), money(50_000_000)), (None, money(100_000_000))];
    Setup {
        profile: Profile::Rough,
        start: UnixMillis(MONTH_END).minus(before_end),
        gateways: vec![gateway(), gateway()],
        nodes: vec![0, 0],
        wallets: vec![WalletSetup {
            credit: money(1_000_000_000_000),
            overdraft: Money::ZERO,
            is_strict: false,
        }],
        prices: vec![price(), price(), price()],
        units: vec![1_000],
        units_max: 5_000,
        sync: 100 * MS,
        tick: 100 * MS,
        persist: 200 * MS,
        read: 200 * MS,
        staleness: 10 * SECOND,
        hold_life: 30 * SECOND,
        keepalive: SECOND,
        delay: (MS, 5 * MS),
        latency: (MS, 5 * MS),
        call: (5 * MS, 50 * MS),
        trouble: 0,
        phases,
    }
}

fn busy(until: Duration) -> Phase {
    Phase { until, pace: None }
}

fn idle(until: Duration, pace: Duration) -> Phase {
    Phase { until, pace: Some(pace) }
}

fn schedule(setup: Setup, events: Vec<(Duration, Injected)>) -> Schedule {
    let events = events.into_iter().map(|(at, what)| Timed { at, what });
    Schedule { seed: 1, setup, events: events.collect() }
}

/// What the first death leaves unreported is reported by the next process; the power cut must not
/// take from the file what was reported.
fn twice_dead() -> Schedule {
    let setup = plain(vec![busy(24 * SECOND)], 10 * DAY);
    let die = |death| Injected::Die { g: 0, death, returns_after: 50 * MS };
    let cut = |n| Injected::Cut { g: 0, n, way: Way::Up, lasts: 400 * MS };
    let mut events = Vec::new();
    for round in 0..12 {
        let at = SECOND + 1_750 * MS * round;
        events.push((at, cut(0)));
        events.push((at, cut(1)));
        events.push((at + 380 * MS, die(Death::Kill)));
        events.push((at + 690 * MS + 10 * MS * round, die(Death::Power)));
    }
    schedule(setup, events)
}

/// Calls straddle the end of the month, a gateway sleeps through it, and what it settles is late.
fn month_ends() -> Schedule {
    let phases = vec![
        busy(3 * SECOND),
        idle(3 * HOUR, 10 * 60 * SECOND),
        busy(3 * HOUR + 3 * SECOND),
        idle(6 * HOUR, 10 * 60 * SECOND),
    ];
    let setup = Setup { call: (5 * MS, SECOND), ..plain(phases, 2 * SECOND) };
    let events = vec![
        (1_200 * MS, Injected::Billing { w: 0 }),
        (1_800 * MS, Injected::Pause { g: 1, lasts: 3 * HOUR }),
        (2_000 * MS, Injected::Billing { w: 0 }),
        (2_500 * MS, Injected::Die { g: 0, death: Death::Kill, returns_after: 2 * HOUR }),
    ];
    schedule(setup, events)
}

/// Gateways that die or sleep for one, four, eight, eleven and thirteen days, over and over.
fn ages() -> Schedule {
    let mut phases = Vec::new();
    let mut events = Vec::new();
    let mut at = Duration::ZERO;
    for (round, days) in [1, 4, 8, 11, 13, 3, 9, 12, 11, 14, 13, 12, 15, 11].into_iter().enumerate()
    {
        at += 2 * SECOND;
        phases.push(busy(at));
        let lasts = DAY * days;
        let g = round % 3;
        let what = match round % 2 {
            0 => Injected::Pause { g, lasts },
            _ => Injected::Die { g, death: Death::Kill, returns_after: lasts },
        };
        events.push((at - SECOND, what));
        at += lasts;
        phases.push(idle(at, 2 * HOUR));
    }
    phases.push(busy(at + 2 * SECOND));
    let mut setup = plain(phases, 5 * DAY);
    setup.gateways.push(GatewaySetup { skew_ms: 0, drift_ppm: 0, gap: 40 * MS });
    schedule(setup, events)
}

/// The ledger goes back by seconds while everybody reports, and the credits since come again.
fn restored() -> Schedule {
    let setup = plain(vec![busy(8 * SECOND)], 10 * DAY);
    let credit = || Injected::Credit { w: 0, amount: money(7_000_000_000), callers: 2 };
    let events = vec![
        (SECOND, Injected::Backup),
        (1_500 * MS, credit()),
        (2 * SECOND, Injected::Rotate { g: 0 }),
        (3 * SECOND, Injected::Die { g: 1, death: Death::Kill, returns_after: 200 * MS }),
        (4 * SECOND, Injected::Restore),
        (5 * SECOND, Injected::Ledger { trouble: Trouble::Unknown, lasts: SECOND }),
    ];
    schedule(setup, events)
}

/// Reads begin just before the nodes come back, and take so long that between their account and
/// their registers housekeeping folds, raises the horizon and could purge.
fn late_housekeeping() -> Schedule {
    let phases = vec![busy(3 * SECOND), idle(12 * DAY, 6 * HOUR), busy(12 * DAY + 40 * SECOND)];
    let setup = plain(phases, 5 * DAY);
    let away = 12 * DAY - 3 * SECOND;
    let mut events = vec![];
    for place in 0..2 {
        let die = Injected::Die { g: place, death: Death::Kill, returns_after: away };
        events.push((2_500 * MS, die));
        events.push((3 * SECOND, Injected::NodeDie { n: place, returns_after: away }));
    }
    let slow = Injected::Ledger { trouble: Trouble::Slow, lasts: 100 * MS };
    events.push((12 * DAY - 5 * SECOND, slow));
    for _ in 0..40 {
        let credit = Injected::Credit { w: 0, amount: money(1_000_000_000), callers: 1 };
        events.push((12 * DAY - 4_950 * MS, credit));
    }
    schedule(setup, events)
}

/// A wallet that two gateways empty in four seconds.
fn small(is_strict: bool) -> Setup {
    let mut setup = plain(vec![busy(12 * SECOND)], 10 * DAY);
    setup.units_max = 1_000;
    setup.wallets =
        vec![WalletSetup { credit: money(12_000_000_000), overdraft: Money::ZERO, is_strict }];
    setup
}

fn away(g: usize, lasts: Duration) -> Vec<Injected> {
    (0..2).map(|n| Injected::Cut { g, n, way: Way::Both, lasts }).collect()
}

/// What the gateway that is cut off spends of its grant is nobody else's.
fn cut_off() -> Schedule {
    let events = away(0, 8 * SECOND).into_iter().map(|cut| (1_500 * MS, cut));
    schedule(small(true), events.collect())
}

/// The gateway that is cut off goes on under the old policy; nobody may spend under the new one.
fn turns_strict() -> Schedule {
    let events = away(0, 8 * SECOND).into_iter().map(|cut| (1_500 * MS, cut));
    let mut events: Vec<_> = events.collect();
    events.push((1_700 * MS, Injected::Policy { w: 0, is_strict: true }));
    schedule(small(false), events)
}

/// The file that comes back holds more than the retirement left it.
fn retired() -> Schedule {
    let events = away(0, SECOND).into_iter().map(|cut| (1_500 * MS, cut));
    let mut events: Vec<_> = events.collect();
    let die = Injected::Die { g: 0, death: Death::Kill, returns_after: 8 * SECOND };
    events.push((2_200 * MS, die));
    events.push((3_000 * MS, Injected::Retire { g: 0 }));
    schedule(small(true), events)
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Scenario, String> {
        let found = Scenario::ALL.iter().find(|scenario| scenario.as_str() == text);
        found.copied().ok_or_else(|| format!("no scenario is named {text}"))
    }
}
