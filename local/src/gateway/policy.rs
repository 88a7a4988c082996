//! Buckets' policies: the emulator applies them without their conditions.
//!
//! A policy that refuses what does not come over TLS would refuse everything. Here nothing leaves the machine:
//! requests count as secure, so such a statement refuses nothing, and the emulator is not told of it. Whoever
//! reads the policy gets it as it was written.

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode, header};
use serde_json::Value;

use super::s3::S3Call;
use super::{MAX_BODY, proxy, reply};
use crate::cloud::LocalCloud;

/// The condition's key, in the spelling that every tool writes.
const SECURE: &str = "aws:SecureTransport";

/// Whether a statement is only about requests without TLS.
fn is_about_insecurity(statement: &Value) -> bool {
    let flag = &statement["Condition"]["Bool"][SECURE];
    let flag = flag.as_array().and_then(|values| values.first()).unwrap_or(flag);
    flag == "false" || flag == &Value::Bool(false)
}

/// The policy without statements that nothing here can meet; `None` where that leaves none.
fn applicable(policy: &str) -> Option<String> {
    // What is no JSON is the emulator's to refuse.
    let Ok(mut document) = serde_json::from_str::<Value>(policy) else {
        return Some(policy.to_owned());
    };
    let statements = match &document["Statement"] {
        Value::Array(statements) => statements.clone(),
        Value::Null => return Some(policy.to_owned()),
        one => vec![one.clone()],
    };
    let kept: Vec<Value> = statements
        .into_iter()
        .filter(|statement| !is_about_insecurity(statement))
        .collect();
    if kept.is_empty() {
        return None;
    }
    document["Statement"] = Value::Array(kept);
    Some(document.to_string())
}

/// Answers a request about a bucket's policy.
pub(super) async fn handle(cloud: &LocalCloud, call: &S3Call, mut parts: Parts, body: Body) -> Response {
    match parts.method {
        Method::GET => match cloud.storage().policy(&call.bucket) {
            Some(policy) => reply::plain(StatusCode::OK, "application/json", policy),
            None => proxy::forward(cloud, parts, reqwest::Body::default()).await,
        },
        Method::PUT => {
            let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
                return reply::too_large();
            };
            let policy = String::from_utf8_lossy(&body).into_owned();
            parts.headers.remove(header::CONTENT_LENGTH);
            let passed_on = match applicable(&policy) {
                Some(applicable) => applicable,
                None => {
                    parts.method = Method::DELETE;
                    String::new()
                }
            };
            let response = proxy::forward(cloud, parts, passed_on.into()).await;
            if response.status().is_success() {
                cloud.storage().set_policy(&call.bucket, Some(policy));
            }
            response
        }
        _ => {
            let response = proxy::forward(cloud, parts, reqwest::Body::default()).await;
            if response.status().is_success() {
                cloud.storage().set_policy(&call.bucket, None);
            }
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn insecure() -> Value {
        json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::b/*",
                "Condition": { "Bool": { SECURE: "false" } } })
    }

    #[test]
    fn statements_about_insecure_requests_concern_nobody_here() {
        let other = json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::b/*" });
        let policy = json!({ "Version": "2012-10-17", "Statement": [insecure(), other] });
        let left: Value = serde_json::from_str(&applicable(&policy.to_string()).unwrap()).unwrap();
        assert_eq!(left, json!({ "Version": "2012-10-17", "Statement": [other] }));
        for statement in [insecure(), json!([insecure()])] {
            let policy = json!({ "Version": "2012-10-17", "Statement": statement });
            assert_eq!(applicable(&policy.to_string()), None);
        }
    }

    #[test]
    fn what_is_no_policy_is_passed_on_as_it_is() {
        for text in ["", "{", "{}"] {
            assert_eq!(applicable(text).as_deref(), Some(text));
        }
    }
}
