//! A process dies at each of its calls in turn, and another goes on.

use tollgate_billing::topups::State;
use tollgate_metering::Money;

use super::{bring_all, money, with_card};
use crate::fault::{Moment, Mortal};
use crate::harness::Site;

/// Asks until the process dies; then a portal asks another process again, which hears all events.
async fn die_at(step: usize, moment: Moment, card: &str) -> (bool, Money, i64) {
    let site = Site::start().await;
    let process = Mortal::new(Some((step, moment)));
    let mortal = site.mortal(&process);
    let ask = with_card(&site, "12.34", "order-1", card);
    let ended = process
        .run(async {
            let asked = mortal.ask_top_up(&ask).await;
            bring_all(&site, &mortal).await;
            asked
        })
        .await;
    let billing = site.billing();
    if ended.is_none() {
        billing.ask_top_up(&ask).await.unwrap();
        bring_all(&site, &billing).await;
    }
    let ids = billing.top_ups("acme", site.developer.id, None, 10).await.unwrap();
    assert_eq!(ids.len(), 1, "step {step} {moment:?}");
    let is_over = ids[0].state == State::Credited;
    assert_eq!(is_over, !card.contains("Declined"), "step {step} {moment:?}: {ids:?}");
    (ended.is_some(), site.balance(&billing, "EUR").await, site.taken("eur"))
}

#[tokio::test]
async fn a_death_at_any_call_neither_loses_nor_doubles_a_payment() {
    for moment in [Moment::Before, Moment::After] {
        let mut step = 0;
        loop {
            let (is_over, balance, taken) = die_at(step, moment, "pm_card_visa").await;
            assert_eq!((balance, taken), (money("12.34"), 1_234), "step {step} {moment:?}");
            if is_over {
                break;
            }
            step += 1;
        }
        assert!(step > 30, "only {step} calls were made");
    }
}

#[tokio::test]
async fn a_death_at_any_call_credits_nothing_that_was_declined() {
    let mut step = 0;
    loop {
        let card = "pm_card_chargeDeclined";
        let (is_over, balance, taken) = die_at(step, Moment::After, card).await;
        assert_eq!((balance, taken), (Money::ZERO, 0), "step {step}");
        if is_over {
            break;
        }
        step += 1;
    }
}
