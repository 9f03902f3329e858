//! Refunds: giving a charge back, in part and more than once, and refunds that fail later.

use serde_json::{Value, json};

use crate::agenda::Due;
use crate::cards::Behaviour;
use crate::charging::behaviour_of;
use crate::error::{Answer, ApiError};
use crate::lists;
use crate::object::{flag, int, or_null, text};
use crate::routes::{Call, Route, get, list, post};
use crate::space::Space;

/// Why somebody gives money back.
const REASONS: &[&str] = &["duplicate", "fraudulent", "requested_by_customer"];
/// How long a refund that will fail looks as if it had succeeded, in seconds.
const FAILS_AFTER_S: i64 = 60;

pub(crate) const ROUTES: &[Route] = &[
    post("refunds", "charge payment_intent amount:int reason metadata:hash", create),
    list("refunds", "charge payment_intent", all),
    get("refunds/{id}", "", retrieve),
    post("refunds/{id}", "metadata:hash", update),
    list("charges/{id}/refunds", "", of_charge),
];

fn create(space: &mut Space, call: &Call) -> Answer {
    let params = &call.params;
    let reason = params.text("reason").unwrap_or_default();
    if !reason.is_empty() && !REASONS.contains(&reason) {
        let message = format!("Invalid reason: must be one of {}", REASONS.join(", "));
        return Err(ApiError::invalid("reason", message));
    }
    let charge = charge_of(space, call)?;
    let left = int(&charge, "amount_captured") - int(&charge, "amount_refunded");
    let amount = params.int("amount").unwrap_or(left);
    check(&charge, left, amount)?;
    let mut refund = json!({
        "id": space.id("re"), "object": "refund", "amount": amount, "balance_transaction": null,
        "charge": charge["id"], "created": space.now, "currency": charge["currency"],
        "destination_details": { "card": { "type": "refund" }, "type": "card" }, "metadata": {},
        "payment_intent": charge["payment_intent"], "reason": or_null(reason), "receipt_number": null,
        "source_transfer_reversal": null, "status": "succeeded", "transfer_reversal": null,
    });
    params.merge_metadata(&mut refund);
    space.create(&refund, "refund.created");
    give_back(space, &charge, amount);
    let method = space.at("payment_method", text(&charge, "payment_method"))?;
    if behaviour_of(&method) == Behaviour::RefundFails {
        let due = Due::FailRefund(text(&refund, "id").to_owned());
        space.agenda.note(space.now.saturating_add(FAILS_AFTER_S), due);
    }
    Ok(refund)
}

/// The charge that the parameters name, by itself or by its intent.
fn charge_of(space: &Space, call: &Call) -> Answer {
    if let Some(charge) = call.params.text("charge") {
        return space.named("charge", charge, "charge");
    }
    let intent = call.params.text("payment_intent");
    let intent = intent.ok_or_else(|| {
        let message = "One of the following params should be provided for this request: payment_intent or charge.";
        ApiError::new(http::StatusCode::BAD_REQUEST, "invalid_request_error", message)
    })?;
    let intent = space.named("payment_intent", intent, "payment_intent")?;
    let charge = text(&intent, "latest_charge");
    if charge.is_empty() || text(&intent, "status") != "succeeded" {
        let message = format!(
            "This PaymentIntent ({}) does not have a successful charge to refund.",
            text(&intent, "id")
        );
        return Err(ApiError::state("payment_intent_unexpected_state", message));
    }
    space.at("charge", charge)
}

fn check(charge: &Value, left: i64, amount: i64) -> Result<(), ApiError> {
    let id = text(charge, "id");
    if !flag(charge, "captured") {
        let message = format!("Charge {id} was not captured, so that there is nothing to refund.");
        return Err(ApiError::state("charge_not_refundable", message));
    }
    if left == 0 {
        let message = format!("Charge {id} has already been refunded.");
        return Err(ApiError::state("charge_already_refunded", message));
    }
    if int(charge, "_disputed") > 0 {
        let message = format!("Charge {id} has been charged back; cannot issue a refund.");
        return Err(ApiError::state("charge_disputed", message));
    }
    if !(1..=left).contains(&amount) {
        let message = format!(
            "Refund amount ({amount}) must be from 1 to the unrefunded amount on charge ({left})"
        );
        return Err(ApiError::invalid("amount", message));
    }
    Ok(())
}

/// Counts an amount on its charge as given back; a negative one as not given back after all.
fn give_back(space: &mut Space, charge: &Value, amount: i64) {
    let mut charge = charge.clone();
    let refunded = int(&charge, "amount_refunded") + amount;
    charge["amount_refunded"] = json!(refunded);
    charge["refunded"] = json!(refunded == int(&charge, "amount_captured"));
    space.change(&charge, if amount < 0 { "charge.updated" } else { "charge.refunded" });
}

fn all(space: &mut Space, call: &Call) -> Answer {
    let (charge, intent) = (call.params.text("charge"), call.params.text("payment_intent"));
    lists::page(space, &call.params, "refund", "/v1/refunds", |refund| {
        charge.is_none_or(|id| text(refund, "charge") == id)
            && intent.is_none_or(|id| text(refund, "payment_intent") == id)
    })
}

fn of_charge(space: &mut Space, call: &Call) -> Answer {
    space.at("charge", call.id())?;
    let url = format!("/v1/charges/{}/refunds", call.id());
    lists::page(space, &call.params, "refund", &url, |refund| text(refund, "charge") == call.id())
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    space.at("refund", call.id())
}

fn update(space: &mut Space, call: &Call) -> Answer {
    let mut refund = space.at("refund", call.id())?;
    call.params.merge_metadata(&mut refund);
    space.change(&refund, "refund.updated");
    space.emit("charge.refund.updated", &refund);
    Ok(refund)
}

/// The bank could not give the money to its customer: the merchant has it again.
pub(crate) fn fail(space: &mut Space, id: &str) {
    let Ok(mut refund) = space.at("refund", id) else { return };
    refund["status"] = json!("failed");
    refund["failure_reason"] = json!("lost_or_stolen_card");
    if let Ok(charge) = space.at("charge", text(&refund, "charge")) {
        give_back(space, &charge, -int(&refund, "amount"));
    }
    space.change(&refund, "refund.failed");
    space.emit("charge.refund.updated", &refund);
}
