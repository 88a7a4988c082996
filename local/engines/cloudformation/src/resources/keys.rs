//! Secrets, keys and parameters; and the handle that stands for nothing.

use async_trait::async_trait;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::shape::{booleans, document, merge, numbers, required, set, subset, tag_list, tag_map, text};
use super::{Context, Kind, Made, answered};
use crate::invalid;

pub(super) struct WaitConditionHandle;

#[async_trait]
impl Kind for WaitConditionHandle {
    fn replacing(&self) -> &'static [&'static str] {
        &[]
    }

    async fn create(&self, cx: &Context<'_>, _: &Value) -> Result<Made, AwsError> {
        Ok(Made::new(format!(
            "{}/wait/{}",
            cx.cloud.endpoint(),
            cx.generated(64)
        )))
    }

    async fn update(&self, _: &Context<'_>, made: &Made, _: &Value, _: &Value) -> Result<Made, AwsError> {
        Ok(made.clone())
    }

    async fn delete(&self, _: &Context<'_>, _: &Made, _: &Value) -> Result<(), AwsError> {
        Ok(())
    }
}

pub(super) struct Secret;

const PASSWORD: &[&str] = &[
    "ExcludeCharacters",
    "ExcludeLowercase",
    "ExcludeNumbers",
    "ExcludePunctuation",
    "ExcludeUppercase",
    "IncludeSpace",
    "PasswordLength",
    "RequireEachIncludedType",
];

/// The text that `GenerateSecretString` describes.
async fn generate(cx: &Context<'_>, described: &Value) -> Result<String, AwsError> {
    let mut input = subset(described, PASSWORD);
    numbers(&mut input, &["PasswordLength"]);
    booleans(&mut input, PASSWORD);
    let answer = cx.call("secretsmanager", "GetRandomPassword", input).await?;
    let password = text(&answer, "RandomPassword")
        .ok_or_else(|| AwsError::internal("Secrets Manager answered no random password"))?;
    let (Some(template), Some(key)) = (
        text(described, "SecretStringTemplate"),
        text(described, "GenerateStringKey"),
    ) else {
        return Ok(password);
    };
    let mut secret: Value = serde_json::from_str(&template).map_err(|_| {
        invalid("Properties validation failed: [#/GenerateSecretString/SecretStringTemplate: not JSON]")
    })?;
    set(&mut secret, &key, password);
    Ok(secret.to_string())
}

#[async_trait]
impl Kind for Secret {
    fn replacing(&self) -> &'static [&'static str] {
        &["Name"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("Name")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "Name", 512);
        let mut input = subset(properties, &["Description", "KmsKeyId", "SecretString"]);
        set(&mut input, "Name", name.clone());
        if let Some(described) = properties.get("GenerateSecretString") {
            set(&mut input, "SecretString", generate(cx, described).await?);
        }
        if properties.get("Tags").is_some() {
            set(&mut input, "Tags", tag_list(properties));
        }
        let answer = cx.call("secretsmanager", "CreateSecret", input).await?;
        let arn = answered(&answer, "ARN", || {
            cx.account().arn("secretsmanager", &format!("secret:{name}"))
        });
        Ok(Made::new(arn.as_str().unwrap_or_default()).with("Id", arn.clone()))
    }

    /// A generated secret is generated anew only where its description changes.
    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        before: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        let mut input = subset(after, &["Description", "KmsKeyId"]);
        set(&mut input, "SecretId", made.physical.clone());
        if before.get("SecretString") != after.get("SecretString") {
            merge(&mut input, subset(after, &["SecretString"]));
        }
        match after.get("GenerateSecretString") {
            Some(described) if before.get("GenerateSecretString") != Some(described) => {
                set(&mut input, "SecretString", generate(cx, described).await?);
            }
            _ => {}
        }
        cx.call("secretsmanager", "UpdateSecret", input).await?;
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        let input = json!({ "SecretId": made.physical, "ForceDeleteWithoutRecovery": true });
        cx.call("secretsmanager", "DeleteSecret", input).await?;
        Ok(())
    }
}

pub(super) struct Key;

#[async_trait]
impl Kind for Key {
    fn replacing(&self) -> &'static [&'static str] {
        &["KeySpec", "KeyUsage", "MultiRegion"]
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let mut input = subset(
            properties,
            &["Description", "KeySpec", "KeyUsage", "MultiRegion", "Origin"],
        );
        booleans(&mut input, &["MultiRegion"]);
        if let Some(policy) = properties.get("KeyPolicy") {
            set(&mut input, "Policy", document(policy));
        }
        let tags = tag_map(properties);
        if !tags.is_empty() {
            let tags: Vec<Value> = tags
                .into_iter()
                .map(|(key, value)| json!({ "TagKey": key, "TagValue": value }))
                .collect();
            set(&mut input, "Tags", tags);
        }
        let answer = cx.call("kms", "CreateKey", input).await?;
        let key = answer.get("KeyMetadata").cloned().unwrap_or_default();
        let id = answered(&key, "KeyId", || uuid::Uuid::new_v4().to_string());
        let physical = id.as_str().unwrap_or_default().to_owned();
        let arn = answered(&key, "Arn", || {
            cx.account().arn("kms", &format!("key/{physical}"))
        });
        if text(properties, "EnableKeyRotation").as_deref() == Some("true") {
            cx.call("kms", "EnableKeyRotation", json!({ "KeyId": physical }))
                .await?;
        }
        Ok(Made::new(physical).with("Arn", arn).with("KeyId", id))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        before: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        if before.get("Description") != after.get("Description") {
            let description = text(after, "Description").unwrap_or_default();
            let input = json!({ "KeyId": made.physical, "Description": description });
            cx.call("kms", "UpdateKeyDescription", input).await?;
        }
        if let Some(policy) = after
            .get("KeyPolicy")
            .filter(|policy| before.get("KeyPolicy") != Some(*policy))
        {
            let input =
                json!({ "KeyId": made.physical, "PolicyName": "default", "Policy": document(policy) });
            cx.call("kms", "PutKeyPolicy", input).await?;
        }
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, properties: &Value) -> Result<(), AwsError> {
        let days = text(properties, "PendingWindowInDays")
            .and_then(|text| text.parse().ok())
            .unwrap_or(30_u32);
        let input = json!({ "KeyId": made.physical, "PendingWindowInDays": days });
        cx.call("kms", "ScheduleKeyDeletion", input).await?;
        Ok(())
    }
}

pub(super) struct Alias;

#[async_trait]
impl Kind for Alias {
    fn replacing(&self) -> &'static [&'static str] {
        &["AliasName"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("AliasName")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        cx.call(
            "kms",
            "CreateAlias",
            subset(properties, &["AliasName", "TargetKeyId"]),
        )
        .await?;
        Ok(Made::new(required(properties, "AliasName")?))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        _: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        cx.call("kms", "UpdateAlias", subset(after, &["AliasName", "TargetKeyId"]))
            .await?;
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        cx.call("kms", "DeleteAlias", json!({ "AliasName": made.physical }))
            .await?;
        Ok(())
    }
}

pub(super) struct Parameter;

const PARAMETER: &[&str] = &[
    "AllowedPattern",
    "DataType",
    "Description",
    "Policies",
    "Tier",
    "Type",
    "Value",
];

fn parameter(name: &str, properties: &Value) -> Made {
    let attribute = |property: &str| text(properties, property).unwrap_or_default();
    Made::new(name)
        .with("Type", attribute("Type"))
        .with("Value", attribute("Value"))
}

#[async_trait]
impl Kind for Parameter {
    fn replacing(&self) -> &'static [&'static str] {
        &["Name"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("Name")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "Name", 1011);
        let mut input = subset(properties, PARAMETER);
        set(&mut input, "Name", name.clone());
        cx.call("ssm", "PutParameter", input).await?;
        Ok(parameter(&name, properties))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        _: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        let mut input = subset(after, PARAMETER);
        set(&mut input, "Name", made.physical.clone());
        set(&mut input, "Overwrite", true);
        cx.call("ssm", "PutParameter", input).await?;
        Ok(parameter(&made.physical, after))
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        cx.call("ssm", "DeleteParameter", json!({ "Name": made.physical }))
            .await?;
        Ok(())
    }
}
