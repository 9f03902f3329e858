//! Names of fields: `InvoiceSettings.DefaultPaymentMethod` to callers,
//! `invoice_settings[default_payment_method]` to Stripe.
//!
//! Both spellings are taken, the callers' own with capitals and Stripe's with underscores. What
//! stands below `metadata` is named by whoever made it and stays as it is.

use crate::error::BillingError;

/// Most bytes of a field's name.
const NAME_BYTES_MAX: usize = 255;

/// Below this one names belong to their maker.
const VERBATIM: &str = "metadata";

/// One part of a field's path, as Stripe names it: letters that cannot leave their brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment(String);

// === impl Segment ===

impl Segment {
    /// A place in a list.
    #[must_use]
    pub fn place(at: usize) -> Segment {
        Segment(at.to_string())
    }

    /// Its letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The path of a field.
///
/// # Errors
/// `Invalid` where the name is none.
pub fn path(name: &str) -> Result<Vec<Segment>, BillingError> {
    below(None, name)
}

/// The path of a field below one whose path begins with `first`.
pub(super) fn below(first: Option<&Segment>, name: &str) -> Result<Vec<Segment>, BillingError> {
    let wrong = || BillingError::invalid(name, "is no name of a field");
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(wrong());
    }
    let is_verbatim = |first: &Segment| first.0 == VERBATIM;
    if first.is_some_and(is_verbatim) {
        return Ok(vec![verbatim(name).ok_or_else(wrong)?]);
    }
    let (head, rest) = name.split_once('.').unwrap_or((name, ""));
    let head = Segment(snake(head).ok_or_else(wrong)?);
    if rest.is_empty() {
        return if name.ends_with('.') { Err(wrong()) } else { Ok(vec![head]) };
    }
    let first = first.unwrap_or(&head).clone();
    let rest = below(Some(&first), rest)?;
    Ok([vec![head], rest].concat())
}

/// A key of metadata: Stripe takes no brackets in one.
fn verbatim(name: &str) -> Option<Segment> {
    let is_plain = !name.chars().any(|it| matches!(it, '[' | ']') || it.is_control());
    is_plain.then(|| Segment(name.to_owned()))
}

/// `a[b][c]`.
pub(super) fn parameter(path: &[Segment]) -> String {
    let mut name = String::new();
    for (at, Segment(part)) in path.iter().enumerate() {
        match at {
            0 => name.push_str(part),
            _ => name.push_str(&format!("[{part}]")),
        }
    }
    name
}

/// `PaymentMethod` and `payment_method` as `payment_method`.
fn snake(name: &str) -> Option<String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_name) {
        return None;
    }
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    Some(snake)
}

/// `payment_method` as `PaymentMethod`.
#[must_use]
pub fn pascal(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_ascii_uppercase().to_string() + letters.as_str()
        })
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{parameter, pascal, path, snake};

    #[test]
    fn either_spelling_means_the_field_of_stripe() {
        let check = |rows: &[(&str, &str)]| {
            for (name, want) in rows {
                assert_eq!(parameter(&path(name).unwrap()), *want, "{name}");
            }
        };
        check(&[
            ("Amount", "amount"),
            ("payment_method", "payment_method"),
            ("paymentMethod", "payment_method"),
            ("Card.ExpMonth", "card[exp_month]"),
            ("metadata.Order.Id-1", "metadata[Order.Id-1]"),
        ]);
        for name in ["", ".", "a.", ".a", "a b", "a[b]", "metadata.a[b]", "a&b"] {
            assert!(path(name).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_comes_back(name in "[a-z][a-z0-9]{0,8}(_[a-z][a-z0-9]{0,8}){0,3}") {
            prop_assert_eq!(snake(&pascal(&name)), Some(name));
        }
    }
}
