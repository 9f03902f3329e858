//! What a run is made of: the world that it begins with, and everything that is done to it.
//!
//! A schedule is an explicit list, so that entries can be taken out and the rest run again; what
//! an entry begins it also ends, so that each can be taken out alone. Delays and calls in between
//! come from the dice of their part.

use std::fmt;
use std::time::Duration;

use tollgate_metering::{Money, UnixMillis};

mod directed;
mod draw;

pub use directed::Scenario;

/// How long a run is quiet: busy, idle until holds have grown old, and busy again.
pub(crate) const QUIET_BUSY: Duration = Duration::from_secs(8);
/// See [`QUIET_BUSY`].
pub(crate) const QUIET_IDLE: Duration = Duration::from_secs(130);

/// A run.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// What everything that is not written down here follows from.
    pub seed: u64,
    /// The world.
    pub setup: Setup,
    /// What is done to it, in order.
    pub events: Vec<Timed>,
}

/// Something that is done at a time after the start.
#[derive(Clone, Debug)]
pub struct Timed {
    /// When.
    pub at: Duration,
    /// What.
    pub what: Injected,
}

/// What kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Nothing breaks: the bound of overspend is that of two intervals, not of the staleness limit.
    Calm,
    /// Seconds full of faults.
    Rough,
    /// Days, with busy seconds in between: what the fence, the horizon and months are about.
    Long,
}

/// The world that a run begins with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What kind of run.
    pub profile: Profile,
    /// The ledger's time at the start.
    pub start: UnixMillis,
    /// Gateways.
    pub gateways: Vec<GatewaySetup>,
    /// How far the clock of each balance-sync node is off, in milliseconds.
    pub nodes: Vec<i64>,
    /// Wallets.
    pub wallets: Vec<WalletSetup>,
    /// Prices, revision by revision: ends of bands in whole units, and prices of a unit.
    pub prices: Vec<Vec<(Option<u64>, Money)>>,
    /// Multipliers of calls, in thousandths of a unit; beyond `units_max` is excess.
    pub units: Vec<u64>,
    /// The proxy's `max_multiplier`, in thousandths.
    pub units_max: u64,
    /// How often gateways report.
    pub sync: Duration,
    /// How often nodes look at what is due.
    pub tick: Duration,
    /// How often dirty registers are written.
    pub persist: Duration,
    /// How often a wallet is read again.
    pub read: Duration,
    /// Age of knowledge at which admission stops.
    pub staleness: Duration,
    /// How long holds of a gateway that is gone count.
    pub hold_life: Duration,
    /// How long either end of a stream waits for a sign of life.
    pub keepalive: Duration,
    /// One-way delay of a message.
    pub delay: (Duration, Duration),
    /// Answer time of the ledger.
    pub latency: (Duration, Duration),
    /// How long a call takes.
    pub call: (Duration, Duration),
    /// Ledger operations in a thousand that fail or whose outcome is unknown.
    pub trouble: u64,
    /// Busy and idle times, in order.
    pub phases: Vec<Phase>,
}

/// A gateway.
#[derive(Clone, Debug)]
pub struct GatewaySetup {
    /// How far its clock is off, in milliseconds.
    pub skew_ms: i64,
    /// How much faster its clocks run, in millionths.
    pub drift_ppm: i64,
    /// Mean time between two calls; never less than half of it.
    pub gap: Duration,
}

/// A wallet.
#[derive(Clone, Debug)]
pub struct WalletSetup {
    /// Its first credit.
    pub credit: Money,
    /// Its overdraft limit.
    pub overdraft: Money,
    /// Whether calls need a grant.
    pub is_strict: bool,
}

/// A time with one pace.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    /// Its end, after the start of the run.
    pub until: Duration,
    /// The pace of ticks where it is idle; `None` while it is busy.
    pub pace: Option<Duration>,
}

/// Which way a link is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the node.
    Up,
    /// To the gateway.
    Down,
    /// Both.
    Both,
}

/// What is left when a gateway dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// `kill -9`: all that was answered is in the spend file.
    Kill,
    /// A power cut: the file holds something between its last sync and its end.
    Power,
    /// The disk is lost.
    Disk,
}

/// How a ledger is in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It answers after seconds.
    Slow,
    /// It refuses everything.
    Down,
    /// Half of what is asked has an unknown outcome; some of that comes about much later.
    Unknown,
}

/// Something that is done to the world; `g`, `n` and `w` are places of gateway, node and wallet.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub enum Injected {
    /// Messages do not pass.
    Cut { g: usize, n: usize, way: Way, lasts: Duration },
    /// A stream ends with all that is on its way.
    Break { g: usize, n: usize },
    /// Messages take longer.
    Delay { g: usize, n: usize, by: Duration, lasts: Duration },
    /// A gateway's process ends; another starts later.
    Die { g: usize, death: Death, returns_after: Duration },
    /// A gateway's process stands still.
    Pause { g: usize, lasts: Duration },
    /// A gateway's clock is set.
    Set { g: usize, by_ms: i64 },
    /// A gateway begins a new incarnation.
    Rotate { g: usize },
    /// A node's process ends; another starts later.
    NodeDie { n: usize, returns_after: Duration },
    /// A node's process stands still.
    NodePause { n: usize, lasts: Duration },
    /// A node starts again with a wrong clock; later with the right one.
    NodeClock { n: usize, off_ms: i64, lasts: Duration },
    /// A node does not reach the ledger.
    NodeCut { n: usize, lasts: Duration },
    /// The ledger is in trouble.
    Ledger { trouble: Trouble, lasts: Duration },
    /// A backup is taken.
    Backup,
    /// The newest backup is restored.
    Restore,
    /// Money is paid in, by so many callers that do not know of each other.
    Credit { w: usize, amount: Money, callers: usize },
    /// A correction.
    Adjust { w: usize, amount: Money },
    /// A fee.
    Fee { w: usize, amount: Money },
    /// The floor moves.
    Limit { w: usize, limit: Money },
    /// The next revision of the prices is published.
    Publish,
    /// A wallet's developer changes between prepaid and postpaid.
    Billing { w: usize },
    /// The overspend policy changes.
    Policy { w: usize, is_strict: bool },
    /// A person retires the incarnations of gateways that lost their disks.
    Retire { g: usize },
    /// A person decides about open suspense.
    Resolve { w: usize, is_charged: bool },
}

// === impl Setup ===

impl Setup {
    /// The pace of ticks at a time; `None` while busy. Past the last phase all is busy.
    pub(crate) fn pace(&self, now: Duration) -> Option<Duration> {
        if let Some(phase) = self.phases.iter().find(|phase| now < phase.until) {
            return phase.pace;
        }
        let quiet = now.saturating_sub(self.end());
        let is_idle = (QUIET_BUSY..QUIET_BUSY + QUIET_IDLE).contains(&quiet);
        Some(if is_idle { Duration::from_secs(10) } else { Duration::from_millis(250) })
    }

    /// When the last phase ends.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.phases.last().map_or(Duration::ZERO, |phase| phase.until)
    }

    /// The age of knowledge where nothing breaks: two sync intervals and three one-way delays,
    /// and where several nodes serve a wallet what the ledger takes between them.
    pub(crate) fn knowledge_age(&self) -> Duration {
        let alone = self.sync * 2 + self.delay.1 * 3 + self.tick;
        let between = self.persist + self.read + self.tick * 3 + self.latency.1 * 3;
        alone + between
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:#?}", self.setup)?;
        for Timed { at, what } in &self.events {
            writeln!(f, "{at:>14.3?}  {what:?}")?;
        }
        Ok(())
    }
}
