//! What a gateway knows of one wallet, and what it may admit on it.
//!
//! The gateway's side of the sync protocol as a pure state machine: snapshots tell what everybody
//! else did, the wallet adds the gateway's own units and holds, which it knows exactly. So nothing
//! is subtracted twice and nothing is forgotten, and an answer needs no ledger.
//!
//! `balance = worth − Σ charges of prepaid meters that count (others' + own units)`, where `worth`
//! is the snapshot's base plus the closed charges in it, and
//! `available = balance − floor − own holds − others' holds`. `available` is kept, not computed: a
//! decision subtracts from it, and every snapshot computes it anew (test:
//! `available_is_what_the_formula_says`).
//!
//! The driver puts each wallet behind a lock of its own and calls one method per event. The design
//! speaks of one compare-and-swap; a lock whose critical section is a few dozen instructions costs
//! the same uncontended, and keeps the machine one piece of code for production and simulation.
//! A wallet with one meter and small amounts, which is nearly every wallet, is stored packed
//! (`packed`); everything else, and every rare event, goes through the whole form (`whole`).
//!
//! Invariants: a register never falls; a hold ends once; an own incarnation that left the list
//! counts until a snapshot under the list without it was taken. Times are monotonic. Not here: the
//! spend file and the stream (`gateway`), who gets which grant (`node::grants`).
//!
//! A strict wallet admits under a grant (`grants`): what an incarnation has settled at hold prices
//! and holds never passes its ceiling, whatever the balance looks like from here.

use std::sync::Arc;
use std::time::Duration;

use crate::account::Mode;
use crate::id::{Incarnation, PlanId, ProductId, WalletId};
use crate::meter::{BillingType, Meter};
use crate::money::Money;
use crate::protocol::{ReportedDraw, Snapshot};
use crate::rating::{Rates, RatingError};
use crate::time::Period;
use crate::units::Units;

use self::packed::Packed;
pub use self::shadow::AsIf;
use self::whole::Whole;

mod credit;
mod grants;
mod open_calls;
mod packed;
mod shadow;
mod strict;
mod whole;

/// A register beyond this asks for a new incarnation: half its range, so that what is open when
/// it gets there still fits.
pub const ROTATE_AT: u64 = (Units::REGISTER_MAX.nanos() / 2) as u64;

/// All of a meter but its wallet, with its prices; shared by the wallets that are charged under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// The API product.
    pub product: ProductId,
    /// The rate plan.
    pub plan: PlanId,
    /// The plan's revision.
    pub revision: u32,
    /// Whether units on it lower the balance.
    pub billing: BillingType,
    /// The billing period.
    pub period: Period,
    /// The revision's prices.
    pub rates: Arc<Rates>,
}

/// The place of one of the gateway's own incarnations among them, counted from 0 at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life(pub u32);

/// One register of the gateway's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnRegister {
    /// The incarnation that counts it.
    pub life: Life,
    /// Where the driver keeps it: its slot in the spend file. Unique within the incarnation.
    pub slot: u32,
    /// Cumulative nano-units.
    pub nanos: u64,
}

/// Money set aside for one call. Ends once: by [`Wallet::settle`] or [`Wallet::release`].
#[derive(Debug, PartialEq, Eq)]
pub struct Hold {
    /// The amount; zero for a free or postpaid call, and in shadow mode.
    pub amount: Money,
    /// The incarnation that took it and will count the units.
    pub life: Life,
    /// The register that will count them.
    pub slot: u32,
    /// Billing type of the meter that it was taken on.
    pub billing: BillingType,
}

/// Why no hold was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// No snapshot was taken yet.
    #[error("balance is unknown")]
    Unknown,
    /// The newest snapshot is older than the limit.
    #[error("balance is too old")]
    TooOld,
    /// The wallet does not cover the call.
    #[error("available balance {available} does not cover the price {price}")]
    TooSmall {
        /// What the next call may cost at most.
        available: Money,
        /// What this one would.
        price: Money,
    },
    /// The call would take its developer, who pays later, past what he may owe.
    #[error("credit of {left} does not cover the price {price}")]
    CreditReached {
        /// What may be owed yet, without what open calls will cost.
        left: Money,
        /// What this one would cost.
        price: Money,
    },
    /// The plan's last band has an end, and the call would go past it.
    #[error("last band of the rate plan ends at {units_max} units")]
    BandExceeded {
        /// Where it ends.
        units_max: Units,
    },
    /// The grant has no room for the call: a node may give more, see [`Wallet::wants`].
    #[error("grant has {left} left, the call may cost {price}")]
    Ungranted {
        /// What the incarnation may draw yet.
        left: Money,
        /// What the call may cost.
        price: Money,
    },
    /// The overspend policy is changing: nothing is admitted until every gateway knows.
    #[error("overspend policy is changing")]
    Changing,
    /// The meter has no register in this incarnation yet: find a slot, [`Wallet::open`], ask again.
    #[error("meter has no register yet")]
    Unopened,
    /// The register cannot count another call: start a new incarnation.
    #[error("register is full")]
    Full,
}

/// What became of units that were settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The register's total now.
    pub nanos: u64,
    /// Nano-units that the register could not take; they go to suspense with the excess.
    pub beyond: Units,
}

/// The list of own incarnations that snapshots must leave out.
#[derive(Clone, Copy)]
pub struct OwnList<'a> {
    /// Its number.
    pub number: u64,
    /// Since when it is in force: a snapshot that is older than the list cannot vouch for the units
    /// of an incarnation that the list dropped.
    pub since: Duration,
    /// Whether an own incarnation is on it.
    pub has: &'a dyn Fn(Life) -> bool,
    /// The place of an incarnation, where it is one of the gateway's own.
    pub life_of: &'a dyn Fn(Incarnation) -> Option<Life>,
}

/// What became of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// All of it counts.
    Whole,
    /// Others' holds were known from a fresher one, the rest counts: ask for another.
    Partly,
    /// It is of an older list or an older ledger: ask for another.
    Ignored,
}

/// What a gateway believes of a wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Balance by the newest snapshot and the gateway's own units.
    pub balance: Money,
    /// Set aside by the gateway's open calls.
    pub held: Money,
    /// What the next call may cost at most.
    pub available: Money,
    /// Version of the account.
    pub version: u64,
    /// The overspend policy.
    pub mode: Mode,
    /// Monotonic time of the report that the newest snapshot answers.
    pub as_of: Option<Duration>,
}

/// What a gateway knows of one wallet.
#[derive(Debug)]
pub struct Wallet(Form);

/// Packed unless something does not fit.
#[derive(Debug)]
enum Form {
    Packed(Packed),
    Whole(Box<Whole>),
}

// === impl Tariff ===

impl Tariff {
    /// The meter of one wallet.
    #[must_use]
    pub fn meter(&self, wallet: WalletId) -> Meter {
        let Tariff { product, plan, revision, billing, period, rates: _ } = *self;
        Meter { wallet, product, plan, billing, period, revision }
    }

    /// Whether both name the same meter of a wallet: one value mostly, compared by its address.
    fn is_same(self: &Arc<Tariff>, other: &Arc<Tariff>) -> bool {
        Arc::ptr_eq(self, other) || self.order() == other.order()
    }

    /// Whether both are revisions of one plan in one period, walked as one line.
    fn is_same_line(&self, other: &Tariff) -> bool {
        self.order().0 == other.order().0
    }

    /// The order of the walk, as [`Meter`] has it.
    fn order(&self) -> ((ProductId, PlanId, BillingType, Period), u32) {
        ((self.product, self.plan, self.billing, self.period), self.revision)
    }
}

// === impl Wallet ===

impl Default for Wallet {
    fn default() -> Wallet {
        Wallet(Form::Whole(Box::default()))
    }
}

impl Wallet {
    /// Gives a meter a register at `slot` in an incarnation. Repeating it changes nothing.
    pub fn open(&mut self, tariff: &Arc<Tariff>, life: Life, slot: u32) {
        self.whole(|whole| whole.open(tariff, life, slot));
    }

    /// Sets aside the price of one call: the marginal price of one unit at the total that is
    /// known; on a strict wallet the most that `units_max` can cost.
    ///
    /// A call without a price is admitted at any balance; a postpaid one and one in shadow mode
    /// without any snapshot; none but one that would have been refused past the end of the plan's
    /// last band, as far as units are known.
    ///
    /// # Errors
    /// A [`HoldError`]; nothing changed then, but that an ungranted call is wanted.
    pub fn hold(
        &mut self,
        tariff: &Arc<Tariff>,
        life: Life,
        units_max: Units,
        now: Duration,
        staleness_limit: Duration,
    ) -> Result<Hold, HoldError> {
        if let Form::Packed(packed) = &mut self.0
            && let Some(answer) = packed.hold(tariff, life, now, staleness_limit)
        {
            return answer;
        }
        self.whole(|whole| whole.hold(tariff, life, units_max, now, staleness_limit))
    }

    /// Checks that a call of a developer who pays later keeps what the period's postpaid units cost,
    /// with the gateway's open calls, within `credit`. Others' open calls are not known; a call
    /// without a price passes at any credit.
    ///
    /// # Errors
    /// [`HoldError::CreditReached`]; [`HoldError::Unknown`] or [`HoldError::TooOld`] where others'
    /// units are not known well enough; [`HoldError::Full`] for what cannot be computed.
    pub fn within_credit(
        &mut self,
        tariff: &Arc<Tariff>,
        credit: Money,
        now: Duration,
        staleness_limit: Duration,
    ) -> Result<(), HoldError> {
        self.whole(|whole| whole.within_credit(tariff, credit, now, staleness_limit))
    }

    /// Checks whether a call on this meter of [`BillingType::Shadow`] would have passed, had it been
    /// paid as `as_if` says. Calls that would not are counted on [`BillingType::ShadowRefused`].
    ///
    /// # Errors
    /// What it would have been refused with: [`HoldError::TooSmall`], [`HoldError::CreditReached`],
    /// [`HoldError::BandExceeded`]; [`HoldError::Unknown`] or [`HoldError::TooOld`] where what there
    /// is is not known well enough; [`HoldError::Full`] for what cannot be computed.
    pub fn within_shadow(
        &mut self,
        tariff: &Arc<Tariff>,
        as_if: AsIf,
        now: Duration,
        staleness_limit: Duration,
    ) -> Result<(), HoldError> {
        self.whole(|whole| whole.within_shadow(tariff, as_if, now, staleness_limit))
    }

    /// Admits nothing from now on under a mode before this one.
    pub fn require_mode(&mut self, counter: u64) {
        self.whole(|whole| whole.mode_floor = whole.mode_floor.max(counter));
    }

    /// Prepaid calls that are open: while there are any, no newer mode is acknowledged.
    #[must_use]
    pub fn open_prepaid(&self) -> u32 {
        match &self.0 {
            Form::Packed(packed) => packed.open,
            Form::Whole(whole) => whole.open_prepaid(),
        }
    }

    /// What a node must know of the grants of a strict wallet, by incarnation.
    #[must_use]
    pub fn draws(&self, wallet: WalletId) -> Vec<(Life, ReportedDraw)> {
        match &self.0 {
            Form::Packed(_) => Vec::new(),
            Form::Whole(whole) => whole.draws(wallet),
        }
    }

    /// Whether calls wait for a grant that no node has denied.
    #[must_use]
    pub fn wants(&self) -> bool {
        matches!(&self.0, Form::Whole(whole) if whole.wants())
    }

    /// Whether a strict wallet has more than it needs, or wants more than it has: a node should
    /// know.
    #[must_use]
    pub fn has_headroom(&self) -> bool {
        matches!(&self.0, Form::Whole(whole) if whole.has_headroom())
    }

    /// Turns a hold into units. They are counted whatever the balance: the call was answered.
    pub fn settle(&mut self, hold: Hold, units: Units) -> Settled {
        if let Form::Packed(packed) = &mut self.0
            && let Some(settled) = packed.settle(&hold, units)
        {
            return settled;
        }
        self.whole(|whole| whole.settle(&hold, units))
    }

    /// The tariff that an open hold's units will be charged under, and what they cost on top of the
    /// units that are known: an estimate, since the charge is one of totals.
    #[must_use]
    pub fn estimate(&self, hold: &Hold, units: Units) -> Option<(Arc<Tariff>, Option<Money>)> {
        let is_its = |own: &OwnRegister| own.life == hold.life && own.slot == hold.slot;
        let mut registers = self.registers();
        let tariff =
            registers.find(|(_, own)| is_its(own)).map(|(tariff, _)| Arc::clone(tariff))?;
        let total = match &self.0 {
            Form::Packed(packed) => packed.unpack().total(&tariff),
            Form::Whole(whole) => whole.total(&tariff),
        };
        let cost = total.and_then(|total| tariff.rates.marginal(total, units)).ok();
        Some((tariff, cost))
    }

    /// Gives a hold back.
    pub fn release(&mut self, hold: Hold) {
        if let Form::Packed(packed) = &mut self.0
            && packed.release(&hold)
        {
            return;
        }
        self.whole(|whole| whole.release(&hold));
    }

    /// Merges a snapshot that answers a report sent at `as_of`; `None` where it answers none.
    ///
    /// The highest account version counts; the higher count of retirements first, then the
    /// greatest units of others; others' holds of the freshest. A newer generation is another
    /// ledger: what the older one said is forgotten, the gateway's own units are not.
    ///
    /// # Errors
    /// A [`RatingError`] where `tariffs` has no prices for a meter; nothing changed then.
    pub fn snapshot(
        &mut self,
        snapshot: &Snapshot,
        as_of: Option<Duration>,
        own: OwnList<'_>,
        tariffs: &dyn Fn(&Meter) -> Option<Arc<Tariff>>,
    ) -> Result<Taken, RatingError> {
        self.whole(|whole| whole.snapshot(snapshot, as_of, own, tariffs))
    }

    /// What was known still held when the report sent at `as_of` was answered.
    pub fn fresh(&mut self, as_of: Duration) {
        match &mut self.0 {
            Form::Packed(packed) => packed.fresh(as_of),
            Form::Whole(whole) => whole.fresh(as_of),
        }
    }

    /// Forgets all snapshots, and own registers of incarnations that are not on the list. The
    /// wallet is unknown until the next snapshot, which leaves out that list or a newer one.
    pub fn forget(&mut self, is_own: &dyn Fn(Life) -> bool) {
        self.whole(|whole| whole.forget(is_own));
    }

    /// The own registers with what they count.
    pub fn registers(&self) -> impl Iterator<Item = (&Arc<Tariff>, OwnRegister)> {
        let (packed, whole) = match &self.0 {
            Form::Packed(packed) => (Some(packed.register()), None),
            Form::Whole(whole) => (None, Some(whole.registers())),
        };
        packed.into_iter().chain(whole.into_iter().flatten())
    }

    /// Everybody's units on the meters that are known.
    ///
    /// # Errors
    /// A [`RatingError`] where a sum is out of range.
    pub fn units(&self) -> Result<Vec<(Arc<Tariff>, Units)>, RatingError> {
        match &self.0 {
            Form::Packed(packed) => packed.unpack().units(),
            Form::Whole(whole) => whole.units(),
        }
    }

    /// Sum of the open holds of one incarnation.
    #[must_use]
    pub fn held(&self, life: Life) -> Money {
        match &self.0 {
            Form::Packed(packed) => packed.held_by(life),
            Form::Whole(whole) => whole.held_by(life),
        }
    }

    /// Holds that have not ended.
    #[must_use]
    pub fn open_holds(&self) -> u32 {
        match &self.0 {
            Form::Packed(packed) => packed.open,
            Form::Whole(whole) => whole.open,
        }
    }

    /// Monotonic time of the report that the newest snapshot answers; `None`: unknown.
    #[must_use]
    pub fn as_of(&self) -> Option<Duration> {
        match &self.0 {
            Form::Packed(packed) => Some(packed.as_of()),
            Form::Whole(whole) => whole.as_of(),
        }
    }

    /// What the next call may cost at most; nothing while nothing is known.
    #[must_use]
    pub fn available(&self) -> Money {
        match &self.0 {
            Form::Packed(packed) => packed.available(),
            Form::Whole(whole) if whole.known.is_some() => whole.next_price_max(),
            Form::Whole(_) => Money::ZERO,
        }
    }

    /// What the gateway believes; `None` where it knows nothing.
    #[must_use]
    pub fn view(&self) -> Option<View> {
        match &self.0 {
            Form::Packed(packed) => packed.unpack().view(),
            Form::Whole(whole) => whole.view(),
        }
    }

    /// Does something rare to the whole form and packs it again where it fits.
    fn whole<T>(&mut self, act: impl FnOnce(&mut Whole) -> T) -> T {
        if let Form::Packed(packed) = &self.0 {
            self.0 = Form::Whole(Box::new(packed.unpack()));
        }
        let Form::Whole(whole) = &mut self.0 else { unreachable!("it was unpacked above") };
        let answer = act(whole);
        if let Some(packed) = Packed::pack(whole) {
            self.0 = Form::Packed(packed);
        }
        answer
    }
}

/// Whether the plan has room for one more unit on top of `total`.
fn within_bands(tariff: &Tariff, total: Units) -> Result<(), HoldError> {
    match tariff.rates.units_max() {
        Some(units_max) if tariff.rates.is_exceeded(total) => {
            Err(HoldError::BandExceeded { units_max })
        }
        Some(_) | None => Ok(()),
    }
}

/// Units of a register after `more`, and what did not fit.
fn counted(nanos: u64, more: Units) -> Settled {
    let room = Units::from_register(Units::REGISTER_MAX.nanos() as u64 - nanos);
    let taken = more.min(room);
    let taken_nanos = taken.register().expect("what fits into a register is in its range");
    Settled { nanos: nanos + taken_nanos, beyond: more.beyond(room) }
}

#[cfg(test)]
mod tests;
