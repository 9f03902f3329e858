//! One attempt to pay an intent: asks the bank, records the charge, moves the intent, tells who has to know.

use serde_json::{Value, json};

use super::{await_bank, refusal_of};
use crate::cards::Behaviour;
use crate::charging::{self, Presence, Verdict, behaviour_of};
use crate::error::ApiError;
use crate::object::{int, text};
use crate::resources::{disputes, invoices, payment_methods};
use crate::space::Space;

/// Tries to pay an intent with its payment method; the intent is stored as the attempt left it.
///
/// # Errors
/// 402 with the intent in it, when the bank refuses or authentication is needed and nobody is there.
pub(super) fn attempt(
    space: &mut Space,
    intent: &mut Value,
    presence: Presence,
    refuses_action: bool,
) -> Result<(), ApiError> {
    let method = space.named("payment_method", text(intent, "payment_method"), "payment_method")?;
    payment_methods::check_usable(&method)?;
    intent["last_payment_error"] = Value::Null;
    intent["next_action"] = Value::Null;
    let mut verdict = charging::ask(&method, presence);
    if verdict == Verdict::MustAuthenticate && refuses_action {
        verdict = Verdict::Declined("authentication_required", "authentication_required");
    }
    if verdict == Verdict::MustAuthenticate {
        require_action(space, intent);
        return Ok(());
    }
    let charge = charging::record(space, intent, &method, &verdict);
    intent["latest_charge"] = charge["id"].clone();
    if let Some(refusal) = refusal_of(&verdict) {
        let refusal = refusal.with("charge", text(&charge, "id")).with("payment_method", method);
        return Err(fail(space, intent, refusal));
    }
    keep_method(space, intent, &method);
    if verdict == Verdict::Pending {
        intent["status"] = json!("processing");
        space.create(intent, "payment_intent.processing");
        await_bank(space, intent);
    } else if text(intent, "capture_method") == "manual" {
        intent["amount_capturable"] = intent["amount"].clone();
        intent["status"] = json!("requires_capture");
        space.create(intent, "payment_intent.amount_capturable_updated");
    } else {
        succeed(space, intent);
        dispute_at_once(space, &charge, &method);
    }
    Ok(())
}

/// The bank has answered for a debit.
pub(super) fn settle(space: &mut Space, intent: &mut Value, is_paid: bool) {
    if let Ok(mut charge) = space.at("charge", text(intent, "latest_charge")) {
        charge["status"] = json!(if is_paid { "succeeded" } else { "failed" });
        charge["paid"] = json!(is_paid);
        if is_paid {
            charge["captured"] = json!(true);
            charge["amount_captured"] = charge["amount"].clone();
        } else {
            charge["failure_code"] = json!("insufficient_funds");
        }
        let event = if is_paid { "charge.succeeded" } else { "charge.failed" };
        space.create(&charge, event);
    }
    if is_paid {
        succeed(space, intent);
    } else {
        let message = "The customer's bank account has insufficient funds.";
        fail(space, intent, ApiError::card("payment_method_customer_decline", message));
    }
}

/// Puts an intent back to where it needs another payment method; gives the refusal with the intent in it.
pub(super) fn fail(space: &mut Space, intent: &mut Value, refusal: ApiError) -> ApiError {
    intent["last_payment_error"] = json!(refusal.fields);
    intent["next_action"] = Value::Null;
    intent["payment_method"] = Value::Null;
    intent["status"] = json!("requires_payment_method");
    space.create(intent, "payment_intent.payment_failed");
    invoices::collection::failed_by(space, intent);
    refusal.with("payment_intent", intent.clone())
}

fn succeed(space: &mut Space, intent: &mut Value) {
    intent["amount_received"] = intent["amount"].clone();
    intent["status"] = json!("succeeded");
    space.create(intent, "payment_intent.succeeded");
    invoices::collection::paid_by(space, intent);
    debug_assert!(int(intent, "amount_received") > 0, "nothing succeeds at zero");
}

fn require_action(space: &mut Space, intent: &mut Value) {
    let url = format!("{}/_control/authenticate?intent={}", space.base_url, text(intent, "id"));
    let return_url = intent["_return_url"].clone();
    intent["next_action"] = if return_url.is_string() && intent["_uses_sdk"] != true {
        json!({ "type": "redirect_to_url", "redirect_to_url": { "return_url": return_url, "url": url } })
    } else {
        json!({ "type": "use_stripe_sdk", "use_stripe_sdk": { "type": "three_d_secure_redirect", "stripe_js": url } })
    };
    intent["status"] = json!("requires_action");
    space.create(intent, "payment_intent.requires_action");
    invoices::collection::waits_for(space, intent);
}

/// Attaches the method where it is to be used again; one that belongs to nobody is spent.
fn keep_method(space: &mut Space, intent: &Value, method: &Value) {
    let customer = text(intent, "customer");
    if !text(intent, "setup_future_usage").is_empty() && !customer.is_empty() {
        if let Ok(mut kept) = payment_methods::attach_to(space, method, customer) {
            kept["_is_set_up"] = json!(true);
            space.store.put(kept);
        }
    } else if text(method, "customer").is_empty() {
        let mut spent = method.clone();
        spent["_is_spent"] = json!(true);
        space.store.put(spent);
    }
}

fn dispute_at_once(space: &mut Space, charge: &Value, method: &Value) {
    let amount = int(charge, "amount");
    match behaviour_of(method) {
        Behaviour::Disputes(reason) => disputes::open(space, charge, amount, reason, false),
        Behaviour::Inquires => disputes::open(space, charge, amount, "fraudulent", true),
        Behaviour::Pays
        | Behaviour::Declines(..)
        | Behaviour::DeclinesCharges(..)
        | Behaviour::AsksAlways
        | Behaviour::AsksUntilSetUp
        | Behaviour::AsksThenDeclines
        | Behaviour::RefundFails
        | Behaviour::DebitPays
        | Behaviour::DebitBounces => Value::Null,
    };
}
