use super::*;

fn deployment() -> Deployment {
    Deployment {
        id: "d-1".to_owned(),
        function: FunctionName::new("app").unwrap(),
        alias: "live".to_owned(),
        version: VersionNumber::new("7").unwrap(),
        is_rollback: false,
        overrides: Override::None,
        made_by: "user: the fix".to_owned(),
    }
}

fn metric(dimensions: &[(&str, &str)]) -> Metric {
    Metric {
        namespace: "AWS/Lambda".to_owned(),
        name: "Errors".to_owned(),
        dimensions: dimensions
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

const GOOD: [(&str, &str); 3] = [
    ("FunctionName", "app"),
    ("Resource", "app:live"),
    ("ExecutedVersion", "7"),
];

fn watching(dimensions: &[(&str, &str)]) -> Alarm {
    Alarm {
        name: "app-errors".to_owned(),
        found: Some(Found {
            is_red: false,
            changed: None,
            reason: "1 datapoint was above".to_owned(),
            actions_enabled: true,
            suppressed_by: None,
            is_composite: false,
            metrics: vec![metric(dimensions)],
        }),
        part_of: None,
    }
}

fn changed(change: impl FnOnce(&mut Found)) -> Alarm {
    let mut alarm = watching(&GOOD);
    if let Some(found) = alarm.found.as_mut() {
        change(found);
    }
    alarm
}

fn composite() -> Alarm {
    changed(|found| {
        found.metrics.clear();
        found.is_composite = true;
    })
}

/// A search, or a query in SQL: what metrics it reads is not in its definition.
fn searching() -> Alarm {
    Alarm {
        name: "app-search".to_owned(),
        ..changed(|found| found.metrics.clear())
    }
}

fn failed(alarm: &Alarm, words: &str) {
    let finding = preflight(&deployment(), std::slice::from_ref(alarm));
    assert_eq!(finding.verdict, Verdict::Failed, "{finding:?}");
    assert!(finding.evidence.contains(words), "{words}: {finding:?}");
}

#[test]
fn every_set_of_dimensions_that_lambda_sends_is_fine_and_no_other() {
    for count in 1..=3 {
        let finding = preflight(&deployment(), &[watching(&GOOD[..count])]);
        assert_eq!(finding.verdict, Verdict::Passed, "{finding:?}");
    }
    for dimensions in [
        &[][..],
        &[("Resource", "app:live")],
        &[("FunctionName", "app"), ("ExecutedVersion", "7")],
        &[
            ("FunctionName", "app"),
            ("Resource", "app:live"),
            ("Alias", "live"),
        ],
    ] {
        failed(&watching(dimensions), "can receive no data");
    }
}

#[test]
fn another_function_alias_or_version_is_seen() {
    failed(
        &watching(&[("FunctionName", "other")]),
        "watches function other, not app",
    );
    failed(
        &watching(&[("FunctionName", "app"), ("Resource", "app")]),
        "watches app, not app:live",
    );
    let old = [GOOD[0], GOOD[1], ("ExecutedVersion", "6")];
    failed(&watching(&old), "watches version 6, not 7");
}

#[test]
fn every_metric_of_an_expression_is_looked_at_and_foreign_namespaces_are_not() {
    let old = [GOOD[0], GOOD[1], ("ExecutedVersion", "6")];
    failed(
        &changed(|found| found.metrics.push(metric(&old))),
        "watches version 6",
    );
    let own = Metric {
        namespace: "Shop".to_owned(),
        ..metric(&[("Whatever", "x")])
    };
    let finding = preflight(&deployment(), &[changed(|found| found.metrics.push(own))]);
    assert_eq!(finding.verdict, Verdict::Passed, "{finding:?}");
}

#[test]
fn what_is_missing_disabled_or_suppressed_is_seen() {
    let missing = Alarm {
        found: None,
        ..watching(&GOOD)
    };
    failed(&missing, "app-errors does not exist");
    failed(
        &changed(|found| found.actions_enabled = false),
        "actions disabled",
    );
    failed(
        &changed(|found| found.suppressed_by = Some("maintenance".to_owned())),
        "suppressed by maintenance",
    );
}

#[test]
fn a_red_alarm_fails_and_names_the_way_out() {
    failed(
        &changed(|found| found.is_red = true),
        "override-alarm-configuration enabled=false",
    );
}

#[test]
fn a_red_alarm_that_the_deployment_overrides_is_reported_with_who() {
    let red = changed(|found| found.is_red = true);
    let with = |overrides| Deployment {
        overrides,
        ..deployment()
    };
    let finding = preflight(&with(Override::All), std::slice::from_ref(&red));
    assert_eq!(finding.verdict, Verdict::Passed, "{finding:?}");
    assert!(
        finding
            .evidence
            .contains("overridden by deployment d-1 (user: the fix)"),
        "{finding:?}"
    );
    let others = Override::AllBut(vec!["app-duration".to_owned()]);
    assert_eq!(
        preflight(&with(others), std::slice::from_ref(&red)).verdict,
        Verdict::Passed
    );
    let itself = Override::AllBut(vec!["app-errors".to_owned()]);
    assert_eq!(preflight(&with(itself), &[red]).verdict, Verdict::Failed);
}

#[test]
fn an_override_does_not_make_a_blind_alarm_see() {
    let overriding = Deployment {
        overrides: Override::All,
        ..deployment()
    };
    let finding = preflight(&overriding, &[watching(&[("FunctionName", "other")])]);
    assert_eq!(finding.verdict, Verdict::Failed, "{finding:?}");
}

#[test]
fn a_rollback_is_not_held_up() {
    let rollback = Deployment {
        is_rollback: true,
        ..deployment()
    };
    let finding = preflight(&rollback, &[changed(|found| found.is_red = true)]);
    assert_eq!(finding.verdict, Verdict::Passed);
    assert!(finding.evidence.contains("red already"), "{finding:?}");
}

#[test]
fn a_red_part_of_a_composite_alarm_does_not_count_by_itself_but_a_blind_one_does() {
    let part = |alarm: Alarm| Alarm {
        part_of: Some("app-bad".to_owned()),
        ..alarm
    };
    let composite = composite();
    let red = part(changed(|found| found.is_red = true));
    assert_eq!(
        preflight(&deployment(), &[composite, red]).verdict,
        Verdict::Passed
    );
    failed(
        &part(watching(&[("FunctionName", "other")])),
        "app-errors (part of app-bad) watches function other",
    );
}

#[test]
fn an_alarm_whose_metrics_cannot_be_read_is_said_not_to_be_judged() {
    let finding = preflight(&deployment(), &[watching(&GOOD), searching()]);
    assert_eq!(finding.verdict, Verdict::Passed, "{finding:?}");
    assert!(
        finding
            .evidence
            .contains("1 alarm can see version 7; app-search cannot be judged"),
        "{finding:?}"
    );
    let red = preflight(
        &deployment(),
        &[changed(|found| found.is_red = true), searching()],
    );
    assert_eq!(red.verdict, Verdict::Failed, "{red:?}");
    assert!(red.evidence.contains("app-search cannot be judged"), "{red:?}");
}

#[test]
fn alarms_none_of_which_can_be_judged_are_inconclusive() {
    let part = Alarm {
        part_of: Some("app-errors".to_owned()),
        ..searching()
    };
    for alarms in [vec![searching()], vec![composite(), part], vec![composite()]] {
        let finding = preflight(&deployment(), &alarms);
        assert_eq!(finding.verdict, Verdict::Inconclusive, "{finding:?}");
        assert!(!finding.evidence.contains("can see"), "{finding:?}");
        let rollback = Deployment {
            is_rollback: true,
            ..deployment()
        };
        assert_eq!(preflight(&rollback, &alarms).verdict, Verdict::Passed);
    }
    let disabled = Alarm {
        found: searching().found.map(|found| Found {
            actions_enabled: false,
            ..found
        }),
        ..searching()
    };
    failed(&disabled, "actions disabled");
}

#[test]
fn the_parts_of_composite_alarms_are_named_once_and_a_circle_of_them_ends() {
    let mut looked_at = LookedAt::default();
    let names = |parts: Vec<Part>| parts.into_iter().map(|it| (it.name, it.of)).collect::<Vec<_>>();
    let pair = |name: &str, of: &str| (name.to_owned(), Some(of.to_owned()));
    let group = looked_at.listed(vec!["whole".to_owned(), "b".to_owned(), "b".to_owned()]);
    assert_eq!(names(group), [("whole".to_owned(), None), ("b".to_owned(), None)]);
    // The group lists b itself.
    let first = looked_at.parts_of("whole", "ALARM(inner) OR ALARM(b)");
    assert_eq!(names(first), [pair("inner", "whole")]);
    let second = looked_at.parts_of("inner", "ALARM(whole) OR ALARM(inner) OR OK(leaf)");
    assert_eq!(names(second), [pair("leaf", "inner")]);
    assert_eq!(names(looked_at.parts_of("leaf", "ALARM(whole)")), []);
}

#[test]
fn a_rule_names_its_alarms_in_every_spelling() {
    let rule = r#"(ALARM("a (1)") AND OK(b)) OR NOT INSUFFICIENT_DATA('c') OR ALARM("arn:aws:cloudwatch:us-east-1:123456789012:alarm:d") OR ALARM(b)"#;
    let mut names = mentioned(rule);
    names.sort();
    assert_eq!(names, ["a (1)", "b", "c", "d"]);
    assert_eq!(mentioned("TRUE"), Vec::<String>::new());
}

#[test]
fn only_a_red_alarm_that_was_just_changed_may_settle() {
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1);
    let alarm = |is_red, minutes| {
        changed(|found| {
            found.is_red = is_red;
            found.changed = Some(now - SignedDuration::from_mins(minutes));
        })
    };
    assert!(may_settle(&[alarm(false, 1), alarm(true, 1)], now));
    assert!(!may_settle(&[alarm(true, 6), alarm(false, 1)], now));
    assert!(!may_settle(&[changed(|found| found.is_red = true)], now));
}
