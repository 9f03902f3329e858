//! Connections that only read, beside the writer: readers never wait for a commit.
//!
//! Bounds: `READERS_MAX` connections, each in one blocking task at a time; more readers wait.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::failure::Failure;
use super::schema;
use crate::error::LedgerError;

/// Connections that read at a time.
const READERS_MAX: usize = 4;

/// A pool of connections that read.
pub(super) struct Readers {
    path: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

// === impl Readers ===

impl Readers {
    /// A pool on a file that was opened before, so its schema is known to be ours.
    pub(super) fn new(path: PathBuf) -> Readers {
        Readers {
            path: Arc::new(path),
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(READERS_MAX)),
        }
    }

    /// Runs `work` in one read transaction: all that it reads is of one moment.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let work = move |connection: &Connection| in_transaction(connection, work);
        self.read_outside_transaction(what, work).await
    }

    /// Runs `work`, which takes a transaction itself if it needs one.
    pub(super) async fn read_outside_transaction<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let (path, idle) = (Arc::clone(&self.path), Arc::clone(&self.idle));
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let pooled = idle.lock().pop();
            let connection = match pooled {
                Some(connection) => connection,
                None => schema::reader(&path)?,
            };
            let outcome = work(&connection);
            if connection.is_autocommit() {
                idle.lock().push(connection);
            }
            outcome
        });
        match task.await {
            Ok(outcome) => outcome.map_err(|failure| failure.not_applied(what)),
            Err(error) => Err(LedgerError::Unavailable { what, source: Box::new(error) }),
        }
    }
}

fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    connection.execute_batch("BEGIN")?;
    let outcome = work(connection);
    connection.execute_batch("ROLLBACK")?;
    outcome
}
