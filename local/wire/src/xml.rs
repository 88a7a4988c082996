//! XML answers of the `query` protocol ↔ the internal form.

use std::fmt::Write as _;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value};

use crate::json::join;
use crate::model::{Kind, Member, Model, Shape};
use crate::query::{read_scalar, write_scalar};
use crate::timestamp::Spelling;

/// Deeper documents than any AWS service sends are refused.
const MAX_DEPTH: usize = 64;

/// An element: its local name, its own text, its children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// The name without its prefix.
    pub name: String,
    /// The text directly in it.
    pub text: String,
    /// Elements directly in it.
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(document: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(document);
        let mut open: Vec<Self> = Vec::new();
        loop {
            let event = reader.read_event().map_err(|error| error.to_string())?;
            let closed = match event {
                Event::Start(tag) => {
                    if open.len() >= MAX_DEPTH {
                        return Err(format!("elements are nested deeper than {MAX_DEPTH} levels"));
                    }
                    let name = tag.local_name().as_ref().to_owned();
                    open.push(Self {
                        name,
                        ..Self::default()
                    });
                    None
                }
                Event::Empty(tag) => Some(Self {
                    name: tag.local_name().as_ref().to_owned(),
                    ..Self::default()
                }),
                Event::End(_) => open.pop(),
                Event::Text(text) => {
                    append(&mut open, &text);
                    None
                }
                Event::CData(text) => {
                    append(&mut open, &text);
                    None
                }
                Event::GeneralRef(name) => {
                    let character = name.resolve_char_ref().map_err(|error| error.to_string())?;
                    match character {
                        Some(character) => append(&mut open, character.encode_utf8(&mut [0; 4])),
                        None => append(&mut open, predefined(&name).ok_or("an entity is not declared")?),
                    }
                    None
                }
                Event::Eof => return Err("the document ends before its root element does".to_owned()),
                _ => None,
            };
            if let Some(element) = closed {
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None => return Ok(element),
                }
            }
        }
    }

    /// The first child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child of that name; empty where there is none.
    #[must_use]
    pub fn child_text(&self, name: &str) -> &str {
        self.child(name)
            .map(|child| child.text.as_str())
            .unwrap_or_default()
    }
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn predefined(name: &str) -> Option<&'static str> {
    Some(match name {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "quot" => "\"",
        "apos" => "'",
        _ => return None,
    })
}

/// Text as it may stand in an element. What XML 1.0 cannot hold at all becomes U+FFFD, so that one
/// control character in a build's output does not make the whole answer unreadable.
pub(crate) fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(character),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
}

/// Writes `<name>text</name>`.
pub(crate) fn element(name: &str, text: &str, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(out, "<{name}>");
    escape(text, out);
    let _ = write!(out, "</{name}>");
}

fn wrapped(name: &str, out: &mut String, inside: impl FnOnce(&mut String)) {
    let _ = write!(out, "<{name}>");
    inside(out);
    let _ = write!(out, "</{name}>");
}

/// Writes a document: `<name xmlns="…">members</name>`.
pub(crate) fn write_root(
    model: &Model,
    shape: &Shape,
    name: &str,
    namespace: &str,
    value: &Value,
    out: &mut String,
) {
    let _ = write!(out, "<{name} xmlns=\"{namespace}\">");
    write_structure(model, shape, value, out);
    let _ = write!(out, "</{name}>");
}

/// Writes an output's members.
pub(crate) fn write_structure(model: &Model, shape: &Shape, value: &Value, out: &mut String) {
    for (name, value) in value.as_object().into_iter().flatten() {
        if let Some(member) = shape.members.get(name).filter(|_| !value.is_null()) {
            write_member(
                model,
                member,
                member.location_name.as_deref().unwrap_or(name),
                value,
                out,
            );
        }
    }
}

fn write_member(model: &Model, member: &Member, name: &str, value: &Value, out: &mut String) {
    let shape = model.shape(&member.shape);
    let flat = shape.flattened || member.flattened;
    match (shape.kind, value) {
        (Kind::Structure, _) => wrapped(name, out, |out| write_structure(model, shape, value, out)),
        (Kind::List, Value::Array(items)) => {
            let Some(item) = &shape.member else { return };
            let item_name = item.location_name.as_deref();
            let each = |name: &str, out: &mut String| {
                for value in items {
                    write_member(model, item, name, value, out);
                }
            };
            if flat {
                each(item_name.unwrap_or(name), out);
            } else {
                wrapped(name, out, |out| each(item_name.unwrap_or("member"), out));
            }
        }
        (Kind::Map, Value::Object(entries)) => {
            let (Some(key), Some(item)) = (&shape.key, &shape.value) else {
                return;
            };
            let each = |entry: &str, out: &mut String| {
                for (text, value) in entries {
                    wrapped(entry, out, |out| {
                        element(key.location_name.as_deref().unwrap_or("key"), text, out);
                        write_member(
                            model,
                            item,
                            item.location_name.as_deref().unwrap_or("value"),
                            value,
                            out,
                        );
                    });
                }
            };
            if flat {
                each(name, out);
            } else {
                wrapped(name, out, |out| each("entry", out));
            }
        }
        (kind, value) => {
            let own = member
                .timestamp_format
                .as_deref()
                .or(shape.timestamp_format.as_deref());
            if let Some(text) = write_scalar(kind, value, Spelling::of(own, Spelling::Iso8601)) {
                element(name, &text, out);
            }
        }
    }
}

/// Reads an answer's members.
pub(crate) fn read_structure(
    model: &Model,
    shape: &Shape,
    element: &Element,
    path: &str,
) -> Result<Map<String, Value>, String> {
    let mut out = Map::new();
    for (name, member) in shape
        .members
        .iter()
        .filter(|(_, member)| member.location.is_none())
    {
        let target = model.shape(&member.shape);
        let flat = target.flattened || member.flattened;
        let item_name = target
            .member
            .as_ref()
            .and_then(|item| item.location_name.as_deref())
            .filter(|_| flat);
        let wire = member.location_name.as_deref().or(item_name).unwrap_or(name);
        let mut found = element
            .children
            .iter()
            .filter(|child| child.name == wire)
            .peekable();
        if found.peek().is_none() {
            continue;
        }
        let path = join(path, name);
        let value = if flat {
            let holder = Element {
                children: found.cloned().collect(),
                ..Element::default()
            };
            read_collection(model, target, &holder, &path)?
        } else if let Some(child) = found.next() {
            read_member(model, member, child, &path)?
        } else {
            continue;
        };
        out.insert(name.clone(), value);
    }
    Ok(out)
}

fn read_member(model: &Model, member: &Member, element: &Element, path: &str) -> Result<Value, String> {
    let shape = model.shape(&member.shape);
    match shape.kind {
        Kind::Structure => read_structure(model, shape, element, path).map(Value::Object),
        Kind::List | Kind::Map => read_collection(model, shape, element, path),
        kind => {
            read_scalar(kind, &element.text).ok_or_else(|| format!("{path}: {:?} does not fit", element.text))
        }
    }
}

/// The children of `holder` are the items, or the entries.
fn read_collection(model: &Model, shape: &Shape, holder: &Element, path: &str) -> Result<Value, String> {
    if let Some(item) = &shape.member {
        let items = holder
            .children
            .iter()
            .map(|child| read_member(model, item, child, path));
        return items.collect::<Result<Vec<_>, _>>().map(Value::Array);
    }
    let (Some(key), Some(item)) = (&shape.key, &shape.value) else {
        return Ok(Value::Object(Map::new()));
    };
    let mut out = Map::new();
    for entry in &holder.children {
        let text = entry
            .child_text(key.location_name.as_deref().unwrap_or("key"))
            .to_owned();
        if let Some(child) = entry.child(item.location_name.as_deref().unwrap_or("value")) {
            out.insert(text, read_member(model, item, child, path)?);
        }
    }
    Ok(Value::Object(out))
}
