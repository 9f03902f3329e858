//! Calls that the balance does not pay: of who pays later, and in shadow mode.

use super::*;

#[test]
fn a_credit_limit_counts_all_postpaid_units_of_its_period_and_open_calls() {
    let flat = |plan, billing| tariff(plan, 1, billing, Rates::flat(money("0.01")).unwrap());
    let (one, other) = (flat(1, BillingType::Postpaid), flat(2, BillingType::Postpaid));
    let mut past = (*flat(3, BillingType::Postpaid)).clone();
    past.period = Period::from_number(past.period.number() - 1).unwrap();
    let (past, prepaid) = (Arc::new(past), flat(4, BillingType::Prepaid));
    let mut wallet = Wallet::default();
    let within = |wallet: &mut Wallet, credit: &str, now_s: u64| {
        wallet.within_credit(&one, money(credit), Duration::from_secs(now_s), LIMIT)
    };
    assert_eq!(within(&mut wallet, "1", 0), Err(HoldError::Unknown), "others' units count");
    // Others have used three cents of the period after pay; the rest does not count.
    let others = [(&one, "2"), (&other, "1"), (&past, "50"), (&prepaid, "50")];
    take(&mut wallet, &snapshot("-5", &others), 0, &[&one, &other, &past, &prepaid]);
    let reached =
        |left, price| Err(HoldError::CreditReached { left: money(left), price: money(price) });
    assert_eq!(within(&mut wallet, "0.04", 1), Ok(()));
    assert_eq!(within(&mut wallet, "0.039999999", 1), reached("0.009999999", "0.01"));
    assert_eq!(within(&mut wallet, "0.04", 11), Err(HoldError::TooOld));
    wallet.open(&one, Life(0), 3);
    let open = wallet.hold(&one, Life(0), Units::ONE, Duration::ZERO, LIMIT).unwrap();
    assert_eq!(within(&mut wallet, "0.04", 1), reached("0.01", "0.01"), "an open call counts");
    wallet.settle(open, units("2.5"));
    assert_eq!(within(&mut wallet, "0.06", 1), reached("0.005", "0.01"), "all that it used");
    let free = tariff(5, 1, BillingType::Postpaid, Rates::flat(Money::ZERO).unwrap());
    assert_eq!(wallet.within_credit(&free, money("-1"), Duration::ZERO, LIMIT), Ok(()));
}

#[test]
fn a_postpaid_call_needs_no_balance() {
    let later = tariff(1, 1, BillingType::Postpaid, Rates::flat(money("9")).unwrap());
    let mut wallet = Wallet::default();
    wallet.open(&later, Life(0), 0);
    let call = hold(&mut wallet, &later, 99).unwrap();
    assert_eq!(wallet.settle(call, Units::ONE).nanos, 1_000_000_000);
    take(&mut wallet, &snapshot("-3", &[]), 1, &[]);
    assert!(hold(&mut wallet, &later, 99).is_ok());
    assert_eq!(available(&wallet), "-3");
}

/// Ten cents, and calls of a cent each under a plan in shadow mode.
fn shadowed() -> (Wallet, Arc<Tariff>, Arc<Tariff>) {
    let flat = |billing| tariff(1, 1, billing, Rates::flat(money("0.01")).unwrap());
    let (shadow, refused) = (flat(BillingType::Shadow), flat(BillingType::ShadowRefused));
    let mut wallet = Wallet::default();
    wallet.open(&shadow, Life(0), 0);
    wallet.open(&refused, Life(0), 1);
    (wallet, shadow, refused)
}

fn fits(wallet: &mut Wallet, tariff: &Arc<Tariff>, as_if: AsIf, at: u64) -> Result<(), HoldError> {
    wallet.within_shadow(tariff, as_if, Duration::from_secs(at), LIMIT)
}

#[test]
fn a_shadow_call_would_pass_as_long_as_the_balance_covers_all_of_its_period() {
    let (mut wallet, shadow, refused) = shadowed();
    let prepaid = AsIf::Prepaid;
    assert_eq!(fits(&mut wallet, &shadow, prepaid, 1), Err(HoldError::Unknown));
    let mut past = (*shadow).clone();
    past.period = Period::from_number(past.period.number() - 1).unwrap();
    let (past, later) = (Arc::new(past), cent());
    // Others: three cents in shadow mode, one paid; nobody pays what would have been refused.
    let others = [(&shadow, "3"), (&past, "90"), (&refused, "90"), (&later, "1")];
    let known = [&shadow, &past, &refused, &later];
    take(&mut wallet, &snapshot("0.06", &others), 1, &known);
    assert_eq!(available(&wallet), "0.05", "shadow calls leave the balance");
    assert_eq!(fits(&mut wallet, &shadow, prepaid, 1), Ok(()));
    let first = hold(&mut wallet, &shadow, 1).unwrap();
    assert!(first.amount.is_zero());
    assert_eq!(fits(&mut wallet, &shadow, prepaid, 1), Ok(()), "open: one, left: two");
    wallet.settle(first, units("1.5"));
    let small = HoldError::TooSmall { available: money("0.005"), price: money("0.01") };
    assert_eq!(fits(&mut wallet, &shadow, prepaid, 1), Err(small));
    assert_eq!(fits(&mut wallet, &shadow, prepaid, 12), Err(HoldError::TooOld));
    // It passes all the same, at any age, and is counted where it costs nothing.
    let spared = hold(&mut wallet, &refused, 99).unwrap();
    wallet.settle(spared, units("50"));
    assert_eq!((available(&wallet), wallet.open_holds()), ("0.05".to_owned(), 0));
    take(&mut wallet, &Snapshot { version: 2, ..snapshot("0.07", &others) }, 2, &known);
    assert_eq!(fits(&mut wallet, &shadow, prepaid, 2), Ok(()), "a top-up counts");
}

#[test]
fn a_shadow_call_of_who_pays_later_would_pass_within_the_credit() {
    let (mut wallet, shadow, _) = shadowed();
    assert_eq!(fits(&mut wallet, &shadow, AsIf::Postpaid(None), 1), Ok(()), "without a limit");
    let owed = tariff(9, 1, BillingType::Postpaid, Rates::flat(money("0.01")).unwrap());
    take(&mut wallet, &snapshot("0", &[(&shadow, "2"), (&owed, "3")]), 1, &[&shadow, &owed]);
    let credit = |text| AsIf::Postpaid(Some(money(text)));
    assert_eq!(fits(&mut wallet, &shadow, credit("0.06"), 1), Ok(()));
    let reached = HoldError::CreditReached { left: money("0.009"), price: money("0.01") };
    assert_eq!(fits(&mut wallet, &shadow, credit("0.059"), 1), Err(reached));
    // What it would owe is no part of what is owed.
    let open = hold(&mut wallet, &shadow, 1).unwrap();
    let within = wallet.within_credit(&owed, money("0.04"), Duration::from_secs(1), LIMIT);
    assert_eq!(within, Ok(()));
    wallet.release(open);
}

#[test]
fn past_the_last_band_a_shadow_call_would_be_refused_and_still_passes() {
    let last = || Rates::banded(vec![Band { up_to: Some(units("3")), price: Money::ZERO }]);
    let shadow = tariff(1, 1, BillingType::Shadow, last().unwrap());
    let refused = tariff(1, 1, BillingType::ShadowRefused, last().unwrap());
    let mut wallet = Wallet::default();
    wallet.open(&shadow, Life(0), 0);
    wallet.open(&refused, Life(0), 1);
    let others = [(&shadow, "3"), (&refused, "3")];
    take(&mut wallet, &snapshot("0", &others), 1, &[&shadow, &refused]);
    let exceeded = HoldError::BandExceeded { units_max: units("3") };
    assert_eq!(fits(&mut wallet, &shadow, AsIf::Postpaid(None), 1), Err(exceeded));
    assert_eq!(hold(&mut wallet, &shadow, 1), Err(exceeded));
    assert!(hold(&mut wallet, &refused, 1).is_ok());
}
