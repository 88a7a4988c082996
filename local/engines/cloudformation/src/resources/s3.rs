//! S3 buckets and their policies.

use async_trait::async_trait;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::shape::{booleans, document, required, set, tag_list, text};
use super::{Context, Kind, Made};

/// What CloudFormation and the API call differently: property, operation, member.
const SETTINGS: &[(&str, &str, &str)] = &[
    (
        "VersioningConfiguration",
        "PutBucketVersioning",
        "VersioningConfiguration",
    ),
    (
        "PublicAccessBlockConfiguration",
        "PutPublicAccessBlock",
        "PublicAccessBlockConfiguration",
    ),
];

async fn settings(cx: &Context<'_>, bucket: &str, before: &Value, after: &Value) -> Result<(), AwsError> {
    for (property, operation, member) in SETTINGS {
        if let Some(value) = after
            .get(*property)
            .filter(|value| before.get(*property) != Some(*value))
        {
            let mut value = value.clone();
            booleans(
                &mut value,
                &[
                    "BlockPublicAcls",
                    "BlockPublicPolicy",
                    "IgnorePublicAcls",
                    "RestrictPublicBuckets",
                ],
            );
            cx.call("s3", operation, json!({ "Bucket": bucket, *member: value }))
                .await?;
        }
    }
    let notifications = "NotificationConfiguration";
    if before.get(notifications) != after.get(notifications) {
        // Deliveries to functions, queues and topics go through rules here.
        let events = after.pointer("/NotificationConfiguration/EventBridgeConfiguration");
        let enabled =
            events.is_some_and(|events| text(events, "EventBridgeEnabled").as_deref() != Some("false"));
        let configuration = if enabled {
            json!({ "EventBridgeConfiguration": {} })
        } else {
            json!({})
        };
        let input = json!({ "Bucket": bucket, "NotificationConfiguration": configuration });
        cx.call("s3", "PutBucketNotificationConfiguration", input).await?;
    }
    let encryption = after.pointer("/BucketEncryption/ServerSideEncryptionConfiguration");
    if let Some(rules) =
        encryption.filter(|_| before.get("BucketEncryption") != after.get("BucketEncryption"))
    {
        let rules: Vec<Value> = rules
            .as_array()
            .into_iter()
            .flatten()
            .map(|rule| {
                let mut shown = json!({});
                if let Some(default) = rule.get("ServerSideEncryptionByDefault") {
                    set(&mut shown, "ApplyServerSideEncryptionByDefault", default.clone());
                }
                shown
            })
            .collect();
        let input = json!({ "Bucket": bucket, "ServerSideEncryptionConfiguration": { "Rules": rules } });
        cx.call("s3", "PutBucketEncryption", input).await?;
    }
    if after.get("Tags").is_some() && before.get("Tags") != after.get("Tags") {
        let input = json!({ "Bucket": bucket, "Tagging": { "TagSet": tag_list(after) } });
        cx.call("s3", "PutBucketTagging", input).await?;
    }
    Ok(())
}

pub(super) struct Bucket;

#[async_trait]
impl Kind for Bucket {
    fn replacing(&self) -> &'static [&'static str] {
        &["BucketName"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("BucketName")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "BucketName", 63).to_lowercase();
        cx.call("s3", "CreateBucket", json!({ "Bucket": name })).await?;
        let made = Made::new(name.clone())
            .with("Arn", format!("arn:aws:s3:::{name}"))
            .with("DomainName", format!("{name}.s3.amazonaws.com"))
            .with(
                "RegionalDomainName",
                format!("{name}.s3.{}.amazonaws.com", cx.account().region),
            );
        if let Err(error) = settings(cx, &name, &Value::Null, properties).await {
            let _ = self.delete(cx, &made, properties).await;
            return Err(error);
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
        settings(cx, &made.physical, before, after).await?;
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        cx.call("s3", "DeleteBucket", json!({ "Bucket": made.physical }))
            .await?;
        Ok(())
    }
}

pub(super) struct BucketPolicy;

async fn put_policy(cx: &Context<'_>, properties: &Value) -> Result<String, AwsError> {
    let bucket = required(properties, "Bucket")?;
    let policy = document(properties.get("PolicyDocument").unwrap_or(&Value::Null));
    cx.call(
        "s3",
        "PutBucketPolicy",
        json!({ "Bucket": bucket, "Policy": policy }),
    )
    .await?;
    Ok(bucket)
}

#[async_trait]
impl Kind for BucketPolicy {
    fn replacing(&self) -> &'static [&'static str] {
        &["Bucket"]
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        Ok(Made::new(put_policy(cx, properties).await?))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        _: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        put_policy(cx, after).await?;
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        cx.call("s3", "DeleteBucketPolicy", json!({ "Bucket": made.physical }))
            .await?;
        Ok(())
    }
}
