//! The gateway's own pages.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::reply::plain;
use crate::cloud::LocalCloud;

/// No scripts, no foreign resources, no frames: mail is other people's text.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

/// Whether the gateway is up.
pub(super) async fn health(State(cloud): State<Arc<LocalCloud>>) -> Response {
    let body = json!({"status": "ok", "engines": cloud.engine_services()});
    plain(StatusCode::OK, "application/json", body.to_string())
}

/// The inbox, for people.
pub(super) async fn inbox(State(cloud): State<Arc<LocalCloud>>) -> Response {
    let mut response = plain(StatusCode::OK, "text/html; charset=utf-8", cloud.inbox().page());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The inbox, for programs.
pub(super) async fn inbox_json(State(cloud): State<Arc<LocalCloud>>) -> Response {
    plain(
        StatusCode::OK,
        "application/json",
        json!(cloud.inbox().mails()).to_string(),
    )
}
