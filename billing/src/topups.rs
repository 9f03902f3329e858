//! Top-ups: money that somebody pays at Stripe into a wallet.
//!
//! A record is written before anything happens at Stripe. Then a PaymentIntent is made, which moves
//! no money, and noted; only then it is confirmed, with a saved payment method here or with its
//! client secret in a browser. What Stripe answers to that is a hint, and so is every event: each
//! of them, and a poll, only makes somebody look at the PaymentIntent itself, and a wallet is
//! credited where that says `succeeded`, with `amount_received`, whatever the record says.
//!
//! ```text
//! asked ─▶ Begun ─▶ Waiting ─▶ ActionRequired ─▶ Processing ─▶ Credited
//!            │         ▲  │         (3DS)         (bank)          ▲ refunds and disputes
//!            ▼         │  ▼                                       │ become adjustments
//!         Refused   Declined ─▶ Canceled (by us after a day)   Stranded: a person decides
//! ```
//!
//! Invariants, whatever dies, is lost, doubled, late or out of order:
//! - a PaymentIntent is bound to one developer, top-up and ledger id before it is credited, once
//!   and for good (`binding`); the ledger books an id once;
//! - the ledger id is the one that a portal gave (`transactionId`), so that its own credit under
//!   it and ours are one, but for one PaymentIntent only: a second one that names the same id was
//!   paid as well, and is credited under its own;
//! - a step at Stripe has an idempotency key that was stored before it was sent; a PaymentIntent
//!   that is made twice is confirmed once, and one succeeds once at most;
//! - a top-up that is not asked for again is never confirmed by a worker, who only looks.
//!
//! Bounds: [`OPEN_MAX`] open ones of an installation are looked at in a pass; one that nobody pays
//! is given up after [`PATIENCE`]. Not here: events (`events`), HTTP (`management`).

mod ask;
pub mod automatic;
mod binding;
mod intent;
mod open;
mod settle;
mod takebacks;
mod work;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::DocumentKey;
use tollgate_ledger_store::catalogue::text;
use tollgate_metering::{Currency, DeveloperId, Money, UnixMillis};
use uuid::Uuid;

pub use self::ask::TopUpAsk;
pub use self::open::{OPEN_MAX, OpenTopUps};
pub use self::settle::{Look, Seen};
use crate::Billing;
use crate::attempts::Attempt;
use crate::error::BillingError;
use crate::records::{Stored, key};

const TOP_UP: &str = "billing.topup";

/// How long a payer may take; less than idempotency keys last at Stripe, so that no step is ever
/// repeated under a key that was forgotten.
pub const PATIENCE: Duration = Duration::from_secs(20 * 3_600);

/// A payment into a wallet, from before the first request to Stripe on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopUp {
    /// Made of the transaction's id where there is one, so that asking again finds it.
    pub id: Uuid,
    /// Whose developer it is.
    pub organization: String,
    /// Whose wallet.
    #[serde(with = "text::plain")]
    pub developer: DeveloperId,
    /// The integration through which it is paid.
    pub billing: String,
    /// Of the payment and the wallet.
    #[serde(with = "text::plain")]
    pub currency: Currency,
    /// What is to be paid.
    #[serde(with = "text::plain")]
    pub amount: Money,
    /// The id that a portal gave for the credit.
    #[serde(default)]
    pub transaction_id: Option<String>,
    /// `pm_…`: the saved payment method that pays.
    #[serde(default)]
    pub payment_method: Option<String>,
    /// Where a browser goes after a bank's page.
    #[serde(default)]
    pub return_url: Option<String>,
    /// Who began it.
    pub origin: Origin,
    /// The name of the token or part that asked.
    pub by: String,
    /// Under which key the PaymentIntent is made.
    pub creation: Attempt,
    /// Under which key it is confirmed, once that was begun.
    #[serde(default)]
    pub confirmation: Option<Attempt>,
    /// `pi_…`, once it is known.
    #[serde(default)]
    pub payment_intent: Option<String>,
    /// How far it is.
    pub state: State,
    /// What the wallet was credited with.
    #[serde(default, with = "text::option")]
    pub credited: Option<Money>,
    /// What of it was paid back to the payer or is on the way.
    #[serde(default = "zero", with = "text::plain")]
    pub refunded: Money,
    /// What of it a bank took back and did not return.
    #[serde(default = "zero", with = "text::plain")]
    pub disputed: Money,
    /// Why it was declined, refused or stranded, the newest reason.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// When it was asked for.
    #[serde(with = "text::millis")]
    pub created_at: UnixMillis,
    /// When it last changed.
    #[serde(with = "text::millis")]
    pub modified_at: UnixMillis,
}

/// Who began a top-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Somebody through the API.
    Asked,
    /// A wallet that fell below its threshold.
    Automatic,
    /// A portal that made the PaymentIntent itself, with our metadata.
    Found,
}

/// How far a top-up is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is not known whether Stripe has heard of it.
    Begun,
    /// A payment method or its confirmation is awaited.
    Waiting,
    /// The payer has to do something: `next_action`.
    ActionRequired,
    /// A bank is asked, which may take days.
    Processing,
    /// The last attempt to pay was declined; another may follow.
    Declined,
    /// Paid, and in the wallet.
    Credited,
    /// Given up: it can no longer be paid.
    Canceled,
    /// Stripe refuses it as it is: nothing was paid.
    Refused,
    /// Paid, and cannot be booked: a person decides.
    Stranded,
}

/// Why a payment failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stripe's `decline_code` or `code`, or ours.
    pub code: String,
    /// For people.
    pub message: String,
}

fn zero() -> Money {
    Money::ZERO
}

fn scope(organization: &str, developer: DeveloperId) -> String {
    format!("{organization}/{developer}")
}

fn top_up_key(organization: &str, developer: DeveloperId, id: Uuid) -> DocumentKey {
    key(TOP_UP, scope(organization, developer), id)
}

// === impl TopUp ===

impl TopUp {
    fn key(&self) -> DocumentKey {
        top_up_key(&self.organization, self.developer, self.id)
    }

    /// `tollgate/topup/ID/STEP`, the base of a step's idempotency keys.
    fn step(&self, step: &str) -> String {
        format!("tollgate/topup/{}/{step}", self.id)
    }

    /// What the ledger says of the entry.
    fn reason(&self) -> String {
        format!("top-up {} through billing {}", self.id, self.billing)
    }
}

// === impl State ===

impl State {
    /// Whether it is still to be looked at.
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            State::Begun
            | State::Waiting
            | State::ActionRequired
            | State::Processing
            | State::Declined => true,
            State::Credited | State::Canceled | State::Refused | State::Stranded => false,
        }
    }

    /// As answers and metrics call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Begun => "BEGUN",
            State::Waiting => "WAITING",
            State::ActionRequired => "ACTION_REQUIRED",
            State::Processing => "PROCESSING",
            State::Declined => "DECLINED",
            State::Credited => "CREDITED",
            State::Canceled => "CANCELED",
            State::Refused => "REFUSED",
            State::Stranded => "STRANDED",
        }
    }
}

// === impl Origin ===

impl Origin {
    /// As answers call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Asked => "ASKED",
            Origin::Automatic => "AUTOMATIC",
            Origin::Found => "FOUND",
        }
    }
}

// === impl Billing ===

impl Billing {
    /// A top-up as it was last seen.
    ///
    /// # Errors
    /// `Missing`, the store's.
    pub async fn top_up(
        &self,
        organization: &str,
        developer: DeveloperId,
        id: Uuid,
    ) -> Result<TopUp, BillingError> {
        let found = self.load_top_up(organization, developer, id).await?;
        let missing = || BillingError::missing("top-up", id, format!("developer {developer}"));
        found.map(|stored| stored.record).ok_or_else(missing)
    }

    /// A developer's top-ups in order of id, from `start` (included) on, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    pub async fn top_ups(
        &self,
        organization: &str,
        developer: DeveloperId,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<TopUp>, BillingError> {
        let scope = scope(organization, developer);
        let page = self.records().page::<TopUp>(TOP_UP, &scope, start, limit).await?;
        Ok(page.into_iter().map(|(_, stored)| stored.record).collect())
    }

    async fn load_top_up(
        &self,
        organization: &str,
        developer: DeveloperId,
        id: Uuid,
    ) -> Result<Option<Stored<TopUp>>, BillingError> {
        self.records().load(&top_up_key(organization, developer, id)).await
    }

    /// Changes a top-up and counts the state that it comes to. `change` may run more than once.
    async fn edit_top_up(
        &self,
        top_up: &TopUp,
        mut change: impl FnMut(&mut TopUp),
    ) -> Result<TopUp, BillingError> {
        let now = self.parts().clock.now();
        let key = top_up.key();
        let edited = self.records().edit(&key, now, |record: &mut TopUp| {
            let before = record.clone();
            change(record);
            if *record != before {
                record.modified_at = now;
            }
            Ok(before.state)
        });
        let gone = || BillingError::missing("top-up", top_up.id, &top_up.organization);
        let (record, before) = edited.await?.ok_or_else(gone)?;
        if record.state != before {
            self.metrics().count(record.origin, record.state);
        }
        Ok(record)
    }
}
