//! The local cloud's own failures: what its rules do to calls, and how they are set.

use std::time::Duration;

use aws_sdk_codepipeline::config::retry::RetryConfig;
use aws_sdk_codepipeline::config::timeout::TimeoutConfig;
use aws_sdk_codepipeline::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::primitives::ByteStream;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use signalbox_local::faults::{Fault, Rule};

use crate::world::World;

/// Each client makes one attempt, so that one strike is one error.
fn aws(world: &World) -> aws_sdk_codepipeline::config::Builder {
    let aws = sdk(world);
    aws_sdk_codepipeline::config::Builder::from(aws.sdk()).retry_config(RetryConfig::disabled())
}

fn sdk(world: &World) -> signalbox_bootstrap::Aws {
    let credentials = aws_credential_types::Credentials::new("local", "local", None, None, "local");
    signalbox_bootstrap::Aws::new("us-east-1".to_owned(), credentials, Some(world.running.url()))
}

fn pipelines(world: &World) -> aws_sdk_codepipeline::Client {
    aws_sdk_codepipeline::Client::from_conf(aws(world).build())
}

fn tables(world: &World) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::config::Builder::from(sdk(world).sdk());
    aws_sdk_dynamodb::Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
}

fn objects(world: &World) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(sdk(world).sdk()).force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
}

fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

pub(crate) async fn a_rule_fails_calls_to_engines_and_to_the_emulator_alike(world: &World) {
    let (faults, mark) = (world.running.cloud.faults(), unique());
    let (pipelines, tables, objects) = (pipelines(world), tables(world), objects(world));
    let rule = |service: &str, operation: &str, what: Fault| {
        Rule::new(service, operation, what).containing(&mark).times(1)
    };

    // Errors, in each protocol's own form.
    let injected = faults.inject(rule(
        "codepipeline",
        "GetPipeline",
        Fault::error("ThrottlingException", 400),
    ));
    let throttled = pipelines.get_pipeline().name(&mark).send().await.unwrap_err();
    assert_eq!(throttled.code(), Some("ThrottlingException"));
    assert_eq!(injected.hits(), 1);
    let unstruck = pipelines.get_pipeline().name(&mark).send().await.unwrap_err();
    assert_eq!(
        unstruck.code(),
        Some("PipelineNotFoundException"),
        "once was enough"
    );
    let _injected = faults.inject(rule(
        "dynamodb",
        "DescribeTable",
        Fault::error("InternalServerError", 500),
    ));
    let failed = tables
        .describe_table()
        .table_name(&mark)
        .send()
        .await
        .unwrap_err();
    assert_eq!(failed.code(), Some("InternalServerError"));
    assert_eq!(failed.raw_response().unwrap().status().as_u16(), 500);
    let _injected = faults.inject(rule("s3", "GetObject", Fault::error("SlowDown", 503)));
    let bucket = &world.installed.source_bucket;
    let slow = objects
        .get_object()
        .bucket(bucket)
        .key(&mark)
        .send()
        .await
        .unwrap_err();
    assert_eq!(slow.code(), Some("SlowDown"));

    // No answer at all.
    for service in ["codepipeline", "dynamodb"] {
        let operation = if service == "dynamodb" {
            "DescribeTable"
        } else {
            "GetPipeline"
        };
        let _injected = faults.inject(rule(service, operation, Fault::Reset));
        let lost = if service == "dynamodb" {
            tables
                .describe_table()
                .table_name(&mark)
                .send()
                .await
                .unwrap_err()
                .raw_response()
                .is_none()
        } else {
            pipelines
                .get_pipeline()
                .name(&mark)
                .send()
                .await
                .unwrap_err()
                .raw_response()
                .is_none()
        };
        assert!(lost, "{service} answered");
    }
    let brief = TimeoutConfig::builder()
        .operation_timeout(Duration::from_secs(1))
        .build();
    let hasty = aws_sdk_codepipeline::Client::from_conf(aws(world).timeout_config(brief).build());
    let hanging = faults.inject(rule("codepipeline", "GetPipeline", Fault::Hang));
    let waited = hasty.get_pipeline().name(&mark).send().await.unwrap_err();
    assert!(matches!(waited, SdkError::TimeoutError(_)), "{waited:?}");
    hanging.has_hit(1).await;

    // Half an answer, with and without the truth about its length.
    let table = &world.installed.ledger_table;
    for half in [Fault::Truncated, Fault::Malformed] {
        let _injected = faults.inject(rule("dynamodb", "GetItem", half.clone()));
        let read = tables.get_item().table_name(table);
        let read = read
            .key("pk", AttributeValue::S(mark.clone()))
            .key("sk", AttributeValue::S(mark.clone()));
        let error = read.send().await.unwrap_err();
        assert_eq!(error.code(), None, "{half:?}: {error:?}");
    }
}

pub(crate) async fn an_effect_stands_whose_answer_is_lost(world: &World) {
    let (faults, objects) = (world.running.cloud.faults(), objects(world));
    let bucket = &world.installed.artifact_bucket;
    for (what, happens) in [(Rule::after as fn(Rule) -> Rule, true), (|rule| rule, false)] {
        let key = unique();
        let rule = Rule::new("s3", "PutObject", Fault::Reset)
            .containing(&key)
            .times(1);
        let injected = faults.inject(what(rule));
        let put = objects.put_object().bucket(bucket).key(&key);
        let lost = put
            .body(ByteStream::from_static(b"bytes"))
            .send()
            .await
            .unwrap_err();
        assert!(lost.raw_response().is_none(), "{lost:?}");
        injected.has_hit(1).await;
        let there = objects.head_object().bucket(bucket).key(&key).send().await;
        assert_eq!(there.is_ok(), happens, "{there:?}");
    }

    // A body that ends too early is seen to: its length was announced.
    let key = unique();
    let put = objects.put_object().bucket(bucket).key(&key);
    put.body(ByteStream::from(vec![7; 10_000])).send().await.unwrap();
    let _injected = faults.inject(
        Rule::new("s3", "GetObject", Fault::Truncated)
            .containing(&key)
            .times(1),
    );
    let read = async || {
        let object = objects
            .get_object()
            .bucket(bucket)
            .key(&key)
            .send()
            .await
            .unwrap();
        object.body.collect().await.map(|bytes| bytes.into_bytes().len())
    };
    assert!(read().await.is_err());
    assert_eq!(read().await.unwrap(), 10_000);
}

pub(crate) async fn rules_are_set_read_and_removed_by_http(world: &World) {
    let (client, mark) = (Client::new(), unique());
    let page = format!("{}/_signalbox/faults", world.running.url());
    let call = async |method: Method, path: &str, body: Value| {
        let request = client.request(method, format!("{page}{path}"));
        let answer = request.body(body.to_string()).send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let name = format!("/{mark}");
    let rule = json!({
        "service": "codepipeline", "operation": "GetPipeline", "containing": [mark],
        "what": { "error": { "code": "InternalFailure", "status": 503, "message": "by hand" } },
    });
    let (status, set) = call(Method::PUT, &name, rule.clone()).await;
    assert_eq!((status, &set["hits"]), (StatusCode::OK, &json!(0)), "{set}");
    let error = pipelines(world)
        .get_pipeline()
        .name(&mark)
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Some("InternalFailure"), Some("by hand"))
    );
    let (_, read) = call(Method::GET, &name, json!(null)).await;
    assert_eq!(
        (&read["hits"], &read["rule"]["what"]),
        (&json!(1), &rule["what"]),
        "{read}"
    );
    let (_, all) = call(Method::GET, "", json!(null)).await;
    assert!(
        all.as_array()
            .unwrap()
            .iter()
            .any(|standing| standing["name"] == mark.as_str())
    );

    for (wrong, words) in [
        (json!({ "service": "codepipeline", "what": "explode" }), "explode"),
        (
            json!({ "service": "codepipelines", "what": "hang" }),
            "no service",
        ),
        (json!({ "service": "../sns", "what": "hang" }), "no service"),
        (
            json!({ "service": "sns", "operation": "publish", "what": "hang" }),
            "no operation",
        ),
    ] {
        let (status, told) = call(Method::PUT, &name, wrong).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(told["message"].as_str().unwrap().contains(words), "{told}");
    }
    let (status, _) = call(Method::DELETE, &name, json!(null)).await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = call(Method::DELETE, &name, json!(null)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let error = pipelines(world)
        .get_pipeline()
        .name(&mark)
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("PipelineNotFoundException"));
}
