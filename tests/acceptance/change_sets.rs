//! What was approved is what is released: of two runs that each prepare a change set of one stack, and of code that
//! changes under its key.

use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use signalbox_local::install;
use signalbox_local::sample::{self, Behaviour};
use signalbox_local_core::Cloud;

use crate::runs::action_of;
use crate::world::{World, until, zip_of};

const PIPELINE: &str = "two-change-sets";
const KEY: &str = "two-change-sets/package.zip";

/// The name that production's pipeline gives to its change sets.
pub(crate) fn shipped_name(project: &Path) -> String {
    let pipeline = std::fs::read_to_string(project.join("templates/pipeline/production.json")).unwrap();
    let pipeline: Value = serde_json::from_str(&pipeline).unwrap();
    let stages = pipeline["pipeline"]["stages"].as_array().unwrap();
    let mut names = stages
        .iter()
        .filter_map(|stage| stage["actions"][0]["configuration"]["ChangeSetName"].as_str());
    let (prepared, executed) = (names.next().unwrap(), names.next().unwrap());
    assert_eq!(prepared, executed);
    prepared.to_owned()
}

/// A package of a stack whose queue has that delay, so that it can be told which one was released.
fn of_delay(seconds: u64) -> Vec<u8> {
    let queue = json!({ "Type": "AWS::SQS::Queue", "Properties": { "DelaySeconds": seconds } });
    let template = json!({ "Resources": { "Queue": queue } });
    zip_of(&[("template.json", template.to_string().as_bytes())])
}

async fn call(world: &World, service: &str, operation: &str, input: Value) -> Value {
    world.running.call(service, operation, input).await.unwrap()
}

/// The stages that matter of production's pipeline.
async fn make_pipeline(world: &World) {
    let kind = |category: &str, provider: &str| json!({ "category": category, "owner": "AWS", "provider": provider, "version": "1" });
    let change_set = shipped_name(&world.running.paths.project);
    let pipeline = json!({
        "name": PIPELINE, "pipelineType": "V2", "executionMode": "SUPERSEDED",
        "roleArn": "arn:aws:iam::123456789012:role/pipeline",
        "artifactStore": { "type": "S3", "location": world.installed.artifact_bucket },
        "stages": [
            { "name": "Source", "actions": [{
                "name": "Source", "actionTypeId": kind("Source", "S3"), "runOrder": 1,
                "namespace": "SourceVariables",
                "configuration": {
                    "S3Bucket": world.installed.source_bucket, "S3ObjectKey": KEY, "PollForSourceChanges": "false",
                },
                "outputArtifacts": [{ "name": "SourceOutput" }],
            }]},
            { "name": "Deploy", "actions": [{
                "name": "Deploy", "actionTypeId": kind("Deploy", "CloudFormation"), "runOrder": 1,
                "inputArtifacts": [{ "name": "SourceOutput" }],
                "configuration": {
                    "ActionMode": "CHANGE_SET_REPLACE", "StackName": PIPELINE, "ChangeSetName": change_set,
                    "TemplatePath": "SourceOutput::template.json",
                },
            }]},
            { "name": "Approval", "actions": [{
                "name": "Approve", "actionTypeId": kind("Approval", "Manual"), "runOrder": 1,
            }]},
            { "name": "Release", "actions": [{
                "name": "Release", "actionTypeId": kind("Deploy", "CloudFormation"), "runOrder": 1,
                "configuration": {
                    "ActionMode": "CHANGE_SET_EXECUTE", "StackName": PIPELINE, "ChangeSetName": change_set,
                },
            }]},
        ],
    });
    call(
        world,
        "codepipeline",
        "CreatePipeline",
        json!({ "pipeline": pipeline }),
    )
    .await;
}

async fn start(world: &World, delay: u64) -> String {
    let upload = world.running.s3().put_object();
    let upload = upload.bucket(&world.installed.source_bucket).key(KEY);
    upload
        .body(ByteStream::from(of_delay(delay)))
        .send()
        .await
        .unwrap();
    let run = call(
        world,
        "codepipeline",
        "StartPipelineExecution",
        json!({ "name": PIPELINE }),
    )
    .await;
    run["pipelineExecutionId"].as_str().unwrap().to_owned()
}

async fn reaches(world: &World, run: &str, action: &str, status: &str) -> Value {
    until(&format!("{action} of run {run} as {status}"), async || {
        let action = action_of(world, PIPELINE, run, action).await?;
        (action["status"] == status).then_some(action)
    })
    .await
}

async fn approve(world: &World, run: &str) {
    reaches(world, run, "Approve", "InProgress").await;
    let state = call(
        world,
        "codepipeline",
        "GetPipelineState",
        json!({ "name": PIPELINE }),
    )
    .await;
    let input = json!({
        "pipelineName": PIPELINE, "stageName": "Approval", "actionName": "Approve",
        "token": state["stageStates"][2]["actionStates"][0]["latestExecution"]["token"],
        "result": { "summary": "yes", "status": "Approved" },
    });
    call(world, "codepipeline", "PutApprovalResult", input).await;
}

/// The delay that the stack's queue was given.
async fn released(world: &World) -> Value {
    let answer = call(
        world,
        "cloudformation",
        "GetTemplate",
        json!({ "StackName": PIPELINE }),
    )
    .await;
    let template = match &answer["TemplateBody"] {
        Value::String(text) => serde_json::from_str(text).unwrap(),
        other => other.clone(),
    };
    template["Resources"]["Queue"]["Properties"]["DelaySeconds"].clone()
}

/// The older run waits for approval while the newer one prepares its own change set of the same stack. Whoever
/// approves the older one releases what they were shown; the newer one's change set is void then, and its release
/// fails instead of doing anything else.
pub(crate) async fn what_was_approved_is_released_whatever_was_prepared_since(world: &World) {
    make_pipeline(world).await;
    let older = start(world, 1).await;
    reaches(world, &older, "Approve", "InProgress").await;
    let newer = start(world, 2).await;
    reaches(world, &newer, "Deploy", "Succeeded").await;

    approve(world, &older).await;
    reaches(world, &older, "Release", "Succeeded").await;
    assert_eq!(released(world).await, 1, "what was approved");

    approve(world, &newer).await;
    let failed = reaches(world, &newer, "Release", "Failed").await;
    assert!(failed.to_string().contains("does not exist"), "{failed:#}");
    assert_eq!(released(world).await, 1);
}

/// The stack's parameters were approved with the digest of the code that was built. Whatever lies at the code's key when
/// they are released, other code becomes no version and gets no traffic.
pub(crate) async fn code_that_was_swapped_after_the_build_becomes_no_version(world: &World) {
    let project = &world.running.paths.project;
    let template =
        std::fs::read_to_string(project.join("templates/lambda-deployment-template.yaml")).unwrap();
    let built = sample::function_zip(project, "1.0.0", Behaviour::Good).unwrap();
    let other = sample::function_zip(project, "1.0.0", Behaviour::FailsUnderTraffic).unwrap();
    let digest = STANDARD.encode(Sha256::digest(&built));
    let bucket = &world.installed.artifact_bucket;
    for (function, lies_there, refused) in [("code-swapped", other, true), ("code-as-built", built, false)] {
        let key = format!("functions/{function}/code.zip");
        world
            .running
            .cloud
            .put_object(bucket, &key, lies_there)
            .await
            .unwrap();
        let parameters = [
            ("FunctionName", function),
            ("CodeS3Bucket", bucket),
            ("CodeS3Key", &key),
            ("CodeSha256", &digest),
            ("Runtime", "nodejs20.x"),
            ("BeforeAllowTrafficHook", "none"),
            ("AfterAllowTrafficHook", "none"),
        ];
        let made = install::create_stack(&world.running, function, &template, &parameters).await;
        match made {
            Ok(_) => assert!(!refused, "{function}"),
            Err(error) => {
                let error = error.to_string();
                assert!(refused && error.contains("CodeSHA256"), "{function}: {error}");
            }
        }
    }
}
