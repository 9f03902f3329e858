//! The list of top-ups that are not over, and the poll that looks at them.
//!
//! Events are faster, but may be lost; so each open top-up is looked at again after two seconds,
//! and ever less often after that, until it is over. One that nobody pays is canceled at Stripe
//! after [`PATIENCE`], so that it cannot be paid when nobody looks any more; if it was paid in that
//! moment, Stripe refuses, and the next look credits it. A bank may take longer, and is waited for.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::text;
use tollgate_ledger_store::{DocumentKey, Put};
use tollgate_metering::{DeveloperId, UnixMillis};
use uuid::Uuid;

use super::settle::{Look, Seen};
use super::{PATIENCE, State, TopUp};
use crate::Billing;
use crate::error::BillingError;
use crate::records::key;
use crate::stripe::StripeError;

const OPEN: &str = "billing.topup_open";

/// The scope of all installations' open top-ups.
const ALL: &str = "all";

/// Open top-ups that one pass looks at; more wait for the next.
pub const OPEN_MAX: usize = 10_000;

/// The pause before the second look; it doubles up to the longest one.
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// How long a listed top-up may be missing before it is dropped from the list: far longer than a
/// request between the two writes takes.
const BEGINNING_MAX: Duration = Duration::from_secs(600);

/// An open top-up in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    organization: String,
    #[serde(with = "text::plain")]
    developer: DeveloperId,
    #[serde(with = "text::millis")]
    created_at: UnixMillis,
    /// When to look next.
    #[serde(with = "text::millis")]
    look_at: UnixMillis,
    /// How often somebody looked.
    looks: u32,
}

/// How many top-ups are open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenTopUps {
    /// How many.
    pub count: usize,
    /// Age of the oldest.
    pub oldest: Duration,
}

fn note_key(id: impl ToString) -> DocumentKey {
    key(OPEN, ALL, id)
}

fn pause(looks: u32) -> Duration {
    PAUSE.saturating_mul(1 << looks.min(16)).min(PAUSE_MAX)
}

// === impl Billing ===

impl Billing {
    /// Lists a top-up as open.
    pub(super) async fn open(&self, top_up: &TopUp) -> Result<(), BillingError> {
        let now = self.parts().clock.now();
        let note = Note {
            organization: top_up.organization.clone(),
            developer: top_up.developer,
            created_at: now,
            look_at: now.plus(PAUSE),
            looks: 0,
        };
        // One that is listed already is the same.
        self.records().insert(&note_key(top_up.id), &note, now).await.map(drop)
    }

    /// Takes a top-up from the list.
    pub(super) async fn close(&self, top_up: &TopUp) -> Result<(), BillingError> {
        self.records().remove(&note_key(top_up.id), self.parts().clock.now()).await
    }

    /// How many top-ups are open.
    ///
    /// # Errors
    /// The store's.
    pub async fn open_top_ups(&self) -> Result<OpenTopUps, BillingError> {
        Ok(self.standing_of(&self.notes().await?))
    }

    /// Looks at the open top-ups that are due.
    ///
    /// # Errors
    /// `Stripe` where it cannot be reached, the store's: the rest is looked at later.
    pub async fn poll_top_ups(&self) -> Result<(), BillingError> {
        let notes = self.notes().await?;
        self.metrics().set_open(self.standing_of(&notes));
        for (id, version, note) in notes {
            if note.look_at > self.parts().clock.now() {
                continue;
            }
            let looked = self.look_at_note(id, &note).await;
            if let Ok(true) = looked {
                continue;
            }
            self.postpone(id, version, &note).await?;
            match looked {
                Ok(_) => {}
                // Nobody else's can be looked at either.
                Err(error @ BillingError::Stripe(StripeError::Unreachable(_))) => {
                    return Err(error);
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(top_up = %id, error, "open top-up is looked at later");
                }
            }
        }
        Ok(())
    }

    async fn notes(&self) -> Result<Vec<(Uuid, u64, Note)>, BillingError> {
        let page = self.records().page::<Note>(OPEN, ALL, None, OPEN_MAX).await?;
        let note = |(name, stored): (String, crate::records::Stored<Note>)| {
            Some((name.parse().ok()?, stored.version, stored.record))
        };
        Ok(page.into_iter().filter_map(note).collect())
    }

    fn standing_of(&self, notes: &[(Uuid, u64, Note)]) -> OpenTopUps {
        let now = self.parts().clock.now();
        let ages = notes.iter().map(|(_, _, note)| now.since(note.created_at));
        OpenTopUps { count: notes.len(), oldest: ages.max().unwrap_or_default() }
    }

    /// Looks at a listed top-up; whether it has left the list.
    async fn look_at_note(&self, id: Uuid, note: &Note) -> Result<bool, BillingError> {
        let now = self.parts().clock.now();
        let Some(stored) = self.load_top_up(&note.organization, note.developer, id).await? else {
            let is_lost = now.since(note.created_at) >= BEGINNING_MAX;
            if is_lost {
                self.records().remove(&note_key(id), now).await?;
            }
            return Ok(is_lost);
        };
        let mut top_up = stored.record;
        if top_up.state.is_open() {
            top_up = self.look_at_top_up(top_up).await?.top_up;
        }
        let is_late = now.since(top_up.created_at) >= PATIENCE;
        if is_late && top_up.state.is_open() && top_up.state != State::Processing {
            top_up = self.give_up(top_up).await?.top_up;
        }
        if top_up.state.is_open() {
            return Ok(false);
        }
        self.close(&top_up).await?;
        Ok(true)
    }

    /// Sees to it that a top-up cannot be paid any more, unless it was.
    pub(super) async fn give_up(&self, top_up: TopUp) -> Result<Seen, BillingError> {
        let Some(intent) = top_up.payment_intent.clone() else {
            let given_up = self.edit_top_up(&top_up, |record| {
                // Made in this moment after all: it is looked at again.
                if record.payment_intent.is_none() && record.state.is_open() {
                    record.state = State::Canceled;
                }
            });
            return Ok(Seen::bare(given_up.await?));
        };
        let integration = self.integration(&top_up.organization, &top_up.billing).await?.record;
        self.cancel_intent(&self.client_of(&integration)?, &top_up, &intent).await;
        let seen = self.settle(&integration, &intent, Look::Payment).await?;
        Ok(seen.unwrap_or(Seen::bare(top_up)))
    }

    /// Looks again later. Where somebody else was faster, he has looked.
    async fn postpone(&self, id: Uuid, version: u64, note: &Note) -> Result<(), BillingError> {
        let now = self.parts().clock.now();
        let looks = note.looks.saturating_add(1);
        let later = Note { look_at: now.plus(pause(looks)), looks, ..note.clone() };
        let put = self.records().replace(&note_key(id), version, &later, now).await?;
        debug_assert!(matches!(put, Put::Written | Put::Conflict));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{PAUSE, PAUSE_MAX, pause};

    #[test]
    fn looks_become_rare_and_never_end() {
        assert_eq!(pause(0), PAUSE);
        assert_eq!(pause(3), PAUSE * 8);
        assert_eq!(pause(9), PAUSE_MAX);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }
}
