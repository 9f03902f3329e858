//! Leases: work that one node at a time should do.
//!
//! A lease only spares work. Two nodes may believe that they hold one, since clocks differ and
//! processes pause; what keeps their work right is that records are written conditionally and that
//! requests to Stripe carry idempotency keys.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::text;
use tollgate_ledger_store::{DocumentKey, Put};
use tollgate_metering::UnixMillis;
use uuid::Uuid;

use crate::Billing;
use crate::error::BillingError;
use crate::records::{Stored, key};

const LEASE: &str = "billing.lease";

/// How long a lease holds that is not renewed: how long others wait for the work of a node that died.
pub const LEASE_LENGTH: Duration = Duration::from_secs(30);

/// Who holds a lease, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LeaseRecord {
    holder: Uuid,
    #[serde(with = "text::millis")]
    until: UnixMillis,
}

/// A lease that is held.
#[derive(Debug)]
pub struct Lease {
    billing: Billing,
    key: DocumentKey,
    version: u64,
    record: LeaseRecord,
}

// === impl Billing ===

impl Billing {
    /// Takes the lease of this name for [`LEASE_LENGTH`]; `None` where somebody else holds it.
    ///
    /// # Errors
    /// The store's.
    pub async fn lease(&self, name: &str) -> Result<Option<Lease>, BillingError> {
        let (key, now) = (key(LEASE, "all", name), self.parts().clock.now());
        let record = LeaseRecord { holder: Uuid::new_v4(), until: now.plus(LEASE_LENGTH) };
        let (written, version) = match self.records().load::<LeaseRecord>(&key).await? {
            None => (self.records().insert(&key, &record, now).await?, 1),
            Some(Stored { record: held, .. }) if held.until > now => return Ok(None),
            Some(Stored { version, .. }) => {
                (self.records().replace(&key, version, &record, now).await?, version + 1)
            }
        };
        match written {
            Put::Written => Ok(Some(Lease { billing: self.clone(), key, version, record })),
            Put::Conflict => Ok(None),
        }
    }
}

// === impl Lease ===

impl Lease {
    /// Holds it for [`LEASE_LENGTH`] from now on; not before a third of the length has passed, since
    /// nothing is gained by it. `false` where it was lost.
    ///
    /// # Errors
    /// The store's.
    pub async fn renew(&mut self) -> Result<bool, BillingError> {
        let now = self.billing.parts().clock.now();
        if self.record.until.since(now) > LEASE_LENGTH * 2 / 3 {
            return Ok(true);
        }
        let record = LeaseRecord { until: now.plus(LEASE_LENGTH), ..self.record.clone() };
        let records = self.billing.records();
        match records.replace(&self.key, self.version, &record, now).await? {
            Put::Written => {
                (self.version, self.record) = (self.version + 1, record);
                Ok(true)
            }
            Put::Conflict => Ok(false),
        }
    }

    /// Gives it back; one that was lost is somebody else's.
    ///
    /// # Errors
    /// The store's.
    pub async fn release(self) -> Result<(), BillingError> {
        let now = self.billing.parts().clock.now();
        self.billing.records().delete(&self.key, self.version, now).await.map(drop)
    }
}
