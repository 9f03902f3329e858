//! What every backend must do, each property once.
//!
//! A backend instantiates the suite with `conformance!(module, Backend)`. Properties use ids of
//! their own and assume nothing of the rest of the ledger, so that a backend may run all of them
//! against one keyspace.

use std::future::Future;
use std::sync::Arc;

use tollgate_ledger_store::{DocumentStore, Ledger};

pub(crate) mod commits;
pub(crate) mod documents;
pub(crate) mod registers;
pub(crate) mod restore;

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
            registers: a_register_past_its_range_is_refused_alone,
            registers: of_holds_and_usage_the_highest_seq_wins,
            registers: below_the_horizon_nothing_is_read_and_all_is_purged,
            registers: suspense_rises_and_what_was_counted_keeps_its_first_value,
            registers: an_incarnation_keeps_its_first_birth_and_its_end,
            commits: an_account_comes_back_as_it_was_committed,
            commits: of_commits_from_one_version_exactly_one_applies,
            commits: an_entry_id_that_is_there_refuses_the_whole_batch,
            commits: a_change_of_another_generation_is_refused,
            commits: a_developer_gets_one_wallet_of_a_currency,
            commits: entries_are_listed_in_the_order_of_their_ids,
            commits: wallets_are_listed_each_once_page_by_page,
            documents: a_document_is_written_only_at_its_version,
            documents: of_puts_at_one_version_exactly_one_is_written,
            documents: documents_are_listed_by_name_within_kind_and_scope,
            documents: every_written_document_is_in_the_log_of_changes,
            restore: a_restored_backup_is_the_next_generation_and_takes_nothing_of_the_old,
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
