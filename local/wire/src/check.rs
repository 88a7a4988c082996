//! Where an engine's answer leaves the model.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::json::{expected, join};
use crate::model::{Kind, Member, Model, Shape};

/// Lists members that the model does not have, values of the wrong type, values outside of their
/// enumeration, and required members that are missing. Empty: the output is one that AWS could give.
#[must_use]
pub fn check_output(model: &Model, operation: &str, output: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match model.output_shape(operation) {
        Some(shape) => structure(model, shape, output, "", &mut found),
        None if output.is_null() || output.as_object().is_some_and(serde_json::Map::is_empty) => {}
        None => found.push(format!("{operation} has no output, but the engine gave one")),
    }
    found
}

fn structure(model: &Model, shape: &Shape, value: &Value, path: &str, found: &mut Vec<String>) {
    if shape.document {
        return;
    }
    let Value::Object(fields) = value else {
        found.push(format!(
            "{}: expected a structure, got {value}",
            if path.is_empty() { "output" } else { path }
        ));
        return;
    };
    for name in &shape.required {
        if fields.get(name).is_none_or(Value::is_null) {
            found.push(format!("{}: required, but missing", join(path, name)));
        }
    }
    for (name, value) in fields {
        match shape.members.get(name) {
            None => found.push(format!("{}: the model has no such member", join(path, name))),
            Some(_) if value.is_null() => {}
            Some(member) => one(model, member, value, &join(path, name), found),
        }
    }
}

fn one(model: &Model, member: &Member, value: &Value, path: &str, found: &mut Vec<String>) {
    let shape = model.shape(&member.shape);
    let fits = match (shape.kind, value) {
        (Kind::Structure, _) => {
            structure(model, shape, value, path, found);
            true
        }
        (Kind::List, Value::Array(items)) => {
            if let Some(item) = &shape.member {
                for (at, value) in items.iter().enumerate() {
                    one(model, item, value, &format!("{path}[{at}]"), found);
                }
            }
            true
        }
        (Kind::Map, Value::Object(entries)) => {
            for (key, value) in entries {
                if let Some(item) = &shape.value {
                    one(model, item, value, &join(path, key), found);
                }
            }
            true
        }
        (Kind::String, Value::String(text)) => {
            if !shape.values.is_empty() && !shape.values.contains(text) {
                found.push(format!(
                    "{path}: {text:?} is none of [{}]",
                    shape.values.join(", ")
                ));
            }
            true
        }
        (Kind::Blob, Value::String(text)) => STANDARD.decode(text).is_ok(),
        (Kind::Boolean, Value::Bool(_)) => true,
        (Kind::Integer | Kind::Long, Value::Number(number)) => number.is_i64() || number.is_u64(),
        (Kind::Float | Kind::Double | Kind::Timestamp, Value::Number(_)) => true,
        _ => false,
    };
    if !fits {
        found.push(format!("{path}: expected {}, got {value}", expected(shape.kind)));
    }
}
