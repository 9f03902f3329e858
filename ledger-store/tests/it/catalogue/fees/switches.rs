//! Balances that leave their wallets when the billing type changes: once, and only what was left.

use super::*;

/// The process dies after each of its writes; the next pass ends it.
#[tokio::test]
async fn a_switch_that_was_cut_moves_the_balance_once() {
    for writes in 0..WRITES_MAX {
        let desk = Desk::open().await;
        let developer = desk.shop(&terms("0", "0"), BillingType::Prepaid, "10").await;
        let cut = desk.dying_process(writes).switch(BillingType::Postpaid, NOON).await;
        let process = desk.process();
        let (_, tended) = process.fees.tend_switches(None, later(1)).await.unwrap();
        assert!(tended.failed.is_empty(), "{:?}", tended.failed);
        let found = desk.catalogue.developer(ACME, EMAIL).await.unwrap();
        assert!(!found.is_switch_open, "cut after {writes} writes");
        let moved = desk.entries(developer.id, EntryKind::Transfer).await;
        let is_postpaid = found.billing == BillingType::Postpaid;
        assert_eq!(moved.len(), usize::from(is_postpaid), "cut after {writes} writes");
        let left = if is_postpaid { Money::ZERO } else { money("10") };
        assert_eq!(desk.balance(&developer).await, left);
        // Nobody moves what is paid in afterwards.
        desk.credit(&developer, "7", "second").await;
        let much_later = later(2 * 3_600);
        process.fees.tend_switches(None, much_later).await.unwrap();
        process.fees.tend_switches(None, much_later).await.unwrap();
        assert_eq!(desk.balance(&developer).await, left.plus(money("7")).unwrap());
        assert_eq!(process.catalogue.switches(None, 10).await.unwrap(), []);
        if cut.is_ok() {
            assert!(is_postpaid);
            return;
        }
    }
    panic!("the operation never ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn switching_back_and_forth_moves_each_balance_once_and_spends_none_again() {
    let desk = Desk::open().await;
    let developer = desk.shop(&terms("0", "0"), BillingType::Prepaid, "10").await;
    let (one, two) = (desk.process(), desk.process());
    for round in 1..=3i64 {
        let to = BillingType::Postpaid;
        let (first, second) =
            tokio::join!(one.switch(to, later(round)), two.switch(to, later(round)));
        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
        assert_eq!(desk.balance(&developer).await, Money::ZERO);
        one.switch(BillingType::Prepaid, later(round)).await.unwrap();
        assert_eq!(desk.balance(&developer).await, Money::ZERO, "nothing comes back");
        desk.credit(&developer, "3", &format!("round-{round}")).await;
    }
    let moved = desk.entries(developer.id, EntryKind::Transfer).await;
    let moved: Vec<(String, String)> =
        moved.iter().map(|entry| (entry.id.clone(), entry.amount.to_string())).collect();
    let row = |id: &str, amount: &str| (format!("transfer:{id}/EUR"), amount.to_owned());
    assert_eq!(moved, [row("1", "10"), row("2", "3"), row("3", "3")]);
    assert_eq!(desk.balance(&developer).await, money("3"));
}

#[tokio::test]
async fn a_switch_waits_for_reserved_money_and_so_long_cannot_be_taken_back() {
    let desk = Desk::open().await;
    let developer = desk.shop(&terms("0", "0"), BillingType::Prepaid, "10").await;
    let wallet = wallet_id(developer.id, eur());
    desk.reserve(wallet, "4").await;
    let process = desk.process();
    let waits = process.switch(BillingType::Postpaid, later(1)).await.unwrap_err();
    assert!(matches!(waits, FeesError::Book(BookError::Refused(_))), "{waits}");
    let found = desk.catalogue.developer(ACME, EMAIL).await.unwrap();
    assert_eq!(found.billing, BillingType::Postpaid, "in force at once");
    let back = process.switch(BillingType::Prepaid, later(2)).await.unwrap_err();
    assert!(matches!(back, FeesError::Catalogue(CatalogueError::Precondition(_))), "{back}");
    assert_eq!(desk.balance(&developer).await, money("10"));
    desk.give_back(wallet).await;
    let (_, tended) = process.fees.tend_switches(None, later(3)).await.unwrap();
    assert_eq!((tended.failed.len(), tended.changed), (0, vec![wallet]));
    assert_eq!(desk.balance(&developer).await, Money::ZERO);
    process.switch(BillingType::Prepaid, later(4)).await.unwrap();
}

/// Somebody read the developer while the switch was open and went on when it had been finished, the
/// billing type was prepaid again and money was paid in: that was moved out as well.
#[tokio::test]
async fn a_switch_that_others_finished_moves_nothing_that_was_paid_in_since() {
    let desk = Desk::open().await;
    desk.developer(EMAIL).await;
    let process = desk.process();
    process.switch(BillingType::Prepaid, NOON).await.unwrap();
    let postpaid = BillingType::Postpaid;
    let stale = desk.catalogue.set_billing(ACME, EMAIL, postpaid, later(1)).await.unwrap();
    assert!(stale.is_switch_open);
    process.switch(postpaid, later(1)).await.unwrap();
    let finished = process.fees.finish_switch(ACME, &stale, "test", false, later(1)).await;
    assert!(finished.failed.is_none(), "{finished:?}");
    process.switch(BillingType::Prepaid, later(2)).await.unwrap();
    desk.credit(&stale, "7", "after").await;
    let late = process.fees.finish_switch(ACME, &stale, "test", false, later(3)).await;
    assert!(late.failed.is_none() && late.wallets.is_empty(), "{late:?}");
    assert_eq!(desk.balance(&stale).await, money("7"));
}

/// One wallet waited, and nobody was told of the others whose balance was moved.
#[tokio::test]
async fn wallets_that_were_moved_are_told_where_another_waits() {
    let desk = Desk::open().await;
    let developer = desk.shop(&terms("0", "0"), BillingType::Prepaid, "10").await;
    let process = desk.process();
    for currency in ["AUD", "USD"] {
        let (currency, id) = (currency.parse().unwrap(), booking(currency));
        process.book.credit(ACME, developer.id, currency, &id, money("3")).await.unwrap();
    }
    desk.reserve(wallet_id(developer.id, eur()), "4").await;
    desk.catalogue.set_billing(ACME, EMAIL, BillingType::Postpaid, later(1)).await.unwrap();
    let (_, tended) = process.fees.tend_switches(None, later(2)).await.unwrap();
    assert_eq!(tended.failed.len(), 1, "{tended:?}");
    let mut want: Vec<WalletId> =
        ["AUD", "USD"].map(|currency| wallet_id(developer.id, currency.parse().unwrap())).into();
    let mut changed = tended.changed;
    want.sort_unstable();
    changed.sort_unstable();
    assert_eq!(changed, want);
}

/// An old marker was read, written anew for the next switch, and then removed as old: a crash in that
/// switch would have left its balance where it was.
#[tokio::test]
async fn a_marker_that_was_written_anew_is_not_forgotten() {
    let desk = Desk::open().await;
    desk.shop(&terms("0", "0"), BillingType::Prepaid, "10").await;
    let process = desk.process();
    process.switch(BillingType::Postpaid, NOON).await.unwrap();
    process.switch(BillingType::Prepaid, later(1)).await.unwrap();
    let old = desk.catalogue.switches(None, 10).await.unwrap().remove(0);
    let much_later = later(2 * 3_600);
    desk.catalogue.set_billing(ACME, EMAIL, BillingType::Postpaid, much_later).await.unwrap();
    desk.catalogue.forget_switch(&old, much_later).await.unwrap();
    assert_eq!(desk.catalogue.switches(None, 10).await.unwrap().len(), 1);
}
