//! Charges: what attempts to pay have left behind.

use crate::error::Answer;
use crate::lists;
use crate::object::text;
use crate::routes::{Call, Route, get, list, post};
use crate::space::Space;

pub(crate) const ROUTES: &[Route] = &[
    list("charges", "customer payment_intent", all),
    get("charges/{id}", "", retrieve),
    post("charges/{id}", "description metadata:hash receipt_email shipping:hash", update),
];

fn all(space: &mut Space, call: &Call) -> Answer {
    let (customer, intent) = (call.params.text("customer"), call.params.text("payment_intent"));
    lists::page(space, &call.params, "charge", "/v1/charges", |charge| {
        customer.is_none_or(|id| text(charge, "customer") == id)
            && intent.is_none_or(|id| text(charge, "payment_intent") == id)
    })
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    space.at("charge", call.id())
}

fn update(space: &mut Space, call: &Call) -> Answer {
    let mut charge = space.at("charge", call.id())?;
    call.params.copy(&mut charge, "description receipt_email shipping");
    call.params.merge_metadata(&mut charge);
    space.change(&charge, "charge.updated");
    Ok(charge)
}
