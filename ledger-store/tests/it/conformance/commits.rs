//! Conditional batches: rules 3 and 8 as far as the storage keeps them, and rule 10's numbers.

use std::collections::BTreeSet;

use tollgate_ledger_store::{Commit, LedgerError};
use tollgate_metering::account::{Ceiling, Cell, MeterTotals, Mode, Overspend, Owner, Stamp};
use tollgate_metering::{BillingType, Currency, Meter, Money, SuspenseKey, SuspenseReason};
use tollgate_metering::{UnixMillis, WalletId};
use uuid::Uuid;

use super::Backend;
use crate::fixtures::{NOON, entry, incarnation, meter, money, opened, read, units, unopened};

/// Every part of an account that a change can carry comes back, at the edges of its range.
pub(crate) async fn an_account_comes_back_as_it_was_committed<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let mut account = opened(&*ledger).await;
    let wallet = account.header.wallet;
    let (ended, other) = (incarnation(NOON), incarnation(NOON));
    let prepaid = meter(wallet);
    let postpaid = Meter { billing: BillingType::Postpaid, revision: 2, ..prepaid };
    let suspense =
        SuspenseKey { meter: postpaid, incarnation: ended, reason: SuspenseReason::Multiplier };
    let ceiling = Ceiling {
        stamp: Stamp { mode: 1, epoch: 2, counter: 3 },
        draw: money("0.1"),
        most: money("0.3"),
        settled: money("0.05"),
        is_retired: false,
    };

    let mut change = account.change();
    change.header.credited = Money::MAX;
    change.header.settled = Money::MIN;
    change.header.last_credit_at = Some(UnixMillis(NOON.0 + 1));
    change.header.balance_at_last_credit = money("-0.000000001");
    change.header.overdraft_limit = money("12.5");
    change.header.mode = Mode { overspend: Overspend::Strict, counter: 4, is_changing: true };
    change.header.owner = Owner { epoch: 5, node: Some(Uuid::new_v4()) };
    change.header.retirements = 6;
    change.header.is_sealed = true;
    let totals = MeterTotals {
        settled_units: tollgate_metering::Units::MAX,
        closed_charge: money("-3.000000001"),
        checkpoints: 7,
    };
    change.meters.insert(prepaid, totals);
    for billing in BillingType::ALL {
        let outside = Meter { billing, revision: 2, ..prepaid };
        change.meters.insert(outside, MeterTotals { checkpoints: 1, ..MeterTotals::default() });
    }
    change.cells.insert((prepaid, ended), Cell { folded: units("2.5"), cut: Some(units("2.5")) });
    change.cells.insert((postpaid, other), Cell { folded: units("0.000000001"), cut: None });
    change.ceilings.insert(ended, Some(ceiling));
    change.ceilings.insert(other, Some(Ceiling { is_retired: true, ..ceiling }));
    change.resolved.insert(suspense, units("1.5"));
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
    account.apply(&change);
    assert_eq!(read(&*ledger, wallet).await.account, account);

    let mut change = account.change();
    change.header.owner.node = None;
    change.header.last_credit_at = None;
    change.ceilings.insert(ended, None);
    change.cells.insert((prepaid, ended), Cell { folded: units("3"), cut: None });
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
    account.apply(&change);
    assert_eq!(read(&*backend.another().await, wallet).await.account, account);
    let headers = ledger.wallets_of(account.header.developer).await.unwrap();
    assert_eq!(headers, [account.header]);
}

/// Rule 8: of changes that were computed from one version exactly one applies.
pub(crate) async fn of_commits_from_one_version_exactly_one_applies<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let account = opened(&*ledger).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..16 {
        let node = if number % 2 == 0 { backend.ledger() } else { backend.another().await };
        let mut change = account.change();
        change.header.credited = money(&format!("{number}.5"));
        change.entries.push(entry(&account, &format!("credit-{number}"), "1"));
        tasks.spawn(async move { (node.commit(&change).await.unwrap(), change) });
    }
    let outcomes = tasks.join_all().await;
    let applied: Vec<_> =
        outcomes.iter().filter(|(outcome, _)| *outcome == Commit::Applied).collect();
    assert_eq!(applied.len(), 1);
    let change = &applied[0].1;
    assert_eq!(read(&*ledger, account.header.wallet).await.account.header, change.header);
    let entries = ledger.entries(account.header.developer, None, 100).await.unwrap();
    assert_eq!(entries, change.entries);
}

/// Rule 8: ids are unique per developer, across currencies, and a refused batch leaves nothing.
pub(crate) async fn an_entry_id_that_is_there_refuses_the_whole_batch<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let eur = opened(&*ledger).await;
    let mut usd = eur.clone();
    usd.header.wallet = WalletId(Uuid::new_v4());
    usd.header.currency = "USD".parse().unwrap();
    usd.header.version = 0;
    let open = usd.change();
    assert_eq!(ledger.commit(&open).await.unwrap(), Commit::Applied);
    usd.apply(&open);

    let mut first = eur.change();
    first.entries.push(entry(&eur, "invoice-7", "1"));
    assert_eq!(ledger.commit(&first).await.unwrap(), Commit::Applied);

    let mut second = usd.change();
    second.header.credited = money("2");
    second.meters.insert(meter(usd.header.wallet), MeterTotals::default());
    second.entries.push(entry(&usd, "invoice-6", "1"));
    second.entries.push(entry(&usd, "invoice-7", "1"));
    assert_eq!(ledger.commit(&second).await.unwrap(), Commit::Conflict);
    assert_eq!(read(&*ledger, usd.header.wallet).await.account, usd);
    assert_eq!(ledger.entry(usd.header.developer, "invoice-6").await.unwrap(), None);
    let found = ledger.entry(eur.header.developer, "invoice-7").await.unwrap();
    assert_eq!(found.as_ref(), first.entries.first());
    let stranger = opened(&*ledger).await.header.developer;
    assert_eq!(ledger.entry(stranger, "invoice-7").await.unwrap(), None);
}

/// Rule 10: what was computed from another generation never lands.
pub(crate) async fn a_change_of_another_generation_is_refused<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let account = opened(&*ledger).await;
    let mut change = account.change();
    change.header.generation += 1;
    change.entries.push(entry(&account, "credit-1", "1"));
    let error = ledger.commit(&change).await.unwrap_err();
    let LedgerError::Generation { expected, found } = error else { panic!("{error:?}") };
    assert_eq!((expected, found), (account.header.generation + 1, account.header.generation));
    assert!(LedgerError::Generation { expected, found }.is_certainly_not_applied());
    assert_eq!(read(&*ledger, account.header.wallet).await.account, account);
    assert_eq!(ledger.entry(account.header.developer, "credit-1").await.unwrap(), None);
}

/// A developer has one wallet of a currency, whoever opens it first.
pub(crate) async fn a_developer_gets_one_wallet_of_a_currency<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let account = unopened(&*ledger).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (node, mut account) = (backend.another().await, account.clone());
        account.header.wallet = WalletId(Uuid::new_v4());
        tasks.spawn(async move { node.commit(&account.change()).await.unwrap() });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Commit::Applied).count(), 1);

    let usd: Currency = "USD".parse().unwrap();
    let mut other = account.clone();
    other.header.wallet = WalletId(Uuid::new_v4());
    other.header.currency = usd;
    assert_eq!(ledger.commit(&other.change()).await.unwrap(), Commit::Applied);
    assert_eq!(ledger.commit(&other.change()).await.unwrap(), Commit::Conflict);
    let headers = ledger.wallets_of(account.header.developer).await.unwrap();
    assert_eq!(headers.len(), 2);
    assert!(ledger.read(account.header.wallet).await.unwrap().is_none());
}

pub(crate) async fn entries_are_listed_in_the_order_of_their_ids<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let mut account = opened(&*ledger).await;
    let prepaid = meter(account.header.wallet);
    for id in ["b", "a/2", "c", "a", "ä"] {
        let mut change = account.change();
        let mut booked = entry(&account, id, "-0.5");
        booked.meter = (id == "c").then_some(prepaid);
        booked.units = units("2.25");
        booked.reason = "Größe 1'; --".to_owned();
        change.entries.push(booked);
        assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
        account.apply(&change);
    }
    let developer = account.header.developer;
    let ids = |entries: &[tollgate_metering::Entry]| -> Vec<String> {
        entries.iter().map(|entry| entry.id.clone()).collect()
    };
    let all = ledger.entries(developer, None, 100).await.unwrap();
    assert_eq!(ids(&all), ["a", "a/2", "b", "c", "ä"]);
    assert_eq!(all[3].meter, Some(prepaid));
    assert_eq!((all[0].meter, all[0].units), (None, units("2.25")));
    let page = ledger.entries(developer, Some("a"), 2).await.unwrap();
    assert_eq!(ids(&page), ["a/2", "b"]);
    assert!(ledger.entries(developer, Some("ä"), 2).await.unwrap().is_empty());
}

pub(crate) async fn wallets_are_listed_each_once_page_by_page<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let mut ours = BTreeSet::new();
    for _ in 0..5 {
        ours.insert(opened(&*ledger).await.header.wallet);
    }
    let (mut after, mut listed) = (None, Vec::new());
    loop {
        let page = ledger.list(after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(*last);
        listed.extend(page);
    }
    let found: Vec<_> = listed.iter().filter(|wallet| ours.contains(wallet)).collect();
    assert_eq!(found.len(), ours.len());
}
