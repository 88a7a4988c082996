//! Pipelines themselves: versions, tags, what is not there.

use serde_json::{Value, json};

use crate::world::{PIPELINE, World, pipeline};

async fn declared(world: &World) -> Value {
    world.call("GetPipeline", json!({ "name": PIPELINE })).await["pipeline"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_is_given_back_with_its_defaults() {
    let world = World::new(|_| ()).await;
    let answer = world.call("GetPipeline", json!({ "name": PIPELINE })).await;
    assert_eq!(answer["pipeline"]["version"], 1);
    assert_eq!(answer["pipeline"]["executionMode"], "SUPERSEDED");
    assert_eq!(answer["pipeline"]["stages"][1]["actions"][0]["runOrder"], 1);
    let arn = format!("arn:aws:codepipeline:us-east-1:123456789012:{PIPELINE}");
    assert_eq!(answer["metadata"]["pipelineArn"], arn);
    let taken = world
        .refused("CreatePipeline", json!({ "pipeline": pipeline() }))
        .await;
    assert_eq!(taken.code, "PipelineNameInUseException");
    let list = world.call("ListPipelines", json!({})).await;
    assert_eq!(list["pipelines"][0]["name"], PIPELINE);
    assert_eq!(list["pipelines"][0]["pipelineType"], "V2");
}

#[tokio::test(start_paused = true)]
async fn a_new_version_cancels_what_runs_and_the_old_one_can_still_be_read() {
    let world = World::new(|_| ()).await;
    world.hold_builds(true);
    let run = world.start().await;
    world.settle().await;
    let mut changed = declared(&world).await;
    let same = world.call("UpdatePipeline", json!({ "pipeline": changed })).await;
    assert_eq!(same["pipeline"]["version"], 1, "nothing has changed");
    assert_eq!(world.status(&run).await, "InProgress");
    changed["stages"][2]["name"] = json!("Verify");
    let answer = world.call("UpdatePipeline", json!({ "pipeline": changed })).await;
    assert_eq!(answer["pipeline"]["version"], 2);
    assert_eq!(world.settled(&run).await, "Cancelled");
    assert_eq!(world.events(&run).last().unwrap(), "pipeline CANCELED");
    let old = world
        .call("GetPipeline", json!({ "name": PIPELINE, "version": 1 }))
        .await;
    assert_eq!(old["pipeline"]["stages"][2]["name"], "Test");
    let none = world
        .refused("GetPipeline", json!({ "name": PIPELINE, "version": 3 }))
        .await;
    assert_eq!(none.code, "PipelineVersionNotFoundException");
    let retry = json!({
        "pipelineName": PIPELINE, "pipelineExecutionId": run, "stageName": "Build", "retryMode": "ALL_ACTIONS",
    });
    assert_eq!(
        world.refused("RetryStageExecution", retry).await.code,
        "StageNotRetryableException"
    );
}

#[tokio::test(start_paused = true)]
async fn a_broken_structure_is_refused_and_nothing_changes() {
    let world = World::new(|_| ()).await;
    let before = declared(&world).await;
    let mut broken = before.clone();
    broken["stages"][1]["actions"][0]["inputArtifacts"] = json!([{ "name": "Nothing" }]);
    let refused = world
        .refused("UpdatePipeline", json!({ "pipeline": broken }))
        .await;
    assert_eq!(refused.code, "InvalidActionDeclarationException");
    assert_eq!(declared(&world).await, before);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_named() {
    let world = World::new(|_| ()).await;
    let missing = world
        .refused("StartPipelineExecution", json!({ "name": "nobody" }))
        .await;
    assert_eq!(missing.code, "PipelineNotFoundException");
    assert_eq!(
        missing.message,
        "Account '123456789012' does not have a pipeline with name 'nobody'"
    );
    let execution = json!({ "pipelineName": PIPELINE, "pipelineExecutionId": "nobody" });
    let refused = world.refused("GetPipelineExecution", execution.clone()).await;
    assert_eq!(refused.code, "PipelineExecutionNotFoundException");
    let refused = world.refused("StopPipelineExecution", execution).await;
    assert_eq!(refused.code, "PipelineExecutionNotStoppableException");
    let page = json!({ "pipelineName": PIPELINE, "nextToken": "nonsense" });
    assert_eq!(
        world.refused("ListPipelineExecutions", page).await.code,
        "InvalidNextTokenException"
    );
    let refused = world.refused("PollForJobs", json!({})).await;
    assert_eq!(refused.code, "UnknownOperationException");
}

#[tokio::test(start_paused = true)]
async fn deleting_ends_everything_and_is_repeatable() {
    let world = World::new(|_| ()).await;
    world.hold_builds(true);
    world.start().await;
    world.settle().await;
    world.call("DeletePipeline", json!({ "name": PIPELINE })).await;
    world.call("DeletePipeline", json!({ "name": PIPELINE })).await;
    let missing = world
        .refused("GetPipelineState", json!({ "name": PIPELINE }))
        .await;
    assert_eq!(missing.code, "PipelineNotFoundException");
    world.settle().await;
    assert_eq!(world.calls("StopBuild").len(), 1);
    let polls = world.calls("BatchGetBuilds").len();
    world.settle().await;
    assert_eq!(
        world.calls("BatchGetBuilds").len(),
        polls,
        "nobody asks after its builds any more"
    );
}

#[tokio::test(start_paused = true)]
async fn tags_are_added_and_removed() {
    let world = World::new(|_| ()).await;
    let arn = format!("arn:aws:codepipeline:us-east-1:123456789012:{PIPELINE}");
    let tags = json!([{ "key": "team", "value": "a" }, { "key": "stage", "value": "b" }]);
    world
        .call("TagResource", json!({ "resourceArn": arn, "tags": tags }))
        .await;
    world
        .call(
            "UntagResource",
            json!({ "resourceArn": arn, "tagKeys": ["stage"] }),
        )
        .await;
    let left = world
        .call("ListTagsForResource", json!({ "resourceArn": arn }))
        .await;
    assert_eq!(left["tags"], json!([{ "key": "team", "value": "a" }]));
    let other = json!({ "resourceArn": format!("{arn}-other") });
    assert_eq!(
        world.refused("ListTagsForResource", other).await.code,
        "ResourceNotFoundException"
    );
}

#[tokio::test(start_paused = true)]
async fn action_types_and_rules_are_listed() {
    let world = World::new(|_| ()).await;
    let types = world
        .call("ListActionTypes", json!({ "actionOwnerFilter": "AWS" }))
        .await;
    let providers: Vec<&Value> = types["actionTypes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["id"]["provider"])
        .collect();
    assert_eq!(
        providers,
        [
            "S3",
            "CodeBuild",
            "CodeBuild",
            "CloudFormation",
            "Manual",
            "Lambda"
        ]
    );
    let custom = world
        .call("ListActionTypes", json!({ "actionOwnerFilter": "Custom" }))
        .await;
    assert_eq!(custom["actionTypes"], json!([]));
    let rules = world
        .call("ListRuleExecutions", json!({ "pipelineName": PIPELINE }))
        .await;
    assert_eq!(rules["ruleExecutionDetails"], json!([]));
}
