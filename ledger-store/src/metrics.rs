//! Latency and errors of the ledger, counted alike for every backend.

use std::future::Future;

use prometheus::{HistogramOpts, HistogramTimer, HistogramVec, IntCounterVec, Opts, Registry};

use crate::error::LedgerError;

/// Upper bounds of the latency histogram, in seconds: from a read out of the page cache to a
/// conditional batch that waits for a replica.
const BUCKETS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// What the ledger is asked: one a method of the traits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Generation and clock.
    Meta,
    /// A wallet or a list of them.
    Read,
    /// A conditional batch.
    Commit,
    /// Entries by id or in order.
    Entries,
    /// Registers.
    WriteRegisters,
    /// Open holds.
    WriteHolds,
    /// Usage history, written.
    WriteUsage,
    /// Usage history, read.
    Usage,
    /// Removal of what lies below the horizon.
    Purge,
    /// The registry of incarnations.
    Registry,
    /// Suspense, read or written.
    Suspense,
    /// Documents read.
    Documents,
    /// Documents written.
    PutDocument,
}

/// Counts operations of a ledger; a clone counts into the same families.
#[derive(Clone, Debug)]
pub struct LedgerMetrics {
    duration: HistogramVec,
    errors: IntCounterVec,
}

// === impl Operation ===

impl Operation {
    const fn label(self) -> &'static str {
        match self {
            Operation::Meta => "meta",
            Operation::Read => "read",
            Operation::Commit => "commit",
            Operation::Entries => "entries",
            Operation::WriteRegisters => "write_registers",
            Operation::WriteHolds => "write_holds",
            Operation::WriteUsage => "write_usage",
            Operation::Usage => "usage",
            Operation::Purge => "purge",
            Operation::Registry => "registry",
            Operation::Suspense => "suspense",
            Operation::Documents => "documents",
            Operation::PutDocument => "put_document",
        }
    }
}

// === impl LedgerMetrics ===

impl LedgerMetrics {
    /// Registers the families.
    ///
    /// # Errors
    /// [`prometheus::Error::AlreadyReg`] where the registry counts a ledger already.
    pub fn register(registry: &Registry) -> Result<LedgerMetrics, prometheus::Error> {
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "tollgate_ledger_operation_duration_seconds",
                "Time the ledger took to answer, whether it succeeded or not.",
            )
            .buckets(BUCKETS.to_vec()),
            &["operation"],
        )?;
        let errors = IntCounterVec::new(
            Opts::new("tollgate_ledger_errors_total", "Operations of the ledger that failed."),
            &["operation"],
        )?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        Ok(LedgerMetrics { duration, errors })
    }

    /// Times `work` and counts its error. Dropped half-way, it is timed up to there.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn record<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let _timer = self.start(operation);
        let outcome = work.await;
        if outcome.is_err() {
            self.count_errors(operation, 1);
        }
        outcome
    }

    /// Starts a measurement that ends when it is dropped.
    pub fn start(&self, operation: Operation) -> HistogramTimer {
        self.duration.with_label_values(&[operation.label()]).start_timer()
    }

    /// Counts `count` failed operations, for answers that fail row by row.
    pub fn count_errors(&self, operation: Operation, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.errors.with_label_values(&[operation.label()]).inc_by(count);
    }
}
