//! Hazards 26 to 33: uploads that are none, keys that must arrive byte for byte, strangers; and another branch's.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization;

use crate::packages;
use crate::permissions::make_role;
use crate::runs;
use crate::source::{Stored, automatic, manual, put, seen, through_sns, through_sqs};
use crate::world::{Answer, MANUAL, TEAM, World, until};

pub(crate) async fn h26_a_folder_marker_is_ignored(world: &World) {
    let folder = format!("{}/", manual("h26"));
    let stored = put(world, &folder, Vec::new()).await;
    for event in [stored.event(world, "A1"), stored.notification(world, "A1")] {
        let answer = world.invoke("start-run", &event).await;
        assert_eq!(answer.done(), "ignored");
        assert!(answer.reason().contains("a folder marker"), "{answer:?}");
    }
    runs::exactly(world, 0, &stored.version).await;
    assert_eq!(
        world.mails(|mail| mail.to == TEAM && mail.text.contains(&folder)),
        0,
        "nobody is told"
    );
}

/// Out of the cache the deployed branch's builds run their tools.
pub(crate) async fn a_build_of_another_branch_does_without_the_deployed_branchs_cache(world: &World) {
    let ask = async |operation, input| world.running.call("codebuild", operation, input).await.unwrap();
    let project = "lambda-function-staging-build";
    let logs = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"];
    let allowed = json!([{ "Effect": "Allow", "Action": logs, "Resource": "*" }]);
    let declared = json!({
        "name": project,
        "source": { "type": "NO_SOURCE", "buildspec": "{version: 0.2, phases: {build: {commands: ['true']}}}" },
        "artifacts": { "type": "NO_ARTIFACTS" },
        "cache": { "type": "S3", "location": format!("{}/build-cache/build", world.installed.artifact_bucket) },
        "environment": {
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL",
        },
        "serviceRole": make_role(world, &allowed).await,
    });
    ask("CreateProject", declared).await;
    let key = format!("source/uncached{MANUAL}package.zip");
    let stored = put(world, &key, packages::sound(&key)).await;
    let answer = world.invoke("start-run", &stored.event(world, "A1")).await;
    assert_eq!(answer.done(), "built", "{answer:?}");
    let ids = json!({ "ids": [answer.payload["uploads"][0]["build"]] });
    let builds = ask("BatchGetBuilds", ids).await;
    let build = &builds["builds"][0];
    assert_eq!(build["cache"]["type"], "NO_CACHE", "{build:#}");
    ask("DeleteProject", json!({ "name": project })).await;
}

/// Uploads to the key by either route; the run takes exactly that object.
async fn arrives_byte_for_byte(world: &World, name: &str) {
    let id = uuid::Uuid::new_v4().simple();
    // By EventBridge, which has the key as it is: the upload starts its run.
    let key = format!("source/develop/{id}/{name}");
    let stored = put(world, &key, packages::sound(&key)).await;
    let run = world.run_of(&stored.version).await;
    assert_eq!(
        runs::source_of(world, &run).await,
        (key, stored.version.clone()),
        "by EventBridge"
    );
    runs::exactly(world, 1, &stored.version).await;

    // By a notification of S3's, which has it form-encoded.
    let key = format!("source/develop/manual/{id}/{name}");
    let stored = put(world, &key, packages::sound(&key)).await;
    let answer = world.invoke("start-run", &stored.notification(world, "A1")).await;
    let run = answer.execution();
    assert_eq!(
        runs::source_of(world, run).await,
        (key, stored.version.clone()),
        "by a notification"
    );
    runs::exactly(world, 1, &stored.version).await;
}

pub(crate) async fn h27_plus_and_space_in_a_key_arrive_byte_for_byte(world: &World) {
    arrives_byte_for_byte(world, "a+b c.zip").await;
    arrives_byte_for_byte(world, "a%2Bb%20c.zip").await;
}

pub(crate) async fn h28_unicode_and_percent_signs_in_a_key_arrive_byte_for_byte(world: &World) {
    let composed: String = "Äpfel-é.zip".nfc().collect();
    let decomposed: String = composed.nfd().collect();
    assert_ne!(composed, decomposed, "they look alike and are two keys");
    for name in [
        &composed,
        &decomposed,
        "\u{1f680} go \u{1f469}\u{200d}\u{1f680}.zip",
        "a%2Fb%252F&c=d;?#.zip",
    ] {
        arrives_byte_for_byte(world, name).await;
    }
}

pub(crate) async fn h29_no_version_id_is_refused_with_the_fix(world: &World) {
    let key = manual("h29");
    let about = |mail: &signalbox_local::inbox::Mail| mail.to == TEAM && mail.text.contains(&key);
    let mut null = world.created(&key, Some("null"), "A1", 10);
    null["id"] = json!("another delivery");
    for (event, done) in [
        (world.created(&key, None, "A1", 10), "rejected"),
        (null, "alreadyDone"),
        (world.created(&key, None, "A1", 10), "alreadyDone"),
    ] {
        assert_eq!(world.invoke("start-run", &event).await.done(), done);
    }
    let mail = world.mail("that refuses the upload", about).await;
    for part in [
        "no version id",
        "Turn versioning on",
        "put-bucket-versioning",
        "Version: none",
    ] {
        assert!(
            mail.text.contains(part),
            "the notice says {part:?}: {}",
            mail.text
        );
    }
    assert_eq!(world.mails(about), 1, "one notice");
    // A later upload is told of anew: somebody waits for it.
    assert_eq!(
        world
            .invoke("start-run", &world.created(&key, None, "A2", 10))
            .await
            .done(),
        "rejected"
    );
    assert_eq!(world.mails(about), 2);
}

pub(crate) async fn h30_a_delete_marker_is_ignored(world: &World) {
    let stored = put(world, &manual("h30"), packages::sound("h30")).await;
    let (s3, bucket) = (world.running.s3(), &world.installed.source_bucket);
    let deleted = s3
        .delete_object()
        .bucket(bucket)
        .key(&stored.key)
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.delete_marker(), Some(true));
    let marker = deleted.version_id().unwrap();
    let event = seen(world, "Object Deleted", marker).unwrap();
    let mut notified = stored.notification(world, "A2");
    notified["Records"][0]["eventName"] = json!("ObjectRemoved:DeleteMarkerCreated");
    for event in [event, notified] {
        let answer = world.invoke("start-run", &event).await;
        assert_eq!(answer.done(), "ignored");
        assert!(answer.reason().contains("a delete marker"), "{answer:?}");
    }
    // Even where an event names the marker as if it had been uploaded.
    let posing = Stored {
        version: marker.to_owned(),
        ..stored.clone()
    };
    assert_eq!(
        world.invoke("start-run", &posing.event(world, "A0")).await.done(),
        "ignored"
    );
    // The version below is still what its own event spoke of.
    assert_eq!(
        world.invoke("start-run", &stored.event(world, "A1")).await.done(),
        "started"
    );
    runs::exactly(world, 1, &stored.version).await;
}

pub(crate) async fn h31_the_test_event_is_acknowledged(world: &World) {
    let test = json!({
        "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-02-03T10:00:00.000Z",
        "Bucket": world.installed.source_bucket, "RequestId": "5582815E1AEA5ADF", "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR",
    });
    for event in [test.clone(), through_sns(&test), through_sqs(&test)] {
        let answer = world.invoke("start-run", &event).await;
        assert_eq!(answer.done(), "ignored");
        assert!(answer.reason().contains("S3's test message"), "{answer:?}");
    }
}

pub(crate) async fn h32_multipart_uploads_and_copies_start_runs(world: &World) {
    let (s3, bucket) = (world.running.s3(), &world.installed.source_bucket);
    let key = automatic("h32-multipart");
    let bytes = packages::overlapping(5 << 20, 1);
    let upload = s3
        .create_multipart_upload()
        .bucket(bucket)
        .key(&key)
        .send()
        .await
        .unwrap();
    let id = upload.upload_id().unwrap();
    let mut parts = Vec::new();
    // All parts but the last have 5 MiB or more.
    for (number, part) in (1..).zip(bytes.chunks(5 << 20)) {
        let request = s3
            .upload_part()
            .bucket(bucket)
            .key(&key)
            .upload_id(id)
            .part_number(number);
        let answer = request
            .body(ByteStream::from(part.to_vec()))
            .send()
            .await
            .unwrap();
        parts.push(
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(answer.e_tag().map(str::to_owned))
                .build(),
        );
    }
    assert_eq!(parts.len(), 2);
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let request = s3
        .complete_multipart_upload()
        .bucket(bucket)
        .key(&key)
        .upload_id(id)
        .multipart_upload(parts);
    let completed = request.send().await.unwrap();
    assert!(
        completed.e_tag().unwrap().contains("-2"),
        "a multipart upload's tag is no digest of the content"
    );
    let version = completed.version_id().unwrap();
    let run = world.run_of(version).await;
    assert_eq!(
        runs::source_of(world, &run).await,
        (key.clone(), version.to_owned())
    );
    runs::exactly(world, 1, version).await;

    let copy = automatic("h32-copy");
    let from = format!("{bucket}/{key}?versionId={version}");
    let copied = s3
        .copy_object()
        .bucket(bucket)
        .key(&copy)
        .copy_source(from)
        .send()
        .await
        .unwrap();
    let version = copied.version_id().unwrap();
    let run = world.run_of(version).await;
    assert_eq!(runs::source_of(world, &run).await, (copy, version.to_owned()));
    runs::exactly(world, 1, version).await;
}

pub(crate) async fn h33_foreign_events_are_denied_and_counted(world: &World) {
    let stored = put(world, &manual("h33"), packages::sound("h33")).await;
    let with = |pointer: &str, value: &str| {
        let mut event = stored.event(world, "A1");
        *event.pointer_mut(pointer).unwrap() = json!(value);
        event
    };
    let notified = |pointer: &str, value: &str| {
        let mut event = stored.notification(world, "A1");
        *event.pointer_mut(pointer).unwrap() = json!(value);
        event
    };
    let bucket = &world.installed.source_bucket;
    let mut counted = 0;
    for (event, reason) in [
        (
            with("/detail/bucket/name", "somebody-elses"),
            format!("bucket somebody-elses is not {bucket}"),
        ),
        (
            with("/account", "999988887777"),
            "account 999988887777 is not 123456789012".to_owned(),
        ),
        (
            with("/region", "eu-west-1"),
            "region eu-west-1 is not us-east-1".to_owned(),
        ),
        (
            with("/detail/object/key", "elsewhere/x.zip"),
            "key elsewhere/x.zip is not below source/".to_owned(),
        ),
        (
            with("/detail/object/key", "source"),
            "key source is not below source/".to_owned(),
        ),
        (
            notified("/Records/0/s3/bucket/name", "somebody-elses"),
            format!("bucket somebody-elses is not {bucket}"),
        ),
        (
            notified("/Records/0/awsRegion", "eu-west-1"),
            "region eu-west-1 is not us-east-1".to_owned(),
        ),
    ] {
        let answer = world.invoke("start-run", &event).await;
        assert_eq!(answer.done(), "denied", "{reason}");
        assert!(answer.reason().contains(&reason), "{answer:?}");
        let today = today(&answer);
        assert!(today > counted, "each is counted: {today} after {counted}");
        counted = today;
    }
    runs::exactly(world, 0, &stored.version).await;
    assert_eq!(stored.mails(world), 0, "strangers cannot make us mail people");

    // The bucket's own key outside of the prefix does not even come as far as the function.
    let outside = put(
        world,
        &format!("elsewhere/{}.zip", uuid::Uuid::new_v4()),
        packages::sound("outside"),
    )
    .await;
    let fence = put(world, &automatic("h33-fence"), packages::sound("fence")).await;
    until("the fence's run", async || {
        world.runs_of(&fence.version).await.first().cloned()
    })
    .await;
    assert!(seen(world, "Object Created", &outside.version).is_some());
    runs::exactly(world, 0, &outside.version).await;
    runs::exactly(world, 1, &fence.version).await;
}

/// The day's count of denied events, with this one.
fn today(answer: &Answer) -> u64 {
    answer
        .payload
        .pointer("/uploads/0/today")
        .and_then(Value::as_u64)
        .unwrap()
}
