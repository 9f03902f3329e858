//! Begins a top-up, and takes it as far as it goes without its payer.
//!
//! A PaymentIntent is made first and confirmed in a step of its own: what is made twice, because a
//! key's answer was a failure, moves no money, and what is confirmed twice is paid once.
//! Not here: what a PaymentIntent does to a wallet (`settle`).

use tollgate_ledger_store::Put;
use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_metering::booking::{ID_BYTES_MAX, entry_id};
use tollgate_metering::{Currency, EntryKind, Money};
use uuid::Uuid;

use super::binding::{id_of_transaction, new_id};
use super::intent::{DEVELOPER, Intent, ORGANIZATION, TOP_UP, TRANSACTION};
use super::settle::{Look, Seen};
use super::{Failure, Origin, PATIENCE, State, TopUp};
use crate::Billing;
use crate::attempts::{Attempt, is_kept};
use crate::currency;
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::stripe::{Client, Form, StripeError};

/// The longest id of a payment method and URL that are passed on, in bytes.
const PAYMENT_METHOD_BYTES_MAX: usize = 255;
const RETURN_URL_BYTES_MAX: usize = 2_000;

/// A top-up that somebody asks for.
#[derive(Clone, Debug)]
pub struct TopUpAsk<'a> {
    /// Whose developer it is.
    pub organization: &'a str,
    /// Whose wallet.
    pub developer: &'a Developer,
    /// The payment's and the wallet's currency.
    pub currency: Currency,
    /// What is to be paid.
    pub amount: Money,
    /// The id of the credit, so that asking again is safe; absent: the PaymentIntent's.
    pub transaction_id: Option<String>,
    /// `pm_…` of the developer's customer; absent: a browser pays with the client secret.
    pub payment_method: Option<String>,
    /// Where a browser goes after a bank's page.
    pub return_url: Option<String>,
    /// Through which integration; absent: the organization's only one.
    pub billing: Option<&'a str>,
    /// Who asks.
    pub by: &'a str,
}

// === impl Billing ===

impl Billing {
    /// Begins a top-up, or goes on with the one that has the transaction's id.
    ///
    /// # Errors
    /// `Amount`, `Invalid`, `Missing` (integration), `Exists` (the id was used for something else),
    /// `Precondition` (Stripe refuses it for good); `Stripe` and the store's: ask again with the
    /// same id.
    pub async fn ask_top_up(&self, ask: &TopUpAsk<'_>) -> Result<Seen, BillingError> {
        currency::payment(ask.amount, ask.currency)?;
        check(ask)?;
        let id = match &ask.transaction_id {
            Some(id) => id_of_transaction(ask.developer.id, id),
            None => new_id(self.parts().clock.now()),
        };
        let before = self.load_top_up(ask.organization, ask.developer.id, id).await?;
        let top_up = match before {
            Some(stored) => repeated(ask, stored.record)?,
            None => {
                let integration = self.integration_for(ask.organization, ask.billing).await?;
                self.check_unused(ask).await?;
                let top_up = self.begun(ask, id, &integration, Origin::Asked);
                repeated(ask, self.begin(top_up).await?)?
            }
        };
        let integration = self.integration(&top_up.organization, &top_up.billing).await?.record;
        let seen = self.drive(&integration, top_up, ask.developer).await?;
        match (&seen.top_up.state, &seen.top_up.failure) {
            (State::Refused, Some(failure)) => {
                let message = format!("Stripe refuses this top-up: {}", failure.message);
                Err(BillingError::Precondition(message))
            }
            _ => Ok(seen),
        }
    }

    /// Looks at a top-up at Stripe, if it is open.
    ///
    /// # Errors
    /// `Missing`, `Stripe`, the store's.
    pub async fn look_at_top_up(&self, top_up: TopUp) -> Result<Seen, BillingError> {
        match &top_up.payment_intent {
            Some(intent) if top_up.state.is_open() => {
                let integration = self.integration(&top_up.organization, &top_up.billing).await?;
                let seen = self.settle(&integration.record, intent, Look::Payment).await?;
                Ok(seen.unwrap_or(Seen::bare(top_up)))
            }
            Some(_) | None => Ok(Seen::bare(top_up)),
        }
    }

    /// A portal's own credit under this id must not be paid for once more.
    async fn check_unused(&self, ask: &TopUpAsk<'_>) -> Result<(), BillingError> {
        let Some(id) = &ask.transaction_id else { return Ok(()) };
        let entry = entry_id(EntryKind::Credit, id);
        match self.parts().ledger.entry(ask.developer.id, &entry).await? {
            None => Ok(()),
            Some(_) => Err(used(ask, id)),
        }
    }

    /// The record of a top-up of which nothing has happened.
    pub(super) fn begun(
        &self,
        ask: &TopUpAsk<'_>,
        id: Uuid,
        integration: &Integration,
        origin: Origin,
    ) -> TopUp {
        let now = self.parts().clock.now();
        TopUp {
            id,
            organization: ask.organization.to_owned(),
            developer: ask.developer.id,
            billing: integration.name.clone(),
            currency: ask.currency,
            amount: ask.amount,
            transaction_id: ask.transaction_id.clone(),
            payment_method: ask.payment_method.clone(),
            return_url: ask.return_url.clone(),
            origin,
            by: ask.by.to_owned(),
            creation: Attempt::first(now),
            confirmation: None,
            payment_intent: None,
            state: State::Begun,
            credited: None,
            refunded: Money::ZERO,
            disputed: Money::ZERO,
            failure: None,
            created_at: now,
            modified_at: now,
        }
    }

    /// Writes a top-up down, or finds it.
    pub(super) async fn begin(&self, top_up: TopUp) -> Result<TopUp, BillingError> {
        // First among the open ones: one that is listed and not there is dropped from the list.
        self.open(&top_up).await?;
        match self.records().insert(&top_up.key(), &top_up, top_up.created_at).await? {
            Put::Written => {
                self.metrics().count(top_up.origin, top_up.state);
                Ok(top_up)
            }
            Put::Conflict => self.top_up(&top_up.organization, top_up.developer, top_up.id).await,
        }
    }

    /// Takes a top-up as far as it goes without its payer: makes its PaymentIntent and, with a saved
    /// payment method, confirms it once. Safe to repeat, also at once on several nodes.
    pub(super) async fn drive(
        &self,
        integration: &Integration,
        mut top_up: TopUp,
        owner: &Developer,
    ) -> Result<Seen, BillingError> {
        let now = self.parts().clock.now();
        let is_late = now.since(top_up.created_at) >= PATIENCE;
        if is_late || !top_up.state.is_open() {
            return self.look_at_top_up(top_up).await;
        }
        let client = self.client_of(integration)?;
        if top_up.payment_intent.is_none() {
            top_up = self.make_intent(integration, &client, top_up, owner).await?;
        }
        let Some(intent) = top_up.payment_intent.clone() else { return Ok(Seen::bare(top_up)) };
        let mut confirmed = Ok(());
        if let (Some(method), State::Waiting) = (top_up.payment_method.clone(), top_up.state) {
            (top_up, confirmed) = self.confirm(&client, top_up, &intent, &method).await?;
        }
        let settled = self.settle(integration, &intent, Look::Payment).await;
        told(top_up, confirmed, settled)
    }

    /// Makes the PaymentIntent, which moves no money.
    async fn make_intent(
        &self,
        integration: &Integration,
        client: &Client,
        mut top_up: TopUp,
        owner: &Developer,
    ) -> Result<TopUp, BillingError> {
        let customer = self.customer(integration, owner).await?;
        if top_up.creation.is_failed {
            let now = self.parts().clock.now();
            let failed = top_up.creation;
            top_up = self
                .edit_top_up(&top_up, |record| {
                    if record.creation == failed {
                        record.creation = failed.next(now);
                    }
                })
                .await?;
        }
        let creation = top_up.creation;
        let form = creation_form(&top_up, &customer.id)?;
        let key = creation.key(&top_up.step("create"));
        let made = client.post("/payment_intents", &form, &key);
        match made.await {
            Ok(answer) => {
                let intent = Intent::read(answer).ok_or_else(|| {
                    BillingError::Precondition("Stripe's answer has no PaymentIntent".to_owned())
                })?;
                self.edit_top_up(&top_up, |record| {
                    record.payment_intent.get_or_insert_with(|| intent.id.clone());
                    if record.state == State::Begun {
                        record.state = State::Waiting;
                    }
                })
                .await
            }
            Err(StripeError::Invalid(refusal) | StripeError::Missing(refusal)) => {
                let refused = self.refuse(&top_up, &refusal.to_string()).await?;
                self.close(&refused).await?;
                Ok(refused)
            }
            Err(error) => {
                if is_kept(&error) {
                    self.edit_top_up(&top_up, |record| {
                        if record.creation == creation {
                            record.creation.is_failed = true;
                        }
                    })
                    .await?;
                }
                Err(error.into())
            }
        }
    }

    /// Confirms the PaymentIntent with the saved payment method. What became of it is looked up
    /// after it; an error is told where that does not say either.
    async fn confirm(
        &self,
        client: &Client,
        top_up: TopUp,
        intent: &str,
        method: &str,
    ) -> Result<(TopUp, Result<(), StripeError>), BillingError> {
        let now = self.parts().clock.now();
        let before = top_up.confirmation;
        let attempt = match before {
            None => Attempt::first(now),
            Some(failed) if failed.is_failed => failed.next(now),
            Some(attempt) => attempt,
        };
        let mut top_up = self
            .edit_top_up(&top_up, |record| {
                if record.confirmation == before {
                    record.confirmation = Some(attempt);
                }
            })
            .await?;
        let Some(attempt) = top_up.confirmation else { return Ok((top_up, Ok(()))) };
        let is_absent = top_up.origin == Origin::Automatic;
        let form = Form::new()
            .with("payment_method", method)
            .with_some("off_session", is_absent.then_some(true))
            .with_some("return_url", top_up.return_url.as_deref());
        let key = attempt.key(&top_up.step("confirm"));
        let path = format!("/payment_intents/{intent}/confirm");
        let confirmed = client.post(&path, &form, &key).await.map(drop);
        match &confirmed {
            Err(error) if is_kept(error) => {
                top_up = self
                    .edit_top_up(&top_up, |record| {
                        if record.confirmation == Some(attempt) {
                            record.confirmation = Some(Attempt { is_failed: true, ..attempt });
                        }
                    })
                    .await?;
            }
            // A payment method that is none of the customer's, or is gone: it never will be paid.
            Err(StripeError::Invalid(refusal) | StripeError::Missing(refusal)) => {
                top_up = self.refuse(&top_up, &refusal.to_string()).await?;
                self.cancel_intent(client, &top_up, intent).await;
            }
            Ok(()) | Err(_) => {}
        }
        Ok((top_up, confirmed))
    }

    async fn refuse(&self, top_up: &TopUp, message: &str) -> Result<TopUp, BillingError> {
        self.edit_top_up(top_up, |record| {
            if record.state.is_open() {
                record.state = State::Refused;
                let (code, message) = ("refused".to_owned(), message.to_owned());
                record.failure = Some(Failure { code, message });
            }
        })
        .await
    }

    /// Cancels a PaymentIntent, so that nobody can pay it later. Where that fails it is paid, or
    /// canceled, or on its way: whoever looks next sees.
    pub(super) async fn cancel_intent(&self, client: &Client, top_up: &TopUp, intent: &str) {
        let form = Form::new().with("cancellation_reason", "abandoned");
        let path = format!("/payment_intents/{intent}/cancel");
        // The state at Stripe decides, so that a key which replays an old answer would do harm.
        let key = format!("{}/{}", top_up.step("cancel"), Uuid::new_v4());
        if let Err(error) = client.post(&path, &form, &key).await {
            tracing::debug!(top_up = %top_up.id, %error, "PaymentIntent is not canceled");
        }
    }
}

/// What is said after a confirmation, whose answer is a hint, and a look. Where they do not say how
/// it ended, whoever gave an id asks again with it; whoever gave none would ask for another
/// payment, and is told of this one, to look at it later.
fn told(
    top_up: TopUp,
    confirmed: Result<(), StripeError>,
    settled: Result<Option<Seen>, BillingError>,
) -> Result<Seen, BillingError> {
    let is_named = top_up.transaction_id.is_some();
    let is_sent = top_up.confirmation.is_some();
    let seen = match settled {
        Ok(seen) => seen.unwrap_or(Seen::bare(top_up)),
        Err(_) if is_sent && !is_named => Seen::bare(top_up),
        Err(error) => return Err(confirmed.err().map_or(error, BillingError::from)),
    };
    let is_undecided = matches!(seen.top_up.state, State::Begun | State::Waiting);
    match confirmed {
        Err(error) if is_undecided && is_named => Err(error.into()),
        Ok(()) | Err(_) => Ok(seen),
    }
}

fn check(ask: &TopUpAsk<'_>) -> Result<(), BillingError> {
    let lengths = [
        ("transactionId", ask.transaction_id.as_ref(), ID_BYTES_MAX),
        ("paymentMethod", ask.payment_method.as_ref(), PAYMENT_METHOD_BYTES_MAX),
        ("returnUrl", ask.return_url.as_ref(), RETURN_URL_BYTES_MAX),
    ];
    for (field, text, most) in lengths {
        if text.is_some_and(|text| text.is_empty() || text.len() > most) {
            return Err(BillingError::invalid(field, format!("must have 1 to {most} bytes")));
        }
    }
    Ok(())
}

/// A top-up that is there already, if it is what is asked for.
fn repeated(ask: &TopUpAsk<'_>, before: TopUp) -> Result<TopUp, BillingError> {
    let is_same = before.amount == ask.amount
        && before.currency == ask.currency
        && before.payment_method == ask.payment_method
        && ask.billing.is_none_or(|billing| billing == before.billing);
    match (is_same, &ask.transaction_id) {
        (true, _) => Ok(before),
        (false, Some(id)) => Err(used(ask, id)),
        (false, None) => Err(BillingError::Contended { what: "top-up" }),
    }
}

fn used(ask: &TopUpAsk<'_>, id: &str) -> BillingError {
    let inside = format!("developer {}, for something else", ask.developer.email);
    BillingError::exists("transactionId", id, inside)
}

fn creation_form(top_up: &TopUp, customer: &str) -> Result<Form, BillingError> {
    let minor = currency::payment(top_up.amount, top_up.currency)?;
    let code = top_up.currency.to_string().to_ascii_lowercase();
    let metadata = |name: &str| format!("metadata[{name}]");
    // Without a page to come back to, a payment method that needs one cannot pay here.
    let is_here = top_up.payment_method.is_some() && top_up.return_url.is_none();
    Ok(Form::new()
        .with("amount", minor)
        .with("currency", code)
        .with("customer", customer)
        .with("description", format!("top-up of a wallet in {}", top_up.currency))
        .with("automatic_payment_methods[enabled]", true)
        .with_some("automatic_payment_methods[allow_redirects]", is_here.then_some("never"))
        .with(metadata(ORGANIZATION), &top_up.organization)
        .with(metadata(DEVELOPER), top_up.developer)
        .with(metadata(TOP_UP), top_up.id)
        .with(metadata("tollgate_currency"), top_up.currency)
        .with_some(metadata(TRANSACTION), top_up.transaction_id.as_deref()))
}
