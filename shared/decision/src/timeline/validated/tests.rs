use serde_json::json;

use super::*;
use crate::timeline::{Action, Deployment, Progress, State};
use crate::validation::policy::Inconclusive;
use crate::validation::{Check, Finding, Measurement};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn measured(name: &str, value: f64) -> Measurement {
    Measurement {
        name: name.to_owned(),
        value: Some(value),
        unit: Unit::Milliseconds,
    }
}

fn report(verdict: Verdict, measurements: Vec<Measurement>) -> Report {
    let finding = Finding {
        measurements,
        ..Finding::new(Check::Performance, verdict, "what the function answered")
    };
    Report::of(vec![finding], Inconclusive::Fail)
}

fn deployment_seen(id: &str, state: State, second: i64) -> Timeline {
    let deployment = Deployment {
        application: "app".to_owned(),
        group: "group".to_owned(),
        progress: Progress::seen(state, Some(at(second))),
    };
    Timeline {
        deployments: BTreeMap::from([(id.to_owned(), deployment)]),
        ..Timeline::default()
    }
}

fn reported(id: &str, hook: Hook, second: i64, verdict: Verdict) -> Timeline {
    let report = report(verdict, vec![measured("PerformanceP95", 0.1 + 0.2)]);
    let validation = Validation::of(&report, at(second));
    Timeline {
        validations: BTreeMap::from([(id.to_owned(), BTreeMap::from([(hook, validation)]))]),
        ..Timeline::default()
    }
}

/// As the ledger gives it back.
fn reread(timeline: &Timeline) -> Timeline {
    serde_json::from_str(&serde_json::to_string(timeline).unwrap()).unwrap()
}

#[test]
fn a_later_event_completes_the_timeline_in_any_order_and_twice_changes_nothing() {
    let observations = [
        deployment_seen("d-1", State::InProgress, 0),
        reported("d-1", Hook::BeforeAllowTraffic, 10, Verdict::Passed),
        deployment_seen("d-1", State::Failed, 30),
        reported("d-1", Hook::AfterAllowTraffic, 20, Verdict::Failed),
    ];
    let mut forward = Timeline::default();
    let mut backward = Timeline::default();
    for observation in &observations {
        forward = reread(&forward);
        forward.merge(observation);
    }
    observations.iter().rev().for_each(|seen| backward.merge(seen));
    assert_eq!(forward, backward);
    let validations = &forward.validations["d-1"];
    assert_eq!(validations[&Hook::BeforeAllowTraffic].verdict, Verdict::Passed);
    let after = &validations[&Hook::AfterAllowTraffic];
    assert_eq!((after.verdict, after.passes), (Verdict::Failed, false));
    let number = after.checks["performance"].numbers["PerformanceP95"];
    assert_eq!(number.value, Value::of(0.3));

    let mut again = reread(&forward);
    for observation in &observations {
        again.merge(&reread(observation));
    }
    assert_eq!(again, forward);
}

#[test]
fn of_two_reports_of_one_hook_the_first_stands() {
    let first = reported("d-1", Hook::AfterAllowTraffic, 20, Verdict::Failed);
    let second = reported("d-1", Hook::AfterAllowTraffic, 21, Verdict::Passed);
    for (one, other) in [(&first, &second), (&second, &first)] {
        let mut merged = one.clone();
        merged.merge(other);
        assert_eq!(merged, first);
    }
}

#[test]
fn a_timeline_without_reports_is_read_and_written_as_before() {
    let old = json!({ "deployments": { "d-1": {
        "application": "app", "group": "group", "progress": { "state": "Succeeded", "started": null, "ended": null },
    } } });
    let timeline: Timeline = serde_json::from_value(old).unwrap();
    assert!(timeline.validations.is_empty());
    assert!(
        serde_json::to_value(&timeline)
            .unwrap()
            .get("validations")
            .is_none()
    );
}

#[test]
fn what_a_newer_release_checks_is_read() {
    let newer: Validation = serde_json::from_value(json!({
        "at": "2027-01-15T08:00:00Z", "verdict": "passed", "passes": true, "new": 1,
        "checks": { "astrology": { "verdict": "passed" } },
    }))
    .unwrap();
    assert_eq!(newer.checks["astrology"].verdict, Verdict::Passed);
}

#[test]
fn a_report_is_kept_without_its_text_and_within_bounds() {
    let many = (0..500).map(|at| measured(&format!("{at:03}{}", "x".repeat(1000)), f64::MAX));
    let validation = Validation::of(&report(Verdict::Passed, many.collect()), at(0));
    let text = serde_json::to_string(&validation).unwrap();
    assert!(text.len() < 10_000, "{}", text.len());
    assert!(!text.contains("answered"), "{text}");
    assert_eq!(validation.checks["performance"].numbers.len(), MAX_NUMBERS);
    assert_eq!(
        serde_json::from_str::<Validation>(&text).unwrap(),
        validation,
        "also the largest value comes back as it went"
    );
}

#[test]
fn what_is_no_number_has_no_value() {
    let validation = Validation::of(&report(Verdict::Passed, vec![measured("P99", f64::NAN)]), at(0));
    assert_eq!(validation.checks["performance"].numbers["P99"].value, None);
}

#[test]
fn reports_are_dropped_with_their_deployment() {
    let mut timeline = deployment_seen("d-1", State::Succeeded, 5);
    timeline.merge(&deployment_seen("d-2", State::Succeeded, 9));
    for id in ["d-1", "d-2"] {
        timeline.merge(&reported(id, Hook::BeforeAllowTraffic, 3, Verdict::Passed));
    }
    assert!(timeline.shorten(|timeline| timeline.deployments.len() <= 1));
    assert_eq!(timeline.validations.keys().collect::<Vec<_>>(), ["d-2"]);
}

#[test]
fn reports_are_looked_for_of_the_latest_deployments_that_lack_them() {
    let mut timeline = Timeline::default();
    for (id, second) in [("d-1", 30), ("d-2", 10), ("d-3", 20)] {
        timeline.merge(&deployment_seen(id, State::InProgress, second));
    }
    timeline.merge(&deployment_seen("d-3", State::Succeeded, 21));
    timeline.merge(&reported("d-1", Hook::BeforeAllowTraffic, 31, Verdict::Passed));
    let wanted = timeline.unreported(2);
    let wanted: Vec<_> = wanted.iter().map(|one| (one.place.name(), one.is_over)).collect();
    assert_eq!(
        wanted,
        [
            ("d-1/AfterAllowTraffic".to_owned(), false),
            ("d-3/BeforeAllowTraffic".to_owned(), true),
            ("d-3/AfterAllowTraffic".to_owned(), true),
        ]
    );
}

fn action_seen(id: &str, provider: &str, external: Option<&str>, second: i64) -> Timeline {
    let action = Action {
        stage: "IntegrationTest".to_owned(),
        name: "Validate".to_owned(),
        category: "Invoke".to_owned(),
        provider: provider.to_owned(),
        external: external.map(str::to_owned),
        error: None,
        progress: Progress::seen(State::Failed, Some(at(second))),
    };
    Timeline {
        actions: BTreeMap::from([(id.to_owned(), action)]),
        ..Timeline::default()
    }
}

#[test]
fn reports_are_looked_for_of_the_latest_jobs_that_lack_them() {
    let mut timeline = Timeline::default();
    for (id, provider, external, second) in [
        ("a-1", "Lambda", Some("job-1"), 10),
        ("a-2", "Lambda", Some("job-2"), 30),
        ("a-3", "Lambda", Some("job-3"), 20),
        // Not a function's, and one that says nothing of itself.
        ("a-4", "CodeBuild", Some("build"), 40),
        ("a-5", "Lambda", None, 50),
    ] {
        timeline.merge(&action_seen(id, provider, external, second));
    }
    let validation = Validation::of(&report(Verdict::Passed, Vec::new()), at(31));
    let place = Place::Job {
        action: "a-2".to_owned(),
        job: "job-2".to_owned(),
    };
    assert_eq!(place.name(), "job-2/Job");
    timeline.merge(&place.holding(validation.clone()));
    assert_eq!(timeline.jobs["a-2"], validation);
    let wanted = timeline.unreported(2);
    let names: Vec<_> = wanted.iter().map(|one| one.place.name()).collect();
    assert_eq!(names, ["job-3/Job"]);
}

#[test]
fn of_two_reports_of_one_job_the_first_stands_and_it_goes_with_its_action() {
    let of = |second, verdict| {
        let place = Place::Job {
            action: "a-1".to_owned(),
            job: "job-1".to_owned(),
        };
        place.holding(Validation::of(&report(verdict, Vec::new()), at(second)))
    };
    let (first, second) = (of(20, Verdict::Failed), of(21, Verdict::Passed));
    for (one, other) in [(&first, &second), (&second, &first)] {
        let mut merged = one.clone();
        merged.merge(other);
        assert_eq!(reread(&merged), first);
    }
    let mut timeline = first;
    timeline.merge(&action_seen("a-1", "Lambda", Some("job-1"), 25));
    timeline.merge(&action_seen("a-2", "Lambda", Some("job-2"), 26));
    assert!(timeline.shorten(|timeline| timeline.actions.len() <= 1));
    assert!(timeline.jobs.is_empty(), "{timeline:?}");
}
