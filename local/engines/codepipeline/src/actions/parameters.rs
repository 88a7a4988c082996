//! Stack parameters: the template configuration file, overridden by `ParameterOverrides`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::artifacts;
use crate::engine::Inner;
use crate::task::{ActionTask, Failure};

/// `Parameters` and `Tags`, as CloudFormation takes them.
pub(super) async fn gather(
    inner: &Arc<Inner>,
    task: &ActionTask,
    configuration: &BTreeMap<String, String>,
) -> Result<(Vec<Value>, Vec<Value>), Failure> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    let mut tags = Vec::new();
    if let Some(reference) = configuration.get("TemplateConfiguration") {
        let file = parse(
            "TemplateConfiguration",
            &artifacts::read(inner, task, reference).await?,
        )?;
        for (key, value) in file
            .get("Parameters")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            parameters.insert(key.clone(), plain(key, value)?);
        }
        for (key, value) in file.get("Tags").and_then(Value::as_object).into_iter().flatten() {
            tags.push(json!({ "Key": key, "Value": plain(key, value)? }));
        }
    }
    if let Some(overrides) = configuration.get("ParameterOverrides") {
        let overrides = parse("ParameterOverrides", overrides)?;
        for (key, value) in overrides.as_object().into_iter().flatten() {
            parameters.insert(key.clone(), evaluate(inner, task, key, value).await?);
        }
    }
    let parameters = parameters
        .into_iter()
        .map(|(key, value)| json!({ "ParameterKey": key, "ParameterValue": value }))
        .collect();
    Ok((parameters, tags))
}

fn parse(what: &str, text: &str) -> Result<Value, Failure> {
    serde_json::from_str::<Value>(text)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| Failure::configuration(format!("{what} is not a valid JSON object")))
}

fn plain(key: &str, value: &Value) -> Result<String, Failure> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(Failure::configuration(format!("The value of {key} is not text")))
        }
    }
}

/// `Fn::GetArtifactAtt` and `Fn::GetParam`, the two functions of parameter overrides.
async fn evaluate(
    inner: &Arc<Inner>,
    task: &ActionTask,
    key: &str,
    value: &Value,
) -> Result<String, Failure> {
    let arguments = |function: &str| -> Option<Vec<String>> {
        value
            .get(function)?
            .as_array()?
            .iter()
            .map(|argument| Some(argument.as_str()?.to_owned()))
            .collect()
    };
    if let Some([name, attribute]) = arguments("Fn::GetArtifactAtt").as_deref() {
        let artifact = artifacts::input(task, name)?;
        return match attribute.as_str() {
            "BucketName" => Ok(artifact.bucket.clone()),
            "ObjectKey" => Ok(artifact.key.clone()),
            "URL" => Ok(format!(
                "https://s3.amazonaws.com/{}/{}",
                artifact.bucket, artifact.key
            )),
            other => Err(Failure::configuration(format!(
                "{other} is not an attribute of an artifact"
            ))),
        };
    }
    if let Some([name, file, parameter]) = arguments("Fn::GetParam").as_deref() {
        let content = artifacts::read(inner, task, &format!("{name}::{file}")).await?;
        let content = parse(file, &content)?;
        let found = content.get(parameter).ok_or_else(|| {
            Failure::configuration(format!(
                "The file {file} of artifact {name} has no key {parameter}"
            ))
        })?;
        return plain(parameter, found);
    }
    plain(key, value)
}
