use proptest::prelude::*;

use super::*;
use crate::names::{FunctionName, VersionNumber};
use crate::rollback::good::{Candidate, Standing};
use crate::rollback::mapping::Link;
use crate::rollback::{self, AlarmNow, Decision, Deployment, Facts, Status};

const BAKE: SignedDuration = SignedDuration::from_mins(30);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn alarm(since: i64) -> RedAlarm {
    RedAlarm {
        name: AlarmName::new("errors").unwrap(),
        since: at(since),
        suppressed: false,
        reason: "5 > 1".to_owned(),
    }
}

fn release(id: &str, state: State, created: i64) -> Release {
    Release {
        id: DeploymentId::new(id).unwrap(),
        ended: state.is_final().then(|| at(created + 60)),
        state,
        is_rollback: false,
        overrides: Override::None,
        created: at(created),
    }
}

fn group(releases: Vec<Release>) -> Group {
    Group {
        name: DeploymentGroupName::new("app-live").unwrap(),
        alarms: vec![AlarmName::new("errors").unwrap()],
        releases,
    }
}

fn found(now: i64, groups: &[Group], alarms: &[RedAlarm]) -> Vec<(String, Vec<String>)> {
    let ids = |unheard: &Unheard<'_>| {
        unheard
            .releases
            .iter()
            .map(|release| release.id.to_string())
            .collect()
    };
    unheard(at(now), BAKE, groups, alarms)
        .iter()
        .map(|unheard| (unheard.alarm.name.to_string(), ids(unheard)))
        .collect()
}

fn errors(releases: &[&str]) -> Vec<(String, Vec<String>)> {
    vec![(
        "errors".to_owned(),
        releases.iter().map(|id| (*id).to_owned()).collect(),
    )]
}

#[test]
fn a_red_alarm_of_a_deployment_in_flight_is_found() {
    let releases = vec![
        release("d-OLD", State::Succeeded, -1000),
        release("d-BAD", State::InProgress, 0),
    ];
    assert_eq!(found(100, &[group(releases)], &[alarm(30)]), errors(&["d-BAD"]));
}

#[test]
fn within_the_bake_window_it_is_found_and_past_it_no_more() {
    let groups = [group(vec![release("d-BAD", State::Succeeded, 0)])];
    assert_eq!(found(60 + 1800, &groups, &[alarm(70)]), errors(&["d-BAD"]));
    // It fired in time, and its event was lost.
    assert_eq!(found(900 + 1800, &groups, &[alarm(70)]), errors(&["d-BAD"]));
    assert_eq!(found(60 + 1800 + 6 * 3600 + 1, &groups, &[alarm(70)]), []);
    assert_eq!(found(62 + 1800, &groups, &[alarm(61 + 1800)]), []);
}

#[test]
fn what_the_alarm_cannot_speak_of_is_left_alone() {
    let bad = || release("d-BAD", State::InProgress, 0);
    let overridden = Release {
        overrides: Override::All,
        ..bad()
    };
    let failed = release("d-BAD", State::Failed, 0);
    for (what, releases, alarm) in [
        ("red before it began", vec![bad()], alarm(-1)),
        ("a person overrode its alarms", vec![overridden], alarm(30)),
        ("it failed by itself", vec![failed], alarm(70)),
        ("nothing was deployed", vec![], alarm(30)),
        (
            "suppressed",
            vec![bad()],
            RedAlarm {
                suppressed: true,
                ..alarm(30)
            },
        ),
        (
            "another group's",
            vec![bad()],
            RedAlarm {
                name: AlarmName::new("throttles").unwrap(),
                ..alarm(30)
            },
        ),
    ] {
        assert_eq!(found(100, &[group(releases)], &[alarm]), [], "{what}");
    }
}

#[test]
fn of_what_is_rolled_back_the_rest_is_found_however_late() {
    let stopped = release("d-BAD", State::Stopped, 0);
    let back = Release {
        is_rollback: true,
        ..release("d-BACK", State::Succeeded, 61)
    };
    let groups = [group(vec![back.clone(), stopped])];
    assert_eq!(found(100_000, &groups, &[alarm(30)]), errors(&["d-BAD"]));
    let alone = [group(vec![back])];
    assert_eq!(
        found(100, &alone, &[alarm(62)]),
        [],
        "a rollback is nothing to roll back"
    );
}

#[test]
fn an_alarm_of_two_groups_is_found_once_with_both_deployments() {
    let mut other = group(vec![release("d-TWO", State::InProgress, 5)]);
    other.name = DeploymentGroupName::new("app-beta").unwrap();
    let groups = [group(vec![release("d-ONE", State::InProgress, 0)]), other];
    assert_eq!(found(100, &groups, &[alarm(30)]), errors(&["d-ONE", "d-TWO"]));
}

#[test]
fn the_ledger_is_behind_where_it_knows_less_and_not_where_it_knows_more() {
    let ended = release("d-1", State::Stopped, 0);
    assert!(is_behind(&ended, None));
    assert!(is_behind(&ended, Some(&State::InProgress)));
    assert!(!is_behind(&ended, Some(&State::Stopped)));
    assert!(!is_behind(
        &release("d-1", State::InProgress, 0),
        Some(&State::Stopped)
    ));
}

/// The same deployment, as the arbiter gets it.
fn deployment(release: &Release) -> Deployment {
    let status = match release.state {
        State::Succeeded => Status::Succeeded,
        State::Stopped => Status::Stopped,
        State::Failed => Status::Failed,
        _ => Status::InFlight,
    };
    Deployment {
        id: release.id.clone(),
        status,
        is_rollback: release.is_rollback,
        by_stack: false,
        overrides: release.overrides.clone(),
        created: release.created,
        completed: release.ended,
        function: FunctionName::new("app").unwrap(),
        alias: "live".to_owned(),
        from: Some(VersionNumber::new("3").unwrap()),
        to: VersionNumber::new("4").unwrap(),
    }
}

fn any_release() -> impl Strategy<Value = Release> {
    let state = prop::sample::select(vec![
        State::InProgress,
        State::Succeeded,
        State::Stopped,
        State::Failed,
    ]);
    (state, any::<bool>(), prop::bool::weighted(0.2), 0i64..5000).prop_map(
        |(state, is_rollback, overridden, created)| Release {
            is_rollback,
            overrides: if overridden { Override::All } else { Override::None },
            ..release("d-0", state, created)
        },
    )
}

proptest! {
    /// The sweep lets through all that the arbiter would act upon. (The arbiter reports a deployment that
    /// failed by itself, and does nothing about it.)
    #[test]
    fn nothing_that_the_arbiter_would_act_upon_is_held_back(
        releases in prop::collection::vec(any_release(), 1..4), since in 0i64..8000, later in 0i64..5000,
        suppressed: bool, codedeploy_acts: bool,
    ) {
        let mut releases = releases;
        for (at, release) in releases.iter_mut().enumerate() {
            release.id = DeploymentId::new(format!("d-{at}")).unwrap();
            // No two are created at once.
            release.created += SignedDuration::from_millis(i64::try_from(at).unwrap());
        }
        let now = at(since + later);
        let alarm = RedAlarm { suppressed, ..alarm(since) };
        let newest = releases.iter().max_by_key(|release| release.created).unwrap();
        let undone = releases.iter().filter(|release| !release.is_rollback).max_by_key(|release| release.created);
        let facts = Facts {
            alarm: Some(AlarmNow { in_alarm: true, since: alarm.since, suppressed, reason: String::new() }),
            link: Some(Link::Listed),
            group: rollback::Group {
                name: DeploymentGroupName::new("app-live").unwrap(), alarms: vec![alarm.name.clone()], codedeploy_acts,
            },
            newest: Some(deployment(newest)),
            undone: undone.filter(|_| newest.is_rollback).map(deployment),
            candidates: vec![Candidate { version: VersionNumber::new("3").unwrap(), standing: Standing::Good }],
            begun: None,
            overtaken: None,
        };
        let acts = match rollback::decide(&alarm.name, &facts, BAKE, now) {
            Decision::Nothing { .. } => false,
            Decision::ReportOnly { deployment, .. } => deployment.status != Status::Failed,
            _ => true,
        };
        let groups = [group(releases.clone())];
        let alarms = [alarm];
        let found = !unheard(now, BAKE, &groups, &alarms).is_empty();
        prop_assert!(found || !acts, "{facts:?}");
    }
}
