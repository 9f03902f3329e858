//! A wallet's account: everything the ledger changes conditionally, under one version.
//!
//! The account holds sums and checkpoints; registers of living incarnations stand beside it
//! ([`crate::meter::Registers`]) and are written without conditions. A [`Change`] is one
//! conditional batch: it names the version and the generation that it was computed from, so that
//! of two changes computed from one account at most one applies.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::id::{DeveloperId, Incarnation, WalletId};
use crate::meter::Meter;
use crate::money::{Money, MoneyError};
use crate::time::UnixMillis;
use crate::units::Units;

mod kind;
mod mode;

pub use self::kind::EntryKind;
pub use self::mode::{Mode, Overspend, OverspendError};

/// An ISO 4217 currency code: three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Text that is not a currency code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a currency code of three capital letters")]
pub struct CurrencyError;

/// Added to the counters of modes when a backup is restored: the ledger before it may have changed
/// a policy since, and what it granted then must not be taken for a grant of the restored one.
pub const RESTORED_MODES: u64 = 1_000_000;

/// The balance-sync node that hands out a wallet's grants, taken by a conditional write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Raised each time a node takes the wallet.
    pub epoch: u64,
    /// The node, if any.
    pub node: Option<Uuid>,
}

/// When a ceiling was written: a gateway takes only later ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Counter of the mode.
    pub mode: u64,
    /// The owner's epoch.
    pub epoch: u64,
    /// The account's version with it.
    pub counter: u64,
}

/// A grant: a ceiling on one incarnation's cumulative draw.
///
/// What the incarnation may have spent beyond what the balance shows is `most − settled`: that
/// money is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// When it was written.
    pub stamp: Stamp,
    /// The most the incarnation may have settled at hold prices and hold, together.
    pub draw: Money,
    /// The most it may go by, until it is known to have taken this ceiling: `draw` or, while a
    /// recall is on its way, a higher one before it.
    pub most: Money,
    /// What it has settled at hold prices, by a report whose registers were read since: the
    /// balance shows it.
    pub settled: Money,
    /// Whether an operator or the fence has retired it: it counts no more than what cells say,
    /// and nothing on meters without one.
    pub is_retired: bool,
}

/// The scalars of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The wallet.
    pub wallet: WalletId,
    /// Raised by one with every change.
    pub version: u64,
    /// The ledger's generation: raised when a backup is restored.
    pub generation: u32,
    /// Name of the organization.
    pub organization: String,
    /// The developer whose money it is.
    pub developer: DeveloperId,
    /// The currency of every amount in the account.
    pub currency: Currency,
    /// When the wallet was opened.
    pub opened_at: UnixMillis,
    /// Sum of all credits.
    pub credited: Money,
    /// Sum of all adjustments, fees, checkpoints and transfers: where credits have gone.
    pub settled: Money,
    /// Registers of incarnations born before it no longer count.
    pub horizon: UnixMillis,
    /// Time of the newest credit; adjustments do not move it.
    pub last_credit_at: Option<UnixMillis>,
    /// The balance right after the newest credit.
    pub balance_at_last_credit: Money,
    /// How far below zero calls may take the balance; not negative.
    pub overdraft_limit: Money,
    /// The overspend policy.
    pub mode: Mode,
    /// Who hands out grants.
    pub owner: Owner,
    /// Incarnations that were retired by an operator or the fence so far.
    pub retirements: u64,
    /// Whether the developer was deleted: the wallet takes no more credits.
    pub is_sealed: bool,
}

/// What a meter has that no living incarnation holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterTotals {
    /// Units folded in from dead incarnations and charged from suspense.
    pub settled_units: Units,
    /// The part of the meter's charge that checkpoints have moved to `settled`.
    pub closed_charge: Money,
    /// Checkpoints so far; numbers their entries.
    pub checkpoints: u32,
}

/// What the account says about one incarnation's register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Units of the register that were moved to `settled_units`.
    pub folded: Units,
    /// Readers take no more than this of the register; the rest is suspense.
    pub cut: Option<Units>,
}

/// Why units wait for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SuspenseReason {
    /// The report came after the fence: from an incarnation older than 3 days.
    Fence,
    /// The multiplier was above the proxy's maximum.
    Multiplier,
    /// Beyond the cut of a retired incarnation.
    Cut,
}

/// Names a suspense register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SuspenseKey {
    /// The meter.
    pub meter: Meter,
    /// The incarnation.
    pub incarnation: Incarnation,
    /// Why its units wait.
    pub reason: SuspenseReason,
}

/// All that the ledger knows of a wallet besides registers and entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The scalars.
    pub header: Header,
    /// Totals by meter.
    pub meters: BTreeMap<Meter, MeterTotals>,
    /// Folds and cuts by register.
    pub cells: BTreeMap<(Meter, Incarnation), Cell>,
    /// Grants by incarnation.
    pub ceilings: BTreeMap<Incarnation, Ceiling>,
    /// What a person has charged or written off so far, by suspense register. Kept as long as
    /// the register, past the horizon as well.
    pub resolved: BTreeMap<SuspenseKey, Units>,
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unique within the developer, whatever the currency; given before the first attempt.
    pub id: String,
    /// What it books.
    pub kind: EntryKind,
    /// The wallet it belongs to.
    pub wallet: WalletId,
    /// The amount as booked: see [`EntryKind::is_credited`] and [`EntryKind::is_settled`] for the
    /// sum that it stands in.
    pub amount: Money,
    /// The wallet's balance after it, as far as registers had arrived.
    pub balance_after: Money,
    /// When it was booked.
    pub at: UnixMillis,
    /// Who booked it: the name of the token or part.
    pub by: String,
    /// Why: free text of the caller.
    pub reason: String,
    /// The meter of a checkpoint, of suspense or of usage.
    pub meter: Option<Meter>,
    /// The meter's total at a checkpoint; what was charged or written off of suspense, or recorded as
    /// usage; else zero.
    pub units: Units,
    /// Whether it was booked although money that it took was reserved for gateways.
    pub is_forced: bool,
}

/// One conditional batch: all of it applies, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The new scalars. Applies only to `version − 1` in the same generation; version 1 opens.
    pub header: Header,
    /// Meters to write whole.
    pub meters: BTreeMap<Meter, MeterTotals>,
    /// Cells to write whole.
    pub cells: BTreeMap<(Meter, Incarnation), Cell>,
    /// Grants to write whole; `None` removes one.
    pub ceilings: BTreeMap<Incarnation, Option<Ceiling>>,
    /// Resolved suspense to write whole.
    pub resolved: BTreeMap<SuspenseKey, Units>,
    /// Entries to insert, if none with such an id is there.
    pub entries: Vec<Entry>,
}

// === impl Ceiling ===

impl Ceiling {
    /// An incarnation that counts no more.
    pub const RETIRED: Ceiling = Ceiling {
        stamp: Stamp { mode: 0, epoch: 0, counter: 0 },
        draw: Money::ZERO,
        most: Money::ZERO,
        settled: Money::ZERO,
        is_retired: true,
    };

    /// What the incarnation may have spent, or may spend, that the balance does not show.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn reserved(&self) -> Result<Money, MoneyError> {
        Ok(self.most.minus(self.settled)?.max(Money::ZERO))
    }
}

// === impl Currency ===

impl Currency {
    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a code is ASCII letters")
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Currency, CurrencyError> {
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| CurrencyError)?;
        if !code.iter().all(u8::is_ascii_uppercase) {
            return Err(CurrencyError);
        }
        Ok(Currency(code))
    }
}

// === impl SuspenseReason ===

impl SuspenseReason {
    /// Every reason.
    pub const ALL: [SuspenseReason; 3] =
        [SuspenseReason::Fence, SuspenseReason::Multiplier, SuspenseReason::Cut];

    /// The word that stands for it in stored rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SuspenseReason::Fence => "fence",
            SuspenseReason::Multiplier => "multiplier",
            SuspenseReason::Cut => "cut",
        }
    }

    /// The reason that [`SuspenseReason::as_str`] wrote.
    #[must_use]
    pub fn from_word(word: &str) -> Option<SuspenseReason> {
        SuspenseReason::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

// === impl Entry ===

impl Entry {
    /// Whether `other` books the same thing: what makes a repeated id a repetition and not a
    /// conflict. Time, caller and resulting balance are of the first attempt and do not count.
    #[must_use]
    pub fn is_same_booking(&self, other: &Entry) -> bool {
        self.id == other.id
            && self.kind == other.kind
            && self.wallet == other.wallet
            && self.amount == other.amount
            && self.meter == other.meter
            && self.units == other.units
    }
}

// === impl Account ===

impl Account {
    /// The mode of the wallet in a ledger that was restored: of one that was ever strict, every
    /// gateway has to acknowledge it anew, since nobody knows what was granted after the backup.
    #[must_use]
    pub fn restored_mode(&self) -> Mode {
        let mode = self.header.mode;
        if mode.counter == 0 {
            return mode;
        }
        Mode { counter: mode.counter + RESTORED_MODES, is_changing: true, ..mode }
    }

    /// Money that gateways may spend, or may have spent, and that the balance does not show.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn reserved(&self) -> Result<Money, MoneyError> {
        self.ceilings.values().try_fold(Money::ZERO, |sum, ceiling| sum.plus(ceiling.reserved()?))
    }

    /// An empty account, before the change with version 1 that opens it.
    #[must_use]
    pub fn unopened(
        wallet: WalletId,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
        generation: u32,
        opened_at: UnixMillis,
    ) -> Account {
        Account {
            header: Header {
                wallet,
                version: 0,
                generation,
                organization: organization.to_owned(),
                developer,
                currency,
                opened_at,
                credited: Money::ZERO,
                settled: Money::ZERO,
                horizon: UnixMillis(0),
                last_credit_at: None,
                balance_at_last_credit: Money::ZERO,
                overdraft_limit: Money::ZERO,
                mode: Mode::default(),
                owner: Owner::default(),
                retirements: 0,
                is_sealed: false,
            },
            meters: BTreeMap::new(),
            cells: BTreeMap::new(),
            ceilings: BTreeMap::new(),
            resolved: BTreeMap::new(),
        }
    }

    /// A change of this account that changes nothing yet but the version.
    #[must_use]
    pub fn change(&self) -> Change {
        let mut header = self.header.clone();
        header.version += 1;
        Change {
            header,
            meters: BTreeMap::new(),
            cells: BTreeMap::new(),
            ceilings: BTreeMap::new(),
            resolved: BTreeMap::new(),
            entries: Vec::new(),
        }
    }

    /// The account after `change` applied.
    pub fn apply(&mut self, change: &Change) {
        self.header = change.header.clone();
        self.meters.extend(&change.meters);
        self.cells.extend(&change.cells);
        self.resolved.extend(&change.resolved);
        for (incarnation, ceiling) in &change.ceilings {
            match ceiling {
                Some(ceiling) => self.ceilings.insert(*incarnation, *ceiling),
                None => self.ceilings.remove(incarnation),
            };
        }
    }
}
