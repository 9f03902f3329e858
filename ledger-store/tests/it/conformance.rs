//! What every backend must do, each property once.
//!
//! A backend instantiates the suite with `conformance!(module, Backend)`. Properties use ids of
//! their own and assume nothing of the rest of the ledger, so that a backend may run all of them
//! against one keyspace.

use std::future::Future;
use std::sync::Arc;

use tollgate_ledger_store::{DocumentStore, Ledger};

pub(crate) mod audits;
pub(crate) mod books;
pub(crate) mod closings;
pub(crate) mod commits;
pub(crate) mod documents;
pub(crate) mod random;
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
            registers: of_usage_the_last_row_of_each_day_survives_the_purge,
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
            books: one_id_asked_many_times_at_once_is_one_credit,
            books: many_ids_at_once_are_each_booked_once,
            books: one_id_with_another_content_is_a_conflict,
            books: a_repetition_on_a_sealed_wallet_hears_the_first_outcome,
            books: an_unknown_outcome_is_found_out_and_never_booked_twice,
            books: as_long_as_it_is_unknown_no_answer_says_failed,
            books: a_lost_race_is_planned_again_from_what_is_there,
            books: a_read_that_is_too_old_is_thrown_away,
            books: a_debt_is_paid_by_the_next_credit,
            closings: folding_deletes_nothing_and_a_zombies_later_report_counts,
            closings: repeated_folds_of_two_nodes_move_each_unit_once,
            closings: late_usage_is_the_next_checkpoint_of_its_meter,
            closings: late_usage_can_lower_what_was_closed,
            closings: a_postpaid_checkpoint_leaves_the_balance_alone,
            closings: shadow_units_are_folded_closed_and_kept_and_never_paid,
            closings: the_horizon_refuses_what_is_unfolded_or_unclosed_then_the_past_goes,
            closings: a_wallets_past_is_folded_closed_and_removed_by_its_age,
            closings: what_the_horizon_leaves_behind_stays_for_an_hour_however_late_it_rises,
            closings: suspense_is_resolved_once,
            audits: a_sound_wallet_shows_no_finding_and_its_balance,
            audits: whatever_is_wrong_is_found_by_name,
            audits: everything_is_in_the_export,
            random: random_work_of_two_nodes_adds_up_to_the_nano,
            documents: a_document_is_written_only_at_its_version,
            documents: of_puts_at_one_version_exactly_one_is_written,
            documents: documents_are_listed_by_name_within_kind_and_scope,
            documents: every_written_document_is_in_the_log_of_changes,
            restore: a_restored_backup_is_the_next_generation_and_takes_nothing_of_the_old,
            restore: a_restored_strict_wallet_waits_for_every_gateway,
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
