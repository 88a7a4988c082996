//! What `templates/pipeline/` declares, as this installation would have it, and what the cloud really has.

use serde_json::{Map, Value, json};

use super::installation::{Installation, RUNTIME};

/// A file of `templates/pipeline/` with its tokens filled in.
fn declared(installation: &Installation, outputs: &Value, key: &str, file: &str) -> Value {
    let environment = installation.environment;
    let path = installation
        .running
        .paths
        .project
        .join("templates/pipeline")
        .join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let output = |name: &str| outputs[name]["value"].as_str().unwrap().to_owned();
    let role =
        |purpose: &str| format!("arn:aws:iam::123456789012:role/lambda-function-{environment}-{purpose}");
    let (branch, shift) = if environment == "production" {
        ("main", "CodeDeployDefault.LambdaCanary10Percent5Minutes")
    } else {
        ("develop", "CodeDeployDefault.LambdaAllAtOnce")
    };
    let tokens = [
        ("Environment", environment.to_owned()),
        ("PipelineName", output("pipeline_name")),
        ("SourceBucket", output("source_bucket")),
        ("SourceObjectKey", format!("source/{branch}/lambda-function.zip")),
        ("ArtifactBucket", output("artifact_bucket")),
        ("ArtifactKeyArn", key.to_owned()),
        ("PipelineRoleArn", role("pipeline")),
        ("BuildRoleArn", role("build")),
        ("CloudFormationRoleArn", role("stack")),
        ("Runtime", RUNTIME.to_owned()),
        ("AlertTopicArn", output("alarm_topic_arn")),
        ("DeploymentConfigName", shift.to_owned()),
    ];
    let text = tokens.iter().fold(text, |text, (name, value)| {
        text.replace(&format!("${{{name}}}"), value)
    });
    assert!(!text.contains("${"), "{file} has a token that nobody fills in");
    serde_json::from_str(&text).unwrap()
}

/// Values that say the same in two spellings become the same: JSON within a string, and what AWS adds
/// where nothing was given.
fn comparable(mut pipeline: Value) -> Value {
    pipeline.as_object_mut().unwrap().remove("version");
    for stage in pipeline["stages"].as_array_mut().unwrap() {
        for action in stage["actions"].as_array_mut().unwrap() {
            let action = action.as_object_mut().unwrap();
            action.retain(|_, value| *value != json!([]));
            for (_, value) in action["configuration"].as_object_mut().unwrap() {
                let parsed = value
                    .as_str()
                    .and_then(|text| serde_json::from_str::<Value>(text).ok());
                if let Some(parsed @ (Value::Object(_) | Value::Array(_))) = parsed {
                    *value = parsed;
                }
            }
        }
    }
    pipeline
}

/// Tags in the order of their keys.
fn sorted(tags: &Value) -> Vec<String> {
    let mut tags: Vec<String> = tags.as_array().unwrap().iter().map(Value::to_string).collect();
    tags.sort();
    tags
}

/// The pipeline and its projects are the ones that the local demo runs.
pub(super) async fn must_be_the_demos(installation: &Installation, outputs: &Value) {
    let name = &outputs["pipeline_name"]["value"];
    let got = installation
        .ask("codepipeline", "GetPipeline", json!({ "name": name }))
        .await;
    let key = got["pipeline"]["artifactStore"]["encryptionKey"]["id"].as_str();
    let key = key.expect("the artifacts are encrypted with a key of their own");
    let file = format!("{}.json", installation.environment);
    let wanted = declared(installation, outputs, key, &file);
    assert_eq!(
        comparable(got["pipeline"].clone()),
        comparable(wanted["pipeline"].clone()),
        "Terraform's pipeline (left) is not that of templates/pipeline/{file} (right)"
    );
    let arn = &got["metadata"]["pipelineArn"];
    let tags = installation
        .ask(
            "codepipeline",
            "ListTagsForResource",
            json!({ "resourceArn": arn }),
        )
        .await;
    assert_eq!(sorted(&tags["tags"]), sorted(&wanted["tags"]));

    for file in ["build.json", "integration-test.json"] {
        let wanted = declared(installation, outputs, key, file);
        let input = json!({ "names": [wanted["name"]] });
        let got = installation.ask("codebuild", "BatchGetProjects", input).await;
        let got = &got["projects"][0];
        assert!(got.is_object(), "there is no project {}", wanted["name"]);
        has(got, &wanted, file);
    }
}

/// Everything that is wanted is there; AWS adds its defaults.
fn has(got: &Value, wanted: &Value, place: &str) {
    match (got, wanted) {
        (Value::Object(got), Value::Object(wanted)) => {
            for (name, value) in wanted {
                let place = format!("{place}: {name}");
                has(got.get(name).unwrap_or(&Value::Null), value, &place);
            }
        }
        (Value::Array(got), Value::Array(wanted)) => {
            let by_name = |values: &[Value]| {
                let name = |value: &Value| value.get("name").or(value.get("key")).map(Value::to_string);
                let named = values
                    .iter()
                    .map(|value| (name(value).unwrap_or_default(), value.clone()));
                Value::Object(named.collect::<Map<String, Value>>())
            };
            assert_eq!(got.len(), wanted.len(), "{place}");
            has(&by_name(got), &by_name(wanted), place);
        }
        (got, wanted) => assert_eq!(got, wanted, "{place}"),
    }
}
