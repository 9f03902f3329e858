//! Attempts to charge a payment method: what the bank says, and the Charge that records it.

use serde_json::{Value, json};

use crate::cards::{self, Behaviour, Card};
use crate::error::ApiError;
use crate::object::{flag, int, text};
use crate::space::Space;

/// Under which conditions a payment method is charged or set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The customer is there, and can be asked.
    OnSession,
    /// The customer has just proved to be the owner.
    Authenticated,
    /// The customer is away.
    OffSession,
}

/// What the bank says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Paid,
    /// The answer comes in some days.
    Pending,
    /// The customer has to authenticate.
    MustAuthenticate,
    /// No, with a code and a decline code.
    Declined(&'static str, &'static str),
}

/// What a payment method does.
pub(crate) fn behaviour_of(method: &Value) -> Behaviour {
    Card::of_number(text(method, "_number")).map_or(Behaviour::Pays, |card| card.behaviour)
}

/// Asks the bank for a payment.
pub(crate) fn ask(method: &Value, presence: Presence) -> Verdict {
    let is_away = presence == Presence::OffSession;
    let is_authenticated = presence == Presence::Authenticated;
    match behaviour_of(method) {
        Behaviour::Pays | Behaviour::Disputes(_) | Behaviour::Inquires | Behaviour::RefundFails => {
            Verdict::Paid
        }
        Behaviour::Declines(code, decline) | Behaviour::DeclinesCharges(code, decline) => {
            Verdict::Declined(code, decline)
        }
        Behaviour::AsksUntilSetUp if flag(method, "_is_set_up") => Verdict::Paid,
        Behaviour::AsksAlways | Behaviour::AsksUntilSetUp if is_authenticated => Verdict::Paid,
        Behaviour::AsksThenDeclines if is_authenticated => {
            Verdict::Declined("card_declined", "insufficient_funds")
        }
        Behaviour::AsksAlways | Behaviour::AsksUntilSetUp | Behaviour::AsksThenDeclines
            if is_away =>
        {
            Verdict::Declined("authentication_required", "authentication_required")
        }
        Behaviour::AsksAlways | Behaviour::AsksUntilSetUp | Behaviour::AsksThenDeclines => {
            Verdict::MustAuthenticate
        }
        Behaviour::DebitPays | Behaviour::DebitBounces => Verdict::Pending,
    }
}

/// Asks the bank whether a payment method can be kept for later.
pub(crate) fn ask_setup(method: &Value, presence: Presence) -> Verdict {
    match behaviour_of(method) {
        Behaviour::Declines(code, decline) => Verdict::Declined(code, decline),
        Behaviour::AsksAlways | Behaviour::AsksUntilSetUp | Behaviour::AsksThenDeclines
            if presence != Presence::Authenticated =>
        {
            Verdict::MustAuthenticate
        }
        Behaviour::Pays
        | Behaviour::DeclinesCharges(..)
        | Behaviour::AsksAlways
        | Behaviour::AsksUntilSetUp
        | Behaviour::AsksThenDeclines
        | Behaviour::Disputes(_)
        | Behaviour::Inquires
        | Behaviour::RefundFails
        | Behaviour::DebitPays
        | Behaviour::DebitBounces => Verdict::Paid,
    }
}

/// The refusal of a bank, as an error of the API.
pub(crate) fn declined(code: &str, decline_code: &str) -> ApiError {
    ApiError::card(code, cards::message(code, decline_code))
        .with("decline_code", decline_code)
        .with("doc_url", format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-")))
}

/// Records an attempt for an intent as a Charge with status `succeeded`, `pending` or `failed`.
pub(crate) fn record(
    space: &mut Space,
    intent: &Value,
    method: &Value,
    verdict: &Verdict,
) -> Value {
    let id = space.id("ch");
    let (status, code, decline) = match verdict {
        Verdict::Paid => ("succeeded", "", ""),
        Verdict::Pending => ("pending", "", ""),
        Verdict::Declined(code, decline) => ("failed", *code, *decline),
        Verdict::MustAuthenticate => {
            ("failed", "authentication_required", "authentication_required")
        }
    };
    let is_paid = status == "succeeded";
    let is_captured = is_paid && text(intent, "capture_method") != "manual";
    let kind = text(method, "type");
    let null_or = crate::object::or_null;
    let charge = json!({
        "id": id, "object": "charge", "livemode": space.mode.is_live(), "created": space.now,
        "amount": intent["amount"], "currency": intent["currency"],
        "amount_captured": if is_captured { int(intent, "amount") } else { 0 }, "amount_refunded": 0,
        "application_fee_amount": null, "balance_transaction": null,
        "billing_details": method["billing_details"], "calculated_statement_descriptor": "TOLLGATE TEST",
        "captured": is_captured, "customer": intent["customer"], "description": intent["description"],
        "dispute": null, "disputed": false, "failure_balance_transaction": null,
        "failure_code": null_or(code), "fraud_details": {},
        "failure_message": if code.is_empty() { Value::Null } else { json!(cards::message(code, decline)) },
        "metadata": intent["metadata"], "on_behalf_of": null,
        "outcome": outcome_of(status, decline), "paid": is_paid, "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": { "type": kind, kind: method[kind] },
        "receipt_email": intent["receipt_email"], "receipt_number": null, "receipt_url": null,
        "refunded": false, "review": null, "shipping": intent["shipping"], "source_transfer": null,
        "statement_descriptor": null, "statement_descriptor_suffix": null, "status": status,
        "transfer_data": null, "transfer_group": null, "_disputed": 0, "_invoice": intent["_invoice"],
    });
    space.create(&charge, &format!("charge.{status}"));
    charge
}

fn outcome_of(status: &str, decline: &str) -> Value {
    let is_declined = status == "failed";
    json!({
        "network_status": if is_declined { "declined_by_network" } else { "approved_by_network" },
        "reason": crate::object::or_null(decline), "risk_level": "normal", "risk_score": 1,
        "seller_message": if is_declined { "The bank did not return any further details." } else { "Payment complete." },
        "type": if is_declined { "issuer_declined" } else { "authorized" },
    })
}
