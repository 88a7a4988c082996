//! A pipeline, and builds that end when a test says so.

use std::collections::HashMap;
use std::io::{Cursor, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use signalbox_local_codepipeline::CodePipelineEngine;
use signalbox_local_core::testing::{Recorded, TestCloud};
use signalbox_local_core::{AwsError, Caller, Cloud, Engine};
use zip::write::SimpleFileOptions;

type Answer = Box<dyn Fn(&Recorded) -> Option<Result<Value, AwsError>> + Send + Sync>;

/// What CodeBuild knows: the status of each build, and how new ones begin.
#[derive(Default)]
pub(crate) struct Builds {
    pub(crate) all: Vec<(String, String)>,
    pub(crate) hold: bool,
    pub(crate) fail: bool,
}

pub(crate) struct World {
    pub(crate) cloud: Arc<TestCloud>,
    pub(crate) engine: Arc<CodePipelineEngine>,
    pub(crate) builds: Arc<Mutex<Builds>>,
}

pub(crate) const PIPELINE: &str = "lambda-function-production-pipeline";

fn codebuild(builds: &Mutex<Builds>, call: &Recorded) -> Value {
    let mut builds = builds.lock().unwrap();
    match call.operation.as_str() {
        "StartBuild" => {
            let id = format!(
                "{}:{}",
                call.input["projectName"].as_str().unwrap(),
                builds.all.len() + 1
            );
            let status = match (builds.hold, builds.fail) {
                (true, _) => "IN_PROGRESS",
                (false, true) => "FAILED",
                (false, false) => "SUCCEEDED",
            };
            builds.all.push((id.clone(), status.to_owned()));
            json!({ "build": { "id": id, "buildStatus": "IN_PROGRESS" } })
        }
        "BatchGetBuilds" => {
            let id = call.input["ids"][0].as_str().unwrap();
            let status = builds
                .all
                .iter()
                .find(|(known, _)| known == id)
                .unwrap()
                .1
                .clone();
            json!({ "builds": [{
                "id": id,
                "buildStatus": status,
                "exportedEnvironmentVariables": [{ "name": "DIGEST", "value": "abc" }],
                "phases": [
                    { "phaseType": "INSTALL", "phaseStatus": "SUCCEEDED" },
                    { "phaseType": "BUILD", "phaseStatus": status, "contexts": [
                        { "statusCode": "COMMAND_EXECUTION_ERROR", "message": "exit status 1" },
                    ] },
                ],
            }] })
        }
        "StopBuild" => json!({}),
        other => panic!("unexpected {other}"),
    }
}

impl World {
    /// With an uploaded source object, and the pipeline that `change` makes of the usual one.
    pub(crate) async fn new(change: impl FnOnce(&mut Value)) -> Self {
        Self::answering(change, |_| None).await
    }

    /// `answer` is asked before CodeBuild.
    pub(crate) async fn answering(
        change: impl FnOnce(&mut Value),
        answer: impl Fn(&Recorded) -> Option<Result<Value, AwsError>> + Send + Sync + 'static,
    ) -> Self {
        let builds: Arc<Mutex<Builds>> = Arc::default();
        let answer: Answer = Box::new(answer);
        let known = builds.clone();
        let cloud = TestCloud::answering(std::path::Path::new("."), move |call| match answer(call) {
            Some(answered) => answered,
            None if call.service == "codebuild" => Ok(codebuild(&known, call)),
            None => Ok(json!({})),
        });
        let engine = CodePipelineEngine::new(cloud.clone());
        cloud.register(vec![engine.clone()]);
        cloud
            .put_object("source", "source/app.zip", archive(&[("README", "hello")]))
            .await
            .unwrap();
        let world = Self {
            cloud,
            engine,
            builds,
        };
        let mut declared = pipeline();
        change(&mut declared);
        world
            .call("CreatePipeline", json!({ "pipeline": declared }))
            .await;
        world
    }

    pub(crate) async fn call(&self, operation: &str, input: Value) -> Value {
        let answer = self.engine.call(&Caller::Admin, operation, input).await;
        answer.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    pub(crate) async fn refused(&self, operation: &str, input: Value) -> AwsError {
        match self.engine.call(&Caller::Admin, operation, input).await {
            Err(error) => error,
            Ok(answer) => panic!("{operation} should have been refused, but answered {answer}"),
        }
    }

    pub(crate) async fn start(&self) -> String {
        self.start_with(json!({})).await
    }

    pub(crate) async fn start_with(&self, mut input: Value) -> String {
        input["name"] = json!(PIPELINE);
        let answer = self.call("StartPipelineExecution", input).await;
        answer["pipelineExecutionId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn execution(&self, id: &str) -> Value {
        let input = json!({ "pipelineName": PIPELINE, "pipelineExecutionId": id });
        self.call("GetPipelineExecution", input).await["pipelineExecution"].clone()
    }

    pub(crate) async fn status(&self, id: &str) -> String {
        self.execution(id).await["status"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn stage(&self, stage: &str) -> Value {
        let state = self.call("GetPipelineState", json!({ "name": PIPELINE })).await;
        let stages = state["stageStates"].as_array().unwrap();
        stages.iter().find(|it| it["stageName"] == stage).unwrap().clone()
    }

    /// The stage's first action, as `GetPipelineState` shows it.
    pub(crate) async fn action(&self, stage: &str) -> Value {
        self.stage(stage).await["actionStates"][0]["latestExecution"].clone()
    }

    pub(crate) async fn actions(&self, execution: &str) -> Vec<Value> {
        let input = json!({ "pipelineName": PIPELINE, "filter": { "pipelineExecutionId": execution } });
        let answer = self.call("ListActionExecutions", input).await;
        answer["actionExecutionDetails"].as_array().unwrap().clone()
    }

    /// Lets everything happen that needs no more than a few seconds of virtual time.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(3)).await;
    }

    pub(crate) async fn settled(&self, execution: &str) -> String {
        self.settle().await;
        self.status(execution).await
    }

    pub(crate) fn hold_builds(&self, hold: bool) {
        self.builds.lock().unwrap().hold = hold;
    }

    pub(crate) fn fail_builds(&self, fail: bool) {
        self.builds.lock().unwrap().fail = fail;
    }

    /// Ends every build that runs.
    pub(crate) fn end_builds(&self, status: &str) {
        for (_, known) in self
            .builds
            .lock()
            .unwrap()
            .all
            .iter_mut()
            .filter(|(_, it)| it == "IN_PROGRESS")
        {
            *known = status.to_owned();
        }
    }

    pub(crate) fn started_builds(&self) -> usize {
        self.builds.lock().unwrap().all.len()
    }

    pub(crate) fn calls(&self, operation: &str) -> Vec<Value> {
        self.cloud
            .calls()
            .into_iter()
            .filter(|call| call.operation == operation)
            .map(|call| call.input)
            .collect()
    }

    /// Events in short, of one execution: `pipeline STARTED`, `Build STARTED`, `Build/Build STARTED`.
    pub(crate) fn events(&self, execution: &str) -> Vec<String> {
        self.cloud
            .events()
            .into_iter()
            .filter(|event| event.detail["execution-id"] == execution)
            .map(|event| {
                let part = |name: &str| event.detail[name].as_str().unwrap_or_default().to_owned();
                let subject = match event.detail_type.as_str() {
                    "CodePipeline Pipeline Execution State Change" => "pipeline".to_owned(),
                    "CodePipeline Stage Execution State Change" => part("stage"),
                    "CodePipeline Action Execution State Change" => {
                        format!("{}/{}", part("stage"), part("action"))
                    }
                    other => panic!("unexpected {other}"),
                };
                format!("{subject} {}", part("state"))
            })
            .collect()
    }

    pub(crate) fn event(&self, execution: &str, short: &str) -> Value {
        let at = self.events(execution).iter().position(|it| it == short);
        let at = at.unwrap_or_else(|| panic!("no event {short} among {:?}", self.events(execution)));
        let of_execution: Vec<_> = self
            .cloud
            .events()
            .into_iter()
            .filter(|event| event.detail["execution-id"] == execution)
            .collect();
        of_execution[at].detail.clone()
    }
}

pub(crate) fn action(name: &str, category: &str, provider: &str, configuration: &Value) -> Value {
    json!({
        "name": name,
        "actionTypeId": { "category": category, "owner": "AWS", "provider": provider, "version": "1" },
        "configuration": configuration,
    })
}

/// Source (S3) → Build (CodeBuild) → Test (CodeBuild).
pub(crate) fn pipeline() -> Value {
    let mut source = action(
        "Source",
        "Source",
        "S3",
        &json!({ "S3Bucket": "source", "S3ObjectKey": "source/app.zip", "PollForSourceChanges": "false" }),
    );
    source["outputArtifacts"] = json!([{ "name": "SourceOutput" }]);
    source["namespace"] = json!("SourceVariables");
    let mut build = action(
        "Build",
        "Build",
        "CodeBuild",
        &json!({
            "ProjectName": "app-build",
            "EnvironmentVariables": json!([
                { "name": "REVISION", "value": "#{SourceVariables.VersionId}" },
                { "name": "EXECUTION", "value": "#{codepipeline.PipelineExecutionId}" },
            ]).to_string(),
        }),
    );
    build["inputArtifacts"] = json!([{ "name": "SourceOutput" }]);
    build["outputArtifacts"] = json!([{ "name": "BuildOutput" }]);
    build["namespace"] = json!("BuildVariables");
    let mut test = action("Test", "Test", "CodeBuild", &json!({ "ProjectName": "app-test" }));
    test["inputArtifacts"] = json!([{ "name": "BuildOutput" }]);
    json!({
        "name": PIPELINE,
        "roleArn": "arn:aws:iam::123456789012:role/pipeline",
        "pipelineType": "V2",
        "artifactStore": { "type": "S3", "location": "artifacts" },
        "stages": [
            { "name": "Source", "actions": [source] },
            { "name": "Build", "actions": [build] },
            { "name": "Test", "actions": [test] },
        ],
    })
}

/// Replaces the third stage.
pub(crate) fn last_stage(pipeline: &mut Value, name: &str, actions: &[Value]) {
    pipeline["stages"][2] = json!({ "name": name, "actions": actions });
}

/// A zip archive of text files.
pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        archive.start_file(*path, SimpleFileOptions::default()).unwrap();
        archive.write_all(content.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// `{"a": "b"}` of a list of `{key, value}` objects.
pub(crate) fn pairs(list: &Value, key: &str, value: &str) -> HashMap<String, String> {
    let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
    list.as_array()
        .unwrap()
        .iter()
        .map(|item| (text(item, key), text(item, value)))
        .collect()
}
