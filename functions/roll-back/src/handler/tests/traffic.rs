//! A stop that was accepted is not yet a version without traffic.

use super::case::case;
use super::cloud::{Cloud, FIRED, deployment};
use super::*;

/// Whoever stopped it: roll-back itself, or a person who asked for no rollback.
#[tokio::test(start_paused = true)]
async fn a_person_is_called_once_where_the_stopped_version_keeps_its_traffic() {
    for status in ["InProgress", "Stopped"] {
        let mut cloud = Cloud::new(status);
        cloud.keeps_traffic = true;
        let case = case(cloud);
        for (after, notices) in [(1, 1), (122, 1), (302, 2), (422, 2)] {
            let failure = case.deliver(after).await.unwrap().unwrap_err();
            assert!(
                failure.message().contains("to leave version 4"),
                "{status}, {after}: {failure:?}"
            );
            let cloud = case.cloud.lock().unwrap();
            assert_eq!(
                (cloud.frozen, cloud.notices.len()),
                (1, notices),
                "{status}, {after}"
            );
        }
        {
            let mut cloud = case.cloud.lock().unwrap();
            assert!(
                cloud.notices[1].contains("may still have traffic"),
                "{:?}",
                cloud.notices
            );
            cloud.keeps_traffic = false;
        }
        let outcome = case.deliver(600).await.unwrap();
        assert!(outcome.is_ok(), "{outcome:?}");
    }
}

/// The fix may be the very same version, once somebody has allowed it.
#[tokio::test(start_paused = true)]
async fn what_was_released_since_decides_what_the_alias_names() {
    let mut cloud = Cloud::new("InProgress");
    cloud.keeps_traffic = true;
    let case = case(cloud);
    assert!(case.deliver(1).await.unwrap().is_err());
    let again = deployment("d-AGAIN", "Succeeded", FIRED + 60, 3, 4);
    case.cloud.lock().unwrap().deployments.push(again);
    let outcome = case.deliver(122).await.unwrap();
    assert!(matches!(outcome, Ok(Outcome::Stopped { .. })), "{outcome:?}");
}
