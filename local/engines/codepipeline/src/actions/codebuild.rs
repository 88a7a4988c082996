//! Build and test actions: a CodeBuild build that reads and writes artifacts.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::POLL;
use crate::engine::Inner;
use crate::state::Artifact;
use crate::task::{ActionTask, Failure, Outcome, Progress, Success, text};

pub(super) async fn run(
    inner: &Arc<Inner>,
    task: &ActionTask,
    configuration: &BTreeMap<String, String>,
) -> Outcome {
    let input = start_input(task, configuration)?;
    let started = inner
        .cloud
        .call(&Inner::caller(task), "codebuild", "StartBuild", input)
        .await?;
    let id = text(&started, "/build/id").to_owned();
    if id.is_empty() {
        return Err(Failure::job("CodeBuild did not name the build that it started"));
    }
    let id = task.started.get_or_init(|| id).clone();
    let region = &inner.cloud.account().region;
    let url = format!("https://console.aws.amazon.com/codebuild/home?region={region}#/builds/{id}/view/new");
    inner.progress(
        task,
        Progress {
            external_id: Some(id.clone()),
            external_url: Some(url.clone()),
            summary: None,
        },
    );
    let build = finished(inner, task, &id).await?;
    match text(&build, "/buildStatus") {
        "SUCCEEDED" => Ok(Success {
            external_id: Some(id),
            external_url: Some(url),
            variables: exported(&build),
            ..Success::default()
        }),
        status => Err(Failure {
            external_id: Some(id),
            external_url: Some(url),
            ..Failure::job(format!(
                "Build terminated with state: {status}{}",
                first_error(&build)
            ))
        }),
    }
}

/// Ends the build that an abandoned or timed-out action has started.
pub(super) async fn stop(inner: &Arc<Inner>, task: &ActionTask) {
    let Some(id) = task.started.get() else { return };
    let stopped = inner
        .cloud
        .call(
            &Inner::caller(task),
            "codebuild",
            "StopBuild",
            json!({ "id": id }),
        )
        .await;
    if let Err(error) = stopped {
        tracing::warn!(build = %id, %error, "the build of an abandoned action was not stopped");
    }
}

async fn finished(inner: &Arc<Inner>, task: &ActionTask, id: &str) -> Result<Value, Failure> {
    loop {
        let answer = inner
            .cloud
            .call(
                &Inner::caller(task),
                "codebuild",
                "BatchGetBuilds",
                json!({ "ids": [id] }),
            )
            .await?;
        match answer.pointer("/builds/0") {
            None => return Err(Failure::job(format!("The build {id} does not exist any more"))),
            Some(build) if text(build, "/buildStatus") != "IN_PROGRESS" => return Ok(build.clone()),
            Some(_) => tokio::time::sleep(POLL).await,
        }
    }
}

fn location(artifact: &Artifact) -> String {
    format!("{}/{}", artifact.bucket, artifact.key)
}

/// Where CodeBuild is to write: it joins path and name with a slash.
fn destination(artifact: &Artifact) -> Map<String, Value> {
    let (path, name) = artifact.key.rsplit_once('/').unwrap_or(("", &artifact.key));
    let mut destination = Map::new();
    for (member, value) in [
        ("type", "S3"),
        ("packaging", "ZIP"),
        ("namespaceType", "NONE"),
        ("location", artifact.bucket.as_str()),
        ("path", path),
        ("name", name),
    ] {
        destination.insert(member.to_owned(), json!(value));
    }
    destination
}

fn start_input(task: &ActionTask, configuration: &BTreeMap<String, String>) -> Result<Value, Failure> {
    let mut input = Map::new();
    input.insert("projectName".to_owned(), json!(configuration.get("ProjectName")));
    let primary = match configuration.get("PrimarySource") {
        Some(name) => Some(super::artifacts::input(task, name)?),
        None => task.inputs.first(),
    };
    if let Some(primary) = primary {
        input.insert("sourceTypeOverride".to_owned(), json!("S3"));
        input.insert("sourceLocationOverride".to_owned(), json!(location(primary)));
    }
    let others: Vec<Value> = task
        .inputs
        .iter()
        .filter(|other| primary.is_none_or(|primary| primary.name != other.name))
        .map(|other| json!({ "type": "S3", "location": location(other), "sourceIdentifier": other.name }))
        .collect();
    if !others.is_empty() {
        input.insert("secondarySourcesOverride".to_owned(), Value::Array(others));
    }
    let artifacts = match task.outputs.first() {
        None => json!({ "type": "NO_ARTIFACTS" }),
        Some(output) => Value::Object(destination(output)),
    };
    input.insert("artifactsOverride".to_owned(), artifacts);
    let secondary: Vec<Value> = task
        .outputs
        .iter()
        .skip(1)
        .map(|output| {
            let mut artifact = destination(output);
            artifact.insert("artifactIdentifier".to_owned(), json!(output.name));
            Value::Object(artifact)
        })
        .collect();
    if !secondary.is_empty() {
        input.insert("secondaryArtifactsOverride".to_owned(), Value::Array(secondary));
    }
    if let Some(declared) = configuration.get("EnvironmentVariables") {
        let variables: Vec<Value> = serde_json::from_str(declared).map_err(|error| {
            Failure::configuration(format!(
                "EnvironmentVariables of the action {} is not a JSON list of {{name, value, type}}: {error}",
                task.action
            ))
        })?;
        input.insert("environmentVariablesOverride".to_owned(), Value::Array(variables));
    }
    Ok(Value::Object(input))
}

fn exported(build: &Value) -> BTreeMap<String, String> {
    let all = build
        .pointer("/exportedEnvironmentVariables")
        .and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .map(|variable| {
            (
                text(variable, "/name").to_owned(),
                text(variable, "/value").to_owned(),
            )
        })
        .collect()
}

/// `. Phase: BUILD, Code: COMMAND_EXECUTION_ERROR, Message: …`, of the first phase that failed.
fn first_error(build: &Value) -> String {
    let phases = build.pointer("/phases").and_then(Value::as_array);
    phases
        .into_iter()
        .flatten()
        .find(|phase| ["FAILED", "FAULT", "TIMED_OUT", "STOPPED"].contains(&text(phase, "/phaseStatus")))
        .map(|phase| {
            format!(
                ". Phase: {}, Code: {}, Message: {}",
                text(phase, "/phaseType"),
                text(phase, "/contexts/0/statusCode"),
                text(phase, "/contexts/0/message")
            )
        })
        .unwrap_or_default()
}
