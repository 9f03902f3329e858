//! Random work on a wallet against a plain model: sums of credits and debits, and what each
//! line's total units cost. The model knows no fold, checkpoint, horizon or slice.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rating::charges;

/// One thing that happens to a wallet.
#[derive(Clone, Debug)]
enum Step {
    Report { meter: usize, by: usize, nanos: u64, is_recovered: bool },
    Credit(u64),
    Adjust(i64),
    Fee(u64),
    Fold(usize),
    Close,
    RaiseHorizon { is_past_the_period: bool },
    Suspend { meter: usize, by: usize, nanos: u64 },
    Resolve { index: usize, is_charged: bool },
    Purge,
}

fn step() -> impl Strategy<Value = Step> {
    let nanos = 1..20_000_000_000_u64;
    prop_oneof![
        8 => (0..4_usize, 0..4_usize, nanos.clone(), any::<bool>()).prop_map(
            |(meter, by, nanos, is_recovered)| Step::Report { meter, by, nanos, is_recovered }),
        2 => (1..u64::MAX / 4).prop_map(Step::Credit),
        2 => any::<i64>().prop_map(Step::Adjust),
        1 => (1..u64::MAX / 4).prop_map(Step::Fee),
        3 => (0..4_usize).prop_map(Step::Fold),
        3 => Just(Step::Close),
        2 => any::<bool>().prop_map(
            |is_past_the_period| Step::RaiseHorizon { is_past_the_period }),
        1 => (0..4_usize, 0..4_usize, nanos).prop_map(
            |(meter, by, nanos)| Step::Suspend { meter, by, nanos }),
        2 => (0..4_usize, any::<bool>()).prop_map(
            |(index, is_charged)| Step::Resolve { index, is_charged }),
        1 => Just(Step::Purge),
    ]
}

/// The wallet as the ledger has it, and as anybody would add it up.
struct World {
    account: Account,
    registers: Registers,
    suspense: Vec<Suspended>,
    credited: i128,
    debited: i128,
    counted: BTreeMap<(Meter, Incarnation), Units>,
    charged: BTreeMap<Meter, Units>,
    bookings: u32,
}

/// Three revisions of a prepaid line, one meter of each other billing type.
fn meters() -> [Meter; 6] {
    let prepaid = |revision| meter(BillingType::Prepaid, revision);
    let [_, outside @ ..] = BillingType::ALL.map(|billing| meter(billing, 3));
    let [postpaid, shadow, refused] = outside;
    [prepaid(1), prepaid(2), prepaid(3), postpaid, shadow, refused]
}

/// Two incarnations that a horizon can leave behind, two that it never does.
fn incarnations() -> [Incarnation; 4] {
    let past = meters()[0].period.end().plus(PERIOD_GRACE * 2);
    let later = NOON.plus(Duration::from_secs(1));
    [incarnation(5, NOON), incarnation(6, NOON), incarnation(7, later), incarnation(8, past)]
}

impl World {
    fn booking(&mut self) -> Booking {
        self.bookings += 1;
        booking(&self.bookings.to_string())
    }

    /// Applies a planned change after checking what every change must keep.
    fn apply(&mut self, change: &Change) {
        let mut credited = self.account.header.credited;
        let mut settled = self.account.header.settled;
        self.account.apply(change);
        let after = balance(&self.account, &self.registers);
        for entry in &change.entries {
            assert_eq!(entry.balance_after, after, "{entry:?}");
            if entry.kind.is_credited() {
                credited = credited.plus(entry.amount).unwrap();
            }
            if entry.kind.is_settled() {
                settled = settled.plus(entry.amount).unwrap();
            }
        }
        assert_eq!((change.header.credited, change.header.settled), (credited, settled));
    }

    /// What the balance must be.
    fn expected(&self) -> Money {
        let mut totals = self.charged.clone();
        for ((meter, _), units) in &self.counted {
            let total = totals.entry(*meter).or_default();
            *total = total.plus(*units).unwrap();
        }
        totals.retain(|meter, _| meter.billing == BillingType::Prepaid);
        let charges = charges(&rates(), totals).unwrap();
        let charge: i128 = charges.iter().map(|(_, charge)| charge.nanos()).sum();
        Money::from_nanos(self.credited - self.debited - charge).unwrap()
    }

    fn report(&mut self, meter: Meter, by: Incarnation, nanos: u64, is_recovered: bool) {
        // Behind the fence and the horizon nothing is written; incarnations never count on a
        // period that had ended when they were born.
        let header = &self.account.header;
        if !header.counts_incarnation(by) || by.born >= meter.period.end() {
            return;
        }
        let units = Units::from_register(nanos);
        let cell = Register {
            live: if is_recovered { Units::ZERO } else { units },
            recovered: if is_recovered { units } else { Units::ZERO },
        };
        self.registers.entry((meter, by)).or_default().merge(cell);
        let counted = self.counted.entry((meter, by)).or_default();
        *counted = (*counted).max(units);
    }

    fn suspend(&mut self, meter: Meter, incarnation: Incarnation, nanos: u64) {
        let key = SuspenseKey { meter, incarnation, reason: SuspenseReason::Multiplier };
        if self.suspense.iter().all(|row| row.key != key) {
            let units = Units::from_register(nanos);
            self.suspense.push(Suspended { key, units, counted: Units::ZERO });
        }
    }

    fn resolve(&mut self, index: usize, is_charged: bool) {
        let Some(row) = self.suspense.get(index).copied() else { return };
        let open = open_suspense(&self.account, &self.registers, &row);
        let resolution = if is_charged { Resolution::Charge } else { Resolution::WriteOff };
        let booking = self.booking();
        let (account, registers) = (&self.account, &self.registers);
        let planned =
            resolve_suspense(account, registers, &rates(), &booking, &row, open, resolution);
        assert_eq!(planned.is_ok(), !open.is_zero());
        let Ok(change) = planned else { return };
        self.apply(&change);
        if is_charged {
            let charged = self.charged.entry(row.key.meter).or_default();
            *charged = charged.plus(open).unwrap();
        }
    }

    fn raise(&mut self, is_past_the_period: bool) {
        let horizon = if is_past_the_period {
            meters()[0].period.end().plus(PERIOD_GRACE)
        } else {
            NOON.plus(Duration::from_millis(1))
        };
        let planned = raise_horizon(&self.account, &self.registers, &rates(), horizon);
        if let Ok(change) = planned {
            self.apply(&change);
        }
    }

    fn take(&mut self, step: Step) {
        let (meters, incarnations) = (meters(), incarnations());
        match step {
            Step::Report { meter, by, nanos, is_recovered } => {
                self.report(meters[meter], incarnations[by], nanos, is_recovered);
            }
            Step::Credit(nanos) => {
                let (booking, amount) = (self.booking(), Money::from_nanos(nanos.into()).unwrap());
                let (account, registers) = (&self.account, &self.registers);
                let change = credit(account, registers, &rates(), &booking, amount).unwrap();
                self.apply(&change);
                self.credited += i128::from(nanos);
            }
            Step::Adjust(nanos) => {
                let (booking, amount) = (self.booking(), Money::from_nanos(nanos.into()).unwrap());
                let (account, registers) = (&self.account, &self.registers);
                let cap = AdjustmentCap::None;
                let planned = adjustment(account, registers, &rates(), &booking, amount, cap);
                if let Ok(change) = planned {
                    self.apply(&change);
                    self.debited += i128::from(nanos);
                }
            }
            Step::Fee(nanos) => {
                let (booking, amount) = (self.booking(), Money::from_nanos(nanos.into()).unwrap());
                let (account, registers) = (&self.account, &self.registers);
                let change = fee(account, registers, &rates(), &booking, amount).unwrap();
                self.apply(&change);
                self.debited += i128::from(nanos);
            }
            Step::Fold(by) => {
                let dead = incarnations[by];
                let planned = fold(&self.account, &self.registers, |one| one == dead).unwrap();
                planned.iter().for_each(|change| self.apply(change));
            }
            Step::Close => {
                let (account, registers, through) =
                    (&self.account, &self.registers, meters[0].period);
                let planned = checkpoint(account, registers, &rates(), through, NOON, "closing");
                planned.unwrap().iter().for_each(|change| self.apply(change));
            }
            Step::RaiseHorizon { is_past_the_period } => self.raise(is_past_the_period),
            Step::Suspend { meter, by, nanos } => {
                self.suspend(meters[meter], incarnations[by], nanos);
            }
            Step::Resolve { index, is_charged } => self.resolve(index, is_charged),
            Step::Purge => {
                let horizon = self.account.header.horizon;
                self.registers.retain(|(_, by), _| by.born >= horizon);
                self.account.cells.retain(|(_, by), _| by.born >= horizon);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_happens_the_balance_is_credits_less_debits_less_charges(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let mut world = World {
            account: opened(),
            registers: Registers::new(),
            suspense: Vec::new(),
            credited: 0,
            debited: 0,
            counted: BTreeMap::new(),
            charged: BTreeMap::new(),
            bookings: 0,
        };
        for step in steps {
            world.take(step.clone());
            let found = balance(&world.account, &world.registers);
            prop_assert_eq!(found, world.expected(), "after {:?}", step);
        }
    }
}
