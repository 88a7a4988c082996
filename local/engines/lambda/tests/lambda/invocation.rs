//! What a process does, and what its caller then sees: success, errors, exits, time-outs.

use crate::support::{Lambda, ROLE, decode, encode, runs, zipped};
use serde_json::{Value, json};
use signalbox_local_core::Engine as _;

#[tokio::test]
async fn a_handler_gets_event_context_and_environment_and_its_process_is_reused() {
    let lambda = Lambda::new();
    let code = r#"
        let calls = 0;
        exports.handler = async (event, context) => {
            console.log('working on', event.order);
            return {
                calls: ++calls, pid: process.pid, order: event.order, name: context.functionName,
                version: context.functionVersion, arn: context.invokedFunctionArn, id: context.awsRequestId,
                left: context.getRemainingTimeInMillis(), group: context.logGroupName, env: process.env,
            };
        };"#;
    lambda
        .node_with(
            "orders",
            code,
            json!({ "Environment": { "Variables": { "TABLE": "t" } } }),
        )
        .await;
    let (answer, first) = lambda.invoke("orders", json!({ "order": 7 })).await;
    assert_eq!(
        (&answer["StatusCode"], &answer["ExecutedVersion"]),
        (&json!(200), &json!("$LATEST"))
    );
    assert!(answer.get("FunctionError").is_none());
    assert_eq!(
        (&first["order"], &first["name"], &first["version"]),
        (&json!(7), &json!("orders"), &json!("$LATEST"))
    );
    assert_eq!(
        first["arn"],
        "arn:aws:lambda:us-east-1:123456789012:function:orders"
    );
    assert!((15_000..=20_000).contains(&first["left"].as_i64().unwrap()));
    let env = &first["env"];
    assert_eq!(env["TABLE"], "t");
    assert_eq!(env["AWS_ENDPOINT_URL"], "http://127.0.0.1:9");
    assert_eq!(
        (&env["AWS_ACCESS_KEY_ID"], &env["AWS_SESSION_TOKEN"]),
        (&json!("KEY-orders"), &json!(ROLE))
    );
    assert!(
        env.get("HOME").is_none() && env.get("CARGO").is_none(),
        "the caller's environment leaks"
    );

    let log = decode(&answer["LogResult"]);
    let id = first["id"].as_str().unwrap();
    assert!(
        log.contains(&format!("START RequestId: {id} Version: $LATEST")),
        "{log}"
    );
    assert!(log.contains(&format!("{id}\tINFO\tworking on 7")), "{log}");
    assert!(
        log.find("working on").unwrap() < log.find("END RequestId").unwrap(),
        "{log}"
    );
    assert!(log.contains("Init Duration"), "{log}");

    let (_, second) = lambda.invoke("orders", json!({})).await;
    assert_eq!((&second["calls"], &second["pid"]), (&json!(2), &first["pid"]));

    let stats = lambda.engine.stats();
    assert_eq!((stats[0].invocations, stats[0].errors), (2, 0));
    assert!(stats[0].cold_start_ms.unwrap() > 0.0 && stats[0].max_rss_mb.unwrap() > 1.0);

    lambda.engine.shutdown().await;
    assert!(!runs(&first["pid"]), "the process outlives the engine");
    let file = std::fs::read_to_string(lambda.directory.path().join("logs/orders.log")).unwrap();
    assert!(file.contains("working on 7"));
    let stored: Vec<Value> = lambda
        .cloud
        .calls()
        .into_iter()
        .filter(|call| call.operation == "PutLogEvents")
        .flat_map(|call| call.input["logEvents"].as_array().unwrap().clone())
        .collect();
    assert!(
        stored
            .iter()
            .any(|event| event["message"].as_str().unwrap().contains("working on 7"))
    );
}

#[tokio::test]
async fn what_a_handler_throws_is_an_unhandled_function_error() {
    let lambda = Lambda::new();
    let code = r#"
        class OutOfStock extends Error { constructor(m) { super(m); this.name = 'OutOfStock'; } }
        exports.handler = (event, context, callback) => {
            if (event.how === 'throw') throw new OutOfStock('none left');
            if (event.how === 'reject') return Promise.reject(new OutOfStock('none left'));
            if (event.how === 'text') return callback('plain text');
            callback(null, 'fine');
        };"#;
    lambda.node("shop", code).await;
    for how in ["throw", "reject"] {
        let (answer, payload) = lambda.invoke("shop", json!({ "how": how })).await;
        assert_eq!(
            (&answer["StatusCode"], &answer["FunctionError"]),
            (&json!(200), &json!("Unhandled"))
        );
        assert_eq!(
            (&payload["errorType"], &payload["errorMessage"]),
            (&json!("OutOfStock"), &json!("none left"))
        );
        assert!(payload["trace"][0].as_str().unwrap().contains("none left"));
    }
    let (_, payload) = lambda.invoke("shop", json!({ "how": "text" })).await;
    assert_eq!(
        payload,
        json!({ "errorType": "string", "errorMessage": "plain text", "trace": [] })
    );
    let (answer, payload) = lambda.invoke("shop", json!({})).await;
    assert_eq!(payload, "fine", "an error does not end the process");
    assert!(answer.get("FunctionError").is_none());
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn a_process_that_ends_is_an_exit_error_and_the_next_invocation_starts_anew() {
    let lambda = Lambda::new();
    let code = r#"
        exports.handler = async (event) => {
            if (event.code !== undefined) process.exit(event.code);
            if (event.signal) process.kill(process.pid, event.signal);
            if (event.reject) { Promise.reject(new Error('nobody listens')); await new Promise((r) => setTimeout(r, 5000)); }
            return process.pid;
        };"#;
    lambda.node("fragile", code).await;
    for (event, expected) in [
        (json!({ "code": 3 }), "Runtime exited with error: exit status 3"),
        (json!({ "code": 0 }), "Runtime exited without providing a reason"),
        (
            json!({ "signal": "SIGKILL" }),
            "Runtime exited with error: signal: killed",
        ),
    ] {
        let (answer, payload) = lambda.invoke("fragile", event).await;
        assert_eq!(answer["FunctionError"], "Unhandled");
        assert_eq!(payload["errorType"], "Runtime.ExitError");
        let message = payload["errorMessage"].as_str().unwrap();
        assert!(
            message.starts_with("RequestId: ") && message.ends_with(expected),
            "{message}"
        );
    }
    let (_, payload) = lambda.invoke("fragile", json!({ "reject": true })).await;
    assert_eq!(payload["errorType"], "Runtime.UnhandledPromiseRejection");
    assert_eq!(payload["reason"]["errorMessage"], "nobody listens");
    let (answer, _) = lambda.invoke("fragile", json!({})).await;
    assert!(answer.get("FunctionError").is_none());
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn code_that_cannot_be_loaded_says_why() {
    let lambda = Lambda::new();
    for (name, code, handler, expected) in [
        (
            "absent",
            "exports.other = 1",
            "index.handler",
            "Runtime.HandlerNotFound",
        ),
        (
            "nofile",
            "exports.handler = 1",
            "main.handler",
            "Runtime.ImportModuleError",
        ),
        (
            "import",
            "require('left-pad-of-nowhere')",
            "index.handler",
            "Runtime.ImportModuleError",
        ),
        (
            "syntax",
            "exports.handler = (",
            "index.handler",
            "Runtime.UserCodeSyntaxError",
        ),
        (
            "throws",
            "throw new RangeError('at load')",
            "index.handler",
            "RangeError",
        ),
        ("exits", "process.exit(1)", "index.handler", "Runtime.ExitError"),
    ] {
        lambda.node_with(name, code, json!({ "Handler": handler })).await;
        let (answer, payload) = lambda.invoke(name, json!({})).await;
        assert_eq!(
            (&answer["FunctionError"], &payload["errorType"]),
            (&json!("Unhandled"), &json!(expected)),
            "{name}"
        );
    }
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn a_hanging_handler_is_killed_at_its_time_out() {
    let lambda = Lambda::new();
    let code = r#"
        exports.handler = async (event) => {
            console.log(`pid=${process.pid};`);
            if (event.spin) for (;;) ;
            await new Promise((resolve) => setTimeout(resolve, 60000));
        };"#;
    lambda.node_with("slow", code, json!({ "Timeout": 1 })).await;
    for event in [json!({}), json!({ "spin": true })] {
        let (answer, payload) = lambda.invoke("slow", event).await;
        assert_eq!(answer["FunctionError"], "Unhandled");
        assert_eq!(payload["errorType"], "Sandbox.Timedout");
        let message = payload["errorMessage"].as_str().unwrap();
        assert!(
            message.ends_with("Error: Task timed out after 1.00 seconds"),
            "{message}"
        );
        let log = decode(&answer["LogResult"]);
        assert!(
            log.contains("Task timed out after 1.00 seconds") && log.contains("Status: timeout"),
            "{log}"
        );
        let pid = log
            .split("pid=")
            .nth(1)
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .parse::<u32>()
            .unwrap();
        assert!(!runs(&json!(pid)), "the process outlives its time-out");
    }
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn a_handler_that_never_settles_is_noticed_without_waiting_for_the_time_out() {
    let lambda = Lambda::new();
    lambda
        .node("never", "exports.handler = () => new Promise(() => {});")
        .await;
    let (_, payload) = lambda.invoke("never", json!({})).await;
    assert_eq!(payload["errorType"], "Runtime.NodeJsExit");
    lambda
        .node("forgets", "exports.handler = (event, context, callback) => {};")
        .await;
    let (answer, payload) = lambda.invoke("forgets", json!({})).await;
    assert!(payload.is_null() && answer.get("FunctionError").is_none());
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn modules_of_either_kind_are_loaded() {
    let lambda = Lambda::new();
    let input = |name: &str, file: &str, code: &str, handler: &str| {
        json!({
            "FunctionName": name, "Runtime": "nodejs22.x", "Handler": handler, "Role": ROLE, "Timeout": 20,
            "Code": { "ZipFile": zipped(&[(file, code, 0o644)]) },
        })
    };
    let esm = "export const handler = async () => ({ esm: import.meta.url.endsWith('index.mjs') });";
    lambda
        .call("CreateFunction", input("esm", "index.mjs", esm, "index.handler"))
        .await;
    assert_eq!(lambda.invoke("esm", json!({})).await.1, json!({ "esm": true }));
    let nested = "module.exports = { api: { run: async () => 'deep' } };";
    lambda
        .call(
            "CreateFunction",
            input("nested", "src/app.js", nested, "src/app.api.run"),
        )
        .await;
    assert_eq!(lambda.invoke("nested", json!({})).await.1, "deep");
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn an_executable_bootstrap_speaks_the_runtime_api_itself() {
    let lambda = Lambda::new();
    let bootstrap = r#"#!/usr/bin/env node
        const api = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
        (async () => {
            for (;;) {
                const next = await fetch(`${api}/next`);
                const id = next.headers.get('lambda-runtime-aws-request-id');
                const event = await next.json();
                const wrong = await fetch(`${api}/00000000/response`, { method: 'POST', body: '1' });
                await fetch(`${api}/${id}/response`, { method: 'POST', body: JSON.stringify({ event, wrong: wrong.status }) });
            }
        })();"#;
    let create = |name: &str, file: &str| {
        json!({
            "FunctionName": name, "Runtime": "provided.al2023", "Handler": "bootstrap", "Role": ROLE, "Timeout": 20,
            "Code": { "ZipFile": zipped(&[(file, bootstrap, 0o755)]) },
        })
    };
    lambda.call("CreateFunction", create("native", "bootstrap")).await;
    let (_, payload) = lambda.invoke("native", json!({ "a": 1 })).await;
    assert_eq!(payload, json!({ "event": { "a": 1 }, "wrong": 400 }));
    lambda
        .call("CreateFunction", create("broken", "something-else"))
        .await;
    let (_, payload) = lambda.invoke("broken", json!({})).await;
    assert_eq!(payload["errorType"], "Runtime.InvalidEntrypoint");

    // The same program as a binary of the workspace.
    let binaries = lambda.directory.path().join("binaries");
    std::fs::create_dir(&binaries).unwrap();
    std::fs::write(binaries.join("start-run"), bootstrap).unwrap();
    std::fs::set_permissions(
        binaries.join("start-run"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let local = |image: &str| {
        json!({
            "FunctionName": "local", "Role": ROLE, "Timeout": 20, "PackageType": "Image", "Code": { "ImageUri": image },
        })
    };
    let refused = lambda
        .ask("CreateFunction", local("local-binary:track-run"))
        .await
        .unwrap_err();
    assert!(
        refused.message.contains("cargo build --bin track-run"),
        "{refused}"
    );
    lambda
        .call("CreateFunction", local("local-binary:start-run"))
        .await;
    assert_eq!(lambda.invoke("local", json!({})).await.1["wrong"], 400);
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn sizes_and_shapes_of_payloads_are_limited() {
    let lambda = Lambda::new();
    lambda
        .node(
            "big",
            "exports.handler = async (event) => 'x'.repeat(event.length ?? 0);",
        )
        .await;
    let refused = |kind: &str, payload: String| {
        lambda.ask(
            "Invoke",
            json!({ "FunctionName": "big", "InvocationType": kind, "Payload": encode(&payload) }),
        )
    };
    let text = |length: usize| format!("\"{}\"", "x".repeat(length));
    let error = refused("RequestResponse", text(6_291_456)).await.unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.status),
        ("RequestTooLargeException", 413)
    );
    assert_eq!(refused("Event", text(1_048_576)).await.unwrap_err().status, 413);
    assert_eq!(
        refused("RequestResponse", "{".to_owned()).await.unwrap_err().code,
        "InvalidRequestContentException"
    );
    assert_eq!(
        refused("DryRun", "{}".to_owned()).await.unwrap(),
        json!({ "StatusCode": 204 })
    );
    let (answer, payload) = lambda.invoke("big", json!({ "length": 6_300_000 })).await;
    assert_eq!(answer["FunctionError"], "Unhandled");
    assert_eq!(payload["errorType"], "Function.ResponseSizeTooLarge");
    let (_, payload) = lambda.invoke("big", json!({ "length": 6_000_000 })).await;
    assert_eq!(payload.as_str().unwrap().len(), 6_000_000);
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn metrics_carry_every_set_of_dimensions() {
    let lambda = Lambda::new();
    lambda
        .node(
            "metered",
            "exports.handler = async () => { throw new Error('no'); };",
        )
        .await;
    lambda
        .call("PublishVersion", json!({ "FunctionName": "metered" }))
        .await;
    lambda
        .call(
            "CreateAlias",
            json!({ "FunctionName": "metered", "Name": "live", "FunctionVersion": "1" }),
        )
        .await;
    lambda.invoke("metered:live", json!({})).await;
    let call = lambda
        .recorded("cloudwatch", "PutMetricData", |call| {
            call.input["MetricData"].as_array().unwrap().len() > 5
        })
        .await;
    let errors: Vec<Value> = call.input["MetricData"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|datum| datum["MetricName"] == "Errors")
        .map(|datum| {
            assert_eq!((&datum["Value"], &datum["Unit"]), (&json!(1.0), &json!("Count")));
            let dimensions = datum["Dimensions"].as_array().unwrap().iter();
            dimensions.map(|d| json!([d["Name"], d["Value"]])).collect()
        })
        .collect();
    assert_eq!(
        errors,
        [
            json!([["FunctionName", "metered"]]),
            json!([["FunctionName", "metered"], ["Resource", "metered:live"]]),
            json!([
                ["FunctionName", "metered"],
                ["Resource", "metered:live"],
                ["ExecutedVersion", "1"]
            ]),
        ]
    );
    lambda.engine.shutdown().await;
}
