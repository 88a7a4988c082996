//! How executions share a pipeline.

use serde_json::{Value, json};

use crate::world::{PIPELINE, World, action, last_stage};

fn mode(name: &'static str) -> impl FnOnce(&mut Value) {
    move |pipeline| pipeline["executionMode"] = json!(name)
}

#[tokio::test(start_paused = true)]
async fn superseded_the_newest_of_those_that_wait_goes_on() {
    let world = World::new(|_| ()).await;
    world.hold_builds(true);
    let first = world.start().await;
    world.settle().await;
    let second = world.start().await;
    world.settle().await;
    assert_eq!(
        world.stage("Build").await["inboundExecution"]["pipelineExecutionId"],
        second
    );
    let third = world.start().await;
    world.settle().await;
    assert_eq!(world.status(&first).await, "InProgress");
    assert_eq!(world.status(&second).await, "Superseded");
    assert_eq!(world.status(&third).await, "InProgress");
    assert_eq!(world.events(&second).last().unwrap(), "pipeline SUPERSEDED");
    world.hold_builds(false);
    world.end_builds("SUCCEEDED");
    assert_eq!(world.settled(&third).await, "Succeeded");
    assert_eq!(world.status(&first).await, "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_failed_stage_is_free_for_the_next_execution() {
    let world = World::new(|_| ()).await;
    world.fail_builds(true);
    let first = world.start().await;
    assert_eq!(world.settled(&first).await, "Failed");
    world.fail_builds(false);
    let second = world.start().await;
    assert_eq!(world.settled(&second).await, "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn queued_everyone_comes_through_in_the_order_of_the_start() {
    let world = World::new(mode("QUEUED")).await;
    world.hold_builds(true);
    let runs = [world.start().await, world.start().await, world.start().await];
    world.settle().await;
    for run in &runs {
        assert_eq!(world.status(run).await, "InProgress");
    }
    assert_eq!(world.started_builds(), 1, "one execution to a stage");
    let waiting: Vec<Value> = world.stage("Build").await["inboundExecutions"]
        .as_array()
        .unwrap()
        .clone();
    let waiting: Vec<&Value> = waiting.iter().map(|it| &it["pipelineExecutionId"]).collect();
    assert_eq!(waiting, [runs[1].as_str(), runs[2].as_str()]);
    world.hold_builds(false);
    world.end_builds("SUCCEEDED");
    world.settle().await;
    let order: Vec<String> = world
        .cloud
        .events()
        .into_iter()
        .filter(|event| event.detail["stage"] == "Test" && event.detail["state"] == "STARTED")
        .filter(|event| event.detail.get("action").is_none())
        .map(|event| event.detail["execution-id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(order, runs);
    for run in &runs {
        assert_eq!(world.status(run).await, "Succeeded");
    }
}

#[tokio::test(start_paused = true)]
async fn parallel_nobody_waits_and_each_approval_is_its_own() {
    let world = World::new(|pipeline| {
        mode("PARALLEL")(pipeline);
        last_stage(
            pipeline,
            "Approval",
            &[action("Approve", "Approval", "Manual", &json!({}))],
        );
    })
    .await;
    let runs = [world.start().await, world.start().await];
    world.settle().await;
    assert_eq!(world.started_builds(), 2);
    assert_eq!(
        world.action("Approval").await.get("token"),
        None,
        "AWS shows no token in PARALLEL mode"
    );
    for run in &runs {
        let approval = world.actions(run).await[0].clone();
        assert_eq!(approval["status"], "InProgress");
        let answer = json!({
            "pipelineName": PIPELINE, "stageName": "Approval", "actionName": "Approve",
            "token": approval["output"]["executionResult"]["externalExecutionId"],
            "result": { "status": "Approved", "summary": "" },
        });
        world.call("PutApprovalResult", answer).await;
        assert_eq!(world.settled(run).await, "Succeeded");
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_concurrent_executions_is_limited() {
    let world = World::new(mode("QUEUED")).await;
    world.hold_builds(true);
    for _ in 0..50 {
        world.start().await;
    }
    let refused = world
        .refused("StartPipelineExecution", json!({ "name": PIPELINE }))
        .await;
    assert_eq!(refused.code, "ConcurrentPipelineExecutionsLimitExceededException");
}

fn transition(stage: &str) -> Value {
    json!({ "pipelineName": PIPELINE, "stageName": stage, "transitionType": "Inbound", "reason": "Frozen by roll-back" })
}

#[tokio::test(start_paused = true)]
async fn a_disabled_transition_holds_executions_until_it_is_enabled() {
    let world = World::new(|_| ()).await;
    world.call("DisableStageTransition", transition("Test")).await;
    let state = world.stage("Test").await["inboundTransitionState"].clone();
    assert_eq!(state["enabled"], false);
    assert_eq!(state["disabledReason"], "Frozen by roll-back");
    assert_eq!(state["lastChangedBy"], "arn:aws:iam::123456789012:user/local");
    assert!(state["lastChangedAt"].is_f64());

    let first = world.start().await;
    assert_eq!(world.settled(&first).await, "InProgress");
    assert_eq!(
        world.stage("Build").await["latestExecution"]["status"],
        "Succeeded"
    );
    assert_eq!(
        world.stage("Test").await["inboundExecution"]["pipelineExecutionId"],
        first
    );
    let second = world.start().await;
    world.settle().await;
    assert_eq!(
        world.status(&first).await,
        "Superseded",
        "a newer one waits at the closed door now"
    );

    let mut enable = transition("Test");
    enable.as_object_mut().unwrap().remove("reason");
    world.call("EnableStageTransition", enable).await;
    assert_eq!(world.settled(&second).await, "Succeeded");
    let state = world.stage("Test").await["inboundTransitionState"].clone();
    assert_eq!(state["enabled"], true);
    assert_eq!(state.get("disabledReason"), None);
    assert_eq!(
        world
            .refused("DisableStageTransition", transition("Nowhere"))
            .await
            .code,
        "StageNotFoundException"
    );
}
