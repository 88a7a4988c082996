//! The invariants, over every schedule: AWS as a small state machine, the functions' real decisions, the real
//! claim protocol on the ledger's twin in memory, and virtual time. A schedule is a list of numbers; it decides
//! who goes on, which event arrives, twice, late or never, who crashes between any two calls, what people do,
//! and when the alarm fires. What breaks an invariant is shrunk to the shortest schedule that does.
//!
//! What is simulated is the order of steps that each function takes (read, claim, effect, record); every
//! choice in them is the shipped crates'. [`mutant::Mutant`] seeds faults, each of which must be found.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what is wrong by failing"
)]

mod approvals;
mod aws;
mod invariants;
mod mutant;
mod reached;
mod releases;
mod runs;
mod shell;
mod sweep;
mod world;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use crate::mutant::Mutant;
use crate::world::play;

/// The longest schedule. Long enough for three runs with their approvals, a rollback and a dozen faults.
const LONGEST: usize = 300;

/// What the choices of a schedule are about.
#[derive(Debug, Clone, Copy)]
enum Focus {
    /// Everything, by its weight.
    All,
    /// Deployments and their alarm alone: what takes several of them to go wrong is met sooner.
    Releases,
}

fn schedules(focus: Focus) -> BoxedStrategy<Vec<u16>> {
    match focus {
        Focus::All => prop::collection::vec(any::<u16>(), 0..LONGEST).boxed(),
        Focus::Releases => {
            let what = prop::sample::select(world::ABOUT_RELEASES.to_vec());
            let choice = (what, 0..650_u16).prop_map(|(what, which)| which * 100 + what);
            prop::collection::vec(choice, 0..LONGEST / 2).boxed()
        }
    }
}

/// Plays so many schedules; the shortest one that breaks an invariant, and which.
fn broken(mutant: Option<Mutant>, focus: Focus, cases: u32) -> Option<(String, Vec<u16>)> {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, rng).run(&schedules(focus), |schedule| {
        play(&schedule, mutant).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(reason, schedule)) => Some((reason.to_string(), schedule)),
        Err(TestError::Abort(reason)) => panic!("the runner gave up: {reason}"),
    }
}

/// The same seed each time, so that a reader sees what the author saw; `SCHEDULES=10000` plays more.
#[test]
fn the_invariants_hold_over_every_schedule() {
    let cases = std::env::var("SCHEDULES")
        .ok()
        .and_then(|count| count.parse().ok());
    for focus in [Focus::All, Focus::Releases] {
        if let Some((reason, schedule)) = broken(None, focus, cases.unwrap_or(700)) {
            panic!("{reason}\nby the schedule {schedule:?}");
        }
    }
}

/// Schedules that never come as far as what they should test prove nothing.
#[test]
fn schedules_reach_what_the_invariants_are_about() {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let mut reached = reached::Reached::default();
    for _ in 0..400 {
        let schedule = schedules(Focus::All).new_tree(&mut runner).unwrap().current();
        reached += reached::reached(&schedule);
    }
    assert!(reached.all_often(), "{reached:?}");
}

/// More than any of the faults takes to be met.
const TO_BREAK: u32 = 4_000;

macro_rules! mutants {
    ($($test:ident: $mutant:ident by $focus:ident breaks $invariant:literal;)*) => {$(
        #[test]
        fn $test() {
            let Some((reason, schedule)) = broken(Some(Mutant::$mutant), Focus::$focus, TO_BREAK) else {
                panic!("{:?} breaks nothing", Mutant::$mutant);
            };
            assert!(reason.contains($invariant), "{reason}, by {schedule:?}");
        }
    )*};
}

mutants! {
    an_upload_without_claim_and_token_is_found: TokenPerDelivery by All breaks "no run starts twice";
    an_answer_for_another_run_is_found: AnswersTheNewestRun by All breaks "nothing is approved";
    a_quorum_that_is_not_counted_is_found: OneVoteIsEnough by All breaks "nothing is approved";
    an_alarms_time_stamp_ignored_is_found: AlarmTimeIgnored by Releases breaks "no deployment but the alarm's";
    a_rollback_that_is_not_recognised_is_found: RollbackUnmarked by Releases breaks "rolled back";
    a_notice_without_a_claim_is_found: NoticeUnclaimed by All breaks "every notice";
    a_notice_recorded_before_it_is_sent_is_found: RecordedBeforeSent by Releases breaks "every notice";
    a_note_that_is_overwritten_is_found: NoteOverwritten by Releases breaks "rolled back";
    a_sweep_that_ignores_alarms_is_found: SweepBlindToAlarms by Releases breaks "the ledger agrees with AWS";
    a_sweep_that_ignores_runs_is_found: SweepBlindToRuns by All breaks "the ledger agrees with AWS";
    a_sweep_that_ignores_deployments_is_found: SweepBlindToDeployments by Releases breaks "the ledger agrees with AWS";
}
