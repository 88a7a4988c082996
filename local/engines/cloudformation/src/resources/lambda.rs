//! What belongs to a function: versions, permissions, its URL, what happens to asynchronous invocations.

use async_trait::async_trait;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::shape::{booleans, merge, numbers, required, set, subset, text};
use super::{Context, Kind, Made, answered};

/// The name in a function's name, ARN, or partial ARN.
pub(super) fn function_name(reference: &str) -> &str {
    let after = reference
        .split_once(":function:")
        .map_or(reference, |(_, rest)| rest);
    after.split(':').next().unwrap_or(after)
}

pub(super) struct Version;

#[async_trait]
impl Kind for Version {
    /// A version cannot change, so that every change makes a new one.
    fn replacing(&self) -> &'static [&'static str] {
        &["*"]
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let function = required(properties, "FunctionName")?;
        let input = subset(properties, &["FunctionName", "Description", "CodeSha256"]);
        let answer = cx.call("lambda", "PublishVersion", input).await?;
        let version = answered(&answer, "Version", || "1".to_owned());
        let number = version.as_str().unwrap_or_default();
        let own = format!("function:{}:{number}", function_name(&function));
        let arn = cx.account().arn("lambda", &own);
        Ok(Made::new(arn.clone())
            .with("Version", version)
            .with("FunctionArn", arn))
    }

    async fn update(&self, _: &Context<'_>, made: &Made, _: &Value, _: &Value) -> Result<Made, AwsError> {
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, properties: &Value) -> Result<(), AwsError> {
        let function = required(properties, "FunctionName")?;
        let input = json!({ "FunctionName": function, "Qualifier": made.attributes.get("Version") });
        cx.call("lambda", "DeleteFunction", input).await?;
        Ok(())
    }
}

pub(super) struct Permission;

const PERMISSION: &[&str] = &[
    "Action",
    "EventSourceToken",
    "FunctionName",
    "FunctionUrlAuthType",
    "InvokedViaFunctionUrl",
    "Principal",
    "PrincipalOrgID",
    "SourceAccount",
    "SourceArn",
];

#[async_trait]
impl Kind for Permission {
    fn replacing(&self) -> &'static [&'static str] {
        &["*"]
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let statement = cx.generated(100);
        let mut input = subset(properties, PERMISSION);
        booleans(&mut input, &["InvokedViaFunctionUrl"]);
        set(&mut input, "StatementId", statement.clone());
        cx.call("lambda", "AddPermission", input).await?;
        Ok(Made::new(statement.clone()).with("Id", statement))
    }

    async fn update(&self, _: &Context<'_>, made: &Made, _: &Value, _: &Value) -> Result<Made, AwsError> {
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, properties: &Value) -> Result<(), AwsError> {
        let input =
            json!({ "FunctionName": required(properties, "FunctionName")?, "StatementId": made.physical });
        cx.call("lambda", "RemovePermission", input).await?;
        Ok(())
    }
}

pub(super) struct EventInvokeConfig;

const INVOKE: &[&str] = &[
    "FunctionName",
    "Qualifier",
    "MaximumRetryAttempts",
    "MaximumEventAgeInSeconds",
    "DestinationConfig",
];

async fn put_invoke_config(cx: &Context<'_>, properties: &Value) -> Result<(), AwsError> {
    let mut input = subset(properties, INVOKE);
    numbers(&mut input, &["MaximumRetryAttempts", "MaximumEventAgeInSeconds"]);
    cx.call("lambda", "PutFunctionEventInvokeConfig", input).await?;
    Ok(())
}

#[async_trait]
impl Kind for EventInvokeConfig {
    fn replacing(&self) -> &'static [&'static str] {
        &["FunctionName", "Qualifier"]
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let function = required(properties, "FunctionName")?;
        let qualifier = text(properties, "Qualifier").unwrap_or_else(|| "$LATEST".to_owned());
        put_invoke_config(cx, properties).await?;
        Ok(Made::new(format!("{}|{qualifier}", function_name(&function))))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        _: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        put_invoke_config(cx, after).await?;
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, _: &Made, properties: &Value) -> Result<(), AwsError> {
        let input = subset(properties, &["FunctionName", "Qualifier"]);
        cx.call("lambda", "DeleteFunctionEventInvokeConfig", input)
            .await?;
        Ok(())
    }
}

pub(super) struct Url;

fn url_input(properties: &Value) -> Result<Value, AwsError> {
    let mut input = subset(properties, &["Qualifier", "AuthType", "Cors", "InvokeMode"]);
    numbers(&mut input, &["MaxAge"]);
    booleans(&mut input, &["AllowCredentials"]);
    set(
        &mut input,
        "FunctionName",
        required(properties, "TargetFunctionArn")?,
    );
    Ok(input)
}

#[async_trait]
impl Kind for Url {
    fn replacing(&self) -> &'static [&'static str] {
        &["TargetFunctionArn", "Qualifier"]
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let target = required(properties, "TargetFunctionArn")?;
        let answer = cx
            .call("lambda", "CreateFunctionUrlConfig", url_input(properties)?)
            .await?;
        let name = function_name(&target).to_owned();
        let arn = answered(&answer, "FunctionArn", || {
            cx.account().arn("lambda", &format!("function:{name}"))
        });
        let url = answered(&answer, "FunctionUrl", || format!("{}/", cx.cloud.endpoint()));
        let physical = arn.as_str().unwrap_or_default().to_owned();
        Ok(Made::new(physical)
            .with("FunctionArn", arn)
            .with("FunctionUrl", url))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        _: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        cx.call("lambda", "UpdateFunctionUrlConfig", url_input(after)?)
            .await?;
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, _: &Made, properties: &Value) -> Result<(), AwsError> {
        let mut input = json!({ "FunctionName": required(properties, "TargetFunctionArn")? });
        merge(&mut input, subset(properties, &["Qualifier"]));
        cx.call("lambda", "DeleteFunctionUrlConfig", input).await?;
        Ok(())
    }
}
