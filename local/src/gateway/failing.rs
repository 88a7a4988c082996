//! What a rule of [`crate::faults`] does to a call, and the pages that set rules.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use signalbox_local_core::{AwsError, Caller};
use signalbox_local_wire::{Protocol, decode, encode};
use uuid::Uuid;

use super::connection::Connection;
use super::reply::plain;
use super::s3::S3Call;
use super::{MAX_BODY, reply};
use crate::cloud::LocalCloud;
use crate::faults::{Call, Fault, Rule, Strike};

/// How often the connection's task is let on between half of a body and its end, so that the half is sent.
const TURNS: usize = 8;

/// A strike, and how its error is written in the call's protocol.
pub(super) struct Failing {
    strike: Strike,
    refusal: Option<Response>,
}

impl Failing {
    /// What strikes a call of any service but S3. A call that cannot be understood is left to the service.
    pub(super) async fn of(
        cloud: &LocalCloud,
        service: &str,
        caller: &Caller,
        parts: &Parts,
        body: &[u8],
    ) -> Option<Self> {
        if !cloud.faults().concern(service) {
            return None;
        }
        let model = cloud.model(service).await.ok()?;
        let decoded = decode(&model, parts, body).ok()?;
        let call = Call {
            service,
            operation: &decoded.operation,
            caller,
            input: &decoded.input.to_string(),
        };
        let strike = cloud.faults().strike(&call)?;
        let written = |error: &AwsError| {
            let protocol = Protocol::detect(parts);
            let id = Uuid::new_v4().to_string();
            encode(&model, &decoded.operation, Err(error), protocol, &id).map(Body::from)
        };
        let refusal = strike.fault.aws_error().as_ref().map(written);
        Some(Self { strike, refusal })
    }

    /// What strikes a call of S3, as its line and headers tell.
    pub(super) fn of_s3(cloud: &LocalCloud, caller: &Caller, parts: &Parts) -> Option<Self> {
        if !cloud.faults().concern("s3") {
            return None;
        }
        let of = S3Call::of_request(parts)?;
        let query: Vec<String> = of
            .query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let call = Call {
            service: "s3",
            operation: of.operation(),
            caller,
            input: &format!("{}/{}?{}", of.bucket, of.key, query.join("&")),
        };
        let strike = cloud.faults().strike(&call)?;
        let written = |error: AwsError| {
            reply::s3_error(&parts.method, &error, parts.uri.path(), &super::s3::request_id())
        };
        let refusal = strike.fault.aws_error().map(written);
        Some(Self { strike, refusal })
    }

    /// Performs the call as far as the rule lets it, and does to its answer what the rule says.
    pub(super) async fn around(
        self,
        connection: Option<&Connection>,
        serve: impl Future<Output = Response>,
    ) -> Response {
        let answer = if self.strike.performs() {
            Some(serve.await)
        } else {
            drop(serve);
            None
        };
        self.strike.hits();
        tracing::debug!(fault = ?self.strike.fault, performed = answer.is_some(), "a rule strikes");
        match (&self.strike.fault, answer) {
            (Fault::Error { .. }, _) => self.refusal.unwrap_or_default(),
            (Fault::Hang, _) => {
                self.strike.until_removed().await;
                reset(connection)
            }
            (Fault::Truncated, Some(answer)) => halved(answer, connection, true).await,
            (Fault::Malformed, Some(answer)) => halved(answer, connection, false).await,
            (Fault::Reset | Fault::Truncated | Fault::Malformed, _) => reset(connection),
        }
    }
}

/// Nothing of this is sent: the connection is broken.
fn reset(connection: Option<&Connection>) -> Response {
    if let Some(connection) = connection {
        connection.break_off();
    }
    Response::default()
}

/// The first half of an answer's body: as all of it, or with the connection's end where the rest should be.
async fn halved(answer: Response, connection: Option<&Connection>, ends: bool) -> Response {
    let (mut head, body) = answer.into_parts();
    let whole = axum::body::to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let half = whole.slice(..whole.len() / 2);
    if half.is_empty() {
        return reset(connection);
    }
    let length = if ends { whole.len() } else { half.len() };
    head.headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let body = if ends {
        Body::from_stream(cut_off(half))
    } else {
        Body::from(half)
    };
    Response::from_parts(head, body)
}

/// The bytes, some turns for them to be sent, and an error.
fn cut_off(bytes: Bytes) -> impl stream::Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Some(bytes), |left| async move {
        match left {
            Some(bytes) if !bytes.is_empty() => Some((Ok(bytes), Some(Bytes::new()))),
            Some(_) => {
                for _ in 0..TURNS {
                    tokio::task::yield_now().await;
                }
                Some((Err(io::ErrorKind::ConnectionAborted.into()), None))
            }
            None => None,
        }
    })
}

fn answered(status: StatusCode, body: &serde_json::Value) -> Response {
    plain(status, "application/json", format!("{body}\n"))
}

fn unknown(name: &str) -> Response {
    let message = format!("no rule has the name {name:?}; GET /_signalbox/faults lists them");
    answered(StatusCode::NOT_FOUND, &json!({ "message": message }))
}

/// Every rule that is set.
pub(super) async fn list(State(cloud): State<Arc<LocalCloud>>) -> Response {
    answered(StatusCode::OK, &json!(cloud.faults().all()))
}

/// Removes every rule.
pub(super) async fn clear(State(cloud): State<Arc<LocalCloud>>) -> Response {
    cloud.faults().clear();
    list(State(cloud)).await
}

/// One rule.
pub(super) async fn show(State(cloud): State<Arc<LocalCloud>>, Path(name): Path<String>) -> Response {
    let all = cloud.faults().all();
    match all.iter().find(|standing| standing.name == name) {
        Some(standing) => answered(StatusCode::OK, &json!(standing)),
        None => unknown(&name),
    }
}

/// Removes one rule.
pub(super) async fn remove(State(cloud): State<Arc<LocalCloud>>, Path(name): Path<String>) -> Response {
    if cloud.faults().remove(&name) {
        list(State(cloud)).await
    } else {
        unknown(&name)
    }
}

/// Sets a rule, once it names a service and an operation that there are.
pub(super) async fn set(
    State(cloud): State<Arc<LocalCloud>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    let wrong = |message: String| answered(StatusCode::BAD_REQUEST, &json!({ "message": message }));
    let rule: Rule = match serde_json::from_slice(&body) {
        Ok(rule) => rule,
        Err(error) => {
            return wrong(format!(
                "not a rule: {error}; such as {{\"service\": \"sns\", \"operation\": \"Publish\", \"what\": {{\"error\": \
                 {{\"code\": \"Throttled\", \"status\": 429}}}}, \"times\": 2}}"
            ));
        }
    };
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let model = if rule.service.chars().all(is_name) {
        cloud.model(&rule.service).await.ok()
    } else {
        None
    };
    let Some(model) = model else {
        return wrong(format!(
            "there is no service {:?}; it goes by botocore's name, such as codepipeline, sns, dynamodb",
            rule.service
        ));
    };
    if let Some(operation) = rule
        .operation
        .as_deref()
        .filter(|name| !model.has_operation(name))
    {
        return wrong(format!(
            "{} has no operation {operation:?}; it is spelt as in AWS's API reference",
            rule.service
        ));
    }
    cloud.faults().set(&name, rule);
    show(State(cloud), Path(name)).await
}
