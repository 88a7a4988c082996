//! Where the results of asynchronous invocations go: queues, topics, functions, buses.
//!
//! Everything is sent with the function's own role, as in AWS: a role that may not send fails here too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller, Cloud};

use crate::reference;

/// AWS cuts the error's message in a dead letter's attributes to 1 KB.
const MESSAGE_LIMIT: usize = 1024;

/// Sends on behalf of a function.
pub(crate) struct Sender<'a> {
    pub(crate) cloud: &'a dyn Cloud,
    pub(crate) role: &'a str,
    pub(crate) function: &'a str,
}

/// An event for a dead-letter queue: as it came, with attributes that say why.
pub(crate) struct DeadLetter<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) error_code: u16,
    pub(crate) error_message: &'a str,
}

/// A payload as JSON; what is none, as text.
pub(crate) fn value(payload: &[u8]) -> Value {
    if payload.is_empty() {
        return json!({});
    }
    serde_json::from_slice(payload).unwrap_or_else(|_| json!(String::from_utf8_lossy(payload)))
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MESSAGE_LIMIT)]
}

impl Sender<'_> {
    /// Sends a destination record.
    pub(crate) async fn record(
        &self,
        destination: &str,
        record: &Value,
        success: bool,
    ) -> Result<(), AwsError> {
        let text = record.to_string();
        match service(destination) {
            "sqs" => self.queue(destination, &text, json!({})).await,
            "sns" => {
                self.call(
                    "sns",
                    "Publish",
                    json!({ "TopicArn": destination, "Message": text }),
                )
                .await
            }
            "lambda" => {
                let input = json!({
                    "FunctionName": destination, "InvocationType": "Event", "Payload": STANDARD.encode(&text),
                });
                self.call("lambda", "Invoke", input).await
            }
            "events" => {
                let result = if success { "Success" } else { "Failure" };
                let source = reference::arn(self.cloud.account(), self.function);
                let entry = json!({
                    "Source": "lambda",
                    "DetailType": format!("Lambda Function Invocation Result - {result}"),
                    "Detail": text,
                    "EventBusName": destination,
                    "Resources": [destination, source],
                });
                self.call("events", "PutEvents", json!({ "Entries": [entry] }))
                    .await
            }
            _ => Err(unknown(destination)),
        }
    }

    /// Sends an event to a dead-letter queue or topic.
    pub(crate) async fn dead_letter(&self, target: &str, letter: &DeadLetter<'_>) -> Result<(), AwsError> {
        let attributes = json!({
            "RequestID": { "DataType": "String", "StringValue": letter.request_id },
            "ErrorCode": { "DataType": "Number", "StringValue": letter.error_code.to_string() },
            "ErrorMessage": { "DataType": "String", "StringValue": cut(letter.error_message) },
        });
        match service(target) {
            "sqs" => self.queue(target, letter.payload, attributes).await,
            "sns" => {
                let input =
                    json!({ "TopicArn": target, "Message": letter.payload, "MessageAttributes": attributes });
                self.call("sns", "Publish", input).await
            }
            _ => Err(unknown(target)),
        }
    }

    async fn queue(&self, arn: &str, body: &str, attributes: Value) -> Result<(), AwsError> {
        let mut parts = arn.split(':').skip(4);
        let (Some(account), Some(name)) = (parts.next(), parts.next()) else {
            return Err(unknown(arn));
        };
        let url = format!("{}/{account}/{name}", self.cloud.endpoint().trim_end_matches('/'));
        let input = json!({ "QueueUrl": url, "MessageBody": body, "MessageAttributes": attributes });
        self.call("sqs", "SendMessage", input).await
    }

    async fn call(&self, service: &str, operation: &str, input: Value) -> Result<(), AwsError> {
        let caller = Caller::Role {
            arn: self.role.to_owned(),
            session: self.function.to_owned(),
        };
        let answer = self.cloud.call(&caller, service, operation, input).await?;
        // Batches answer per entry: a refused event is a failure too.
        if answer["FailedEntryCount"].as_u64().unwrap_or(0) > 0 {
            let entry = &answer["Entries"][0];
            let text = |name: &str| entry[name].as_str().unwrap_or("InternalFailure").to_owned();
            return Err(AwsError::new(&text("ErrorCode"), text("ErrorMessage")));
        }
        Ok(())
    }
}

fn service(arn: &str) -> &str {
    arn.split(':').nth(2).unwrap_or_default()
}

fn unknown(arn: &str) -> AwsError {
    crate::errors::invalid(format!("{arn} is not the ARN of a queue, topic, function or bus"))
}
