//! Rules 3 and 8: entries through the book, under races, faults and repetitions.

use std::sync::Arc;
use std::time::Duration;

use tollgate_ledger_store::RegisterCell::Live;
use tollgate_ledger_store::{Book, BookError, Ledger};
use tollgate_metering::booking::{AdjustmentCap, Booking, BookingError};
use tollgate_metering::{DeveloperId, EntryKind, Money, WalletId};
use uuid::Uuid;

use super::Backend;
use crate::fault::{Fault, Faulty};
use crate::fixtures::{
    NOON, Prices, TestClock, book, book_at, booking, incarnation, meter, money, read, report, write,
};

const ACME: &str = "acme";

fn developer() -> DeveloperId {
    DeveloperId(Uuid::new_v4())
}

async fn credit(
    book: &Book,
    developer: DeveloperId,
    id: &str,
    amount: &str,
) -> Result<tollgate_ledger_store::Booked, BookError> {
    let eur = "EUR".parse().unwrap();
    book.credit(ACME, developer, eur, &booking(id), money(amount)).await
}

/// Of two entries that are alike to the last column, nobody can tell whose it is once the answer to
/// a commit was lost: here each caller has a name of its own.
async fn credit_by(
    book: &Book,
    developer: DeveloperId,
    number: usize,
    id: &str,
    amount: &str,
) -> Result<tollgate_ledger_store::Booked, BookError> {
    let booking = Booking { by: format!("caller {number}"), ..booking(id) };
    book.credit(ACME, developer, "EUR".parse().unwrap(), &booking, money(amount)).await
}

/// The ledger's sums and its journal must say the same.
async fn credited(ledger: &dyn Ledger, developer: DeveloperId) -> (Vec<Money>, usize) {
    let headers = ledger.wallets_of(developer).await.unwrap();
    let entries = ledger.entries(developer, None, 1_000).await.unwrap();
    (headers.iter().map(|header| header.credited).collect(), entries.len())
}

/// Rule 8: thirty-two calls with one id, over two nodes, are one credit.
pub(crate) async fn one_id_asked_many_times_at_once_is_one_credit<B: Backend>() {
    let backend = B::fresh().await;
    let developer = developer();
    let nodes = [book(backend.ledger()), book(backend.another().await)].map(Arc::new);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..32 {
        let book = Arc::clone(&nodes[number % 2]);
        tasks.spawn(async move { credit_by(&book, developer, number, "t-1", "10").await.unwrap() });
    }
    let booked = tasks.join_all().await;
    assert_eq!(booked.iter().filter(|booked| !booked.is_repeated).count(), 1);
    assert!(booked.iter().all(|one| one.entry == booked[0].entry));
    assert_eq!(credited(&*backend.ledger(), developer).await, (vec![money("10")], 1));
}

pub(crate) async fn many_ids_at_once_are_each_booked_once<B: Backend>() {
    let backend = B::fresh().await;
    let developer = developer();
    let nodes = [book(backend.ledger()), book(backend.another().await)].map(Arc::new);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..24_usize {
        let book = Arc::clone(&nodes[number % 2]);
        tasks.spawn(async move {
            let id = (number / 2).to_string();
            loop {
                match credit_by(&book, developer, number, &id, "0.5").await {
                    Ok(booked) => return booked,
                    Err(BookError::Contended(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    let booked = tasks.join_all().await;
    assert_eq!(booked.iter().filter(|booked| booked.is_repeated).count(), 12);
    assert_eq!(credited(&*backend.ledger(), developer).await, (vec![money("6")], 12));
}

/// Rule 8: one id is one content, in whatever currency, and a conflict changes nothing.
pub(crate) async fn one_id_with_another_content_is_a_conflict<B: Backend>() {
    let backend = B::fresh().await;
    let (ledger, developer) = (backend.ledger(), developer());
    let book = book(Arc::clone(&ledger));
    let first = credit(&book, developer, "t-1", "10").await.unwrap();
    assert!(first.has_opened && !first.is_repeated);
    let again = credit(&book, developer, "t-1", "10").await.unwrap();
    assert!(again.is_repeated && again.entry == first.entry);
    let error = credit(&book, developer, "t-1", "11").await.unwrap_err();
    let BookError::Conflict { found } = error else { panic!("{error}") };
    assert_eq!(*found, first.entry);
    let usd = "USD".parse().unwrap();
    let other = book.credit(ACME, developer, usd, &booking("t-1"), money("10")).await;
    assert!(matches!(other, Err(BookError::Conflict { .. })), "{other:?}");
    assert_eq!(credited(&*ledger, developer).await, (vec![money("10")], 1));

    // Another kind of entry and another developer have ids of their own.
    let wallet = first.entry.wallet;
    book.fee(wallet, &booking("t-1"), money("1")).await.unwrap();
    let fee = book.fee(wallet, &booking("t-1"), money("2")).await;
    assert!(matches!(fee, Err(BookError::Conflict { .. })), "{fee:?}");
    credit(&book, self::developer(), "t-1", "11").await.unwrap();
    let standing = book.standing(wallet).await.unwrap();
    assert_eq!(standing.balance, money("9"));
}

/// Rule 8: a repetition is answered with the first outcome even where it would be refused today.
pub(crate) async fn a_repetition_on_a_sealed_wallet_hears_the_first_outcome<B: Backend>() {
    let backend = B::fresh().await;
    let book = book(backend.ledger());
    let developer = developer();
    let first = credit(&book, developer, "t-1", "10").await.unwrap();
    let wallet = first.entry.wallet;
    assert!(book.seal(wallet).await.unwrap());
    assert!(!book.seal(wallet).await.unwrap());
    let again = credit(&book, developer, "t-1", "10").await.unwrap();
    assert!(again.is_repeated && again.entry == first.entry);
    let refused = credit(&book, developer, "t-2", "10").await.unwrap_err();
    assert!(matches!(refused, BookError::Refused(BookingError::Sealed)), "{refused}");
    let nowhere = WalletId(Uuid::new_v4());
    let missing = book.fee(nowhere, &booking("f"), money("1")).await.unwrap_err();
    assert!(matches!(missing, BookError::NoWallet(wallet) if wallet == nowhere), "{missing}");
}

/// Rule 8: whatever becomes of the first attempt, the money is booked once or not at all, and
/// the answer says which, or says that it does not know.
pub(crate) async fn an_unknown_outcome_is_found_out_and_never_booked_twice<B: Backend>() {
    use Fault::{AnswerLost, Away, Delayed, RequestLost};
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let check = |faults: Vec<Fault>,
                 want_ok: bool,
                 want: &'static str,
                 want_after: &'static str| {
        let ledger = Arc::clone(&ledger);
        async move {
            let developer = developer();
            let plain = book(Arc::clone(&ledger));
            credit(&plain, developer, "t-0", "1").await.unwrap();
            let case = format!("{faults:?}");
            let faulty = book(Faulty::new(Arc::clone(&ledger), faults));
            let outcome = credit(&faulty, developer, "t-1", "10").await;
            assert_eq!(outcome.is_ok(), want_ok, "{case}: {outcome:?}");
            if let Err(error) = &outcome {
                let is_unknown = matches!(error, BookError::Unknown { .. });
                assert_eq!(is_unknown, !error.is_certainly_not_applied(), "{case}");
            }
            assert_eq!(credited(&*ledger, developer).await.0, [money(want)], "{case}");
            // Asking again with the id settles it in every case.
            credit(&plain, developer, "t-1", "10").await.unwrap();
            assert_eq!(credited(&*ledger, developer).await, (vec![money(want_after)], 2), "{case}");
        }
    };
    check(vec![AnswerLost], true, "11", "11").await;
    check(vec![RequestLost], true, "11", "11").await;
    check(vec![Delayed], true, "11", "11").await;
    check(vec![RequestLost, AnswerLost], true, "11", "11").await;
    check(vec![Delayed, RequestLost, Delayed, AnswerLost], true, "11", "11").await;
    check(vec![Away], false, "1", "11").await;
    check(vec![RequestLost, Away], true, "11", "11").await;
    check(vec![RequestLost; 16], false, "1", "11").await;
}

/// Rule 8: while a commit may still turn up, an error of a later attempt must not be told as
/// "failed".
pub(crate) async fn as_long_as_it_is_unknown_no_answer_says_failed<B: Backend>() {
    let backend = B::fresh().await;
    let (ledger, developer) = (backend.ledger(), developer());
    credit(&book(Arc::clone(&ledger)), developer, "t-0", "1").await.unwrap();
    let mut faults = vec![Fault::RequestLost];
    faults.extend(std::iter::repeat_n(Fault::Away, 15));
    let faulty = book(Faulty::new(ledger, faults));
    let error = credit(&faulty, developer, "t-1", "10").await.unwrap_err();
    let BookError::Unknown { id, .. } = &error else { panic!("{error}") };
    assert_eq!(id, "credit:t-1");
    assert!(error.to_string().contains("ask again with the same id"), "{error}");
}

/// Rule 8: after a lost race the entry is planned again from what is there now.
pub(crate) async fn a_lost_race_is_planned_again_from_what_is_there<B: Backend>() {
    let backend = B::fresh().await;
    let (ledger, developer) = (backend.ledger(), developer());
    let plain = book(Arc::clone(&ledger));
    let wallet = credit(&plain, developer, "t-1", "10").await.unwrap().entry.wallet;
    let mut other = read(&*ledger, wallet).await.account.change();
    other.header.credited = money("15");
    let faulty = book(Faulty::new(Arc::clone(&ledger), [Fault::Overtaken(Box::new(other))]));
    let booked = credit(&faulty, developer, "t-2", "10").await.unwrap();
    assert_eq!(booked.entry.balance_after, money("25"));
    assert_eq!(read(&*ledger, wallet).await.account.header.credited, money("25"));
}

/// Rule 3: what was read more than thirty seconds ago is thrown away, not committed.
pub(crate) async fn a_read_that_is_too_old_is_thrown_away<B: Backend>() {
    let backend = B::fresh().await;
    let (ledger, developer) = (backend.ledger(), developer());
    let fresh = book(Arc::clone(&ledger));
    let wallet = credit(&fresh, developer, "t-1", "10").await.unwrap().entry.wallet;
    let check = |step: Duration| {
        let clock = Arc::new(TestClock::stepping(NOON, step));
        let book = book_at(Arc::clone(&ledger), Prices::flat("1"), clock);
        async move { book.fee(wallet, &booking(&step.as_secs().to_string()), money("1")).await }
    };
    assert!(check(Duration::from_secs(30)).await.is_ok());
    let error = check(Duration::from_secs(31)).await.unwrap_err();
    assert!(matches!(error, BookError::Contended(_)), "{error}");
    assert_eq!(read(&*ledger, wallet).await.account.header.settled, money("1"));
}

/// A top-up pays the debt first, and the books show what calls on stale copies cost.
pub(crate) async fn a_debt_is_paid_by_the_next_credit<B: Backend>() {
    let backend = B::fresh().await;
    let (ledger, developer) = (backend.ledger(), developer());
    let book = book(Arc::clone(&ledger));
    let wallet = credit(&book, developer, "t-1", "10").await.unwrap().entry.wallet;
    let meter = meter(wallet);
    report(&*ledger, &[write(meter, incarnation(NOON), Live, "7.5", 1_000)]).await;
    report(&*ledger, &[write(meter, incarnation(NOON), Live, "6.25", 1_000)]).await;
    assert_eq!(book.standing(wallet).await.unwrap().balance, money("-3.75"));
    let booked = credit(&book, developer, "t-2", "10").await.unwrap();
    assert_eq!(booked.entry.balance_after, money("6.25"));
    let header = read(&*ledger, wallet).await.account.header;
    assert_eq!((header.last_credit_at, header.balance_at_last_credit), (Some(NOON), money("6.25")));

    let up = book.adjust(wallet, &booking("a-1"), money("-1"), AdjustmentCap::LastCredit).await;
    assert!(matches!(up, Err(BookError::Refused(BookingError::AboveLastCredit { .. }))), "{up:?}");
    let down = book.adjust(wallet, &booking("a-2"), money("0.25"), AdjustmentCap::None).await;
    assert_eq!(down.unwrap().entry.balance_after, money("6"));
    let five = money("5");
    assert!(book.set_overdraft_limit(wallet, &booking("l-1"), five).await.unwrap());
    assert!(!book.set_overdraft_limit(wallet, &booking("l-2"), five).await.unwrap());
    let noted = ledger.entry(developer, "limit:l-1").await.unwrap().unwrap();
    assert_eq!((noted.kind, noted.amount), (EntryKind::Limit, five));
    assert_eq!(ledger.entry(developer, "limit:l-2").await.unwrap(), None);
    assert_eq!(book.standing(wallet).await.unwrap().balance, money("6"));
}
