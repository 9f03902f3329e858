//! The workers of top-ups and events: who does it, and how often.

use tokio::time::sleep;

use crate::Billing;
use crate::error::BillingError;
use crate::lease::LEASE_LENGTH;

// === impl Billing ===

impl Billing {
    /// Polls open top-ups and begins automatic ones for as long as this node has the lease.
    pub(crate) async fn work_top_ups(self) -> Result<(), BillingError> {
        let Some(mut lease) = self.lease("topups").await? else { return Ok(()) };
        loop {
            // Side by side: a Stripe that hangs for one of them holds up the other no longer than a
            // pass takes.
            let (polled, begun) = tokio::join!(self.poll_top_ups(), self.top_up_automatically());
            for done in [polled, begun] {
                if let Err(error) = done {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "top-ups are looked at later");
                }
            }
            sleep(self.parts().intervals.top_ups).await;
            if !lease.renew().await? {
                return Ok(());
            }
        }
    }

    /// Fetches missing events for as long as this node has the lease.
    pub(crate) async fn work_events(self) -> Result<(), BillingError> {
        let Some(mut lease) = self.lease("events").await? else { return Ok(()) };
        let mut next = self.parts().clock.monotonic();
        loop {
            let now = self.parts().clock.monotonic();
            if now >= next {
                next = now + self.parts().intervals.events;
                if let Err(error) = self.catch_up_events().await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "events of Stripe are fetched later");
                }
            }
            // In steps that are shorter than the lease.
            sleep(self.parts().intervals.events.min(LEASE_LENGTH / 4)).await;
            if !lease.renew().await? {
                return Ok(());
            }
        }
    }
}
