//! Which run brought a deployment: no API of AWS says so.
//!
//! A deployment that a stack's update made was created while an action of the release stage was under way.
//! In a mode where one run at a time is in a stage there is one such action; where several runs were in the
//! stage at that moment (PARALLEL), none is named rather than the wrong one.

use jiff::{SignedDuration, Timestamp};

use crate::names::ExecutionId;

/// An action of the release stage, of any run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseAction {
    /// The run.
    pub execution: ExecutionId,
    /// When it began.
    pub started: Timestamp,
    /// When it ended, if it has.
    pub ended: Option<Timestamp>,
}

/// CodePipeline and CodeDeploy write whole seconds or fractions of them.
const ROUNDING: SignedDuration = SignedDuration::from_secs(1);

/// The run whose release stage was at work when the deployment was created; `None` where there is none, or
/// more than one.
#[must_use]
pub fn run_of(created: Timestamp, actions: &[ReleaseAction]) -> Option<&ExecutionId> {
    let covers = |action: &&ReleaseAction, slack: SignedDuration| {
        let begun = action.started.saturating_sub(slack).is_ok_and(|at| at <= created);
        let over = action
            .ended
            .is_some_and(|ended| ended.saturating_add(slack).is_ok_and(|at| at < created));
        begun && !over
    };
    let only = |slack| {
        let mut runs: Vec<&ExecutionId> = actions
            .iter()
            .filter(|action| covers(action, slack))
            .map(|action| &action.execution)
            .collect();
        runs.sort_unstable();
        runs.dedup();
        match runs.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    };
    only(SignedDuration::ZERO).or_else(|| only(ROUNDING))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn action(execution: &str, started: i64, ended: Option<i64>) -> ReleaseAction {
        ReleaseAction {
            execution: ExecutionId::new(execution).unwrap(),
            started: at(started),
            ended: ended.map(at),
        }
    }

    #[test]
    fn the_run_that_was_in_the_stage_is_named() {
        let actions = [action("b", 100, None), action("a", 10, Some(50))];
        assert_eq!(run_of(at(20), &actions).map(ExecutionId::as_str), Some("a"));
        assert_eq!(run_of(at(120), &actions).map(ExecutionId::as_str), Some("b"));
        assert_eq!(run_of(at(70), &actions), None);
    }

    #[test]
    fn of_two_runs_at_once_none_is_named() {
        let actions = [action("b", 15, None), action("a", 10, Some(50))];
        assert_eq!(run_of(at(20), &actions), None);
        assert_eq!(run_of(at(12), &actions).map(ExecutionId::as_str), Some("a"));
    }
}
