//! `AWS::DynamoDB::Table`.

use async_trait::async_trait;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::shape::{booleans, numbers, set, subset, tag_list, text};
use super::{Context, Kind, Made};

const MEMBERS: &[&str] = &[
    "AttributeDefinitions",
    "BillingMode",
    "DeletionProtectionEnabled",
    "GlobalSecondaryIndexes",
    "KeySchema",
    "LocalSecondaryIndexes",
    "ProvisionedThroughput",
    "TableClass",
];

fn input(name: &str, properties: &Value) -> Value {
    let mut input = subset(properties, MEMBERS);
    set(&mut input, "TableName", name);
    if let Some(view) = properties.pointer("/StreamSpecification/StreamViewType") {
        set(
            &mut input,
            "StreamSpecification",
            json!({ "StreamEnabled": true, "StreamViewType": view }),
        );
    }
    if let Some(sse) = properties.get("SSESpecification") {
        let mut specification = subset(sse, &["KMSMasterKeyId", "SSEType"]);
        set(
            &mut specification,
            "Enabled",
            text(sse, "SSEEnabled").as_deref() == Some("true"),
        );
        set(&mut input, "SSESpecification", specification);
    }
    numbers(&mut input, &["ReadCapacityUnits", "WriteCapacityUnits"]);
    booleans(&mut input, &["DeletionProtectionEnabled"]);
    input
}

async fn extras(cx: &Context<'_>, name: &str, properties: &Value) -> Result<(), AwsError> {
    if let Some(ttl) = properties.get("TimeToLiveSpecification") {
        let mut specification = ttl.clone();
        booleans(&mut specification, &["Enabled"]);
        let input = json!({ "TableName": name, "TimeToLiveSpecification": specification });
        cx.call("dynamodb", "UpdateTimeToLive", input).await?;
    }
    if let Some(backups) = properties.get("PointInTimeRecoverySpecification") {
        let mut specification = backups.clone();
        booleans(&mut specification, &["PointInTimeRecoveryEnabled"]);
        let input = json!({ "TableName": name, "PointInTimeRecoverySpecification": specification });
        cx.call("dynamodb", "UpdateContinuousBackups", input).await?;
    }
    Ok(())
}

pub(super) struct Table;

#[async_trait]
impl Kind for Table {
    fn replacing(&self) -> &'static [&'static str] {
        &["TableName", "KeySchema", "LocalSecondaryIndexes"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("TableName")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "TableName", 255);
        let mut input = input(&name, properties);
        if properties.get("Tags").is_some() {
            set(&mut input, "Tags", tag_list(properties));
        }
        let answer = cx.call("dynamodb", "CreateTable", input).await?;
        let arn = cx.account().arn("dynamodb", &format!("table/{name}"));
        let mut made = Made::new(name.clone()).with("Arn", arn);
        if let Some(stream) = answer.pointer("/TableDescription/LatestStreamArn") {
            made = made.with("StreamArn", stream.clone());
        }
        if let Err(error) = extras(cx, &name, properties).await {
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
        let (old, new) = (input(&made.physical, before), input(&made.physical, after));
        let members: Vec<&str> = MEMBERS
            .iter()
            .chain(&["StreamSpecification", "SSESpecification"])
            .filter(|name| old.get(**name) != new.get(**name))
            .copied()
            .collect();
        if !members.is_empty() {
            let mut changed = subset(&new, &members);
            set(&mut changed, "TableName", made.physical.clone());
            cx.call("dynamodb", "UpdateTable", changed).await?;
        }
        let changed: Vec<&str> = ["TimeToLiveSpecification", "PointInTimeRecoverySpecification"]
            .into_iter()
            .filter(|name| before.get(*name) != after.get(*name))
            .collect();
        extras(cx, &made.physical, &subset(after, &changed)).await?;
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        cx.call("dynamodb", "DeleteTable", json!({ "TableName": made.physical }))
            .await?;
        Ok(())
    }
}
