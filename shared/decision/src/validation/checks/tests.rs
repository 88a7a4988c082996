use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::validation::policy::Policy;

fn probe(answer: Answer, millis: f64) -> Probe {
    let took = Timed {
        caller_ms: millis,
        function_ms: Some(millis),
    };
    Probe { answer, took }
}

fn served(count: usize, millis: f64) -> Vec<Probe> {
    vec![probe(Answer::Answered(json!({"ok": true})), millis); count]
}

fn broke(error: &str) -> Answer {
    Answer::Broke {
        error: error.to_owned(),
    }
}

fn request(answer: Option<Value>) -> Request {
    Request {
        payload: Value::Null,
        answer,
    }
}

fn invoked(answer: Answer, wanted: Option<Value>) -> Verdict {
    invocation(&[(request(wanted), probe(answer, 1.0))]).verdict
}

fn refused(answer: Answer, refusal: Refusal) -> Verdict {
    let bad = BadRequest {
        payload: Value::Null,
        refusal,
    };
    error_handling(&[(bad, probe(answer, 1.0))]).verdict
}

#[test]
fn a_sound_request_must_be_served_as_the_policy_says() {
    let answer = || Answer::Answered(json!({"ok": true, "item": {"id": 1, "name": "test"}}));
    assert_eq!(invoked(answer(), None), Verdict::Passed);
    assert_eq!(
        invoked(answer(), Some(json!({"item": {"name": "test"}}))),
        Verdict::Passed
    );
    assert_eq!(
        invoked(answer(), Some(json!({"item": {"name": "other"}}))),
        Verdict::Failed
    );
    assert_eq!(
        invoked(Answer::Answered(json!({"ok": false})), None),
        Verdict::Failed
    );
    // An answer that looks like a refusal may be the right one.
    let refusal = json!({"statusCode": 404});
    assert_eq!(
        invoked(Answer::Answered(refusal.clone()), Some(refusal)),
        Verdict::Passed
    );
    assert_eq!(invoked(broke("TypeError"), None), Verdict::Failed);
    assert_eq!(invoked(Answer::Throttled, None), Verdict::Inconclusive);
}

#[test]
fn a_bad_request_must_be_refused_in_the_way_that_is_asked_for() {
    use Refusal::{Any, FunctionError, Status4xx};
    let no = || Answer::Answered(json!({"ok": false, "error": {"code": "InvalidInput"}}));
    let status = || Answer::Answered(json!({"statusCode": 422}));
    let yes = || Answer::Answered(json!({"ok": true}));
    let (passed, failed) = (Verdict::Passed, Verdict::Failed);
    for (answer, refusal, verdict) in [
        (no(), Refusal::Answer, passed),
        (status(), Refusal::Answer, passed),
        (yes(), Refusal::Answer, failed),
        (broke("TypeError: x"), Refusal::Answer, failed),
        (status(), Status4xx, passed),
        (no(), Status4xx, failed),
        (broke("TypeError: x"), FunctionError, passed),
        (no(), FunctionError, failed),
        (broke("Runtime.ExitError: exit status 1"), FunctionError, failed),
        (broke("Sandbox.Timedout: 3 s"), Any, failed),
        (broke("TypeError: x"), Any, passed),
        (no(), Any, passed),
        (yes(), Any, failed),
        (Answer::Throttled, Any, Verdict::Inconclusive),
    ] {
        assert_eq!(
            refused(answer.clone(), refusal),
            verdict,
            "{answer:?} {refusal:?}"
        );
    }
}

#[test]
fn no_data_is_never_a_pass() {
    let policy = Policy::default();
    for finding in [
        invocation(&[]),
        error_handling(&[]),
        performance(&[], None, &policy.performance, 0.01),
        load(&[], &policy.load),
        logs(Err("they cannot be read")),
    ] {
        assert_eq!(finding.verdict, Verdict::Inconclusive, "{finding:?}");
    }
}

#[test]
fn the_bound_itself_passes_and_one_above_fails() {
    let rules = Performance {
        p95_ms: 100.0,
        ..Performance::default()
    };
    let verdict = |probes: &[Probe]| performance(probes, None, &rules, 0.01).verdict;
    assert_eq!(verdict(&served(20, 100.0)), Verdict::Passed);
    assert_eq!(verdict(&served(20, 100.1)), Verdict::Failed);
    let mut one_outlier = served(19, 10.0);
    one_outlier.push(probe(Answer::Answered(json!({})), 900.0));
    assert_eq!(verdict(&one_outlier), Verdict::Passed);
    let mut broken = served(10, 10.0);
    broken.extend(vec![probe(broke("x"), 1.0); 10]);
    assert_eq!(verdict(&broken), Verdict::Inconclusive);
}

#[test]
fn a_version_within_its_bounds_may_still_be_too_slow_beside_the_live_one() {
    let rules = Performance::default();
    let verdict =
        |new: f64, live: f64| performance(&served(20, new), Some(&served(20, live)), &rules, 0.01).verdict;
    assert_eq!(verdict(500.0, 50.0), Verdict::Failed);
    assert_eq!(verdict(90.0, 5.0), Verdict::Passed, "less than 100 ms more");
    assert_eq!(verdict(900.0, 600.0), Verdict::Passed, "less than twice as slow");
    let one_slow = [served(19, 50.0), served(1, 900.0)].concat();
    let finding = performance(&one_slow, Some(&served(20, 50.0)), &rules, 0.01);
    assert_eq!(
        finding.verdict,
        Verdict::Passed,
        "one slow request of twenty may be chance: {finding:?}"
    );
}

#[test]
fn a_percentile_that_no_regression_could_show_is_said_not_to_be_compared() {
    let rules = Performance::default();
    let compared = |requests: usize| {
        performance(
            &served(requests, 50.0),
            Some(&served(requests, 50.0)),
            &rules,
            0.01,
        )
    };
    let few = compared(20);
    assert_eq!(few.verdict, Verdict::Passed, "{few:?}");
    assert!(
        few.evidence
            .contains("p50 50 ms against the live version's 50 ms"),
        "{few:?}"
    );
    for percentile in ["p95", "p99"] {
        let compares = format!("{percentile} 50 ms against");
        assert!(!few.evidence.contains(&compares), "{few:?}");
    }
    assert!(
        few.evidence
            .contains("p95 and p99 not compared with the live version: 20 requests of each are too few"),
        "{few:?}"
    );
    // What the evidence says would do does.
    let would_do = |percentile: &str| -> usize {
        let (number, _) = few
            .evidence
            .split_once(&format!(" would do for {percentile}"))
            .unwrap();
        number.rsplit(' ').next().unwrap().parse().unwrap()
    };
    for percentile in ["p95", "p99"] {
        let enough = would_do(percentile);
        for requests in [enough, enough + 7, enough + 50] {
            let evidence = compared(requests).evidence;
            assert!(
                evidence.contains(&format!("{percentile} 50 ms against")),
                "{evidence}"
            );
        }
    }
    assert!(
        would_do("p95") < would_do("p99") && would_do("p99") < 1000,
        "{few:?}"
    );
}

#[test]
fn what_cannot_be_compared_takes_nothing_from_what_can() {
    let rules = Performance::default();
    let slow = |slow: usize, of: usize| [served(of - slow, 50.0), served(slow, 900.0)].concat();
    let finding = |new: usize, live: usize| performance(&slow(new, 20), Some(&slow(live, 20)), &rules, 0.01);
    // p = 0.0052: above a third of alpha, and below alpha, which is what the only comparison has.
    assert_eq!(finding(14, 5).verdict, Verdict::Failed, "{:?}", finding(14, 5));
    // p = 0.028.
    assert_eq!(finding(13, 6).verdict, Verdict::Passed, "{:?}", finding(13, 6));
}

#[test]
fn too_few_requests_to_compare_anything_are_inconclusive_and_a_broken_live_version_is_not() {
    let rules = Performance::default();
    let finding = performance(&served(3, 50.0), Some(&served(3, 50.0)), &rules, 0.01);
    assert_eq!(finding.verdict, Verdict::Inconclusive, "{finding:?}");
    assert!(
        finding.evidence.contains("p50, p95 and p99 not compared"),
        "{finding:?}"
    );
    let slow = performance(&served(3, 50_000.0), Some(&served(3, 50.0)), &rules, 0.01);
    assert_eq!(slow.verdict, Verdict::Failed, "the bounds hold all the same");
    // What is to be mended may well be that the live version serves next to nothing.
    let mut broken = served(2, 50.0);
    broken.extend(vec![probe(broke("x"), 1.0); 18]);
    for live in [broken, vec![probe(broke("x"), 1.0); 20]] {
        let finding = performance(&served(20, 50.0), Some(&live), &rules, 0.01);
        assert_eq!(finding.verdict, Verdict::Passed, "{finding:?}");
        assert!(
            finding.evidence.contains("the live version served"),
            "{finding:?}"
        );
    }
}

#[test]
fn load_counts_failures_and_throttles_against_their_bounds() {
    let mut rules = Load::default();
    let mut probes = served(49, 5.0);
    assert_eq!(load(&probes, &rules).verdict, Verdict::Passed);
    probes.push(probe(Answer::Throttled, 1.0));
    assert_eq!(load(&probes, &rules).verdict, Verdict::Failed);
    rules.max_throttles = 1;
    assert_eq!(load(&probes, &rules).verdict, Verdict::Passed);
    probes.push(probe(broke("x"), 1.0));
    assert_eq!(
        load(&probes, &rules).verdict,
        Verdict::Failed,
        "1 of 51 is more than 1 %"
    );
    rules.max_error_percent = 2.0;
    assert_eq!(load(&probes, &rules).verdict, Verdict::Passed);
}

#[test]
fn lines_that_were_asked_for_do_not_fail_the_log_check_and_others_do() {
    let mut facts = LogFacts {
        excused: 4,
        ..LogFacts::default()
    };
    assert_eq!(logs(Ok(&facts)).verdict, Verdict::Passed);
    facts.missing = vec!["ready".to_owned()];
    assert_eq!(logs(Ok(&facts)).verdict, Verdict::Failed);
    facts.bad = vec!["ERROR \u{1b}[31m".to_owned()];
    let finding = logs(Ok(&facts));
    assert!(
        finding.evidence.contains("1 bad line ") && !finding.evidence.contains('\u{1b}'),
        "{finding:?}"
    );
}

proptest! {
    #[test]
    fn every_check_is_total(
        millis in proptest::collection::vec(any::<f64>(), 0..40),
        live in proptest::collection::vec(any::<f64>(), 0..40),
        alpha in any::<f64>(),
    ) {
        let probes = |millis: &[f64]| millis.iter().map(|ms| served(1, *ms).remove(0)).collect::<Vec<_>>();
        let (new, live) = (probes(&millis), probes(&live));
        let _ = performance(&new, Some(&live), &Performance::default(), alpha);
        let _ = load(&new, &Load::default());
    }
}
