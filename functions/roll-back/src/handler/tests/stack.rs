//! How the stack follows its alias.

use serde_json::json;

use super::case::case;
use super::cloud::{BEGAN, Cloud, FIRED, deployment, release};
use super::*;

fn cloud() -> Cloud {
    let mut cloud = Cloud::new("Succeeded");
    cloud.has_stack = true;
    cloud
}

#[tokio::test(start_paused = true)]
async fn the_stack_follows_by_one_rollback_of_each_stage() {
    let case = case(cloud());
    for after in [1, 62] {
        let outcome = case.deliver(after).await.unwrap().unwrap();
        assert!(matches!(outcome, Outcome::Redeployed { .. }), "{outcome:?}");
    }
    let cloud = case.cloud.lock().unwrap();
    assert_eq!(cloud.rolled_back, ["Deploy", "Release"]);
    assert_eq!((cloud.created, cloud.notices.len()), (1, 1));
    assert!(
        cloud.notices[0].contains("is rolled back to run bb-2"),
        "{:?}",
        cloud.notices
    );
}

/// Each run that was superseded or rejected since has left its actions, too.
#[tokio::test(start_paused = true)]
async fn the_good_versions_run_is_found_behind_however_many_others() {
    let mut cloud = cloud();
    cloud.crowded = true;
    let case = case(cloud);
    assert!(case.deliver(1).await.unwrap().is_ok());
    let cloud = case.cloud.lock().unwrap();
    assert_eq!(cloud.rolled_back, ["Deploy", "Release"]);
    assert!(
        cloud.notices[0].contains("is rolled back to run bb-2"),
        "{:?}",
        cloud.notices
    );
}

#[tokio::test(start_paused = true)]
async fn where_the_stack_cannot_follow_a_person_is_paged_once() {
    let mut cloud = cloud();
    cloud.refused = Some("RollbackStage");
    let case = case(cloud);
    for after in [1, 62] {
        let failure = case.deliver(after).await.unwrap().unwrap_err();
        assert!(failure.message().contains("RollbackStage"), "{failure:?}");
    }
    let cloud = case.cloud.lock().unwrap();
    assert_eq!(
        (cloud.created, cloud.frozen, cloud.notices.len()),
        (1, 1, 2),
        "{:?}",
        cloud.notices
    );
    assert!(cloud.notices[1].contains("Needs a person"), "{:?}", cloud.notices);
}

#[tokio::test(start_paused = true)]
async fn what_the_plan_rests_on_is_asked_again_while_aws_does_not_answer() {
    for (times, follows) in [(3, true), (100, false)] {
        let mut cloud = cloud();
        cloud.throttled = Some(("GetPipeline", times));
        let case = case(cloud);
        assert!(case.deliver(1).await.unwrap().is_ok());
        let cloud = case.cloud.lock().unwrap();
        assert_eq!(cloud.rolled_back.len(), if follows { 2 } else { 0 });
        assert_eq!((cloud.created, cloud.frozen, cloud.notices.len()), (1, 1, 1));
        let by_hand = cloud.notices[0].contains("does not follow by itself");
        assert_eq!(by_hand, !follows, "{:?}", cloud.notices);
    }
}

#[tokio::test(start_paused = true)]
async fn a_redeployment_that_fails_is_a_persons_and_no_stage_is_rolled_back() {
    for has_stack in [true, false] {
        let mut cloud = cloud();
        (cloud.has_stack, cloud.redeployed) = (has_stack, "Failed");
        let case = case(cloud);
        for after in [1, 62] {
            let failure = case.deliver(after).await.unwrap().unwrap_err();
            assert!(failure.message().contains("it failed"), "{failure:?}");
        }
        let cloud = case.cloud.lock().unwrap();
        assert_eq!((cloud.created, cloud.frozen, cloud.rolled_back.len()), (1, 1, 0));
        let of_traffic = |notice: &&String| notice.contains("may still have its traffic");
        assert_eq!(
            cloud.notices.iter().filter(of_traffic).count(),
            1,
            "{:?}",
            cloud.notices
        );
    }
}

/// An event may be tried again days later, by hand, from its dead-letter queue.
#[tokio::test(start_paused = true)]
async fn what_was_released_since_is_not_taken_away_by_a_late_event() {
    let mut cloud = cloud();
    cloud.refused = Some("RollbackStage");
    let case = case(cloud);
    assert!(case.deliver(1).await.unwrap().is_err());
    {
        let mut cloud = case.cloud.lock().unwrap();
        cloud.refused = None;
        let fix = deployment("d-FIX", "Succeeded", FIRED + 3600, 3, 5);
        cloud.deployments.push(fix);
    }
    assert!(case.deliver(20 * 3600).await.unwrap().is_ok());
    let cloud = case.cloud.lock().unwrap();
    assert_eq!((cloud.rolled_back.len(), cloud.created), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_is_busy_is_waited_for_as_long_as_there_is_time_and_tried_again() {
    let mut cloud = cloud();
    cloud.stage_is_busy = true;
    let case = case(cloud);
    let failure = case.deliver(1).await.unwrap().unwrap_err();
    assert!(
        failure.is_retryable() && failure.message().contains("the stage to be free"),
        "{failure:?}"
    );
    case.cloud.lock().unwrap().stage_is_busy = false;
    assert!(case.deliver(62).await.unwrap().is_ok());
    let cloud = case.cloud.lock().unwrap();
    assert_eq!(cloud.rolled_back, ["Deploy", "Release"]);
    assert_eq!((cloud.created, cloud.notices.len()), (1, 1));
}

/// The sweep makes up for an alarm that has long been red: how old that is says nothing of how often it was tried.
#[tokio::test(start_paused = true)]
async fn nobody_is_called_at_the_first_try_of_what_comes_late() {
    let mut cloud = cloud();
    cloud.stage_is_busy = true;
    let case = case(cloud);
    for (after, notices) in [(1000, 1), (1120, 1), (1300, 2), (1400, 2)] {
        let failure = case.deliver(after).await.unwrap().unwrap_err();
        assert!(failure.is_retryable(), "{failure:?}");
        let cloud = case.cloud.lock().unwrap();
        assert_eq!(
            cloud.notices.len(),
            notices,
            "after {after} s: {:?}",
            cloud.notices
        );
    }
}

/// `RollbackStage` has no token: the next try looks what the stage did last.
#[tokio::test(start_paused = true)]
async fn h73_a_stages_rollback_whose_answer_is_lost_is_made_once() {
    let mut cloud = cloud();
    cloud.lost = Some("RollbackStage");
    let case = case(cloud);
    let failure = case.deliver(1).await.unwrap().unwrap_err();
    assert!(failure.is_retryable(), "{failure:?}");
    let retried = case.deliver(122).await.unwrap();
    assert!(matches!(retried, Ok(Outcome::Redeployed { .. })), "{retried:?}");
    let cloud = case.cloud.lock().unwrap();
    assert_eq!(cloud.rolled_back, ["Deploy", "Release"]);
    assert_eq!(
        (cloud.created, cloud.notices.len()),
        (1, 1),
        "{:?}",
        cloud.notices
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_on_another_page_is_found() {
    let mut cloud = cloud();
    cloud.empty_pages = true;
    let case = case(cloud);
    assert!(case.deliver(1).await.unwrap().is_ok());
    let cloud = case.cloud.lock().unwrap();
    assert_eq!(cloud.rolled_back, ["Deploy", "Release"], "{:?}", cloud.notices);
    // Of a run that is itself a rollback, what it repeated.
    assert!(
        cloud.notices[0].contains("is rolled back to run ab-0"),
        "{:?}",
        cloud.notices
    );
}

/// CodeDeploy knows of neither that it is a rollback, and the first of them brought good code.
#[tokio::test(start_paused = true)]
async fn h90_of_two_rollbacks_of_a_stage_none_is_taken_for_what_was_undone() {
    let mut cloud = Cloud::new("Succeeded");
    cloud.deployments.extend([
        deployment("d-STAGE1", "Succeeded", BEGAN + 70, 4, 5),
        deployment("d-STAGE2", "Succeeded", BEGAN + 80, 5, 6),
    ]);
    cloud.actions = vec![
        release("ee-5", "Succeeded", BEGAN + 78, BEGAN + 90),
        release("dd-4", "Succeeded", BEGAN + 68, BEGAN + 75),
    ];
    cloud.rollback_runs = vec!["dd-4", "ee-5"];
    cloud.alias = 6;
    let case = case(cloud);
    let outcome = case.deliver(1).await.unwrap().unwrap();
    assert!(
        matches!(&outcome, Outcome::Reported { deployment, .. } if deployment == "d-BAD"),
        "{outcome:?}"
    );
    let ledger = &case.app.ledger;
    let function = "app".parse().unwrap();
    for (version, is_bad) in [("4", true), ("5", false), ("6", false)] {
        let held = ledger
            .bad_version(&function, &format!("sha/{version}="))
            .await
            .unwrap();
        assert_eq!(held.is_some(), is_bad, "version {version}");
    }
}

/// To stop it would bring the bad version back.
#[tokio::test(start_paused = true)]
async fn h90_what_may_be_a_rollback_of_a_stage_is_left_alone_while_codepipeline_does_not_say() {
    for was_taken_back in [true, false] {
        let mut cloud = Cloud::new("InProgress");
        cloud.throttled = Some(("ListActionExecutions", 100));
        if was_taken_back {
            let mut back = deployment("d-EARLIER", "Succeeded", BEGAN - 100, 4, 3);
            back["creator"] = json!("codeDeployRollback");
            cloud.deployments.push(back);
        }
        let case = case(cloud);
        let outcome = case.deliver(1).await.unwrap();
        let stopped = case.cloud.lock().unwrap().stopped;
        if was_taken_back {
            let failure = outcome.unwrap_err();
            assert!(
                failure.is_retryable() && failure.message().contains("may be a rollback of a stage"),
                "{failure:?}"
            );
            assert_eq!(stopped, 0);
        } else {
            assert!(matches!(outcome, Ok(Outcome::Stopped { .. })), "{outcome:?}");
        }
    }
}
