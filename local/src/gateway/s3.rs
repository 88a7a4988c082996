//! S3: passed on as streams, since objects may be large; told apart by method, path and query.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, header};
use percent_encoding::percent_decode_str;
use signalbox_local_core::{AwsError, Caller};
use signalbox_local_wire::Element;
use uuid::Uuid;

use super::{MAX_BODY, proxy, reply};
use crate::authorise::s3_needed;
use crate::cloud::LocalCloud;
use crate::storage::{Write, Written, announce, version_of};

/// A bucket's notifications, as the service's model names them.
const NOTIFICATIONS: &str = "NotificationConfiguration";

/// The element that sends a bucket's notifications to EventBridge.
const EVENT_BRIDGE: &str = "EventBridgeConfiguration";

/// A request to S3, as its line and headers tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct S3Call {
    pub(crate) method: Method,
    /// Empty for the list of all buckets.
    pub(crate) bucket: String,
    /// Empty where the bucket itself is meant. Raw, not percent-encoded.
    pub(crate) key: String,
    /// Query parameters, decoded.
    pub(crate) query: Vec<(String, String)>,
    /// `bucket/key` of `x-amz-copy-source`, decoded, without its version.
    pub(crate) copy_source: Option<String>,
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

impl S3Call {
    /// `None` where the path is not UTF-8, or has segments that mean another path.
    pub(crate) fn of(method: &Method, path_and_query: &str, copy_source: Option<&str>) -> Option<Self> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let path = path.strip_prefix('/').unwrap_or_default();
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let key = decoded(key)?;
        if key.split('/').any(|segment| matches!(segment, "." | "..")) {
            return None;
        }
        let query = query.split('&').filter(|pair| !pair.is_empty());
        let query = query
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((decoded(name)?, decoded(&value.replace('+', " "))?))
            })
            .collect::<Option<Vec<_>>>()?;
        let copy_source = copy_source.and_then(|source| {
            let path = source.split("?versionId=").next().unwrap_or(source);
            decoded(path.trim_start_matches('/'))
        });
        Some(Self {
            method: method.clone(),
            bucket: decoded(bucket)?,
            key,
            query,
            copy_source,
        })
    }

    pub(super) fn of_request(parts: &Parts) -> Option<Self> {
        let source = parts
            .headers
            .get("x-amz-copy-source")
            .and_then(|value| value.to_str().ok());
        Self::of(
            &parts.method,
            parts.uri.path_and_query().map_or("/", |it| it.as_str()),
            source,
        )
    }

    /// Whether the query has a parameter.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.query.iter().any(|(given, _)| given == name)
    }

    /// The operation, as AWS spells it; empty for those that nothing here asks for.
    pub(super) fn operation(&self) -> &'static str {
        let (is_object, has) = (!self.key.is_empty(), |name| self.has(name));
        match self.method {
            Method::GET if is_object && has("tagging") => "GetObjectTagging",
            Method::GET if is_object && has("uploadId") => "ListParts",
            Method::GET if is_object && !has("acl") => "GetObject",
            Method::HEAD if is_object => "HeadObject",
            Method::PUT if is_object && has("partNumber") => "UploadPart",
            Method::PUT if is_object && has("tagging") => "PutObjectTagging",
            Method::PUT if is_object && self.copy_source.is_some() => "CopyObject",
            Method::PUT if is_object && !has("acl") => "PutObject",
            Method::POST if is_object && has("uploads") => "CreateMultipartUpload",
            Method::POST if is_object && has("uploadId") => "CompleteMultipartUpload",
            Method::DELETE if is_object && has("uploadId") => "AbortMultipartUpload",
            Method::DELETE if is_object && !has("tagging") => "DeleteObject",
            Method::GET if self.bucket.is_empty() => "ListBuckets",
            Method::GET if has("list-type") => "ListObjectsV2",
            Method::GET if has("versions") => "ListObjectVersions",
            Method::GET if has("versioning") => "GetBucketVersioning",
            Method::GET if has("notification") => "GetBucketNotificationConfiguration",
            Method::HEAD => "HeadBucket",
            Method::POST if has("delete") => "DeleteObjects",
            Method::PUT if self.query.is_empty() => "CreateBucket",
            Method::DELETE if self.query.is_empty() => "DeleteBucket",
            _ => "",
        }
    }

    /// What a successful answer will have written.
    fn writes(&self) -> Option<Written> {
        const NOT_THE_OBJECT: [&str; 6] = [
            "tagging",
            "acl",
            "retention",
            "legal-hold",
            "partNumber",
            "torrent",
        ];
        if self.key.is_empty() || self.bucket.is_empty() || NOT_THE_OBJECT.iter().any(|name| self.has(name)) {
            return None;
        }
        match self.method {
            Method::PUT if self.has("uploadId") => None,
            Method::PUT if self.copy_source.is_some() => Some(Written::CopyObject),
            Method::PUT => Some(Written::PutObject),
            Method::POST if self.has("uploadId") => Some(Written::CompleteMultipartUpload),
            Method::DELETE if self.has("uploadId") => None,
            Method::DELETE => Some(Written::Deleted),
            _ => None,
        }
    }
}

pub(super) fn request_id() -> String {
    Uuid::new_v4()
        .simple()
        .to_string()
        .to_uppercase()
        .chars()
        .take(16)
        .collect()
}

pub(super) async fn handle(cloud: &LocalCloud, caller: &Caller, parts: Parts, body: Body) -> Response {
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let Some(call) = S3Call::of_request(&parts) else {
        let error = AwsError::new("InvalidURI", "Couldn't parse the specified URI.");
        return reply::s3_error(&method, &error, &path, &request_id());
    };
    if matches!(caller, Caller::Role { .. })
        && let Err(error) = cloud.authorise_needed(caller, &s3_needed(&call))
    {
        let denied = AwsError {
            code: "AccessDenied".to_owned(),
            status: 403,
            ..error
        };
        return reply::s3_error(&method, &denied, &path, &request_id());
    }
    if call.has("notification") && call.key.is_empty() {
        return notifications(cloud, &call, parts, body).await;
    }
    if call.has("policy") && call.key.is_empty() {
        return super::policy::handle(cloud, &call, parts, body).await;
    }
    let body = match passed_on(&parts.headers, body).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    if method == Method::GET && call.has("versioning") && call.key.is_empty() {
        return versioning(cloud, parts, body).await;
    }
    let deletes_bucket = call.key.is_empty() && method == Method::DELETE && call.query.is_empty();
    let deletes_many = method == Method::POST && call.key.is_empty() && call.has("delete");
    let written = call.writes();
    if written.is_none() && !deletes_bucket && !deletes_many {
        return proxy::forward(cloud, parts, body).await;
    }
    let answered = match proxy::send(cloud, parts, body).await {
        Ok(answered) => answered,
        Err(error) => return proxy::unreachable_emulator(&error),
    };
    let (status, headers) = (answered.status(), answered.headers().clone());
    let answer_body = match answered.bytes().await {
        Ok(body) => body,
        Err(error) => return proxy::unreachable_emulator(&AwsError::internal(error.to_string())),
    };
    if status.is_success() {
        if deletes_bucket {
            cloud.storage().set_eventbridge(&call.bucket, false);
            cloud.storage().set_policy(&call.bucket, None);
        }
        if let Some(kind) = written {
            announce_one(cloud, &call, kind, &headers, &answer_body).await;
        } else if deletes_many {
            announce_deleted(cloud, &call, &answer_body).await;
        }
    }
    proxy::answer(status, &headers, Body::from(answer_body))
}

/// The emulator forgets that a bucket's notifications go to EventBridge: this keeps it in mind, and puts
/// it into the answer.
async fn notifications(cloud: &LocalCloud, call: &S3Call, parts: Parts, body: Body) -> Response {
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return reply::too_large();
    };
    let wanted = Element::parse(&String::from_utf8_lossy(&body)).ok();
    let wanted = wanted.is_some_and(|root| root.child(EVENT_BRIDGE).is_some());
    let writes = parts.method == Method::PUT;
    let answered = match proxy::send(cloud, parts, body.into()).await {
        Ok(answered) => answered,
        Err(error) => return proxy::unreachable_emulator(&error),
    };
    let (status, mut headers) = (answered.status(), answered.headers().clone());
    let mut text = match answered.text().await {
        Ok(text) => text,
        Err(error) => return proxy::unreachable_emulator(&AwsError::internal(error.to_string())),
    };
    if status.is_success() && !writes {
        text = named_notifications(&text);
        headers.remove(header::CONTENT_LENGTH);
    }
    if status.is_success() && writes {
        cloud.storage().set_eventbridge(&call.bucket, wanted);
    } else if status.is_success()
        && cloud.storage().goes_to_eventbridge(&call.bucket)
        && !text.contains(EVENT_BRIDGE)
    {
        text = with_eventbridge(&text);
    }
    proxy::answer(status, &headers, Body::from(text))
}

/// The emulator names the answer after its operation, or says nothing where there is nothing; AWS names it after the
/// document.
fn named_notifications(document: &str) -> String {
    match Element::parse(document) {
        Ok(root) => document.replace(&root.name, NOTIFICATIONS),
        Err(_) if document.trim().is_empty() => format!("<{NOTIFICATIONS}/>"),
        Err(_) => document.to_owned(),
    }
}

/// Puts the element into a document that may have nothing else in it, whatever its root is called.
fn with_eventbridge(document: &str) -> String {
    let document = document.trim_end();
    let Ok(root) = Element::parse(document) else {
        return document.to_owned();
    };
    let end = format!("</{}>", root.name);
    match (document.strip_suffix("/>"), document.strip_suffix(end.as_str())) {
        (Some(empty), _) => format!("{empty}><{EVENT_BRIDGE}/>{end}"),
        (None, Some(open)) => format!("{open}<{EVENT_BRIDGE}/>{end}"),
        (None, None) => document.to_owned(),
    }
}

/// The emulator names the answer after the operation; AWS's SDKs want it by the name in the service's model.
async fn versioning(cloud: &LocalCloud, parts: Parts, body: reqwest::Body) -> Response {
    let answered = match proxy::send(cloud, parts, body).await {
        Ok(answered) => answered,
        Err(error) => return proxy::unreachable_emulator(&error),
    };
    let (status, mut headers) = (answered.status(), answered.headers().clone());
    match answered.text().await {
        Ok(text) => {
            headers.remove(header::CONTENT_LENGTH);
            let text = text.replace("GetBucketVersioningResponse", "VersioningConfiguration");
            proxy::answer(status, &headers, Body::from(text))
        }
        Err(error) => proxy::unreachable_emulator(&AwsError::internal(error.to_string())),
    }
}

/// A body whose length is known travels as a stream; others are collected first, since the emulator
/// reads no chunked bodies.
async fn passed_on(headers: &HeaderMap, body: Body) -> Result<reqwest::Body, Response> {
    if headers.contains_key(header::CONTENT_LENGTH) {
        return Ok(reqwest::Body::wrap_stream(body.into_data_stream()));
    }
    let collected = axum::body::to_bytes(body, MAX_BODY).await;
    collected.map(reqwest::Body::from).map_err(|_| reply::too_large())
}

async fn announce_one(cloud: &LocalCloud, call: &S3Call, kind: Written, headers: &HeaderMap, body: &[u8]) {
    // S3 answers 200 first, and puts an error into the body where copying or completing fails late.
    let root = Element::parse(&String::from_utf8_lossy(body)).unwrap_or_default();
    if root.name == "Error" {
        return;
    }
    let marker = headers
        .get("x-amz-delete-marker")
        .is_some_and(|value| value == "true");
    let named = call
        .query
        .iter()
        .find(|(name, _)| name == "versionId")
        .map(|(_, version)| version.clone());
    let kind = if kind == Written::Deleted && marker && named.is_none() {
        Written::DeleteMarker
    } else {
        kind
    };
    let write = Write {
        kind,
        bucket: &call.bucket,
        key: &call.key,
        version: version_of(headers).or(named),
        request_id: None,
        source_ip: "127.0.0.1",
    };
    announce(cloud, &write).await;
}

/// `DeleteObjects` answers which of its keys are gone.
async fn announce_deleted(cloud: &LocalCloud, call: &S3Call, body: &[u8]) {
    let Ok(root) = Element::parse(&String::from_utf8_lossy(body)) else {
        return;
    };
    for deleted in root.children.iter().filter(|child| child.name == "Deleted") {
        let marker = deleted.child_text("DeleteMarker") == "true";
        let version = if marker {
            "DeleteMarkerVersionId"
        } else {
            "VersionId"
        };
        let version = Some(deleted.child_text(version).to_owned()).filter(|version| !version.is_empty());
        let write = Write {
            kind: if marker {
                Written::DeleteMarker
            } else {
                Written::Deleted
            },
            bucket: &call.bucket,
            key: deleted.child_text("Key"),
            version,
            request_id: None,
            source_ip: "127.0.0.1",
        };
        announce(cloud, &write).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, uri: &str) -> Option<S3Call> {
        S3Call::of(&method.parse().unwrap(), uri, None)
    }

    fn writes(method: &str, uri: &str) -> Option<Written> {
        call(method, uri).unwrap().writes()
    }

    #[test]
    fn keys_are_decoded_once_and_exactly() {
        let call = call("PUT", "/b/source/a%2Bb%20c%252F.zip").unwrap();
        assert_eq!(
            (call.bucket.as_str(), call.key.as_str()),
            ("b", "source/a+b c%2F.zip")
        );
    }

    #[test]
    fn only_writes_of_objects_are_writes() {
        assert_eq!(writes("PUT", "/b/k"), Some(Written::PutObject));
        assert_eq!(writes("PUT", "/b/k?partNumber=1&uploadId=u"), None);
        assert_eq!(writes("PUT", "/b/k?tagging"), None);
        assert_eq!(writes("PUT", "/b"), None);
        assert_eq!(writes("POST", "/b/k?uploads"), None);
        assert_eq!(
            writes("POST", "/b/k?uploadId=u"),
            Some(Written::CompleteMultipartUpload)
        );
        assert_eq!(writes("DELETE", "/b/k?versionId=v"), Some(Written::Deleted));
        assert_eq!(writes("DELETE", "/b/k?uploadId=u"), None);
        assert_eq!(writes("GET", "/b/k"), None);
    }

    #[test]
    fn calls_go_by_their_names() {
        let named = |method: &str, uri: &str| call(method, uri).unwrap().operation();
        assert_eq!(named("GET", "/b/k?versionId=v"), "GetObject");
        assert_eq!(named("PUT", "/b/k?partNumber=1&uploadId=u"), "UploadPart");
        assert_eq!(named("GET", "/b?list-type=2&prefix=k"), "ListObjectsV2");
        assert_eq!(named("DELETE", "/b"), "DeleteBucket");
        assert_eq!(named("GET", "/b/k?acl"), "");
    }

    #[test]
    fn a_buckets_notifications_name_eventbridge_again() {
        for document in [
            "<NotificationConfiguration xmlns=\"x\"/>",
            "<NotificationConfiguration></NotificationConfiguration>\n",
            "<?xml version=\"1.0\"?>\n<GetBucketNotificationResponse/>",
        ] {
            let root = Element::parse(&with_eventbridge(document)).unwrap();
            assert!(root.child(EVENT_BRIDGE).is_some(), "{document}");
        }
    }

    #[test]
    fn a_buckets_notifications_are_named_as_in_the_model() {
        for document in [
            "",
            "<NotificationConfiguration xmlns=\"x\"/>",
            "<?xml version=\"1.0\"?>\n<GetBucketNotificationResponse></GetBucketNotificationResponse>",
        ] {
            let root = Element::parse(&named_notifications(document)).unwrap();
            assert_eq!(root.name, "NotificationConfiguration", "{document}");
        }
    }

    #[test]
    fn a_path_that_means_another_is_refused() {
        assert_eq!(call("GET", "/b/a/../c"), None);
        assert_eq!(call("GET", "/b/a/%2E%2E/c"), None);
        assert!(call("GET", "/b/a/..c").is_some());
    }

    #[test]
    fn a_copy_names_its_source() {
        let call = S3Call::of(&Method::PUT, "/b/k", Some("/from/a%20b?versionId=1")).unwrap();
        assert_eq!(call.copy_source.as_deref(), Some("from/a b"));
        assert_eq!(call.writes(), Some(Written::CopyObject));
    }
}
