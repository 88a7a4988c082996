//! Hazards 34 to 39: events that are not as documented.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::approvals::{self, Visitor};
use crate::fixtures::{Fixture, hand_over};
use crate::packages;
use crate::runs;
use crate::secrecy;
use crate::slack_server::send_click;
use crate::source::{automatic, invoke_raw, manual, put, seen, through_sns, through_sqs};
use crate::tracking::pipeline_event;
use crate::world::{TEAM, World, until};

pub(crate) async fn h34_float_and_string_versions_are_fine(world: &World) {
    let stored = put(world, &manual("h34"), packages::sound("h34")).await;
    for (version, done) in [
        (json!("0"), "started"),
        (json!(0.0), "alreadyDone"),
        (json!(0), "alreadyDone"),
        (json!(null), "alreadyDone"),
    ] {
        let mut event = stored.event(world, "A1");
        event["version"] = version.clone();
        event["detail"]["version"] = version;
        assert_eq!(world.invoke("start-run", &event).await.done(), done, "{event}");
    }
    let run = world.run_of(&stored.version).await;
    for version in [json!(3.0), json!("3"), json!(3), json!("3.0"), json!(null)] {
        for level in ["Pipeline", "Stage", "Action"] {
            let mut event = pipeline_event(world, &run, level, "STARTED");
            event["detail"]["version"] = version.clone();
            event["detail"]["pipeline-execution-attempt"] = json!(1.0);
            event["detail"]["type"] =
                json!({ "owner": "AWS", "provider": "Manual", "category": "Approval", "version": version });
            let answer = world.invoke("track-run", &event).await;
            assert!(!answer.failed, "version {version}, {level}: {answer:?}");
        }
    }
    runs::exactly(world, 1, &stored.version).await;
}

pub(crate) async fn h35_unknown_states_and_fields_are_fine_and_logged(world: &World) {
    let stored = put(world, &manual("h35"), packages::sound("h35")).await;
    let mut event = stored.event(world, "A1");
    event["detail"]["reason"] = json!("TeleportObject");
    event["detail"]["object"]["colour"] = json!({ "name": ["green"] });
    event["hologram"] = json!(1);
    assert_eq!(world.invoke("start-run", &event).await.done(), "started");
    let run = world.run_of(&stored.version).await;

    let mut unknown = stored.event(world, "A1");
    unknown["detail-type"] = json!("Object Levitated");
    let (answer, log) = invoke_raw(world, "start-run", unknown.to_string().as_bytes()).await;
    assert_eq!(answer.done(), "ignored");
    assert!(
        answer.reason().contains("Object Levitated is no upload"),
        "{answer:?}"
    );
    assert!(log.contains("Object Levitated"), "it is logged: {log}");

    for level in ["Pipeline", "Stage", "Action"] {
        let mut event = pipeline_event(world, &run, level, "PONDERING");
        event["detail"]["mood"] = json!(["calm"]);
        let (answer, log) = invoke_raw(world, "track-run", event.to_string().as_bytes()).await;
        assert!(!answer.failed, "{level}: {answer:?}");
        assert!(
            log.contains("PONDERING"),
            "{level}: an unknown state is logged: {log}"
        );
    }
    // It stands for nothing: what is known of the run stays what AWS says.
    assert_eq!(runs::status(world, &run).await, "InProgress");
    assert_eq!(
        world.mails(|mail| mail.to == TEAM && mail.text.contains(&run) && mail.text.contains("PONDERING")),
        0
    );
    runs::exactly(world, 1, &stored.version).await;
}

/// Waits for what a queue of failed events has about an event with these words; answers why.
async fn buried(world: &World, queue: &str, words: &str) -> String {
    let name = world.function(&format!("{queue}-failed"));
    let queue = world
        .running
        .call("sqs", "GetQueueUrl", json!({ "QueueName": name }))
        .await
        .unwrap();
    let input = json!({
        "QueueUrl": queue.get("QueueUrl"), "MaxNumberOfMessages": 10, "VisibilityTimeout": 1, "WaitTimeSeconds": 0,
    });
    until(&format!("the failed event in {name}"), async || {
        let answer = world
            .running
            .call("sqs", "ReceiveMessage", input.clone())
            .await
            .unwrap();
        let messages = answer
            .get("Messages")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        messages.iter().find_map(|message| {
            // The destination's record, which says why; what a rule could not hand over is the event alone.
            let body: Value = serde_json::from_str(message.get("Body")?.as_str()?).ok()?;
            body.get("requestPayload")?
                .to_string()
                .contains(words)
                .then(|| body.get("responsePayload").unwrap().to_string())
        })
    })
    .await
}

/// An event of EventBridge without its detail.
fn bare(source: &str, kind: &str) -> Value {
    json!({
        "version": "0", "detail-type": kind, "source": source, "account": "123456789012",
        "time": "2026-02-03T10:00:00Z", "region": "us-east-1", "resources": [],
    })
}

/// For each function that gets events: its full name, the queue of what it failed at, an event that lacks what it
/// acts on, and what it says then.
fn lacking(world: &World) -> [(String, &'static str, Value, &'static str); 7] {
    let hook = |hook: &str| format!("CodeDeployHook_{}", world.function(hook));
    let (no_execution, no_detail) = (
        "missing field `LifecycleEventHookExecutionId`",
        "missing field `detail`",
    );
    [
        (
            world.function("start-run"),
            "start-run",
            bare("aws.s3", "Object Created"),
            no_detail,
        ),
        (
            world.function("track-run"),
            "track-run",
            bare("aws.codepipeline", "CodePipeline Pipeline Execution State Change"),
            no_detail,
        ),
        (
            world.function("request-approval"),
            "request-approval",
            bare("aws.codepipeline", "CodePipeline Action Execution State Change"),
            no_detail,
        ),
        (
            world.function("roll-back"),
            "roll-back",
            bare("aws.cloudwatch", "CloudWatch Alarm State Change"),
            "field `detail`: is missing",
        ),
        (
            hook("before-traffic"),
            "validate-deployment",
            json!({ "DeploymentId": "d-ABCDEF123" }),
            no_execution,
        ),
        (
            hook("after-traffic"),
            "validate-deployment",
            json!({ "DeploymentId": "d-ABCDEF123" }),
            no_execution,
        ),
        (
            world.function("validate-job"),
            "validate-deployment",
            json!({ "CodePipeline.job": { "accountId": "123456789012", "data": {} } }),
            "field `CodePipeline.job`: missing field `id`",
        ),
    ]
}

pub(crate) async fn h36_a_missing_detail_is_an_error_and_is_kept(world: &World) {
    let kept = lacking(world)
        .into_iter()
        .map(async |(function, queue, mut event, missing)| {
            let id = uuid::Uuid::new_v4().to_string();
            event["id"] = json!(id);
            let answer = world.invoke_named(&function, &event).await;
            assert_eq!(answer.error_type(), "NonRetryable", "{function}: {answer:?}");
            assert!(answer.text().contains(missing), "{function}: {answer:?}");

            let payload = STANDARD.encode(event.to_string());
            let input = json!({ "FunctionName": function, "InvocationType": "Event", "Payload": payload });
            world.running.call("lambda", "Invoke", input).await.unwrap();
            let why = buried(world, queue, &id).await;
            assert!(
                why.contains(missing) && why.contains("NonRetryable"),
                "{function}: {why}"
            );
        });
    join_all(kept).await;
    // The sweep looks by itself: of its event, it needs nothing. What it meets elsewhere may fail for the moment.
    let sweep = world.function("sweep");
    until("a sweep without a detail", async || {
        let answer = world
            .invoke_named(&sweep, &bare("aws.events", "Scheduled Event"))
            .await;
        (!answer.failed).then_some(())
    })
    .await;
    a_request_that_lacks_something_is_told_so(world).await;
    // A part of the detail that is acted on is as bad; it is named by its path.
    for (pointer, path) in [
        ("/detail/object", "detail"),
        ("/detail/bucket", "detail"),
        ("/source", "source"),
    ] {
        let mut event = world.created("source/develop/x.zip", Some("v"), "A1", 1);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        event
            .pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(name);
        let answer = world.invoke("start-run", &event).await;
        assert_eq!(
            answer.error_type(),
            "NonRetryable",
            "without {pointer}: {answer:?}"
        );
        assert!(
            answer.text().contains(path) && answer.text().contains(name),
            "without {pointer}: {answer:?}"
        );
    }
}

/// The page's answer is a person's to read: it names what is wrong, and is never the server's fault.
async fn a_request_that_lacks_something_is_told_so(world: &World) {
    let (asked, ann) = (approvals::ask(world).await, Visitor::new(world));
    let (cookie, nonce) = ann.form(&asked.ann).await;
    let fields = [("nonce", nonce.as_str())];
    let (status, page) = ann.post(&asked.ann, &cookie, ann.origin(), &fields).await;
    assert_eq!(status, 400, "{page}");
    assert!(page.contains("says neither approve nor reject"), "{page}");
    let (status, page) = ann.get(&format!("{}a/", world.installed.answer_url)).await;
    assert_eq!(status, 404, "{page}");
    assert!(page.contains("This link is not valid"), "{page}");
    assert_eq!(runs::status(world, &asked.run).await, "InProgress");
    // What no function URL sends is an error to whoever invokes the function.
    let event = json!({ "version": "2.0", "headers": {} });
    let answer = world.invoke("answer-approval", &event).await;
    assert_eq!(answer.error_type(), "NonRetryable", "{answer:?}");
    assert!(
        answer.text().contains("not a function URL's request")
            && answer.text().contains("a field is missing"),
        "{answer:?}"
    );
}

pub(crate) async fn h37_an_event_of_1_mb_is_fine(world: &World) {
    const MB: usize = 1_048_576;
    let stored = put(world, &automatic("h37-manual"), packages::sound("h37")).await;
    let run = world.run_of(&stored.version).await;
    let mut event = seen(world, "Object Created", &stored.version).unwrap();
    event["detail"]["padding"] = json!("");
    let missing = MB - event.to_string().len();
    event["detail"]["padding"] = json!("x".repeat(missing));
    let text = event.to_string();
    assert_eq!(text.len(), MB);
    let again = world.invoke("start-run", &event).await;
    assert_eq!(again.done(), "alreadyDone");
    assert!(again.text().contains(&run));
    runs::exactly(world, 1, &stored.version).await;

    // Delivered as EventBridge does, which is not waited for.
    let stored = put(world, &manual("h37"), packages::sound("h37")).await;
    let mut event = stored.event(world, "A1");
    event["detail"]["padding"] = json!("");
    let missing = MB - event.to_string().len();
    event["detail"]["padding"] = json!("x".repeat(missing));
    let payload = STANDARD.encode(event.to_string());
    let input =
        json!({ "FunctionName": world.function("start-run"), "InvocationType": "Event", "Payload": payload });
    world.running.call("lambda", "Invoke", input).await.unwrap();
    world.run_of(&stored.version).await;
    runs::exactly(world, 1, &stored.version).await;
}

/// No control character but line feeds, which are ours.
fn is_safe(text: &str) -> bool {
    !text
        .chars()
        .any(|character| character.is_control() && character != '\n' && character != '\t')
}

pub(crate) async fn h38_control_characters_are_escaped_wherever_shown(world: &World) {
    const NASTY: &str = "a\0b\r\nBcc: x\u{1b}[2J\u{9b}31m\u{202e}c";
    let marker = uuid::Uuid::new_v4().simple().to_string();
    let key = format!("source/develop/manual/{marker}{NASTY}.zip");

    // In a notice, its subject, and the log.
    let event = world.created(&key, None, "A1", 1);
    let (answer, log) = invoke_raw(world, "start-run", event.to_string().as_bytes()).await;
    assert_eq!(answer.done(), "rejected");
    assert!(is_safe(&log), "{log:?}");
    let mail = world
        .mail("that refuses the upload", |mail| {
            mail.to == TEAM && mail.text.contains(&marker)
        })
        .await;
    assert!(
        is_safe(&mail.text) && is_safe(&mail.subject) && !mail.subject.contains('\n'),
        "{mail:?}"
    );
    assert!(
        !mail.text.contains('\u{202e}'),
        "nothing turns the direction of text: {mail:?}"
    );
    let shown = format!("{marker}a\\u{{0}}b\\u{{d}}\\u{{a}}Bcc: x\\u{{1b}}[2J\\u{{9b}}31m\\u{{202e}}c.zip");
    assert!(
        mail.text.contains(&format!("manual/{shown}\n")),
        "the key is shown escaped: {}",
        mail.text
    );

    // In an answer and in errors, whatever field they come in.
    let mut denied = world.created(&key, Some("v"), "A1", 1);
    denied["account"] = json!(NASTY);
    let (answer, log) = invoke_raw(world, "start-run", denied.to_string().as_bytes()).await;
    assert_eq!(answer.done(), "denied");
    let reason = answer
        .payload
        .pointer("/uploads/0/reason")
        .and_then(Value::as_str)
        .unwrap();
    assert!(is_safe(reason) && reason.contains("\\u{1b}"), "{reason:?}");
    assert!(is_safe(&log), "{log:?}");
    for (pointer, value) in [
        ("/detail/bucket/name", json!(NASTY)),
        ("/detail/object/sequencer", json!(NASTY)),
        ("/source", json!(NASTY)),
        ("/detail-type", json!({ NASTY: 1 })),
        ("/detail/object", json!(NASTY)),
    ] {
        let mut event = world.created(&key, Some("v"), "A1", 1);
        *event.pointer_mut(pointer).unwrap() = value;
        let (answer, log) = invoke_raw(world, "start-run", event.to_string().as_bytes()).await;
        assert_eq!(answer.error_type(), "NonRetryable", "{pointer}: {answer:?}");
        let message = answer
            .payload
            .get("errorMessage")
            .and_then(Value::as_str)
            .unwrap();
        assert!(
            is_safe(message) && !message.contains('\n'),
            "{pointer}: {message:?}"
        );
        assert!(is_safe(&log), "{pointer}: {log:?}");
        // Every line of ours is one JSON document: nothing broke out of one.
        for line in log.lines().filter(|line| line.contains("NonRetryable")) {
            let line = line.trim_start_matches(|character| character != '{');
            assert!(serde_json::from_str::<Value>(line).is_ok(), "{pointer}: {line:?}");
        }
    }

    // In names of a package's entries.
    let stored = put(
        world,
        &manual("h38"),
        packages::named(&["index.js", &format!("../{NASTY}")]),
    )
    .await;
    assert_eq!(
        world.invoke("start-run", &stored.event(world, "A1")).await.done(),
        "rejected"
    );
    let mail = world
        .mail("that refuses the package", |mail| stored.is_told_by(mail))
        .await;
    assert!(
        is_safe(&mail.text) && mail.text.contains("Bcc: x\\u{1b}[2J"),
        "{mail:?}"
    );
    runs::exactly(world, 0, &stored.version).await;
}

pub(crate) async fn h39_a_nesting_bomb_is_an_error(world: &World) {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    // One event of each function, and its function; both hooks get the same.
    let mut events: BTreeMap<String, String> = BTreeMap::new();
    for fixture in Fixture::all(world) {
        let function = fixture.function(|name| world.function(name));
        let event = fixture.event(&world.installed.source_bucket, &world.installed.pipeline);
        if let Some(before) = function.strip_suffix("-before-traffic") {
            events.insert(format!("{before}-after-traffic"), event.to_string());
        }
        events.insert(function, event.to_string());
    }
    assert_eq!(events.len(), 9, "every function has an event: {events:?}");
    for (function, event) in &events {
        for levels in [200, 100_000] {
            let payload = event.replacen('{', &format!("{{\"nested\":{},", deep(levels)), 1);
            let answer = hand_over(world, function, payload.as_bytes()).await;
            assert!(answer.failed, "{function}, {levels} levels: {answer:?}");
            assert!(
                !is_crash(answer.error_type()),
                "{function}, {levels} levels: {answer:?}"
            );
            assert!(
                answer.text().contains("recursion limit"),
                "the error says why: {answer:?}"
            );
        }
    }
    // The same within a message, which is text to the outer JSON.
    for wrap in [through_sns as fn(&Value) -> Value, through_sqs] {
        let mut wrapped = wrap(&json!({}));
        let place = if wrapped.pointer("/Records/0/body").is_some() {
            "/Records/0/body"
        } else {
            "/Records/0/Sns/Message"
        };
        *wrapped.pointer_mut(place).unwrap() = json!(format!("{{\"Records\":{}}}", deep(100_000)));
        let answer = world.invoke("start-run", &wrapped).await;
        assert_eq!(answer.error_type(), "NonRetryable", "{answer:?}");
        assert!(
            answer.text().contains("recursion limit"),
            "the error says why: {answer:?}"
        );
    }
    // Messages wrapped in messages are nesting too.
    let mut event = json!({ "Type": "Notification", "Message": "{}" });
    for _ in 0..10 {
        event = json!({ "Type": "Notification", "Message": event.to_string() });
    }
    let answer = world.invoke("start-run", &event).await;
    assert_eq!(answer.error_type(), "NonRetryable", "{answer:?}");
    assert!(answer.text().contains("nested too deeply"), "{answer:?}");
    // What comes over HTTP nests in a body only, which is text to Lambda.
    let (asked, ann) = (approvals::ask(world).await, Visitor::new(world));
    let (cookie, _) = ann.form(&asked.ann).await;
    let form = deep(5_000);
    let fields = [("verdict", form.as_str())];
    let (status, page) = ann.post(&asked.ann, &cookie, ann.origin(), &fields).await;
    assert_eq!(status, 413, "no form of ours is so large: {page}");
    let form = deep(500);
    let fields = [("verdict", form.as_str())];
    let (status, page) = ann.post(&asked.ann, &cookie, ann.origin(), &fields).await;
    assert_eq!(status, 400, "{page}");
    let click = format!(
        "payload={{\"type\":\"block_actions\",\"actions\":{}}}",
        deep(50_000)
    );
    assert_eq!(send_click(&secrecy::slack_url(world).await, &click).await, 400);
}

/// Whether a process ended, or a panic was caught, rather than an error reported.
fn is_crash(kind: &str) -> bool {
    kind.is_empty()
        || kind.starts_with("Runtime.")
        || kind.starts_with("Sandbox.")
        || kind.contains("str")
        || kind.contains("panic")
}
