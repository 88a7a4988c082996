//! What S3 says of an object, by every route it can come: an EventBridge event; a notification
//! (`Records`), alone, within an SNS message, or within an SQS message, which may hold either.
//!
//! EventBridge has keys as they are; notifications have them form-encoded (`+` is a space). Either way
//! the key that comes out is byte for byte the object's.

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;
use signalbox_decision::names::{BucketName, ObjectKey};
use signalbox_decision::start::{Arrival, Sequencer, Upload};
use signalbox_decision::text::shown;

use crate::envelope::{Envelope, EventError, loose_text, read, read_text};

/// What one invocation brings.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// Handled or failed as a whole.
    Whole(Vec<Arrival>),
    /// Messages of a queue, each handled or failed on its own.
    Queued(Vec<Message>),
}

/// One message of a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The message's id, to report its failure by.
    pub id: String,
    /// What it says, or why that cannot be read.
    pub arrivals: Result<Vec<Arrival>, EventError>,
}

/// Reads an invocation's event.
///
/// # Errors
/// The field that is missing or malformed. Within a queue's batch, an unreadable message is an error of
/// that message alone.
pub fn parse(event: Value) -> Result<Delivery, EventError> {
    if event.pointer("/Records/0/eventSource").and_then(Value::as_str) == Some("aws:sqs") {
        let batch: SqsBatch = read("SQS batch", "", event)?;
        let read_one = |record: SqsRecord| Message {
            id: record.message_id,
            arrivals: read_text("SQS message", &record.body).and_then(|body| arrivals(body, 2)),
        };
        return Ok(Delivery::Queued(
            batch.records.into_iter().map(read_one).collect(),
        ));
    }
    arrivals(event, 2).map(Delivery::Whole)
}

/// `depth` bounds how often a message may be wrapped in another: SNS within SQS is the deepest in use.
fn arrivals(event: Value, depth: u8) -> Result<Vec<Arrival>, EventError> {
    // What subscribing a queue to a topic delivers, unless raw delivery is on.
    if event.get("Type").and_then(Value::as_str) == Some("Notification") {
        let wrapped: SnsMessage = read("SNS message", "", event)?;
        return unwrap(&wrapped.message, depth);
    }
    if let Some(name) = event.get("Event").and_then(Value::as_str) {
        return Ok(vec![if name == "s3:TestEvent" {
            Arrival::Test
        } else {
            Arrival::Other(name.to_owned())
        }]);
    }
    if event.pointer("/Records/0/EventSource").and_then(Value::as_str) == Some("aws:sns") {
        let batch: SnsBatch = read("SNS event", "", event)?;
        let mut all = Vec::new();
        for record in batch.records {
            all.extend(unwrap(&record.sns.message, depth)?);
        }
        return Ok(all);
    }
    if event.get("Records").is_some() {
        let batch: S3Batch = read("S3 notification", "", event)?;
        return batch
            .records
            .into_iter()
            .enumerate()
            .map(|(at, record)| notified(at, record))
            .collect();
    }
    Envelope::parse(event)
        .and_then(|envelope| bridged(&envelope))
        .map(|arrival| vec![arrival])
}

fn unwrap(message: &str, depth: u8) -> Result<Vec<Arrival>, EventError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(EventError::field(
            "SNS message",
            "Message",
            "messages are nested too deeply",
        ));
    };
    arrivals(read_text("SNS message", message)?, depth)
}

fn bridged(envelope: &Envelope) -> Result<Arrival, EventError> {
    if envelope.source != "aws.s3" {
        return Err(envelope.foreign());
    }
    match envelope.detail_type.as_str() {
        "Object Created" => {}
        "Object Deleted" => {
            let kind = envelope.detail.get("deletion-type").and_then(Value::as_str);
            return Ok(Arrival::Deleted {
                marker: kind == Some("Delete Marker Created"),
            });
        }
        other => return Ok(Arrival::Other(other.to_owned())),
    }
    let detail: Detail = envelope.detail()?;
    upload(
        "detail",
        detail.bucket.name,
        detail.object.key,
        detail.object.rest,
        envelope.account.clone(),
        envelope.region.clone(),
    )
}

fn notified(at: usize, record: S3Record) -> Result<Arrival, EventError> {
    let name = record
        .event_name
        .strip_prefix("s3:")
        .unwrap_or(&record.event_name);
    if name.starts_with("ObjectRemoved:") || name.starts_with("LifecycleExpiration:") {
        return Ok(Arrival::Deleted {
            marker: name.ends_with("DeleteMarkerCreated"),
        });
    }
    if !name.starts_with("ObjectCreated:") {
        return Ok(Arrival::Other(name.to_owned()));
    }
    let path = format!("Records[{at}].s3");
    let key = form_decoded(&record.s3.object.key)
        .map_err(|problem| EventError::field("S3 notification", format!("{path}.object.key"), problem))?;
    upload(
        &path,
        record.s3.bucket.name,
        key,
        record.s3.object.rest,
        None,
        record.aws_region,
    )
}

fn upload(
    path: &str,
    bucket: String,
    key: String,
    object: ObjectRest,
    account: Option<String>,
    region: Option<String>,
) -> Result<Arrival, EventError> {
    let what = "S3 event";
    let field = |name: &str, problem: String| EventError::field(what, format!("{path}.{name}"), problem);
    let sequencer = object
        .sequencer
        .map(|text| Sequencer::new(&text))
        .transpose()
        .map_err(|error| field("object.sequencer", error.to_string()))?;
    Ok(Arrival::Created(Upload {
        bucket: BucketName::new(bucket).map_err(|error| field("bucket.name", error.to_string()))?,
        key: ObjectKey::new(key).map_err(|error| field("object.key", shown(&error.to_string(), 200)))?,
        version: object.version.filter(|version| !version.is_empty()),
        sequencer,
        etag: object
            .etag
            .map(|etag| etag.trim_matches('"').to_owned())
            .filter(|etag| !etag.is_empty()),
        account,
        region,
    }))
}

/// `application/x-www-form-urlencoded`, as S3 writes keys into notifications.
fn form_decoded(key: &str) -> Result<String, String> {
    let spaced = key.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|error| format!("not UTF-8 once decoded: {error}"))
}

#[derive(Deserialize)]
struct Detail {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
    #[serde(flatten)]
    rest: ObjectRest,
}

#[derive(Deserialize)]
struct ObjectRest {
    #[serde(
        default,
        rename = "version-id",
        alias = "versionId",
        deserialize_with = "loose_text"
    )]
    version: Option<String>,
    #[serde(default, alias = "eTag", deserialize_with = "loose_text")]
    etag: Option<String>,
    #[serde(default, deserialize_with = "loose_text")]
    sequencer: Option<String>,
}

#[derive(Deserialize)]
struct S3Batch {
    #[serde(rename = "Records")]
    records: Vec<S3Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct S3Record {
    event_name: String,
    #[serde(default)]
    aws_region: Option<String>,
    s3: S3Entity,
}

#[derive(Deserialize)]
struct S3Entity {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct SnsMessage {
    #[serde(rename = "Message")]
    message: String,
}

#[derive(Deserialize)]
struct SnsBatch {
    #[serde(rename = "Records")]
    records: Vec<SnsRecord>,
}

#[derive(Deserialize)]
struct SnsRecord {
    #[serde(rename = "Sns")]
    sns: SnsMessage,
}

#[derive(Deserialize)]
struct SqsBatch {
    #[serde(rename = "Records")]
    records: Vec<SqsRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SqsRecord {
    message_id: String,
    body: String,
}

#[cfg(test)]
mod tests;
