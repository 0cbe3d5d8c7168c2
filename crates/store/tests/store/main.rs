//! The store, from outside: one suite of cases that every backend has to pass, and what is special to each.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![expect(
    clippy::disallowed_methods,
    reason = "writers of a test run beside it, not on the gateway's tracker"
)]

mod backend;
mod cases;
mod embedded;
mod proxy;
mod redis_faults;
mod redis_server;
mod redis_subscriptions;
mod redis_turns;
mod samples;
mod spool;

/// Instantiates every case of the suite for a backend.
macro_rules! conforms {
    ($backend:ty) => {
        crate::conforms!($backend;
            log::a_new_record_is_one_event,
            log::the_same_record_again_is_a_duplicate,
            log::changed_content_is_the_next_revision,
            log::two_records_of_one_call_in_one_batch,
            log::a_fact_is_not_overwritten_by_null,
            log::positions_grow_whatever_the_clock_does,
            log::the_event_is_the_expected_json,
            log::an_entry_lends_its_number,
            log::other_events_are_appended_once,
            log::a_batch_is_stored_with_all_its_parts,
            log::a_batch_that_is_too_large_is_refused_whole,
            log::reading_goes_on_after_a_position,
            log::trimming_moves_the_bounds,
            log::the_status_tells_mode_and_durability,
            concurrency::writers_of_one_record_make_one_event,
            concurrency::writers_of_many_records_lose_none,
            concurrency::writers_that_disagree_make_one_revision_each,
            concurrency::the_tail_wakes_on_an_append,
            concurrency::the_tail_wakes_on_an_append_elsewhere,
            concurrency::what_one_handle_writes_the_other_reads,
            restart::everything_survives_a_restart,
            restart::positions_grow_over_a_restart,
            records::every_filter_selects,
            records::pages_are_newest_first_over_all_accounts,
            records::calls_of_one_moment_are_paged_by_id,
            records::a_call_whose_start_becomes_known_moves,
            records::a_record_keeps_its_raw_json,
            records::old_records_expire,
            arrivals::records_are_counted_by_hour_and_how_they_came,
            arrivals::a_record_that_changes_is_counted_once,
            arrivals::expired_records_are_counted_no_longer,
            arrivals::too_many_hours_are_refused,
            summary::the_numbers_of_a_campaign,
            summary::a_changed_outcome_is_counted_once,
            summary::expired_records_are_not_counted,
            rosters::a_roster_is_kept_as_it_was_put,
            rosters::a_late_owner_does_not_overwrite_a_roster,
            rosters::rosters_are_listed_newest_first,
            rosters::the_last_upload_of_an_entry_counts,
            rosters::entries_of_a_refused_roster_are_removed,
            rosters::old_rosters_expire_with_their_entries,
            rosters::too_many_entries_are_refused,
            roster_entries::withheld_entries_come_back,
            roster_entries::an_entry_that_was_uploaded_again_is_not_withheld,
            roster_entries::withheld_entries_expire,
            roster_entries::what_came_of_the_entries_of_a_roster,
            roster_entries::outcomes_of_thousands_of_entries,
            roster_bodies::a_body_is_kept_in_chunks,
            roster_bodies::a_chunk_that_is_too_large_is_refused,
            roster_bodies::bodies_expire_with_their_roster,
            quarantine::an_item_is_kept_as_it_came,
            quarantine::items_are_listed_newest_first,
            quarantine::a_deleted_item_is_gone,
            quarantine::old_items_expire,
            quarantine::suspects_are_kept_in_a_ring,
            kv::a_value_lives_for_its_time,
            kv::compare_and_set_needs_the_present_value,
            kv::one_of_many_compare_and_sets_wins,
            kv::a_deleted_value_is_gone,
            kv::what_is_too_large_is_refused,
            leases::a_lease_has_one_owner,
            leases::a_lease_that_ran_out_goes_to_the_next,
            leases::a_lease_given_back_is_free_under_the_next_fence,
            leases::fences_outlive_a_restart,
            subscriptions::a_subscription_is_kept_as_it_was_created,
            subscriptions::a_second_one_of_an_id_is_not_created,
            subscriptions::only_so_many_are_created,
            subscriptions::only_the_next_version_replaces,
            subscriptions::one_of_two_replacements_wins,
            subscriptions::a_commit_is_kept_with_its_progress,
            subscriptions::a_late_owner_writes_nothing,
            subscriptions::a_deleted_one_leaves_nothing_behind,
            subscriptions::progress_survives_a_restart,
            deliveries::pending_ones_are_listed_by_when_they_are_due,
            deliveries::finished_ones_are_listed_newest_first,
            deliveries::a_changed_state_moves_a_delivery,
            deliveries::the_newest_delivered_ones_stay,
            deliveries::a_full_commit_is_taken_and_a_larger_one_refused,
            deliveries::one_dead_delivery_is_redriven,
            deliveries::all_dead_deliveries_are_redriven,
            deliveries::a_redrive_beside_replacements_is_not_lost,
            deliveries::old_finished_deliveries_expire,
            turns::so_many_calls_are_under_way,
            turns::a_slot_that_nobody_gave_back_is_free_again,
            turns::half_of_the_slots_are_left_to_others,
            turns::one_slot_is_for_everybody,
            turns::so_many_calls_begin_in_a_period,
            turns::a_pause_holds_every_call_back,
        );
    };
    ($backend:ty; $($topic:ident::$case:ident,)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let mut backend = <$backend>::start().await;
            crate::cases::$topic::$case(&mut backend).await;
        }
    )+};
}
use conforms;

mod embedded_conforms {
    crate::conforms!(crate::backend::EmbeddedBackend);
}

mod redis_conforms {
    crate::conforms!(crate::backend::RedisBackend);
}

mod cluster_conforms {
    // A part of the suite that sends each kind of request once: a cluster takes seconds to come up.
    crate::conforms!(crate::backend::ClusterBackend;
        log::a_batch_is_stored_with_all_its_parts,
        log::the_status_tells_mode_and_durability,
        concurrency::what_one_handle_writes_the_other_reads,
        concurrency::the_tail_wakes_on_an_append_elsewhere,
        records::pages_are_newest_first_over_all_accounts,
        arrivals::records_are_counted_by_hour_and_how_they_came,
        summary::the_numbers_of_a_campaign,
        roster_entries::withheld_entries_come_back,
        roster_entries::what_came_of_the_entries_of_a_roster,
        roster_bodies::bodies_expire_with_their_roster,
        subscriptions::a_deleted_one_leaves_nothing_behind,
        deliveries::a_redrive_beside_replacements_is_not_lost,
        deliveries::old_finished_deliveries_expire,
        turns::so_many_calls_are_under_way,
        turns::a_pause_holds_every_call_back,
    );
}

mod spooled_conforms {
    crate::conforms!(crate::backend::SpooledBackend);
}
