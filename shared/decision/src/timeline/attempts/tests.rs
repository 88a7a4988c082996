//! Attempts found in the list of actions.

use super::*;

fn at(second: i64) -> Option<Timestamp> {
    Some(Timestamp::from_millisecond(1_800_000_000_000 + second * 1000 + 300).unwrap())
}

fn action(stage: &str, name: &str, state: State, from: i64, to: i64) -> Action {
    let ended = at(to).filter(|_| state.is_final());
    Action {
        stage: stage.to_owned(),
        name: name.to_owned(),
        category: "Build".to_owned(),
        provider: "CodeBuild".to_owned(),
        external: None,
        error: None,
        progress: Progress {
            state,
            started: at(from),
            ended,
        },
    }
}

fn reading(status: State, stages: &[(&str, State)], actions: Vec<Action>) -> Reading {
    Reading {
        status: Some(status),
        revision: None,
        stages: stages
            .iter()
            .map(|(name, state)| ((*name).to_owned(), state.clone()))
            .collect(),
        actions: actions
            .into_iter()
            .enumerate()
            .map(|(n, action)| (format!("a{n}"), action))
            .collect(),
    }
}

fn states(attempts: &BTreeMap<u32, Progress>) -> Vec<(u32, &State)> {
    attempts
        .iter()
        .map(|(attempt, progress)| (*attempt, &progress.state))
        .collect()
}

fn event(stage: Option<&str>, state: State, second: i64) -> Hint {
    // Events have whole seconds.
    let at = at(second).map(whole_second);
    Hint {
        stage: stage.map(str::to_owned),
        state,
        attempt: 1,
        at,
    }
}

#[test]
fn a_retried_stage_has_two_attempts_and_so_has_the_run() {
    let observed = reading(
        State::InProgress,
        &[("Build", State::InProgress)],
        vec![
            action("Source", "S3", State::Succeeded, 0, 1),
            action("Build", "Compile", State::Failed, 2, 9),
            action("Build", "Lint", State::Succeeded, 2, 5),
            action("Build", "Compile", State::InProgress, 60, 0),
        ],
    )
    .observed(None);
    assert_eq!(
        states(&observed.stages["Build"]),
        [(1, &State::Failed), (2, &State::InProgress)]
    );
    assert_eq!(
        states(&observed.run),
        [(1, &State::Failed), (2, &State::InProgress)]
    );
    assert_eq!(observed.run[&1].ended, at(9));
    assert_eq!(observed.run[&2].started, at(60));
}

#[test]
fn a_later_action_failing_in_the_second_attempt_makes_a_third() {
    let observed = reading(
        State::Succeeded,
        &[],
        vec![
            action("Build", "First", State::Failed, 0, 1),
            action("Build", "First", State::Succeeded, 10, 11),
            action("Build", "Second", State::Failed, 11, 12),
            action("Build", "Second", State::Succeeded, 20, 21),
        ],
    )
    .observed(None);
    assert_eq!(observed.stages["Build"].len(), 3);
    assert_eq!(observed.stages["Build"][&2].state, State::Failed);
    assert_eq!(observed.run.len(), 3);
}

#[test]
fn actions_side_by_side_are_one_attempt() {
    let observed = reading(
        State::Failed,
        &[("Build", State::Failed)],
        vec![
            action("Build", "A", State::Failed, 0, 5),
            action("Build", "B", State::Succeeded, 1, 8),
        ],
    )
    .observed(None);
    assert_eq!(states(&observed.stages["Build"]), [(1, &State::Failed)]);
    assert_eq!(observed.stages["Build"][&1].ended, at(8));
}

#[test]
fn a_stage_has_not_succeeded_because_its_actions_so_far_have() {
    let actions = vec![action("Build", "A", State::Succeeded, 0, 5)];
    let going = reading(
        State::InProgress,
        &[("Build", State::InProgress)],
        actions.clone(),
    )
    .observed(None);
    assert_eq!(going.stages["Build"][&1].state, State::InProgress);
    let left = reading(State::InProgress, &[("Deploy", State::InProgress)], actions).observed(None);
    assert_eq!(left.stages["Build"][&1].state, State::Succeeded);
}

#[test]
fn an_event_ahead_of_the_answers_counts() {
    let observed = reading(
        State::InProgress,
        &[("Build", State::InProgress)],
        vec![action("Build", "A", State::InProgress, 0, 0)],
    )
    .observed(Some(&event(Some("Build"), State::Failed, 7)));
    assert_eq!(states(&observed.stages["Build"]), [(1, &State::Failed)]);
}

#[test]
fn an_end_that_is_not_listed_yet_is_not_taken_from_the_action_before() {
    let over = [("Build", State::Succeeded), ("Deploy", State::Succeeded)];
    let mut reading = reading(
        State::Succeeded,
        &over,
        vec![
            action("Build", "A", State::Succeeded, 0, 100),
            action("Deploy", "B", State::InProgress, 101, 0),
        ],
    );
    assert!(reading.lags(None));
    let seen = reading.observed(None);
    assert_eq!(seen.run[&1].state, State::Succeeded);
    assert_eq!(seen.run[&1].ended, None);
    assert_eq!(seen.stages["Build"][&1].ended, at(100));
    assert_eq!(seen.stages["Deploy"][&1].ended, None);
    let ended = action("Deploy", "B", State::Succeeded, 101, 900);
    reading.actions.insert("a1".to_owned(), ended);
    assert!(!reading.lags(None));
    assert_eq!(reading.observed(None).run[&1].ended, at(900));
}

#[test]
fn a_list_lags_behind_an_event_of_its_own_attempt_alone() {
    let going = reading(
        State::InProgress,
        &[("Build", State::InProgress)],
        vec![
            action("Build", "A", State::Failed, 0, 5),
            action("Build", "A", State::InProgress, 60, 0),
        ],
    );
    assert!(!going.lags(None));
    assert!(!going.lags(Some(&event(Some("Build"), State::Failed, 5))));
    assert!(!going.lags(Some(&event(Some("Deploy"), State::Failed, 70))));
    assert!(!going.lags(Some(&event(Some("Build"), State::InProgress, 70))));
    assert!(going.lags(Some(&event(Some("Build"), State::Failed, 70))));
    assert!(going.lags(Some(&event(None, State::Failed, 70))));
}

#[test]
fn a_late_event_of_the_first_attempt_does_not_end_the_second() {
    let observed = reading(
        State::InProgress,
        &[("Build", State::InProgress)],
        vec![
            action("Build", "A", State::Failed, 0, 5),
            action("Build", "A", State::InProgress, 60, 0),
        ],
    );
    let build = observed
        .observed(Some(&event(Some("Build"), State::Failed, 5)))
        .stages
        .remove("Build")
        .unwrap();
    assert_eq!(states(&build), [(1, &State::Failed), (2, &State::InProgress)]);
    let run = observed.observed(Some(&event(None, State::Failed, 6))).run;
    assert_eq!(states(&run), [(1, &State::Failed), (2, &State::InProgress)]);
}

#[test]
fn an_event_in_the_second_of_the_start_belongs_to_it() {
    let observed = reading(
        State::InProgress,
        &[],
        vec![action("Build", "A", State::InProgress, 3, 0)],
    );
    let run = observed.observed(Some(&event(None, State::Failed, 3))).run;
    assert_eq!(states(&run), [(1, &State::Failed)]);
}

#[test]
fn where_aws_knows_nothing_the_event_is_all_there_is() {
    let hint = Hint {
        stage: Some("Build".to_owned()),
        state: State::Failed,
        attempt: 2,
        at: at(5),
    };
    let observed = Reading::default().observed(Some(&hint));
    assert_eq!(states(&observed.stages["Build"]), [(2, &State::Failed)]);
}
