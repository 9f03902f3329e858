//! Fetches events that no webhook brought.
//!
//! A cursor of each integration says from which time on events may be missing. A pass lists all
//! events since then, whether Stripe thinks that they were delivered or not, and deals with those
//! that have no record. So it also heals what an endpoint answered and lost, works without any
//! endpoint, and after a ledger was restored, when the cursor is as old as the backup, does again
//! what was done since: as far as Stripe keeps events, which is 30 days.
//! The cursor follows the newest event that was seen, by Stripe's clock alone, and stays behind it
//! by [`OVERLAP_S`], since events may become visible a little out of order.
//! Bounds: what Stripe keeps; pages of [`PAGE`] at a time in memory; records of events are removed
//! after [`KEPT_DAYS`].

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::{DocumentKey, Put};

use super::{DAY_S, EVENT, Event, EventRecord, TYPES, Way, event_key, event_scope};
use crate::Billing;
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::records::{Stored, key};
use crate::stripe::{Client, Form};

const CURSOR: &str = "billing.event_cursor";

/// How far the cursor stays behind the newest event.
const OVERLAP_S: i64 = 600;

/// How long before an integration was made its first pass begins: clocks differ.
const LEAD_S: i64 = 600;

/// Days for which records of events are kept: longer than Stripe can tell an event again.
const KEPT_DAYS: i64 = 40;

/// Events of one request, and types that one may name: Stripe's limits.
const PAGE: usize = 100;
const TYPES_MAX: usize = 20;

/// Records of one listing while old ones are removed.
const REMOVED_AT_ONCE: usize = 500;

/// How far the events of an integration are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// Events that were created at or after this time may be missing.
    from_s: i64,
    /// The oldest day of which records may be kept.
    oldest_day: i64,
}

fn cursor_key(integration: &Integration) -> DocumentKey {
    key(CURSOR, &integration.organization, integration.id)
}

/// What a listing saw.
#[derive(Default)]
struct Seen {
    newest_s: Option<i64>,
    error: Option<BillingError>,
}

// === impl Billing ===

impl Billing {
    /// Fetches and deals with missing events of all integrations.
    ///
    /// # Errors
    /// The first of any integration; the others are done all the same.
    pub async fn catch_up_events(&self) -> Result<(), BillingError> {
        let mut first_error = None;
        for organization in self.parts().catalogue.organizations().await? {
            for integration in self.integrations(&organization.name).await? {
                if let Err(error) = self.catch_up(&integration).await {
                    first_error = first_error.or(Some(error));
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Fetches and deals with missing events of an integration.
    ///
    /// # Errors
    /// `Stripe`, the store's, the first of an event: the cursor stays, and another pass goes on.
    pub async fn catch_up(&self, integration: &Integration) -> Result<(), BillingError> {
        let client = self.client_of(integration)?;
        let Stored { version, record: cursor } = self.cursor(integration).await?;
        let mut newest_s = None;
        let mut first_error = None;
        for types in TYPES.chunks(TYPES_MAX) {
            let types: Vec<&str> = types.iter().map(|(kind, _)| *kind).collect();
            let seen = self.fetch_events(integration, &client, cursor.from_s, &types).await?;
            newest_s = newest_s.max(seen.newest_s);
            first_error = first_error.or(seen.error);
        }
        if let Some(error) = first_error {
            return Err(error);
        }
        let from_s = newest_s.map_or(cursor.from_s, |at| cursor.from_s.max(at - OVERLAP_S));
        let oldest_day = self.remove_old(integration, &cursor).await?;
        let moved = Cursor { from_s, oldest_day };
        if moved != cursor {
            let now = self.parts().clock.now();
            // Somebody else who moved it has dealt with the same events.
            self.records().replace(&cursor_key(integration), version, &moved, now).await?;
        }
        Ok(())
    }

    async fn cursor(&self, integration: &Integration) -> Result<Stored<Cursor>, BillingError> {
        let key = cursor_key(integration);
        if let Some(stored) = self.records().load(&key).await? {
            return Ok(stored);
        }
        let from_s = integration.created_at.0.div_euclid(1_000) - LEAD_S;
        let cursor = Cursor { from_s, oldest_day: from_s.div_euclid(DAY_S) };
        let now = self.parts().clock.now();
        match self.records().insert(&key, &cursor, now).await? {
            Put::Written => Ok(Stored { version: 1, record: cursor }),
            Put::Conflict => {
                let stored = self.records().load(&key).await?;
                stored.ok_or(BillingError::Contended { what: "cursor of events" })
            }
        }
    }

    /// Deals with the events of these types since a time, newest first as Stripe lists them. One
    /// that fails holds up no other.
    async fn fetch_events(
        &self,
        integration: &Integration,
        client: &Client,
        from_s: i64,
        types: &[&str],
    ) -> Result<Seen, BillingError> {
        let mut query = Form::new().with("created[gte]", from_s).with("limit", PAGE);
        for kind in types {
            query.push("types[]", kind);
        }
        let mut seen = Seen::default();
        let mut after: Option<String> = None;
        loop {
            let query = query.clone().with_some("starting_after", after.as_deref());
            let answer = client.get("/events", &query).await?;
            let page = answer["data"].as_array().map_or(&[][..], Vec::as_slice);
            let events: Vec<Event> = page.iter().filter_map(Event::read).collect();
            for event in &events {
                seen.newest_s = seen.newest_s.max(Some(event.created_s));
                if let Err(error) = self.deal_with(integration, event, Way::Fetched).await {
                    seen.error = seen.error.or(Some(error));
                }
            }
            after = events.last().map(|event| event.id.clone());
            let has_more = answer["has_more"].as_bool().unwrap_or(false);
            if !has_more || after.is_none() {
                return Ok(seen);
            }
        }
    }

    /// Removes records of events that Stripe cannot tell again; the oldest day that is left.
    async fn remove_old(
        &self,
        integration: &Integration,
        cursor: &Cursor,
    ) -> Result<i64, BillingError> {
        let now = self.parts().clock.now();
        let first_kept = now.0.div_euclid(1_000).div_euclid(DAY_S) - KEPT_DAYS;
        for day in cursor.oldest_day..first_kept {
            let scope = event_scope(integration, day);
            loop {
                let page = self
                    .records()
                    .page::<EventRecord>(EVENT, &scope, None, REMOVED_AT_ONCE)
                    .await?;
                for (id, _) in &page {
                    self.records().remove(&event_key(integration, day, id), now).await?;
                }
                if page.len() < REMOVED_AT_ONCE {
                    break;
                }
            }
        }
        Ok(cursor.oldest_day.max(first_kept))
    }
}
