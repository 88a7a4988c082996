//! The model's rules, checked on inputs and worded as AWS words them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use signalbox_local_core::AwsError;

use crate::model::{Kind, Member, Model, Shape};
use crate::protocol::Protocol;

/// AWS counts further errors but lists no more than these.
const LISTED: usize = 10;

/// Checks an input: required members, lengths, ranges, enumerations, patterns.
///
/// # Errors
/// `ValidationException` (`ValidationError` where the request speaks `query`, or the service once did),
/// with one sentence for each rule that is broken.
pub fn validate(model: &Model, operation: &str, input: &Value, protocol: Protocol) -> Result<(), AwsError> {
    let Some(shape) = model.input_shape(operation) else {
        return Ok(());
    };
    let mut broken = Vec::new();
    structure(model, shape, input, "", &mut broken);
    if broken.is_empty() {
        return Ok(());
    }
    let errors = if broken.len() == 1 { "error" } else { "errors" };
    let message = format!(
        "{} validation {errors} detected: {}",
        broken.len(),
        broken
            .iter()
            .take(LISTED)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("; ")
    );
    let by_query = protocol == Protocol::Query || model.metadata.aws_query_compatible.is_some();
    Err(AwsError::new(
        if by_query {
            "ValidationError"
        } else {
            "ValidationException"
        },
        message,
    ))
}

/// AWS writes `pipeline.stages.1.member.name`: members begin in lower case, items are counted from 1.
fn step(path: &str, name: &str) -> String {
    let mut characters = name.chars();
    let lower: String = characters
        .next()
        .map(|first| first.to_lowercase().chain(characters).collect())
        .unwrap_or_default();
    if path.is_empty() {
        lower
    } else {
        format!("{path}.{lower}")
    }
}

fn structure(model: &Model, shape: &Shape, value: &Value, path: &str, broken: &mut Vec<String>) {
    for name in &shape.required {
        if value.get(name).is_none_or(Value::is_null) {
            broken.push(format!(
                "Value null at '{}' failed to satisfy constraint: Member must not be null",
                step(path, name)
            ));
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        if let Some(member) = shape.members.get(name).filter(|_| !value.is_null()) {
            one(model, member, value, &step(path, name), broken);
        }
    }
}

fn one(model: &Model, member: &Member, value: &Value, path: &str, broken: &mut Vec<String>) {
    let shape = model.shape(&member.shape);
    let mut fail = |rule: &str| {
        let what = if shape.sensitive {
            "Value".to_owned()
        } else {
            format!("Value '{}'", shown(value))
        };
        broken.push(format!("{what} at '{path}' failed to satisfy constraint: {rule}"));
    };
    match (shape.kind, value) {
        (Kind::String, Value::String(text)) => {
            length(shape, text.chars().count(), &mut fail);
            if !shape.values.is_empty() && !shape.values.contains(text) {
                fail(&format!(
                    "Member must satisfy enum value set: [{}]",
                    shape.values.join(", ")
                ));
            }
            if shape.regex().is_some_and(|regex| !regex.is_match(text)) {
                let pattern = shape.pattern.as_deref().unwrap_or_default();
                fail(&format!(
                    "Member must satisfy regular expression pattern: {pattern}"
                ));
            }
        }
        (Kind::Blob, Value::String(text)) => {
            length(
                shape,
                STANDARD.decode(text).map_or(0, |bytes| bytes.len()),
                &mut fail,
            );
        }
        (Kind::Integer | Kind::Long | Kind::Float | Kind::Double, Value::Number(number)) => {
            let number = number.as_f64().unwrap_or_default();
            if let Some(min) = shape.min.filter(|min| number < *min) {
                fail(&format!("Member must have value greater than or equal to {min}"));
            }
            if let Some(max) = shape.max.filter(|max| number > *max) {
                fail(&format!("Member must have value less than or equal to {max}"));
            }
        }
        (Kind::List, Value::Array(items)) => {
            length(shape, items.len(), &mut fail);
            if let Some(item) = &shape.member {
                for (at, value) in items.iter().enumerate() {
                    one(model, item, value, &format!("{path}.{}.member", at + 1), broken);
                }
            }
        }
        (Kind::Map, Value::Object(entries)) => {
            length(shape, entries.len(), &mut fail);
            for (key, value) in entries {
                if let Some(member) = &shape.key {
                    one(
                        model,
                        member,
                        &Value::String(key.clone()),
                        &format!("{path}.key"),
                        broken,
                    );
                }
                if let Some(member) = &shape.value {
                    one(model, member, value, &format!("{path}.{key}.member"), broken);
                }
            }
        }
        (Kind::Structure, _) => structure(model, shape, value, path, broken),
        _ => {}
    }
}

fn length(shape: &Shape, length: usize, fail: &mut impl FnMut(&str)) {
    #[expect(clippy::cast_precision_loss, reason = "no request holds 2^53 of anything")]
    let length = length as f64;
    if let Some(min) = shape.min.filter(|min| length < *min) {
        fail(&format!("Member must have length greater than or equal to {min}"));
    }
    if let Some(max) = shape.max.filter(|max| length > *max) {
        fail(&format!("Member must have length less than or equal to {max}"));
    }
}

/// A value as Java's `toString` would show it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name}={}", shown(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}
