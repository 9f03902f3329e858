//! The grants of a strict wallet, as the gateway that spends them keeps them.
//!
//! A grant is a ceiling on one incarnation's cumulative draw: what it has settled at hold prices
//! in this mode, and what it holds. The draw of settled calls stays at their hold prices, whatever
//! they cost in the end, so that it only grows; the node gives the difference back, because the
//! balance shows the cost. A lower ceiling (a recall) counts from the moment it is taken: what is
//! held stays, nothing more is admitted.
//! Invariants: a ceiling is taken once, later stamps only; a grant of another mode is nothing.
//! Not here: how much is granted, and to whom (`node::grants`).

use super::Life;
use crate::account::Stamp;
use crate::money::{Money, MoneyError};
use crate::protocol::SnapshotCeiling;

/// The grants of one wallet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Grants {
    /// Of the ledger that they come from.
    generation: u32,
    /// Counter of the mode that they belong to.
    mode: u64,
    grants: Vec<Grant>,
    wanted: Option<Wanted>,
}

/// The grant of one incarnation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grant {
    pub(super) life: Life,
    pub(super) stamp: Stamp,
    pub(super) limit: Money,
    /// Of calls that have settled, at hold prices.
    pub(super) settled: Money,
    /// The price of a call that a node had no room for; zero where there is none.
    denied: Money,
}

/// A call that found no room.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wanted {
    life: Life,
    price: Money,
}

// === impl Grants ===

impl Grants {
    /// Makes room for a call that draws `price` on top of what the incarnation holds.
    ///
    /// # Errors
    /// What is left, and whether a node has said that there is no more; the call is wanted then.
    pub(super) fn draw(&mut self, life: Life, held: Money, price: Money) -> Result<(), Short> {
        let grant = self.grants.iter().find(|grant| grant.life == life);
        let left = grant.map_or(Ok(Money::ZERO), |grant| grant.left(held));
        let left = left.unwrap_or(Money::ZERO);
        if price <= left {
            // Who asked before has gone, or this call is served in its place.
            self.wanted = self.wanted.filter(|wanted| wanted.life != life || wanted.price > left);
            return Ok(());
        }
        let is_denied = grant.is_some_and(|grant| grant.denies(price));
        let before = self.wanted.filter(|wanted| wanted.life == life);
        let price = before.map_or(price, |wanted| wanted.price.min(price));
        self.wanted = Some(Wanted { life, price });
        Err(Short { left, is_denied })
    }

    /// A call under these grants was answered.
    pub(super) fn settle(&mut self, life: Life, amount: Money) {
        if let Some(grant) = self.grants.iter_mut().find(|grant| grant.life == life) {
            // Out of range: nothing has room under any ceiling any more.
            grant.settled = grant.settled.plus(amount).unwrap_or(Money::MAX);
        }
    }

    /// Takes ceilings of a snapshot in this mode; true where one was news.
    pub(super) fn take(
        &mut self,
        mode: u64,
        ceilings: &[SnapshotCeiling],
        life_of: &dyn Fn(crate::id::Incarnation) -> Option<Life>,
    ) -> bool {
        let mut is_news = mode > self.mode;
        if is_news {
            *self = Grants { mode, generation: self.generation, ..Grants::default() };
        }
        for ceiling in ceilings.iter().filter(|ceiling| ceiling.stamp.mode == self.mode) {
            let Some(life) = life_of(ceiling.incarnation) else { continue };
            let place = match self.grants.iter().position(|grant| grant.life == life) {
                Some(place) => place,
                None => {
                    self.grants.push(Grant::new(life));
                    self.grants.len() - 1
                }
            };
            let grant = &mut self.grants[place];
            grant.denied = ceiling.denied;
            if ceiling.stamp > grant.stamp {
                (grant.stamp, grant.limit) = (ceiling.stamp, ceiling.draw);
                is_news = true;
            }
        }
        is_news
    }

    /// Hears the ledger's generation, and whether it is a newer one: what the older ledger
    /// granted is void then, what was drawn in this mode is not.
    pub(super) fn hear(&mut self, generation: u32, mode: u64) -> bool {
        if generation <= self.generation {
            return false;
        }
        if mode != self.mode {
            *self = Grants { mode, ..Grants::default() };
        }
        self.generation = generation;
        for grant in &mut self.grants {
            (grant.stamp, grant.limit) = (Stamp::default(), Money::ZERO);
            grant.denied = Money::ZERO;
        }
        self.wanted = None;
        true
    }

    /// Drops grants of incarnations that are no longer own.
    pub(super) fn retain(&mut self, is_own: &dyn Fn(Life) -> bool) {
        self.grants.retain(|grant| is_own(grant.life));
    }

    pub(super) fn mode(&self) -> u64 {
        self.mode
    }

    /// The grants, and that of an incarnation that wants its first one.
    pub(super) fn all(&self) -> impl Iterator<Item = Grant> + '_ {
        let is_new = |wanted: &Wanted| self.grants.iter().all(|grant| grant.life != wanted.life);
        let first = self.wanted.filter(is_new).map(|wanted| Grant::new(wanted.life));
        self.grants.iter().cloned().chain(first)
    }

    /// What the incarnation wants and has no room for.
    pub(super) fn wanted(&self, life: Life, held: Money) -> Money {
        let is_unmet =
            |wanted: &Wanted| wanted.life == life && wanted.price > self.left(life, held);
        self.wanted.filter(is_unmet).map_or(Money::ZERO, |wanted| wanted.price)
    }

    /// Forgets a want that there is room for now: whoever waits takes it, and where nobody waits
    /// any more it must not be wanted again once it was taken back.
    pub(super) fn forget_met(&mut self, held: impl Fn(Life) -> Money) {
        let left = |wanted: &Wanted| self.left(wanted.life, held(wanted.life));
        self.wanted = self.wanted.filter(|wanted| wanted.price > left(wanted));
    }

    /// The incarnation whose call waits for more than it has, and that no node has denied.
    pub(super) fn wanting(&self, held: impl Fn(Life) -> Money) -> Option<Life> {
        let Wanted { life, price } = self.wanted?;
        let is_answered = |grant: &Grant| {
            grant.denies(price) || grant.left(held(life)).is_ok_and(|left| left >= price)
        };
        let mut grants = self.grants.iter().filter(|grant| grant.life == life);
        (!grants.any(is_answered)).then_some(life)
    }

    /// What the incarnation may draw yet.
    pub(super) fn left(&self, life: Life, held: Money) -> Money {
        let grant = self.grants.iter().find(|grant| grant.life == life);
        grant.and_then(|grant| grant.left(held).ok()).unwrap_or(Money::ZERO)
    }
}

/// Why there was no room.
pub(super) struct Short {
    pub(super) left: Money,
    pub(super) is_denied: bool,
}

// === impl Grant ===

impl Grant {
    fn new(life: Life) -> Grant {
        let (limit, settled, denied) = (Money::ZERO, Money::ZERO, Money::ZERO);
        Grant { life, stamp: Stamp::default(), limit, settled, denied }
    }

    fn denies(&self, price: Money) -> bool {
        !self.denied.is_zero() && price >= self.denied
    }

    fn left(&self, held: Money) -> Result<Money, MoneyError> {
        self.limit.minus(self.settled)?.minus(held)
    }
}
