//! The account that a key belongs to, and its balance.

use serde_json::{Value, json};

use crate::error::Answer;
use crate::object::{flag, int};
use crate::routes::{Call, Route, get};
use crate::space::Space;

pub(crate) const ROUTES: &[Route] =
    &[get("account", "", own), get("accounts/{id}", "", retrieve), get("balance", "", balance)];

/// The account object of a space.
pub(crate) fn of(space: &Space) -> Value {
    json!({
        "id": space.account, "object": "account",
        "business_profile": { "mcc": null, "name": "Tollgate's simulator", "support_email": null, "url": null },
        "business_type": "company", "capabilities": { "card_payments": "active", "transfers": "active" },
        "charges_enabled": true, "country": "US", "created": space.now, "default_currency": "usd",
        "details_submitted": true, "email": "simulator@example.com", "metadata": {}, "payouts_enabled": true,
        "settings": { "dashboard": { "display_name": "Tollgate's simulator", "timezone": "Etc/UTC" } },
        "type": "standard",
    })
}

fn own(space: &mut Space, _call: &Call) -> Answer {
    space.at("account", &space.account)
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    space.at("account", call.id())
}

/// Sums what charges left, in every currency.
fn balance(space: &mut Space, _call: &Call) -> Answer {
    let mut sums = std::collections::BTreeMap::<String, i64>::new();
    for charge in space.store.newest_first("charge").filter(|charge| flag(charge, "captured")) {
        let currency = crate::object::text(charge, "currency").to_owned();
        let left = int(charge, "amount_captured")
            - int(charge, "amount_refunded")
            - int(charge, "_disputed");
        *sums.entry(currency).or_default() += left;
    }
    let available: Vec<Value> = sums
        .iter()
        .map(|(currency, amount)| json!({ "amount": amount, "currency": currency }))
        .collect();
    let livemode = space.mode.is_live();
    Ok(json!({ "object": "balance", "available": available, "pending": [], "livemode": livemode }))
}
