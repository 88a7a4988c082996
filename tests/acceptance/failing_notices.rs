//! Hazards 71, 73, 78 and 79: what people and CloudWatch are told while SNS or CloudWatch fails.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};
use signalbox_decision::timeline::metric::{Metric, Unit, sendable};
use signalbox_local::faults::{Fault, Rule};

use crate::approvals::ask_with;
use crate::failing_starts::{Start, twin};
use crate::packages;
use crate::runs;
use crate::source::{manual, put, through_sqs};
use crate::tracking::pipeline_event;
use crate::world::{ANN, BEN, TEAM, World, until};

fn throttled() -> Fault {
    Fault::error("Throttled", 429)
}

pub(crate) async fn h71_a_throttled_topic_is_tried_again_and_each_is_told_once(world: &World) {
    let tracker = twin(world, "track-run", 20).await;
    let run = uuid::Uuid::new_v4().to_string();
    let event = pipeline_event(world, &run, "Pipeline", "SUCCEEDED");
    let told = || world.mails(|mail| mail.to == TEAM && mail.text.contains(&run));
    let publishing = || Rule::new("sns", "Publish", throttled()).by(&tracker);

    // For good: three attempts, an error, nobody told, and the claim is free at once.
    let injected = world.running.cloud.faults().inject(publishing());
    let answer = world.invoke_named(&tracker, &event).await;
    assert_eq!(answer.error_type(), "Retryable");
    assert!(answer.text().contains("Publish: Throttled"), "{answer:?}");
    assert_eq!((injected.hits(), told()), (3, 0));
    drop(injected);

    // Twice: the third attempt counts.
    let injected = world.running.cloud.faults().inject(publishing().times(2));
    let answer = world.invoke_named(&tracker, &event).await;
    assert!(!answer.failed, "{answer:?}");
    assert_eq!(injected.hits(), 2);
    until("the notice", async || (told() > 0).then_some(())).await;
    let again = world.invoke_named(&tracker, &event).await;
    assert_eq!((again.payload["told"].clone(), told()), (json!([]), 1));
}

pub(crate) async fn h72_a_notice_whose_sending_nobody_is_sure_of_keeps_its_claim(world: &World) {
    let tracker = twin(world, "track-run", 15).await;
    let run = uuid::Uuid::new_v4().to_string();
    let event = pipeline_event(world, &run, "Pipeline", "SUCCEEDED");
    let told = || world.mails(|mail| mail.to == TEAM && mail.text.contains(&run));
    let rule = Rule::new("sns", "Publish", Fault::error("InternalError", 500)).by(&tracker);
    let injected = world.running.cloud.faults().inject(rule);
    let answer = world.invoke_named(&tracker, &event).await;
    assert_eq!((answer.error_type(), injected.hits()), ("Retryable", 3));
    drop(injected);
    // It may have gone out: the next one waits for the first one's end, and then tells.
    let early = world.invoke_named(&tracker, &event).await;
    assert!(
        early.failed && early.text().contains("another invocation tells"),
        "{early:?}"
    );
    until("the end of the claim", async || {
        (!world.invoke_named(&tracker, &event).await.failed).then_some(())
    })
    .await;
    until("the notice", async || (told() == 1).then_some(())).await;
}

pub(crate) async fn h73_a_notice_that_was_sent_twice_is_one_notice(world: &World) {
    // SNS has no token against repetition: who reads the notices knows a repeated one by its id.
    let tracker = twin(world, "track-run", 20).await;
    let run = uuid::Uuid::new_v4().to_string();
    let event = pipeline_event(world, &run, "Pipeline", "SUCCEEDED");
    let rule = Rule::new("sns", "Publish", Fault::Reset)
        .by(&tracker)
        .after()
        .times(1);
    let injected = world.running.cloud.faults().inject(rule);
    let answer = world.invoke_named(&tracker, &event).await;
    assert!(!answer.failed, "{answer:?}");
    assert_eq!(injected.hits(), 1);
    let mails = || {
        let all = world.running.cloud.inbox().mails();
        let about = all
            .into_iter()
            .filter(|mail| mail.to == TEAM && mail.text.contains(&run));
        about.collect::<Vec<_>>()
    };
    until("both of its mails", async || (mails().len() == 2).then_some(())).await;
    let ids: BTreeSet<_> = mails()
        .into_iter()
        .map(|mail| mail.attributes["notice"].clone())
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

pub(crate) async fn h78_only_what_failed_of_a_batch_is_done_again(world: &World) {
    // One message per approver: Ann's fails, as often as one invocation tries; Ben's does not.
    let mark = format!("h78-{}", uuid::Uuid::new_v4());
    let rule = Rule::new("sns", "Publish", throttled()).by(&world.function("request-approval"));
    let rule = rule
        .containing(&mark)
        .containing(&format!("\"StringValue\":\"{ANN}\""))
        .times(3);
    let injected = world.running.cloud.faults().inject(rule);
    let asked = ask_with(world, &mark).await;
    assert_eq!(injected.hits(), 3);
    for person in [ANN, BEN] {
        let mails = world.mails(|mail| mail.to == person && mail.text.contains(&mark));
        assert_eq!(mails, 1, "{person}");
    }
    runs::stop(world, &asked.run).await;

    // Messages of a queue: only the one that failed comes again.
    let start = Start::prepare(world, "h78 good", 20).await;
    let bad = put(world, &manual("h78-bad"), packages::sound("h78 bad")).await;
    let rule = Rule::new(
        "codepipeline",
        "StartPipelineExecution",
        Fault::error("ThrottlingException", 400),
    );
    let injected = world
        .running
        .cloud
        .faults()
        .inject(rule.by(&start.function).containing(&bad.key));
    let message =
        |stored: &crate::source::Stored| through_sqs(&stored.event(world, "A1"))["Records"][0].clone();
    let (good_one, bad_one) = (message(&start.stored), message(&bad));
    let batch = json!({ "Records": [bad_one, good_one] });
    let answer = world.invoke_named(&start.function, &batch).await;
    assert!(!answer.failed, "{answer:?}");
    assert_eq!(
        answer.payload["batchItemFailures"],
        json!([{ "itemIdentifier": bad_one["messageId"] }])
    );
    assert_eq!(answer.done(), "started");
    drop(injected);
    let again = world
        .invoke_named(&start.function, &json!({ "Records": [bad_one] }))
        .await;
    assert_eq!(again.done(), "started");
    start.runs(1).await;
    runs::exactly(world, 1, &bad.version).await;
}

/// Sends metrics over the wire, as a program without any check would.
async fn put_metrics(world: &World, data: Value) -> (StatusCode, String) {
    let request = reqwest::Client::new()
        .post(world.running.url())
        .header("x-amz-target", "GraniteServiceVersion20100801.PutMetricData")
        .header("content-type", "application/x-amz-json-1.0")
        .body(json!({ "Namespace": "Trial", "MetricData": data }).to_string());
    let answer = request.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

pub(crate) async fn h79_what_cloudwatch_would_refuse_is_dropped_and_counted(world: &World) {
    // One datum that it cannot take costs the whole request.
    let metric = |value: f64, dimensions: usize| Metric {
        name: "Runs".into(),
        value,
        unit: Unit::Count,
        dimensions: (0..dimensions).map(|n| ("Name", n.to_string())).collect(),
    };
    let datum = |value: Value, dimensions: usize| {
        let dimensions: Vec<_> = (0..dimensions)
            .map(|n| json!({ "Name": format!("Name{n}"), "Value": n.to_string() }))
            .collect();
        json!({ "MetricName": "Runs", "Value": value, "Dimensions": dimensions })
    };
    assert_eq!(
        put_metrics(world, json!([datum(json!(1.0), 30)])).await.0,
        StatusCode::OK
    );
    for (value, dimensions) in [(json!("NaN"), 1), (json!(1.0), 31)] {
        let (status, why) = put_metrics(world, json!([datum(json!(1.0), 0), datum(value, dimensions)])).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{why}");
    }
    let (kept, dropped) = sendable(vec![metric(1.0, 30), metric(f64::NAN, 1), metric(1.0, 31)]);
    assert_eq!((kept, dropped), (vec![metric(1.0, 30)], 2));

    // A deployment group's name may hold what a dimension may not: the notice goes out, the metric does not,
    // and that one was dropped is itself a metric.
    let tracker = twin(world, "track-run", 20).await;
    let id = format!(
        "d-{}",
        uuid::Uuid::new_v4().simple().to_string()[..9].to_uppercase()
    );
    let event = json!({
        "version": "0", "id": uuid::Uuid::new_v4().to_string(), "source": "aws.codedeploy", "account": "123456789012",
        "detail-type": "CodeDeploy Deployment State-change Notification", "region": "us-east-1", "resources": [],
        "time": "2026-02-03T10:00:00Z",
        "detail": {
            "region": "us-east-1", "deploymentId": id, "application": world.installed.function,
            "deploymentGroup": "grün", "state": "FAILURE",
        },
    });
    let now = jiff::Timestamp::now().as_second();
    let counted = async || {
        let input = json!({
            "Namespace": "Signalbox", "MetricName": "MetricsDropped", "StartTime": now - 3600, "EndTime": now + 3600,
            "Period": 3600, "Statistics": ["Sum"],
        });
        let answer = world
            .running
            .call("cloudwatch", "GetMetricStatistics", input)
            .await
            .unwrap();
        let points = answer["Datapoints"].as_array().cloned().unwrap_or_default();
        points
            .iter()
            .filter_map(|point| point["Sum"].as_f64())
            .sum::<f64>()
    };
    let before = counted().await;
    let answer = world.invoke_named(&tracker, &event).await;
    assert!(!answer.failed, "{answer:?}");
    assert!(answer.payload["metricsDropped"].as_u64() > Some(0), "{answer:?}");
    world
        .mail("about the deployment", |mail| {
            mail.to == TEAM && mail.text.contains(&id)
        })
        .await;
    assert!(counted().await > before);
}
