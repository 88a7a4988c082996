//! Answers that the gateway itself gives.

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode, header};
use signalbox_local_core::AwsError;

/// A plain answer.
pub(super) fn plain(status: StatusCode, content_type: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

pub(super) fn too_large() -> Response {
    let text = "{\"__type\":\"RequestEntityTooLargeException\",\"message\":\"the body could not be read, or is larger \
                than the local cloud takes\"}";
    plain(StatusCode::PAYLOAD_TOO_LARGE, "application/json", text.to_owned())
}

pub(super) fn no_service(parts: &Parts) -> Response {
    let message = format!(
        "the local cloud cannot tell which AWS service {} {} means: the request has no signature, and its version is \
         not one of a service it knows",
        parts.method,
        parts.uri.path()
    );
    let body = serde_json::json!({"__type": "UnrecognizedClientException", "message": message});
    plain(StatusCode::BAD_REQUEST, "application/json", body.to_string())
}

/// An error as S3 gives it: XML, and no body where the request was a HEAD.
pub(super) fn s3_error(method: &Method, error: &AwsError, resource: &str, request_id: &str) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let escape = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let body = if method == Method::HEAD {
        String::new()
    } else {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>\
             <Resource>{}</Resource><RequestId>{request_id}</RequestId></Error>",
            escape(&error.code),
            escape(&error.message),
            escape(resource)
        )
    };
    plain(status, "application/xml", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(method: Method) -> String {
        let error = AwsError::new("AccessDenied", "no <b> & c").with_status(403);
        let response = s3_error(&method, &error, "/b/k<", "R");
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn an_s3_error_is_well_formed_and_a_head_has_no_body() {
        let root = signalbox_local_wire::Element::parse(&body(Method::GET).await).unwrap();
        assert_eq!(root.child_text("Message"), "no <b> & c");
        assert_eq!(root.child_text("Resource"), "/b/k<");
        assert_eq!(body(Method::HEAD).await, "");
    }
}
