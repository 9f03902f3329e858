//! What gateways and balance-sync nodes tell each other, as values.
//!
//! Reports carry totals, never differences; a snapshot tells a gateway about everybody else. So
//! every message may be lost, repeated or overtaken: merging is `max`, and nothing is counted
//! twice, because a gateway adds its own units to a snapshot that leaves them out. The wire form
//! and its order are explained at the service in `proto/tollgate/v1/sync.proto`.

use crate::account::{Mode, Stamp};
use crate::id::{AppId, Incarnation, WalletId};
use crate::meter::Meter;
use crate::money::Money;
use crate::time::UnixMillis;
use crate::units::Units;

/// Which incarnations a gateway counts itself. The gateway numbers its lists upwards; each
/// snapshot says which list it left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnIncarnations {
    /// Raised with every change of the list.
    pub number: u64,
    /// The incarnations: the current one, and those rotated away that are not settled yet.
    pub incarnations: Vec<Incarnation>,
}

/// One register in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedRegister {
    /// The meter.
    pub meter: Meter,
    /// Cumulative units of the reporting incarnation.
    pub units: Units,
    /// Whether the total was read from a spend file that was found after a crash.
    pub is_recovered: bool,
    /// Cumulative units beyond the proxy's `max_multiplier`: for suspense, not charged.
    pub excess: Units,
}

/// Apps that one meter's units are attributed to in one incarnation; those of further ones are
/// attributed to nobody.
pub const APPS_MAX: usize = 64;

/// The part of a register that one app used. It stands in one report with the register; money
/// does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedApp {
    /// The meter.
    pub meter: Meter,
    /// The app.
    pub app: AppId,
    /// Cumulative units of the app in the reporting incarnation.
    pub units: Units,
}

/// What an incarnation has drawn of its grant on a strict wallet, and acknowledges.
///
/// It stands in one report with the registers that its settled part was counted on, and counts
/// once they are in the ledger and were read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedDraw {
    /// The wallet.
    pub wallet: WalletId,
    /// Counter of the mode that it goes by: no call of an older mode is open.
    pub mode: u64,
    /// Cumulative draw of calls that have settled in this mode, at hold prices.
    pub settled: Money,
    /// Draw of calls that are open.
    pub held: Money,
    /// The newest ceiling that it took.
    pub stamp: Stamp,
    /// What its draw will not pass until it takes a later ceiling; at most that ceiling's.
    pub limit: Money,
    /// Price of a call for which `limit` has no room; zero where none waits.
    pub wanted: Money,
}

/// What one incarnation tells a node: what changed since its last report on that stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whose registers these are.
    pub incarnation: Incarnation,
    /// Orders the incarnation's reports, in microseconds since 1970:
    /// `max(previous + 1, min(own clock, service time last heard + elapsed))`.
    pub seq: i64,
    /// Registers that were not called durable on this stream yet, or changed since.
    pub registers: Vec<ReportedRegister>,
    /// Whose units they are, as far as it is known and changed.
    pub apps: Vec<ReportedApp>,
    /// Sums of open holds by wallet that changed.
    pub holds: Vec<(WalletId, Money)>,
    /// Draws on strict wallets that changed, and acknowledged modes.
    pub draws: Vec<ReportedDraw>,
    /// Whether the incarnation has ended: no call of it is open and no unit will be added.
    pub is_final: bool,
}

/// A meter in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotMeter {
    /// The meter.
    pub meter: Meter,
    /// Units of everybody but the gateway's own incarnations.
    pub others: Units,
    /// The part of the meter's charge that is in `base` already.
    pub closed_charge: Money,
}

/// A grant in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotCeiling {
    /// One of the gateway's own incarnations.
    pub incarnation: Incarnation,
    /// When its ceiling was written.
    pub stamp: Stamp,
    /// The most it may draw.
    pub draw: Money,
    /// What it wanted where there is not so much: calls that cost it need not wait. Zero: nothing
    /// was denied.
    pub denied: Money,
}

/// What a node tells a gateway of one wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The wallet.
    pub wallet: WalletId,
    /// The ledger's generation.
    pub generation: u32,
    /// Version of the account; of snapshots of several nodes the highest counts.
    pub version: u64,
    /// Retirements so far; of snapshots with one version the higher count of them comes first.
    pub retirements: u64,
    /// Number of the list of own incarnations that `others` leaves out.
    pub own_list: u64,
    /// `seq` of the gateway's newest report on this stream that was persisted before the
    /// registers were read; the snapshot is as old as that report. 0: none yet.
    pub answered_seq: i64,
    /// `credited − settled`.
    pub base: Money,
    /// The balance that calls may not go below: minus the overdraft limit.
    pub floor: Money,
    /// The overspend policy.
    pub mode: Mode,
    /// Registers born before it no longer count.
    pub horizon: UnixMillis,
    /// Prepaid and postpaid meters that count.
    pub meters: Vec<SnapshotMeter>,
    /// Sum of open holds of other gateways.
    pub others_held: Money,
    /// The gateway's own grants.
    pub ceilings: Vec<SnapshotCeiling>,
}
