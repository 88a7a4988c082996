//! Whole alarms and commands against a cloud of one deployment group, with a crash at every call.

mod case;
mod cloud;
mod commands;
mod memory;
mod stack;
mod traffic;

use case::case;
use cloud::Cloud;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_bad_deployment_is_stopped_frozen_and_told_once() {
    let case = case(Cloud::new("InProgress"));
    let stopped = Outcome::Stopped {
        deployment: "d-BAD".to_owned(),
    };
    assert_eq!(case.deliver(1).await, Some(Ok(stopped.clone())));
    // Delivered again, by then without a red alarm: the same answer, and nothing more happens.
    case.cloud.lock().unwrap().in_alarm = false;
    assert_eq!(case.deliver(90).await, Some(Ok(stopped)));
    let cloud = case.cloud.lock().unwrap();
    assert_eq!((cloud.stopped, cloud.frozen, cloud.notices.len()), (1, 1, 1));
}

/// Crashes at every call, before and after its effect; then the event's retry comes a minute later.
#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_loses_nothing_that_follows_from_a_rollback() {
    for (status, stays_red) in [
        ("InProgress", true),
        ("InProgress", false),
        ("Succeeded", true),
        ("Succeeded", false),
    ] {
        for at in 1.. {
            let mut crashed = false;
            for has_effect in [false, true] {
                let case = case(Cloud {
                    crash: Some((at, has_effect)),
                    ..Cloud::new(status)
                });
                crashed |= case.deliver(1).await.is_none();
                {
                    let mut cloud = case.cloud.lock().unwrap();
                    // Before a reading and after it are the same.
                    if has_effect && !cloud.crashed_at_a_change {
                        continue;
                    }
                    cloud.in_alarm = stays_red;
                    cloud.crash = None;
                }
                let retried = case.deliver(62).await;
                let cloud = case.cloud.lock().unwrap();
                let what = format!(
                    "{status}, red {stays_red}, call {at}, effect {has_effect}: {retried:?} {cloud:#?}"
                );
                assert!(matches!(retried, Some(Ok(_))), "{what}");
                let undone = cloud.stopped + cloud.created;
                assert!(undone <= 1 && (undone == 1 || !stays_red), "{what}");
                assert_eq!(cloud.frozen > 0, undone == 1, "{what}");
                assert_eq!(!cloud.notices.is_empty(), undone == 1, "{what}");
            }
            if !crashed {
                assert!(at > 8, "only {at} calls were made");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn people_are_told_also_where_the_stage_cannot_be_frozen() {
    let case = case(Cloud {
        refused: Some("DisableStageTransition"),
        ..Cloud::new("InProgress")
    });
    for after in [1, 62] {
        let failure = case.deliver(after).await.unwrap().unwrap_err();
        assert!(
            failure.message().contains("DisableStageTransition"),
            "{failure:?}"
        );
    }
    {
        let mut cloud = case.cloud.lock().unwrap();
        assert_eq!((cloud.stopped, cloud.frozen, cloud.notices.len()), (1, 0, 1));
        assert!(
            cloud.notices[0].contains("could NOT be frozen"),
            "{:?}",
            cloud.notices
        );
        cloud.refused = None;
    }
    assert!(case.deliver(124).await.unwrap().is_ok());
    let cloud = case.cloud.lock().unwrap();
    assert_eq!((cloud.frozen, cloud.notices.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_person_is_called_once_where_aws_refuses_to_roll_back() {
    for (status, call) in [
        ("InProgress", "StopDeployment"),
        ("Succeeded", "CreateDeployment"),
    ] {
        let case = case(Cloud {
            refused: Some(call),
            ..Cloud::new(status)
        });
        for after in [1, 62] {
            let failure = case.deliver(after).await.unwrap().unwrap_err();
            assert!(!failure.is_retryable(), "{failure:?}");
        }
        let cloud = case.cloud.lock().unwrap();
        assert_eq!((cloud.frozen, cloud.notices.len()), (0, 1), "{call}");
        assert!(cloud.notices[0].contains("Needs a person"), "{:?}", cloud.notices);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_enables_the_stage_again_is_not_overruled_by_the_same_deployment() {
    let case = case(Cloud::new("InProgress"));
    assert!(case.deliver(1).await.unwrap().is_ok());
    case.cloud.lock().unwrap().frozen = 0;
    for after in [30, 60, 90] {
        assert!(case.deliver(after).await.unwrap().is_ok());
    }
    let cloud = case.cloud.lock().unwrap();
    assert_eq!((cloud.frozen, cloud.notices.len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn h92_what_finishes_during_the_call_is_taken_back_by_one_redeployment() {
    let mut cloud = Cloud::new("InProgress");
    cloud.finishes_first = true;
    let case = case(cloud);
    for after in [1, 62] {
        let outcome = case.deliver(after).await.unwrap().unwrap();
        assert!(
            matches!(&outcome, Outcome::Redeployed { undone, deployment } if undone == "d-BAD" && deployment == "d-BACK1"),
            "{outcome:?}"
        );
    }
    let cloud = case.cloud.lock().unwrap();
    assert_eq!(
        (cloud.stopped, cloud.created, cloud.frozen, cloud.notices.len()),
        (0, 1, 1, 1)
    );
}
