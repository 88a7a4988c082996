//! `AWS::Logs::LogGroup`.

use async_trait::async_trait;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::shape::{numbers, set, tag_map, text};
use super::{Context, Kind, Made};

async fn retain(cx: &Context<'_>, name: &str, properties: &Value) -> Result<(), AwsError> {
    let (operation, mut input) = match text(properties, "RetentionInDays") {
        Some(days) => (
            "PutRetentionPolicy",
            json!({ "logGroupName": name, "retentionInDays": days }),
        ),
        None => ("DeleteRetentionPolicy", json!({ "logGroupName": name })),
    };
    numbers(&mut input, &["retentionInDays"]);
    cx.call("logs", operation, input).await?;
    Ok(())
}

pub(super) struct LogGroup;

#[async_trait]
impl Kind for LogGroup {
    fn replacing(&self) -> &'static [&'static str] {
        &["LogGroupName"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("LogGroupName")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "LogGroupName", 512);
        let mut input = json!({ "logGroupName": name });
        if let Some(key) = text(properties, "KmsKeyId") {
            set(&mut input, "kmsKeyId", key);
        }
        let tags = tag_map(properties);
        if !tags.is_empty() {
            set(&mut input, "tags", tags);
        }
        cx.call("logs", "CreateLogGroup", input).await?;
        if properties.get("RetentionInDays").is_some() {
            retain(cx, &name, properties).await?;
        }
        // CloudFormation reads what it made, and looks for it among all groups: its role needs the right on all of them.
        let found = cx.call("logs", "DescribeLogGroups", json!({ "logGroupNamePrefix": name }));
        found.await?;
        let arn = cx.account().arn("logs", &format!("log-group:{name}:*"));
        Ok(Made::new(name).with("Arn", arn))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        before: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        if before.get("RetentionInDays") != after.get("RetentionInDays") {
            retain(cx, &made.physical, after).await?;
        }
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        cx.call("logs", "DeleteLogGroup", json!({ "logGroupName": made.physical }))
            .await?;
        Ok(())
    }
}
