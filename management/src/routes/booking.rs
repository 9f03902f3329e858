//! Books money for a request, and turns what the book says into what the API says.
//!
//! A booking stops waiting a second before the request's timeout, so that the caller is told
//! under which id to ask again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tollgate_ledger_store::book::{BookError, Booked};
use tollgate_ledger_store::catalogue::records::{Developer, Subscription};
use tollgate_ledger_store::fees::{Fees, FeesError};
use tollgate_ledger_store::{CatalogueError, catalogue};
use tollgate_metering::booking::{AdjustmentCap, Booking, BookingError};
use tollgate_metering::rating::RatingError;
use tollgate_metering::{BillingType, Currency, Entry, Money, WalletId};

use crate::auth::Identity;
use crate::error::ApiError;
use crate::router::Api;

/// Who moves balances where nobody asked for it.
const BY: &str = "management";

/// How long before the request's timeout a booking gives up waiting.
const MARGIN: Duration = Duration::from_secs(1);

/// What is booked, in the words of the request.
pub(crate) struct Asked<'a> {
    /// The field of the amount.
    pub(crate) amount_field: &'static str,
    /// The field or header of the id.
    pub(crate) id_field: &'static str,
    /// Whose wallet it is.
    pub(crate) owner: &'a Developer,
    /// In which currency.
    pub(crate) currency: Currency,
    /// How much.
    pub(crate) amount: Money,
    /// Who books, when, why, under which id.
    pub(crate) booking: Booking,
}

/// Credits a wallet, opening it where there is none.
pub(crate) async fn credit(
    api: &Api,
    organization: &str,
    asked: &Asked<'_>,
) -> Result<(), ApiError> {
    let Asked { owner, currency, amount, booking, .. } = asked;
    let booked = api.book.credit(organization, owner.id, *currency, booking, *amount);
    let booked = asked.outcome(api, booked).await?;
    if booked.has_opened {
        // The money is booked: gateways hear of the wallet later if this fails.
        let noted = api.catalogue.note_wallet(organization, owner.id, api.clock.now()).await;
        if let Err(error) = noted {
            tracing::warn!(%error, "cannot tell gateways about a new wallet");
        }
    }
    Ok(())
}

/// Adjusts a wallet.
pub(crate) async fn adjust(
    api: &Api,
    cap: AdjustmentCap,
    asked: &Asked<'_>,
) -> Result<(), ApiError> {
    let adjusted = api.book.adjust(asked.wallet(), &asked.booking, asked.amount, cap);
    asked.outcome(api, adjusted).await.map(drop)
}

/// Books the fees that a pending subscription depends on, prepaid ones if the balance covers them;
/// takes the subscription back where they certainly were not booked.
pub(crate) async fn purchase_fees(
    api: &Api,
    organization: &str,
    owner: &Developer,
    bought: &Subscription,
    by: &Identity,
    is_forced: bool,
) -> Result<(), ApiError> {
    let fees = bought.purchase_fees();
    let (Some(first), Some(currency)) = (fees.first(), bought.currency) else {
        return Ok(());
    };
    let billing = bought.purchase_billing(owner.billing);
    if billing != BillingType::Prepaid {
        let now = api.clock.now();
        api.catalogue.open_wallet(organization, owner.id, currency, now).await?;
    }
    let asked = Asked {
        amount_field: "setupFee",
        id_field: "subscription",
        owner,
        currency,
        amount: first.amount,
        booking: Booking {
            id: first.id.clone(),
            at: api.clock.now(),
            by: by.name.clone(),
            reason: first.reason.clone(),
            is_forced,
        },
    };
    let booked = api.book.purchase(asked.wallet(), &asked.booking, &fees, billing);
    let outcome = asked.outcome(api, booked).await;
    if let Err(
        ApiError::BalanceTooSmall { .. }
        | ApiError::NoWallet { .. }
        | ApiError::Reserved { .. }
        | ApiError::ModeChanging,
    ) = &outcome
    {
        let now = api.clock.now();
        api.catalogue.abandon_subscription(organization, owner.id, bought.id, now).await?;
    }
    outcome.map(drop)
}

/// Moves what is still to be moved since a developer's billing type became postpaid. Where that
/// fails, housekeeping does it: nothing that is asked for now depends on it.
pub(crate) async fn finish_switch(api: &Api, organization: &str, owner: &Developer) {
    let fees = fees(api);
    let now = api.clock.now();
    if let Some(error) = fees.finish_switch(organization, owner, BY, false, now).await.failed {
        tracing::warn!(developer = %owner.id, %error, "balances are moved later");
    }
}

/// Gives back what was paid for subscriptions that were taken back before they began. Where that
/// fails, housekeeping does it.
pub(crate) async fn return_fees(
    api: &Api,
    organization: &str,
    owner: &Developer,
    taken_back: &[Subscription],
    by: &Identity,
) {
    let (fees, now, mut changed) = (fees(api), api.clock.now(), Vec::new());
    for one in taken_back {
        let back = fees.return_fees(organization, owner.id, one, &by.name, (now, &mut changed));
        if let Err(error) = back.await {
            tracing::warn!(developer = %owner.id, %error, "fees are given back later");
        }
    }
}

/// Sets who pays when. From prepaid to postpaid what is left in the wallets is moved out of them;
/// what gateways may spend of a strict wallet later, unless it is forced, and so long the billing
/// type cannot change back.
pub(crate) async fn set_billing(
    api: &Api,
    organization: &str,
    owner: &Developer,
    billing: BillingType,
    by: &Identity,
    is_forced: bool,
) -> Result<Developer, ApiError> {
    let fees = fees(api);
    let now = api.clock.now();
    let error = |error| match error {
        FeesError::Book(BookError::Refused(refused)) => {
            // Named without a currency: the first wallet that waits stands for all.
            ApiError::SwitchOpen { reason: refused.to_string() }
        }
        FeesError::Book(BookError::Unknown { source, .. }) => {
            ApiError::Unknown { ask_again: "the same request".to_owned(), source: Some(source) }
        }
        FeesError::Book(BookError::Ledger(error)) | FeesError::Ledger(error) => error.into(),
        FeesError::Book(other) => ApiError::Standing(other),
        FeesError::Catalogue(error) => error.into(),
    };
    // What an earlier switch has left comes first: its balance must not be spent again.
    if owner.is_switch_open {
        let moved = fees.finish_switch(organization, owner, &by.name, is_forced, now).await;
        if let (true, Some(failed)) = (billing == BillingType::Prepaid || is_forced, moved.failed) {
            return Err(error(failed));
        }
    }
    let id = owner.id.to_string();
    let changed = api.catalogue.set_billing(organization, &id, billing, now).await?;
    if changed.is_switch_open {
        let moved = fees.finish_switch(organization, &changed, &by.name, is_forced, now).await;
        if let Some(error) = moved.failed {
            tracing::warn!(developer = %changed.id, %error, "balances are moved later");
        }
    }
    Ok(changed)
}

fn fees(api: &Api) -> Fees {
    let (catalogue, book) = (Arc::clone(&api.catalogue), Arc::clone(&api.book));
    Fees::new(catalogue, Arc::clone(&api.ledger), book)
}

// === impl Asked ===

impl Asked<'_> {
    fn wallet(&self) -> WalletId {
        catalogue::wallet_id(self.owner.id, self.currency)
    }

    /// Waits for a booking for as long as the request may take.
    pub(crate) async fn outcome(
        &self,
        api: &Api,
        booking: impl Future<Output = Result<Booked, BookError>>,
    ) -> Result<Booked, ApiError> {
        let patience = api.limits.request_timeout.saturating_sub(MARGIN);
        match tokio::time::timeout(patience, booking).await {
            Ok(booked) => booked.map_err(|error| self.error(error)),
            Err(_) => Err(ApiError::Unknown { ask_again: self.ask_again(), source: None }),
        }
    }

    /// What to repeat after an unknown outcome.
    pub(crate) fn ask_again(&self) -> String {
        format!("the same {} {:?}", self.id_field, self.booking.id)
    }

    /// What was booked under the id before.
    fn told(&self, found: &Entry) -> String {
        let (kind, amount) = (found.kind.as_str(), found.amount);
        if found.wallet == self.wallet() {
            format!("a {kind} of {amount} {}", self.currency)
        } else {
            format!("a {kind} of {amount} in another currency than {}", self.currency)
        }
    }

    fn error(&self, error: BookError) -> ApiError {
        match error {
            BookError::Conflict { found } => ApiError::Duplicate {
                what: self.id_field,
                id: self.booking.id.clone(),
                before: self.told(&found),
            },
            BookError::Unknown { source, .. } => {
                ApiError::Unknown { ask_again: self.ask_again(), source: Some(source) }
            }
            BookError::Refused(BookingError::Text { field: "id", bytes, min, max }) => {
                let reason = format!("has {bytes} bytes, allowed are {min} to {max}");
                ApiError::invalid(self.id_field, reason)
            }
            other => self::error(other, self.amount_field, self.owner, self.currency),
        }
    }
}

/// What the API says where nothing is booked under an id.
pub(crate) fn error(
    error: BookError,
    amount_field: &'static str,
    owner: &Developer,
    currency: Currency,
) -> ApiError {
    match error {
        BookError::NoWallet(_) => {
            ApiError::NoWallet { developer: owner.email.clone(), currency: currency.to_string() }
        }
        BookError::Contended(_) => {
            ApiError::Catalogue(CatalogueError::Contended { what: "wallet" })
        }
        BookError::Unknown { source, .. } => {
            ApiError::Unknown { ask_again: "the same request".to_owned(), source: Some(source) }
        }
        BookError::Ledger(error) => error.into(),
        BookError::Refused(refused) => refusal(refused, amount_field, currency),
        BookError::Conflict { .. } | BookError::NoSuspense => {
            unreachable!("nothing is booked under an id, and suspense is not resolved here")
        }
    }
}

fn refusal(refused: BookingError, amount_field: &'static str, currency: Currency) -> ApiError {
    match refused {
        BookingError::Sealed => ApiError::Sealed,
        BookingError::NotPositive(_) => ApiError::invalid(amount_field, "must be positive"),
        BookingError::NegativeLimit(_) => ApiError::invalid(amount_field, "must not be negative"),
        BookingError::Reserved { balance, reserved, floor } => ApiError::Reserved {
            balance: balance.to_string(),
            reserved: reserved.to_string(),
            floor: floor.to_string(),
            currency: currency.to_string(),
        },
        BookingError::ModeChanging => ApiError::ModeChanging,
        BookingError::Zero | BookingError::NoUnits => ApiError::invalid(amount_field, "is zero"),
        BookingError::AboveLastCredit { balance, cap } => {
            ApiError::AboveCap { balance: balance.to_string(), cap: cap.to_string() }
        }
        BookingError::NotCovered { balance, needed } => ApiError::BalanceTooSmall {
            balance: balance.to_string(),
            needed: needed.to_string(),
            currency: currency.to_string(),
        },
        BookingError::Text { field, bytes, min, max } => {
            let reason = format!("has {bytes} bytes, allowed are {min} to {max}");
            ApiError::invalid(field, reason)
        }
        BookingError::Rating(RatingError::Money(error)) => ApiError::OutOfRange {
            field: amount_field,
            reason: format!("the balance would be out of range: {error}"),
        },
        other @ (BookingError::IsOpen
        | BookingError::HorizonNotAhead(_)
        | BookingError::Unfolded { .. }
        | BookingError::Unclosed { .. }
        | BookingError::Suspense { .. }
        | BookingError::Checkpoints(_)
        | BookingError::Rating(_)) => ApiError::Booking(other),
    }
}
