//! Concurrency, permissions, asynchronous delivery, function URLs.

use std::sync::Arc;

use crate::support::{Lambda, decode, encode};
use serde_json::{Value, json};
use signalbox_local_core::{Caller, Engine as _};

const QUEUE: &str = "arn:aws:sqs:us-east-1:123456789012:failed";
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:done";
/// A minute of the clock passes in 30 ms.
const FAST: f64 = 2000.0;

#[tokio::test]
async fn reserved_concurrency_throttles_and_then_lets_in() {
    let lambda = Arc::new(Lambda::new());
    // The first invocation waits for a file, so that the second meets a busy function for certain.
    let gate = lambda.directory.path().join("gate");
    let busy = lambda.directory.path().join("busy");
    let code = format!(
        "const fs = require('fs');
        exports.handler = async () => {{
            fs.writeFileSync('{}', '');
            while (!fs.existsSync('{}')) await new Promise((r) => setTimeout(r, 5));
            return 'in';
        }};",
        busy.display(),
        gate.display()
    );
    lambda.node("narrow", &code).await;
    lambda
        .call(
            "PutFunctionConcurrency",
            json!({ "FunctionName": "narrow", "ReservedConcurrentExecutions": 1 }),
        )
        .await;
    let first = tokio::spawn({
        let lambda = lambda.clone();
        async move { lambda.invoke("narrow", json!({})).await.1 }
    });
    while !busy.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let refused = lambda
        .ask("Invoke", json!({ "FunctionName": "narrow" }))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code.as_str(), refused.status),
        ("TooManyRequestsException", 429)
    );
    assert!(
        refused
            .message
            .contains("ReservedFunctionConcurrentInvocationLimitExceeded")
    );
    std::fs::write(&gate, "").unwrap();
    assert_eq!(first.await.unwrap(), "in");
    assert_eq!(lambda.invoke("narrow", json!({})).await.1, "in");
    let throttled = |datum: &Value| datum["MetricName"] == "Throttles" && datum["Value"] == 1.0;
    lambda
        .recorded("cloudwatch", "PutMetricData", |call| {
            call.input["MetricData"].as_array().unwrap().iter().any(throttled)
        })
        .await;
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn services_invoke_only_what_a_statement_allows() {
    let lambda = Lambda::new();
    lambda.node("f", "exports.handler = async () => 1;").await;
    lambda
        .call("PublishVersion", json!({ "FunctionName": "f" }))
        .await;
    lambda
        .call(
            "CreateAlias",
            json!({ "FunctionName": "f", "Name": "live", "FunctionVersion": "1" }),
        )
        .await;
    let rule = "arn:aws:events:us-east-1:123456789012:rule/r";
    let events = Caller::service_for("events.amazonaws.com", rule);
    let invoke = |name: &str| json!({ "FunctionName": name, "InvocationType": "DryRun" });
    let denied = lambda
        .engine
        .call(&events, "Invoke", invoke("f"))
        .await
        .unwrap_err();
    assert_eq!(
        (denied.code.as_str(), denied.status),
        ("AccessDeniedException", 403)
    );
    let permission = json!({
        "FunctionName": "f", "StatementId": "rule", "Action": "lambda:InvokeFunction",
        "Principal": "events.amazonaws.com", "SourceArn": rule,
    });
    lambda.call("AddPermission", permission.clone()).await;
    assert_eq!(
        lambda.ask("AddPermission", permission).await.unwrap_err().status,
        409
    );
    assert!(lambda.engine.call(&events, "Invoke", invoke("f")).await.is_ok());
    assert!(
        lambda
            .engine
            .call(&events, "Invoke", invoke("f:live"))
            .await
            .is_err(),
        "aliases have policies of their own"
    );
    let policy = lambda.call("GetPolicy", json!({ "FunctionName": "f" })).await;
    assert!(policy["Policy"].as_str().unwrap().contains(rule));
    lambda
        .call(
            "RemovePermission",
            json!({ "FunctionName": "f", "StatementId": "rule" }),
        )
        .await;
    assert!(lambda.engine.call(&events, "Invoke", invoke("f")).await.is_err());
    assert_eq!(
        lambda
            .ask("GetPolicy", json!({ "FunctionName": "f" }))
            .await
            .unwrap_err()
            .status,
        404
    );
    assert!(
        lambda
            .engine
            .call(
                &Caller::service("codedeploy.amazonaws.com"),
                "Invoke",
                invoke("f")
            )
            .await
            .is_ok()
    );
    lambda.engine.shutdown().await;
}

fn event(name: &str, payload: &Value) -> Value {
    json!({ "FunctionName": name, "InvocationType": "Event", "Payload": encode(&payload.to_string()) })
}

#[tokio::test]
async fn a_failing_event_is_retried_twice_and_then_recorded_in_full() {
    let lambda = Lambda::scaled(FAST);
    let code = "exports.handler = async () => { throw new Error('still broken'); };";
    lambda
        .node_with(
            "worker",
            code,
            json!({ "DeadLetterConfig": { "TargetArn": QUEUE } }),
        )
        .await;
    lambda
        .call(
            "PutFunctionEventInvokeConfig",
            json!({ "FunctionName": "worker", "DestinationConfig": { "OnFailure": { "Destination": TOPIC } } }),
        )
        .await;
    let answer = lambda
        .call("Invoke", event("worker", &json!({ "order": 7 })))
        .await;
    assert_eq!(answer, json!({ "StatusCode": 202 }));

    let call = lambda
        .recorded("sns", "Publish", |call| call.input["TopicArn"] == TOPIC)
        .await;
    let record: Value = serde_json::from_str(call.input["Message"].as_str().unwrap()).unwrap();
    assert_eq!(record["version"], "1.0");
    let context = &record["requestContext"];
    assert_eq!(
        (&context["condition"], &context["approximateInvokeCount"]),
        (&json!("RetriesExhausted"), &json!(3))
    );
    assert_eq!(
        context["functionArn"],
        "arn:aws:lambda:us-east-1:123456789012:function:worker:$LATEST"
    );
    assert_eq!(record["requestPayload"], json!({ "order": 7 }));
    assert_eq!(
        record["responseContext"],
        json!({ "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" })
    );
    assert_eq!(record["responsePayload"]["errorMessage"], "still broken");
    assert_eq!(lambda.engine.stats()[0].invocations, 3);

    let letter = lambda.recorded("sqs", "SendMessage", |_| true).await.input;
    assert_eq!(letter["QueueUrl"], "http://127.0.0.1:9/123456789012/failed");
    assert_eq!(letter["MessageBody"], r#"{"order":7}"#);
    let attributes = &letter["MessageAttributes"];
    assert_eq!(attributes["RequestID"]["StringValue"], context["requestId"]);
    assert_eq!(attributes["ErrorMessage"]["StringValue"], "still broken");
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn a_retry_that_succeeds_ends_the_matter() {
    let lambda = Lambda::scaled(FAST);
    let marker = lambda.directory.path().join("tried");
    let code = format!(
        "const fs = require('fs');
        exports.handler = async () => {{
            if (!fs.existsSync('{0}')) {{ fs.writeFileSync('{0}', ''); throw new Error('first time'); }}
            return 'done';
        }};",
        marker.display()
    );
    lambda.node("worker", &code).await;
    let destinations =
        json!({ "OnSuccess": { "Destination": QUEUE }, "OnFailure": { "Destination": TOPIC } });
    lambda
        .call(
            "PutFunctionEventInvokeConfig",
            json!({ "FunctionName": "worker", "DestinationConfig": destinations }),
        )
        .await;
    lambda.call("Invoke", event("worker", &json!({}))).await;
    let call = lambda.recorded("sqs", "SendMessage", |_| true).await;
    let record: Value = serde_json::from_str(call.input["MessageBody"].as_str().unwrap()).unwrap();
    assert_eq!(record["requestContext"]["condition"], "Success");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 2);
    assert_eq!(record["responsePayload"], "done");
    assert!(lambda.cloud.calls().iter().all(|call| call.service != "sns"));
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn configured_retries_and_event_age_are_kept_to() {
    let lambda = Lambda::scaled(FAST);
    lambda
        .node(
            "worker",
            "exports.handler = async () => { throw new Error('no'); };",
        )
        .await;
    let config = |retries: u32, age: u32| {
        json!({
            "FunctionName": "worker", "MaximumRetryAttempts": retries, "MaximumEventAgeInSeconds": age,
            "DestinationConfig": { "OnFailure": { "Destination": QUEUE } },
        })
    };
    lambda
        .call("PutFunctionEventInvokeConfig", config(0, 21_600))
        .await;
    lambda.call("Invoke", event("worker", &json!({ "n": 1 }))).await;
    let count = |n: u32, condition: &'static str| {
        let lambda = &lambda;
        async move {
            let call = lambda
                .recorded("sqs", "SendMessage", |call| {
                    let record: Value =
                        serde_json::from_str(call.input["MessageBody"].as_str().unwrap()).unwrap();
                    record["requestPayload"]["n"] == n
                })
                .await;
            let record: Value = serde_json::from_str(call.input["MessageBody"].as_str().unwrap()).unwrap();
            assert_eq!(record["requestContext"]["condition"], condition);
            record["requestContext"]["approximateInvokeCount"].clone()
        }
    };
    assert_eq!(count(1, "RetriesExhausted").await, 1);
    // A minute's age is over by the time of the first retry, which comes a minute later.
    lambda.call("PutFunctionEventInvokeConfig", config(2, 60)).await;
    lambda.call("Invoke", event("worker", &json!({ "n": 2 }))).await;
    assert_eq!(count(2, "EventAgeExceeded").await, 1);
    // Switched off by a reservation of zero: given up without a single invocation.
    lambda
        .call("PutFunctionEventInvokeConfig", config(2, 21_600))
        .await;
    lambda
        .call(
            "PutFunctionConcurrency",
            json!({ "FunctionName": "worker", "ReservedConcurrentExecutions": 0 }),
        )
        .await;
    lambda.call("Invoke", event("worker", &json!({ "n": 3 }))).await;
    assert_eq!(count(3, "RetriesExhausted").await, 0);
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn a_record_can_go_to_another_function() {
    let lambda = Lambda::scaled(FAST);
    lambda
        .node("worker", "exports.handler = async () => 'made';")
        .await;
    lambda
        .node(
            "listener",
            "exports.handler = async (event) => { console.log('heard', event.responsePayload); };",
        )
        .await;
    let listener = "arn:aws:lambda:us-east-1:123456789012:function:listener";
    lambda
        .call(
            "PutFunctionEventInvokeConfig",
            json!({ "FunctionName": "worker", "DestinationConfig": { "OnSuccess": { "Destination": listener } } }),
        )
        .await;
    lambda.call("Invoke", event("worker", &json!({}))).await;
    lambda
        .recorded("logs", "PutLogEvents", |call| {
            let events = call.input["logEvents"].as_array().unwrap();
            events
                .iter()
                .any(|event| event["message"].as_str().unwrap().contains("heard made"))
        })
        .await;
    lambda.engine.shutdown().await;
}

async fn url(lambda: &Lambda, request: Value) -> (Value, Value) {
    let input = json!({ "FunctionName": "page", "Request": request });
    let reply = lambda
        .call_as(&Caller::service("lambda-url"), "InvokeFunctionUrl", input)
        .await;
    (reply["StatusCode"].clone(), reply)
}

#[tokio::test]
async fn a_function_url_needs_a_statement_and_speaks_format_two() {
    let lambda = Lambda::new();
    let code = r#"
        exports.handler = async (event) => {
            if (event.rawPath === '/broken') throw new Error('no');
            if (event.rawPath === '/plain') return { ok: true };
            return {
                statusCode: 201, headers: { 'Content-Type': 'text/html', 'X-N': 1 }, cookies: ['a=1', 'b=2'],
                body: JSON.stringify(event),
            };
        };"#;
    lambda.node("page", code).await;
    let get =
        |path: &str| json!({ "method": "GET", "rawPath": path, "headers": [], "sourceIp": "127.0.0.1" });
    assert_eq!(url(&lambda, get("/")).await.0, 403, "no URL at all");
    let config = lambda
        .call(
            "CreateFunctionUrlConfig",
            json!({ "FunctionName": "page", "AuthType": "NONE" }),
        )
        .await;
    assert_eq!(config["FunctionUrl"], "http://127.0.0.1:9/lambda-url/page/");
    let (status, reply) = url(&lambda, get("/")).await;
    assert_eq!(
        (status, decode(&reply["Body"])),
        (json!(403), r#"{"Message":"Forbidden"}"#.to_owned())
    );
    lambda
        .call(
            "AddPermission",
            json!({
                "FunctionName": "page", "StatementId": "public", "Action": "lambda:InvokeFunctionUrl",
                "Principal": "*", "FunctionUrlAuthType": "NONE",
            }),
        )
        .await;
    let request = json!({
        "method": "POST", "rawPath": "/a/b", "rawQueryString": "x=1&x=2", "sourceIp": "127.0.0.1",
        "headers": [["Host", "h.example:80"], ["X-A", "1"], ["x-a", "2"], ["Cookie", "s=1; t=2"],
                    ["Content-Type", "application/json"], ["User-Agent", "ua"]],
        "body": encode("{\"k\":1}"),
    });
    let (status, reply) = url(&lambda, request).await;
    assert_eq!(status, 201);
    assert_eq!(
        (&reply["Headers"]["content-type"], &reply["Headers"]["x-n"]),
        (&json!("text/html"), &json!("1"))
    );
    assert_eq!(reply["Cookies"], json!(["a=1", "b=2"]));
    let event: Value = serde_json::from_str(&decode(&reply["Body"])).unwrap();
    assert_eq!(
        (&event["version"], &event["rawPath"]),
        (&json!("2.0"), &json!("/a/b"))
    );
    assert_eq!(
        (&event["headers"]["x-a"], &event["cookies"]),
        (&json!("1,2"), &json!(["s=1", "t=2"]))
    );
    assert!(event["headers"].get("cookie").is_none());
    assert_eq!(event["queryStringParameters"], json!({ "x": "1,2" }));
    assert_eq!(
        (&event["body"], &event["isBase64Encoded"]),
        (&json!("{\"k\":1}"), &json!(false))
    );
    let http = &event["requestContext"]["http"];
    assert_eq!(
        (&http["method"], &http["path"], &http["userAgent"]),
        (&json!("POST"), &json!("/a/b"), &json!("ua"))
    );
    assert_eq!(event["requestContext"]["domainName"], "h.example:80");

    let mut form = get("/form");
    form["headers"] = json!([["content-type", "application/x-www-form-urlencoded"]]);
    form["body"] = json!(encode("a=1"));
    let (_, reply) = url(&lambda, form).await;
    let event: Value = serde_json::from_str(&decode(&reply["Body"])).unwrap();
    assert_eq!(
        (&event["body"], &event["isBase64Encoded"]),
        (&json!(encode("a=1")), &json!(true))
    );

    let (status, reply) = url(&lambda, get("/plain")).await;
    assert_eq!(
        (status, decode(&reply["Body"])),
        (json!(200), r#"{"ok":true}"#.to_owned())
    );
    assert_eq!(url(&lambda, get("/broken")).await.0, 502);
    lambda.engine.shutdown().await;
}
