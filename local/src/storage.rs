//! S3 over plain HTTP, and the events of its writes.
//!
//! Objects live in the emulator. What it lacks is EventBridge: every write that passes through the
//! gateway or through an engine, on a bucket whose notifications go to EventBridge, becomes the event
//! that AWS documents (S3 User Guide, "EventBridge event message structure").

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, Method, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use signalbox_local_core::{AwsError, AwsEvent, Cloud, StoredObject};
use signalbox_local_wire::Element;
use uuid::Uuid;

use crate::cloud::LocalCloud;

/// What stays as it is in a key's path.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// What the events need to know beyond what the emulator keeps.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    /// The last sequencer that was given out.
    sequence: Mutex<u64>,
    /// Buckets whose notifications go to EventBridge; the emulator does not keep that.
    buckets: Mutex<HashSet<String>>,
    /// Buckets' policies as they were written; the emulator has only what can apply here.
    policies: Mutex<HashMap<String, String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Storage {
    /// Grows with every call, and with time: later writes have larger ones, as AWS promises per key.
    fn sequencer(&self, now_nanos: u64) -> String {
        let mut last = lock(&self.sequence);
        *last = now_nanos.max(last.saturating_add(1));
        format!("{:018X}", *last)
    }

    /// Where the bucket's notifications go, from now on.
    pub(crate) fn set_eventbridge(&self, bucket: &str, goes: bool) {
        let mut buckets = lock(&self.buckets);
        if goes {
            buckets.insert(bucket.to_owned());
        } else {
            buckets.remove(bucket);
        }
    }

    /// The bucket's policy, from now on.
    pub(crate) fn set_policy(&self, bucket: &str, policy: Option<String>) {
        let mut policies = lock(&self.policies);
        match policy {
            Some(policy) => policies.insert(bucket.to_owned(), policy),
            None => policies.remove(bucket),
        };
    }

    /// The bucket's policy as it was written.
    pub(crate) fn policy(&self, bucket: &str) -> Option<String> {
        lock(&self.policies).get(bucket).cloned()
    }

    /// Whether the bucket's notifications go to EventBridge.
    pub(crate) fn goes_to_eventbridge(&self, bucket: &str) -> bool {
        lock(&self.buckets).contains(bucket)
    }
}

/// What kind of write an object met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    PutObject,
    CopyObject,
    CompleteMultipartUpload,
    /// A delete marker hides the object.
    DeleteMarker,
    /// The object, or a version of it, is gone.
    Deleted,
}

/// A write that S3 has acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Write<'a> {
    pub(crate) kind: Written,
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    pub(crate) version: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) source_ip: &'a str,
}

/// The path of a bucket or object.
pub(crate) fn path_of(bucket: &str, key: &str) -> String {
    format!("/{bucket}/{}", utf8_percent_encode(key, KEY))
}

fn headers(cloud: &LocalCloud) -> HeaderMap {
    cloud
        .emulator()
        .authorization("s3")
        .map(|value| (header::AUTHORIZATION, value))
        .into_iter()
        .collect()
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// The version an answer names. Buckets without versions answer none, or `null`.
pub(crate) fn version_of(headers: &HeaderMap) -> Option<String> {
    header(headers, "x-amz-version-id").filter(|version| version != "null")
}

async fn refused(response: reqwest::Response) -> AwsError {
    let status = response.status().as_u16();
    let body = response.text().await.unwrap_or_default();
    let error = Element::parse(&body).unwrap_or_default();
    let code = match (error.child_text("Code"), status) {
        ("", 404) => "NoSuchKey",
        ("", _) => "InternalError",
        (code, _) => code,
    };
    AwsError::new(code, error.child_text("Message")).with_status(status)
}

/// See `Cloud::get_object`.
pub(crate) async fn get_object(
    cloud: &LocalCloud,
    bucket: &str,
    key: &str,
    version: Option<&str>,
) -> Result<StoredObject, AwsError> {
    let mut path = path_of(bucket, key);
    if let Some(version) = version {
        path = format!("{path}?versionId={}", utf8_percent_encode(version, KEY));
    }
    let response = cloud
        .emulator()
        .send(Method::GET, &path, headers(cloud), Vec::new().into())
        .await?;
    if !response.status().is_success() {
        return Err(refused(response).await);
    }
    let metadata = response.headers().iter().filter_map(|(name, value)| {
        Some((
            name.as_str().strip_prefix("x-amz-meta-")?.to_owned(),
            value.to_str().ok()?.to_owned(),
        ))
    });
    let (metadata, version_id) = (metadata.collect(), version_of(response.headers()));
    let bytes = response
        .bytes()
        .await
        .map_err(|error| AwsError::internal(error.to_string()))?;
    Ok(StoredObject {
        bytes: bytes.into(),
        version_id,
        metadata,
    })
}

/// See `Cloud::put_object`.
pub(crate) async fn put_object(
    cloud: &LocalCloud,
    bucket: &str,
    key: &str,
    bytes: Vec<u8>,
) -> Result<Option<String>, AwsError> {
    let response = cloud
        .emulator()
        .send(Method::PUT, &path_of(bucket, key), headers(cloud), bytes.into())
        .await?;
    if !response.status().is_success() {
        return Err(refused(response).await);
    }
    let version = version_of(response.headers());
    let write = Write {
        kind: Written::PutObject,
        bucket,
        key,
        version: version.clone(),
        request_id: None,
        source_ip: "127.0.0.1",
    };
    announce(cloud, &write).await;
    Ok(version)
}

/// What follows from a call of S3's API that an engine has made.
pub(crate) async fn after_call(cloud: &LocalCloud, operation: &str, input: &Value, output: &Value) {
    let text = |value: &Value, name: &str| {
        value[name]
            .as_str()
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
    };
    let bucket = text(input, "Bucket").unwrap_or_default();
    let kind = match operation {
        "PutBucketNotificationConfiguration" => {
            let goes = input["NotificationConfiguration"]["EventBridgeConfiguration"].is_object();
            return cloud.storage().set_eventbridge(&bucket, goes);
        }
        "DeleteBucket" => return cloud.storage().set_eventbridge(&bucket, false),
        "PutObject" => Written::PutObject,
        "CopyObject" => Written::CopyObject,
        "CompleteMultipartUpload" => Written::CompleteMultipartUpload,
        "DeleteObject" if output["DeleteMarker"] == true && input["VersionId"].is_null() => {
            Written::DeleteMarker
        }
        "DeleteObject" => Written::Deleted,
        _ => return,
    };
    let key = text(input, "Key").unwrap_or_default();
    let write = Write {
        kind,
        bucket: &bucket,
        key: &key,
        version: text(output, "VersionId").or_else(|| text(input, "VersionId")),
        request_id: None,
        source_ip: "127.0.0.1",
    };
    announce(cloud, &write).await;
}

/// Puts the event of a write on the bus, where the bucket wants that.
pub(crate) async fn announce(cloud: &LocalCloud, write: &Write<'_>) {
    if !cloud.storage().goes_to_eventbridge(write.bucket) {
        return;
    }
    let nanos = u64::try_from(cloud.clock().now().as_nanosecond()).unwrap_or_default();
    let mut object = Map::new();
    object.insert("key".to_owned(), write.key.into());
    let mut version = write.version.clone();
    let (detail_type, reason, deletion) = match write.kind {
        Written::PutObject => ("Object Created", "PutObject", None),
        Written::CopyObject => ("Object Created", "CopyObject", None),
        Written::CompleteMultipartUpload => ("Object Created", "CompleteMultipartUpload", None),
        Written::DeleteMarker => ("Object Deleted", "DeleteObject", Some("Delete Marker Created")),
        Written::Deleted => ("Object Deleted", "DeleteObject", Some("Permanently Deleted")),
    };
    if deletion.is_none() {
        // Size and tag are the stored object's: a copy and a multipart upload do not carry them.
        let mut path = path_of(write.bucket, write.key);
        if let Some(version) = &version {
            path = format!("{path}?versionId={}", utf8_percent_encode(version, KEY));
        }
        match cloud
            .emulator()
            .send(Method::HEAD, &path, headers(cloud), Vec::new().into())
            .await
        {
            Ok(head) if head.status().is_success() => {
                let size = header(head.headers(), "content-length").and_then(|size| size.parse::<u64>().ok());
                object.insert("size".to_owned(), size.unwrap_or_default().into());
                let tag = header(head.headers(), "etag").unwrap_or_default();
                object.insert("etag".to_owned(), tag.trim_matches('"').into());
                version = version.or_else(|| version_of(head.headers()));
            }
            // Gone again already: the event is true all the same.
            _ => {
                object.insert("size".to_owned(), 0.into());
            }
        }
    }
    if let Some(version) = version {
        object.insert("version-id".to_owned(), version.into());
    }
    object.insert("sequencer".to_owned(), cloud.storage().sequencer(nanos).into());
    let request_id = write.request_id.clone().unwrap_or_else(|| {
        Uuid::new_v4()
            .simple()
            .to_string()
            .to_uppercase()
            .chars()
            .take(16)
            .collect()
    });
    let mut detail = json!({
        "version": "0",
        "bucket": {"name": write.bucket},
        "object": Value::Object(object),
        "request-id": request_id,
        "requester": cloud.account().id,
        "source-ip-address": write.source_ip,
        "reason": reason,
    });
    if let Some(deletion) = deletion {
        detail["deletion-type"] = deletion.into();
    }
    cloud
        .emit(AwsEvent {
            source: "aws.s3".to_owned(),
            detail_type: detail_type.to_owned(),
            resources: vec![format!("arn:aws:s3:::{}", write.bucket)],
            detail,
        })
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequencers_grow_even_when_the_clock_does_not() {
        let storage = Storage::default();
        let given: Vec<String> = [5, 5, 4, 100].map(|now| storage.sequencer(now)).into();
        assert!(given.windows(2).all(|pair| pair[0] < pair[1]), "{given:?}");
        assert!(given.iter().all(|it| it.len() >= 16));
    }

    #[test]
    fn keys_travel_byte_for_byte() {
        assert_eq!(
            path_of("b", "source/a+b c%2F.zip"),
            "/b/source/a%2Bb%20c%252F.zip"
        );
        assert_eq!(path_of("b", "é/😀"), "/b/%C3%A9/%F0%9F%98%80");
    }
}
