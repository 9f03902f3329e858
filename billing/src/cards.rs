//! Payment methods of developers, registered by setup intents: a card's number never comes here.
//!
//! A browser confirms a setup intent at Stripe with the publishable key; then the payment method
//! becomes the one that subscriptions and payments without the developer use.

use serde_json::Value;
use tollgate_ledger_store::catalogue::records::Developer;
use uuid::Uuid;

use crate::Billing;
use crate::customers::{Customer, id_of};
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::stripe::{Client, Form, StripeError};
use crate::subscribing::PaymentState;

/// Most payment methods of a developer that are listed.
const CARDS_MAX: usize = 100;

/// A registration that a browser is to finish.
#[derive(Clone, PartialEq, Eq)]
pub struct CardSetup {
    /// `seti_…`.
    pub setup_intent: String,
    /// What the browser finishes it with; for the developer alone.
    pub client_secret: String,
}

/// A payment method, as far as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// `pm_…`.
    pub id: String,
    /// E.g. `visa`.
    pub brand: String,
    /// The last four digits.
    pub last4: String,
    /// The month and year in which it expires.
    pub expires: (u64, u64),
    /// Whether it is the one that is used.
    pub is_default: bool,
}

impl std::fmt::Debug for CardSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CardSetup")
            .field("setup_intent", &self.setup_intent)
            .finish_non_exhaustive()
    }
}

/// An id as Stripe makes them: what stands in a path must not lead elsewhere.
fn check_id(field: &str, id: &str, prefix: &str) -> Result<(), BillingError> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match id.starts_with(prefix) && id.len() <= 255 && id.bytes().all(is_good) {
        true => Ok(()),
        false => Err(BillingError::invalid(field, format!("must be an id of Stripe: {prefix}…"))),
    }
}

fn card_of(found: &Value, default: Option<&str>) -> Option<Card> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let card = &found["card"];
    let id = found["id"].as_str()?.to_owned();
    Some(Card {
        is_default: default == Some(id.as_str()),
        id,
        brand: text(&card["brand"]),
        last4: text(&card["last4"]),
        expires: (
            card["exp_month"].as_u64().unwrap_or_default(),
            card["exp_year"].as_u64().unwrap_or_default(),
        ),
    })
}

// === impl Billing ===

impl Billing {
    /// Begins to register a payment method.
    ///
    /// # Errors
    /// `Stripe`, `Contended`, the store's.
    pub async fn begin_card(
        &self,
        integration: &Integration,
        developer: &Developer,
    ) -> Result<CardSetup, BillingError> {
        let customer = self.customer(integration, developer).await?;
        let form = Form::new()
            .with("customer", &customer.id)
            .with("usage", "off_session")
            .with("payment_method_types[]", "card")
            .with("metadata[tollgate_organization]", &integration.organization)
            .with("metadata[tollgate_developer]", developer.id);
        // Each registration is one of its own; one that is not finished takes nothing.
        let key = format!("tollgate/card/{}/begin", Uuid::new_v4());
        let made = self.client_of(integration)?.post("/setup_intents", &form, &key).await?;
        let secret = made["client_secret"].as_str().unwrap_or_default().to_owned();
        Ok(CardSetup { setup_intent: id_of(&made)?, client_secret: secret })
    }

    /// Takes a payment method over that a browser has registered: from now on it is used, also for
    /// what has failed.
    ///
    /// # Errors
    /// `Invalid`, `Precondition` (not finished, another developer's), `Stripe`, the store's.
    pub async fn finish_card(
        &self,
        integration: &Integration,
        developer: &Developer,
        setup_intent: &str,
    ) -> Result<Card, BillingError> {
        check_id("configuration.setup_intent", setup_intent, "seti_")?;
        let customer = self.customer(integration, developer).await?;
        let client = self.client_of(integration)?;
        let intent = client.get(&format!("/setup_intents/{setup_intent}"), &Form::new()).await?;
        if intent["customer"].as_str() != Some(customer.id.as_str()) {
            let what = format!("setup intent {setup_intent} is not one of {}", developer.email);
            return Err(BillingError::Precondition(what));
        }
        let method = intent["payment_method"].as_str();
        let (Some("succeeded"), Some(method)) = (intent["status"].as_str(), method) else {
            let status = intent["status"].as_str().unwrap_or("unknown");
            return Err(BillingError::Precondition(format!(
                "setup intent {setup_intent} is not finished: its status is {status}"
            )));
        };
        let form = Form::new().with("invoice_settings[default_payment_method]", method);
        // The same however often it is done.
        let key = format!("tollgate/card/{setup_intent}/default/{}", Uuid::new_v4());
        client.post(&format!("/customers/{}", customer.id), &form, &key).await?;
        self.note_payment_method(integration, developer.id, Some(method)).await?;
        self.pay_what_failed(&client, integration, developer).await;
        let found = client.get(&format!("/payment_methods/{method}"), &Form::new()).await?;
        let none = || BillingError::Precondition("Stripe shows no payment method".to_owned());
        card_of(&found, Some(method)).ok_or_else(none)
    }

    /// The payment methods of a developer.
    ///
    /// # Errors
    /// `Stripe`, the store's.
    pub async fn cards(
        &self,
        integration: &Integration,
        developer: &Developer,
    ) -> Result<Vec<Card>, BillingError> {
        let Some(customer) = self.known_customer(integration, developer.id).await? else {
            return Ok(Vec::new());
        };
        let query = Form::new().with("customer", &customer.id).with("type", "card");
        let client = self.client_of(integration)?;
        let found = client.list("/payment_methods", &query, CARDS_MAX).await?;
        let default = customer.default_payment_method.as_deref();
        Ok(found.iter().filter_map(|one| card_of(one, default)).collect())
    }

    /// Removes a payment method. The one that subscriptions with a price use stays.
    ///
    /// # Errors
    /// `Invalid`, `Missing`, `Precondition`, `Stripe`, the store's.
    pub async fn delete_card(
        &self,
        integration: &Integration,
        developer: &Developer,
        id: &str,
    ) -> Result<(), BillingError> {
        check_id("payment_method", id, "pm_")?;
        let missing = || BillingError::missing("payment method", id, &developer.email);
        let customer = self.known_customer(integration, developer.id).await?.ok_or_else(missing)?;
        let Customer { id: customer, default_payment_method } = customer;
        let client = self.client_of(integration)?;
        let found = match client.get(&format!("/payment_methods/{id}"), &Form::new()).await {
            Ok(found) => found,
            Err(StripeError::Missing(_)) => return Err(missing()),
            Err(error) => return Err(error.into()),
        };
        if found["customer"].as_str() != Some(customer.as_str()) {
            return Err(missing());
        }
        let is_default = default_payment_method.as_deref() == Some(id);
        if is_default && self.pays_with(integration, developer.id).await? {
            return Err(BillingError::Precondition(format!(
                "payment method {id} pays for subscriptions: register another one first"
            )));
        }
        if is_default {
            self.note_payment_method(integration, developer.id, None).await?;
        }
        let key = format!("tollgate/card/{id}/detach/{}", Uuid::new_v4());
        client.post(&format!("/payment_methods/{id}/detach"), &Form::new(), &key).await?;
        Ok(())
    }

    /// Asks Stripe to collect at once what an earlier card did not pay; it would do so later anyhow.
    async fn pay_what_failed(
        &self,
        client: &Client,
        integration: &Integration,
        developer: &Developer,
    ) {
        let all = self.billed_subscriptions(&integration.organization, developer.id).await;
        for record in all.unwrap_or_default() {
            let (PaymentState::Failed { .. }, Some(id)) = (record.payment, &record.stripe) else {
                continue;
            };
            let paid = async {
                let found = client.get(&format!("/subscriptions/{id}"), &Form::new()).await?;
                if let Some(invoice) = found["latest_invoice"].as_str() {
                    let key = format!("tollgate/card/{}/pay", Uuid::new_v4());
                    client.post(&format!("/invoices/{invoice}/pay"), &Form::new(), &key).await?;
                }
                self.hear_of_subscription(integration, &found).await
            };
            if let Err(error) = paid.await {
                tracing::info!(subscription = %record.id, %error, "what failed is paid later");
            }
        }
    }
}
