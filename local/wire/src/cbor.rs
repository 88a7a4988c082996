//! CBOR bodies ↔ the internal form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value as Cbor;
use serde_json::{Map, Value};
use signalbox_local_core::AwsError;

use crate::json::{self, double, expected, join, serialization};
use crate::model::{Kind, Member, Model, Shape};
use crate::timestamp;

/// The tag of "seconds since the epoch".
const EPOCH_TAG: u64 = 1;

/// Reads a request's body; an empty one is an empty structure.
pub(crate) fn read(model: &Model, shape: &Shape, body: &[u8]) -> Result<Value, AwsError> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let wire: Cbor = ciborium::from_reader(body)
        .map_err(|error| serialization(format!("the body is not CBOR: {error}")))?;
    structure(model, shape, &wire, "").map(Value::Object)
}

fn structure(model: &Model, shape: &Shape, wire: &Cbor, path: &str) -> Result<Map<String, Value>, AwsError> {
    let Cbor::Map(entries) = wire else {
        return Err(serialization(format!("{path}: expected a structure")));
    };
    let mut out = Map::new();
    for (key, value) in entries {
        let Some((name, member)) = key.as_text().and_then(|key| shape.members.get_key_value(key)) else {
            continue;
        };
        if !value.is_null() {
            out.insert(
                name.clone(),
                member_value(model, member, value, &join(path, name))?,
            );
        }
    }
    Ok(out)
}

fn member_value(model: &Model, member: &Member, wire: &Cbor, path: &str) -> Result<Value, AwsError> {
    let shape = model.shape(&member.shape);
    let wrong = || serialization(format!("{path}: expected {}", expected(shape.kind)));
    if shape.document {
        return wire.deserialized().map_err(|_| wrong());
    }
    match (shape.kind, wire) {
        (Kind::Structure, _) => structure(model, shape, wire, path).map(Value::Object),
        (Kind::List, Cbor::Array(items)) => {
            let Some(item) = &shape.member else {
                return Err(wrong());
            };
            let items = items.iter().enumerate().filter(|(_, value)| !value.is_null());
            items
                .map(|(at, value)| member_value(model, item, value, &format!("{path}[{at}]")))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array)
        }
        (Kind::Map, Cbor::Map(entries)) => {
            let Some(item) = &shape.value else {
                return Err(wrong());
            };
            let entries = entries.iter().filter(|(_, value)| !value.is_null());
            entries
                .map(|(key, value)| {
                    let key = key.as_text().ok_or_else(wrong)?;
                    Ok((
                        key.to_owned(),
                        member_value(model, item, value, &join(path, key))?,
                    ))
                })
                .collect::<Result<Map<_, _>, AwsError>>()
                .map(Value::Object)
        }
        (Kind::String, Cbor::Text(text)) => Ok(Value::String(text.clone())),
        (Kind::Boolean, Cbor::Bool(value)) => Ok(Value::Bool(*value)),
        (Kind::Blob, Cbor::Bytes(bytes)) => Ok(Value::String(STANDARD.encode(bytes))),
        (Kind::Integer | Kind::Long, Cbor::Integer(value)) => {
            i64::try_from(*value).map(Value::from).map_err(|_| wrong())
        }
        (Kind::Float | Kind::Double, _) => float(wire).map(double).ok_or_else(wrong),
        (Kind::Timestamp, Cbor::Tag(EPOCH_TAG, inner)) => float(inner).map(json::number).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn float(wire: &Cbor) -> Option<f64> {
    match wire {
        Cbor::Float(value) => Some(*value),
        #[expect(clippy::cast_precision_loss, reason = "a double is what the model asks for")]
        Cbor::Integer(value) => i64::try_from(*value).ok().map(|value| value as f64),
        _ => None,
    }
}

/// Writes an answer's body.
pub(crate) fn write(model: &Model, shape: &Shape, value: &Value) -> Vec<u8> {
    bytes(&structure_out(model, shape, value))
}

/// Writes a value.
pub(crate) fn bytes(value: &Cbor) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing to a vector cannot fail, and the values written here have no custom serialisation.
    if ciborium::into_writer(value, &mut out).is_err() {
        out.clear();
    }
    out
}

fn structure_out(model: &Model, shape: &Shape, value: &Value) -> Cbor {
    let fields = value.as_object().into_iter().flatten();
    let known = fields
        .filter(|(_, value)| !value.is_null())
        .filter_map(|(name, value)| {
            let member = shape.members.get(name)?;
            Some((Cbor::Text(name.clone()), member_out(model, member, value)))
        });
    Cbor::Map(known.collect())
}

fn member_out(model: &Model, member: &Member, value: &Value) -> Cbor {
    let shape = model.shape(&member.shape);
    if shape.document {
        return plain(value);
    }
    match (shape.kind, value) {
        (Kind::Structure, _) => structure_out(model, shape, value),
        (Kind::List, Value::Array(items)) => match &shape.member {
            Some(item) => Cbor::Array(items.iter().map(|value| member_out(model, item, value)).collect()),
            None => plain(value),
        },
        (Kind::Map, Value::Object(entries)) => match &shape.value {
            Some(item) => Cbor::Map(
                entries
                    .iter()
                    .map(|(key, value)| (Cbor::Text(key.clone()), member_out(model, item, value)))
                    .collect(),
            ),
            None => plain(value),
        },
        (Kind::Blob, Value::String(text)) => STANDARD.decode(text).map_or(Cbor::Null, Cbor::Bytes),
        (Kind::Float | Kind::Double, Value::Number(value)) => Cbor::Float(value.as_f64().unwrap_or(f64::NAN)),
        (Kind::Float | Kind::Double, Value::String(text)) => Cbor::Float(text.parse().unwrap_or(f64::NAN)),
        (Kind::Timestamp, Value::Number(value)) => Cbor::Tag(
            EPOCH_TAG,
            Box::new(Cbor::Float(value.as_f64().unwrap_or_default())),
        ),
        (Kind::Timestamp, Value::String(text)) => Cbor::Tag(
            EPOCH_TAG,
            Box::new(Cbor::Float(timestamp::read(text).unwrap_or_default())),
        ),
        _ => plain(value),
    }
}

fn plain(value: &Value) -> Cbor {
    Cbor::serialized(value).unwrap_or(Cbor::Null)
}
