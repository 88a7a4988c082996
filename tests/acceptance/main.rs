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
mod slack;
mod sweep;
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
        sweep::{
            h07_a_run_whose_every_event_is_lost_is_repaired,
            sweep_reminds_escalates_and_tells_of_the_expiry_once_each,
            the_audit_is_exported_as_json_lines_and_as_a_table,
        },
    )
}
