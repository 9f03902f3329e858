//! Whether keys belong together, and may take the place of others: asked of Stripe.

use uuid::Uuid;

use super::{Integration, Keys};
use crate::Billing;
use crate::error::BillingError;
use crate::secret::{PublishableKey, SecretKey};
use crate::stripe::{Client, Form, StripeError};

// === impl Billing ===

impl Billing {
    /// Whether keys may take the place of an integration's.
    pub(super) async fn check_rolled(
        &self,
        before: &Integration,
        publishable: &PublishableKey,
        secret: Option<&SecretKey>,
    ) -> Result<(), BillingError> {
        let secret = match secret {
            Some(secret) => secret.clone(),
            None => self.secret_key_of(before)?,
        };
        for (field, mode) in [
            ("configuration.publishable_key", publishable.mode()),
            ("configuration.full_access_key", secret.mode()),
        ] {
            if mode != before.mode {
                return Err(BillingError::Precondition(format!(
                    "{field} is a {mode} key and billing {} works in {} mode: objects of one are \
                     unknown in the other, create another billing",
                    before.name, before.mode
                )));
            }
        }
        let keys = Keys { publishable: publishable.clone(), secret };
        let account = self.account_of(&keys, before.id).await?;
        if account != before.account_id {
            return Err(BillingError::Precondition(format!(
                "keys belong to account {account} and billing {} is of account {}: objects of one \
                 are unknown in the other, create another billing",
                before.name, before.account_id
            )));
        }
        Ok(())
    }

    /// The account that both keys belong to, as Stripe tells it.
    pub(super) async fn account_of(&self, keys: &Keys, id: Uuid) -> Result<String, BillingError> {
        if keys.publishable.mode() != keys.secret.mode() {
            return Err(BillingError::Precondition(format!(
                "publishable key is a {} key and secret key a {} key: both must be of one mode",
                keys.publishable.mode(),
                keys.secret.mode()
            )));
        }
        let client = self.stripe(keys.secret.clone(), None);
        let account = client.get("/account", &Form::new()).await?;
        let account_id = account["id"].as_str().filter(|id| id.starts_with("acct_"));
        let account_id = account_id.map(str::to_owned).ok_or_else(|| {
            BillingError::Precondition("Stripe tells no account for the secret key".to_owned())
        })?;
        self.check_publishable(&client, &keys.publishable, &account_id, id).await?;
        Ok(account_id)
    }

    /// Whether the publishable key sees what the secret key makes.
    async fn check_publishable(
        &self,
        client: &Client,
        publishable: &PublishableKey,
        account_id: &str,
        id: Uuid,
    ) -> Result<(), BillingError> {
        // A probe of its own each time: what an earlier one ended as says nothing about these keys.
        let key = format!("tollgate/integration/{id}/probe-{}", Uuid::new_v4());
        let form = Form::new()
            .with("usage", "off_session")
            .with("payment_method_types[]", "card")
            .with("metadata[tollgate_probe]", "whether two keys belong together");
        let intent = client.post("/setup_intents", &form, &key).await?;
        let (Some(intent_id), Some(secret)) =
            (intent["id"].as_str(), intent["client_secret"].as_str())
        else {
            let what = "Stripe makes no setup intent with the secret key".to_owned();
            return Err(BillingError::Precondition(what));
        };
        let browser = self.stripe(SecretKey::of_publishable(publishable), None);
        let query = Form::new().with("client_secret", secret);
        let seen = browser.get(&format!("/setup_intents/{intent_id}"), &query).await;
        let (cancel, key) = (format!("/setup_intents/{intent_id}/cancel"), format!("{key}/cancel"));
        if let Err(error) = client.post(&cancel, &Form::new(), &key).await {
            tracing::debug!(%error, "a probe at Stripe was not cancelled, and does no harm");
        }
        match seen {
            Ok(_) => Ok(()),
            Err(
                StripeError::Missing(_)
                | StripeError::Unauthorized(_)
                | StripeError::Forbidden(_)
                | StripeError::Invalid(_),
            ) => Err(BillingError::Precondition(format!(
                "publishable key does not belong to account {account_id}, whose the secret key is"
            ))),
            Err(error) => Err(error.into()),
        }
    }
}
