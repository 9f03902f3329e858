//! The loops that do what records ask for: one a kind of work.
//!
//! A pass does what is due and ends; the loop runs it again after its interval, also after a
//! failure. A pass may be dropped at any `await`, which is how a node stops: every module makes
//! that a crash, and another pass goes on, here or on another node.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Billing;
use crate::error::BillingError;

/// How often a job that failed is tried again before its queue is blocked.
pub const JOB_RETRIES: usize = 5;

/// How often each kind of work is looked for, and how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intervals {
    /// Job queues of integrations.
    pub jobs: Duration,
    /// The pauses before the retries of a job.
    pub job_pauses: [Duration; JOB_RETRIES],
    /// Top-ups that wait, and automatic ones.
    pub top_ups: Duration,
    /// Invoices.
    pub invoices: Duration,
    /// Events of Stripe that did not arrive.
    pub events: Duration,
    /// How long after a payment has failed at Stripe its subscription goes on.
    pub payment_grace: Duration,
}

impl Default for Intervals {
    fn default() -> Intervals {
        Intervals {
            jobs: Duration::from_secs(1),
            // 70 minutes together.
            job_pauses: [1, 4, 10, 20, 35].map(|minutes| Duration::from_secs(60 * minutes)),
            top_ups: Duration::from_secs(1),
            invoices: Duration::from_secs(60),
            events: Duration::from_secs(60),
            payment_grace: Duration::from_secs(3 * 86_400),
        }
    }
}

// === impl Billing ===

impl Billing {
    /// Runs every worker until `stopping` is cancelled.
    pub async fn run(self, stopping: CancellationToken) {
        let mut workers: JoinSet<()> = JoinSet::new();
        let intervals = self.parts().intervals;
        workers.spawn(repeat(self.clone(), "jobs", intervals.jobs, Billing::work_jobs));
        workers.spawn(repeat(
            self.clone(),
            "failed payments",
            intervals.jobs,
            Billing::work_unpaid,
        ));
        workers.spawn(repeat(self.clone(), "top-ups", intervals.top_ups, Billing::work_top_ups));
        workers.spawn(repeat(self.clone(), "events", intervals.top_ups, Billing::work_events));
        let invoices = repeat(self.clone(), "invoices", intervals.invoices, Billing::work_invoices);
        workers.spawn(invoices);
        tracing::debug!(?intervals, "billing works");
        stopping.cancelled().await;
        workers.shutdown().await;
    }
}

/// Runs `pass` for ever, with pauses.
async fn repeat<F, Done>(billing: Billing, work: &'static str, pause: Duration, pass: F)
where
    F: Fn(Billing) -> Done,
    Done: Future<Output = Result<(), BillingError>>,
{
    loop {
        if let Err(error) = pass(billing.clone()).await {
            tracing::warn!(work, error = &error as &dyn std::error::Error, "billing tries again");
        }
        tokio::time::sleep(pause).await;
    }
}
