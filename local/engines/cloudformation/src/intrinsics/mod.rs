//! Intrinsic functions; conditions, rules and dynamic references in modules of their own.

mod conditions;
mod dynamic;
#[cfg(test)]
mod tests;

pub(crate) use conditions::decide;
pub(crate) use dynamic::resolve_dynamic;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::{Captures, Regex};
use serde_json::{Map, Value, json};
use signalbox_local_core::{Account, AwsError};

use crate::invalid;
use crate::parameters::{Parameters, scalar};
use crate::template::Template;

/// What AWS shows in a change set for a value that exists only once it has been executed.
pub(crate) const KNOWN_AFTER_APPLY: &str = "{{changeSet:KNOWN_AFTER_APPLY}}";

/// Where values of resources come from: from what exists, or, for a change set, from what would.
pub(crate) trait Lookup: Sync {
    /// What `Ref` of a resource evaluates to; nothing where it does not exist (yet).
    fn reference(&self, logical: &str) -> Option<Value>;
    /// What `Fn::GetAtt` of a resource evaluates to.
    fn attribute(&self, logical: &str, attribute: &str) -> Option<Value>;
}

/// No resources: conditions and rules may not refer to any.
pub(crate) struct NoResources;

impl Lookup for NoResources {
    fn reference(&self, _: &str) -> Option<Value> {
        None
    }

    fn attribute(&self, _: &str, _: &str) -> Option<Value> {
        None
    }
}

/// What the pseudo parameters say.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) account: Account,
    pub(crate) stack_name: String,
    pub(crate) stack_id: String,
}

/// Everything that an expression can refer to.
pub(crate) struct Scope<'a> {
    pub(crate) template: &'a Template,
    pub(crate) parameters: &'a Parameters,
    pub(crate) conditions: &'a BTreeMap<String, bool>,
    pub(crate) place: &'a Place,
    pub(crate) exports: &'a BTreeMap<String, String>,
    pub(crate) lookup: &'a dyn Lookup,
}

static VARIABLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\$\{(!?)([^}]*)\}").ok());

/// Every `${…}` of a `Fn::Sub` text that is not a literal.
pub(crate) fn variables(text: &str) -> Vec<String> {
    let Some(regex) = VARIABLE.as_ref() else {
        return Vec::new();
    };
    regex
        .captures_iter(text)
        .filter(|found| found[1].is_empty())
        .map(|found| found[2].trim().to_owned())
        .collect()
}

/// The single function of an object such as `{"Ref": …}`.
pub(crate) fn function(value: &Value) -> Option<(&str, &Value)> {
    let map = value.as_object()?;
    let (name, argument) = map.iter().next()?;
    let known = map.len() == 1 && (name == "Ref" || name == "Condition" || name.starts_with("Fn::"));
    known.then_some((name.as_str(), argument))
}

/// The two parts of a `Fn::GetAtt`, in either form.
pub(crate) fn attribute_parts(argument: &Value) -> Option<(String, String)> {
    match argument {
        Value::String(text) => text.split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())),
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(logical), Value::String(attribute)] => Some((logical.clone(), attribute.clone())),
            _ => None,
        },
        _ => None,
    }
}

fn malformed(name: &str) -> AwsError {
    invalid(format!(
        "Template error: every {name} object has an argument of the wrong form."
    ))
}

fn arguments<'v, const N: usize>(name: &str, value: &'v Value) -> Result<&'v [Value; N], AwsError> {
    value
        .as_array()
        .and_then(|items| items.as_slice().try_into().ok())
        .ok_or_else(|| malformed(name))
}

impl Scope<'_> {
    /// Evaluates an expression; nothing where it comes to `AWS::NoValue`.
    ///
    /// # Errors
    /// `ValidationError` naming the function and what it refers to.
    pub(crate) fn evaluate(&self, value: &Value) -> Result<Option<Value>, AwsError> {
        if let Some((name, argument)) = function(value)
            && name != "Condition"
        {
            return self.call(name, argument);
        }
        Ok(Some(match value {
            Value::Object(map) => {
                let mut evaluated = Map::new();
                for (key, member) in map {
                    if let Some(member) = self.evaluate(member)? {
                        evaluated.insert(key.clone(), member);
                    }
                }
                Value::Object(evaluated)
            }
            Value::Array(items) => {
                let mut evaluated = Vec::with_capacity(items.len());
                for item in items {
                    evaluated.extend(self.evaluate(item)?);
                }
                Value::Array(evaluated)
            }
            plain => plain.clone(),
        }))
    }

    fn value(&self, name: &str, value: &Value) -> Result<Value, AwsError> {
        self.evaluate(value)?.ok_or_else(|| malformed(name))
    }

    /// Evaluates to text.
    pub(crate) fn text(&self, name: &str, value: &Value) -> Result<String, AwsError> {
        scalar(&self.value(name, value)?).ok_or_else(|| malformed(name))
    }

    fn list(&self, name: &str, value: &Value) -> Result<Vec<Value>, AwsError> {
        match self.value(name, value)? {
            Value::Array(items) => Ok(items),
            // What is not known yet stays so, whatever is made of it.
            Value::String(text) if text.contains(KNOWN_AFTER_APPLY) => Ok(vec![Value::String(text)]),
            _ => Err(malformed(name)),
        }
    }

    fn call(&self, name: &str, argument: &Value) -> Result<Option<Value>, AwsError> {
        Ok(Some(match name {
            "Ref" => {
                let target = argument.as_str().ok_or_else(|| malformed(name))?;
                if target == "AWS::NoValue" {
                    return Ok(None);
                }
                self.reference(target)?
            }
            "Fn::GetAtt" => {
                let (logical, attribute) = match argument {
                    Value::Array(parts) if parts.len() == 2 => {
                        (self.text(name, &parts[0])?, self.text(name, &parts[1])?)
                    }
                    other => attribute_parts(other).ok_or_else(|| malformed(name))?,
                };
                self.attribute(&logical, &attribute)?
            }
            "Fn::If" => {
                let [condition, yes, no] = arguments(name, argument)?;
                let condition = condition.as_str().ok_or_else(|| malformed(name))?;
                return self.evaluate(if self.condition(condition)? { yes } else { no });
            }
            "Fn::Sub" => Value::String(self.substitute(argument)?),
            "Fn::Join" => {
                let [delimiter, items] = arguments(name, argument)?;
                let items = self.list(name, items)?;
                let texts: Option<Vec<String>> = items.iter().map(scalar).collect();
                Value::String(
                    texts
                        .ok_or_else(|| malformed(name))?
                        .join(&self.text(name, delimiter)?),
                )
            }
            "Fn::Select" => {
                let [index, items] = arguments(name, argument)?;
                let index: usize = self.text(name, index)?.parse().map_err(|_| malformed(name))?;
                let items = self.list(name, items)?;
                items.get(index).cloned().ok_or_else(|| {
                    invalid(format!(
                        "Template error: Fn::Select cannot select nonexistent value at index {index}"
                    ))
                })?
            }
            "Fn::Split" => {
                let [delimiter, text] = arguments(name, argument)?;
                let (delimiter, text) = (self.text(name, delimiter)?, self.text(name, text)?);
                Value::Array(
                    text.split(&delimiter)
                        .map(|part| Value::String(part.to_owned()))
                        .collect(),
                )
            }
            "Fn::Base64" => Value::String(STANDARD.encode(self.text(name, argument)?)),
            "Fn::FindInMap" => {
                let parts = argument
                    .as_array()
                    .filter(|parts| parts.len() >= 3)
                    .ok_or_else(|| malformed(name))?;
                self.find_in_map(
                    &self.text(name, &parts[0])?,
                    &self.text(name, &parts[1])?,
                    &self.text(name, &parts[2])?,
                )?
            }
            "Fn::GetAZs" => {
                let region = Some(self.text(name, argument)?).filter(|text| !text.is_empty());
                let region = region.unwrap_or_else(|| self.place.account.region.clone());
                json!([format!("{region}a"), format!("{region}b"), format!("{region}c")])
            }
            "Fn::ImportValue" => {
                let export = self.text(name, argument)?;
                let value = self.exports.get(&export);
                Value::String(
                    value
                        .cloned()
                        .ok_or_else(|| invalid(format!("No export named {export} found.")))?,
                )
            }
            "Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not" => {
                Value::Bool(self.truth(&json!({ name: argument }))?)
            }
            other => {
                return Err(invalid(format!(
                    "Template error: the function {other} is not known here"
                )));
            }
        }))
    }

    fn reference(&self, target: &str) -> Result<Value, AwsError> {
        let account = &self.place.account;
        Ok(match target {
            "AWS::Region" => json!(account.region),
            "AWS::AccountId" => json!(account.id),
            "AWS::Partition" => json!("aws"),
            "AWS::URLSuffix" => json!("amazonaws.com"),
            "AWS::StackName" => json!(self.place.stack_name),
            "AWS::StackId" => json!(self.place.stack_id),
            "AWS::NotificationARNs" => json!([]),
            name => {
                if let Some(parameter) = self.parameters.get(name) {
                    return Ok(parameter.value());
                }
                self.lookup.reference(name).ok_or_else(|| self.unresolved(name))?
            }
        })
    }

    fn attribute(&self, logical: &str, attribute: &str) -> Result<Value, AwsError> {
        if !self.template.resources.contains_key(logical) {
            return Err(self.unresolved(logical));
        }
        self.lookup.attribute(logical, attribute).ok_or_else(|| {
            invalid(format!(
                "Template error: resource {logical} does not support attribute type {attribute} in Fn::GetAtt"
            ))
        })
    }

    fn unresolved(&self, name: &str) -> AwsError {
        invalid(format!(
            "Template format error: Unresolved resource dependencies [{name}] in the Resources block of the template"
        ))
    }

    fn substitute(&self, argument: &Value) -> Result<String, AwsError> {
        let (text, own) = match argument {
            Value::String(text) => (text.as_str(), None),
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(text), Value::Object(own)] => (text.as_str(), Some(own)),
                _ => return Err(malformed("Fn::Sub")),
            },
            _ => return Err(malformed("Fn::Sub")),
        };
        let Some(regex) = VARIABLE.as_ref() else {
            return Err(malformed("Fn::Sub"));
        };
        let mut failure = None;
        let substituted = regex.replace_all(text, |found: &Captures<'_>| {
            if !found[1].is_empty() {
                return format!("${{{}}}", &found[2]);
            }
            self.variable(found[2].trim(), own).unwrap_or_else(|error| {
                failure.get_or_insert(error);
                String::new()
            })
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(substituted.into_owned()),
        }
    }

    fn variable(&self, name: &str, own: Option<&Map<String, Value>>) -> Result<String, AwsError> {
        if let Some(value) = own.and_then(|own| own.get(name)) {
            return self.text("Fn::Sub", value);
        }
        let value = match name.split_once('.') {
            Some((logical, attribute)) => self.attribute(logical, attribute)?,
            None => self.reference(name)?,
        };
        match value {
            Value::Array(items) => Ok(items.iter().filter_map(scalar).collect::<Vec<_>>().join(",")),
            value => scalar(&value).ok_or_else(|| malformed("Fn::Sub")),
        }
    }

    fn find_in_map(&self, map: &str, top: &str, second: &str) -> Result<Value, AwsError> {
        let found = self
            .template
            .mappings
            .get(map)
            .and_then(|m| m.get(top))
            .and_then(|m| m.get(second));
        found.cloned().ok_or_else(|| {
            invalid(format!(
                "Template error: Unable to get mapping for {map}::{top}::{second}"
            ))
        })
    }
}
