//! Stopping, alarms, and the way back.

use std::sync::Arc;

use serde_json::{Value, json};
use signalbox_local_cloudwatch::CloudWatchEngine;
use signalbox_local_core::testing::TestCloud;
use signalbox_local_core::{Caller, Cloud as _};

use crate::stage::{ALL_AT_ONCE, CANARY, Stage, pass, revision, rolling_back, settle};

#[tokio::test(start_paused = true)]
async fn a_rollback_carries_the_revision_that_was_good() {
    let stage = Stage::new(rolling_back(CANARY, &["DEPLOYMENT_STOP_ON_REQUEST"])).await;
    let good = stage.deploy(json!({"deploymentConfigName": ALL_AT_ONCE})).await;
    settle().await;
    let id = stage.deploy(json!({"revision": revision("2", "3", false)})).await;
    settle().await;
    stage.ok("StopDeployment", json!({"deploymentId": id})).await;
    settle().await;
    let rollback = stage.info(&id).await["rollbackInfo"]["rollbackDeploymentId"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        stage.info(&rollback).await["revision"],
        stage.info(&good).await["revision"]
    );
}

#[tokio::test(start_paused = true)]
async fn stopping_leaves_the_traffic_or_takes_it_back() {
    let stage = Stage::new(json!({"deploymentConfigName": CANARY})).await;
    let id = stage.deploy(json!({})).await;
    pass(60).await;
    let stopped = stage
        .ok(
            "StopDeployment",
            json!({"deploymentId": id, "autoRollbackEnabled": false}),
        )
        .await;
    assert_eq!(stopped["status"], "Pending");
    settle().await;
    let info = stage.info(&id).await;
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Stopped"), &json!("MANUAL_STOP"))
    );
    assert_eq!(stage.changes(), [(0, "1".to_owned(), json!({"2": 0.1}))]);
    assert_eq!(stage.states(&id), ["START", "STOP"]);
    let again = stage
        .call("StopDeployment", json!({"deploymentId": id}))
        .await
        .unwrap_err();
    assert_eq!(again.code, "DeploymentAlreadyCompletedException");
    pass(600).await;
    assert_eq!(stage.changes().len(), 1);

    let id = stage.deploy(json!({})).await;
    pass(60).await;
    stage
        .ok(
            "StopDeployment",
            json!({"deploymentId": id, "autoRollbackEnabled": true}),
        )
        .await;
    settle().await;
    assert_eq!(stage.changes().last().unwrap(), &(720, "1".to_owned(), json!({})));
    assert!(stage.info(&id).await["rollbackInfo"]["rollbackDeploymentId"].is_string());
}

#[tokio::test(start_paused = true)]
async fn an_alarm_stops_the_deployment_and_takes_it_back() {
    let mut group = rolling_back(CANARY, &["DEPLOYMENT_STOP_ON_ALARM"]);
    group["alarmConfiguration"] =
        json!({"enabled": true, "alarms": [{"name": "errors"}, {"name": "duration"}]});
    let stage = Stage::new(group).await;
    let id = stage.deploy(json!({})).await;
    pass(100).await;
    stage.world.lock().unwrap().alarms.push("errors");
    pass(11).await;
    let info = stage.info(&id).await;
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Stopped"), &json!("ALARM_ACTIVE"))
    );
    assert!(
        info["errorInformation"]["message"]
            .as_str()
            .unwrap()
            .ends_with("Activated alarms: <errors>")
    );
    assert_eq!(stage.changes().last().unwrap().1, "1");
    assert_eq!(stage.states(&id), ["START", "STOP"]);

    let red = stage.deploy(json!({})).await;
    settle().await;
    assert_eq!(stage.status(&red).await, "Stopped");

    let hotfix = stage
        .deploy(json!({"overrideAlarmConfiguration": {"enabled": false}}))
        .await;
    pass(301).await;
    assert_eq!(stage.status(&hotfix).await, "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn alarms_that_cannot_be_read_fail_the_deployment_unless_told_otherwise() {
    let stage =
        Stage::new(json!({"alarmConfiguration": {"enabled": true, "alarms": [{"name": "errors"}]}})).await;
    stage.world.lock().unwrap().cloudwatch_is_down = true;
    let id = stage.deploy(json!({})).await;
    settle().await;
    assert_eq!(stage.status(&id).await, "Failed");
    let lenient = json!({"enabled": true, "ignorePollAlarmFailure": true, "alarms": [{"name": "errors"}]});
    let id = stage.deploy(json!({"overrideAlarmConfiguration": lenient})).await;
    settle().await;
    assert_eq!(stage.status(&id).await, "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_new_version_ring_a_real_alarm_that_takes_it_back() {
    let mut group = rolling_back(CANARY, &["DEPLOYMENT_STOP_ON_ALARM"]);
    group["alarmConfiguration"] = json!({"enabled": true, "alarms": [{"name": "above"}]});
    let stage = Stage::new(group).await;
    let cloudwatch = CloudWatchEngine::new(Arc::<TestCloud>::clone(&stage.cloud));
    stage.cloud.register(vec![cloudwatch]);
    let lambda = Caller::service("lambda.amazonaws.com");
    let ask = async |operation: &str, input: Value| {
        stage
            .cloud
            .call(&lambda, "cloudwatch", operation, input)
            .await
            .unwrap();
    };
    let dimensions =
        json!([{"Name": "Resource", "Value": "f:live"}, {"Name": "ExecutedVersion", "Value": "2"}]);
    let alarm = json!({
        "AlarmName": "errors", "Namespace": "AWS/Lambda", "MetricName": "Errors", "Dimensions": dimensions, "Statistic": "Sum",
        "Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
    });
    ask("PutMetricAlarm", alarm).await;
    ask(
        "PutCompositeAlarm",
        json!({"AlarmName": "above", "AlarmRule": "ALARM(errors)"}),
    )
    .await;

    let id = stage.deploy(json!({})).await;
    pass(30).await;
    assert_eq!(stage.status(&id).await, "InProgress");
    let error = json!({"MetricName": "Errors", "Dimensions": dimensions, "Value": 1.0});
    ask(
        "PutMetricData",
        json!({"Namespace": "AWS/Lambda", "MetricData": [error]}),
    )
    .await;
    pass(21).await;
    let info = stage.info(&id).await;
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Stopped"), &json!("ALARM_ACTIVE"))
    );
    assert_eq!(stage.changes().last().unwrap().1, "1");
}
