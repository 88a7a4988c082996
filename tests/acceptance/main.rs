//! The acceptance suite. One local cloud serves all of it: the real functions as processes, the real
//! SDK and the real AWS CLI over the wire. Each hazard is a test of its own, named after its number.
//!
//! `cargo test --test acceptance -- h17` runs one.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by failing"
)]

mod approvals;
mod browser;
mod browser_look;
mod change_sets;
mod cli;
mod conformance;
mod delivery;
mod demo;
mod denied;
mod denied_turns;
mod failing;
mod failing_answers;
mod failing_ledger;
mod failing_notices;
mod failing_starts;
mod fixtures;
mod fuzzing;
mod host;
mod machine;
mod modes;
mod packages;
mod parsing;
mod permissions;
mod privileges;
mod process;
mod program;
mod rejections;
mod rollback;
mod rollback_cloud;
mod rollback_group;
mod rollback_pipeline;
mod rollback_strategies;
mod runs;
mod secrecy;
mod signalbox;
mod signalbox_doctor;
mod site;
mod slack;
mod slack_server;
mod slack_votes;
mod source;
mod stack_role;
mod sweep;
mod sweep_releases;
mod template;
mod terraform;
mod tools;
mod tracking;
mod transformed;
mod uploads;
mod validation;
mod validation_asked;
mod validation_canary;
mod validation_site;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::world::World;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = Runtime::new().expect("the async runtime must start");
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(&runtime, &Lazy::default())).exit_code();
    }
    let world = match runtime.block_on(World::start()) {
        Ok(world) => Arc::new(world),
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(
                std::io::stderr(),
                "error: the local cloud does not start: {error}"
            );
            return ExitCode::FAILURE;
        }
    };
    runtime.spawn(end_at_once_when_interrupted(world.clone()));
    let lazy = Lazy::default();
    let _ = lazy.set(world.clone());
    let without_terraform = may_do_without_terraform();
    let mut trials = trials(&runtime, &lazy);
    if without_terraform {
        trials = trials.into_iter().map(ignored_if_of_terraform).collect();
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(lazy);
    // Only all trials together use all that is granted.
    let is_whole = arguments.filter.is_none()
        && arguments.skip.is_empty()
        && !conclusion.has_failed()
        && conclusion.num_ignored == 0;
    let is_least = !is_whole || privileges::are_least(&runtime.block_on(privileges::granted(&world)));
    let is_of_the_model = conformance::every_error_is_listed(&world);
    runtime.block_on(world.stop());
    if is_least && is_of_the_model {
        conclusion.exit_code()
    } else {
        ExitCode::FAILURE
    }
}

/// Terraform cannot be had from a package registry: where nobody has installed it, its trials are shown as ignored.
/// CI demands it, and there they fail.
fn may_do_without_terraform() -> bool {
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    let path = std::env::var_os("PATH").unwrap_or_default();
    !is_ci && !std::env::split_paths(&path).any(|folder| folder.join("terraform").is_file())
}

fn ignored_if_of_terraform(trial: Trial) -> Trial {
    if trial.name().starts_with("terraform::") {
        trial.with_ignored_flag(true).with_kind("needs Terraform")
    } else {
        trial
    }
}

/// Ctrl-C in the middle of the suite leaves no cloud, no build and no browser behind.
async fn end_at_once_when_interrupted(world: Arc<World>) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate()).expect("SIGTERM can be waited for");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        _ = terminated.recv() => (),
    }
    let own = u64::from(std::process::id());
    process::terminate(&process::descendants(own));
    world.stop().await;
    process::until_gone(&process::descendants(own)).await;
    std::process::exit(130);
}

/// The world, once it stands; listing the tests needs none.
type Lazy = Arc<std::sync::OnceLock<Arc<World>>>;

/// Makes trials of async functions that take the world.
macro_rules! trials {
    ($runtime:expr, $lazy:expr, $($module:ident :: { $($name:ident),* $(,)? }),* $(,)?) => {
        vec![$($({
            let (handle, lazy) = ($runtime.handle().clone(), Arc::clone($lazy));
            Trial::test(concat!(stringify!($module), "::", stringify!($name)), move || -> Result<(), Failed> {
                let world = lazy.get().ok_or("the world does not stand")?.clone();
                handle.block_on($module::$name(&world));
                Ok(())
            })
        }),*),*]
    };
}

fn trials(runtime: &Runtime, lazy: &Lazy) -> Vec<Trial> {
    trials!(runtime, lazy,
        delivery::{
            h01_same_event_twice_has_one_effect,
            h02_the_same_event_concurrently_has_one_effect,
            h03_again_after_24_hours_has_still_one_effect,
            h04_a_newer_uploads_event_first_only_the_newer_runs,
            h05_sequencers_of_unequal_length_are_ordered_rightly,
            h09_crash_after_the_call_before_the_record_has_one_effect,
            h10_crash_before_the_call_is_retried,
            h15_two_triggers_for_one_upload_start_one_run,
            h16_a_failed_upload_starts_no_run,
            ledger_contract_holds_on_dynamodb,
        },
        change_sets::{
            what_was_approved_is_released_whatever_was_prepared_since,
            code_that_was_swapped_after_the_build_becomes_no_version,
        },
        tracking::{
            h06_succeeded_before_started_keeps_the_final_state,
            h07_a_lost_event_is_made_up_for_by_the_next,
            h08_a_retried_stage_has_a_new_notice,
        },
        rejections::{
            h17_zero_bytes_are_rejected,
            h18_what_is_no_zip_is_rejected,
            h19_a_truncated_archive_is_rejected,
            h20_a_bomb_is_rejected,
            h21_a_path_that_leaves_the_folder_is_rejected,
            h22_an_absolute_path_is_rejected,
            h23_a_symlink_is_rejected,
            h24_names_that_differ_only_in_case_are_rejected,
            h25_an_oversize_package_is_rejected,
        },
        uploads::{
            h26_a_folder_marker_is_ignored,
            a_build_of_another_branch_does_without_the_deployed_branchs_cache,
            h27_plus_and_space_in_a_key_arrive_byte_for_byte,
            h28_unicode_and_percent_signs_in_a_key_arrive_byte_for_byte,
            h29_no_version_id_is_refused_with_the_fix,
            h30_a_delete_marker_is_ignored,
            h31_the_test_event_is_acknowledged,
            h32_multipart_uploads_and_copies_start_runs,
            h33_foreign_events_are_denied_and_counted,
        },
        parsing::{
            h34_float_and_string_versions_are_fine,
            h35_unknown_states_and_fields_are_fine_and_logged,
            h36_a_missing_detail_is_an_error_and_is_kept,
            h37_an_event_of_1_mb_is_fine,
            h38_control_characters_are_escaped_wherever_shown,
            h39_a_nesting_bomb_is_an_error,
        },
        fuzzing::{
            h40_fuzzed_events_never_panic,
        },
        conformance::{
            every_operation_of_an_engine_is_one_of_awss_model,
            boto3_drives_every_operation_of_codepipeline,
            boto3_drives_every_operation_of_codebuild,
            boto3_drives_every_operation_of_codedeploy,
            boto3_drives_every_operation_of_lambda,
            boto3_drives_every_operation_of_cloudwatch,
            boto3_drives_every_operation_of_eventbridge,
            boto3_drives_every_operation_of_cloudformation,
            the_emulator_serves_many_callers_at_once,
        },
        cli::{
            a_package_copied_with_the_cli_starts_a_run_that_the_cli_shows,
            the_cli_shows_the_pipeline_and_its_state,
            the_cli_says_what_aws_refuses,
            the_cli_invokes_a_function_and_finds_its_logs,
            the_cli_makes_and_lists_deployment_configurations,
            the_cli_shows_stacks_rules_and_alarms,
            the_cli_builds_and_finds_the_builds_log,
            the_cli_reads_a_buckets_policy,
        },
        permissions::{
            a_call_without_a_statement_is_denied_in_awss_words,
            a_call_with_its_statement_is_allowed,
            an_explicit_deny_wins_over_every_allow,
            a_role_that_loses_its_policy_is_denied_at_once,
            a_condition_on_the_resources_account_is_honoured,
            a_condition_on_the_metrics_namespace_is_honoured,
            a_functions_own_calls_are_checked_against_its_role,
            what_roles_ask_for_is_remembered,
            every_function_of_the_templates_has_a_role_of_its_own,
            no_action_of_the_templates_has_a_wildcard,
            every_star_for_a_resource_is_listed_with_its_reason,
            every_action_of_the_templates_exists_in_aws,
        },
        denied::{
            h99_each_permission_denied_in_turn_fails_closed,
        },
        template::{
            every_variable_that_a_function_reads_is_set_for_it_and_no_other,
            every_crate_of_functions_is_in_the_template_and_no_other,
            every_function_keeps_logs_for_a_time_and_sends_traces,
            what_an_asynchronous_function_fails_at_is_kept,
            what_a_rule_cannot_hand_over_is_kept,
            every_parameter_says_what_it_is_and_what_it_may_be,
            cfn_lint_finds_nothing_in_either_template,
            the_scan_for_variables_finds_each_way_of_reading_one,
        },
        stack_role::{
            the_stack_s_role_may_do_what_its_resources_handlers_do,
            the_reading_of_the_stack_s_role_takes_nothing_for_given,
        },
        terraform::{
            staging_is_installed_runs_an_upload_and_is_taken_out_again,
            production_is_installed_beside_a_second_pipeline_and_is_taken_out_again,
        },
        host::{
            what_a_function_throws_is_reported_and_its_process_lives_on,
            a_function_that_panics_is_reported_and_its_process_lives_on,
            a_function_that_exits_is_an_exit_error_and_is_replaced,
            a_function_that_hangs_is_ended_at_its_time_out,
            a_failed_asynchronous_invocation_is_tried_three_times_and_then_kept,
            a_function_url_hands_requests_over_as_aws_does,
            the_environments_functions_run_as_real_processes,
        },
        machine::{
            help_says_what_there_is_and_how_it_ends,
            a_taken_port_is_said_in_one_line_with_the_fix,
            missing_tools_are_said_at_once_with_the_fix_before_anything_starts,
            ctrl_c_ends_a_cloud_that_stays_and_leaves_nothing,
            a_closed_terminal_ends_it_as_ctrl_c_does,
            ctrl_c_ends_a_start_that_waits_for_another,
            a_killed_cloud_leaves_no_process_behind,
            a_cloud_killed_in_the_middle_of_a_build_leaves_no_process_behind,
            a_second_cloud_stands_beside_the_first,
        },
        demo::{
            a_summary_that_cannot_be_written_is_said_before_anything_starts,
            ctrl_c_in_the_middle_of_the_demo_leaves_nothing,
            a_demo_that_fails_names_step_cause_and_log_and_stays_where_it_is_told_to,
            the_demo_does_its_whole_job_beside_another_that_waits_for_a_person,
        },
        approvals::{
            h41_get_and_head_never_decide, h42_a_form_decides_once, h43_a_replay_is_told_by_whom_and_when,
            h44_of_two_answers_at_once_the_first_wins_and_both_are_told, h45_an_expired_link_decides_nothing,
            h46_a_forged_signature_is_refused, h47_a_retired_key_opens_nothing,
            h48_a_link_serves_its_own_action_only, h49_an_older_run_s_link_does_not_serve_a_newer_one,
            h50_a_form_of_another_site_is_refused, h51_nobody_approves_their_own_change,
            h52_an_unlisted_person_decides_nothing, h54_a_deleted_pipeline_is_gone,
            h55_a_long_comment_is_cut_between_characters, h56_the_page_cannot_be_framed,
            the_page_s_log_holds_no_credential,
        },
        browser::{
            a_page_s_form_decides_without_scripts_and_with_them,
            a_finger_on_a_phone_rejects,
            the_keyboard_alone_is_enough,
            opening_and_reloading_decide_nothing,
            going_back_after_deciding_shows_the_truth,
            who_was_slower_is_told_by_whom_it_was_decided,
            an_expired_request_says_so_and_asks_nothing,
            the_author_is_offered_to_reject_only,
            an_older_revision_takes_a_second_step_of_each,
            h56_a_site_that_frames_the_page_shows_nothing_of_it,
            scripts_that_are_off_do_not_run,
            no_browser_outlives_its_trial,
            a_machine_without_a_browser_is_told_what_to_install,
        },
        browser_look::{
            every_state_reads_well_on_every_screen,
            every_state_of_an_older_revision_reads_well_on_every_screen,
        },
        modes::{
            two_different_people_have_to_approve,
            one_rejection_ends_it_at_once,
            in_parallel_mode_a_link_serves_its_own_run_only,
            in_queued_mode_the_older_revision_takes_a_second_step,
            in_superseded_mode_an_older_link_does_not_serve_the_run_that_took_over,
            the_policy_rejects_a_superseded_request_by_itself,
            forged_links_are_refused_over_http,
        },
        secrecy::{
            h98_what_an_event_carries_is_in_no_log_and_no_metric,
            h98_our_own_secrets_reach_nobody_but_whom_they_are_for,
        },
        slack_votes::{
            votes_by_buttons_are_shown_in_the_message,
            the_older_revision_takes_slack_s_second_step,
            a_cold_start_acknowledges_well_under_three_seconds,
        },
        slack::{
            h57_a_time_that_is_301_seconds_off_is_refused,
            h58_a_body_that_was_changed_is_refused,
            h59_a_missing_or_doubled_header_is_refused,
            h60_a_body_in_base64_is_read,
            h61_a_double_click_decides_once,
            h62_a_response_url_elsewhere_is_not_fetched,
            h63_another_workspace_or_user_is_refused,
            h67_a_subject_that_is_too_long_or_has_line_feeds_is_cleaned,
            h68_a_message_that_is_too_long_is_trimmed_and_keeps_its_link,
        },
        failing::{
            a_rule_fails_calls_to_engines_and_to_the_emulator_alike,
            an_effect_stands_whose_answer_is_lost,
            rules_are_set_read_and_removed_by_http,
        },
        failing_answers::{
            h53_a_lost_answer_is_read_again_and_told_truthfully,
        },
        failing_starts::{
            h69_throttled_twice_it_succeeds,
            h70_throttled_for_good_it_is_given_up_and_kept,
            h72_faults_of_the_service_are_tried_again_and_start_one_run,
            h73_a_reset_after_sending_has_one_effect,
            h74_what_hangs_ends_at_the_functions_own_deadline,
            h75_a_denied_call_is_not_repeated_and_is_reported,
            h76_a_conflict_is_backed_off_from,
            h77_a_full_pipeline_puts_the_start_off_and_loses_nothing,
            h80_half_an_answer_is_an_error,
        },
        failing_ledger::{
            h11_a_claim_left_at_the_time_out_is_taken_over,
            h12_the_same_key_with_another_content_is_refused_and_reported,
            h13_a_row_past_its_ttl_counts_as_expired,
            h14_without_the_ledger_the_effect_is_withheld,
        },
        failing_notices::{
            h71_a_throttled_topic_is_tried_again_and_each_is_told_once,
            h72_a_notice_whose_sending_nobody_is_sure_of_keeps_its_claim,
            h73_a_notice_that_was_sent_twice_is_one_notice,
            h78_only_what_failed_of_a_batch_is_done_again,
            h79_what_cloudwatch_would_refuse_is_dropped_and_counted,
        },
        rollback::{
            a_canary_that_fails_is_stopped_frozen_remembered_and_told_once,
            h73_a_redeployment_whose_answer_is_lost_is_made_once,
            h86_a_stale_alarm_changes_nothing,
            h87_an_alarm_that_flaps_twenty_times_stops_once,
            h88_of_two_groups_with_one_alarm_each_the_right_one_is_stopped,
            h89_the_previous_deployments_alarm_changes_nothing,
            h90_a_rollback_is_never_rolled_back,
            h91_where_codedeploy_was_faster_it_is_only_reported,
            h92_what_has_succeeded_is_taken_back_within_its_bake_window_once,
            h93_a_suppressed_composite_alarm_changes_nothing,
            h94_with_no_good_version_a_person_is_paged,
            h95_the_lost_event_of_a_tagged_alarm_is_swept, an_unreadable_tag_keeps_no_other_alarm_from_being_swept,
            h96_a_deleted_alarm_changes_nothing,
            h97_a_newer_deployment_that_has_begun_is_left_alone,
            what_a_dead_try_began_is_finished_beside_a_newer_deployment,
            a_composite_alarm_speaks_for_the_group_that_lists_it_or_its_red_child,
            a_tag_on_the_alarm_names_the_group,
            a_person_commands_by_invoking_the_function,
            an_alarm_that_no_deployment_hangs_on_tells_whoever_is_on_call,
        },
        rollback_pipeline::{
            what_fails_after_its_release_is_taken_back_and_its_stack_follows,
        },
        rollback_strategies::{
            all_at_once_moves_everything_in_one_step,
            a_canary_waits_with_a_tenth,
            a_linear_shift_goes_in_equal_steps,
            a_custom_configuration_shifts_as_it_says,
            a_linear_shift_that_fails_goes_back_at_once,
        },
        signalbox::{
            trigger_packs_uploads_and_follows_the_run_to_its_end,
            the_author_that_trigger_names_cannot_approve, trigger_uploads_to_the_bucket_of_the_pipeline,
            trigger_uploads_to_no_bucket_that_it_would_have_to_guess,
            a_rejected_upload_says_why_with_an_exit_code_of_its_own,
            an_upload_that_nobody_takes_up_ends_with_the_time_and_where_to_look,
            the_exit_code_of_watch_says_how_a_run_ended,
            status_shows_open_approvals_with_who_was_asked,
            status_shows_a_frozen_stage_with_its_reason,
            the_script_triggers_a_run_and_follows_it_where_it_is_told_to,
        },
        signalbox_doctor::{
            doctor_finds_each_planted_fault_and_nothing_else,
        },
        sweep::{
            h07_a_run_whose_every_event_is_lost_is_repaired,
            sweep_reminds_escalates_and_tells_of_the_expiry_once_each,
            the_audit_is_exported_as_json_lines_and_as_a_table,
        },
        sweep_releases::{
            h95_a_lost_alarm_event_is_acted_upon_by_the_sweep,
        },
        validation::{
            h81_a_process_that_dies_in_a_check_is_made_up_for_and_a_verdict_is_reported,
            h82_a_duplicate_gives_no_second_verdict,
            h83_after_a_pass_a_late_retry_that_would_fail_changes_nothing,
            h84_past_its_deadline_a_validation_fails_before_its_function_ends,
            an_alarm_that_is_red_already_is_reported_and_an_override_goes_on,
            code_that_was_rolled_back_gets_no_traffic_until_it_is_allowed,
            a_malformed_policy_lets_no_version_pass_and_names_every_mistake,
            what_bad_requests_make_an_application_log_does_not_fail_it,
            a_job_of_the_pipeline_watches_over_several_calls_and_then_reports,
        },
        validation_canary::{
            h85_no_traffic_is_inconclusive_and_passes_only_where_the_policy_says_so,
            a_good_version_passes_and_its_numbers_are_kept_and_published,
            a_canary_fails_on_latency_only,
            a_canary_fails_on_its_logs_only,
            a_canary_fails_on_the_applications_own_metric_only,
        },
    )
}
