//! What is remembered of a rollback, and who is told.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use signalbox_decision::approval::{ApprovalAction, Token};
use signalbox_decision::timeline::Subject;
use signalbox_ledger::{ApprovalKey, BadVersion};

use super::case::{Case, case};
use super::cloud::{Cloud, FIRED};
use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(FIRED).unwrap()
}

async fn remember(case: &Case, version: &str) {
    let bad = BadVersion {
        function: "app".parse().unwrap(),
        code_sha256: format!("sha/{version}="),
        version: version.parse().unwrap(),
        deployment: "d-EARLIER".parse().unwrap(),
        alarm: "errors".to_owned(),
        at: now(),
        allowed: None,
    };
    case.app.ledger.remember_bad_version(&bad).await.unwrap();
}

/// Another version of the program may have written it.
#[tokio::test(start_paused = true)]
async fn a_note_that_cannot_be_read_keeps_no_bad_version_in_production() {
    let case = case(Cloud::new("InProgress"));
    let ledger = &case.app.ledger;
    let event = format!("errors@{}", now());
    let note = json!({ "app-live": "d-EARLIER" });
    ledger
        .put_value("rollback-begun", &event, &note, now(), None)
        .await
        .unwrap();
    let stopped = case.deliver(1).await.unwrap().unwrap();
    assert!(matches!(stopped, Outcome::Stopped { .. }), "{stopped:?}");
    let now_noted = ledger.get_value("rollback-begun", &event, now()).await.unwrap();
    assert!(now_noted.unwrap().to_string().contains("d-BAD"));
}

/// The sweep makes up for an event from an answer of CloudWatch, which may have lost a millisecond.
#[tokio::test(start_paused = true)]
async fn what_the_sweep_began_is_finished_by_the_late_event_and_the_other_way_round() {
    for early in [-1, 0, 1] {
        let case = case(Cloud::new("Stopped"));
        let ledger = &case.app.ledger;
        let event = format!("errors@{}", now() - SignedDuration::from_millis(early));
        let note = json!({ "app-live": [{ "deployment": "d-BAD", "is_report": false }] });
        ledger
            .put_value("rollback-begun", &event, &note, now(), None)
            .await
            .unwrap();
        // Without the note it would only be reported as stopped by somebody.
        let done = case.deliver(1).await.unwrap().unwrap();
        assert!(matches!(done, Outcome::Stopped { .. }), "{early}: {done:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn author_and_approver_are_told_and_the_run_is_marked() {
    let case = case(Cloud::new("InProgress"));
    let approval = ApprovalAction {
        pipeline: "pipeline".parse().unwrap(),
        execution: "aa-1".parse().unwrap(),
        stage: "Approval".parse().unwrap(),
        action: "Approve".parse().unwrap(),
    };
    let key = ApprovalKey::new(&approval, Token::new("t").hash());
    let ledger = &case.app.ledger;
    let later = now() + SignedDuration::from_hours(1);
    ledger
        .open_approval(&key, &json!({}), now(), later)
        .await
        .unwrap();
    let decision = json!({
        "verdict": "approved", "by": "ann@example.com", "via": "link", "at": null, "comment": "",
    });
    let _ = ledger.record_decision(&key, decision, now()).await.unwrap();
    assert!(case.deliver(1).await.unwrap().is_ok());
    {
        let cloud = case.cloud.lock().unwrap();
        let notice = &cloud.notices[0];
        for person in ["dan%40example.com", "ann%40example.com"] {
            assert!(notice.contains(person), "{person} is missing in {notice}");
        }
    }
    let subject = Subject::Run {
        pipeline: "pipeline".parse().unwrap(),
        execution: "aa-1".parse().unwrap(),
    };
    let timeline = ledger.load_timeline(&subject).await.unwrap().timeline;
    assert_eq!(timeline.rollbacks["d-BAD"].action, "stopped");
    let record = ledger.load_rollback("d-BAD").await.unwrap().unwrap();
    assert_eq!(
        (&record["run"], &record["author"], &record["approvers"]),
        (
            &json!("aa-1"),
            &json!("dan@example.com"),
            &json!(["ann@example.com"])
        )
    );
    let bad = ledger
        .bad_version(&"app".parse().unwrap(), "sha/4=")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((bad.version.as_str(), bad.alarm.as_str()), ("4", "errors"));
}

#[tokio::test(start_paused = true)]
async fn the_same_code_under_another_configuration_is_not_held_against_the_good_version() {
    let mut cloud = Cloud::new("InProgress");
    cloud.code = |_| "sha".to_owned();
    let case = case(cloud);
    assert!(case.deliver(1).await.unwrap().is_ok());
    assert_eq!(case.app.ledger.bad_versions().await.unwrap(), []);
    let notices = &case.cloud.lock().unwrap().notices;
    assert!(notices[0].contains("NOT remembered"), "{notices:?}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_bad_before_is_passed_over() {
    let case = case(Cloud::new("Succeeded"));
    remember(&case, "3").await;
    let outcome = case.deliver(1).await.unwrap().unwrap();
    assert!(matches!(outcome, Outcome::Redeployed { .. }), "{outcome:?}");
    let cloud = case.cloud.lock().unwrap();
    assert!(
        cloud.notices[0].contains("Good version%3A 2"),
        "{:?}",
        cloud.notices
    );
}

#[tokio::test(start_paused = true)]
async fn h94_no_good_version_to_go_back_to_pages_a_person_once() {
    let case = case(Cloud::new("Succeeded"));
    // Version 1 no longer exists.
    remember(&case, "3").await;
    remember(&case, "2").await;
    for after in [1, 62] {
        let outcome = case.deliver(after).await.unwrap().unwrap();
        assert!(
            matches!(&outcome, Outcome::Paged { reason } if reason.contains("version 1 no longer exists")),
            "{outcome:?}"
        );
    }
    let cloud = case.cloud.lock().unwrap();
    assert_eq!((cloud.created, cloud.frozen, cloud.notices.len()), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn h88_of_two_groups_the_one_that_lists_the_alarm_is_meant() {
    let mut cloud = Cloud::new("InProgress");
    cloud.two_groups = true;
    let case = case(cloud);
    let outcome = case.deliver(1).await.unwrap().unwrap();
    assert!(matches!(outcome, Outcome::Stopped { .. }), "{outcome:?}");
    let record = case.app.ledger.load_rollback("d-BAD").await.unwrap().unwrap();
    assert_eq!(record["group"], "app-live");
}
