//! Hazards 1 to 5, 9, 10, 15 and 16: events come twice, late, in another order, by two ways, or wrongly.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use signalbox_decision::names::{BucketName, ObjectKey, PipelineName};
use signalbox_decision::start::token;
use signalbox_ledger::{Claim, ClaimKey, ClaimOutcome};
use signalbox_local_core::Cloud;

use crate::packages;
use crate::runs;
use crate::source::{Stored, automatic, manual, put, seen, through_sns, through_sqs};
use crate::world::{Answer, World};

const DAY: SignedDuration = SignedDuration::from_hours(24);
const MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The token and claim of an upload, as start-run derives them.
pub(crate) fn token_of(world: &World, stored: &Stored) -> String {
    token(
        &PipelineName::new(&world.installed.pipeline).unwrap(),
        &BucketName::new(&world.installed.source_bucket).unwrap(),
        &ObjectKey::new(&stored.key).unwrap(),
        &stored.version,
    )
}

/// Claims the upload as an invocation at `now` with a minute left would.
pub(crate) async fn claim(world: &World, stored: &Stored, now: Timestamp) -> ClaimOutcome {
    let key = ClaimKey::new("start-run", token_of(world, stored));
    let content = format!("{} {}", stored.size, stored.etag);
    let minute = SignedDuration::from_mins(1);
    world
        .ledger()
        .claim(&key, "another invocation", now, minute, MONTH, &content)
        .await
        .unwrap()
}

async fn won(world: &World, stored: &Stored, now: Timestamp) -> Claim {
    match claim(world, stored, now).await {
        ClaimOutcome::Won(claim) => claim,
        other => panic!("the claim should be free: {other:?}"),
    }
}

/// What the ledger says was done about the upload.
async fn recorded(world: &World, stored: &Stored, now: Timestamp) -> String {
    match claim(world, stored, now).await {
        ClaimOutcome::Done(result) => result,
        other => panic!("nothing was recorded: {other:?}"),
    }
}

pub(crate) async fn h01_same_event_twice_has_one_effect(world: &World) {
    let stored = put(world, &automatic("h01"), packages::sound("h01")).await;
    let run = world.run_of(&stored.version).await;
    let event = seen(world, "Object Created", &stored.version).unwrap();
    for _ in 0..2 {
        let again = world.invoke("start-run", &event).await;
        assert_eq!(again.done(), "alreadyDone");
        assert!(
            again.text().contains(&run),
            "it is told the run that was started: {again:?}"
        );
    }
    runs::exactly(world, 1, &stored.version).await;
}

pub(crate) async fn h02_the_same_event_concurrently_has_one_effect(world: &World) {
    let stored = put(world, &manual("h02"), packages::sound("h02")).await;
    let event = stored.event(world, "A1");
    let answers = join_all((0..8).map(|_| world.invoke("start-run", &event))).await;
    let started: Vec<&str> = answers
        .iter()
        .filter(|it| !it.failed && it.done() == "started")
        .map(Answer::execution)
        .collect();
    let [run] = started[..] else {
        panic!("not one of eight started it: {answers:?}")
    };
    for answer in &answers {
        if answer.failed {
            assert_eq!(answer.error_type(), "Retryable");
            assert!(
                answer.text().contains("another invocation handles this upload"),
                "{answer:?}"
            );
        } else {
            assert!(
                answer.text().contains(run),
                "all are told the same run: {answer:?}"
            );
        }
    }
    runs::exactly(world, 1, &stored.version).await;
}

pub(crate) async fn h03_again_after_24_hours_has_still_one_effect(world: &World) {
    let now = Timestamp::now();
    let stored = put(world, &manual("h03"), packages::sound("h03")).await;
    let run = world
        .invoke("start-run", &stored.event(world, "A1"))
        .await
        .execution()
        .to_owned();
    for later in [DAY + SignedDuration::from_mins(1), DAY * 23] {
        let result = recorded(world, &stored, now + later).await;
        assert!(
            result.contains(&run),
            "after {later} the claim still holds the run: {result}"
        );
    }
    runs::exactly(world, 1, &stored.version).await;

    // A day later AWS has forgotten the token: only the ledger is left to say that there was a run.
    let stored = put(world, &manual("h03"), packages::sound("h03 yesterday")).await;
    let yesterday = now - DAY - SignedDuration::from_mins(1);
    let claimed = won(world, &stored, yesterday).await;
    world
        .ledger()
        .complete(
            claimed,
            r#"{"done":"started","execution":"yesterday's"}"#,
            yesterday,
        )
        .await
        .unwrap();
    let again = world.invoke("start-run", &stored.event(world, "A1")).await;
    assert_eq!(again.done(), "alreadyDone");
    assert!(again.text().contains("yesterday's"), "{again:?}");
    runs::exactly(world, 0, &stored.version).await;
}

pub(crate) async fn h04_a_newer_uploads_event_first_only_the_newer_runs(world: &World) {
    let key = manual("h04");
    let first = put(world, &key, packages::sound("V1")).await;
    let second = put(world, &key, packages::sound("V2")).await;
    let newer = world
        .invoke("start-run", &second.event(world, "0055AED6DCD90281E6"))
        .await;
    assert_eq!(newer.done(), "started");
    let older = world
        .invoke("start-run", &first.event(world, "0055AED6DCD90281E5"))
        .await;
    assert_eq!(older.done(), "ignored");
    assert!(
        older.reason().contains("a newer upload of the same key"),
        "{older:?}"
    );
    runs::exactly(world, 0, &first.version).await;
    runs::exactly(world, 1, &second.version).await;
}

pub(crate) async fn h05_sequencers_of_unequal_length_are_ordered_rightly(world: &World) {
    // Neither length nor value decides: the shorter is padded on the right.
    for (older, newer) in [
        ("1E5A", "1F"),
        ("0055AED6DCD90281E5", "0055aed6dcd90281e51"),
        ("A0", "A01"),
    ] {
        let key = manual("h05");
        let first = put(world, &key, packages::sound("V1")).await;
        let second = put(world, &key, packages::sound("V2")).await;
        assert_eq!(
            world
                .invoke("start-run", &second.event(world, newer))
                .await
                .done(),
            "started"
        );
        let overtaken = world.invoke("start-run", &first.event(world, older)).await;
        assert_eq!(overtaken.done(), "ignored", "{older} is older than {newer}");
        runs::exactly(world, 0, &first.version).await;
        runs::exactly(world, 1, &second.version).await;

        let key = manual("h05");
        let first = put(world, &key, packages::sound("V1")).await;
        let second = put(world, &key, packages::sound("V2")).await;
        assert_eq!(
            world.invoke("start-run", &first.event(world, older)).await.done(),
            "started"
        );
        let in_order = world.invoke("start-run", &second.event(world, newer)).await;
        assert_eq!(in_order.done(), "started", "{newer} is newer than {older}");
        runs::exactly(world, 1, &first.version).await;
        runs::exactly(world, 1, &second.version).await;
    }
    // Zeros at the end make no difference: the same upload again.
    let stored = put(world, &manual("h05"), packages::sound("same")).await;
    assert_eq!(
        world.invoke("start-run", &stored.event(world, "A1")).await.done(),
        "started"
    );
    assert_eq!(
        world
            .invoke("start-run", &stored.event(world, "a100"))
            .await
            .done(),
        "alreadyDone"
    );
    runs::exactly(world, 1, &stored.version).await;
}

pub(crate) async fn h09_crash_after_the_call_before_the_record_has_one_effect(world: &World) {
    let stored = put(world, &manual("h09"), packages::sound("h09")).await;
    // What the crashed invocation left: its claim, past its deadline, and the run, recorded nowhere.
    drop(won(world, &stored, Timestamp::now() - SignedDuration::from_mins(10)).await);
    let revision = |kind: &str, value: &str| json!({ "actionName": "Source", "revisionType": kind, "revisionValue": value });
    let input = json!({
        "name": world.installed.pipeline, "clientRequestToken": token_of(world, &stored),
        "sourceRevisions": [revision("S3_OBJECT_KEY", &stored.key), revision("S3_OBJECT_VERSION_ID", &stored.version)],
    });
    let started = world
        .running
        .call("codepipeline", "StartPipelineExecution", input)
        .await
        .unwrap();
    let run = started
        .get("pipelineExecutionId")
        .and_then(Value::as_str)
        .unwrap();

    let again = world.invoke("start-run", &stored.event(world, "A1")).await;
    assert_eq!(
        (again.done(), again.execution()),
        ("started", run),
        "AWS answers the same token with the same run"
    );
    assert!(
        recorded(world, &stored, Timestamp::now()).await.contains(run),
        "this time it is recorded"
    );
    runs::exactly(world, 1, &stored.version).await;
}

pub(crate) async fn h10_crash_before_the_call_is_retried(world: &World) {
    let stored = put(world, &manual("h10"), packages::sound("h10")).await;
    let event = stored.event(world, "A1");
    // The claim's holder may still be at it: nobody else acts, and the event comes again.
    let now = Timestamp::now();
    let held = won(world, &stored, now).await;
    let early = world.invoke("start-run", &event).await;
    assert_eq!(early.error_type(), "Retryable");
    assert!(
        early.text().contains("another invocation handles this upload"),
        "{early:?}"
    );
    runs::exactly(world, 0, &stored.version).await;
    world.ledger().release(held, now).await.unwrap();

    // Past its deadline it has crashed.
    let stored = put(world, &manual("h10"), packages::sound("h10 crashed")).await;
    drop(won(world, &stored, now - SignedDuration::from_mins(10)).await);
    let retried = world.invoke("start-run", &stored.event(world, "A1")).await;
    assert_eq!(retried.done(), "started");
    assert!(
        recorded(world, &stored, Timestamp::now())
            .await
            .contains(retried.execution())
    );
    runs::exactly(world, 1, &stored.version).await;
}

pub(crate) async fn h15_two_triggers_for_one_upload_start_one_run(world: &World) {
    let stored = put(world, &manual("h15 two ways"), packages::sound("h15")).await;
    let notified = stored.notification(world, "A1");
    let first = world.invoke("start-run", &stored.event(world, "A1")).await;
    let run = first.execution().to_owned();
    let topic_in_queue = json!({ "Type": "Notification", "Message": notified.to_string() });
    for (route, event) in [
        ("notification", notified.clone()),
        ("topic", through_sns(&notified)),
        ("queue", through_sqs(&notified)),
        ("topic and queue", through_sqs(&topic_in_queue)),
    ] {
        let again = world.invoke("start-run", &event).await;
        assert_eq!(again.done(), "alreadyDone", "by {route}");
        assert!(again.text().contains(&run), "by {route}: {again:?}");
    }
    runs::exactly(world, 1, &stored.version).await;

    // The notification alone starts a run as well: it is no poorer route.
    let alone = put(world, &manual("h15"), packages::sound("h15 alone")).await;
    assert_eq!(
        world
            .invoke("start-run", &through_sqs(&alone.notification(world, "A1")))
            .await
            .done(),
        "started"
    );
    runs::exactly(world, 1, &alone.version).await;
}

pub(crate) async fn h16_a_failed_upload_starts_no_run(world: &World) {
    let (s3, bucket) = (world.running.s3(), &world.installed.source_bucket);
    let aborted = automatic("h16-aborted");
    let upload = s3
        .create_multipart_upload()
        .bucket(bucket)
        .key(&aborted)
        .send()
        .await
        .unwrap();
    let id = upload.upload_id().unwrap();
    let part = s3
        .upload_part()
        .bucket(bucket)
        .key(&aborted)
        .upload_id(id)
        .part_number(1);
    part.body(ByteStream::from(packages::sound("h16")))
        .send()
        .await
        .unwrap();
    s3.abort_multipart_upload()
        .bucket(bucket)
        .key(&aborted)
        .upload_id(id)
        .send()
        .await
        .unwrap();

    // track-run's role has no business with the bucket.
    let described = world.running.call(
        "lambda",
        "GetFunctionConfiguration",
        json!({ "FunctionName": world.function("track-run") }),
    );
    let role = described
        .await
        .unwrap()
        .get("Role")
        .and_then(Value::as_str)
        .unwrap()
        .to_owned();
    let denied = automatic("h16-denied");
    let request = world
        .s3_as(&role)
        .put_object()
        .bucket(bucket)
        .key(&denied)
        .body(ByteStream::from(packages::sound("h16")));
    let error = request.send().await.unwrap_err();
    assert_eq!(error.code(), Some("AccessDenied"));

    // Whatever these wrote on the bus stands before this one's event.
    let fence = put(world, &automatic("h16-fence"), packages::sound("fence")).await;
    let run = world.run_of(&fence.version).await;
    let events = Value::from(world.running.events.events_seen()).to_string();
    assert!(events.contains(&fence.key) && !events.contains(&aborted) && !events.contains(&denied));

    // An event all the same, such as a forged one, or one whose version was deleted since.
    let stored = put(world, &manual("h16"), packages::sound("h16")).await;
    let unknown = Stored {
        version: "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY".to_owned(),
        ..stored.clone()
    };
    let absent = Stored {
        key: manual("h16-absent"),
        ..unknown.clone()
    };
    for never in [unknown, absent] {
        let answer = world.invoke("start-run", &never.event(world, "A1")).await;
        assert_eq!(answer.done(), "ignored");
        assert!(
            answer.reason().contains("the object version is not there"),
            "{answer:?}"
        );
    }
    let replaced = Stored {
        etag: "0123456789abcdef0123456789abcdef".to_owned(),
        ..stored.clone()
    };
    let answer = world.invoke("start-run", &replaced.event(world, "A1")).await;
    assert_eq!(answer.done(), "denied");
    assert!(answer.reason().contains("ETags differ"), "{answer:?}");
    runs::exactly(world, 0, &stored.version).await;

    // None of them used up the right of the true event.
    let true_one = world.invoke("start-run", &stored.event(world, "A1")).await;
    assert_eq!(true_one.done(), "started");
    runs::exactly(world, 1, &stored.version).await;
    if runs::status(world, &run).await == "InProgress" {
        runs::stop(world, &run).await;
    }
}

pub(crate) async fn ledger_contract_holds_on_dynamodb(world: &World) {
    if let Err(broken) = signalbox_ledger::contract::suite(&world.ledger()).await {
        panic!("{broken}");
    }
}

/// Credentials for a session of a role, as functions get them.
impl World {
    fn s3_as(&self, role: &str) -> aws_sdk_s3::Client {
        let (key, secret, session) = self.running.cloud.credentials_for(role, "acceptance");
        let credentials =
            aws_credential_types::Credentials::new(key, secret, Some(session), None, "acceptance");
        let aws =
            signalbox_bootstrap::Aws::new("us-east-1".to_owned(), credentials, Some(self.running.url()));
        aws_sdk_s3::Client::from_conf(
            aws_sdk_s3::config::Builder::from(aws.sdk())
                .force_path_style(true)
                .build(),
        )
    }
}
