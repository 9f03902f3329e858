//! Months, leap days, year ends; and plans that say something else later.

use super::*;
use crate::catalogue::Window;
use crate::catalogue::records::{PackageTerms, Plan, ProductTerms};

/// Milliseconds of a day (and hour) by the civil calendar, by plain counting.
fn at(year: i64, month: i64, day: i64, hour: i64) -> UnixMillis {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut days: i64 = (1970..year).map(|year| 365 + i64::from(is_leap(year))).sum();
    let february = 28 + i64::from(is_leap(year));
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    days += months.iter().take(usize::try_from(month - 1).unwrap()).sum::<i64>();
    UnixMillis(((days + day - 1) * 24 + hour) * 3_600_000)
}

fn terms(fee: &str, months: u32) -> PlanTerms {
    PlanTerms {
        display_name: "standard".to_owned(),
        is_monthly: true,
        currency: Some("EUR".parse().unwrap()),
        recurring_fee: Some(fee.parse().unwrap()),
        fee_months: months,
        state: PlanState::Published,
        start: Some(UnixMillis(0)),
        ..PlanTerms::default()
    }
}

/// A product whose only plan was created at `now`.
fn product(terms: &PlanTerms, now: UnixMillis) -> Product {
    let plan = Plan {
        id: PlanId(Uuid::from_u128(4)),
        name: None,
        terms: terms.clone(),
        revision: 1,
        freemium_revision: 0,
        created_at: now,
        modified_at: now,
    };
    let mut product = Product {
        id: tollgate_metering::ProductId(Uuid::from_u128(3)),
        name: "weather".to_owned(),
        terms: ProductTerms::default(),
        plans: vec![plan],
        fee_log: Vec::new(),
        created_at: now,
        modified_at: now,
    };
    product.note_fee(PlanId(Uuid::from_u128(4)), Some(terms), now).unwrap();
    product
}

fn edit(product: &mut Product, terms: Option<&PlanTerms>, now: UnixMillis) {
    product.note_fee(PlanId(Uuid::from_u128(4)), terms, now).unwrap();
}

fn bought(product: &Product, now: UnixMillis, end: Option<UnixMillis>) -> Subscription {
    let offer = product.offer_at(now, None).unwrap();
    Subscription {
        id: Uuid::from_u128(9),
        product: product.id,
        product_name: product.name.clone(),
        plan: None,
        acceptance: None,
        is_feeless: false,
        is_suspended: false,
        window: Window { start: now, end },
        setup_fee: offer.setup_fee,
        currency: Some(offer.currency),
        first_fee: offer.first_fee,
        first_period: Some(offer.first.number()),
        next_period: Some(offer.next.number()),
        is_shadow: offer.is_shadow,
        is_pending: false,
        is_fee_back_due: false,
        created_at: now,
        modified_at: now,
    }
}

/// What falls due until `now`: period and amount each.
fn dues(held: &Subscription, product: &Product, now: UnixMillis) -> Vec<(String, String)> {
    let (mut from, mut dues) = (held.next_due(), Vec::new());
    while let Ok(due) = held.due(product, from, now) {
        dues.push((due.period.to_string(), due.amount.to_string()));
        from = due.next;
    }
    dues
}

fn pairs(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

#[test]
fn the_first_interval_is_paid_by_days() {
    let check = |rows: &[(UnixMillis, u32, &str, &str)]| {
        for (time, months, want, next) in rows {
            let product = product(&terms("62", *months), UnixMillis(0));
            let offer = product.offer_at(*time, None).unwrap();
            let fee = offer.first_fee.unwrap_or(Money::ZERO).to_string();
            assert_eq!((fee.as_str(), offer.next.to_string().as_str()), (*want, *next), "{time}");
        }
    };
    check(&[
        (at(2026, 1, 1, 0), 1, "62", "2026-02"),
        (at(2026, 1, 31, 23), 1, "2", "2026-02"),
        // A leap day is a day like others: the last of 29.
        (at(2028, 2, 29, 12), 1, "2.137931034", "2028-03"),
        (at(2028, 2, 28, 12), 1, "4.275862069", "2028-03"),
        (at(2027, 2, 28, 12), 1, "2.214285714", "2027-03"),
        (at(2026, 4, 30, 0), 1, "2.066666667", "2026-05"),
        (at(2026, 12, 31, 23), 1, "2", "2027-01"),
        // Two months, December and January: 32 days of 62.
        (at(2026, 12, 31, 23), 2, "32", "2027-02"),
        (at(2026, 12, 31, 23), 0, "2", "2027-01"),
    ]);
}

#[test]
fn fees_fall_due_at_the_start_of_each_month_over_leap_days_and_year_ends() {
    let product = product(&terms("10", 1), UnixMillis(0));
    let held = bought(&product, at(2027, 12, 31, 12), None);
    assert_eq!(dues(&held, &product, at(2027, 12, 31, 23)), []);
    assert_eq!(dues(&held, &product, UnixMillis(at(2028, 1, 1, 0).0 - 1)), []);
    assert_eq!(dues(&held, &product, at(2028, 1, 1, 0)), pairs(&[("2028-01", "10")]));
    // Three months nobody was there.
    let want = pairs(&[("2028-01", "10"), ("2028-02", "10"), ("2028-03", "10")]);
    assert_eq!(dues(&held, &product, at(2028, 3, 31, 12)), want);
    let every_other = product_with_months(2);
    let held = bought(&every_other, at(2027, 12, 31, 12), None);
    let want = pairs(&[("2028-02", "10"), ("2028-04", "10")]);
    assert_eq!(dues(&held, &every_other, at(2028, 5, 31, 12)), want);
}

fn product_with_months(months: u32) -> Product {
    product(&terms("10", months), UnixMillis(0))
}

#[test]
fn what_the_plan_said_at_the_start_counts_also_where_it_is_charged_later() {
    let mut product = product(&terms("10", 1), at(2026, 1, 10, 0));
    let held = bought(&product, at(2026, 1, 15, 0), None);
    edit(&mut product, Some(&terms("20", 1)), at(2026, 2, 1, 0));
    edit(&mut product, Some(&terms("30", 1)), at(2026, 2, 10, 0));
    let draft = PlanTerms { state: PlanState::Draft, ..terms("30", 1) };
    edit(&mut product, Some(&draft), at(2026, 3, 20, 0));
    edit(&mut product, Some(&terms("40", 1)), at(2026, 4, 2, 0));
    edit(&mut product, None, at(2026, 5, 2, 0));
    let want = pairs(&[("2026-02", "20"), ("2026-03", "30"), ("2026-05", "40")]);
    assert_eq!(dues(&held, &product, at(2026, 9, 1, 0)), want);
    assert_eq!(product.fee_log.len(), 6);
    // What says nothing new is not noted.
    edit(&mut product, Some(&draft), at(2026, 9, 1, 0));
    assert_eq!(product.fee_log.len(), 6);
}

#[test]
fn a_plan_outside_its_window_and_an_ended_subscription_cost_nothing() {
    let ends = PlanTerms { end: Some(at(2026, 4, 1, 0)), ..terms("10", 1) };
    let product = product(&ends, UnixMillis(0));
    let held = bought(&product, at(2026, 1, 15, 0), None);
    let want = pairs(&[("2026-02", "10"), ("2026-03", "10")]);
    assert_eq!(dues(&held, &product, at(2026, 9, 1, 0)), want);
    let check = |end: UnixMillis, rows: &[(&str, &str)]| {
        let held = bought(&product, at(2026, 1, 15, 0), Some(end));
        assert_eq!(dues(&held, &product, at(2026, 9, 1, 0)), pairs(rows), "{end}");
    };
    check(at(2026, 1, 20, 0), &[]);
    check(at(2026, 2, 1, 0), &[]);
    check(UnixMillis(at(2026, 2, 1, 0).0 + 1), &[("2026-02", "10")]);
}

#[test]
fn a_log_that_is_full_keeps_what_is_in_force() {
    let mut product = product(&terms("10", 1), UnixMillis(0));
    for number in 1..=u32::try_from(FEE_LOG_MAX).unwrap() + 10 {
        let other = PlanId(Uuid::from_u128(5));
        let fee = terms(&format!("{}", 1 + number % 2), 1);
        product.note_fee(other, Some(&fee), UnixMillis(i64::from(number))).unwrap();
    }
    assert!(product.fee_log.len() <= FEE_LOG_MAX);
    let kept = product.recurring_fee_at(at(2026, 1, 1, 0), Some(PlanId(Uuid::from_u128(4))));
    assert_eq!(kept.unwrap().amount.to_string(), "10");
}

#[test]
fn one_bought_before_there_were_recurring_fees_pays_from_the_next_month_that_has_one() {
    let mut product = product(&PlanTerms { recurring_fee: None, ..terms("1", 1) }, UnixMillis(0));
    assert_eq!(product.fee_log, []);
    let held = Subscription {
        next_period: None,
        first_period: None,
        ..bought(&product, at(2025, 3, 3, 0), None)
    };
    edit(&mut product, Some(&terms("7", 1)), at(2026, 2, 3, 0));
    assert_eq!(dues(&held, &product, at(2026, 3, 1, 0)), pairs(&[("2026-03", "7")]));
}

#[test]
fn the_fee_of_a_plan_of_a_package_is_owed_once_by_who_accepted_it() {
    let mut product = product(&terms("10", 1), UnixMillis(0));
    let gold = PlanId(Uuid::from_u128(5));
    let package = Some(PackageTerms::default());
    let fee = PlanTerms { package, ..terms("99", 1) };
    product.note_fee(gold, Some(&fee), UnixMillis(0)).unwrap();
    edit(&mut product, None, at(2026, 3, 3, 0));
    let held = bought(&self::product(&terms("10", 1), UnixMillis(0)), at(2026, 1, 15, 0), None);
    let until = at(2026, 4, 1, 0);
    let own = pairs(&[("2026-02", "10"), ("2026-03", "10")]);
    assert_eq!(dues(&held, &product, until), own, "whatever plans of packages there are");
    let accepted = Subscription { plan: Some(gold), ..held };
    let want = pairs(&[("2026-02", "99"), ("2026-03", "99"), ("2026-04", "99")]);
    assert_eq!(dues(&accepted, &product, until), want);
    let beside = Subscription { is_feeless: true, ..accepted };
    assert_eq!(dues(&beside, &product, until), []);
}
