//! Every route, byte-exact keys, and what is no upload.

use proptest::prelude::{prop_assert_eq, proptest};
use serde_json::json;

use super::*;

fn whole(event: Value) -> Vec<Arrival> {
    match parse(event).unwrap() {
        Delivery::Whole(arrivals) => arrivals,
        Delivery::Queued(messages) => panic!("{messages:?}"),
    }
}

fn one(event: Value) -> Upload {
    match &whole(event)[..] {
        [Arrival::Created(upload)] => upload.clone(),
        other => panic!("{other:?}"),
    }
}

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn bridged_key(key: &str) -> Value {
    json!({"source": "aws.s3", "detail-type": "Object Created", "account": "111122223333", "region": "eu-central-1",
        "detail": {"bucket": {"name": "b"}, "object": {"key": key, "version-id": "v", "sequencer": "0A"}}})
}

fn notified_key(encoded: &str) -> Value {
    json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "awsRegion": "eu-central-1",
        "s3": {"bucket": {"name": "b"}, "object": {"key": encoded, "versionId": "v", "eTag": "e", "sequencer": "0A"}}}]})
}

/// As S3 encodes keys in notifications.
fn form_encoded(key: &str) -> String {
    key.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[test]
fn an_eventbridge_event_is_read() {
    let upload = one(fixture(include_str!(
        "../../../../events/start-run/object-created.json"
    )));
    assert_eq!(upload.bucket.as_str(), "lambda-artifacts-staging");
    assert_eq!(upload.key.as_str(), "source/develop/package.zip");
    assert_eq!(
        upload.version.as_deref(),
        Some("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e")
    );
    assert_eq!(upload.etag.as_deref(), Some("b1946ac92492d2347c6235b4d2611184"));
    assert_eq!(upload.account.as_deref(), Some("111122223333"));
    assert!(upload.sequencer.is_some());
}

#[test]
fn both_routes_give_the_same_key() {
    let bridged = one(fixture(include_str!(
        "../../../../events/start-run/object-created-unicode-key.json"
    )));
    let notified = one(fixture(include_str!(
        "../../../../events/start-run/notification-unicode-key.json"
    )));
    assert_eq!(bridged.key, notified.key);
    assert_eq!(bridged.key.as_str(), "source/a+b c/e\u{301} \u{1f680} %2F.zip");
}

#[test]
fn a_notification_comes_alone_by_sns_and_by_sqs() {
    let record = notified_key("source/a%2Bb+c.zip");
    assert_eq!(one(record.clone()).key.as_str(), "source/a+b c.zip");

    let sns = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": record.to_string()}}]});
    assert_eq!(one(sns).key.as_str(), "source/a+b c.zip");

    let through_sns = json!({"Type": "Notification", "Message": record.to_string()});
    for body in [
        record.to_string(),
        through_sns.to_string(),
        bridged_key("source/a+b c.zip").to_string(),
    ] {
        let batch = json!({"Records": [
            {"eventSource": "aws:sqs", "messageId": "m1", "body": body},
            {"eventSource": "aws:sqs", "messageId": "m2", "body": "not JSON"},
        ]});
        let Delivery::Queued(messages) = parse(batch).unwrap() else {
            panic!()
        };
        let [good, bad] = &messages[..] else { panic!() };
        assert!(
            matches!(&good.arrivals.as_ref().unwrap()[..], [Arrival::Created(upload)] if upload.key.as_str() == "source/a+b c.zip")
        );
        assert_eq!(bad.id, "m2");
        assert!(matches!(bad.arrivals, Err(EventError::Json { .. })));
    }
}

#[test]
fn a_queue_subscribed_to_a_topic_brings_what_eventbridge_brings() {
    let batch = fixture(include_str!(
        "../../../../events/start-run/notification-by-sns-and-sqs.json"
    ));
    let Delivery::Queued(messages) = parse(batch).unwrap() else {
        panic!()
    };
    let [message] = &messages[..] else { panic!() };
    assert_eq!(message.id, "059f36b4-87a3-44ab-83d2-661975830a7d");
    let bridged = one(fixture(include_str!(
        "../../../../events/start-run/object-created.json"
    )));
    // A notification does not say whose bucket it is.
    let expected = Upload {
        account: None,
        ..bridged
    };
    assert_eq!(message.arrivals.as_deref().unwrap(), [Arrival::Created(expected)]);
}

#[test]
fn the_test_event_is_no_upload() {
    let test = fixture(include_str!("../../../../events/start-run/test-event.json"));
    assert_eq!(whole(test), [Arrival::Test]);
}

#[test]
fn what_is_no_upload_is_told_apart() {
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"});
    assert_eq!(whole(test), [Arrival::Test]);
    let removed = |name: &str| {
        let mut event = notified_key("k");
        event["Records"][0]["eventName"] = json!(name);
        whole(event)
    };
    assert_eq!(
        removed("ObjectRemoved:DeleteMarkerCreated"),
        [Arrival::Deleted { marker: true }]
    );
    assert_eq!(
        removed("s3:ObjectRemoved:Delete"),
        [Arrival::Deleted { marker: false }]
    );
    assert_eq!(
        removed("ObjectRestore:Post"),
        [Arrival::Other("ObjectRestore:Post".to_owned())]
    );
    let marker = whole(fixture(include_str!(
        "../../../../events/start-run/delete-marker.json"
    )));
    assert_eq!(marker, [Arrival::Deleted { marker: true }]);
}

#[test]
fn copies_and_multipart_uploads_are_uploads() {
    for name in [
        "ObjectCreated:Copy",
        "ObjectCreated:CompleteMultipartUpload",
        "ObjectCreated:Post",
        "s3:ObjectCreated:Put",
    ] {
        let mut event = notified_key("source/p.zip");
        event["Records"][0]["eventName"] = json!(name);
        assert!(matches!(whole(event)[..], [Arrival::Created(_)]), "{name}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let mut event = bridged_key("k");
    event["detail"]["object"].as_object_mut().unwrap().remove("key");
    assert!(parse(event).unwrap_err().to_string().contains("detail.object"));
    let mut event = bridged_key("k");
    event["detail"]["object"]["sequencer"] = json!("not hex");
    assert!(
        parse(event)
            .unwrap_err()
            .to_string()
            .contains("detail.object.sequencer")
    );
    let error = parse(notified_key("%FF%FE")).unwrap_err().to_string();
    assert!(error.contains("Records[0].s3.object.key"), "{error}");
}

#[test]
fn a_missing_version_is_left_to_the_decision() {
    let upload = one(fixture(include_str!(
        "../../../../events/start-run/object-created-unversioned.json"
    )));
    assert_eq!(upload.version, None);
}

proptest! {
    #[test]
    fn any_key_is_byte_exact_by_either_route(key in "\\PC{1,60}|[a-z+ %/\r\n\t\u{0}\u{301}\u{1f680}]{1,40}") {
        prop_assert_eq!(String::from(one(bridged_key(&key)).key), key.clone());
        prop_assert_eq!(String::from(one(notified_key(&form_encoded(&key))).key), key);
    }
}
