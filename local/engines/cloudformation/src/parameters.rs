//! Parameters: what was given, what was there before, what the template defaults to, and whether the
//! template allows it.

use indexmap::IndexMap;
use regex::Regex;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller, Cloud};

use crate::invalid;
use crate::template::Template;

/// One parameter's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// As it was given.
    pub(crate) text: String,
    /// What it stands for, where it names an SSM parameter.
    pub(crate) resolved: Option<String>,
    /// Lists are what `Ref` makes of them.
    pub(crate) is_list: bool,
    /// `Describe…` shows `****`.
    pub(crate) hidden: bool,
}

impl Parameter {
    /// What `Ref` evaluates to. Numbers stay text, as in CloudFormation: the resource's type decides.
    pub(crate) fn value(&self) -> Value {
        let text = self.resolved.as_ref().unwrap_or(&self.text);
        if self.is_list {
            Value::Array(
                text.split(',')
                    .map(|item| Value::String(item.trim().to_owned()))
                    .collect(),
            )
        } else {
            Value::String(text.clone())
        }
    }
}

/// All parameters of a stack, in the template's order.
pub(crate) type Parameters = IndexMap<String, Parameter>;

/// A scalar as CloudFormation writes it.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn number(declared: &Value, key: &str) -> Option<f64> {
    declared
        .get(key)
        .and_then(scalar)
        .and_then(|text| text.parse().ok())
}

fn refuse(name: &str, declared: &Value, rule: &str) -> AwsError {
    match declared.get("ConstraintDescription").and_then(Value::as_str) {
        Some(told) => invalid(format!("Parameter {name} failed to satisfy constraint: {told}")),
        None => invalid(format!("Parameter '{name}' {rule}")),
    }
}

fn check_one(name: &str, declared: &Value, text: &str, numeric: bool) -> Result<(), AwsError> {
    if let Some(allowed) = declared.get("AllowedValues").and_then(Value::as_array)
        && !allowed.iter().filter_map(scalar).any(|value| value == text)
    {
        return Err(refuse(name, declared, "must be one of AllowedValues"));
    }
    if numeric {
        let Ok(value) = text.parse::<f64>() else {
            return Err(invalid(format!("Parameter '{name}' must be a number.")));
        };
        if number(declared, "MinValue").is_some_and(|least| value < least) {
            return Err(refuse(
                name,
                declared,
                "must be a number not less than its MinValue",
            ));
        }
        if number(declared, "MaxValue").is_some_and(|most| value > most) {
            return Err(refuse(
                name,
                declared,
                "must be a number not greater than its MaxValue",
            ));
        }
        return Ok(());
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "lengths of parameters are far below 2^52"
    )]
    let length = text.chars().count() as f64;
    if number(declared, "MinLength").is_some_and(|least| length < least) {
        return Err(refuse(
            name,
            declared,
            "must contain at least as many characters as its MinLength",
        ));
    }
    if number(declared, "MaxLength").is_some_and(|most| length > most) {
        return Err(refuse(
            name,
            declared,
            "must contain at most as many characters as its MaxLength",
        ));
    }
    if let Some(pattern) = declared.get("AllowedPattern").and_then(Value::as_str) {
        match Regex::new(&format!("^(?:{pattern})$")) {
            Ok(regex) if regex.is_match(text) => {}
            Ok(_) => return Err(refuse(name, declared, &format!("must match pattern {pattern}"))),
            // AWS's patterns are Java's, which know look-around; ours do not.
            Err(_) => tracing::warn!(parameter = name, pattern, "this pattern cannot be checked here"),
        }
    }
    Ok(())
}

/// Decides every parameter's value. `before` are the stack's present ones, for `UsePreviousValue`.
///
/// # Errors
/// `ValidationError`, worded as AWS words it, naming the parameter.
pub(crate) async fn resolve(
    cloud: &dyn Cloud,
    template: &Template,
    given: &[(String, Option<String>)],
    before: Option<&Parameters>,
) -> Result<Parameters, AwsError> {
    let unknown: Vec<&str> = given
        .iter()
        .map(|(key, _)| key.as_str())
        .filter(|key| !template.parameters.contains_key(*key))
        .collect();
    if !unknown.is_empty() {
        return Err(invalid(format!(
            "Parameters: [{}] do not exist in the template",
            unknown.join(", ")
        )));
    }
    let mut resolved = Parameters::new();
    let mut missing = Vec::new();
    for (name, declared) in &template.parameters {
        let text = match given.iter().find(|(key, _)| key == name) {
            Some((_, Some(value))) => Some(value.clone()),
            Some((_, None)) => {
                let previous = before
                    .and_then(|all| all.get(name))
                    .map(|parameter| parameter.text.clone());
                Some(previous.ok_or_else(|| {
                    invalid(format!(
                        "Parameters: [{name}] has no previous value that could be used"
                    ))
                })?)
            }
            None => declared.get("Default").and_then(scalar),
        };
        let Some(text) = text else {
            missing.push(name.as_str());
            continue;
        };
        let kind = declared.get("Type").and_then(Value::as_str).unwrap_or("String");
        let is_list = kind == "CommaDelimitedList" || kind.starts_with("List<") || kind.contains("<List<");
        let numeric = matches!(kind, "Number" | "List<Number>");
        if is_list {
            for item in text.split(',').filter(|_| !text.is_empty()) {
                check_one(name, declared, item.trim(), numeric)?;
            }
        } else {
            check_one(name, declared, &text, numeric)?;
        }
        let hidden = declared
            .get("NoEcho")
            .and_then(scalar)
            .is_some_and(|flag| flag == "true");
        let from_ssm = kind.starts_with("AWS::SSM::Parameter::Value");
        let looked_up = if from_ssm {
            Some(from_store(cloud, &text).await?)
        } else {
            None
        };
        resolved.insert(
            name.clone(),
            Parameter {
                text,
                resolved: looked_up,
                is_list,
                hidden,
            },
        );
    }
    if missing.is_empty() {
        Ok(resolved)
    } else {
        Err(invalid(format!(
            "Parameters: [{}] must have values",
            missing.join(", ")
        )))
    }
}

async fn from_store(cloud: &dyn Cloud, name: &str) -> Result<String, AwsError> {
    let caller = Caller::service("cloudformation.amazonaws.com");
    let answer = cloud
        .call(&caller, "ssm", "GetParameter", json!({ "Name": name }))
        .await
        .map_err(|error| {
            invalid(format!(
                "Unable to fetch parameters [{name}] from parameter store for this account: {error}"
            ))
        })?;
    answer
        .pointer("/Parameter/Value")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| {
            invalid(format!(
                "Unable to fetch parameters [{name}] from parameter store for this account."
            ))
        })
}
