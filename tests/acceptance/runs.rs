//! Runs as CodePipeline has them, and what a person does to them.

use serde_json::{Value, json};

use crate::world::{World, until};

/// A run's actions, newest first.
pub(crate) async fn actions(world: &World, run: &str) -> Vec<Value> {
    actions_of(world, &world.installed.pipeline, run).await
}

/// The actions of a run of another pipeline, newest first.
pub(crate) async fn actions_of(world: &World, pipeline: &str, run: &str) -> Vec<Value> {
    let input = json!({ "pipelineName": pipeline, "filter": { "pipelineExecutionId": run } });
    let answer = world
        .running
        .call("codepipeline", "ListActionExecutions", input)
        .await
        .unwrap();
    answer
        .get("actionExecutionDetails")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

/// The newest execution of the action of that name.
pub(crate) async fn action_of(world: &World, pipeline: &str, run: &str, name: &str) -> Option<Value> {
    let actions = actions_of(world, pipeline, run).await;
    actions.into_iter().find(|action| action["actionName"] == name)
}

/// An action's status, and what CodePipeline has as its summary.
pub(crate) fn status_and_summary(action: &Value) -> (String, String) {
    let summary = action.pointer("/output/executionResult/externalExecutionSummary");
    (
        action["status"].as_str().unwrap().to_owned(),
        summary.and_then(Value::as_str).unwrap_or_default().to_owned(),
    )
}

/// The object that the run's source action took: its key, byte for byte, and its version.
pub(crate) async fn source_of(world: &World, run: &str) -> (String, String) {
    until(&format!("the source of run {run}"), async || {
        let actions = actions(world, run).await;
        let source = actions
            .iter()
            .find(|action| action.get("actionName").is_some_and(|name| name == "Source"))?;
        let variable = |name: &str| {
            Some(
                source
                    .pointer("/output/outputVariables")?
                    .get(name)?
                    .as_str()?
                    .to_owned(),
            )
        };
        Some((variable("ObjectKey")?, variable("VersionId")?))
    })
    .await
}

/// A run's status.
pub(crate) async fn status(world: &World, run: &str) -> String {
    let input = json!({ "pipelineName": world.installed.pipeline, "pipelineExecutionId": run });
    let answer = world
        .running
        .call("codepipeline", "GetPipelineExecution", input)
        .await
        .unwrap();
    answer
        .pointer("/pipelineExecution/status")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Waits until the run asks for its approval for the `attempt`th time; answers the token.
pub(crate) async fn asked(world: &World, run: &str, attempt: usize) -> String {
    until(&format!("approval {attempt} of run {run}"), async || {
        let actions = actions(world, run).await;
        let mut approvals = actions
            .iter()
            .filter(|action| action.get("actionName").is_some_and(|name| name == "Approve"));
        let newest = approvals.next()?;
        let going_on = newest.get("status").is_some_and(|status| status == "InProgress");
        let token = newest
            .pointer("/output/executionResult/externalExecutionId")?
            .as_str()?
            .to_owned();
        (going_on && approvals.count() + 1 == attempt).then_some(token)
    })
    .await
}

/// Answers the approval that the run waits for.
pub(crate) async fn answer(world: &World, run: &str, attempt: usize, status: &str) {
    let token = asked(world, run, attempt).await;
    let input = json!({
        "pipelineName": world.installed.pipeline, "stageName": "Approval", "actionName": "Approve", "token": token,
        "result": { "summary": format!("{status} by a test"), "status": status },
    });
    world
        .running
        .call("codepipeline", "PutApprovalResult", input)
        .await
        .unwrap();
}

/// Waits for the run's end.
pub(crate) async fn ended(world: &World, run: &str, wanted: &str) {
    until(&format!("the end of run {run} as {wanted}"), async || {
        (status(world, run).await == wanted).then_some(())
    })
    .await;
}

/// Retries the approval's stage.
pub(crate) async fn retry(world: &World, run: &str) {
    let input = json!({
        "pipelineName": world.installed.pipeline, "stageName": "Approval", "pipelineExecutionId": run,
        "retryMode": "FAILED_ACTIONS",
    });
    world
        .running
        .call("codepipeline", "RetryStageExecution", input)
        .await
        .unwrap();
}

/// Ends a run that nothing more is wanted of: only 50 may go on at once.
pub(crate) async fn stop(world: &World, run: &str) {
    let input = json!({
        "pipelineName": world.installed.pipeline, "pipelineExecutionId": run, "abandon": true, "reason": "the test is over",
    });
    world
        .running
        .call("codepipeline", "StopPipelineExecution", input)
        .await
        .unwrap();
}

/// Ends all runs of an object version; fails if there are not just so many.
pub(crate) async fn exactly(world: &World, count: usize, version: &str) {
    let runs = until(
        &format!("the sources of the runs of version {version}"),
        async || {
            // A run shows its revision once its source action has ended: until none is before that, none is missed.
            let input = json!({ "pipelineName": world.installed.pipeline, "maxResults": 100 });
            let answer = world
                .running
                .call("codepipeline", "ListPipelineExecutions", input)
                .await
                .unwrap();
            let all = answer.get("pipelineExecutionSummaries")?.as_array()?.clone();
            let early = all.iter().any(|run| {
                run.get("status").is_some_and(|status| status == "InProgress")
                    && run
                        .get("sourceRevisions")
                        .and_then(Value::as_array)
                        .is_none_or(Vec::is_empty)
            });
            if early {
                None
            } else {
                Some(world.runs_of(version).await)
            }
        },
    )
    .await;
    assert_eq!(runs.len(), count, "runs of version {version}: {runs:?}");
    for run in runs {
        if status(world, &run).await == "InProgress" {
            stop(world, &run).await;
        }
    }
}
