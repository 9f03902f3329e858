//! A wallet with one meter, one own incarnation and amounts below 2⁶³ nanos, in 112 bytes.
//!
//! Nearly every wallet is one; a million of them decide what a gateway's memory costs. Each method
//! answers `None` (or `false`) and changes nothing where something does not fit, and the whole form
//! answers instead. Invariants: `unpack` then `pack` changes nothing.

use std::sync::Arc;
use std::time::Duration;

use super::grants::Grants;
use super::open_calls::OpenCalls;
use super::whole::{FULL_AT, Held, Known, Tally, Whole};
use super::{Hold, HoldError, Life, OwnRegister, Settled, Tariff, within_bands};
use crate::account::Mode;
use crate::meter::BillingType;
use crate::money::Money;
use crate::time::UnixMillis;
use crate::units::Units;

const _: () = assert!(size_of::<super::Wallet>() <= 112);

/// One meter; amounts in nanos, units in nano-units.
#[derive(Debug)]
pub(super) struct Packed {
    available: i64,
    held: i64,
    worth: i64,
    floor: i64,
    others_held: i64,
    horizon_ms: i64,
    own_nanos: u64,
    others_nanos: u64,
    version: u64,
    as_of_us: u64,
    tariff: Arc<Tariff>,
    life: Life,
    slot: u32,
    generation: u32,
    retirements: u32,
    pub(super) open: u32,
}

/// An amount in a field.
fn narrow(money: Money) -> Option<i64> {
    i64::try_from(money.nanos()).ok()
}

/// The amount of a field.
fn wide(nanos: i64) -> Money {
    Money::from_nanos(i128::from(nanos)).expect("2^63 nanos are in the range of money")
}

// === impl Packed ===

impl Packed {
    /// Packs what fits.
    pub(super) fn pack(whole: &Whole) -> Option<Packed> {
        let ([tally], Some(known)) = (whole.tallies.as_slice(), &whole.known) else { return None };
        let [register] = tally.own.as_slice() else { return None };
        let held = match whole.holds.as_slice() {
            [] => Money::ZERO,
            [held]
                if held.life == register.life
                    && held.calls.total() == held.calls.of(BillingType::Prepaid) =>
            {
                held.amount
            }
            _ => return None,
        };
        let is_optimistic = known.mode == Mode::default() && whole.mode_floor == 0;
        if !known.counts(&tally.tariff) || !is_optimistic || whole.grants != Grants::default() {
            return None;
        }
        Some(Packed {
            available: narrow(whole.available)?,
            held: narrow(held)?,
            worth: narrow(known.worth)?,
            floor: narrow(known.floor)?,
            others_held: narrow(known.others_held)?,
            horizon_ms: known.horizon.0,
            own_nanos: register.nanos,
            others_nanos: tally.others.register().ok()?,
            version: known.version,
            as_of_us: u64::try_from(known.as_of?.as_micros()).ok()?,
            tariff: Arc::clone(&tally.tariff),
            life: register.life,
            slot: register.slot,
            generation: known.generation,
            retirements: u32::try_from(known.retirements).ok()?,
            open: whole.open,
        })
    }

    /// The same in full.
    pub(super) fn unpack(&self) -> Whole {
        let (calls, amount) = (OpenCalls::prepaid(self.open), wide(self.held));
        let held = Held { life: self.life, calls, amount };
        Whole {
            known: Some(Known {
                generation: self.generation,
                version: self.version,
                retirements: u64::from(self.retirements),
                worth: wide(self.worth),
                floor: wide(self.floor),
                mode: Mode::default(),
                horizon: UnixMillis(self.horizon_ms),
                others_held: wide(self.others_held),
                as_of: Some(self.as_of()),
            }),
            tallies: vec![Tally {
                tariff: Arc::clone(&self.tariff),
                others: Units::from_register(self.others_nanos),
                own: vec![self.register().1],
            }],
            holds: if self.open == 0 { Vec::new() } else { vec![held] },
            open: self.open,
            available: wide(self.available),
            mode_floor: 0,
            grants: Grants::default(),
        }
    }

    pub(super) fn hold(
        &mut self,
        tariff: &Arc<Tariff>,
        life: Life,
        now: Duration,
        staleness_limit: Duration,
    ) -> Option<Result<Hold, HoldError>> {
        if !Arc::ptr_eq(&self.tariff, tariff) || self.life != life || self.own_nanos > FULL_AT {
            return None;
        }
        if now.saturating_sub(self.as_of()) > staleness_limit {
            return Some(Err(HoldError::TooOld));
        }
        let total = Units::from_register(self.own_nanos.checked_add(self.others_nanos)?);
        if let Err(error) = within_bands(&self.tariff, total) {
            return Some(Err(error));
        }
        let price = self.marginal(Units::ONE)?;
        if price > 0 && price > self.available {
            let (available, price) = (wide(self.available), wide(price));
            return Some(Err(HoldError::TooSmall { available, price }));
        }
        let (available, held) = (self.available.checked_sub(price)?, self.held.checked_add(price)?);
        self.open = self.open.checked_add(1)?;
        (self.available, self.held) = (available, held);
        Some(Ok(Hold { amount: wide(price), life, slot: self.slot, billing: BillingType::Prepaid }))
    }

    pub(super) fn settle(&mut self, hold: &Hold, units: Units) -> Option<Settled> {
        let nanos = self.own_nanos.checked_add(u64::try_from(units.nanos()).ok()?)?;
        if nanos > FULL_AT {
            return None;
        }
        let charge = self.marginal(units)?;
        let (available, held) = self.ended(hold)?;
        self.available = available.checked_sub(charge)?;
        self.held = held;
        self.open -= 1;
        self.own_nanos = nanos;
        Some(Settled { nanos, beyond: Units::ZERO })
    }

    pub(super) fn release(&mut self, hold: &Hold) -> bool {
        let Some((available, held)) = self.ended(hold) else { return false };
        (self.available, self.held) = (available, held);
        self.open -= 1;
        true
    }

    pub(super) fn fresh(&mut self, as_of: Duration) {
        // Rounded down: a wallet is never younger than it is.
        let as_of_us = u64::try_from(as_of.as_micros()).unwrap_or(self.as_of_us);
        self.as_of_us = self.as_of_us.max(as_of_us);
    }

    pub(super) fn register(&self) -> (&Arc<Tariff>, OwnRegister) {
        let Packed { tariff, life, slot, own_nanos: nanos, .. } = self;
        (tariff, OwnRegister { life: *life, slot: *slot, nanos: *nanos })
    }

    pub(super) fn held_by(&self, life: Life) -> Money {
        if self.life == life { wide(self.held) } else { Money::ZERO }
    }

    pub(super) fn available(&self) -> Money {
        wide(self.available)
    }

    pub(super) fn as_of(&self) -> Duration {
        Duration::from_micros(self.as_of_us)
    }

    /// What `units` cost on top of what is known.
    fn marginal(&self, units: Units) -> Option<i64> {
        debug_assert_eq!(self.tariff.billing, BillingType::Prepaid);
        let total = self.own_nanos.checked_add(self.others_nanos)?;
        narrow(self.tariff.rates.marginal(Units::from_register(total), units).ok()?)
    }

    /// `available` and `held` after the hold ended.
    fn ended(&self, hold: &Hold) -> Option<(i64, i64)> {
        if self.life != hold.life || self.slot != hold.slot {
            return None;
        }
        let amount = narrow(hold.amount)?;
        Some((self.available.checked_add(amount)?, self.held.checked_sub(amount)?))
    }
}
