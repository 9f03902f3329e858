//! One wallet in memory: the machine, its lock, and where it stands with balance-sync.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_metering::protocol::ReportedDraw;
use tollgate_metering::wallet::{Hold, HoldError, Life, ROTATE_AT, Taken, Tariff, View, Wallet};
use tollgate_metering::{AppId, Meter, Money, Units, WalletId};

use self::apps::AppCounts;
pub(crate) use self::refused::{Lack, NoHold};
pub(crate) use self::told::SettledCall;
use super::Books;
use crate::caller_cache::Credit;
use crate::incarnation::OwnLife;
use crate::spend_file::Spend;

mod apps;
mod exchange;
mod refused;
mod told;

/// No balance-sync node.
const NO_NODE: u8 = u8::MAX;

/// A wallet.
#[derive(Debug)]
pub(crate) struct WalletEntry {
    pub(crate) id: WalletId,
    /// Monotonic seconds of the newest call.
    used_s: AtomicU32,
    cell: Mutex<Cell>,
    books: Arc<Books>,
}

/// What the lock protects.
#[derive(Debug)]
struct Cell {
    wallet: Wallet,
    /// Whose its units are.
    apps: AppCounts,
    feed: Feed,
    /// The node that it is subscribed at.
    node: u8,
    /// In nanos: with less than this available it must be reported at once.
    report_below: i64,
    /// There is something to report.
    is_changed: bool,
    /// It must be reported at once.
    is_due: bool,
    /// It has left the map: look it up again.
    is_evicted: bool,
    /// An earlier process left units of it that are not durable yet.
    is_blocked: bool,
    /// A node said that there is no such wallet.
    is_absent: bool,
}

/// How a wallet is kept current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    /// Nobody tells about it.
    Idle,
    /// It was subscribed and nothing was heard since.
    Awaited,
    /// What is heard is all that there is.
    Live,
}

/// When a wallet is to be reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing of it changed.
    Never,
    /// When its pace says so.
    Later,
    /// At once.
    Now,
}

/// What became of a snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Merged {
    pub(crate) taken: Taken,
    /// What was available before, …
    pub(crate) before: Money,
    /// … and is now.
    pub(crate) after: Money,
}

/// A hold that gives itself back when it is dropped.
#[derive(Debug)]
pub(crate) struct WalletHold {
    entry: Arc<WalletEntry>,
    hold: Option<Hold>,
    /// Who calls.
    app: Option<AppId>,
}

/// One register or sum of holds to report, by incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Changed {
    /// Units that the ledger is not known to have.
    Register {
        /// The incarnation.
        life: Life,
        /// Its slot.
        slot: u32,
        /// The meter.
        meter: Meter,
        /// Its totals.
        spend: Spend,
    },
    /// The part of that register that an app used.
    App {
        /// The incarnation.
        life: Life,
        /// The meter.
        meter: Meter,
        /// The app.
        app: AppId,
        /// Its total.
        units: Units,
    },
    /// What is held now.
    Held {
        /// The incarnation.
        life: Life,
        /// Sum of its open holds.
        amount: Money,
    },
    /// What is drawn of a grant now.
    Drawn {
        /// The incarnation.
        life: Life,
        /// What a node has to know.
        draw: ReportedDraw,
    },
}

// === impl WalletEntry ===

impl WalletEntry {
    pub(super) fn new(id: WalletId, books: Arc<Books>, is_blocked: bool) -> Self {
        let cell = Cell {
            wallet: Wallet::default(),
            apps: AppCounts::default(),
            feed: Feed::Idle,
            node: NO_NODE,
            // Nothing is known of it: whatever changes first is reported at once.
            report_below: i64::MAX,
            is_changed: false,
            is_due: false,
            is_evicted: false,
            is_blocked,
            is_absent: false,
        };
        Self { id, used_s: AtomicU32::new(0), cell: Mutex::new(cell), books }
    }

    /// Sets aside the price of one call of an app, which takes `units_max` at most; a postpaid one within `credit`.
    pub(crate) fn hold(
        self: Arc<Self>,
        tariff: &Arc<Tariff>,
        app: Option<AppId>,
        units_max: Units,
        credit: Option<Credit>,
        now: Duration,
    ) -> Result<WalletHold, NoHold> {
        self.touch(now);
        let life = self.books.lives.begin_call().ok_or(NoHold::NotServing)?;
        let (answer, is_newly_changed) = {
            let mut cell = self.cell.lock();
            let answer = self.held(&mut cell, tariff, life, units_max, credit, now);
            let is_newly_changed = match &answer {
                Ok(_) => cell.change(),
                Err(NoHold::Ungranted) => cell.report_now(),
                Err(_) => false,
            };
            (answer, is_newly_changed)
        };
        if is_newly_changed {
            self.books.change(self.id);
        }
        match answer {
            Ok(hold) => Ok(WalletHold { entry: self, hold: Some(hold), app }),
            Err(refused) => {
                life.end_call();
                Err(refused)
            }
        }
    }

    fn held(
        &self,
        cell: &mut Cell,
        tariff: &Arc<Tariff>,
        life: &OwnLife,
        units_max: Units,
        credit: Option<Credit>,
        now: Duration,
    ) -> Result<Hold, NoHold> {
        if cell.is_blocked || cell.is_evicted {
            return Err(NoHold::Unknown);
        }
        let limit = self.books.staleness_limit;
        let within = credit.map_or(Ok(()), |credit| {
            cell.wallet.within_credit(tariff, credit.left(tariff.period), now, limit)
        });
        let hold = |wallet: &mut Wallet| wallet.hold(tariff, life.life, units_max, now, limit);
        let mut answer = within.and_then(|()| hold(&mut cell.wallet));
        if answer == Err(HoldError::Unopened) {
            let slot = life
                .file
                .allocate(&tariff.meter(self.id))
                .map_err(|error| NoHold::Unmetered(Some(error)))?;
            cell.wallet.open(tariff, life.life, slot);
            answer = hold(&mut cell.wallet);
        }
        answer.map_err(|error| cell.no_hold(error, credit))
    }

    /// Counts a call's units in the wallet and in the spend file; where the register stands then.
    fn settle(&self, hold: Hold, app: Option<AppId>, units: Units, excess: Units) -> u64 {
        let (life, slot) = (self.books.lives.get(hold.life), hold.slot);
        let (nanos, is_newly_changed) = {
            let mut cell = self.cell.lock();
            let settled = cell.wallet.settle(hold, units);
            // Stored under the lock: of two totals the greater must be stored last.
            life.file.store(slot, settled.nanos);
            if let Some(app) = app {
                cell.apps.count(life.life, slot, app, units.beyond(settled.beyond));
            }
            if !excess.is_zero() || !settled.beyond.is_zero() {
                life.file.add_excess(slot, excess.plus(settled.beyond).unwrap_or(Units::MAX));
            }
            (settled.nanos, cell.change())
        };
        life.end_call();
        if is_newly_changed {
            self.books.change(self.id);
        }
        if nanos > ROTATE_AT {
            self.books.wants_rotation.store(true, Ordering::Relaxed);
        }
        nanos
    }

    fn release(&self, hold: Hold) {
        let life = self.books.lives.get(hold.life);
        let is_newly_changed = {
            let mut cell = self.cell.lock();
            cell.wallet.release(hold);
            cell.change()
        };
        life.end_call();
        if is_newly_changed {
            self.books.change(self.id);
        }
    }

    /// Forgets what an older ledger said.
    pub(crate) fn forget(&self, is_own: &dyn Fn(Life) -> bool) {
        self.cell.lock().forget(is_own);
    }

    /// A node said that there is no such wallet.
    pub(crate) fn set_absent(&self) {
        let mut cell = self.cell.lock();
        cell.is_absent = true;
        cell.feed = Feed::Idle;
    }

    pub(super) fn set_blocked(&self, is_blocked: bool) {
        let mut cell = self.cell.lock();
        if std::mem::replace(&mut cell.is_blocked, is_blocked) && !is_blocked {
            cell.forget(&|_| true);
        }
    }

    /// Whether the wallet can be asked now, or never: there is nothing to wait for.
    pub(crate) fn is_answerable(&self, now: Duration) -> bool {
        let cell = self.cell.lock();
        let is_young = || {
            let age = cell.wallet.as_of().map(|as_of| now.saturating_sub(as_of));
            age.is_some_and(|age| age <= self.books.staleness_limit)
        };
        !cell.is_blocked && !cell.is_evicted && (cell.is_absent || is_young())
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.cell.lock().is_blocked
    }

    /// The node that it is subscribed at.
    pub(crate) fn node(&self) -> Option<usize> {
        let node = self.cell.lock().node;
        (node != NO_NODE).then_some(usize::from(node))
    }

    /// Notes where it is subscribed now.
    pub(crate) fn set_node(&self, node: Option<u8>) {
        let mut cell = self.cell.lock();
        cell.node = node.unwrap_or(NO_NODE);
        // The node before may have heard of apps and not written it.
        cell.apps.tell_again();
        cell.feed = match (node, cell.feed) {
            (None, Feed::Live) => Feed::Live,
            (None, _) => Feed::Idle,
            (Some(_), Feed::Idle) => Feed::Awaited,
            (Some(_), feed) => feed,
        };
    }

    /// Nobody tells about it from now on.
    pub(crate) fn set_idle(&self) {
        let mut cell = self.cell.lock();
        (cell.node, cell.feed) = (NO_NODE, Feed::Idle);
    }

    pub(crate) fn feed(&self) -> Feed {
        self.cell.lock().feed
    }

    /// What the gateway believes of it.
    pub(crate) fn view(&self) -> Option<View> {
        self.cell.lock().wallet.view()
    }

    pub(crate) fn as_of(&self) -> Option<Duration> {
        self.cell.lock().wallet.as_of()
    }

    /// Own units that the ledger is not known to have.
    pub(crate) fn not_durable(&self) -> Units {
        let cell = self.cell.lock();
        cell.wallet.registers().fold(Units::ZERO, |sum, (_, register)| {
            let known = self.books.lives.get(register.life).file.acknowledged(register.slot);
            let more = Units::from_register(register.nanos.saturating_sub(known.units));
            sum.plus(more).unwrap_or(Units::MAX)
        })
    }

    /// Whether nothing of it is open, or not durable, or to be reported.
    pub(crate) fn is_quiet(&self) -> bool {
        let cell = self.cell.lock();
        let mut registers = cell.wallet.registers();
        cell.wallet.open_holds() == 0
            && !cell.wallet.has_headroom()
            && !cell.is_changed
            && registers.all(|(_, register)| {
                self.books.lives.get(register.life).file.is_acknowledged(register.slot)
            })
    }

    /// Monotonic seconds of the newest call.
    pub(crate) fn used_s(&self) -> u32 {
        self.used_s.load(Ordering::Relaxed)
    }

    /// A call asks for it.
    pub(crate) fn touch(&self, now: Duration) {
        let now_s = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        if self.used_s.load(Ordering::Relaxed) != now_s {
            self.used_s.store(now_s, Ordering::Relaxed);
        }
    }

    /// Marks it as gone where it may go; see [`super::WalletCache::evict`].
    pub(super) fn try_evict(&self, used_before_s: u32, is_own: &dyn Fn(Life) -> bool) -> bool {
        let mut cell = self.cell.lock();
        let is_unused = cell.feed == Feed::Idle && self.used_s() < used_before_s;
        if !(cell.is_absent || is_unused) || cell.is_changed || cell.wallet.open_holds() > 0 {
            return false;
        }
        // What an incarnation counted that has left the list is in the ledger, and in the next snapshot.
        cell.wallet.forget(is_own);
        cell.apps.forget(is_own);
        let is_empty = cell.wallet.registers().next().is_none();
        cell.is_evicted = is_empty;
        is_empty
    }
}

// === impl Cell ===

impl Cell {
    /// Notes that there is something to report at the next tick; `true` where it must be queued.
    fn report_now(&mut self) -> bool {
        self.is_changed = true;
        !std::mem::replace(&mut self.is_due, true)
    }

    /// Notes a change; `true` where it must be queued.
    fn change(&mut self) -> bool {
        let is_first = !std::mem::replace(&mut self.is_changed, true);
        self.fall_due() || is_first
    }

    /// Whether it must be reported at once since now.
    fn fall_due(&mut self) -> bool {
        let is_below = self.wallet.available().nanos() < i128::from(self.report_below);
        is_below && !std::mem::replace(&mut self.is_due, true)
    }

    fn forget(&mut self, is_own: &dyn Fn(Life) -> bool) {
        self.wallet.forget(is_own);
        self.apps.forget(is_own);
        if self.feed == Feed::Live {
            self.feed = Feed::Awaited;
        }
    }

    /// Notes an answer; `true` where it was awaited.
    fn heard(&mut self) -> bool {
        let was_awaited = self.feed == Feed::Awaited;
        if was_awaited {
            self.feed = Feed::Live;
        }
        was_awaited
    }
}

// === impl WalletHold ===

impl WalletHold {
    /// Turns the hold into units.
    pub(crate) fn settle(mut self, units: Units, excess: Units) {
        if let Some(hold) = self.hold.take() {
            self.entry.settle(hold, self.app, units, excess);
        }
    }
}

impl Drop for WalletHold {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            self.entry.release(hold);
        }
    }
}
