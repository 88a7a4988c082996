//! Samples in, statistics out.

use serde_json::{Value, json};
use signalbox_local_core::{Caller, Cloud as _, Engine as _};

use crate::watch::{Watch, pass};

#[tokio::test(start_paused = true)]
async fn queries_see_single_samples() {
    let watch = Watch::new();
    let start = watch.cloud.clock().epoch_seconds();
    for millis in [10.0, 20.0, 30.0, 1_000.0] {
        watch.put("Duration", millis).await;
        pass(1).await;
    }
    let stat = |id: &str, stat: &str| json!({"Id": id, "MetricStat": {"Metric": {"Namespace": "App", "MetricName": "Duration"}, "Period": 3_600, "Stat": stat}});
    let range = json!({"StartTime": start - 60.0, "EndTime": start + 60.0});
    let mut input = range.clone();
    input["MetricDataQueries"] = json!([
        stat("p50", "p50"), stat("p95", "p95"), stat("count", "SampleCount"), {"Id": "double", "Expression": "count * 2", "Label": "twice"},
    ]);
    let answer = watch.ok("GetMetricData", input).await;
    let values: Vec<&Value> = answer["MetricDataResults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| &result["Values"])
        .collect();
    assert_eq!(
        values,
        [&json!([20.0]), &json!([1_000.0]), &json!([4.0]), &json!([8.0])]
    );
    assert_eq!(answer["MetricDataResults"][3]["Label"], "twice");

    // A period of a second: newest first unless asked otherwise, nothing where there is nothing.
    let mut input = json!({"StartTime": start, "EndTime": start + 10.0, "ScanBy": "TimestampAscending"});
    let mut each = stat("each", "Sum");
    each["MetricStat"]["Period"] = json!(1);
    input["MetricDataQueries"] = json!([each]);
    let answer = watch.ok("GetMetricData", input.clone()).await;
    assert_eq!(
        answer["MetricDataResults"][0]["Values"],
        json!([10.0, 20.0, 30.0, 1_000.0])
    );
    input["ScanBy"] = json!("TimestampDescending");
    let answer = watch.ok("GetMetricData", input).await;
    assert_eq!(
        answer["MetricDataResults"][0]["Values"],
        json!([1_000.0, 30.0, 20.0, 10.0])
    );

    let mut input = range;
    input["Namespace"] = json!("App");
    input["MetricName"] = json!("Duration");
    input["Period"] = json!(3_600);
    input["Statistics"] = json!(["Average", "Maximum"]);
    input["ExtendedStatistics"] = json!(["p99"]);
    let answer = watch.ok("GetMetricStatistics", input).await;
    let [point] = answer["Datapoints"].as_array().unwrap().as_slice() else {
        panic!("one datapoint: {answer}")
    };
    assert_eq!(
        (
            &point["Average"],
            &point["Maximum"],
            &point["ExtendedStatistics"]["p99"]
        ),
        (&json!(265.0), &json!(1_000.0), &json!(1_000.0))
    );
}

#[tokio::test(start_paused = true)]
async fn metrics_are_told_apart_by_their_dimensions() {
    let watch = Watch::new();
    let datum = |dimensions: Value| json!({"MetricName": "Errors", "Value": 1.0, "Dimensions": dimensions});
    let version = json!([{"Name": "FunctionName", "Value": "f"}, {"Name": "Resource", "Value": "f:live"}, {"Name": "ExecutedVersion", "Value": "2"}]);
    let data = [json!([{"Name": "FunctionName", "Value": "f"}]), version.clone()].map(datum);
    let input = json!({"Namespace": "AWS/Lambda", "MetricData": data});
    assert_eq!(
        watch.call("PutMetricData", input.clone()).await.unwrap_err().code,
        "InvalidParameterValue"
    );
    watch
        .engine
        .call(&Caller::service("lambda.amazonaws.com"), "PutMetricData", input)
        .await
        .unwrap();
    let listed = watch
        .ok(
            "ListMetrics",
            json!({"Namespace": "AWS/Lambda", "Dimensions": [{"Name": "ExecutedVersion"}]}),
        )
        .await;
    assert_eq!(listed["Metrics"].as_array().unwrap().len(), 1);
    let listed = watch
        .ok(
            "ListMetrics",
            json!({"Dimensions": [{"Name": "FunctionName", "Value": "f"}]}),
        )
        .await;
    assert_eq!(listed["Metrics"].as_array().unwrap().len(), 2);

    let mut alarm = json!({"Namespace": "AWS/Lambda", "Dimensions": version});
    watch.alarm("v2", alarm.clone()).await;
    alarm["Dimensions"][2]["Value"] = json!("3");
    watch.alarm("v3", alarm).await;
    pass(11).await;
    assert_eq!(
        (watch.state("v2").await.as_str(), watch.state("v3").await.as_str()),
        ("ALARM", "OK")
    );
    let wanted = json!({"Namespace": "AWS/Lambda", "MetricName": "Errors", "Dimensions": version});
    let found = watch.ok("DescribeAlarmsForMetric", wanted).await;
    assert_eq!(found["MetricAlarms"][0]["AlarmName"], "v2");
}

#[tokio::test(start_paused = true)]
async fn senseless_data_is_refused_whole() {
    let watch = Watch::new();
    let now = watch.cloud.clock().epoch_seconds();
    let many: Vec<Value> = (0..31)
        .map(|index| json!({"Name": format!("d{index}"), "Value": "v"}))
        .collect();
    for (datum, code) in [
        (json!({"Value": "NaN"}), "InvalidParameterValue"),
        (json!({"Value": 1e200}), "InvalidParameterValue"),
        (json!({"Value": 1.0, "Dimensions": many}), "InvalidParameterValue"),
        (
            json!({"Values": [1.0, 2.0], "Counts": [1.0]}),
            "InvalidParameterValue",
        ),
        (
            json!({"Value": 1.0, "Values": [1.0]}),
            "InvalidParameterCombination",
        ),
        (json!({}), "MissingParameter"),
        (
            json!({"Value": 1.0, "Timestamp": now + 3.0 * 3_600.0}),
            "InvalidParameterValue",
        ),
        (
            json!({"Value": 1.0, "Timestamp": now - 15.0 * 86_400.0}),
            "InvalidParameterValue",
        ),
        (
            json!({"StatisticValues": {"SampleCount": 1.0, "Sum": 1.0, "Minimum": 2.0, "Maximum": 1.0}}),
            "InvalidParameterValue",
        ),
    ] {
        let mut wrong = datum.clone();
        wrong["MetricName"] = json!("m");
        let input = json!({"Namespace": "App", "MetricData": [{"MetricName": "m", "Value": 1.0}, wrong]});
        assert_eq!(
            watch.call("PutMetricData", input).await.unwrap_err().code,
            code,
            "{datum}"
        );
    }
    assert_eq!(watch.ok("ListMetrics", json!({})).await["Metrics"], json!([]));
}
