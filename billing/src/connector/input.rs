//! What callers send as fields and parameters: JSON whose numbers are kept as they are written.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::value::RawValue;

use super::naming::{self, Segment};
use super::number::Exact;
use crate::error::BillingError;
use crate::stripe::Form;

/// How deep fields may be nested.
const DEPTH_MAX: usize = 8;

/// Most fields of one request.
const FIELDS_MAX: usize = 500;

/// A value as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Exact),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Input>),
    /// Fields by name.
    Object(BTreeMap<String, Input>),
}

/// Fields or parameters of a call, by the names that it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub BTreeMap<String, Input>);

/// What becomes of a field that is `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    /// It is left out.
    Omit,
    /// It is unset at Stripe, which takes an empty text for that.
    Unset,
}

// === impl Input ===

impl Input {
    /// The scalar as a text; `None` for what has parts, and for nothing.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        match self {
            Input::Text(text) => Some(text.clone()),
            Input::Number(number) => Some(number.to_string()),
            Input::Bool(it) => Some(it.to_string()),
            Input::Null | Input::List(_) | Input::Object(_) => None,
        }
    }

    fn read(raw: &str, depth: usize) -> Result<Input, String> {
        if depth > DEPTH_MAX {
            return Err(format!("is nested deeper than {DEPTH_MAX}"));
        }
        let wrong = |error: serde_json::Error| error.to_string();
        Ok(match raw.as_bytes().first() {
            Some(b'{') => {
                let parts: BTreeMap<String, &RawValue> =
                    serde_json::from_str(raw).map_err(wrong)?;
                let read = parts
                    .into_iter()
                    .map(|(name, it)| Ok((name, Input::read(it.get(), depth + 1)?)));
                Input::Object(read.collect::<Result<_, String>>()?)
            }
            Some(b'[') => {
                let parts: Vec<&RawValue> = serde_json::from_str(raw).map_err(wrong)?;
                let read = parts.into_iter().map(|it| Input::read(it.get(), depth + 1));
                Input::List(read.collect::<Result<_, String>>()?)
            }
            Some(b'"') => Input::Text(serde_json::from_str(raw).map_err(wrong)?),
            Some(b't') => Input::Bool(true),
            Some(b'f') => Input::Bool(false),
            Some(b'n') => Input::Null,
            Some(_) | None => {
                let number = Exact::parse(raw);
                Input::Number(number.ok_or_else(|| format!("{raw} has too many digits"))?)
            }
        })
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Input, D::Error> {
        let raw = Box::<RawValue>::deserialize(from)?;
        Input::read(raw.get(), 0).map_err(D::Error::custom)
    }
}

// === impl Fields ===

impl<'de> Deserialize<'de> for Fields {
    /// An object, or a text that holds one, as integrations pass a payload.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Fields, D::Error> {
        match Input::deserialize(from)? {
            Input::Object(fields) => Ok(Fields(fields)),
            Input::Null => Ok(Fields::default()),
            Input::Text(text) => match serde_json::from_str(&text) {
                Ok(Input::Object(fields)) => Ok(Fields(fields)),
                Ok(_) | Err(_) => Err(D::Error::custom("a text of fields must hold a JSON object")),
            },
            Input::Bool(_) | Input::Number(_) | Input::List(_) => {
                Err(D::Error::custom("fields must be an object"))
            }
        }
    }
}

impl Fields {
    /// As parameters of Stripe, by its names. Fields whose names mean the same are refused.
    ///
    /// # Errors
    /// `Invalid`, naming the field.
    pub fn form(&self, nulls: Nulls) -> Result<Form, BillingError> {
        let mut form = Form::new();
        for (name, input) in &self.0 {
            let path = naming::path(name)?;
            push(&mut form, name, &path, input, nulls)?;
        }
        let mut names: Vec<&str> = form.pairs().iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(BillingError::invalid(twice[0], "is given twice under two names"));
        }
        Ok(form)
    }
}

fn push(
    form: &mut Form,
    field: &str,
    path: &[Segment],
    input: &Input,
    nulls: Nulls,
) -> Result<(), BillingError> {
    if form.pairs().len() >= FIELDS_MAX {
        let reason = format!("is one of more than {FIELDS_MAX} fields");
        return Err(BillingError::invalid(field, reason));
    }
    let below = |segment: Segment| [path, &[segment]].concat();
    match input {
        Input::Null if nulls == Nulls::Omit => {}
        Input::Null => form.push(naming::parameter(path), ""),
        Input::Bool(it) => form.push(naming::parameter(path), it),
        Input::Number(number) => form.push(naming::parameter(path), number),
        Input::Text(text) => form.push(naming::parameter(path), text),
        Input::List(items) => {
            for (at, item) in items.iter().enumerate() {
                push(form, field, &below(Segment::place(at)), item, nulls)?;
            }
        }
        Input::Object(parts) => {
            for (name, part) in parts {
                let mut path = path.to_vec();
                path.extend(naming::below(path.first(), name)?);
                push(form, field, &path, part, nulls)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Fields, Nulls};

    fn form(json: &str) -> Result<String, String> {
        let fields: Fields = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let form = fields.form(Nulls::Unset).map_err(|error| error.to_string())?;
        let pairs = form.pairs().iter().map(|(name, value)| format!("{name}={value}"));
        Ok(pairs.collect::<Vec<_>>().join("&"))
    }

    #[test]
    fn fields_become_parameters_of_stripe() {
        let check = |rows: &[(&str, &str)]| {
            for (json, want) in rows {
                assert_eq!(form(json).as_deref(), Ok(*want), "{json}");
            }
        };
        check(&[
            (
                r#"{"PaymentMethod":"pm_1","Currency":"usd","Amount":1500.0}"#,
                "amount=1500&currency=usd&payment_method=pm_1",
            ),
            (
                r#"{"InvoiceSettings.DefaultPaymentMethod":"pm_1"}"#,
                "invoice_settings[default_payment_method]=pm_1",
            ),
            (
                r#"{"Address":{"Line1":"a","PostalCode":"b"}}"#,
                "address[line1]=a&address[postal_code]=b",
            ),
            (
                r#"{"PaymentMethodTypes":["card","link"]}"#,
                "payment_method_types[0]=card&payment_method_types[1]=link",
            ),
            (
                r#"{"LineItems":[{"Price":"p","Quantity":2}]}"#,
                "line_items[0][price]=p&line_items[0][quantity]=2",
            ),
            // The names of metadata are its owner's.
            (
                r#"{"Metadata":{"OrderId":"1"},"Metadata.myKey":"2"}"#,
                "metadata[OrderId]=1&metadata[myKey]=2",
            ),
            (r#"{"Description":null,"Active":false}"#, "active=false&description="),
            // A text that holds the object.
            (r#""{\"Name\":\"John\"}""#, "name=John"),
            // Nothing breaks out of its parameter.
            (r#"{"Name":"x&amount=1"}"#, "name=x&amount=1"),
        ]);
    }

    #[test]
    fn fields_that_mean_nothing_are_refused_by_name() {
        let check = |json: &str, want: &str| {
            let told = form(json).unwrap_err();
            assert!(told.contains(want), "{json}: {told}");
        };
        check(r#"{"Na me":"x"}"#, "Na me");
        check(r#"{"Amount[x]":"x"}"#, "Amount[x]");
        check(r#"{"Amount":1,"amount":2}"#, "amount");
        check(r#"[1]"#, "must be an object");
        check(r#"{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}}}}"#, "nested");
    }
}
