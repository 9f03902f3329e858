//! What the driver's answers and errors mean for the ledger.
//!
//! An unconditional write can be repeated, so its errors only say whether to try later. Of a
//! conditional write it must be known whether it was certainly not applied; everything that does
//! not say so is unknown.

use scylla::errors::{DbError, ExecutionError, RequestAttemptError, WriteType};
use scylla::response::query_result::QueryResult;
use scylla::statement::Consistency;
use scylla::value::{CqlValue, Row};

use super::values::corrupt;
use crate::error::{LedgerError, Source};

/// The column that says whether a conditional statement applied. ScyllaDB always answers with
/// the old row beside it, Cassandra only where it did not apply: so it is found by its name.
const APPLIED: &str = "[applied]";

/// The error of something that changed nothing, or that may be repeated.
pub(super) fn unavailable(what: &'static str, source: impl Into<Source>) -> LedgerError {
    LedgerError::Unavailable { what, source: source.into() }
}

/// The error of an unconditional write. The driver may have tried several nodes; that an earlier
/// one applied it does no harm, since the same write is sent again anyway.
pub(super) fn of_write(what: &'static str, error: ExecutionError) -> LedgerError {
    match error {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(
            DbError::Unavailable { .. },
            _,
        )) => LedgerError::Unavailable { what, source: Box::new(error) },
        error => of_conditional(what, error),
    }
}

/// The error of a conditional write.
pub(super) fn of_conditional(what: &'static str, error: ExecutionError) -> LedgerError {
    if is_certainly_not_applied(&error) {
        return LedgerError::Unavailable { what, source: Box::new(error) };
    }
    LedgerError::Unknown { what, source: Box::new(error) }
}

/// Whether the coordinator itself gave up on a conditional write or a linearizable read, most
/// often because others wrote to the same partition at the same time. It will not go on with it:
/// once a linearizable read has settled what was in flight, a write is there or never will be.
pub(super) fn is_given_up(error: &LedgerError) -> bool {
    let (LedgerError::Unknown { source, .. } | LedgerError::Unavailable { source, .. }) = error
    else {
        return false;
    };
    let Some(ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _))) =
        source.downcast_ref()
    else {
        return false;
    };
    match error {
        DbError::WriteTimeout { write_type, .. } => *write_type == WriteType::Cas,
        DbError::ReadTimeout { consistency, .. } => consistency.is_serial(),
        _ => false,
    }
}

/// Whether a conditional statement applied.
pub(super) fn is_applied(what: &'static str, result: QueryResult) -> Result<bool, LedgerError> {
    // From here on the answer has come: one that cannot be read leaves the outcome unknown.
    let unknown = |source: Source| LedgerError::Unknown { what, source };
    let rows = result.into_rows_result().map_err(|error| unknown(Box::new(error)))?;
    let index = rows.column_specs().get_by_name(APPLIED).map(|(index, _)| index);
    let row: Row = rows.first_row().map_err(|error| unknown(Box::new(error)))?;
    match index.and_then(|index| row.columns.get(index)) {
        Some(Some(CqlValue::Boolean(is_applied))) => Ok(*is_applied),
        _ => Err(unknown(format!("an answer without {APPLIED}").into())),
    }
}

/// An error with its sources, for a log line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// The error of rows that do not have the columns that were asked for.
pub(super) fn misread(what: &'static str, error: impl std::fmt::Display) -> LedgerError {
    corrupt(what, error.to_string())
}

fn is_certainly_not_applied(error: &ExecutionError) -> bool {
    match error {
        // Nothing was sent.
        ExecutionError::BadQuery(_)
        | ExecutionError::EmptyPlan
        | ExecutionError::PrepareError(_)
        | ExecutionError::ConnectionPoolError(_) => true,
        ExecutionError::LastAttemptError(attempt) => is_attempt_certainly_not_applied(attempt),
        // A timeout of the client does not stop the work of the server.
        _ => false,
    }
}

fn is_attempt_certainly_not_applied(error: &RequestAttemptError) -> bool {
    match error {
        RequestAttemptError::SerializationError(_)
        | RequestAttemptError::CqlRequestSerialization(_)
        | RequestAttemptError::UnableToAllocStreamId
        | RequestAttemptError::RepreparedIdChanged { .. }
        | RequestAttemptError::RepreparedIdMissingInBatch => true,
        RequestAttemptError::DbError(error, _) => is_refused(error),
        _ => false,
    }
}

/// Whether the coordinator refused before it started.
fn is_refused(error: &DbError) -> bool {
    match error {
        // Too few replicas to decide, so nothing was proposed. The same error at the consistency
        // of the commit comes after the decision: then it may be applied yet.
        DbError::Unavailable { consistency, .. } => {
            matches!(consistency, Consistency::Serial | Consistency::LocalSerial)
        }
        DbError::RateLimitReached { rejected_by_coordinator, .. } => *rejected_by_coordinator,
        DbError::SyntaxError
        | DbError::Invalid
        | DbError::AuthenticationError
        | DbError::Unauthorized
        | DbError::ConfigError
        | DbError::IsBootstrapping
        | DbError::Unprepared { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use scylla::errors::OperationType;

    use super::*;

    fn attempt(error: DbError) -> ExecutionError {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, String::new()))
    }

    fn too_few(consistency: Consistency) -> ExecutionError {
        attempt(DbError::Unavailable { consistency, required: 2, alive: 1 })
    }

    #[test]
    fn only_what_was_certainly_not_applied_is_called_so() {
        let check = |rows: Vec<(ExecutionError, bool)>| {
            for (error, want) in rows {
                let text = error.to_string();
                let found = of_conditional("a test", error).is_certainly_not_applied();
                assert_eq!(found, want, "{text}");
            }
        };
        check(vec![
            (ExecutionError::EmptyPlan, true),
            (ExecutionError::RequestTimeout(std::time::Duration::from_secs(1)), false),
            (too_few(Consistency::LocalSerial), true),
            (too_few(Consistency::Serial), true),
            (too_few(Consistency::LocalQuorum), false),
            (attempt(DbError::Overloaded), false),
            (attempt(DbError::ServerError), false),
            (attempt(DbError::IsBootstrapping), true),
            (attempt(DbError::Invalid), true),
            (
                attempt(DbError::WriteTimeout {
                    consistency: Consistency::LocalSerial,
                    received: 1,
                    required: 2,
                    write_type: WriteType::Cas,
                }),
                false,
            ),
            (
                attempt(DbError::RateLimitReached {
                    op_type: OperationType::Write,
                    rejected_by_coordinator: false,
                }),
                false,
            ),
        ]);
    }
}
