//! What every backend must do, each property once.
//!
//! A backend instantiates the suite with `conformance!(module, Backend)`. Properties use ids of
//! their own and assume nothing of the rest of the ledger, so that a backend may run all of them
//! against one keyspace.

use std::future::Future;
use std::sync::Arc;

use tollgate_ledger_store::{DocumentStore, Ledger};

pub(crate) mod registers;

/// A ledger under test.
pub(crate) trait Backend: Sized + Send + Sync + 'static {
    /// A copy of the ledger as it was at some moment.
    type Backup: Send;

    /// A ledger to test against; it may be shared with other properties.
    fn fresh() -> impl Future<Output = Self> + Send;

    /// The ledger, as one node sees it.
    fn ledger(&self) -> Arc<dyn Ledger>;

    /// The documents beside it.
    fn documents(&self) -> Arc<dyn DocumentStore>;

    /// The same ledger as another node sees it: with connections and caches of its own.
    fn another(&self) -> impl Future<Output = Arc<dyn Ledger>> + Send;

    /// Takes a backup now.
    fn backup(&self) -> impl Future<Output = Self::Backup> + Send;

    /// Makes the next generation out of a backup of this ledger. `self` stays as it is.
    fn restore(&self, backup: Self::Backup) -> impl Future<Output = Self> + Send;
}

/// Makes a named test of each property, for one backend.
macro_rules! conformance {
    ($module:ident, $backend:ty) => {
        $crate::conformance::conformance! { @list $module, $backend;
            registers: a_smaller_total_with_a_later_seq_loses_nothing,
            registers: lost_repeated_and_reordered_reports_merge_by_max,
        }
    };
    (@list $module:ident, $backend:ty; $($topic:ident: $property:ident,)*) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $property() {
                    $crate::conformance::$topic::$property::<$backend>().await;
                }
            )*
        }
    };
}
pub(crate) use conformance;
