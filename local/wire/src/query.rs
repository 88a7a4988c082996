//! The form of the `query` protocol ↔ the internal form.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use signalbox_local_core::AwsError;

use crate::json::{expected, join, number};
use crate::model::{Kind, Member, Model, Shape};
use crate::timestamp::{self, Spelling};

/// Deeper names than any model has are refused before they are unfolded.
const MAX_DEPTH: usize = 48;

/// A form's names, split at their dots.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    text: Option<String>,
    children: BTreeMap<String, Tree>,
}

fn malformed(message: impl Into<String>) -> AwsError {
    AwsError::new("MalformedInput", message)
}

/// The pairs of a form, or of a query string.
pub(crate) fn pairs(form: &str) -> Result<Vec<(String, String)>, AwsError> {
    serde_urlencoded::from_str(form).map_err(|error| malformed(format!("the form cannot be read: {error}")))
}

impl Tree {
    pub(crate) fn of(pairs: &[(String, String)]) -> Result<Self, AwsError> {
        let mut root = Self::default();
        for (name, text) in pairs {
            if name.split('.').count() > MAX_DEPTH {
                return Err(malformed(format!(
                    "a parameter is nested deeper than {MAX_DEPTH} levels"
                )));
            }
            let mut at = &mut root;
            for part in name.split('.') {
                at = at.children.entry(part.to_owned()).or_default();
            }
            at.text = Some(text.clone());
        }
        Ok(root)
    }

    /// Children under 1, 2, 3, … in numerical order, whatever the form's.
    fn numbered(&self) -> Vec<&Self> {
        let mut items: Vec<(u32, &Self)> = self
            .children
            .iter()
            .filter_map(|(key, child)| Some((key.parse().ok()?, child)))
            .collect();
        items.sort_by_key(|(at, _)| *at);
        items.into_iter().map(|(_, child)| child).collect()
    }
}

fn name_of<'a>(model: &'a Model, name: &'a str, member: &'a Member) -> &'a str {
    let shape = model.shape(&member.shape);
    let flat_item = || {
        shape
            .member
            .as_ref()
            .filter(|_| flat(shape, member))?
            .location_name
            .as_deref()
    };
    member.location_name.as_deref().or_else(flat_item).unwrap_or(name)
}

fn flat(shape: &Shape, member: &Member) -> bool {
    shape.flattened || member.flattened
}

/// Reads an input.
pub(crate) fn read_structure(
    model: &Model,
    shape: &Shape,
    tree: &Tree,
    path: &str,
) -> Result<Map<String, Value>, AwsError> {
    let mut out = Map::new();
    for (name, member) in &shape.members {
        if let Some(child) = tree.children.get(name_of(model, name, member)) {
            out.insert(
                name.clone(),
                read_member(model, member, child, &join(path, name))?,
            );
        }
    }
    Ok(out)
}

fn read_member(model: &Model, member: &Member, tree: &Tree, path: &str) -> Result<Value, AwsError> {
    let shape = model.shape(&member.shape);
    match shape.kind {
        Kind::Structure => read_structure(model, shape, tree, path).map(Value::Object),
        Kind::List => {
            let Some(item) = &shape.member else {
                return Ok(Value::Array(Vec::new()));
            };
            let holder = if flat(shape, member) {
                Some(tree)
            } else {
                tree.children
                    .get(item.location_name.as_deref().unwrap_or("member"))
            };
            let items = holder.map(Tree::numbered).unwrap_or_default();
            items
                .into_iter()
                .enumerate()
                .map(|(at, child)| read_member(model, item, child, &format!("{path}.{}", at + 1)))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array)
        }
        Kind::Map => {
            let (Some(key), Some(value)) = (&shape.key, &shape.value) else {
                return Ok(Value::Object(Map::new()));
            };
            let holder = if flat(shape, member) {
                Some(tree)
            } else {
                tree.children.get("entry")
            };
            let mut out = Map::new();
            for entry in holder.map(Tree::numbered).unwrap_or_default() {
                let text = entry.children.get(key.location_name.as_deref().unwrap_or("key"));
                let Some(text) = text.and_then(|child| child.text.clone()) else {
                    return Err(malformed(format!("{path}: an entry has no key")));
                };
                let child = entry
                    .children
                    .get(value.location_name.as_deref().unwrap_or("value"));
                let empty = Tree::default();
                let read = read_member(model, value, child.unwrap_or(&empty), &join(path, &text))?;
                out.insert(text, read);
            }
            Ok(Value::Object(out))
        }
        _ => read_scalar(shape.kind, tree.text.as_deref().unwrap_or_default())
            .ok_or_else(|| malformed(format!("{path}: expected {}", expected(shape.kind)))),
    }
}

/// Reads text as the kind says; `None` where it does not fit.
pub(crate) fn read_scalar(kind: Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Boolean => text.to_ascii_lowercase().parse().ok().map(Value::Bool),
        Kind::Integer | Kind::Long => text.trim().parse::<i64>().ok().map(Value::from),
        Kind::Float | Kind::Double => text.trim().parse::<f64>().ok().map(crate::json::double),
        Kind::Timestamp => timestamp::read(text).map(number),
        _ => Some(Value::String(text.to_owned())),
    }
}

/// Text of a scalar; `None` for structures, lists and maps.
pub(crate) fn write_scalar(kind: Kind, value: &Value, spelling: Spelling) -> Option<String> {
    Some(match (kind, value) {
        (Kind::Timestamp, Value::Number(epoch)) => timestamp::spell(epoch.as_f64()?, spelling),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Bool(value)) => value.to_string(),
        (_, Value::Number(value)) => value.to_string(),
        _ => return None,
    })
}

/// Writes an input as the pairs of a form.
pub(crate) fn write_structure(
    model: &Model,
    shape: &Shape,
    value: &Value,
    prefix: &str,
    out: &mut Vec<(String, String)>,
) {
    for (name, value) in value.as_object().into_iter().flatten() {
        if let Some(member) = shape.members.get(name).filter(|_| !value.is_null()) {
            write_member(
                model,
                member,
                value,
                &join(prefix, name_of(model, name, member)),
                out,
            );
        }
    }
}

fn write_member(
    model: &Model,
    member: &Member,
    value: &Value,
    prefix: &str,
    out: &mut Vec<(String, String)>,
) {
    let shape = model.shape(&member.shape);
    match (shape.kind, value) {
        (Kind::Structure, _) => write_structure(model, shape, value, prefix, out),
        (Kind::List, Value::Array(items)) => {
            let Some(item) = &shape.member else { return };
            if items.is_empty() {
                out.push((prefix.to_owned(), String::new()));
            }
            let holder = if flat(shape, member) {
                prefix.to_owned()
            } else {
                join(prefix, item.location_name.as_deref().unwrap_or("member"))
            };
            for (at, value) in items.iter().enumerate() {
                write_member(model, item, value, &format!("{holder}.{}", at + 1), out);
            }
        }
        (Kind::Map, Value::Object(entries)) => {
            let (Some(key), Some(item)) = (&shape.key, &shape.value) else {
                return;
            };
            let holder = if flat(shape, member) {
                prefix.to_owned()
            } else {
                join(prefix, "entry")
            };
            for (at, (text, value)) in entries.iter().enumerate() {
                let entry = format!("{holder}.{}", at + 1);
                out.push((
                    join(&entry, key.location_name.as_deref().unwrap_or("key")),
                    text.clone(),
                ));
                write_member(
                    model,
                    item,
                    value,
                    &join(&entry, item.location_name.as_deref().unwrap_or("value")),
                    out,
                );
            }
        }
        (kind, value) => {
            if let Some(text) = write_scalar(kind, value, Spelling::Iso8601) {
                out.push((prefix.to_owned(), text));
            }
        }
    }
}
