//! Invoices over journals that the ledger's own planners wrote.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tollgate_ledger_store::WalletRead;
use tollgate_metering::booking::{self, Booking, Fee};
use tollgate_metering::rating::{Band as PriceBand, Model};
use tollgate_metering::{
    Account, BillingType, Change, DeveloperId, Incarnation, RateBook, Rates, Register, Registers,
    WalletId,
};
use uuid::Uuid;

use super::*;

const FIRST: &str = "2026-11";

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn units(text: &str) -> Units {
    text.parse().unwrap()
}

fn period(text: &str) -> Period {
    text.parse().unwrap()
}

/// A wallet of one currency, with its journal.
struct World {
    account: Account,
    registers: Registers,
    entries: Vec<Entry>,
    rates: RateBook,
    now: UnixMillis,
    chain: Vec<Invoice>,
}

// === impl World ===

impl World {
    fn new(currency: &str) -> World {
        let (wallet, developer) = (WalletId(Uuid::from_u128(1)), DeveloperId(Uuid::from_u128(2)));
        let now = period(FIRST).start();
        let currency = currency.parse().unwrap();
        let mut account = Account::unopened(wallet, "acme", developer, currency, 1, now);
        account.apply(&booking::open(&account).unwrap());
        let mut rates = RateBook::default();
        let band = |up_to: Option<&str>, price: &str| PriceBand {
            up_to: up_to.map(units),
            price: money(price),
        };
        let first = vec![band(Some("10"), "0.333333333"), band(None, "0.11")];
        let second = vec![band(Some("5"), "0.07"), band(Some("20"), "0.031"), band(None, "0.2")];
        for (revision, bands) in [(1, first), (2, second)] {
            let prices = Rates::new(Model::Marginal, bands, units("2")).unwrap();
            rates.add(PlanId(Uuid::from_u128(4)), revision, Arc::new(prices));
        }
        let (registers, entries, chain) = Default::default();
        World { account, registers, entries, rates, now, chain }
    }

    fn meter(&self, billing: BillingType, month: Period, revision: u32) -> Meter {
        Meter {
            wallet: self.account.header.wallet,
            product: ProductId(Uuid::from_u128(3)),
            plan: PlanId(Uuid::from_u128(4)),
            billing,
            period: month,
            revision,
        }
    }

    fn apply(&mut self, change: Change) {
        self.account.apply(&change);
        self.entries.extend(change.entries);
    }

    fn booking(&self, id: &str) -> Booking {
        let (id, by) = (id.to_owned(), "test".to_owned());
        Booking { id, at: self.now, by, reason: "a fee".to_owned(), is_forced: false }
    }

    fn count(&mut self, meter: Meter, more: &str) {
        let by = Incarnation { born: self.now, id: Uuid::from_u128(9) };
        let by = self.registers.keys().next().map_or(by, |(_, by)| *by);
        let register = self.registers.entry((meter, by)).or_default();
        let live = register.live.plus(units(more)).unwrap();
        register.merge(Register { live, ..Register::default() });
    }

    fn credit(&mut self, amount: &str) {
        let (account, registers) = (&self.account, &self.registers);
        let asked = self.booking(&format!("credit-{}", self.entries.len()));
        let change = booking::credit(account, registers, &self.rates, &asked, money(amount));
        self.apply(change.unwrap());
    }

    fn fee(&mut self, amount: &str) {
        self.fee_of(BillingType::Postpaid, amount);
    }

    fn fee_of(&mut self, billing: BillingType, amount: &str) {
        let fees = [Fee {
            id: format!("fee-{}", self.entries.len()),
            amount: money(amount),
            reason: "monthly fee".to_owned(),
        }];
        let (account, registers) = (&self.account, &self.registers);
        let asked = self.booking("any");
        let planned = booking::purchase(account, registers, &self.rates, &asked, &fees, billing);
        self.apply(planned.unwrap());
    }

    fn transfer(&mut self) {
        let asked = self.booking(&format!("switch-{}", self.entries.len()));
        let (account, registers) = (&self.account, &self.registers);
        let change = booking::transfer(account, registers, &self.rates, &asked);
        self.apply(change.unwrap());
    }

    fn close(&mut self, through: Period) {
        loop {
            let (account, registers, rates) = (&self.account, &self.registers, &self.rates);
            let planned = booking::checkpoint(account, registers, rates, through, self.now, "test");
            match planned.unwrap() {
                Some(change) => self.apply(change),
                None => return,
            }
        }
    }

    /// Moves on to so long after the end of a month.
    fn after(&mut self, month: Period, hours: u64) {
        self.now = month.end().plus(Duration::from_secs(hours * 3_600));
    }

    /// Closes a month in time, and writes its invoices a day later.
    fn invoice(&mut self, month: &str) -> Vec<Invoice> {
        let month = period(month);
        self.after(month, 1);
        self.close(month);
        self.after(month, 25);
        self.close(month);
        self.write(month)
    }

    fn write(&mut self, month: Period) -> Vec<Invoice> {
        let before = self.chain.len();
        let charges = self.charges();
        let months = Months { first: period(FIRST), through: month };
        let is_next = |chain: &[Invoice]| {
            chain.last().is_none_or(|one| one.month < month || one.is_continued)
        };
        while is_next(&self.chain) {
            let names = Names::new();
            let next = compose(&charges, &names, &self.chain, months, self.now).unwrap();
            let Some(next) = next else { break };
            self.chain.push(next);
        }
        self.check();
        self.chain[before..].to_vec()
    }

    fn charges(&self) -> Charges {
        let account = self.account.clone();
        let read =
            WalletRead { account, registers: self.registers.clone(), holds: BTreeMap::new() };
        let (rates, entries) = (self.rates.clone(), self.entries.clone());
        Charges { read, rates, entries, lines: Vec::new(), balance: Money::ZERO }
    }

    /// What must hold of every chain.
    fn check(&self) {
        let currency = self.account.header.currency;
        let (mut taken, mut totals, mut carried) = (Money::ZERO, Money::ZERO, Money::ZERO);
        let mut seen = BTreeSet::new();
        for invoice in &self.chain {
            assert_eq!(invoice.brought, carried);
            for line in &invoice.lines {
                assert!(!line.entries.is_empty());
                taken = taken.plus(line.amount).unwrap();
                line.entries.iter().for_each(|id| assert!(seen.insert(id.clone()), "{id} twice"));
            }
            totals = totals.plus(invoice.total).unwrap();
            carried = invoice.carried;
            let items: i64 = invoice.items.iter().map(|item| item.minor).sum();
            assert_eq!(items, to_minor(invoice.total, currency).unwrap());
            assert!(invoice.items.len() <= ITEMS_MAX);
            let least = from_minor(least(currency), currency);
            assert!(invoice.total.is_zero() || invoice.total >= least);
        }
        assert_eq!(taken, totals.plus(carried).unwrap());
        let entries = self.entries.iter().filter(|entry| seen.contains(&entry.id));
        let booked = entries.fold(Money::ZERO, |sum, entry| sum.plus(owed(entry)).unwrap());
        assert_eq!(taken, booked);
    }
}

#[test]
fn a_month_is_invoiced_with_its_bands_and_rounded_once() {
    let mut world = World::new("EUR");
    let meter = world.meter(BillingType::Postpaid, period(FIRST), 1);
    world.count(meter, "13.5");
    world.count(world.meter(BillingType::Prepaid, period(FIRST), 1), "1000");
    world.fee("9.99");
    let [invoice] = &world.invoice(FIRST)[..] else { panic!("one invoice") };
    // 2 free, 10 at 0.333333333, 1.5 at 0.11.
    assert_eq!(invoice.lines[0].amount, money("3.49833333"));
    let usage = invoice.lines[0].usage.as_ref().unwrap();
    let bands: Vec<_> = usage.bands.iter().map(|band| (&*band.part, band.units)).collect();
    let want = [("free", units("2")), ("band 1", units("10")), ("band 2", units("1.5"))];
    assert_eq!((bands, usage.units), (want.to_vec(), units("13.5")));
    assert_eq!((invoice.total, invoice.carried), (money("13.49"), money("-0.00166667")));
    let minors: Vec<i64> = invoice.items.iter().map(|item| item.minor).collect();
    assert_eq!(minors, [350, 999]);
    assert_eq!(world.invoice(FIRST), []);
}

#[test]
fn late_units_of_an_earlier_revision_stand_on_the_next_invoice_and_may_be_a_credit() {
    let mut world = World::new("EUR");
    let november = period(FIRST);
    world.count(world.meter(BillingType::Postpaid, november, 2), "30");
    world.invoice(FIRST);
    // They move units of the later revision along its bands.
    world.after(november, 40);
    world.count(world.meter(BillingType::Postpaid, november, 1), "7");
    world.close(november);
    let [invoice] = &world.invoice("2026-12")[..] else { panic!("one invoice") };
    let told: Vec<_> = invoice.lines.iter().map(|line| line.kind).collect();
    assert_eq!(told, [LineKind::Late, LineKind::Late]);
    assert!(invoice.lines.iter().all(|line| line.usage.as_ref().unwrap().period == november));
    assert!(invoice.lines[0].description().starts_with("Late usage of 2026-11: "));
    let first = world.chain[0].lines[0].amount;
    let late = invoice.lines[0].amount.plus(invoice.lines[1].amount).unwrap();
    let meters = world.account.meters.values();
    let charged = meters.fold(Money::ZERO, |sum, one| sum.plus(one.closed_charge).unwrap());
    assert_eq!(first.plus(late).unwrap(), charged);
}

#[test]
fn what_was_left_of_a_prepaid_balance_is_netted_once_over_the_end_of_the_year() {
    let mut world = World::new("EUR");
    world.credit("10");
    world.transfer();
    world.fee("3");
    let [november] = &world.invoice(FIRST)[..] else { panic!("one invoice") };
    assert_eq!((november.total, november.carried), (Money::ZERO, money("-7")));
    assert!(!november.is_asked_for() && november.items.is_empty());
    assert_eq!(world.invoice("2026-12"), []);
    world.fee("12.5");
    // Paid in later, and so not moved.
    world.credit("50");
    let [january] = &world.invoice("2027-01")[..] else { panic!("one invoice") };
    assert_eq!((january.brought, january.total), (money("-7"), money("5.5")));
    assert_eq!(january.carried, Money::ZERO);
}

#[test]
fn nothing_of_shadow_mode_is_invoiced() {
    let mut world = World::new("EUR");
    world.fee_of(BillingType::Shadow, "7");
    let month = period(FIRST);
    for billing in [BillingType::Shadow, BillingType::ShadowRefused] {
        world.count(world.meter(billing, month, 1), "1000");
    }
    assert_eq!(world.invoice(FIRST), []);
    assert!(world.entries.len() > 1, "the fee and the checkpoint are noted");
}

#[test]
fn less_than_stripe_takes_is_carried_and_more_than_it_takes_is_cut() {
    let mut world = World::new("VND");
    world.fee("0.4");
    let [small] = &world.invoice(FIRST)[..] else { panic!("one invoice") };
    assert_eq!((small.total, small.carried), (Money::ZERO, money("0.4")));
    world.fee("250000000");
    let parts = world.invoice("2026-12");
    let totals: Vec<_> = parts.iter().map(|part| part.total.to_string()).collect();
    assert_eq!(totals, ["99999999", "99999999", "50000002"]);
    let continued: Vec<_> = parts.iter().map(|part| part.is_continued).collect();
    assert_eq!(continued, [true, true, false]);
    assert!(parts[1].lines.is_empty() && parts[2].lines.is_empty());
    let mut euros = World::new("EUR");
    euros.fee("0.49");
    assert_eq!(euros.invoice(FIRST)[0].total, Money::ZERO);
    euros.fee("0.01");
    assert_eq!(euros.invoice("2026-12")[0].total, money("0.5"));
}

#[test]
fn more_lines_than_fit_are_put_together_or_stand_on_the_next_invoice() {
    let mut world = World::new("EUR");
    (0..300).for_each(|_| world.fee("1.005"));
    let [invoice] = &world.invoice(FIRST)[..] else { panic!("one invoice") };
    assert_eq!((invoice.lines.len(), invoice.items.len()), (300, 1));
    assert_eq!((&*invoice.items[0].description, invoice.items[0].minor), ("Fees", 30_150));
    (0..=LINES_MAX).for_each(|_| world.fee("1"));
    let parts = world.invoice("2026-12");
    let lines: Vec<_> = parts.iter().map(|part| part.lines.len()).collect();
    assert_eq!(lines, [LINES_MAX, 1]);
}

#[test]
fn a_year_of_random_months_adds_up() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new(["EUR", "JPY", "KWD", "ISK"][random.usize(0..4)]);
        let first = period(FIRST).number();
        for number in first..first + 13 {
            let month = Period::from_number(number).unwrap();
            // After the last month was invoiced.
            world.now = month.start().plus(Duration::from_secs(random.u64(100_000..600_000)));
            for _ in 0..random.usize(0..6) {
                let billing = [BillingType::Prepaid, BillingType::Postpaid][random.usize(0..2)];
                // Late units as well, of any month before.
                let of = Period::from_number(random.u32(first..=number)).unwrap();
                let meter = world.meter(billing, of, random.u32(1..3));
                let more = format!("{}.{}", random.u32(0..40), random.u32(0..99));
                match random.usize(0..6) {
                    0 => world.fee(&format!("{}.{:03}", random.u32(0..9), random.u32(1..999))),
                    1 => world.credit("1.234567891"),
                    2 => world.transfer(),
                    3 if number > first => world.close(Period::from_number(number - 1).unwrap()),
                    _ => world.count(meter, &more),
                }
            }
            // Some months nobody is there, and the next one takes all up.
            if random.u8(0..4) > 0 {
                world.invoice(&month.to_string());
            }
        }
        // What is closed after a month's end, and late, is the next one's.
        for number in [first + 13, first + 14] {
            world.invoice(&Period::from_number(number).unwrap().to_string());
        }
        let all = world.entries.iter().filter(|entry| is_for_invoices(entry));
        let all = all.fold(Money::ZERO, |sum, entry| sum.plus(owed(entry)).unwrap());
        let totals = world.chain.iter().fold(Money::ZERO, |sum, one| sum.plus(one.total).unwrap());
        let carried = world.chain.last().map_or(Money::ZERO, |one| one.carried);
        assert_eq!(all, totals.plus(carried).unwrap(), "seed {seed}");
    }
}
