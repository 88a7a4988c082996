//! Uploads a version as a developer would, and finds the run that it starts.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use serde_json::{Value, json};
use signalbox_bootstrap::aws_failure;

use super::{AUTHOR, DemoError, Stage};
use crate::install::source_key;
use crate::sample::{self, Behaviour};

/// How long an upload may take to start its run.
const TO_START: Duration = Duration::from_secs(60);

/// A run that an upload started.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    /// The pipeline execution's id.
    pub(crate) run: String,
    /// The object's version.
    pub(crate) revision: String,
    /// What started it: `upload`, if it was start-run, else CodePipeline's own word.
    pub(crate) trigger: String,
}

pub(crate) async fn upload(
    stage: &Stage<'_>,
    version: &str,
    behaviour: Behaviour,
) -> Result<Started, DemoError> {
    let step = "uploading the package";
    let package = sample::package(&stage.running.paths.project, version, behaviour)
        .map_err(|error| DemoError::new(step, error))?;
    let size = package.len() / 1024;
    let key = source_key(&stage.installed.environment);
    let answer = stage
        .running
        .s3()
        .put_object()
        .bucket(&stage.installed.source_bucket)
        .key(&key)
        .metadata("branch", "main")
        .metadata("author", AUTHOR)
        .metadata(
            "codepipeline-artifact-revision-summary",
            format!("Version {version} of the sample"),
        )
        .body(ByteStream::from(package))
        .send()
        .await
        .map_err(|error| DemoError::new(step, aws_failure(&error)))?;
    let revision = answer.version_id().unwrap_or_default().to_owned();
    stage.console.good(&format!(
        "uploaded version {version} ({size} KiB) to s3://{}/{key}, object version {revision}",
        stage.installed.source_bucket
    ));
    stage.console.waiting("waiting for start-run");
    let (run, trigger) = tokio::time::timeout(TO_START, find_run(stage, &revision))
        .await
        .map_err(|_| {
            DemoError::new("starting the run", "the upload started no run").with_log(
                stage
                    .running
                    .logs
                    .join(format!("signalbox-{}-start-run.log", stage.installed.environment))
                    .display(),
            )
        })??;
    stage.console.good(&format!("start-run started run {run}"));
    Ok(Started {
        run,
        revision,
        trigger,
    })
}

/// The run of this version, and what started it.
async fn find_run(stage: &Stage<'_>, revision: &str) -> Result<(String, String), DemoError> {
    let input = json!({ "pipelineName": stage.installed.pipeline });
    loop {
        let answer = stage
            .running
            .call("codepipeline", "ListPipelineExecutions", input.clone())
            .await?;
        let runs = answer.get("pipelineExecutionSummaries").and_then(Value::as_array);
        let ours = runs.into_iter().flatten().find(|run| {
            run.get("sourceRevisions")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .any(|source| source.get("revisionId").and_then(Value::as_str) == Some(revision))
        });
        if let Some(run) = ours {
            let text = |pointer: &str| run.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            // The detail is the caller's ARN, whose role is named after the function.
            let trigger = if text("/trigger/triggerDetail").contains("start-run") {
                "upload"
            } else {
                text("/trigger/triggerType")
            };
            return Ok((text("/pipelineExecutionId").to_owned(), trigger.to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
