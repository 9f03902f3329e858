//! Rule 10: a restored backup is a new ledger.

use tollgate_ledger_store::{Commit, LedgerError, RegisterCell};

use tollgate_metering::account::{Mode, Overspend};

use super::Backend;
use crate::fixtures::{NOON, entry, incarnation, meter, money, opened, read, report, units, write};

/// What was granted after the backup is unknown to the restored ledger: its strict wallets wait
/// until every gateway has given its grants up.
pub(crate) async fn a_restored_strict_wallet_waits_for_every_gateway<B: Backend>() {
    let backend = B::fresh().await;
    let old = backend.ledger();
    let mut account = opened(&*old).await;
    let mut change = account.change();
    change.header.mode = Mode { overspend: Overspend::Strict, counter: 3, is_changing: false };
    assert_eq!(old.commit(&change).await.unwrap(), Commit::Applied);
    account.apply(&change);

    let restored = backend.restore(backend.backup().await).await;
    let found = read(&*restored.ledger(), account.header.wallet).await.account.header.mode;
    assert_eq!(found, account.restored_mode());
    assert!(found.is_changing && found.counter > 3);
}

pub(crate) async fn a_restored_backup_is_the_next_generation_and_takes_nothing_of_the_old<
    B: Backend,
>() {
    let backend = B::fresh().await;
    let old = backend.ledger();
    let mut account = opened(&*old).await;
    let wallet = account.header.wallet;
    let (meter, incarnation) = (meter(wallet), incarnation(NOON));
    report(&*old, &[write(meter, incarnation, RegisterCell::Live, "5", 1_000)]).await;
    let mut credit = account.change();
    credit.header.credited = money("10");
    credit.entries.push(entry(&account, "credit-1", "10"));
    assert_eq!(old.commit(&credit).await.unwrap(), Commit::Applied);
    account.apply(&credit);
    let backup = backend.backup().await;

    // After the backup: a credit and calls that the restored ledger cannot know.
    let mut lost = account.change();
    lost.header.credited = money("30");
    lost.entries.push(entry(&account, "credit-2", "20"));
    assert_eq!(old.commit(&lost).await.unwrap(), Commit::Applied);
    report(&*old, &[write(meter, incarnation, RegisterCell::Live, "9", 2_000)]).await;

    let restored = backend.restore(backup).await;
    let new = restored.ledger();
    let generation = new.generation().await.unwrap();
    assert_eq!(generation, account.header.generation + 1);
    assert_eq!(old.generation().await.unwrap(), account.header.generation);
    let found = read(&*new, wallet).await;
    account.header.generation = generation;
    assert_eq!(found.account, account);
    assert_eq!(found.registers[&(meter, incarnation)].units(), units("5"));
    assert_eq!(new.entry(account.header.developer, "credit-2").await.unwrap(), None);

    // In flight to the old one: refused by the new one, though its version would fit.
    assert_eq!(lost.header.version, found.account.header.version + 1);
    let error = new.commit(&lost).await.unwrap_err();
    assert!(matches!(error, LedgerError::Generation { .. }), "{error:?}");

    // The gateway sends its register since birth; the payment provider its credit by id.
    report(&*new, &[write(meter, incarnation, RegisterCell::Live, "9", 2_000)]).await;
    let mut replayed = found.account.change();
    replayed.header.credited = money("30");
    replayed.entries = lost.entries;
    assert_eq!(new.commit(&replayed).await.unwrap(), Commit::Applied);
    let found = read(&*new, wallet).await;
    assert_eq!(found.account.header.credited, money("30"));
    assert_eq!(found.registers[&(meter, incarnation)].units(), units("9"));

    let twice = restored.restore(restored.backup().await).await;
    assert_eq!(twice.ledger().generation().await.unwrap(), generation + 1);
}
