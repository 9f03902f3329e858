//! A session with the cluster: sends prepared statements and reads their answers.

use std::future::Future;

use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::{ExecutionError, PagerExecutionError};
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};

use super::contention;
use super::node_metrics::NodeMetrics;
use super::outcome;
use super::statements::{Class, Prepared, Profiles, Statements};
use crate::error::LedgerError;

/// How often a linearizable read is sent: it may be repeated, though the driver does not know. It
/// meets writers of the same partition as a conditional write does.
const SERIAL_READ_ATTEMPTS: u32 = 6;

/// One statement of a conditional batch with its values.
pub(super) struct Step<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) values: Box<dyn SerializeRow + Send + Sync>,
}

/// A session, its statements and how they are sent.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) session: Session,
    pub(super) statements: Statements,
    pub(super) profiles: Profiles,
    pub(super) metrics: NodeMetrics,
    pub(super) writes_in_flight_max: usize,
}

// === impl Step ===

impl<'a> Step<'a> {
    pub(super) fn new(
        prepared: &'a Prepared,
        values: impl SerializeRow + Send + Sync + 'static,
    ) -> Step<'a> {
        Step { prepared, values: Box::new(values) }
    }
}

// === impl Cluster ===

impl Cluster {
    /// Reads rows of one partition, all in one answer.
    pub(super) async fn rows<R>(
        &self,
        prepared: &Prepared,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, LedgerError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let what = prepared.operation;
        let result = self.execute(prepared, values).await;
        let result = result.map_err(|error| outcome::unavailable(what, error))?;
        let rows = result.into_rows_result().map_err(|error| outcome::misread(what, error))?;
        let rows = rows.rows::<R>().map_err(|error| outcome::misread(what, error))?;
        rows.map(|row| row.map_err(|error| outcome::misread(what, error))).collect()
    }

    /// Reads rows as [`Cluster::rows`], again where others kept it from being decided.
    pub(super) async fn serial_rows<R>(
        &self,
        prepared: &Prepared,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, LedgerError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let mut attempt = 1;
        loop {
            match self.rows(prepared, &values).await {
                Err(error) if attempt < SERIAL_READ_ATTEMPTS && outcome::is_given_up(&error) => {
                    tokio::time::sleep(contention::wait(attempt)).await;
                }
                // The connection may have broken; another node answers.
                Err(LedgerError::Unavailable { .. }) if attempt == 1 => {}
                answer => return answer,
            }
            attempt += 1;
        }
    }

    /// Reads any number of rows, page by page; the pages are of different moments.
    pub(super) async fn paged_rows<R>(
        &self,
        prepared: &Prepared,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, LedgerError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata> + 'static,
    {
        let what = prepared.operation;
        let mut statement = prepared.statement.clone();
        statement.set_history_listener(self.metrics.listen(prepared.operation));
        let pager = self
            .session
            .execute_iter(statement, values)
            .await
            .map_err(|error: PagerExecutionError| outcome::unavailable(what, error))?;
        let rows = pager.rows_stream::<R>().map_err(|error| outcome::misread(what, error))?;
        rows.map_err(|error| outcome::unavailable(what, error)).try_collect().await
    }

    /// Writes without a condition.
    pub(super) async fn write(
        &self,
        prepared: &Prepared,
        values: impl SerializeRow,
    ) -> Result<(), LedgerError> {
        match self.execute(prepared, values).await {
            Ok(_) => Ok(()),
            Err(error) => Err(outcome::of_write(prepared.operation, error)),
        }
    }

    /// Writes under a condition and says whether it applied.
    pub(super) async fn write_if(
        &self,
        prepared: &Prepared,
        values: impl SerializeRow,
    ) -> Result<bool, LedgerError> {
        let what = prepared.operation;
        match self.execute(prepared, values).await {
            Ok(result) => outcome::is_applied(what, result),
            Err(error) => Err(outcome::of_conditional(what, error)),
        }
    }

    /// Writes a batch of one partition under the conditions of its steps: all of it or nothing.
    pub(super) async fn write_batch_if(
        &self,
        operation: &'static str,
        steps: Vec<Step<'_>>,
    ) -> Result<bool, LedgerError> {
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_execution_profile_handle(Some(self.profiles.of(Class::Conditional).clone()));
        batch.set_history_listener(self.metrics.listen(operation));
        let mut values = Vec::with_capacity(steps.len());
        for step in steps {
            batch.append_statement(step.prepared.statement.clone());
            values.push(step.values);
        }
        match self.session.batch(&batch, values).await {
            Ok(result) => outcome::is_applied(operation, result),
            Err(error) => Err(outcome::of_conditional(operation, error)),
        }
    }

    /// Runs unconditional writes side by side, and answers in their order.
    pub(super) async fn side_by_side<F>(
        &self,
        writes: impl IntoIterator<Item = F>,
    ) -> Vec<Result<(), LedgerError>>
    where
        F: Future<Output = Result<(), LedgerError>>,
    {
        stream::iter(writes).buffered(self.writes_in_flight_max).collect().await
    }

    async fn execute(
        &self,
        prepared: &Prepared,
        values: impl SerializeRow,
    ) -> Result<QueryResult, ExecutionError> {
        let mut statement = prepared.statement.clone();
        statement.set_history_listener(self.metrics.listen(prepared.operation));
        self.session.execute_unpaged(&statement, values).await
    }
}
