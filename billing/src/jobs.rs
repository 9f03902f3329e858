//! Job queues: what is to be done at Stripe for an integration, strictly in the order in which it
//! was asked for.
//!
//! One queue an integration. A job that is done is deleted, so an empty queue is one in step with
//! Stripe. A job that fails is tried again after [`crate::workers::Intervals::job_pauses`], and
//! nothing behind it runs meanwhile; after the last retry it is *blocked* with its error until a
//! person retries it, deletes it, or rolls the key that Stripe refused.
//!
//! Jobs say what to bring in step, not how: a job reads the plan or subscription as it is when it
//! runs. It is written before what it is about, so that no subscription is ever without its job; one
//! whose subscription does not appear within `PROMISE_KEPT` makes that impossible and ends.
//! Invariants: a job's idempotency keys are made of its id and step; of two nodes that work on one
//! queue, both read before they write, and Stripe sees the same keys.
//! Bounds: at most [`JOBS_MAX`] jobs of a queue, `PASS_JOBS_MAX` of one pass.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::text;
use tollgate_ledger_store::{DocumentKey, Put};
use tollgate_metering::{DeveloperId, PlanId, UnixMillis};
use uuid::Uuid;

use crate::Billing;
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::records::{Stored, key};
use crate::stripe::StripeError;

mod worker;

const QUEUE: &str = "billing.queue";
const JOB: &str = "billing.job";

/// Most jobs that wait in one queue.
pub const JOBS_MAX: usize = 10_000;

/// Most jobs of a queue that one pass does, before other queues have their turn.
pub(crate) const PASS_JOBS_MAX: usize = 100;

/// How long what a job is about may take to be written: far longer than any request lasts.
pub(crate) const PROMISE_KEPT: Duration = Duration::from_secs(120);

/// Most characters of an error that is kept.
const ERROR_CHARS_MAX: usize = 1_000;

/// What a job is to bring in step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Product and price of a plan.
    PublishPlan(PlanAction),
    /// A subscription that begins, changes or ends.
    SyncSubscription(SubscriptionAction),
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanAction {
    /// Its product.
    pub product: String,
    /// Its id.
    #[serde(with = "text::plain")]
    pub plan: PlanId,
}

/// A subscription, and which of its changes the job is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionAction {
    /// Whose it is.
    #[serde(with = "text::plain")]
    pub developer: DeveloperId,
    /// Its id.
    pub subscription: Uuid,
    /// Counts its changes: 1 begins it.
    pub revision: u32,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It waits for those before it.
    Queued,
    /// It is tried; where it has an error, again.
    Running,
    /// Its retries are used up.
    Blocked,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Generated.
    pub id: Uuid,
    /// Its place: jobs run in this order.
    pub number: u64,
    /// What it does.
    pub action: Action,
    /// Where it stands.
    pub state: JobState,
    /// How often it failed since it was last asked for.
    #[serde(default)]
    pub failures: u32,
    /// When it is tried next.
    #[serde(with = "text::millis")]
    pub next_at: UnixMillis,
    /// Why it failed last, without anything that is secret.
    #[serde(default)]
    pub error: Option<String>,
    /// Whether Stripe refused the key.
    #[serde(default)]
    pub is_key_refused: bool,
    /// When it was asked for.
    #[serde(with = "text::millis")]
    pub created_at: UnixMillis,
}

/// A queue as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStatus {
    /// Where its first job stands; `None`: it is empty, everything is in step.
    pub state: Option<JobState>,
    /// Its jobs, counted up to [`JOBS_MAX`].
    pub length: usize,
    /// What the first job failed with.
    pub error: Option<String>,
}

/// Where a queue is: what finds every queue, and numbers its jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct QueueRecord {
    organization: String,
    integration: Uuid,
    name: String,
    next: u64,
}

fn queue_key(integration: &Integration) -> DocumentKey {
    key(QUEUE, "all", queue_name(&integration.organization, integration.id))
}

fn queue_name(organization: &str, integration: Uuid) -> String {
    format!("{organization}/{integration}")
}

fn job_key(scope: &str, number: u64) -> DocumentKey {
    key(JOB, scope, format!("{number:020}"))
}

// === impl Job ===

impl Job {
    /// The number that a word names: `number` or the id.
    fn is_named(&self, named: &str) -> bool {
        self.id.to_string() == named || self.number.to_string() == named
    }

    fn fail(&mut self, error: &BillingError, pauses: &[Duration], now: UnixMillis) {
        let told = chain(error);
        self.error = Some(told.chars().take(ERROR_CHARS_MAX).collect());
        self.is_key_refused = matches!(error, BillingError::Stripe(StripeError::Unauthorized(_)));
        let pause = usize::try_from(self.failures).ok().and_then(|at| pauses.get(at));
        self.failures = self.failures.saturating_add(1);
        (self.state, self.next_at) = match pause {
            Some(pause) => (JobState::Running, now.plus(*pause)),
            None => (JobState::Blocked, now),
        };
    }

    fn ask_again(&mut self, now: UnixMillis) {
        (self.state, self.failures, self.next_at) = (JobState::Running, 0, now);
        self.is_key_refused = false;
    }
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

// === impl Billing ===

impl Billing {
    /// Puts a job at the end of the integration's queue.
    ///
    /// # Errors
    /// `Precondition` where the queue is full, `Contended`, the store's.
    pub(crate) async fn enqueue(
        &self,
        integration: &Integration,
        action: Action,
    ) -> Result<Job, BillingError> {
        let (key, now) = (queue_key(integration), self.parts().clock.now());
        let scope = queue_name(&integration.organization, integration.id);
        let jobs = self.records().page::<Job>(JOB, &scope, None, JOBS_MAX).await?;
        if jobs.len() >= JOBS_MAX {
            let what = format!("billing {} has {JOBS_MAX} jobs that wait", integration.name);
            return Err(BillingError::Precondition(what));
        }
        let first = QueueRecord {
            organization: integration.organization.clone(),
            integration: integration.id,
            name: integration.name.clone(),
            next: 1,
        };
        self.records().insert(&key, &first, now).await?;
        let taken = self.records().edit(&key, now, |queue: &mut QueueRecord| {
            let number = queue.next;
            queue.next = number.checked_add(1).ok_or(BillingError::Contended { what: "jobs" })?;
            Ok(number)
        });
        let (_, number) = taken.await?.ok_or(BillingError::Contended { what: "jobs" })?;
        let job = Job {
            id: Uuid::new_v4(),
            number,
            action,
            state: JobState::Queued,
            failures: 0,
            next_at: now,
            error: None,
            is_key_refused: false,
            created_at: now,
        };
        match self.records().insert(&job_key(&scope, number), &job, now).await? {
            Put::Written => Ok(job),
            Put::Conflict => Err(BillingError::Contended { what: "jobs" }),
        }
    }

    /// The jobs of an integration, the next first, from a number (included) on.
    ///
    /// # Errors
    /// The store's.
    pub async fn jobs(
        &self,
        integration: &Integration,
        from: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Job>, BillingError> {
        let scope = queue_name(&integration.organization, integration.id);
        let start = from.map(|number| format!("{number:020}"));
        let jobs = self.records().page::<Job>(JOB, &scope, start.as_deref(), limit).await?;
        Ok(jobs.into_iter().map(|(_, stored)| stored.record).collect())
    }

    /// A job by its number or id.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn job(&self, integration: &Integration, named: &str) -> Result<Job, BillingError> {
        Ok(self.stored_job(integration, named).await?.record)
    }

    /// How a queue stands.
    ///
    /// # Errors
    /// The store's.
    pub async fn queue_of(&self, integration: &Integration) -> Result<QueueStatus, BillingError> {
        let jobs = self.jobs(integration, None, JOBS_MAX).await?;
        Ok(QueueStatus {
            state: jobs.first().map(|job| job.state),
            length: jobs.len(),
            error: jobs.first().and_then(|job| job.error.clone()),
        })
    }

    /// Asks for a blocked job again.
    ///
    /// # Errors
    /// `Missing`, `Precondition` where it is not blocked, `Contended`, the store's.
    pub async fn retry_job(
        &self,
        integration: &Integration,
        named: &str,
    ) -> Result<Job, BillingError> {
        let number = self.job(integration, named).await?.number;
        let scope = queue_name(&integration.organization, integration.id);
        let (key, now) = (job_key(&scope, number), self.parts().clock.now());
        let edited = self.records().edit(&key, now, |job: &mut Job| {
            if job.state != JobState::Blocked {
                let what = format!("job {named} is not blocked: there is nothing to retry");
                return Err(BillingError::Precondition(what));
            }
            job.ask_again(now);
            Ok(())
        });
        edited.await?.map(|(job, ())| job).ok_or_else(|| missing(integration, named))
    }

    /// Takes a job out of its queue, done or not: what it was about stays as it is at Stripe.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn delete_job(
        &self,
        integration: &Integration,
        named: &str,
    ) -> Result<Job, BillingError> {
        let job = self.job(integration, named).await?;
        let scope = queue_name(&integration.organization, integration.id);
        self.records().remove(&job_key(&scope, job.number), self.parts().clock.now()).await?;
        Ok(job)
    }

    /// Takes every job out of a queue; says how many.
    ///
    /// # Errors
    /// The store's.
    pub async fn clear_jobs(&self, integration: &Integration) -> Result<usize, BillingError> {
        let scope = queue_name(&integration.organization, integration.id);
        let jobs = self.jobs(integration, None, JOBS_MAX).await?;
        for job in &jobs {
            self.records().remove(&job_key(&scope, job.number), self.parts().clock.now()).await?;
        }
        Ok(jobs.len())
    }

    /// Asks again for a job that Stripe refused for its key, since there is another key now.
    ///
    /// # Errors
    /// `Contended`, the store's.
    pub(crate) async fn heal_queue(&self, integration: &Integration) -> Result<(), BillingError> {
        let Some(head) = self.jobs(integration, None, 1).await?.pop() else { return Ok(()) };
        if !head.is_key_refused {
            return Ok(());
        }
        let scope = queue_name(&integration.organization, integration.id);
        let (key, now) = (job_key(&scope, head.number), self.parts().clock.now());
        let healed = self.records().edit(&key, now, |job: &mut Job| {
            job.ask_again(now);
            Ok(())
        });
        healed.await.map(drop)
    }

    async fn stored_job(
        &self,
        integration: &Integration,
        named: &str,
    ) -> Result<Stored<Job>, BillingError> {
        let scope = queue_name(&integration.organization, integration.id);
        let jobs = self.records().page::<Job>(JOB, &scope, None, JOBS_MAX).await?;
        let found = jobs.into_iter().map(|(_, stored)| stored);
        let mut found = found.filter(|stored| stored.record.is_named(named));
        found.next().ok_or_else(|| missing(integration, named))
    }
}

fn missing(integration: &Integration, named: &str) -> BillingError {
    BillingError::missing("job", named, format!("billing {}", integration.name))
}
