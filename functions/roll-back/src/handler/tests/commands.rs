//! What people command.

use jiff::Timestamp;
use serde_json::json;
use signalbox_bootstrap::Failure;

use super::case::{Case, case};
use super::cloud::{Cloud, FIRED, deployment};
use super::*;

impl Case {
    async fn command(&self, second: i64, command: Value) -> Result<Outcome, Failure> {
        let mut command = command;
        if command["command"] != "status" {
            command["by"] = json!("ann@example.com");
            command["reason"] = json!("it is slow");
        }
        let now = Timestamp::from_second(FIRED + second).unwrap();
        self.invoke(command, now).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_rolls_back_long_after_and_it_is_on_record() {
    let case = case(Cloud::new("Succeeded"));
    let late = 40 * 3600;
    let dry = case
        .command(
            late,
            json!({ "command": "roll-back", "version": "2", "dry_run": true }),
        )
        .await
        .unwrap();
    assert!(
        matches!(&dry, Outcome::Would { action } if action.contains("deploy version 2 in the place of version 4")),
        "{dry:?}"
    );
    assert_eq!(case.cloud.lock().unwrap().created, 0);
    let done = case
        .command(late + 1, json!({ "command": "roll-back", "version": "2" }))
        .await
        .unwrap();
    assert!(
        matches!(&done, Outcome::Redeployed { undone, .. } if undone == "d-BAD"),
        "{done:?}"
    );
    {
        let cloud = case.cloud.lock().unwrap();
        assert_eq!((cloud.created, cloud.frozen, cloud.notices.len()), (1, 1, 1));
        assert!(
            cloud.notices[0].contains("By%3A ann%40example.com"),
            "{:?}",
            cloud.notices
        );
    }
    let commands = case.app.ledger.commands("pipeline").await.unwrap();
    assert_eq!(commands.len(), 2, "{commands:?}");
    assert_eq!(commands[0]["came_to"]["outcome"], "would");
    assert_eq!(
        (&commands[1]["by"], &commands[1]["came_to"]["outcome"]),
        (&json!("ann@example.com"), &json!("redeployed"))
    );
}

/// When all deployments are older than what is listed, and after another release between the two commands.
#[tokio::test(start_paused = true)]
async fn the_same_command_after_another_release_has_its_own_effect() {
    let mut cloud = Cloud::new("Succeeded");
    cloud.lists_recent = false;
    cloud.has_stack = true;
    let case = case(cloud);
    let back = json!({ "command": "roll-back", "version": "3" });
    let first = case.command(5 * 86_400, back.clone()).await.unwrap();
    assert!(
        matches!(&first, Outcome::Redeployed { undone, deployment } if undone == "d-BAD" && deployment == "d-BACK1"),
        "{first:?}"
    );
    {
        let mut cloud = case.cloud.lock().unwrap();
        assert_eq!(
            cloud.rolled_back,
            ["Deploy", "Release"],
            "the stack follows, however late"
        );
        cloud.alias = 5;
        let release = deployment("d-NEXT", "Succeeded", FIRED + 7 * 86_400, 3, 5);
        cloud.deployments.push(release);
    }
    let second = case.command(11 * 86_400, back).await.unwrap();
    assert!(
        matches!(&second, Outcome::Redeployed { undone, deployment } if undone == "d-NEXT" && deployment == "d-BACK2"),
        "{second:?}"
    );
    let cloud = case.cloud.lock().unwrap();
    assert_eq!((cloud.created, cloud.notices.len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_person_stops_what_is_in_flight() {
    let mut cloud = Cloud::new("InProgress");
    cloud.alias = 3;
    let case = case(cloud);
    let wrong = case
        .command(1, json!({ "command": "roll-back", "version": "2" }))
        .await
        .unwrap();
    assert!(
        matches!(&wrong, Outcome::Refused { reason } if reason.contains("version 3 first")),
        "{wrong:?}"
    );
    let done = case
        .command(2, json!({ "command": "roll-back", "version": "3" }))
        .await
        .unwrap();
    assert!(matches!(done, Outcome::Stopped { .. }), "{done:?}");
    let cloud = case.cloud.lock().unwrap();
    assert_eq!((cloud.stopped, cloud.created, cloud.frozen), (1, 0, 1));
}

/// A person who gets no answer sends the command again.
#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_loses_nothing_that_follows_from_a_command() {
    for status in ["InProgress", "Succeeded"] {
        for at in 1.. {
            let mut crashed = false;
            for has_effect in [false, true] {
                let case = case(Cloud {
                    crash: Some((at, has_effect)),
                    ..Cloud::new(status)
                });
                let command = json!({
                    "command": "roll-back", "version": "3", "by": "ann@example.com", "reason": "it is slow",
                });
                let moment = |second: i64| Timestamp::from_second(FIRED + second).unwrap();
                crashed |= case.invoke(command.clone(), moment(1)).await.is_none();
                {
                    let mut cloud = case.cloud.lock().unwrap();
                    if has_effect && !cloud.crashed_at_a_change {
                        continue;
                    }
                    cloud.crash = None;
                }
                for second in [62, 124] {
                    let sent_again = case.invoke(command.clone(), moment(second)).await;
                    let cloud = case.cloud.lock().unwrap();
                    let what = format!("{status}, call {at}, effect {has_effect}: {sent_again:?} {cloud:#?}");
                    assert!(matches!(sent_again, Some(Ok(_))), "{what}");
                    assert_eq!((cloud.stopped + cloud.created, cloud.alias), (1, 3), "{what}");
                    assert!(cloud.frozen > 0 && !cloud.notices.is_empty(), "{what}");
                }
            }
            if !crashed {
                assert!(at > 8, "only {at} calls were made");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bad_code_comes_back_only_after_somebody_allowed_it() {
    let case = case(Cloud::new("InProgress"));
    let nothing = case
        .command(0, json!({ "command": "allow-version", "version": "4" }))
        .await
        .unwrap();
    assert!(matches!(nothing, Outcome::Ignored { .. }), "{nothing:?}");
    assert!(case.deliver(1).await.unwrap().is_ok());
    case.cloud.lock().unwrap().alias = 3;
    let command = json!({ "command": "roll-back", "version": "4" });
    let refused = case.command(2, command.clone()).await.unwrap();
    assert!(
        matches!(&refused, Outcome::Refused { reason } if reason.contains("allow-version")),
        "{refused:?}"
    );
    let allowed = case
        .command(3, json!({ "command": "allow-version", "version": "4" }))
        .await
        .unwrap();
    assert!(
        matches!(&allowed, Outcome::Allowed { code_sha256, .. } if code_sha256 == "sha/4="),
        "{allowed:?}"
    );
    let done = case.command(4, command).await.unwrap();
    assert!(matches!(done, Outcome::Redeployed { .. }), "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn freeze_and_unfreeze_are_on_record_and_a_status_tells_all() {
    let case = case(Cloud::new("Succeeded"));
    let frozen = case.command(1, json!({ "command": "freeze" })).await.unwrap();
    assert_eq!(
        frozen,
        Outcome::Frozen {
            stage: "Release".to_owned()
        }
    );
    let Outcome::Status { status } = case.command(2, json!({ "command": "status" })).await.unwrap() else {
        panic!("no status");
    };
    assert_eq!(status["stages"][0]["frozen"], true);
    assert_eq!(
        (&status["groups"][0]["group"], &status["groups"][0]["version"]),
        (&json!("app-live"), &json!("4"))
    );
    assert_eq!(status["commands"][0]["by"], "ann@example.com");
    let unfrozen = case.command(3, json!({ "command": "unfreeze" })).await.unwrap();
    assert_eq!(
        unfrozen,
        Outcome::Unfrozen {
            stage: "Release".to_owned()
        }
    );
    let at = Timestamp::from_second(FIRED).unwrap();
    let noted = case.app.ledger.get_value("freeze", "pipeline/Release", at).await;
    assert_eq!(noted.unwrap().unwrap()["frozen"], false);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_understood_or_recorded_is_not_done() {
    let case = case(Cloud::new("Succeeded"));
    let failure = case
        .invoke(
            json!({ "command": "roll-back", "versoin": "3" }),
            Timestamp::from_second(FIRED).unwrap(),
        )
        .await
        .unwrap()
        .unwrap_err();
    assert!(!failure.is_retryable());
    for words in ["`version` is missing", "`by` is missing", "`versoin` is no field"] {
        assert!(failure.message().contains(words), "{failure:?}");
    }
    assert_eq!(case.cloud.lock().unwrap().calls, 0);
}
