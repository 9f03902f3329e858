//! Works on job queues: the first job of each, until it is done or has to wait.

use tokio::task::JoinSet;
use tollgate_ledger_store::{CatalogueError, Put};

use super::{Action, JOB, Job, JobState, PASS_JOBS_MAX, QUEUE, QueueRecord, job_key, queue_name};
use crate::Billing;
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::lease::Lease;
use crate::records::Stored;

/// Most queues that one process works on at once.
const QUEUES_AT_ONCE_MAX: usize = 16;

// === impl Billing ===

impl Billing {
    /// One pass over every queue of every organization.
    ///
    /// # Errors
    /// The store's; one queue's keep no other from its turn.
    pub async fn work_jobs(self) -> Result<(), BillingError> {
        let mut working: JoinSet<()> = JoinSet::new();
        for (name, stored) in self.records().all::<QueueRecord>(QUEUE, "all").await? {
            let Some(head) = self.head(&name).await? else { continue };
            if !self.is_due(&head.record) {
                continue;
            }
            if working.len() >= QUEUES_AT_ONCE_MAX {
                working.join_next().await;
            }
            let billing = self.clone();
            working.spawn(async move {
                if let Err(error) = billing.work_queue(&stored.record).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(queue = name, error, "a queue of jobs is worked on later");
                }
            });
        }
        while working.join_next().await.is_some() {}
        Ok(())
    }

    fn is_due(&self, job: &Job) -> bool {
        job.state != JobState::Blocked && job.next_at <= self.parts().clock.now()
    }

    async fn head(&self, scope: &str) -> Result<Option<Stored<Job>>, BillingError> {
        let first = self.records().page::<Job>(JOB, scope, None, 1).await?;
        Ok(first.into_iter().next().map(|(_, stored)| stored))
    }

    async fn work_queue(&self, queue: &QueueRecord) -> Result<(), BillingError> {
        let scope = queue_name(&queue.organization, queue.integration);
        let Some(mut lease) = self.lease(&format!("jobs/{scope}")).await? else { return Ok(()) };
        let worked = self.work_under(&mut lease, queue, &scope).await;
        let released = lease.release().await;
        worked.and(released)
    }

    async fn work_under(
        &self,
        lease: &mut Lease,
        queue: &QueueRecord,
        scope: &str,
    ) -> Result<(), BillingError> {
        for _ in 0..PASS_JOBS_MAX {
            let Some(head) = self.head(scope).await? else { return Ok(()) };
            if !self.is_due(&head.record) || !lease.renew().await? {
                return Ok(());
            }
            if !self.work_job(queue, scope, head).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Does the first job; whether the next one may follow.
    async fn work_job(
        &self,
        queue: &QueueRecord,
        scope: &str,
        head: Stored<Job>,
    ) -> Result<bool, BillingError> {
        let Stored { mut version, record: mut job } = head;
        let (key, now) = (job_key(scope, job.number), self.parts().clock.now());
        if job.state == JobState::Queued {
            job.state = JobState::Running;
            match self.records().replace(&key, version, &job, now).await? {
                Put::Written => version += 1,
                Put::Conflict => return Ok(false),
            }
        }
        let found = self.integration(&queue.organization, &queue.name).await;
        let done = match found {
            Ok(found) if found.record.id == queue.integration => {
                self.act(&found.record, &job).await
            }
            // It was deleted, and its name given to another: nobody waits for this any more.
            Ok(_) | Err(BillingError::Missing { .. }) => Ok(true),
            Err(error) => return Err(error),
        };
        let now = self.parts().clock.now();
        match done {
            Ok(true) => {
                self.records().remove(&key, now).await?;
                Ok(true)
            }
            // What it is about is being written.
            Ok(false) => Ok(false),
            // The store's trouble is not the job's: it costs no retry.
            Err(error) if is_of_the_store(&error) => Err(error),
            Err(error) => {
                job.fail(&error, &self.parts().intervals.job_pauses, now);
                let told = job.error.as_deref();
                tracing::warn!(billing = queue.name, job = %job.id, error = told, "a job failed");
                // Somebody may have deleted it, or asked for it again: then that stands.
                match self.records().replace(&key, version, &job, now).await? {
                    Put::Written | Put::Conflict => Ok(false),
                }
            }
        }
    }

    /// Whether the job is done; `false` where it has to wait for what it is about.
    async fn act(&self, integration: &Integration, job: &Job) -> Result<bool, BillingError> {
        match &job.action {
            Action::PublishPlan(action) => {
                let catalogue = &self.parts().catalogue;
                let organization = &integration.organization;
                let products = catalogue.products(organization, None, usize::MAX).await?;
                let is_it = |product: &&tollgate_ledger_store::catalogue::records::Product| {
                    product.plans.iter().any(|plan| plan.id == action.plan)
                };
                let Some(product) = products.iter().find(is_it) else { return Ok(true) };
                let plan = product.plans.iter().find(|plan| plan.id == action.plan);
                let Some(plan) = plan else { return Ok(true) };
                // It may be free by now, or collected by another billing, which has its own job.
                let flat = plan.terms.flat.as_ref().filter(|flat| {
                    flat.is_paid() && flat.billing.as_deref() == Some(integration.name.as_str())
                });
                if let Some(flat) = flat {
                    self.sync_plan(integration, job.id, (product, plan), flat).await?;
                }
                Ok(true)
            }
            Action::SyncSubscription(action) => {
                self.sync_subscription(integration, job, action).await
            }
        }
    }
}

/// Whether an error is of the store under the records and not of what the job does.
fn is_of_the_store(error: &BillingError) -> bool {
    match error {
        BillingError::Ledger(_) | BillingError::Contended { .. } => true,
        BillingError::Catalogue(error) => {
            matches!(error, CatalogueError::Ledger(_) | CatalogueError::Contended { .. })
        }
        BillingError::Missing { .. }
        | BillingError::Exists { .. }
        | BillingError::Invalid { .. }
        | BillingError::Precondition(_)
        | BillingError::Amount(_)
        | BillingError::Stripe(_)
        | BillingError::Vault(_)
        | BillingError::Connector(_)
        | BillingError::Signature(_)
        | BillingError::Rating(_)
        | BillingError::Book(_) => false,
    }
}
