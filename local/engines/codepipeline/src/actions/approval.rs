//! Manual approvals: tells the topic, then waits for `PutApprovalResult` or the time-out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::engine::Inner;
use crate::task::{ActionTask, Outcome};

/// SNS takes subjects of less than 100 characters.
const MAX_SUBJECT: usize = 99;

pub(super) async fn run(
    inner: &Arc<Inner>,
    task: &ActionTask,
    configuration: &BTreeMap<String, String>,
) -> Outcome {
    if let Some(topic) = configuration.get("NotificationArn") {
        let subject: String = format!(
            "APPROVAL NEEDED: AWS CodePipeline {} for action {}",
            task.pipeline, task.action
        )
        .chars()
        .take(MAX_SUBJECT)
        .collect();
        let message = message(inner, task, configuration).to_string();
        let input = json!({ "TopicArn": topic, "Subject": subject, "Message": message });
        inner
            .cloud
            .call(&Inner::caller(task), "sns", "Publish", input)
            .await?;
    }
    std::future::pending().await
}

/// "JSON data format for manual approval notifications" of AWS's user guide. `expires` has no seconds.
fn message(inner: &Arc<Inner>, task: &ActionTask, configuration: &BTreeMap<String, String>) -> Value {
    let region = &inner.cloud.account().region;
    let clock = inner.cloud.clock();
    let console = format!(
        "https://console.aws.amazon.com/codesuite/codepipeline/pipelines/{}/view?region={region}",
        task.pipeline
    );
    let token = task.token.as_deref().unwrap_or_default();
    let expires = clock
        .now()
        .saturating_add(clock.scaled(task.timeout))
        .unwrap_or(jiff::Timestamp::MAX);
    let mut approval = Map::new();
    let members = [
        ("pipelineName", Some(task.pipeline.as_str())),
        ("stageName", Some(task.stage.as_str())),
        ("actionName", Some(task.action.as_str())),
        ("token", Some(token)),
        (
            "externalEntityLink",
            configuration.get("ExternalEntityLink").map(String::as_str),
        ),
        ("customData", configuration.get("CustomData").map(String::as_str)),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            approval.insert(name.to_owned(), json!(value));
        }
    }
    approval.insert(
        "expires".to_owned(),
        json!(expires.strftime("%Y-%m-%dT%H:%MZ").to_string()),
    );
    let review = format!("{console}#/{}/{}/approve/{token}", task.stage, task.action);
    approval.insert("approvalReviewLink".to_owned(), json!(review));
    json!({ "region": region, "consoleLink": console, "approval": approval })
}
