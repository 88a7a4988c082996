//! Templates: reading them back, and what they are about.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::{required, template, text};
use crate::engine::Inner;
use crate::invalid;
use crate::parameters::scalar;
use crate::stack::without_nulls;
use crate::template::Template;

pub(crate) fn get(inner: &Inner, input: &Value) -> Result<Value, AwsError> {
    let name = required(input, "StackName")?;
    let stack = inner.find(&name)?;
    let goal = match text(input, "ChangeSetName") {
        Some(set) => stack.find_change_set(&set).map(|set| &set.goal),
        None => stack.goal.as_ref(),
    };
    let template = &goal
        .ok_or_else(|| invalid(format!("Stack with id {name} has no template yet")))?
        .template;
    let body = match text(input, "TemplateStage").as_deref() {
        Some("Processed") => template.processed.to_string(),
        _ => template.text.clone(),
    };
    Ok(json!({ "TemplateBody": body, "StagesAvailable": ["Original", "Processed"] }))
}

fn capabilities(template: &Template) -> Vec<&'static str> {
    let expands = (!template.transforms.is_empty()).then_some("CAPABILITY_AUTO_EXPAND");
    template.capabilities().into_iter().chain(expands).collect()
}

fn why(template: &Template) -> Option<String> {
    let kinds: BTreeSet<&str> = template
        .resources
        .values()
        .map(|r| r.kind.as_str())
        .filter(|kind| kind.starts_with("AWS::IAM::"))
        .collect();
    let kinds: Vec<&str> = kinds.into_iter().collect();
    (!kinds.is_empty()).then(|| {
        format!(
            "The following resource(s) require capabilities: [{}]",
            kinds.join(", ")
        )
    })
}

fn hidden(declared: &Value) -> bool {
    declared
        .get("NoEcho")
        .and_then(scalar)
        .is_some_and(|flag| flag == "true")
}

pub(crate) async fn validate(inner: &Inner, input: &Value) -> Result<Value, AwsError> {
    let template = template(inner, input, &[], None).await?;
    let parameters: Vec<Value> = template
        .parameters
        .iter()
        .map(|(name, declared)| {
            without_nulls(json!({
                "ParameterKey": name,
                "DefaultValue": declared.get("Default").and_then(scalar),
                "NoEcho": hidden(declared),
                "Description": declared.get("Description").and_then(scalar),
            }))
        })
        .collect();
    Ok(without_nulls(json!({
        "Parameters": parameters,
        "Description": template.description,
        "Capabilities": capabilities(&template),
        "CapabilitiesReason": why(&template),
        "DeclaredTransforms": template.transforms,
    })))
}

pub(crate) async fn summary(inner: &Inner, input: &Value) -> Result<Value, AwsError> {
    let template = match text(input, "StackName") {
        Some(name) => {
            let stack = inner.find(&name)?;
            let goal = stack
                .goal
                .ok_or_else(|| invalid(format!("Stack with id {name} has no template yet")))?;
            goal.template
        }
        None => template(inner, input, &[], None).await?,
    };
    let parameters: Vec<Value> = template
        .parameters
        .iter()
        .map(|(name, declared)| {
            let allowed: Option<Vec<String>> = declared
                .get("AllowedValues")
                .and_then(Value::as_array)
                .map(|values| values.iter().filter_map(scalar).collect());
            without_nulls(json!({
                "ParameterKey": name,
                "DefaultValue": declared.get("Default").and_then(scalar),
                "ParameterType": declared.get("Type").and_then(scalar).unwrap_or_else(|| "String".to_owned()),
                "NoEcho": hidden(declared),
                "Description": declared.get("Description").and_then(scalar),
                "ParameterConstraints": allowed.map_or_else(|| json!({}), |values| json!({ "AllowedValues": values })),
            }))
        })
        .collect();
    let kinds: BTreeSet<&str> = template
        .resources
        .values()
        .map(|resource| resource.kind.as_str())
        .collect();
    let metadata = template.processed.get("Metadata").map(ToString::to_string);
    Ok(without_nulls(json!({
        "Parameters": parameters,
        "Description": template.description,
        "Capabilities": capabilities(&template),
        "CapabilitiesReason": why(&template),
        "ResourceTypes": kinds,
        "Version": template.processed.get("AWSTemplateFormatVersion").and_then(scalar),
        "Metadata": metadata,
        "DeclaredTransforms": template.transforms,
    })))
}
