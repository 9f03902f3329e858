//! What becomes of a credit when its payment goes back: refunds and disputes.
//!
//! Each step of each of them is an adjustment under an id of its own, booked whatever the balance:
//!
//! | at Stripe | id of the adjustment | amount |
//! | --- | --- | --- |
//! | refund, also one on its way | `re_…` | what is refunded |
//! | refund failed or was canceled | `re_…/returned` | the same, given back |
//! | dispute: funds withdrawn | `du_…/withdrawn` | what the bank took |
//! | dispute: funds reinstated | `du_…/reinstated` | what came back, all or a part |
//!
//! A refund that failed before anybody looked is booked both ways, so that whoever saw it earlier
//! and books late changes nothing. A portal that adjusts for its refund itself does so under the
//! refund's id (`Idempotency-Key`), and it counts once.
//! What a dispute moved stands in its balance transactions, in the account's currency. Where that
//! is another one than the payment's, the whole disputed amount counts, and a part that came back
//! is left to a person: nothing is converted.

use serde_json::Value;
use tollgate_ledger_store::book::BookError;
use tollgate_ledger_store::catalogue::wallet_id;
use tollgate_metering::Money;
use tollgate_metering::booking::{AdjustmentCap, Booking};

use super::TopUp;
use super::settle::BY;
use crate::Billing;
use crate::currency::from_minor;
use crate::error::BillingError;
use crate::stripe::{Client, Form};

/// Refunds or disputes of one payment that are looked at.
const TAKEBACKS_MAX: usize = 1_000;

/// One step of a refund or dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    id: String,
    /// Positive where the wallet loses it.
    amount: Money,
    reason: &'static str,
}

// === impl Billing ===

impl Billing {
    /// Books what was refunded and disputed of a credited top-up.
    pub(super) async fn take_back(
        &self,
        client: &Client,
        top_up: &TopUp,
        intent: &str,
    ) -> Result<TopUp, BillingError> {
        let query = Form::new().with("payment_intent", intent);
        let refunds = client.list("/refunds", &query, TAKEBACKS_MAX).await?;
        let disputes = client.list("/disputes", &query, TAKEBACKS_MAX).await?;
        let (mut refunded, mut disputed) = (Money::ZERO, Money::ZERO);
        for refund in &refunds {
            for step in refund_steps(refund, top_up) {
                refunded = sum(refunded, step.amount)?;
                self.book_step(top_up, step).await?;
            }
        }
        for dispute in &disputes {
            for step in dispute_steps(dispute, top_up) {
                disputed = sum(disputed, step.amount)?;
                self.book_step(top_up, step).await?;
            }
        }
        self.edit_top_up(top_up, |record| {
            (record.refunded, record.disputed) = (refunded, disputed);
        })
        .await
    }

    /// Books a step. What the ledger will never take is told to people, and holds up nothing else.
    async fn book_step(&self, top_up: &TopUp, step: Step) -> Result<(), BillingError> {
        let booking = Booking {
            id: step.id,
            at: self.parts().clock.now(),
            by: BY.to_owned(),
            reason: format!("{} of {}", step.reason, top_up.reason()),
            is_forced: true,
        };
        let wallet = wallet_id(top_up.developer, top_up.currency);
        let book = &self.parts().book;
        match book.adjust(wallet, &booking, step.amount, AdjustmentCap::None).await {
            Ok(_) => Ok(()),
            Err(
                error @ (BookError::Refused(_)
                | BookError::Conflict { .. }
                | BookError::NoWallet(_)),
            ) => {
                self.metrics().count_stranded_takeback();
                let id = booking.id;
                tracing::error!(top_up = %top_up.id, id, %error, "refund or dispute is not booked");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn sum(one: Money, other: Money) -> Result<Money, BillingError> {
    one.plus(other).map_err(|error| BillingError::invalid("refunds", error))
}

fn refund_steps(refund: &Value, top_up: &TopUp) -> Vec<Step> {
    let (Some(id), Some(minor)) = (refund["id"].as_str(), refund["amount"].as_i64()) else {
        return Vec::new();
    };
    let amount = from_minor(minor, top_up.currency);
    let debit = Step { id: id.to_owned(), amount, reason: "refund" };
    match refund["status"].as_str().unwrap_or_default() {
        "pending" | "requires_action" | "succeeded" => vec![debit],
        "failed" | "canceled" => {
            let id = format!("{id}/returned");
            vec![debit, Step { id, amount: amount.negated(), reason: "failed refund" }]
        }
        other => {
            tracing::warn!(id, status = other, "refund has a status that is unknown");
            Vec::new()
        }
    }
}

fn dispute_steps(dispute: &Value, top_up: &TopUp) -> Vec<Step> {
    let (Some(id), Some(minor)) = (dispute["id"].as_str(), dispute["amount"].as_i64()) else {
        return Vec::new();
    };
    let whole = minor;
    let step = |name: &str, minor: i64, reason| Step {
        id: format!("{id}/{name}"),
        amount: from_minor(minor, top_up.currency),
        reason,
    };
    let moves = dispute["balance_transactions"].as_array().map_or(&[][..], Vec::as_slice);
    let amounts = |is_in: fn(&i64) -> bool| -> Vec<(i64, bool)> {
        let amount = |one: &Value| {
            let is_same = one["currency"]
                .as_str()
                .is_none_or(|code| code.eq_ignore_ascii_case(top_up.currency.as_str()));
            Some((one["amount"].as_i64().filter(is_in)?, is_same))
        };
        moves.iter().filter_map(amount).collect()
    };
    let (taken, given) = (amounts(|minor| *minor < 0), amounts(|minor| *minor > 0));
    let mut steps = Vec::new();
    if let Some((minor, is_same)) = taken.first() {
        steps.push(step("withdrawn", if *is_same { -minor } else { whole }, "dispute"));
    }
    match (taken.first(), given.first()) {
        (_, Some((minor, true))) => steps.push(step("reinstated", -minor, "won dispute")),
        // In another currency: the whole came back where as much came as was taken.
        (Some((taken, _)), Some((minor, false))) if *minor == -taken => {
            steps.push(step("reinstated", -whole, "won dispute"));
        }
        (_, Some((minor, false))) => {
            tracing::error!(id, minor, "part of a dispute came back in another currency");
        }
        (_, None) => {}
    }
    steps
}
