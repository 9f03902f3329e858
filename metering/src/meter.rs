//! What units are counted on, and the registers that count them.

use std::collections::BTreeMap;
use std::fmt;

use crate::id::{Incarnation, PlanId, ProductId, WalletId};
use crate::time::Period;
use crate::units::Units;

/// Who pays for the units of a meter, if anybody, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BillingType {
    /// Calls lower the wallet's balance.
    Prepaid,
    /// Calls are invoiced; the meter stands outside the balance.
    Postpaid,
    /// Calls in shadow mode that would have passed: what they would have cost is shown, and nobody
    /// is ever asked for it. The meter stands outside the balance.
    Shadow,
    /// Calls in shadow mode that passed though they would have been refused. They would not have
    /// been charged, so they cost nothing.
    ShadowRefused,
}

/// What units are counted on; everything that decides their charge.
///
/// The order of the fields is the order of the walk: the revisions of one plan in one period
/// stand side by side, lowest first (see [`crate::rating`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meter {
    /// The wallet that pays, or through which a postpaid developer is billed.
    pub wallet: WalletId,
    /// The API product that was called.
    pub product: ProductId,
    /// The rate plan in force when the hold was taken.
    pub plan: PlanId,
    /// Billing type of the developer when the hold was taken.
    pub billing: BillingType,
    /// Billing period when the hold was taken.
    pub period: Period,
    /// Revision of the plan when the hold was taken, counted from 1.
    pub revision: u32,
}

/// One incarnation's cumulative units on one meter, as the ledger keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Register {
    /// Units that the incarnation reported while it lived.
    pub live: Units,
    /// Units that its spend file held when it was found after a crash; may be less than `live`.
    pub recovered: Units,
}

/// The registers of one wallet.
pub type Registers = BTreeMap<(Meter, Incarnation), Register>;

// === impl BillingType ===

impl BillingType {
    /// Every billing type, in the order of their codes.
    pub const ALL: [BillingType; 4] = [
        BillingType::Prepaid,
        BillingType::Postpaid,
        BillingType::Shadow,
        BillingType::ShadowRefused,
    ];

    /// The letter that stands for it in stored keys.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            BillingType::Prepaid => 0,
            BillingType::Postpaid => 1,
            BillingType::Shadow => 2,
            BillingType::ShadowRefused => 3,
        }
    }

    /// The billing type that [`BillingType::code`] wrote.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<BillingType> {
        match code {
            0 => Some(BillingType::Prepaid),
            1 => Some(BillingType::Postpaid),
            2 => Some(BillingType::Shadow),
            3 => Some(BillingType::ShadowRefused),
            _ => None,
        }
    }

    /// The word that stands for it where people read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            BillingType::Prepaid => "prepaid",
            BillingType::Postpaid => "postpaid",
            BillingType::Shadow => "shadow",
            BillingType::ShadowRefused => "shadow_refused",
        }
    }

    /// The billing type that [`BillingType::as_str`] wrote.
    #[must_use]
    pub fn from_word(word: &str) -> Option<BillingType> {
        BillingType::ALL.into_iter().find(|billing| billing.as_str() == word)
    }

    /// Whether units on such a meter were let through in shadow mode: nobody ever pays them.
    #[must_use]
    pub const fn is_shadow(self) -> bool {
        match self {
            BillingType::Prepaid | BillingType::Postpaid => false,
            BillingType::Shadow | BillingType::ShadowRefused => true,
        }
    }
}

// === impl Meter ===

impl Meter {
    /// Whether both meters belong to one line: the revisions of one plan in one period.
    #[must_use]
    pub fn is_same_line(&self, other: &Meter) -> bool {
        Meter { revision: 0, ..*self } == Meter { revision: 0, ..*other }
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Meter { wallet, product, plan, billing, period, revision } = self;
        write!(f, "{wallet}/{product}/{plan}.{revision}/{billing:?}/{period}")
    }
}

// === impl Register ===

impl Register {
    /// The greater of both cells: what the incarnation is known to have counted.
    #[must_use]
    pub fn units(&self) -> Units {
        self.live.max(self.recovered)
    }

    /// Merges what is known of the same register elsewhere; merging is `max`, so lost, repeated
    /// and reordered reports are harmless.
    pub fn merge(&mut self, other: Register) {
        self.live = self.live.max(other.live);
        self.recovered = self.recovered.max(other.recovered);
    }
}
