//! The one thread that writes, with group commit.
//!
//! A commit waits for the disk, so requests that arrive meanwhile share the next transaction,
//! each in a savepoint of its own: one that fails does not undo the others. Where SQLite gives
//! up the whole transaction (a full disk), each request is tried again alone, so that each gets
//! the error that is its own.
//!
//! Invariant: a request is answered after the COMMIT that holds it, never before.
//! Bounds: `QUEUE_MAX` requests wait, `GROUP_MAX` share a transaction.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};
use tollgate_metering::UnixMillis;

use super::failure::{self, Failure};
use super::statements;
use crate::clock::Clock;
use crate::error::LedgerError;

/// Requests that wait for the writer; more wait in their own tasks.
const QUEUE_MAX: usize = 1_024;
/// Requests that share one transaction, so that none waits long for the others.
const GROUP_MAX: usize = 256;
/// How far the clock's high-water mark may lag behind the clock.
const MARK_LAG: Duration = Duration::from_secs(1);

/// Sends work to the writing thread. Dropped, it waits until what was queued is written.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

/// A request, whatever it answers.
trait Job: Send {
    fn what(&self) -> &'static str;
    /// Runs the work; false where it failed and must be rolled back.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Sends the outcome of the last run; where that was good, the error in its place.
    fn answer(self: Box<Self>, error: Option<LedgerError>);
}

struct Request<T, W> {
    what: &'static str,
    work: W,
    outcome: Option<Result<T, Failure>>,
    reply: oneshot::Sender<Result<T, LedgerError>>,
}

/// What the thread owns.
struct Thread {
    connection: Connection,
    clock: Arc<dyn Clock>,
    marked: UnixMillis,
}

// === impl Writer ===

impl Writer {
    /// Starts the thread on a connection that is set up for writing.
    pub(super) fn start(connection: Connection, clock: Arc<dyn Clock>) -> std::io::Result<Writer> {
        let (queue, mut requests) = mpsc::channel::<Box<dyn Job>>(QUEUE_MAX);
        let mut thread = Thread { connection, clock, marked: UnixMillis(0) };
        let thread = std::thread::Builder::new().name("ledger-writer".into()).spawn(move || {
            while let Some(first) = requests.blocking_recv() {
                let mut group = vec![first];
                while group.len() < GROUP_MAX
                    && let Ok(next) = requests.try_recv()
                {
                    group.push(next);
                }
                thread.write(group);
            }
        })?;
        Ok(Writer { queue: Some(queue), thread: Some(thread) })
    }

    /// Runs `work` in a transaction and answers once it is durable. Dropped, it may still run.
    /// `work` may run twice; only its last run counts.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let request = Request { what, work, outcome: None, reply };
        let gone =
            || -> Box<std::io::Error> { Box::new(std::io::Error::other("writer has ended")) };
        let queue = self.queue.as_ref().expect("the queue is there until drop");
        if queue.send(Box::new(request)).await.is_err() {
            return Err(LedgerError::Unavailable { what, source: gone() });
        }
        answer.await.unwrap_or_else(|_| Err(LedgerError::Unknown { what, source: gone() }))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

// === impl Request ===

impl<T, W> Job for Request<T, W>
where
    T: Send,
    W: FnMut(&Connection) -> Result<T, Failure> + Send,
{
    fn what(&self) -> &'static str {
        self.what
    }

    fn run(&mut self, connection: &Connection) -> bool {
        let outcome = (self.work)(connection);
        let is_ok = outcome.is_ok();
        self.outcome = Some(outcome);
        is_ok
    }

    fn answer(self: Box<Self>, error: Option<LedgerError>) {
        let not_run = || failure::lost(self.what);
        let outcome = match (self.outcome, error) {
            (Some(Err(failure)), _) => Err(failure.not_applied(self.what)),
            (Some(Ok(_)) | None, Some(error)) => Err(error),
            (Some(Ok(answer)), None) => Ok(answer),
            (None, None) => Err(not_run()),
        };
        // Who asked may have gone; the work is done all the same.
        let _ = self.reply.send(outcome);
    }
}

// === impl Thread ===

impl Thread {
    /// Writes a group in one transaction and answers each of it.
    fn write(&mut self, mut group: Vec<Box<dyn Job>>) {
        if let Err(error) = self.begin() {
            self.roll_back();
            for job in group {
                let error = failure::shared(job.what(), &error);
                job.answer(Some(error));
            }
            return;
        }
        let is_whole = group.iter_mut().all(|job| self.run(&mut **job));
        let committed = if is_whole { Some(self.connection.execute_batch("COMMIT")) } else { None };
        if let Some(Ok(())) = committed {
            for job in group {
                job.answer(None);
            }
            return;
        }
        self.roll_back();
        if group.len() > 1 {
            for job in group {
                self.write(vec![job]);
            }
            return;
        }
        for job in group {
            let error = match &committed {
                Some(Err(error)) => failure::of_commit(job.what(), error),
                Some(Ok(())) | None => failure::lost(job.what()),
            };
            job.answer(Some(error));
        }
    }

    /// Takes the write lock at once, so that what a request reads cannot change before it
    /// writes, and moves the clock's mark.
    fn begin(&mut self) -> Result<(), rusqlite::Error> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let now = self.clock.now();
        if now.since(self.marked) >= MARK_LAG {
            self.connection
                .prepare_cached(statements::RAISE_META)?
                .execute(params!["clock_high_ms", now.0])?;
            self.marked = now;
        }
        Ok(())
    }

    /// Runs one request in its savepoint; false where the whole transaction is lost.
    fn run(&self, job: &mut dyn Job) -> bool {
        if self.connection.execute_batch("SAVEPOINT request").is_err() {
            return false;
        }
        if job.run(&self.connection) {
            return self.connection.execute_batch("RELEASE request").is_ok();
        }
        !self.connection.is_autocommit()
            && self.connection.execute_batch("ROLLBACK TO request; RELEASE request").is_ok()
    }

    fn roll_back(&mut self) {
        self.marked = UnixMillis(0);
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "cannot roll back a transaction of the ledger");
        }
    }
}
