//! The server's side: requests in, answers out.

use std::borrow::Cow;
use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::Response;
use http::request::Parts;
use serde_json::{Map, Value};
use signalbox_local_core::AwsError;

use crate::model::{Model, Namespace};
use crate::protocol::{Protocol, text};
use crate::query::{self, Tree};
use crate::rest::{self, Route, parse};
use crate::{cbor, faults, json, xml};

/// A compressed body larger than this once unpacked is refused: no AWS API takes as much.
const MAX_BODY: u64 = 64 << 20;

/// A request, understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The operation's name.
    pub operation: String,
    /// Its input, in the internal form. Not yet checked against the model's rules.
    pub input: Value,
    /// The protocol in which to answer.
    pub protocol: Protocol,
}

/// The operation that a request means, without reading its input.
///
/// # Errors
/// The service does not have it.
pub fn operation_name(model: &Model, parts: &Parts, body: &[u8]) -> Result<String, AwsError> {
    let name = match Protocol::detect(parts) {
        Protocol::Json { .. } => {
            let target = text(&parts.headers, "x-amz-target");
            target
                .rsplit_once('.')
                .map_or(target, |(_, name)| name)
                .to_owned()
        }
        Protocol::Cbor => parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned(),
        Protocol::Query => form(parts, body)?
            .into_iter()
            .find_map(|(name, text)| (name == "Action").then_some(text))
            .ok_or_else(|| AwsError::new("MissingAction", "the request has no Action parameter"))?,
        Protocol::RestJson => {
            let route = rest::route(model, parts).ok_or_else(|| unknown_path(model, parts))?;
            route.operation.to_owned()
        }
    };
    if model.operations.contains_key(&name) {
        Ok(name)
    } else if Protocol::detect(parts) == Protocol::Query {
        Err(AwsError::new(
            "InvalidAction",
            format!("The action {name} is not valid for this web service."),
        ))
    } else {
        Err(AwsError::new(
            "UnknownOperationException",
            format!("{} has no operation {name:?}", model.service),
        ))
    }
}

fn unknown_path(model: &Model, parts: &Parts) -> AwsError {
    let message = format!(
        "{} has no operation at {} {}",
        model.service,
        parts.method,
        parts.uri.path()
    );
    AwsError::new("UnknownOperationException", message).with_status(404)
}

fn form(parts: &Parts, body: &[u8]) -> Result<Vec<(String, String)>, AwsError> {
    let mut pairs = query::pairs(parts.uri.query().unwrap_or_default())?;
    pairs.extend(query::pairs(&String::from_utf8_lossy(body))?);
    Ok(pairs)
}

/// Understands a request.
///
/// # Errors
/// Unknown operations, bodies that cannot be read, values of the wrong type.
pub fn decode(model: &Model, parts: &Parts, body: &[u8]) -> Result<Decoded, AwsError> {
    let body = unpacked(parts, body)?;
    let operation = operation_name(model, parts, &body)?;
    let protocol = Protocol::detect(parts);
    let Some(shape) = model.input_shape(&operation) else {
        return Ok(Decoded {
            operation,
            input: Value::Object(Map::new()),
            protocol,
        });
    };
    let input = match protocol {
        Protocol::Json { .. } if body.is_empty() => Value::Object(Map::new()),
        Protocol::Json { .. } => Value::Object(json::read_structure(model, shape, &parse(&body)?, "")?),
        Protocol::Cbor => cbor::read(model, shape, &body)?,
        Protocol::Query => Value::Object(query::read_structure(
            model,
            shape,
            &Tree::of(&form(parts, &body)?)?,
            "",
        )?),
        Protocol::RestJson => {
            let route: Route<'_> = rest::route(model, parts).ok_or_else(|| unknown_path(model, parts))?;
            rest::read(model, shape, &route, parts, &body)?
        }
    };
    Ok(Decoded {
        operation,
        input,
        protocol,
    })
}

/// SDKs compress the bodies of some operations (`PutMetricData`).
fn unpacked<'a>(parts: &Parts, body: &'a [u8]) -> Result<Cow<'a, [u8]>, AwsError> {
    if !text(&parts.headers, "content-encoding")
        .split(',')
        .any(|it| it.trim() == "gzip")
    {
        return Ok(Cow::Borrowed(body));
    }
    let mut out = Vec::new();
    GzDecoder::new(body)
        .take(MAX_BODY + 1)
        .read_to_end(&mut out)
        .map_err(|error| json::serialization(format!("the body is not gzip: {error}")))?;
    if out.len() as u64 > MAX_BODY {
        return Err(AwsError::new("RequestEntityTooLarge", "the body is too large").with_status(413));
    }
    Ok(Cow::Owned(out))
}

/// Builds the answer. `operation` may be unknown when the request could not be understood.
#[must_use]
pub fn encode(
    model: &Model,
    operation: &str,
    outcome: Result<&Value, &AwsError>,
    protocol: Protocol,
    request_id: &str,
) -> Response<Bytes> {
    let value = match outcome {
        Ok(value) => value,
        Err(error) => return faults::encode(model, error, protocol, request_id),
    };
    let shape = model.output_shape(operation);
    let mut answer = Response::builder()
        .status(200)
        .header("x-amzn-requestid", request_id);
    let body = match protocol {
        Protocol::Json { minor } => {
            answer = answer.header("content-type", format!("application/x-amz-json-1.{minor}"));
            shape
                .map(|shape| {
                    json::write_structure(model, shape, value)
                        .to_string()
                        .into_bytes()
                })
                .unwrap_or_default()
        }
        Protocol::Cbor => {
            answer = answer.header("smithy-protocol", "rpc-v2-cbor");
            if shape.is_some() {
                answer = answer.header("content-type", "application/cbor");
            }
            shape
                .map(|shape| cbor::write(model, shape, value))
                .unwrap_or_default()
        }
        Protocol::Query => {
            answer = answer.header("content-type", "text/xml");
            query_answer(model, operation, value, request_id).into_bytes()
        }
        Protocol::RestJson => {
            let Some(found) = model.operations.get(operation) else {
                return faults::encode(
                    model,
                    &AwsError::unknown_operation(&model.service, operation),
                    protocol,
                    request_id,
                );
            };
            let out = rest::write(model, found, shape, value);
            answer = answer.status(out.status);
            if !out.raw && !out.body.is_empty() {
                answer = answer.header("content-type", "application/json");
            }
            for (name, value) in out.headers {
                answer = answer.header(name, value);
            }
            out.body
        }
    };
    answer.body(Bytes::from(body)).unwrap_or_default()
}

fn query_answer(model: &Model, operation: &str, value: &Value, request_id: &str) -> String {
    let namespace = model
        .metadata
        .xml_namespace
        .as_ref()
        .map(Namespace::uri)
        .unwrap_or_default();
    let mut out = format!("<{operation}Response xmlns=\"{namespace}\">");
    let output = model.operations.get(operation).and_then(|it| it.output.as_ref());
    if let Some(output) = output {
        let wrapper = output
            .wrapper
            .clone()
            .unwrap_or_else(|| format!("{operation}Result"));
        out.push_str(&format!("<{wrapper}>"));
        xml::write_structure(model, model.shape(&output.shape), value, &mut out);
        out.push_str(&format!("</{wrapper}>"));
    }
    out.push_str("<ResponseMetadata>");
    xml::element("RequestId", request_id, &mut out);
    out.push_str(&format!("</ResponseMetadata></{operation}Response>"));
    out
}
