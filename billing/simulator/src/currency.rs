//! Which currencies there are, the least that can be charged in each, and what an amount must look like.

use crate::error::ApiError;

/// Most digits of an amount.
const AMOUNT_MAX: i64 = 99_999_999;

/// Least charge in minor units, by currency; where none is listed, the equivalent of 0.50 USD is not checked.
const MINIMUMS: &[(&str, i64)] = &[
    ("usd", 50),
    ("eur", 50),
    ("cad", 50),
    ("aud", 50),
    ("chf", 50),
    ("nzd", 50),
    ("sgd", 50),
    ("brl", 50),
    ("inr", 50),
    ("gbp", 30),
    ("dkk", 250),
    ("nok", 300),
    ("sek", 300),
    ("hkd", 400),
    ("jpy", 50),
    ("aed", 200),
    ("pln", 200),
    ("ron", 200),
    ("myr", 200),
    ("czk", 1500),
    ("huf", 17_500),
    ("mxn", 1000),
    ("thb", 1000),
];
const ZERO_DECIMAL: &str = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf";
/// Sent in hundredths that end in 00.
const WHOLE_HUNDREDTHS: &str = "isk ugx";
/// Sent in thousandths that end in 0.
const THREE_DECIMAL: &str = "bhd jod kwd omr tnd";
const TWO_DECIMAL: &str = "ars bgn bob cop crc dop egp gel idr ils kes kzt lkr mad ngn pen php pkr qar rsd sar try twd uah uyu zar";

/// The currency's code in lower case, if Stripe takes it.
pub(crate) fn known(currency: &str) -> Result<String, ApiError> {
    let code = currency.to_ascii_lowercase();
    let is_listed = MINIMUMS.iter().any(|(listed, _)| *listed == code);
    let lists = [ZERO_DECIMAL, WHOLE_HUNDREDTHS, THREE_DECIMAL, TWO_DECIMAL];
    if is_listed || lists.iter().any(|list| list.split(' ').any(|listed| listed == code)) {
        return Ok(code);
    }
    Err(ApiError::invalid(
        "currency",
        format!("Invalid currency: {code}. Stripe does not support it."),
    ))
}

/// The least amount that can be charged.
pub(crate) fn minimum(currency: &str) -> i64 {
    MINIMUMS.iter().find(|(listed, _)| *listed == currency).map_or(1, |(_, least)| *least)
}

/// Checks an amount that is to be charged.
pub(crate) fn check_charge(amount: i64, currency: &str) -> Result<(), ApiError> {
    check_amount(amount, currency)?;
    if amount < minimum(currency) {
        let message = format!(
            "Amount must be at least {} in the smallest unit of {currency}, and was {amount}",
            minimum(currency)
        );
        return Err(ApiError::invalid("amount", message).with("code", "amount_too_small"));
    }
    Ok(())
}

/// Checks digits and scale of an amount, whatever its size.
pub(crate) fn check_amount(amount: i64, currency: &str) -> Result<(), ApiError> {
    if amount < 0 {
        let message = "This value must be greater than or equal to 0.";
        return Err(ApiError::invalid("amount", message).with("code", "parameter_invalid_integer"));
    }
    if amount > AMOUNT_MAX {
        let message = format!("Amount must be no more than {AMOUNT_MAX} in the smallest unit");
        return Err(ApiError::invalid("amount", message).with("code", "amount_too_large"));
    }
    let is_in = |list: &str| list.split(' ').any(|listed| listed == currency);
    let step = if is_in(WHOLE_HUNDREDTHS) {
        100
    } else if is_in(THREE_DECIMAL) {
        10
    } else {
        1
    };
    if amount % step != 0 {
        let message = format!("Invalid amount: in {currency} it must be a multiple of {step}");
        return Err(ApiError::invalid("amount", message));
    }
    Ok(())
}
