//! What SNS does that the emulator does not: limits, and delivery to functions and mail boxes.
//!
//! Subscriptions live in the emulator, which delivers to queues and HTTP endpoints itself. E-mail
//! subscriptions count as confirmed: there is nobody to click in this inbox.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use signalbox_local_core::{AwsError, Caller, Cloud};

use super::LocalCloud;
use super::filter::{Attribute, Attributes, passes};
use crate::inbox::Mail;

/// SNS's own limit, in bytes (`Publish` in its API reference).
const MAX_MESSAGE: usize = 262_144;
/// A subject has fewer characters than this.
const SUBJECT_LIMIT: usize = 100;

fn invalid(what: &str) -> AwsError {
    AwsError::new("InvalidParameter", format!("Invalid parameter: {what}"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The messages of a `Publish` or `PublishBatch`.
fn messages<'a>(operation: &str, input: &'a Value) -> Vec<&'a Value> {
    match operation {
        "Publish" => vec![input],
        "PublishBatch" => input["PublishBatchRequestEntries"]
            .as_array()
            .into_iter()
            .flatten()
            .collect(),
        _ => Vec::new(),
    }
}

/// Refuses what SNS refuses and the emulator lets pass.
pub(super) fn check_limits(operation: &str, input: &Value) -> Result<(), AwsError> {
    let messages = messages(operation, input);
    if messages
        .iter()
        .map(|message| text(message, "Message").len())
        .sum::<usize>()
        > MAX_MESSAGE
    {
        return Err(invalid("Message too long"));
    }
    for message in messages {
        if text(message, "Message").is_empty() {
            return Err(invalid("Empty message"));
        }
        let Some(subject) = message["Subject"].as_str() else {
            continue;
        };
        let printable = subject.chars().all(|character| matches!(character, ' '..='~'));
        // SNS wants a letter, number or punctuation mark first.
        if !printable || subject.len() >= SUBJECT_LIMIT || subject.is_empty() || subject.starts_with(' ') {
            return Err(invalid("Subject"));
        }
    }
    Ok(())
}

struct Publication<'a> {
    topic: &'a str,
    id: String,
    subject: Option<&'a str>,
    message: &'a str,
    structured: bool,
    attributes: Attributes,
}

impl Publication<'_> {
    /// With `MessageStructure: json` each protocol may have a text of its own.
    fn message_for(&self, protocol: &str) -> String {
        let by_protocol: Option<Value> = self
            .structured
            .then(|| serde_json::from_str(self.message).ok())
            .flatten();
        let own = by_protocol
            .as_ref()
            .and_then(|it| it.get(protocol).or_else(|| it.get("default")));
        own.and_then(Value::as_str).unwrap_or(self.message).to_owned()
    }
}

/// Delivers what has been published to functions and mail boxes.
pub(super) async fn deliver(cloud: &LocalCloud, operation: &str, input: &Value, output: &Value) {
    let topic = input["TopicArn"].as_str().or_else(|| input["TargetArn"].as_str());
    let (messages, Some(topic)) = (messages(operation, input), topic) else {
        return;
    };
    if messages.is_empty() {
        return;
    }
    let subscriptions = match subscriptions(cloud, topic).await {
        Ok(subscriptions) => subscriptions,
        Err(error) => {
            tracing::error!(topic, %error, "the topic's subscriptions cannot be read");
            return;
        }
    };
    for message in messages {
        let id = output["MessageId"].as_str().or_else(|| {
            let done = output["Successful"].as_array()?;
            done.iter().find(|entry| entry["Id"] == message["Id"])?["MessageId"].as_str()
        });
        // An entry of a batch that failed has no id, and is not delivered.
        let Some(id) = id else { continue };
        let publication = Publication {
            topic,
            id: id.to_owned(),
            subject: message["Subject"].as_str(),
            message: text(message, "Message"),
            structured: text(message, "MessageStructure") == "json",
            attributes: attributes(&message["MessageAttributes"]),
        };
        for subscription in &subscriptions {
            subscription.deliver(cloud, &publication).await;
        }
    }
}

fn attributes(given: &Value) -> Attributes {
    let given = given.as_object().into_iter().flatten();
    given
        .map(|(name, value)| {
            let content = value["StringValue"]
                .as_str()
                .or_else(|| value["BinaryValue"].as_str());
            let attribute = Attribute {
                data_type: text(value, "DataType").to_owned(),
                value: content.unwrap_or_default().to_owned(),
            };
            (name.clone(), attribute)
        })
        .collect()
}

struct Subscription {
    arn: String,
    protocol: String,
    endpoint: String,
    policy: Option<String>,
    by_body: bool,
}

async fn subscriptions(cloud: &LocalCloud, topic: &str) -> Result<Vec<Subscription>, AwsError> {
    let model = cloud.model("sns").await?;
    let emulator = cloud.emulator();
    let mut found = Vec::new();
    let mut token = Value::Null;
    loop {
        let mut input = json!({"TopicArn": topic});
        if !token.is_null() {
            input["NextToken"] = token;
        }
        let page = emulator.call(&model, "ListSubscriptionsByTopic", &input).await?;
        for one in page["Subscriptions"].as_array().into_iter().flatten() {
            let protocol = text(one, "Protocol");
            if !matches!(protocol, "lambda" | "email" | "email-json") {
                continue;
            }
            let arn = text(one, "SubscriptionArn");
            let read = emulator
                .call(
                    &model,
                    "GetSubscriptionAttributes",
                    &json!({"SubscriptionArn": arn}),
                )
                .await?;
            let attributes = &read["Attributes"];
            found.push(Subscription {
                arn: arn.to_owned(),
                protocol: protocol.to_owned(),
                endpoint: text(one, "Endpoint").to_owned(),
                policy: attributes["FilterPolicy"]
                    .as_str()
                    .filter(|it| !it.is_empty())
                    .map(str::to_owned),
                by_body: text(attributes, "FilterPolicyScope") == "MessageBody",
            });
        }
        token = page["NextToken"].clone();
        if token.as_str().is_none_or(str::is_empty) {
            return Ok(found);
        }
    }
}

impl Subscription {
    async fn deliver(&self, cloud: &LocalCloud, publication: &Publication<'_>) {
        let passes = self
            .policy
            .as_deref()
            .is_none_or(|policy| passes(policy, self.by_body, &publication.attributes, publication.message));
        if !passes {
            return;
        }
        let message = publication.message_for(&self.protocol);
        if self.protocol == "lambda" {
            self.invoke(cloud, publication, &message).await;
        } else {
            let text = if self.protocol == "email-json" {
                json!({
                    "Type": "Notification", "MessageId": publication.id, "TopicArn": publication.topic,
                    "Subject": publication.subject, "Message": message,
                })
                .to_string()
            } else {
                message
            };
            cloud.inbox().receive(Mail {
                to: self.endpoint.clone(),
                // What SNS writes where the publisher named no subject.
                subject: publication
                    .subject
                    .unwrap_or("AWS Notification Message")
                    .to_owned(),
                text,
                topic: publication.topic.to_owned(),
                at: cloud.clock().now(),
                attributes: publication
                    .attributes
                    .iter()
                    .map(|(name, attribute)| (name.clone(), attribute.value.clone()))
                    .collect(),
            });
        }
    }

    async fn invoke(&self, cloud: &LocalCloud, publication: &Publication<'_>, message: &str) {
        let attributes: Map<String, Value> = publication
            .attributes
            .iter()
            .map(|(name, it)| (name.clone(), json!({"Type": it.data_type, "Value": it.value})))
            .collect();
        let event = json!({"Records": [{
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": self.arn,
            "Sns": {
                "Type": "Notification",
                "MessageId": publication.id,
                "TopicArn": publication.topic,
                "Subject": publication.subject,
                "Message": message,
                "Timestamp": format!("{:.3}", cloud.clock().now()),
                "SignatureVersion": "1",
                "Signature": "local",
                "SigningCertUrl": "https://sns.invalid/local.pem",
                "UnsubscribeUrl": format!("{}/?Action=Unsubscribe&SubscriptionArn={}", cloud.endpoint(), self.arn),
                "MessageAttributes": attributes,
            }
        }]});
        let input = json!({
            "FunctionName": self.endpoint,
            "InvocationType": "Event",
            "Payload": STANDARD.encode(event.to_string()),
        });
        let caller = Caller::service_for("sns.amazonaws.com", publication.topic);
        if let Err(error) = cloud.call(&caller, "lambda", "Invoke", input).await {
            tracing::warn!(topic = publication.topic, function = self.endpoint, %error, "SNS could not invoke the function");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(input: &Value) -> String {
        check_limits("Publish", input).unwrap_err().message
    }

    #[test]
    fn messages_are_counted_in_bytes() {
        let fits = "é".repeat(MAX_MESSAGE / 2);
        assert!(check_limits("Publish", &json!({"Message": fits})).is_ok());
        assert_eq!(
            refused(&json!({"Message": format!("{fits}x")})),
            "Invalid parameter: Message too long"
        );
        assert_eq!(
            refused(&json!({"Message": ""})),
            "Invalid parameter: Empty message"
        );
    }

    #[test]
    fn a_batch_is_counted_as_a_whole() {
        let entry = json!({"Id": "1", "Message": "x".repeat(MAX_MESSAGE / 2 + 1)});
        let batch = json!({"PublishBatchRequestEntries": [entry, entry]});
        assert!(check_limits("PublishBatch", &batch).is_err());
    }

    #[test]
    fn subjects_are_short_printable_ascii() {
        assert!(check_limits("Publish", &json!({"Message": "m", "Subject": "s".repeat(99)})).is_ok());
        for subject in [
            "s".repeat(100),
            "two\nlines".to_owned(),
            "Zürich".to_owned(),
            String::new(),
        ] {
            assert_eq!(
                refused(&json!({"Message": "m", "Subject": subject})),
                "Invalid parameter: Subject"
            );
        }
    }

    #[test]
    fn a_structured_message_has_a_text_per_protocol() {
        let publication = Publication {
            topic: "t",
            id: "1".to_owned(),
            subject: None,
            message: r#"{"default": "all", "email": "mail"}"#,
            structured: true,
            attributes: Attributes::new(),
        };
        assert_eq!(publication.message_for("email"), "mail");
        assert_eq!(publication.message_for("lambda"), "all");
    }
}
