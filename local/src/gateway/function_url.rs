//! Function URLs: any method, no signature, `/lambda-url/{function}/…`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller, Cloud};

use super::connection::Connection;
use super::reply::plain;
use crate::cloud::LocalCloud;

const PREFIX: &str = "/lambda-url/";

/// Lambda's own limit for a synchronous request.
const MAX_BODY: usize = 6 << 20;

pub(super) async fn handle(State(cloud): State<Arc<LocalCloud>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    // As it was sent, not as the router decoded it.
    let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let (function, rest) = path.split_once('/').unwrap_or((path, ""));
    let Ok(function) = percent_decode_str(function).decode_utf8() else {
        return message(StatusCode::NOT_FOUND, "Not Found");
    };
    // Whoever binds another address of 127.0.0.0/8 is another visitor.
    let peer = parts.extensions.get::<ConnectInfo<Connection>>();
    let source_ip = peer.map_or_else(
        || "127.0.0.1".to_owned(),
        |ConnectInfo(connection)| connection.peer.ip().to_string(),
    );
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let input = json!({
        "FunctionName": function,
        "Request": {
            "method": parts.method.as_str(),
            "rawPath": format!("/{rest}"),
            "rawQueryString": parts.uri.query().unwrap_or_default(),
            "headers": headers,
            "body": STANDARD.encode(&body),
            "sourceIp": source_ip,
        }
    });
    match cloud
        .call(
            &Caller::service("lambda-url"),
            "lambda",
            "InvokeFunctionUrl",
            input,
        )
        .await
    {
        Ok(output) => answer(&output),
        Err(error) => refused(&error),
    }
}

fn answer(output: &Value) -> Response {
    let status = output["StatusCode"]
        .as_u64()
        .and_then(|it| u16::try_from(it).ok());
    let Some(status) = status.and_then(|it| StatusCode::from_u16(it).ok()) else {
        return message(StatusCode::BAD_GATEWAY, "Internal Server Error");
    };
    let body = output["Body"]
        .as_str()
        .map_or_else(|| Ok(Vec::new()), |text| STANDARD.decode(text));
    let Ok(body) = body else {
        return message(StatusCode::BAD_GATEWAY, "Internal Server Error");
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in output["Headers"].as_object().into_iter().flatten() {
        let value = value.as_str().and_then(|text| HeaderValue::try_from(text).ok());
        // The length is the body's own, whatever the function says.
        if let (Ok(name), Some(value)) = (HeaderName::try_from(name.as_str()), value)
            && name != header::CONTENT_LENGTH
            && name != header::TRANSFER_ENCODING
        {
            headers.insert(name, value);
        }
    }
    let cookies = output["Cookies"].as_array().into_iter().flatten();
    for cookie in cookies
        .filter_map(Value::as_str)
        .filter_map(|text| HeaderValue::try_from(text).ok())
    {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}

/// As AWS's own front answers, which says little on purpose.
fn refused(error: &AwsError) -> Response {
    tracing::warn!(%error, "a function URL could not be answered");
    match (error.code.as_str(), error.status) {
        ("ResourceNotFoundException", _) => message(StatusCode::NOT_FOUND, "Not Found"),
        ("AccessDeniedException", _) | (_, 403) => message(StatusCode::FORBIDDEN, "Forbidden"),
        ("TooManyRequestsException", _) => message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
        _ => message(StatusCode::BAD_GATEWAY, "Internal Server Error"),
    }
}

fn message(status: StatusCode, text: &str) -> Response {
    plain(status, "application/json", json!({"Message": text}).to_string())
}
