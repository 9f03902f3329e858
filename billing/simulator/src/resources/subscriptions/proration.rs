//! Changes in the middle of a period: what was paid and not used comes back, what is used from now on is charged.

use serde_json::{Value, json};

use super::super::prices;
use super::cycle;
use crate::error::ApiError;
use crate::object::{int, text};
use crate::space::Space;

/// Settles a change of items with what `behaviour` says, and begins a new period where the interval has changed.
pub(super) fn settle(
    space: &mut Space,
    id: &str,
    before: &[Value],
    behaviour: &str,
    restarts: bool,
) -> Result<(), ApiError> {
    let subscription = space.at("subscription", id)?;
    let is_paid_for = matches!(text(&subscription, "status"), "active" | "past_due");
    if behaviour != "none" && is_paid_for {
        credit(space, &subscription, before)?;
        if !restarts {
            let after = subscription["items"]["data"].as_array().cloned().unwrap_or_default();
            book(space, &subscription, &after, 1)?;
        }
    }
    if restarts && is_paid_for {
        cycle::restart(space, &subscription)?;
    } else if behaviour == "always_invoice" && is_paid_for {
        cycle::invoice_pending(space, &subscription)?;
    }
    Ok(())
}

/// Gives back what was paid for the rest of the period.
pub(super) fn credit(
    space: &mut Space,
    subscription: &Value,
    items: &[Value],
) -> Result<(), ApiError> {
    book(space, subscription, items, -1)
}

/// Books the rest of the period as pending items, for (1) or against (−1) the customer.
fn book(
    space: &mut Space,
    subscription: &Value,
    items: &[Value],
    sign: i64,
) -> Result<(), ApiError> {
    let (start, end) = (int(subscription, "_period_start"), int(subscription, "_period_end"));
    for item in items {
        let whole = prices::total(&item["price"], int(item, "quantity"))?;
        let amount = share(whole, end - space.now, end - start) * sign;
        if amount == 0 {
            continue;
        }
        let what = if sign < 0 { "Unused time" } else { "Remaining time" };
        let booked = json!({
            "id": space.id("ii"), "object": "invoiceitem", "amount": amount, "created": space.now,
            "currency": subscription["currency"], "customer": subscription["customer"], "date": space.now,
            "description": format!("{what} on {}", text(item, "price.id")), "discountable": false, "discounts": [],
            "invoice": null, "livemode": subscription["livemode"], "metadata": {},
            "period": { "start": space.now, "end": end }, "proration": true, "quantity": item["quantity"],
            "tax_rates": [], "test_clock": null, "_price": item["price"], "_unit_amount": amount,
            "_subscription": subscription["id"], "_subscription_item": item["id"],
        });
        space.create(&booked, "invoiceitem.created");
    }
    Ok(())
}

/// The part of an amount that falls on a part of a time, rounded to the nearest minor unit.
fn share(amount: i64, part: i64, whole: i64) -> i64 {
    if whole <= 0 {
        return 0;
    }
    let (part, whole) = (i128::from(part.clamp(0, whole)), i128::from(whole));
    let exact = i128::from(amount) * part;
    // It is at most `amount`.
    i64::try_from((exact * 2 + whole).div_euclid(whole * 2)).unwrap_or(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_the_nearest_minor_unit() {
        let check =
            |amount, part, whole, expected| assert_eq!(share(amount, part, whole), expected);
        check(1000, 15, 30, 500);
        check(1000, 1, 3, 333);
        check(1000, 2, 3, 667);
        check(1000, 0, 30, 0);
        check(1000, 40, 30, 1000);
        check(1, 1, 2, 1);
        check(99_999_999, 2_592_000, 2_592_000, 99_999_999);
    }
}
