//! Invoke actions: the function gets a job, and answers with `PutJobSuccessResult` or
//! `PutJobFailureResult`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use signalbox_local_core::{Caller, Cloud};

use crate::engine::Inner;
use crate::state::Artifact;
use crate::task::{ActionTask, Failure, Outcome};

/// How long CodePipeline waits for a job's result.
const JOB: Duration = Duration::from_mins(20);
/// How long CodePipeline waits before it calls the function again with a continuation token.
const CONTINUATION: Duration = Duration::from_secs(30);

pub(super) async fn run(
    inner: &Arc<Inner>,
    task: &ActionTask,
    configuration: &BTreeMap<String, String>,
) -> Outcome {
    let clock = inner.cloud.clock();
    if task.continuation.is_some() {
        clock.sleep(CONTINUATION).await;
    }
    let function = configuration.get("FunctionName").map_or("", String::as_str);
    let parts = JobParts {
        role_arn: &task.role_arn,
        action_execution: &task.action_execution,
        configuration,
        inputs: &task.inputs,
        outputs: &task.outputs,
        continuation: task.continuation.as_deref(),
    };
    let mut data = job_data(inner.cloud.as_ref(), &parts);
    // The event, unlike GetJobDetails, names the revision that it does not know.
    for artifact in data
        .get_mut("inputArtifacts")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        artifact["revision"] = Value::Null;
    }
    let event = json!({ "CodePipeline.job": {
        "id": task.token,
        "accountId": inner.cloud.account().id,
        "data": data,
    } });
    let input = json!({
        "FunctionName": function,
        "InvocationType": "Event",
        "Payload": STANDARD.encode(event.to_string()),
    });
    // The pipeline's role invokes the function, so that no permission on the function is needed.
    let caller = Caller::Role {
        arn: task.role_arn.clone(),
        session: task.action_execution.clone(),
    };
    inner
        .cloud
        .call(&caller, "lambda", "Invoke", input)
        .await
        .map_err(|error| Failure {
            error: crate::state::ErrorDetails {
                code: if error.code.starts_with("AccessDenied") {
                    "PermissionError"
                } else {
                    "ConfigurationError"
                }
                .to_owned(),
                message: format!(
                    "The AWS Lambda function {function} cannot be invoked: {}",
                    error.message
                ),
            },
            external_id: None,
            external_url: None,
        })?;
    clock.sleep(JOB).await;
    Err(Failure::job(format!(
        "The AWS Lambda function {function} failed to return a result. Check the function to verify that it has \
         permission to call the PutJobSuccessResult action and that it made a call to PutJobSuccessResult."
    )))
}

/// What a job is made of.
pub(crate) struct JobParts<'a> {
    pub(crate) role_arn: &'a str,
    pub(crate) action_execution: &'a str,
    pub(crate) configuration: &'a BTreeMap<String, String>,
    pub(crate) inputs: &'a [Artifact],
    pub(crate) outputs: &'a [Artifact],
    pub(crate) continuation: Option<&'a str>,
}

/// A job's `data`, as the event and `GetJobDetails` have it in common.
pub(crate) fn job_data(cloud: &dyn Cloud, parts: &JobParts<'_>) -> Map<String, Value> {
    let (key, secret, token) = cloud.credentials_for(parts.role_arn, parts.action_execution);
    let mut data = Map::new();
    data.insert(
        "actionConfiguration".to_owned(),
        json!({ "configuration": parts.configuration }),
    );
    data.insert(
        "inputArtifacts".to_owned(),
        parts.inputs.iter().map(Artifact::for_job).collect(),
    );
    data.insert(
        "outputArtifacts".to_owned(),
        parts.outputs.iter().map(Artifact::for_job).collect(),
    );
    data.insert(
        "artifactCredentials".to_owned(),
        json!({ "accessKeyId": key, "secretAccessKey": secret, "sessionToken": token }),
    );
    if let Some(continuation) = parts.continuation {
        data.insert("continuationToken".to_owned(), json!(continuation));
    }
    data
}
