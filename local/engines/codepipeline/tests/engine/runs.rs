//! One execution's way through a pipeline.

use serde_json::{Value, json};
use signalbox_local_core::{Caller, Cloud, Engine};

use crate::world::{PIPELINE, World, action, pairs};

#[tokio::test(start_paused = true)]
async fn a_run_sends_its_events_in_order_and_ends_in_success() {
    let world = World::new(|_| ()).await;
    let run = world.start().await;
    assert_eq!(world.settled(&run).await, "Succeeded");
    assert_eq!(
        world.events(&run),
        [
            "pipeline STARTED",
            "Source STARTED",
            "Source/Source STARTED",
            "Source/Source SUCCEEDED",
            "Source SUCCEEDED",
            "Build STARTED",
            "Build/Build STARTED",
            "Build/Build SUCCEEDED",
            "Build SUCCEEDED",
            "Test STARTED",
            "Test/Test STARTED",
            "Test/Test SUCCEEDED",
            "Test SUCCEEDED",
            "pipeline SUCCEEDED",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn events_have_the_shapes_that_aws_documents() {
    let world = World::new(|_| ()).await;
    let run = world.start().await;
    world.settle().await;

    let started = world.event(&run, "pipeline STARTED");
    assert_eq!(started["version"].to_string(), "1.0");
    assert_eq!(started["pipeline-execution-attempt"].to_string(), "1.0");
    assert_eq!(
        started["execution-trigger"]["trigger-type"],
        "StartPipelineExecution"
    );
    assert_eq!(
        started["execution-trigger"]["trigger-detail"],
        "arn:aws:iam::123456789012:user/local"
    );
    let time = started["start-time"].as_str().unwrap();
    assert!(
        time.len() == 24 && time.ends_with('Z') && time.as_bytes()[19] == b'.',
        "{time}"
    );

    let build = world.event(&run, "Build/Build STARTED");
    assert_eq!(
        build["type"],
        json!({ "owner": "AWS", "category": "Build", "provider": "CodeBuild", "version": "1" })
    );
    assert_eq!(build["region"], "us-east-1");
    let input = &build["input-artifacts"][0];
    assert_eq!(input["name"], "SourceOutput");
    assert_eq!(input["s3location"]["bucket"], "artifacts");
    let key = input["s3location"]["key"].as_str().unwrap();
    assert!(key.starts_with("lambda-function-prod/SourceOutp/"), "{key}");
    assert_eq!(key.rsplit('/').next().unwrap().len(), 7);
    assert_eq!(build.get("execution-result"), None);

    let source = world.event(&run, "Source/Source SUCCEEDED");
    assert_eq!(source["execution-result"]["external-execution-id"], "v1");
    assert_eq!(source["output-artifacts"][0]["s3location"]["key"], key);
    let event = world.cloud.events().remove(0);
    assert_eq!(event.source, "aws.codepipeline");
    assert_eq!(
        event.resources,
        [format!("arn:aws:codepipeline:us-east-1:123456789012:{PIPELINE}")]
    );
}

#[tokio::test(start_paused = true)]
async fn artifacts_and_variables_flow_from_action_to_action() {
    let world = World::new(|pipeline| {
        let test = &mut pipeline["stages"][2]["actions"][0];
        test["configuration"]["EnvironmentVariables"] =
            json!(json!([{ "name": "DIGEST", "value": "#{BuildVariables.DIGEST}" }]).to_string());
    })
    .await;
    let run = world.start().await;
    world.settle().await;
    let builds = world.calls("StartBuild");
    assert_eq!(builds.len(), 2);
    let passed = pairs(&builds[0]["environmentVariablesOverride"], "name", "value");
    assert_eq!(passed["REVISION"], "v1");
    assert_eq!(passed["EXECUTION"], run);
    let output = &builds[0]["artifactsOverride"];
    let written = format!(
        "{}/{}/{}",
        output["location"].as_str().unwrap(),
        output["path"].as_str().unwrap(),
        output["name"].as_str().unwrap()
    );
    assert_eq!(builds[1]["sourceLocationOverride"], written);
    assert_eq!(builds[1]["artifactsOverride"]["type"], "NO_ARTIFACTS");
    assert_eq!(
        pairs(&builds[1]["environmentVariablesOverride"], "name", "value")["DIGEST"],
        "abc"
    );

    let source = builds[0]["sourceLocationOverride"].as_str().unwrap();
    let (bucket, key) = source.split_once('/').unwrap();
    let copy = world.cloud.get_object(bucket, key, None).await.unwrap();
    let original = world
        .cloud
        .get_object("source", "source/app.zip", None)
        .await
        .unwrap();
    assert_eq!(copy.bytes, original.bytes);
}

#[tokio::test(start_paused = true)]
async fn an_execution_shows_its_revision_and_its_actions_newest_first() {
    let world = World::new(|_| ()).await;
    let run = world.start().await;
    world.settle().await;
    let shown = world.execution(&run).await;
    assert_eq!(shown["artifactRevisions"][0]["name"], "SourceOutput");
    assert_eq!(shown["artifactRevisions"][0]["revisionId"], "v1");
    assert_eq!(
        shown["artifactRevisions"][0]["revisionSummary"],
        "Amazon S3 version id: v1"
    );
    assert_eq!(shown["executionMode"], "SUPERSEDED");

    let actions = world.actions(&run).await;
    let names: Vec<&Value> = actions.iter().map(|it| &it["actionName"]).collect();
    assert_eq!(names, ["Test", "Build", "Source"]);
    assert_eq!(actions[2]["output"]["outputVariables"]["VersionId"], "v1");
    assert_eq!(
        actions[2]["output"]["outputVariables"]["ETag"]
            .as_str()
            .unwrap()
            .len(),
        32
    );
    assert_eq!(
        actions[1]["output"]["executionResult"]["externalExecutionId"],
        "app-build:1"
    );
    assert!(
        actions[1]["input"]["configuration"]["EnvironmentVariables"]
            .as_str()
            .unwrap()
            .contains("#{")
    );
    assert!(
        !actions[1]["input"]["resolvedConfiguration"]["EnvironmentVariables"]
            .as_str()
            .unwrap()
            .contains("#{")
    );

    let source = &world.stage("Source").await["actionStates"][0];
    assert_eq!(source["currentRevision"]["revisionId"], "v1");
    let list = world
        .call("ListPipelineExecutions", json!({ "pipelineName": PIPELINE }))
        .await;
    assert_eq!(
        list["pipelineExecutionSummaries"][0]["sourceRevisions"][0]["revisionId"],
        "v1"
    );

    let first = json!({ "pipelineName": PIPELINE, "maxResults": 2 });
    let first = world.call("ListActionExecutions", first).await;
    assert_eq!(first["actionExecutionDetails"].as_array().unwrap().len(), 2);
    let rest = json!({ "pipelineName": PIPELINE, "maxResults": 2, "nextToken": first["nextToken"] });
    let rest = world.call("ListActionExecutions", rest).await;
    assert_eq!(rest["actionExecutionDetails"][0]["actionName"], "Source");
    assert_eq!(rest.get("nextToken"), None);
    let unknown = json!({ "pipelineName": PIPELINE, "filter": { "pipelineExecutionId": "nobody" } });
    assert_eq!(
        world.refused("ListActionExecutions", unknown).await.code,
        "PipelineExecutionNotFoundException"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pinned_version_wins_over_the_newest() {
    let world = World::new(|_| ()).await;
    world
        .cloud
        .put_object("source", "source/app.zip", b"newer".to_vec())
        .await
        .unwrap();
    let pin = |version: &str| {
        json!({ "sourceRevisions": [
            { "actionName": "Source", "revisionType": "S3_OBJECT_VERSION_ID", "revisionValue": version },
        ] })
    };
    let pinned = world.start_with(pin("v1")).await;
    world.settle().await;
    let newest = world.start().await;
    world.settle().await;
    let missing = world.start_with(pin("v9")).await;
    assert_eq!(world.settled(&missing).await, "Failed");
    assert_eq!(
        world.execution(&pinned).await["artifactRevisions"][0]["revisionId"],
        "v1"
    );
    assert_eq!(
        world.execution(&newest).await["artifactRevisions"][0]["revisionId"],
        "v2"
    );
    let source = world.action("Source").await;
    assert_eq!(source["errorDetails"]["code"], "ConfigurationError");
    assert!(
        source["errorDetails"]["message"].as_str().unwrap().contains("v9"),
        "{source}"
    );
}

#[tokio::test(start_paused = true)]
async fn another_key_needs_the_source_actions_permission() {
    let key = json!({ "name": PIPELINE, "sourceRevisions": [
        { "actionName": "Source", "revisionType": "S3_OBJECT_KEY", "revisionValue": "source/other.zip" },
    ] });
    let strict = World::new(|_| ()).await;
    let refused = strict.refused("StartPipelineExecution", key.clone()).await;
    assert_eq!(refused.code, "ValidationException");
    assert!(refused.message.contains("AllowOverrideForS3ObjectKey"));

    let open = World::new(|pipeline| {
        pipeline["stages"][0]["actions"][0]["configuration"]["AllowOverrideForS3ObjectKey"] = json!("true");
    })
    .await;
    open.cloud
        .put_object("source", "source/other.zip", b"other".to_vec())
        .await
        .unwrap();
    let run = open.start_with(key).await;
    assert_eq!(open.settled(&run).await, "Succeeded");
    let actions = open.actions(&run).await;
    assert_eq!(
        actions[2]["output"]["outputVariables"]["ObjectKey"],
        "source/other.zip"
    );
}

#[tokio::test(start_paused = true)]
async fn one_client_request_token_starts_one_execution() {
    let world = World::new(|_| ()).await;
    let first = world
        .start_with(json!({ "clientRequestToken": "upload-1" }))
        .await;
    world.settle().await;
    assert_eq!(
        world
            .start_with(json!({ "clientRequestToken": "upload-1" }))
            .await,
        first
    );
    assert_ne!(
        world
            .start_with(json!({ "clientRequestToken": "upload-2" }))
            .await,
        first
    );
    let list = world
        .call("ListPipelineExecutions", json!({ "pipelineName": PIPELINE }))
        .await;
    assert_eq!(list["pipelineExecutionSummaries"].as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_named_as_the_trigger() {
    let world = World::new(|_| ()).await;
    let rule = "arn:aws:events:us-east-1:123456789012:rule/nightly";
    let caller = Caller::service_for("events.amazonaws.com", rule);
    let answer = world
        .engine
        .call(&caller, "StartPipelineExecution", json!({ "name": PIPELINE }))
        .await
        .unwrap();
    let shown = world
        .execution(answer["pipelineExecutionId"].as_str().unwrap())
        .await;
    assert_eq!(
        shown["trigger"],
        json!({ "triggerType": "CloudWatchEvent", "triggerDetail": rule })
    );
}

#[tokio::test(start_paused = true)]
async fn pipeline_variables_have_defaults_and_can_be_given() {
    let world = World::new(|pipeline| {
        pipeline["variables"] = json!([{ "name": "Level", "defaultValue": "info" }, { "name": "Owner" }]);
        pipeline["stages"][1]["actions"][0]["configuration"]["EnvironmentVariables"] =
            json!(json!([{ "name": "BOTH", "value": "#{variables.Level} #{variables.Owner}" }]).to_string());
    })
    .await;
    let missing = world
        .refused("StartPipelineExecution", json!({ "name": PIPELINE }))
        .await;
    assert!(missing.message.contains("Owner"), "{missing}");
    let unknown = json!({ "name": PIPELINE, "variables": [{ "name": "Color", "value": "red" }] });
    assert_eq!(
        world.refused("StartPipelineExecution", unknown).await.code,
        "ValidationException"
    );
    let run = world
        .start_with(json!({ "variables": [{ "name": "Owner", "value": "me" }] }))
        .await;
    world.settle().await;
    let passed = &world.calls("StartBuild")[0]["environmentVariablesOverride"];
    assert_eq!(pairs(passed, "name", "value")["BOTH"], "info me");
    assert_eq!(
        world.execution(&run).await["variables"][0],
        json!({ "name": "Level", "resolvedValue": "info" })
    );
}

#[tokio::test(start_paused = true)]
async fn actions_of_one_run_order_run_side_by_side_and_all_end_before_the_stage_fails() {
    let world = World::new(|pipeline| {
        let test = |name: &str, order: u32| {
            let mut test = action(name, "Test", "CodeBuild", &json!({ "ProjectName": name }));
            test["inputArtifacts"] = json!([{ "name": "BuildOutput" }]);
            test["runOrder"] = json!(order);
            test
        };
        pipeline["stages"][2]["actions"] = json!([test("A", 1), test("B", 1), test("C", 2)]);
    })
    .await;
    world.hold_builds(true);
    let run = world.start().await;
    world.settle().await;
    world.end_builds("SUCCEEDED");
    world.settle().await;
    assert_eq!(world.started_builds(), 3, "A and B, not C");
    world.builds.lock().unwrap().all[1].1 = "FAILED".to_owned();
    world.settle().await;
    assert_eq!(world.status(&run).await, "InProgress", "B still runs");
    world.end_builds("SUCCEEDED");
    assert_eq!(world.settled(&run).await, "Failed");
    assert_eq!(world.started_builds(), 3, "C never starts");
    let failed = world.event(&run, "Test/A FAILED");
    assert_eq!(failed["execution-result"]["error-code"], "JobFailed");
    assert_eq!(
        failed["execution-result"]["external-execution-summary"],
        "Build terminated with state: FAILED. Phase: BUILD, Code: COMMAND_EXECUTION_ERROR, Message: exit status 1"
    );
}

#[tokio::test(start_paused = true)]
async fn a_variable_without_a_value_fails_the_action() {
    let world = World::new(|pipeline| {
        pipeline["stages"][2]["actions"][0]["configuration"]["ProjectName"] =
            json!("#{BuildVariables.NOBODY}");
    })
    .await;
    let run = world.start().await;
    assert_eq!(world.settled(&run).await, "Failed");
    let error = world.action("Test").await["errorDetails"].clone();
    assert_eq!(error["code"], "ConfigurationError");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("#{BuildVariables.NOBODY}")
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_on_after_shutdown() {
    let world = World::new(|_| ()).await;
    world.hold_builds(true);
    let run = world.start().await;
    world.settle().await;
    world.engine.shutdown().await;
    let before = world.calls("BatchGetBuilds").len();
    world.end_builds("SUCCEEDED");
    assert_eq!(world.settled(&run).await, "InProgress");
    assert_eq!(world.calls("BatchGetBuilds").len(), before);
}
