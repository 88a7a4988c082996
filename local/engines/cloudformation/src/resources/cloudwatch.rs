//! Alarms. All members bear the API's names.

use async_trait::async_trait;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::shape::{booleans, numbers, set};
use super::{Context, Kind, Made};

async fn put(cx: &Context<'_>, operation: &str, name: &str, properties: &Value) -> Result<Made, AwsError> {
    let mut input = properties.clone();
    set(&mut input, "AlarmName", name);
    numbers(
        &mut input,
        &[
            "ActionsSuppressorExtensionPeriod",
            "ActionsSuppressorWaitPeriod",
            "DatapointsToAlarm",
            "EvaluationPeriods",
            "Period",
            "Threshold",
        ],
    );
    booleans(&mut input, &["ActionsEnabled", "ReturnData"]);
    cx.call("cloudwatch", operation, input).await?;
    let arn = cx.account().arn("cloudwatch", &format!("alarm:{name}"));
    Ok(Made::new(name).with("Arn", arn))
}

async fn delete(cx: &Context<'_>, made: &Made) -> Result<(), AwsError> {
    cx.call(
        "cloudwatch",
        "DeleteAlarms",
        json!({ "AlarmNames": [made.physical] }),
    )
    .await?;
    Ok(())
}

pub(super) struct Alarm;

#[async_trait]
impl Kind for Alarm {
    fn replacing(&self) -> &'static [&'static str] {
        &["AlarmName"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("AlarmName")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        put(
            cx,
            "PutMetricAlarm",
            &cx.name(properties, "AlarmName", 255),
            properties,
        )
        .await
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        _: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        put(cx, "PutMetricAlarm", &made.physical, after).await
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        delete(cx, made).await
    }
}

pub(super) struct CompositeAlarm;

#[async_trait]
impl Kind for CompositeAlarm {
    fn replacing(&self) -> &'static [&'static str] {
        &["AlarmName"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("AlarmName")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        put(
            cx,
            "PutCompositeAlarm",
            &cx.name(properties, "AlarmName", 255),
            properties,
        )
        .await
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        _: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        put(cx, "PutCompositeAlarm", &made.physical, after).await
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        delete(cx, made).await
    }
}
