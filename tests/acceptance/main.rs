//! The acceptance suite. One local cloud serves all of it: the real functions as processes, the real
//! SDK and the real AWS CLI over the wire. Each hazard is a test of its own, named after its number.
//!
//! `cargo test --test acceptance -- h17` runs one.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what is wrong by failing")]

mod delivery;
mod fuzzing;
mod packages;
mod parsing;
mod rejections;
mod runs;
mod source;
mod tracking;
mod uploads;
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
            let _ = writeln!(std::io::stderr(), "error: the local cloud does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let lazy = Lazy::default();
    let _ = lazy.set(world.clone());
    let conclusion = libtest_mimic::run(&arguments, trials(&runtime, &lazy));
    drop(lazy);
    runtime.block_on(world.stop());
    conclusion.exit_code()
}

/// The world, once it stands; listing the tests needs none.
type Lazy = Arc<std::sync::OnceLock<Arc<World>>>;

/// Makes trials of async functions that take the world.
macro_rules! trials {
    ($runtime:expr, $lazy:expr, $($module:ident :: { $($name:ident),* $(,)? }),* $(,)?) => {
        vec![$($({
            let (handle, lazy) = ($runtime.handle().clone(), Arc::clone($lazy));
            Trial::test(stringify!($name), move || -> Result<(), Failed> {
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
    )
}
