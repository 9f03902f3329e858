//! Developers as customers of Stripe: one in each integration, made once.
//!
//! The record is written before the request. A developer's customer is found again by its metadata,
//! never by its e-mail address alone, which others may have as well.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_ledger_store::{DocumentKey, Put};
use tollgate_metering::DeveloperId;

use crate::Billing;
use crate::attempts::{Attempt, KEY_TRUSTED, is_kept};
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::records::key;
use crate::stripe::{Client, Form};

const CUSTOMER: &str = "billing.customer";

/// How far Stripe's clock may be from ours when an object is looked for by its time.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(600);

/// Most customers that are looked through for one that may have been made.
const LOOKED_THROUGH_MAX: usize = 10_000;

/// A developer at Stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// `cus_…`.
    pub id: String,
    /// `pm_…`: what payments without the developer use.
    pub default_payment_method: Option<String>,
}

/// A customer as stored: being made, or made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CustomerRecord {
    attempt: Attempt,
    id: Option<String>,
    #[serde(default)]
    default_payment_method: Option<String>,
}

/// Customers belong to the integration itself: one that has its name later has none of them.
fn customer_key(integration: &Integration, developer: DeveloperId) -> DocumentKey {
    key(CUSTOMER, format!("{}/{}", integration.organization, integration.id), developer)
}

// === impl Billing ===

impl Billing {
    /// The developer's customer, made where there is none yet.
    ///
    /// # Errors
    /// `Stripe`, `Contended`, the store's.
    pub async fn customer(
        &self,
        integration: &Integration,
        developer: &Developer,
    ) -> Result<Customer, BillingError> {
        let (key, records) = (customer_key(integration, developer.id), self.records());
        let now = self.parts().clock.now();
        let begun =
            CustomerRecord { attempt: Attempt::first(now), id: None, default_payment_method: None };
        let record = match records.load::<CustomerRecord>(&key).await? {
            Some(stored) => stored.record,
            None => match records.insert(&key, &begun, now).await? {
                Put::Written => begun,
                Put::Conflict => return Err(BillingError::Contended { what: "customer" }),
            },
        };
        if let Some(id) = record.id {
            return Ok(Customer { id, default_payment_method: record.default_payment_method });
        }
        let client = self.client_of(integration)?;
        let id = self.make_customer(&client, integration, developer, record.attempt).await?;
        let stored = records.edit(&key, now, |record: &mut CustomerRecord| {
            Ok(record.id.get_or_insert_with(|| id.clone()).clone())
        });
        let (record, id) = stored.await?.ok_or(BillingError::Contended { what: "customer" })?;
        Ok(Customer { id, default_payment_method: record.default_payment_method })
    }

    /// The developer's customer, where there is one.
    ///
    /// # Errors
    /// The store's.
    pub async fn known_customer(
        &self,
        integration: &Integration,
        developer: DeveloperId,
    ) -> Result<Option<Customer>, BillingError> {
        let key = customer_key(integration, developer);
        Ok(self.records().load::<CustomerRecord>(&key).await?.and_then(|stored| {
            let CustomerRecord { id, default_payment_method, .. } = stored.record;
            id.map(|id| Customer { id, default_payment_method })
        }))
    }

    /// Notes what payments without the developer use; Stripe itself is told by the caller.
    ///
    /// # Errors
    /// `Precondition` where there is no customer yet, `Contended`, the store's.
    pub async fn note_payment_method(
        &self,
        integration: &Integration,
        developer: DeveloperId,
        payment_method: Option<&str>,
    ) -> Result<(), BillingError> {
        let (key, now) = (customer_key(integration, developer), self.parts().clock.now());
        let noted = self.records().edit(&key, now, |record: &mut CustomerRecord| {
            record.default_payment_method = payment_method.map(str::to_owned);
            Ok(())
        });
        let none = || BillingError::Precondition("developer is no customer yet".to_owned());
        noted.await?.map(drop).ok_or_else(none)
    }

    async fn make_customer(
        &self,
        client: &Client,
        integration: &Integration,
        developer: &Developer,
        mut attempt: Attempt,
    ) -> Result<String, BillingError> {
        let (key, now) = (customer_key(integration, developer.id), self.parts().clock.now());
        if attempt.must_look(now) {
            if let Some(id) = find_customer(client, developer.id, attempt).await? {
                return Ok(id);
            }
            let next = attempt.next(now);
            let moved = self.records().edit(&key, now, |record: &mut CustomerRecord| {
                match record.attempt == attempt {
                    true => record.attempt = next,
                    false => return Err(BillingError::Contended { what: "customer" }),
                }
                Ok(())
            });
            moved.await?;
            attempt = next;
        }
        let form = customer_form(integration, developer);
        let base = format!("tollgate/customer/{}/{}", integration.id, developer.id);
        let made = match client.post("/customers", &form, &attempt.key(&base)).await {
            Ok(made) => made,
            Err(error) => {
                if is_kept(&error) {
                    let failed = |record: &mut CustomerRecord| {
                        record.attempt.is_failed |= record.attempt.number == attempt.number;
                        Ok(())
                    };
                    self.records().edit(&key, now, failed).await?;
                }
                return Err(error.into());
            }
        };
        id_of(&made)
    }
}

/// The `id` of an object that Stripe answered.
///
/// # Errors
/// `Precondition` where it has none, which no version of the API does.
pub(crate) fn id_of(object: &serde_json::Value) -> Result<String, BillingError> {
    let none = || BillingError::Precondition("Stripe answers an object without an id".to_owned());
    object["id"].as_str().map(str::to_owned).ok_or_else(none)
}

fn customer_form(integration: &Integration, developer: &Developer) -> Form {
    let name = match &developer.group {
        Some(group) => group.display_name.clone(),
        None => format!("{} {}", developer.first_name, developer.last_name).trim().to_owned(),
    };
    let email = Some(&developer.email).filter(|_| developer.group.is_none());
    Form::new()
        .with_some("email", email)
        .with_some("name", Some(name).filter(|name| !name.is_empty()))
        .with("metadata[tollgate_organization]", &integration.organization)
        .with("metadata[tollgate_developer]", developer.id)
}

/// The customer that earlier attempts may have made: among those made since.
async fn find_customer(
    client: &Client,
    developer: DeveloperId,
    attempt: Attempt,
) -> Result<Option<String>, BillingError> {
    let seconds = |at: tollgate_metering::UnixMillis| at.0.div_euclid(1_000);
    let begun = attempt.begun_at;
    let query = Form::new()
        .with("created[gte]", seconds(begun.minus(CLOCKS_APART_MAX)))
        .with("created[lte]", seconds(begun.plus(KEY_TRUSTED + CLOCKS_APART_MAX)));
    let made = client.list("/customers", &query, LOOKED_THROUGH_MAX).await?;
    if made.len() >= LOOKED_THROUGH_MAX {
        let what = format!(
            "cannot tell whether developer {developer} has a customer: Stripe made more than \
             {LOOKED_THROUGH_MAX} since"
        );
        return Err(BillingError::Precondition(what));
    }
    let wanted = developer.to_string();
    let is_it = |customer: &&serde_json::Value| {
        customer["metadata"]["tollgate_developer"].as_str() == Some(wanted.as_str())
    };
    // Oldest last: the first that was made is the one.
    made.iter().rev().find(is_it).map(id_of).transpose()
}
