//! The way in: objects of the source bucket, their events by every route, and what start-run made of them.

use aws_sdk_s3::primitives::ByteStream;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signalbox_local::inbox::Mail;
use signalbox_local_core::Cloud;

use crate::world::{Answer, MANUAL, TEAM, World};

/// An object of the source bucket.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) key: String,
    pub(crate) version: String,
    pub(crate) etag: String,
    pub(crate) size: usize,
}

/// A key of the environment's own branch whose uploads reach no function by themselves: the test delivers.
pub(crate) fn manual(test: &str) -> String {
    format!(
        "source/develop{MANUAL}{test}-{}.zip",
        uuid::Uuid::new_v4().simple()
    )
}

/// A key of the environment's own branch whose uploads start runs.
pub(crate) fn automatic(test: &str) -> String {
    format!("source/develop/{test}-{}.zip", uuid::Uuid::new_v4().simple())
}

/// Puts an object into the source bucket.
pub(crate) async fn put(world: &World, key: &str, bytes: Vec<u8>) -> Stored {
    let size = bytes.len();
    let request = world
        .running
        .s3()
        .put_object()
        .bucket(&world.installed.source_bucket)
        .key(key);
    let answer = request.body(ByteStream::from(bytes)).send().await.unwrap();
    Stored {
        key: key.to_owned(),
        version: answer.version_id().unwrap().to_owned(),
        etag: answer.e_tag().unwrap().trim_matches('"').to_owned(),
        size,
    }
}

/// As [`put`], for what is too large for an SDK that was built without optimisation to sign in time.
pub(crate) async fn put_large(world: &World, key: &str, bytes: Vec<u8>) -> Stored {
    let (bucket, size) = (&world.installed.source_bucket, bytes.len());
    let version = world
        .running
        .cloud
        .put_object(bucket, key, bytes)
        .await
        .unwrap()
        .unwrap();
    let head = world
        .running
        .s3()
        .head_object()
        .bucket(bucket)
        .key(key)
        .send()
        .await
        .unwrap();
    Stored {
        key: key.to_owned(),
        version,
        etag: head.e_tag().unwrap().trim_matches('"').to_owned(),
        size,
    }
}

impl Stored {
    /// Its event as EventBridge delivers it: the key as it is.
    pub(crate) fn event(&self, world: &World, sequencer: &str) -> Value {
        let mut event = world.created(&self.key, Some(&self.version), sequencer, self.size as u64);
        event["detail"]["object"]["etag"] = json!(self.etag);
        event
    }

    /// Its event as S3 notifies a function, a topic or a queue: the key form-encoded.
    pub(crate) fn notification(&self, world: &World, sequencer: &str) -> Value {
        let bucket = &world.installed.source_bucket;
        json!({ "Records": [{
            "eventVersion": "2.3", "eventSource": "aws:s3", "awsRegion": "us-east-1",
            "eventTime": "2026-02-03T10:00:00.000Z", "eventName": "ObjectCreated:Put",
            "userIdentity": { "principalId": "AWS:AROAEXAMPLE:ann" },
            "requestParameters": { "sourceIPAddress": "127.0.0.1" },
            "responseElements": { "x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S" },
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "uploads",
                "bucket": { "name": bucket, "ownerIdentity": { "principalId": "A3NL1KOZZKExample" }, "arn": format!("arn:aws:s3:::{bucket}") },
                "object": {
                    "key": form_encoded(&self.key), "size": self.size, "eTag": self.etag,
                    "versionId": self.version, "sequencer": sequencer,
                },
            },
        }]})
    }

    /// Who tells of it by mail.
    pub(crate) fn mails(&self, world: &World) -> usize {
        world.mails(|mail| self.is_told_by(mail))
    }

    /// Whether a mail to the team speaks of this object version.
    pub(crate) fn is_told_by(&self, mail: &Mail) -> bool {
        mail.to == TEAM && mail.text.contains(&self.version)
    }
}

/// As S3 writes keys into notifications.
fn form_encoded(key: &str) -> String {
    let encode = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' | b'/' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    key.bytes().map(encode).collect()
}

/// A notification within the message of a topic that a function is subscribed to.
pub(crate) fn through_sns(notification: &Value) -> Value {
    json!({ "Records": [{
        "EventSource": "aws:sns", "EventVersion": "1.0",
        "EventSubscriptionArn": "arn:aws:sns:us-east-1:123456789012:uploads:1",
        "Sns": {
            "Type": "Notification", "MessageId": uuid::Uuid::new_v4().to_string(),
            "TopicArn": "arn:aws:sns:us-east-1:123456789012:uploads", "Subject": "Amazon S3 Notification",
            "Message": notification.to_string(), "Timestamp": "2026-02-03T10:00:00.000Z", "MessageAttributes": {},
        },
    }]})
}

/// A message of a queue.
pub(crate) fn through_sqs(body: &Value) -> Value {
    json!({ "Records": [{
        "messageId": uuid::Uuid::new_v4().to_string(), "receiptHandle": "r", "body": body.to_string(),
        "attributes": { "ApproximateReceiveCount": "1" }, "messageAttributes": {}, "md5OfBody": "m",
        "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:uploads", "awsRegion": "us-east-1",
    }]})
}

impl Answer {
    /// What start-run did about the event's only upload.
    pub(crate) fn done(&self) -> &str {
        self.upload()
            .get("done")
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("nothing was done: {self:?}"))
    }

    /// The run that was started.
    pub(crate) fn execution(&self) -> &str {
        self.upload()
            .get("execution")
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no run was started: {self:?}"))
    }

    /// Why nothing was started.
    pub(crate) fn reason(&self) -> String {
        let upload = self.upload();
        upload
            .get("reason")
            .or(upload.get("reasons"))
            .unwrap_or_else(|| panic!("no reason is given: {self:?}"))
            .to_string()
    }

    /// The kind of error, as a destination's reader sees it.
    pub(crate) fn error_type(&self) -> &str {
        assert!(self.failed, "it did not fail: {self:?}");
        self.payload
            .get("errorType")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn upload(&self) -> &Value {
        assert!(!self.failed, "the invocation failed: {self:?}");
        let uploads = self.payload.get("uploads").and_then(Value::as_array);
        match uploads.map(Vec::as_slice) {
            Some([one]) => one,
            _ => panic!("not one upload: {self:?}"),
        }
    }
}

/// Hands a payload over as it is, JSON or not; answers the last lines of the log too.
pub(crate) async fn invoke_raw(world: &World, function: &str, payload: &[u8]) -> (Answer, String) {
    let input = json!({
        "FunctionName": world.function(function), "Payload": STANDARD.encode(payload), "LogType": "Tail",
    });
    let answer = world.running.call("lambda", "Invoke", input).await.unwrap();
    let bytes = |member: &str| {
        STANDARD
            .decode(answer.get(member).and_then(Value::as_str).unwrap_or_default())
            .unwrap()
    };
    let result = Answer {
        payload: serde_json::from_slice(&bytes("Payload")).unwrap_or_default(),
        failed: answer.get("FunctionError").is_some_and(|error| !error.is_null()),
    };
    (result, String::from_utf8(bytes("LogResult")).unwrap())
}

/// The event of an object version as it went over the bus.
pub(crate) fn seen(world: &World, detail_type: &str, version: &str) -> Option<Value> {
    world.running.events.events_seen().into_iter().find(|event| {
        event.get("detail-type").and_then(Value::as_str) == Some(detail_type)
            && event.pointer("/detail/object/version-id").and_then(Value::as_str) == Some(version)
    })
}
