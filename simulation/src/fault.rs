//! Rules that can be broken on purpose: the simulator has to find each of them.
//!
//! Production code carries no switch. A broken rule is broken where the simulator drives the
//! machines: the ledger's model ignores a timestamp, a gateway passes another age, a planned
//! change is altered before it is applied.

use std::fmt;
use std::str::FromStr;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// A rule that is broken on purpose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &[Fault] = &[$(Fault::$name,)*];

            /// The word that names it on the command line.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Fault::$name => $word,)* }
            }
        }
    };
}

faults! {
    /// The write timestamp of a register is the clock of the node that writes it.
    ServerTimestamp = "server-timestamp",
    /// Units of a found file go to the cell of the living incarnation.
    RecoveredOverLive = "recovered-over-live",
    /// A found file is reported before it is synced to disk.
    RecoveredBeforeSynced = "recovered-before-synced",
    /// A fold removes the row that it folds, and what says so.
    FoldDeletesRow = "fold-deletes-row",
    /// Units that come after their period was closed are dropped.
    ClosingDropsLate = "closing-drops-late",
    /// Units that come after their period was closed are priced as the first of a new one.
    ClosingReprices = "closing-reprices",
    /// The horizon is raised past a period that was not closed.
    HorizonPastUnclosed = "horizon-past-unclosed",
    /// The horizon is raised past incarnations that were not folded.
    HorizonPastUnfolded = "horizon-past-unfolded",
    /// Rows are purged, and nobody refuses reports of incarnations as old.
    PurgeWithoutFence = "purge-without-fence",
    /// Rows are purged as soon as the horizon has passed them.
    PurgeAtHorizon = "purge-at-horizon",
    /// A node writes rows of incarnations without looking at their age again.
    WriteWithoutAge = "write-without-age",
    /// Registers are read before the account.
    RegistersFirst = "registers-first",
    /// A node whose clock is wrong serves.
    WrongClockServes = "wrong-clock-serves",
    /// A credit with an unknown outcome is tried again under a new id.
    BlindRetry = "blind-retry",
    /// A backup is restored, and the ledger keeps its generation.
    RestoreUntold = "restore-untold",
    /// What one stream called durable is taken for durable on all.
    DurableAcrossStreams = "durable-across-streams",
    /// Units are counted under the billing type in force when they are settled.
    BillingAtSettle = "billing-at-settle",
    /// Units are counted in the period in which they are settled.
    PeriodAtSettle = "period-at-settle",
    /// A snapshot tells a gateway its own units as others'.
    OwnUnitsAsOthers = "own-units-as-others",
    /// Of several nodes' snapshots the last to arrive counts.
    MergeByArrival = "merge-by-arrival",
    /// A snapshot is as old as its arrival.
    AgeFromArrival = "age-from-arrival",
    /// Open holds are not reported.
    HoldsUnreported = "holds-unreported",
    /// Calls are admitted while units of found files are not durable.
    AdmitBeforeDurable = "admit-before-durable",
    /// A ceiling is told before it is written.
    CeilingBeforeWritten = "ceiling-before-written",
    /// Nodes write grants without knowing of each other.
    NoEpoch = "no-epoch",
    /// A grant comes back when its gateway was not heard for a while.
    GrantLapses = "grant-lapses",
    /// Money that is held counts as settled as well: it is freed twice.
    HeldFreed = "held-freed",
    /// A change of the policy does not wait for gateways.
    ModeWithoutWait = "mode-without-wait",
    /// Money is taken, or a floor lowered, without looking at ceilings.
    FloorBlind = "floor-blind",
    /// An incarnation is retired, and nothing says how much of it counts.
    RetireWithoutCut = "retire-without-cut",
    /// A settle whose report was lost is counted again.
    SettleTwice = "settle-twice",
    /// A hold is not given back when its call fails.
    HoldOutlivesCall = "hold-outlives-call",
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Fault, String> {
        let found = Fault::ALL.iter().find(|fault| fault.as_str() == text);
        found.copied().ok_or_else(|| format!("no fault is named {text}"))
    }
}
