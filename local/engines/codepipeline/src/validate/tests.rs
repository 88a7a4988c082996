//! A sound pipeline, and each way to break it.

use serde_json::{Value, json};

use super::*;

fn action(name: &str, category: &str, provider: &str, configuration: &Value) -> Value {
    json!({
        "name": name,
        "actionTypeId": { "category": category, "owner": "AWS", "provider": provider, "version": "1" },
        "configuration": configuration,
    })
}

fn pipeline() -> Value {
    let mut source = action(
        "Source",
        "Source",
        "S3",
        &json!({ "S3Bucket": "source", "S3ObjectKey": "a.zip", "PollForSourceChanges": "false" }),
    );
    source["outputArtifacts"] = json!([{ "name": "SourceOutput" }]);
    source["namespace"] = json!("SourceVariables");
    let mut build = action("Build", "Build", "CodeBuild", &json!({ "ProjectName": "p" }));
    build["inputArtifacts"] = json!([{ "name": "SourceOutput" }]);
    json!({
        "name": "p", "roleArn": "arn:aws:iam::123456789012:role/p", "pipelineType": "V2",
        "artifactStore": { "type": "S3", "location": "artifacts" },
        "stages": [{ "name": "Source", "actions": [source] }, { "name": "Build", "actions": [build] }],
    })
}

fn verdict(change: impl FnOnce(&mut Value)) -> Result<(), AwsError> {
    let mut declared = pipeline();
    change(&mut declared);
    validate(&serde_json::from_value(declared).unwrap(), "us-east-1")
}

#[test]
fn a_sound_pipeline_passes() {
    assert_eq!(verdict(|_| ()), Ok(()));
}

#[test]
fn every_broken_rule_has_its_error() {
    type Change = fn(&mut Value);
    let cases: &[(Change, &str, &str)] = &[
        (
            |p| drop(p["stages"].as_array_mut().unwrap().pop()),
            "InvalidStructureException",
            "minimum of 2 stages",
        ),
        (
            |p| p["stages"].as_array_mut().unwrap().swap(0, 1),
            "InvalidStructureException",
            "only contains source actions",
        ),
        (
            |p| p["stages"][1]["name"] = json!("Source"),
            "InvalidStageDeclarationException",
            "more than once",
        ),
        (
            |p| p["stages"][1]["actions"] = json!([]),
            "InvalidStageDeclarationException",
            "at least one action",
        ),
        (
            |p| p["stages"][1]["actions"][0]["inputArtifacts"] = json!([{ "name": "Other" }]),
            "InvalidActionDeclarationException",
            "Input Artifact Bundle Other in action Build is not declared",
        ),
        (
            |p| p["stages"][1]["actions"][0]["outputArtifacts"] = json!([{ "name": "SourceOutput" }]),
            "InvalidActionDeclarationException",
            "SourceOutput has been used more than once",
        ),
        (
            |p| {
                let again = p["stages"][1]["actions"][0].clone();
                p["stages"][1]["actions"].as_array_mut().unwrap().push(again);
            },
            "InvalidActionDeclarationException",
            "Action name must be unique",
        ),
        (
            |p| p["stages"][1]["actions"][0]["configuration"] = json!({}),
            "InvalidActionDeclarationException",
            "missing required configuration 'ProjectName'",
        ),
        (
            |p| p["stages"][1]["actions"][0]["configuration"]["Color"] = json!("red"),
            "InvalidActionDeclarationException",
            "unknown configuration 'Color'",
        ),
        (
            |p| p["stages"][1]["actions"][0]["configuration"]["ProjectName"] = json!("#{Nobody.x}"),
            "InvalidActionDeclarationException",
            "#{Nobody.x}",
        ),
        (
            |p| p["stages"][1]["actions"][0]["actionTypeId"]["provider"] = json!("Jenkins"),
            "InvalidActionDeclarationException",
            "Provider: 'Jenkins'",
        ),
        (
            |p| p["stages"][1]["actions"][0]["timeoutInMinutes"] = json!(10),
            "InvalidActionDeclarationException",
            "only supported for manual approval",
        ),
        (
            |p| p["stages"][0]["actions"][0]["configuration"]["PollForSourceChanges"] = json!("true"),
            "InvalidActionDeclarationException",
            "set PollForSourceChanges",
        ),
        (
            |p| {
                p["executionMode"] = json!("QUEUED");
                p["pipelineType"] = json!("V1");
            },
            "InvalidStructureException",
            "type V2",
        ),
        (
            |p| {
                p["executionMode"] = json!("PARALLEL");
                p["stages"][1]["onFailure"] = json!({ "result": "ROLLBACK" });
            },
            "InvalidStageDeclarationException",
            "PARALLEL",
        ),
        (
            |p| p["stages"][1]["beforeEntry"] = json!({ "conditions": [] }),
            "InvalidStageDeclarationException",
            "beforeEntry",
        ),
    ];
    for (change, code, part) in cases {
        let error = verdict(change).unwrap_err();
        assert_eq!(&error.code, code, "{error}");
        assert!(error.message.contains(part), "{error} should contain {part}");
    }
}

#[test]
fn an_artifact_of_the_same_run_order_comes_too_late() {
    let two = |order: u32| {
        verdict(move |p| {
            p["stages"][1]["actions"][0]["outputArtifacts"] = json!([{ "name": "BuildOutput" }]);
            let mut test = action("Test", "Test", "CodeBuild", &json!({ "ProjectName": "t" }));
            test["inputArtifacts"] = json!([{ "name": "BuildOutput" }]);
            test["runOrder"] = json!(order);
            p["stages"][1]["actions"].as_array_mut().unwrap().push(test);
        })
    };
    assert_eq!(two(1).unwrap_err().code, "InvalidActionDeclarationException");
    assert_eq!(two(2), Ok(()));
}
