//! A wallet in full: any number of meters, own incarnations and amounts.
//!
//! This form says what the machine does; the packed form only does the same faster.

use std::sync::Arc;
use std::time::Duration;

use super::grants::Grants;
use super::open_calls::OpenCalls;
use super::{
    Hold, HoldError, Life, OwnList, OwnRegister, Settled, Taken, Tariff, View, counted,
    within_bands,
};
use crate::account::Mode;
use crate::balance::counts_period;
use crate::meter::{BillingType, Meter};
use crate::money::Money;
use crate::protocol::Snapshot;
use crate::rating::RatingError;
use crate::time::UnixMillis;
use crate::units::Units;

/// A register beyond this takes no further holds; what is open still settles.
pub(super) const FULL_AT: u64 = Units::REGISTER_MAX.nanos() as u64 / 4 * 3;

const _: () = assert!(super::ROTATE_AT < FULL_AT);

/// A wallet in full.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Whole {
    /// What snapshots said, but for units.
    pub(super) known: Option<Known>,
    /// In the order of the walk; none without units or registers.
    pub(super) tallies: Vec<Tally>,
    /// By incarnation, those with open calls alone.
    pub(super) holds: Vec<Held>,
    /// Calls that are open.
    pub(super) open: u32,
    /// Kept current where `known` is there.
    pub(super) available: Money,
    /// Nothing is admitted under a mode before it.
    pub(super) mode_floor: u64,
    /// Of a strict wallet.
    pub(super) grants: Grants,
}

/// What snapshots said, merged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    pub(super) generation: u32,
    pub(super) version: u64,
    pub(super) retirements: u64,
    /// The account's base and the closed charges of prepaid meters that count.
    pub(super) worth: Money,
    pub(super) floor: Money,
    pub(super) mode: Mode,
    pub(super) horizon: UnixMillis,
    pub(super) others_held: Money,
    pub(super) as_of: Option<Duration>,
}

/// Units on one meter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tally {
    pub(super) tariff: Arc<Tariff>,
    pub(super) others: Units,
    pub(super) own: Vec<OwnRegister>,
}

/// Meters that count, with others' units.
type Counting = Vec<(Arc<Tariff>, Units)>;

/// Open holds of one incarnation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) life: Life,
    pub(super) calls: OpenCalls,
    pub(super) amount: Money,
}

// === impl Whole ===

impl Whole {
    pub(super) fn open(&mut self, tariff: &Arc<Tariff>, life: Life, slot: u32) {
        let tally = self.tally(tariff);
        if !tally.own.iter().any(|register| register.life == life) {
            tally.own.push(OwnRegister { life, slot, nanos: 0 });
        }
    }

    pub(super) fn hold(
        &mut self,
        tariff: &Arc<Tariff>,
        life: Life,
        units_max: Units,
        now: Duration,
        staleness_limit: Duration,
    ) -> Result<Hold, HoldError> {
        let is_strict = match tariff.billing {
            BillingType::Postpaid | BillingType::Shadow | BillingType::ShadowRefused => false,
            BillingType::Prepaid => self.is_strict(now, staleness_limit)?,
        };
        if tariff.billing != BillingType::ShadowRefused {
            within_bands(tariff, self.total(tariff).map_err(|_| HoldError::Full)?)?;
        }
        let amount = match tariff.billing {
            BillingType::Postpaid | BillingType::Shadow | BillingType::ShadowRefused => Money::ZERO,
            BillingType::Prepaid if is_strict => self.most(tariff, units_max)?,
            BillingType::Prepaid => self.affordable(tariff)?,
        };
        let register = self
            .tallies
            .iter()
            .find(|tally| tally.tariff.is_same(tariff))
            .and_then(|tally| tally.own.iter().find(|register| register.life == life))
            .ok_or(HoldError::Unopened)?;
        if register.nanos > FULL_AT {
            return Err(HoldError::Full);
        }
        let slot = register.slot;
        if is_strict {
            // After the register was found: a grant is asked for when the spend file names the wallet.
            self.draw(life, amount)?;
        }
        let available = self.available.minus(amount).map_err(|_| HoldError::Full)?;
        let place = match self.holds.iter().position(|held| held.life == life) {
            Some(place) => place,
            None => {
                self.holds.push(Held { life, calls: OpenCalls::default(), amount: Money::ZERO });
                self.holds.len() - 1
            }
        };
        let held = &mut self.holds[place];
        held.amount = held.amount.plus(amount).map_err(|_| HoldError::Full)?;
        held.calls.begin(tariff.billing);
        self.open += 1;
        self.available = available;
        Ok(Hold { amount, life, slot, billing: tariff.billing })
    }

    pub(super) fn settle(&mut self, hold: &Hold, units: Units) -> Settled {
        let place = self
            .tallies
            .iter()
            .position(|tally| tally.register(hold.life, hold.slot).is_some())
            .expect("a register stays as long as a hold of its incarnation is open");
        let tariff = Arc::clone(&self.tallies[place].tariff);
        let before = self.total(&tariff);
        let register = self.tallies[place]
            .register_mut(hold.life, hold.slot)
            .expect("it was found in this tally above");
        let settled = counted(register.nanos, units);
        register.nanos = settled.nanos;
        self.end(hold);
        if tariff.billing == BillingType::Prepaid {
            self.grants.settle(hold.life, hold.amount);
        }
        if self.known.as_ref().is_none_or(|known| !known.counts(&tariff)) {
            return settled;
        }
        let is_alone =
            self.tallies.iter().filter(|other| other.tariff.is_same_line(&tariff)).count() == 1;
        let available = if is_alone {
            before
                .and_then(|before| tariff.rates.marginal(before, units.beyond(settled.beyond)))
                .and_then(|charge| Ok(self.available.minus(charge)?))
        } else {
            self.computed()
        };
        // A charge out of range: nothing more is admitted until a snapshot gives a sum again.
        self.available = available.unwrap_or(Money::MIN);
        settled
    }

    pub(super) fn release(&mut self, hold: &Hold) {
        self.end(hold);
    }

    pub(super) fn snapshot(
        &mut self,
        snapshot: &Snapshot,
        as_of: Option<Duration>,
        own: OwnList<'_>,
        tariffs: &dyn Fn(&Meter) -> Option<Arc<Tariff>>,
    ) -> Result<Taken, RatingError> {
        let is_older_ledger =
            self.known.as_ref().is_some_and(|known| snapshot.generation < known.generation);
        if snapshot.own_list != own.number || is_older_ledger || !self.is_vouched(as_of, own) {
            return Ok(Taken::Ignored);
        }
        let (counting, worth) = counting(snapshot, tariffs)?;
        let before = match self.known.take() {
            Some(known) if known.generation == snapshot.generation => known,
            _ => {
                self.tallies.iter_mut().for_each(|tally| tally.others = Units::ZERO);
                Known::of(snapshot, worth, as_of)
            }
        };
        let is_ever_strict = snapshot.mode.counter > 0 || self.grants.mode() > 0;
        if is_ever_strict && self.grants.hear(snapshot.generation, snapshot.mode.counter) {
            self.mode_floor = 0;
        }
        self.merge_units(snapshot.retirements.cmp(&before.retirements), &counting);
        let (known, taken) = before.merged(snapshot, worth, as_of);
        let holds = &self.holds;
        for tally in &mut self.tallies {
            tally.own.retain(|register| {
                (own.has)(register.life) || holds.iter().any(|held| held.life == register.life)
            });
        }
        self.tallies.retain(|tally| {
            !tally.own.is_empty() || (!tally.others.is_zero() && known.is_inside(&tally.tariff))
        });
        if self.mode_floor <= known.mode.counter && snapshot.mode == known.mode {
            // A grant acknowledges its mode: none is taken while calls of an older one may be open.
            let ceilings = if known.mode.is_changing { &[] } else { snapshot.ceilings.as_slice() };
            self.grants.take(known.mode.counter, ceilings, own.life_of);
            let held = |life| held_of(&self.holds, life);
            self.grants.forget_met(held);
        }
        self.grants.retain(&|life| (own.has)(life) || holds.iter().any(|held| held.life == life));
        self.mode_floor = self.mode_floor.max(known.mode.counter);
        self.known = Some(known);
        self.available = self.computed().inspect_err(|_| self.available = Money::MIN)?;
        Ok(taken)
    }

    pub(super) fn fresh(&mut self, as_of: Duration) {
        if let Some(known) = &mut self.known {
            known.as_of = known.as_of.max(Some(as_of));
        }
    }

    pub(super) fn forget(&mut self, is_own: &dyn Fn(Life) -> bool) {
        self.known = None;
        for tally in &mut self.tallies {
            tally.others = Units::ZERO;
            tally.own.retain(|register| is_own(register.life));
        }
        self.tallies.retain(|tally| !tally.own.is_empty());
    }

    pub(super) fn registers(&self) -> impl Iterator<Item = (&Arc<Tariff>, OwnRegister)> {
        self.tallies
            .iter()
            .flat_map(|tally| tally.own.iter().map(|register| (&tally.tariff, *register)))
    }

    pub(super) fn units(&self) -> Result<Vec<(Arc<Tariff>, Units)>, RatingError> {
        let counted = |tally: &Tally| Ok((Arc::clone(&tally.tariff), tally.units()?));
        self.tallies.iter().map(counted).collect()
    }

    /// Open calls on meters of a billing type.
    pub(super) fn open_of(&self, billing: BillingType) -> u32 {
        self.holds.iter().map(|held| held.calls.of(billing)).sum()
    }

    pub(super) fn held_by(&self, life: Life) -> Money {
        held_of(&self.holds, life)
    }

    pub(super) fn as_of(&self) -> Option<Duration> {
        self.known.as_ref()?.as_of
    }

    pub(super) fn view(&self) -> Option<View> {
        let known = self.known.as_ref()?;
        let held = self.held().ok()?;
        let above_floor =
            self.available.plus(held).and_then(|sum| sum.plus(known.others_held)).ok()?;
        Some(View {
            balance: above_floor.plus(known.floor).ok()?,
            held,
            available: self.next_price_max(),
            version: known.version,
            mode: known.mode,
            as_of: known.as_of,
        })
    }

    /// `available` by the formula, from nothing but snapshot, units and holds.
    pub(super) fn computed(&self) -> Result<Money, RatingError> {
        let Some(known) = &self.known else { return Ok(Money::ZERO) };
        let sum = known.worth.minus(known.floor)?.minus(known.others_held)?.minus(self.held()?)?;
        Ok(sum.minus(self.charge(|tariff| known.counts(tariff))?)?)
    }

    /// What the units on such meters cost, line by line.
    pub(super) fn charge(&self, is_asked: impl Fn(&Tariff) -> bool) -> Result<Money, RatingError> {
        let mut sum = Money::ZERO;
        let mut before: Option<&Tally> = None;
        let mut below = Units::ZERO;
        for tally in self.tallies.iter().filter(|tally| is_asked(&tally.tariff)) {
            if before.is_none_or(|before| !before.tariff.is_same_line(&tally.tariff)) {
                below = Units::ZERO;
            }
            let units = tally.units()?;
            sum = sum.plus(tally.tariff.rates.marginal(below, units)?)?;
            below = below.plus(units)?;
            before = Some(tally);
        }
        Ok(sum)
    }

    /// The price of one more unit, where the wallet covers it by what is known.
    fn affordable(&self, tariff: &Arc<Tariff>) -> Result<Money, HoldError> {
        let price = self
            .total(tariff)
            .and_then(|total| tariff.rates.marginal(total, Units::ONE))
            .map_err(|_| HoldError::Full)?;
        if !price.is_zero() && price > self.available {
            return Err(HoldError::TooSmall { available: self.available, price });
        }
        Ok(price)
    }

    /// Whether a snapshot that is `as_of` old, or of unknown age, may take over the units of own
    /// incarnations that the list dropped: it must have been read after they were durable.
    fn is_vouched(&self, as_of: Option<Duration>, own: OwnList<'_>) -> bool {
        as_of.is_some_and(|as_of| as_of >= own.since)
            || self.registers().all(|(_, register)| register.nanos == 0 || (own.has)(register.life))
    }

    fn merge_units(&mut self, retirements: std::cmp::Ordering, counting: &[(Arc<Tariff>, Units)]) {
        match retirements {
            std::cmp::Ordering::Less => return,
            std::cmp::Ordering::Equal => {}
            // A retirement cuts what others had counted: units may be fewer than before.
            std::cmp::Ordering::Greater => {
                self.tallies.iter_mut().for_each(|tally| tally.others = Units::ZERO);
            }
        }
        for (tariff, others) in counting.iter().filter(|(_, others)| !others.is_zero()) {
            let tally = self.tally(tariff);
            tally.others = tally.others.max(*others);
        }
    }

    /// Units on the meter's line up to and with its revision: what the next unit comes on top of.
    pub(super) fn total(&self, tariff: &Tariff) -> Result<Units, RatingError> {
        self.tallies
            .iter()
            .filter(|tally| {
                tally.tariff.is_same_line(tariff) && tally.tariff.revision <= tariff.revision
            })
            .try_fold(Units::ZERO, |sum, tally| Ok(sum.plus(tally.units()?)?))
    }

    fn held(&self) -> Result<Money, RatingError> {
        self.holds.iter().try_fold(Money::ZERO, |sum, held| Ok(sum.plus(held.amount)?))
    }

    /// Ends a hold; its amount is available again.
    fn end(&mut self, hold: &Hold) {
        let place = self
            .holds
            .iter()
            .position(|held| held.life == hold.life)
            .expect("a hold is listed until it ends");
        let held = &mut self.holds[place];
        held.amount = held.amount.minus(hold.amount).expect("a sum is at least its part");
        held.calls.end(hold.billing);
        if held.calls.total() == 0 {
            self.holds.swap_remove(place);
        }
        self.open -= 1;
        self.available = self.available.plus(hold.amount).unwrap_or(Money::MIN);
    }

    fn tally(&mut self, tariff: &Arc<Tariff>) -> &mut Tally {
        let place = match self
            .tallies
            .binary_search_by(|tally| tally.tariff.order().cmp(&tariff.order()))
        {
            Ok(place) => place,
            Err(place) => {
                let tariff = Arc::clone(tariff);
                self.tallies.insert(place, Tally { tariff, others: Units::ZERO, own: Vec::new() });
                place
            }
        };
        &mut self.tallies[place]
    }
}

fn held_of(holds: &[Held], life: Life) -> Money {
    holds.iter().find(|held| held.life == life).map_or(Money::ZERO, |held| held.amount)
}

/// The meters of a snapshot that count, with others' units, and the worth of its account.
fn counting(
    snapshot: &Snapshot,
    tariffs: &dyn Fn(&Meter) -> Option<Arc<Tariff>>,
) -> Result<(Counting, Money), RatingError> {
    let mut counting = Vec::with_capacity(snapshot.meters.len());
    let mut worth = snapshot.base;
    for row in
        snapshot.meters.iter().filter(|row| counts_period(row.meter.period, snapshot.horizon))
    {
        let (plan, revision) = (row.meter.plan, row.meter.revision);
        let tariff = tariffs(&row.meter).ok_or(RatingError::UnknownRates { plan, revision })?;
        counting.push((tariff, row.others));
        if row.meter.billing == BillingType::Prepaid {
            worth = worth.plus(row.closed_charge)?;
        }
    }
    Ok((counting, worth))
}

// === impl Known ===

impl Known {
    fn of(snapshot: &Snapshot, worth: Money, as_of: Option<Duration>) -> Known {
        Known {
            generation: snapshot.generation,
            version: snapshot.version,
            retirements: snapshot.retirements,
            worth,
            floor: snapshot.floor,
            mode: snapshot.mode,
            horizon: snapshot.horizon,
            others_held: snapshot.others_held,
            as_of,
        }
    }

    fn merged(
        mut self,
        snapshot: &Snapshot,
        worth: Money,
        as_of: Option<Duration>,
    ) -> (Known, Taken) {
        let is_fresher = as_of >= self.as_of;
        let others_held = if is_fresher { snapshot.others_held } else { self.others_held };
        let retirements = self.retirements.max(snapshot.retirements);
        let as_of = self.as_of.max(as_of);
        if snapshot.version >= self.version {
            self = Known::of(snapshot, worth, as_of);
        }
        let taken = if is_fresher { Taken::Whole } else { Taken::Partly };
        (Known { others_held, retirements, as_of, ..self }, taken)
    }

    /// Whether the meter is inside the horizon: its charge is not all in `worth`.
    pub(super) fn is_inside(&self, tariff: &Tariff) -> bool {
        counts_period(tariff.period, self.horizon)
    }

    /// Whether units on the meter lower the balance.
    pub(super) fn counts(&self, tariff: &Tariff) -> bool {
        tariff.billing == BillingType::Prepaid && self.is_inside(tariff)
    }
}

// === impl Tally ===

impl Tally {
    /// Everybody's units.
    fn units(&self) -> Result<Units, RatingError> {
        self.own.iter().try_fold(self.others, |sum, register| {
            Ok(sum.plus(Units::from_register(register.nanos))?)
        })
    }

    fn register(&self, life: Life, slot: u32) -> Option<&OwnRegister> {
        self.own.iter().find(|register| register.life == life && register.slot == slot)
    }

    fn register_mut(&mut self, life: Life, slot: u32) -> Option<&mut OwnRegister> {
        self.own.iter_mut().find(|register| register.life == life && register.slot == slot)
    }
}
