//! Amounts as Stripe counts them.
//!
//! Stripe takes whole numbers of a currency's smallest part, and its scales are its own: neither
//! ISO 4217's nor CLDR's. An amount that has no such number is refused, never rounded.
//! Source of the tables: Stripe's pages on currencies and on minimum charge amounts.
//! Not here: what an invoice's lines are rounded to (`invoices`).

use tollgate_metering::{Currency, Money};

/// Currencies without a smaller part.
const NO_DECIMALS: [&str; 15] = [
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF",
    "XOF", "XPF",
];
/// Sent in hundredths that end in 00.
const WHOLE_HUNDREDTHS: [&str; 2] = ["ISK", "UGX"];
/// Three decimals, of which the last is 0.
const THREE_DECIMALS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];

/// The most that one payment may be, in the smallest part: eight digits.
pub const CHARGE_MAX: i64 = 99_999_999;

/// The least that one payment may be, in the smallest part; for currencies that are not listed
/// Stripe decides.
const CHARGE_MIN: [(&str, i64); 23] = [
    ("AED", 200),
    ("AUD", 50),
    ("BRL", 50),
    ("CAD", 50),
    ("CHF", 50),
    ("CZK", 1_500),
    ("DKK", 250),
    ("EUR", 50),
    ("GBP", 30),
    ("HKD", 400),
    ("HUF", 17_500),
    ("INR", 50),
    ("JPY", 50),
    ("MXN", 1_000),
    ("MYR", 200),
    ("NOK", 300),
    ("NZD", 50),
    ("PLN", 200),
    ("RON", 200),
    ("SEK", 300),
    ("SGD", 50),
    ("THB", 1_000),
    ("USD", 50),
];

/// Why an amount cannot be sent to Stripe, or taken from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Finer than what Stripe can take.
    #[error(
        "amount {amount} {currency} cannot be paid exactly: Stripe takes steps of {step} {currency}"
    )]
    Fraction {
        /// The amount.
        amount: Money,
        /// Its currency.
        currency: Currency,
        /// The smallest step.
        step: Money,
    },
    /// Not above zero, or less than what Stripe takes.
    #[error(
        "amount {amount} {currency} is less than {least} {currency}, the least that Stripe takes"
    )]
    TooSmall {
        /// The amount.
        amount: Money,
        /// Its currency.
        currency: Currency,
        /// The least.
        least: Money,
    },
    /// More than what Stripe takes.
    #[error(
        "amount {amount} {currency} is more than {most} {currency}, the most that Stripe takes"
    )]
    TooLarge {
        /// The amount.
        amount: Money,
        /// Its currency.
        currency: Currency,
        /// The most.
        most: Money,
    },
}

/// Digits after the point in Stripe's smallest part: 0, 2 or 3.
#[must_use]
pub fn decimals(currency: Currency) -> u32 {
    let text = currency.to_string();
    let is_in = |list: &[&str]| list.contains(&text.as_str());
    if is_in(&NO_DECIMALS) {
        0
    } else if is_in(&THREE_DECIMALS) {
        3
    } else {
        2
    }
}

/// The smallest step of an amount, in smallest parts.
#[must_use]
pub fn step(currency: Currency) -> i64 {
    let text = currency.to_string();
    if WHOLE_HUNDREDTHS.contains(&text.as_str()) {
        100
    } else if THREE_DECIMALS.contains(&text.as_str()) {
        10
    } else {
        1
    }
}

/// The amount in smallest parts, of either sign, exactly.
///
/// # Errors
/// [`AmountError::Fraction`]; [`AmountError::TooLarge`] where it is beyond `i64`.
pub fn to_minor(amount: Money, currency: Currency) -> Result<i64, AmountError> {
    let each = nanos_of_one(currency);
    let step = step(currency);
    if amount.nanos() % step_nanos(currency) != 0 {
        let step = money(step, currency);
        return Err(AmountError::Fraction { amount, currency, step });
    }
    i64::try_from(amount.nanos() / each).map_err(|_| AmountError::TooLarge {
        amount,
        currency,
        most: money(CHARGE_MAX, currency),
    })
}

/// A payment in smallest parts, within what Stripe takes.
///
/// # Errors
/// [`AmountError`].
pub fn payment(amount: Money, currency: Currency) -> Result<i64, AmountError> {
    let minor = to_minor(amount, currency)?;
    let least = least(currency);
    if minor < least {
        let least = money(least, currency);
        return Err(AmountError::TooSmall { amount, currency, least });
    }
    if minor > CHARGE_MAX {
        let most = money(CHARGE_MAX, currency);
        return Err(AmountError::TooLarge { amount, currency, most });
    }
    Ok(minor)
}

/// The least that one payment may be, in smallest parts: what is listed, else one step.
#[must_use]
pub fn least(currency: Currency) -> i64 {
    let text = currency.to_string();
    let listed = CHARGE_MIN.iter().find(|(name, _)| *name == text);
    listed.map_or_else(|| step(currency), |(_, least)| *least)
}

/// The smallest step of an amount, in nanos.
#[must_use]
pub fn step_nanos(currency: Currency) -> i128 {
    i128::from(step(currency)) * nanos_of_one(currency)
}

/// An amount that Stripe tells, exactly.
#[must_use]
pub fn from_minor(minor: i64, currency: Currency) -> Money {
    money(minor, currency)
}

fn money(minor: i64, currency: Currency) -> Money {
    let nanos = i128::from(minor) * nanos_of_one(currency);
    Money::from_nanos(nanos).expect("an i64 of parts of at most one unit is in range")
}

/// Nanos of one smallest part.
fn nanos_of_one(currency: Currency) -> i128 {
    1_000_000_000 / 10_i128.pow(decimals(currency))
}

#[cfg(test)]
mod tests {
    use super::{AmountError, from_minor, payment, to_minor};

    #[test]
    fn an_amount_is_exact_or_refused() {
        let check = |amount: &str, currency: &str, minor: Option<i64>| {
            let (amount, currency) = (amount.parse().unwrap(), currency.parse().unwrap());
            let got = to_minor(amount, currency);
            assert_eq!(got.as_ref().ok().copied(), minor, "{amount} {currency}");
            if let Some(minor) = minor {
                assert_eq!(from_minor(minor, currency), amount);
            }
        };
        check("12.34", "USD", Some(1_234));
        check("-12.34", "USD", Some(-1_234));
        check("12.345", "USD", None);
        check("0.000000001", "EUR", None);
        check("500", "JPY", Some(500));
        check("500.5", "JPY", None);
        check("5", "ISK", Some(500));
        check("5.5", "ISK", None);
        check("7", "UGX", Some(700));
        check("5.12", "KWD", Some(5_120));
        check("5.123", "KWD", None);
        check("9.99", "HUF", Some(999));
        check("100", "XPF", Some(100));
    }

    #[test]
    fn a_payment_is_within_what_stripe_takes() {
        let pay = |amount: &str, currency: &str| {
            payment(amount.parse().unwrap(), currency.parse().unwrap())
        };
        assert_eq!(pay("0.50", "USD"), Ok(50));
        assert!(matches!(pay("0.49", "USD"), Err(AmountError::TooSmall { .. })));
        assert_eq!(pay("0.30", "GBP"), Ok(30));
        assert_eq!(pay("999999.99", "USD"), Ok(99_999_999));
        assert!(matches!(pay("1000000", "USD"), Err(AmountError::TooLarge { .. })));
        assert!(matches!(pay("0", "ZAR"), Err(AmountError::TooSmall { .. })));
        assert!(matches!(pay("-3", "ZAR"), Err(AmountError::TooSmall { .. })));
    }
}
