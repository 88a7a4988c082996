//! The operations: reading requests, refusing what cannot be, starting what takes time.

pub(crate) mod change_sets;
pub(crate) mod stacks;
pub(crate) mod templates;

use std::sync::Arc;

use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::engine::Inner;
use crate::graph::waves;
use crate::intrinsics::{Place, decide};
use crate::loader::body;
use crate::parameters::{resolve, scalar};
use crate::stack::Goal;
use crate::template::Template;
use crate::{invalid, parameters};

fn text(input: &Value, name: &str) -> Option<String> {
    input.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn flag(input: &Value, name: &str) -> bool {
    input.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn texts(input: &Value, name: &str) -> Vec<String> {
    input
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(scalar)
        .collect()
}

fn required(input: &Value, name: &str) -> Result<String, AwsError> {
    text(input, name).ok_or_else(|| invalid(format!("{name} must be specified")))
}

/// What `Parameters` gives: a value, or nothing for `UsePreviousValue`.
fn given(input: &Value) -> Vec<(String, Option<String>)> {
    let entries = input
        .get("Parameters")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    entries
        .filter_map(|entry| {
            let key = text(entry, "ParameterKey")?;
            let value = entry
                .get("ParameterValue")
                .and_then(scalar)
                .filter(|_| !flag(entry, "UsePreviousValue"));
            Some((key, value))
        })
        .collect()
}

/// Loads the template of a request, or takes the stack's own.
async fn template(
    inner: &Inner,
    input: &Value,
    given: &[(String, Option<String>)],
    previous: Option<&Goal>,
) -> Result<Arc<Template>, AwsError> {
    if flag(input, "UsePreviousTemplate") {
        return previous
            .map(|goal| Arc::clone(&goal.template))
            .ok_or_else(|| invalid("UsePreviousTemplate: there is no previous template"));
    }
    let text = body(inner.cloud.as_ref(), input)
        .await?
        .ok_or_else(|| invalid("Either Template URL or Template Body must be specified."))?;
    inner
        .loader
        .load(&inner.cloud.account().region, &text, given)
        .await
}

/// Refuses templates that do more than the caller has acknowledged.
fn acknowledge(template: &Template, capabilities: &[String], transforms: bool) -> Result<(), AwsError> {
    let has = |name: &str| capabilities.iter().any(|capability| capability == name);
    let lacking = match template.capabilities() {
        Some("CAPABILITY_NAMED_IAM") if !has("CAPABILITY_NAMED_IAM") => Some("CAPABILITY_NAMED_IAM"),
        Some("CAPABILITY_IAM") if !has("CAPABILITY_IAM") && !has("CAPABILITY_NAMED_IAM") => {
            Some("CAPABILITY_IAM")
        }
        _ if transforms && !template.transforms.is_empty() && !has("CAPABILITY_AUTO_EXPAND") => {
            Some("CAPABILITY_AUTO_EXPAND")
        }
        _ => None,
    };
    match lacking {
        None => Ok(()),
        Some(name) => Err(AwsError::new(
            "InsufficientCapabilitiesException",
            format!("Requires capabilities : [{name}]"),
        )),
    }
}

/// What a request wants a stack to become; checked as far as it can be without doing anything.
async fn goal(
    inner: &Inner,
    input: &Value,
    place: &Place,
    previous: Option<&Goal>,
    is_change_set: bool,
) -> Result<Goal, AwsError> {
    let given = given(input);
    let template = template(inner, input, &given, previous).await?;
    let capabilities = texts(input, "Capabilities");
    // A change set shows what a transform comes to before it happens: that is acknowledgement enough.
    acknowledge(&template, &capabilities, !is_change_set)?;
    let before: Option<&parameters::Parameters> = previous.map(|goal| &goal.parameters);
    let parameters = resolve(inner.cloud.as_ref(), &template, &given, before).await?;
    let conditions = decide(&template, &parameters, place, &inner.exports())?;
    waves(&template, &conditions)?;
    let tags = input
        .get("Tags")
        .cloned()
        .or_else(|| previous.map(|goal| goal.tags.clone()));
    Ok(Goal {
        template,
        parameters,
        tags: tags.unwrap_or_else(|| json!([])),
        capabilities: json!(capabilities),
        role_arn: text(input, "RoleARN").or_else(|| previous.and_then(|goal| goal.role_arn.clone())),
    })
}
