//! Looks at a PaymentIntent and does to the wallet what it says.
//!
//! Everything that may have happened comes here: an event, a poll, the answer of a confirmation.
//! Each reads the PaymentIntent anew, so that their order and number do not matter. Every step may
//! be repeated, also by two nodes at once: the binding is inserted, the entry is booked under the
//! binding's id, and only then the record says so.

use serde_json::Value;
use tollgate_ledger_store::book::BookError;
use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_ledger_store::fees::Fees;
use tollgate_ledger_store::{CatalogueError, Put};
use tollgate_metering::booking::Booking;
use tollgate_metering::{DeveloperId, Money};
use uuid::Uuid;

use super::binding::{Binding, id_of_intent};
use super::intent::{DEVELOPER, Intent, Status, TOP_UP, TRANSACTION};
use super::{Failure, Origin, State, TopUp};
use crate::Billing;
use crate::attempts::Attempt;
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::stripe::{Client, Form, StripeError};

/// Who books what Stripe says.
pub(super) const BY: &str = "stripe";

/// How much of a payment is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Whether it is paid.
    Payment,
    /// Also what was paid back or taken back since.
    Takebacks,
}

/// A top-up with what its payer needs, which is not stored.
#[derive(Clone)]
pub struct Seen {
    /// The top-up.
    pub top_up: TopUp,
    /// What a browser needs to pay it, while it can be paid.
    pub client_secret: Option<String>,
    /// What the payer has to do, as Stripe puts it.
    pub next_action: Option<Value>,
}

// === impl Seen ===

impl Seen {
    /// A top-up of which Stripe has told nothing.
    pub(super) fn bare(top_up: TopUp) -> Seen {
        Seen { top_up, client_secret: None, next_action: None }
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen").field("top_up", &self.top_up).finish_non_exhaustive()
    }
}

// === impl Billing ===

impl Billing {
    /// Looks at a PaymentIntent of the integration's account; `None` where it is no top-up of the
    /// integration's organization, or none that has begun to matter.
    ///
    /// # Errors
    /// `Stripe`, `Book`, the store's: nothing is lost, look again.
    pub async fn settle(
        &self,
        integration: &Integration,
        intent: &str,
        look: Look,
    ) -> Result<Option<Seen>, BillingError> {
        let client = self.client_of(integration)?;
        let Some(intent) = fetch(&client, intent).await? else { return Ok(None) };
        let Some(top_up) = self.top_up_of(integration, &intent).await? else { return Ok(None) };
        let mut top_up = match intent.status() {
            Status::Succeeded => self.credit(top_up, &intent).await?,
            Status::Unpaid(state) => self.note(&top_up, &intent, state).await?,
            Status::Unknown => {
                tracing::warn!(intent = intent.id, "PaymentIntent has a status that is unknown");
                top_up
            }
        };
        if look == Look::Takebacks && top_up.state == State::Credited {
            top_up = self.take_back(&client, &top_up, &intent.id).await?;
        }
        if top_up.state.is_open() {
            let (client_secret, next_action) = (intent.client_secret(), intent.next_action());
            return Ok(Some(Seen { top_up, client_secret, next_action }));
        }
        self.close(&top_up).await?;
        Ok(Some(Seen::bare(top_up)))
    }

    /// The top-up that a PaymentIntent belongs to, written down where it was begun elsewhere and is
    /// paid.
    async fn top_up_of(
        &self,
        integration: &Integration,
        intent: &Intent,
    ) -> Result<Option<TopUp>, BillingError> {
        let organization = &integration.organization;
        if let Some(bound) = self.binding(&intent.id).await? {
            if bound.organization != *organization {
                return Ok(None);
            }
            return self.bound(&bound).await.map(Some);
        }
        if !intent.is_top_up_of(integration) {
            return Ok(None);
        }
        let named = intent.metadata(DEVELOPER).unwrap_or_default();
        let id = intent.metadata(TOP_UP).and_then(|id| id.parse::<Uuid>().ok());
        let mut found_id = id_of_intent(&intent.id);
        if let (Some(id), Ok(developer)) = (id, named.parse::<DeveloperId>()) {
            match self.load_top_up(organization, developer, id).await? {
                Some(stored) if is_of(&stored.record, intent) => return Ok(Some(stored.record)),
                Some(_) => {}
                // A ledger that was restored from before it.
                None => found_id = id,
            }
        }
        if intent.status() != Status::Succeeded {
            return Ok(None);
        }
        match self.parts().catalogue.developer(organization, named).await {
            Ok(developer) => self.found(integration, &developer, found_id, intent).await,
            Err(CatalogueError::Missing { .. }) => {
                self.metrics().count(Origin::Found, State::Stranded);
                tracing::error!(
                    intent = intent.id,
                    organization,
                    "paid top-up names a developer that does not exist"
                );
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down a payment that was begun elsewhere.
    async fn found(
        &self,
        integration: &Integration,
        developer: &Developer,
        id: Uuid,
        intent: &Intent,
    ) -> Result<Option<TopUp>, BillingError> {
        let Some((currency, amount)) =
            intent.currency().and_then(|currency| Some((currency, intent.amount(currency)?)))
        else {
            self.metrics().count(Origin::Found, State::Stranded);
            tracing::error!(intent = intent.id, "paid top-up has no amount that can be read");
            return Ok(None);
        };
        let now = self.parts().clock.now();
        let top_up = TopUp {
            id,
            organization: integration.organization.clone(),
            developer: developer.id,
            billing: integration.name.clone(),
            currency,
            amount,
            transaction_id: intent.metadata(TRANSACTION).map(str::to_owned),
            payment_method: None,
            return_url: None,
            origin: Origin::Found,
            by: BY.to_owned(),
            creation: Attempt::first(now),
            confirmation: None,
            payment_intent: Some(intent.id.clone()),
            state: State::Processing,
            credited: None,
            refunded: Money::ZERO,
            disputed: Money::ZERO,
            failure: None,
            created_at: now,
            modified_at: now,
        };
        match self.records().insert(&top_up.key(), &top_up, now).await? {
            Put::Written => Ok(Some(top_up)),
            Put::Conflict => Ok(Some(self.top_up(&top_up.organization, developer.id, id).await?)),
        }
    }

    async fn bound(&self, binding: &Binding) -> Result<TopUp, BillingError> {
        self.top_up(&binding.organization, binding.developer, binding.top_up).await
    }

    /// Notes how an unpaid PaymentIntent stands. What was paid stays so: what was read of it then
    /// is newer.
    async fn note(
        &self,
        top_up: &TopUp,
        intent: &Intent,
        state: State,
    ) -> Result<TopUp, BillingError> {
        let failure = intent.failure();
        self.edit_top_up(top_up, |record| {
            record.payment_intent.get_or_insert_with(|| intent.id.clone());
            let is_over = matches!(record.state, State::Credited | State::Stranded);
            let is_refused = record.state == State::Refused && state != State::Canceled;
            if !is_over && !is_refused {
                record.state = state;
                record.failure = failure.clone().or(record.failure.take());
            }
        })
        .await
    }

    /// Credits the wallet with what was paid.
    async fn credit(&self, top_up: TopUp, intent: &Intent) -> Result<TopUp, BillingError> {
        if top_up.state == State::Credited {
            return Ok(top_up);
        }
        let binding = self.bind(&top_up, intent).await?;
        // Somebody else may have bound it to another record meanwhile.
        let top_up = match binding.top_up == top_up.id {
            true => top_up,
            false => self.bound(&binding).await?,
        };
        let paid =
            intent.currency().and_then(|currency| Some((currency, intent.received(currency)?)));
        let Some((currency, amount)) = paid else {
            return self
                .strand(&top_up, intent, "amount_unreadable", "amount cannot be read")
                .await;
        };
        let owner = self.parts().catalogue.developer_by_id(&top_up.organization, top_up.developer);
        let owner = match owner.await {
            Ok(owner) => owner,
            Err(CatalogueError::Missing { .. }) => {
                return self.strand(&top_up, intent, "no_developer", "developer was deleted").await;
            }
            Err(error) => return Err(error.into()),
        };
        self.finish_switch(&top_up.organization, &owner).await;
        let booking = Booking {
            id: binding.ledger_id,
            at: self.parts().clock.now(),
            by: BY.to_owned(),
            reason: format!("{}, {}", top_up.reason(), intent.id),
            is_forced: false,
        };
        let book = &self.parts().book;
        let booked = book.credit(&top_up.organization, owner.id, currency, &booking, amount).await;
        match booked {
            Ok(booked) => {
                if booked.has_opened {
                    self.note_wallet(&top_up.organization, &owner).await;
                }
                self.edit_top_up(&top_up, |record| {
                    record.payment_intent = Some(intent.id.clone());
                    record.state = State::Credited;
                    record.credited = Some(amount);
                    record.failure = None;
                })
                .await
            }
            Err(BookError::Conflict { found }) => {
                let before = format!(
                    "{amount} {currency} were paid, but transaction {} was booked before with {} \
                     on wallet {}",
                    booking.id, found.amount, found.wallet
                );
                self.strand(&top_up, intent, "transaction_used", &before).await
            }
            Err(BookError::Refused(refused)) => {
                self.strand(&top_up, intent, "refused_by_ledger", &refused.to_string()).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Notes a payment that cannot be booked, for a person.
    async fn strand(
        &self,
        top_up: &TopUp,
        intent: &Intent,
        code: &str,
        message: &str,
    ) -> Result<TopUp, BillingError> {
        tracing::error!(top_up = %top_up.id, intent = intent.id, message, "paid top-up is stranded");
        self.edit_top_up(top_up, |record| {
            record.payment_intent = Some(intent.id.clone());
            if record.state != State::Credited {
                record.state = State::Stranded;
                let (code, message) = (code.to_owned(), message.to_owned());
                record.failure = Some(Failure { code, message });
            }
        })
        .await
    }

    /// Moves what an earlier change of the billing type has left, before money comes on top of it.
    /// Where that fails, housekeeping does it.
    pub(super) async fn finish_switch(&self, organization: &str, owner: &Developer) {
        let parts = self.parts();
        let (catalogue, book) = (parts.catalogue.clone(), parts.book.clone());
        let fees = Fees::new(catalogue, parts.ledger.clone(), book);
        let moved = fees.finish_switch(organization, owner, BY, false, parts.clock.now()).await;
        if let Some(error) = moved.failed {
            tracing::warn!(developer = %owner.id, %error, "balances are moved later");
        }
    }

    /// Tells gateways of a new wallet; where that fails they hear of it later.
    async fn note_wallet(&self, organization: &str, owner: &Developer) {
        let parts = self.parts();
        let noted = parts.catalogue.note_wallet(organization, owner.id, parts.clock.now()).await;
        if let Err(error) = noted {
            tracing::warn!(%error, "cannot tell gateways about a new wallet");
        }
    }
}

/// Whether a record is of this PaymentIntent, or of none yet.
fn is_of(top_up: &TopUp, intent: &Intent) -> bool {
    top_up.payment_intent.as_ref().is_none_or(|known| *known == intent.id)
}

/// Reads a PaymentIntent; `None` where the account has no such one.
async fn fetch(client: &Client, intent: &str) -> Result<Option<Intent>, BillingError> {
    let is_id = intent.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_id || intent.is_empty() {
        return Ok(None);
    }
    match client.get(&format!("/payment_intents/{intent}"), &Form::new()).await {
        Ok(value) => Ok(Intent::read(value)),
        Err(StripeError::Missing(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
