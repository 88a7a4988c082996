//! `AWS::Lambda::Alias`: where a stack's update becomes a CodeDeploy deployment.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use signalbox_local_core::AwsError;

use super::lambda::function_name;
use super::shape::{list, required, set, subset, text};
use super::{Context, Kind, Made, answered};

/// How often a deployment is looked at, in real time: what is watched passes faster than configured.
const POLL: Duration = Duration::from_millis(200);

fn members(properties: &Value) -> Result<Value, AwsError> {
    let mut input = subset(
        properties,
        &["FunctionName", "Name", "FunctionVersion", "Description"],
    );
    required(properties, "FunctionName")?;
    required(properties, "Name")?;
    required(properties, "FunctionVersion")?;
    if let Some(routing) = properties.get("RoutingConfig") {
        let weights: Map<String, Value> = list(routing, "AdditionalVersionWeights")
            .iter()
            .filter_map(|entry| {
                Some((
                    text(entry, "FunctionVersion")?,
                    json!(text(entry, "FunctionWeight")?.parse::<f64>().ok()?),
                ))
            })
            .collect();
        set(
            &mut input,
            "RoutingConfig",
            json!({ "AdditionalVersionWeights": weights }),
        );
    }
    Ok(input)
}

/// The AppSpec that CloudFormation writes for a `CodeDeployLambdaAliasUpdate`.
fn app_spec(cx: &Context<'_>, policy: &Value, properties: &Value, current: &str) -> Value {
    let hooks: Vec<Value> = ["BeforeAllowTraffic", "AfterAllowTraffic"]
        .into_iter()
        .filter_map(|hook| Some(json!({ hook: text(policy, &format!("{hook}Hook"))? })))
        .collect();
    let function = text(properties, "FunctionName").unwrap_or_default();
    json!({
        "version": 0.0,
        "Resources": [{
            cx.logical: {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Name": function_name(&function),
                    "Alias": properties.get("Name"),
                    "CurrentVersion": current,
                    "TargetVersion": text(properties, "FunctionVersion"),
                },
            },
        }],
        "Hooks": hooks,
    })
}

/// Has CodeDeploy shift the alias's traffic, and waits for the end of it.
async fn deploy(cx: &Context<'_>, policy: &Value, properties: &Value, current: &str) -> Result<(), AwsError> {
    let content = app_spec(cx, policy, properties, current).to_string();
    let input = json!({
        "applicationName": required(policy, "ApplicationName")?,
        "deploymentGroupName": required(policy, "DeploymentGroupName")?,
        "revision": { "revisionType": "AppSpecContent", "appSpecContent": { "content": content } },
        "description": format!("Update of {} in the stack {}", cx.logical, cx.stack_name),
    });
    let answer = cx.call("codedeploy", "CreateDeployment", input).await?;
    let id = answered(&answer, "deploymentId", String::new)
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mut stopping = false;
    loop {
        let answer = cx
            .call("codedeploy", "GetDeployment", json!({ "deploymentId": id }))
            .await?;
        let info = answer.get("deploymentInfo").cloned().unwrap_or_default();
        match info.get("status").and_then(Value::as_str) {
            Some("Succeeded") => return Ok(()),
            Some(ended @ ("Failed" | "Stopped")) => {
                let why = info.pointer("/errorInformation/message").and_then(Value::as_str);
                let why = why.unwrap_or("CodeDeploy gave no reason");
                return Err(AwsError::new(
                    "CodeDeployDeploymentFailed",
                    format!("Deployment {id} {}: {why}", ended.to_lowercase()),
                ));
            }
            _ => {}
        }
        if (cx.cancelled)() && !stopping {
            stopping = true;
            let input = json!({ "deploymentId": id, "autoRollbackEnabled": true });
            // It may have ended meanwhile; the next look tells.
            let _ = cx.call("codedeploy", "StopDeployment", input).await;
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn current_version(cx: &Context<'_>, properties: &Value) -> Result<Option<String>, AwsError> {
    let answer = cx
        .call(
            "lambda",
            "GetAlias",
            subset(properties, &["FunctionName", "Name"]),
        )
        .await?;
    Ok(text(&answer, "FunctionVersion"))
}

pub(super) struct Alias;

#[async_trait]
impl Kind for Alias {
    fn replacing(&self) -> &'static [&'static str] {
        &["FunctionName", "Name"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("Name")
    }

    /// A new alias has no traffic to shift: CodeDeploy takes no part, as in AWS.
    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let answer = cx.call("lambda", "CreateAlias", members(properties)?).await?;
        let function = required(properties, "FunctionName")?;
        let own = format!(
            "function:{}:{}",
            function_name(&function),
            required(properties, "Name")?
        );
        let arn = answered(&answer, "AliasArn", || cx.account().arn("lambda", &own));
        Ok(Made::new(arn.as_str().unwrap_or_default()).with("AliasArn", arn.clone()))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        before: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        let policy = cx.update_policy.get("CodeDeployLambdaAliasUpdate");
        let wanted = required(after, "FunctionVersion")?;
        let moves = text(before, "FunctionVersion").as_deref() != Some(wanted.as_str());
        match policy {
            Some(policy) if moves && !cx.undoing => {
                // What the alias points at, not what the stack last made of it: a rollback outside of the
                // stack may have moved it.
                let current = current_version(cx, after)
                    .await?
                    .or_else(|| text(before, "FunctionVersion"));
                if current.as_deref() != Some(wanted.as_str()) {
                    deploy(cx, policy, after, &current.unwrap_or_default()).await?;
                }
            }
            // CodeDeploy has put the alias back already, or else a later resource failed: then the traffic
            // goes back at once, since a gradual way back would serve the bad version for longer.
            Some(_) if moves => {
                let mut input = members(after)?;
                set(
                    &mut input,
                    "RoutingConfig",
                    json!({ "AdditionalVersionWeights": {} }),
                );
                if current_version(cx, after).await?.as_deref() != Some(wanted.as_str()) {
                    cx.call("lambda", "UpdateAlias", input).await?;
                }
            }
            _ => {
                cx.call("lambda", "UpdateAlias", members(after)?).await?;
            }
        }
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, _: &Made, properties: &Value) -> Result<(), AwsError> {
        cx.call(
            "lambda",
            "DeleteAlias",
            subset(properties, &["FunctionName", "Name"]),
        )
        .await?;
        Ok(())
    }
}
