//! The bus from `PutEvents` to the targets, over virtual time.
#![expect(clippy::unwrap_used, reason = "a test's helper may fail the test")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use signalbox_local_core::testing::{Recorded, TestCloud};
use signalbox_local_core::{AwsError, Caller, Engine};
use signalbox_local_eventbridge::{DeliveryFaults, EventBridgeEngine};

const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:track-run";
const QUEUE: &str = "arn:aws:sqs:us-east-1:123456789012:track-run-failed";

struct Bus {
    cloud: Arc<TestCloud>,
    engine: Arc<EventBridgeEngine>,
}

impl Bus {
    fn new(answer: impl Fn(&Recorded) -> Result<Value, AwsError> + Send + Sync + 'static) -> Self {
        let cloud = TestCloud::answering(Path::new("/nonexistent"), answer);
        let engine = EventBridgeEngine::new(Arc::<TestCloud>::clone(&cloud));
        Self { cloud, engine }
    }

    async fn call(&self, operation: &str, input: Value) -> Result<Value, AwsError> {
        self.engine.call(&Caller::Admin, operation, input).await
    }

    async fn rule(&self, target: Value) {
        let pattern = json!({"source": ["shop"]}).to_string();
        self.call("PutRule", json!({"Name": "r", "EventPattern": pattern}))
            .await
            .unwrap();
        self.call("PutTargets", json!({"Rule": "r", "Targets": [target]}))
            .await
            .unwrap();
    }

    async fn put(&self, source: &str) -> Value {
        let entry =
            json!({"Source": source, "DetailType": "t", "Detail": "{\"n\":1}", "Resources": ["arn:x"]});
        self.call("PutEvents", json!({"Entries": [entry]})).await.unwrap()
    }

    fn calls(&self, service: &str) -> Vec<Recorded> {
        self.cloud
            .calls()
            .into_iter()
            .filter(|call| call.service == service)
            .collect()
    }
}

/// Lets every task that is ready run; virtual time passes only where all wait.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn payload(call: &Recorded) -> Value {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD
        .decode(call.input["Payload"].as_str().unwrap())
        .unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_event_reaches_the_matching_rules_target_with_its_envelope() {
    let bus = Bus::new(|_| Ok(json!({})));
    bus.rule(json!({"Id": "1", "Arn": FUNCTION})).await;
    assert_eq!(bus.put("shop").await["FailedEntryCount"], 0);
    bus.put("other").await;
    settle().await;

    let [call] = bus.calls("lambda").try_into().unwrap();
    assert_eq!(
        (call.operation.as_str(), &call.input["InvocationType"]),
        ("Invoke", &json!("Event"))
    );
    let event = payload(&call);
    assert_eq!(event["version"], "0");
    assert_eq!(event["source"], "shop");
    assert_eq!(event["detail-type"], "t");
    assert_eq!(event["account"], "123456789012");
    assert_eq!(event["region"], "us-east-1");
    assert_eq!(event["resources"], json!(["arn:x"]));
    assert_eq!(event["detail"], json!({"n": 1}));
    assert_eq!(
        event["time"].as_str().unwrap().len(),
        "2026-01-01T00:00:00Z".len()
    );
    assert_eq!(bus.engine.events_seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_entry_is_judged_alone() {
    let bus = Bus::new(|_| Ok(json!({})));
    let answer = bus
        .call(
            "PutEvents",
            json!({"Entries": [
                {"Source": "shop", "DetailType": "t", "Detail": "{}"},
                {"Source": "aws.codepipeline", "DetailType": "t", "Detail": "{}"},
                {"Source": "shop", "DetailType": "t", "Detail": "{"},
                {"Source": "shop", "DetailType": "t", "Detail": "[]"},
                {"Source": "shop", "Detail": "{}"},
                {"Source": "shop", "DetailType": "t", "Detail": "{}", "EventBusName": "elsewhere"},
            ]}),
        )
        .await
        .unwrap();
    let codes: Vec<&str> = answer["Entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["ErrorCode"].as_str().unwrap_or("-"))
        .collect();
    assert_eq!(
        codes,
        [
            "-",
            "NotAuthorizedForSourceException",
            "MalformedDetail",
            "MalformedDetail",
            "InvalidArgument",
            "InvalidArgument"
        ]
    );
    assert_eq!(answer["FailedEntryCount"], 5);

    let aws = json!({"Entries": [{"Source": "aws.codepipeline", "DetailType": "t", "Detail": "{}"}]});
    let answer = bus
        .engine
        .call(&Caller::service("aws.internal"), "PutEvents", aws)
        .await
        .unwrap();
    assert_eq!(answer["FailedEntryCount"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_megabyte_passes_and_one_byte_more_does_not() {
    let bus = Bus::new(|_| Ok(json!({})));
    let request = |bytes: usize| {
        let detail = format!(
            "{{\"x\":\"{}\"}}",
            "y".repeat(bytes - "shopt".len() - "{\"x\":\"\"}".len())
        );
        json!({"Entries": [{"Source": "shop", "DetailType": "t", "Detail": detail}]})
    };
    assert_eq!(
        bus.call("PutEvents", request(1_048_576)).await.unwrap()["FailedEntryCount"],
        0
    );
    assert_eq!(
        bus.call("PutEvents", request(1_048_577)).await.unwrap_err().code,
        "ValidationException"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failing_target_is_retried_with_growing_pauses() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    let bus = Bus::new(move |call| {
        let failing = call.service == "lambda" && counted.fetch_add(1, Ordering::SeqCst) < 3;
        if failing {
            Err(AwsError::internal("down"))
        } else {
            Ok(json!({}))
        }
    });
    bus.rule(json!({"Id": "1", "Arn": FUNCTION, "DeadLetterConfig": {"Arn": QUEUE}}))
        .await;
    bus.put("shop").await;
    for (after, expected) in [(500, 1), (1_000, 2), (2_000, 3), (4_000, 4), (1_000_000, 4)] {
        tokio::time::sleep(Duration::from_millis(after)).await;
        assert_eq!(attempts.load(Ordering::SeqCst), expected);
    }
    assert_eq!(bus.calls("sqs"), []);
}

fn attribute<'c>(call: &'c Recorded, name: &str) -> Option<&'c str> {
    call.input["MessageAttributes"]
        .get(name)?
        .get("StringValue")?
        .as_str()
}

#[tokio::test(start_paused = true)]
async fn exhausted_retries_end_in_the_dead_letter_queue() {
    let bus = Bus::new(|call| {
        if call.service == "lambda" {
            Err(AwsError::new("TooManyRequestsException", "Rate exceeded"))
        } else {
            Ok(json!({}))
        }
    });
    let policy = json!({"MaximumRetryAttempts": 2});
    bus.rule(json!({"Id": "1", "Arn": FUNCTION, "RetryPolicy": policy, "DeadLetterConfig": {"Arn": QUEUE}}))
        .await;
    bus.put("shop").await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(bus.calls("lambda").len(), 3);
    let [dead] = bus.calls("sqs").try_into().unwrap();
    assert!(
        dead.input["QueueUrl"]
            .as_str()
            .unwrap()
            .ends_with("/123456789012/track-run-failed")
    );
    assert_eq!(
        attribute(&dead, "RULE_ARN"),
        Some("arn:aws:events:us-east-1:123456789012:rule/r")
    );
    assert_eq!(attribute(&dead, "TARGET_ARN"), Some(FUNCTION));
    assert_eq!(attribute(&dead, "ERROR_CODE"), Some("THROTTLING"));
    assert_eq!(attribute(&dead, "ERROR_MESSAGE"), Some("Rate exceeded"));
    assert_eq!(
        attribute(&dead, "EXHAUSTED_RETRY_CONDITION"),
        Some("MaximumRetryAttempts")
    );
    assert_eq!(attribute(&dead, "RETRY_ATTEMPTS"), Some("2"));
    let body: Value = serde_json::from_str(dead.input["MessageBody"].as_str().unwrap()).unwrap();
    assert_eq!(body["detail"], json!({"n": 1}));
}

#[tokio::test(start_paused = true)]
async fn an_old_event_is_given_up() {
    let bus = Bus::new(|call| {
        if call.service == "lambda" {
            Err(AwsError::internal("down"))
        } else {
            Ok(json!({}))
        }
    });
    let policy = json!({"MaximumEventAgeInSeconds": 60});
    bus.rule(json!({"Id": "1", "Arn": FUNCTION, "RetryPolicy": policy, "DeadLetterConfig": {"Arn": QUEUE}}))
        .await;
    bus.put("shop").await;
    tokio::time::sleep(Duration::from_mins(2)).await;
    let [dead] = bus.calls("sqs").try_into().unwrap();
    assert_eq!(
        attribute(&dead, "EXHAUSTED_RETRY_CONDITION"),
        Some("MaximumEventAgeInSeconds")
    );
    // 1 + 2 + 4 + 8 + 16 seconds; the next 32 would make it older than a minute.
    assert_eq!(attribute(&dead, "RETRY_ATTEMPTS"), Some("5"));
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_it_is_tried_for_a_day() {
    let bus = Bus::new(|call| {
        if call.service == "lambda" {
            Err(AwsError::internal("down"))
        } else {
            Ok(json!({}))
        }
    });
    bus.rule(json!({"Id": "1", "Arn": FUNCTION, "DeadLetterConfig": {"Arn": QUEUE}}))
        .await;
    bus.put("shop").await;
    tokio::time::sleep(Duration::from_hours(23)).await;
    assert_eq!(bus.calls("sqs"), []);
    tokio::time::sleep(Duration::from_hours(2)).await;
    assert_eq!(bus.calls("sqs").len(), 1);
    assert!(bus.calls("lambda").len() > 170);
}

#[tokio::test(start_paused = true)]
async fn what_retrying_cannot_mend_is_not_retried() {
    for (code, expected) in [
        ("AccessDeniedException", "NO_PERMISSIONS"),
        ("ResourceNotFoundException", "NO_RESOURCE"),
    ] {
        let bus = Bus::new(move |call| {
            if call.service == "lambda" {
                Err(AwsError::new(code, "no"))
            } else {
                Ok(json!({}))
            }
        });
        bus.rule(json!({"Id": "1", "Arn": FUNCTION, "DeadLetterConfig": {"Arn": QUEUE}}))
            .await;
        bus.put("shop").await;
        settle().await;
        assert_eq!(bus.calls("lambda").len(), 1);
        let [dead] = bus.calls("sqs").try_into().unwrap();
        assert_eq!(attribute(&dead, "ERROR_CODE"), Some(expected));
        assert_eq!(attribute(&dead, "RETRY_ATTEMPTS"), Some("0"));
        assert_eq!(attribute(&dead, "EXHAUSTED_RETRY_CONDITION"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_target_gets_what_it_understands() {
    let bus = Bus::new(|_| Ok(json!({})));
    let arn = |rest: &str| format!("arn:aws:{rest}");
    bus.rule(json!({"Id": "fifo", "Arn": QUEUE, "SqsParameters": {"MessageGroupId": "g"}, "InputPath": "$.detail"})).await;
    let targets = json!([
        {"Id": "topic", "Arn": arn("sns:us-east-1:123456789012:notices"), "Input": "\"hello\""},
        {"Id": "pipeline", "Arn": arn("codepipeline:us-east-1:123456789012:release")},
        {"Id": "build", "Arn": arn("codebuild:us-east-1:123456789012:project/p"), "Input": "{\"sourceVersion\":\"v\"}"},
        {"Id": "logs", "Arn": arn("logs:us-east-1:123456789012:log-group:/aws/events/x:*")},
    ]);
    bus.call("PutTargets", json!({"Rule": "r", "Targets": targets}))
        .await
        .unwrap();
    bus.put("shop").await;
    settle().await;
    let one = |service: &str| bus.calls(service).pop().unwrap().input;
    assert_eq!(one("sqs")["MessageBody"], "{\"n\":1}");
    assert_eq!(one("sqs")["MessageGroupId"], "g");
    assert_eq!(one("sns")["Message"], "\"hello\"");
    assert_eq!(one("codepipeline"), json!({"name": "release"}));
    assert_eq!(
        one("codebuild"),
        json!({"projectName": "p", "sourceVersion": "v"})
    );
    assert_eq!(one("logs")["logGroupName"], "/aws/events/x");
}

#[tokio::test(start_paused = true)]
async fn a_schedule_fires_until_it_is_disabled() {
    let bus = Bus::new(|_| Ok(json!({})));
    bus.call(
        "PutRule",
        json!({"Name": "sweep", "ScheduleExpression": "rate(5 minutes)"}),
    )
    .await
    .unwrap();
    bus.call(
        "PutTargets",
        json!({"Rule": "sweep", "Targets": [{"Id": "1", "Arn": FUNCTION}]}),
    )
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_secs(16 * 60)).await;
    assert_eq!(bus.calls("lambda").len(), 3);
    let event = payload(&bus.calls("lambda")[0]);
    assert_eq!(
        (&event["source"], &event["detail-type"]),
        (&json!("aws.events"), &json!("Scheduled Event"))
    );
    bus.call("DisableRule", json!({"Name": "sweep"})).await.unwrap();
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(bus.calls("lambda").len(), 3);
    bus.call("EnableRule", json!({"Name": "sweep"})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6 * 60)).await;
    assert_eq!(bus.calls("lambda").len(), 4);
    bus.engine.shutdown().await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(bus.calls("lambda").len(), 4);
}

#[tokio::test(start_paused = true)]
async fn faults_repeat_lose_and_reorder_deliveries() {
    let bus = Bus::new(|_| Ok(json!({})));
    bus.rule(json!({"Id": "1", "Arn": FUNCTION})).await;
    bus.engine.set_faults(DeliveryFaults {
        duplicate: true,
        ..DeliveryFaults::default()
    });
    bus.put("shop").await;
    settle().await;
    assert_eq!(bus.calls("lambda").len(), 2);

    bus.engine.set_faults(DeliveryFaults {
        drop: Some(Box::new(|event| event["source"] == "shop")),
        ..DeliveryFaults::default()
    });
    bus.put("shop").await;
    settle().await;
    assert_eq!(bus.calls("lambda").len(), 2);
    assert_eq!(bus.engine.events_seen().len(), 2);

    let delay = Box::new(|_: &Value| Duration::from_secs(30));
    bus.engine.set_faults(DeliveryFaults {
        delay: Some(delay),
        ..DeliveryFaults::default()
    });
    bus.put("shop").await;
    settle().await;
    assert_eq!(bus.calls("lambda").len(), 2);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(bus.calls("lambda").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn rules_are_kept_changed_listed_and_deleted() {
    let bus = Bus::new(|_| Ok(json!({})));
    let pattern = json!({"source": ["shop"]}).to_string();
    let put = json!({"Name": "r", "EventPattern": pattern, "Description": "d", "Tags": [{"Key": "k", "Value": "v"}]});
    let arn = bus.call("PutRule", put).await.unwrap()["RuleArn"].clone();
    bus.call(
        "PutTargets",
        json!({"Rule": "r", "Targets": [{"Id": "1", "Arn": FUNCTION}]}),
    )
    .await
    .unwrap();

    let described = bus.call("DescribeRule", json!({"Name": "r"})).await.unwrap();
    assert_eq!(
        (
            &described["Description"],
            &described["State"],
            &described["EventBusName"]
        ),
        (&json!("d"), &json!("ENABLED"), &json!("default"))
    );
    bus.call(
        "PutRule",
        json!({"Name": "r", "EventPattern": pattern, "State": "DISABLED"}),
    )
    .await
    .unwrap();
    let described = bus.call("DescribeRule", json!({"Name": "r"})).await.unwrap();
    assert_eq!(
        (described.get("Description"), &described["State"]),
        (None, &json!("DISABLED"))
    );
    bus.put("shop").await;
    settle().await;
    assert_eq!(bus.calls("lambda"), []);

    let targets = bus.call("ListTargetsByRule", json!({"Rule": "r"})).await.unwrap();
    assert_eq!(targets["Targets"], json!([{"Id": "1", "Arn": FUNCTION}]));
    let names = bus
        .call("ListRuleNamesByTarget", json!({"TargetArn": FUNCTION}))
        .await
        .unwrap();
    assert_eq!(names["RuleNames"], json!(["r"]));
    assert_eq!(
        bus.call("ListTagsForResource", json!({"ResourceARN": arn}))
            .await
            .unwrap()["Tags"],
        json!([{"Key": "k", "Value": "v"}])
    );
    assert_eq!(
        bus.call("ListRules", json!({"NamePrefix": "x"})).await.unwrap()["Rules"],
        json!([])
    );

    assert_eq!(
        bus.call("DeleteRule", json!({"Name": "r"}))
            .await
            .unwrap_err()
            .message,
        "Rule can't be deleted since it has targets."
    );
    let removed = bus
        .call("RemoveTargets", json!({"Rule": "r", "Ids": ["1", "2"]}))
        .await
        .unwrap();
    assert_eq!(removed["FailedEntryCount"], 1);
    bus.call("DeleteRule", json!({"Name": "r"})).await.unwrap();
    assert_eq!(
        bus.call("DescribeRule", json!({"Name": "r"}))
            .await
            .unwrap_err()
            .code,
        "ResourceNotFoundException"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_refused_by_name() {
    let bus = Bus::new(|_| Ok(json!({})));
    let code = async |operation: &str, input: Value| bus.call(operation, input).await.unwrap_err().code;
    assert_eq!(code("PutRule", json!({"Name": "r"})).await, "ValidationException");
    assert_eq!(
        code("PutRule", json!({"Name": "r", "EventPattern": "{\"a\":1}"})).await,
        "InvalidEventPatternException"
    );
    assert_eq!(
        code("PutRule", json!({"Name": "r", "ScheduleExpression": "rate(5)"})).await,
        "ValidationException"
    );
    assert_eq!(
        code("PutTargets", json!({"Rule": "r", "Targets": []})).await,
        "ResourceNotFoundException"
    );
    assert_eq!(
        code("DescribeRule", json!({"Name": "r", "EventBusName": "other"})).await,
        "ResourceNotFoundException"
    );
    for target in [
        json!({"Id": "1", "Arn": "no arn"}),
        json!({"Id": "1", "Arn": "arn:aws:ec2:::x"}),
        json!({"Id": "1", "Arn": QUEUE, "Input": "1", "InputPath": "$"}),
    ] {
        assert_eq!(
            code("PutTargets", json!({"Rule": "r", "Targets": [target]})).await,
            "ValidationException"
        );
    }
    let test = |event: &str| json!({"EventPattern": "{\"a\":[1]}", "Event": event});
    assert_eq!(
        bus.call("TestEventPattern", test("{\"a\":1}")).await.unwrap()["Result"],
        true
    );
    assert_eq!(
        bus.call("TestEventPattern", test("{\"a\":2}")).await.unwrap()["Result"],
        false
    );
    assert_eq!(code("TestEventPattern", test("x")).await, "ValidationException");
}
