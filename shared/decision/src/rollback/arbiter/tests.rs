use proptest::prelude::*;

use super::*;
use crate::names::{DeploymentGroupName, FunctionName};
use crate::rollback::facts::{Begun, Group, Overtaken};
use crate::rollback::good::{Candidate, Standing};
use crate::rollback::mapping::Link;
use crate::validation::preflight::Override;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn alarm() -> AlarmName {
    AlarmName::new("errors").unwrap()
}

fn deployment(status: Status) -> Deployment {
    Deployment {
        id: DeploymentId::new("d-NEWEST").unwrap(),
        status,
        is_rollback: false,
        by_stack: false,
        overrides: Override::None,
        created: at(0),
        completed: (status != Status::InFlight).then(|| at(60)),
        function: FunctionName::new("app").unwrap(),
        alias: "live".to_owned(),
        from: Some(VersionNumber::new("3").unwrap()),
        to: VersionNumber::new("4").unwrap(),
    }
}

fn facts(newest: Deployment) -> Facts {
    Facts {
        alarm: Some(AlarmNow {
            in_alarm: true,
            since: at(30),
            suppressed: false,
            reason: "5 > 1".to_owned(),
        }),
        link: Some(Link::Listed),
        group: Group {
            name: DeploymentGroupName::new("app-live").unwrap(),
            alarms: vec![alarm()],
            codedeploy_acts: false,
        },
        newest: Some(newest),
        undone: None,
        candidates: vec![Candidate {
            version: VersionNumber::new("3").unwrap(),
            standing: Standing::Good,
        }],
        begun: None,
        overtaken: None,
    }
}

/// `undone`, and the deployment that rolled it back.
fn rolled_back(undone: Deployment) -> Facts {
    let mut rollback = deployment(Status::Succeeded);
    rollback.id = DeploymentId::new("d-ROLLBACK").unwrap();
    rollback.is_rollback = true;
    rollback.created = at(61);
    (rollback.from, rollback.to) = (Some(rollback.to), VersionNumber::new("3").unwrap());
    Facts {
        undone: Some(undone),
        ..facts(rollback)
    }
}

fn begun(deployment: &str) -> Begun {
    Begun {
        deployment: DeploymentId::new(deployment).unwrap(),
        is_report: false,
        since: None,
    }
}

fn decided(facts: &Facts, now: Timestamp) -> Decision {
    decide(&alarm(), facts, SignedDuration::from_mins(30), now)
}

fn reason(decision: Decision) -> String {
    match decision {
        Decision::Nothing { reason } => reason,
        other => panic!("expected nothing, got {other:?}"),
    }
}

#[test]
fn a_deployment_in_flight_is_stopped() {
    let decision = decided(&facts(deployment(Status::InFlight)), at(31));
    assert!(
        matches!(decision, Decision::StopDeployment { deployment } if deployment.id.as_str() == "d-NEWEST")
    );
}

#[test]
fn within_the_bake_window_the_previous_version_comes_back() {
    const BAKE: i64 = 30 * 60;
    let fired = |since| {
        let mut facts = facts(deployment(Status::Succeeded));
        facts.alarm.as_mut().unwrap().since = at(since);
        facts
    };
    // What counts is when it fired, however late it is heard of: up to the age that an event may reach.
    let heard = 6 * 3600;
    for (since, now) in [
        (30, 61),
        (60 + BAKE, 60 + BAKE),
        (60 + BAKE, 60 + BAKE + 600),
        (30, 60 + BAKE + heard),
    ] {
        let decision = decided(&fired(since), at(now));
        assert!(
            matches!(&decision, Decision::Redeploy { version, .. } if version.as_str() == "3"),
            "fired at {since}, heard of at {now}: {decision:?}"
        );
    }
    for (since, now) in [(61 + BAKE, 62 + BAKE), (30, 61 + BAKE + heard)] {
        assert!(
            reason(decided(&fired(since), at(now))).contains("bake window"),
            "{since}"
        );
    }
    // Without a window, too, what finishes while it is being stopped is taken back.
    let decision = decide(&alarm(), &fired(30), SignedDuration::ZERO, at(61));
    assert!(matches!(decision, Decision::Redeploy { .. }), "{decision:?}");
}

#[test]
fn without_a_good_version_a_person_is_paged() {
    let mut first = facts(deployment(Status::Succeeded));
    first.candidates.clear();
    let Decision::Page { reason, .. } = decided(&first, at(70)) else {
        panic!("{:?}", decided(&first, at(70)));
    };
    assert!(reason.contains("no earlier version"), "{reason}");
}

#[test]
fn a_version_that_is_remembered_as_bad_does_not_come_back() {
    let mut facts = facts(deployment(Status::Succeeded));
    let candidate = |version: &str, standing| Candidate {
        version: VersionNumber::new(version).unwrap(),
        standing,
    };
    let bad = Standing::Bad {
        alarm: "errors".to_owned(),
    };
    facts.candidates = vec![candidate("3", bad), candidate("2", Standing::Good)];
    let decision = decided(&facts, at(70));
    assert!(
        matches!(&decision, Decision::Redeploy { version, .. } if version.as_str() == "2"),
        "{decision:?}"
    );
    facts.candidates.pop();
    assert!(matches!(decided(&facts, at(70)), Decision::Page { .. }));
}

#[test]
fn where_codedeploy_acts_it_is_only_reported() {
    let mut facts = facts(deployment(Status::InFlight));
    facts.group.codedeploy_acts = true;
    assert!(matches!(decided(&facts, at(31)), Decision::ReportOnly { .. }));
    for status in [Status::Stopped, Status::Failed] {
        assert!(matches!(
            decided(&self::facts(deployment(status)), at(70)),
            Decision::ReportOnly { .. }
        ));
    }
}

#[test]
fn each_reason_to_do_nothing_is_said() {
    let base = facts(deployment(Status::InFlight));
    let mut other_group = base.clone();
    other_group.link = None;
    assert!(reason(decided(&other_group, at(31))).contains("does not speak for"));
    let mut deleted = base.clone();
    deleted.alarm = None;
    assert!(reason(decided(&deleted, at(31))).contains("no longer exists"));
    let mut stale = base.clone();
    stale.alarm.as_mut().unwrap().in_alarm = false;
    assert!(reason(decided(&stale, at(31))).contains("no longer in state"));
    let mut suppressed = base.clone();
    suppressed.alarm.as_mut().unwrap().suppressed = true;
    assert!(reason(decided(&suppressed, at(31))).contains("suppressed"));
    let mut earlier = base.clone();
    earlier.alarm.as_mut().unwrap().since = at(-1);
    assert!(reason(decided(&earlier, at(31))).contains("earlier one"));
    let mut hotfix = base.clone();
    hotfix.newest.as_mut().unwrap().overrides = Override::All;
    assert!(reason(decided(&hotfix, at(31))).contains("overridden"));
    let mut none = base;
    none.newest = None;
    assert!(reason(decided(&none, at(31))).contains("had no deployment"));
}

#[test]
fn what_codedeploy_rolled_back_first_is_reported_and_its_rollback_left_alone() {
    let decision = decided(&rolled_back(deployment(Status::Stopped)), at(70));
    assert!(
        matches!(&decision, Decision::ReportOnly { deployment, .. } if deployment.id.as_str() == "d-NEWEST"),
        "{decision:?}"
    );
    let mut late = rolled_back(deployment(Status::Stopped));
    late.alarm.as_mut().unwrap().since = at(61 + 30 * 60);
    assert!(reason(decided(&late, at(62 + 30 * 60))).contains("itself a rollback"));
}

#[test]
fn a_deployment_that_was_stopped_long_ago_is_not_the_cause_of_todays_alarm() {
    let mut facts = facts(deployment(Status::Stopped));
    facts.alarm.as_mut().unwrap().since = at(60 + 15 * 60);
    assert!(matches!(
        decided(&facts, at(62 + 15 * 60)),
        Decision::ReportOnly { .. }
    ));
    // Although its bake window of 30 minutes is open: what was stopped has no traffic to bake in.
    facts.alarm.as_mut().unwrap().since = at(61 + 15 * 60);
    assert!(reason(decided(&facts, at(62 + 15 * 60))).contains("long after"));
}

#[test]
fn a_rollback_that_failed_is_a_persons_and_not_done() {
    for status in [Status::Failed, Status::Stopped] {
        let mut facts = rolled_back(deployment(Status::Succeeded));
        facts.newest.as_mut().unwrap().status = status;
        let Decision::Page { deployment, reason } = decided(&facts, at(90)) else {
            panic!("{:?}", decided(&facts, at(90)));
        };
        assert_eq!(deployment.as_str(), "d-NEWEST");
        assert!(reason.contains("may still have its traffic"), "{reason}");
        // Where an earlier try of the event had made it, what follows is finished, and finds it failed.
        facts.begun = Some(begun("d-NEWEST"));
        assert!(matches!(decided(&facts, at(90)), Decision::Finish { .. }));
    }
    // CodeDeploy took the failed rollback back in its turn.
    let mut facts = rolled_back(deployment(Status::Succeeded));
    facts.newest.as_mut().unwrap().to = VersionNumber::new("4").unwrap();
    for begun in [None, Some(begun("d-NEWEST"))] {
        facts.begun = begun;
        let decision = decided(&facts, at(90));
        assert!(matches!(&decision, Decision::Page { reason, .. } if reason.contains("brings it again")));
    }
}

#[test]
fn where_codedeploy_acts_it_acts_on_the_alarms_that_the_group_lists_alone() {
    let mut facts = facts(deployment(Status::InFlight));
    facts.group.codedeploy_acts = true;
    for (link, is_codedeploys) in [
        (Link::Listed, true),
        (Link::Child(AlarmName::new("child").unwrap()), true),
        (Link::Tagged, false),
    ] {
        facts.link = Some(link.clone());
        let decision = decided(&facts, at(31));
        let reports = matches!(decision, Decision::ReportOnly { .. });
        let stops = matches!(decision, Decision::StopDeployment { .. });
        assert_eq!((reports, stops), (is_codedeploys, !is_codedeploys), "{link:?}");
    }
}

/// The alarm's moment comes from an answer of CloudWatch, which may have lost a millisecond of it.
#[test]
fn h89_an_alarm_of_the_millisecond_in_which_a_deployment_began_speaks_of_it() {
    let early = |millis| {
        let mut facts = facts(deployment(Status::InFlight));
        facts.alarm.as_mut().unwrap().since = at(0) - SignedDuration::from_millis(millis);
        decided(&facts, at(31))
    };
    assert!(matches!(early(1), Decision::StopDeployment { .. }));
    assert!(reason(early(2)).contains("before deployment d-NEWEST began"));
}

#[test]
fn an_override_of_some_alarms_is_about_those_alone() {
    let mut facts = facts(deployment(Status::InFlight));
    let only = |name: &str| Override::AllBut(vec![name.to_owned()]);
    facts.newest.as_mut().unwrap().overrides = only("throttles");
    assert!(reason(decided(&facts, at(31))).contains("overridden"));
    facts.newest.as_mut().unwrap().overrides = only("errors");
    assert!(matches!(decided(&facts, at(31)), Decision::StopDeployment { .. }));
    // A tagged alarm was never on the group's list, so that another list does not take it off.
    facts.link = Some(Link::Tagged);
    facts.newest.as_mut().unwrap().overrides = only("throttles");
    assert!(matches!(decided(&facts, at(31)), Decision::StopDeployment { .. }));
    facts.newest.as_mut().unwrap().overrides = Override::All;
    assert!(reason(decided(&facts, at(31))).contains("overridden"));
    // Of a composite alarm, the child that the group lists.
    facts.newest.as_mut().unwrap().overrides = only("errors");
    facts.link = Some(Link::Child(AlarmName::new("throttles").unwrap()));
    assert!(reason(decided(&facts, at(31))).contains("overridden"));
}

#[test]
fn what_an_earlier_try_began_is_finished_even_if_the_alarm_has_calmed_down() {
    for (mut facts, by) in [
        (facts(deployment(Status::Stopped)), None),
        (rolled_back(deployment(Status::Stopped)), None),
        (rolled_back(deployment(Status::Succeeded)), Some("d-ROLLBACK")),
    ] {
        facts.alarm.as_mut().unwrap().in_alarm = false;
        assert!(matches!(decided(&facts, at(90)), Decision::Nothing { .. }));
        facts.begun = Some(begun("d-NEWEST"));
        let Decision::Finish {
            deployment,
            by: found,
            is_report: false,
        } = decided(&facts, at(90))
        else {
            panic!("{:?}", decided(&facts, at(90)));
        };
        assert_eq!(deployment.id.as_str(), "d-NEWEST");
        assert_eq!(found.as_ref().map(|(id, _)| id.as_str()), by);
    }
}

#[test]
fn what_was_begun_without_effect_is_decided_anew() {
    let mut facts = facts(deployment(Status::InFlight));
    facts.begun = Some(begun("d-NEWEST"));
    assert!(matches!(decided(&facts, at(90)), Decision::StopDeployment { .. }));
    facts.begun = Some(begun("d-OLDER"));
    facts.newest = Some(deployment(Status::Stopped));
    assert!(matches!(decided(&facts, at(90)), Decision::ReportOnly { .. }));
}

#[test]
fn what_was_begun_is_finished_whatever_came_after_it() {
    let overtaken = |status, by: Option<&str>| {
        let mut deployment = deployment(status);
        deployment.id = DeploymentId::new("d-OLDER").unwrap();
        let version = || VersionNumber::new("3").unwrap();
        Overtaken {
            deployment,
            by: by.map(|by| (DeploymentId::new(by).unwrap(), version())),
        }
    };
    let mut facts = facts(deployment(Status::InFlight));
    facts.begun = Some(begun("d-OLDER"));
    for (status, by, finished_by) in [
        (Status::Stopped, None, None),
        (Status::Stopped, Some("d-BACK"), None),
        (Status::Succeeded, Some("d-BACK"), Some("d-BACK")),
    ] {
        facts.overtaken = Some(overtaken(status, by));
        let Decision::Finish { deployment, by, .. } = decided(&facts, at(90)) else {
            panic!("{:?}", decided(&facts, at(90)));
        };
        assert_eq!(deployment.id.as_str(), "d-OLDER");
        assert_eq!(by.as_ref().map(|(id, _)| id.as_str()), finished_by);
    }
    // Nothing of it happened: the alarm is judged on the newest alone.
    facts.overtaken = Some(overtaken(Status::Succeeded, None));
    facts.alarm.as_mut().unwrap().since = at(-1);
    assert!(reason(decided(&facts, at(90))).contains("speaks of an earlier one"));
}

proptest! {
    #[test]
    fn no_rollback_is_ever_rolled_back(
        status in prop::sample::select(vec![Status::InFlight, Status::Succeeded, Status::Failed, Status::Stopped]),
        acts: bool, knows_undone: bool, begun: bool, since in -100i64..100, now in 0i64..10_000,
    ) {
        let mut rollback = deployment(status);
        rollback.is_rollback = true;
        rollback.to = VersionNumber::new("3").unwrap();
        let mut facts = facts(rollback);
        facts.group.codedeploy_acts = acts;
        facts.alarm.as_mut().unwrap().since = at(since);
        facts.undone = knows_undone.then(|| deployment(Status::Stopped));
        facts.begun = begun.then(|| self::begun("d-NEWEST"));
        facts.newest.as_mut().unwrap().id = DeploymentId::new("d-ROLLBACK").unwrap();
        let touched = match decided(&facts, at(now)) {
            Decision::Nothing { .. } => false,
            Decision::ReportOnly { deployment, .. } | Decision::Finish { deployment, .. } => deployment.is_rollback,
            // Of one that failed or was stopped, a person is told.
            Decision::Page { .. } => !matches!(status, Status::Failed | Status::Stopped),
            _ => true,
        };
        prop_assert!(!touched);
    }
}
