//! The client's side, for the emulator's services.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::{Map, Value};
use signalbox_local_core::AwsError;

use crate::model::{Kind, Model};
use crate::rest::parse;
use crate::xml::Element;
use crate::{faults, json, query, rest, xml};

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
enum Dialect {
    Json,
    RestJson,
    Query,
}

fn dialect(model: &Model) -> Result<Dialect, AwsError> {
    let metadata = &model.metadata;
    let has = |name: &str| metadata.protocol == name || metadata.protocols.iter().any(|it| it == name);
    if has("json") {
        Ok(Dialect::Json)
    } else if has("rest-json") {
        Ok(Dialect::RestJson)
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
/// The service does not have the operation, or speaks none of JSON, rest-json and query.
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
        Dialect::RestJson => {
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
            let payload = shape
                .payload
                .as_deref()
                .and_then(|name| Some((name, shape.members.get(name)?)));
            let body = match payload {
                Some((name, member)) => match (model.shape(&member.shape).kind, input.get(name)) {
                    (Kind::Blob, Some(Value::String(text))) => STANDARD.decode(text).unwrap_or_default(),
                    (_, Some(value)) => json::write_member(model, member, value).to_string().into_bytes(),
                    (_, None) => Vec::new(),
                },
                None if shape.members.values().any(|member| member.location.is_none()) => {
                    headers.extend(typed("application/json"));
                    json::write_structure(model, shape, input)
                        .to_string()
                        .into_bytes()
                }
                None => Vec::new(),
            };
            Ok(Outgoing {
                method,
                path: rest::path(model, found, shape, input),
                headers,
                body,
            })
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
        Dialect::RestJson => {
            let mut out =
                rest::read_answer_body(model, shape, body).map_err(|error| unreadable(&error.message))?;
            rest::read_head(model, shape, status, headers, &mut out)?;
            Ok(Value::Object(out))
        }
    }
}
