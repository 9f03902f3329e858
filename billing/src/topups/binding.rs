//! Which top-up and which ledger id a PaymentIntent stands for: decided once, before it is credited.
//!
//! Metadata can be edited at Stripe at any time, by people too. What it said when the payment was
//! first seen as paid counts, so that one payment never credits two wallets, nor one wallet twice.
//! Bindings are a partition each, since a PaymentIntent is unique at Stripe.

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::text;
use tollgate_ledger_store::{DocumentKey, Put};
use tollgate_metering::booking::ID_BYTES_MAX;
use tollgate_metering::{DeveloperId, UnixMillis};
use uuid::{Builder, Uuid};

use super::TopUp;
use super::intent::{Intent, TRANSACTION};
use crate::Billing;
use crate::error::BillingError;
use crate::records::key;

const BINDING: &str = "billing.topup_intent";
const CLAIM: &str = "billing.topup_transaction";

/// What a PaymentIntent stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Binding {
    pub(super) organization: String,
    #[serde(with = "text::plain")]
    pub(super) developer: DeveloperId,
    pub(super) top_up: Uuid,
    /// The id that the ledger books the credit under.
    pub(super) ledger_id: String,
}

/// Which PaymentIntent has a transaction's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    payment_intent: String,
}

fn binding_key(intent: &str) -> DocumentKey {
    key(BINDING, intent, intent)
}

/// An id that is the same whenever it is made of the same words.
fn id_of(words: &[&str]) -> Uuid {
    let mut text = b"tollgate top-up".to_vec();
    for word in words {
        text.push(0);
        text.extend_from_slice(word.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest(&SHA256, &text).as_ref()[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// A new id; ids list in the order of time.
pub(super) fn new_id(now: UnixMillis) -> Uuid {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&random.to_be_bytes());
    bytes[8..].copy_from_slice(&Uuid::new_v4().as_bytes()[..2]);
    Builder::from_unix_timestamp_millis(now.0.unsigned_abs(), &bytes).into_uuid()
}

/// The id of a developer's top-up with this transaction's id.
pub(super) fn id_of_transaction(developer: DeveloperId, transaction_id: &str) -> Uuid {
    id_of(&["transaction", &developer.to_string(), transaction_id])
}

/// The id of a top-up that was begun elsewhere.
pub(super) fn id_of_intent(intent: &str) -> Uuid {
    id_of(&["intent", intent])
}

// === impl Billing ===

impl Billing {
    /// What the PaymentIntent stands for, where that is decided.
    pub(super) async fn binding(&self, intent: &str) -> Result<Option<Binding>, BillingError> {
        Ok(self.records().load(&binding_key(intent)).await?.map(|stored| stored.record))
    }

    /// Binds a paid PaymentIntent to a top-up, or says what it was bound to before.
    pub(super) async fn bind(
        &self,
        top_up: &TopUp,
        intent: &Intent,
    ) -> Result<Binding, BillingError> {
        if let Some(bound) = self.binding(&intent.id).await? {
            return Ok(bound);
        }
        let wanted = top_up.transaction_id.as_deref().or(intent.metadata(TRANSACTION));
        // What the ledger cannot book under is no id.
        let wanted = wanted.filter(|id| id.len() <= ID_BYTES_MAX);
        let ledger_id = match wanted {
            Some(id) if self.claim(top_up.developer, id, &intent.id).await? => id.to_owned(),
            Some(_) | None => intent.id.clone(),
        };
        let binding = Binding {
            organization: top_up.organization.clone(),
            developer: top_up.developer,
            top_up: top_up.id,
            ledger_id,
        };
        let now = self.parts().clock.now();
        match self.records().insert(&binding_key(&intent.id), &binding, now).await? {
            Put::Written => Ok(binding),
            Put::Conflict => {
                let bound = self.binding(&intent.id).await?;
                bound.ok_or(BillingError::Contended { what: "top-up" })
            }
        }
    }

    /// Whether the transaction's id is this PaymentIntent's: the first that was paid has it.
    async fn claim(
        &self,
        developer: DeveloperId,
        transaction_id: &str,
        intent: &str,
    ) -> Result<bool, BillingError> {
        // The id may hold any letters; a name of a document should not.
        let name = id_of_transaction(developer, transaction_id);
        let key = key(CLAIM, developer, name);
        let claim = Claim { payment_intent: intent.to_owned() };
        let now = self.parts().clock.now();
        match self.records().insert(&key, &claim, now).await? {
            Put::Written => Ok(true),
            Put::Conflict => {
                let held = self.records().load::<Claim>(&key).await?;
                Ok(held.is_some_and(|held| held.record.payment_intent == intent))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_metering::DeveloperId;
    use uuid::Uuid;

    use super::{id_of_intent, id_of_transaction};

    #[test]
    fn an_id_stays_the_same_and_belongs_to_one_developer() {
        let developer = |byte| DeveloperId(Uuid::from_bytes([byte; 16]));
        let id = id_of_transaction(developer(1), "order-1");
        // Stored in every ledger: a change of the formula would lose top-ups.
        assert_eq!(id.to_string(), "37efaffb-b473-88ce-96c4-51fdf0dbb5b7");
        assert_ne!(id, id_of_transaction(developer(2), "order-1"));
        assert_ne!(id, id_of_transaction(developer(1), "order-2"));
        assert_ne!(id_of_intent("pi_1"), id_of_intent("pi_2"));
    }
}
