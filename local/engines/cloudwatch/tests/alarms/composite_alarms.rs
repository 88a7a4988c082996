//! Composite alarms and their suppressors.

use serde_json::{Value, json};

use crate::watch::{TOPIC, Watch, pass, suppressed};

#[tokio::test(start_paused = true)]
async fn a_composite_follows_its_children() {
    let watch = Watch::new();
    watch.alarm("x", json!({"MetricName": "X"})).await;
    watch.alarm("y", json!({"MetricName": "Y"})).await;
    let rule = "ALARM(x) AND NOT ALARM(\"arn:aws:cloudwatch:us-east-1:123456789012:alarm:y\")";
    watch
        .ok(
            "PutCompositeAlarm",
            json!({"AlarmName": "c", "AlarmRule": rule, "AlarmActions": [TOPIC]}),
        )
        .await;
    watch
        .ok(
            "PutCompositeAlarm",
            json!({"AlarmName": "above", "AlarmRule": "ALARM(c)"}),
        )
        .await;
    pass(1).await;
    watch.set("x", "ALARM").await;
    assert_eq!(
        (
            watch.state("c").await.as_str(),
            watch.state("above").await.as_str()
        ),
        ("ALARM", "ALARM")
    );
    watch.set("y", "ALARM").await;
    assert_eq!(
        (
            watch.state("c").await.as_str(),
            watch.state("above").await.as_str()
        ),
        ("OK", "OK")
    );

    let event = &watch.changes("c")[1];
    assert_eq!(event.detail["configuration"]["alarmRule"], rule);
    let data: Value = serde_json::from_str(event.detail["state"]["reasonData"].as_str().unwrap()).unwrap();
    assert_eq!(
        data["triggeringAlarms"][0]["arn"],
        "arn:aws:cloudwatch:us-east-1:123456789012:alarm:x"
    );
    pass(1).await;
    let message: Value =
        serde_json::from_str(watch.calls("sns")[0].input["Message"].as_str().unwrap()).unwrap();
    assert_eq!(
        (
            &message["AlarmRule"],
            &message["TriggeringChildren"][0]["State"]["Value"]
        ),
        (&json!(rule), &json!("ALARM"))
    );

    let children = watch
        .ok("DescribeAlarms", json!({"ChildrenOfAlarmName": "c"}))
        .await;
    assert_eq!(children["MetricAlarms"].as_array().unwrap().len(), 2);
    let parents = watch
        .ok("DescribeAlarms", json!({"ParentsOfAlarmName": "c"}))
        .await;
    assert_eq!(parents["CompositeAlarms"][0]["AlarmName"], "above");
}

#[tokio::test(start_paused = true)]
async fn a_composite_waits_for_its_suppressor_and_then_acts() {
    let watch = suppressed().await;
    watch.set("x", "ALARM").await;
    let event = watch.changes("c").pop().unwrap();
    assert_eq!(
        (
            &event.detail["state"]["value"],
            &event.detail["state"]["actionsSuppressedBy"]
        ),
        (&json!("ALARM"), &json!("WaitPeriod"))
    );
    assert_eq!(watch.describe("c").await["ActionsSuppressedBy"], "WaitPeriod");
    pass(110).await;
    assert_eq!(watch.calls("sns").len(), 1);
    pass(21).await;
    assert_eq!(watch.calls("sns").len(), 2);
    let event = watch.changes("c").pop().unwrap();
    assert_eq!(event.detail["previousState"]["actionsSuppressedBy"], "WaitPeriod");
    assert_eq!(
        (
            &event.detail["state"]["value"],
            event.detail["state"].get("actionsSuppressedBy")
        ),
        (&json!("ALARM"), None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_suppressed_composite_does_nothing_until_the_extension_is_over() {
    let watch = suppressed().await;
    watch.set("s", "ALARM").await;
    watch.set("x", "ALARM").await;
    assert_eq!(
        watch.changes("c").pop().unwrap().detail["state"]["actionsSuppressedBy"],
        "Alarm"
    );
    pass(3_600).await;
    assert_eq!(watch.calls("sns").len(), 1);
    watch.set("s", "OK").await;
    pass(170).await;
    assert_eq!(
        watch.describe("c").await["ActionsSuppressedBy"],
        "ExtensionPeriod"
    );
    assert_eq!(watch.calls("sns").len(), 1);
    pass(21).await;
    assert_eq!(watch.calls("sns").len(), 2);

    // Up and down while suppressed: nobody needs to hear of it.
    watch.set("s", "ALARM").await;
    watch.set("x", "OK").await;
    watch.set("x", "ALARM").await;
    watch.set("s", "OK").await;
    pass(400).await;
    assert_eq!(watch.calls("sns").len(), 2);
}
