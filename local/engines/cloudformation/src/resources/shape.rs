//! From properties to the members of an API call.

use serde_json::{Map, Number, Value, json};
use signalbox_local_core::AwsError;

use crate::invalid;
use crate::parameters::scalar;

/// A property as text.
pub(super) fn text(properties: &Value, name: &str) -> Option<String> {
    properties.get(name).and_then(scalar)
}

/// A property that must be there.
pub(super) fn required(properties: &Value, name: &str) -> Result<String, AwsError> {
    text(properties, name).ok_or_else(|| {
        invalid(format!(
            "Properties validation failed: [#: required key [{name}] not found]"
        ))
    })
}

/// A property as a list; nothing is an empty one.
pub(super) fn list(properties: &Value, name: &str) -> Vec<Value> {
    properties
        .get(name)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

/// A property as a list of texts.
pub(super) fn texts(properties: &Value, name: &str) -> Vec<String> {
    list(properties, name).iter().filter_map(scalar).collect()
}

/// Only these members, those that are there.
pub(super) fn subset(properties: &Value, names: &[&str]) -> Value {
    let members = names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), properties.get(*name)?.clone())));
    Value::Object(members.collect())
}

fn number(text: &str) -> Option<Number> {
    text.parse::<i64>()
        .ok()
        .map(Number::from)
        .or_else(|| Number::from_f64(text.parse().ok()?))
}

/// Parameters are text even where they are numbers: makes numbers of the members of these names, at any depth.
pub(super) fn numbers(value: &mut Value, names: &[&str]) {
    each_member(value, &mut |name, member| {
        if names.contains(&name)
            && let Value::String(text) = member
            && let Some(parsed) = number(text)
        {
            *member = Value::Number(parsed);
        }
    });
}

/// The same for members that are true or false.
pub(super) fn booleans(value: &mut Value, names: &[&str]) {
    each_member(value, &mut |name, member| {
        if names.contains(&name)
            && let Value::String(text) = member
            && let Ok(parsed) = text.parse::<bool>()
        {
            *member = Value::Bool(parsed);
        }
    });
}

fn each_member(value: &mut Value, change: &mut dyn FnMut(&str, &mut Value)) {
    match value {
        Value::Object(map) => {
            for (name, member) in map {
                change(name, member);
                each_member(member, change);
            }
        }
        Value::Array(items) => {
            for item in items {
                each_member(item, change);
            }
        }
        _ => {}
    }
}

/// Every scalar as text: for maps whose values are strings, such as a function's environment.
pub(super) fn all_text(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, member)| (key.clone(), all_text(member)))
                .collect(),
        ),
        Value::Array(items) => items.iter().map(all_text).collect(),
        plain => scalar(plain).map_or(Value::Null, Value::String),
    }
}

/// A document as JSON text; text stays as it is.
pub(super) fn document(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `[{Key, Value}]` as a map.
pub(super) fn tag_map(properties: &Value) -> Map<String, Value> {
    let tags = list(properties, "Tags");
    tags.iter()
        .filter_map(|tag| Some((text(tag, "Key")?, json!(text(tag, "Value")?))))
        .collect()
}

/// `[{Key, Value}]` with the values as text.
pub(super) fn tag_list(properties: &Value) -> Value {
    tag_map(properties)
        .into_iter()
        .map(|(key, value)| json!({ "Key": key, "Value": value }))
        .collect()
}

/// CloudFormation writes `RoleArn` where the Code services' APIs write `roleArn`. Members below those in
/// `keep` are maps of people's own keys.
pub(super) fn lower_camel(value: &Value, keep: &[&str]) -> Value {
    match value {
        Value::Object(map) => {
            let members = map.iter().map(|(name, member)| {
                let mut letters = name.chars();
                let lowered: String = letters
                    .next()
                    .into_iter()
                    .flat_map(char::to_lowercase)
                    .chain(letters)
                    .collect();
                let member = if keep.contains(&name.as_str()) {
                    member.clone()
                } else {
                    lower_camel(member, keep)
                };
                (lowered, member)
            });
            Value::Object(members.collect())
        }
        Value::Array(items) => items.iter().map(|item| lower_camel(item, keep)).collect(),
        plain => plain.clone(),
    }
}

/// Adds a member.
pub(super) fn set(value: &mut Value, name: &str, member: impl Into<Value>) {
    if let Value::Object(map) = value {
        map.insert(name.to_owned(), member.into());
    }
}

/// Puts all members of `more` into `value`.
pub(super) fn merge(value: &mut Value, more: Value) {
    if let (Value::Object(map), Value::Object(more)) = (value, more) {
        map.extend(more);
    }
}
