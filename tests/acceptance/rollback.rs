//! Rollbacks that must happen, and those that must not: real deployments, real alarms, the real function.

use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_events::alarm::AlarmChange;
use signalbox_ledger::BadVersion;
use signalbox_local::faults::{Fault, Rule};

use crate::rollback_cloud::{SLOW, cloud};
use crate::rollback_group::Group;
use crate::world::{Answer, World};

/// The outcome and its reason.
fn ignored(outcome: &Value, reason: &str) {
    assert_eq!(outcome["outcome"], "ignored", "{outcome}");
    let said = outcome["reason"].as_str().unwrap();
    assert!(said.contains(reason), "{said} should say: {reason}");
}

pub(crate) async fn a_canary_that_fails_is_stopped_frozen_remembered_and_told_once(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::new(&cloud).await;
    let bad = group.in_flight(1, 2).await;
    group.alarm().await;
    group.until_status(&bad, "Stopped").await;
    group.until_alias("1").await;
    let title = format!("Rolled back: {} version 2", group.function);
    let mail = cloud.mail(&[&title]).await;
    for words in [
        bad.as_str(),
        &group.alarm,
        "Good version: 1",
        "is remembered as bad",
        "is frozen",
    ] {
        assert!(mail.text.contains(words), "{words} is missing in {}", mail.text);
    }
    cloud.settled(&group.alarm).await;
    assert!(cloud.frozen().await.is_some(), "the stage is not frozen");
    let ledger = cloud.ledger();
    let record = ledger.load_rollback(&bad).await.unwrap().unwrap();
    assert_eq!(
        (
            &record["action"],
            &record["group"],
            &record["from_version"],
            &record["to_version"]
        ),
        (&json!("stopped"), &json!(group.name), &json!("2"), &json!("1"))
    );
    let remembered = ledger.bad_versions().await.unwrap();
    let of_this = |bad: &&BadVersion| bad.function.as_str() == group.function;
    let remembered: Vec<_> = remembered.iter().filter(of_this).collect();
    assert_eq!(remembered.len(), 1, "{remembered:?}");
    let input = json!({ "FunctionName": group.function, "Qualifier": "2" });
    let version = cloud.call("lambda", "GetFunctionConfiguration", input).await;
    assert_eq!(version["CodeSha256"], json!(remembered[0].code_sha256));
    assert_eq!(cloud.mails(&[&title]), 1);
}

pub(crate) async fn h86_a_stale_alarm_changes_nothing(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::held(&cloud).await;
    let deployment = group.in_flight(1, 2).await;
    group.alarm().await;
    cloud.raised(&group.alarm).await;
    cloud.set_alarm(&group.alarm, "OK").await;
    ignored(&group.hand_over().await, "no longer in state ALARM");
    assert_eq!(group.status(&deployment).await, "InProgress");
    group.stop(&deployment).await;
}

pub(crate) async fn h87_an_alarm_that_flaps_twenty_times_stops_once(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::new(&cloud).await;
    let bad = group.in_flight(1, 2).await;
    for _ in 0..20 {
        cloud.set_alarm(&group.alarm, "OK").await;
        group.alarm().await;
    }
    group.until_status(&bad, "Stopped").await;
    group.until_alias("1").await;
    let title = format!("Rolled back: {} version 2", group.function);
    cloud.mail(&[&title]).await;
    cloud.settled(&group.alarm).await;
    assert_eq!(cloud.mails(&[&title]), 1);
    // It, and CodeDeploy's own way back.
    assert_eq!(group.deployments().await.len(), 2);
}

pub(crate) async fn h88_of_two_groups_with_one_alarm_each_the_right_one_is_stopped(world: &World) {
    let cloud = cloud(world).await;
    let (one, other) = (Group::new(&cloud).await, Group::new(&cloud).await);
    let (first, second) = (one.in_flight(1, 2).await, other.in_flight(1, 2).await);
    other.alarm().await;
    other.until_status(&second, "Stopped").await;
    other.until_alias("1").await;
    cloud
        .mail(&[&format!("Rolled back: {} version 2", other.function)])
        .await;
    cloud.settled(&other.alarm).await;
    assert_eq!(one.status(&first).await, "InProgress");
    assert_eq!(cloud.mails(&[&one.function]), 0);
    one.stop(&first).await;
}

pub(crate) async fn h89_the_previous_deployments_alarm_changes_nothing(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::held(&cloud).await;
    group.deployed(1, 2).await;
    group.alarm().await;
    cloud.raised(&group.alarm).await;
    let next = group.in_flight(2, 3).await;
    // It is still red, for what was deployed before.
    ignored(&group.hand_over().await, "speaks of an earlier one");
    assert_eq!(group.status(&next).await, "InProgress");
    assert_eq!(group.deployments().await.len(), 2);
    group.stop(&next).await;
}

pub(crate) async fn h90_a_rollback_is_never_rolled_back(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::held(&cloud).await;
    group.deployed(1, 2).await;
    // As roll-back itself makes one, but slow.
    let mark = json!({ "description": "Signalbox rollback of d-EARLIER: alarm errors" });
    let rollback = group.deploy(2, 1, SLOW, mark).await;
    group.until_status(&rollback, "InProgress").await;
    group.alarm().await;
    let outcome = group.hand_over().await;
    assert_ne!(outcome["outcome"], "stopped", "{outcome}");
    assert_ne!(outcome["outcome"], "redeployed", "{outcome}");
    assert_eq!(group.status(&rollback).await, "InProgress");
    assert_eq!(group.deployments().await.len(), 2);
    group.stop(&rollback).await;
}

pub(crate) async fn h91_where_codedeploy_was_faster_it_is_only_reported(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::held(&cloud).await;
    let input = json!({
        "applicationName": cloud.installed.function, "currentDeploymentGroupName": group.name,
        "alarmConfiguration": { "enabled": true, "alarms": [{ "name": group.alarm }] },
        "autoRollbackConfiguration": { "enabled": true, "events": ["DEPLOYMENT_STOP_ON_ALARM"] },
    });
    cloud.call("codedeploy", "UpdateDeploymentGroup", input).await;
    let bad = group.in_flight(1, 2).await;
    group.alarm().await;
    group.until_status(&bad, "Stopped").await;
    group.until_alias("1").await;
    let before = group.deployments().await;
    let outcome = group.hand_over().await;
    assert_eq!(
        (&outcome["outcome"], &outcome["deployment"]),
        (&json!("reported"), &json!(bad)),
        "{outcome}"
    );
    let title = format!("Rolled back: {} version 2", group.function);
    let mail = cloud.mail(&[&title]).await;
    assert!(mail.text.contains("nothing was added to that"), "{}", mail.text);
    // Told again, it says the same, and nobody is told twice.
    assert_eq!(group.hand_over().await["outcome"], "reported");
    assert_eq!(cloud.mails(&[&title]), 1);
    assert_eq!(group.deployments().await, before);
}

pub(crate) async fn h92_what_has_succeeded_is_taken_back_within_its_bake_window_once(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::new(&cloud).await;
    let bad = group.deployed(1, 2).await;
    for _ in 0..5 {
        cloud.set_alarm(&group.alarm, "OK").await;
        group.alarm().await;
    }
    group.until_alias("1").await;
    let title = format!("Rolled back: {} version 2", group.function);
    let mail = cloud.mail(&[&title]).await;
    assert!(mail.text.contains("brings version 1 back"), "{}", mail.text);
    cloud.settled(&group.alarm).await;
    let deployments = group.deployments().await;
    assert_eq!(deployments.len(), 2, "{deployments:?}");
    let redeployment = deployments.iter().find(|id| **id != bad).unwrap();
    group.until_status(redeployment, "Succeeded").await;
    // One more delivery, long after: the same, and no more.
    let event = cloud.raised(&group.alarm).await;
    cloud.invoke(&event).await;
    assert_eq!(group.deployments().await.len(), 2);
    assert_eq!(cloud.mails(&[&title]), 1);
}

/// A composite alarm over `child`, which `suppressor` may hold back; the group lists what `listed` says.
async fn composite(group: &Group, world: &World, listed: bool) -> (String, String) {
    let cloud = cloud(world).await;
    let (name, suppressor) = (
        format!("{}-all", group.alarm),
        format!("{}-maintenance", group.alarm),
    );
    cloud.make_alarm(&suppressor, json!([])).await;
    cloud.set_alarm(&suppressor, "OK").await;
    let input = json!({
        "AlarmName": name, "AlarmRule": format!("ALARM(\"{}\")", group.alarm),
        "ActionsSuppressor": suppressor, "ActionsSuppressorWaitPeriod": 0,
        "ActionsSuppressorExtensionPeriod": 0,
    });
    cloud.call("cloudwatch", "PutCompositeAlarm", input).await;
    if listed {
        let input = json!({
            "applicationName": cloud.installed.function, "currentDeploymentGroupName": group.name,
            "alarmConfiguration": { "enabled": false, "alarms": [{ "name": name }] },
        });
        cloud.call("codedeploy", "UpdateDeploymentGroup", input).await;
    }
    (name, suppressor)
}

pub(crate) async fn h93_a_suppressed_composite_alarm_changes_nothing(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::held(&cloud).await;
    let (composite, suppressor) = composite(&group, world, true).await;
    let deployment = group.in_flight(1, 2).await;
    cloud.set_alarm(&suppressor, "ALARM").await;
    group.alarm().await;
    let event = cloud.raised(&composite).await;
    ignored(&cloud.invoke(&event).await, "suppressed");
    assert_eq!(group.status(&deployment).await, "InProgress");
    group.stop(&deployment).await;
}

pub(crate) async fn a_composite_alarm_speaks_for_the_group_that_lists_it_or_its_red_child(world: &World) {
    let cloud = cloud(world).await;
    for listed in [true, false] {
        let group = Group::held(&cloud).await;
        let (composite, _) = composite(&group, world, listed).await;
        let bad = group.in_flight(1, 2).await;
        group.alarm().await;
        let event = cloud.raised(&composite).await;
        let outcome = cloud.invoke(&event).await;
        assert_eq!(
            (&outcome["outcome"], &outcome["deployment"]),
            (&json!("stopped"), &json!(bad)),
            "listed {listed}: {outcome}"
        );
        group.until_alias("1").await;
    }
}

pub(crate) async fn a_tag_on_the_alarm_names_the_group(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::held(&cloud).await;
    let alarm = format!("{}-tagged", group.alarm);
    let tags = json!([{ "Key": "signalbox:deployment-group", "Value": group.name }]);
    cloud.make_alarm(&alarm, tags).await;
    let untagged = format!("{}-untagged", group.alarm);
    cloud.make_alarm(&untagged, json!([])).await;
    let bad = group.in_flight(1, 2).await;
    cloud.set_alarm(&untagged, "ALARM").await;
    let event = cloud.raised(&untagged).await;
    ignored(&cloud.invoke(&event).await, "speaks for none of the");
    cloud.set_alarm(&alarm, "ALARM").await;
    let event = cloud.raised(&alarm).await;
    let outcome = cloud.invoke(&event).await;
    assert_eq!(outcome["deployment"], json!(bad), "{outcome}");
    group.until_alias("1").await;
}

pub(crate) async fn h95_the_lost_event_of_a_tagged_alarm_is_swept(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::held(&cloud).await;
    let alarm = format!("{}-tagged", group.alarm);
    let tags = json!([{ "Key": "signalbox:deployment-group", "Value": group.name }]);
    cloud.make_alarm(&alarm, tags).await;
    let bad = group.in_flight(1, 2).await;
    cloud.set_alarm(&alarm, "ALARM").await;
    let sweep = json!({ "FunctionName": "signalbox-staging-sweep" });
    cloud.call("lambda", "Invoke", sweep).await;
    group.until_status(&bad, "Stopped").await;
    let told = cloud
        .mail(&[&format!("Rolled back: {} version 2", group.function)])
        .await;
    assert!(told.text.contains(&alarm), "{}", told.text);
}

/// One alarm whose tags cannot be read, and which is read first, keeps no other from being heard.
pub(crate) async fn an_unreadable_tag_keeps_no_other_alarm_from_being_swept(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::held(&cloud).await;
    let names = ["a", "b"].map(|name| format!("{}-{name}-tagged", group.alarm));
    let tags = json!([{ "Key": "signalbox:deployment-group", "Value": group.name }]);
    let bad = group.in_flight(1, 2).await;
    let unreadable = Fault::error("InternalServiceFault", 500);
    let rule = Rule::new("cloudwatch", "ListTagsForResource", unreadable).containing(&names[0]);
    let struck = cloud.running.cloud.faults().inject(rule);
    for alarm in &names {
        cloud.make_alarm(alarm, tags.clone()).await;
        cloud.set_alarm(alarm, "ALARM").await;
    }
    let sweep = json!({ "FunctionName": "signalbox-staging-sweep" });
    let answer = cloud.call("lambda", "Invoke", sweep).await;
    group.until_status(&bad, "Stopped").await;
    let told = cloud
        .mail(&[&format!("Rolled back: {} version 2", group.function)])
        .await;
    assert!(told.text.contains(&names[1]), "{}", told.text);
    assert!(struck.hits() > 0);
    // And it is not kept quiet.
    let said = Answer::of(&answer);
    assert!(said.text().contains("ListTagsForResource"), "{said:?}");
}

pub(crate) async fn h94_with_no_good_version_a_person_is_paged(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::new(&cloud).await;
    let input = json!({ "FunctionName": group.function, "Qualifier": "1" });
    let first = cloud.call("lambda", "GetFunctionConfiguration", input).await;
    let bad = BadVersion {
        function: group.function.parse().unwrap(),
        code_sha256: first["CodeSha256"].as_str().unwrap().to_owned(),
        version: "1".parse().unwrap(),
        deployment: "d-LONGAGO".parse().unwrap(),
        alarm: "an-older-alarm".to_owned(),
        at: Timestamp::now(),
        allowed: None,
    };
    cloud.ledger().remember_bad_version(&bad).await.unwrap();
    group.deployed(1, 2).await;
    group.alarm().await;
    let mail = cloud
        .mail(&[&format!("Needs a person: alarm {}", group.alarm)])
        .await;
    assert!(
        mail.text
            .contains("version 1 is remembered as bad (an-older-alarm)"),
        "{}",
        mail.text
    );
    cloud.settled(&group.alarm).await;
    assert_eq!(group.alias().await, ("2".to_owned(), Value::Null));
    assert_eq!(group.deployments().await.len(), 1);
}

pub(crate) async fn h96_a_deleted_alarm_changes_nothing(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::held(&cloud).await;
    let deployment = group.in_flight(1, 2).await;
    group.alarm().await;
    let event = cloud.raised(&group.alarm).await;
    let input = json!({ "AlarmNames": [group.alarm] });
    cloud.call("cloudwatch", "DeleteAlarms", input).await;
    ignored(&cloud.invoke(&event).await, "no longer exists");
    assert_eq!(group.status(&deployment).await, "InProgress");
    group.stop(&deployment).await;
}

pub(crate) async fn h97_a_newer_deployment_that_has_begun_is_left_alone(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::held(&cloud).await;
    let meant = group.in_flight(1, 2).await;
    group.alarm().await;
    let event = cloud.raised(&group.alarm).await;
    // Before the event arrives, a person stops what it speaks of and sends the next version out.
    group.stop(&meant).await;
    group.until_alias("1").await;
    group.until_free().await;
    let newer = group.in_flight(1, 3).await;
    ignored(&cloud.invoke(&event).await, "speaks of an earlier one");
    assert_eq!(group.status(&newer).await, "InProgress");
    group.stop(&newer).await;
}

/// A try that stopped a deployment died before it said so, and the next version is out before the event is tried
/// again: what is left to do about the first is done, and the second keeps its traffic.
pub(crate) async fn what_a_dead_try_began_is_finished_beside_a_newer_deployment(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::held(&cloud).await;
    let meant = group.in_flight(1, 2).await;
    group.alarm().await;
    let event = cloud.raised(&group.alarm).await;
    let changed = AlarmChange::parse(event.clone()).unwrap();
    let name = format!("{}@{}", group.alarm, changed.at.unwrap());
    let began = json!({ &group.name: [{ "deployment": meant, "is_report": false }] });
    let ledger = cloud.ledger();
    let noted = ledger.put_value("rollback-begun", &name, &began, Timestamp::now(), None);
    noted.await.unwrap();
    group.stop(&meant).await;
    group.until_alias("1").await;
    group.until_free().await;
    let newer = group.in_flight(1, 3).await;

    let done = cloud.invoke(&event).await;
    assert_eq!(
        (&done["outcome"], &done["deployment"]),
        (&json!("stopped"), &json!(meant)),
        "{done}"
    );
    assert!(ledger.load_rollback(&meant).await.unwrap().is_some());
    let told = format!("Rolled back: {} version 2", group.function);
    cloud.mail(&[&told]).await;
    assert_eq!(group.status(&newer).await, "InProgress");
    assert!(ledger.load_rollback(&newer).await.unwrap().is_none());
    cloud.invoke(&event).await;
    assert_eq!(cloud.mails(&[&told]), 1);
    group.stop(&newer).await;
}

pub(crate) async fn a_person_commands_by_invoking_the_function(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::new(&cloud).await;
    let bad = group.deployed(1, 2).await;
    let person = |mut command: Value| {
        command["by"] = json!("ann@example.com");
        command["reason"] = json!("customers call");
        command
    };
    let roll_back = json!({ "command": "roll-back", "version": "1", "group": group.name });
    let mut dry = person(roll_back.clone());
    dry["dry_run"] = json!(true);
    let would = cloud.invoke(&dry).await;
    assert_eq!(would["outcome"], "would", "{would}");
    assert_eq!(group.deployments().await.len(), 1);
    let done = cloud.invoke(&person(roll_back.clone())).await;
    assert_eq!(
        (&done["outcome"], &done["undone"]),
        (&json!("redeployed"), &json!(bad)),
        "{done}"
    );
    group.until_alias("1").await;
    cloud
        .mail(&[
            &format!("Rolled back: {} version 2", group.function),
            "ann@example.com",
        ])
        .await;
    let done = done["deployment"].as_str().unwrap();
    group.until_status(done, "Succeeded").await;
    let again = cloud.invoke(&person(roll_back)).await;
    assert_eq!(again["outcome"], "ignored", "{again}");
    // Its code stays out until somebody allows it.
    let forward = json!({ "command": "roll-back", "version": "2", "group": group.name });
    let refused = cloud.invoke(&person(forward.clone())).await;
    assert!(
        refused["outcome"] == "refused" && refused["reason"].as_str().unwrap().contains("allow-version"),
        "{refused}"
    );
    let allow = json!({ "command": "allow-version", "version": "2", "group": group.name });
    let allowed = cloud.invoke(&person(allow)).await;
    assert_eq!(allowed["outcome"], "allowed", "{allowed}");
    let forward = cloud.invoke(&person(forward)).await;
    assert_eq!(forward["outcome"], "redeployed", "{forward}");
    group.until_alias("2").await;
    // A stage that nothing else of these trials freezes.
    let frozen = cloud
        .invoke(&person(json!({ "command": "freeze", "stage": "Test" })))
        .await;
    assert_eq!(frozen, json!({ "outcome": "frozen", "stage": "Test" }));
    let status = cloud.invoke(&json!({ "command": "status" })).await;
    assert_eq!(status["status"]["stages"][2]["frozen"], true, "{status}");
    let unfrozen = cloud
        .invoke(&person(json!({ "command": "unfreeze", "stage": "Test" })))
        .await;
    assert_eq!(unfrozen["outcome"], "unfrozen", "{unfrozen}");
    let wrong = cloud
        .invoke(&json!({ "command": "freeze", "satge": "Test" }))
        .await;
    let said = wrong["errorMessage"].as_str().unwrap();
    assert!(
        said.contains("`by` is missing") && said.contains("`satge` is no field"),
        "{wrong}"
    );
    let commands = cloud.ledger().commands(&cloud.installed.pipeline).await.unwrap();
    let of_this = |line: &&Value| line["target"].to_string().contains(&group.name);
    assert_eq!(commands.iter().filter(of_this).count(), 6, "{commands:#?}");
}

/// Errors of whichever version answers, and what the application could not do at all: there is nothing to roll back, and
/// CloudWatch itself tells people.
pub(crate) async fn an_alarm_that_no_deployment_hangs_on_tells_whoever_is_on_call(world: &World) {
    let cloud = cloud(world).await;
    let on_call = "on-call@example.com";
    let subscription = json!({
        "TopicArn": cloud.installed.alert_topic, "Protocol": "email", "Endpoint": on_call,
    });
    cloud.call("sns", "Subscribe", subscription).await;
    for kind in ["alias-errors", "dead-letters"] {
        let alarm = format!("{}-{kind}", cloud.installed.function);
        cloud.set_alarm(&alarm, "ALARM").await;
        let subject = format!("ALARM: \"{alarm}\"");
        let told =
            |mail: &signalbox_local::inbox::Mail| mail.to == on_call && mail.subject.contains(&subject);
        let mail = cloud.running.cloud.inbox().wait_for(told);
        tokio::time::timeout(std::time::Duration::from_secs(60), mail)
            .await
            .unwrap_or_else(|_| panic!("nobody was told of {alarm}"));
        let event = cloud.raised(&alarm).await;
        ignored(&cloud.invoke(&event).await, "speaks for none of the");
    }
}

/// `CreateDeployment` has no token: after a lost answer it is not sent again, but the event's next try looks first.
pub(crate) async fn h73_a_redeployment_whose_answer_is_lost_is_made_once(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::held(&cloud).await;
    let bad = group.deployed(1, 2).await;
    let rule = Rule::new("codedeploy", "CreateDeployment", Fault::Reset)
        .containing(&group.name)
        .times(1)
        .after();
    let struck = cloud.running.cloud.faults().inject(rule);
    group.alarm().await;
    let event = cloud.raised(&group.alarm).await;
    let lost = cloud.answer(&event).await;
    assert!(lost.text().contains("CreateDeployment"), "{lost:?}");
    assert_eq!(struck.hits(), 1);
    group.until_alias("1").await;

    let done = cloud.invoke(&event).await;
    assert_eq!(
        (&done["outcome"], &done["undone"]),
        (&json!("redeployed"), &json!(bad)),
        "{done}"
    );
    let deployments = group.deployments().await;
    assert_eq!(deployments.len(), 2, "{deployments:?}");
    let title = format!("Rolled back: {} version 2", group.function);
    cloud.mail(&[&title]).await;
}
