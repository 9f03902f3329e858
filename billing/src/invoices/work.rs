//! The worker of invoices: writes what is ready, and goes on with what is due.
//!
//! One node works at a time, which only spares work: of two that believe so, one writes each record,
//! and Stripe does each step once. What Stripe collects by itself is asked about every
//! [`ASKED_EVERY`], for the case that its webhooks do not arrive.

use std::time::Duration;

use super::record::{DUE, Due, InvoiceKey, Invoicing, State};
use crate::Billing;
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::lease::Lease;
use crate::stripe::StripeError;

/// How long between two questions about an invoice that Stripe collects.
pub const ASKED_EVERY: Duration = Duration::from_secs(3_600);

/// Failures after one another, of which Stripe seems to be away, that end a pass.
const FAILURES_MAX: usize = 5;

// === impl Billing ===

impl Billing {
    /// One pass over all organizations.
    ///
    /// # Errors
    /// The first that there was; what does not depend on it was done.
    pub async fn work_invoices(self) -> Result<(), BillingError> {
        let Some(mut lease) = self.lease("invoices").await? else { return Ok(()) };
        let mut first_error = None;
        for organization in self.parts().catalogue.organizations().await? {
            let worked = self.invoice_organization(&organization.name, &mut lease).await;
            if let Err(error) = worked {
                first_error = first_error.or(Some(error));
            }
        }
        lease.release().await?;
        first_error.map_or(Ok(()), Err)
    }

    async fn invoice_organization(
        &self,
        organization: &str,
        lease: &mut Lease,
    ) -> Result<(), BillingError> {
        let Some(invoicing) = self.invoicing(organization).await?.filter(|one| one.is_on) else {
            return Ok(());
        };
        // What is written already is collected also where something cannot be written.
        let written = self.write_invoices(organization, &invoicing).await;
        let integration = self.integration(organization, &invoicing.billing).await?.record;
        self.collect_due(&integration, &invoicing, lease).await?;
        written.map(drop)
    }

    /// Goes on with everything that is due in an organization.
    async fn collect_due(
        &self,
        integration: &Integration,
        invoicing: &Invoicing,
        lease: &mut Lease,
    ) -> Result<(), BillingError> {
        let (mut first_error, mut failures) = (None, 0);
        for (mark, _) in self.records().all::<Due>(DUE, &integration.organization).await? {
            let Some(key) = InvoiceKey::of_mark(&integration.organization, &mark) else { continue };
            if failures == FAILURES_MAX || !lease.renew().await? {
                break;
            }
            match self.collect_one(integration, invoicing, &key).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    let is_away = matches!(
                        &error,
                        BillingError::Stripe(
                            StripeError::Unreachable(_)
                                | StripeError::Lost(_)
                                | StripeError::Failed(_)
                                | StripeError::Busy(_)
                                | StripeError::Unauthorized(_)
                        )
                    );
                    failures = if is_away { failures + 1 } else { 0 };
                    let chain = &error as &dyn std::error::Error;
                    tracing::warn!(invoice = mark, error = chain, "invoice goes on later");
                    first_error = first_error.or(Some(error));
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    async fn collect_one(
        &self,
        integration: &Integration,
        invoicing: &Invoicing,
        key: &InvoiceKey,
    ) -> Result<(), BillingError> {
        let now = self.parts().clock.now();
        if let Some(known) = self.collection(key).await? {
            let is_waiting = known.is_handed_over && now.since(known.asked_at) < ASKED_EVERY;
            let is_blocked = known.state == State::Blocked;
            if !known.state.is_settled() && (is_waiting || is_blocked) {
                return Ok(());
            }
        }
        let after = self.collect_invoice(integration, invoicing, key).await?;
        if after.is_none_or(|collection| collection.state.is_settled()) {
            self.records().remove(&key.due(), now).await?;
        }
        Ok(())
    }
}
