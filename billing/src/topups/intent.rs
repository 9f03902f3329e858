//! What of a PaymentIntent matters here.

use serde_json::Value;
use tollgate_metering::{Currency, Money};

use super::{Failure, State};
use crate::currency::from_minor;
use crate::integrations::Integration;

/// The names of our metadata on a PaymentIntent. A portal that makes one itself sets the first two,
/// and the third where it credits under an id of its own.
pub(super) const ORGANIZATION: &str = "tollgate_organization";
pub(super) const DEVELOPER: &str = "tollgate_developer";
pub(super) const TRANSACTION: &str = "tollgate_transaction_id";
pub(super) const TOP_UP: &str = "tollgate_topup";

/// A PaymentIntent as Stripe tells it, read tolerantly.
pub(super) struct Intent {
    value: Value,
    /// `pi_…`
    pub(super) id: String,
}

/// What its status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Not paid, or not yet.
    Unpaid(State),
    /// Paid.
    Succeeded,
    /// A word that is new: nothing can be said.
    Unknown,
}

// === impl Intent ===

impl Intent {
    /// `None` where it has no id, so that it is none.
    pub(super) fn read(value: Value) -> Option<Intent> {
        let id = value["id"].as_str()?.to_owned();
        Some(Intent { value, id })
    }

    /// Whether it is a top-up of this organization: its metadata names the organization and a
    /// developer, and no invoice of Stripe's collects it.
    pub(super) fn is_top_up_of(&self, integration: &Integration) -> bool {
        self.metadata(ORGANIZATION) == Some(&integration.organization)
            && self.metadata(DEVELOPER).is_some()
            && self.value["invoice"].is_null()
    }

    /// A value of its metadata that is not empty.
    pub(super) fn metadata(&self, name: &str) -> Option<&str> {
        self.value["metadata"][name].as_str().filter(|text| !text.is_empty())
    }

    pub(super) fn status(&self) -> Status {
        match self.value["status"].as_str().unwrap_or_default() {
            "requires_payment_method" if self.failure().is_some() => {
                Status::Unpaid(State::Declined)
            }
            "requires_payment_method" | "requires_confirmation" | "requires_capture" => {
                Status::Unpaid(State::Waiting)
            }
            "requires_action" => Status::Unpaid(State::ActionRequired),
            "processing" => Status::Unpaid(State::Processing),
            "canceled" => Status::Unpaid(State::Canceled),
            "succeeded" => Status::Succeeded,
            _ => Status::Unknown,
        }
    }

    /// Why the last attempt failed.
    pub(super) fn failure(&self) -> Option<Failure> {
        let error = self.value.get("last_payment_error").filter(|error| error.is_object())?;
        let text = |name: &str| error[name].as_str().map(str::to_owned);
        Some(Failure {
            code: text("decline_code").or(text("code")).unwrap_or_else(|| "declined".to_owned()),
            message: text("message").unwrap_or_default(),
        })
    }

    /// Its currency, where the ledger has such a one.
    pub(super) fn currency(&self) -> Option<Currency> {
        self.value["currency"].as_str()?.to_ascii_uppercase().parse().ok()
    }

    /// What is to be paid.
    pub(super) fn amount(&self, currency: Currency) -> Option<Money> {
        Some(from_minor(self.value["amount"].as_i64()?, currency))
    }

    /// What was paid.
    pub(super) fn received(&self, currency: Currency) -> Option<Money> {
        Some(from_minor(self.value["amount_received"].as_i64()?, currency))
    }

    /// What a browser needs to pay it. A secret: it is passed on and never kept.
    pub(super) fn client_secret(&self) -> Option<String> {
        self.value["client_secret"].as_str().map(str::to_owned)
    }

    /// What the payer has to do.
    pub(super) fn next_action(&self) -> Option<Value> {
        self.value.get("next_action").filter(|action| action.is_object()).cloned()
    }
}
