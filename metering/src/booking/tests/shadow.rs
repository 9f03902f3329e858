//! What happened in shadow mode is noted and never paid.

use super::*;

#[test]
fn a_shadow_meter_is_closed_for_reports_alone_and_what_was_refused_not_at_all() {
    let mut account = credited("100");
    let (meter, refused) = (meter(BillingType::Shadow, 3), meter(BillingType::ShadowRefused, 3));
    let by = incarnation(9, NOON);
    let mut now = registers(&[(meter, by, "4"), (refused, by, "40")]);
    let close = |account: &Account, now: &Registers| {
        checkpoint(account, now, &rates(), Period::of(NOON), NOON, "closing").unwrap()
    };
    let change = close(&account, &now).unwrap();
    let [entry] = &change.entries[..] else { panic!("one entry") };
    assert_eq!((entry.kind, entry.amount), (EntryKind::ShadowCheckpoint, money("9")));
    account.apply(&change);
    assert_eq!((account.header.settled, balance(&account, &now)), (Money::ZERO, money("100")));
    assert_eq!(close(&account, &now), None);
    // The same calls under the same plan, once it bites, begin at its first unit.
    now.insert(
        (self::meter(BillingType::Prepaid, 3), by),
        Register { live: units("4"), ..now[&(meter, by)] },
    );
    assert_eq!(balance(&account, &now), money("91"));
}

#[test]
fn a_fee_that_was_noted_in_shadow_mode_has_the_id_of_one_that_was_paid() {
    let account = credited("100");
    let now = Registers::new();
    let noted = shadow_fee(&account, &now, &rates(), &booking("s/2026-11"), money("5")).unwrap();
    assert_eq!(noted.header.settled, account.header.settled);
    let bitten = fee(&account, &now, &rates(), &booking("s/2026-11"), money("5")).unwrap();
    let id = |change: &Change| change.entries[0].id.clone();
    assert_eq!(id(&noted), id(&bitten));
    let fees = [Fee { id: "setup".to_owned(), amount: money("500"), reason: String::new() }];
    let bought = |billing| purchase(&account, &now, &rates(), &booking("p"), &fees, billing);
    assert!(matches!(bought(BillingType::Prepaid), Err(BookingError::NotCovered { .. })));
    assert_eq!(bought(BillingType::Shadow).unwrap().entries[0].kind, EntryKind::ShadowFee);
}
