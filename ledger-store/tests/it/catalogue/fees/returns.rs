//! Purchases that are taken back before they begin cost nothing, and cost it once.

use tollgate_ledger_store::catalogue::Window;

use super::*;

/// A plan for weather and maps that begins in December, accepted, paid and in force.
async fn accepted(desk: &Desk, process: &Process, developer: &Developer) -> Vec<Subscription> {
    desk.product("maps").await;
    let (text, products) = (PackageText::default(), ["weather", "maps"].map(str::to_owned));
    let catalogue = &desk.catalogue;
    catalogue.create_package(ACME, "bundle", &text, &products, NOON).await.unwrap();
    let gold = terms("4", "30");
    let plan = |_: &_| Some(gold.clone());
    catalogue.create_package_plan(ACME, "bundle", Some("gold"), plan, NOON).await.unwrap();
    let window = Window { start: DECEMBER, end: None };
    let due = FirstFees::Due;
    let begun = catalogue.accept_plan(ACME, developer, "gold", window, due, NOON).await.unwrap();
    let (fees, by) = (begun[0].purchase_fees(), booking("any"));
    let wallet = wallet_id(developer.id, eur());
    process.book.purchase(wallet, &by, &fees, developer.billing).await.unwrap();
    catalogue.activate_acceptance(ACME, developer, &begun, NOON).await.unwrap()
}

/// A setup fee that was paid for a plan which never began stayed paid. The process dies after each of
/// its writes; housekeeping ends it.
#[tokio::test]
async fn what_is_taken_back_before_it_begins_costs_nothing() {
    for billing in [BillingType::Prepaid, BillingType::Postpaid] {
        let is_prepaid = billing == BillingType::Prepaid;
        let kind = if is_prepaid { EntryKind::Fee } else { EntryKind::PostpaidFee };
        let mut has_ended = false;
        for writes in 0..WRITES_MAX {
            let desk = Desk::open().await;
            let developer = desk.shop(&terms("0", "0"), billing, "50").await;
            let bought = accepted(&desk, &desk.process(), &developer).await;
            let left = desk.balance(&developer).await;
            let want = if billing == BillingType::Prepaid { "16" } else { "50" };
            assert_eq!(left, money(want), "4 and all of December's 30");

            let dying = desk.dying_process(writes);
            let id = bought[0].acceptance.unwrap().to_string();
            let cut = async {
                let back = dying.catalogue.withdraw_acceptance(ACME, &developer, &id, NOON).await?;
                for one in &back {
                    let changed = &mut Vec::new();
                    dying
                        .fees
                        .return_fees(ACME, developer.id, one, "test", (NOON, changed))
                        .await?;
                }
                Ok::<_, FeesError>(())
            };
            let cut = cut.await;
            let process = desk.process();
            process.pass(later(1)).await;
            process.pass(later(2)).await;
            let is_back =
                desk.catalogue.subscriptions(ACME, developer.id).await.unwrap()[0].is_taken_back();
            let fees = desk.entries(developer.id, kind).await;
            let sum = fees.iter().map(|fee| fee.amount.nanos()).sum::<i128>();
            let want = if is_back { 0 } else { 34_000_000_000 };
            assert_eq!(
                (fees.len(), sum),
                (if is_back { 4 } else { 2 }, want),
                "cut after {writes}"
            );
            if billing == BillingType::Prepaid {
                assert_eq!(desk.balance(&developer).await.nanos(), 50_000_000_000 - want);
            }
            // Whoever was late to put it in force does not, and its time does not come.
            process
                .catalogue
                .activate_acceptance(ACME, &developer, &bought, later(3))
                .await
                .unwrap();
            process.pass(MARCH).await;
            let later_fees = desk.entries(developer.id, kind).await.len() - fees.len();
            assert_eq!(later_fees, if is_back { 0 } else { 3 }, "cut after {writes} writes");
            if cut.is_ok() {
                assert!(is_back);
                has_ended = true;
                break;
            }
        }
        assert!(has_ended, "the operation never ended");
    }
}

/// The fees stand at the first subscription of a plan: ended alone, it left the others for nothing.
#[tokio::test]
async fn the_products_of_a_plan_end_together() {
    let desk = Desk::open().await;
    let developer = desk.shop(&terms("0", "0"), BillingType::Prepaid, "50").await;
    let process = desk.process();
    let bought = accepted(&desk, &process, &developer).await;
    let catalogue = &desk.catalogue;
    let second = bought[1].id.to_string();
    let ended = catalogue.expire_subscription(ACME, &developer, &second, JANUARY).await.unwrap();
    assert_eq!(ended.len(), 2);
    assert_eq!(ended[0].id.to_string(), second, "the one that was asked for is first");
    assert!(ended.iter().all(|one| one.window.end == Some(JANUARY)), "{ended:?}");
    assert!(ended.iter().all(|one| !one.is_fee_back_due), "it had begun");
    process.pass(MARCH).await;
    assert_eq!(desk.balance(&developer).await, money("16"), "nothing comes back, nothing is due");
}

/// What was taken back is not sold again by giving it another end.
#[tokio::test]
async fn what_was_taken_back_cannot_be_given_another_end() {
    let desk = Desk::open().await;
    let developer = desk.shop(&terms("0", "0"), BillingType::Prepaid, "50").await;
    let bought = accepted(&desk, &desk.process(), &developer).await;
    let id = bought[0].acceptance.unwrap().to_string();
    let catalogue = &desk.catalogue;
    catalogue.withdraw_acceptance(ACME, &developer, &id, NOON).await.unwrap();
    let revived = catalogue.end_acceptance(ACME, &developer, &id, Some(MARCH), NOON).await;
    assert!(matches!(revived, Err(CatalogueError::Precondition(_))), "{revived:?}");
    let again = catalogue.withdraw_acceptance(ACME, &developer, &id, NOON).await;
    assert!(matches!(again, Err(CatalogueError::Missing { .. })), "{again:?}");
}
