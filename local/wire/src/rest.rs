//! The `rest-json` protocol: which operation a path means, and what travels outside of the body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};
use signalbox_local_core::AwsError;

use crate::json::{self, expected, serialization};
use crate::model::{Kind, Location, Member, Model, Operation, Shape};
use crate::protocol::text;
use crate::query::{pairs, read_scalar, write_scalar};
use crate::timestamp::Spelling;

/// What RFC 3986 leaves as it is.
pub(crate) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// An operation and the values of its path's labels.
pub(crate) struct Route<'a> {
    pub(crate) operation: &'a str,
    labels: Vec<(&'a str, String)>,
}

/// Finds the operation; the one with the most literal path where several fit.
pub(crate) fn route<'a>(model: &'a Model, parts: &Parts) -> Option<Route<'a>> {
    let mut best: Option<(usize, Route<'a>)> = None;
    for (name, operation) in &model.operations {
        if operation.http.method != parts.method.as_str() {
            continue;
        }
        if let Some((literals, labels)) = matches(operation, parts)
            && best.as_ref().is_none_or(|(most, _)| literals > *most)
        {
            best = Some((
                literals,
                Route {
                    operation: name,
                    labels,
                },
            ));
        }
    }
    best.map(|(_, route)| route)
}

fn matches<'a>(operation: &'a Operation, parts: &Parts) -> Option<(usize, Vec<(&'a str, String)>)> {
    let (path, constant) = operation
        .http
        .uri
        .split_once('?')
        .unwrap_or((&operation.http.uri, ""));
    let query = parts.uri.query().unwrap_or_default();
    for pair in constant.split('&').filter(|pair| !pair.is_empty()) {
        if !query
            .split('&')
            .any(|given| given == pair || given.strip_suffix('=') == Some(pair))
        {
            return None;
        }
    }
    let template: Vec<&str> = path.trim_matches('/').split('/').collect();
    let given: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
    let mut labels = Vec::new();
    let mut literals = constant.len();
    for (at, part) in template.iter().enumerate() {
        let label = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        match label {
            Some(label) if label.ends_with('+') => {
                labels.push((label.trim_end_matches('+'), decoded(&given.get(at..)?.join("/"))?));
                return Some((literals, labels));
            }
            Some(label) => labels.push((label, decoded(given.get(at).filter(|part| !part.is_empty())?)?)),
            None if given.get(at) == Some(part) => literals += 1,
            None => return None,
        }
    }
    (given.len() == template.len()).then_some((literals, labels))
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text)
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

/// Reads an input from path, query, headers and body.
pub(crate) fn read(
    model: &Model,
    shape: &Shape,
    route: &Route<'_>,
    parts: &Parts,
    body: &[u8],
) -> Result<Value, AwsError> {
    let mut out = read_body(model, shape, body)?;
    let query = pairs(parts.uri.query().unwrap_or_default())?;
    for (name, member) in &shape.members {
        let wire = json::wire_name(name, member);
        let value = match member.location {
            Some(Location::Uri) => route
                .labels
                .iter()
                .find(|(label, _)| *label == wire)
                .map(|(_, text)| scalar(model, member, text, name))
                .transpose()?,
            Some(Location::Query) => from_query(model, member, &query, wire, name)?,
            Some(Location::Header) => match parts.headers.get(wire) {
                Some(_) => Some(scalar(model, member, text(&parts.headers, wire), name)?),
                None => None,
            },
            Some(Location::Headers) => prefixed(&parts.headers, wire),
            Some(Location::StatusCode) | None => None,
        };
        if let Some(value) = value {
            out.insert(name.clone(), value);
        }
    }
    Ok(Value::Object(out))
}

fn read_body(model: &Model, shape: &Shape, body: &[u8]) -> Result<Map<String, Value>, AwsError> {
    let payload = shape
        .payload
        .as_deref()
        .and_then(|name| Some((name, shape.members.get(name)?)));
    let Some((name, member)) = payload else {
        let wire = if body.iter().all(u8::is_ascii_whitespace) {
            Ok(Value::Object(Map::new()))
        } else {
            parse(body)
        };
        return json::read_structure(model, shape, &wire?, "");
    };
    if body.is_empty() {
        return Ok(Map::new());
    }
    let value = match model.shape(&member.shape).kind {
        Kind::Blob => Value::String(STANDARD.encode(body)),
        Kind::String => Value::String(String::from_utf8_lossy(body).into_owned()),
        _ => json::read_member(model, member, &parse(body)?, name)?,
    };
    Ok(Map::from_iter([(name.to_owned(), value)]))
}

/// Reads a JSON body.
pub(crate) fn parse(body: &[u8]) -> Result<Value, AwsError> {
    serde_json::from_slice(body).map_err(|error| serialization(format!("the body is not JSON: {error}")))
}

fn scalar(model: &Model, member: &Member, text: &str, path: &str) -> Result<Value, AwsError> {
    let kind = model.shape(&member.shape).kind;
    read_scalar(kind, text).ok_or_else(|| serialization(format!("{path}: expected {}", expected(kind))))
}

fn from_query(
    model: &Model,
    member: &Member,
    query: &[(String, String)],
    wire: &str,
    path: &str,
) -> Result<Option<Value>, AwsError> {
    let mut given = query
        .iter()
        .filter(|(name, _)| name == wire)
        .map(|(_, text)| text)
        .peekable();
    if given.peek().is_none() {
        return Ok(None);
    }
    let value = match &model.shape(&member.shape).member {
        Some(item) => Value::Array(
            given
                .map(|text| scalar(model, item, text, path))
                .collect::<Result<_, _>>()?,
        ),
        None => match given.next() {
            Some(text) => scalar(model, member, text, path)?,
            None => return Ok(None),
        },
    };
    Ok(Some(value))
}

fn prefixed(headers: &HeaderMap, prefix: &str) -> Option<Value> {
    let prefix = prefix.to_ascii_lowercase();
    let entries: Map<String, Value> = headers
        .iter()
        .filter_map(|(name, value)| {
            Some((
                name.as_str().strip_prefix(&prefix)?.to_owned(),
                value.to_str().ok()?.into(),
            ))
        })
        .collect();
    (!entries.is_empty()).then_some(Value::Object(entries))
}

/// An answer's status, headers and body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Vec<u8>,
    /// A raw body has no content type of the protocol's.
    pub(crate) raw: bool,
}

/// Writes an output.
pub(crate) fn write(model: &Model, operation: &Operation, shape: Option<&Shape>, value: &Value) -> Answer {
    let mut answer = Answer {
        status: operation.http.status.unwrap_or(200),
        headers: Vec::new(),
        body: Vec::new(),
        raw: false,
    };
    let Some(shape) = shape else { return answer };
    for (name, value) in value.as_object().into_iter().flatten() {
        let Some(member) = shape.members.get(name).filter(|_| !value.is_null()) else {
            continue;
        };
        match member.location {
            Some(Location::StatusCode) => {
                answer.status = value
                    .as_u64()
                    .and_then(|it| u16::try_from(it).ok())
                    .unwrap_or(answer.status);
            }
            Some(Location::Header) => {
                let kind = model.shape(&member.shape).kind;
                if let Some(text) = write_scalar(kind, value, Spelling::Rfc822) {
                    push(&mut answer.headers, json::wire_name(name, member), &text);
                }
            }
            Some(Location::Headers) => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    let wire = format!("{}{key}", json::wire_name(name, member));
                    push(&mut answer.headers, &wire, value.as_str().unwrap_or_default());
                }
            }
            Some(Location::Uri | Location::Query) | None => {}
        }
    }
    match shape
        .payload
        .as_deref()
        .and_then(|name| Some((name, shape.members.get(name)?)))
    {
        None if operation.output.is_some() => {
            answer.body = json::write_structure(model, shape, value)
                .to_string()
                .into_bytes();
        }
        None => {}
        Some((name, member)) => match (model.shape(&member.shape).kind, value.get(name)) {
            (Kind::Blob, Some(Value::String(text))) => {
                answer.raw = true;
                answer.body = STANDARD.decode(text).unwrap_or_default();
            }
            (Kind::String, Some(Value::String(text))) => {
                answer.raw = true;
                answer.body = text.clone().into_bytes();
            }
            (_, Some(value)) => {
                answer.body = json::write_member(model, member, value).to_string().into_bytes();
            }
            (_, None) => {}
        },
    }
    answer
}

fn push(headers: &mut Vec<(HeaderName, HeaderValue)>, name: &str, text: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(text)) {
        headers.push((name, value));
    }
}

/// A request's path and query, from an input.
pub(crate) fn path(model: &Model, operation: &Operation, shape: &Shape, input: &Value) -> String {
    let (template, constant) = operation
        .http
        .uri
        .split_once('?')
        .unwrap_or((&operation.http.uri, ""));
    let mut path = template.to_owned();
    let mut query: Vec<(&str, String)> = Vec::new();
    for (name, member) in &shape.members {
        let Some(value) = input.get(name).filter(|value| !value.is_null()) else {
            continue;
        };
        let wire = json::wire_name(name, member);
        let target = model.shape(&member.shape);
        let one = |value: &Value| write_scalar(target.kind, value, Spelling::Iso8601);
        match (member.location, value) {
            (Some(Location::Uri), _) => {
                let text = one(value).unwrap_or_default();
                path = path.replace(
                    &format!("{{{wire}}}"),
                    &utf8_percent_encode(&text, UNRESERVED).to_string(),
                );
                let greedy: Vec<String> = text
                    .split('/')
                    .map(|part| utf8_percent_encode(part, UNRESERVED).to_string())
                    .collect();
                path = path.replace(&format!("{{{wire}+}}"), &greedy.join("/"));
            }
            (Some(Location::Query), Value::Array(items)) => {
                query.extend(items.iter().filter_map(one).map(|text| (wire, text)));
            }
            (Some(Location::Query), value) => query.extend(one(value).map(|text| (wire, text))),
            _ => {}
        }
    }
    let encoded = serde_urlencoded::to_string(&query).unwrap_or_default();
    let parts: Vec<&str> = [constant, &encoded]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    if parts.is_empty() {
        path
    } else {
        format!("{path}?{}", parts.join("&"))
    }
}

/// A request's headers, from an input.
pub(crate) fn headers(model: &Model, shape: &Shape, input: &Value) -> Vec<(HeaderName, HeaderValue)> {
    let mut out = Vec::new();
    for (name, member) in shape
        .members
        .iter()
        .filter(|(_, member)| member.location == Some(Location::Header))
    {
        let kind = model.shape(&member.shape).kind;
        if let Some(text) = input
            .get(name)
            .and_then(|value| write_scalar(kind, value, Spelling::Rfc822))
        {
            push(&mut out, json::wire_name(name, member), &text);
        }
    }
    out
}

/// Reads what an answer carries outside of its body.
pub(crate) fn read_head(
    model: &Model,
    shape: &Shape,
    status: u16,
    headers: &HeaderMap,
    out: &mut Map<String, Value>,
) -> Result<(), AwsError> {
    for (name, member) in &shape.members {
        let wire = json::wire_name(name, member);
        match member.location {
            Some(Location::StatusCode) => {
                out.insert(name.clone(), status.into());
            }
            Some(Location::Header) if headers.contains_key(wire) => {
                out.insert(name.clone(), scalar(model, member, text(headers, wire), name)?);
            }
            Some(Location::Headers) => {
                if let Some(entries) = prefixed(headers, wire) {
                    out.insert(name.clone(), entries);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads the body of an answer.
pub(crate) fn read_answer_body(
    model: &Model,
    shape: &Shape,
    body: &[u8],
) -> Result<Map<String, Value>, AwsError> {
    read_body(model, shape, body)
}
