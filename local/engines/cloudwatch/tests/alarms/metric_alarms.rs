//! Metric alarms: states, reasons, actions.

use serde_json::{Value, json};

use crate::watch::{FUNCTION, TOPIC, Watch, decoded, pass};

#[tokio::test(start_paused = true)]
async fn an_alarm_rises_and_falls_and_says_why() {
    let watch = Watch::new();
    let dimensions = json!([{"Name": "FunctionName", "Value": "f"}]);
    watch
        .alarm(
            "errors",
            json!({"AlarmDescription": "too many", "Dimensions": dimensions}),
        )
        .await;
    assert_eq!(watch.state("errors").await, "INSUFFICIENT_DATA");
    pass(11).await;
    assert_eq!(watch.state("errors").await, "OK");
    let datum =
        json!({"MetricName": "Errors", "Dimensions": dimensions, "Values": [1.0, 2.0], "Counts": [2.0, 1.0]});
    watch
        .ok(
            "PutMetricData",
            json!({"Namespace": "App", "MetricData": [datum]}),
        )
        .await;
    pass(10).await;
    assert_eq!(watch.state("errors").await, "ALARM");
    pass(300).await;
    assert_eq!(watch.values("errors"), ["OK", "ALARM", "OK"]);

    let event = &watch.changes("errors")[1];
    assert_eq!(event.source, "aws.cloudwatch");
    assert_eq!(
        event.resources,
        ["arn:aws:cloudwatch:us-east-1:123456789012:alarm:errors"]
    );
    assert_eq!(event.detail["previousState"]["value"], "OK");
    let reason = event.detail["state"]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("Threshold Crossed: 1 out of the last 1 datapoint [4.0 ("),
        "{reason}"
    );
    assert!(
        reason.ends_with("was greater than or equal to the threshold (1.0) (minimum 1 datapoint for OK -> ALARM transition)."),
        "{reason}"
    );
    let data: Value = serde_json::from_str(event.detail["state"]["reasonData"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&data["statistic"], &data["period"], &data["recentDatapoints"]),
        (&json!("Sum"), &json!(60), &json!([4.0]))
    );
    let timestamp = event.detail["state"]["timestamp"].as_str().unwrap();
    assert!(
        timestamp.ends_with("+0000") && timestamp.len() == "2019-10-02T17:04:40.985+0000".len(),
        "{timestamp}"
    );
    assert_eq!(
        event.detail["configuration"],
        json!({"description": "too many", "metrics": [{
            "id": "m1", "returnData": true,
            "metricStat": {"metric": {"namespace": "App", "name": "Errors", "dimensions": {"FunctionName": "f"}}, "period": 60, "stat": "Sum"},
        }]})
    );
}

#[tokio::test(start_paused = true)]
async fn missing_data_is_treated_as_it_says() {
    for (missing, expected) in [
        ("missing", "INSUFFICIENT_DATA"),
        ("notBreaching", "OK"),
        ("breaching", "ALARM"),
        ("ignore", "INSUFFICIENT_DATA"),
    ] {
        let watch = Watch::new();
        watch.alarm("a", json!({"TreatMissingData": missing})).await;
        pass(11).await;
        assert_eq!(watch.state("a").await, expected, "{missing}");
        // A datapoint that is fine is fine; once it is gone, the treatment decides again.
        watch.put("Errors", 0.0).await;
        pass(11).await;
        assert_eq!(watch.state("a").await, "OK", "{missing}");
        pass(600).await;
        let later = if missing == "ignore" { "OK" } else { expected };
        assert_eq!(watch.state("a").await, later, "{missing}");
    }
}

#[tokio::test(start_paused = true)]
async fn m_of_n_datapoints_make_an_alarm() {
    let watch = Watch::new();
    watch
        .alarm("a", json!({"EvaluationPeriods": 3, "DatapointsToAlarm": 2}))
        .await;
    pass(11).await;
    watch.put("Errors", 1.0).await;
    pass(61).await;
    assert_eq!(watch.state("a").await, "OK");
    watch.put("Errors", 0.0).await;
    pass(61).await;
    watch.put("Errors", 5.0).await;
    pass(11).await;
    assert_eq!(watch.state("a").await, "ALARM");
}

#[tokio::test(start_paused = true)]
async fn metric_math_watches_the_error_rate() {
    let watch = Watch::new();
    let stat = |metric: &str| json!({"Metric": {"Namespace": "App", "MetricName": metric}, "Period": 60, "Stat": "Sum"});
    let metrics = json!([
        {"Id": "rate", "Expression": "IF(invocations > 0, 100 * errors / invocations, 0)", "Label": "Error rate", "ReturnData": true},
        {"Id": "errors", "MetricStat": stat("Errors"), "ReturnData": false},
        {"Id": "invocations", "MetricStat": stat("Invocations"), "ReturnData": false},
    ]);
    let alarm = json!({"AlarmName": "rate", "Metrics": metrics, "Threshold": 5.0, "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching", "AlarmActions": [TOPIC]});
    watch.ok("PutMetricAlarm", alarm).await;
    for call in 0..20 {
        watch.put("Invocations", 1.0).await;
        watch.put("Errors", if call == 0 { 1.0 } else { 0.0 }).await;
    }
    pass(11).await;
    assert_eq!(watch.state("rate").await, "OK");
    watch.put("Invocations", 1.0).await;
    watch.put("Errors", 1.0).await;
    pass(11).await;
    assert_eq!(watch.state("rate").await, "ALARM");
    let event = watch.changes("rate").pop().unwrap();
    let shown = &event.detail["configuration"]["metrics"];
    assert_eq!(
        (&shown[0]["expression"], &shown[0]["label"]),
        (&metrics[0]["Expression"], &json!("Error rate"))
    );
    assert_eq!(shown[1]["metricStat"]["metric"]["name"], "Errors");
    let message: Value =
        serde_json::from_str(watch.calls("sns")[0].input["Message"].as_str().unwrap()).unwrap();
    assert_eq!(message["Trigger"]["Metrics"][0]["Id"], "rate");
}

#[tokio::test(start_paused = true)]
async fn actions_are_performed_for_topics_and_functions_unless_switched_off() {
    let watch = Watch::new();
    watch
        .alarm(
            "a",
            json!({"AlarmActions": [TOPIC, FUNCTION], "OKActions": [TOPIC]}),
        )
        .await;
    watch.put("Errors", 1.0).await;
    pass(11).await;
    let [published] = watch.calls("sns").try_into().unwrap();
    assert_eq!(published.input["TopicArn"], TOPIC);
    assert_eq!(
        published.input["Subject"],
        "ALARM: \"a\" in US East (N. Virginia)"
    );
    let message: Value = serde_json::from_str(published.input["Message"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&message["NewStateValue"], &message["OldStateValue"]),
        (&json!("ALARM"), &json!("INSUFFICIENT_DATA"))
    );
    assert_eq!(
        (&message["AlarmDescription"], &message["Trigger"]["Statistic"]),
        (&Value::Null, &json!("SUM"))
    );
    let [invoked] = watch.calls("lambda").try_into().unwrap();
    assert_eq!(
        (
            &invoked.input["InvocationType"],
            &decoded(&invoked)["alarmData"]["state"]["value"]
        ),
        (&json!("Event"), &json!("ALARM"))
    );

    watch
        .ok("DisableAlarmActions", json!({"AlarmNames": ["a"]}))
        .await;
    assert_eq!(watch.describe("a").await["ActionsEnabled"], false);
    pass(600).await;
    assert_eq!(watch.values("a"), ["ALARM", "OK"]);
    assert_eq!(watch.calls("sns").len(), 1);
    let history = watch
        .ok(
            "DescribeAlarmHistory",
            json!({"AlarmName": "a", "HistoryItemType": "Action"}),
        )
        .await;
    assert_eq!(history["AlarmHistoryItems"].as_array().unwrap().len(), 2);
}
