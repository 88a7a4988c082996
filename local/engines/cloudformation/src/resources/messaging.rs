//! SQS and SNS: queues, topics, subscriptions, and the policies of both.

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use signalbox_local_core::AwsError;

use super::shape::{document, list, required, set, subset, tag_list, tag_map, text, texts};
use super::{Context, Kind, Made, answered};

/// Attributes travel as text, documents as JSON text.
fn attributes(properties: &Value, names: &[&str]) -> Map<String, Value> {
    let present = names
        .iter()
        .filter_map(|name| Some((*name, properties.get(*name)?)));
    present
        .map(|(name, value)| {
            let value = text(properties, name).unwrap_or_else(|| document(value));
            (name.to_owned(), json!(value))
        })
        .collect()
}

const QUEUE: &[&str] = &[
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "DelaySeconds",
    "FifoQueue",
    "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "RedriveAllowPolicy",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
];

pub(super) struct Queue;

#[async_trait]
impl Kind for Queue {
    fn replacing(&self) -> &'static [&'static str] {
        &["QueueName", "FifoQueue"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("QueueName")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let is_fifo = text(properties, "FifoQueue").as_deref() == Some("true");
        let name = text(properties, "QueueName").unwrap_or_else(|| {
            if is_fifo {
                format!("{}.fifo", cx.generated(75))
            } else {
                cx.generated(80)
            }
        });
        let input = json!({ "QueueName": name, "Attributes": attributes(properties, QUEUE), "tags": tag_map(properties) });
        let answer = cx.call("sqs", "CreateQueue", input).await?;
        let url = answered(&answer, "QueueUrl", || {
            format!("{}/{}/{name}", cx.cloud.endpoint(), cx.account().id)
        });
        let arn = cx.account().arn("sqs", &name);
        let physical = url.as_str().unwrap_or_default().to_owned();
        Ok(Made::new(physical)
            .with("Arn", arn)
            .with("QueueName", name)
            .with("QueueUrl", url))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        before: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        let (old, new) = (attributes(before, QUEUE), attributes(after, QUEUE));
        let mut changed: Map<String, Value> = new
            .iter()
            .filter(|(name, value)| old.get(*name) != Some(*value))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        for name in old
            .keys()
            .filter(|name| name.as_str() == "RedrivePolicy" && !new.contains_key(*name))
        {
            changed.insert(name.clone(), json!(""));
        }
        if !changed.is_empty() {
            let input = json!({ "QueueUrl": made.physical, "Attributes": changed });
            cx.call("sqs", "SetQueueAttributes", input).await?;
        }
        if before.get("Tags") != after.get("Tags") {
            cx.call(
                "sqs",
                "TagQueue",
                json!({ "QueueUrl": made.physical, "Tags": tag_map(after) }),
            )
            .await?;
        }
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        cx.call("sqs", "DeleteQueue", json!({ "QueueUrl": made.physical }))
            .await?;
        Ok(())
    }
}

/// Sets or clears the policy of each queue or topic that a policy resource names.
async fn spread(cx: &Context<'_>, service: &str, targets: &[String], policy: &str) -> Result<(), AwsError> {
    for target in targets {
        let (operation, input) = if service == "sqs" {
            (
                "SetQueueAttributes",
                json!({ "QueueUrl": target, "Attributes": { "Policy": policy } }),
            )
        } else {
            let input = json!({ "TopicArn": target, "AttributeName": "Policy", "AttributeValue": policy });
            ("SetTopicAttributes", input)
        };
        cx.call(service, operation, input).await?;
    }
    Ok(())
}

pub(super) struct QueuePolicy;

#[async_trait]
impl Kind for QueuePolicy {
    fn replacing(&self) -> &'static [&'static str] {
        &[]
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let policy = document(properties.get("PolicyDocument").unwrap_or(&Value::Null));
        spread(cx, "sqs", &texts(properties, "Queues"), &policy).await?;
        Ok(Made::new(cx.generated(128)))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        before: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        let kept = texts(after, "Queues");
        let gone: Vec<String> = texts(before, "Queues")
            .into_iter()
            .filter(|queue| !kept.contains(queue))
            .collect();
        spread(cx, "sqs", &gone, "").await?;
        spread(
            cx,
            "sqs",
            &kept,
            &document(after.get("PolicyDocument").unwrap_or(&Value::Null)),
        )
        .await?;
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, _: &Made, properties: &Value) -> Result<(), AwsError> {
        spread(cx, "sqs", &texts(properties, "Queues"), "").await
    }
}

const TOPIC: &[&str] = &[
    "ArchivePolicy",
    "ContentBasedDeduplication",
    "DataProtectionPolicy",
    "DeliveryStatusLogging",
    "DisplayName",
    "FifoThroughputScope",
    "FifoTopic",
    "KmsMasterKeyId",
    "SignatureVersion",
];

pub(super) struct Topic;

#[async_trait]
impl Kind for Topic {
    fn replacing(&self) -> &'static [&'static str] {
        &["TopicName", "FifoTopic"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("TopicName")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "TopicName", 256);
        let input = json!({ "Name": name, "Attributes": attributes(properties, TOPIC), "Tags": tag_list(properties) });
        let answer = cx.call("sns", "CreateTopic", input).await?;
        let arn = answered(&answer, "TopicArn", || cx.account().arn("sns", &name));
        let made = Made::new(arn.as_str().unwrap_or_default())
            .with("TopicArn", arn.clone())
            .with("TopicName", name);
        for subscription in list(properties, "Subscription") {
            let mut input = subset(&subscription, &["Protocol", "Endpoint"]);
            set(&mut input, "TopicArn", arn.clone());
            cx.call("sns", "Subscribe", input).await?;
        }
        Ok(made)
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        before: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        let (old, new) = (attributes(before, TOPIC), attributes(after, TOPIC));
        for (name, value) in new.iter().filter(|(name, value)| old.get(*name) != Some(*value)) {
            let input = json!({ "TopicArn": made.physical, "AttributeName": name, "AttributeValue": value });
            cx.call("sns", "SetTopicAttributes", input).await?;
        }
        let known = list(before, "Subscription");
        for subscription in list(after, "Subscription")
            .iter()
            .filter(|one| !known.contains(one))
        {
            let mut input = subset(subscription, &["Protocol", "Endpoint"]);
            set(&mut input, "TopicArn", made.physical.clone());
            cx.call("sns", "Subscribe", input).await?;
        }
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        cx.call("sns", "DeleteTopic", json!({ "TopicArn": made.physical }))
            .await?;
        Ok(())
    }
}

const SUBSCRIPTION: &[&str] = &[
    "DeliveryPolicy",
    "FilterPolicy",
    "FilterPolicyScope",
    "RawMessageDelivery",
    "RedrivePolicy",
    "SubscriptionRoleArn",
];

pub(super) struct Subscription;

#[async_trait]
impl Kind for Subscription {
    fn replacing(&self) -> &'static [&'static str] {
        &["TopicArn", "Protocol", "Endpoint"]
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let mut input = subset(properties, &["TopicArn", "Protocol", "Endpoint"]);
        set(&mut input, "Attributes", attributes(properties, SUBSCRIPTION));
        set(&mut input, "ReturnSubscriptionArn", true);
        let answer = cx.call("sns", "Subscribe", input).await?;
        let topic = required(properties, "TopicArn")?;
        let arn = answered(&answer, "SubscriptionArn", || {
            format!("{topic}:{}", uuid::Uuid::new_v4())
        });
        Ok(Made::new(arn.as_str().unwrap_or_default()).with("Arn", arn.clone()))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        before: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        let (old, new) = (attributes(before, SUBSCRIPTION), attributes(after, SUBSCRIPTION));
        for (name, value) in new.iter().filter(|(name, value)| old.get(*name) != Some(*value)) {
            let input =
                json!({ "SubscriptionArn": made.physical, "AttributeName": name, "AttributeValue": value });
            cx.call("sns", "SetSubscriptionAttributes", input).await?;
        }
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        cx.call("sns", "Unsubscribe", json!({ "SubscriptionArn": made.physical }))
            .await?;
        Ok(())
    }
}

pub(super) struct TopicPolicy;

#[async_trait]
impl Kind for TopicPolicy {
    fn replacing(&self) -> &'static [&'static str] {
        &[]
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let policy = document(properties.get("PolicyDocument").unwrap_or(&Value::Null));
        spread(cx, "sns", &texts(properties, "Topics"), &policy).await?;
        Ok(Made::new(cx.generated(128)))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        _: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        let policy = document(after.get("PolicyDocument").unwrap_or(&Value::Null));
        spread(cx, "sns", &texts(after, "Topics"), &policy).await?;
        Ok(made.clone())
    }

    /// Back to what every topic has: its owner may do everything.
    async fn delete(&self, cx: &Context<'_>, _: &Made, properties: &Value) -> Result<(), AwsError> {
        let account = &cx.account().id;
        let statement = json!({
            "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": "SNS:*", "Resource": "*",
            "Condition": { "StringEquals": { "AWS:SourceOwner": account } },
        });
        let policy = json!({ "Version": "2008-10-17", "Statement": [statement] }).to_string();
        spread(cx, "sns", &texts(properties, "Topics"), &policy).await
    }
}
