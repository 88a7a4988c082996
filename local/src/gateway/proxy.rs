//! Requests to the emulator, passed on byte for byte.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use signalbox_local_core::{AwsError, Caller};
use signalbox_local_wire::{Decoded, Protocol, decode, decode_response, encode};
use uuid::Uuid;

use super::reply::plain;
use crate::cloud::{HOP_BY_HOP, LocalCloud};

/// Services whose calls mean something to the local cloud, whoever makes them.
const WATCHED: [&str; 3] = ["iam", "sns", "sts"];

pub(super) async fn handle(
    cloud: &LocalCloud,
    service: &str,
    caller: &Caller,
    parts: Parts,
    body: Bytes,
) -> Response {
    if matches!(caller, Caller::Admin) && !WATCHED.contains(&service) {
        return forward(cloud, parts, body.into()).await;
    }
    let protocol = Protocol::detect(&parts);
    let request_id = Uuid::new_v4().to_string();
    let model = match cloud.model(service).await {
        Ok(model) => model,
        Err(error) => {
            return plain(
                StatusCode::BAD_REQUEST,
                "text/plain; charset=utf-8",
                error.message,
            );
        }
    };
    let Decoded { operation, input, .. } = match decode(&model, &parts, &body) {
        Ok(decoded) => decoded,
        Err(error) => return encode(&model, "", Err(&error), protocol, &request_id).map(Body::from),
    };
    let allowed = match cloud.authorise_as(caller, service, &operation, &input).await {
        Ok(()) => cloud.before(caller, service, &operation, &input),
        Err(error) => Err(error),
    };
    match allowed {
        Err(error) => return encode(&model, &operation, Err(&error), protocol, &request_id).map(Body::from),
        Ok(Some(answer)) => {
            return encode(&model, &operation, Ok(&answer), protocol, &request_id).map(Body::from);
        }
        Ok(None) => {}
    }
    if !WATCHED.contains(&service) {
        return forward(cloud, parts, body.into()).await;
    }
    let answered = match send(cloud, parts, body.into()).await {
        Ok(answered) => answered,
        Err(error) => return unreachable_emulator(&error),
    };
    let (status, headers) = (answered.status(), answered.headers().clone());
    let body = match answered.bytes().await {
        Ok(body) => body,
        Err(error) => return unreachable_emulator(&AwsError::internal(error.to_string())),
    };
    if status.is_success() {
        // An answer that cannot be read still is the caller's; only what would follow from it is lost.
        let output =
            decode_response(&model, &operation, status.as_u16(), &headers, &body).unwrap_or_else(|error| {
                tracing::warn!(service, operation, %error, "the emulator's answer cannot be read");
                Value::Null
            });
        cloud.after(service, &operation, &input, &output).await;
    }
    answer(status, &headers, Body::from(body))
}

/// Passes a request on, and its answer back, as streams.
pub(super) async fn forward(cloud: &LocalCloud, parts: Parts, body: reqwest::Body) -> Response {
    match send(cloud, parts, body).await {
        Ok(answered) => {
            let (status, headers) = (answered.status(), answered.headers().clone());
            answer(status, &headers, Body::from_stream(answered.bytes_stream()))
        }
        Err(error) => unreachable_emulator(&error),
    }
}

/// Passes a request on.
pub(super) async fn send(
    cloud: &LocalCloud,
    parts: Parts,
    body: reqwest::Body,
) -> Result<reqwest::Response, AwsError> {
    let path = parts
        .uri
        .path_and_query()
        .map_or("/", |it| it.as_str())
        .to_owned();
    cloud
        .emulator()
        .send(parts.method, &path, passed_on(parts.headers), body)
        .await
}

fn passed_on(mut headers: HeaderMap) -> HeaderMap {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    headers
}

/// The answer to a request that was passed on.
pub(super) fn answer(status: StatusCode, headers: &HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = passed_on(headers.clone());
    response.headers_mut().remove(header::SERVER);
    response
}

/// The emulator did not answer.
pub(super) fn unreachable_emulator(error: &AwsError) -> Response {
    tracing::error!(%error, "the emulator did not answer");
    plain(
        StatusCode::BAD_GATEWAY,
        "text/plain; charset=utf-8",
        error.message.clone(),
    )
}
