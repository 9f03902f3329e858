//! Runs actions and operations with a client that may run them.
//!
//! Every request that changes something carries an idempotency key of the call that it belongs to,
//! so that the client's own retries do it once.
//! Not here: whether the caller may (`gate`), how lists are read (`listing`).

use serde_json::{Map, Value};

use super::actions::{Action, Output};
use super::entities::{Entity, Operation};
use super::error::ConnectorError;
use super::filter::Filter;
use super::input::{Fields, Nulls};
use super::listing;
use crate::error::BillingError;
use crate::stripe::{Client, Form, StripeError};

/// Most objects that one condition may change: they are changed one by one.
pub const CHANGED_MAX: usize = 50;

/// What one call does at Stripe.
pub struct Session {
    client: Client,
    /// Begins the idempotency keys of this call.
    call: String,
    /// The connection, for errors.
    connection: String,
}

// === impl Session ===

impl Session {
    /// A call through `connection`; `call` is unique, and short enough to begin a key with.
    #[must_use]
    pub fn new(client: Client, call: String, connection: String) -> Session {
        Session { client, call, connection }
    }

    /// Runs an action: the one object of its output.
    ///
    /// # Errors
    /// `Invalid`; Stripe's.
    pub async fn execute(
        &self,
        action: &Action,
        parameters: &Fields,
    ) -> Result<Map<String, Value>, BillingError> {
        let request = action.request(parameters)?;
        let answer = self.client.post(&request.path, &request.form, &self.key("action")).await?;
        let invoice = match action.output {
            Output::InvoiceOfQuote => self.invoice_of(&answer).await?,
            Output::Success | Output::Object => None,
        };
        Ok(action.result(&answer, invoice.as_deref()))
    }

    /// The invoice of a quote; that of a recurring one hangs on its subscription.
    async fn invoice_of(&self, quote: &Value) -> Result<Option<String>, BillingError> {
        if let Some(invoice) = id_of(&quote["invoice"]) {
            return Ok(Some(invoice));
        }
        let Some(subscription) = id_of(&quote["subscription"]) else { return Ok(None) };
        let path = format!("/subscriptions/{subscription}");
        let subscription = self.client.get(&path, &Form::new()).await?;
        Ok(id_of(&subscription["latest_invoice"]))
    }

    /// One page of an entity.
    ///
    /// # Errors
    /// `Operation`; `Invalid`; Stripe's.
    pub async fn list(
        &self,
        entity: &'static Entity,
        query: &listing::Query,
    ) -> Result<listing::Page, BillingError> {
        entity.check(Operation::List)?;
        listing::page(&self.client, entity, query).await
    }

    /// One object.
    ///
    /// # Errors
    /// `Operation`; `Missing`; Stripe's.
    pub async fn get(&self, entity: &'static Entity, id: &str) -> Result<Value, BillingError> {
        entity.check(Operation::Get)?;
        let path = entity.at(id)?;
        let object = self.client.get(&path, &Form::new()).await;
        let object = object.map_err(|error| self.about(entity, id, error))?;
        if object["deleted"] == true {
            return Err(self.missing(entity, id));
        }
        Ok(object)
    }

    /// Makes an object: its id.
    ///
    /// # Errors
    /// `Operation`; `Invalid`; Stripe's.
    pub async fn create(
        &self,
        entity: &'static Entity,
        fields: &Fields,
    ) -> Result<String, BillingError> {
        entity.check(Operation::Create)?;
        let form = entity.form(fields, Nulls::Omit)?;
        let made = self.client.post(entity.path, &form, &self.key("create")).await?;
        Ok(id_of(&made).unwrap_or_default())
    }

    /// Changes an object.
    ///
    /// # Errors
    /// `Operation`; `Invalid`; `Missing`; Stripe's.
    pub async fn update(
        &self,
        entity: &'static Entity,
        id: &str,
        fields: &Fields,
    ) -> Result<String, BillingError> {
        entity.check(Operation::Update)?;
        let (path, form) = (entity.at(id)?, entity.form(fields, Nulls::Unset)?);
        if form.is_empty() {
            return Err(BillingError::invalid("fields", "must name what is to be changed"));
        }
        let key = self.key(&format!("update/{id}"));
        let changed = self.client.post(&path, &form, &key).await;
        changed.map_err(|error| self.about(entity, id, error))?;
        Ok(id.to_owned())
    }

    /// Removes an object; a subscription is ended.
    ///
    /// # Errors
    /// `Operation`; `Missing`; Stripe's.
    pub async fn delete(&self, entity: &'static Entity, id: &str) -> Result<(), BillingError> {
        entity.check(Operation::Delete)?;
        let removed = self.client.delete(&entity.at(id)?).await;
        removed.map(drop).map_err(|error| self.about(entity, id, error))
    }

    /// Changes every object that meets a condition: their ids.
    ///
    /// # Errors
    /// As [`Session::update`]; `Invalid` where more than [`CHANGED_MAX`] meet it; `Part`.
    pub async fn update_where(
        &self,
        entity: &'static Entity,
        filter: &Filter,
        fields: &Fields,
    ) -> Result<Vec<String>, BillingError> {
        entity.check(Operation::Update)?;
        entity.form(fields, Nulls::Unset)?;
        let ids = self.ids_where(entity, filter).await?;
        for (done, id) in ids.iter().enumerate() {
            let changed = self.update(entity, id, fields).await;
            changed.map_err(|error| part(entity, done, &ids, id, error))?;
        }
        Ok(ids)
    }

    /// Removes every object that meets a condition: their ids.
    ///
    /// # Errors
    /// As [`Session::delete`]; `Invalid` where more than [`CHANGED_MAX`] meet it; `Part`.
    pub async fn delete_where(
        &self,
        entity: &'static Entity,
        filter: &Filter,
    ) -> Result<Vec<String>, BillingError> {
        entity.check(Operation::Delete)?;
        let ids = self.ids_where(entity, filter).await?;
        for (done, id) in ids.iter().enumerate() {
            let removed = self.delete(entity, id).await;
            removed.map_err(|error| part(entity, done, &ids, id, error))?;
        }
        Ok(ids)
    }

    async fn ids_where(
        &self,
        entity: &'static Entity,
        filter: &Filter,
    ) -> Result<Vec<String>, BillingError> {
        let objects = listing::every(&self.client, entity, Some(filter)).await?;
        if objects.len() > CHANGED_MAX {
            let reason = format!("are met by more than {CHANGED_MAX} objects: nothing was changed");
            return Err(BillingError::invalid("conditions", reason));
        }
        Ok(objects.iter().filter_map(id_of).collect())
    }

    fn key(&self, step: &str) -> String {
        format!("tollgate/connector/{}/{step}", self.call)
    }

    fn missing(&self, entity: &Entity, id: &str) -> BillingError {
        let connection = format!("connection {}", self.connection);
        BillingError::missing(entity.name, id, connection)
    }

    /// The object that was asked for is missing; or another one, which Stripe's refusal names.
    fn about(&self, entity: &Entity, id: &str, error: StripeError) -> BillingError {
        match &error {
            StripeError::Missing(refusal) if refusal.message.contains(id) => {
                self.missing(entity, id)
            }
            _ => BillingError::Stripe(error),
        }
    }
}

/// The id of an object, or of one that is told by its id.
fn id_of(value: &Value) -> Option<String> {
    value["id"].as_str().or_else(|| value.as_str()).map(str::to_owned)
}

/// Of several changes one was refused; the first one's refusal is told as it is.
fn part(
    entity: &'static Entity,
    done: usize,
    ids: &[String],
    failed: &str,
    error: BillingError,
) -> BillingError {
    if done == 0 {
        return error;
    }
    let (all, failed, reason) = (ids.len(), failed.to_owned(), error.to_string());
    BillingError::Connector(ConnectorError::Part { done, all, entity: entity.name, failed, reason })
}
