//! Whole events against a CodePipeline of one run, whose last action deploys.

use aws_sdk_codepipeline::config::Credentials;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use signalbox_bootstrap::Aws;
use signalbox_decision::names::ExecutionId;
use signalbox_decision::timeline::validated::Hook;
use signalbox_decision::validation::policy::Inconclusive;
use signalbox_decision::validation::{Check, Finding, Measurement, Report, Verdict};
use signalbox_ledger::Ledger;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::app::tests::config;

const RUN: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
const DEPLOYMENT: &str = "d-DRP6JOAN4";
/// The job of the run's other action, as it told CodePipeline.
const JOB: &str = "11111111-abcd-1111-abcd-111111abcdef";
/// When the event says that the deployment began, less some seconds.
const DEPLOYS_SINCE: i64 = 1_772_443_200;

/// What CodePipeline, or any other service, answers.
fn answer(operation: &str) -> Value {
    match operation {
        "ListActionExecutions" => json!({ "actionExecutionDetails": [{
            "pipelineExecutionId": RUN, "actionExecutionId": "a-1", "stageName": "Release",
            "actionName": "ExecuteChangeSet", "status": "InProgress", "startTime": DEPLOYS_SINCE,
            "input": {
                "actionTypeId": { "category": "Deploy", "owner": "AWS", "provider": "CloudFormation", "version": "1" },
                "configuration": { "ActionMode": "CHANGE_SET_EXECUTE" },
            },
        }, {
            "pipelineExecutionId": RUN, "actionExecutionId": "a-2", "stageName": "Release",
            "actionName": "Validate", "status": "Succeeded", "startTime": DEPLOYS_SINCE + 300,
            "lastUpdateTime": DEPLOYS_SINCE + 400,
            "input": { "actionTypeId": { "category": "Invoke", "owner": "AWS", "provider": "Lambda", "version": "1" } },
            "output": { "executionResult": { "externalExecutionId": JOB } },
        }] }),
        "GetPipelineExecution" => json!({ "pipelineExecution": { "artifactRevisions": [] } }),
        _ => json!({}),
    }
}

/// Answers requests of one connection until it is closed.
async fn serve(mut stream: TcpStream) {
    let mut received = Vec::new();
    while stream.read_buf(&mut received).await.is_ok_and(|count| count > 0) {
        let text = String::from_utf8_lossy(&received).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let header = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let length = header("content-length").and_then(|length| length.parse().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        let target = header("x-amz-target").unwrap_or_default();
        let operation = ["ListActionExecutions", "GetPipelineExecution"]
            .into_iter()
            .find(|operation| target.ends_with(&operation.to_ascii_lowercase()));
        let body = answer(operation.unwrap_or_default()).to_string();
        let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(response.as_bytes()).await.unwrap();
        received.clear();
    }
}

async fn app() -> App {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    let credentials = Credentials::new("a", "b", None, None, "test");
    let aws = Aws::new("eu-central-1".to_owned(), credentials, Some(endpoint));
    App {
        config: config(),
        ledger: Ledger::memory(),
        pipelines: aws_sdk_codepipeline::Client::new(aws.sdk()),
        metrics: aws_sdk_cloudwatch::Client::new(aws.sdk()),
        topics: aws_sdk_sns::Client::new(aws.sdk()),
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(DEPLOYS_SINCE + 900).unwrap()
}

/// The deployment comes into that state; whether the event brought anything new.
async fn deliver(app: &App, state: &str) -> bool {
    let started = include_str!("../../../../../events/track-run/deployment-started.json");
    let mut event: Value = serde_json::from_str(started).unwrap();
    event["detail"]["state"] = json!(state);
    deliver_event(app, event).await
}

async fn deliver_event(app: &App, event: Value) -> bool {
    let invocation = Invocation {
        now: now(),
        deadline: now() + SignedDuration::from_secs(60),
        request_id: "r".to_owned(),
    };
    match handle(event, app, invocation).await.unwrap() {
        Outcome::Tracked { subject, changed, .. } => {
            assert_eq!(subject, run());
            changed
        }
        Outcome::Ignored { reason } => panic!("{reason}"),
    }
}

/// The end of the run's action, which comes after its deployment's.
fn action_event() -> Value {
    json!({
        "version": "0", "id": "e", "source": "aws.codepipeline", "account": "111122223333", "region": "eu-central-1",
        "detail-type": "CodePipeline Action Execution State Change", "time": "2026-03-02T09:20:40Z", "resources": [],
        "detail": {
            "pipeline": config().pipeline.as_str(), "execution-id": RUN, "stage": "Release", "action": "ExecuteChangeSet",
            "action-execution-id": "a-1", "state": "SUCCEEDED", "version": 1.0, "pipeline-execution-attempt": 1.0,
            "type": { "owner": "AWS", "provider": "CloudFormation", "category": "Deploy", "version": "1" },
        },
    })
}

fn run() -> Subject {
    Subject::Run {
        pipeline: config().pipeline,
        execution: ExecutionId::new(RUN).unwrap(),
    }
}

/// A report as validate-deployment writes it, before it is told or afterwards.
fn record(of: &str, verdict: Verdict, told: Option<&str>) -> Value {
    let finding = Finding {
        measurements: vec![Measurement {
            name: "PerformanceP95".to_owned(),
            value: Some(12.5),
            unit: signalbox_decision::timeline::metric::Unit::Milliseconds,
        }],
        ..Finding::new(Check::Performance, verdict, "p95 12.5 ms")
    };
    let report = Report::of(vec![finding], Inconclusive::Fail);
    let mut record = json!({ "hook": of, "at": now(), "report": report, "request": "r" });
    if let Some(told) = told {
        record["told"] = json!(told);
    }
    record
}

/// validate-deployment has told of its report.
async fn reported(app: &App, hook: Hook, verdict: Verdict) {
    keep(app, hook, &record(hook.name(), verdict, Some("accepted"))).await;
}

async fn keep(app: &App, hook: Hook, value: &Value) {
    keep_as(app, &format!("{DEPLOYMENT}/{}", hook.name()), value).await;
}

async fn keep_as(app: &App, name: &str, value: &Value) {
    app.ledger
        .put_value("validation", name, value, now(), None)
        .await
        .unwrap();
}

/// The verdicts in the run's timeline, with p95.
async fn verdicts(app: &App) -> Vec<(Hook, Verdict, Option<f64>)> {
    let timeline = app.ledger.load_timeline(&run()).await.unwrap().timeline;
    assert!(timeline.deployments.contains_key(DEPLOYMENT));
    let of = timeline.validations.get(DEPLOYMENT);
    of.into_iter()
        .flatten()
        .map(|(hook, of)| {
            let number = of.checks["performance"].numbers["PerformanceP95"];
            (*hook, of.verdict, number.value.map(|value| value.as_f64()))
        })
        .collect()
}

#[tokio::test]
async fn each_event_brings_the_reports_that_were_written_since() {
    let app = app().await;
    assert!(deliver(&app, "START").await);
    assert_eq!(verdicts(&app).await, []);

    let before = (Hook::BeforeAllowTraffic, Verdict::Passed, Some(12.5));
    reported(&app, before.0, before.1).await;
    assert!(deliver(&app, "SUCCESS").await);
    assert_eq!(verdicts(&app).await, [before]);

    // The last report came after the deployment's last event.
    let after = (Hook::AfterAllowTraffic, Verdict::Failed, Some(12.5));
    reported(&app, after.0, after.1).await;
    assert!(deliver_event(&app, action_event()).await);
    assert_eq!(verdicts(&app).await, [before, after]);

    for late in ["START", "SUCCESS"] {
        assert!(!deliver(&app, late).await, "{late}");
    }
    assert!(!deliver_event(&app, action_event()).await);
    assert_eq!(verdicts(&app).await, [before, after]);
}

#[tokio::test]
async fn a_report_of_an_unknown_form_holds_nothing_up() {
    let app = app().await;
    for kept in [
        json!("passed"),
        json!({ "at": now(), "report": { "verdict": "splendid" } }),
    ] {
        keep(&app, Hook::BeforeAllowTraffic, &kept).await;
        deliver(&app, "SUCCESS").await;
        assert_eq!(verdicts(&app).await, []);
    }
}

#[tokio::test]
async fn a_report_that_is_being_told_counts_once_the_deployment_is_over_and_one_that_was_late_never() {
    let app = app().await;
    let hook = Hook::BeforeAllowTraffic;
    keep(&app, hook, &record(hook.name(), Verdict::Passed, None)).await;
    let late = Hook::AfterAllowTraffic;
    keep(
        &app,
        late,
        &record(late.name(), Verdict::Failed, Some("too-late")),
    )
    .await;
    deliver(&app, "START").await;
    assert_eq!(verdicts(&app).await, []);
    deliver(&app, "SUCCESS").await;
    assert_eq!(verdicts(&app).await, [(hook, Verdict::Passed, Some(12.5))]);
}

#[tokio::test]
async fn what_a_job_of_the_pipeline_measured_comes_into_the_timeline_of_its_run() {
    let app = app().await;
    deliver_event(&app, action_event()).await;
    let jobs = async || app.ledger.load_timeline(&run()).await.unwrap().timeline.jobs;
    assert!(jobs().await.is_empty());
    let name = format!("{JOB}/Job");
    keep_as(&app, &name, &record("Job", Verdict::Failed, Some("accepted"))).await;
    assert!(deliver_event(&app, action_event()).await);
    let of = &jobs().await["a-2"];
    let number = of.checks["performance"].numbers["PerformanceP95"];
    assert_eq!(
        (of.verdict, number.value.map(|value| value.as_f64())),
        (Verdict::Failed, Some(12.5))
    );
    assert!(!deliver_event(&app, action_event()).await);
}
