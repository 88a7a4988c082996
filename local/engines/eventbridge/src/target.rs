//! Targets: what a rule's event is handed to, and how.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use signalbox_local_core::{AwsError, Caller, Cloud};
use uuid::Uuid;

use crate::transform::Input;

const PRINCIPAL: &str = "events.amazonaws.com";
/// AWS's defaults where a target has no retry policy.
const MAX_RETRY_ATTEMPTS: u32 = 185;
const MAX_EVENT_AGE: Duration = Duration::from_hours(24);

#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) id: String,
    pub(crate) arn: String,
    kind: Kind,
    pub(crate) input: Input,
    message_group_id: Option<String>,
    pub(crate) dead_letter_arn: Option<String>,
    pub(crate) max_attempts: u32,
    pub(crate) max_age: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lambda,
    Sqs,
    Sns,
    CodePipeline,
    CodeBuild,
    LogGroup,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    id: String,
    arn: String,
    #[serde(flatten)]
    input: Input,
    sqs_parameters: Option<SqsParameters>,
    dead_letter_config: Option<DeadLetterConfig>,
    retry_policy: Option<RetryPolicy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SqsParameters {
    message_group_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeadLetterConfig {
    arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RetryPolicy {
    maximum_retry_attempts: Option<u32>,
    maximum_event_age_in_seconds: Option<u64>,
}

/// The parts of `arn:aws:service:region:account:resource`: service and resource.
fn split_arn(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':');
    (parts.next()? == "arn").then_some(())?;
    let _partition = parts.next()?;
    let service = parts.next()?;
    let (_region, _account) = (parts.next()?, parts.next()?);
    Some((service, parts.next()?))
}

pub(crate) fn parse(raw: Value) -> Result<Target, AwsError> {
    let put: Put = serde_json::from_value(raw)?;
    let kind = match split_arn(&put.arn) {
        Some(("lambda", resource)) if resource.starts_with("function:") => Kind::Lambda,
        Some(("sqs", _)) => Kind::Sqs,
        Some(("sns", _)) => Kind::Sns,
        Some(("codepipeline", _)) => Kind::CodePipeline,
        Some(("codebuild", resource)) if resource.starts_with("project/") => Kind::CodeBuild,
        Some(("logs", resource)) if resource.starts_with("log-group:") => Kind::LogGroup,
        Some((service, _)) => {
            return Err(AwsError::validation(format!(
                "Parameter {} is not valid. Reason: the local cloud delivers to Lambda functions, SQS queues, SNS topics, \
                 pipelines, build projects and log groups, not to {service}.",
                put.arn
            )));
        }
        None => {
            return Err(AwsError::validation(format!(
                "Parameter {} is not valid. Reason: Provided Arn is not in correct format.",
                put.arn
            )));
        }
    };
    if put.input.is_ambiguous() {
        return Err(AwsError::validation(format!(
            "Only one of Input, InputPath, or InputTransformer must be provided for target {}.",
            put.id
        )));
    }
    let policy = put.retry_policy.unwrap_or(RetryPolicy {
        maximum_retry_attempts: None,
        maximum_event_age_in_seconds: None,
    });
    Ok(Target {
        id: put.id,
        arn: put.arn,
        kind,
        input: put.input,
        message_group_id: put
            .sqs_parameters
            .and_then(|parameters| parameters.message_group_id),
        dead_letter_arn: put.dead_letter_config.and_then(|config| config.arn),
        max_attempts: policy.maximum_retry_attempts.unwrap_or(MAX_RETRY_ATTEMPTS),
        max_age: policy
            .maximum_event_age_in_seconds
            .map_or(MAX_EVENT_AGE, Duration::from_secs),
    })
}

impl Target {
    /// Hands over one payload, once.
    pub(crate) async fn hand_over(
        &self,
        cloud: &dyn Cloud,
        rule_arn: &str,
        payload: &str,
    ) -> Result<(), AwsError> {
        let caller = Caller::service_for(PRINCIPAL, rule_arn);
        let resource = split_arn(&self.arn)
            .map(|(_, resource)| resource)
            .unwrap_or_default();
        let call = async |service: &str, operation: &str, input: Value| {
            cloud.call(&caller, service, operation, input).await
        };
        match self.kind {
            Kind::Lambda => {
                if serde_json::from_str::<Value>(payload).is_err() {
                    return Err(AwsError::new(
                        "InvalidJsonException",
                        "The target's input is not valid JSON.",
                    ));
                }
                let input = json!({"FunctionName": self.arn, "InvocationType": "Event", "Payload": BASE64.encode(payload)});
                call("lambda", "Invoke", input).await?;
            }
            Kind::Sqs => {
                let mut input = json!({"QueueUrl": queue_url(cloud, &self.arn), "MessageBody": payload});
                if let Some(group) = &self.message_group_id {
                    input["MessageGroupId"] = Value::from(group.as_str());
                }
                call("sqs", "SendMessage", input).await?;
            }
            Kind::Sns => {
                call(
                    "sns",
                    "Publish",
                    json!({"TopicArn": self.arn, "Message": payload}),
                )
                .await?;
            }
            Kind::CodePipeline => {
                call(
                    "codepipeline",
                    "StartPipelineExecution",
                    json!({"name": resource}),
                )
                .await?;
            }
            Kind::CodeBuild => {
                // Where the target has an input of its own, its members are those of StartBuild.
                let mut input = match serde_json::from_str(payload) {
                    Ok(Value::Object(members)) if !self.input.is_whole_event() => members,
                    _ => Map::new(),
                };
                let project = resource.strip_prefix("project/").unwrap_or(resource);
                input.insert("projectName".to_owned(), Value::from(project));
                call("codebuild", "StartBuild", Value::Object(input)).await?;
            }
            Kind::LogGroup => {
                let group = resource
                    .strip_prefix("log-group:")
                    .unwrap_or(resource)
                    .trim_end_matches(":*");
                let stream = Uuid::new_v4().to_string();
                call(
                    "logs",
                    "CreateLogStream",
                    json!({"logGroupName": group, "logStreamName": stream}),
                )
                .await?;
                let entry = json!({"timestamp": cloud.clock().now().as_millisecond(), "message": payload});
                let input = json!({"logGroupName": group, "logStreamName": stream, "logEvents": [entry]});
                call("logs", "PutLogEvents", input).await?;
            }
        }
        Ok(())
    }
}

/// The URL under which the gateway serves a queue.
pub(crate) fn queue_url(cloud: &dyn Cloud, arn: &str) -> String {
    let name = arn.rsplit(':').next().unwrap_or(arn);
    format!("{}/{}/{name}", cloud.endpoint(), cloud.account().id)
}
