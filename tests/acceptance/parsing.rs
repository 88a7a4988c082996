//! Hazards 34 to 39: events that are not as documented.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::packages;
use crate::runs;
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

/// Waits for what a function's failed events queue has about an event with these words; answers why.
async fn buried(world: &World, function: &str, words: &str) -> String {
    let name = world.function(&format!("{function}-failed"));
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

pub(crate) async fn h36_a_missing_detail_is_an_error_and_is_kept(world: &World) {
    for (function, source, kind) in [
        ("start-run", "aws.s3", "Object Created"),
        (
            "track-run",
            "aws.codepipeline",
            "CodePipeline Pipeline Execution State Change",
        ),
    ] {
        let id = uuid::Uuid::new_v4().to_string();
        let event = json!({
            "version": "0", "id": id, "detail-type": kind, "source": source, "account": "123456789012",
            "time": "2026-02-03T10:00:00Z", "region": "us-east-1", "resources": [],
        });
        let answer = world.invoke(function, &event).await;
        assert_eq!(answer.error_type(), "NonRetryable", "{answer:?}");
        assert!(answer.text().contains("missing field `detail`"), "{answer:?}");

        let payload = STANDARD.encode(event.to_string());
        let input = json!({ "FunctionName": world.function(function), "InvocationType": "Event", "Payload": payload });
        world.running.call("lambda", "Invoke", input).await.unwrap();
        let why = buried(world, function, &id).await;
        assert!(
            why.contains("missing field `detail`") && why.contains("NonRetryable"),
            "{function}: {why}"
        );
    }
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
    let event = world.created("source/develop/manual/x.zip", Some("v"), "A1", 1);
    for (function, levels) in [("start-run", 200), ("start-run", 100_000), ("track-run", 100_000)] {
        let payload = event.to_string().replacen(
            "\"detail\":{",
            &format!("\"detail\":{{\"nested\":{},", deep(levels)),
            1,
        );
        let (answer, log) = invoke_raw(world, function, payload.as_bytes()).await;
        assert!(answer.failed, "{function}, {levels} levels: {answer:?}");
        assert!(
            !is_crash(answer.error_type()),
            "{function}, {levels} levels: {answer:?}, {log}"
        );
        assert!(
            answer.text().contains("recursion limit"),
            "the error says why: {answer:?}"
        );
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
}

/// Whether a process ended, or a panic was caught, rather than an error reported.
fn is_crash(kind: &str) -> bool {
    kind.is_empty()
        || kind.starts_with("Runtime.")
        || kind.starts_with("Sandbox.")
        || kind.contains("str")
        || kind.contains("panic")
}
