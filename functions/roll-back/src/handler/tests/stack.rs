//! How the stack follows its alias.

use super::cloud::{Cloud, FIRED, case, deployment};
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
    // The invocation's time is over.
    assert!(case.deliver(1).await.is_none());
    case.cloud.lock().unwrap().stage_is_busy = false;
    assert!(case.deliver(62).await.unwrap().is_ok());
    let cloud = case.cloud.lock().unwrap();
    assert_eq!(cloud.rolled_back, ["Deploy", "Release"]);
    assert_eq!((cloud.created, cloud.notices.len()), (1, 1));
}
