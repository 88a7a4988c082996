//! The client's side, for the emulator's services.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::{Map, Value};
use signalbox_local_core::AwsError;

use crate::model::{Kind, Model, Shape};
use crate::rest::parse;
use crate::xml::Element;
use crate::{faults, json, query, rest, xml};

/// The only `rest-xml` service that the local cloud calls wants its bodies in this namespace.
const S3_NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A request to send: everything but the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The HTTP method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Headers of the protocol; the signature is not among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The protocol of the service that this client speaks: the oldest that the model lists, since that is
/// the one every emulator knows.
#[derive(Clone, Copy)]
enum Dialect {
    Json,
    Query,
    Rest(Body),
}

/// What bodies of a REST protocol are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Json,
    Xml,
}

fn dialect(model: &Model) -> Result<Dialect, AwsError> {
    let metadata = &model.metadata;
    let has = |name: &str| metadata.protocol == name || metadata.protocols.iter().any(|it| it == name);
    if has("json") {
        Ok(Dialect::Json)
    } else if has("rest-json") {
        Ok(Dialect::Rest(Body::Json))
    } else if has("rest-xml") {
        Ok(Dialect::Rest(Body::Xml))
    } else if has("query") {
        Ok(Dialect::Query)
    } else {
        let message = format!(
            "{} speaks {}, which this client does not",
            model.service, metadata.protocol
        );
        Err(AwsError::internal(message))
    }
}

/// Builds the request of an operation.
///
/// # Errors
/// The service does not have the operation, or speaks no protocol that this client knows.
pub fn encode_request(model: &Model, operation: &str, input: &Value) -> Result<Outgoing, AwsError> {
    let unknown = || AwsError::unknown_operation(&model.service, operation);
    let found = model.operations.get(operation).ok_or_else(unknown)?;
    let shape = model.input_shape(operation);
    let typed = |text: &str| {
        HeaderValue::try_from(text)
            .map(|value| (header::CONTENT_TYPE, value))
            .ok()
    };
    match dialect(model)? {
        Dialect::Json => {
            let metadata = &model.metadata;
            let target = format!(
                "{}.{operation}",
                metadata.target_prefix.as_deref().unwrap_or_default()
            );
            let version = metadata.json_version.as_deref().unwrap_or("1.1");
            let body = shape.map_or_else(
                || Value::Object(Map::new()),
                |it| json::write_structure(model, it, input),
            );
            let target =
                HeaderValue::try_from(target).map_err(|error| AwsError::internal(error.to_string()))?;
            let headers = typed(&format!("application/x-amz-json-{version}"))
                .into_iter()
                .chain([(HeaderName::from_static("x-amz-target"), target)])
                .collect();
            Ok(Outgoing {
                method: Method::POST,
                path: "/".to_owned(),
                headers,
                body: body.to_string().into_bytes(),
            })
        }
        Dialect::Query => {
            let mut pairs = vec![
                ("Action".to_owned(), operation.to_owned()),
                ("Version".to_owned(), model.metadata.api_version.clone()),
            ];
            if let Some(shape) = shape {
                query::write_structure(model, shape, input, "", &mut pairs);
            }
            let body = serde_urlencoded::to_string(&pairs)
                .map_err(|error| AwsError::internal(format!("the form cannot be written: {error}")))?;
            let headers = typed("application/x-www-form-urlencoded; charset=utf-8")
                .into_iter()
                .collect();
            Ok(Outgoing {
                method: Method::POST,
                path: "/".to_owned(),
                headers,
                body: body.into_bytes(),
            })
        }
        Dialect::Rest(kind) => {
            let method = found.http.method.parse().unwrap_or(Method::POST);
            let Some(shape) = shape else {
                return Ok(Outgoing {
                    method,
                    path: found.http.uri.clone(),
                    headers: Vec::new(),
                    body: Vec::new(),
                });
            };
            let mut headers = rest::headers(model, shape, input);
            let (content_type, body) = rest_body(model, shape, input, kind);
            headers.extend(content_type.and_then(typed));
            Ok(Outgoing {
                method,
                path: rest::path(model, found, shape, input),
                headers,
                body,
            })
        }
    }
}

/// A REST request's content type and body.
fn rest_body(model: &Model, shape: &Shape, input: &Value, kind: Body) -> (Option<&'static str>, Vec<u8>) {
    let content_type = match kind {
        Body::Json => "application/json",
        Body::Xml => "application/xml",
    };
    let Some((name, member)) = shape
        .payload
        .as_deref()
        .and_then(|name| Some((name, shape.members.get(name)?)))
    else {
        // Every operation of S3 with a body names the member that is the body.
        if kind == Body::Xml || shape.members.values().all(|member| member.location.is_some()) {
            return (None, Vec::new());
        }
        return (
            Some(content_type),
            json::write_structure(model, shape, input)
                .to_string()
                .into_bytes(),
        );
    };
    match (model.shape(&member.shape).kind, input.get(name), kind) {
        (_, None, _) => (None, Vec::new()),
        (Kind::Blob, Some(Value::String(text)), _) => (None, STANDARD.decode(text).unwrap_or_default()),
        (Kind::String, Some(Value::String(text)), _) => (None, text.clone().into_bytes()),
        (_, Some(value), Body::Json) => (
            Some(content_type),
            json::write_member(model, member, value).to_string().into_bytes(),
        ),
        (_, Some(value), Body::Xml) => {
            let root = json::wire_name(name, member);
            let mut out = String::new();
            xml::write_root(
                model,
                model.shape(&member.shape),
                root,
                S3_NAMESPACE,
                value,
                &mut out,
            );
            (Some(content_type), out.into_bytes())
        }
    }
}

/// Reads the answer of an operation.
///
/// # Errors
/// What the service answered; `InternalFailure` where the answer does not fit the model.
pub fn decode_response(
    model: &Model,
    operation: &str,
    status: u16,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Value, AwsError> {
    if !(200..300).contains(&status) {
        return Err(faults::decode(status, headers, body));
    }
    let Some(output) = model.operations.get(operation).and_then(|it| it.output.as_ref()) else {
        return Ok(Value::Object(Map::new()));
    };
    let shape = model.shape(&output.shape);
    let unreadable = |why: &str| {
        AwsError::internal(format!(
            "the answer to {}:{operation} cannot be read: {why}",
            model.service
        ))
    };
    match dialect(model)? {
        Dialect::Json if body.is_empty() => Ok(Value::Object(Map::new())),
        Dialect::Json => {
            let wire = parse(body).map_err(|error| unreadable(&error.message))?;
            let read = json::read_structure(model, shape, &wire, "");
            read.map(Value::Object)
                .map_err(|error| unreadable(&error.message))
        }
        Dialect::Query => {
            let root = Element::parse(&String::from_utf8_lossy(body)).map_err(|why| unreadable(&why))?;
            let wrapper = output
                .wrapper
                .clone()
                .unwrap_or_else(|| format!("{operation}Result"));
            let holder = root.child(&wrapper).unwrap_or(&root);
            xml::read_structure(model, shape, holder, "")
                .map(Value::Object)
                .map_err(|why| unreadable(&why))
        }
        Dialect::Rest(kind) => {
            let mut out = match kind {
                Body::Json => {
                    rest::read_answer_body(model, shape, body).map_err(|error| unreadable(&error.message))?
                }
                Body::Xml => xml_answer(model, shape, body).map_err(|why| unreadable(&why))?,
            };
            rest::read_head(model, shape, status, headers, &mut out)?;
            Ok(Value::Object(out))
        }
    }
}

fn xml_answer(model: &Model, shape: &Shape, body: &Bytes) -> Result<Map<String, Value>, String> {
    let payload = shape
        .payload
        .as_deref()
        .and_then(|name| Some((name, shape.members.get(name)?)));
    let text = || String::from_utf8_lossy(body);
    let Some((name, member)) = payload else {
        let in_body = shape.members.values().any(|member| member.location.is_none());
        return if body.is_empty() || !in_body {
            Ok(Map::new())
        } else {
            xml::read_structure(model, shape, &Element::parse(&text())?, "")
        };
    };
    let target = model.shape(&member.shape);
    let value = match target.kind {
        Kind::Blob => Value::String(STANDARD.encode(body)),
        Kind::String => Value::String(text().into_owned()),
        _ if body.is_empty() => return Ok(Map::new()),
        _ => Value::Object(xml::read_structure(
            model,
            target,
            &Element::parse(&text())?,
            name,
        )?),
    };
    Ok(Map::from_iter([(name.to_owned(), value)]))
}
