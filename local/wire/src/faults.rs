//! Error answers, per protocol.

use bytes::Bytes;
use ciborium::Value as Cbor;
use http::{HeaderMap, Response};
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::cbor;
use crate::model::{Model, Namespace};
use crate::protocol::{Protocol, text};
use crate::xml::{self, Element};

/// What an error answer says, once the model has been consulted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The shape's name, which JSON and CBOR answers carry as `__type`.
    pub(crate) shape: String,
    /// The code that `query` answers carry.
    pub(crate) code: String,
    /// For people.
    pub(crate) message: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// The caller's fault, not the service's.
    pub(crate) sender: bool,
}

impl Fault {
    /// Completes an error from the model: its other name, and its status where the error names none
    /// of its own.
    #[must_use]
    pub(crate) fn of(model: &Model, error: &AwsError) -> Self {
        let found = model.error_shape(&error.code);
        let shape_error = found.and_then(|(_, shape)| shape.error.as_ref());
        let own = shape_error
            .and_then(|it| it.http_status_code)
            .or_else(|| found.filter(|(_, shape)| shape.fault).map(|_| 500));
        let status = if error.status == 400 {
            own.unwrap_or(400)
        } else {
            error.status
        };
        Self {
            shape: found.map_or(error.code.as_str(), |(name, _)| name).to_owned(),
            code: shape_error
                .and_then(|it| it.code.as_deref())
                .unwrap_or(&error.code)
                .to_owned(),
            message: error.message.clone(),
            status,
            sender: status < 500,
        }
    }
}

/// Builds the error answer.
pub(crate) fn encode(
    model: &Model,
    error: &AwsError,
    protocol: Protocol,
    request_id: &str,
) -> Response<Bytes> {
    let fault = Fault::of(model, error);
    let who = if fault.sender { "Sender" } else { "Receiver" };
    let mut answer = Response::builder()
        .status(fault.status)
        .header("x-amzn-requestid", request_id);
    if model.metadata.aws_query_compatible.is_some() && protocol != Protocol::Query {
        answer = answer.header("x-amzn-query-error", format!("{};{who}", fault.code));
    }
    let message_member = model
        .find_shape(&fault.shape)
        .and_then(|shape| {
            shape
                .members
                .keys()
                .find(|name| name.eq_ignore_ascii_case("message"))
        })
        .map_or("message", String::as_str);
    let body = match protocol {
        Protocol::Json { minor } => {
            answer = answer.header("content-type", format!("application/x-amz-json-1.{minor}"));
            json!({"__type": fault.shape, message_member: fault.message})
                .to_string()
                .into_bytes()
        }
        Protocol::RestJson => {
            answer = answer
                .header("content-type", "application/json")
                .header("x-amzn-errortype", &fault.shape);
            let kind = if fault.sender { "User" } else { "Service" };
            json!({"Type": kind, message_member: fault.message})
                .to_string()
                .into_bytes()
        }
        Protocol::Cbor => {
            answer = answer
                .header("content-type", "application/cbor")
                .header("smithy-protocol", "rpc-v2-cbor");
            cbor::bytes(&Cbor::Map(vec![
                (Cbor::Text("__type".to_owned()), Cbor::Text(fault.shape)),
                (Cbor::Text(message_member.to_owned()), Cbor::Text(fault.message)),
            ]))
        }
        Protocol::Query => {
            answer = answer.header("content-type", "text/xml");
            let namespace = model
                .metadata
                .xml_namespace
                .as_ref()
                .map(Namespace::uri)
                .unwrap_or_default();
            let mut out = format!("<ErrorResponse xmlns=\"{namespace}\"><Error>");
            xml::element("Type", who, &mut out);
            xml::element("Code", &fault.code, &mut out);
            xml::element("Message", &fault.message, &mut out);
            out.push_str("</Error>");
            xml::element("RequestId", request_id, &mut out);
            out.push_str("</ErrorResponse>");
            out.into_bytes()
        }
    };
    answer.body(Bytes::from(body)).unwrap_or_default()
}

/// Reads an error answer, whichever protocol it is in. Never fails: what cannot be read is named by
/// its HTTP status.
pub(crate) fn decode(status: u16, headers: &HeaderMap, body: &[u8]) -> AwsError {
    let body = String::from_utf8_lossy(body);
    let (mut code, mut message) = (String::new(), String::new());
    if let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(&body) {
        let field = |names: &[&str]| {
            let found = names
                .iter()
                .find_map(|name| fields.get(*name).and_then(Value::as_str));
            found.unwrap_or_default().to_owned()
        };
        code = field(&["__type", "code"]);
        message = field(&["message", "Message"]);
    } else if let Ok(root) = Element::parse(&body) {
        let error = root.child("Error").unwrap_or(&root);
        error.child_text("Code").clone_into(&mut code);
        error.child_text("Message").clone_into(&mut message);
    }
    let typed = text(headers, "x-amzn-errortype");
    if code.is_empty() && !typed.is_empty() {
        typed.clone_into(&mut code);
    }
    // `aws.json#Name:http://…` is how some services write a name.
    let code = code
        .rsplit('#')
        .next()
        .unwrap_or_default()
        .split(':')
        .next()
        .unwrap_or_default();
    let code = if code.is_empty() {
        format!("Http{status}")
    } else {
        code.to_owned()
    };
    AwsError {
        code,
        message,
        status,
    }
}
