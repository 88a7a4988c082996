//! Lifecycle hooks.

use serde_json::{Value, json};

use crate::stage::{ALL_AT_ONCE, CANARY, Stage, pass, revision, rolling_back, settle};

#[tokio::test(start_paused = true)]
async fn hooks_hold_the_deployment_until_they_answer() {
    let stage = Stage::new(json!({"deploymentConfigName": ALL_AT_ONCE})).await;
    let id = stage.deploy(json!({"revision": revision("1", "2", true)})).await;
    pass(1_800).await;
    assert_eq!(stage.changes(), []);
    assert_eq!(stage.lifecycle(&id).await, ["InProgress", "Pending", "Pending"]);
    stage.answer_hook("Succeeded").await.unwrap();
    assert_eq!(
        stage.answer_hook("Succeeded").await.unwrap_err().code,
        "LifecycleEventAlreadyCompletedException"
    );
    settle().await;
    assert_eq!(stage.changes().len(), 1);
    assert_eq!(
        stage.lifecycle(&id).await,
        ["Succeeded", "Succeeded", "InProgress"]
    );
    assert_eq!(
        stage.answer_hook("Pending").await.unwrap_err().code,
        "InvalidLifecycleEventHookExecutionStatusException"
    );
    stage.answer_hook("Succeeded").await.unwrap();
    settle().await;
    assert_eq!(stage.status(&id).await, "Succeeded");
    let unknown = json!({"deploymentId": id, "lifecycleEventHookExecutionId": "x", "status": "Succeeded"});
    assert_eq!(
        stage
            .call("PutLifecycleEventHookExecutionStatus", unknown)
            .await
            .unwrap_err()
            .code,
        "InvalidLifecycleEventHookExecutionIdException"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failing_hook_fails_the_deployment_before_any_traffic() {
    let stage = Stage::new(json!({"deploymentConfigName": CANARY})).await;
    let id = stage.deploy(json!({"revision": revision("1", "2", true)})).await;
    settle().await;
    stage.answer_hook("Failed").await.unwrap();
    settle().await;
    let info = stage.info(&id).await;
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Failed"), &json!("HOOK_EXECUTION_FAILURE"))
    );
    assert_eq!(stage.changes(), []);
    assert_eq!(stage.lifecycle(&id).await, ["Failed", "Skipped", "Skipped"]);
    assert_eq!(stage.states(&id), ["START", "FAILURE"]);
    assert_eq!(info.get("rollbackInfo"), None);
}

#[tokio::test(start_paused = true)]
async fn a_failing_last_hook_takes_the_alias_back_by_a_deployment_of_its_own() {
    let stage = Stage::new(rolling_back(ALL_AT_ONCE, &["DEPLOYMENT_FAILURE"])).await;
    let id = stage.deploy(json!({"revision": revision("1", "2", true)})).await;
    settle().await;
    stage.answer_hook("Succeeded").await.unwrap();
    settle().await;
    stage.answer_hook("Failed").await.unwrap();
    settle().await;
    let versions: Vec<String> = stage
        .changes()
        .into_iter()
        .map(|(_, version, _)| version)
        .collect();
    assert_eq!(versions, ["2", "1"]);

    let rollback = stage.info(&id).await["rollbackInfo"]["rollbackDeploymentId"]
        .as_str()
        .unwrap()
        .to_owned();
    let info = stage.info(&rollback).await;
    assert_eq!(
        (&info["creator"], &info["status"]),
        (&json!("codeDeployRollback"), &json!("Succeeded"))
    );
    assert_eq!(
        info["rollbackInfo"]["rollbackTriggeringDeploymentId"],
        id.as_str()
    );
    assert_eq!(stage.states(&id), ["START", "FAILURE"]);
    assert_eq!(stage.states(&rollback), ["START", "SUCCESS"]);
    let listed = stage
        .ok(
            "ListDeployments",
            json!({"applicationName": "app", "deploymentGroupName": "live"}),
        )
        .await;
    assert_eq!(listed["deployments"], json!([rollback, id]));
}

#[tokio::test(start_paused = true)]
async fn a_silent_hook_fails_after_an_hour() {
    let stage = Stage::new(json!({"deploymentConfigName": CANARY})).await;
    let id = stage.deploy(json!({"revision": revision("1", "2", true)})).await;
    pass(3_599).await;
    assert_eq!(stage.status(&id).await, "InProgress");
    pass(2).await;
    let info = stage.info(&id).await;
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Failed"), &json!("TIMEOUT"))
    );
    assert_eq!(
        stage.answer_hook("Succeeded").await.unwrap_err().code,
        "LifecycleEventAlreadyCompletedException"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_cannot_be_called_fails_at_once() {
    let stage = Stage::new(json!({})).await;
    stage.world.lock().unwrap().hooks_are_gone = true;
    let id = stage.deploy(json!({"revision": revision("1", "2", true)})).await;
    settle().await;
    assert_eq!(
        stage.info(&id).await["errorInformation"]["code"],
        "HOOK_EXECUTION_FAILURE"
    );

    let content = revision("1", "2", true)
        .to_string()
        .replace("CodeDeployHook_before", "some-function");
    let id = stage
        .deploy(json!({"revision": serde_json::from_str::<Value>(&content).unwrap()}))
        .await;
    settle().await;
    assert_eq!(
        stage.info(&id).await["errorInformation"]["code"],
        "IAM_ROLE_PERMISSIONS"
    );
}
