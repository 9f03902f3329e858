//! The twelve entities: which object of Stripe each is, what can be done with it, and its fields.
//!
//! An operation that Stripe has no request for is refused by name. The fields are those that are
//! described and checked; others are passed on, and Stripe says what it does not know.
//! Not here: how an operation is run (`operate`).

mod table;

use super::error::ConnectorError;
use super::input::{Fields, Input};
use super::naming;
use crate::error::BillingError;
use crate::stripe::Form;

pub use table::ENTITIES;

/// Most bytes of an id.
const ID_BYTES_MAX: usize = 128;

/// What can be done with an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Many, under conditions.
    List,
    /// One by its id.
    Get,
    /// Makes one.
    Create,
    /// Changes one by its id.
    Update,
    /// Removes or ends one by its id.
    Delete,
}

/// Of what a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number: an amount in the currency's smallest unit, a count, a time in seconds.
    Whole,
    /// `true` or `false`.
    Bool,
}

/// A field of an entity.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// As Stripe names it: `invoice_settings.default_payment_method`.
    pub path: &'static str,
    /// Of what it is.
    pub kind: Kind,
}

/// An object of Stripe under the connector's name.
#[derive(Debug)]
pub struct Entity {
    /// E.g. `PaymentIntent`.
    pub name: &'static str,
    /// Where its objects are: `/payment_intents`.
    pub path: &'static str,
    /// What Stripe has.
    pub operations: &'static [Operation],
    /// The fields that are described.
    pub fields: &'static [Field],
    /// What Stripe's list can filter by, for equality; times besides.
    pub narrows: &'static [&'static str],
    /// What Stripe's list leaves out unless it is asked: name and value.
    pub list_whole: Option<(&'static str, &'static str)>,
}

// === impl Operation ===

impl Operation {
    /// As documents write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Operation::List => "List",
            Operation::Get => "Get",
            Operation::Create => "Create",
            Operation::Update => "Update",
            Operation::Delete => "Delete",
        }
    }
}

// === impl Field ===

impl Field {
    /// As callers name it: `InvoiceSettings.DefaultPaymentMethod`.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.split('.').map(naming::pascal).collect::<Vec<_>>().join(".")
    }
}

// === impl Entity ===

impl Entity {
    /// The entity of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Entity> {
        ENTITIES.iter().find(|entity| entity.name == name)
    }

    /// Refuses what Stripe has no request for.
    ///
    /// # Errors
    /// `Operation`, naming it and those that there are.
    pub fn check(&self, operation: Operation) -> Result<(), ConnectorError> {
        if self.operations.contains(&operation) {
            return Ok(());
        }
        let has: Vec<&str> = self.operations.iter().map(|it| it.as_str()).collect();
        let (entity, operation) = (self.name, operation.as_str());
        Err(ConnectorError::Operation { entity, operation, has: has.join(", ") })
    }

    /// Where the object of this id is.
    ///
    /// # Errors
    /// `Invalid` where it is no id.
    pub fn at(&self, id: &str) -> Result<String, BillingError> {
        check_id("entityId", id)?;
        Ok(format!("{}/{id}", self.path))
    }

    /// Fields as parameters of Stripe.
    ///
    /// # Errors
    /// `Invalid`, naming the field.
    pub fn form(&self, fields: &Fields, nulls: super::input::Nulls) -> Result<Form, BillingError> {
        for (name, input) in &fields.0 {
            self.check_field(name, input)?;
        }
        fields.form(nulls)
    }

    fn check_field(&self, name: &str, input: &Input) -> Result<(), BillingError> {
        let path: Vec<String> =
            naming::path(name)?.iter().map(|part| part.as_str().to_owned()).collect();
        let path = path.join(".");
        if path == "id" {
            return Err(BillingError::invalid(name, "is given by Stripe and cannot be set"));
        }
        let Some(field) = self.fields.iter().find(|field| field.path == path) else {
            return Ok(());
        };
        let wrong = |reason: &str| Err(BillingError::invalid(name, reason));
        match (field.kind, input) {
            (Kind::Whole, Input::Number(number)) if !number.is_whole() => {
                wrong(&format!("must be a whole number of the smallest unit, {number} is none"))
            }
            (Kind::Whole, Input::Bool(_) | Input::List(_) | Input::Object(_)) => {
                wrong("must be a whole number")
            }
            (Kind::Bool, Input::Number(_) | Input::List(_) | Input::Object(_)) => {
                wrong("must be true or false")
            }
            (Kind::Text, Input::List(_)) => wrong("must be a text"),
            // `DefaultPaymentMethod` may be sent as the object that it names; Stripe says.
            (Kind::Text, Input::Object(_))
            | (Kind::Whole, Input::Number(_))
            | (_, Input::Null | Input::Text(_))
            | (Kind::Bool | Kind::Text, Input::Bool(_))
            | (Kind::Text, Input::Number(_)) => Ok(()),
        }
    }
}

/// Refuses what cannot be an id, and so could lead a path elsewhere.
///
/// # Errors
/// `Invalid`, naming `field`.
pub fn check_id(field: &str, id: &str) -> Result<(), BillingError> {
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(is_id) {
        return Err(BillingError::invalid(field, "is no id of Stripe: letters, digits and _"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{ENTITIES, Entity, Operation};
    use crate::connector::input::{Fields, Nulls};

    fn form(entity: &str, json: &str) -> Result<String, String> {
        let fields: Fields = serde_json::from_str(json).unwrap();
        let form = Entity::find(entity).unwrap().form(&fields, Nulls::Omit);
        form.map(|form| form.encode()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_amount_is_read_exactly_or_refused() {
        let sample = r#"{"PaymentMethod":"pm_1","Currency":"usd","Amount":1500.0}"#;
        let want = "amount=1500&currency=usd&payment_method=pm_1";
        assert_eq!(form("PaymentIntent", sample).as_deref(), Ok(want));
        // A float could not tell this from 1500.
        let told = form("PaymentIntent", r#"{"Amount":1500.0000000000000001}"#).unwrap_err();
        assert!(told.starts_with("Amount: must be a whole number"), "{told}");
        assert!(form("PaymentIntent", r#"{"amount":0.5}"#).is_err());
        assert!(form("PaymentIntent", r#"{"Amount":true}"#).is_err());
        // What is no amount keeps its places.
        assert_eq!(
            form("Price", r#"{"UnitAmountDecimal":0.125}"#).as_deref(),
            Ok("unit_amount_decimal=0.125")
        );
        assert!(form("Customer", r#"{"Id":"cus_1"}"#).is_err());
    }

    #[test]
    fn what_stripe_has_no_request_for_is_refused_by_name() {
        let refused = |entity: &str, operation: Operation| {
            Entity::find(entity).unwrap().check(operation).unwrap_err().to_string()
        };
        let told = refused("Event", Operation::Create);
        assert_eq!(told, "entity Event has no operation Create: it has List, Get");
        refused("PaymentIntent", Operation::Delete);
        refused("PaymentMethod", Operation::Delete);
        refused("Price", Operation::Delete);
        refused("Quote", Operation::Delete);
        refused("Refund", Operation::Delete);
        refused("Charge", Operation::Delete);
        assert!(Entity::find("customer").is_none());
    }

    #[test]
    fn the_table_has_each_entity_once_with_its_id() {
        assert!(ENTITIES.is_sorted_by_key(|entity| entity.name));
        assert_eq!(ENTITIES.len(), 12);
        for entity in &ENTITIES {
            assert_eq!(entity.fields[0].name(), "Id", "{}", entity.name);
            for narrow in entity.narrows {
                let is_field = entity.fields.iter().any(|field| field.path == *narrow);
                assert!(is_field, "{} {narrow}", entity.name);
            }
        }
    }
}
