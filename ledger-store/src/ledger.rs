//! The ledger's storage: what every backend provides.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tollgate_metering::{
    Account, AppId, Change, DeveloperId, Entry, Header, Incarnation, Meter, Money, Registers,
    SuspenseKey, SuspenseReason, Units, UnixMillis, WalletId,
};
use uuid::Uuid;

use crate::error::LedgerError;

/// A wallet as read: the account first, then its registers.
#[derive(Clone, Debug)]
pub struct WalletRead {
    /// The account at its version, cells below its horizon included as long as they are there:
    /// they tell that something waits to be purged.
    pub account: Account,
    /// Every register of the wallet that was born at or after the account's horizon, read after
    /// the account.
    pub registers: Registers,
    /// Open holds by incarnation.
    pub holds: BTreeMap<Incarnation, Held>,
}

/// The open holds of one incarnation on one wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Their sum.
    pub amount: Money,
    /// The report that said so; the highest wins.
    pub seq: i64,
}

/// How a conditional batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// All of it applied.
    Applied,
    /// Nothing applied: the account has another version, an entry of that id is there, or (for
    /// version 1) the developer has a wallet of that currency.
    Conflict,
}

/// Which cell of a register a write goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegisterCell {
    /// What the living incarnation reported.
    Live,
    /// What its spend file held when it was found after a crash.
    Recovered,
}

/// One cell of a register to write. Repeated and reordered writes are harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterWrite {
    /// The meter.
    pub meter: Meter,
    /// The incarnation.
    pub incarnation: Incarnation,
    /// The cell.
    pub cell: RegisterCell,
    /// Cumulative units, at most [`Units::REGISTER_MAX`].
    pub units: Units,
    /// The report's sequence number, in microseconds since 1970: the write's timestamp.
    pub seq: i64,
}

/// Open holds to write; the highest `seq` wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldWrite {
    /// The wallet.
    pub wallet: WalletId,
    /// The incarnation.
    pub incarnation: Incarnation,
    /// Sum of its open holds on the wallet.
    pub amount: Money,
    /// The report's sequence number, in microseconds since 1970.
    pub seq: i64,
}

/// Where a register stood in a minute, or the part of it that one app used: the usage history, one
/// row a minute and incarnation, overwritten in place. Differences of neighbouring rows are the use.
///
/// Money follows registers alone; rows of apps only say whose the units were, and may be behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageWrite {
    /// The meter.
    pub meter: Meter,
    /// The incarnation.
    pub incarnation: Incarnation,
    /// The app whose part this is; `None` for the register itself.
    pub app: Option<AppId>,
    /// The minute, counted from 1970.
    pub minute: i64,
    /// Cumulative units of the incarnation at the newest report of that minute.
    pub units: Units,
    /// The report's sequence number, in microseconds since 1970.
    pub seq: i64,
}

/// Units that the ledger does not charge by itself: a max register beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspense {
    /// The meter.
    pub meter: Meter,
    /// The incarnation.
    pub incarnation: Incarnation,
    /// Why.
    pub reason: SuspenseReason,
    /// Cumulative units: the greatest total reported.
    pub units: Units,
    /// Of these, what was counted in the register when the fence fell (zero for other reasons).
    pub counted: Units,
}

/// An incarnation in the ledger's registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The incarnation.
    pub incarnation: Incarnation,
    /// Name of the gateway.
    pub gateway: String,
    /// When its final report was durable, if it was.
    pub ended_at: Option<UnixMillis>,
    /// When an operator or the fence retired it, if so.
    pub retired_at: Option<UnixMillis>,
}

/// The authoritative ledger.
///
/// Every method may be dropped at any time: a write then has an unknown outcome, as after a
/// crash, and can be repeated. All methods fail with [`LedgerError::Unavailable`] where the
/// database is away, and conditional writes with [`LedgerError::Unknown`] where it went away in
/// the middle.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// The generation of the ledger, as stored in it now.
    async fn generation(&self) -> Result<u32, LedgerError>;

    /// The ledger's own clock.
    async fn clock(&self) -> Result<UnixMillis, LedgerError>;

    /// Reads a wallet, account first; `None` if there is none.
    async fn read(&self, wallet: WalletId) -> Result<Option<WalletRead>, LedgerError>;

    /// The headers of a developer's wallets, one a currency, with linearizable reads.
    async fn wallets_of(&self, developer: DeveloperId) -> Result<Vec<Header>, LedgerError>;

    /// Wallets in a fixed order, from after `after` on, at most `limit`.
    async fn list(
        &self,
        after: Option<WalletId>,
        limit: usize,
    ) -> Result<Vec<WalletId>, LedgerError>;

    /// Applies a change if the account still has the version and generation it was computed
    /// from and none of its entries' ids exists: all of it or nothing.
    async fn commit(&self, change: &Change) -> Result<Commit, LedgerError>;

    /// The entry with this id, read so that every commit that was answered is seen, and one
    /// with an unknown outcome is settled either way (SERIAL on Cassandra).
    async fn entry(&self, developer: DeveloperId, id: &str) -> Result<Option<Entry>, LedgerError>;

    /// The entries of a developer's wallets in order of id, from after `after` on.
    async fn entries(
        &self,
        developer: DeveloperId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError>;

    /// Writes registers; merging is `max` per cell as long as totals grow with `seq`. Answers
    /// row by row, in order; an error says nothing was promised for that row.
    async fn write_registers(&self, writes: &[RegisterWrite]) -> Vec<Result<(), LedgerError>>;

    /// Writes open holds; the highest `seq` wins.
    async fn write_holds(&self, writes: &[HoldWrite]) -> Result<(), LedgerError>;

    /// Writes usage history; the highest `seq` wins.
    async fn write_usage(&self, writes: &[UsageWrite]) -> Result<(), LedgerError>;

    /// Usage rows of a wallet from minute `from` to before `to`, ascending by minute.
    async fn usage(
        &self,
        wallet: WalletId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageWrite>, LedgerError>;

    /// The last usage row of each day, meter, incarnation and app, of the days from `from` to before
    /// `to`, counted from 1970; also of days whose minutes were purged.
    async fn daily_usage(
        &self,
        wallet: WalletId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageWrite>, LedgerError>;

    /// Removes registers, holds, usage and the account's cells of the wallet born before `horizon`,
    /// which is at most the account's horizon. Of usage the last row of each day is kept apart.
    /// Totals, entries, suspense and what was resolved of it stay; the version stays as well, since
    /// nothing that counts has changed.
    async fn purge(&self, wallet: WalletId, horizon: UnixMillis) -> Result<(), LedgerError>;

    /// Enters an incarnation into the registry with this birth; one that is there keeps its
    /// first birth, which is returned.
    async fn register_incarnation(
        &self,
        id: Uuid,
        gateway: &str,
        born: UnixMillis,
    ) -> Result<Incarnation, LedgerError>;

    /// The registry: every incarnation that has not been purged.
    async fn registrations(&self) -> Result<Vec<Registration>, LedgerError>;

    /// Records that an incarnation's final report is durable, or that it was retired.
    async fn end_incarnation(&self, registration: &Registration) -> Result<(), LedgerError>;

    /// Raises suspense registers; merging is `max` of `units`, `counted` keeps its first value.
    async fn write_suspense(&self, writes: &[Suspense]) -> Result<(), LedgerError>;

    /// All suspense of a wallet, settled or not.
    async fn suspense(&self, wallet: WalletId) -> Result<Vec<Suspense>, LedgerError>;
}

/// Minutes of a day.
pub const DAY_MINUTES: i64 = 1_440;

/// Of usage rows in any order the last one of each day, meter, incarnation and app.
pub(crate) fn last_of_days(rows: Vec<UsageWrite>) -> Vec<UsageWrite> {
    let mut last: BTreeMap<_, UsageWrite> = BTreeMap::new();
    for row in rows {
        let day = row.minute.div_euclid(DAY_MINUTES);
        let kept = last.entry((day, row.meter, row.incarnation, row.app)).or_insert(row);
        if (row.minute, row.seq) > (kept.minute, kept.seq) {
            *kept = row;
        }
    }
    last.into_values().collect()
}

// === impl WalletRead ===

impl WalletRead {
    /// Meters that have registers or totals.
    pub fn meters(&self) -> impl Iterator<Item = Meter> {
        let with_totals = self.account.meters.keys().copied();
        with_totals.chain(self.registers.keys().map(|(meter, _)| *meter))
    }
}

// === impl Suspense ===

impl Suspense {
    /// The register's name.
    #[must_use]
    pub fn key(&self) -> SuspenseKey {
        SuspenseKey { meter: self.meter, incarnation: self.incarnation, reason: self.reason }
    }
}
