//! JSON bodies ↔ the internal form.
//!
//! The two differ only in the spelling of time stamps and in `locationName`s; reading also drops what
//! the model does not know, as AWS does, and refuses what has the wrong type.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};
use signalbox_local_core::AwsError;

use crate::model::{Kind, Member, Model, Shape};
use crate::timestamp::{self, Spelling};

pub(crate) fn serialization(message: impl Into<String>) -> AwsError {
    AwsError::new("SerializationException", message)
}

fn wrong(path: &str, expected: &str, got: &Value) -> AwsError {
    let got = match got {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a structure",
    };
    let path = if path.is_empty() { "the request" } else { path };
    serialization(format!("{path}: expected {expected}, got {got}"))
}

/// The number of a JSON answer or request, exactly where it is whole.
pub(crate) fn number(value: f64) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only whole numbers within ±2^53 are converted"
    )]
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Value::Number((value as i64).into());
    }
    Number::from_f64(value).map_or_else(|| Value::String(not_finite(value).to_owned()), Value::Number)
}

/// AWS's JSON and CBOR protocols spell what JSON cannot.
pub(crate) fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// A double: a JSON number, or text for what JSON has no number for.
pub(crate) fn double(value: f64) -> Value {
    Number::from_f64(value).map_or_else(|| Value::String(not_finite(value).to_owned()), Value::Number)
}

pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// The name under which a member travels.
pub(crate) fn wire_name<'a>(name: &'a str, member: &'a Member) -> &'a str {
    member.location_name.as_deref().unwrap_or(name)
}

fn spelling(model: &Model, member: &Member) -> Spelling {
    let own = member.timestamp_format.as_deref();
    Spelling::of(
        own.or(model.shape(&member.shape).timestamp_format.as_deref()),
        Spelling::Epoch,
    )
}

/// Reads a structure's members that travel in the body.
pub(crate) fn read_structure(
    model: &Model,
    shape: &Shape,
    wire: &Value,
    path: &str,
) -> Result<Map<String, Value>, AwsError> {
    let Value::Object(wire) = wire else {
        return Err(wrong(path, "a structure", wire));
    };
    let mut out = Map::new();
    for (name, member) in shape
        .members
        .iter()
        .filter(|(_, member)| member.location.is_none())
    {
        match wire.get(wire_name(name, member)) {
            None | Some(Value::Null) => {}
            Some(value) => {
                out.insert(
                    name.clone(),
                    read_member(model, member, value, &join(path, name))?,
                );
            }
        }
    }
    Ok(out)
}

/// Reads one value.
pub(crate) fn read_member(
    model: &Model,
    member: &Member,
    wire: &Value,
    path: &str,
) -> Result<Value, AwsError> {
    let shape = model.shape(&member.shape);
    if shape.document {
        return Ok(wire.clone());
    }
    match (shape.kind, wire) {
        (Kind::Structure, _) => read_structure(model, shape, wire, path).map(Value::Object),
        (Kind::List, Value::Array(items)) => {
            let Some(item) = &shape.member else {
                return Ok(wire.clone());
            };
            items
                .iter()
                .enumerate()
                .filter(|(_, value)| !value.is_null())
                .map(|(at, value)| read_member(model, item, value, &format!("{path}[{at}]")))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array)
        }
        (Kind::Map, Value::Object(entries)) => {
            let Some(value_member) = &shape.value else {
                return Ok(wire.clone());
            };
            entries
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| {
                    Ok((
                        key.clone(),
                        read_member(model, value_member, value, &join(path, key))?,
                    ))
                })
                .collect::<Result<Map<_, _>, AwsError>>()
                .map(Value::Object)
        }
        (Kind::String, Value::String(_)) | (Kind::Boolean, Value::Bool(_)) => Ok(wire.clone()),
        (Kind::Blob, Value::String(text)) => {
            STANDARD
                .decode(text)
                .map_err(|_| serialization(format!("{path}: not valid base64")))?;
            Ok(wire.clone())
        }
        (Kind::Integer | Kind::Long, Value::Number(value)) => {
            whole(value).ok_or_else(|| wrong(path, "a whole number", wire))
        }
        (Kind::Float | Kind::Double, Value::Number(value)) => Ok(Value::Number(value.clone())),
        (Kind::Float | Kind::Double, Value::String(text))
            if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") =>
        {
            Ok(wire.clone())
        }
        (Kind::Timestamp, Value::Number(value)) => Ok(Value::Number(value.clone())),
        (Kind::Timestamp, Value::String(text)) => timestamp::read(text)
            .map(number)
            .ok_or_else(|| wrong(path, "a time stamp", wire)),
        (kind, _) => Err(wrong(path, expected(kind), wire)),
    }
}

pub(crate) fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Structure => "a structure",
        Kind::List => "a list",
        Kind::Map => "a map",
        Kind::String => "a string",
        Kind::Blob => "base64 text",
        Kind::Boolean => "a boolean",
        Kind::Integer | Kind::Long => "a whole number",
        Kind::Float | Kind::Double => "a number",
        Kind::Timestamp => "a time stamp",
    }
}

/// The number, where it is whole; `3.0` counts.
fn whole(value: &Number) -> Option<Value> {
    if value.is_i64() || value.is_u64() {
        return Some(Value::Number(value.clone()));
    }
    value.as_f64().filter(|value| value.fract() == 0.0).map(number)
}

/// Writes a structure's members that travel in the body.
pub(crate) fn write_structure(model: &Model, shape: &Shape, value: &Value) -> Value {
    let Value::Object(fields) = value else {
        return value.clone();
    };
    let mut out = Map::new();
    for (name, value) in fields {
        let Some(member) = shape.members.get(name) else {
            continue;
        };
        if member.location.is_none() && !value.is_null() {
            out.insert(
                wire_name(name, member).to_owned(),
                write_member(model, member, value),
            );
        }
    }
    Value::Object(out)
}

/// Writes one value.
pub(crate) fn write_member(model: &Model, member: &Member, value: &Value) -> Value {
    let shape = model.shape(&member.shape);
    if shape.document {
        return value.clone();
    }
    match (shape.kind, value) {
        (Kind::Structure, _) => write_structure(model, shape, value),
        (Kind::List, Value::Array(items)) => match &shape.member {
            Some(item) => Value::Array(
                items
                    .iter()
                    .map(|value| write_member(model, item, value))
                    .collect(),
            ),
            None => value.clone(),
        },
        (Kind::Map, Value::Object(entries)) => match &shape.value {
            Some(item) => Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| (key.clone(), write_member(model, item, value)))
                    .collect(),
            ),
            None => value.clone(),
        },
        (Kind::Timestamp, Value::Number(epoch)) => match spelling(model, member) {
            Spelling::Epoch => value.clone(),
            other => epoch
                .as_f64()
                .map_or_else(|| value.clone(), |at| timestamp::spell(at, other).into()),
        },
        _ => value.clone(),
    }
}
