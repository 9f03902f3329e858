//! Billing types that change back and forth: every nano is somewhere, and in one place.

use proptest::prelude::*;

use super::*;

/// What happens to a developer with one wallet.
#[derive(Clone, Debug)]
enum Step {
    Credit(u32),
    Adjust(i32),
    Fee(u32),
    /// Calls, priced by the billing type of now.
    Calls(u32),
    /// Calls that were admitted before the newest switch and are reported now.
    Late(u32),
    /// Calls and a fee under a plan in shadow mode.
    Shadow(u32),
    Switch,
    /// A repetition of the newest transfer, by somebody who did not hear of it.
    TransferAgain,
    Close,
}

/// The wallet, and what was booked and counted by hand.
struct World {
    account: Account,
    registers: Registers,
    billing: BillingType,
    switches: u32,
    entries: Vec<Entry>,
    paid_in: i128,
    adjusted: i128,
    prepaid_fees: i128,
    postpaid_fees: i128,
    calls: BTreeMap<BillingType, i128>,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..1_000_000u32).prop_map(Step::Credit),
        (-1_000_000..1_000_000i32).prop_map(Step::Adjust),
        (1..1_000_000u32).prop_map(Step::Fee),
        (1..50u32).prop_map(Step::Calls),
        (1..50u32).prop_map(Step::Late),
        (1..50u32).prop_map(Step::Shadow),
        Just(Step::Switch),
        Just(Step::TransferAgain),
        Just(Step::Close),
    ]
}

fn other(billing: BillingType) -> BillingType {
    match billing {
        BillingType::Prepaid => BillingType::Postpaid,
        BillingType::Postpaid => BillingType::Prepaid,
        BillingType::Shadow | BillingType::ShadowRefused => panic!("nobody's billing type"),
    }
}

impl World {
    fn new() -> World {
        World {
            account: credited("0.000000001"),
            registers: Registers::new(),
            billing: BillingType::Prepaid,
            switches: 0,
            entries: Vec::new(),
            paid_in: 1,
            adjusted: 0,
            prepaid_fees: 0,
            postpaid_fees: 0,
            calls: BTreeMap::new(),
        }
    }

    /// Applies a change as the ledger does: not where an entry of that id is there.
    fn commit(&mut self, change: Change) -> bool {
        let is_there = |entry: &Entry| self.entries.iter().any(|other| other.id == entry.id);
        if change.entries.iter().any(is_there) {
            return false;
        }
        self.account.apply(&change);
        self.entries.extend(change.entries);
        true
    }

    fn count(&mut self, billing: BillingType, calls: u32) {
        let key = (meter(billing, 3), incarnation(1, NOON));
        let register = self.registers.entry(key).or_default();
        let more = Units::from_nanos(u128::from(calls) * Units::ONE.nanos()).unwrap();
        register.live = register.live.plus(more).unwrap();
        // 2.25 a call, see `rates`.
        *self.calls.entry(billing).or_default() += i128::from(calls) * 2_250_000_000;
    }

    fn transfer(&mut self) {
        let id = booking(&format!("{}/EUR", self.switches));
        let change = transfer(&self.account, &self.registers, &rates(), &id).unwrap();
        self.commit(change);
    }

    fn take(&mut self, number: usize, step: &Step) {
        let (id, nanos) = (booking(&number.to_string()), Money::from_nanos);
        let (account, registers, rates) = (&self.account, &self.registers, &rates());
        match step {
            Step::Credit(amount) => {
                let amount = nanos(i128::from(*amount) * 1_000_003).unwrap();
                self.paid_in += amount.nanos();
                let change = credit(account, registers, rates, &id, amount).unwrap();
                assert!(self.commit(change));
            }
            Step::Adjust(0) => {}
            Step::Adjust(amount) => {
                let amount = nanos(i128::from(*amount) * 999_983).unwrap();
                self.adjusted += amount.nanos();
                let cap = AdjustmentCap::None;
                let change = adjustment(account, registers, rates, &id, amount, cap).unwrap();
                assert!(self.commit(change));
            }
            Step::Fee(amount) => {
                let amount = nanos(i128::from(*amount) * 1_000_033).unwrap();
                let change = match self.billing {
                    BillingType::Prepaid => {
                        self.prepaid_fees += amount.nanos();
                        fee(account, registers, rates, &id, amount)
                    }
                    BillingType::Postpaid => {
                        self.postpaid_fees += amount.nanos();
                        postpaid_fee(account, registers, rates, &id, amount)
                    }
                    BillingType::Shadow | BillingType::ShadowRefused => {
                        panic!("nobody's billing type")
                    }
                };
                assert!(self.commit(change.unwrap()));
            }
            Step::Calls(calls) => self.count(self.billing, *calls),
            Step::Late(calls) if self.switches > 0 => self.count(other(self.billing), *calls),
            Step::Late(_) => {}
            Step::Shadow(calls) => {
                let amount = nanos(i128::from(*calls)).unwrap();
                let change = shadow_fee(account, registers, rates, &id, amount).unwrap();
                assert!(self.commit(change));
                self.count(BillingType::Shadow, *calls);
                self.count(BillingType::ShadowRefused, *calls);
            }
            Step::Switch => {
                self.billing = other(self.billing);
                if self.billing == BillingType::Postpaid {
                    self.switches += 1;
                    self.transfer();
                }
            }
            Step::TransferAgain if self.switches > 0 => self.transfer(),
            Step::TransferAgain => {}
            Step::Close => {
                let period = Period::of(NOON);
                let closed = checkpoint(account, registers, rates, period, NOON, "test").unwrap();
                if let Some(change) = closed {
                    assert!(self.commit(change));
                }
            }
        }
    }

    fn booked(&self, kind: EntryKind) -> i128 {
        let of_kind = self.entries.iter().filter(|entry| entry.kind == kind);
        of_kind.map(|entry| entry.amount.nanos()).sum()
    }

    fn check(&self) {
        let balance = self.account.balance(&self.registers, &rates()).unwrap().nanos();
        let calls = |billing| self.calls.get(&billing).copied().unwrap_or_default();
        let moved = self.booked(EntryKind::Transfer);
        let prepaid = calls(BillingType::Prepaid);
        assert_eq!(
            self.paid_in - self.adjusted,
            balance + moved + self.prepaid_fees + prepaid,
            "what was paid in is the balance, what moved, fees and calls"
        );
        assert_eq!(self.booked(EntryKind::PostpaidFee), self.postpaid_fees);
        assert_eq!(self.booked(EntryKind::Fee), self.prepaid_fees);
        let transfers = self.entries.iter().filter(|entry| entry.kind == EntryKind::Transfer);
        assert_eq!(transfers.count(), self.switches as usize, "once a switch");
    }
}

proptest! {
    #[test]
    fn sums_agree_however_often_the_billing_type_changes(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new();
        for (number, step) in steps.iter().enumerate() {
            world.take(number, step);
            world.check();
        }
    }
}

/// A transfer that is repeated late must not take what was paid in after switching back.
#[test]
fn what_was_moved_is_not_moved_again_and_not_spent_again() {
    let mut world = World::new();
    world.take(1, &Step::Credit(10));
    world.take(2, &Step::Switch);
    assert_eq!(world.account.balance(&world.registers, &rates()).unwrap(), Money::ZERO);
    world.take(3, &Step::Switch);
    assert_eq!(world.account.balance(&world.registers, &rates()).unwrap(), Money::ZERO);
    world.take(4, &Step::Credit(7));
    world.take(5, &Step::TransferAgain);
    let balance = world.account.balance(&world.registers, &rates()).unwrap();
    assert_eq!(balance.nanos(), 7 * 1_000_003);
    // Nothing was left: an entry stands for it all the same.
    world.take(6, &Step::Calls(10));
    world.take(7, &Step::Switch);
    world.take(8, &Step::Switch);
    world.take(9, &Step::Credit(100_000));
    world.take(10, &Step::TransferAgain);
    assert_eq!(world.booked(EntryKind::Transfer), 10 * 1_000_003 + 1);
    world.check();
}
