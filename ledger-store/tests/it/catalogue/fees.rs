//! Fees and moved balances over a real ledger: once each, whatever is cut, repeated or raced.

use std::sync::Arc;
use std::time::Duration;

use tollgate_ledger_store::catalogue::acceptances::FirstFees;
use tollgate_ledger_store::catalogue::records::{Developer, PackageText, PlanTerms, Subscription};
use tollgate_ledger_store::catalogue::{Credit, wallet_id};
use tollgate_ledger_store::fees::{FEE_PATIENCE, Fees, FeesError, PURCHASE_PATIENCE};
use tollgate_ledger_store::{
    Book, BookError, Catalogue, CatalogueError, DocumentStore, Ledger, RateSource,
};
use tollgate_metering::account::{Ceiling, Overspend};
use tollgate_metering::{
    BillingType, Currency, DeveloperId, Entry, EntryKind, Money, Period, UnixMillis, WalletId,
};

use super::desk::{ACME, Desk, always, later, published};
use crate::fault::{Fault, Faulty};
use crate::fixtures::{NOON, TestClock, booking, incarnation, money};

mod returns;
mod switches;

const EMAIL: &str = "ada@example.com";
/// More writes than any operation has.
const WRITES_MAX: i64 = 20;
/// Midnights of the months after `NOON`, which is in November 2026.
const DECEMBER: UnixMillis = UnixMillis(1_796_083_200_000);
const JANUARY: UnixMillis = UnixMillis(1_798_761_600_000);
const MARCH: UnixMillis = UnixMillis(1_803_859_200_000);

/// One process: a catalogue, a book, and what books by time.
struct Process {
    catalogue: Arc<Catalogue>,
    book: Arc<Book>,
    fees: Fees,
}

fn eur() -> Currency {
    "EUR".parse().unwrap()
}

fn terms(setup: &str, recurring: &str) -> PlanTerms {
    let fee = |amount: &str| Some(money(amount)).filter(|fee| !fee.is_zero());
    let (setup_fee, recurring_fee) = (fee(setup), fee(recurring));
    PlanTerms { setup_fee, recurring_fee, ..published("1", 0, None) }
}

impl Process {
    fn over(catalogue: Catalogue, ledger: Arc<dyn Ledger>) -> Process {
        let catalogue = Arc::new(catalogue);
        let rates = Arc::clone(&catalogue) as Arc<dyn RateSource>;
        let book = Book::new(Arc::clone(&ledger), rates, Arc::new(TestClock::at(NOON)));
        let book = Arc::new(book);
        let fees = Fees::new(Arc::clone(&catalogue), ledger, Arc::clone(&book));
        Process { catalogue, book, fees }
    }

    /// A purchase as the API makes it; cut where a document cannot be written.
    async fn buy(&self, developer: &Developer, now: UnixMillis) -> Result<Subscription, FeesError> {
        let begun =
            self.catalogue.begin_subscription(ACME, developer, "weather", always(), now).await?;
        if !begun.is_pending {
            return Ok(begun);
        }
        let wallet = wallet_id(developer.id, eur());
        let (fees, by) = (begun.purchase_fees(), booking("any"));
        let billing = begun.purchase_billing(developer.billing);
        self.book.purchase(wallet, &by, &fees, billing).await?;
        Ok(self.catalogue.activate_subscription(ACME, developer, &begun, now).await?)
    }

    /// One pass over everything.
    async fn pass(&self, now: UnixMillis) {
        let mut place = None;
        loop {
            let tended = self.fees.tend(place, now).await.unwrap();
            assert!(tended.failed.is_empty(), "{:?}", tended.failed);
            place = tended.next;
            if place.is_none() {
                return;
            }
        }
    }

    async fn switch(&self, billing: BillingType, now: UnixMillis) -> Result<(), FeesError> {
        let changed = self.catalogue.set_billing(ACME, EMAIL, billing, now).await?;
        let moved = self.fees.finish_switch(ACME, &changed, "test", false, now).await;
        moved.failed.map_or(Ok(()), Err)
    }
}

impl Desk {
    fn process(&self) -> Process {
        let documents = Arc::clone(&self.ledger) as Arc<dyn DocumentStore>;
        let catalogue = Desk::over(documents, &self.ledger);
        Process::over(catalogue, Arc::clone(&self.ledger) as Arc<dyn Ledger>)
    }

    fn dying_process(&self, writes: i64) -> Process {
        Process::over(self.dying(writes), Arc::clone(&self.ledger) as Arc<dyn Ledger>)
    }

    fn faulty_process(&self, faults: Vec<Fault>) -> Process {
        let ledger = Faulty::new(Arc::clone(&self.ledger) as Arc<dyn Ledger>, faults);
        let documents = Arc::clone(&self.ledger) as Arc<dyn DocumentStore>;
        let ledger = ledger as Arc<dyn Ledger>;
        Process::over(Catalogue::new(documents, Arc::clone(&ledger)), ledger)
    }

    /// A developer with a wallet, and a product to buy.
    async fn shop(&self, plan: &PlanTerms, billing: BillingType, credit: &str) -> Developer {
        self.developer(EMAIL).await;
        self.product("weather").await;
        self.plan("weather", plan).await.unwrap();
        let set = self.catalogue.set_billing(ACME, EMAIL, billing, NOON).await;
        let developer = set.unwrap();
        self.catalogue.open_wallet(ACME, developer.id, eur(), NOON).await.unwrap();
        if credit != "0" {
            self.credit(&developer, credit, "first").await;
        }
        developer
    }

    async fn credit(&self, developer: &Developer, amount: &str, id: &str) {
        let (book, id) = (self.process().book, booking(id));
        book.credit(ACME, developer.id, eur(), &id, money(amount)).await.unwrap();
    }

    async fn balance(&self, developer: &Developer) -> Money {
        let standing = self.process().book.standing(wallet_id(developer.id, eur())).await;
        standing.unwrap().balance
    }

    async fn entries(&self, developer: DeveloperId, kind: EntryKind) -> Vec<Entry> {
        let all = self.ledger.entries(developer, None, 1_000).await.unwrap();
        all.into_iter().filter(|entry| entry.kind == kind).collect()
    }

    async fn subscriptions(&self, developer: &Developer) -> (usize, usize) {
        let page = self.catalogue.subscribers(ACME, None, 10).await.unwrap();
        let all = page.into_iter().find(|(id, _)| *id == developer.id);
        let all = all.map(|(_, all)| all).unwrap_or_default();
        let pending = all.iter().filter(|one| one.is_pending).count();
        (all.len() - pending, pending)
    }
}

/// The process dies after each of its writes. Whoever buys again, or housekeeping an hour later,
/// ends it: paid and in force, or neither.
#[tokio::test]
async fn a_purchase_that_was_cut_is_paid_and_in_force_or_neither() {
    let now = NOON.plus(PURCHASE_PATIENCE);
    for is_bought_again in [false, true] {
        for billing in [BillingType::Prepaid, BillingType::Postpaid] {
            let mut has_ended = false;
            for writes in 0..WRITES_MAX {
                let desk = Desk::open().await;
                let developer = desk.shop(&terms("4", "30"), billing, "20").await;
                let cut = desk.dying_process(writes).buy(&developer, NOON).await;
                let process = desk.process();
                if is_bought_again {
                    // Repeated, it is either refused, because it was done, or does it.
                    let again = process.buy(&developer, later(1)).await;
                    assert!(again.is_ok() || cut.is_ok(), "{:?}", again.err());
                }
                process.pass(now).await;
                process.pass(now.plus(PURCHASE_PATIENCE)).await;
                let (active, pending) = desk.subscriptions(&developer).await;
                let is_prepaid = billing == BillingType::Prepaid;
                let kind = if is_prepaid { EntryKind::Fee } else { EntryKind::PostpaidFee };
                let fees = desk.entries(developer.id, kind).await;
                let sum = fees.iter().map(|fee| fee.amount.nanos()).sum::<i128>();
                assert_eq!(pending, 0, "cut after {writes} writes");
                // 4 and nine days of 30.
                assert_eq!(sum, active as i128 * 13_000_000_000, "cut after {writes} writes");
                assert!(active == 1 || (active == 0 && !is_bought_again));
                let left = if is_prepaid { sum } else { 0 };
                assert_eq!(desk.balance(&developer).await.nanos(), 20_000_000_000 - left);
                if cut.is_ok() {
                    has_ended = true;
                    break;
                }
            }
            assert!(has_ended, "the operation never ended");
        }
    }
}

/// The ledger went away between the pending subscription and its fees.
#[tokio::test]
async fn a_purchase_that_was_never_paid_is_taken_back_after_an_hour() {
    let desk = Desk::open().await;
    let developer = desk.shop(&terms("4", "30"), BillingType::Prepaid, "20").await;
    let cut = desk.faulty_process(vec![Fault::Away]).buy(&developer, NOON).await;
    assert!(matches!(cut, Err(FeesError::Book(BookError::Ledger(_)))), "{cut:?}");
    let (process, over) = (desk.process(), NOON.plus(PURCHASE_PATIENCE));
    process.pass(UnixMillis(over.0 - 1)).await;
    assert_eq!(desk.subscriptions(&developer).await, (0, 1), "somebody may still be at it");
    process.pass(over).await;
    assert_eq!(desk.subscriptions(&developer).await, (0, 0));
    assert_eq!(desk.balance(&developer).await, money("20"));
}

/// The fees of an acceptance stand at one of its subscriptions: without them none is in force, also
/// where that one alone was taken back.
#[tokio::test]
async fn an_acceptance_that_was_never_paid_gives_no_product_away() {
    let desk = Desk::open().await;
    let developer = desk.shop(&terms("0", "0"), BillingType::Prepaid, "0").await;
    desk.product("maps").await;
    let (text, products) = (PackageText::default(), ["weather", "maps"].map(str::to_owned));
    let catalogue = &desk.catalogue;
    catalogue.create_package(ACME, "bundle", &text, &products, NOON).await.unwrap();
    let gold = terms("4", "30");
    let plan = |_: &_| Some(gold.clone());
    catalogue.create_package_plan(ACME, "bundle", Some("gold"), plan, NOON).await.unwrap();
    let accept = async || {
        catalogue.accept_plan(ACME, &developer, "gold", always(), FirstFees::Due, NOON).await
    };

    accept().await.unwrap();
    assert_eq!(desk.subscriptions(&developer).await, (0, 2));
    desk.process().pass(NOON.plus(PURCHASE_PATIENCE)).await;
    assert_eq!(desk.subscriptions(&developer).await, (0, 0), "not paid, not in force");

    let begun = accept().await.unwrap();
    let first = begun[0].id;
    catalogue.abandon_subscription(ACME, developer.id, first, NOON).await.unwrap();
    assert_eq!(desk.subscriptions(&developer).await, (0, 0), "the others went with the first");

    // Paid and cut: all of it comes in force.
    desk.credit(&developer, "20", "top-up").await;
    let begun = accept().await.unwrap();
    let (fees, by) = (begun[0].purchase_fees(), booking("any"));
    let wallet = wallet_id(developer.id, eur());
    desk.process().book.purchase(wallet, &by, &fees, developer.billing).await.unwrap();
    desk.process().pass(NOON.plus(PURCHASE_PATIENCE)).await;
    assert_eq!(desk.subscriptions(&developer).await, (2, 0));
}

#[tokio::test]
async fn fees_of_a_purchase_are_booked_once_whatever_becomes_of_the_commit() {
    for faults in [
        vec![Fault::AnswerLost],
        vec![Fault::RequestLost],
        vec![Fault::Delayed],
        vec![Fault::Delayed, Fault::RequestLost, Fault::AnswerLost],
    ] {
        let desk = Desk::open().await;
        let developer = desk.shop(&terms("4", "30"), BillingType::Prepaid, "20").await;
        desk.faulty_process(faults.clone()).buy(&developer, NOON).await.unwrap();
        assert_eq!(desk.balance(&developer).await, money("7"), "{faults:?}");
        assert_eq!(desk.subscriptions(&developer).await, (1, 0));
    }
}

/// Two nodes meet the same midnight, over the same file; three months nobody was there.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_race_charge_each_period_once_also_after_a_long_absence() {
    let desk = Desk::open().await;
    let developer = desk.shop(&terms("0", "30"), BillingType::Prepaid, "100").await;
    desk.process().buy(&developer, NOON).await.unwrap();
    assert_eq!(desk.balance(&developer).await, money("91"));
    let nodes = [desk.process(), desk.process(), desk.process()];
    nodes[0].pass(UnixMillis(DECEMBER.0 - 1)).await;
    assert_eq!(desk.balance(&developer).await, money("91"));
    let race = |now: UnixMillis| {
        let [one, two, three] = &nodes;
        async move { tokio::join!(one.pass(now), two.pass(now), three.pass(now)) }
    };
    race(DECEMBER).await;
    assert_eq!(desk.balance(&developer).await, money("61"));
    race(DECEMBER.plus(Duration::from_secs(86_400))).await;
    assert_eq!(desk.balance(&developer).await, money("61"));
    // January, February and March, the last into debt.
    race(MARCH).await;
    assert_eq!(desk.balance(&developer).await, money("-29"));
    let ids: Vec<String> = desk
        .entries(developer.id, EntryKind::Fee)
        .await
        .iter()
        .map(|fee| fee.id.rsplit('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["2026-11", "2026-12", "2027-01", "2027-02", "2027-03"]);
}

#[tokio::test]
async fn a_node_that_dies_after_the_fee_does_not_charge_it_again() {
    for writes in 0..WRITES_MAX {
        let desk = Desk::open().await;
        let developer = desk.shop(&terms("0", "30"), BillingType::Prepaid, "100").await;
        desk.process().buy(&developer, NOON).await.unwrap();
        let tended = desk.dying_process(writes).fees.tend(None, DECEMBER).await.unwrap();
        assert_eq!(desk.balance(&developer).await, money("61"), "cut after {writes} writes");
        desk.process().pass(DECEMBER).await;
        assert_eq!(desk.balance(&developer).await, money("61"), "cut after {writes} writes");
        if tended.failed.is_empty() {
            return;
        }
    }
    panic!("the operation never ended");
}

#[tokio::test]
async fn an_expired_subscription_is_not_charged_and_who_pays_later_is_not_debited() {
    let desk = Desk::open().await;
    let developer = desk.shop(&terms("0", "30"), BillingType::Postpaid, "0").await;
    let process = desk.process();
    let bought = process.buy(&developer, NOON).await.unwrap();
    process.pass(DECEMBER).await;
    assert_eq!(desk.balance(&developer).await, Money::ZERO);
    let fees = desk.entries(developer.id, EntryKind::PostpaidFee).await;
    let amounts: Vec<String> = fees.iter().map(|fee| fee.amount.to_string()).collect();
    assert_eq!(amounts, ["9", "30"]);
    let (id, ended) = (bought.id.to_string(), JANUARY);
    process.catalogue.expire_subscription(ACME, &developer, &id, ended).await.unwrap();
    process.pass(MARCH).await;
    assert_eq!(desk.entries(developer.id, EntryKind::PostpaidFee).await.len(), 2);
}

/// A plan is tried in shadow mode and bites in the middle of December: what it cost before is noted,
/// and never booked again.
#[tokio::test]
async fn fees_of_a_plan_in_shadow_mode_are_noted_and_paid_from_the_next_on_once_it_bites() {
    let desk = Desk::open().await;
    let tried = PlanTerms { shadow: Some(true), ..terms("4", "30") };
    let developer = desk.shop(&tried, BillingType::Prepaid, "40").await;
    let process = desk.process();
    process.buy(&developer, NOON).await.unwrap();
    process.pass(DECEMBER).await;
    let product = process.catalogue.product(ACME, "weather").await.unwrap();
    let (id, bitten) = (product.plans[0].id.to_string(), DECEMBER.plus(FEE_PATIENCE));
    let live = PlanTerms { shadow: Some(false), ..tried };
    process.catalogue.update_plan(ACME, "weather", &id, &live, bitten).await.unwrap();
    process.pass(bitten).await;
    assert_eq!(desk.balance(&developer).await, money("40"));
    process.pass(JANUARY).await;
    assert_eq!(desk.balance(&developer).await, money("10"));
    let amounts = async |kind| {
        let fees = desk.entries(developer.id, kind).await;
        fees.iter().map(|fee| fee.amount.to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    let noted = ["30", "4", "9"].map(str::to_owned).into();
    assert_eq!(amounts(EntryKind::ShadowFee).await, noted);
    assert_eq!(amounts(EntryKind::Fee).await, ["30".to_owned()].into());
}

/// A fee of a strict wallet leaves what gateways may spend alone, for an hour.
#[tokio::test]
async fn a_recurring_fee_waits_for_reserved_money_and_is_forced_in_the_end() {
    let desk = Desk::open().await;
    let developer = desk.shop(&terms("0", "30"), BillingType::Prepaid, "40").await;
    let process = desk.process();
    process.buy(&developer, NOON).await.unwrap();
    let wallet = wallet_id(developer.id, eur());
    desk.reserve(wallet, "20").await;
    let tended = process.fees.tend(None, DECEMBER).await.unwrap();
    assert_eq!(tended.failed.len(), 1, "31 are left, of which 20 are reserved");
    assert_eq!(desk.balance(&developer).await, money("31"));
    process.pass(DECEMBER.plus(FEE_PATIENCE)).await;
    assert_eq!(desk.balance(&developer).await, money("1"));
    let fees = desk.entries(developer.id, EntryKind::Fee).await;
    let forced: Vec<bool> = fees.iter().map(|fee| fee.is_forced).collect();
    assert_eq!(forced, [false, true]);
}

impl Desk {
    /// Makes a wallet strict, with a grant out.
    async fn reserve(&self, wallet: WalletId, amount: &str) {
        let account = self.ledger.read(wallet).await.unwrap().unwrap().account;
        let mut change = account.change();
        change.header.mode.overspend = Overspend::Strict;
        let most = money(amount);
        let ceiling = Ceiling { draw: most, most, is_retired: false, ..Ceiling::RETIRED };
        change.ceilings.insert(incarnation(NOON), Some(ceiling));
        self.ledger.commit(&change).await.unwrap();
    }

    async fn give_back(&self, wallet: WalletId) {
        let account = self.ledger.read(wallet).await.unwrap().unwrap().account;
        let mut change = account.change();
        change.ceilings = account.ceilings.keys().map(|each| (*each, None)).collect();
        self.ledger.commit(&change).await.unwrap();
    }
}

#[tokio::test]
async fn what_may_be_owed_is_told_with_fees_and_without_what_was_left() {
    let desk = Desk::open().await;
    let developer = desk.shop(&terms("2", "0"), BillingType::Prepaid, "5").await;
    let process = desk.process();
    let app = desk.app(&developer, "shop", &["weather"]).await;
    let set = async |limit: Option<&str>| {
        let limit = limit.map(money);
        process.catalogue.set_credit_limit(ACME, developer.id, eur(), limit, NOON).await.unwrap();
    };
    let told = async || desk.resolve(&app).await.unwrap().credits.get(&eur()).copied();
    set(Some("10")).await;
    assert_eq!(told().await, None, "who pays in advance owes nothing");
    process.switch(BillingType::Postpaid, NOON).await.unwrap();
    let (limit, period) = (money("10"), Period::of(NOON));
    let want = |owed: &str| Some(Credit { limit, owed: money(owed), period });
    assert_eq!(told().await, want("-5"), "what was left is netted");
    let developer = process.catalogue.developer(ACME, EMAIL).await.unwrap();
    process.buy(&developer, NOON).await.unwrap();
    assert_eq!(told().await, want("-3"), "a setup fee is owed");
    set(None).await;
    assert_eq!(told().await, None);
}
