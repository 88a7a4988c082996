//! Stop, retry, roll back.

use serde_json::{Value, json};
use signalbox_local_core::Cloud;

use crate::world::{PIPELINE, World};

fn stop(run: &str, abandon: bool) -> Value {
    json!({ "pipelineName": PIPELINE, "pipelineExecutionId": run, "abandon": abandon, "reason": "wrong build" })
}

fn retry(run: &str, stage: &str, mode: &str) -> Value {
    json!({ "pipelineName": PIPELINE, "pipelineExecutionId": run, "stageName": stage, "retryMode": mode })
}

fn roll_back(stage: &str, target: &str) -> Value {
    json!({ "pipelineName": PIPELINE, "stageName": stage, "targetPipelineExecutionId": target })
}

#[tokio::test(start_paused = true)]
async fn stop_and_wait_lets_the_action_end_and_starts_no_other() {
    let world = World::new(|_| ()).await;
    world.hold_builds(true);
    let run = world.start().await;
    world.settle().await;
    world.call("StopPipelineExecution", stop(&run, false)).await;
    assert_eq!(world.settled(&run).await, "Stopping");
    assert_eq!(
        world.stage("Build").await["latestExecution"]["status"],
        "Stopping"
    );
    let again = world.refused("StopPipelineExecution", stop(&run, false)).await;
    assert_eq!(again.code, "DuplicatedStopRequestException");
    world.end_builds("SUCCEEDED");
    assert_eq!(world.settled(&run).await, "Stopped");
    assert_eq!(world.started_builds(), 1);
    let done = world.refused("StopPipelineExecution", stop(&run, false)).await;
    assert_eq!(done.code, "PipelineExecutionNotStoppableException");
    let events = world.events(&run);
    assert_eq!(
        events[events.len() - 5..],
        [
            "pipeline STOPPING",
            "Build STOPPING",
            "Build/Build SUCCEEDED",
            "Build STOPPED",
            "pipeline STOPPED"
        ]
    );
    assert_eq!(
        world.event(&run, "pipeline STOPPING")["stop-execution-comments"],
        "wrong build"
    );
    let list = world
        .call("ListPipelineExecutions", json!({ "pipelineName": PIPELINE }))
        .await;
    assert_eq!(
        list["pipelineExecutionSummaries"][0]["stopTrigger"]["reason"],
        "wrong build"
    );
}

#[tokio::test(start_paused = true)]
async fn stop_and_abandon_ends_at_once_and_a_late_result_changes_nothing() {
    let world = World::new(|_| ()).await;
    world.hold_builds(true);
    let run = world.start().await;
    world.settle().await;
    world.call("StopPipelineExecution", stop(&run, false)).await;
    world.call("StopPipelineExecution", stop(&run, true)).await;
    assert_eq!(world.status(&run).await, "Stopped");
    assert_eq!(world.action("Build").await["status"], "Abandoned");
    world.end_builds("SUCCEEDED");
    assert_eq!(world.settled(&run).await, "Stopped");
    assert_eq!(world.action("Build").await["status"], "Abandoned");
    assert_eq!(world.calls("StopBuild"), [json!({ "id": "app-build:1" })]);
    assert!(world.events(&run).contains(&"Build/Build ABANDONED".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_waits_is_stopped_at_once() {
    let world = World::new(|_| ()).await;
    world.hold_builds(true);
    let first = world.start().await;
    world.settle().await;
    let second = world.start().await;
    world.settle().await;
    world.call("StopPipelineExecution", stop(&second, false)).await;
    assert_eq!(world.status(&second).await, "Stopped");
    assert_eq!(world.status(&first).await, "InProgress");
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_the_failed_actions_makes_a_second_attempt() {
    let world = World::new(|_| ()).await;
    world.fail_builds(true);
    let run = world.start().await;
    assert_eq!(world.settled(&run).await, "Failed");
    world.fail_builds(false);
    let answer = world
        .call("RetryStageExecution", retry(&run, "Build", "FAILED_ACTIONS"))
        .await;
    assert_eq!(answer["pipelineExecutionId"], run);
    assert_eq!(world.settled(&run).await, "Succeeded");
    let resumed = world.event(&run, "pipeline RESUMED");
    assert_eq!(resumed["pipeline-execution-attempt"].to_string(), "2.0");
    assert!(world.event(&run, "Build RESUMED")["stage-last-retry-attempt-time"].is_string());
    let metadata = world.stage("Build").await["retryStageMetadata"].clone();
    assert_eq!(
        metadata,
        json!({ "manualStageRetryAttempt": 1, "latestRetryTrigger": "ManualStageRetry" })
    );
    let latest = json!({ "pipelineName": PIPELINE, "filter": { "latestInPipelineExecution": {
        "pipelineExecutionId": run, "startTimeRange": "Latest",
    } } });
    let latest = world.call("ListActionExecutions", latest).await;
    assert_eq!(
        latest["actionExecutionDetails"].as_array().unwrap().len(),
        2,
        "Build and Test of attempt 2"
    );
    assert_eq!(world.actions(&run).await.len(), 4);
    let nothing = world
        .refused("RetryStageExecution", retry(&run, "Test", "FAILED_ACTIONS"))
        .await;
    assert_eq!(nothing.code, "StageNotRetryableException");
}

#[tokio::test(start_paused = true)]
async fn retry_modes_differ_in_what_they_run_again() {
    for (mode, expected) in [("FAILED_ACTIONS", 3), ("ALL_ACTIONS", 4)] {
        let world = World::new(|pipeline| {
            let mut second = pipeline["stages"][2]["actions"][0].clone();
            second["name"] = json!("Slow");
            pipeline["stages"][2]["actions"]
                .as_array_mut()
                .unwrap()
                .push(second);
        })
        .await;
        world.hold_builds(true);
        let run = world.start().await;
        world.settle().await;
        world.end_builds("SUCCEEDED");
        world.settle().await;
        world.builds.lock().unwrap().all[1].1 = "FAILED".to_owned();
        world.end_builds("SUCCEEDED");
        assert_eq!(world.settled(&run).await, "Failed");
        world.hold_builds(false);
        world.call("RetryStageExecution", retry(&run, "Test", mode)).await;
        assert_eq!(world.settled(&run).await, "Succeeded");
        assert_eq!(world.started_builds() - 1, expected, "{mode}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_refused_once_a_newer_execution_has_entered_the_stage() {
    let world = World::new(|_| ()).await;
    world.fail_builds(true);
    let first = world.start().await;
    world.settle().await;
    let second = world.start().await;
    world.settle().await;
    let refused = world
        .refused("RetryStageExecution", retry(&first, "Build", "FAILED_ACTIONS"))
        .await;
    assert_eq!(refused.code, "NotLatestPipelineExecutionException");
    world.hold_builds(true);
    world
        .call("RetryStageExecution", retry(&second, "Build", "FAILED_ACTIONS"))
        .await;
    let busy = world
        .refused("RetryStageExecution", retry(&second, "Build", "FAILED_ACTIONS"))
        .await;
    assert_eq!((busy.code.as_str(), busy.status), ("ConflictException", 409));
}

#[tokio::test(start_paused = true)]
async fn a_stage_can_retry_by_itself_once() {
    let world = World::new(|pipeline| {
        pipeline["stages"][1]["onFailure"] =
            json!({ "result": "RETRY", "retryConfiguration": { "retryMode": "ALL_ACTIONS" } });
    })
    .await;
    world.fail_builds(true);
    let run = world.start().await;
    assert_eq!(world.settled(&run).await, "Failed");
    assert_eq!(world.started_builds(), 2);
    assert_eq!(
        world.stage("Build").await["retryStageMetadata"]["autoStageRetryAttempt"],
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_stage_is_rolled_back_to_what_an_earlier_execution_brought_there() {
    let world = World::new(|_| ()).await;
    let good = world.start().await;
    world.settle().await;
    world
        .cloud
        .put_object("source", "source/app.zip", b"bad".to_vec())
        .await
        .unwrap();
    let bad = world.start().await;
    assert_eq!(world.settled(&bad).await, "Succeeded");
    let answer = world.call("RollbackStage", roll_back("Test", &good)).await;
    let rollback = answer["pipelineExecutionId"].as_str().unwrap().to_owned();
    assert_eq!(world.settled(&rollback).await, "Succeeded");
    let shown = world.execution(&rollback).await;
    assert_eq!(shown["executionType"], "ROLLBACK");
    assert_eq!(
        shown["rollbackMetadata"]["rollbackTargetPipelineExecutionId"],
        good
    );
    assert_eq!(shown["trigger"]["triggerType"], "ManualRollback");
    assert_eq!(shown["artifactRevisions"][0]["revisionId"], "v1");
    let actions = world.actions(&rollback).await;
    assert_eq!(actions.len(), 1, "only the stage's own action");
    let of_good = world.actions(&good).await;
    assert_eq!(
        actions[0]["input"]["inputArtifacts"],
        of_good[0]["input"]["inputArtifacts"]
    );
    assert_eq!(world.stage("Test").await["latestExecution"]["type"], "ROLLBACK");

    let filter =
        json!({ "pipelineName": PIPELINE, "filter": { "succeededInStage": { "stageName": "Test" } } });
    let list = world.call("ListPipelineExecutions", filter).await;
    let ids: Vec<&Value> = list["pipelineExecutionSummaries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["pipelineExecutionId"])
        .collect();
    assert_eq!(ids, [rollback.as_str(), bad.as_str(), good.as_str()]);

    let again = world.refused("RollbackStage", roll_back("Test", &rollback)).await;
    assert_eq!(
        again.code, "UnableToRollbackStageException",
        "a rollback is no target"
    );
    let source = world.refused("RollbackStage", roll_back("Source", &good)).await;
    assert_eq!(source.code, "UnableToRollbackStageException");
}

#[tokio::test(start_paused = true)]
async fn rollbacks_are_refused_where_aws_refuses_them() {
    let world = World::new(|_| ()).await;
    let good = world.start().await;
    world.settle().await;
    let unknown = world.refused("RollbackStage", roll_back("Test", "nobody")).await;
    assert_eq!(unknown.code, "PipelineExecutionNotFoundException");
    let nowhere = world.refused("RollbackStage", roll_back("Nowhere", &good)).await;
    assert_eq!(nowhere.code, "StageNotFoundException");
    world.fail_builds(true);
    let failed = world.start().await;
    world.settle().await;
    let never = world.refused("RollbackStage", roll_back("Test", &failed)).await;
    assert!(never.message.contains("did not succeed in this stage"), "{never}");
    world.fail_builds(false);
    world.hold_builds(true);
    world.start().await;
    world.settle().await;
    let running = world.refused("RollbackStage", roll_back("Build", &good)).await;
    assert!(running.message.contains("currently running"), "{running}");
    let mut declared = world.call("GetPipeline", json!({ "name": PIPELINE })).await["pipeline"].clone();
    declared["executionMode"] = json!("QUEUED");
    world
        .call("UpdatePipeline", json!({ "pipeline": declared }))
        .await;
    let older = world.refused("RollbackStage", roll_back("Test", &good)).await;
    assert!(older.message.contains("version 2"), "{older}");
    declared["executionMode"] = json!("PARALLEL");
    world
        .call("UpdatePipeline", json!({ "pipeline": declared }))
        .await;
    let parallel = world.refused("RollbackStage", roll_back("Test", &good)).await;
    assert!(parallel.message.contains("PARALLEL"), "{parallel}");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_passes_a_disabled_transition() {
    let world = World::new(|_| ()).await;
    let good = world.start().await;
    world.settle().await;
    let freeze = json!({ "pipelineName": PIPELINE, "stageName": "Test", "transitionType": "Inbound", "reason": "frozen" });
    world.call("DisableStageTransition", freeze).await;
    let answer = world.call("RollbackStage", roll_back("Test", &good)).await;
    assert_eq!(
        world
            .settled(answer["pipelineExecutionId"].as_str().unwrap())
            .await,
        "Succeeded"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_stage_rolls_itself_back_to_its_last_success() {
    let world =
        World::new(|pipeline| pipeline["stages"][1]["onFailure"] = json!({ "result": "ROLLBACK" })).await;
    world.fail_builds(true);
    let hopeless = world.start().await;
    assert_eq!(world.settled(&hopeless).await, "Failed");
    let count = async || {
        let list = world
            .call("ListPipelineExecutions", json!({ "pipelineName": PIPELINE }))
            .await;
        list["pipelineExecutionSummaries"].as_array().unwrap().clone()
    };
    assert_eq!(count().await.len(), 1, "there is nothing to go back to");
    world.fail_builds(false);
    let good = world.start().await;
    world.settle().await;
    world.fail_builds(true);
    let bad = world.start().await;
    world.settle().await;
    let all = count().await;
    assert_eq!(all.len(), 4, "the rollback fails too, and is not rolled back");
    assert_eq!(all[0]["executionType"], "ROLLBACK");
    assert_eq!(all[0]["status"], "Failed");
    assert_eq!(
        all[0]["trigger"],
        json!({ "triggerType": "AutomatedRollback", "triggerDetail": bad })
    );
    assert_eq!(
        all[0]["rollbackMetadata"]["rollbackTargetPipelineExecutionId"],
        good
    );
}
