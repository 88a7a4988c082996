//! Lambda functions in a pipeline.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::world::{PIPELINE, World, action, last_stage};

fn with_job(pipeline: &mut Value) {
    let mut invoke = action(
        "Validate",
        "Invoke",
        "Lambda",
        &json!({ "FunctionName": "validate-job", "UserParameters": "#{BuildVariables.DIGEST}" }),
    );
    invoke["inputArtifacts"] = json!([{ "name": "BuildOutput" }]);
    invoke["namespace"] = json!("Verdict");
    let mut approve = action(
        "Approve",
        "Approval",
        "Manual",
        &json!({ "CustomData": "#{Verdict.checks} checks" }),
    );
    approve["runOrder"] = json!(2);
    last_stage(pipeline, "Validate", &[invoke, approve]);
}

/// The job of the n-th invocation.
fn job(world: &World, n: usize) -> Value {
    let payload = world.calls("Invoke")[n]["Payload"].as_str().unwrap().to_owned();
    let event: Value = serde_json::from_slice(&STANDARD.decode(payload).unwrap()).unwrap();
    event["CodePipeline.job"].clone()
}

async fn invoked() -> (World, String, Value) {
    let world = World::new(with_job).await;
    let run = world.start().await;
    world.settle().await;
    let job = job(&world, 0);
    (world, run, job)
}

#[tokio::test(start_paused = true)]
async fn the_function_gets_the_job_that_aws_documents() {
    let (world, run, job) = invoked().await;
    let call = world.calls("Invoke").remove(0);
    assert_eq!(call["FunctionName"], "validate-job");
    assert_eq!(call["InvocationType"], "Event");
    assert_eq!(job["accountId"], "123456789012");
    let data = &job["data"];
    assert_eq!(
        data["actionConfiguration"]["configuration"],
        json!({ "FunctionName": "validate-job", "UserParameters": "abc" })
    );
    let input = &data["inputArtifacts"][0];
    assert_eq!(input["name"], "BuildOutput");
    assert_eq!(input["revision"], Value::Null);
    assert_eq!(input["location"]["type"], "S3");
    assert_eq!(input["location"]["s3Location"]["bucketName"], "artifacts");
    assert_eq!(
        data["artifactCredentials"]["sessionToken"],
        "arn:aws:iam::123456789012:role/pipeline"
    );
    assert_eq!(data.get("continuationToken"), None);

    let details = world.call("GetJobDetails", json!({ "jobId": job["id"] })).await["jobDetails"].clone();
    assert_eq!(details["id"], job["id"]);
    assert_eq!(details["data"]["actionTypeId"]["provider"], "Lambda");
    assert_eq!(details["data"]["pipelineContext"]["pipelineName"], PIPELINE);
    assert_eq!(details["data"]["pipelineContext"]["stage"]["name"], "Validate");
    assert_eq!(details["data"]["pipelineContext"]["pipelineExecutionId"], run);
    assert_eq!(details["data"]["inputArtifacts"][0].get("revision"), None);
}

#[tokio::test(start_paused = true)]
async fn success_gives_variables_and_ends_the_action_once() {
    let (world, run, job) = invoked().await;
    let success = json!({
        "jobId": job["id"],
        "executionDetails": { "summary": "5 checks passed", "externalExecutionId": "req-1" },
        "outputVariables": { "checks": "5" },
    });
    world.call("PutJobSuccessResult", success.clone()).await;
    world.settle().await;
    let invoke = world.actions(&run).await[1].clone();
    assert_eq!(invoke["status"], "Succeeded");
    assert_eq!(
        invoke["output"]["executionResult"]["externalExecutionSummary"],
        "5 checks passed"
    );
    let approve = world.actions(&run).await[0].clone();
    assert_eq!(
        approve["input"]["resolvedConfiguration"]["CustomData"],
        "5 checks"
    );

    assert_eq!(
        world.refused("PutJobSuccessResult", success).await.code,
        "InvalidJobStateException"
    );
    let late = json!({ "jobId": job["id"], "failureDetails": { "type": "JobFailed", "message": "late" } });
    assert_eq!(
        world.refused("PutJobFailureResult", late).await.code,
        "InvalidJobStateException"
    );
    let unknown = json!({ "jobId": "00000000-0000-4000-8000-000000000000" });
    assert_eq!(
        world.refused("PutJobSuccessResult", unknown.clone()).await.code,
        "JobNotFoundException"
    );
    assert_eq!(
        world.refused("GetJobDetails", unknown).await.code,
        "JobNotFoundException"
    );
}

#[tokio::test(start_paused = true)]
async fn failure_fails_the_action_with_the_functions_words() {
    let (world, run, job) = invoked().await;
    let failure =
        json!({ "jobId": job["id"], "failureDetails": { "type": "JobFailed", "message": "p95 is 900 ms" } });
    world.call("PutJobFailureResult", failure).await;
    assert_eq!(world.settled(&run).await, "Failed");
    let result = world.event(&run, "Validate/Validate FAILED")["execution-result"].clone();
    assert_eq!(result["external-execution-summary"], "p95 is 900 ms");
    assert_eq!(result["error-code"], "JobFailed");
}

#[tokio::test(start_paused = true)]
async fn no_result_within_twenty_minutes_fails_the_action() {
    let (world, run, job) = invoked().await;
    tokio::time::sleep(Duration::from_mins(19)).await;
    assert_eq!(world.status(&run).await, "InProgress");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(world.settled(&run).await, "Failed");
    let error = world.action("Validate").await["errorDetails"]["message"].clone();
    assert!(
        error.as_str().unwrap().contains("failed to return a result"),
        "{error}"
    );
    let late = world
        .refused("PutJobSuccessResult", json!({ "jobId": job["id"] }))
        .await;
    assert_eq!(late.code, "InvalidJobStateException");
}

#[tokio::test(start_paused = true)]
async fn a_continuation_token_calls_the_function_again_with_a_new_job() {
    let (world, run, first) = invoked().await;
    world
        .call(
            "PutJobSuccessResult",
            json!({ "jobId": first["id"], "continuationToken": "step-2" }),
        )
        .await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(world.calls("Invoke").len(), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.calls("Invoke").len(), 2);
    let second = job(&world, 1);
    assert_eq!(second["data"]["continuationToken"], "step-2");
    assert_ne!(second["id"], first["id"]);
    let stale = world
        .refused("PutJobSuccessResult", json!({ "jobId": first["id"] }))
        .await;
    assert_eq!(stale.code, "InvalidJobStateException");
    world
        .call("PutJobSuccessResult", json!({ "jobId": second["id"] }))
        .await;
    world.settle().await;
    assert_eq!(world.actions(&run).await[1]["status"], "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_function_that_cannot_be_invoked_fails_the_action_at_once() {
    let world = World::answering(with_job, |call| {
        (call.operation == "Invoke")
            .then(|| Err(AwsError::new("ResourceNotFoundException", "Function not found")))
    })
    .await;
    let run = world.start().await;
    assert_eq!(world.settled(&run).await, "Failed");
    assert_eq!(
        world.action("Validate").await["errorDetails"]["code"],
        "ConfigurationError"
    );
}
