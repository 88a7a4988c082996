//! Functions as Lambda runs them, through the gateway: errors, exits, time-outs, retries, URLs.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::permissions::make_role;
use crate::process::is_alive;
use crate::world::{World, until};

/// A package of this code, as `ZipFile` takes it.
pub(crate) fn zipped(code: &str) -> String {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("index.js", zip::write::SimpleFileOptions::default())
        .unwrap();
    zip.write_all(code.as_bytes()).unwrap();
    STANDARD.encode(zip.finish().unwrap().into_inner())
}

/// Deploys a Node.js function of this code under a name of its own; `more` are members of `CreateFunction`.
pub(crate) async fn deploy(world: &World, code: &str, more: Value) -> String {
    let name = format!("trial-{}", uuid::Uuid::new_v4().simple());
    let code = zipped(code);
    let mut input = json!({
        "FunctionName": name, "Runtime": "nodejs20.x", "Handler": "index.handler", "Timeout": 20,
        "Role": "arn:aws:iam::123456789012:role/trial", "Code": { "ZipFile": code },
    });
    input
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    world
        .running
        .call("lambda", "CreateFunction", input)
        .await
        .unwrap();
    name
}

/// What an invocation answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) payload: Value,
    /// `FunctionError`, where there is one.
    error: Option<String>,
    /// The log's tail.
    log: String,
}

pub(crate) async fn invoke(world: &World, function: &str, event: &Value) -> Answer {
    let payload = STANDARD.encode(event.to_string());
    let input = json!({ "FunctionName": function, "Payload": payload, "LogType": "Tail" });
    let answer = world.running.call("lambda", "Invoke", input).await.unwrap();
    let decoded = |name: &str| {
        STANDARD
            .decode(answer[name].as_str().unwrap_or_default())
            .unwrap()
    };
    Answer {
        payload: serde_json::from_slice(&decoded("Payload")).unwrap_or_default(),
        error: answer["FunctionError"].as_str().map(str::to_owned),
        log: String::from_utf8(decoded("LogResult")).unwrap(),
    }
}

/// Does as the event says, and tells its process.
const OBEDIENT: &str = "
exports.handler = async (event) => {
    if (event.throw) throw new RangeError(event.throw);
    if (event.exit !== undefined) process.exit(event.exit);
    if (event.hang) await new Promise((done) => setTimeout(done, 600000));
    return { pid: process.pid };
};
";

pub(crate) async fn what_a_function_throws_is_reported_and_its_process_lives_on(world: &World) {
    let function = deploy(world, OBEDIENT, json!({})).await;
    let before = invoke(world, &function, &json!({})).await.payload["pid"].clone();
    let thrown = invoke(world, &function, &json!({ "throw": "too far" })).await;
    assert_eq!(thrown.error.as_deref(), Some("Unhandled"));
    assert_eq!(thrown.payload["errorType"], "RangeError");
    assert_eq!(thrown.payload["errorMessage"], "too far");
    assert!(
        thrown.log.contains("too far") && thrown.log.contains("REPORT RequestId:"),
        "{}",
        thrown.log
    );
    let after = invoke(world, &function, &json!({})).await;
    assert_eq!((&after.payload["pid"], after.error), (&before, None));
}

pub(crate) async fn a_function_that_exits_is_an_exit_error_and_is_replaced(world: &World) {
    let function = deploy(world, OBEDIENT, json!({})).await;
    let before = invoke(world, &function, &json!({})).await.payload["pid"].clone();
    let ended = invoke(world, &function, &json!({ "exit": 3 })).await;
    assert_eq!(ended.error.as_deref(), Some("Unhandled"));
    assert_eq!(ended.payload["errorType"], "Runtime.ExitError");
    let message = ended.payload["errorMessage"].as_str().unwrap();
    assert!(
        message.ends_with("Error: Runtime exited with error: exit status 3"),
        "{message}"
    );
    let after = invoke(world, &function, &json!({})).await;
    assert!(
        after.error.is_none() && after.payload["pid"] != before,
        "{after:?}"
    );
}

pub(crate) async fn a_function_that_hangs_is_ended_at_its_time_out(world: &World) {
    let function = deploy(world, OBEDIENT, json!({ "Timeout": 1 })).await;
    let pid = invoke(world, &function, &json!({})).await.payload["pid"]
        .as_u64()
        .unwrap();
    assert!(
        is_alive(pid),
        "a function's process waits for the next invocation"
    );
    let ended = invoke(world, &function, &json!({ "hang": true })).await;
    assert_eq!(ended.error.as_deref(), Some("Unhandled"));
    assert_eq!(ended.payload["errorType"], "Sandbox.Timedout");
    let message = ended.payload["errorMessage"].as_str().unwrap();
    assert!(
        message.ends_with("Task timed out after 1.00 seconds"),
        "{message}"
    );
    until("the end of the process that hangs", async || {
        (!is_alive(pid)).then_some(())
    })
    .await;
    let after = invoke(world, &function, &json!({})).await;
    assert!(after.error.is_none() && after.payload["pid"] != pid, "{after:?}");
}

/// Deploys the example of `signalbox-bootstrap`, a program of ours over the real runtime.
async fn deploy_obedient(world: &World) -> String {
    let program = world.running.paths.binaries.join("examples/obedient");
    assert!(
        program.is_file(),
        "{} is missing: run `cargo test --workspace`, which builds it",
        program.display()
    );
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let executable = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    zip.start_file("bootstrap", executable).unwrap();
    writeln!(zip, "#!/bin/sh\nexec '{}'", program.display()).unwrap();
    let code = STANDARD.encode(zip.finish().unwrap().into_inner());
    let more = json!({ "Runtime": "provided.al2023", "Handler": "bootstrap", "Code": { "ZipFile": code } });
    deploy(world, "", more).await
}

/// Each function of ours starts through `signalbox_bootstrap::run`: a panic in a handler is that one event's failure.
pub(crate) async fn a_function_that_panics_is_reported_and_its_process_lives_on(world: &World) {
    let function = deploy_obedient(world).await;
    let before = invoke(world, &function, &json!({})).await.payload["pid"].clone();
    assert!(before.is_u64(), "{before}");
    let panicked = invoke(world, &function, &json!({ "panic": "all is lost" })).await;
    assert_eq!(panicked.error.as_deref(), Some("Unhandled"), "{panicked:?}");
    let message = panicked.payload["errorMessage"].as_str().unwrap();
    assert!(
        message.contains("panicked") && message.contains("all is lost"),
        "{message}"
    );
    let failed = invoke(world, &function, &json!({ "fail": "not today" })).await;
    assert_eq!(
        (&failed.payload["errorType"], &failed.payload["errorMessage"]),
        (&json!("NonRetryable"), &json!("not today"))
    );
    let after = invoke(world, &function, &json!({})).await;
    assert_eq!((&after.payload["pid"], after.error), (&before, None));
}

/// A queue, by its URL and ARN.
async fn make_queue(world: &World) -> (String, String) {
    let input = json!({ "QueueName": format!("trial-{}", uuid::Uuid::new_v4().simple()) });
    let made = world.running.call("sqs", "CreateQueue", input).await.unwrap();
    let url = made["QueueUrl"].as_str().unwrap().to_owned();
    let input = json!({ "QueueUrl": url, "AttributeNames": ["QueueArn"] });
    let read = world
        .running
        .call("sqs", "GetQueueAttributes", input)
        .await
        .unwrap();
    (url, read["Attributes"]["QueueArn"].as_str().unwrap().to_owned())
}

async fn receive(world: &World, queue: &str) -> Value {
    let message = until("a message", async || {
        let input = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 1 });
        let answer = world.running.call("sqs", "ReceiveMessage", input).await.unwrap();
        answer["Messages"][0]["Body"].as_str().map(str::to_owned)
    });
    serde_json::from_str(&message.await).unwrap()
}

pub(crate) async fn a_failed_asynchronous_invocation_is_tried_three_times_and_then_kept(world: &World) {
    let (queue, arn) = make_queue(world).await;
    let role = make_role(
        world,
        &json!([{ "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": arn }]),
    )
    .await;
    let function = deploy(world, OBEDIENT, json!({ "Role": role })).await;
    let destination = json!({ "OnFailure": { "Destination": arn } });
    let input =
        json!({ "FunctionName": function, "MaximumRetryAttempts": 2, "DestinationConfig": destination });
    world
        .running
        .call("lambda", "PutFunctionEventInvokeConfig", input)
        .await
        .unwrap();
    let event = json!({ "throw": "every time" });
    let payload = STANDARD.encode(event.to_string());
    let input = json!({ "FunctionName": function, "InvocationType": "Event", "Payload": payload });
    let accepted = world.running.call("lambda", "Invoke", input).await.unwrap();
    assert_eq!(accepted["StatusCode"], 202);
    let record = receive(world, &queue).await;
    let context = &record["requestContext"];
    assert_eq!(
        (&context["condition"], &context["approximateInvokeCount"]),
        (&json!("RetriesExhausted"), &json!(3))
    );
    assert_eq!(record["requestPayload"], event);
    assert_eq!(record["responsePayload"]["errorMessage"], "every time");
    let stats = world
        .running
        .lambda
        .stats()
        .into_iter()
        .find(|stats| stats.name == function)
        .unwrap();
    assert_eq!((stats.invocations, stats.errors), (3, 3));
}

const PAGE: &str = "
exports.handler = async (event) => ({
    statusCode: 418,
    headers: { 'x-kettle': 'on', 'content-type': 'application/json' },
    cookies: ['a=1; HttpOnly', 'b=2'],
    body: JSON.stringify(event),
});
";

pub(crate) async fn a_function_url_hands_requests_over_as_aws_does(world: &World) {
    let function = deploy(world, PAGE, json!({})).await;
    let input = json!({ "FunctionName": function, "AuthType": "NONE" });
    let made = world
        .running
        .call("lambda", "CreateFunctionUrlConfig", input)
        .await
        .unwrap();
    let url = made["FunctionUrl"].as_str().unwrap();
    assert!(url.ends_with('/'), "{url}");
    let client = reqwest::Client::new();
    // Without statements that let everybody in, nobody gets in.
    assert_eq!(client.get(url).send().await.unwrap().status(), 403);
    for (action, more) in [
        ("InvokeFunctionUrl", json!({ "FunctionUrlAuthType": "NONE" })),
        ("InvokeFunction", json!({ "InvokedViaFunctionUrl": true })),
    ] {
        let mut input = json!({
            "FunctionName": function, "StatementId": action, "Action": format!("lambda:{action}"), "Principal": "*",
        });
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        world
            .running
            .call("lambda", "AddPermission", input)
            .await
            .unwrap();
    }
    let request = client
        .post(format!("{url}a%20b/c?x=1&x=2&y=%2F"))
        .header("cookie", "k=v")
        .header("X-Given", "Yes");
    let response = request
        .header("content-type", "application/octet-stream")
        .body(vec![0, 255])
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers()["x-kettle"], "on");
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; HttpOnly", "b=2"]);
    let event: Value = response.json().await.unwrap();
    assert_eq!(
        (&event["version"], &event["routeKey"]),
        (&json!("2.0"), &json!("$default"))
    );
    assert_eq!(
        (&event["rawPath"], &event["rawQueryString"]),
        (&json!("/a%20b/c"), &json!("x=1&x=2&y=%2F"))
    );
    assert_eq!(event["queryStringParameters"], json!({ "x": "1,2", "y": "/" }));
    assert_eq!(event["cookies"], json!(["k=v"]));
    assert_eq!(event["headers"]["x-given"], "Yes");
    assert_eq!(
        (&event["body"], &event["isBase64Encoded"]),
        (&json!("AP8="), &json!(true))
    );
    assert_eq!(event["requestContext"]["http"]["method"], "POST");
}

pub(crate) async fn the_environments_functions_run_as_real_processes(world: &World) {
    // An event of no use to it: the binary must start, read its configuration, and say so.
    let answer = world.invoke("start-run", &json!({ "nothing": "to see" })).await;
    let stats = world
        .running
        .lambda
        .stats()
        .into_iter()
        .find(|stats| stats.name == world.function("start-run"));
    let stats = stats.unwrap_or_else(|| panic!("start-run never ran: {answer:?}"));
    assert!(stats.cold_start_ms.is_some_and(|time| time > 0.0), "{stats:?}");
}
