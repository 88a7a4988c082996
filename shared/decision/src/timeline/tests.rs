//! The laws of merging, and what is due when.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::attempts::{Hint, Reading};
use super::tell::Message;
use super::*;
use crate::validation::Verdict;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn subject() -> Subject {
    Subject::Run {
        pipeline: PipelineName::new("lambda-function-staging-pipeline").unwrap(),
        execution: ExecutionId::new("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0").unwrap(),
    }
}

fn run_seen(state: State, second: i64) -> Timeline {
    Reading::default().observed(Some(&Hint {
        stage: None,
        state,
        attempt: 1,
        at: Some(at(second)),
    }))
}

fn stage_seen(state: State, attempt: u32, second: i64) -> Timeline {
    let hint = Hint {
        stage: Some("Build".to_owned()),
        state,
        attempt,
        at: Some(at(second)),
    };
    Reading::default().observed(Some(&hint))
}

fn keys(changes: &Changes) -> Vec<&str> {
    changes.due.iter().map(|due| due.key.as_str()).collect()
}

fn observe(before: &Timeline, observed: &Timeline) -> Changes {
    reconcile(&subject(), before, observed, "eu-central-1")
}

/// As the function does: what is due is told, and remembered.
fn told(mut changes: Changes) -> Timeline {
    changes
        .after
        .told
        .extend(changes.due.into_iter().map(|due| due.key));
    changes.after
}

#[test]
fn succeeded_before_started_keeps_the_final_state() {
    let first = observe(&Timeline::default(), &run_seen(State::Succeeded, 90));
    assert_eq!(
        keys(&first),
        ["metrics/run/1/Succeeded", "notice/run/1/Succeeded"]
    );
    let second = observe(&told(first), &run_seen(State::InProgress, 0));
    assert_eq!(second.after.status(), Some(&State::Succeeded));
    assert_eq!(keys(&second), [""; 0]);
    assert_eq!(
        second.after.run[&1].duration(),
        Some(SignedDuration::from_secs(90))
    );
}

#[test]
fn the_same_event_twice_is_told_once() {
    let first = observe(&Timeline::default(), &stage_seen(State::Failed, 1, 5));
    assert!(first.changed);
    assert_eq!(
        keys(&first),
        ["metrics/stage/Build/1/Failed", "notice/stage/Build/1/Failed"]
    );
    let again = observe(&told(first), &stage_seen(State::Failed, 1, 5));
    assert!(!again.changed);
    assert_eq!(keys(&again), [""; 0]);
}

#[test]
fn a_second_failing_attempt_is_told_again() {
    let first = told(observe(&Timeline::default(), &stage_seen(State::Failed, 1, 5)));
    let second = observe(&first, &stage_seen(State::Failed, 2, 65));
    assert_eq!(
        keys(&second),
        ["metrics/stage/Build/2/Failed", "notice/stage/Build/2/Failed"]
    );
}

#[test]
fn a_crash_before_telling_loses_nothing() {
    let saved = observe(&Timeline::default(), &stage_seen(State::Failed, 1, 5)).after;
    let next = observe(&saved, &Timeline::default());
    assert!(!next.changed);
    assert_eq!(
        keys(&next),
        ["metrics/stage/Build/1/Failed", "notice/stage/Build/1/Failed"]
    );
}

#[test]
fn what_has_ended_is_not_announced_as_begun() {
    let mut seen = run_seen(State::InProgress, 0);
    seen.merge(&run_seen(State::Superseded, 3));
    assert_eq!(
        keys(&observe(&Timeline::default(), &seen)),
        ["metrics/run/1/Superseded", "notice/run/1/Superseded"]
    );
}

#[test]
fn a_waiting_approval_is_announced_and_its_failure_is_called_what_it_is() {
    let approval = |state: State| {
        let mut seen = Timeline::default();
        let action = Action {
            stage: "Approval".to_owned(),
            name: "ManualApproval".to_owned(),
            category: "Approval".to_owned(),
            provider: "Manual".to_owned(),
            external: None,
            error: Some("Rejected by\r\nann@example.com".to_owned()),
            progress: Progress {
                ended: Some(at(50)).filter(|_| state.is_final()),
                started: Some(at(10)),
                state,
            },
        };
        seen.actions.insert("id1".to_owned(), action);
        seen
    };
    let waiting = observe(&Timeline::default(), &approval(State::InProgress));
    assert_eq!(keys(&waiting), ["notice/approval/id1/InProgress"]);
    let mut refused = approval(State::Failed);
    refused.stages.insert(
        "Approval".to_owned(),
        BTreeMap::from([(1, Progress::seen(State::Failed, Some(at(50))))]),
    );
    let refused = observe(&told(waiting), &refused);
    let Some(Message::Notice(notice)) = refused
        .due
        .iter()
        .find(|due| due.key == "notice/stage/Approval/1/Failed")
        .map(|due| due.message.clone())
    else {
        panic!("{:?}", keys(&refused))
    };
    assert!(
        notice.subject.starts_with("Not approved: Approval of"),
        "{}",
        notice.subject
    );
    assert!(
        notice
            .body
            .contains("Reason: Rejected by\\u{d}\\u{a}ann@example.com\n"),
        "{}",
        notice.body
    );
}

#[test]
fn a_failed_stage_names_the_actions_of_that_attempt_alone() {
    let failed = |millisecond: i64, error: &str| Action {
        stage: "Build".to_owned(),
        name: "Compile".to_owned(),
        category: "Build".to_owned(),
        provider: "CodeBuild".to_owned(),
        external: None,
        error: Some(error.to_owned()),
        progress: Progress {
            state: State::Failed,
            started: Some(at(millisecond / 1000 - 5)),
            ended: Some(Timestamp::from_millisecond(1_800_000_000_000 + millisecond).unwrap()),
        },
    };
    let actions = [("a1", failed(9_250, "first")), ("a2", failed(70_900, "second"))];
    let actions = actions.map(|(id, action)| (id.to_owned(), action)).into();
    let reading = Reading {
        status: Some(State::Failed),
        actions,
        ..Reading::default()
    };
    // The event's time is the end of the second attempt, cut to whole seconds.
    let hint = Hint {
        stage: Some("Build".to_owned()),
        state: State::Failed,
        attempt: 2,
        at: Some(at(70)),
    };
    let changes = observe(&Timeline::default(), &reading.observed(Some(&hint)));
    let body = |key: &str| match changes
        .due
        .iter()
        .find(|due| due.key == key)
        .map(|due| &due.message)
    {
        Some(Message::Notice(notice)) => notice.body.clone(),
        _ => panic!("{:?}", keys(&changes)),
    };
    let (first, second) = (
        body("notice/stage/Build/1/Failed"),
        body("notice/stage/Build/2/Failed"),
    );
    assert!(
        first.contains("Reason: first") && !first.contains("Reason: second"),
        "{first}"
    );
    assert!(
        second.contains("Reason: second") && !second.contains("Reason: first"),
        "{second}"
    );
}

#[test]
fn a_foreign_build_is_told_of_and_a_runs_own_build_is_not() {
    let mut seen = Timeline::default();
    let build = Build {
        project: "lambda-function-staging-build".to_owned(),
        initiator: None,
        logs: None,
        progress: Progress::seen(State::Failed, Some(at(9))),
    };
    seen.builds.insert("p:1".to_owned(), build);
    assert_eq!(
        keys(&observe(&Timeline::default(), &seen)),
        ["metrics/build/p:1/Failed"]
    );
    let alone = reconcile(
        &Subject::Build { id: "p:1".to_owned() },
        &Timeline::default(),
        &seen,
        "eu-central-1",
    );
    assert_eq!(
        keys(&alone),
        ["metrics/build/p:1/Failed", "notice/build/p:1/Failed"]
    );
}

/// The same deployment may be put on another run, or on none, by the next event about it.
#[test]
fn a_deployments_telling_is_claimed_alike_whichever_timeline_holds_it() {
    let key = |what: &str, subject: &Subject| {
        let message = Message::Metrics(Vec::new());
        let key = format!("metrics/{what}");
        Due { key, message }.claim_key(subject)
    };
    let other = Subject::Run {
        pipeline: PipelineName::new("lambda-function-staging-pipeline").unwrap(),
        execution: ExecutionId::new("1f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0").unwrap(),
    };
    let alone = Subject::Deployment {
        id: DeploymentId::new("d-1").unwrap(),
    };
    for what in ["deployment/d-1/Failed", "build/p:1/Failed"] {
        assert_eq!(key(what, &subject()), key(what, &other), "{what}");
        assert_eq!(key(what, &subject()), key(what, &alone), "{what}");
    }
    // Of a run's own, each run tells for itself.
    assert_ne!(key("run/1/Failed", &subject()), key("run/1/Failed", &other));
}

#[test]
fn aws_words_are_read_whatever_their_case() {
    for (word, state) in [
        ("STARTED", State::InProgress),
        ("InProgress", State::InProgress),
        ("IN_PROGRESS", State::InProgress),
        ("TIMED_OUT", State::Failed),
        ("FAULT", State::Failed),
        ("ABANDONED", State::Stopped),
        ("Cancelled", State::Cancelled),
        ("CANCELED", State::Cancelled),
        ("FAILURE", State::Failed),
        ("HIBERNATING", State::Other("HIBERNATING".to_owned())),
    ] {
        assert_eq!(State::of(word), state);
    }
}

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::InProgress),
        Just(State::Failed),
        Just(State::Succeeded),
        Just(State::Superseded),
        Just(State::Stopping),
        "[A-C]{1,2}".prop_map(|word| State::of(&word)),
    ]
}

fn any_progress() -> impl Strategy<Value = Progress> {
    (
        any_state(),
        proptest::option::of(0i64..50),
        proptest::option::of(0i64..50),
    )
        .prop_map(|(state, from, to)| Progress {
            state,
            started: from.map(at),
            ended: to.map(at),
        })
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Passed),
        Just(Verdict::Inconclusive),
        Just(Verdict::Failed)
    ]
}

fn any_timeline() -> impl Strategy<Value = Timeline> {
    let action =
        ("[ab]", any_progress(), proptest::option::of("[xy]")).prop_map(|(name, progress, error)| Action {
            stage: "Build".to_owned(),
            name,
            category: "Build".to_owned(),
            provider: "CodeBuild".to_owned(),
            external: None,
            error,
            progress,
        });
    let deployment = any_progress().prop_map(|progress| Deployment {
        application: "app".to_owned(),
        group: "group".to_owned(),
        progress,
    });
    let rolled_back = (0i64..3, "[st]").prop_map(|(second, action)| RolledBack {
        at: Timestamp::from_second(second).unwrap(),
        action,
        cause: "errors".to_owned(),
    });
    let validation = || {
        (any_verdict(), 0i64..3).prop_map(|(verdict, second)| Validation {
            at: at(second),
            verdict,
            passes: verdict == Verdict::Passed,
            checks: BTreeMap::new(),
        })
    };
    let hook = prop_oneof![Just(Hook::BeforeAllowTraffic), Just(Hook::AfterAllowTraffic)];
    (
        btree_map(1u32..3, any_progress(), 0..3),
        btree_map("[AB]", btree_map(1u32..3, any_progress(), 1..3), 0..3),
        btree_map("[12]", action, 0..3),
        btree_map("[de]", deployment, 0..2),
        btree_set("[kl]", 0..2),
        proptest::option::of("[rs]"),
        btree_map("[de]", rolled_back, 0..2),
        btree_map("[de]", btree_map(hook, validation(), 0..3), 0..2),
        btree_map("[12]", validation(), 0..2),
    )
        .prop_map(
            |(run, stages, actions, deployments, told, revision, rollbacks, validations, jobs)| Timeline {
                revision,
                run,
                stages,
                actions,
                builds: BTreeMap::new(),
                deployments,
                rollbacks,
                validations,
                jobs,
                told,
                ..Timeline::default()
            },
        )
}

fn merged<'a>(all: impl IntoIterator<Item = &'a Timeline>) -> Timeline {
    let mut whole = Timeline::default();
    all.into_iter().for_each(|one| whole.merge(one));
    whole
}

proptest! {
    #[test]
    fn order_and_repetition_do_not_matter(seen in vec(any_timeline(), 0..6), repeated in any::<proptest::sample::Index>()) {
        let forward = merged(&seen);
        prop_assert_eq!(&merged(seen.iter().rev()), &forward);
        let mut twice = forward.clone();
        if !seen.is_empty() {
            twice.merge(repeated.get(&seen));
        }
        prop_assert_eq!(&twice, &forward);
        prop_assert_eq!(&merged([&forward, &forward]), &forward);
    }

    #[test]
    fn what_was_told_is_not_due_and_the_rest_is(seen in any_timeline(), more in any_timeline()) {
        let first = observe(&Timeline::default(), &seen);
        let after = told(first);
        let again = observe(&after, &seen);
        prop_assert!(!again.changed && again.due.is_empty());
        for due in observe(&after, &more).due {
            prop_assert!(!after.told.contains(&due.key));
        }
    }

    #[test]
    fn a_timeline_survives_the_ledger(seen in any_timeline()) {
        let text = serde_json::to_string(&seen).unwrap();
        prop_assert_eq!(serde_json::from_str::<Timeline>(&text).unwrap(), seen);
    }

    #[test]
    fn every_notice_is_fit_to_be_sent(seen in any_timeline()) {
        for due in observe(&Timeline::default(), &seen).due {
            if let Message::Notice(notice) = due.message {
                prop_assert!(notice.subject.is_ascii() && notice.subject.len() < 100 && !notice.subject.is_empty());
                prop_assert!(!notice.body.is_empty());
            }
        }
    }
}
