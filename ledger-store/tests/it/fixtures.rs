//! Wallets, meters and amounts that properties are written with. Every id is new, so that
//! properties hold on a ledger that others use at the same time.

use tollgate_ledger_store::{Commit, Ledger, RegisterCell, RegisterWrite, WalletRead};
use tollgate_metering::time::Period;
use tollgate_metering::{
    Account, BillingType, DeveloperId, Entry, EntryKind, Incarnation, Meter, Money, PlanId,
    ProductId, Units, UnixMillis, WalletId,
};
use uuid::Uuid;

/// 2026-11-22T12:00:00Z.
pub(crate) const NOON: UnixMillis = UnixMillis(1_795_348_800_000);

pub(crate) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

pub(crate) fn units(text: &str) -> Units {
    text.parse().unwrap()
}

pub(crate) fn incarnation(born: UnixMillis) -> Incarnation {
    Incarnation { born, id: Uuid::new_v4() }
}

/// A prepaid meter of the month of [`NOON`].
pub(crate) fn meter(wallet: WalletId) -> Meter {
    Meter {
        wallet,
        product: ProductId(Uuid::new_v4()),
        plan: PlanId(Uuid::new_v4()),
        billing: BillingType::Prepaid,
        period: Period::of(NOON),
        revision: 1,
    }
}

/// An account that no ledger has yet, in the generation of `ledger`.
pub(crate) async fn unopened(ledger: &dyn Ledger) -> Account {
    let generation = ledger.generation().await.unwrap();
    Account::unopened(
        WalletId(Uuid::new_v4()),
        "acme",
        DeveloperId(Uuid::new_v4()),
        "EUR".parse().unwrap(),
        generation,
        NOON,
    )
}

/// A wallet that `ledger` has at version 1.
pub(crate) async fn opened(ledger: &dyn Ledger) -> Account {
    let mut account = unopened(ledger).await;
    let change = account.change();
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
    account.apply(&change);
    account
}

pub(crate) async fn read(ledger: &dyn Ledger, wallet: WalletId) -> WalletRead {
    ledger.read(wallet).await.unwrap().expect("the wallet was opened")
}

pub(crate) fn entry(account: &Account, id: &str, amount: &str) -> Entry {
    Entry {
        id: id.to_owned(),
        kind: EntryKind::Credit,
        wallet: account.header.wallet,
        amount: money(amount),
        balance_after: money(amount),
        at: NOON,
        by: "test".to_owned(),
        reason: String::new(),
        meter: None,
        units: Units::ZERO,
    }
}

pub(crate) fn write(
    meter: Meter,
    incarnation: Incarnation,
    cell: RegisterCell,
    total: &str,
    seq: i64,
) -> RegisterWrite {
    RegisterWrite { meter, incarnation, cell, units: units(total), seq }
}

/// Writes registers and expects each to be taken.
pub(crate) async fn report(ledger: &dyn Ledger, writes: &[RegisterWrite]) {
    for answer in ledger.write_registers(writes).await {
        answer.unwrap();
    }
}
