//! `AWS::Lambda::Function`.

use async_trait::async_trait;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::code::code;
use super::shape::{all_text, booleans, merge, numbers, required, set, subset, tag_map, text};
use super::{Context, Kind, Made};

const CONFIGURATION: &[&str] = &[
    "DeadLetterConfig",
    "Description",
    "EphemeralStorage",
    "FileSystemConfigs",
    "Handler",
    "ImageConfig",
    "Layers",
    "LoggingConfig",
    "MemorySize",
    "Role",
    "Runtime",
    "SnapStart",
    "Timeout",
    "TracingConfig",
    "VpcConfig",
];

/// What an update sends for a property that the template has dropped.
fn cleared(property: &str) -> Option<Value> {
    Some(match property {
        "DeadLetterConfig" => json!({ "TargetArn": "" }),
        "Description" => json!(""),
        "EphemeralStorage" => json!({ "Size": 512 }),
        "FileSystemConfigs" | "Layers" => json!([]),
        "MemorySize" => json!(128),
        "Timeout" => json!(3),
        "TracingConfig" => json!({ "Mode": "PassThrough" }),
        "VpcConfig" => json!({ "SubnetIds": [], "SecurityGroupIds": [] }),
        _ => return None,
    })
}

fn configuration(properties: &Value) -> Value {
    let mut input = subset(properties, CONFIGURATION);
    if let Some(variables) = properties.pointer("/Environment/Variables") {
        set(
            &mut input,
            "Environment",
            json!({ "Variables": all_text(variables) }),
        );
    }
    if let Some(key) = properties.get("KmsKeyArn") {
        set(&mut input, "KMSKeyArn", key.clone());
    }
    numbers(&mut input, &["MemorySize", "Timeout", "Size"]);
    booleans(&mut input, &["Ipv6AllowedForDualStack"]);
    input
}

fn made(cx: &Context<'_>, name: &str, answer: &Value) -> Made {
    let arn = super::answered(answer, "FunctionArn", || {
        cx.account().arn("lambda", &format!("function:{name}"))
    });
    Made::new(name).with("Arn", arn)
}

async fn reserve(cx: &Context<'_>, name: &str, properties: &Value) -> Result<(), AwsError> {
    let Some(reserved) = text(properties, "ReservedConcurrentExecutions") else {
        cx.call(
            "lambda",
            "DeleteFunctionConcurrency",
            json!({ "FunctionName": name }),
        )
        .await?;
        return Ok(());
    };
    let mut input = json!({ "FunctionName": name, "ReservedConcurrentExecutions": reserved });
    numbers(&mut input, &["ReservedConcurrentExecutions"]);
    cx.call("lambda", "PutFunctionConcurrency", input).await?;
    Ok(())
}

pub(super) struct Function;

#[async_trait]
impl Kind for Function {
    fn replacing(&self) -> &'static [&'static str] {
        &["FunctionName", "PackageType"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("FunctionName")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "FunctionName", 64);
        let mut input = configuration(properties);
        required(properties, "Role")?;
        merge(
            &mut input,
            subset(
                properties,
                &["Architectures", "CodeSigningConfigArn", "PackageType"],
            ),
        );
        set(&mut input, "FunctionName", name.clone());
        set(&mut input, "Code", code(cx.project_root, properties).await?);
        let tags = tag_map(properties);
        if !tags.is_empty() {
            set(&mut input, "Tags", tags);
        }
        let answer = cx.call("lambda", "CreateFunction", input).await?;
        let made = made(cx, &name, &answer);
        if properties.get("ReservedConcurrentExecutions").is_some()
            && let Err(error) = reserve(cx, &name, properties).await
        {
            // Nothing may be left of a creation that failed.
            let _ = self.delete(cx, &made, properties).await;
            return Err(error);
        }
        Ok(made)
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made_: &Made,
        before: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        let name = made_.physical.clone();
        let (old, mut new) = (configuration(before), configuration(after));
        if old != new {
            for property in old.as_object().into_iter().flat_map(|map| map.keys()) {
                if new.get(property).is_none() {
                    let empty = cleared(property)
                        .or_else(|| (property == "Environment").then(|| json!({ "Variables": {} })));
                    if let Some(empty) = empty {
                        set(&mut new, property, empty);
                    }
                }
            }
            set(&mut new, "FunctionName", name.clone());
            cx.call("lambda", "UpdateFunctionConfiguration", new).await?;
        }
        let different = |property: &str| before.get(property) != after.get(property);
        if different("Code") || different("Architectures") {
            let mut input = code(cx.project_root, after).await?;
            merge(&mut input, subset(after, &["Architectures"]));
            set(&mut input, "FunctionName", name.clone());
            cx.call("lambda", "UpdateFunctionCode", input).await?;
        }
        if different("ReservedConcurrentExecutions") {
            reserve(cx, &name, after).await?;
        }
        if different("Tags") {
            let input = json!({ "Resource": made_.attributes.get("Arn"), "Tags": tag_map(after) });
            cx.call("lambda", "TagResource", input).await?;
        }
        Ok(made_.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        cx.call(
            "lambda",
            "DeleteFunction",
            json!({ "FunctionName": made.physical }),
        )
        .await?;
        Ok(())
    }
}
