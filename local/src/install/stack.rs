//! Stacks of the installation, made and waited for.

use std::time::Duration;

use serde_json::{Value, json};

use super::{InstallError, call};
use crate::running::Running;

/// Creates a stack and waits until it stands; answers its outputs.
///
/// # Errors
/// It was refused, or a resource failed.
pub async fn create_stack(
    running: &Running,
    stack: &str,
    template: &str,
    parameters: &[(&str, &str)],
) -> Result<Vec<(String, String)>, InstallError> {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|(key, value)| json!({ "ParameterKey": key, "ParameterValue": value }))
        .collect();
    let input = json!({
        "StackName": stack, "TemplateBody": template, "Parameters": parameters,
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    });
    call(running, "cloudformation", "CreateStack", input).await?;
    loop {
        let answer = call(
            running,
            "cloudformation",
            "DescribeStacks",
            json!({ "StackName": stack }),
        )
        .await?;
        let described = answer.pointer("/Stacks/0").cloned().unwrap_or_default();
        let status = described
            .get("StackStatus")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match status {
            "CREATE_COMPLETE" => return Ok(outputs(&described)),
            _ if status.ends_with("IN_PROGRESS") => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => {
                let reason = first_failure(running, stack).await;
                return Err(InstallError::Stack {
                    stack: stack.to_owned(),
                    status: status.to_owned(),
                    reason,
                });
            }
        }
    }
}

fn outputs(stack: &Value) -> Vec<(String, String)> {
    let text = |output: &Value, name: &str| {
        output
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    stack
        .get("Outputs")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|output| (text(output, "OutputKey"), text(output, "OutputValue")))
        .collect()
}

async fn first_failure(running: &Running, stack: &str) -> String {
    let events = running
        .call(
            "cloudformation",
            "DescribeStackEvents",
            json!({ "StackName": stack }),
        )
        .await;
    let events = events.unwrap_or_default();
    let failed = events
        .get("StackEvents")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .rev()
        .find(|event| {
            event
                .get("ResourceStatus")
                .and_then(Value::as_str)
                .is_some_and(|status| status.ends_with("FAILED"))
        });
    let text = |name: &str| {
        failed
            .and_then(|event| event.get(name))
            .and_then(Value::as_str)
            .unwrap_or("unknown")
    };
    format!("{}: {}", text("LogicalResourceId"), text("ResourceStatusReason"))
}
