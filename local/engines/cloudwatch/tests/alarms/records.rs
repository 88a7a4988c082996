//! Alarms as records, and what is refused.

use serde_json::{Value, json};

use crate::watch::Watch;

#[tokio::test(start_paused = true)]
async fn alarms_are_put_described_tagged_and_deleted() {
    let watch = Watch::new();
    watch
        .alarm("b", json!({"Tags": [{"Key": "k", "Value": "v"}]}))
        .await;
    watch.alarm("a", json!({})).await;
    watch
        .ok(
            "PutCompositeAlarm",
            json!({"AlarmName": "ab", "AlarmRule": "ALARM(a) OR ALARM(b)"}),
        )
        .await;
    let names = |answer: &Value, member: &str| -> Vec<String> {
        answer[member]
            .as_array()
            .unwrap()
            .iter()
            .map(|alarm| alarm["AlarmName"].as_str().unwrap().to_owned())
            .collect()
    };
    let metric = watch.ok("DescribeAlarms", json!({})).await;
    assert_eq!(
        (names(&metric, "MetricAlarms"), names(&metric, "CompositeAlarms")),
        (vec!["a".to_owned(), "b".to_owned()], vec![])
    );
    assert_eq!(metric["MetricAlarms"][0]["OKActions"], json!([]));
    let first = watch.ok("DescribeAlarms", json!({"MaxRecords": 1})).await;
    let next = watch
        .ok(
            "DescribeAlarms",
            json!({"MaxRecords": 1, "NextToken": first["NextToken"]}),
        )
        .await;
    assert_eq!(
        (names(&next, "MetricAlarms"), next.get("NextToken")),
        (vec!["b".to_owned()], None)
    );
    let prefixed = watch
        .ok(
            "DescribeAlarms",
            json!({"AlarmNamePrefix": "a", "AlarmTypes": ["CompositeAlarm"], "StateValue": "OK"}),
        )
        .await;
    assert_eq!(names(&prefixed, "CompositeAlarms"), ["ab"]);

    watch.set("a", "ALARM").await;
    watch.alarm("a", json!({"Threshold": 7.0})).await;
    assert_eq!(
        (
            watch.state("a").await.as_str(),
            &watch.describe("a").await["Threshold"]
        ),
        ("ALARM", &json!(7.0))
    );
    let arn = json!("arn:aws:cloudwatch:us-east-1:123456789012:alarm:b");
    assert_eq!(
        watch.ok("ListTagsForResource", json!({"ResourceARN": arn})).await["Tags"],
        json!([{"Key": "k", "Value": "v"}])
    );

    assert_eq!(
        watch
            .call("DeleteAlarms", json!({"AlarmNames": ["a", "zzz"]}))
            .await
            .unwrap_err()
            .code,
        "ResourceNotFound"
    );
    watch
        .ok("DeleteAlarms", json!({"AlarmNames": ["a", "b", "ab"]}))
        .await;
    assert_eq!(
        watch.ok("DescribeAlarms", json!({})).await["MetricAlarms"],
        json!([])
    );
    let operations: Vec<Value> = watch
        .cloud
        .events()
        .into_iter()
        .filter(|event| {
            event.detail_type == "CloudWatch Alarm Configuration Change" && event.detail["alarmName"] == "a"
        })
        .map(|event| event.detail["operation"].clone())
        .collect();
    assert_eq!(operations, ["create", "update", "delete"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_refused_by_name() {
    let watch = Watch::new();
    let code = async |operation: &str, input: Value| watch.call(operation, input).await.unwrap_err().code;
    for rule in ["ALARM(", "ALARM(nobody)", "ALARM(self)"] {
        assert_eq!(
            code(
                "PutCompositeAlarm",
                json!({"AlarmName": "self", "AlarmRule": rule})
            )
            .await,
            "ValidationError",
            "{rule}"
        );
    }
    watch.alarm("a", json!({})).await;
    assert_eq!(
        code(
            "PutCompositeAlarm",
            json!({"AlarmName": "a", "AlarmRule": "TRUE"})
        )
        .await,
        "ValidationError"
    );
    assert_eq!(
        code(
            "SetAlarmState",
            json!({"AlarmName": "x", "StateValue": "OK", "StateReason": "r"})
        )
        .await,
        "ResourceNotFound"
    );
    let broken = json!({"AlarmName": "a", "StateValue": "OK", "StateReason": "r", "StateReasonData": "{"});
    assert_eq!(code("SetAlarmState", broken).await, "InvalidFormat");
    assert_eq!(
        code("ListTagsForResource", json!({"ResourceARN": "arn:x"})).await,
        "ResourceNotFoundException"
    );
    for queries in [
        json!([{"Id": "A", "Expression": "1"}]),
        json!([{"Id": "a", "Expression": "b"}]),
        json!([{"Id": "a", "Expression": "b"}, {"Id": "b", "Expression": "a"}]),
        json!([{"Id": "a", "Expression": "1"}, {"Id": "a", "Expression": "2"}]),
        json!([{"Id": "a", "MetricStat": {"Metric": {"Namespace": "n", "MetricName": "m"}, "Period": 60, "Stat": "Median"}}]),
        json!([{"Id": "a"}]),
    ] {
        let input = json!({"MetricDataQueries": queries, "StartTime": 0.0, "EndTime": 60.0});
        assert_eq!(code("GetMetricData", input).await, "ValidationError", "{queries}");
    }
}
