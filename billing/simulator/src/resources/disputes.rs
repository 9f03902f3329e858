//! Disputes: a bank takes a payment back, and gives it back in whole or in part when the merchant wins.

use serde_json::{Value, json};

use crate::error::{Answer, ApiError};
use crate::handle::SpaceHandle;
use crate::lists;
use crate::object::{flag, int, text};
use crate::routes::{Call, Route, get, list, post};
use crate::space::Space;
use crate::world::ControlError;

/// How long evidence can be sent, in seconds.
const EVIDENCE_S: i64 = 14 * 24 * 3600;

pub(crate) const ROUTES: &[Route] = &[
    list("disputes", "charge payment_intent", all),
    get("disputes/{id}", "", retrieve),
    post("disputes/{id}", "evidence:hash metadata:hash submit:flag", update),
    post("disputes/{id}/close", "", concede),
];

fn all(space: &mut Space, call: &Call) -> Answer {
    let (charge, intent) = (call.params.text("charge"), call.params.text("payment_intent"));
    lists::page(space, &call.params, "dispute", "/v1/disputes", |dispute| {
        charge.is_none_or(|id| text(dispute, "charge") == id)
            && intent.is_none_or(|id| text(dispute, "payment_intent") == id)
    })
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    space.at("dispute", call.id())
}

/// Opens a dispute over a part of a charge or all of it; a warning takes no money.
pub(crate) fn open(
    space: &mut Space,
    charge: &Value,
    amount: i64,
    reason: &str,
    is_warning: bool,
) -> Value {
    let mut dispute = json!({
        "id": space.id("du"), "object": "dispute", "amount": amount, "balance_transactions": [],
        "charge": charge["id"], "created": space.now, "currency": charge["currency"], "evidence": {},
        "evidence_details": {
            "due_by": space.now + EVIDENCE_S, "has_evidence": false, "past_due": false, "submission_count": 0,
        },
        "is_charge_refundable": is_warning, "livemode": space.mode.is_live(), "metadata": {},
        "payment_intent": charge["payment_intent"], "reason": reason,
        "status": if is_warning { "warning_needs_response" } else { "needs_response" },
    });
    let mut disputed = charge.clone();
    disputed["disputed"] = json!(true);
    disputed["dispute"] = dispute["id"].clone();
    space.create(&dispute, "charge.dispute.created");
    if !is_warning {
        disputed["_disputed"] = json!(amount);
        move_funds(space, &mut dispute, -amount);
        space.create(&dispute, "charge.dispute.funds_withdrawn");
    }
    space.store.put(disputed);
    dispute
}

fn update(space: &mut Space, call: &Call) -> Answer {
    let mut dispute = space.at("dispute", call.id())?;
    check_open(&dispute)?;
    if let Some(evidence) = call.params.hash("evidence") {
        for (name, value) in evidence {
            dispute["evidence"][name] = value.clone();
        }
        dispute["evidence_details"]["has_evidence"] = json!(true);
        if call.params.flag("submit") != Some(false) {
            let is_warning = text(&dispute, "status").starts_with("warning_");
            dispute["status"] =
                json!(if is_warning { "warning_under_review" } else { "under_review" });
        }
    }
    call.params.merge_metadata(&mut dispute);
    space.change(&dispute, "charge.dispute.updated");
    Ok(dispute)
}

/// The merchant gives in.
fn concede(space: &mut Space, call: &Call) -> Answer {
    end(space, call.id(), 0)
}

/// Ends a dispute; the bank gives `won_amount` back, which is nothing when it is lost.
pub(crate) fn end(space: &mut Space, id: &str, won_amount: i64) -> Answer {
    let mut dispute = space.at("dispute", id)?;
    check_open(&dispute)?;
    let amount = int(&dispute, "amount");
    if !(0..=amount).contains(&won_amount) {
        return Err(ApiError::invalid(
            "won_amount",
            format!("From 0 to {amount} can be won back."),
        ));
    }
    let status = if text(&dispute, "status").starts_with("warning_") {
        "warning_closed"
    } else if won_amount > 0 {
        "won"
    } else {
        "lost"
    };
    dispute["status"] = json!(status);
    if status == "won" {
        let mut charge = space.at("charge", text(&dispute, "charge"))?;
        charge["_disputed"] = json!(int(&charge, "_disputed") - won_amount);
        space.store.put(charge);
        move_funds(space, &mut dispute, won_amount);
        space.create(&dispute, "charge.dispute.funds_reinstated");
    }
    space.create(&dispute, "charge.dispute.closed");
    Ok(dispute)
}

/// Notes in a dispute that money went to the bank (negative) or came back.
fn move_funds(space: &mut Space, dispute: &mut Value, amount: i64) {
    let entry = json!({
        "id": space.id("txn"), "object": "balance_transaction", "amount": amount, "created": space.now,
        "currency": dispute["currency"], "fee": 0, "net": amount, "source": dispute["id"],
        "reporting_category": if amount < 0 { "dispute" } else { "dispute_reversal" }, "status": "available",
        "type": "adjustment",
    });
    if let Some(entries) = dispute["balance_transactions"].as_array_mut() {
        entries.push(entry);
    }
}

fn check_open(dispute: &Value) -> Result<(), ApiError> {
    let status = text(dispute, "status");
    if status.ends_with("needs_response") || status.ends_with("under_review") {
        return Ok(());
    }
    Err(ApiError::state(
        "dispute_unexpected_state",
        format!("This dispute is already closed: {status}."),
    ))
}

impl SpaceHandle {
    /// Opens a dispute over a charge, all of what was captured where no amount is given.
    ///
    /// # Errors
    /// There is no such charge, it is not paid or disputed already, or the amount is more than it.
    pub fn open_dispute(&self, charge: &str, amount: Option<i64>) -> Result<Value, ControlError> {
        Ok(self.work(|space| {
            let charge = space.at("charge", charge)?;
            let most = int(&charge, "amount_captured");
            let amount = amount.unwrap_or(most);
            if flag(&charge, "disputed") || !(1..=most).contains(&amount) {
                return Err(ApiError::invalid(
                    "amount",
                    format!("From 1 to {most} can be disputed, once."),
                ));
            }
            Ok(open(space, &charge, amount, "fraudulent", false))
        })??)
    }

    /// Ends a dispute: `won_amount` comes back, 0 where it is lost.
    ///
    /// # Errors
    /// There is no such dispute, it is closed, or the amount is more than was disputed.
    pub fn close_dispute(&self, dispute: &str, won_amount: i64) -> Result<Value, ControlError> {
        Ok(self.work(|space| end(space, dispute, won_amount))??)
    }
}
